//! `ottla topic`.

use ottla::replay::Directory;
use ottla::{Admin, Engine, NewTopic};
use serde_json::{Value, json};

use crate::Status;
use crate::arguments::TopicCommand;
use crate::output::{Failure, Output};

pub(crate) fn run(command: &TopicCommand, engine: &Engine, output: &mut Output) -> Result<Status, Failure> {
    let admin = Admin::new(engine);
    match command {
        TopicCommand::Create { name, partitions, settings } => {
            let mut topic = NewTopic::new(name.as_str());
            if let Some(partitions) = partitions {
                topic = topic.partitions(*partitions);
            }
            for (name, value) in settings {
                topic = topic.config(name, value);
            }
            let created = admin.create_topic(topic)?;
            if output.is_json {
                let partitions = created.partitions.len();
                output
                    .line(json!({ "topic": created.name, "id": created.id.to_string(), "partitions": partitions }))?;
            }
        }
        TopicCommand::Alter { name, partitions } => {
            admin.create_partitions(name, *partitions)?;
        }
        TopicCommand::Delete { name } => admin.delete_topic(name)?,
        TopicCommand::List | TopicCommand::Describe { .. } => {} // they need no engine: see `look`
    }
    Ok(Status::Done)
}

/// The commands that change nothing, beside whoever writes the directory.
pub(crate) fn look(command: &TopicCommand, directory: &Directory, output: &mut Output) -> Result<Status, Failure> {
    match command {
        TopicCommand::List => {
            for topic in directory.topics()? {
                if output.is_json {
                    let (id, partitions) = (topic.id.to_string(), topic.partitions);
                    output.line(json!({ "topic": topic.name, "id": id, "partitions": partitions }))?;
                } else {
                    output.line(topic.name)?;
                }
            }
        }
        TopicCommand::Describe { name } => describe(directory, name, output)?,
        TopicCommand::Create { .. } | TopicCommand::Alter { .. } | TopicCommand::Delete { .. } => {}
    }
    Ok(Status::Done)
}

fn describe(directory: &Directory, name: &str, output: &mut Output) -> Result<(), Failure> {
    let topic = directory.topic(name)?;
    if !output.is_json {
        output.line(format_args!("topic {}, id {}", topic.name, topic.id))?;
        for (name, value) in &topic.config {
            output.line(format_args!("{name}={value}"))?;
        }
    }
    let headings =
        ["topic", "partition", "leader_epoch", "log_start", "high_watermark", "durable_end", "bytes", "segments"];
    let rows = topic.partitions.iter().map(|each| {
        [
            Value::from(&*topic.name),
            each.partition.partition().into(),
            each.bounds.leader_epoch.0.into(),
            each.bounds.log_start_offset.0.into(),
            each.bounds.high_watermark.0.into(),
            each.bounds.durable_end.0.into(),
            each.size_bytes.into(),
            each.segments.into(),
        ]
    });
    output.table(headings, rows)
}
