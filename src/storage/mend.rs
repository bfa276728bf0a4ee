//! Takes what cannot be read out of a log, so that it reads on without an error.
//!
//! Where batches are unreadable, an empty batch takes their place, which stands for the same offsets and holds no
//! record, as Kafka leaves one behind a compaction. So the offsets follow on each other as before, every reader passes
//! the place, Kafka's tools too, and nobody is given an offset twice. The bytes go to the quarantine first; every batch
//! that can be read stays as it is, byte for byte; one whose leader epoch alone is damaged gets the right one.
//!
//! ```text
//!   before    batch 0-3 | ######## | batch 9-12            a segment, a bad place in it
//!   after     batch 0-3 | empty 4-8 | batch 9-12           written beside, synced, renamed
//! ```
//!
//! What is unreadable is decided by the walk that readers and recovery take, and what is a tear by the rule that
//! recovery has: from the durable end on nothing is touched here, since the next opening cuts it off.
//!
//! | a crash during | leaves | and the next run |
//! |---|---|---|
//! | the copy into quarantine | a part of the copy, or all of it | copies again beside it; the log is as it was |
//! | writing the new segment | `<segment>.tmp` | writes it again |
//! | the renaming | the old segment or the new one, whole | does it again, or finds nothing wrong in it |
//! | removing a segment that has no place | the segment or some of its files | removes the rest |
//!
//! Segments are changed one at a time, each in one rename, and none needs another one's change to be right: whichever
//! of them a crash leaves undone is found by the next run as if it were the only one.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::io::{Dir, Kind};
use crate::record::{Batch, BatchFault, BatchHeader, Decompressor, empty_batch};
use crate::storage::files::{parse_segment_name, segment_name};
use crate::storage::leader_epochs::{LEADER_EPOCHS, LeaderEpochs, LeaderEpochsFinding};
use crate::storage::quarantine::{copy_bytes, save};
use crate::storage::segment::Segment;
use crate::storage::walk::{Check, EpochBounds, Step, Walk};
use crate::types::{LeaderEpoch, Offset, TopicPartition};

/// A log that is to be mended, and what is known of it.
#[derive(Debug)]
pub(crate) struct Mending<'a> {
    pub(crate) dir: Arc<dyn Dir>,
    pub(crate) name: &'a TopicPartition,
    /// The catalog's epoch: no batch has a later one.
    pub(crate) epoch: LeaderEpoch,
    pub(crate) log_start: Option<Offset>,
    /// Every offset below it was synced; `None` if nobody knows.
    pub(crate) durable_end: Option<Offset>,
    pub(crate) unpacked_limit: usize,
}

/// Something that is taken out of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Loss {
    /// Where it is in the file; without bytes, the place where they are missing.
    pub(crate) bytes: Range<u64>,
    /// The first and the last offset that are lost with it, if any are.
    pub(crate) offsets: Option<(Offset, Offset)>,
    pub(crate) reason: String,
}

/// What is to become of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentChange {
    pub(crate) base: Offset,
    pub(crate) losses: Vec<Loss>,
    /// What it is made of afterwards; `None` if it goes.
    pieces: Option<Vec<Piece>>,
}

/// A part of a segment as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// Bytes of the segment as it is.
    Keep(Range<u64>),
    /// A batch of the segment, with this leader epoch in place of its own. No checksum covers that.
    Stamp { bytes: Range<u64>, epoch: LeaderEpoch },
    /// An empty batch.
    Fill { first: Offset, last: Offset, epoch: LeaderEpoch },
}

/// All that is to be changed of a log.
#[derive(Debug, Default)]
pub(crate) struct LogMend {
    pub(crate) changes: Vec<SegmentChange>,
    /// The file of leader epochs does not say what the batches do, and is better made again from them.
    pub(crate) has_wrong_epochs: bool,
    /// A segment could not be read, so that the rest of the log was not looked at.
    pub(crate) unreadable: Option<Error>,
}

/// How far offsets may be apart for one file, and for one empty batch.
const MOST_OFFSETS: i64 = i32::MAX as i64;
/// No log loses so many records at a time: a segment that is further away, by its name, has the wrong name.
const FAR_AWAY: i64 = 1 << 40;

impl Mending<'_> {
    /// Finds out what is to be changed, and changes nothing.
    pub(crate) fn plan(&self) -> Result<LogMend> {
        let is_file = |name: &str| Ok::<_, Error>(self.dir.kind(name)? == Some(Kind::File));
        let (epochs, damage) = if is_file(LEADER_EPOCHS)? {
            LeaderEpochs::load(self.dir.as_ref())?
        } else {
            let path = self.dir.path().join(LEADER_EPOCHS);
            (LeaderEpochs::default(), Some(LeaderEpochsFinding::Missing(path)))
        };
        let mut segments = BTreeSet::new();
        for entry in self.dir.list()? {
            if let Some((base, "log")) = parse_segment_name(&entry.name)
                && is_file(&entry.name)?
            {
                segments.insert((base, entry.len));
            }
        }
        let segments: Vec<(Offset, u64)> = segments.into_iter().collect();
        let first_base = segments.first().map_or(Offset::ZERO, |(base, _)| *base);
        // As recovery does.
        let begun = epochs.beginning().filter(|_| damage.is_none()).unwrap_or(first_base);
        let log_start = self.log_start.unwrap_or(begun.min(first_base));
        let planner = Planner {
            mending: self,
            durable_end: self.durable_end.map(|end| end.max(log_start)),
            epochs: Arc::new(epochs),
            has_epochs: damage.is_none(),
            expected: log_start,
            last_epoch: LeaderEpoch::NONE,
            decompressor: Decompressor::default(),
            mend: LogMend::default(),
        };
        planner.run(&segments)
    }

    /// Carries out one change of those that were planned; says where the copies are of what goes.
    ///
    /// # Errors
    /// The operating system's; the segment is as it was, or as it is to be.
    pub(crate) fn carry_out(&self, change: &SegmentChange, quarantine: &dyn Dir) -> Result<Vec<Option<PathBuf>>> {
        let file = segment_name(change.base, "log");
        let mut copies = Vec::new();
        for loss in &change.losses {
            copies.push(if loss.bytes.is_empty() {
                None
            } else {
                let place = format!("{}.{file}.{}", self.name, loss.bytes.start);
                save(quarantine, &place, self.dir.open(&file)?.as_ref(), loss.bytes.clone())?
            });
        }
        quarantine.sync()?; // the copies' names, before the originals go
        match &change.pieces {
            Some(pieces) => self.write(&file, pieces)?,
            None => {
                for extension in ["index", "timeindex", "log"] {
                    match self.dir.remove(&segment_name(change.base, extension)) {
                        Err(error) if !error.is_not_found() => return Err(error),
                        _ => {}
                    }
                }
                self.dir.sync()?; // or it may come back behind what is appended next
            }
        }
        Ok(copies)
    }

    /// Writes a segment anew, in place of the old one if there is one.
    fn write(&self, file: &str, pieces: &[Piece]) -> Result<()> {
        let beside = format!("{file}.tmp");
        let target = self.dir.create(&beside)?;
        let mut end = 0;
        for piece in pieces {
            match piece {
                Piece::Keep(bytes) => {
                    let source = self.dir.open(file)?;
                    end = copy_bytes(source.as_ref(), bytes.clone(), target.as_ref(), end)?;
                }
                Piece::Stamp { bytes, epoch } => {
                    let source = self.dir.open(file)?;
                    let begin = end;
                    end = copy_bytes(source.as_ref(), bytes.clone(), target.as_ref(), begin)?;
                    target.write_all_at(&epoch.0.to_be_bytes(), begin + BatchHeader::LEADER_EPOCH_AT)?;
                }
                Piece::Fill { first, last, epoch } => {
                    let batch = empty_batch(*first, *last, *epoch);
                    target.write_all_at(&batch, end)?;
                    end += batch.len() as u64;
                }
            }
        }
        target.sync()?; // or the rename may become durable before the content
        self.dir.rename(&beside, file)?;
        self.dir.sync()
    }
}

/// Goes through a log from the front.
struct Planner<'a> {
    mending: &'a Mending<'a>,
    durable_end: Option<Offset>,
    epochs: Arc<LeaderEpochs>,
    has_epochs: bool,
    /// Where the next segment has to begin.
    expected: Offset,
    last_epoch: LeaderEpoch,
    decompressor: Decompressor,
    mend: LogMend,
}

/// A segment that the planner is in.
struct Visit {
    base: Offset,
    end: u64,
    next: Option<Offset>,
    /// Whether the next segment begins as its name says.
    is_next_good: bool,
    pieces: Vec<Piece>,
    losses: Vec<Loss>,
}

impl Visit {
    /// Keeps the bytes, together with what was kept right before them.
    fn keep(&mut self, bytes: Range<u64>) {
        match self.pieces.last_mut() {
            Some(Piece::Keep(kept)) if kept.end == bytes.start => kept.end = bytes.end,
            _ if bytes.is_empty() => {}
            _ => self.pieces.push(Piece::Keep(bytes)),
        }
    }
}

/// How a place in a segment was passed.
enum Passed {
    On,
    /// Nothing behind it is part of the segment.
    Over,
    /// The log ends here: what lies behind is for the next opening to cut off.
    Torn,
}

impl Planner<'_> {
    fn run(mut self, segments: &[(Offset, u64)]) -> Result<LogMend> {
        for (index, (base, len)) in segments.iter().enumerate() {
            let next = segments.get(index + 1).copied();
            if *base > self.expected && !self.pass_gap(*base, *len) {
                if self.durable_end.is_some_and(|end| self.expected >= end) {
                    return Ok(self.mend);
                }
                continue;
            }
            let is_within = index == 0 && *base <= self.expected; // the log start may lie within the first segment
            if *base < self.expected && !is_within {
                self.remove(*base, *len, "the segment before it ends behind where it begins");
                continue;
            }
            match self.visit(*base, *len, next) {
                Ok(Passed::On | Passed::Over) => {}
                Ok(Passed::Torn) => return Ok(self.mend),
                Err(error) => {
                    // What is behind may be as good as it looks; nobody knows what is missing before it.
                    self.mend.unreadable = Some(error);
                    return Ok(self.mend);
                }
            }
        }
        if let Some(end) = self.durable_end.filter(|end| self.expected < *end) {
            self.fill_files(end);
        }
        Ok(self.mend)
    }

    /// Offsets are missing in front of a segment. Answers whether that goes on the log, with what is missing filled in.
    fn pass_gap(&mut self, base: Offset, len: u64) -> bool {
        if self.durable_end.is_some_and(|end| self.expected >= end) {
            return false;
        }
        if self.durable_end.is_none() && base.0 - self.expected.0 > FAR_AWAY {
            self.remove(base, len, "it begins further behind than a log can have lost");
            return false;
        }
        let end = self.durable_end.map_or(base, |end| base.min(end));
        self.fill_files(end);
        end == base
    }

    /// Makes segments of empty batches up to `end`.
    fn fill_files(&mut self, end: Offset) {
        while self.expected < end {
            let first = self.expected;
            let last = Offset(first.0.saturating_add(MOST_OFFSETS).min(end.0) - 1);
            let reason = "there is no segment that has them".to_owned();
            let loss = Loss { bytes: 0..0, offsets: Some((first, last)), reason };
            let fill = self.fill(first, last);
            self.mend.changes.push(SegmentChange { base: first, losses: vec![loss], pieces: Some(vec![fill]) });
            self.expected = last.next();
        }
    }

    /// The epoch of what stands at `offset`, behind all that was passed.
    fn epoch_for(&self, offset: Offset) -> LeaderEpoch {
        let said = self.epochs.epoch_at(offset).filter(|epoch| *epoch <= self.mending.epoch);
        said.unwrap_or(LeaderEpoch::FIRST).max(self.last_epoch)
    }

    fn fill(&mut self, first: Offset, last: Offset) -> Piece {
        let epoch = self.epoch_for(first);
        self.note_epoch(first, epoch);
        Piece::Fill { first, last, epoch }
    }

    fn note_epoch(&mut self, offset: Offset, epoch: LeaderEpoch) {
        self.last_epoch = epoch;
        self.mend.has_wrong_epochs |= self.has_epochs && self.epochs.epoch_at(offset) != Some(epoch);
    }

    fn remove(&mut self, base: Offset, len: u64, reason: &str) {
        let loss = Loss { bytes: 0..len, offsets: None, reason: reason.to_owned() };
        self.mend.changes.push(SegmentChange { base, losses: vec![loss], pieces: None });
    }

    fn visit(&mut self, base: Offset, len: u64, next: Option<(Offset, u64)>) -> Result<Passed> {
        let segment = self.segment(base, len);
        let is_next_good = next.is_some_and(|(next, len)| self.begins_as_named(next, len));
        let next = next.map(|(next, _)| next);
        let mut visit = Visit { base, end: len, next, is_next_good, pieces: Vec::new(), losses: Vec::new() };
        let passed = self.walk(&segment, &mut visit)?;
        if !visit.losses.is_empty() {
            self.mend.changes.push(SegmentChange { base, losses: visit.losses, pieces: Some(visit.pieces) });
        }
        Ok(passed)
    }

    fn segment(&self, base: Offset, len: u64) -> Segment {
        Segment::at(&self.mending.dir, base, len, false, 0)
    }

    fn begins_as_named(&self, base: Offset, len: u64) -> bool {
        let segment = self.segment(base, len);
        let first = Walk::new(&segment, 0, base, Check::Whole).next_step();
        matches!(first, Ok(Some(Step::Batch { .. })))
    }

    fn walk(&mut self, segment: &Segment, visit: &mut Visit) -> Result<Passed> {
        let bounds = EpochBounds { starts: Arc::clone(&self.epochs), latest: self.mending.epoch };
        let walk = Walk::new(segment, 0, visit.base, Check::Whole).with_epochs(bounds);
        // As recovery does: what was appended since is no part of what damage just below the durable end costs.
        let next = visit.next.filter(|next| self.durable_end.is_none_or(|end| *next <= end));
        let mut walk = match (next, self.durable_end.filter(|end| *end >= visit.base)) {
            (Some(next), _) => walk.ending_at(next),
            (None, Some(end)) => walk.reaching(end),
            (None, None) => walk,
        };
        self.expected = visit.base;
        while let Some(step) = walk.next_step()? {
            match step {
                Step::Batch { position, batch } => {
                    let header = *batch.header();
                    if visit.next == Some(header.base_offset) && visit.is_next_good {
                        let bytes = position..visit.end;
                        let reason = "the next segment has these offsets".to_owned();
                        visit.losses.push(Loss { bytes, offsets: None, reason });
                        break;
                    }
                    self.take(visit, position, batch);
                    self.expected = header.next_offset();
                }
                Step::Damage { position, reason, .. } => {
                    let behind = (walk.position(), walk.expected());
                    if self.take_with_its_epoch(segment, visit, position, behind, &reason)? {
                        self.expected = behind.1;
                        continue;
                    }
                    match self.take_damage(visit, position, behind, reason) {
                        Passed::On => {}
                        passed => return Ok(passed),
                    }
                }
            }
        }
        Ok(Passed::On)
    }

    /// Keeps a batch, unless its records are none.
    fn take(&mut self, visit: &mut Visit, position: u64, batch: Batch) {
        let header: BatchHeader = *batch.header();
        let bytes = position..position + header.len_bytes as u64;
        match self.fault_of(batch) {
            None => {
                self.note_epoch(header.base_offset, header.leader_epoch);
                visit.keep(bytes);
            }
            Some(fault) => {
                let (first, last) = (header.base_offset, header.last_offset());
                visit.losses.push(Loss { bytes, offsets: Some((first, last)), reason: fault.to_string() });
                let fill = self.fill(first, last);
                visit.pieces.push(fill);
            }
        }
    }

    /// Why nobody will ever read the records of a batch whose checksum holds. That this build lacks the codec, or that
    /// there are more than the limit, is no such reason.
    fn fault_of(&mut self, batch: Batch) -> Option<BatchFault> {
        let unpacked = batch.unpack_with(&mut self.decompressor, self.mending.unpacked_limit);
        let read = unpacked.and_then(|batch| batch.records()?.try_for_each(|record| record.map(drop)));
        read.err().filter(|fault| !matches!(fault, BatchFault::CodecNotCompiled { .. } | BatchFault::Oversized { .. }))
    }

    /// Keeps a batch of which nothing is wrong but its leader epoch, with the one that is on record there. Only if there
    /// never was such an epoch: else the batch may be whole, and of another life of the log.
    fn take_with_its_epoch(
        &mut self,
        segment: &Segment,
        visit: &mut Visit,
        position: u64,
        behind: (u64, Offset),
        reason: &str,
    ) -> Result<bool> {
        if self.durable_end.is_some_and(|end| self.expected >= end) {
            return Ok(false);
        }
        let step = Walk::new(segment, position, self.expected, Check::Whole).next_step()?;
        let Some(Step::Batch { position: at, batch }) = step else { return Ok(false) };
        let header = *batch.header();
        let bytes = position..position + header.len_bytes as u64;
        let never_was = header.leader_epoch > self.mending.epoch || header.leader_epoch < LeaderEpoch::FIRST;
        let is_all = at == position && (bytes.end, header.next_offset()) == behind;
        if !never_was || !is_all || self.fault_of(batch).is_some() {
            return Ok(false);
        }
        let epoch = self.epoch_for(header.base_offset);
        self.note_epoch(header.base_offset, epoch);
        visit.losses.push(Loss {
            bytes: bytes.clone(),
            offsets: None,
            reason: format!("{reason}: it is made {epoch}"),
        });
        visit.pieces.push(Piece::Stamp { bytes, epoch });
        Ok(true)
    }

    /// A bad place, and where the walk goes on `behind` it.
    fn take_damage(&mut self, visit: &mut Visit, position: u64, behind: (u64, Offset), reason: String) -> Passed {
        let first = self.expected;
        let (behind, resumes_at) = behind;
        let is_end = behind >= visit.end;
        // Where the next segment begins at the durable end, the opening begins with that one.
        let is_before_end = visit.next == Some(first) && self.durable_end == Some(first);
        let is_torn = self.durable_end.map_or(is_end && visit.next.is_none(), |end| first >= end && !is_before_end);
        if is_torn {
            visit.keep(position..visit.end);
            return Passed::Torn;
        }
        let resumes_at = if is_end { visit.next.or(self.durable_end).unwrap_or(resumes_at) } else { resumes_at };
        if resumes_at.0 - visit.base.0 > MOST_OFFSETS {
            // No segment holds offsets so far apart: what follows here is none of it, and other files stand for them.
            if position < visit.end {
                visit.losses.push(Loss { bytes: position..visit.end, offsets: None, reason });
            }
            return Passed::Over;
        }
        let end = self.durable_end.map_or(resumes_at, |end| resumes_at.min(end));
        let offsets = (first < end).then(|| (first, Offset(end.0 - 1)));
        visit.losses.push(Loss { bytes: position..behind, offsets, reason });
        if let Some((first, last)) = offsets {
            let fill = self.fill(first, last);
            visit.pieces.push(fill);
        }
        self.expected = end.max(first);
        if end < resumes_at {
            // The durable end lay somewhere in these bytes. What follows them is cut off by the next opening.
            visit.keep(behind..visit.end);
            return Passed::Torn;
        }
        Passed::On
    }
}
