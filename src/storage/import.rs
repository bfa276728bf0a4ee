//! Writes the log of a partition that comes with its records, such as one that a Kafka broker has stored.
//!
//! Batches keep their offsets and their contents. What makes a log of ours of them:
//!
//! | in the log that they are from | here |
//! |---|---|
//! | offsets without a batch: compacted, deleted, left out, or damaged | an empty batch, as Kafka's cleaner leaves one: so that the next loss shows |
//! | a producer | the same, and it is in the snapshot at the log end; but none of another directory of ours, whose ids come again here |
//! | a transaction | none: nothing is to wait for a marker here |
//! | leader epochs | that of this directory |
//! | messages of the formats v0 and v1 | batches of v2: a compressed set stays one, with its codec; others are gathered |
//! | segments, indexes | made anew, by the settings of the topic |
//!
//! Nothing reads the log, and nothing names it, before [`LogImport::finish`] has returned: then all of it is durable but
//! the name of its directory.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::io::{Dir, File};
use crate::record::{
    Batch, BatchBuilder, BatchFault, BatchHeader, Codec, Compressor, MAGIC, ProducerStamp, Record, SealedBatch,
    empty_batch,
};
use crate::storage::checkpoint::write_partition_metadata;
use crate::storage::config::TopicConfig;
use crate::storage::index::{OffsetIndex, TimeIndex};
use crate::storage::leader_epochs::LeaderEpochs;
use crate::storage::producers::Producers;
use crate::storage::segment::{IndexFiller, Indexes, Segment};
use crate::types::{Compression, LeaderEpoch, Offset, Timestamp, TimestampType, TopicId};

/// How much is written at a time.
const WRITE_BYTES: usize = 256 * 1024;
/// How large a batch of gathered messages gets.
const GATHERED_BYTES: usize = 16 * 1024;
/// How far offsets may be apart in one segment, and in one empty batch.
const MOST_OFFSETS: i64 = i32::MAX as i64;
/// No log has so many offsets without a record, for each of which there would be a file for 2^31 of them.
const FAR_AWAY: i64 = 1 << 40;

/// A log that is being written.
#[derive(Debug)]
pub(crate) struct LogImport<'a> {
    dir: Arc<dyn Dir>,
    config: &'a TopicConfig,
    epoch: LeaderEpoch,
    log_start: Offset,
    /// Where the log ends so far; `None` before it has begun.
    log_end: Option<Offset>,
    /// Where the first segment begins, which may be before the log start.
    begins: Option<Offset>,
    has_holes: bool,
    producers: Producers,
    active: Option<Active>,
    gathered: Option<Gathered>,
    compressor: Compressor,
}

/// The segment that is being written.
#[derive(Debug)]
struct Active {
    segment: Segment,
    file: Arc<dyn File>,
    indexes: Indexes,
    filler: IndexFiller,
    /// What is written later, at `written`.
    pending: Vec<u8>,
    written: u64,
}

impl Active {
    fn end(&self) -> u64 {
        self.written + self.pending.len() as u64
    }
}

/// Messages of an old format that become one batch.
#[derive(Debug)]
struct Gathered {
    builder: BatchBuilder,
    first: Offset,
    last: Offset,
    /// The time of the append that all of them have.
    append_time: Option<Timestamp>,
}

/// A log that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ImportedLog {
    pub(crate) log_start: Offset,
    pub(crate) log_end: Offset,
    /// Whether there are offsets without a record.
    pub(crate) has_holes: bool,
}

/// A log that is to be written, in an empty directory.
#[derive(Debug)]
pub(crate) struct NewLog<'a> {
    pub(crate) dir: &'a Arc<dyn Dir>,
    pub(crate) id: TopicId,
    pub(crate) config: &'a TopicConfig,
    /// That all its batches get.
    pub(crate) epoch: LeaderEpoch,
}

impl<'a> NewLog<'a> {
    /// Begins the log; the first offset that can be read is `log_start`.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn begin(&self, log_start: Offset) -> Result<LogImport<'a>> {
        write_partition_metadata(self.dir.as_ref(), self.id)?;
        Ok(LogImport {
            dir: Arc::clone(self.dir),
            config: self.config,
            epoch: self.epoch,
            log_start,
            log_end: None,
            begins: None,
            has_holes: false,
            producers: Producers::none_below(Offset::ZERO),
            active: None,
            gathered: None,
            compressor: Compressor::default(),
        })
    }
}

impl LogImport<'_> {
    /// Whether a batch can come next that begins at `offset`: it has to lie behind all others, and not too far.
    pub(crate) fn takes(&self, offset: Offset) -> bool {
        let end = self.gathered.as_ref().map_or_else(|| self.log_end.unwrap_or(Offset::ZERO), |some| some.last.next());
        let from = if self.log_end.is_none() && self.gathered.is_none() { self.log_start } else { end };
        offset >= end && offset.0 - from.0 <= FAR_AWAY
    }

    /// Adds a batch, which the log [takes](Self::takes). One in an old format has to be unpacked.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn append(&mut self, batch: &Batch) -> Result<()> {
        if batch.header().magic != MAGIC {
            return self.append_messages(batch);
        }
        self.end_gathering()?;
        self.put(SealedBatch::imported(batch), batch.header().base_offset)
    }

    /// Completes the log, which ends at `log_end` or behind the last batch, if that is later; says where it begins and
    /// ends.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn finish(mut self, log_end: Offset) -> Result<ImportedLog> {
        self.end_gathering()?;
        let least = self.log_end.unwrap_or(self.log_start);
        let end = if log_end.0 - least.0 <= FAR_AWAY { log_end.max(least) } else { least };
        self.fill(end)?;
        let active = self.active()?.segment.base_offset(); // of an empty log it is made now
        let first = self.begins.unwrap_or(active);
        self.seal()?;
        self.producers.pass_to(end);
        self.producers.store(self.dir.as_ref())?;
        let mut epochs = LeaderEpochs::default();
        epochs.assign(self.epoch, first.min(self.log_start));
        epochs.store(self.dir.as_ref())?; // which syncs the directory, and with it the names of all files
        Ok(ImportedLog { log_start: self.log_start, log_end: end, has_holes: self.has_holes })
    }

    fn append_messages(&mut self, batch: &Batch) -> Result<()> {
        let header = *batch.header();
        let fault = |fault: BatchFault| Error::illegal_state(format!("a set of messages was not unpacked: {fault}"));
        let codec = header.compression().map_err(fault)?;
        let is_append_time = header.timestamp_type() == TimestampType::LogAppendTime;
        if codec != Compression::None {
            self.end_gathering()?;
        }
        for record in batch.records().map_err(fault)? {
            let record = record.map_err(fault)?;
            let append_time = is_append_time.then_some(record.timestamp());
            self.gather(&record, append_time, codec == Compression::None)?;
        }
        if codec == Compression::None { Ok(()) } else { self.end_gathering_as(codec) }
    }

    fn gather(&mut self, record: &Record<'_>, append_time: Option<Timestamp>, is_bounded: bool) -> Result<()> {
        let offset = record.offset();
        let fits = |some: &Gathered| {
            some.append_time == append_time
                && offset.0 - some.first.0 < MOST_OFFSETS
                && !(is_bounded && some.builder.len_bytes() >= GATHERED_BYTES)
        };
        if self.gathered.as_ref().is_some_and(|some| !fits(some)) {
            self.end_gathering()?;
        }
        let gathered = self.gathered.get_or_insert_with(|| Gathered {
            builder: BatchBuilder::new(Vec::new()),
            first: offset,
            last: offset,
            append_time,
        });
        let delta = i32::try_from(offset.0 - gathered.first.0).unwrap_or(i32::MAX);
        gathered.builder.append_at(delta, record.timestamp(), record.key(), record.value(), &[]);
        gathered.last = offset;
        Ok(())
    }

    fn end_gathering(&mut self) -> Result<()> {
        self.end_gathering_as(Compression::None)
    }

    fn end_gathering_as(&mut self, compression: Compression) -> Result<()> {
        let Some(Gathered { builder, first, append_time, .. }) = self.gathered.take() else { return Ok(()) };
        let level = if compression == Compression::Gzip { GZIP_DEFAULT } else { 0 };
        let codec = Codec { compression, level };
        let mut batch = match compression {
            Compression::None => builder.seal(ProducerStamp::NONE),
            _ => builder.seal_compressed(ProducerStamp::NONE, codec, &mut self.compressor),
        };
        if let Some(append_time) = append_time {
            batch.stamp_append_time(append_time);
        }
        self.put(batch, first)
    }

    /// Writes a batch, behind what fills the offsets before it.
    fn put(&mut self, mut batch: SealedBatch, base: Offset) -> Result<()> {
        if self.log_end.is_none() {
            self.begin_segment(base.min(self.log_start))?; // the log start may lie within the first batch
        }
        self.fill(base)?;
        batch.stamp(base, self.epoch);
        self.write(batch.as_bytes())
    }

    /// Writes empty batches up to `end`.
    fn fill(&mut self, end: Offset) -> Result<()> {
        loop {
            let first = self.log_end.unwrap_or(self.log_start);
            if first >= end {
                return Ok(());
            }
            let base = self.active()?.segment.base_offset();
            if first.0 - base.0 > MOST_OFFSETS {
                self.roll(first)?;
                continue;
            }
            let last = Offset(base.0.saturating_add(MOST_OFFSETS).min(end.0 - 1));
            self.write(&empty_batch(first, last, self.epoch))?;
        }
    }

    fn write(&mut self, batch: &[u8]) -> Result<()> {
        let header = BatchHeader::parse(batch).expect("what is written here has a whole header");
        if self.needs_roll(&header)? {
            self.roll(header.base_offset)?;
        }
        let active = self.active()?;
        let position = active.end();
        active.filler.note(&active.indexes, &header, position);
        active.pending.extend_from_slice(batch);
        if active.pending.len() >= WRITE_BYTES {
            active.file.write_all_at(&active.pending, active.written)?;
            active.written = active.end();
            active.pending.clear();
        }
        self.log_end = Some(header.next_offset());
        self.has_holes |= header.has_holes();
        self.producers.note(&header);
        Ok(())
    }

    fn needs_roll(&mut self, next: &BatchHeader) -> Result<bool> {
        let (segment_bytes, index_bytes) = (u64::from(self.config.segment_bytes), self.config.segment_index_bytes);
        let most = index_bytes as usize;
        let active = self.active()?;
        let is_full = active.end() > 0 && active.end() + next.len_bytes as u64 > segment_bytes;
        let has_full_index = active.indexes.offset.len() >= most / OffsetIndex::ENTRY_BYTES
            || active.indexes.time.len() + 1 >= most / TimeIndex::ENTRY_BYTES;
        Ok(is_full || has_full_index || next.last_offset().0 - active.segment.base_offset().0 > MOST_OFFSETS)
    }

    /// The segment to write to; the first one, if there is none yet.
    fn active(&mut self) -> Result<&mut Active> {
        if self.active.is_none() {
            self.begin_segment(self.log_start)?;
        }
        Ok(self.active.as_mut().expect("it was just made"))
    }

    fn begin_segment(&mut self, base: Offset) -> Result<()> {
        let interval = u64::from(self.config.index_interval_bytes);
        let segment = Segment::create(&self.dir, base, interval)?;
        let file = segment.writable()?;
        let (indexes, filler) = (Indexes::new(base), IndexFiller::new(interval));
        self.active = Some(Active { segment, file, indexes, filler, pending: Vec::new(), written: 0 });
        self.log_end = Some(base);
        self.begins.get_or_insert(base);
        Ok(())
    }

    fn roll(&mut self, base: Offset) -> Result<()> {
        self.seal()?;
        self.begin_segment(base)
    }

    /// Makes the segment that is being written durable, with its indexes.
    fn seal(&mut self) -> Result<()> {
        let Some(active) = self.active.take() else { return Ok(()) };
        active.file.write_all_at(&active.pending, active.written)?;
        active.file.sync()?;
        active.filler.finish(&active.indexes);
        let sealed = Segment::at(&self.dir, active.segment.base_offset(), active.end(), false, 0);
        sealed.set_indexes(active.indexes);
        sealed.sync_indexes(false)
    }
}

/// What Kafka takes for gzip's own choice of a level.
const GZIP_DEFAULT: i32 = -1;
