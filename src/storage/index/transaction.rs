//! The transaction index: which aborted transactions end in a segment.
//!
//! ```text
//! <base>.txnindex, 34 bytes an entry, big-endian, in the order of the abort markers
//!    0  i16  version              0
//!    2  i64  producer id
//!   10  i64  first offset         of the transaction
//!   18  i64  last offset          that of its abort marker
//!   26  i64  last stable offset   behind the marker
//! ```
//!
//! The transaction may have begun in an earlier segment. Committed ones have no entry. Kafka: `TransactionIndex`.

use bytes::{Buf, BufMut};

use crate::types::Offset;

/// A transaction that was aborted. Kafka: `AbortedTxn`.
///
/// ```
/// use ottla::Offset;
/// use ottla::replay::AbortedTransaction;
///
/// let entry = [[0; 6].as_slice(), &[0x0f, 0xa0], &[0; 7], &[100], &[0; 7], &[110], &[0; 7], &[111]].concat();
/// let entry = [&[0, 0], entry.as_slice()].concat();
/// let aborted = AbortedTransaction::decode(entry.first_chunk().expect("an entry has 34 bytes")).expect("version 0");
/// assert_eq!((aborted.producer_id, aborted.first_offset, aborted.last_offset), (4000, Offset(100), Offset(110)));
/// assert_eq!(aborted.encode()[..], entry);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Whose it was.
    pub producer_id: i64,
    /// Its first record.
    pub first_offset: Offset,
    /// Its abort marker.
    pub last_offset: Offset,
    /// One past the last offset below which no transaction was open behind the marker.
    pub last_stable_offset: Offset,
}

impl AbortedTransaction {
    /// How long an entry of a transaction index is.
    pub const ENTRY_BYTES: usize = 34;

    /// Reads an entry of a `.txnindex`; `None` if it is of another version than 0.
    #[must_use]
    pub fn decode(entry: &[u8; Self::ENTRY_BYTES]) -> Option<Self> {
        let mut fields = &entry[..];
        let version = fields.get_i16();
        let mut offset = || Offset(fields.get_i64());
        let [producer_id, first_offset, last_offset, last_stable_offset] = [offset(), offset(), offset(), offset()];
        (version == 0).then_some(Self { producer_id: producer_id.0, first_offset, last_offset, last_stable_offset })
    }

    /// Writes such an entry.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::ENTRY_BYTES] {
        let mut entry = [0; Self::ENTRY_BYTES];
        let mut fields = &mut entry[2..];
        fields.put_i64(self.producer_id);
        fields.put_i64(self.first_offset.0);
        fields.put_i64(self.last_offset.0);
        fields.put_i64(self.last_stable_offset.0);
        entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_kafkas() {
        // Vector V17 of the format facts.
        let entry: [u8; 34] = [
            0, 0, 0, 0, 0, 0, 0, 0, 0x0f, 0xa0, 0, 0, 0, 0, 0, 0, 0, 0x64, 0, 0, 0, 0, 0, 0, 0, 0x6e, 0, 0, 0, 0, 0, 0,
            0, 0x6f,
        ];
        let aborted = AbortedTransaction {
            producer_id: 4000,
            first_offset: Offset(100),
            last_offset: Offset(110),
            last_stable_offset: Offset(111),
        };
        assert_eq!(AbortedTransaction::decode(&entry), Some(aborted));
        assert_eq!(aborted.encode(), entry);
    }

    #[test]
    fn version_is_both_bytes() {
        for at in [0, 1] {
            let mut entry = [0; 34];
            entry[at] = 1;
            assert_eq!(AbortedTransaction::decode(&entry), None);
        }
    }
}
