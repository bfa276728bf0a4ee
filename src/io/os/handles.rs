//! The descriptors and maps of segments that are only read: so many at a time, however many segments there are.
//!
//! A file is opened, or mapped, when it is read, and stays so until others were read more recently than it and there
//! are too many. What a caller was given stays good: a descriptor that is in use closes when the read is through, and a
//! map is undone when the last `Bytes` on it is dropped. So the bounds hold for what rests here, not for what
//! consumers keep.
//!
//! **What a map costs.** The bytes of a map are the file's pages, not a copy. If the disk fails, or somebody truncates
//! the file, there is no call that could return an error: touching the page raises SIGBUS, which ends the process. And
//! whoever overwrites the file changes bytes that were checked before. So only sealed segments are mapped, which no code
//! here writes to or truncates, and only with [`ReadMode::Mmap`].

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use memmap2::Mmap;

use crate::io::Reading;
use crate::sync::lock;
use crate::types::ReadMode;

/// Tells one file from another, also where a second one has the name of the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileId(u64);

/// What is open at the moment. It is shared by all files of a disk.
#[derive(Debug)]
pub(super) struct Handles {
    mode: ReadMode,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    next_id: u64,
    files: Recent<Arc<fs::File>>,
    maps: Recent<Bytes>,
}

impl Handles {
    pub(super) fn new(reading: &Reading) -> Self {
        let most = u64::from(reading.max_open_segments);
        let files = Recent::new(most, u64::MAX);
        let maps = Recent::new(most, reading.max_mapped_bytes);
        Self { mode: reading.mode, state: Mutex::new(State { next_id: 0, files, maps }) }
    }

    pub(super) fn new_id(&self) -> FileId {
        let mut state = lock(&self.state);
        state.next_id += 1;
        FileId(state.next_id)
    }

    /// The descriptor of a file, which `open` gets if there is none.
    pub(super) fn file<E>(&self, id: FileId, open: impl FnOnce() -> Result<fs::File, E>) -> Result<Arc<fs::File>, E> {
        if let Some(file) = lock(&self.state).files.find(id) {
            return Ok(file);
        }
        let file = Arc::new(open()?); // two threads may get here at once: one of the descriptors closes again
        let closed = lock(&self.state).files.keep(id, Arc::clone(&file), 1);
        drop(closed); // without the lock
        Ok(file)
    }

    /// The content of a file as a map, if files are to be mapped and it can be: `open` gives the file, whose content
    /// does not change any more.
    pub(super) fn map<E>(
        &self,
        id: FileId,
        open: impl FnOnce() -> Result<Arc<fs::File>, E>,
    ) -> Result<Option<Bytes>, E> {
        if self.mode != ReadMode::Mmap {
            return Ok(None);
        }
        if let Some(map) = lock(&self.state).maps.find(id) {
            return Ok(Some(map));
        }
        let file = open()?;
        let len = file.metadata().map_or(0, |found| found.len());
        if len == 0 || !lock(&self.state).maps.takes(len) {
            return Ok(None);
        }
        // A file system may have no maps, or the process too many: reading tells what is wrong, if anything is.
        let Ok(map) = map_whole(&file) else { return Ok(None) };
        let mut state = lock(&self.state);
        let undone = state.maps.keep(id, map.clone(), len);
        let closed = state.files.forget(id); // a map needs no descriptor
        drop(state);
        drop((undone, closed)); // without the lock: undoing a map takes a while
        Ok(Some(map))
    }

    /// Nobody asks for that file any more.
    pub(super) fn forget(&self, id: FileId) {
        let mut state = lock(&self.state);
        let closed = (state.files.forget(id), state.maps.forget(id));
        drop(state);
        drop(closed);
    }
}

/// Maps a file at its true length.
#[expect(unsafe_code, reason = "a map is a borrow of a file, which the compiler cannot watch; `benches/reading.rs`")]
fn map_whole(file: &fs::File) -> std::io::Result<Bytes> {
    // SAFETY: the bytes must not change, nor the file become shorter, while the map is there. Callers map sealed segments
    // alone, whose files nothing here changes; the documentation of `ReadMode::Mmap` asks the same of everybody else.
    let map = unsafe { Mmap::map(file) }?;
    Ok(Bytes::from_owner(map))
}

/// What was used most recently, up to a count and a sum of costs.
#[derive(Debug)]
struct Recent<T> {
    most: u64,
    budget: u64,
    cost: u64,
    uses: u64,
    by_id: BTreeMap<FileId, Kept<T>>,
    by_use: BTreeMap<u64, FileId>,
}

#[derive(Debug)]
struct Kept<T> {
    value: T,
    cost: u64,
    used: u64,
}

impl<T: Clone> Recent<T> {
    const fn new(most: u64, budget: u64) -> Self {
        Self { most, budget, cost: 0, uses: 0, by_id: BTreeMap::new(), by_use: BTreeMap::new() }
    }

    fn find(&mut self, id: FileId) -> Option<T> {
        let kept = self.by_id.get_mut(&id)?;
        self.uses += 1;
        self.by_use.remove(&kept.used);
        self.by_use.insert(self.uses, id);
        kept.used = self.uses;
        Some(kept.value.clone())
    }

    /// Whether something of that cost has room at all.
    const fn takes(&self, cost: u64) -> bool {
        cost <= self.budget
    }

    /// Keeps `value`, and answers what has to go for it.
    fn keep(&mut self, id: FileId, value: T, cost: u64) -> Vec<T> {
        let mut gone: Vec<T> = self.forget(id).into_iter().collect();
        while self.by_id.len() as u64 >= self.most || self.cost.saturating_add(cost) > self.budget {
            let Some((_, oldest)) = self.by_use.first_key_value() else { break };
            gone.extend(self.forget(*oldest));
        }
        self.uses += 1;
        self.by_use.insert(self.uses, id);
        self.by_id.insert(id, Kept { value, cost, used: self.uses });
        self.cost += cost;
        gone
    }

    fn forget(&mut self, id: FileId) -> Option<T> {
        let kept = self.by_id.remove(&id)?;
        self.by_use.remove(&kept.used);
        self.cost -= kept.cost;
        Some(kept.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let mut recent = Recent::new(3, 100);
        for id in 1..=3 {
            assert!(recent.keep(FileId(id), id, 10).is_empty());
        }
        assert_eq!(recent.find(FileId(1)), Some(1));
        assert_eq!(recent.keep(FileId(4), 4, 10), [2], "there are three already");
        assert_eq!(recent.keep(FileId(5), 5, 85), [3, 1], "and then their costs are too high");
        assert!(recent.find(FileId(4)).is_some() && recent.find(FileId(1)).is_none());
        assert_eq!(recent.keep(FileId(5), 6, 20), [5]);
        assert_eq!((recent.cost, recent.by_id.len(), recent.by_use.len()), (30, 2, 2));
        assert_eq!(recent.forget(FileId(4)), Some(4));
        assert!(recent.takes(100) && !recent.takes(101));
    }
}
