//! What a clean shutdown leaves under `log/` is what Kafka's tools expect there.

#![expect(clippy::disallowed_methods, reason = "looks at the files as a tool of Kafka's would")]

use std::fs;
use std::path::Path;

use ottla::{Engine, Producer, ProducerRecord, Timestamp};

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
