//! `ottla consume`: prints records, and commits what was printed.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla::{
    Admin, Consumer, ConsumerConfig, ConsumerRecord, Engine, Error, Offset, OffsetAndMetadata, Timestamp,
    TopicPartition,
};
use serde_json::{Value, json};

use crate::Status;
use crate::arguments::{Consume, From, OnCorrupt};
use crate::output::{Failure, Output, json_bytes, say};

/// How many records are taken at a time: with a group, so many are printed before they are committed.
const RECORDS: usize = 10_000;

type Bytes = [u8];

pub(crate) fn run(command: &Consume, engine: &Engine, output: &mut Output) -> Result<Status, Failure> {
    let partitions = partitions(command, engine)?;
    let config = ConsumerConfig::builder().group_id(command.group.clone()).enable_auto_commit(false);
    let mut consumer = Consumer::<Bytes, Bytes>::with_config(engine, config.max_poll_records(RECORDS).build()?)?;
    consumer.assign(partitions.clone())?; // the directory is ours alone, so nobody else is in the group
    let mut ends = BTreeMap::new();
    for partition in &partitions {
        ends.insert(partition.clone(), engine.end_offset(partition)?);
        if let Some(from) = command.from {
            let offset = resolve(from, partition, engine, &consumer)?;
            consumer.seek(partition, offset)?;
        }
    }
    let printer = Printer { format: Format::parse(command.format.as_deref().unwrap_or("{value}"))? };
    let mut reading = Reading { command, consumer, ends, left: command.max_records, printed: BTreeMap::new() };
    let status = reading.run(&printer, output);
    let closed = reading.consumer.close().map_err(Failure::from);
    status.and_then(|status| closed.map(|()| status))
}

/// Every partition that is read; a topic that does not exist is an error.
fn partitions(command: &Consume, engine: &Engine) -> Result<Vec<TopicPartition>, Failure> {
    let admin = Admin::new(engine);
    let mut partitions = Vec::new();
    for topic in &command.topics {
        let count = u32::try_from(admin.describe_topic(topic)?.partitions.len()).unwrap_or(u32::MAX);
        match command.partition {
            Some(number) if number >= count => {
                return Err(Error::UnknownTopicOrPartition { name: format!("{topic}-{number}").into() }.into());
            }
            Some(number) => partitions.push(TopicPartition::new(topic.as_str(), number)),
            None => partitions.extend((0..count).map(|number| TopicPartition::new(topic.as_str(), number))),
        }
    }
    Ok(partitions)
}

fn resolve(
    from: From,
    partition: &TopicPartition,
    engine: &Engine,
    consumer: &Consumer<Bytes, Bytes>,
) -> Result<Offset, Failure> {
    Ok(match from {
        From::Beginning => consumer.beginning_offset(partition)?,
        From::End => engine.end_offset(partition)?,
        From::Offset(offset) => Offset(offset),
        From::Time(millis) => match consumer.offset_for_time(partition, Timestamp(millis))? {
            Some((offset, _)) => offset,
            None => engine.end_offset(partition)?,
        },
    })
}

/// A consumer at work.
struct Reading<'a> {
    command: &'a Consume,
    consumer: Consumer<Bytes, Bytes>,
    /// Where each partition ended when this began.
    ends: BTreeMap<TopicPartition, Offset>,
    /// How many records may still be printed.
    left: Option<u64>,
    /// What has been printed, and is not committed: the next offset of each partition.
    printed: BTreeMap<TopicPartition, Offset>,
}

impl Reading<'_> {
    fn run(&mut self, printer: &Printer, output: &mut Output) -> Result<Status, Failure> {
        let mut status = Status::Done;
        while self.left != Some(0) && (self.command.follow || !self.is_at_end()?) {
            let timeout = if self.command.follow { Duration::from_millis(500) } else { Duration::from_millis(50) };
            match self.consumer.poll(timeout) {
                Ok(records) => {
                    for record in &records {
                        self.print(&record, printer, output)?;
                    }
                    output.flush()?;
                    self.commit()?;
                }
                Err(error @ Error::CorruptBatch { .. }) if self.command.on_corrupt == OnCorrupt::Skip => {
                    say(&error);
                    status = Status::Findings;
                    let Error::CorruptBatch { partition, last, .. } = error else { continue };
                    self.consumer.seek(&partition, last.next())?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(status)
    }

    /// Whether every partition has been read up to where it ended at the start.
    fn is_at_end(&mut self) -> Result<bool, Failure> {
        for (partition, end) in &self.ends {
            if self.consumer.position(partition)? < *end {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn print(
        &mut self,
        record: &ConsumerRecord<'_, Bytes, Bytes>,
        printer: &Printer,
        output: &mut Output,
    ) -> Result<(), Failure> {
        let partition = record.topic_partition();
        let is_late = !self.command.follow && self.ends.get(partition).is_some_and(|end| record.offset() >= *end);
        if is_late || self.left == Some(0) {
            return Ok(());
        }
        printer.print(record, output)?;
        self.left = self.left.map(|left| left - 1);
        match self.printed.get_mut(partition) {
            Some(next) => *next = record.offset().next(),
            None => {
                self.printed.insert(partition.clone(), record.offset().next());
            }
        }
        Ok(())
    }

    /// Commits what has gone out, and nothing that was only read.
    fn commit(&mut self) -> Result<(), Failure> {
        let printed = std::mem::take(&mut self.printed);
        if self.command.group.is_none() || printed.is_empty() {
            return Ok(());
        }
        let offsets = printed.into_iter().map(|(partition, next)| (partition, OffsetAndMetadata::new(next)));
        Ok(self.consumer.commit_sync_offsets(offsets)?)
    }
}

/// Prints a record as text or as JSON.
struct Printer {
    format: Format,
}

impl Printer {
    fn print(&self, record: &ConsumerRecord<'_, Bytes, Bytes>, output: &mut Output) -> Result<(), Failure> {
        if !output.is_json {
            return self.format.print(record, output);
        }
        let headers: Vec<Value> =
            record.headers().iter().map(|(name, value)| json!([name, json_bytes(value)])).collect();
        output.line(json!({
            "topic": record.topic(),
            "partition": record.partition(),
            "offset": record.offset().0,
            "timestamp": record.timestamp().0,
            "key": json_bytes(record.key_bytes()),
            "value": json_bytes(record.value_bytes()),
            "headers": headers,
        }))
    }
}

/// What is printed of a record.
#[derive(Debug, PartialEq, Eq)]
struct Format {
    parts: Vec<Part>,
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Topic,
    Partition,
    Offset,
    Timestamp,
    Key,
    Value,
    Headers,
}

impl Format {
    fn parse(text: &str) -> Result<Self, Failure> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let (before, behind) = rest.split_at(open);
            parts.push(Part::Text(unescape(before)));
            let Some((name, behind)) = behind[1..].split_once('}') else {
                return Err(Failure::Usage(format!("--format {text:?}: a '{{' has no '}}'")));
            };
            parts.push(match name {
                "topic" => Part::Topic,
                "partition" => Part::Partition,
                "offset" => Part::Offset,
                "timestamp" => Part::Timestamp,
                "key" => Part::Key,
                "value" => Part::Value,
                "headers" => Part::Headers,
                _ => return Err(Failure::Usage(format!("--format {text:?}: there is no {{{name}}}"))),
            });
            rest = behind;
        }
        parts.push(Part::Text(unescape(rest)));
        Ok(Self { parts })
    }

    fn print(&self, record: &ConsumerRecord<'_, Bytes, Bytes>, output: &mut Output) -> Result<(), Failure> {
        for part in &self.parts {
            match part {
                Part::Text(text) => output.bytes(text.as_bytes())?,
                Part::Topic => output.bytes(record.topic().as_bytes())?,
                Part::Partition => output.bytes(record.partition().to_string().as_bytes())?,
                Part::Offset => output.bytes(record.offset().to_string().as_bytes())?,
                Part::Timestamp => output.bytes(record.timestamp().to_string().as_bytes())?,
                Part::Key => output.bytes(record.key_bytes().unwrap_or(b"null"))?,
                Part::Value => output.bytes(record.value_bytes().unwrap_or(b"null"))?,
                Part::Headers => {
                    for (index, (name, value)) in record.headers().iter().enumerate() {
                        output.bytes(if index == 0 { b"" } else { b"," })?;
                        output.bytes(name.as_bytes())?;
                        output.bytes(b"=")?;
                        output.bytes(value.unwrap_or(b"null"))?;
                    }
                }
            }
        }
        output.bytes(b"\n")
    }
}

fn unescape(text: &str) -> String {
    text.replace("\\t", "\t").replace("\\n", "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_text_and_names_in_braces() {
        let format = Format::parse("{partition}\\t{offset}: {value}").unwrap();
        let text = |text: &str| Part::Text(text.to_owned());
        let expected = [text(""), Part::Partition, text("\t"), Part::Offset, text(": "), Part::Value, text("")];
        assert_eq!(format.parts, expected);
        assert!(Format::parse("{size}").is_err());
        assert!(Format::parse("{value").is_err());
    }
}
