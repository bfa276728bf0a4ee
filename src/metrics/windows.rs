//! Rates, averages and maxima of what happened lately: the last few windows of time, the one that is going on among
//! them.
//!
//! ```text
//!    dropped     |  window 4  |  window 5  |  window 6 ...       metrics.num.samples = 3
//!                                               ^ now
//!    a rate is what these three counted, by the time since window 4 began
//! ```
//!
//! A window keeps a sum, a count and the largest, so what is noted costs a few additions, and nothing is allocated but
//! once a window. There is no lock in here: who shares one has a lock around all of them, and takes it once a batch.

use std::collections::VecDeque;
use std::time::Duration;

use crate::sync::Moment;

/// How far back to look. Kafka: `metrics.num.samples`, `metrics.sample.window.ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Windows {
    /// At least 1.
    pub(crate) count: u32,
    /// More than nothing.
    pub(crate) length: Duration,
}

/// How often something happens: in all, and by the second.
#[derive(Debug)]
pub(crate) struct Meter {
    total: u64,
    recent: Recent,
}

/// How large something is: on average and at the most.
#[derive(Debug)]
pub(crate) struct Stat {
    recent: Recent,
}

impl Meter {
    pub(crate) fn new(windows: Windows, now: Moment) -> Self {
        Self { total: 0, recent: Recent::new(windows, now) }
    }

    /// It happened `count` times.
    pub(crate) fn mark(&mut self, now: Moment, count: u64) {
        self.total += count;
        // Exact up to 2^53, and a rate has no use for more.
        self.recent.note(now, count as f64);
    }

    /// How often since it was made.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// How often by the second. In the first second as if that were over: else a single event would be a thousand.
    pub(crate) fn rate(&self, now: Moment) -> f64 {
        let covered = self.recent.covered(now).max(Duration::from_secs(1));
        // Folded: the sum of no numbers is -0.
        self.recent.live(now).fold(0.0, |sum, window| sum + window.sum) / covered.as_secs_f64()
    }
}

impl Stat {
    pub(crate) fn new(windows: Windows, now: Moment) -> Self {
        Self { recent: Recent::new(windows, now) }
    }

    /// It was `value` once more.
    pub(crate) fn note(&mut self, now: Moment, value: f64) {
        self.recent.note(now, value);
    }

    /// The average, or not a number if it was not seen lately.
    pub(crate) fn avg(&self, now: Moment) -> f64 {
        let both = |(sum, count), window: &Window| (sum + window.sum, count + window.count);
        let (sum, count) = self.recent.live(now).fold((0.0, 0), both);
        sum / count as f64
    }

    /// The largest, or not a number.
    pub(crate) fn max(&self, now: Moment) -> f64 {
        self.recent.live(now).map(|window| window.max).fold(f64::NAN, f64::max)
    }
}

/// The windows that count, oldest first; those in which nothing happened are left out.
#[derive(Debug)]
struct Recent {
    windows: Windows,
    begun: Moment,
    kept: VecDeque<Window>,
}

#[derive(Debug)]
struct Window {
    /// Counted from when the first one began.
    number: u64,
    sum: f64,
    count: u64,
    max: f64,
}

impl Recent {
    fn new(windows: Windows, now: Moment) -> Self {
        debug_assert!(windows.count > 0 && !windows.length.is_zero());
        Self { windows, begun: now, kept: VecDeque::new() }
    }

    fn number(&self, now: Moment) -> u64 {
        let number = now.since(self.begun).as_nanos() / self.windows.length.as_nanos().max(1);
        u64::try_from(number).unwrap_or(u64::MAX)
    }

    /// The oldest that counts.
    fn oldest(&self, now: Moment) -> u64 {
        self.number(now).saturating_sub(u64::from(self.windows.count) - 1)
    }

    fn note(&mut self, now: Moment, value: f64) {
        let (number, oldest) = (self.number(now), self.oldest(now));
        while self.kept.front().is_some_and(|window| window.number < oldest) {
            self.kept.pop_front();
        }
        match self.kept.back_mut() {
            // Of two threads that ask for the time one after the other, either may come here first.
            Some(newest) if newest.number >= number => newest.add(value),
            _ => self.kept.push_back(Window { number, sum: value, count: 1, max: value }),
        }
    }

    fn live(&self, now: Moment) -> impl Iterator<Item = &Window> {
        let oldest = self.oldest(now);
        self.kept.iter().filter(move |window| window.number >= oldest)
    }

    /// How much time the windows cover, full or empty.
    fn covered(&self, now: Moment) -> Duration {
        let oldest = self.oldest(now);
        let begins = self.windows.length.as_nanos().saturating_mul(u128::from(oldest));
        let begins = Duration::from_nanos(u64::try_from(begins).unwrap_or(u64::MAX));
        now.since(self.begun + begins)
    }
}

impl Window {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
        self.max = self.max.max(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOWS: Windows = Windows { count: 2, length: Duration::from_secs(30) };

    fn at(secs: u64) -> Moment {
        Moment(Duration::from_secs(1000 + secs))
    }

    #[test]
    fn rate_is_that_of_the_windows_that_count() {
        let mut meter = Meter::new(WINDOWS, at(0));
        meter.mark(at(0), 5);
        assert_eq!(meter.rate(at(0)), 5.0, "as if a second were over");
        assert_eq!(meter.rate(at(10)), 0.5);
        meter.mark(at(40), 35);
        assert_eq!(meter.rate(at(40)), 1.0, "both windows count");
        assert_eq!(meter.rate(at(65)), 1.0, "35 in the 35 seconds since the second window began");
        assert_eq!(meter.rate(at(1000)).to_string(), "0", "and not -0");
        assert_eq!(meter.total(), 40);
    }

    #[test]
    fn values_are_forgotten_with_their_window() {
        let mut stat = Stat::new(WINDOWS, at(0));
        let shown = |stat: &Stat, now| (stat.avg(now), stat.max(now));
        assert!(stat.avg(at(0)).is_nan() && stat.max(at(0)).is_nan());
        stat.note(at(1), 9.0);
        stat.note(at(2), 1.0);
        stat.note(at(31), 2.0);
        assert_eq!(shown(&stat, at(31)), (4.0, 9.0));
        assert_eq!(shown(&stat, at(61)), (2.0, 2.0));
        stat.note(at(60), 4.0); // from a thread that asked for the time a little earlier
        assert_eq!(stat.recent.kept.len(), 2);
        assert_eq!(shown(&stat, at(61)), (3.0, 4.0));
        assert!(stat.max(at(500)).is_nan());
    }

    #[test]
    fn time_that_goes_back_between_threads_is_no_harm() {
        let mut stat = Stat::new(WINDOWS, at(100));
        stat.note(at(131), 1.0);
        stat.note(at(129), 3.0);
        stat.note(at(50), 5.0);
        assert_eq!(stat.avg(at(131)), 3.0);
        assert!(Meter::new(WINDOWS, at(100)).rate(at(50)).abs() < f64::EPSILON);
    }
}
