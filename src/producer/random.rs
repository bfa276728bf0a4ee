//! Chance for many threads, from one seed.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::sync::Chance;

/// A [`Chance`] that many threads draw from.
#[derive(Debug)]
pub(super) struct Random(AtomicU64);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// A number below `count`, each as likely; 0 if there is none.
    pub(super) fn below(&self, count: u64) -> u64 {
        let state = self.0.fetch_add(Chance::STEP, Ordering::Relaxed);
        let scaled = u128::from(Chance::at(state)) * u128::from(count);
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
