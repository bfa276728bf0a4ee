//! Writes a copy of a log as a Kafka cluster takes it over: the same records at the same offsets, without a past.
//!
//! A cluster counts leader epochs by itself, from 0, so all batches get epoch 0; no checksum covers that. Everything else
//! in a batch stays as it is, and so do the segments' bounds. Indexes are written from the batches, which are all read
//! and checked on the way, so that no damage and no stale cache is handed on.
//!
//! | of the log | in the copy |
//! |---|---|
//! | a segment to which nothing is appended any more, in which nothing is to be changed | the same file, if the disk can share it; else a copy |
//! | any other segment | a copy, with the epoch of each batch set to 0. The last one is always a copy: both sides append to theirs |
//! | a producer that another cluster gave its id, which this one may give again | none: its last batch could be taken for a new one's |
//! | `.index`, `.timeindex` | made from the batches |
//! | `leader-epoch-checkpoint` | epoch 0, from the log start on |
//! | `.snapshot` | an empty one at the log end: the cluster's producers are others |

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::io::Dir;
use crate::record::{Batch, BatchHeader};
use crate::storage::files::{parse_segment_name, segment_name};
use crate::storage::leader_epochs::LeaderEpochs;
use crate::storage::producers::Producers;
use crate::storage::segment::{IndexFiller, Indexes, Segment};
use crate::storage::walk::{Check, EpochBounds, Step, Walk};
use crate::types::{LeaderEpoch, Offset, TopicPartition};

/// How much is written at a time.
const WRITE_BYTES: usize = 256 * 1024;

/// A log that was closed cleanly, and what is known of it.
#[derive(Debug)]
pub(crate) struct LogExport<'a> {
    pub(crate) dir: Arc<dyn Dir>,
    pub(crate) name: &'a TopicPartition,
    pub(crate) log_start: Offset,
    pub(crate) log_end: Offset,
    /// No batch has a later one.
    pub(crate) epoch: LeaderEpoch,
    pub(crate) index_interval_bytes: u32,
}

/// What was written of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExportedLog {
    pub(crate) segments: u64,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    /// Of these, what shares its place on the disk with the log.
    pub(crate) shared_bytes: u64,
    /// Whether there are offsets without a record.
    pub(crate) has_holes: bool,
}

impl LogExport<'_> {
    /// Writes the copy into the empty directory `target`. All of it is durable when this returns, but the name of
    /// `target`.
    ///
    /// # Errors
    /// [`Error::CorruptBatch`] where a record cannot be read; [`Error::IllegalState`] while a transaction is open; the
    /// operating system's.
    pub(crate) fn write(&self, target: &Arc<dyn Dir>) -> Result<ExportedLog> {
        let (epochs, _) = LeaderEpochs::load(self.dir.as_ref())?;
        let starts = Arc::new(epochs);
        let mut copy = Copying {
            export: self,
            target,
            bounds: EpochBounds { starts, latest: self.epoch },
            expected: self.log_start,
            transactions: BTreeMap::new(),
            done: ExportedLog::default(),
        };
        let segments = self.segments()?;
        for (at, (base, len)) in segments.iter().enumerate() {
            copy.take_segment(*base, *len, segments.get(at + 1).map(|(next, _)| *next))?;
        }
        if copy.expected < self.log_end {
            let file = segments.last().map_or(self.log_start, |(base, _)| *base);
            return Err(copy.unreadable(file, 0, self.log_end, "no segment has them"));
        }
        if let Some((producer, first)) = copy.transactions.first_key_value() {
            let reason = format!(
                "{}: the transaction of producer {producer}, which began at offset {first}, is open: it has to end first",
                self.name
            );
            return Err(Error::illegal_state(reason));
        }
        let done = copy.done;
        let mut epochs = LeaderEpochs::default();
        epochs.assign(LeaderEpoch::FIRST, self.log_start);
        epochs.store(target.as_ref())?;
        Producers::none_below(self.log_end).store(target.as_ref())?; // which syncs the directory, and with it all names
        Ok(done)
    }

    /// The segments that hold something from the log start on, by base offset, and how long they are.
    fn segments(&self) -> Result<Vec<(Offset, u64)>> {
        let entries = self.dir.list()?.into_iter().filter(|entry| !entry.is_dir);
        let mut segments: Vec<_> = entries
            .filter_map(|entry| {
                parse_segment_name(&entry.name).filter(|(_, kind)| *kind == "log").map(|(base, _)| (base, entry.len))
            })
            .collect();
        segments.sort_unstable();
        let before = segments.partition_point(|(base, _)| *base <= self.log_start).saturating_sub(1);
        segments.drain(..before);
        Ok(segments)
    }
}

/// A copy that is being written.
struct Copying<'a> {
    export: &'a LogExport<'a>,
    target: &'a Arc<dyn Dir>,
    bounds: EpochBounds,
    expected: Offset,
    /// Where the open transaction of each producer began.
    transactions: BTreeMap<i64, Offset>,
    done: ExportedLog,
}

impl Copying<'_> {
    fn take_segment(&mut self, base: Offset, len: u64, next: Option<Offset>) -> Result<()> {
        let is_first = self.done.segments == 0;
        if base > self.expected || base < self.expected && !is_first {
            let reason = format!("the segment begins at offset {base}, and {} is expected", self.expected);
            return Err(self.unreadable(base, 0, base.max(self.expected.next()), reason));
        }
        let source = self.segment(&self.export.dir, base, len);
        let indexes = Indexes::new(base);
        // If its first batch is to be changed there is no need to look at it twice.
        let may_share = next.is_some() && self.begins_as_it_stays(&source)?;
        let is_shared = may_share && {
            let mut differs = false;
            let transactions = self.transactions.clone();
            let seen = self.walk(&source, next, &indexes, |batch| {
                differs |= !stays(batch.header());
                Ok(())
            })?;
            let name = source.file_name();
            let is_shared = !differs && self.export.dir.link(&name, self.target.as_ref(), &name)?;
            if is_shared {
                self.count(seen)
            } else {
                self.transactions = transactions
            }
            is_shared
        };
        let copy = self.segment(self.target, base, len);
        if is_shared {
            self.done.shared_bytes += len;
            copy.set_indexes(indexes);
        } else {
            copy.set_indexes(self.copy_segment(&source, &copy, next)?);
        }
        self.expected = next.unwrap_or(self.export.log_end);
        self.done.segments += 1;
        self.done.bytes += len;
        copy.sync_indexes(false)
    }

    /// Copies a segment, its batches with epoch 0 and without another cluster's producers.
    fn copy_segment(&mut self, source: &Segment, copy: &Segment, next: Option<Offset>) -> Result<Indexes> {
        let file = self.target.create(&copy.file_name())?;
        let indexes = Indexes::new(source.base_offset());
        let (mut pending, mut end) = (Vec::with_capacity(WRITE_BYTES), 0);
        let seen = self.walk(source, next, &indexes, |batch| {
            let begin = pending.len();
            pending.extend_from_slice(batch.as_bytes());
            BatchHeader::store_leader_epoch(&mut pending[begin..], LeaderEpoch::FIRST);
            if batch.header().has_cluster_producer() {
                BatchHeader::remove_producer(&mut pending[begin..]);
            }
            if pending.len() >= WRITE_BYTES {
                file.write_all_at(&pending, end)?;
                end += pending.len() as u64;
                pending.clear();
            }
            Ok(())
        })?;
        file.write_all_at(&pending, end)?;
        file.sync()?;
        self.count(seen);
        Ok(indexes)
    }

    fn count(&mut self, records: u64) {
        self.done.records += records;
    }

    fn segment(&self, dir: &Arc<dyn Dir>, base: Offset, len: u64) -> Segment {
        Segment::at(dir, base, len, false, u64::from(self.export.index_interval_bytes))
    }

    fn begins_as_it_stays(&self, segment: &Segment) -> Result<bool> {
        let mut header = [0; BatchHeader::LEN_BYTES];
        let read = segment.file()?.read_at(&mut header, 0)?;
        Ok(BatchHeader::parse(&header[..read]).is_ok_and(|header| stays(&header)))
    }

    /// Goes through all batches of a segment, each of which has to be whole and in its place; says how many records
    /// there are.
    fn walk(
        &mut self,
        segment: &Segment,
        next: Option<Offset>,
        indexes: &Indexes,
        mut take: impl FnMut(&Batch) -> Result<()>,
    ) -> Result<u64> {
        let mut filler = IndexFiller::new(u64::from(self.export.index_interval_bytes));
        let end = next.unwrap_or(self.export.log_end);
        let base = segment.base_offset();
        let walk = Walk::new(segment, 0, base, Check::Whole).with_epochs(self.bounds.clone());
        let mut walk = walk.ending_at(end);
        let mut records = 0;
        while let Some(step) = walk.next_step()? {
            match step {
                Step::Damage { position, first, last, reason } => {
                    self.expected = first;
                    return Err(self.unreadable(base, position, last.next(), reason));
                }
                Step::Batch { position, batch } if batch.header().next_offset() > end => {
                    self.expected = batch.header().base_offset;
                    let reason = format!("the log ends at offset {end}, and this batch lies behind it");
                    return Err(self.unreadable(base, position, batch.header().next_offset(), reason));
                }
                Step::Batch { position, batch } => {
                    let header = batch.header();
                    filler.note(indexes, header, position);
                    records += u64::try_from(header.count).unwrap_or(0);
                    self.done.has_holes |= header.has_holes();
                    self.note_transaction(header);
                    take(&batch)?;
                }
            }
        }
        filler.finish(indexes);
        Ok(records)
    }

    fn note_transaction(&mut self, header: &BatchHeader) {
        if header.is_control() {
            self.transactions.remove(&header.producer_id);
        } else if header.is_transactional() {
            self.transactions.entry(header.producer_id).or_insert(header.base_offset);
        }
    }

    /// The offsets from the expected one up to `end` cannot be had.
    fn unreadable(&self, base: Offset, file_position: u64, end: Offset, reason: impl Into<Arc<str>>) -> Error {
        Error::CorruptBatch {
            partition: self.export.name.clone(),
            first: self.expected,
            last: Offset(end.0 - 1).max(self.expected),
            path: self.export.dir.path().join(segment_name(base, "log")),
            file_position,
            reason: reason.into(),
        }
    }
}

/// Whether nothing of a batch is to be changed.
fn stays(header: &BatchHeader) -> bool {
    header.leader_epoch == LeaderEpoch::FIRST && !header.has_cluster_producer()
}
