//! The offset index: from an offset to the file position of a batch at or before it.
//!
//! ```text
//! <base>.index, 8 bytes an entry, big-endian, sorted by offset
//!   0  i32  last offset of a batch, less the segment's base
//!   4  i32  file position where that batch begins
//! ```
//!
//! Kafka: `OffsetIndex`.

use crate::storage::index::AppendOnly;
use crate::types::Offset;

/// One entry, with the offset in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OffsetEntry {
    pub(crate) last_offset: Offset,
    pub(crate) position: u64,
}

/// The entries of one segment.
#[derive(Debug)]
pub(crate) struct OffsetIndex {
    base: Offset,
    entries: AppendOnly<(u32, u32)>,
}

impl OffsetIndex {
    pub(crate) const ENTRY_BYTES: usize = 8;

    pub(crate) fn new(base: Offset) -> Self {
        Self { base, entries: AppendOnly::new() }
    }

    /// Reads what [`encode`](Self::encode) wrote, or Kafka; `None` unless it is sorted and lies within a segment of
    /// `segment_bytes`.
    pub(crate) fn decode(base: Offset, bytes: &[u8], segment_bytes: u64) -> Option<Self> {
        let index = Self::new(base);
        let (entries, rest) = bytes.as_chunks::<{ Self::ENTRY_BYTES }>();
        let mut before = None;
        for entry in entries {
            let [a, b, c, d, e, f, g, h] = *entry;
            let entry = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
            let follows = before.is_none_or(|(offset, position)| entry.0 > offset && entry.1 > position);
            if !follows || entry.0 > i32::MAX.cast_unsigned() || u64::from(entry.1) >= segment_bytes {
                return None;
            }
            index.entries.push(entry);
            before = Some(entry);
        }
        rest.is_empty().then_some(index)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        self.entries
            .iter()
            .flat_map(|(offset, position)| {
                let entry = (u64::from(offset) << 32) | u64::from(position);
                entry.to_be_bytes()
            })
            .collect()
    }

    /// Adds an entry; one that does not fit 31 bits is left out, as the segment is rolled before that matters.
    pub(crate) fn push(&self, entry: OffsetEntry) {
        if let (Ok(offset), Ok(position)) =
            (i32::try_from(entry.last_offset.0 - self.base.0), i32::try_from(entry.position))
        {
            self.entries.push((offset.cast_unsigned(), position.cast_unsigned()));
        }
    }

    /// The last entry at or below `offset`: the batch it leads to ends there or before.
    pub(crate) fn floor(&self, offset: Offset) -> Option<OffsetEntry> {
        let count = self.entries.partition_point(|(relative, _)| self.base.plus(i64::from(relative)) <= offset);
        self.entry(count.checked_sub(1)?)
    }

    /// The first entry whose batch begins behind `position`.
    pub(crate) fn after_position(&self, position: u64) -> Option<OffsetEntry> {
        self.entry(self.entries.partition_point(|(_, at)| u64::from(at) <= position))
    }

    pub(crate) fn last(&self) -> Option<OffsetEntry> {
        self.entry(self.len().checked_sub(1)?)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    fn entry(&self, index: usize) -> Option<OffsetEntry> {
        let (relative, position) = self.entries.get(index)?;
        Some(OffsetEntry { last_offset: self.base.plus(i64::from(relative)), position: u64::from(position) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> OffsetIndex {
        let index = OffsetIndex::new(Offset(100));
        for (offset, position) in [(109, 0), (150, 4200), (200, 9000)] {
            index.push(OffsetEntry { last_offset: Offset(offset), position });
        }
        index
    }

    #[test]
    fn bytes_are_kafkas() {
        // Vector V15 of the format facts.
        let bytes = [0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 50, 0, 0, 0x10, 0x68, 0, 0, 0, 100, 0, 0, 0x23, 0x28];
        assert_eq!(sample().encode(), bytes);
        assert_eq!(OffsetIndex::decode(Offset(100), &bytes, 10_000).unwrap().encode(), bytes);
        assert!(OffsetIndex::decode(Offset(100), &bytes, 9000).is_none(), "a position behind the end");
        assert!(OffsetIndex::decode(Offset(100), &bytes[..20], 10_000).is_none(), "a piece of an entry");
        assert!(OffsetIndex::decode(Offset(100), &[0; 16], 10_000).is_none(), "never trimmed");
    }

    #[test]
    fn floor_is_the_last_entry_at_or_below() {
        let floor = |offset| sample().floor(Offset(offset)).map(|entry| entry.last_offset.0);
        assert_eq!([floor(99), floor(109), floor(120), floor(150)], [None, Some(109), Some(109), Some(150)]);
        assert_eq!(floor(10_000), Some(200));
        assert_eq!(sample().after_position(0).unwrap().position, 4200);
        assert_eq!(sample().after_position(9000), None);
    }
}
