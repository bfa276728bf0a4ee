//! What reading takes of memory, whatever a batch says and holds.
//!
//! | what                                      | the error                          | memory beyond the bytes that are there |
//! |-------------------------------------------|------------------------------------|----------------------------------------|
//! | a stream that unpacks to gigabytes        | `Oversized`, `LeftOver`            | twice the limit, and 8 MiB             |
//! | a batch that counts 2^31 - 1 records      | `BadRecord`: it names the missing  | nothing                                |
//! | a record with so many headers             | `BadRecord` if they are not there  | nothing                                |
//! | a record of the limit and one byte more   | `RecordTooLarge` with the setting  | what its own batch takes               |
//!
//! A binary of its own, since it counts what every thread of the process allocates; so its tests run one after the other.
//! What the C library of zstd takes is not counted: a context, and no window, since the limits here are small.

#[path = "corruption/counting.rs"]
mod counting;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use ottla::{
    Batch, BatchFault, Compression, Consumer, ConsumerConfig, Engine, Error, Offset, Producer, ProducerConfig,
    ProducerRecord, TopicPartition,
};

/// One test at a time, or each would count what the others take.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

const BOMB: usize = 64 << 20;
const LIMIT: usize = 8 << 20;
const SLACK: usize = 8 << 20;

/// A batch of `count` records, as the stream of a codec (0 for none); its checksum holds.
fn batch(codec: u8, count: i32, stream: &[u8]) -> Bytes {
    batch_at(0, codec, count, stream)
}

fn batch_at(base_offset: u64, codec: u8, count: i32, stream: &[u8]) -> Bytes {
    let mut bytes = base_offset.to_be_bytes().to_vec();
    bytes.resize(61, 0);
    bytes.extend_from_slice(stream);
    let length = u32::try_from(bytes.len() - 12).expect("a bomb is small");
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    bytes[16] = 2;
    bytes[22] = codec;
    bytes[23..27].copy_from_slice(&(count - 1).to_be_bytes());
    bytes[57..61].copy_from_slice(&count.to_be_bytes());
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &bytes[21..]);
    bytes[17..21].copy_from_slice(&u32::try_from(crc).expect("it has 32 bits").to_be_bytes());
    bytes.into()
}

/// Streams that unpack to `front` and 64 MiB of zeros.
fn bombs(front: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut plain = front.to_vec();
    plain.resize(BOMB, 0);
    vec![(1, gzip(&plain)), (2, snappy(&plain)), (3, lz4(&plain)), (4, zstd(&plain))]
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(plain).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

/// One block without framing.
fn snappy(plain: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(plain).expect("it is less than 4 GiB")
}

/// Blocks of 4 MiB.
#[expect(clippy::little_endian_bytes, reason = "LZ4 is little-endian")]
fn lz4(plain: &[u8]) -> Vec<u8> {
    let [.., checksum, _] = twox_hash::XxHash32::oneshot(0, &[0x60, 0x70]).to_be_bytes();
    let mut frame = vec![0x04, 0x22, 0x4d, 0x18, 0x60, 0x70, checksum];
    for block in plain.chunks(4 << 20).map(lz4_flex::block::compress) {
        frame.extend_from_slice(&u32::try_from(block.len()).expect("a block is small").to_le_bytes());
        frame.extend_from_slice(&block);
    }
    frame.extend_from_slice(&[0; 4]);
    frame
}

fn zstd(plain: &[u8]) -> Vec<u8> {
    zstd::encode_all(plain, 1).expect("memory takes it")
}

/// How unpacking fails, and how much memory it took at most.
fn unpack(stored: Bytes) -> (BatchFault, usize) {
    let batch = Batch::decode(stored).expect("it is whole");
    counting::peak(|| batch.unpack(LIMIT).expect_err("it is a bomb"))
}

#[test]
fn k13_bomb_of_each_codec_takes_no_more_memory_than_its_limit_allows() {
    let _alone = alone();
    let bound = 2 * LIMIT + SLACK;
    // Two billion records of no bytes; that many zeros are there for as many as fit.
    for (codec, stream) in bombs(&[]) {
        let (fault, peak) = unpack(batch(codec, i32::MAX, &stream));
        assert_eq!(fault, BatchFault::Oversized { limit: LIMIT }, "{codec}");
        assert!(peak <= bound, "{codec}: {peak}");
    }
    // One record, with 64 MiB behind it.
    for (codec, stream) in bombs(&[2, 0]) {
        let (fault, peak) = unpack(batch(codec, 1, &stream));
        let expected = if codec == 2 { matches!(fault, BatchFault::Oversized { .. }) } else { is_left_over(&fault) };
        assert!(expected, "{codec}: {fault}");
        assert!(peak <= SLACK, "{codec}: {peak}");
    }
    // K02: one record that says that it is 2 GiB long.
    for (codec, stream) in bombs(&[0xfe, 0xff, 0xff, 0xff, 0x0f]) {
        let (fault, peak) = unpack(batch(codec, 1, &stream));
        assert_eq!(fault, BatchFault::Oversized { limit: LIMIT }, "{codec}");
        assert!(peak <= SLACK, "{codec}: {peak}");
    }
    // A block of snappy that says that it unpacks to 4 GiB.
    let (fault, peak) = unpack(batch(2, 1, &[0xff, 0xff, 0xff, 0xff, 0x0f, 0]));
    assert!(matches!(fault, BatchFault::BadStream { .. }), "{fault}");
    assert!(peak <= SLACK, "{peak}");
}

fn is_left_over(fault: &BatchFault) -> bool {
    matches!(fault, BatchFault::LeftOver { bytes } if *bytes <= SLACK)
}

/// The `length` of a record and the record: attributes, timestamp and offset delta 0, no key, no value, and what `rest`
/// says of headers.
fn record(rest: &[u8]) -> Vec<u8> {
    let body = [&[0, 0, 0, 1, 1], rest].concat();
    [varint(body.len()), body].concat()
}

/// A varint of Kafka that is not negative.
fn varint(value: usize) -> Vec<u8> {
    let (mut rest, mut bytes) = (value << 1, Vec::new());
    while rest >= 0x80 {
        bytes.push(u8::try_from(rest & 0x7f).expect("seven bits") | 0x80);
        rest >>= 7;
    }
    bytes.push(u8::try_from(rest).expect("seven bits"));
    bytes
}

const TOPIC: &str = "orders";

/// An engine on `directory` whose log is one record, `batches`, and one record more.
#[expect(clippy::disallowed_methods, reason = "writes into a log as whoever wants to do harm")]
fn engine_with(directory: &Path, batches: &[Bytes]) -> Engine {
    let engine = Engine::open(directory).expect("an empty directory opens");
    send_one(&engine);
    engine.close().expect("the disk takes it");
    let path = directory.join("log").join(format!("{TOPIC}-0")).join("00000000000000000000.log");
    let mut log = fs::read(&path).expect("the segment is there");
    batches.iter().for_each(|batch| log.extend_from_slice(batch));
    fs::write(&path, log).expect("the disk takes it");
    let engine = Engine::open(directory).expect("bombs are no reason not to open");
    send_one(&engine);
    engine
}

fn send_one(engine: &Engine) {
    let producer = Producer::<str, str>::new(engine).expect("the engine is open");
    producer.send(ProducerRecord::to(TOPIC).value("paid")).and_then(|delivery| delivery.wait()).expect("it fits");
}

fn assigned(engine: &Engine, config: ConsumerConfig) -> (Consumer<str, str>, TopicPartition) {
    let mut consumer = Consumer::with_config(engine, config).expect("the engine is open");
    let partition = TopicPartition::new(TOPIC, 0);
    consumer.assign([partition.clone()]).expect("the topic is there");
    (consumer, partition)
}

/// How many records the next poll returns.
fn poll(consumer: &mut Consumer<str, str>) -> ottla::Result<usize> {
    consumer.poll(Duration::ZERO).map(|records| records.len())
}

#[test]
#[expect(clippy::disallowed_methods, reason = "looks at a file behind the engine's back")]
fn k13_consumer_names_partition_and_offsets_of_a_bomb_and_seeks_past_it() {
    let _alone = alone();
    let directory = tempfile::tempdir().expect("a directory can be made");
    let bombs = bombs(&[]);
    let batches: Vec<_> =
        (0..).zip(&bombs).map(|(index, (codec, stream))| batch_at(1 + index * 1000, *codec, 1000, stream)).collect();
    let engine = engine_with(directory.path(), &batches);
    let config = ConsumerConfig::builder().max_decompressed_batch_bytes(LIMIT).max_partition_fetch_bytes(1);
    let (mut consumer, partition) = assigned(&engine, config.build().expect("the settings are valid"));
    assert_eq!(poll(&mut consumer).expect("the first record is whole"), 1);
    let mut expected = 1;
    let segment = directory.path().join("log").join(partition.to_string()).join("00000000000000000000.log");
    let mut places = Vec::new();
    for (codec, stream) in &bombs {
        let (error, peak) = counting::peak(|| poll(&mut consumer).expect_err("it is a bomb"));
        let Error::CorruptBatch { first, last, path, file_position, .. } = &error else { panic!("{codec}: {error}") };
        assert_eq!(path, &segment, "{codec}");
        places.push(*file_position);
        assert_eq!((first.0, last.0), (expected, expected + 999), "{codec}: {error}");
        assert!(error.to_string().starts_with(&format!("{partition}: offsets {expected} to ")), "{error}");
        assert!(peak <= 2 * LIMIT + SLACK + 2 * stream.len(), "{codec}: {peak}");
        expected += 1000;
        consumer.seek(&partition, Offset(expected)).expect("the partition is assigned");
    }
    assert_eq!(poll(&mut consumer).expect("the last record is whole"), 1);
    let whole = std::fs::read(&segment).expect("it is there");
    let stands_at = |place: &u64| whole[usize::try_from(*place).expect("it is small") + 16] == 2; // magic
    assert!(places.is_sorted_by(|one, next| one < next) && places.iter().all(stands_at), "{places:?}");
}

#[test]
fn k02_batch_that_counts_2_31_minus_1_records_takes_what_its_bytes_take() {
    let _alone = alone();
    let one = record(&[0]);
    let streams = [(0, one.clone()), (1, gzip(&one)), (2, snappy(&one)), (3, lz4(&one)), (4, zstd(&one))];
    for (codec, stream) in streams {
        let stored = batch(codec, i32::MAX, &stream);
        let (fault, peak) = counting::peak(|| {
            let batch = Batch::decode(stored).and_then(|batch| batch.unpack(LIMIT)).expect("it is not large");
            let mut records = batch.records().expect("it is unpacked");
            assert!(records.next().is_some_and(|first| first.is_ok()), "{codec}");
            let fault = records.next().expect("a fault").expect_err("there is one record");
            assert_eq!(records.next(), None, "a fault ends them");
            fault
        });
        assert_eq!(fault.to_string(), "record 1 of the batch: its length is not whole", "{codec}");
        assert!(peak <= SLACK, "{codec}: {peak}");
    }
    // In a log it spans all offsets that a segment can have.
    let directory = tempfile::tempdir().expect("a directory can be made");
    let engine = engine_with(directory.path(), &[batch_at(1, 0, i32::MAX, &one)]);
    let (mut consumer, partition) = assigned(&engine, ConsumerConfig::default());
    assert_eq!(poll(&mut consumer).expect("the first record is whole"), 1);
    let error = poll(&mut consumer).expect_err("most of its records are not there").to_string();
    let last = i64::from(i32::MAX);
    assert!(error.starts_with(&format!("{partition}: offsets 1 to {last} are unreadable")), "{error}");
    consumer.seek(&partition, Offset(last + 1)).expect("the partition is assigned");
    assert_eq!(poll(&mut consumer).expect("the last record is whole"), 1);
    assert_eq!(consumer.position(&partition).expect("the partition is assigned"), Offset(last + 2));
}

#[test]
fn k02_headers_by_the_hundred_thousand_are_read_if_they_are_there_and_refused_if_not() {
    let _alone = alone();
    const HEADERS: usize = 300_000;
    let rest = [varint(HEADERS), [2, b'h', 2, b'v'].repeat(HEADERS)].concat();
    let stored = batch(0, 1, &record(&rest));
    let (count, taken) = counting::peak(|| {
        let batch = Batch::decode(stored).expect("it is whole");
        let record = batch.records().expect("it is not compressed").next().expect("it has one").expect("it is whole");
        record.headers().iter().filter(|header| *header == ("h", Some(b"v"))).count()
    });
    assert_eq!(count, HEADERS);
    assert!(taken < 1 << 16, "records borrow: {taken}");

    for (declared, reason) in [
        (HEADERS + 1, "a header is not whole, or its name is not UTF-8"),
        (rest.len(), "it has fewer bytes than headers"),
        (0x3fff_ffff, "it has fewer bytes than headers"),
    ] {
        let rest = [varint(declared), [2, b'h', 2, b'v'].repeat(HEADERS)].concat();
        let stored = batch(0, 1, &record(&rest));
        let (fault, taken) = counting::peak(|| {
            let batch = Batch::decode(stored).expect("it is whole");
            let mut records = batch.records().expect("it is not compressed");
            records.next().expect("it has one").expect_err("there are fewer headers")
        });
        assert_eq!(fault, BatchFault::BadRecord { index: 0, reason }, "{declared}");
        assert!(taken < 1 << 16, "{declared}: {taken}");
    }

    // The whole way down and up.
    let directory = tempfile::tempdir().expect("a directory can be made");
    let engine = Engine::open(directory.path()).expect("an empty directory opens");
    let config = ProducerConfig::builder().compression(Compression::Lz4).max_request_size(8 << 20);
    let producer = Producer::<str, str>::with_config(&engine, config.build().expect("the settings are valid"));
    let many = (0..HEADERS).fold(ProducerRecord::to(TOPIC), |record, _| record.header("h", b"v"));
    let producer = producer.expect("the engine is open");
    producer.send(many).and_then(|delivery| delivery.wait()).expect("it fits");
    let (mut consumer, _) = assigned(&engine, ConsumerConfig::default());
    let records = consumer.poll(Duration::ZERO).expect("it is whole");
    assert_eq!(records.iter().next().expect("it is there").headers().len(), HEADERS);
}

/// Two limits: what a producer sends, and, counted compressed, what a topic takes.
#[test]
fn record_of_the_limit_is_taken_and_one_byte_more_names_the_setting() {
    let _alone = alone();
    const DEFAULTS: [(&str, usize); 2] = [("max.request.size", 1_048_576), ("max.message.bytes", 1_048_588)];
    // Attributes, timestamp, offset, key and headers are a byte each.
    let batch_len = |value: usize| {
        let body = 5 + varint(value).len() + value;
        61 + varint(body).len() + body
    };
    let codecs = [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
    for codec in codecs {
        for (setting, limit) in DEFAULTS {
            let engine = Engine::in_memory().expect("memory is there");
            let builder = ProducerConfig::builder().compression(codec);
            let builder = if setting == "max.message.bytes" { builder.max_request_size(8 << 20) } else { builder };
            let producer = Producer::<str, [u8]>::with_config(&engine, builder.build().expect("all are valid"));
            let producer = producer.expect("the engine is open");
            let most = (0..limit).rev().find(|&value| batch_len(value) <= limit).expect("a byte fits");
            let noise = noise(most + 1);
            let send = |value| producer.send(ProducerRecord::to(TOPIC).value(value)).and_then(|sent| sent.wait());
            send(&noise[..most]).expect("it is as large as the limit");
            let (refused, peak) = counting::peak(|| send(&noise).expect_err("it is one byte larger"));
            let Error::RecordTooLarge { size, limit: named, setting: by, .. } = &refused else { panic!("{refused}") };
            assert_eq!((*size, *named, *by), (limit as u64 + 1, limit as u64, setting), "{codec}: {refused}");
            assert!(peak <= 8 << 20, "{codec}: {peak}");
            send(&noise[..most]).expect("it goes on");
        }
    }
}

/// Bytes that no codec makes smaller.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let bytes = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    });
    bytes.take(len).collect()
}
