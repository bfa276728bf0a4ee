//! `ottla topic`.

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
        TopicCommand::List => {
            for topic in admin.list_topics()? {
                if output.is_json {
                    let (id, partitions) = (topic.id.to_string(), topic.partitions);
                    output.line(json!({ "topic": topic.name, "id": id, "partitions": partitions }))?;
                } else {
                    output.line(topic.name)?;
                }
            }
        }
        TopicCommand::Describe { name } => describe(&admin, name, output)?,
        TopicCommand::Delete { name } => admin.delete_topic(name)?,
    }
    Ok(Status::Done)
}

fn describe(admin: &Admin, name: &str, output: &mut Output) -> Result<(), Failure> {
    let topic = admin.describe_topic(name)?;
    if !output.is_json {
        output.line(format_args!("topic {}, id {}", topic.name, topic.id))?;
        for (name, value) in &topic.config {
            output.line(format_args!("{name}={value}"))?;
        }
    }
    let headings = [
        "topic",
        "partition",
        "leader_epoch",
        "log_start",
        "high_watermark",
        "log_end",
        "durable_end",
        "bytes",
        "segments",
    ];
    let rows = topic.partitions.iter().map(|each| {
        [
            Value::from(&*topic.name),
            each.partition.partition().into(),
            each.leader_epoch.0.into(),
            each.log_start_offset.0.into(),
            each.high_watermark.0.into(),
            each.log_end_offset.0.into(),
            each.durable_end.0.into(),
            each.size_bytes.into(),
            each.segments.into(),
        ]
    });
    output.table(headings, rows)
}
