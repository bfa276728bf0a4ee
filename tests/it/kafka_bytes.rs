//! The same records in the same batches give the bytes that Apache Kafka wrote: segments, and both indexes.
//!
//! These are all partitions of `tests/golden` that begin at offset 0 and were written in one go, without compression,
//! producer ids, and sequence numbers, which a broker's own coordinators put into their batches. (A broker that is started
//! again begins to count the bytes to the next index entry anew. ottla does not: `DESIGN.md`.)

#![expect(clippy::disallowed_methods, reason = "holds files against files")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
#[cfg(feature = "sim")]
use ottla::MemoryDisk;
use ottla::{Admin, Batch, Delivery, Engine, NewTopic, Producer, ProducerConfig, ProducerRecord, Timestamp};

/// Partitions, and what their topics had for `segment.bytes` and `index.interval.bytes`.
const PARTITIONS: [(&str, &[&str], &str, &str); 8] = [
    ("plain", &["plain-0", "plain-1", "plain-2"], "12000", "1024"),
    ("retention", &["cut-inside-0"], "3500", "512"),
    ("codecs", &["by-producer-none-0"], MIB, "1024"),
    (
        "codecs",
        &[
            "by-broker-uncompressed-from-none-0",
            "by-broker-uncompressed-from-gzip-0",
            "by-broker-uncompressed-from-zstd-0",
        ],
        MIB,
        "4096",
    ),
    (
        "names",
        &[
            "---0",
            ".hidden-0",
            "5-0",
            "UPPER-0",
            "_-0",
            "a--0",
            "dash-ed-name-0",
            "dotted.name.v1-0",
            "ends-in-7-0",
            "ends-in-7-0-0",
            "under_scored-11",
        ],
        MIB,
        "4096",
    ),
    ("groups", &["in-a-0", "in-a-1", "in-a-2", "in-b-0", "in-b-1", "__transaction_state-0"], MIB, "4096"),
    ("transactions_v0", &["__transaction_state-0", "__transaction_state-1"], MIB, "4096"),
    ("transactions_v2", &["__transaction_state-0", "__transaction_state-1"], MIB, "4096"),
];

const MIB: &str = "1048576";

fn golden(directory: &str, partition: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(directory).join("log").join(partition)
}

/// The segments and indexes of a partition's directory, by name.
fn files(directory: &Path) -> BTreeMap<String, Bytes> {
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let is_compared = |name: &String| [".log", ".index", ".timeindex"].iter().any(|suffix| name.ends_with(suffix));
    names.filter(is_compared).map(|name| (name.clone(), fs::read(directory.join(name)).unwrap().into())).collect()
}

/// The batches of all segments.
fn batches(files: &BTreeMap<String, Bytes>) -> Vec<Batch> {
    let mut batches = Vec::new();
    for (_, segment) in files.iter().filter(|(name, _)| name.ends_with(".log")) {
        let mut rest = segment.clone();
        while !rest.is_empty() {
            let batch = Batch::decode(rest.clone()).unwrap();
            rest = rest.slice(batch.header().len_bytes..);
            batches.push(batch);
        }
    }
    batches
}

fn create(engine: &Engine, segment_bytes: &str, interval: &str, timestamp_type: &str) {
    let topic = NewTopic::new("t")
        .config("segment.bytes", segment_bytes)
        .config("index.interval.bytes", interval)
        .config("message.timestamp.type", timestamp_type)
        .config("segment.ms", i64::MAX.to_string())
        .config("message.timestamp.after.max.ms", i64::MAX.to_string());
    Admin::new(engine).create_topic(topic).unwrap();
}

/// A producer that sends no batch before it is told to.
fn producer(engine: &Engine) -> Producer<[u8], [u8]> {
    let config = ProducerConfig::builder().batch_size(1 << 20).linger(Duration::from_secs(60)).build().unwrap();
    Producer::with_config(engine, config).unwrap()
}

/// A batch before the log gave its records another time than they had: theirs is still in there.
fn as_sent(batch: &Batch) -> Batch {
    let mut bytes = batch.as_bytes().to_vec();
    bytes[22] &= !0b1000;
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &bytes[21..]);
    bytes[17..21].copy_from_slice(&u32::try_from(crc).unwrap().to_be_bytes());
    Batch::decode(bytes.into()).unwrap()
}

/// Sends the records of a batch in one batch.
fn send(producer: &Producer<[u8], [u8]>, batch: &Batch) -> Option<Delivery> {
    let mut last = None;
    let as_sent = as_sent(batch);
    for record in as_sent.records().unwrap().map(Result::unwrap) {
        let mut again = ProducerRecord::to("t").timestamp(record.timestamp());
        (again.key, again.value) = (record.key(), record.value());
        again.headers = record.headers().iter().collect();
        last = Some(producer.send(again).unwrap());
    }
    producer.flush().unwrap();
    last
}

/// Writes what `expected` holds to a topic of these settings, and answers its files, and how many batches that is: all up
/// to the first without a timestamp. Such a one was sent by hand; a client's record always has one.
fn write_again(
    expected: &BTreeMap<String, Bytes>,
    segment_bytes: &str,
    interval: &str,
) -> (BTreeMap<String, Bytes>, usize) {
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::open(directory.path()).unwrap();
    create(&engine, segment_bytes, interval, "CreateTime");
    let sender = producer(&engine);
    let mut count = 0;
    for batch in batches(expected).iter().take_while(|batch| batch.header().max_timestamp != Timestamp::NONE) {
        send(&sender, batch);
        count += 1;
    }
    engine.close().unwrap();
    (files(&directory.path().join("log/t-0")), count)
}

#[test]
fn same_records_give_the_segments_and_indexes_that_kafka_wrote() {
    let (mut partitions, mut compared, mut compared_batches) = (0, 0, 0);
    for (directory, name, segment_bytes, interval) in
        PARTITIONS.iter().flat_map(|(directory, names, bytes, interval)| {
            names.iter().map(move |name| (directory, name, bytes, interval))
        })
    {
        let expected = files(&golden(directory, name));
        let (written, batches_written) = write_again(&expected, segment_bytes, interval);
        let is_all = batches_written == batches(&expected).len();
        assert!(written.keys().eq(expected.keys()), "{directory}/{name}: {:?}", written.keys());
        let last = expected.keys().next_back().and_then(|name| name.split('.').next()).unwrap();
        for (file, theirs) in &expected {
            let (ours, place) = (&written[file], format!("{directory}/{name}/{file}"));
            let is_whole = is_all || !file.starts_with(last);
            match (file.ends_with(".log"), is_whole) {
                (_, true) => assert_eq!(ours, theirs, "{place}"),
                (true, false) => assert!(theirs.starts_with(ours), "{place}"),
                (false, false) => {}
            }
            compared += usize::from(is_whole);
        }
        partitions += 1;
        compared_batches += batches_written;
    }
    assert_eq!((partitions, compared, compared_batches), (29, 111, 526));
}

/// The clock of the disk stands where the broker's stood when it appended.
#[cfg(feature = "sim")]
#[test]
fn records_that_the_log_stamps_have_the_bytes_that_kafka_wrote() {
    let expected = files(&golden("append_time", "stamped-none-0"));
    let disk = MemoryDisk::simulated(1);
    let engine = Engine::builder().open_memory(&disk).unwrap();
    create(&engine, "1000000", "512", "LogAppendTime");
    let clock = || {
        let probe = Producer::<[u8], [u8]>::new(&engine).unwrap();
        let sent = probe.send(ProducerRecord::to("probe").value(b"".as_slice())).unwrap();
        sent.wait().unwrap().timestamp().0
    };
    let sender = producer(&engine);
    for batch in batches(&expected) {
        let ahead = batch.header().max_timestamp.0 - clock();
        disk.set_clock_forward(Duration::from_millis(ahead.try_into().unwrap()));
        let sent = send(&sender, &batch).unwrap().wait().unwrap();
        assert_eq!(sent.timestamp(), batch.header().max_timestamp);
    }
    engine.close().unwrap();
    for (name, theirs) in &expected {
        assert_eq!(&disk.content(Path::new("log/t-0").join(name)).unwrap(), theirs, "{name}");
    }
}
