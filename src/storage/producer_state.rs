//! Snapshots of what a log remembers of its producers, `<offset>.snapshot`. Which of them there are, and when they are
//! written, is in [`producers`](crate::storage::producers).
//!
//! ```text
//!    0  i16  version             1
//!    2  u32  CRC-32C             of all that follows it, up to the end of the file
//!    6  i32  count               of the entries, one behind the other
//!
//!   entry, 46 bytes
//!    0  i64  producer id
//!    8  i16  producer epoch
//!   10  i32  last sequence       of the last batch; -1 if none is remembered
//!   14  i64  last offset         of the last batch; -1 if none is remembered
//!   22  i32  offset delta        from the first to the last offset of that batch
//!   26  i64  timestamp           the last batch's greatest one, or that of the marker behind it
//!   34  i32  coordinator epoch   -1 none
//!   38  i64  transaction         where the open transaction began; -1 if none is open
//! ```
//!
//! All numbers are big-endian. Ours stand by id, Kafka's in any order. Kafka wants a snapshot at the log end of a log that
//! was closed cleanly, or else it goes through the log for producers. Kafka: `ProducerStateManager`.

use std::fmt;

use bytes::{Buf, BufMut};
use crc_fast::CrcAlgorithm;

use crate::error::Result;
use crate::io::Dir;
use crate::storage::files::{parse_segment_name, segment_name};
use crate::types::{Offset, Timestamp};

/// What a file of that kind is called behind its offset.
pub(crate) const SNAPSHOT: &str = "snapshot";
/// How many producers one may have: 256 MiB of them.
pub(crate) const MOST_PRODUCERS: usize = (256 << 20) / ENTRY_BYTES;
/// How large one may be.
pub(crate) const SNAPSHOT_LIMIT: u64 = (ENTRIES_AT + MOST_PRODUCERS * ENTRY_BYTES) as u64;

const VERSION: i16 = 1;
const CONTENT_AT: usize = 6;
const ENTRIES_AT: usize = 10;
const ENTRY_BYTES: usize = 46;

/// What a log remembers of one producer. Kafka: `ProducerStateEntry`, with the one batch of it that is stored.
///
/// ```
/// use std::ops::ControlFlow;
/// use ottla::replay::{DumpOptions, Dumped, dump};
///
/// # let data = tempfile::tempdir().expect("a temporary directory");
/// # let path = data.path().join("00000000000000000124.snapshot");
/// # let front = b"\0\x01\xb4\x7d\x0d\xad\0\0\0\x01\0\0\0\0\0\0\x0f\xa0\0\x02\0\0\0\x09\0\0\0\0\0\0\0\x7b\0\0\0\x04";
/// # let rest = b"\0\0\x01\x8b\xcf\xe5\x68\0\0\0\0\x07\0\0\0\0\0\0\0\x64";
/// # std::fs::write(&path, [&front[..], rest].concat()).expect("it can be written");
/// let findings = dump(&path, &DumpOptions::default(), |entry| {
///     if let Dumped::Producer { state, .. } = entry {
///         assert_eq!((state.producer_id, state.last_sequence, state.offset_delta), (4000, 9, 4));
///     }
///     ControlFlow::Continue(())
/// })?;
/// assert_eq!(findings, 0);
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProducerState {
    /// Its id.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i16,
    /// The sequence number of the last record of its last batch; -1 if no batch is remembered.
    pub last_sequence: i32,
    /// The offset of that record; -1 if no batch is remembered.
    pub last_offset: Offset,
    /// How far that record lies behind the first one of the batch, in offsets.
    pub offset_delta: i32,
    /// When it appended last, by the clock of its records; a marker counts.
    pub last_timestamp: Timestamp,
    /// The epoch of the coordinator that ended its last transaction; -1 if none did.
    pub coordinator_epoch: i32,
    /// The first offset of its open transaction; -1 if none is open.
    pub current_txn_first_offset: Offset,
}

impl ProducerState {
    /// Where in a snapshot the entry with that number stands; the first one has number 0.
    pub(crate) const fn file_position(number: usize) -> u64 {
        (ENTRIES_AT + number * ENTRY_BYTES) as u64
    }

    fn decode(bytes: &[u8; ENTRY_BYTES]) -> Self {
        let mut fields = &bytes[..];
        Self {
            producer_id: fields.get_i64(),
            producer_epoch: fields.get_i16(),
            last_sequence: fields.get_i32(),
            last_offset: Offset(fields.get_i64()),
            offset_delta: fields.get_i32(),
            last_timestamp: Timestamp(fields.get_i64()),
            coordinator_epoch: fields.get_i32(),
            current_txn_first_offset: Offset(fields.get_i64()),
        }
    }

    fn encode(&self, into: &mut Vec<u8>) {
        into.put_i64(self.producer_id);
        into.put_i16(self.producer_epoch);
        into.put_i32(self.last_sequence);
        into.put_i64(self.last_offset.0);
        into.put_i32(self.offset_delta);
        into.put_i64(self.last_timestamp.0);
        into.put_i32(self.coordinator_epoch);
        into.put_i64(self.current_txn_first_offset.0);
    }
}

/// What is wrong with the bytes of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SnapshotFault {
    /// It has fewer bytes than one without entries.
    TooShort { bytes: usize },
    /// It is of a version that Kafka does not have.
    Version { stored: i16 },
    /// The checksum does not hold.
    Crc { stored: u32, computed: u32 },
    /// It says that it has a negative number of entries, or more than it has bytes for.
    Count { stored: i32, room: usize },
    /// Bytes are left behind the last entry.
    LeftOver { bytes: usize },
}

impl SnapshotFault {
    /// Where in the file it is.
    pub(crate) fn position(self, len: usize) -> u64 {
        let at = match self {
            Self::TooShort { bytes } => bytes,
            Self::Version { .. } => 0,
            Self::Crc { .. } => 2,
            Self::Count { .. } => CONTENT_AT,
            Self::LeftOver { bytes } => len.saturating_sub(bytes),
        };
        at as u64
    }
}

impl fmt::Display for SnapshotFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { bytes } => write!(f, "it has {bytes} bytes, and a snapshot has {ENTRIES_AT} or more"),
            Self::Version { stored } => write!(f, "its version is {stored} instead of {VERSION}"),
            Self::Crc { stored, computed } => {
                write!(f, "its checksum is {stored:08x}, and {computed:08x} is that of the bytes")
            }
            Self::Count { stored, room } => write!(f, "it says that it has {stored} entries, and has room for {room}"),
            Self::LeftOver { bytes } => write!(f, "{bytes} bytes are left behind its last entry"),
        }
    }
}

/// What can be read of a snapshot, and what is wrong with it: nothing is to be trusted then.
pub(crate) fn read_snapshot(bytes: &[u8]) -> (Vec<ProducerState>, Option<SnapshotFault>) {
    let mut fields = bytes;
    if bytes.len() < ENTRIES_AT {
        return (Vec::new(), Some(SnapshotFault::TooShort { bytes: bytes.len() }));
    }
    let (version, crc, count) = (fields.get_i16(), fields.get_u32(), fields.get_i32());
    if version != VERSION {
        return (Vec::new(), Some(SnapshotFault::Version { stored: version }));
    }
    let (entries, _) = fields.as_chunks::<ENTRY_BYTES>();
    let counted = usize::try_from(count).ok().and_then(|count| entries.get(..count));
    let left_over = fields.len() - counted.unwrap_or(entries).len() * ENTRY_BYTES;
    let computed = checksum(&bytes[CONTENT_AT..]);
    let fault = if computed != crc {
        // Kafka overwrites in place without cutting the file: then the checksum is that of the front.
        let is_front = left_over > 0 && checksum(&bytes[CONTENT_AT..bytes.len() - left_over]) == crc;
        Some(if is_front && counted.is_some() {
            SnapshotFault::LeftOver { bytes: left_over }
        } else {
            SnapshotFault::Crc { stored: crc, computed }
        })
    } else if counted.is_none() {
        Some(SnapshotFault::Count { stored: count, room: entries.len() })
    } else {
        (left_over > 0).then_some(SnapshotFault::LeftOver { bytes: left_over })
    };
    (counted.unwrap_or(entries).iter().map(ProducerState::decode).collect(), fault)
}

/// The bytes of a snapshot.
pub(crate) fn encode_snapshot<'a>(
    producers: impl IntoIterator<Item = &'a ProducerState, IntoIter: ExactSizeIterator>,
) -> Vec<u8> {
    let producers = producers.into_iter();
    let mut bytes = Vec::with_capacity(ENTRIES_AT + producers.len() * ENTRY_BYTES);
    bytes.put_i16(VERSION);
    bytes.put_u32(0);
    bytes.put_i32(i32::try_from(producers.len()).expect("a file has room for no more"));
    producers.for_each(|producer| producer.encode(&mut bytes));
    let crc = checksum(&bytes[CONTENT_AT..]);
    bytes[2..CONTENT_AT].copy_from_slice(&crc.to_be_bytes());
    bytes
}

fn checksum(bytes: &[u8]) -> u32 {
    u32::try_from(crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes)).expect("a CRC-32 has 32 bits")
}

/// Whether a file of that name is a snapshot.
pub(crate) fn is_snapshot(name: &str) -> bool {
    matches!(parse_segment_name(name), Some((_, SNAPSHOT)))
}

/// Whether the one snapshot in `dir` is that of a log which ends at `log_end`.
pub(crate) fn has_only_snapshot(dir: &dyn Dir, log_end: Offset) -> Result<bool> {
    let mut snapshots = dir.names()?.into_iter().filter(|name| is_snapshot(name));
    let is_there = snapshots.next().is_some_and(|name| name == segment_name(log_end, SNAPSHOT));
    Ok(is_there && snapshots.next().is_none())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;

    /// Vector V18 of the format facts.
    const ONE: &str = "0001b47d0dad000000010000000000000fa0000200000009000000000000007b000000040000018bcfe5680000\
                       0000070000000000000064";

    fn sample() -> ProducerState {
        ProducerState {
            producer_id: 4000,
            producer_epoch: 2,
            last_sequence: 9,
            last_offset: Offset(123),
            offset_delta: 4,
            last_timestamp: Timestamp(1_700_000_000_000),
            coordinator_epoch: 7,
            current_txn_first_offset: Offset(100),
        }
    }

    fn unhex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> =
            text.bytes().map(|digit| u8::try_from(char::from(digit).to_digit(16).unwrap()).unwrap()).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    #[test]
    fn bytes_are_kafkas() {
        assert_eq!(encode_snapshot(&[sample()]), unhex(ONE));
        assert_eq!(read_snapshot(&unhex(ONE)), (vec![sample()], None));
        // Vector V19.
        assert_eq!(encode_snapshot(&[]), unhex("000148674bc700000000"));
        assert_eq!(read_snapshot(&unhex("000148674bc700000000")), (vec![], None));
    }

    #[test]
    fn every_fault_is_named() {
        let whole = encode_snapshot(&[sample(), sample()]);
        let fault = |bytes: &[u8]| read_snapshot(bytes).1;
        assert_eq!(fault(&[]), Some(SnapshotFault::TooShort { bytes: 0 }));
        assert_eq!(fault(&whole[..9]), Some(SnapshotFault::TooShort { bytes: 9 }));
        let struck = |at: usize| {
            let mut bytes = whole.clone();
            bytes[at] ^= 2;
            bytes
        };
        assert_eq!(fault(&struck(1)), Some(SnapshotFault::Version { stored: 3 }));
        for at in 2..whole.len() {
            assert!(matches!(fault(&struck(at)), Some(SnapshotFault::Crc { .. })), "byte {at}");
        }
        assert!(matches!(fault(&whole[..whole.len() - 1]), Some(SnapshotFault::Crc { .. })));
        let with_count = |count: i32| {
            let mut bytes = whole.clone();
            bytes[6..10].copy_from_slice(&count.to_be_bytes());
            let crc = checksum(&bytes[6..]);
            bytes[2..6].copy_from_slice(&crc.to_be_bytes());
            bytes
        };
        assert_eq!(fault(&with_count(-1)), Some(SnapshotFault::Count { stored: -1, room: 2 }));
        assert_eq!(fault(&with_count(i32::MAX)), Some(SnapshotFault::Count { stored: i32::MAX, room: 2 }));
        assert_eq!(fault(&with_count(1)), Some(SnapshotFault::LeftOver { bytes: 46 }));
        let overwritten = [&encode_snapshot(&[sample()])[..], &[1; 46]].concat();
        let (producers, fault) = read_snapshot(&overwritten);
        assert_eq!((producers, fault), (vec![sample()], Some(SnapshotFault::LeftOver { bytes: 46 })));
        assert!(fault.is_some_and(|fault| fault.position(overwritten.len()) == 56));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_not_and_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let (producers, fault) = read_snapshot(&bytes);
            assert!(producers.len() * ENTRY_BYTES <= bytes.len());
            if fault.is_none() {
                assert_eq!(encode_snapshot(&producers), bytes);
            }
        }
    }
}
