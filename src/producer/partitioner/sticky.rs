//! Records without a key stay with one partition until a batch of them is full, and then go to another.
//!
//! So batches fill, and over time all partitions get as much. The accumulator says when: a new batch would have to
//! begin, and at least `batch.size` bytes went to the partition since it began to have its turn. So no batch is left
//! half full because records moved on, and nothing has to be counted for a record.
//!
//! Kafka: `BuiltInPartitioner` (KIP-794), which counts for each record and puts a change off while a batch is open.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The partition that records of one topic stick to.
#[derive(Debug)]
pub(crate) struct Sticky {
    partition: AtomicU32,
    random: AtomicU64,
}

impl Sticky {
    pub(crate) fn new(seed: u64, count: u32) -> Self {
        let sticky = Self { partition: AtomicU32::new(0), random: AtomicU64::new(seed) };
        sticky.partition.store(sticky.pick(count), Ordering::Relaxed);
        sticky
    }

    /// The partition that is having its turn.
    pub(crate) fn current(&self) -> u32 {
        self.partition.load(Ordering::Relaxed)
    }

    /// `partition`, of `count`, has had its turn.
    pub(crate) fn move_on(&self, partition: u32, count: u32) {
        let next = self.pick(count);
        // Of several threads that find its turn over, one ends it; the others see who is next.
        let _ = self.partition.compare_exchange(partition, next, Ordering::Relaxed, Ordering::Relaxed);
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

    #[test]
    fn only_the_partition_whose_turn_it_is_gives_it_up() {
        let sticky = Sticky::new(1, 1000);
        let first = sticky.current();
        sticky.move_on(first + 1, 1000);
        assert_eq!(sticky.current(), first);
        sticky.move_on(first, 1000);
        assert_ne!(sticky.current(), first);
    }

    #[test]
    fn all_partitions_have_their_turn() {
        let sticky = Sticky::new(7, 5);
        let mut turns = [0u32; 5];
        for _ in 0..5000 {
            let current = sticky.current();
            turns[usize::try_from(current).unwrap()] += 1;
            sticky.move_on(current, 5);
        }
        assert!(turns.iter().all(|&turns| (900..1100).contains(&turns)), "{turns:?}");
    }
}
