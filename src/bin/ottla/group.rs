//! `ottla group`: changes nothing, beside whoever writes the directory.

use ottla::replay::Directory;
use serde_json::{Value, json};

use crate::Status;
use crate::arguments::GroupCommand;
use crate::output::{Failure, Output};

pub(crate) fn look(command: &GroupCommand, directory: &Directory, output: &mut Output) -> Result<Status, Failure> {
    match command {
        GroupCommand::List => {
            for group in directory.groups()? {
                if output.is_json { output.line(json!({ "group": group.group }))? } else { output.line(group.group)? }
            }
        }
        GroupCommand::Describe { group } => {
            let described = directory.group(group)?;
            let rows = described.partitions.iter().map(|each| {
                [
                    Value::from(each.partition.topic()),
                    each.partition.partition().into(),
                    each.committed.map(|offset| offset.0).into(),
                    each.high_watermark.0.into(),
                    each.lag.into(),
                ]
            });
            output.table(["topic", "partition", "committed", "log_end", "lag"], rows)?;
        }
    }
    Ok(Status::Done)
}
