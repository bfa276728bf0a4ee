//! `ottla consume --group`: prints records, and commits what was printed. `read` is for those without a group.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla::{
    Admin, Consumer, ConsumerConfig, ConsumerRecord, Engine, Error, Offset, OffsetAndMetadata, Timestamp,
    TopicPartition,
};

use crate::Status;
use crate::arguments::{Consume, From, OnCorrupt};
use crate::format::Line;
use crate::output::{Failure, Output, no_partition, say, say_stats};

/// How many records are taken at a time: so many are printed before they are committed, and come again after a crash in
/// between.
const RECORDS: usize = 1_000;

/// Settings that this command has for itself.
const OURS: [&str; 2] = ["enable.auto.commit", "group.id"];

type Bytes = [u8];

pub(crate) fn run(command: &Consume, engine: &Engine, output: &mut Output) -> Result<Status, Failure> {
    refuse_own_settings(command)?;
    let partitions = partitions(command, engine)?;
    let settings = command.settings.iter().map(|(name, value)| (name, value));
    let config = ConsumerConfig::builder().max_poll_records(RECORDS).set_all(settings)?;
    let config = config.group_id(command.group.clone()).enable_auto_commit(false).build()?;
    let mut consumer = Consumer::<Bytes, Bytes>::with_config(engine, config)?;
    consumer.assign(partitions.clone())?; // the directory is ours alone, so nobody else is in the group
    let mut ends = BTreeMap::new();
    for partition in &partitions {
        ends.insert(partition.clone(), engine.end_offset(partition)?);
        if let Some(from) = command.from {
            let offset = resolve(from, partition, engine, &consumer)?;
            consumer.seek(partition, offset)?;
        }
    }
    let mut reading = Reading { command, consumer, ends, left: command.max_records, done: BTreeMap::new() };
    let status = reading.run(output);
    if command.stats {
        say_stats(&reading.consumer.metrics());
    }
    let closed = reading.consumer.close().map_err(Failure::from);
    status.and_then(|status| closed.map(|()| status))
}

/// Or they would be passed over: what is printed is committed, if there is a group, and nothing else.
pub(crate) fn refuse_own_settings(command: &Consume) -> Result<(), Failure> {
    match command.settings.iter().find(|(name, _)| OURS.contains(&name.as_str())) {
        Some((name, _)) => Err(Failure::Usage(format!("--config {name}: --group says it"))),
        None => Ok(()),
    }
}

/// Every partition that is read; a topic that does not exist is an error.
fn partitions(command: &Consume, engine: &Engine) -> Result<Vec<TopicPartition>, Failure> {
    let admin = Admin::new(engine);
    let mut partitions = Vec::new();
    for topic in &command.topics {
        let count = u32::try_from(admin.describe_topic(topic)?.partitions.len()).unwrap_or(u32::MAX);
        match command.partition {
            Some(number) if number >= count => return Err(no_partition(topic, number, count)),
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
        // Behind the end lies what is yet to come.
        From::Offset(offset) => {
            Offset(offset).max(consumer.beginning_offset(partition)?).min(engine.end_offset(partition)?)
        }
        From::Time(millis) => match consumer.offset_for_time(partition, Timestamp(millis)) {
            // It may lie in there: reading on from there says so.
            Err(Error::CorruptBatch { first, .. } | Error::CodecNotCompiled { first, .. }) => first,
            found => match found? {
                Some((offset, _)) => offset,
                None => engine.end_offset(partition)?,
            },
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
    /// What has been printed, or skipped and said, and is not committed: the next offset of each partition.
    done: BTreeMap<TopicPartition, Offset>,
}

impl Reading<'_> {
    fn run(&mut self, output: &mut Output) -> Result<Status, Failure> {
        let mut status = Status::Done;
        while self.left != Some(0) && (self.command.follow || !self.is_at_end()?) {
            let timeout = if self.command.follow { Duration::from_millis(500) } else { Duration::from_millis(50) };
            match self.consumer.poll(timeout) {
                Ok(records) => {
                    for record in &records {
                        self.print(&record, output)?;
                    }
                    output.flush()?;
                    self.commit()?;
                }
                Err(error @ Error::CorruptBatch { .. }) if self.command.on_corrupt == OnCorrupt::Skip => {
                    say(&error);
                    status = Status::Findings;
                    let Error::CorruptBatch { partition, last, .. } = error else { continue };
                    self.consumer.seek(&partition, last.next())?;
                    self.done.insert(partition, last.next()); // said, and so not to be met again
                    self.commit()?;
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

    fn print(&mut self, record: &ConsumerRecord<'_, Bytes, Bytes>, output: &mut Output) -> Result<(), Failure> {
        let partition = record.topic_partition();
        let is_late = !self.command.follow && self.ends.get(partition).is_some_and(|end| record.offset() >= *end);
        let is_early = matches!(self.command.from, Some(From::Offset(from)) if record.offset().0 < from);
        if is_late || is_early || self.left == Some(0) {
            return Ok(());
        }
        Line::consumed(record).print(&self.command.format, output)?;
        self.left = self.left.map(|left| left - 1);
        match self.done.get_mut(partition) {
            Some(next) => *next = record.offset().next(),
            None => {
                self.done.insert(partition.clone(), record.offset().next());
            }
        }
        Ok(())
    }

    /// Commits what has gone out, and nothing that was only read.
    fn commit(&mut self) -> Result<(), Failure> {
        let done = std::mem::take(&mut self.done);
        if done.is_empty() {
            return Ok(());
        }
        let offsets = done.into_iter().map(|(partition, next)| (partition, OffsetAndMetadata::new(next)));
        Ok(self.consumer.commit_sync_offsets(offsets)?)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use ottla::replay::Directory;
    use ottla::{Acks, MemoryDisk, NewTopic, Producer, ProducerConfig, ProducerRecord};

    use super::*;
    use crate::arguments::{Arguments, Command};
    use crate::read;

    /// Runs `consume` with these arguments.
    fn consume(arguments: &str, disk: &MemoryDisk, engine: &Engine) -> Status {
        let arguments = ["ottla", "consume"].into_iter().chain(arguments.split(' '));
        let Command::Consume(command) = Arguments::parse_from(arguments).command else { panic!("it is one") };
        let mut output = Output::to(Box::new(std::io::sink()), false);
        match command.group {
            Some(_) => run(&command, engine, &mut output).unwrap(),
            None => read::run(&command, &Directory::open_memory(disk).unwrap(), &mut output).unwrap(),
        }
    }

    /// "Until the end" waits for partitions without records. Here time passes only while somebody waits for it.
    #[test]
    fn r029_reading_to_the_end_lets_no_time_pass() {
        let disk = MemoryDisk::stepped(7);
        let engine = Engine::builder().open_memory(&disk).unwrap();
        Admin::new(&engine).create_topic(NewTopic::new("t").partitions(4)).unwrap();
        let config = ProducerConfig::builder().acks(Acks::All).build().unwrap();
        let producer = Producer::<str, str>::with_config(&engine, config).unwrap();
        let now = || {
            let sent = producer.send(ProducerRecord::to("t").partition(2).value("x")).unwrap();
            sent.wait().unwrap().timestamp()
        };
        let began = now();
        for arguments in ["t --partition 0", "t", "t --group g", "t --group g", "t --from end"] {
            assert_eq!(consume(arguments, &disk, &engine), Status::Done);
        }
        assert_eq!(now(), began);
    }

    #[test]
    fn group_meets_damage_once_also_at_the_end_of_the_log() {
        let disk = MemoryDisk::stepped(7);
        let engine = Engine::builder().open_memory(&disk).unwrap();
        let producer = Producer::<str, str>::new(&engine).unwrap();
        let (segment, mut last) = ("log/t-0/00000000000000000000.log", 0);
        for _ in 0..3 {
            last = disk.files().iter().find(|(path, _)| path.ends_with(segment)).map_or(0, |(_, bytes)| *bytes);
            producer.send(ProducerRecord::to("t").value("x")).unwrap().wait().unwrap();
        }
        disk.flip_bit(segment, last + 65, 0).unwrap();
        let skipping = "t --group g --on-corrupt skip";
        assert_eq!(consume(skipping, &disk, &engine), Status::Findings);
        let rows = Admin::new(&engine).describe_group("g").unwrap().partitions;
        assert_eq!((rows[0].committed, rows[0].lag.map(|lag| lag.records)), (Some(Offset(3)), Some(0)));
        assert_eq!(consume(skipping, &disk, &engine), Status::Done);
    }
}
