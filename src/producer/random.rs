//! Chance for many threads, from one seed.

use std::sync::atomic::{AtomicU64, Ordering};

/// A source of chance (splitmix64).
#[derive(Debug)]
pub(super) struct Random(AtomicU64);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// A number below `count`, each as likely; 0 if there is none.
    pub(super) fn below(&self, count: u64) -> u64 {
        let mut mixed = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let scaled = u128::from(mixed ^ (mixed >> 31)) * u128::from(count);
        u64::try_from(scaled >> 64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_below_and_as_likely() {
        let random = Random::new(7);
        let mut seen = [0_u32; 5];
        (0..5000).for_each(|_| seen[usize::try_from(random.below(5)).unwrap()] += 1);
        assert!(seen.iter().all(|&times| (900..1100).contains(&times)), "{seen:?}");
        assert_eq!((random.below(1), random.below(0)), (0, 0));
    }
}
