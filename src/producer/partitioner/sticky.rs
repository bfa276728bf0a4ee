//! Records without a key stay with one partition until a batch of them is full, and then go to another.
//!
//! So batches fill, and over time all partitions get as much. The change comes when at least `batch.size` bytes went to
//! the partition and its newest batch is full, so that no half-full one is left behind; after twice as many it comes
//! anyway. What counts is by how much a record makes its batch grow.
//!
//! Whose turn it is changes only under the lock of the queue of the partition that has it. So between
//! [`keeps`](Sticky::keeps) and [`note`](Sticky::note) under that lock it stays, and plain loads and stores will do:
//! whoever may store holds the lock that everybody who may store has to hold.
//!
//! Kafka: `BuiltInPartitioner` (KIP-794).

use std::sync::atomic::{AtomicU64, Ordering};

/// The partition that records of one topic stick to.
#[derive(Debug)]
pub(crate) struct Sticky {
    /// How many partitions take turns.
    count: u32,
    batch_size: u32,
    /// The partition that has its turn, and how many bytes went to it: the upper and the lower half.
    turn: AtomicU64,
    random: AtomicU64,
}

impl Sticky {
    /// Takes turns among `count` partitions, in an order that follows from `seed`.
    pub(crate) fn new(seed: u64, count: u32, batch_size: usize) -> Self {
        let batch_size = u32::try_from(batch_size).unwrap_or(u32::MAX).max(1); // or a turn would end before it began
        let sticky = Self { count, batch_size, turn: AtomicU64::new(0), random: AtomicU64::new(seed) };
        sticky.begin_turn();
        sticky
    }

    /// The partition that is having its turn.
    pub(crate) fn current(&self) -> u32 {
        self.turn().0
    }

    /// Whether `partition`, whose newest batch is full or not, still has its turn. A change that was put off until the
    /// batch is full comes now. The caller holds the lock of the partition's queue.
    pub(crate) fn keeps(&self, partition: u32, is_full: bool) -> bool {
        if self.count == 1 {
            return true;
        }
        let (current, bytes) = self.turn();
        if current != partition {
            return false;
        }
        self.change_if_due(bytes, is_full);
        self.current() == partition
    }

    /// A record made a batch of `partition` grow by `bytes`; the batch is full now, or not. The caller holds the lock
    /// of the partition's queue since [`keeps`](Self::keeps).
    pub(crate) fn note(&self, partition: u32, bytes: usize, is_full: bool) {
        if self.count == 1 {
            return;
        }
        let (current, before) = self.turn();
        debug_assert_eq!(current, partition, "turns change under the lock that the caller holds");
        let bytes = before.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        self.set_turn(partition, bytes);
        self.change_if_due(bytes, is_full);
    }

    fn change_if_due(&self, bytes: u32, is_full: bool) {
        if bytes >= self.batch_size && is_full || bytes >= self.batch_size.saturating_mul(2) {
            self.begin_turn();
        }
    }

    /// Gives the turn to any partition; the one that had it may get it again.
    fn begin_turn(&self) {
        self.set_turn(self.pick(), 0);
    }

    fn turn(&self) -> (u32, u32) {
        let turn = self.turn.load(Ordering::Acquire);
        let half = |bits: u64| u32::try_from(bits & u64::from(u32::MAX)).unwrap_or(0);
        (half(turn >> 32), half(turn))
    }

    fn set_turn(&self, partition: u32, bytes: u32) {
        self.turn.store(u64::from(partition) << 32 | u64::from(bytes), Ordering::Release);
    }

    /// One of all, each as likely (splitmix64).
    fn pick(&self) -> u32 {
        let mut mixed = self.random.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let high = u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or(0);
        u32::try_from((u64::from(high) * u64::from(self.count)) >> 32).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH: usize = 1000;

    #[test]
    fn moves_on_when_enough_bytes_fill_a_batch() {
        let sticky = Sticky::new(1, 1000, BATCH);
        let first = sticky.current();
        sticky.note(first, BATCH - 1, true);
        assert_eq!(sticky.current(), first, "not enough bytes");
        sticky.note(first, 1, false);
        assert_eq!(sticky.current(), first, "a batch is open");
        sticky.note(first, 1, true);
        assert_ne!(sticky.current(), first);
    }

    #[test]
    fn change_that_was_put_off_comes_when_the_batch_turns_out_to_be_full() {
        let sticky = Sticky::new(1, 1000, BATCH);
        let first = sticky.current();
        sticky.note(first, BATCH, false);
        assert!(sticky.keeps(first, false));
        assert!(!sticky.keeps(first, true), "the next record did not fit");
        assert!(!sticky.keeps(first, false), "and the turn does not come back");
    }

    #[test]
    fn moves_on_after_twice_as_many_bytes_in_any_case() {
        let sticky = Sticky::new(1, 1000, BATCH);
        let first = sticky.current();
        sticky.note(first, 2 * BATCH - 1, false);
        assert_eq!(sticky.current(), first);
        sticky.note(first, 1, false);
        assert_ne!(sticky.current(), first);
    }

    #[test]
    fn all_partitions_have_their_turn() {
        let sticky = Sticky::new(7, 5, BATCH);
        let mut turns = [0u32; 5];
        for _ in 0..5000 {
            let current = sticky.current();
            turns[usize::try_from(current).unwrap()] += 1;
            sticky.note(current, BATCH, true);
        }
        assert!(turns.iter().all(|&turns| (800..1200).contains(&turns)), "{turns:?}");
    }

    #[test]
    fn one_seed_gives_one_order() {
        let order = |seed| {
            let sticky = Sticky::new(seed, 1000, 0);
            [(); 20].map(|()| {
                let current = sticky.current();
                sticky.note(current, 1, true);
                current
            })
        };
        assert_eq!(order(3), order(3));
        assert_ne!(order(3), order(4));
    }
}
