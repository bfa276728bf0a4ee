//! Archives: what a path names, and how what is there is gone through.

#![expect(clippy::disallowed_methods, reason = "copies and changes files as an operator would")]

use std::fs;
use std::path::{Path, PathBuf};

use ottla::replay::{Archive, ReplayOptions, Scanned};
use ottla::{
    Acks, Admin, DefectKind, Engine, Error, NewTopic, Offset, Producer, ProducerConfig, ProducerRecord, TopicPartition,
    VerifyOptions, verify,
};
use tempfile::TempDir;

/// A copy of a partition that Kafka wrote, alone in a directory.
fn copy_of(partition: &str) -> (TempDir, PathBuf) {
    let data = tempfile::tempdir().unwrap();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(partition);
    let to = data.path().join(from.file_name().unwrap());
    fs::create_dir(&to).unwrap();
    for entry in fs::read_dir(&from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
    (data, to)
}

fn offsets(path: &Path) -> Vec<i64> {
    let mut offsets = Vec::new();
    let replay = Archive::open(path).unwrap().replay(&ReplayOptions::default());
    let report = replay.for_each(|found| offsets.push(found.record.offset().0)).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    offsets
}

const COMPACTED: &str = "compacted/log/kept-none-0";

/// The files of batches in a partition's directory.
fn segments(path: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|end| end == "log"));
    found.sort();
    found
}

#[test]
fn log_dir_partition_and_segment_are_archives() {
    let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/plain/log");
    let archive = Archive::open(&whole).unwrap();
    assert!(archive.logs().len() > 1);
    let one = &archive.logs()[0];
    let partition = Archive::open(one.path()).unwrap();
    assert_eq!(partition.logs()[0].partition(), one.partition());
    let segment = segments(one.path()).remove(0);
    let batches = |archive: &Archive| archive.logs()[0].scan().count();
    assert!(batches(&Archive::open(segment).unwrap()) <= batches(&partition));
    assert!(matches!(Archive::open(whole.join("meta.properties")), Err(Error::IllegalArgument { .. })));
}

/// The cleaner was interrupted when what it wrote had its place, but not yet its name.
#[test]
fn segment_that_is_being_swapped_in_is_read() {
    let (_data, path) = copy_of(COMPACTED);
    let before = offsets(&path);
    let first = segments(&path).remove(0);
    for end in ["log", "index", "timeindex"] {
        let file = first.with_extension(end);
        fs::rename(&file, first.with_extension(format!("{end}.swap"))).unwrap();
    }
    assert_eq!(offsets(&path), before);
    // What it replaces may still be there, put aside or not.
    fs::copy(first.with_extension("log.swap"), first.with_extension("log.deleted")).unwrap();
    fs::copy(first.with_extension("log.swap"), &first).unwrap();
    assert_eq!(offsets(&path), before);
}

/// Those of a set are renamed from the last to the first: so they count when no other is left behind.
#[test]
fn swap_that_was_not_begun_in_full_does_not_count() {
    let (_data, path) = copy_of(COMPACTED);
    let before = offsets(&path);
    let second = segments(&path).remove(1);
    fs::write(second.with_extension("log.swap"), b"half of it").unwrap();
    fs::write(path.join("00000000000000000000.log.cleaned"), b"the other half").unwrap();
    assert_eq!(offsets(&path), before);
}

fn produce(engine: &Engine, values: &[&str], acks: Acks) {
    let config = ProducerConfig::builder().acks(acks).build().unwrap();
    let producer = Producer::<str, str>::with_config(engine, config).unwrap();
    for value in values {
        producer.send(ProducerRecord::to("orders").value(*value)).unwrap().wait().unwrap();
    }
}

#[test]
fn of_a_directory_in_use_what_is_visible_is_read() {
    let data = tempfile::tempdir().unwrap();
    let engine = Engine::open(data.path()).unwrap();
    produce(&engine, &["made", "paid"], Acks::All);
    let archive = Archive::open(data.path()).unwrap();
    produce(&engine, &["sent"], Acks::All);
    let read = |archive: &Archive| archive.replay(&ReplayOptions::default()).count();
    assert_eq!(read(&archive), 2, "what was there when it was opened");
    assert_eq!(offsets(data.path()), [0, 1, 2]);
    // By way of what is in it, too.
    assert_eq!(offsets(&data.path().join("log")), [0, 1, 2]);
    assert_eq!(offsets(&data.path().join("log/orders-0")), [0, 1, 2]);
    assert_eq!(offsets(&data.path().join("log/orders-0/00000000000000000000.log")), [0, 1, 2]);
}

#[test]
fn topic_that_was_made_again_is_not_taken_for_the_one_before() {
    let data = tempfile::tempdir().unwrap();
    let engine = Engine::open(data.path()).unwrap();
    produce(&engine, &["old"], Acks::All);
    let archive = Archive::open(data.path()).unwrap();
    let admin = Admin::new(&engine);
    admin.delete_topic("orders").unwrap();
    admin.create_topic(NewTopic::new("orders")).unwrap();
    produce(&engine, &["new"], Acks::All);
    let outcome: Result<Vec<_>, _> = archive.replay(&ReplayOptions::default()).collect();
    assert!(matches!(outcome, Err(Error::UnknownTopicId { .. })), "{outcome:?}");
}

/// R009: offsets further from each other than 32 bits say, in one segment and across two.
#[test]
fn r009_offsets_may_lie_far_above_the_base_of_their_segment() {
    let (_data, path) = copy_of("plain/log/plain-0");
    let first = segments(&path).remove(0);
    let stored = Archive::open(&first).unwrap();
    let Some(Ok(Scanned::Batch(batch))) = stored.logs()[0].scan().next() else { panic!("it has batches") };
    let bytes = batch.batch.as_bytes();
    let far = i64::from(u32::MAX) * 3;
    let mut content = bytes.to_vec();
    for base in [far, far * 5] {
        let mut moved = bytes.to_vec();
        moved[..8].copy_from_slice(&base.to_be_bytes());
        content.extend(moved);
    }
    let alone = tempfile::tempdir().unwrap();
    let dir = alone.path().join("far-0");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("00000000000000000000.log"), content).unwrap();
    let found = offsets(&dir);
    let count = usize::try_from(batch.batch.header().count).unwrap();
    assert_eq!(found.len(), 3 * count);
    assert_eq!((found[count], found[2 * count]), (far, far * 5));
    let from = ReplayOptions::default().from_offset(Offset(far * 5 + 1));
    let archive = Archive::open(&dir).unwrap();
    assert_eq!(archive.replay(&from).count(), count - 1);
    assert_eq!(archive.log(&TopicPartition::new("far", 0)).unwrap().scan().backwards().count(), 3);
}

/// Checkpoints that do not name a log that the cleaner was at, or are not there: what is missing is said, nothing else lost.
#[test]
fn compacted_log_that_no_checkpoint_names_is_read_whole() {
    let (data, path) = copy_of(COMPACTED);
    let before = offsets(&path);
    fs::write(data.path().join("recovery-point-offset-checkpoint"), "0\n1\nkept-none 0 111\n").unwrap();
    fs::write(data.path().join(".kafka_cleanshutdown"), "").unwrap();
    let mut found = Vec::new();
    let replay = Archive::open(data.path()).unwrap().replay(&ReplayOptions::default());
    let report = replay.for_each(|each| found.push(each.record.offset().0)).unwrap();
    assert_eq!(found, before);
    assert!(!report.findings.is_empty());
    let missing = |offset: &i64| {
        report
            .findings
            .iter()
            .any(|defect| defect.offsets.is_some_and(|(first, last)| (first.0..=last.0).contains(offset)))
    };
    assert!(!found.iter().any(missing), "what is there is not said to be missing");
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

#[test]
fn every_segment_on_its_own_is_as_whole_as_its_log() {
    for log in Archive::open(golden("plain/log")).unwrap().logs() {
        for segment in segments(log.path()) {
            assert!(verify(&segment, &VerifyOptions::default()).unwrap().is_clean(), "{}", segment.display());
            drop(offsets(&segment));
        }
    }
}

/// What is put aside under a name that tells so is itself, and not the log that has its place now.
#[test]
fn directory_that_was_put_aside_is_read_as_what_it_is() {
    let data = tempfile::tempdir().unwrap();
    let engine = Engine::open(data.path()).unwrap();
    produce(&engine, &["made", "paid", "sent"], Acks::All);
    engine.close().unwrap();
    let aside = data.path().join("log/orders-0.0123456789abcdef0123456789abcdef-stray");
    let (_copy, other) = copy_of("plain/log/plain-1");
    fs::create_dir(&aside).unwrap();
    for entry in fs::read_dir(&other).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), aside.join(entry.file_name())).unwrap();
    }
    assert_eq!(offsets(&aside), offsets(&other));
    assert_eq!(offsets(&data.path().join("log/orders-0")), [0, 1, 2]);
}

#[test]
fn what_hides_records_or_brings_deleted_ones_back_is_said() {
    let (data, path) = copy_of("plain/log/plain-1");
    let before = offsets(data.path());
    let replayed = |expected: &[i64]| {
        let mut found = Vec::new();
        let replay = Archive::open(data.path()).unwrap().replay(&ReplayOptions::default());
        let report = replay.for_each(|each| found.push(each.record.offset().0)).unwrap();
        assert_eq!(found, expected);
        report.findings.iter().map(|defect| defect.kind).collect::<Vec<_>>()
    };
    // A log start that lies behind all there is, and one that cannot be read.
    fs::write(data.path().join("log-start-offset-checkpoint"), "0\n1\nplain 1 99999\n").unwrap();
    assert_eq!(replayed(&before), [DefectKind::Damage]);
    fs::write(data.path().join("log-start-offset-checkpoint"), "garbage").unwrap();
    assert_eq!(replayed(&before), [DefectKind::Damage]);
    fs::remove_file(data.path().join("log-start-offset-checkpoint")).unwrap();
    // A file in the place of a partition, and a directory in the place of a segment.
    fs::write(data.path().join("plain-7"), "").unwrap();
    assert_eq!(replayed(&before), [DefectKind::Unreadable]);
    let report = verify(data.path(), &VerifyOptions::default()).unwrap();
    assert!(report.iter().any(|defect| defect.path.ends_with("plain-7")));
    fs::remove_file(data.path().join("plain-7")).unwrap();
    drop(path);
}

/// A broker notes log starts once a minute, and deletes segments when it likes.
#[test]
fn log_start_below_the_first_segment_is_a_loss_where_the_broker_was_stopped() {
    let (data, _path) = copy_of("retention/log/by-size-0");
    fs::write(data.path().join("log-start-offset-checkpoint"), "0\n1\nby-size 0 10\n").unwrap();
    fs::write(data.path().join("recovery-point-offset-checkpoint"), "0\n1\nby-size 0 129\n").unwrap();
    let lost = || {
        let replay = Archive::open(data.path()).unwrap().replay(&ReplayOptions::default());
        let findings = replay.for_each(|_| {}).unwrap().findings;
        let verified = verify(data.path(), &VerifyOptions::default()).unwrap();
        assert_eq!(verified.iter().filter(|defect| defect.offsets.is_some()).count(), findings.len());
        findings.iter().map(|defect| defect.offsets).collect::<Vec<_>>()
    };
    assert_eq!(lost(), []);
    fs::write(data.path().join(".kafka_cleanshutdown"), "").unwrap();
    assert_eq!(lost(), [Some((Offset(10), Offset(55)))]);
}

/// One file that cannot be opened costs itself.
#[cfg(unix)]
#[test]
fn segment_that_cannot_be_opened_costs_itself() {
    let (data, path) = copy_of("plain/log/plain-0");
    let all = segments(&path);
    assert!(all.len() > 2);
    let lost = offsets(&all[1]);
    let before = offsets(data.path());
    fs::remove_file(&all[1]).unwrap();
    std::os::unix::fs::symlink("nowhere", &all[1]).unwrap();
    for (backwards, committed) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut found = Vec::new();
        let options = ReplayOptions::default().backwards(backwards).read_committed(committed);
        let replay = Archive::open(data.path()).unwrap().replay(&options);
        let report = replay.for_each(|each| found.push(each.record.offset().0)).unwrap();
        found.sort_unstable();
        assert_eq!(found, before.iter().copied().filter(|offset| !lost.contains(offset)).collect::<Vec<_>>());
        assert!(report.findings.iter().any(|defect| defect.kind == DefectKind::Unreadable), "{:?}", report.findings);
    }
}

#[cfg(feature = "cli")]
#[test]
fn directory_of_a_broker_is_not_made_one_of_ours() {
    let home = crate::command::Home::new();
    let (_data, partition) = copy_of("plain/log/plain-1");
    fs::create_dir_all(home.data()).unwrap();
    fs::copy(golden("plain/log/meta.properties"), home.data().join("meta.properties")).unwrap();
    let before = crate::command::names(&home.data());
    let import = format!("import {}", partition.display());
    for command in ["topic create t", "produce t", &import] {
        assert!(home.run(command).refused().contains("Kafka broker"), "{command}");
    }
    assert_eq!(crate::command::names(&home.data()), before);
}
