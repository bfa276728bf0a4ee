//! How long a batch that the writer could not take waits for its next attempt.
//!
//! Twice as long after each attempt, a fifth more or less by chance so that partitions that failed together do not come
//! back together, and never longer than the most.
//!
//! Kafka: `ExponentialBackoff`.

use std::time::Duration;

use crate::producer::random::Random;

/// What chance may add or take away, in thousandths.
const JITTER: u64 = 200;

/// The waits between attempts.
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    most: Duration,
    random: Random,
}

impl Backoff {
    pub(super) const fn new(first: Duration, most: Duration, seed: u64) -> Self {
        Self { first, most, random: Random::new(seed) }
    }

    /// How long to wait after so many attempts have failed.
    pub(super) fn after(&self, attempts: u32) -> Duration {
        if self.most <= self.first {
            return self.most;
        }
        let doublings = attempts.saturating_sub(1).min(31);
        let wait = self.first.saturating_mul(1 << doublings).min(self.most);
        let thousandths = 1000 - JITTER + self.random.below(2 * JITTER + 1);
        (wait.saturating_mul(u32::try_from(thousandths).unwrap_or(1000)) / 1000).min(self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_doubles_give_or_take_a_fifth_up_to_the_most() {
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(1000), 1);
        for (attempts, wait) in [(1, 100), (2, 200), (3, 400), (4, 800), (5, 1000), (6, 1000), (u32::MAX, 1000)] {
            let mut seen = Vec::new();
            for _ in 0..200 {
                let millis = u64::try_from(backoff.after(attempts).as_millis()).unwrap();
                assert!((wait * 8 / 10..=(wait * 12 / 10).min(1000)).contains(&millis), "{attempts}: {millis}");
                seen.push(millis);
            }
            assert!(seen.iter().max() > seen.iter().min(), "by chance");
        }
    }

    #[test]
    fn most_that_is_less_than_the_first_is_the_wait() {
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(40), 1);
        assert!((1..10).all(|attempts| backoff.after(attempts) == Duration::from_millis(40)));
        assert_eq!(Backoff::new(Duration::ZERO, Duration::ZERO, 1).after(3), Duration::ZERO);
    }
}
