//! Records without a key stay with one partition until a batch of them is full, and then go to another.
//!
//! So batches fill, and over time all partitions get as much. The change comes when at least `batch.size` bytes went to
//! the partition and its batch is full, so that no half-full one is left behind; after twice as many it comes anyway.
//!
//! Kafka: `BuiltInPartitioner` (KIP-794).

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// The partition that records of one topic stick to.
#[derive(Debug)]
pub(crate) struct Sticky {
    partition: AtomicU32,
    produced_bytes: AtomicUsize,
    random: AtomicU64,
}

impl Sticky {
    pub(crate) fn new(seed: u64, count: u32) -> Self {
        let sticky =
            Self { partition: AtomicU32::new(0), produced_bytes: AtomicUsize::new(0), random: AtomicU64::new(seed) };
        sticky.partition.store(sticky.pick(count), Ordering::Relaxed);
        sticky
    }

    /// The partition that is having its turn.
    pub(crate) fn current(&self) -> u32 {
        self.partition.load(Ordering::Relaxed)
    }

    /// `bytes` went to `partition`, whose batch is full now, or not.
    pub(crate) fn note(&self, partition: u32, bytes: usize, is_full: bool, batch_size: usize, count: u32) {
        if count < 2 || partition != self.current() {
            return; // another thread has moved on already
        }
        let produced = self.produced_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let is_due = produced >= batch_size && is_full || produced >= batch_size.saturating_mul(2);
        let next = if is_due { self.pick(count) } else { partition };
        // Only one of several threads that find it due changes it.
        if is_due && self.partition.compare_exchange(partition, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.produced_bytes.store(0, Ordering::Relaxed);
        }
    }

    /// One of `count`, each as likely (splitmix64).
    fn pick(&self, count: u32) -> u32 {
        let mut mixed = self.random.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let high = u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or(0);
        u32::try_from((u64::from(high) * u64::from(count)) >> 32).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH: usize = 1000;

    #[test]
    fn moves_on_when_enough_bytes_fill_a_batch() {
        let sticky = Sticky::new(1, 1000);
        let first = sticky.current();
        sticky.note(first, BATCH - 1, true, BATCH, 1000);
        assert_eq!(sticky.current(), first, "not enough bytes");
        sticky.note(first, 1, false, BATCH, 1000);
        assert_eq!(sticky.current(), first, "a batch is open");
        sticky.note(first, 1, true, BATCH, 1000);
        assert_ne!(sticky.current(), first);
    }

    #[test]
    fn moves_on_after_twice_as_many_bytes_in_any_case() {
        let sticky = Sticky::new(1, 1000);
        let first = sticky.current();
        sticky.note(first, 2 * BATCH - 1, false, BATCH, 1000);
        assert_eq!(sticky.current(), first);
        sticky.note(first, 1, false, BATCH, 1000);
        assert_ne!(sticky.current(), first);
    }

    #[test]
    fn all_partitions_have_their_turn() {
        let sticky = Sticky::new(7, 5);
        let mut turns = [0u32; 5];
        for _ in 0..5000 {
            let current = sticky.current();
            turns[usize::try_from(current).unwrap()] += 1;
            sticky.note(current, BATCH, true, BATCH, 5);
        }
        assert!(turns.iter().all(|&turns| (800..1200).contains(&turns)), "{turns:?}");
    }
}
