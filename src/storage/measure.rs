//! How many bytes lie between two offsets.

use crate::error::Result;
use crate::storage::log::{Log, Segments};
use crate::storage::walk::{Check, Step, Walk};
use crate::types::Offset;

impl Log {
    /// How many bytes the batches take that hold offsets from `from` on and below `to`. Reads a few blocks: from the
    /// index entries before both to where they are.
    pub(crate) fn bytes_between(&self, from: Offset, to: Offset) -> Result<u64> {
        let segments = self.segments.load();
        let [begin, end] = [from, to].map(|offset| bytes_before(&segments, offset));
        Ok(end?.saturating_sub(begin?))
    }
}

/// How many bytes there are in front of the batch that holds `offset`, counted from the first segment.
fn bytes_before(segments: &Segments, offset: Offset) -> Result<u64> {
    let count = segments.partition_point(|segment| segment.base_offset() <= offset);
    let Some(segment) = segments.get(count.saturating_sub(1)) else { return Ok(0) };
    let whole: u64 = segments[..count.saturating_sub(1)].iter().map(|segment| segment.end()).sum();
    let (position, first) = segment.start_for(offset)?;
    let mut walk = Walk::new(segment, position, first, Check::Header).reading(0);
    let mut behind = position;
    while walk.expected() <= offset
        && let Some(step) = walk.next_step()?
    {
        if matches!(step, Step::Batch { batch, .. } if batch.header().last_offset() >= offset) {
            break;
        }
        behind = walk.position();
    }
    Ok(whole + behind)
}
