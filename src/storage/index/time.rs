//! The time index: from a time to an offset before which every record is older.
//!
//! ```text
//! <base>.timeindex, 12 bytes an entry, big-endian, sorted by both
//!   0  i64  the largest timestamp in the segment so far
//!   8  i32  last offset of the first batch that has it, less the segment's base
//! ```
//!
//! So every record behind that offset that was appended before the next entry is not newer. Kafka: `TimeIndex`.

use crate::record::BatchHeader;
use crate::storage::index::AppendOnly;
use crate::types::{Offset, Timestamp};

/// One entry, with the offset in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeEntry {
    pub(crate) timestamp: Timestamp,
    pub(crate) offset: Offset,
}

impl TimeEntry {
    /// That of a batch with the largest timestamp so far.
    pub(crate) fn of(header: &BatchHeader) -> Self {
        Self { timestamp: header.max_timestamp, offset: header.last_offset() }
    }
}

/// The entries of one segment.
#[derive(Debug)]
pub(crate) struct TimeIndex {
    base: Offset,
    entries: AppendOnly<(i64, u32)>,
}

impl TimeIndex {
    pub(crate) const ENTRY_BYTES: usize = 12;

    pub(crate) fn new(base: Offset) -> Self {
        Self { base, entries: AppendOnly::new() }
    }

    /// Reads what [`encode`](Self::encode) wrote, or Kafka; `None` unless it is sorted.
    pub(crate) fn decode(base: Offset, bytes: &[u8]) -> Option<Self> {
        let index = Self::new(base);
        let (entries, rest) = bytes.as_chunks::<{ Self::ENTRY_BYTES }>();
        let mut before = (-1, 0);
        for entry in entries {
            let [a, b, c, d, e, f, g, h, i, j, k, l] = *entry;
            let entry = (i64::from_be_bytes([a, b, c, d, e, f, g, h]), u32::from_be_bytes([i, j, k, l]));
            if entry.0 <= before.0 || entry.1 < before.1 || entry.1 > i32::MAX.cast_unsigned() {
                return None;
            }
            index.entries.push(entry);
            before = entry;
        }
        rest.is_empty().then_some(index)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.entries.len() * Self::ENTRY_BYTES);
        for (timestamp, relative) in self.entries.iter() {
            bytes.extend_from_slice(&timestamp.to_be_bytes());
            bytes.extend_from_slice(&relative.to_be_bytes());
        }
        bytes
    }

    /// Adds `entry` if it is newer than all before it, as Kafka does; "no timestamp" never is.
    pub(crate) fn push(&self, entry: TimeEntry) {
        let is_newer = entry.timestamp > self.last().map_or(Timestamp::NONE, |last| last.timestamp);
        if let (true, Ok(relative)) = (is_newer, i32::try_from(entry.offset.0 - self.base.0)) {
            self.entries.push((entry.timestamp.0, relative.cast_unsigned()));
        }
    }

    /// The last entry that is older than `timestamp`: no record up to its offset is as new as that.
    pub(crate) fn before(&self, timestamp: Timestamp) -> Option<TimeEntry> {
        self.entry(self.entries.partition_point(|(time, _)| time < timestamp.0).checked_sub(1)?)
    }

    pub(crate) fn last(&self) -> Option<TimeEntry> {
        self.entry(self.len().checked_sub(1)?)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    fn entry(&self, index: usize) -> Option<TimeEntry> {
        let (timestamp, relative) = self.entries.get(index)?;
        Some(TimeEntry { timestamp: Timestamp(timestamp), offset: self.base.plus(i64::from(relative)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_kafkas() {
        // Vector V16 of the format facts: the second entry is not newer, so it stays out.
        const T: i64 = 1_700_000_000_000;
        let index = TimeIndex::new(Offset(100));
        for (timestamp, offset) in [(T, 109), (T, 150), (T + 500, 200)] {
            index.push(TimeEntry { timestamp: Timestamp(timestamp), offset: Offset(offset) });
        }
        index.push(TimeEntry { timestamp: Timestamp::NONE, offset: Offset(201) });
        let bytes = index.encode();
        assert_eq!(bytes[..12], [0, 0, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0, 0, 0, 0, 9]);
        assert_eq!(bytes[12..], [0, 0, 0x01, 0x8b, 0xcf, 0xe5, 0x69, 0xf4, 0, 0, 0, 100]);
        assert_eq!(TimeIndex::decode(Offset(100), &bytes).unwrap().encode(), bytes);
        assert!(TimeIndex::decode(Offset(100), &[0; 24]).is_none(), "never trimmed");
        assert_eq!(index.before(Timestamp(T)), None);
        assert_eq!(index.before(Timestamp(T + 1)).unwrap().offset, Offset(109));
        assert_eq!(index.before(Timestamp(T + 501)).unwrap().offset, Offset(200));
    }
}
