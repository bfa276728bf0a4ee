//! Where in a segment an offset or a time is to be found: sparse, sorted, and only ever a hint.
//!
//! The index of the active segment grows in memory while readers search it; it is written to its file when the
//! segment is sealed or the log is closed. A sealed segment's index is read on first use. What an index says is
//! checked against the batch that stands there, so a wrong one costs time and never gives a wrong record.

mod offset;
mod time;
mod transaction;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

pub(crate) use offset::{OffsetEntry, OffsetIndex};
pub(crate) use time::{TimeEntry, TimeIndex};
pub use transaction::AbortedTransaction;

/// How many entries the first chunk of an [`AppendOnly`] has; each next one has twice as many.
const FIRST_CHUNK: usize = 32;
/// Enough chunks for 2^32 entries, more than any segment has.
const CHUNKS: usize = 27;

/// A list that one thread appends to while others read it, without a lock.
///
/// Entries never move: they stand in chunks, each twice as long as the one before, that are made when the first entry
/// goes in. `len` is stored after the entry, so whoever sees the length sees the entries.
#[derive(Debug)]
pub(crate) struct AppendOnly<T> {
    chunks: [OnceLock<Box<[OnceLock<T>]>>; CHUNKS],
    len: AtomicUsize,
}

impl<T: Copy> AppendOnly<T> {
    pub(crate) fn new() -> Self {
        Self { chunks: [const { OnceLock::new() }; CHUNKS], len: AtomicUsize::new(0) }
    }

    /// Adds `entry`. Only one thread at a time may do so; it is the one that appends to the segment.
    pub(crate) fn push(&self, entry: T) {
        let index = self.len.load(Ordering::Relaxed);
        let (chunk, at) = Self::place(index);
        let entries = self.chunks[chunk].get_or_init(|| (0..FIRST_CHUNK << chunk).map(|_| OnceLock::new()).collect());
        let is_first = entries[at].set(entry).is_ok();
        debug_assert!(is_first, "two threads append to one segment");
        self.len.store(index + 1, Ordering::Release);
    }

    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    pub(crate) fn get(&self, index: usize) -> Option<T> {
        let (chunk, at) = Self::place(index);
        self.chunks.get(chunk)?.get()?.get(at)?.get().copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = T> {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// How many entries at the front fulfil `holds`, of which none stands behind one that does not.
    pub(crate) fn partition_point(&self, holds: impl Fn(T) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.get(middle).is_some_and(&holds) { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// Chunk and place in it: chunk k begins at entry `FIRST_CHUNK * (2^k - 1)`.
    fn place(index: usize) -> (usize, usize) {
        let rank = index / FIRST_CHUNK + 1;
        let chunk = rank.ilog2() as usize;
        (chunk, index - FIRST_CHUNK * ((1 << chunk) - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_stay_where_they_are_while_the_list_grows() {
        let list = AppendOnly::new();
        for number in 0..10_000usize {
            list.push(number);
            assert_eq!(list.get(number), Some(number));
        }
        assert!(list.iter().eq(0..10_000));
        assert_eq!(list.get(10_000), None);
        assert_eq!(list.partition_point(|number| number < 4321), 4321);
        assert_eq!(list.partition_point(|_| true), 10_000);
        assert_eq!(list.partition_point(|_| false), 0);
    }
}
