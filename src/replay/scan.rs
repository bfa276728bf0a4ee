//! Goes through one log of an archive, batch by batch, forwards or backwards.

use std::collections::VecDeque;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::io::ReadAhead;
use crate::record::Batch;
use crate::replay::archive::ArchivedLog;
use crate::storage::{AtHand, Check, Defect, DefectKind, ForeignLog, Segment, Step, Walk};
use crate::types::Offset;

/// Backwards: how many batches are gone through at a time, the other way.
const BLOCK_BATCHES: usize = 512;
/// And how many bytes, but for the last batch.
const BLOCK_BYTES: u64 = 1024 * 1024;

/// A batch where it is stored.
///
/// ```
/// # use ottla::{Engine, Producer, ProducerRecord};
/// # use ottla::replay::{Archive, Scanned};
/// # let data = tempfile::tempdir().expect("a temporary directory");
/// # let engine = Engine::open(data.path())?;
/// # Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
/// let archive = Archive::open(data.path())?;
/// let Some(Scanned::Batch(stored)) = archive.logs()[0].scan().next().transpose()? else { panic!("there is one") };
/// assert_eq!(stored.path(), data.path().join("log/orders-0/00000000000000000000.log"));
/// assert_eq!(stored.position, 0);
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoredBatch {
    /// Where in its file it begins, in bytes.
    pub position: u64,
    /// The batch: its checksum holds, its records were not looked at. A set of an old format is unpacked.
    pub batch: Batch,
    segment: Arc<Segment>,
    log: ArchivedLog,
}

impl StoredBatch {
    /// The file that it is in.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.log.path().join(self.segment.file_name())
    }

    /// What is wrong with it, though its checksum holds.
    pub(super) fn defect(&self, kind: DefectKind, detail: String) -> Defect {
        let header = self.batch.header();
        Defect::new(kind, self.path(), detail).at(self.position).of(header.base_offset, header.last_offset())
    }
}

/// What stands at a place of a log.
///
/// ```
/// # use ottla::{DefectKind, Engine, Offset, Producer, ProducerRecord};
/// # use ottla::replay::{Archive, Scanned};
/// # let data = tempfile::tempdir().expect("a temporary directory");
/// # let engine = Engine::open(data.path())?;
/// # Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
/// # engine.close()?;
/// let segment = data.path().join("log/orders-0/00000000000000000000.log");
/// let mut bytes = std::fs::read(&segment)?;
/// bytes[65] ^= 1;
/// std::fs::write(&segment, bytes)?;
/// for found in Archive::open(data.path())?.logs()[0].scan() {
///     let Scanned::Damage(defect) = found? else { panic!("it was the only one") };
///     assert_eq!((defect.kind, defect.offsets), (DefectKind::Damage, Some((Offset(0), Offset(0)))));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Scanned {
    /// A batch whose checksum holds.
    Batch(StoredBatch),
    /// Something that is no batch, or the absence of offsets that should be there.
    Damage(Defect),
}

/// Goes through an [`ArchivedLog`]. Behind an error of the operating system it goes on with the next file; any other error
/// ends it.
///
/// ```
/// # use ottla::{Engine, MemoryDisk, Offset, Producer, ProducerRecord};
/// # use ottla::replay::{Archive, Scanned};
/// # let disk = MemoryDisk::new();
/// # let engine = Engine::builder().open_memory(&disk)?;
/// # let producer = Producer::<str, str>::new(&engine)?;
/// for value in ["made", "paid", "sent"] {
///     producer.send(ProducerRecord::to("orders").value(value))?.wait()?;
/// }
/// let orders = Archive::open_memory(&disk)?.log(&("orders", 0).into())?;
/// let offsets = orders.scan().from(Offset(1)).backwards().map(|found| match found {
///     Ok(Scanned::Batch(stored)) => stored.batch.header().base_offset.0,
///     other => panic!("{other:?}"),
/// });
/// assert_eq!(offsets.collect::<Vec<_>>(), [2, 1]);
/// # Ok::<(), ottla::Error>(())
/// ```
pub struct Scan {
    log: ArchivedLog,
    from: Offset,
    to: Offset,
    max_unpacked_bytes: usize,
    direction: Direction,
    queue: VecDeque<Scanned>,
    /// What is missing before the first segment, until it is told.
    front: Option<Scanned>,
    ahead: Option<Arc<ReadAhead>>,
    has_ended: bool,
}

enum Direction {
    Forwards(Place),
    Backwards(Blocks),
}

/// Where a scan goes on.
#[derive(Default)]
struct Place {
    segment: usize,
    position: u64,
    expected: Offset,
    has_begun: bool,
    at_hand: AtHand,
}

impl Place {
    /// Where the segment behind this one begins.
    fn behind_segment(&self, log: &ArchivedLog) -> Self {
        let segment = self.segment + 1;
        let base = log.segment(segment).map_or(self.expected, |next| next.base_offset());
        Self { segment, expected: self.expected.max(base), has_begun: true, ..Self::default() }
    }
}

/// Where a scan backwards has got.
#[derive(Default)]
struct Blocks {
    /// One behind the segment that comes next; `None` before the first.
    segment: Option<usize>,
    /// The places in it from where on a block of batches is gone through, and where that ends.
    blocks: Vec<(u64, Offset)>,
    end: u64,
}

impl Scan {
    pub(super) fn new(log: ArchivedLog) -> Self {
        let to = log.bound().unwrap_or(Offset(i64::MAX));
        let queue = log.defect().cloned().map(Scanned::Damage).into_iter().collect();
        let front = log.front().cloned().map(Scanned::Damage);
        Self {
            log,
            front,
            from: Offset::ZERO,
            to,
            max_unpacked_bytes: Batch::DEFAULT_UNPACKED_LIMIT,
            direction: Direction::Forwards(Place::default()),
            queue,
            ahead: None,
            has_ended: false,
        }
    }

    /// Leaves out batches that end before `offset`. The offset index shortens the way there, if it leads to a batch.
    #[must_use]
    pub fn from(mut self, offset: Offset) -> Self {
        self.from = offset;
        self
    }

    /// Leaves out batches that begin at `offset` or behind it.
    #[must_use]
    pub fn to(mut self, offset: Offset) -> Self {
        self.to = self.to.min(offset);
        self
    }

    /// Goes from the last batch to the first.
    #[must_use]
    pub fn backwards(mut self) -> Self {
        self.direction = Direction::Backwards(Blocks::default());
        self
    }

    /// How many bytes one compressed set of an old format may unpack to, 128 MiB at first; a larger one is damage.
    #[must_use]
    pub fn max_unpacked_bytes(mut self, bytes: usize) -> Self {
        self.max_unpacked_bytes = bytes;
        self
    }

    /// Has somebody who reads ahead, forwards.
    pub(super) fn reading_ahead(mut self, ahead: Option<Arc<ReadAhead>>) -> Self {
        self.ahead = ahead;
        self
    }

    /// Goes on behind the segment that could not be read.
    fn pass_segment(&mut self) {
        match &mut self.direction {
            Direction::Forwards(place) => *place = place.behind_segment(&self.log),
            Direction::Backwards(state) => state.blocks.clear(),
        }
    }

    /// Forwards: the offset that is expected next.
    pub(super) fn reached(&self) -> Offset {
        match &self.direction {
            Direction::Forwards(place) => place.expected,
            Direction::Backwards(_) => Offset::ZERO,
        }
    }

    pub(super) fn log(&self) -> &ArchivedLog {
        &self.log
    }

    fn fill(&mut self) -> Result<()> {
        match &mut self.direction {
            Direction::Forwards(place) => {
                let mut place = std::mem::take(place);
                let outcome = self.fill_forwards(&mut place);
                self.direction = Direction::Forwards(place);
                outcome
            }
            Direction::Backwards(blocks) => {
                let mut blocks = std::mem::take(blocks);
                let outcome = self.fill_backwards(&mut blocks);
                self.direction = Direction::Backwards(blocks);
                outcome
            }
        }
    }

    fn fill_forwards(&mut self, place: &mut Place) -> Result<()> {
        let (log, ahead) = (self.log.clone(), self.ahead.clone());
        if !place.has_begun {
            // Also if its index cannot be read: it may be the next one that can.
            *place = Place { segment: log.segment_of(self.from), has_begun: true, ..Place::default() };
            *place = self.start(&log)?;
            self.tell_front();
        }
        while self.queue.is_empty() {
            let Some(segment) = log.segment(place.segment) else { return Ok(()) };
            if place.expected >= self.to || segment.base_offset() >= self.to {
                return Ok(());
            }
            if place.position == 0 {
                log.check_owner()?;
            }
            let walk = self.walk(&log, place.segment, segment, (place.position, place.expected));
            let mut walk = walk.with_at_hand(std::mem::take(&mut place.at_hand)).reading_ahead(ahead.as_deref());
            let mut is_through = false;
            // What was read together is given out while it is in the processor's cache, and its buffer read into again.
            while walk.expected() < self.to && (self.queue.is_empty() || walk.is_at_hand()) {
                let Some(step) = walk.next_step()? else {
                    is_through = true;
                    break;
                };
                let is_last = log.segment(place.segment + 1).is_none();
                let found = found(&log, segment, step, is_last && walk.position() >= segment.end());
                self.queue.extend(found.filter(|found| self.is_asked_for(found)));
            }
            (place.position, place.expected) = (walk.position(), walk.expected());
            place.at_hand = walk.into_at_hand();
            if is_through {
                log.check_owner()?;
                *place = place.behind_segment(&log);
            }
        }
        Ok(())
    }

    fn tell_front(&mut self) {
        let front = self.front.take();
        self.queue.extend(front.filter(|front| self.is_asked_for(front)));
    }

    /// The place from which a walk finds `from`.
    fn start(&self, log: &ArchivedLog) -> Result<Place> {
        let index = log.segment_of(self.from);
        let Some(segment) = log.segment(index) else {
            return Ok(Place { expected: self.from, has_begun: true, ..Place::default() });
        };
        let (position, expected) = self.indexed_start(segment)?.unwrap_or((0, segment.base_offset()));
        Ok(Place { segment: index, position, expected, has_begun: true, ..Place::default() })
    }

    /// The place that the offset index has for `from`, if a whole batch stands there that is the one it names.
    fn indexed_start(&self, segment: &Arc<Segment>) -> Result<Option<(u64, Offset)>> {
        let Some(entry) = segment.offset_hints().and_then(|hints| hints.floor(self.from)) else { return Ok(None) };
        let unknown = ForeignLog::default();
        let place = (entry.position, segment.base_offset());
        let mut walk = unknown.walk(segment, place, None, Check::Whole, self.max_unpacked_bytes);
        Ok(match walk.next_step()? {
            Some(Step::Batch { batch, .. }) => {
                let header = batch.header();
                let is_named = [header.last_offset(), header.base_offset].contains(&entry.last_offset);
                (is_named && header.base_offset <= self.from).then_some((entry.position, header.base_offset))
            }
            _ => None,
        })
    }

    fn fill_backwards(&mut self, state: &mut Blocks) -> Result<()> {
        let log = self.log.clone();
        while self.queue.is_empty() {
            let Some((position, expected)) = state.blocks.pop() else {
                let behind = state.segment.unwrap_or(log.segments());
                let Some(index) = behind.checked_sub(1) else {
                    self.tell_front();
                    return Ok(());
                };
                let next = log.segment(behind).map(|segment| segment.base_offset());
                if next.is_some_and(|next| next <= self.from) {
                    state.segment = Some(0);
                    return Ok(());
                }
                state.segment = Some(index);
                (state.blocks, state.end) = self.blocks(&log, index)?;
                continue;
            };
            let Some((index, segment)) = state.segment.and_then(|index| Some((index, log.segment(index)?))) else {
                return Ok(());
            };
            let mut walk = self.walk(&log, index, segment, (position, expected));
            let is_last = log.segment(index + 1).is_none();
            loop {
                let is_end = walk.position() >= segment.end();
                if walk.position() >= state.end && !(is_end && state.end == segment.end()) {
                    break;
                }
                let Some(step) = walk.next_step()? else { break };
                let found = found(&log, segment, step, is_last && walk.position() >= segment.end());
                if let Some(found) = found.filter(|found| self.is_asked_for(found)) {
                    self.queue.push_front(found);
                }
            }
            state.end = position;
            log.check_owner()?;
        }
        Ok(())
    }

    /// The places in a segment where a block of batches begins, and its end. Checksums count here, too: a damaged length, or
    /// number of offsets, would lead elsewhere.
    fn blocks(&self, log: &ArchivedLog, index: usize) -> Result<(Vec<(u64, Offset)>, u64)> {
        let Some(segment) = log.segment(index).filter(|segment| segment.base_offset() < self.to) else {
            return Ok((Vec::new(), 0));
        };
        log.check_owner()?;
        let begin = (0, segment.base_offset());
        let mut walk = self.walk(log, index, segment, begin);
        let (mut blocks, mut batches, mut begun_at) = (vec![begin], 0, 0);
        while let Some(step) = walk.next_step()? {
            batches += 1;
            let is_full = batches == BLOCK_BATCHES || walk.position() - begun_at >= BLOCK_BYTES;
            if is_full && matches!(step, Step::Batch { .. }) && walk.position() < segment.end() {
                blocks.push((walk.position(), walk.expected()));
                (batches, begun_at) = (0, walk.position());
            }
        }
        Ok((blocks, segment.end()))
    }

    fn walk<'s>(&self, log: &ArchivedLog, index: usize, segment: &'s Segment, place: (u64, Offset)) -> Walk<'s> {
        let next = log.segment(index + 1).map(|next| next.base_offset());
        log.facts().walk(segment, place, next, Check::Whole, self.max_unpacked_bytes)
    }

    fn is_asked_for(&self, found: &Scanned) -> bool {
        match found {
            Scanned::Batch(stored) => {
                let header = stored.batch.header();
                header.last_offset() >= self.from && header.base_offset < self.to
            }
            Scanned::Damage(Defect { offsets: Some((first, last)), .. }) => *last >= self.from && *first < self.to,
            Scanned::Damage(_) => true,
        }
    }
}

/// What a step through a segment has found.
fn found(log: &ArchivedLog, segment: &Arc<Segment>, step: Step, is_to_the_end: bool) -> Option<Scanned> {
    Some(match step {
        Step::Batch { position, batch } => {
            Scanned::Batch(StoredBatch { position, batch, segment: Arc::clone(segment), log: log.clone() })
        }
        Step::Damage { position, first, last, reason } => {
            let is_missing = position >= segment.end();
            let is_torn = is_to_the_end && !is_missing && log.facts().may_be_torn(first, log.was_clean());
            let kind = if is_torn { DefectKind::Torn } else { DefectKind::Damage };
            let path = log.path().join(segment.file_name());
            Scanned::Damage(Defect::new(kind, path, reason).at(position).of(first, last))
        }
    })
}

impl Iterator for Scan {
    type Item = Result<Scanned>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.queue.is_empty() && !self.has_ended {
            if let Err(error) = self.fill() {
                self.has_ended = !matches!(error, Error::Io { .. });
                self.pass_segment();
                return Some(Err(error));
            }
            self.has_ended = self.queue.is_empty();
        }
        self.queue.pop_front().map(Ok)
    }
}

impl std::iter::FusedIterator for Scan {}

impl fmt::Debug for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan").field("log", &self.log).field("from", &self.from).finish_non_exhaustive()
    }
}
