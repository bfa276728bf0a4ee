//! What Kafka itself wrote, byte for byte; a second opinion; and bytes that no one wrote.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use crc_fast::CrcAlgorithm;
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records as other;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::types::{Compression, LeaderEpoch, Offset, Timestamp, TimestampType};

/// Written by Kafka: base 100, epoch 7, (T, k1, v1), (T + 5, none, v2, h and n), (T - 3, k3, none).
const V1: &str = "\
    0000000000000064000000560000000702960af2f90000000000020000018bcfe568000000018bcfe56805ffffffffffffffffffffffffff\
    ff0000000314000000046b310476310020000a0201047632040268040102026e0110000504046b330100\
";
/// Written by Kafka: producer 4000, epoch 2, sequences from 2^31 - 2 on, a = 1, b = 2, c = 3.
const V2: &str = "\
    00000000000000000000004c000000000230ad9fca0000000000020000018bcfe568000000018bcfe568000000000000000fa000027fffff\
    fe00000003100000000261023100100000020262023200100000040263023300\
";
/// Written by Kafka: a commit marker at offset 103, coordinator epoch 9.
const V3: &str = "\
    00000000000000670000004200000007021739e40b0030000000000000018bcfe568000000018bcfe568000000000000000fa00002ffffff\
    ff000000012000000008000000010c00000000000900\
";
/// Written by Kafka: an abort marker at offset 103, coordinator epoch 9.
const V4: &str = "\
    0000000000000067000000420000000702e30732430030000000000000018bcfe568000000018bcfe568000000000000000fa00002ffffff\
    ff000000012000000008000000000c00000000000900\
";
/// Written by Kafka: (T, k1, v1), appended as offset 500 at T + 1000 where the log stamps the time.
const V5: &str = "\
    00000000000001f40000003c000000080260d328980008000000000000018bcfe568000000018bcfe56be8ffffffffffffffffffffffffff\
    ff0000000114000000046b3104763100\
";
/// Written by Kafka: gzip, base 10.
const V6: &str = "\
    000000000000000a0000005bffffffff022e2a9f430001000000010000018bcfe568000000018bcfe56805ffffffffffffffffffffffffff\
    ff000000021f8b08000000000000ff1361606060c936642933641061e06262c936622933620000f95c213b16000000\
";
/// Written by Kafka: two records in format v1.
const V7: &str = "\
    00000000000000050000001aa5da6a6201000000018bcfe56800000000026b31000000027631000000000000000600000016b79a1a580100\
    0000018bcfe56801ffffffffffffffff\
";
/// Written by Kafka: (T, k1, v1), (T + 5, k2, v2), (T + 3, k3, none), before compaction.
const V11: &str = "\
    000000000000006400000050000000070256a21d9d0000000000020000018bcfe568000000018bcfe568050000000000000fa00002000000\
    0a0000000314000000046b310476310014000a02046b320476320010000604046b330100\
";
/// Written by Kafka: `V11` without k1, with a delete horizon.
const V12: &str = "\
    00000000000000640000004b0000000702e555fb060040000000020000018bd50bc7e80000018bcfe568050000000000000fa00002000000\
    0a000000021a00c5ffb25202046b32047632001600c9ffb25204046b330100\
";
/// Written by Kafka: `V12` without k3; the horizon stays.
const V13: &str = "\
    00000000000000640000003f0000000702216a50590040000000020000018bd50bc7e80000018bcfe568050000000000000fa00002000000\
    0a000000011a00c5ffb25202046b3204763200\
";
/// Written by Kafka: `V13` without records, kept for its sequence.
const V14: &str = "\
    0000000000000064000000310000000702990cc45f000000000002ffffffffffffffff0000018bcfe568050000000000000fa00002000000\
    0a00000000\
";
/// Records 30 and more days apart.
const R039: &str = "\
    0000000000000000000000550000000002c498ccfa0000000000020000018bcfe568000000019327969400ffffffffffffffffffffffffff\
    ff000000031000000002610231001800ff9ff6a7130202620232001a0080b089fbea01040263023300\
";
/// Data between control batches of types 3, 99 and 4.
const R052: &str = "\
    0000000000000000000000390000000002965a94b10000000000000000018bcfe568000000018bcfe56800ffffffffffffffffffffffffff\
    ff000000010e0000000102610000000000000000010000003f0000000002092ff44b0020000000000000018bcfe568000000018bcfe56800\
    ffffffffffffffffffffffffffff000000011a0000000800000003060000000000000000000000020000003900000000025d4d352e000000\
    0000000000018bcfe568020000018bcfe56802ffffffffffffffffffffffffffff000000010e000000010262000000000000000003000000\
    3f000000000282dfb92d0020000000000000018bcfe568000000018bcfe56800ffffffffffffffffffffffffffff000000011a0000000800\
    000063060000000000000000000000040000003f00000000028f6608e60020000000000000018bcfe568000000018bcfe56800ffffffffff\
    ffffffffffffffffff000000011a00000008000000040600000000000000000000000500000039000000000234ebc4210000000000000000\
    018bcfe568050000018bcfe56805ffffffffffffffffffffffffffff000000010e00000001026300\
";
/// Sequences that begin again at 0.
const R073: &str = "\
    000000000000000000000041000000000254713f6f0000000000010000018bcfe568000000018bcfe568010000000000000fa000007fffff\
    fd000000020e000000010261000e0002020102620000000000000000020000003900000000026b11946e0000000000000000018bcfe56802\
    0000018bcfe568020000000000000fa000007fffffff000000010e000000010263000000000000000003000000390000000002623a794500\
    00000000000000018bcfe568030000018bcfe568030000000000000fa0000000000000000000010e00000001026400\
";

/// Most of the vectors are from this millisecond.
const T: Timestamp = Timestamp(1_700_000_000_000);
const PRODUCER: ProducerStamp = ProducerStamp { producer_id: 4000, producer_epoch: 2, base_sequence: -1 };

/// A record that owns what it consists of.
#[derive(Clone, Debug, PartialEq)]
struct Owned {
    offset: i64,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Owned {
    fn of(record: &Record<'_>) -> Self {
        let headers = record.headers();
        let owned: Vec<_> = headers.iter().map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec))).collect();
        assert_eq!((headers.len(), headers.is_empty()), (owned.len(), owned.is_empty()));
        Self {
            offset: record.offset().0,
            timestamp: record.timestamp().0,
            key: record.key().map(<[u8]>::to_vec),
            value: record.value().map(<[u8]>::to_vec),
            headers: owned,
        }
    }

    fn new(offset: i64, timestamp: i64, key: Option<&str>, value: Option<&str>) -> Self {
        let bytes = |text: &str| text.as_bytes().to_vec();
        Self { offset, timestamp, key: key.map(bytes), value: value.map(bytes), headers: Vec::new() }
    }

    fn append_to(&self, batch: &mut BatchBuilder) -> u32 {
        let headers: Vec<(&str, Option<&[u8]>)> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
        let (key, value) = (self.key.as_deref(), self.value.as_deref());
        let before = batch.len_bytes();
        let index = batch.append(Timestamp(self.timestamp), key, value, &headers);
        let len = batch.len_bytes() - before;
        assert!(len <= record_size_upper_bound(key, value, &headers));
        assert!(index > 0 || len == single_record_size(key, value, &headers));
        index
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().map(|digit| digit.to_digit(16).unwrap().try_into().unwrap()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn decode(text: &str) -> Batch {
    let bytes = unhex(text);
    let batch = Batch::decode(bytes.clone().into()).unwrap();
    assert_eq!(batch.as_bytes(), &bytes);
    batch
}

/// All batches in `bytes`, one behind the other.
fn decode_all(text: &str) -> Vec<Batch> {
    let mut rest = Bytes::from(unhex(text));
    let mut batches = Vec::new();
    while !rest.is_empty() {
        let batch = Batch::decode(rest.clone()).unwrap();
        rest = rest.slice(batch.header().len_bytes..);
        batches.push(batch);
    }
    batches
}

fn owned(batch: &Batch) -> Vec<Owned> {
    batch.records().unwrap().map(|record| Owned::of(&record.unwrap())).collect()
}

fn build(records: &[Owned]) -> BatchBuilder {
    let mut batch = BatchBuilder::new(Vec::new());
    for (index, record) in (0..).zip(records) {
        assert_eq!(record.append_to(&mut batch), index);
    }
    batch
}

fn sealed(records: &[Owned], producer: ProducerStamp, base: i64, epoch: i32) -> SealedBatch {
    let mut sealed = build(records).seal(producer);
    sealed.stamp(Offset(base), LeaderEpoch(epoch));
    sealed
}

/// `batch` with its checksum made right again, so that what is wrong behind it is reached.
fn with_crc(mut batch: Vec<u8>) -> Result<Batch, BatchFault> {
    let crc = u32::try_from(crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, &batch[21..])).unwrap();
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    Batch::decode(batch.into())
}

/// A batch of `count` records that consists of these bytes; it spans ten offsets.
fn batch_of(count: i32, records: &[u8]) -> Batch {
    let mut bytes = unhex(V14);
    bytes.extend_from_slice(records);
    let len = i32::try_from(bytes.len()).unwrap() - 12;
    bytes[8..12].copy_from_slice(&len.to_be_bytes());
    bytes[23..27].copy_from_slice(&9i32.to_be_bytes());
    bytes[57..61].copy_from_slice(&count.to_be_bytes());
    with_crc(bytes).unwrap()
}

/// What is wrong with the one record of a batch that consists of `record`.
fn fault_of(record: &[u8]) -> BatchFault {
    let batch = batch_of(1, record);
    let mut records = batch.records().unwrap();
    let fault = records.next().unwrap().unwrap_err();
    assert!(records.next().is_none() && records.next().is_none());
    fault
}

fn v1_records() -> Vec<Owned> {
    let headers = vec![("h".to_owned(), Some(vec![1, 2])), ("n".to_owned(), None)];
    vec![
        Owned::new(100, T.0, Some("k1"), Some("v1")),
        Owned { headers, ..Owned::new(101, T.0 + 5, None, Some("v2")) },
        Owned::new(102, T.0 - 3, Some("k3"), None),
    ]
}

#[test]
fn kafka_batch_is_read_and_written_byte_for_byte() {
    let batch = decode(V1);
    let header = batch.header();
    assert_eq!(
        (header.base_offset, header.last_offset(), header.next_offset()),
        (Offset(100), Offset(102), Offset(103))
    );
    assert_eq!(header.leader_epoch, LeaderEpoch(7));
    assert_eq!((header.base_timestamp, header.max_timestamp), (T, Timestamp(T.0 + 5)));
    assert_eq!(header.compression(), Ok(Compression::None));
    assert_eq!(header.timestamp_type(), TimestampType::CreateTime);
    assert!(!header.is_transactional() && !header.is_control() && header.delete_horizon().is_none());
    assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (-1, -1, -1));
    assert_eq!(owned(&batch), v1_records());

    let sealed = sealed(&v1_records(), ProducerStamp::NONE, 100, 7);
    assert_eq!((sealed.count(), sealed.len_bytes(), sealed.max_timestamp()), (3, 98, Timestamp(T.0 + 5)));
    assert_eq!(sealed.as_bytes(), unhex(V1));
}

#[test]
fn kafka_batch_whose_sequences_wrap_is_read_and_written_byte_for_byte() {
    let batch = decode(V2);
    let header = batch.header();
    assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (4000, 2, i32::MAX - 1));
    let producer = ProducerStamp { base_sequence: i32::MAX - 1, ..PRODUCER };
    assert_eq!(sealed(&owned(&batch), producer, 0, 0).as_bytes(), unhex(V2));
}

#[test]
fn kafka_markers_are_recognised() {
    for (text, expected) in [(V3, ControlType::Commit), (V4, ControlType::Abort)] {
        let batch = decode(text);
        assert!(batch.header().is_control() && batch.header().is_transactional());
        let records = owned(&batch);
        assert_eq!(records.len(), 1);
        assert_eq!(ControlType::from_key(records[0].key.as_deref().unwrap()), Some(expected));
        assert_eq!((records[0].offset, records[0].value.as_deref()), (103, Some(&[0, 0, 0, 0, 0, 9][..])));
    }
}

#[test]
fn kafka_batch_stamped_by_the_log_is_read_and_written_byte_for_byte() {
    let batch = decode(V5);
    assert_eq!(batch.header().timestamp_type(), TimestampType::LogAppendTime);
    let record = batch.records().unwrap().next().unwrap().unwrap();
    assert_eq!((record.timestamp(), record.timestamp_type()), (Timestamp(T.0 + 1000), TimestampType::LogAppendTime));
    assert_eq!(record.leader_epoch(), LeaderEpoch(8));

    let mut sealed = sealed(&[Owned::new(0, T.0, Some("k1"), Some("v1"))], ProducerStamp::NONE, 500, 8);
    sealed.stamp_append_time(Timestamp(T.0 + 1000));
    assert_eq!(sealed.as_bytes(), unhex(V5));
    assert_eq!(sealed.max_timestamp(), Timestamp(T.0 + 1000));
}

#[test]
fn append_time_counts_for_every_record_and_not_the_deltas() {
    let mut sealed = sealed(&v1_records(), ProducerStamp::NONE, 0, 0);
    sealed.stamp_append_time(Timestamp(7));
    let batch = Batch::decode(sealed.into_buffer().into()).unwrap();
    assert!(owned(&batch).iter().all(|record| record.timestamp == 7));
}

#[test]
fn batches_that_kafka_compacted_keep_offsets_timestamps_and_range() {
    let k1 = Owned::new(100, T.0, Some("k1"), Some("v1"));
    let k2 = Owned::new(101, T.0 + 5, Some("k2"), Some("v2"));
    let k3 = Owned::new(102, T.0 + 3, Some("k3"), None);
    let horizon = Some(Timestamp(T.0 + 1000 + 86_400_000));
    let compacted = [
        (V11, vec![k1, k2.clone(), k3.clone()], None),
        (V12, vec![k2.clone(), k3], horizon),
        (V13, vec![k2], horizon),
        (V14, vec![], None),
    ];
    for (text, records, horizon) in compacted {
        let batch = decode(text);
        assert_eq!(owned(&batch), records);
        assert_eq!(batch.header().delete_horizon(), horizon);
        assert_eq!((batch.header().next_offset(), batch.header().base_sequence), (Offset(103), 10));
        assert_eq!(batch.header().max_timestamp, Timestamp(T.0 + 5));
    }
    assert_eq!(decode(V14).header().len_bytes, BatchHeader::LEN_BYTES);
}

#[test]
fn report_039_timestamps_far_apart_are_read_and_written() {
    let records = [
        Owned::new(0, 1_700_000_000_000, Some("a"), Some("1")),
        Owned::new(1, 1_697_408_000_000, Some("b"), Some("2")),
        Owned::new(2, 1_731_536_000_000, Some("c"), Some("3")),
    ];
    let batch = decode(R039);
    assert_eq!(owned(&batch), records);
    let sealed = sealed(&records, ProducerStamp::NONE, 0, batch.header().leader_epoch.0);
    assert_eq!(sealed.as_bytes(), unhex(R039));
}

#[test]
fn report_052_control_records_of_unknown_kinds_are_named_and_passed_by() {
    let (mut data, mut control) = (Vec::new(), Vec::new());
    for batch in decode_all(R052) {
        let record = owned(&batch).remove(0);
        if batch.header().is_control() {
            control.push((record.offset, ControlType::from_key(&record.key.unwrap()).unwrap()));
        } else {
            data.push((record.offset, record.value.unwrap()));
        }
    }
    assert_eq!(data, [(0, b"a".to_vec()), (2, b"b".to_vec()), (5, b"c".to_vec())]);
    let kinds = [(1, ControlType::SnapshotHeader), (3, ControlType::Unknown(99)), (4, ControlType::SnapshotFooter)];
    assert_eq!(control, kinds);
}

#[test]
fn report_073_sequences_begin_again_at_0() {
    let batches = decode_all(R073);
    let sequences: Vec<_> =
        batches.iter().map(|batch| (batch.header().base_sequence, batch.header().last_sequence())).collect();
    assert_eq!(sequences, [(i32::MAX - 2, i32::MAX - 1), (i32::MAX, i32::MAX), (0, 0)]);
    let values: Vec<_> = batches.iter().flat_map(owned).map(|record| (record.offset, record.value.unwrap())).collect();
    assert_eq!(values, [(0, b"a".to_vec()), (1, b"b".to_vec()), (2, b"c".to_vec()), (3, b"d".to_vec())]);
}

#[test]
fn compressed_batch_is_known_as_one() {
    let batch = decode(V6);
    assert_eq!(batch.header().compression(), Ok(Compression::Gzip));
    assert_eq!(batch.header().last_offset(), Offset(11));

    let mut bytes = unhex(V6);
    bytes[22] = 5;
    let batch = with_crc(bytes).unwrap();
    assert_eq!(batch.records().unwrap_err(), BatchFault::UnknownCodec { id: 5 });
}

#[test]
fn attribute_bits_without_a_meaning_are_never_refused() {
    let mut bytes = unhex(V1);
    bytes[21] = 0xff;
    bytes[22] |= 0x80;
    assert_eq!(owned(&with_crc(bytes).unwrap()), v1_records());
}

#[test]
fn bytes_in_front_of_the_crc_may_change_and_any_other_bit_is_noticed() {
    let bytes = unhex(V1);
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let mut pieces = BatchChecksum::of(MAGIC);
        flipped.chunks(1 + bit % 30).for_each(|piece| pieces.update(piece));
        assert_eq!(pieces.check().is_ok(), bit / 8 < 17, "bit {bit}");

        let fault = Batch::decode(flipped.into()).err();
        match bit / 8 {
            // The last offset delta and the count, which are looked at first.
            23..27 | 57..61 => assert!(fault.is_some(), "bit {bit}"),
            17.. => assert!(matches!(fault, Some(BatchFault::BadCrc { .. })), "bit {bit}: {fault:?}"),
            16 => assert!(matches!(fault, Some(BatchFault::BadMagic { .. })), "bit {bit}: {fault:?}"),
            12..16 => assert_eq!(fault, None, "bit {bit}"), // leader epoch
            8..12 => assert!(fault.is_some(), "bit {bit}"), // length
            _ => assert_eq!(fault.is_some(), bit == 7, "bit {bit}"), // base offset: only its sign shows
        }
    }
}

#[test]
fn front_of_a_batch_is_too_short_and_what_is_none_is_named() {
    let bytes = Bytes::from(unhex(V1));
    for len in 0..bytes.len() {
        assert_eq!(Batch::decode(bytes.slice(..len)).unwrap_err(), BatchFault::TooShort);
    }
    assert_eq!(Batch::decode(Bytes::from_static(&[0; 61])).unwrap_err(), BatchFault::BadLength { length: 0 });
    assert_eq!(Batch::decode(unhex(V7).into()).unwrap_err(), BatchFault::BadLength { length: 26 }, "of format 1");

    let refused = |at: usize, value: &[u8]| {
        let mut bytes = unhex(V1);
        bytes[at..at + value.len()].copy_from_slice(value);
        with_crc(bytes).unwrap_err()
    };
    for length in [-1, i32::MIN, 13, 48] {
        assert_eq!(refused(8, &length.to_be_bytes()), BatchFault::BadLength { length });
    }
    assert_eq!(refused(8, &i32::MAX.to_be_bytes()), BatchFault::TooShort);
    for (at, field, value) in [(0, "base offset", -1), (0, "base offset", i64::MAX - 2)] {
        assert_eq!(refused(at, &value.to_be_bytes()), BatchFault::BadField { field, value });
    }
    let field = "last offset delta";
    assert_eq!(refused(23, &(-1i32).to_be_bytes()), BatchFault::BadField { field, value: -1 });
    for count in [-1, 4, i32::MAX, i32::MIN] {
        let field = "count of records";
        assert_eq!(refused(57, &count.to_be_bytes()), BatchFault::BadField { field, value: count.into() });
    }
}

#[test]
fn batch_behind_which_others_lie_leaves_them_out() {
    let mut bytes = unhex(V1);
    bytes.extend_from_slice(&unhex(V2));
    assert_eq!(Batch::decode(bytes.into()).unwrap(), decode(V1));
}

#[test]
fn damaged_record_is_named_and_ends_the_walk() {
    let cases: [(&[u8], &str); 17] = [
        (&[], "its length is not whole"),
        (&[0x80; 6], "its length is not whole"),
        (&[0x01], "its length is negative"),
        (&[0x0e, 0], "it is longer than what is left"),
        (&[0xfe, 0xff, 0xff, 0xff, 0x0f, 0], "it is longer than what is left"),
        (&[0x00], "it is empty"),
        (&[0x02, 0], "its timestamp is not whole"),
        (&[0x04, 0, 0], "its offset is not whole"),
        (&[0x0c, 0, 0, 0x01, 1, 1, 0], "its offset is not in the batch"),
        (&[0x0c, 0, 0, 0x14, 1, 1, 0], "its offset is not in the batch"),
        (&[0x0c, 0, 0, 0, 0x06, 1, 0], "its key is longer than what is left"),
        (&[0x0c, 0, 0, 0, 1, 0x04, 0], "its value is longer than what is left"),
        (&[0x0a, 0, 0, 0, 1, 1], "its count of headers is not whole"),
        (&[0x0c, 0, 0, 0, 1, 1, 0x01], "its count of headers is negative"),
        (&[0x0c, 0, 0, 0, 1, 1, 0x02], "it has fewer bytes than headers"),
        (&[0x14, 0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f], "it has fewer bytes than headers"),
        (&[0x0e, 0, 0, 0, 1, 1, 0, 0], "its length does not fit what is in it"),
    ];
    for (record, reason) in cases {
        assert_eq!(fault_of(record), BatchFault::BadRecord { index: 0, reason });
    }
    let header = "a header is not whole, or its name is not UTF-8";
    let headers: [(&[u8], &str); 5] = [
        (&[0x02, 0x01, 0], header),
        (&[0x02, 0x08, b'h'], header),
        (&[0x02, 0x02, b'h', 0x02], header),
        (&[0x02, 0x02, 0xff, 0x00], header),
        (&[0x02, 0x02, b'h', 0x01, 0], "its length does not fit what is in it"),
    ];
    for (bytes, reason) in headers {
        let mut record = vec![u8::try_from(2 * (bytes.len() + 5)).unwrap(), 0, 0, 0, 1, 1];
        record.extend_from_slice(bytes);
        assert_eq!(fault_of(&record), BatchFault::BadRecord { index: 0, reason });
    }
}

#[test]
fn count_that_is_not_that_of_the_records_is_noticed() {
    let record = [0x0c, 0, 0, 0, 1, 1, 0];
    let faults = |count| -> Vec<_> { batch_of(count, &record).records().unwrap().map(Result::err).collect() };
    assert_eq!(faults(1), [None]);
    assert_eq!(faults(0), [Some(BatchFault::LeftOver { bytes: 7 })]);
    let reason = "its length is not whole";
    assert_eq!(faults(10), [None, Some(BatchFault::BadRecord { index: 1, reason })]);
}

#[test]
fn what_other_clients_write_is_tolerated() {
    // Attributes, lengths below -1 for none, numbers longer than needed.
    let first = [0x0c, 0xff, 0, 0x02, 0x05, 0x07, 0];
    let second = [0x10, 0, 0x80, 0x00, 0x84, 0x00, 0x00, 0x00, 0x00];
    let batch = batch_of(2, &[&first[..], &second[..]].concat());
    assert_eq!(owned(&batch), [Owned::new(101, -1, None, None), Owned::new(102, -1, Some(""), Some(""))]);
}

#[test]
fn last_of_several_headers_counts() {
    let headers = [("a", Some("1")), ("b", None), ("a", Some("2")), ("b", Some(""))];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.map(|text| text.as_bytes().to_vec())));
    let records = [Owned { headers: headers.to_vec(), ..Owned::new(0, 0, None, None) }];
    let batch = Batch::decode(sealed(&records, ProducerStamp::NONE, 0, 0).into_buffer().into()).unwrap();
    let headers = batch.records().unwrap().next().unwrap().unwrap().headers();
    assert_eq!(headers.last("a"), Some(Some(&b"2"[..])));
    assert_eq!(headers.last("b"), Some(Some(&b""[..])));
    assert_eq!(headers.last("c"), None);
}

#[test]
fn buffer_goes_round_and_keeps_its_capacity() {
    let buffer = build(&v1_records()).seal(ProducerStamp::NONE).into_buffer();
    let (capacity, place) = (buffer.capacity(), buffer.as_ptr());
    let mut batch = BatchBuilder::new(buffer);
    assert_eq!(batch.len_bytes(), BatchHeader::LEN_BYTES);
    let record = Owned::new(0, 0, None, None);
    record.append_to(&mut batch);
    let buffer = batch.seal(ProducerStamp::NONE).into_buffer();
    assert_eq!((buffer.capacity(), buffer.as_ptr()), (capacity, place));
    assert_eq!(owned(&Batch::decode(buffer.into()).unwrap()), [record]);
}

/// Any record, at a timestamp that a second opinion can count with.
fn any_record() -> impl Strategy<Value = Owned> {
    let field = || option::of(vec(any::<u8>(), 0..200));
    let headers = vec(("[a-z\u{e9}]{0,3}", option::of(vec(any::<u8>(), 0..70))), 0..4);
    (0..i64::MAX / 4, field(), field(), headers).prop_map(|(timestamp, key, value, headers)| Owned {
        offset: 0,
        timestamp,
        key,
        value,
        headers,
    })
}

/// Up to 80 of them, so that some offsets take two bytes, numbered from `base` on.
fn any_records() -> impl Strategy<Value = (i64, Vec<Owned>)> {
    (0..i64::MAX / 2, vec(any_record(), 1..80)).prop_map(|(base, mut records)| {
        (base..).zip(&mut records).for_each(|(offset, record)| record.offset = offset);
        (base, records)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_built_is_read((base, records) in any_records(), epoch: i32) {
        let sealed = sealed(&records, ProducerStamp { base_sequence: 0, ..PRODUCER }, base, epoch);
        let largest = records.iter().map(|record| record.timestamp).max().unwrap();
        prop_assert_eq!(sealed.max_timestamp(), Timestamp(largest));
        let batch = Batch::decode(sealed.into_buffer().into()).unwrap();
        prop_assert_eq!(batch.header().leader_epoch, LeaderEpoch(epoch));
        prop_assert_eq!(batch.header().next_offset(), records.last().map(|last| Offset(last.offset + 1)).unwrap());
        prop_assert_eq!(owned(&batch), records);
    }

    #[test]
    fn timestamps_of_any_distance_survive(timestamps in vec(any::<i64>(), 1..5)) {
        let records: Vec<_> = (0..).zip(timestamps).map(|(offset, at)| Owned::new(offset, at, None, None)).collect();
        let batch = Batch::decode(sealed(&records, PRODUCER, 0, 0).into_buffer().into()).unwrap();
        prop_assert_eq!(owned(&batch), records);
    }

    #[test]
    fn bytes_that_no_one_wrote_never_panic(bytes in vec(any::<u8>(), 0..300)) {
        prop_assert!(Batch::decode(bytes.clone().into()).is_err());
        // As the records of a batch that is in order otherwise.
        let batch = batch_of(10, &bytes);
        let found = batch.records().unwrap().filter_map(Result::ok).map(|record| Owned::of(&record));
        prop_assert!(found.count() <= bytes.len() / 7);
    }

    #[test]
    fn damage_behind_a_right_crc_never_panics(at in 21..98usize, byte: u8) {
        let mut bytes = unhex(V1);
        bytes[at] = byte;
        if let Ok(batch) = with_crc(bytes) {
            for record in batch.records().into_iter().flatten().flatten() {
                let record = Owned::of(&record);
                let _ = ControlType::from_key(&record.key.unwrap_or_default());
            }
        }
    }

    #[test]
    fn another_reader_reads_what_is_built_here((base, mut records) in any_records()) {
        records.iter_mut().for_each(keep_last_of_equal_headers);
        let sealed = sealed(&records, ProducerStamp { base_sequence: 7, ..PRODUCER }, base, 3);
        let set = other::RecordBatchDecoder::decode(&mut Bytes::from(sealed.into_buffer())).unwrap();
        for record in &set.records {
            prop_assert!(!record.transactional && !record.control && record.producer_id == 4000);
            prop_assert_eq!((record.partition_leader_epoch, record.producer_epoch), (3, 2));
        }
        prop_assert_eq!(set.records.iter().map(of_other).collect::<Vec<_>>(), records);
    }

    #[test]
    fn what_another_writer_builds_is_read_here((_, mut records) in any_records()) {
        records.iter_mut().for_each(keep_last_of_equal_headers);
        (0..).zip(&mut records).for_each(|(offset, record)| record.offset = offset);
        let others: Vec<_> = records.iter().map(to_other).collect();
        let options = other::RecordEncodeOptions { version: 2, compression: other::Compression::None };
        let mut bytes = BytesMut::new();
        other::RecordBatchEncoder::encode(&mut bytes, &others, &options).unwrap();
        let batch = Batch::decode(bytes.freeze()).unwrap();
        prop_assert_eq!(batch.header().base_sequence, 0);
        prop_assert_eq!(owned(&batch), records);
    }
}

/// The second opinion keeps headers in a map.
fn keep_last_of_equal_headers(record: &mut Owned) {
    record.headers = record.headers.drain(..).collect::<BTreeMap<_, _>>().into_iter().collect();
}

fn of_other(record: &other::Record) -> Owned {
    Owned {
        offset: record.offset,
        timestamp: record.timestamp,
        key: record.key.as_ref().map(|key| key.to_vec()),
        value: record.value.as_ref().map(|value| value.to_vec()),
        headers: record
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.as_ref().map(|value| value.to_vec())))
            .collect(),
    }
}

fn to_other(record: &Owned) -> other::Record {
    let headers: IndexMap<_, _> = record
        .headers
        .iter()
        .map(|(name, value)| (StrBytes::from_string(name.clone()), value.clone().map(Bytes::from)))
        .collect();
    other::Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: 0,
        producer_id: 4000,
        producer_epoch: 2,
        timestamp_type: other::TimestampType::Creation,
        offset: record.offset,
        sequence: i32::try_from(record.offset).unwrap(),
        timestamp: record.timestamp,
        key: record.key.clone().map(Bytes::from),
        value: record.value.clone().map(Bytes::from),
        headers,
    }
}
