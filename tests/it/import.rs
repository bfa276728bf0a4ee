//! `import`: what others have stored is here at the same offsets, and a topic is whole or not there.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ottla::replay::{Archive, DumpOptions, Dumped, ProducerState, ReplayOptions, dump};
use ottla::{
    Admin, Consumer, Engine, Error, ExportOptions, ImportOptions, ImportReport, MemoryDisk, NewTopic, Offset, Producer,
    ProducerRecord, TopicPartition, VerifyOptions, export, verify,
};
use tempfile::TempDir;

use crate::rot::tree::temporary_dir;

/// A `log.dir` with these segments: directory and base offset, and the bytes in hexadecimal.
fn kafka(segments: &[(&str, i64, &str)]) -> TempDir {
    let root = temporary_dir();
    for (dir, base, hex) in segments {
        make(&root.path().join(dir));
        write(&root.path().join(dir).join(format!("{base:020}.log")), &bytes(hex));
    }
    root
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

#[expect(clippy::disallowed_methods, reason = "makes what a broker has")]
fn make(path: &Path) {
    std::fs::create_dir_all(path).unwrap();
}

#[expect(clippy::disallowed_methods, reason = "makes what a broker has")]
fn write(path: &Path, content: &[u8]) {
    std::fs::write(path, content).unwrap();
}

/// Offsets and values of partition 0 of `t` from `from` on.
fn read(engine: &Engine, from: i64) -> Vec<(i64, String)> {
    let partition: TopicPartition = ("t", 0).into();
    let mut consumer = Consumer::<[u8], str>::new(engine, "reader").unwrap();
    consumer.assign([partition.clone()]).unwrap();
    consumer.seek(&partition, Offset(from)).unwrap();
    let mut found = Vec::new();
    while consumer.position(&partition).unwrap() < engine.end_offset(&partition).unwrap() {
        for record in &consumer.poll(Duration::from_secs(5)).unwrap() {
            found.push((record.offset().0, record.value().unwrap().unwrap_or("-").to_owned()));
        }
    }
    consumer.close().unwrap();
    found
}

fn import(engine: &Engine, path: &Path) -> ImportReport {
    Admin::new(engine).import(path, &ImportOptions::default()).unwrap()
}

fn pairs(of: &[(i64, &str)]) -> Vec<(i64, String)> {
    of.iter().map(|(offset, value)| (*offset, (*value).to_owned())).collect()
}

#[test]
fn offsets_that_lie_further_apart_than_a_segment_reaches_are_kept() {
    let segment = "0000000000000000000000390000000002965a94b10000000000000000018bcfe568000000018bcfe56800ffffffffffffff\
         ffffffffffffff000000010e00000001026100000000007fffffff000000390000000002dd4538ab0000000000000000018b\
         cfe568010000018bcfe56801ffffffffffffffffffffffffffff000000010e00000001026200000000008000000000000039\
         00000000024eefad590000000000000000018bcfe568020000018bcfe56802ffffffffffffffffffffffffffff000000010e\
         0000000102630000000000b2d05e000000003900000000024b7a609f0000000000000000018bcfe568030000018bcfe56803\
         ffffffffffffffffffffffffffff000000010e00000001026400";
    let log_dir = kafka(&[("t-0", 0, segment)]);
    let home = temporary_dir();
    let engine = Engine::open(home.path()).unwrap();
    assert!(import(&engine, log_dir.path()).is_complete());
    let all = pairs(&[(0, "a"), (2_147_483_647, "b"), (2_147_483_648, "c"), (3_000_000_000, "d")]);
    assert_eq!(read(&engine, 0), all);
    assert_eq!(read(&engine, 2_147_483_648), all[2..]);
    let sent = Producer::<str, str>::new(&engine).unwrap().send(ProducerRecord::to("t").value("e")).unwrap();
    assert_eq!(sent.wait().unwrap().offset(), Some(Offset(3_000_000_001)));
    engine.close().unwrap();
    let found = verify(home.path(), &VerifyOptions::default()).unwrap();
    assert!(found.is_clean() && found.segments() > 1, "{:?}", found.iter().collect::<Vec<_>>());
    let engine = Engine::open(home.path()).unwrap();
    assert!(engine.report().is_empty());
    assert_eq!(read(&engine, 3_000_000_000), pairs(&[(3_000_000_000, "d"), (3_000_000_001, "e")]));
}

#[test]
fn what_a_compaction_left_is_read_to_its_end() {
    let first = "0000000000000000000000490000000002fbc8b4f00000000000090000018bcfe568000000018bcfe56802ffffffffffffff\
         ffffffffffffff000000030e000000010230000e000202010231000e00040401023200000000000000000a00000031000000\
         000291070a90000000000004ffffffffffffffff0000018bcfe5680cffffffffffffffffffffffffffff0000000000000000\
         0000000f000000390000000002469daa540000000000020000018bcfe5680f0000018bcfe5680fffffffffffffffffffffff\
         ffffff000000010e00000001026600";
    let second = "00000000000000120000003b0000000002a371df330000000000000000018bcfe568120000018bcfe56812ffffffffffffff\
         ffffffffffffff0000000112000000010661637400";
    let log_dir = kafka(&[("t-0", 0, first), ("t-0", 18, second)]);
    let engine = Engine::in_memory().unwrap();
    let report = import(&engine, log_dir.path());
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(read(&engine, 0), pairs(&[(0, "0"), (1, "1"), (2, "2"), (15, "f"), (18, "act")]));
    assert_eq!(read(&engine, 16), pairs(&[(18, "act")]));
    assert_eq!(engine.end_offset(&("t", 0).into()).unwrap(), Offset(19));
}

#[test]
fn aborted_record_is_left_out_though_its_marker_stands_segments_later() {
    let segments = [
        "0000000000000000000000390000000002ff7963d10010000000000000018bcfe568000000018bcfe5680000000000000000\
         04000000000000000000010e00000001027a000000000000000001000000390000000002e9a290320000000000000000018b\
         cfe568010000018bcfe56801ffffffffffffffffffffffffffff000000010e00000001026100",
        "00000000000000020000003900000000025d4d352e0000000000000000018bcfe568020000018bcfe56802ffffffffffffff\
         ffffffffffffff000000010e00000001026200",
        "00000000000000030000003900000000023117a9da0000000000000000018bcfe568030000018bcfe56803ffffffffffffff\
         ffffffffffffff000000010e000000010263000000000000000004000000420000000002fa3abe420030000000000000018b\
         cfe568000000018bcfe5680000000000000000040000ffffffff000000012000000008000000000c00000000000000000000\
         00000000050000003900000000024e860d640000000000000000018bcfe568050000018bcfe56805ffffffffffffffffffff\
         ffffffff000000010e00000001026400",
    ];
    let log_dir = kafka(&[("t-0", 0, segments[0]), ("t-0", 2, segments[1]), ("t-0", 3, segments[2])]);
    let engine = Engine::in_memory().unwrap();
    let report = import(&engine, log_dir.path());
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(report.topics[0].partitions[0].aborted, 1);
    assert_eq!(read(&engine, 0), pairs(&[(1, "a"), (2, "b"), (3, "c"), (5, "d")]));
    assert_eq!(engine.end_offset(&("t", 0).into()).unwrap(), Offset(6));
}

#[test]
fn records_of_an_open_transaction_are_left_out_and_told() {
    let log_dir = kafka(&[(
        "t-0",
        0,
        "0000000000000000000000390000000002ff7963d10010000000000000018bcfe568000000018bcfe5680000000000000000\
         04000000000000000000010e00000001027a000000000000000001000000390000000002e9a290320000000000000000018b\
         cfe568010000018bcfe56801ffffffffffffffffffffffffffff000000010e00000001026100",
    )]);
    let engine = Engine::in_memory().unwrap();
    let report = import(&engine, log_dir.path());
    assert!(!report.is_complete());
    assert_eq!((report.topics[0].partitions[0].open, report.records()), (1, 1));
    assert_eq!(read(&engine, 0), pairs(&[(1, "a")]));
}

#[cfg(feature = "cli")]
#[test]
fn command_brings_the_offsets_of_a_group_and_its_lag() {
    use crate::command::Home;
    let stored = "00000000000000000000005800000000022bb883c30000000000000000018bcfe568000000018bcfe56800ffffffffffffff\
         ffffffffffffff000000014c0000001800010001670001740000000028000000000000000000050000000003bb2cc3d80000\
         0000000000000001000000610000000002eff7edc10000000000000000018bcfe568010000018bcfe56801ffffffffffffff\
         ffffffffffffff000000015e000000180001000167000174000000013a0001000000000000000600016d000003bb2cc3d800\
         ffffffffffffffff0000000000000000020000005c0000000002f7f538ae0000000000000000018bcfe568020000018bcfe5\
         6802ffffffffffffffffffffffffffff00000001540000001800010001670001740000000230000300000000000000070000\
         00000000000003bb2cc3d80000000000000000000300000060000000000287d5ecf50000000000000000018bcfe568030000\
         018bcfe56803ffffffffffffffffffffffffffff000000015c00000018000100016700017400000000380004000000000000\
         00080000000001000003bb2cc3d800016302abcd0000000000000000040000005d0000000002645f7f8b0000000000000000\
         018bcfe568040000018bcfe56804ffffffffffffffffffffffffffff00000001560000000a00020001674000030008636f6e\
         73756d657200000001ffffffff000003bb2cc3d80000000000000000000000000005000000420000000002a62c7417000000\
         0000000000018bcfe568050000018bcfe56805ffffffffffffffffffffffffffff00000001200000000c002a00027a7a0800\
         00010200000000000000000600000044000000000202f969c60000000000000000018bcfe568060000018bcfe56806ffffff\
         ffffffffffffffffffffff000000012400000018000100016700017400000001010000000000000000070000005c00000000\
         02acd4bea50010000000000000018bcfe568070000018bcfe568070000000000000007000000000000000000015400000018\
         0001000167000174000000023000030000000000000009000000000000000003bb2cc3d80000";
    let log_dir = kafka(&[("__consumer_offsets-3", 0, stored)]);
    let source = Home::new();
    source.run("topic create t --partitions 3").done();
    for partition in 0..3 {
        source.feed(crate::command::seq(1, 10), &format!("produce t --partition {partition}")).done();
        crate::command::copy(
            &source.partition(&format!("t-{partition}")),
            &log_dir.path().join(format!("t-{partition}")),
        );
    }
    make(&log_dir.path().join("lost+found"));
    let home = Home::new();
    let path = log_dir.path().to_str().unwrap();
    let ran = home.run_with(&["import", path, "--group", "g"]);
    assert_eq!(ran.status, 1, "a record of an unknown type was passed over: {}", ran.err);
    assert!(ran.err.contains("type 42"), "{}", ran.err);
    let rows = home.run("group describe g --json").json();
    let shown: Vec<_> = rows.iter().map(|row| (row["committed"].as_i64(), row["lag"].as_i64())).collect();
    assert_eq!(shown, [(Some(8), Some(2)), (None, None), (Some(7), Some(3))]);
    assert_eq!(home.run("group list").lines(), ["g"]);
    assert_eq!(home.run("topic list").lines(), ["t"]);
    assert!(home.run_with(&["import", path]).refused().contains("there is a topic t already"));
    let nobody = Home::new().run_with(&["import", path, "--group", "nobody"]);
    assert!(nobody.refused().contains("there is no group nobody"));
}

/// The log start of some lies within a batch.
#[test]
fn records_below_the_log_start_are_not_counted() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/retention/log");
    let engine = Engine::in_memory().unwrap();
    let replay = Archive::open(&source).unwrap().replay(&ReplayOptions::default());
    let there = replay.for_each(|_| {}).unwrap().records;
    assert_eq!(import(&engine, &source).records(), there);
}

/// Kafka has no such pair, and neither does a directory of ours.
#[cfg(feature = "cli")]
#[test]
fn command_says_what_an_import_that_failed_has_brought() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/plain/log/plain-0");
    let log_dir = temporary_dir();
    for name in ["a.b-0", "a_b-0", "c-0"] {
        crate::command::copy(&golden, &log_dir.path().join(name));
    }
    let home = crate::command::Home::new();
    let ran = home.run_with(&["import", log_dir.path().to_str().unwrap()]);
    assert_eq!(ran.status, 2);
    let said: Vec<&str> = ran.err.lines().collect();
    assert_eq!(said[0], "imported before this failed: a.b; --topic names the others");
    assert!(said[1].contains("a_b"), "{said:?}");
    assert_eq!(home.run("topic list").lines(), ["a.b"]);
}

/// A directory of ours as a cluster takes it over: two topics, one of two partitions.
fn exported(home: &TempDir) -> PathBuf {
    let (root, target) = (home.path().join("data"), home.path().join("kafka"));
    let engine = Engine::open(&root).unwrap();
    Admin::new(&engine).create_topic(NewTopic::new("t").partitions(2).config("segment.bytes", "300")).unwrap();
    let producer = Producer::<str, str>::new(&engine).unwrap();
    for number in 0..12 {
        for (topic, partition) in [("t", 0), ("t", 1), ("u", 0)] {
            let value = format!("{topic}-{number}");
            let record = ProducerRecord::to(topic).partition(partition).key("key").value(value.as_str());
            producer.send(record.header("by", "till 3")).unwrap().wait().unwrap();
        }
    }
    producer.close().unwrap();
    engine.close().unwrap();
    export(&root, &target, &ExportOptions::default()).unwrap();
    target
}

#[test]
fn what_was_exported_comes_back_and_goes_on() {
    let home = temporary_dir();
    let log_dir = exported(&home);
    let root = home.path().join("back");
    let engine = Engine::open(&root).unwrap();
    let report = import(&engine, &log_dir);
    assert!(report.is_complete() && report.records() == 36, "{report:?}");
    let values: Vec<_> = (0..12).map(|number| (number, format!("t-{number}"))).collect();
    assert_eq!(read(&engine, 0), values);
    engine.close().unwrap();
    assert!(verify(&root, &VerifyOptions::default()).unwrap().is_clean());
    export(&root, home.path().join("again"), &ExportOptions::default()).unwrap();
    for partition in ["t-0", "t-1", "u-0"] {
        let engine = Engine::in_memory().unwrap();
        let one =
            Admin::new(&engine).import(home.path().join("again").join(partition), &ImportOptions::default()).unwrap();
        assert_eq!(one.records(), 12, "{partition}");
        assert_eq!(one.is_complete(), partition != "t-1", "partition 0 was not there");
    }
}

#[test]
fn names_that_are_taken_or_unknown_are_refused_before_anything_is_made() {
    let home = temporary_dir();
    let log_dir = exported(&home);
    let engine = Engine::in_memory().unwrap();
    let admin = Admin::new(&engine);
    let options = ImportOptions::default();
    admin.create_topic(NewTopic::new("u")).unwrap();
    assert!(matches!(admin.import(&log_dir, &options), Err(Error::TopicAlreadyExists { .. })));
    let unknown = admin.import(&log_dir, &options.clone().topics(["t", "x"]));
    assert!(matches!(unknown, Err(Error::UnknownTopicOrPartition { .. })));
    let unknown = admin.import(&log_dir, &options.clone().topics(["t"]).groups(["g"]));
    assert!(matches!(unknown, Err(Error::GroupIdNotFound { .. })));
    assert!(matches!(admin.import(home.path(), &options), Err(Error::IllegalArgument { .. })));
    let refused = admin.import(&log_dir, &options.clone().topics(["t"]).config("segment.bytes", "1"));
    assert!(matches!(refused, Err(Error::InvalidConfig { .. })));
    assert_eq!(admin.list_topics().unwrap().len(), 1);
    let made = admin.import(&log_dir, &options.topics(["t"]).config("segment.bytes", "300")).unwrap();
    assert_eq!(made.topics[0].name, "t");
    let described = admin.describe_topic("t").unwrap();
    assert!(described.partitions[0].segments > 2 && described.config["segment.bytes"] == "300");
}

#[test]
fn import_that_the_power_ends_anywhere_leaves_no_topic_or_all_of_it() {
    let home = temporary_dir();
    let log_dir = exported(&home);
    let options = ImportOptions::default().topics(["t"]).config("segment.bytes", "300");
    for keeps in [false, true] {
        for step in 0.. {
            let disk = MemoryDisk::stepped(7);
            let engine = Engine::builder().open_memory(&disk).unwrap();
            disk.fail_from(disk.steps() + step);
            let outcome = Admin::new(&engine).import(&log_dir, &options);
            if keeps {
                disk.power_cut_keeping(step)
            } else {
                disk.power_cut()
            }
            drop(engine);
            let engine = Engine::builder().open_memory(&disk).unwrap();
            let admin = Admin::new(&engine);
            if admin.list_topics().unwrap().is_empty() {
                assert!(outcome.is_err(), "{step}");
                let left = disk.files().into_iter().filter(|(path, _)| path.to_string_lossy().ends_with("-delete"));
                assert_eq!(left.count(), 0, "{step}");
                admin.import(&log_dir, &options).unwrap();
            }
            let described = admin.describe_topic("t").unwrap();
            assert!(described.partitions.iter().all(|each| each.durable_end == Offset(12)), "{step}");
            assert_eq!(read(&engine, 0).len(), 12, "{step}");
            if outcome.is_ok() {
                assert!(step > 20, "{step}");
                break;
            }
        }
    }
}

#[test]
fn full_disk_leaves_nothing_of_a_topic_and_the_engine_goes_on() {
    let home = temporary_dir();
    let log_dir = exported(&home);
    let disk = MemoryDisk::stepped(7);
    let engine = Engine::builder().open_memory(&disk).unwrap();
    let admin = Admin::new(&engine);
    let used: u64 = disk.files().iter().map(|(_, bytes)| bytes).sum();
    disk.set_capacity(Some(used + 700));
    let failed = admin.import(&log_dir, &ImportOptions::default());
    assert!(matches!(failed, Err(Error::DiskFull { .. })), "{failed:?}");
    assert!(!disk.files().iter().any(|(path, _)| path.to_string_lossy().contains("t-0")));
    disk.set_capacity(None);
    assert_eq!(import(&engine, &log_dir).records(), 36);
}

/// What groups of a directory of ours have committed is not imported, and that is said.
#[test]
fn groups_of_a_directory_of_ours_are_told_to_stay() {
    let data = tempfile::tempdir().unwrap();
    let source = Engine::open(data.path()).unwrap();
    Producer::<str, str>::new(&source).unwrap().send(ProducerRecord::to("t").value("x")).unwrap().wait().unwrap();
    let mut consumer = Consumer::<str, str>::new(&source, "billing").unwrap();
    consumer.commit_sync_offsets([(("t", 0).into(), Offset(1).into())]).unwrap();
    consumer.close().unwrap();
    source.close().unwrap();
    let engine = Engine::in_memory().unwrap();
    let report = import(&engine, data.path());
    assert_eq!((report.records(), report.passed[0].1), (1, 1));
    assert!(!report.is_complete());
}

/// What the newest snapshot in a partition's directory says of each producer, if there is one.
fn producers(partition: &Path) -> Option<BTreeMap<i64, ProducerState>> {
    let names = partition.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let newest = names.filter(|path| path.extension().is_some_and(|kind| kind == "snapshot")).max()?;
    let mut producers = BTreeMap::new();
    let findings = dump(newest, &DumpOptions::default(), |entry| {
        if let Dumped::Producer { state, .. } = entry {
            producers.insert(state.producer_id, state);
        }
        ControlFlow::Continue(())
    });
    assert_eq!(findings.unwrap(), 0);
    Some(producers)
}

/// The broker's last snapshot of each log is ours too, but for producers of transactions, and for those whose batches are
/// gone. Of a batch that a compaction has emptied nobody knows the time any more but the broker.
#[test]
fn producers_of_an_imported_log_are_those_that_the_broker_remembered() {
    let mut compared = 0;
    for name in ["idempotent", "compacted", "epochs", "codecs", "plain", "append_time", "transactions_v2"] {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name).join("log");
        let target = tempfile::tempdir().unwrap();
        let engine = Engine::open(target.path()).unwrap();
        let report = import(&engine, &source);
        engine.close().unwrap();
        for partition in report.topics.iter().flat_map(|topic| &topic.partitions).filter(|one| !one.is_missing) {
            let dir = partition.partition.to_string();
            let Some(theirs) = producers(&source.join(&dir)) else { continue };
            let ours = producers(&target.path().join("log").join(&dir)).unwrap();
            let is_comparable = |state: &&ProducerState| {
                let has_transactions = state.coordinator_epoch >= 0 || state.current_txn_first_offset >= Offset(0);
                !has_transactions && state.last_offset >= partition.log_start_offset
            };
            for state in theirs.values().filter(is_comparable) {
                let mut expected = *state;
                let known = ours.get(&state.producer_id).copied();
                if name == "compacted" {
                    expected.last_timestamp = known.map_or(state.last_timestamp, |known| known.last_timestamp);
                }
                assert_eq!(known, Some(expected), "{name}/{dir}");
                compared += 1;
            }
            let invented: Vec<_> = ours.keys().filter(|id| !theirs.contains_key(id)).collect();
            assert_eq!(invented, [&0; 0], "{name}/{dir}");
        }
    }
    assert_eq!(compared, 158);
}
