//! Messages of formats v0 and v1, which brokers wrote before Kafka 0.11. They are read, and never written.
//!
//! ```text
//!    0  i64  offset                  of a compressed set: that of its last message
//!    8  i32  size                    of all that follows this field
//!   12  u32  crc                     CRC-32 of all that follows it
//!   16  i8   magic                   0 or 1
//!   17  i8   attributes              bits 0-2 codec, 3 append time (v1); some clients left other bits behind
//!   18  i64  timestamp               v1 alone
//!    .  i32  key length              -1: null       then the key
//!    .  i32  value length            -1: null       then the value
//! ```
//!
//! A log holds messages one behind the other, without batches. A compressed set is a message, too: its value is the
//! stream that its messages were packed into, each with offset and size before it. In v0 these have their own offsets.
//! In v1 they are numbered relative to each other, and the last one has the offset of the set; so the others have none
//! before the stream is unpacked. Here each message, or set, is a [`Batch`](crate::Batch) of its own.
//!
//! A producer, a transaction, a leader epoch, headers: none of that was there yet.
//!
//! Kafka: `LegacyRecord`, `AbstractLegacyRecordBatch`.

use bytes::Bytes;

use crate::record::batch::{APPEND_TIME, BatchFault, BatchHeader, CODEC};
use crate::record::compression::Decompressor;
use crate::types::{Compression, LeaderEpoch, Offset, Timestamp, TimestampType};

const CRC_AT: usize = 12;
const MAGIC_AT: usize = 16;
/// Where the checksum stands, and where what it covers begins.
pub(super) const CHECKSUM_PLACES: (usize, usize) = (CRC_AT, MAGIC_AT);
const BODY_AT: usize = 18;
/// What is left of attributes: more bits have a meaning in v2 alone.
const KNOWN_ATTRIBUTES: i16 = CODEC | APPEND_TIME;
/// A message of v0 without key and value.
const LEAST_BYTES: usize = 26;

/// One message with its offset, as it is stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    /// In a set of v1 it is relative to the others.
    pub(super) offset: i64,
    crc: u32,
    attributes: i16,
    timestamp: Timestamp,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    /// What the checksum is over.
    covered: &'a [u8],
}

impl<'a> Message<'a> {
    /// Takes the next message off the front of `rest`.
    pub(super) fn take(rest: &mut &'a [u8]) -> Result<Self, &'static str> {
        let (head, behind) = rest.split_first_chunk::<CRC_AT>().ok_or("its head is not whole")?;
        let [offset @ .., s0, s1, s2, s3] = *head;
        let size = usize::try_from(i32::from_be_bytes([s0, s1, s2, s3])).map_err(|_negative| "its size is negative")?;
        let (message, behind) = behind.split_at_checked(size).ok_or("it is longer than what is left")?;
        *rest = behind;
        let (crc, covered) = message.split_first_chunk().ok_or("its size is too small")?;
        let ([magic, attributes], mut body) =
            covered.split_first_chunk().map(|(head, body)| (*head, body)).ok_or("its size is too small")?;
        let timestamp = match magic {
            0 => Timestamp::NONE,
            1 => Timestamp(i64::from_be_bytes(take(&mut body).ok_or("its timestamp is not whole")?)),
            _ => return Err("it is of neither of the old formats"),
        };
        let key = take_bytes(&mut body).ok_or("its key is longer than what is left")?;
        let value = take_bytes(&mut body).ok_or("its value is longer than what is left")?;
        if !body.is_empty() {
            return Err("its size does not fit what is in it");
        }
        let (offset, crc) = (i64::from_be_bytes(offset), u32::from_be_bytes(*crc));
        let attributes = i16::from(attributes);
        Ok(Self { offset, crc, attributes, timestamp, key, value, covered })
    }

    /// When it was made or appended, in a set with that header, or on its own with its own header.
    pub(super) fn timestamp_in(&self, set: &BatchHeader) -> Timestamp {
        match set.timestamp_type() {
            TimestampType::LogAppendTime => set.max_timestamp,
            TimestampType::CreateTime => self.timestamp,
        }
    }

    fn check_crc(&self) -> Result<(), BatchFault> {
        let computed = crc32fast::hash(self.covered);
        if self.crc == computed { Ok(()) } else { Err(BatchFault::BadCrc { stored: self.crc, computed }) }
    }
}

/// What can be told of a message, or of a set, by its front alone: 26 bytes of it in v1, 18 in v0.
pub(super) fn parse_header(bytes: &[u8]) -> Result<BatchHeader, BatchFault> {
    let mut rest = bytes;
    let head: [u8; BODY_AT] = take(&mut rest).ok_or(BatchFault::TooShort)?;
    let [offset @ .., s0, s1, s2, s3, c0, c1, c2, c3, magic, attributes] = head;
    let length = i32::from_be_bytes([s0, s1, s2, s3]);
    let len_bytes = usize::try_from(length).ok().map(|length| length + CRC_AT);
    let len_bytes = len_bytes.filter(|&len| len >= LEAST_BYTES).ok_or(BatchFault::BadLength { length })?;
    let magic = i8::from_be_bytes([magic]);
    let mut attributes = i16::from(attributes) & KNOWN_ATTRIBUTES;
    let timestamp = match magic {
        0 => {
            attributes &= CODEC; // a time that there is not is nobody's
            Timestamp::NONE
        }
        1 => Timestamp(i64::from_be_bytes(take(&mut rest).ok_or(BatchFault::TooShort)?)),
        magic => return Err(BatchFault::BadMagic { magic }),
    };
    let offset = i64::from_be_bytes(offset);
    if offset < 0 || offset == i64::MAX {
        return Err(BatchFault::BadField { field: "offset", value: offset });
    }
    let header = BatchHeader {
        magic,
        base_offset: Offset(offset),
        len_bytes,
        leader_epoch: LeaderEpoch::NONE,
        crc: u32::from_be_bytes([c0, c1, c2, c3]),
        attributes,
        last_offset_delta: 0,
        base_timestamp: timestamp,
        max_timestamp: timestamp,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        count: i32::from(attributes & CODEC == 0),
    };
    match header.compression()? {
        Compression::Zstd => Err(BatchFault::BadField { field: "codec", value: i64::from(attributes & CODEC) }),
        _ => Ok(header),
    }
}

/// Checks a whole message, or a set without what is packed into it.
pub(super) fn check(header: &BatchHeader, mut entry: &[u8]) -> Result<(), BatchFault> {
    let computed = entry.get(MAGIC_AT..).map_or(0, crc32fast::hash);
    if header.crc != computed {
        return Err(BatchFault::BadCrc { stored: header.crc, computed });
    }
    Message::take(&mut entry).map_err(|reason| BatchFault::BadRecord { index: 0, reason }).map(drop)
}

/// The messages of a compressed set, each checked, and the set's header as it is now known.
pub(super) fn unpack(
    set: &BatchHeader,
    mut entry: &[u8],
    decompressor: &mut Decompressor,
    limit: usize,
) -> Result<(BatchHeader, Bytes), BatchFault> {
    let codec = set.compression()?;
    let stream = Message::take(&mut entry).map_err(|reason| BatchFault::BadRecord { index: 0, reason })?.value;
    let stream = stream.ok_or(BatchFault::BadStream { codec, reason: "there is none" })?;
    let messages = decompressor.decompress_messages(codec, set.magic, stream, limit)?;

    let (mut rest, mut index, mut ends) = (&messages[..], 0, None);
    while !rest.is_empty() {
        let bad = |reason| BatchFault::BadRecord { index, reason };
        let message = Message::take(&mut rest).map_err(bad)?;
        message.check_crc()?;
        if message.attributes & CODEC != 0 {
            return Err(bad("it is a compressed set itself"));
        }
        if ends.is_some_and(|(_, last)| message.offset <= last) {
            return Err(bad("its offset is not above that of the one before"));
        }
        ends = Some((ends.map_or(message.offset, |(first, _)| first), message.offset));
        index += 1;
    }
    let (first, last) = ends.ok_or(BatchFault::BadStream { codec, reason: "no message is in it" })?;
    Ok((numbered(set, first, last, index)?, messages))
}

/// The header of a set whose messages are stored with the offsets from `first` to `last`.
fn numbered(set: &BatchHeader, first: i64, last: i64, count: i32) -> Result<BatchHeader, BatchFault> {
    let bad = |field, value| BatchFault::BadField { field, value };
    // An old librdkafka left 0 in a set; its messages then have the offsets that they say.
    let is_relative = set.magic == 1 && set.base_offset.0 != 0;
    // No checksum covers what messages in a set say, but the set has the offset of its last one.
    if set.magic == 0 && set.base_offset.0 != last {
        return Err(bad("last message's offset", last));
    }
    let shift = if is_relative { set.base_offset.0.checked_sub(last) } else { Some(0) };
    let base_offset = shift.and_then(|shift| shift.checked_add(first)).filter(|base| *base >= 0);
    let base_offset = base_offset.ok_or_else(|| bad("offset", set.base_offset.0))?;
    let delta = last.checked_sub(first).and_then(|delta| i32::try_from(delta).ok());
    let last_offset_delta = delta.ok_or_else(|| bad("last message's offset", last))?;
    if base_offset.checked_add(i64::from(last_offset_delta) + 1).is_none() {
        return Err(bad("offset", base_offset));
    }
    Ok(BatchHeader { base_offset: Offset(base_offset), last_offset_delta, count, ..*set })
}

/// The offset that the first message of a set is stored with, or a message on its own.
pub(super) fn first_offset(messages: &[u8]) -> i64 {
    messages.first_chunk().map_or(0, |offset| i64::from_be_bytes(*offset))
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*taken)
}

/// Takes a length and so many bytes; a negative length is null.
fn take_bytes<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let Ok(length) = usize::try_from(i32::from_be_bytes(take(rest)?)) else { return Some(None) };
    let (bytes, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Batch;

    // Vectors V7 to V10 of the format facts, made by Kafka's classes; T is 1700000000000.
    const T: i64 = 1_700_000_000_000;
    const V7: &str = "00000000000000050000001aa5da6a6201000000018bcfe56800000000026b31000000027631000000000000000600000016b79a1a\
        5801000000018bcfe56801ffffffffffffffff";
    #[cfg(feature = "gzip")]
    const V8: &str = "000000000000000b000000552891a11a01010000018bcfe56805ffffffff0000003f1f8b08000000000000ff63608003a9a5b7b2\
        9218810cc6eef34f3340224cd98620b2cc10aa022429252032290cae8a15acca08acca0800dfd9b7a34c000000";
    const V9: &str = "00000000000000050000001257e7496e0000000000026b31000000027631";
    #[cfg(feature = "gzip")]
    const V10: &str = "000000000000000b000000458ee249dc0001ffffffff000000371f8b08000000000000ff636000032e20160a7fee9907e631651b\
        82c832438824033748f63f1b932754d6082c6b04009ce473853c000000";

    type Read = (i64, i64, Option<Vec<u8>>, Option<Vec<u8>>);

    fn unhex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    /// All that stands in `bytes`, unpacked.
    fn decode(bytes: Vec<u8>) -> Result<(Vec<BatchHeader>, Vec<Read>), BatchFault> {
        let (mut rest, mut headers, mut records) = (Bytes::from(bytes), Vec::new(), Vec::new());
        while !rest.is_empty() {
            let batch = Batch::decode_any(rest.clone())?.unpack(1 << 20)?;
            rest = rest.slice(batch.header().len_bytes..);
            headers.push(*batch.header());
            for record in batch.records()? {
                let record = record?;
                let (key, value) = (record.key().map(<[u8]>::to_vec), record.value().map(<[u8]>::to_vec));
                records.push((record.offset().0, record.timestamp().0, key, value));
            }
        }
        Ok((headers, records))
    }

    fn some(text: &str) -> Option<Vec<u8>> {
        Some(text.as_bytes().to_vec())
    }

    /// A message with a checksum that holds.
    fn message(offset: i64, magic: u8, attributes: u8, timestamp: i64, value: Option<&[u8]>) -> Vec<u8> {
        let mut covered = vec![magic, attributes];
        if magic == 1 {
            covered.extend(timestamp.to_be_bytes());
        }
        covered.extend((-1i32).to_be_bytes());
        covered.extend(value.map_or(-1, |value| i32::try_from(value.len()).unwrap()).to_be_bytes());
        covered.extend(value.unwrap_or_default());
        let size = i32::try_from(4 + covered.len()).unwrap();
        let crc = crc32fast::hash(&covered).to_be_bytes();
        [&offset.to_be_bytes()[..], &size.to_be_bytes(), &crc, &covered].concat()
    }

    /// A set of messages with these offsets, stored without compression by snappy: in a stream of xerial's with one
    /// literal a chunk.
    #[cfg(feature = "snappy")]
    fn set(offset: i64, magic: u8, attributes: u8, timestamp: i64, messages: &[Vec<u8>]) -> Vec<u8> {
        let mut stream = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec();
        let block = snap::raw::Encoder::new().compress_vec(&messages.concat()).unwrap();
        stream.extend(u32::try_from(block.len()).unwrap().to_be_bytes());
        stream.extend(block);
        message(offset, magic, attributes | 2, timestamp, Some(&stream))
    }

    #[test]
    fn messages_are_batches_of_one() {
        let (headers, records) = decode(unhex(V7)).unwrap();
        assert_eq!(records, [(5, T, some("k1"), some("v1")), (6, T + 1, None, None)]);
        assert_eq!((headers[0].magic, headers[0].len_bytes, headers[0].crc), (1, 38, 0xa5da_6a62));
        let (headers, records) = decode(unhex(V9)).unwrap();
        assert_eq!(records, [(5, -1, some("k1"), some("v1"))]);
        assert_eq!((headers[0].magic, headers[0].producer_id, headers[0].leader_epoch), (0, -1, LeaderEpoch::NONE));
    }

    #[cfg(feature = "gzip")]
    #[test]
    fn sets_are_numbered_by_their_last_message() {
        for (bytes, magic, times) in [(V8, 1, [T, T + 5]), (V10, 0, [-1, -1])] {
            let (headers, records) = decode(unhex(bytes)).unwrap();
            let offsets_and_times: Vec<_> = records.iter().map(|record| (record.0, record.1)).collect();
            assert_eq!(offsets_and_times, [(10, times[0]), (11, times[1])]);
            let header = headers[0];
            assert_eq!((header.magic, header.base_offset, header.next_offset()), (magic, Offset(10), Offset(12)));
            assert_eq!(header.count, 2);
        }
    }

    #[cfg(feature = "gzip")]
    #[test]
    fn set_says_its_last_offset_before_it_is_unpacked() {
        let packed = Batch::decode_any(unhex(V8).into()).unwrap();
        assert_eq!((packed.header().last_offset(), packed.header().count), (Offset(11), 0));
        assert_eq!(packed.records().err(), Some(BatchFault::Packed { codec: Compression::Gzip }));
    }

    #[test]
    fn every_flipped_bit_behind_size_and_offset_is_noticed() {
        for (stored, len) in [(V7, 38), (V9, 30)] {
            let bytes = unhex(stored)[..len].to_vec();
            for bit in 12 * 8..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(decode(flipped).is_err(), "bit {bit}");
            }
        }
    }

    #[cfg(feature = "snappy")]
    #[test]
    fn offsets_in_a_set_are_relative_in_v1_and_need_not_begin_at_0() {
        let inner: Vec<_> = [-4, -2, -1].map(|offset| message(offset, 1, 0, T, Some(b"x"))).into();
        let (headers, records) = decode(set(102, 1, 0, T, &inner)).unwrap();
        assert_eq!(records.iter().map(|record| record.0).collect::<Vec<_>>(), [99, 101, 102]);
        assert_eq!((headers[0].base_offset, headers[0].last_offset_delta), (Offset(99), 3));
        let (_, records) = decode(set(0, 1, 0, T, &[message(0, 1, 0, T, None), message(1, 1, 0, T, None)])).unwrap();
        assert_eq!(records.iter().map(|record| record.0).collect::<Vec<_>>(), [0, 1], "of an old librdkafka");
        let low = decode(set(1, 1, 0, T, &[message(0, 1, 0, T, None), message(2, 1, 0, T, None)]));
        assert_eq!(low.unwrap_err(), BatchFault::BadField { field: "offset", value: 1 });
    }

    #[cfg(feature = "snappy")]
    #[test]
    fn time_of_a_set_counts_where_it_is_one_of_append() {
        let inner = [message(0, 1, 0, T, None), message(1, 0, 0, -1, None)];
        let times = |set| decode(set).unwrap().1.iter().map(|record| record.1).collect::<Vec<_>>();
        assert_eq!(times(set(1, 1, 8, T + 7, &inner)), [T + 7, T + 7]);
        assert_eq!(times(set(1, 1, 0, T + 7, &inner)), [T, -1]);
        assert_eq!(times(set(1, 0, 0, -1, &inner)), [T, -1], "of the inner format");
    }

    #[cfg(feature = "snappy")]
    #[test]
    fn damage_within_a_set_costs_the_set() {
        let bad = |reason| BatchFault::BadRecord { index: 1, reason };
        let first = message(0, 1, 0, T, Some(b"x"));
        let mut long = message(1, 1, 0, T, Some(b"y"));
        long[11] += 1;
        assert_eq!(decode(set(9, 1, 0, T, &[first.clone(), long])).unwrap_err(), bad("it is longer than what is left"));
        let mut flipped = message(1, 1, 0, T, Some(b"y"));
        *flipped.last_mut().unwrap() ^= 1;
        assert!(matches!(decode(set(9, 1, 0, T, &[first.clone(), flipped])), Err(BatchFault::BadCrc { .. })));
        let nested = set(1, 1, 0, T, std::slice::from_ref(&first));
        assert_eq!(
            decode(set(9, 1, 0, T, &[first.clone(), nested])).unwrap_err(),
            bad("it is a compressed set itself")
        );
        assert_eq!(
            decode(set(9, 1, 0, T, &[first, message(-1, 1, 0, T, None)])).unwrap_err(),
            bad("its offset is not above that of the one before")
        );
        let codec = Compression::Snappy;
        assert_eq!(
            decode(set(9, 1, 0, T, &[])).unwrap_err(),
            BatchFault::BadStream { codec, reason: "no message is in it" }
        );
        let none = BatchFault::BadStream { codec, reason: "there is none" };
        assert_eq!(decode(message(9, 1, 2, T, None)).unwrap_err(), none);
        let zstd = BatchFault::BadField { field: "codec", value: 4 };
        assert_eq!(decode(message(9, 1, 4, T, Some(b"x"))).unwrap_err(), zstd);
    }

    /// Some clients left bits behind that mean a transaction, a marker, a horizon in v2.
    #[test]
    fn unknown_attributes_mean_nothing() {
        let (headers, records) = decode(message(3, 0, 0xf8, -1, Some(b"x"))).unwrap();
        assert!(!headers[0].is_control() && !headers[0].is_transactional() && headers[0].delete_horizon().is_none());
        assert_eq!((headers[0].timestamp_type(), records[0].1), (TimestampType::CreateTime, -1));
    }
}
