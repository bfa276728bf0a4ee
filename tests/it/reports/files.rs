//! Bytes of batches, and files that a crash or somebody else has left.

#![expect(clippy::disallowed_methods, reason = "writes and damages files behind the engine's back")]

use std::fs;

use bytes::Bytes;
use kafka_protocol::records::RecordBatchDecoder;
use ottla::{Compression, Engine, Offset, Producer, ProducerConfig, ProducerRecord, Timestamp};
use serde_json::{Value, json};

use super::{T, open_and_kill};
use crate::command::{Home, copy, names, seq};

pub(super) const R039: &str = "\
    0000000000000000000000550000000002c498ccfa0000000000020000018bcfe568000000019327969400ffffffffffffff\
    ffffffffffffff000000031000000002610231001800ff9ff6a7130202620232001a0080b089fbea01040263023300\
";

pub(super) const R043: &str = "\
    000000000000000000000059000000000241ebde210002000000020000018bcfe568000000018bcfe56802ffffffffffffff\
    ffffffffffffff00000003269416000000046b31066f6e650016000202046b320674776f001a000404046b330a7468726565\
    00\
";

pub(super) const R045: &str = "\
    000000000000000000000085000000000203d635b70002000000020000018bcfe568000000018bcfe56802ffffffffffffff\
    ffffffffffffff0000000382534e415050590000000001000000010000000b092016000000046b31066f0000000b09206e65\
    0016000202046b0000000b0920320674776f001a00040000000b092004046b330a746872650000000402046500\
";

pub(super) const R047: &str = "\
    0000000000000000000000750000000002534622660004000000020000018bcfe568000000018bcfe56802ffffffffffffff\
    ffffffffffffff0000000328b52ffd0058a1000016000000046b31066f6e650016000202046b3206502a4d1804000000736b\
    697028b52ffd005891000074776f001a000404046b330a746872656500\
";

pub(super) const R049: &str = "\
    0000000000000000000000600000000002df5b29fc0004000000020000018bcfe568000000018bcfe56802ffffffffffffff\
    ffffffffffffff0000000328b52ffd008831010016000000046b31066f6e650016000202046b320674776f001a000404046b\
    330a746872656500\
";

pub(super) const R052: &str = "\
    0000000000000000000000390000000002965a94b10000000000000000018bcfe568000000018bcfe56800ffffffffffffff\
    ffffffffffffff000000010e0000000102610000000000000000010000003f0000000002092ff44b0020000000000000018b\
    cfe568000000018bcfe56800ffffffffffffffffffffffffffff000000011a00000008000000030600000000000000000000\
    00020000003900000000025d4d352e0000000000000000018bcfe568020000018bcfe56802ffffffffffffffffffffffffff\
    ff000000010e0000000102620000000000000000030000003f000000000282dfb92d0020000000000000018bcfe568000000\
    018bcfe56800ffffffffffffffffffffffffffff000000011a0000000800000063060000000000000000000000040000003f\
    00000000028f6608e60020000000000000018bcfe568000000018bcfe56800ffffffffffffffffffffffffffff000000011a\
    00000008000000040600000000000000000000000500000039000000000234ebc4210000000000000000018bcfe568050000\
    018bcfe56805ffffffffffffffffffffffffffff000000010e00000001026300\
";

pub(super) const R073: &str = "\
    000000000000000000000041000000000254713f6f0000000000010000018bcfe568000000018bcfe568010000000000000f\
    a000007ffffffd000000020e000000010261000e0002020102620000000000000000020000003900000000026b11946e0000\
    000000000000018bcfe568020000018bcfe568020000000000000fa000007fffffff000000010e0000000102630000000000\
    00000003000000390000000002623a79450000000000000000018bcfe568030000018bcfe568030000000000000fa0000000\
    000000000000010e00000001026400\
";

/// Bytes that are written as hexadecimal digits.
pub(super) fn from_hex(digits: &str) -> Vec<u8> {
    digits.as_bytes().chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

/// A directory in which a broker might have written `segment`, and died; it was opened since.
fn planted(segment: &str) -> Home {
    let home = Home::new();
    home.run("topic create t").done();
    for name in names(&home.partition("t-0")).iter().filter(|name| name.ends_with("index")) {
        fs::remove_file(home.partition("t-0").join(name)).unwrap();
    }
    fs::write(home.segment("t-0"), from_hex(segment)).unwrap();
    fs::remove_file(home.data().join("log").join(".kafka_cleanshutdown")).unwrap();
    assert_eq!(home.recover(), [""; 0]);
    home
}

/// Offset, timestamp, key and value of all records; nothing is said of them.
fn stored(home: &Home) -> Vec<(i64, i64, Value, Value)> {
    let number = |value: &Value| value.as_i64().unwrap();
    let parts = |record: &Value| {
        let (offset, timestamp) = (number(&record["offset"]), number(&record["timestamp"]));
        (offset, timestamp, record["key"].clone(), record["value"].clone())
    };
    home.run("consume t --json").json().iter().map(parts).collect()
}

/// What most of the cases hold.
pub(super) fn one_two_three() -> Vec<(i64, i64, Value, Value)> {
    let all = [("k1", "one"), ("k2", "two"), ("k3", "three")];
    (0..).zip(all).map(|(offset, (key, value))| (offset, T + offset, json!(key), json!(value))).collect()
}

/// An epoch file that a crash left empty or full of NULs stops the start, or cuts committed offsets back.
#[test]
fn r008_damaged_epoch_file_is_rebuilt_from_the_batches() {
    let home = Home::new();
    home.feed(seq(1, 20), "produce t").done();
    home.run("consume t --group g --max-records 10").lines();
    open_and_kill(&home);
    let damages: [(&str, Option<&[u8]>); 4] =
        [("empty", Some(b"")), ("zeros", Some(&[0; 64])), ("short", None), ("gone", None)];
    for (name, bytes) in damages {
        let after = Home::new();
        copy(&home.data(), &after.data());
        let file = after.partition("t-0").join("leader-epoch-checkpoint");
        match (name, bytes) {
            (_, Some(bytes)) => fs::write(&file, bytes).unwrap(),
            ("short", _) => fs::write(&file, &fs::read(&file).unwrap()[..3]).unwrap(),
            _ => fs::remove_file(&file).unwrap(),
        }
        for count in [1, 0] {
            // Before it is opened, and after.
            let row = after.run("group describe g --json").json().remove(0);
            assert_eq!((&row["committed"], &row["lag"]), (&json!(10), &json!(10)), "{name}");
            let found = after.recover();
            assert_eq!(found.len(), count, "{name}: {found:?}");
            assert!(
                found.iter().all(|found| found.contains("leader-epoch-checkpoint: rebuilt: ")),
                "{name}: {found:?}"
            );
        }
        let expected: Vec<String> = (11..=20).map(|number| number.to_string()).collect();
        assert_eq!(after.run("consume t --group g").lines(), expected, "{name}");
        let text = fs::read_to_string(&file).unwrap();
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("0"), "{name}: {text}");
        assert_eq!(lines.next().map(|count| count.parse().unwrap()), Some(text.lines().count() - 2), "{name}: {text}");
    }
}

/// Timestamp deltas are read as 32 bits: more than 24 days between records of a batch come out wrong.
#[test]
fn r039_timestamps_of_a_batch_lie_far_apart() {
    let times = [("a", "1", T), ("b", "2", 1_697_408_000_000), ("c", "3", 1_731_536_000_000)];
    let expected: Vec<_> =
        (0..).zip(times).map(|(offset, (key, value, time))| (offset, time, json!(key), json!(value))).collect();
    let home = planted(R039);
    assert_eq!(stored(&home), expected);

    let home = Home::new();
    let engine = Engine::open(home.data()).unwrap();
    let producer = Producer::<str, str>::new(&engine).unwrap();
    let record = |(key, value, time)| ProducerRecord::to("t").key(key).value(value).timestamp(Timestamp(time));
    producer.send_all(&times.map(record)).unwrap();
    producer.close().unwrap();
    engine.close().unwrap();
    let (ours, theirs) = (fs::read(home.segment("t-0")).unwrap(), from_hex(R039));
    assert_eq!((&ours[..12], &ours[16..]), (&theirs[..12], &theirs[16..]), "all but the leader epoch");
    assert_eq!(stored(&home), expected);
}

/// Snappy data without the header of xerial, as some clients write it, is refused.
#[test]
#[cfg(feature = "snappy")]
fn r043_snappy_needs_no_header() {
    assert_eq!(stored(&planted(R043)), one_two_three());
}

/// Only the first chunk of xerial is unpacked, or a record that straddles the border is cut.
#[test]
#[cfg(feature = "snappy")]
fn r045_records_run_across_chunks_of_snappy() {
    assert_eq!(stored(&planted(R045)), one_two_three());

    let home = Home::new();
    let engine = Engine::open(home.data()).unwrap();
    let config = ProducerConfig::builder().compression(Compression::Snappy).batch_size(1 << 20);
    let producer = Producer::<str, str>::with_config(&engine, config.build().unwrap()).unwrap();
    let values: Vec<_> =
        (0..4000_u32).map(|number| format!("{:x}", number.wrapping_mul(2_654_435_761)).repeat(7)).collect();
    let records: Vec<_> = values.iter().map(|value| ProducerRecord::to("t").value(value.as_str())).collect();
    assert_eq!(producer.send_all(&records).unwrap().len(), 1, "one batch");
    producer.close().unwrap();
    engine.close().unwrap();
    assert_eq!(home.run("consume t").lines(), values);
    let sets = RecordBatchDecoder::decode_all(&mut Bytes::from(fs::read(home.segment("t-0")).unwrap())).unwrap();
    let theirs: Vec<_> = sets.iter().flat_map(|set| &set.records).map(|record| record.value.clone().unwrap()).collect();
    assert_eq!(theirs, values);
}

/// Zstd wants the size of the content in the frame, or ends at the first frame.
#[test]
#[cfg(feature = "zstd")]
fn r047_zstd_frames_follow_each_other_without_sizes() {
    assert_eq!(stored(&planted(R047)), one_two_three());
}

/// A frame that announces a large window is refused, or makes the reader reserve it all.
#[test]
#[cfg(feature = "zstd")]
fn r049_large_window_of_zstd_is_read() {
    assert_eq!(stored(&planted(R049)), one_two_three());
}

/// Control records of a kind that the reader does not know stop it, or are shown as data.
#[test]
fn r052_control_records_of_unknown_kinds_are_passed_by() {
    let home = planted(R052);
    let seen: Vec<_> = stored(&home).into_iter().map(|(offset, _, _, value)| (offset, value)).collect();
    assert_eq!(seen, [(0, json!("a")), (2, json!("b")), (5, json!("c"))]);
    assert_eq!(home.run("consume t --group g --max-records 3").lines().len(), 3);
    assert_eq!(home.feed("d\n", "produce t --json").json()[0]["offset"], 6);
    assert_eq!(home.run("consume t --group g").lines(), ["d"]);
}

/// A producer snapshot that is newer than the log's end is loaded, and refuses good producers or stops the start.
#[test]
fn r072_snapshot_behind_the_log_end_is_not_believed() {
    let snapshot = [
        0x00, 0x01, 0xb4, 0x7d, 0x0d, 0xad, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0f, 0xa0,
        0x00, 0x02, 0x00, 0x00, 0x00, 0x09, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x7b, 0x00, 0x00, 0x00, 0x04,
        0x00, 0x00, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0x00, 0x00, 0x00, 0x00, 0x07, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x64,
    ];
    for is_clean in [true, false] {
        let home = Home::new();
        home.feed(seq(1, 5), "produce t").done();
        let file = home.partition("t-0").join("00000000000000000124.snapshot");
        fs::write(&file, snapshot).unwrap();
        if !is_clean {
            fs::remove_file(home.data().join("log").join(".kafka_cleanshutdown")).unwrap();
        }
        assert_eq!(home.run("consume t").lines().len(), 5);
        assert_eq!(home.recover(), [""; 0]);
        assert!(!file.exists());
        assert_eq!(home.feed("6\n", "produce t --json").json()[0]["offset"], 5);
        assert_eq!(home.run("consume t").lines().len(), 6, "nothing hides behind an open transaction");
        let engine = Engine::open(home.data()).unwrap();
        assert_eq!(engine.end_offset(&("t", 0).into()).unwrap(), Offset(6));
        assert!(engine.report().is_empty());
        engine.close().unwrap();
    }
}

/// The sequence number behind 2147483647 is taken for a gap, or for a negative one.
#[test]
fn r073_sequences_begin_again_at_0() {
    let home = planted(R073);
    let seen: Vec<_> = stored(&home).into_iter().map(|(offset, _, _, value)| (offset, value)).collect();
    assert_eq!(seen, [(0, json!("a")), (1, json!("b")), (2, json!("c")), (3, json!("d"))]);
    assert_eq!(home.feed("e\n", "produce t --json").json()[0]["offset"], 4);
}
