//! How well the records of a topic compress: an estimate, so that batches are full when they are compressed.
//!
//! It begins with "not at all". After each batch it moves towards what that came to: down by half a hundredth at most,
//! up by five hundredths at least. So it forgets good luck fast, since a batch that is larger than it should be costs
//! more than one that is smaller.
//!
//! Kafka: `CompressionRatioEstimator`.

use std::sync::atomic::{AtomicU32, Ordering};

/// The estimate counts in thousandths.
const ONE: u32 = 1000;
const DOWN_AT_MOST: u32 = 5;
const UP_AT_LEAST: u32 = 50;

/// The estimate for one topic; its partitions share it.
#[derive(Debug)]
pub(super) struct CompressionRatio(AtomicU32);

impl CompressionRatio {
    pub(super) const fn new() -> Self {
        Self(AtomicU32::new(ONE))
    }

    /// How many bytes of records become `packed` bytes.
    pub(super) fn unpacked_len(&self, packed: usize) -> usize {
        scale(packed, ONE * 20, self.with_margin())
    }

    /// How many bytes `unpacked` bytes of records become.
    pub(super) fn packed_len(&self, unpacked: usize) -> usize {
        scale(unpacked, self.with_margin(), ONE * 20)
    }

    /// The estimate and a twentieth of it, in twentieths.
    fn with_margin(&self) -> u32 {
        self.0.load(Ordering::Relaxed) * 21
    }

    /// Learns that `unpacked` bytes became `packed` bytes.
    pub(super) fn observe(&self, unpacked: usize, packed: usize) {
        let observed = scale(packed, ONE, u32::try_from(unpacked).unwrap_or(u32::MAX));
        let observed = u32::try_from(observed).unwrap_or(ONE).clamp(1, ONE);
        // Of two at once one may be lost; there are always more.
        let estimate = self.0.load(Ordering::Relaxed);
        let moved = if observed > estimate {
            observed.max(estimate + UP_AT_LEAST)
        } else {
            observed.max(estimate.saturating_sub(DOWN_AT_MOST))
        };
        self.0.store(moved.min(ONE), Ordering::Relaxed);
    }
}

/// `len * by / of`.
fn scale(len: usize, by: u32, of: u32) -> usize {
    let scaled = len as u128 * u128::from(by) / u128::from(of.max(1));
    usize::try_from(scaled).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimate_goes_down_slowly_and_up_at_once() {
        let ratio = CompressionRatio::new();
        let estimate = || ratio.0.load(Ordering::Relaxed);
        ratio.observe(1000, 250);
        assert_eq!(estimate(), 995);
        (0..200).for_each(|_| ratio.observe(1000, 250));
        assert_eq!(estimate(), 250, "it stays where it was seen");
        ratio.observe(1000, 260);
        assert_eq!(estimate(), 300);
        ratio.observe(1000, 900);
        assert_eq!(estimate(), 900);
        ratio.observe(10, 4000);
        assert_eq!(estimate(), 1000, "such a batch is not compressed");
    }

    #[test]
    fn lengths_have_a_margin() {
        let ratio = CompressionRatio::new();
        assert_eq!((ratio.packed_len(1000), ratio.unpacked_len(1050)), (1050, 1000));
        (0..200).for_each(|_| ratio.observe(1000, 200));
        assert_eq!((ratio.packed_len(10_000), ratio.unpacked_len(2100)), (2100, 10_000));
        ratio.observe(0, 0);
        assert_eq!(ratio.unpacked_len(usize::MAX), usize::MAX);
    }
}
