//! Opens a partition directory after a clean or an unclean shutdown.
//!
//! The durable end divides a log. Below it every byte was once on the disk, so a bad place there is rot: it stays, is
//! reported, and costs exactly its own records. From it on, the first bad place is where the crash tore the log: it
//! ends there, in whatever segment that is, and what lies behind goes to `quarantine/`.
//!
//! What is kept from the durable end on is written again, the same bytes at the same place, and synced, before
//! anybody reads it. The page cache may show data that a failed sync left off the disk, and counts it as clean, so
//! that syncing alone would write nothing; a reader would see records that the next power cut takes away.
//!
//! | a crash during | leaves | and the next recovery |
//! |---|---|---|
//! | append | a torn batch, or whole ones in any pattern | cuts off the first that is not whole, and all behind it |
//! | roll | an empty newest segment, or none | goes on in it, or makes it again |
//! | the copy into quarantine | a part of the copy | copies again beside it; nothing was cut yet |
//! | the cut | segments behind the end that are not removed yet | finds that they do not follow, and goes on |
//! | writing the kept tail again | old and new bytes, which are the same | writes all of it again |
//! | removing snapshots above the log end | some of them | removes the rest, before anything is appended |

use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::io::Dir;
use crate::record::BatchHeader;
use crate::storage::config::TopicConfig;
use crate::storage::files::{parse_segment_name, segment_name};
use crate::storage::leader_epochs::{LEADER_EPOCHS, LeaderEpochs};
use crate::storage::log::{Log, Parts, Segments};
use crate::storage::producer_state::SNAPSHOT;
use crate::storage::producers::Producers;
use crate::storage::quarantine::{COPY_BYTES, save};
use crate::storage::report::Finding;
use crate::storage::segment::{IndexFiller, Indexes, Segment};
use crate::storage::walk::{Check, EpochBounds, Step, Walk};
use crate::types::{LeaderEpoch, Offset, Timestamp, TopicPartition};

/// How often what was read differently is read again.
const READINGS: usize = 3;

/// What is known of a log before its directory is looked at.
#[derive(Debug)]
pub(crate) struct Opening<'a> {
    pub(crate) dir: &'a Arc<dyn Dir>,
    pub(crate) name: &'a TopicPartition,
    pub(crate) config: Arc<TopicConfig>,
    /// Where what is cut off goes.
    pub(crate) quarantine: &'a dyn Dir,
    /// The catalog's epoch of the partition: no batch has a later one.
    pub(crate) epoch: LeaderEpoch,
    pub(crate) log_start: Option<Offset>,
    /// Everything below it was synced; `None` if nobody knows.
    pub(crate) durable_end: Option<Offset>,
    pub(crate) was_clean: bool,
    /// Producers that appended last before it are forgotten, if there is such a time.
    pub(crate) forget_producers_before: Option<Timestamp>,
    pub(crate) now: Timestamp,
}

impl Log {
    /// Opens the log that `opening` describes, and reports what it found through `found`.
    ///
    /// `before_cut` is told the new log end before anything is cut off, and makes `positions` say no more than that,
    /// durably: a durable end above a log's end would turn the next tear into rot.
    pub(crate) fn open(
        opening: &Opening<'_>,
        before_cut: &mut dyn FnMut(Offset) -> Result<()>,
        found: &mut dyn FnMut(Finding),
    ) -> Result<Self> {
        let mut recovery = Recovery::begin(opening, found)?;
        recovery.scan(found)?;
        recovery.cut(before_cut, found)?;
        recovery.make_active(found)?;
        recovery.rewrite_tail()?;
        recovery.remove_later_snapshots()?;
        recovery.finish()
    }
}

/// A log that is being opened.
struct Recovery<'a> {
    opening: &'a Opening<'a>,
    segments: Segments,
    log_start: Offset,
    /// Below it a bad place is rot.
    durable_end: Offset,
    epochs: LeaderEpochs,
    epochs_changed: bool,
    /// Where the log ends, as far as the scan has come.
    log_end: Offset,
    /// Of which offsets there are snapshots, the least first.
    snapshots: Vec<Offset>,
    producers: Producers,
    /// Batches were read for the producers that no snapshot tells of.
    has_caught_up: bool,
    /// Of the last segment that was scanned.
    filler: IndexFiller,
    first_timestamp: Option<Timestamp>,
    /// Where the first batch from the durable end on is: segment, position, and offset.
    tail_from: Option<(usize, u64, Offset)>,
    /// Where the log was torn: segment and position.
    torn_at: Option<(usize, u64)>,
    /// The log end is not where the last segment ends: a new one has to begin there.
    needs_segment: bool,
}

impl<'a> Recovery<'a> {
    /// Looks at the names in the directory.
    fn begin(opening: &'a Opening<'a>, found: &mut dyn FnMut(Finding)) -> Result<Self> {
        let interval = u64::from(opening.config.index_interval_bytes);
        let (mut segments, mut snapshots) = (Segments::new(), Vec::new());
        for entry in opening.dir.list()? {
            match parse_segment_name(&entry.name).filter(|_| !entry.is_dir) {
                Some((base, "log")) => {
                    segments.push(Arc::new(Segment::at(opening.dir, base, entry.len, opening.was_clean, interval)));
                }
                Some((end, SNAPSHOT)) => snapshots.push(end),
                _ => {}
            }
        }
        segments.sort_unstable_by_key(|segment| segment.base_offset());
        snapshots.sort_unstable();
        let (epochs, damage) = LeaderEpochs::load(opening.dir.as_ref())?;
        let first_base = segments.first().map_or(Offset::ZERO, |segment| segment.base_offset());
        // Without `positions` the epochs still tell that something stood before the first segment.
        let begun = epochs.beginning().filter(|_| damage.is_none()).unwrap_or(first_base);
        let log_start = opening.log_start.unwrap_or(begun.min(first_base));
        let durable_end = opening.durable_end.unwrap_or(first_base).max(log_start);
        let mut recovery = Self {
            opening,
            segments,
            log_start,
            durable_end,
            epochs,
            epochs_changed: false,
            log_end: log_start,
            snapshots,
            producers: Producers::none_below(log_start),
            has_caught_up: false,
            filler: IndexFiller::new(interval),
            first_timestamp: None,
            tail_from: None,
            torn_at: None,
            needs_segment: false,
        };
        if let Some(damage) = damage {
            recovery.rebuild_epochs()?;
            found(Finding::Rebuilt { path: opening.dir.path().join(LEADER_EPOCHS), reason: damage.reason().into() });
        }
        recovery.load_producers(found);
        Ok(recovery)
    }

    /// Takes the newest snapshot that lies in the log for sure and is whole; those that are not whole go.
    fn load_producers(&mut self, found: &mut dyn FnMut(Finding)) {
        let dir = self.opening.dir.as_ref();
        let usable = self.snapshots.partition_point(|end| *end <= self.durable_end);
        for end in self.snapshots[..usable].iter().rev() {
            let name = segment_name(*end, SNAPSHOT);
            let reason = match Producers::load(dir, *end) {
                Ok(Ok(producers)) => {
                    self.producers = producers;
                    return;
                }
                Ok(Err(fault)) => {
                    if let Err(error) = dir.remove(&name) {
                        log::warn!("{}: {error}", self.opening.name);
                    }
                    // Nobody has synced it, unless the log was closed.
                    Some(fault.to_string()).filter(|_| self.opening.was_clean)
                }
                Err(error) => Some(error.to_string()),
            };
            if let Some(reason) = reason {
                found(Finding::Rebuilt { path: dir.path().join(name), reason: reason.into() });
            }
        }
    }

    /// Takes note of the producers between the snapshot and where the scan begins. What cannot be read there costs its
    /// records, as ever, and no opening.
    fn catch_up_producers(&mut self, scan_from: Offset) {
        if self.producers.end() >= scan_from {
            return;
        }
        self.has_caught_up = true;
        let holding = self.segments.partition_point(|segment| segment.base_offset() <= self.producers.end());
        for segment in &self.segments[holding.saturating_sub(1)..] {
            if segment.base_offset() >= scan_from {
                break;
            }
            let noted = each_header(segment, |header| {
                if header.base_offset < scan_from {
                    self.producers.note(header);
                }
            });
            if let Err(error) = noted {
                log::warn!("{}: {error}", self.opening.name);
            }
        }
    }

    /// The batches carry their epochs: goes through the headers of all of them.
    fn rebuild_epochs(&mut self) -> Result<()> {
        self.epochs = LeaderEpochs::default();
        self.epochs_changed = true;
        for segment in &self.segments {
            each_header(segment, |header| {
                if header.leader_epoch <= self.opening.epoch {
                    self.epochs.assign(header.leader_epoch, header.base_offset);
                }
            })?;
        }
        Ok(())
    }

    /// Goes through the segments from the one that holds the durable end on, up to the end or the tear.
    fn scan(&mut self, found: &mut dyn FnMut(Finding)) -> Result<()> {
        let holding = self.segments.partition_point(|segment| segment.base_offset() <= self.durable_end);
        let first = holding.saturating_sub(1);
        if let Some(segment) = self.segments.get(first).filter(|_| first > 0) {
            self.log_end = segment.base_offset();
            self.note_lost_front(found);
        }
        for index in first..self.segments.len() {
            let base = self.segments[index].base_offset();
            if base != self.log_end && !self.pass_lost(base, index, 0, found) {
                self.torn_at = Some((index, 0));
                break;
            }
            if index > first {
                self.filler.finish(self.segments[index - 1].indexes()?); // it is sealed
            }
            self.scan_segment(index, found)?;
            self.producers.pass_to(self.log_end); // nor is damage at its end looked at again
            if self.torn_at.is_some() {
                break;
            }
        }
        if self.log_end < self.durable_end {
            let last = self.segments.len().saturating_sub(1);
            let end = self.segments.last().map_or(0, |segment| segment.end());
            self.pass_lost(self.durable_end, last, end, found);
            self.needs_segment = true;
        }
        Ok(())
    }

    /// The first segments may be gone, which shows without looking into any.
    fn note_lost_front(&self, found: &mut dyn FnMut(Finding)) {
        let front = &self.segments[0];
        if self.log_start < front.base_offset() {
            found(Finding::Damaged {
                partition: self.opening.name.clone(),
                first: self.log_start,
                last: Offset(front.base_offset().0 - 1),
                path: self.opening.dir.path().join(front.file_name()),
                file_position: 0,
            });
        }
    }

    /// Goes through one segment, building its indexes.
    fn scan_segment(&mut self, index: usize, found: &mut dyn FnMut(Finding)) -> Result<()> {
        let segment = Arc::clone(&self.segments[index]);
        let (indexes, position, offset) = self.scan_start(&segment)?;
        self.catch_up_producers(offset);
        let bounds = EpochBounds { starts: Arc::new(self.epochs.clone()), latest: self.opening.epoch };
        let next_base = self.segments.get(index + 1).map(|next| next.base_offset());
        let walk = Walk::new(&segment, position, offset, Check::Whole).with_epochs(bounds);
        let mut walk = match next_base.filter(|base| *base <= self.durable_end) {
            Some(base) => walk.ending_at(base),
            // What was appended since is behind it, and no part of what damage just below it costs.
            None => walk.reaching(self.durable_end),
        };
        self.log_end = offset;
        loop {
            if self.log_end >= self.durable_end && self.tail_from.is_none() {
                self.tail_from = Some((index, walk.position(), self.log_end));
            }
            match walk.next_step()? {
                None => break,
                Some(Step::Batch { position, batch }) => {
                    self.note_batch(&indexes, batch.header(), position);
                    self.log_end = batch.header().next_offset();
                }
                Some(Step::Damage { position, .. }) if self.log_end >= self.durable_end => {
                    self.torn_at = Some((index, position));
                    break;
                }
                Some(Step::Damage { position, .. }) => {
                    self.filler.note_damage();
                    let is_last = walk.position() >= segment.end();
                    let resumes_at = if is_last { next_base.unwrap_or(self.durable_end) } else { walk.expected() };
                    // Nothing is appended behind bytes that a reader may not find its way past.
                    self.needs_segment |= is_last && next_base.is_none();
                    if !self.pass_lost(resumes_at, index, position, found) {
                        // The durable end lies somewhere in these bytes, nobody knows where: they stay.
                        self.torn_at = Some((index, walk.position()));
                        break;
                    }
                }
            }
        }
        segment.set_indexes(indexes);
        Ok(())
    }

    /// Where to begin in a segment, and its indexes up to there: at the last entry after a clean shutdown, when they
    /// can be trusted; else at the front.
    fn scan_start(&mut self, segment: &Segment) -> Result<(Indexes, u64, Offset)> {
        self.filler = IndexFiller::new(u64::from(self.opening.config.index_interval_bytes));
        self.first_timestamp = None;
        let anew = (Indexes::new(segment.base_offset()), 0, segment.base_offset());
        let stored = if self.opening.was_clean { segment.stored_indexes()? } else { None };
        let Some(indexes) = stored else { return Ok(anew) };
        let Some(last) = indexes.offset.last() else { return Ok(anew) };
        let (position, offset) = segment.start_within(&indexes, self.durable_end)?;
        if position != last.position {
            return Ok(anew); // entries that nothing confirms, or that the walk would add again
        }
        self.first_timestamp = segment.first_timestamp()?;
        self.filler.resume(&indexes);
        Ok((indexes, position, offset))
    }

    /// Offsets from the log end up to `resumes_at` are not there. Answers whether that is rot, which a log goes on
    /// behind: `false` if some of them lie behind the durable end, where the log then ends.
    fn pass_lost(&mut self, resumes_at: Offset, index: usize, position: u64, found: &mut dyn FnMut(Finding)) -> bool {
        let is_rot = resumes_at <= self.durable_end;
        let end = resumes_at.min(self.durable_end);
        if self.log_end < end {
            let path = match self.segments.get(index) {
                Some(segment) => self.opening.dir.path().join(segment.file_name()),
                None => self.opening.dir.path().to_owned(),
            };
            let (partition, last) = (self.opening.name.clone(), Offset(end.0 - 1));
            found(Finding::Damaged { partition, first: self.log_end, last, path, file_position: position });
            self.log_end = end;
            self.needs_segment |= !is_rot;
        }
        is_rot
    }

    fn note_batch(&mut self, indexes: &Indexes, header: &BatchHeader, position: u64) {
        self.filler.note(indexes, header, position);
        self.producers.note(header);
        self.first_timestamp.get_or_insert(header.max_timestamp);
        if self.epochs.latest().is_none_or(|(latest, _)| header.leader_epoch > latest) {
            self.epochs.assign(header.leader_epoch, header.base_offset);
            self.epochs_changed = true;
        }
    }

    /// Moves what lies behind the tear to the quarantine, and cuts it off.
    fn cut(&mut self, before_cut: &mut dyn FnMut(Offset) -> Result<()>, found: &mut dyn FnMut(Finding)) -> Result<()> {
        let Some((index, position)) = self.torn_at else { return Ok(()) };
        before_cut(self.log_end)?;
        for (at, segment) in self.segments.iter().enumerate().skip(index) {
            let from = if at == index { position } else { 0 };
            let bytes = segment.end() - from;
            let kept = if bytes > 0 { self.save(segment, from)? } else { None };
            if bytes > 0 {
                found(Finding::Cut {
                    partition: self.opening.name.clone(),
                    log_end: self.log_end,
                    path: self.opening.dir.path().join(segment.file_name()),
                    bytes,
                    quarantine: kept,
                });
            }
        }
        self.opening.quarantine.sync()?; // the copies' names, before the originals go
        // A torn segment that begins where the log now ends is emptied, and goes on; one that begins elsewhere goes.
        let is_misplaced = position == 0 && self.segments[index].base_offset() != self.log_end;
        let kept = if is_misplaced { index } else { index + 1 };
        for segment in self.segments.drain(kept..) {
            for suffix in ["index", "timeindex", "log"] {
                match self.opening.dir.remove(&segment_name(segment.base_offset(), suffix)) {
                    Err(error) if !error.is_not_found() => return Err(error),
                    _ => {}
                }
            }
        }
        if !is_misplaced {
            let torn = &self.segments[index];
            torn.writable()?.set_len(position)?;
            torn.cut_at(position);
            torn.writable()?.sync()?; // or the torn bytes may come back behind what is appended next
        }
        self.opening.dir.sync() // or a removed segment may come back and follow on what is appended next
    }

    /// Copies what lies behind `from` into the quarantine; `None` if it is nothing but zeros.
    fn save(&self, segment: &Segment, from: u64) -> Result<Option<PathBuf>> {
        let place = format!("{}.{}.{from}", self.opening.name, segment.file_name());
        save(self.opening.quarantine, &place, segment.file()?.as_ref(), from..segment.end())
    }

    /// Sees to it that the log ends in a segment that can be appended to.
    fn make_active(&mut self, found: &mut dyn FnMut(Finding)) -> Result<()> {
        let interval = u64::from(self.opening.config.index_interval_bytes);
        if self.needs_segment || self.segments.is_empty() {
            if let Some(last) = self.segments.last() {
                self.filler.finish(last.indexes()?);
            }
            if self.segments.last().is_some_and(|last| last.base_offset() == self.log_end) {
                // It is empty and begins there: nothing to make.
                return Ok(());
            }
            if self.segments.is_empty() && !self.opening.was_clean {
                let path = self.opening.dir.path().join(segment_name(self.log_end, "log"));
                found(Finding::Rebuilt { path, reason: "the partition had no segment".into() });
            }
            self.segments.push(Arc::new(Segment::create(self.opening.dir, self.log_end, interval)?));
            self.filler = IndexFiller::new(interval);
            self.first_timestamp = None;
            self.opening.dir.sync()?;
        }
        Ok(())
    }

    /// Writes again what was kept from the durable end on, and syncs it, names included. What is written is what was
    /// checked: bytes that were read wrong would take the place of good ones.
    fn rewrite_tail(&mut self) -> Result<()> {
        let Some((first, position, offset)) = self.tail_from.filter(|_| !self.opening.was_clean) else { return Ok(()) };
        for (index, segment) in self.segments.iter().enumerate().skip(first) {
            let mut position = if index == first { position } else { 0 };
            if position >= segment.end() {
                continue;
            }
            let file = segment.writable()?;
            let mut expected = if index == first { offset } else { segment.base_offset() };
            while position < segment.end() {
                let (bytes, next_offset) = self.read_twice(segment, position, expected)?;
                file.write_all_at(&bytes, position)?;
                position += bytes.len() as u64;
                expected = next_offset;
            }
            file.sync()?; // what readers see from now on is on the disk
        }
        self.opening.dir.sync() // and so are the files' names
    }

    /// Some whole batches from `position` on, and the offset behind them: as they were read twice, since no checksum
    /// covers all of a batch.
    fn read_twice(&self, segment: &Arc<Segment>, position: u64, expected: Offset) -> Result<(Vec<u8>, Offset)> {
        let file = segment.writable()?;
        for _ in 0..READINGS {
            let bounds = EpochBounds { starts: Arc::new(self.epochs.clone()), latest: self.opening.epoch };
            let mut walk = Walk::new(segment, position, expected, Check::Whole).with_epochs(bounds);
            let mut bytes = Vec::new();
            while bytes.len() < COPY_BYTES
                && let Some(Step::Batch { batch, .. }) = walk.next_step()?
            {
                bytes.extend_from_slice(batch.as_bytes());
            }
            if !bytes.is_empty() && file.slice(position, bytes.len())? == bytes {
                let next_offset = walk.expected();
                return Ok((bytes, next_offset));
            }
        }
        Err(Error::corrupt_file(file.path(), position, "whole batches are read differently each time"))
    }

    /// They tell of batches that the crash took. What is appended from now on would make them wrong.
    fn remove_later_snapshots(&self) -> Result<()> {
        let kept = self.snapshots.partition_point(|end| *end <= self.log_end);
        let later = &self.snapshots[kept..];
        later.iter().try_for_each(|end| self.opening.dir.remove(&segment_name(*end, SNAPSHOT)))?;
        if later.is_empty() { Ok(()) } else { self.opening.dir.sync() }
    }

    fn finish(mut self) -> Result<Log> {
        let opening = self.opening;
        // An epoch that begins at the log end has no record yet, and stays.
        if self.epochs.truncate_from_end(self.log_end.next()) {
            self.epochs_changed = true;
        }
        if self.epochs_changed {
            self.epochs.store(opening.dir.as_ref())?;
        }
        // The index files of sealed segments are what the crash has left of them, and nobody trusts them; a clean
        // shutdown would have the next opening do so.
        self.segments.iter().for_each(|segment| segment.let_go()); // all of it is durable
        self.segments.iter().rev().skip(1).for_each(|segment| segment.seal());
        let sealed = self.segments.iter().rev().skip(1).filter(|_| !opening.was_clean);
        let indexes_unsynced = sealed.map(|segment| segment.base_offset()).collect();
        self.producers.pass_to(self.log_end);
        let closed_at = Some(self.log_end).filter(|_| opening.was_clean && self.producers.has_snapshot());
        if let Some(time) = opening.forget_producers_before {
            self.producers.forget_before(time);
        }
        if self.has_caught_up
            && let Err(error) = self.producers.write(opening.dir.as_ref())
        {
            log::warn!("{}: {error}", opening.name); // the next opening may have to catch up again
        }
        let parts = Parts {
            indexes_unsynced,
            segments: self.segments,
            epochs: self.epochs,
            epoch: opening.epoch,
            log_start: self.log_start.min(self.log_end),
            log_end: self.log_end,
            producers: self.producers,
            closed_at,
        };
        let (name, config) = (opening.name.clone(), Arc::clone(&opening.config));
        Ok(Log::from_parts(opening.dir, name, config, parts, self.filler, self.first_timestamp, opening.now))
    }
}

/// Goes through the headers of all batches of a segment, past damage.
fn each_header(segment: &Segment, mut take: impl FnMut(&BatchHeader)) -> Result<()> {
    let mut walk = Walk::new(segment, 0, segment.base_offset(), Check::Whole);
    while let Some(step) = walk.next_step()? {
        if let Step::Batch { batch, .. } = step {
            take(batch.header());
        }
    }
    Ok(())
}
