//! One segment: a file of batches, its two indexes, and how far it is valid.
//!
//! Only the active segment, the last one of a log, grows. Its file may be longer than [`Segment::end`] says, while a
//! write is under way or behind one that failed; nobody reads past the end. A sealed segment's file is opened and its
//! indexes are read on first use, so that opening a log costs nothing for each; it shares a bounded number of
//! descriptors with all others. A segment that is written to, or has bytes that no sync has covered, has one of its own:
//! the error of a sync is told to who had the file open when the bytes were written.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use crate::error::Result;
use crate::io::{Dir, File, read_small};
use crate::record::BatchHeader;
use crate::storage::files::segment_name;
use crate::storage::index::{OffsetEntry, OffsetIndex, TimeEntry, TimeIndex};
use crate::storage::walk::{Check, Step, Walk};
use crate::sync::lock;
use crate::types::{Offset, Timestamp};

/// More than a broker makes an index of.
const HINTS_LIMIT: u64 = 64 << 20;

/// What a broker's file of batches ends with while it takes the place of others.
pub(crate) const SWAPPED: &str = "log.swap";

/// One file of a log, and what is known of it.
#[derive(Debug)]
pub(crate) struct Segment {
    base_offset: Offset,
    /// Of the file of batches.
    extension: &'static str,
    dir: Arc<dyn Dir>,
    to_read: OnceLock<Arc<dyn File>>,
    to_write: Mutex<Option<Arc<dyn File>>>,
    /// Nothing is appended any more.
    is_sealed: AtomicBool,
    end: AtomicU64,
    /// Up to where a sync has made it durable.
    synced_to: AtomicU64,
    indexes: OnceLock<Box<Indexes>>,
    /// What the index file says, while nobody has made sure that it is right.
    hints: OnceLock<Option<Box<OffsetIndex>>>,
    /// Whether index files that are there were written by an orderly close.
    has_trusted_indexes: bool,
    index_interval: u64,
}

/// Both indexes of a segment.
#[derive(Debug)]
pub(crate) struct Indexes {
    pub(crate) offset: OffsetIndex,
    pub(crate) time: TimeIndex,
}

impl Indexes {
    pub(crate) fn new(base: Offset) -> Self {
        Self { offset: OffsetIndex::new(base), time: TimeIndex::new(base) }
    }
}

impl Segment {
    /// Makes the file of a new segment. Its name is durable once the directory was synced.
    pub(crate) fn create(dir: &Arc<dyn Dir>, base_offset: Offset, index_interval: u64) -> Result<Self> {
        let file = dir.create(&segment_name(base_offset, "log"))?;
        let segment = Self::at(dir, base_offset, 0, false, index_interval);
        *lock(&segment.to_write) = Some(file);
        segment.indexes.get_or_init(|| Box::new(Indexes::new(base_offset)));
        Ok(segment)
    }

    /// A segment that is there, `len_bytes` long. Nothing is opened yet.
    pub(crate) fn at(
        dir: &Arc<dyn Dir>,
        base_offset: Offset,
        len_bytes: u64,
        has_trusted_indexes: bool,
        index_interval: u64,
    ) -> Self {
        Self {
            base_offset,
            extension: "log",
            dir: Arc::clone(dir),
            to_read: OnceLock::new(),
            to_write: Mutex::new(None),
            is_sealed: AtomicBool::new(false),
            end: AtomicU64::new(len_bytes),
            synced_to: AtomicU64::new(len_bytes),
            indexes: OnceLock::new(),
            hints: OnceLock::new(),
            has_trusted_indexes,
            index_interval,
        }
    }

    /// One of a broker that has the place of others, though it did not get to its name before a crash.
    pub(crate) fn swapped_in(dir: &Arc<dyn Dir>, base_offset: Offset, len_bytes: u64) -> Self {
        Self { extension: SWAPPED, ..Self::at(dir, base_offset, len_bytes, false, 0) }
    }

    /// A segment whose file of batches has been opened under whatever name, and is only read.
    pub(crate) fn over(dir: &Arc<dyn Dir>, base_offset: Offset, file: Arc<dyn File>) -> Result<Self> {
        let segment = Self::at(dir, base_offset, file.len()?, false, 0);
        segment.to_read.get_or_init(|| file);
        Ok(segment)
    }

    /// This segment as it is read from now on, when nobody appends to it any more: its index files were just written.
    pub(crate) fn sealed(&self) -> Self {
        let sealed = Self::at(&self.dir, self.base_offset, self.end(), true, self.index_interval);
        sealed.synced_to.store(self.synced_to(), Ordering::Release);
        lock(&sealed.to_write).clone_from(&lock(&self.to_write));
        sealed.seal();
        sealed
    }

    /// Nothing is appended, and nothing is cut off, from now on.
    pub(crate) fn seal(&self) {
        self.is_sealed.store(true, Ordering::Release);
        if let Some(file) = self.to_read.get() {
            file.seal();
        }
        self.let_go_if_through();
    }

    /// Closes what is open for writing, until it is needed again. Everything that was written is durable.
    pub(crate) fn let_go(&self) {
        *lock(&self.to_write) = None;
    }

    fn let_go_if_through(&self) {
        if self.is_sealed.load(Ordering::Acquire) && self.synced_to() >= self.end() {
            self.let_go();
        }
    }

    pub(crate) fn base_offset(&self) -> Offset {
        self.base_offset
    }

    /// Behind the last valid batch, in bytes.
    pub(crate) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// Moves the end; the bytes below it are written.
    pub(crate) fn set_end(&self, end: u64) {
        self.end.store(end, Ordering::Release);
    }

    /// The file was cut off at `end`: what is appended from there on has not been synced, however long the file was.
    pub(crate) fn cut_at(&self, end: u64) {
        self.set_end(end);
        self.synced_to.fetch_min(end, Ordering::AcqRel);
    }

    pub(crate) fn synced_to(&self) -> u64 {
        self.synced_to.load(Ordering::Acquire)
    }

    /// A sync that was begun when the segment ended at `position` has succeeded.
    pub(crate) fn mark_synced(&self, position: u64) {
        self.synced_to.fetch_max(position, Ordering::AcqRel);
        self.let_go_if_through();
    }

    /// The file of batches, to be read.
    pub(crate) fn file(&self) -> Result<&Arc<dyn File>> {
        if let Some(file) = self.to_read.get() {
            return Ok(file);
        }
        let file = self.dir.open_shared(&self.file_name())?;
        let file = self.to_read.get_or_init(|| file);
        if self.is_sealed.load(Ordering::Acquire) {
            file.seal(); // behind `seal`, or before it looks
        }
        Ok(file)
    }

    /// The file of batches, to be written and synced.
    pub(crate) fn writable(&self) -> Result<Arc<dyn File>> {
        let mut to_write = lock(&self.to_write);
        if let Some(file) = &*to_write {
            return Ok(Arc::clone(file));
        }
        let file = self.dir.open_writable(&self.file_name())?;
        *to_write = Some(Arc::clone(&file));
        Ok(file)
    }

    pub(crate) fn file_name(&self) -> String {
        segment_name(self.base_offset, self.extension)
    }

    /// The indexes: read from their files if those can be trusted, else built from the batches.
    pub(crate) fn indexes(&self) -> Result<&Indexes> {
        if let Some(indexes) = self.indexes.get() {
            return Ok(indexes);
        }
        let stored = if self.has_trusted_indexes { self.stored_indexes()? } else { None };
        let indexes = match stored {
            Some(indexes) => indexes,
            None => self.build_indexes()?,
        };
        Ok(self.indexes.get_or_init(|| Box::new(indexes)))
    }

    /// Takes indexes that recovery built while it looked at every batch.
    pub(crate) fn set_indexes(&self, indexes: Indexes) {
        // If a reader was faster, its indexes say the same.
        self.indexes.get_or_init(|| Box::new(indexes));
    }

    /// The best knowledge of where batches begin, for a walk that met damage. Each entry has to be checked.
    pub(crate) fn offset_hints(&self) -> Option<&OffsetIndex> {
        match self.indexes.get() {
            Some(indexes) => Some(&indexes.offset),
            None => self.hints.get_or_init(|| self.read_hints().map(Box::new)).as_deref(),
        }
    }

    /// The indexes as their files have them; `None` if one is missing or makes no sense: they are caches.
    ///
    /// What an entry says is checked when it is used. What is not there cannot be: so the last time entry has to be
    /// the largest time, or else a look-up would pass the segment by. That costs the header of one batch where times
    /// only rise.
    pub(crate) fn stored_indexes(&self) -> Result<Option<Indexes>> {
        let Some(indexes) = self.read_indexes() else { return Ok(None) };
        Ok(self.has_largest_time(&indexes)?.then_some(indexes))
    }

    fn has_largest_time(&self, indexes: &Indexes) -> Result<bool> {
        let nothing = TimeEntry { timestamp: Timestamp::NONE, offset: Offset(self.base_offset.0 - 1) };
        let last = indexes.time.last().unwrap_or(nothing);
        let (position, first) = self.start_within(indexes, last.offset)?;
        let mut walk = Walk::new(self, position, first, Check::Header);
        let mut is_found = last == nothing;
        while let Some(step) = walk.next_step()? {
            let Step::Batch { batch, .. } = step else { continue };
            is_found |= TimeEntry::of(batch.header()) == last;
            if batch.header().max_timestamp > last.timestamp {
                return Ok(false);
            }
        }
        Ok(is_found)
    }

    fn read_indexes(&self) -> Option<Indexes> {
        let time = self.read_index("timeindex", TimeIndex::ENTRY_BYTES)?;
        Some(Indexes { offset: self.read_offset_index()?, time: TimeIndex::decode(self.base_offset, &time)? })
    }

    fn read_offset_index(&self) -> Option<OffsetIndex> {
        OffsetIndex::decode(self.base_offset, &self.read_index("index", OffsetIndex::ENTRY_BYTES)?, self.end())
    }

    /// The offset index, also of a broker that has not cut its file back to what it holds.
    fn read_hints(&self) -> Option<OffsetIndex> {
        self.read_index_up_to(self.end())
    }

    /// Whether the offset index knows of a batch behind the end of the file, of `offset` or behind it: it was cut off.
    pub(crate) fn has_lost_indexed_end(&self, offset: Offset) -> bool {
        let last = self.read_index_up_to(u64::MAX).and_then(|index| index.last());
        last.is_some_and(|last| last.last_offset >= offset && last.position >= self.end())
    }

    fn read_index_up_to(&self, segment_bytes: u64) -> Option<OffsetIndex> {
        let file = self.dir.open(&segment_name(self.base_offset, "index")).ok()?;
        let mut bytes = read_small(file.as_ref(), HINTS_LIMIT).ok()?;
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        bytes.truncate(used.next_multiple_of(OffsetIndex::ENTRY_BYTES).min(bytes.len()));
        OffsetIndex::decode(self.base_offset, &bytes, segment_bytes)
    }

    fn read_index(&self, suffix: &str, entry_bytes: usize) -> Option<Vec<u8>> {
        let file = self.dir.open(&segment_name(self.base_offset, suffix)).ok()?;
        // A segment of `end` bytes has at most so many batches, and no entry leads further than 2 GiB.
        let most = (self.end().min(1 << 31) / BatchHeader::LEN_BYTES as u64 + 1) * entry_bytes as u64;
        read_small(file.as_ref(), most).ok()
    }

    /// Goes through all batches.
    fn build_indexes(&self) -> Result<Indexes> {
        let indexes = Indexes::new(self.base_offset);
        let mut filler = IndexFiller::new(self.index_interval);
        let mut walk = Walk::new(self, 0, self.base_offset, Check::Header);
        while let Some(step) = walk.next_step()? {
            match step {
                Step::Batch { position, batch } => filler.note(&indexes, batch.header(), position),
                Step::Damage { .. } => filler.note_damage(),
            }
        }
        filler.finish(&indexes);
        Ok(indexes)
    }

    /// Writes both index files.
    pub(crate) fn write_indexes(&self) -> Result<()> {
        let indexes = self.indexes()?;
        self.write_index("index", &indexes.offset.encode())?;
        self.write_index("timeindex", &indexes.time.encode())
    }

    /// Whether both index files say what the indexes do.
    pub(crate) fn has_stored_indexes(&self) -> Result<bool> {
        let indexes = self.indexes()?;
        let is_stored = |suffix, entry_bytes, bytes: Vec<u8>| self.read_index(suffix, entry_bytes) == Some(bytes);
        Ok(is_stored("index", OffsetIndex::ENTRY_BYTES, indexes.offset.encode())
            && is_stored("timeindex", TimeIndex::ENTRY_BYTES, indexes.time.encode()))
    }

    fn write_index(&self, suffix: &str, bytes: &[u8]) -> Result<()> {
        self.dir.create(&segment_name(self.base_offset, suffix))?.write_all_at(bytes, 0)
    }

    /// Makes the content of both index files durable, writing them first unless they are `written` already.
    pub(crate) fn sync_indexes(&self, written: bool) -> Result<()> {
        if !(written && self.has_trusted_indexes) {
            self.write_indexes()?;
        }
        for suffix in ["index", "timeindex"] {
            self.dir.open_writable(&segment_name(self.base_offset, suffix))?.sync()?;
        }
        Ok(())
    }

    /// A place to begin a walk from that finds `offset`: a position, and the first offset of the batch there.
    ///
    /// An index entry is believed if the batch it leads to ends where the entry says; else an earlier one is tried.
    pub(crate) fn start_for(&self, offset: Offset) -> Result<(u64, Offset)> {
        self.start_within(self.indexes()?, offset)
    }

    /// The same, by indexes that are not the segment's yet.
    pub(crate) fn start_within(&self, indexes: &Indexes, offset: Offset) -> Result<(u64, Offset)> {
        let mut below = offset;
        while let Some(entry) = indexes.offset.floor(below) {
            let mut header = [0; BatchHeader::LEN_BYTES];
            let read = self.file()?.read_at(&mut header, entry.position)?;
            if let Ok(header) = BatchHeader::parse(&header[..read])
                && header.last_offset() == entry.last_offset
                && header.base_offset >= self.base_offset
            {
                return Ok((entry.position, header.base_offset));
            }
            below = Offset(entry.last_offset.0 - 1);
        }
        Ok((0, self.base_offset))
    }

    /// The same for the first record whose timestamp is at or after `at`: none below the answered offset is.
    pub(crate) fn start_for_time(&self, at: Timestamp) -> Result<(u64, Offset)> {
        let Some(entry) = self.indexes()?.time.before(at) else { return Ok((0, self.base_offset)) };
        let (position, first) = self.start_for(entry.offset)?;
        let mut walk = Walk::new(self, position, first, Check::Header);
        while walk.expected() <= entry.offset {
            let Some(step) = walk.next_step()? else { break };
            if matches!(step, Step::Batch { batch, .. } if TimeEntry::of(batch.header()) == entry) {
                return Ok((walk.position(), walk.expected()));
            }
        }
        Ok((0, self.base_offset)) // no batch has what the entry says
    }

    /// The largest timestamp of the first batch.
    pub(crate) fn first_timestamp(&self) -> Result<Option<Timestamp>> {
        let mut header = [0; BatchHeader::LEN_BYTES];
        let read = self.file()?.read_at(&mut header, 0)?;
        Ok(BatchHeader::parse(&header[..read]).ok().map(|header| header.max_timestamp))
    }

    /// The largest timestamp of a sealed segment.
    pub(crate) fn largest_timestamp(&self) -> Result<Timestamp> {
        Ok(self.indexes()?.time.last().map_or(Timestamp::NONE, |entry| entry.timestamp))
    }
}

/// Kafka's rule for which batches get an index entry: the first one that begins more than `interval` bytes behind the
/// last that has one.
#[derive(Debug)]
pub(crate) struct IndexFiller {
    interval: u64,
    since_last_entry: u64,
    largest: TimeEntry,
}

impl IndexFiller {
    pub(crate) fn new(interval: u64) -> Self {
        let largest = TimeEntry { timestamp: Timestamp::NONE, offset: Offset::ZERO };
        Self { interval, since_last_entry: 0, largest }
    }

    /// Takes note of a batch that was appended at `position`.
    pub(crate) fn note(&mut self, indexes: &Indexes, header: &BatchHeader, position: u64) {
        if header.max_timestamp > self.largest.timestamp {
            self.largest = TimeEntry::of(header);
        }
        // The entry comes before the batch is counted, so the first batch of a segment never has one.
        if self.since_last_entry > self.interval {
            indexes.offset.push(OffsetEntry { last_offset: header.last_offset(), position });
            indexes.time.push(self.largest);
            self.since_last_entry = 0;
        }
        self.since_last_entry += header.len_bytes as u64;
    }

    /// Damage was passed: the batch behind it gets an entry, without which the next one who comes may not find it.
    pub(crate) fn note_damage(&mut self) {
        self.since_last_entry = self.interval + 1;
    }

    /// Goes on behind the last entry of `indexes`, whose batch is the next to be noted.
    pub(crate) fn resume(&mut self, indexes: &Indexes) {
        self.largest = indexes.time.last().unwrap_or(self.largest);
    }

    /// The segment is sealed: its largest timestamp becomes the last time entry.
    pub(crate) fn finish(&self, indexes: &Indexes) {
        indexes.time.push(self.largest);
    }
}
