//! What a clean shutdown leaves under `log/` is what Kafka's tools expect there.

#![expect(clippy::disallowed_methods, reason = "looks at the files as a tool of Kafka's would")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use ottla::{Admin, Batch, Engine, NewTopic, Producer, ProducerConfig, ProducerRecord, Timestamp};

fn produce(directory: &Path, timestamps: impl IntoIterator<Item = i64>) {
    let engine = Engine::open(directory).unwrap();
    let producer = Producer::<str, str>::new(&engine).unwrap();
    for timestamp in timestamps {
        let record = ProducerRecord::to("orders").value("paid").timestamp(Timestamp(timestamp));
        producer.send(record).unwrap().wait().unwrap();
    }
    producer.close().unwrap();
    engine.close().unwrap();
}

#[test]
fn time_index_ends_with_the_largest_time_after_each_clean_shutdown() {
    let directory = tempfile::tempdir().unwrap();
    let last_entry = || {
        let index = fs::read(directory.path().join("log/orders-0/00000000000000000000.timeindex")).unwrap();
        let (entries, rest) = index.as_chunks::<12>();
        assert!(rest.is_empty());
        entries.last().map(|entry| {
            let (time, offset) = entry.split_first_chunk().unwrap();
            (i64::from_be_bytes(*time), u32::from_be_bytes(offset.try_into().unwrap()))
        })
    };
    produce(directory.path(), []);
    produce(directory.path(), [1000, 3000, 2000]);
    assert_eq!(last_entry(), Some((3000, 1)));
    produce(directory.path(), [5000, 4000]);
    assert_eq!(last_entry(), Some((5000, 3)));
    produce(directory.path(), []);
    assert_eq!(last_entry(), Some((5000, 3)));
}

#[test]
fn clean_shutdown_leaves_one_snapshot_and_the_marker() {
    let directory = tempfile::tempdir().unwrap();
    produce(directory.path(), [1, 2, 3]);
    produce(directory.path(), [4]);
    let log = directory.path().join("log");
    let mut names: Vec<_> =
        fs::read_dir(log.join("orders-0")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    let expected = [
        "00000000000000000000.index",
        "00000000000000000000.log",
        "00000000000000000000.timeindex",
        "00000000000000000004.snapshot",
        "leader-epoch-checkpoint",
        "partition.metadata",
    ];
    assert_eq!(names, expected);
    assert!(log.join(".kafka_cleanshutdown").exists());
    assert_eq!(fs::read_to_string(log.join("recovery-point-offset-checkpoint")).unwrap(), "0\n1\norders 0 4\n");
    let _open = Engine::open(directory.path()).unwrap();
    assert!(!log.join(".kafka_cleanshutdown").exists(), "it goes before anything is written");
}

/// Sends records of these times, the first one and then so many that one write takes many batches, and closes; answers where its files are.
fn fill(directory: &Path, config: &[(&str, &str)], times: impl IntoIterator<Item = i64>) -> PathBuf {
    let engine = Engine::open(directory).unwrap();
    let topic = config.iter().fold(NewTopic::new("t"), |topic, (name, value)| topic.config(*name, *value));
    Admin::new(&engine).create_topic(topic).unwrap();
    let config = ProducerConfig::builder().batch_size(500).linger(Duration::from_secs(60)).build().unwrap();
    let producer = Producer::<str, str>::with_config(&engine, config).unwrap();
    let mut records: Vec<_> =
        times.into_iter().map(|time| ProducerRecord::to("t").timestamp(Timestamp(time))).collect();
    records.iter_mut().for_each(|record| record.value = Some("a record of some length"));
    producer.send_all(&records[..1]).unwrap();
    producer.flush().unwrap();
    producer.send_all(&records[1..]).unwrap();
    producer.close().unwrap();
    engine.close().unwrap();
    directory.join("log/t-0")
}

fn names(partition: &Path, suffix: &str) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(partition).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == suffix));
    paths.sort();
    paths
}

#[test]
fn segment_ends_by_the_time_of_its_records_however_many_batches_are_written_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let minutes = (0..500).map(|index| 1_700_000_000_000 + index * 3000);
    let partition = fill(directory.path(), &[("segment.ms", "60000")], minutes);
    let segments = names(&partition, "log");
    assert!(segments.len() > 10, "{}", segments.len());
    for segment in segments {
        let (mut rest, mut times) = (Bytes::from(fs::read(&segment).unwrap()), Vec::new());
        while let Ok(batch) = Batch::decode(rest.clone()) {
            times.push(batch.header().max_timestamp.0);
            rest = rest.slice(batch.header().len_bytes..);
        }
        assert!(times[times.len() - 1] - times[0] <= 60_000, "{}: {times:?}", segment.display());
    }
}

#[test]
fn segment_of_append_times_does_not_end_by_what_the_producer_says() {
    let directory = tempfile::tempdir().unwrap();
    let config = [("message.timestamp.type", "LogAppendTime"), ("segment.ms", "3600000")];
    let partition = fill(directory.path(), &config, (0..500).map(|index| 4_000_000_000_000 + index * 60_000_000));
    assert_eq!(names(&partition, "log").len(), 1);
}

#[test]
fn index_never_gets_longer_than_its_limit_however_many_batches_are_written_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let config = [("segment.index.bytes", "60"), ("index.interval.bytes", "0")];
    let partition = fill(directory.path(), &config, (0..500).map(|index| 1_700_000_000_000 + index));
    assert!(names(&partition, "log").len() > 5);
    for suffix in ["index", "timeindex"] {
        for index in names(&partition, suffix) {
            assert!(fs::metadata(&index).unwrap().len() <= 60, "{}", index.display());
        }
    }
}
