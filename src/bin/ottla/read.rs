//! `ottla consume` without a group: prints records, beside whoever writes them, and remembers nothing.

use std::time::Duration;

use ottla::replay::{Directory, PartitionReader, StoredRecords};
use ottla::{AutoOffsetReset, ConsumerConfig, Error, Offset, Timestamp, TopicPartition};

use crate::Status;
use crate::arguments::{Consume, From, OnCorrupt};
use crate::consume::refuse_own_settings;
use crate::format::Line;
use crate::output::{Failure, Output, no_partition, say};

/// How long one partition is waited for while the others are left alone.
const WAIT: Duration = Duration::from_millis(20);

pub(crate) fn run(command: &Consume, directory: &Directory, output: &mut Output) -> Result<Status, Failure> {
    refuse_own_settings(command)?;
    let settings = command.settings.iter().map(|(name, value)| (name, value));
    let config = ConsumerConfig::builder().set_all(settings)?.build()?;
    let mut sources = Vec::new();
    for partition in partitions(command, directory)? {
        let mut reader = directory.reader(&partition)?;
        reader.set_max_unpacked_bytes(config.max_decompressed_batch_bytes());
        let end = reader.bounds()?.high_watermark;
        begin(command.from, &config, &mut reader)?;
        sources.push(Source { reader, end, ended_early_at: None, records: 0, bytes: 0 });
    }
    let reset = config.auto_offset_reset();
    let read_bytes = config.max_partition_fetch_bytes().min(config.fetch_max_bytes()).max(1);
    let mut reading = Reading { command, reset, read_bytes, left: command.max_records, status: Status::Done };
    let ran =
        if command.follow { reading.follow(&mut sources, output) } else { reading.until_the_end(&mut sources, output) };
    if command.stats {
        say_stats(&config, &sources);
    }
    ran.map(|()| reading.status)
}

/// Every partition that is read; a topic that does not exist is an error.
fn partitions(command: &Consume, directory: &Directory) -> Result<Vec<TopicPartition>, Failure> {
    let listed = directory.topics()?;
    let mut partitions = Vec::new();
    for topic in &command.topics {
        let count = match listed.iter().find(|listed| listed.name == *topic) {
            Some(listed) => listed.partitions,
            None => u32::try_from(directory.topic(topic)?.partitions.len()).unwrap_or(u32::MAX), // which says why not
        };
        match command.partition {
            Some(number) if number >= count => return Err(no_partition(topic, number, count)),
            Some(number) => partitions.push(TopicPartition::new(topic.as_str(), number)),
            None => partitions.extend((0..count).map(|number| TopicPartition::new(topic.as_str(), number))),
        }
    }
    Ok(partitions)
}

/// Puts a reader where reading begins.
fn begin(from: Option<From>, config: &ConsumerConfig, reader: &mut PartitionReader) -> Result<(), Failure> {
    let bounds = reader.bounds()?;
    let offset = match (from, config.auto_offset_reset()) {
        (Some(From::End), _) => bounds.high_watermark,
        // Behind the end lies what is yet to come.
        (Some(From::Offset(offset)), _) => Offset(offset).max(bounds.log_start_offset).min(bounds.high_watermark),
        (Some(From::Time(millis)), _) => time(Timestamp(millis), reader, bounds.high_watermark)?,
        (None, AutoOffsetReset::None) => {
            return Err(Error::NoOffsetForPartition { partition: reader.partition().clone() }.into());
        }
        (Some(From::Beginning), _) => bounds.log_start_offset,
        (None, reset) => by_policy(reset, reader)?,
    };
    reader.seek(offset);
    Ok(())
}

/// Where reading begins if nobody says where.
fn by_policy(reset: AutoOffsetReset, reader: &mut PartitionReader) -> Result<Offset, Failure> {
    let bounds = reader.bounds()?;
    match reset {
        AutoOffsetReset::Latest => Ok(bounds.high_watermark),
        AutoOffsetReset::ByDuration(age) => {
            let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
            let at = jiff::Timestamp::now().as_millisecond().saturating_sub(age).max(0);
            time(Timestamp(at), reader, bounds.high_watermark)
        }
        _ => Ok(bounds.log_start_offset),
    }
}

fn time(at: Timestamp, reader: &mut PartitionReader, end: Offset) -> Result<Offset, Failure> {
    match reader.offset_for_time(at) {
        // It may lie in there: reading on from there says so.
        Err(Error::CorruptBatch { first, .. } | Error::CodecNotCompiled { first, .. }) => Ok(first),
        found => Ok(found?.map_or(end, |(offset, _)| offset)),
    }
}

/// A partition that is read.
struct Source {
    reader: PartitionReader,
    /// Where it ended when this began.
    end: Offset,
    /// Where the log was found to end before its high watermark, so that it is said once.
    ended_early_at: Option<Offset>,
    records: u64,
    bytes: u64,
}

/// What is the same for all of them.
struct Reading<'a> {
    command: &'a Consume,
    reset: AutoOffsetReset,
    read_bytes: usize,
    /// How many records may still be printed.
    left: Option<u64>,
    status: Status,
}

impl Reading<'_> {
    fn until_the_end(&mut self, sources: &mut [Source], output: &mut Output) -> Result<(), Failure> {
        for source in sources {
            while self.left != Some(0) && source.reader.position() < source.end {
                let read = source.reader.read(self.read_bytes);
                let Some(records) = self.settle(source, read)? else { continue };
                if records.is_empty() {
                    break;
                }
                self.print(source, &records, output)?;
            }
        }
        Ok(())
    }

    fn follow(&mut self, sources: &mut [Source], output: &mut Output) -> Result<(), Failure> {
        let mut next = 0;
        while self.left != Some(0) {
            let mut is_at_rest = true;
            for source in &mut *sources {
                let read = source.reader.read(self.read_bytes);
                let Some(records) = self.settle(source, read)? else { continue };
                is_at_rest &= records.is_empty();
                self.print(source, &records, output)?;
            }
            if is_at_rest && self.left != Some(0) {
                next = (next + 1) % sources.len().max(1);
                let Some(source) = sources.get_mut(next) else { return Ok(()) };
                let read = source.reader.poll(WAIT);
                if let Some(records) = self.settle(source, read)? {
                    self.print(source, &records, output)?;
                }
            }
        }
        Ok(())
    }

    /// What was read; `None` if something was in the way that was said, and passed.
    fn settle(
        &mut self,
        source: &mut Source,
        read: Result<StoredRecords, Error>,
    ) -> Result<Option<StoredRecords>, Failure> {
        match read {
            Ok(records) => {
                self.note_early_end(source, records.is_empty());
                return Ok(Some(records));
            }
            Err(error @ Error::CorruptBatch { last, .. }) if self.command.on_corrupt == OnCorrupt::Skip => {
                say(error);
                source.reader.seek(last.next());
            }
            Err(error @ Error::LogTruncated { .. }) => say(error), // it stands where the log goes on
            Err(error @ Error::OffsetOutOfRange { .. }) if self.reset != AutoOffsetReset::None => {
                say(format_args!("{error}; auto.offset.reset = {} says where to go on", self.reset));
                let offset = by_policy(self.reset, &mut source.reader)?;
                source.reader.seek(offset);
            }
            Err(error) => return Err(error.into()),
        }
        self.status = Status::Findings;
        Ok(None)
    }

    fn note_early_end(&mut self, source: &mut Source, is_empty: bool) {
        let position = source.reader.position();
        if let Some(why) = source.reader.ends_early().filter(|_| is_empty && source.ended_early_at != Some(position)) {
            say(format_args!(
                "{why}; no sync has covered them, and the log ends there until it is opened to be written"
            ));
            source.ended_early_at = Some(position);
            self.status = Status::Findings;
        }
    }

    fn print(&mut self, source: &mut Source, records: &StoredRecords, output: &mut Output) -> Result<(), Failure> {
        source.bytes += records.batches().iter().map(|batch| batch.header().len_bytes as u64).sum::<u64>();
        for record in records {
            let is_late = !self.command.follow && record.offset() >= source.end;
            let is_early = matches!(self.command.from, Some(From::Offset(from)) if record.offset().0 < from);
            if is_late || self.left == Some(0) {
                break;
            }
            if is_early {
                continue;
            }
            Line::of(records.partition(), &record).print(&self.command.format, output)?;
            source.records += 1;
            self.left = self.left.map(|left| left - 1);
        }
        output.flush()
    }
}

/// What a consumer counts, as far as there is one: totals, and how far the end is away.
fn say_stats(config: &ConsumerConfig, sources: &[Source]) {
    let client = config.value("client.id").filter(|id| !id.is_empty()).map(|id| format!(" client-id={id}"));
    let client = client.unwrap_or_default();
    let stat = |name: &str, tags: &str, value: u64| {
        say(format_args!("consumer-fetch-manager-metrics {name}{client}{tags} {value}"));
    };
    stat("records-consumed-total", "", sources.iter().map(|source| source.records).sum());
    stat("bytes-consumed-total", "", sources.iter().map(|source| source.bytes).sum());
    for Source { reader, .. } in sources {
        let Ok(bounds) = reader.bounds() else { continue };
        let lag = u64::try_from(bounds.high_watermark.0.saturating_sub(reader.position().0)).unwrap_or(0);
        let (topic, partition) = (reader.partition().topic(), reader.partition().partition());
        stat("records-lag", &format!(" topic={topic} partition={partition}"), lag);
    }
}
