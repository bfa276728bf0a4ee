//! The index files of a segment, held against its batches as they come by.
//!
//! At most one defect is told of each file: the first, which says enough of a file that can be made again.

use std::path::PathBuf;

use crate::error::Result;
use crate::io::read_small;
use crate::record::{BatchHeader, MAGIC};
use crate::storage::files::segment_name;
use crate::storage::index::AbortedTransaction;
use crate::storage::verify::{Defect, DefectKind, INDEX_LIMIT, LogFacts, Verifier};
use crate::types::{Offset, Timestamp};

/// What the indexes of one segment say, and how much of that has been confirmed.
pub(super) struct IndexChecks {
    offset: IndexFile<8>,
    time: IndexFile<12>,
    transaction: IndexFile<{ AbortedTransaction::ENTRY_BYTES }>,
    base: Offset,
    is_ours: bool,
    /// Of all batches that have come by.
    largest: Timestamp,
    pub(super) has_damage: bool,
    has_batches: bool,
    /// Whether a batch of v2 has come by.
    is_recent: bool,
}

/// An index file of entries of `N` bytes.
struct IndexFile<const N: usize> {
    path: PathBuf,
    is_there: bool,
    entries: Vec<[u8; N]>,
    /// How many entries the batches have come past.
    next: usize,
    defect: Option<Defect>,
}

impl<const N: usize> IndexFile<N> {
    fn load(verifier: &Verifier<'_>, has: bool, base: Offset, extension: &str, is_trimmed: bool) -> Self {
        let name = segment_name(base, extension);
        let path = verifier.dir.path().join(&name);
        let mut file = Self { path, is_there: false, entries: Vec::new(), next: 0, defect: None };
        if !has {
            return file;
        }
        let read = || -> Result<Option<Vec<u8>>> {
            match verifier.dir.open(&name).and_then(|file| read_small(file.as_ref(), INDEX_LIMIT)) {
                Err(error) if error.is_not_found() => Ok(None),
                content => content.map(Some),
            }
        };
        let mut content = read();
        let is_half_written = |content: &Option<Vec<u8>>| content.as_ref().is_some_and(|bytes| bytes.len() % N != 0);
        if !verifier.facts.was_clean && content.as_ref().is_ok_and(is_half_written) {
            (verifier.pause)();
            content = read();
        }
        match content {
            Ok(None) => {}
            Ok(Some(mut bytes)) => {
                file.is_there = true;
                if !is_trimmed {
                    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
                    bytes.truncate(used.next_multiple_of(N));
                }
                let (entries, rest) = bytes.as_chunks::<N>();
                file.entries = entries.to_vec();
                if !rest.is_empty() {
                    file.fail(entries.len(), "it ends in a piece of an entry");
                }
            }
            Err(error) => {
                file.is_there = true;
                file.defect = Some(Defect::from_error(&error, &file.path));
            }
        }
        file
    }

    fn fail(&mut self, entry: usize, detail: impl Into<std::sync::Arc<str>>) {
        if self.defect.is_none() {
            let defect = Defect::new(DefectKind::Cache, self.path.clone(), detail);
            self.defect = Some(defect.at((entry * N) as u64));
        }
    }

    /// The first entry of which `holds` is false when it is asked about it and the one before.
    fn check_order(&mut self, detail: &'static str, holds: impl Fn(Option<&[u8; N]>, &[u8; N]) -> bool) {
        let bad = (0..self.entries.len()).find(|&at| {
            let before = at.checked_sub(1).map(|before| &self.entries[before]);
            !holds(before, &self.entries[at])
        });
        if let Some(at) = bad {
            self.fail(at, detail);
        }
    }

    fn missing(&mut self) {
        if !self.is_there && self.defect.is_none() {
            let detail = "a clean shutdown leaves it, and it is missing";
            self.defect = Some(Defect::new(DefectKind::Cache, self.path.clone(), detail));
        }
    }
}

/// Relative offset and position.
fn offset_entry(entry: &[u8; 8]) -> (i64, u64) {
    let [a, b, c, d, e, f, g, h] = *entry;
    (i64::from(i32::from_be_bytes([a, b, c, d])), u64::from(u32::from_be_bytes([e, f, g, h])))
}

/// Timestamp and relative offset.
fn time_entry(entry: &[u8; 12]) -> (i64, i64) {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = *entry;
    (i64::from_be_bytes([a, b, c, d, e, f, g, h]), i64::from(i32::from_be_bytes([i, j, k, l])))
}

impl IndexChecks {
    /// Loads the indexes of a segment that is `len` bytes long; takes them for missing unless it `has` any.
    pub(super) fn load(verifier: &Verifier<'_>, base: Offset, len: u64, has: bool) -> Self {
        let facts = verifier.facts;
        let is_ours = facts.ours.is_some();
        // A broker's are full of zeros behind their entries until they are closed.
        let is_trimmed = is_ours || facts.was_clean && !verifier.dir.path().ends_with("__cluster_metadata-0");
        let mut offset = IndexFile::<8>::load(verifier, has, base, "index", is_trimmed);
        offset.check_order("its entries are not sorted", |before, entry| {
            let (offset, position) = offset_entry(entry);
            before.map(offset_entry).is_none_or(|before| before.0 < offset && before.1 < position) && offset >= 0
        });
        if is_ours || facts.was_clean {
            offset.check_order("it points behind the end of the segment", |_, entry| offset_entry(entry).1 < len);
        }
        let mut time = IndexFile::<12>::load(verifier, has, base, "timeindex", is_trimmed);
        time.check_order("its entries are not sorted", |before, entry| {
            let (time, offset) = time_entry(entry);
            before.map(time_entry).is_none_or(|before| before.0 < time && before.1 <= offset) && offset >= 0
        });
        let mut transaction = IndexFile::load(verifier, has, base, "txnindex", true);
        let decode = AbortedTransaction::decode;
        transaction.check_order("the version of an entry is not 0", |_, entry| decode(entry).is_some());
        transaction.check_order("an entry's offsets do not fit each other, or the segment", |before, entry| {
            let Some(aborted) = decode(entry) else { return true }; // said already
            let last = aborted.last_offset;
            let is_sorted = before.and_then(decode).is_none_or(|before| before.last_offset < last);
            let first = aborted.first_offset;
            is_sorted && first.0 >= 0 && first <= last && last >= base && aborted.last_stable_offset.0 >= 0
        });
        let largest = Timestamp::NONE;
        Self {
            offset,
            time,
            transaction,
            base,
            is_ours,
            largest,
            has_damage: false,
            has_batches: false,
            is_recent: false,
        }
    }

    /// A batch comes by.
    pub(super) fn note(&mut self, header: &BatchHeader, position: u64) {
        self.has_batches = true;
        self.is_recent |= header.magic == MAGIC;
        while let Some(entry) = self.offset.entries.get(self.offset.next) {
            let (relative, at) = offset_entry(entry);
            if at > position {
                break;
            }
            let offset = self.base.plus(relative);
            // Old brokers write the first offset of a batch, and the last one of all that were appended together.
            let fits = if self.is_ours { offset == header.last_offset() } else { offset >= header.base_offset };
            if at != position || !fits {
                self.offset.fail(self.offset.next, format!("no batch at position {at} ends at offset {offset}"));
            }
            self.offset.next += 1;
        }
        while let Some(entry) = self.time.entries.get(self.time.next) {
            let (time, relative) = time_entry(entry);
            let offset = self.base.plus(relative);
            if offset > header.last_offset() {
                break;
            }
            let fits = if self.is_ours {
                offset == header.last_offset() && time == header.max_timestamp.0 && time > self.largest.0
            } else {
                time >= self.largest.0
            };
            if !fits {
                self.time.fail(self.time.next, format!("{time} is not the largest time up to offset {offset}"));
            }
            self.time.next += 1;
        }
        self.largest = self.largest.max(header.max_timestamp);
    }

    /// The marker at `last` aborts a transaction, of which records have come by.
    pub(super) fn note_abort(&mut self, producer_id: i64, last: Offset) {
        if self.transaction.defect.is_some() {
            return; // one is told, and what is not sorted cannot be searched
        }
        let last_offset = |entry: &[u8; 34]| AbortedTransaction::decode(entry).map(|aborted| aborted.last_offset);
        let at = self.transaction.entries.partition_point(|entry| last_offset(entry) < Some(last));
        let found = self.transaction.entries.get(at).and_then(AbortedTransaction::decode);
        if !found.is_some_and(|found| found.producer_id == producer_id && found.last_offset == last) {
            let detail = format!("it lacks the transaction of producer {producer_id} that is aborted at offset {last}");
            self.transaction.fail(self.transaction.entries.len(), detail);
        }
    }

    /// What stands before `position` cannot be read: what is said of it is neither right nor wrong.
    pub(super) fn pass(&mut self, position: u64) {
        while self.offset.entries.get(self.offset.next).is_some_and(|entry| offset_entry(entry).1 < position) {
            self.offset.next += 1;
        }
        self.time.next = usize::MAX; // times and offsets behind it are relative to what is lost
    }

    /// All batches have come by; the segment ends at `end`.
    pub(super) fn finish(mut self, facts: &LogFacts, end: Offset) -> Vec<Defect> {
        let is_complete = !self.has_damage;
        if is_complete && (self.is_ours || facts.was_clean) {
            if self.offset.next < self.offset.entries.len() {
                self.offset.fail(self.offset.next, "it points to where no batch begins");
            }
            if self.time.next < self.time.entries.len() {
                self.time.fail(self.time.next, format!("it names an offset behind {end}, where the segment ends"));
            }
        }
        if facts.was_clean && (self.is_ours || self.has_batches) {
            self.offset.missing();
        }
        if facts.was_clean && (self.is_ours || self.is_recent) {
            self.time.missing(); // brokers before 0.10.1 write none
        }
        if facts.was_clean && self.is_ours {
            let last = self.time.entries.last().map_or(Timestamp::NONE, |entry| Timestamp(time_entry(entry).0));
            if is_complete && last < self.largest {
                let detail = format!("it lacks the segment's largest time, {}", self.largest);
                self.time.fail(self.time.entries.len(), detail);
            }
        }
        [self.offset.defect, self.time.defect, self.transaction.defect].into_iter().flatten().collect()
    }
}
