//! Readers beside an owner: what they see is what consumers see, and they leave no trace.
//!
//! | | what is attacked | tests |
//! |---|---|---|
//! | R01 | a reader while somebody writes | `reader_beside_a_writer_sees_every_record_once_and_none_too_early`, `processes::*` |
//! | R03 | a copy of a directory that is in use | `copy_of_a_live_directory_holds_a_prefix_of_the_truth` |
//! | R04 | a file truncated or removed behind the engine's back | `segment_that_is_gone_or_short_is_named`, `log_that_was_cut_is_reported_once` |
//! | P01, P09 | locks and permissions | `owner_comes_and_goes_under_a_reader_that_leaves_no_trace`, `processes::commands_that_only_look_need_no_permission_to_write` |

#![expect(clippy::disallowed_methods, reason = "looks at files behind the engine's back, and damages them")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use ottla::replay::{Directory, PartitionReader};
use ottla::{
    Acks, Admin, Consumer, Engine, Error, GroupDescription, MemoryDisk, NewTopic, Offset, Producer, ProducerConfig,
    ProducerRecord, Timestamp, TopicPartition,
};
use tempfile::TempDir;

#[cfg(feature = "cli")]
mod processes;
mod races;

const LONG: Duration = Duration::from_secs(30);
const MIB: usize = 1 << 20;

fn t() -> TopicPartition {
    ("t", 0).into()
}

fn home() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn segment(home: &Path, base: u64) -> PathBuf {
    home.join("log/t-0").join(format!("{base:020}.log"))
}

fn producer(engine: &Engine, acks: Acks) -> Producer<str, str> {
    Producer::with_config(engine, ProducerConfig::builder().acks(acks).build().unwrap()).unwrap()
}

/// Sends `values`, a batch each, and waits for them.
fn send(engine: &Engine, acks: Acks, values: impl IntoIterator<Item = u32>) {
    let producer = producer(engine, acks);
    for value in values {
        producer.send(ProducerRecord::to("t").value(value.to_string().as_str())).unwrap().wait().unwrap();
    }
    producer.close().unwrap();
}

/// Offsets and values of what is there from the reader's position on.
fn rest(reader: &mut PartitionReader) -> Vec<(i64, u32)> {
    let mut seen = Vec::new();
    loop {
        let records = reader.read(MIB).unwrap();
        if records.is_empty() {
            return seen;
        }
        seen.extend(records.iter().map(|record| {
            let value = std::str::from_utf8(record.value().unwrap()).unwrap();
            (record.offset().0, value.parse::<u32>().unwrap())
        }));
    }
}

/// The numbers from `first` to `last`, each at the offset that it is.
fn counted(range: std::ops::Range<u32>) -> Vec<(i64, u32)> {
    range.map(|number| (i64::from(number), number)).collect()
}

/// Every file, with its length and the time of its last change.
fn trace(home: &Path) -> BTreeMap<PathBuf, (u64, SystemTime)> {
    let mut files = BTreeMap::new();
    let mut dirs = vec![home.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let found = entry.metadata().unwrap();
            if found.is_dir() {
                dirs.push(entry.path());
            }
            files.insert(entry.path(), (found.len(), found.modified().unwrap()));
        }
    }
    files
}

fn look_at_everything(directory: &Directory) {
    for topic in directory.topics().unwrap() {
        for partition in directory.topic(&topic.name).unwrap().partitions {
            let mut reader = directory.reader(&partition.partition).unwrap();
            reader.offset_for_time(Timestamp(1)).unwrap();
            while !reader.read(MIB).unwrap().is_empty() {}
        }
    }
    for group in directory.groups().unwrap() {
        directory.group(&group.group).unwrap();
    }
    assert!(directory.report().unwrap().is_empty());
}

#[test] // R01
fn reader_beside_a_writer_sees_every_record_once_and_none_too_early() {
    let home = home();
    let engine = Engine::open(home.path()).unwrap();
    Admin::new(&engine).create_topic(NewTopic::new("t").config("segment.bytes", "4096")).unwrap();
    let mut reader = Directory::open(home.path()).unwrap().reader(&t()).unwrap();
    std::thread::scope(|scope| {
        let writing = engine.clone();
        scope.spawn(move || {
            let (all, one) = (producer(&writing, Acks::All), producer(&writing, Acks::One));
            for value in 0..3000 {
                let producer = if value % 7 == 0 { &all } else { &one };
                let sent = producer.send(ProducerRecord::to("t").value(value.to_string().as_str())).unwrap();
                if value % 11 == 0 {
                    sent.wait().unwrap(); // now and then, so that there are many batches
                }
            }
        });
        let mut values = Vec::new();
        while values.len() < 3000 {
            for record in &reader.poll(LONG).unwrap() {
                assert_eq!(
                    record.offset().0,
                    i64::try_from(values.len()).unwrap(),
                    "none is left out, none comes twice"
                );
                assert!(record.offset() < engine.end_offset(&t()).unwrap(), "consumers see it too");
                values.push(std::str::from_utf8(record.value().unwrap()).unwrap().parse::<u32>().unwrap());
            }
        }
        values.sort_unstable();
        assert!(values.into_iter().eq(0..3000));
    });
    assert!(reader.read(MIB).unwrap().is_empty());
    assert!(
        Directory::open(home.path()).unwrap().topic("t").unwrap().partitions[0].segments > 5,
        "it went across rolls"
    );
}

#[test] // P01, P09
fn owner_comes_and_goes_under_a_reader_that_leaves_no_trace() {
    let home = home();
    let engine = Engine::open(home.path()).unwrap();
    send(&engine, Acks::All, 0..3);
    let directory = Directory::open(home.path()).unwrap();
    let mut reader = directory.reader(&t()).unwrap();
    assert_eq!(rest(&mut reader), counted(0..3));
    engine.close().unwrap();
    let closed = trace(home.path());
    look_at_everything(&directory);
    assert_eq!(rest(&mut reader), []);
    assert_eq!(trace(home.path()), closed, "nothing was made or changed");

    let engine = Engine::open(home.path()).unwrap(); // nobody else has a lock
    send(&engine, Acks::All, 3..6);
    assert_eq!(rest(&mut reader), counted(3..6));
    let mut consumer = Consumer::<str, str>::new(&engine, "g").unwrap();
    consumer.commit_sync_offsets([(t(), Offset(4).into())]).unwrap();
    let open = trace(home.path());
    look_at_everything(&directory);
    assert_eq!(trace(home.path()), open);
    let untimed = |mut group: GroupDescription| {
        group.partitions.iter_mut().filter_map(|row| row.lag.as_mut()).for_each(|lag| lag.time = Duration::ZERO);
        group
    };
    let described = untimed(directory.group("g").unwrap());
    assert_eq!(described, untimed(Admin::new(&engine).describe_group("g").unwrap()));
    drop(consumer);
    engine.close().unwrap();
    assert_eq!(untimed(directory.group("g").unwrap()), described);
}

#[test]
fn topics_and_groups_are_those_of_the_engine_also_across_compactions() {
    let disk = MemoryDisk::stepped(7);
    let engine = Engine::builder().open_memory(&disk).unwrap();
    let (admin, directory) = (Admin::new(&engine), Directory::open_memory(&disk).unwrap());
    assert_eq!(directory.topics().unwrap(), []);
    assert!(matches!(directory.topic("t"), Err(Error::UnknownTopicOrPartition { .. })));
    assert!(matches!(directory.topic("a/b"), Err(Error::InvalidTopic { .. })));
    assert!(matches!(directory.reader(&("t", 0).into()), Err(Error::UnknownTopicOrPartition { .. })));
    assert!(matches!(directory.group("g"), Err(Error::GroupIdNotFound { .. })));
    assert!(matches!(directory.group(""), Err(Error::InvalidGroupId { .. })));

    admin.create_topic(NewTopic::new("t").partitions(2).config("segment.ms", "1000")).unwrap();
    admin.create_topic(NewTopic::new("u")).unwrap();
    assert!(matches!(directory.bounds(&("t", 2).into()), Err(Error::UnknownTopicOrPartition { .. })));
    send(&engine, Acks::All, 0..3);
    let mut consumer = Consumer::<str, str>::new(&engine, "g").unwrap();
    let note = "x".repeat(4000); // so that the journal is soon written anew, and more than once
    let commit = |consumer: &mut Consumer<str, str>, offset: i64| {
        let noted = ottla::OffsetAndMetadata::new(Offset(offset)).with_metadata(note.as_str());
        consumer.commit_sync_offsets([(("t", 0).into(), noted)]).unwrap();
    };
    for round in 0..1500 {
        commit(&mut consumer, round % 4);
        let row = directory.group("g").unwrap().partitions.remove(0);
        assert_eq!((row.committed, row.metadata == note), (Some(Offset(round % 4)), true));
    }
    assert!(disk.files().iter().any(|(path, _)| path.ends_with("groups/g.offsets.previous")), "it was written anew");
    assert_eq!(directory.topics().unwrap(), admin.list_topics().unwrap());
    assert_eq!(directory.groups().unwrap(), admin.list_groups().unwrap());
    assert_eq!(directory.group("g").unwrap(), admin.describe_group("g").unwrap());
    for name in ["t", "u"] {
        let (ours, theirs) = (directory.topic(name).unwrap(), admin.describe_topic(name).unwrap());
        assert_eq!((ours.id, &ours.config), (theirs.id, &theirs.config));
        let facts = |log_start, high_watermark, durable_end, bytes| (log_start, high_watermark, durable_end, bytes);
        let ours = ours.partitions.iter().map(|one| {
            let bounds = one.bounds;
            facts(bounds.log_start_offset, bounds.high_watermark, bounds.durable_end, one.size_bytes)
        });
        let theirs = theirs.partitions.iter();
        let theirs = theirs.map(|one| facts(one.log_start_offset, one.high_watermark, one.durable_end, one.size_bytes));
        assert!(ours.eq(theirs));
    }
    admin.delete_topic("t").unwrap();
    assert_eq!(directory.topics().unwrap(), admin.list_topics().unwrap());
    assert_eq!(directory.group("g").unwrap().partitions, []);
}

#[test]
fn deleted_topic_is_reported_and_never_another_one_read_in_its_place() {
    let home = home();
    let engine = Engine::open(home.path()).unwrap();
    let (admin, directory) = (Admin::new(&engine), Directory::open(home.path()).unwrap());
    send(&engine, Acks::All, 0..10);
    let (mut at_the_end, mut before_it) = (directory.reader(&t()).unwrap(), directory.reader(&t()).unwrap());
    assert_eq!(rest(&mut at_the_end), counted(0..10));
    assert_eq!(before_it.read(1).unwrap().iter().count(), 1);
    admin.delete_topic("t").unwrap();
    for again in [false, true] {
        if again {
            admin.create_topic(NewTopic::new("t")).unwrap();
            send(&engine, Acks::All, 100..120); // more than there were
        }
        for reader in [&mut at_the_end, &mut before_it] {
            assert!(matches!(reader.read(MIB), Err(Error::UnknownTopicId { .. })), "{again}");
            assert!(matches!(reader.bounds(), Err(Error::UnknownTopicId { .. })), "{again}");
            assert!(matches!(reader.offset_for_time(Timestamp(0)), Err(Error::UnknownTopicId { .. })), "{again}");
        }
    }
    let values: Vec<_> = rest(&mut directory.reader(&t()).unwrap()).into_iter().map(|(_, value)| value).collect();
    assert!(values.into_iter().eq(100..120));
}

/// Where every batch of the only segment of `t` begins.
fn batches(home: &Path) -> Vec<usize> {
    let bytes = fs::read(segment(home, 0)).unwrap();
    let (mut places, mut at) = (Vec::new(), 0);
    while at + 12 <= bytes.len() {
        places.push(at);
        at += 12 + usize::try_from(i32::from_be_bytes(bytes[at + 8..at + 12].try_into().unwrap())).unwrap();
    }
    places
}

fn flip(file: &Path, position: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[position] ^= 1;
    fs::write(file, bytes).unwrap();
}

#[test]
fn flipped_bit_below_the_durable_end_is_named_with_its_place_and_passed() {
    let home = home();
    let engine = Engine::open(home.path()).unwrap();
    send(&engine, Acks::All, 0..5);
    let place = batches(home.path())[2];
    flip(&segment(home.path(), 0), place + 65);
    let mut reader = Directory::open(home.path()).unwrap().reader(&t()).unwrap();
    assert_eq!(reader.read(MIB).unwrap().iter().count(), 2, "what stands before it comes first");
    for _ in 0..2 {
        let error = reader.read(MIB).unwrap_err();
        let Error::CorruptBatch { partition, first, last, path, file_position, .. } = &error else { panic!("{error}") };
        assert_eq!((partition, *first, *last), (&t(), Offset(2), Offset(2)));
        assert_eq!((path, *file_position), (&segment(home.path(), 0), place as u64));
        assert_eq!(reader.position(), Offset(2), "it stays there");
    }
    reader.seek(Offset(3));
    assert_eq!(rest(&mut reader), counted(3..5));
    assert!(reader.ends_early().is_none());
}

#[test]
fn what_was_never_durable_ends_the_log_where_it_is_no_batch() {
    let home = home();
    let engine = Engine::open(home.path()).unwrap();
    send(&engine, Acks::All, 0..2);
    send(&engine, Acks::One, 2..6); // below the high watermark, and above the durable end
    let file = segment(home.path(), 0);
    let (whole, place) = (fs::read(&file).unwrap(), batches(home.path())[4]);
    let zeros = [&whole[..place], &vec![0; whole.len() - place]].concat();
    for lost in [&whole[..place], &whole[..place + 30], &zeros] {
        fs::write(&file, lost).unwrap();
        let mut reader = Directory::open(home.path()).unwrap().reader(&t()).unwrap();
        assert_eq!(rest(&mut reader), counted(0..4));
        let why = reader.ends_early().unwrap().to_string();
        assert!(why.contains("offsets 4 to ") && why.contains(&file.display().to_string()), "{why}");
        fs::write(&file, &whole).unwrap();
        assert_eq!(rest(&mut reader), counted(4..6), "it was there after all");
        assert!(reader.ends_early().is_none());
    }
}

#[test]
fn what_stands_behind_the_high_watermark_is_never_shown() {
    let home = home();
    let engine = Engine::open(home.path()).unwrap();
    send(&engine, Acks::All, 0..3);
    engine.close().unwrap();
    let file = segment(home.path(), 0);
    let (whole, last) = (fs::read(&file).unwrap(), batches(home.path())[2]);
    let mut next = whole[last..].to_vec();
    next[7] = 3; // the checksum does not cover the offset: a whole batch that would fit
    for behind in [&next[..], &next[..40], &[0; 5000], b"torn"] {
        fs::write(&file, [&whole[..], behind].concat()).unwrap();
        let mut reader = Directory::open(home.path()).unwrap().reader(&t()).unwrap();
        assert_eq!(rest(&mut reader), counted(0..3));
        assert!(reader.ends_early().is_none());
    }
}

#[test] // R04
fn segment_that_is_gone_or_short_is_named() {
    let home = home();
    let engine = Engine::open(home.path()).unwrap();
    Admin::new(&engine).create_topic(NewTopic::new("t").config("segment.bytes", "300")).unwrap();
    send(&engine, Acks::All, 0..20);
    engine.close().unwrap();
    let mut bases: Vec<u64> = fs::read_dir(home.path().join("log/t-0"))
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str().unwrap().strip_suffix(".log")?.parse().ok())
        .collect();
    bases.sort_unstable();
    let (gone, next) = (bases[2], bases[3]);
    let mut reader = Directory::open(home.path()).unwrap().reader(&t()).unwrap();
    assert_eq!(reader.read(1).unwrap().iter().count(), 1); // it has made its list of them
    let content = fs::read(segment(home.path(), gone)).unwrap();
    fs::remove_file(segment(home.path(), gone)).unwrap();
    for is_gone in [true, false] {
        if !is_gone {
            fs::write(segment(home.path(), gone), &content[..content.len() - 1]).unwrap();
        }
        reader.seek(Offset(0));
        let error = loop {
            match reader.read(MIB) {
                Ok(records) => assert!(!records.is_empty(), "it ends behind offset {}", reader.position()),
                Err(error) => break error,
            }
        };
        let Error::CorruptBatch { first, last, path, .. } = &error else { panic!("{error}") };
        assert!(first.0 >= i64::try_from(gone).unwrap() && last.0 == i64::try_from(next).unwrap() - 1, "{error}");
        assert!(path.starts_with(home.path().join("log/t-0")), "{error}");
        reader.seek(last.next());
        assert_eq!(rest(&mut reader), counted(u32::try_from(next).unwrap()..20));
    }
}

#[test]
fn bounds_that_are_lost_are_an_error_unless_the_directory_was_closed() {
    let home = home();
    let engine = Engine::open(home.path()).unwrap();
    send(&engine, Acks::All, 0..3);
    engine.close().unwrap();
    let positions = home.path().join("positions");
    let whole = fs::read(&positions).unwrap();
    let mut damaged = whole.clone();
    damaged[128..].fill(7);
    let marker = home.path().join("log/.kafka_cleanshutdown");
    let closed = fs::read(&marker).unwrap();
    for lost in [Some(damaged), None] {
        match &lost {
            Some(bytes) => fs::write(&positions, bytes).unwrap(),
            None => fs::remove_file(&positions).unwrap(),
        }
        let directory = Directory::open(home.path()).unwrap();
        assert_eq!(rest(&mut directory.reader(&t()).unwrap()), counted(0..3), "a clean shutdown has said it as well");
        fs::remove_file(&marker).unwrap();
        let error = directory.reader(&t()).unwrap_err();
        assert!(error.to_string().contains("positions"), "{error}");
        assert_eq!(directory.topic("t").map(drop).unwrap_err().to_string(), error.to_string());
        assert_eq!(directory.topics().unwrap().len(), 1);
        fs::write(&marker, &closed).unwrap();
    }
    fs::write(&positions, whole).unwrap();
    let catalog = home.path().join("catalog");
    let bytes = fs::read(&catalog).unwrap();
    fs::write(&catalog, [b"XXXX", &bytes[4..]].concat()).unwrap();
    assert_eq!(Directory::open(home.path()).unwrap().topics().unwrap().len(), 1, "one copy of the header is enough");
    fs::remove_file(&catalog).unwrap();
    let error = Directory::open(home.path()).unwrap_err();
    assert!(matches!(&error, Error::CorruptFile { path, .. } if *path == catalog), "{error}");
}

#[test]
fn directory_that_is_none_of_ours_is_refused() {
    let home = home();
    assert!(matches!(Directory::open(home.path().join("nowhere")), Err(Error::Io { .. })));
    assert_eq!(Directory::open(home.path()).unwrap().topics().unwrap(), [], "an empty one may become one");
    fs::create_dir(home.path().join("orders-0")).unwrap();
    let error = Directory::open(home.path()).unwrap_err();
    assert!(matches!(error, Error::IllegalArgument { .. }), "{error}");
    assert_eq!(trace(home.path()).len(), 1);
}

#[test]
#[cfg(feature = "zstd")]
fn read_takes_no_more_memory_than_a_few_batches_unpack_to() {
    let disk = MemoryDisk::new();
    let engine = Engine::builder().open_memory(&disk).unwrap();
    let config = ProducerConfig::builder().compression(ottla::Compression::Zstd).max_request_size(8 << 20);
    let producer = Producer::<str, [u8]>::with_config(&engine, config.build().unwrap()).unwrap();
    for _ in 0..12 {
        producer.send(ProducerRecord::to("t").value(&[0; 4 << 20])).unwrap().wait().unwrap();
    }
    let mut reader = Directory::open_memory(&disk).unwrap().reader(&t()).unwrap();
    let counts: Vec<_> = (0..4).map(|_| reader.read(MIB).unwrap().iter().count()).collect();
    assert_eq!(counts, [4, 4, 4, 0]);
    reader.seek(Offset(11));
    reader.set_max_unpacked_bytes(MIB);
    let error = reader.read(MIB).unwrap_err();
    let Error::CorruptBatch { first, last, path, .. } = &error else { panic!("{error}") };
    assert_eq!((*first, *last, path.ends_with("00000000000000000000.log")), (Offset(11), Offset(11), true));
    assert_eq!(reader.position(), Offset(11));
}

#[test] // R03
fn copy_of_a_live_directory_holds_a_prefix_of_the_truth() {
    let home = home();
    let engine = Engine::open(home.path()).unwrap();
    send(&engine, Acks::All, 0..4);
    let backup = home.path().join("backup");
    fs::create_dir_all(backup.join("log/t-0")).unwrap();
    let copy = |name: &str| fs::copy(home.path().join(name), backup.join(name)).map(drop).unwrap();
    ["catalog", "positions"].into_iter().for_each(copy); // the bounds first: what comes later is as long at least
    send(&engine, Acks::All, 4..6);
    for name in ["partition.metadata", "leader-epoch-checkpoint", "00000000000000000000.log"] {
        copy(&format!("log/t-0/{name}"));
    }
    assert_eq!(rest(&mut Directory::open(&backup).unwrap().reader(&t()).unwrap()), counted(0..4));
}

/// After a crash at any step, a reader that is there before the next owner, and stays.
fn crashed_at(step: u64, crash: impl Fn(&MemoryDisk), keeps_all: bool) -> bool {
    let disk = MemoryDisk::stepped(step);
    disk.fail_from(step);
    let mut sent = 0;
    let mut acknowledged = 0;
    let ran = Engine::builder().open_memory(&disk).and_then(|engine| {
        Admin::new(&engine).create_topic(NewTopic::new("t").config("segment.bytes", "300"))?;
        let config = |acks| ProducerConfig::builder().acks(acks).retries(0).build();
        let producers = [config(Acks::All)?, config(Acks::One)?].map(|config| Producer::with_config(&engine, config));
        let [all, one]: [Producer<str, str>; 2] =
            producers.into_iter().collect::<Result<Vec<_>, _>>()?.try_into().unwrap();
        for value in 0..12 {
            sent = value + 1;
            let producer = if value % 3 == 0 { &all } else { &one };
            producer.send(ProducerRecord::to("t").value(value.to_string().as_str()))?.wait()?;
            if disk.has_power() {
                acknowledged = value + 1; // from the step on it is dead, and does not know
            }
        }
        engine.close()
    });
    crash(&disk);

    let directory = match Directory::open_memory(&disk) {
        Ok(directory) => directory,
        Err(error) => panic!("step {step}: {error}"),
    };
    let mut reader = directory.reader(&t()).ok();
    let before = reader.as_mut().map(rest).unwrap_or_default();
    assert_eq!(before, counted(0..u32::try_from(before.len()).unwrap()), "step {step}");
    assert!(before.len() <= usize::try_from(sent).unwrap(), "step {step}");
    if keeps_all {
        assert!(
            before.len() >= usize::try_from(acknowledged).unwrap(),
            "step {step}: {before:?}, {acknowledged} are known"
        );
    }

    // The next owner mends what there is, and goes on; the reader hears of what that took, or goes on as well.
    let engine = Engine::builder().open_memory(&disk).unwrap();
    send(&engine, Acks::All, 100..103);
    let mut owner = directory.reader(&t()).unwrap();
    let truth = rest(&mut owner);
    if let Some(mut reader) = reader {
        let mut seen = before;
        loop {
            match reader.read(MIB) {
                Ok(records) if records.is_empty() => break,
                Ok(records) => {
                    let value = |value: &[u8]| std::str::from_utf8(value).unwrap().parse::<u32>().unwrap();
                    seen.extend(records.iter().map(|record| (record.offset().0, value(record.value().unwrap()))));
                }
                Err(Error::LogTruncated { requested, resumed_at, .. }) => {
                    assert_eq!(requested.0, i64::try_from(seen.len()).unwrap(), "step {step}");
                    seen.truncate(usize::try_from(resumed_at.0).unwrap());
                }
                Err(Error::UnknownTopicId { .. }) => break, // its creation was not durable
                Err(error) => panic!("step {step}: {error}"),
            }
        }
        if directory.topics().unwrap().iter().any(|topic| topic.id == reader.topic_id()) {
            assert_eq!(seen, truth, "step {step}");
        }
    }
    drop(engine);
    ran.is_err()
}

#[test]
fn reader_after_a_kill_at_any_step_has_all_that_was_acknowledged() {
    let steps = (0..).take_while(|step| crashed_at(*step, MemoryDisk::kill, true)).count();
    assert!(steps > 50, "{steps}");
}

#[test]
fn reader_after_a_power_cut_at_any_step_has_a_prefix_and_follows_the_recovery() {
    let steps = (0..).take_while(|step| crashed_at(*step, MemoryDisk::power_cut, false)).count();
    assert!(steps > 50, "{steps}");
}

#[test]
fn reader_after_a_power_cut_that_kept_any_sectors_has_a_prefix_and_follows_the_recovery() {
    for seed in 0..2 {
        let crash = |disk: &MemoryDisk| disk.power_cut_keeping(seed);
        assert!((0..).take_while(|step| crashed_at(*step, crash, false)).count() > 50);
    }
}
