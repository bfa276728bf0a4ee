//! `ottla group`.

use ottla::{Admin, Engine};
use serde_json::{Value, json};

use crate::Status;
use crate::arguments::GroupCommand;
use crate::output::{Failure, Output};

pub(crate) fn run(command: &GroupCommand, engine: &Engine, output: &mut Output) -> Result<Status, Failure> {
    let admin = Admin::new(engine);
    match command {
        GroupCommand::List => {
            for group in admin.list_groups()? {
                if output.is_json { output.line(json!({ "group": group.group }))? } else { output.line(group.group)? }
            }
        }
        GroupCommand::Describe { group } => {
            let described = admin.describe_group(group)?;
            let rows = described.partitions.iter().map(|each| {
                [
                    Value::from(each.partition.topic()),
                    each.partition.partition().into(),
                    each.committed.0.into(),
                    each.high_watermark.0.into(),
                    each.lag.into(),
                ]
            });
            output.table(["topic", "partition", "committed", "log_end", "lag"], rows)?;
        }
    }
    Ok(Status::Done)
}
