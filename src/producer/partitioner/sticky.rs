//! Records without a key stay with one partition until a batch of them is full, and then go to another.
//!
//! So batches fill, and over time all partitions get as much. The accumulator says when: a new batch would have to
//! begin, and at least `batch.size` bytes went to the partition since it began to have its turn. So no batch is left
//! half full because records moved on, and nothing has to be counted for a record.
//!
//! The next one is chosen by chance. Adaptive, a partition where batches wait for the writer is the less likely the more
//! of them wait: with queues of 0, 3 and 1 batches the chances are 4 to 1 to 3. Where all have as many, all are as
//! likely.
//!
//! Kafka: `BuiltInPartitioner` (KIP-794), which counts for each record and puts a change off while a batch is open.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::producer::random::Random;

/// The partition that records of one topic stick to.
#[derive(Debug)]
pub(crate) struct Sticky {
    partition: AtomicU32,
    count: u32,
    random: Random,
}

impl Sticky {
    pub(crate) fn new(seed: u64, count: u32) -> Self {
        let sticky = Self { partition: AtomicU32::new(0), count, random: Random::new(seed) };
        sticky.partition.store(sticky.pick(), Ordering::Relaxed);
        sticky
    }

    /// The partition that is having its turn.
    pub(crate) fn current(&self) -> u32 {
        self.partition.load(Ordering::Relaxed)
    }

    /// `partition` has had its turn.
    pub(crate) fn move_on(&self, partition: u32) {
        self.end_turn(partition, self.pick());
    }

    /// `partition` has had its turn; `waiting` tells how many batches wait in each.
    pub(crate) fn move_on_by_load(&self, partition: u32, waiting: impl Iterator<Item = usize> + Clone) {
        self.end_turn(partition, self.pick_by_load(waiting));
    }

    fn end_turn(&self, partition: u32, next: u32) {
        // Of several threads that find its turn over, one ends it; the others see who is next.
        let _ = self.partition.compare_exchange(partition, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Each as likely.
    fn pick(&self) -> u32 {
        u32::try_from(self.random.below(u64::from(self.count))).unwrap_or(0)
    }

    fn pick_by_load(&self, waiting: impl Iterator<Item = usize> + Clone) -> u32 {
        let most = waiting.clone().max().unwrap_or(0);
        // Batches come and go meanwhile: a queue that has become longer than the longest counts as that.
        let weights = waiting.map(|len| (most.saturating_sub(len) + 1) as u64);
        let mut left = self.random.below(weights.clone().sum());
        for (index, weight) in weights.enumerate() {
            if left < weight {
                return u32::try_from(index).unwrap_or(0);
            }
            left -= weight;
        }
        self.pick() // the weights have become less since they were added up
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_partition_whose_turn_it_is_gives_it_up() {
        let sticky = Sticky::new(1, 1000);
        let first = sticky.current();
        sticky.move_on(first + 1);
        assert_eq!(sticky.current(), first);
        sticky.move_on(first);
        assert_ne!(sticky.current(), first);
    }

    /// How often each partition is chosen.
    fn turns(count: u32, choose: impl Fn(&Sticky) -> u32) -> Vec<u32> {
        let sticky = Sticky::new(7, count);
        let mut turns = vec![0; usize::try_from(count).unwrap()];
        (0..8000).for_each(|_| turns[usize::try_from(choose(&sticky)).unwrap()] += 1);
        turns
    }

    #[test]
    fn all_partitions_have_their_turn() {
        for turns in [turns(5, Sticky::pick), turns(5, |sticky| sticky.pick_by_load([2; 5].into_iter()))] {
            assert!(turns.iter().all(|turns| (1450..1750).contains(turns)), "{turns:?}");
        }
    }

    #[test]
    fn queues_of_0_3_and_1_are_chosen_4_to_1_to_3() {
        let turns = turns(3, |sticky| sticky.pick_by_load([0, 3, 1].into_iter()));
        for (turns, expected) in turns.iter().zip([4000, 1000, 3000]) {
            assert!(turns.abs_diff(expected) < 200, "{turns} is not about {expected}");
        }
    }
}
