//! What fuzzing holds the reading of a broker's directory to.

use std::sync::Arc;

use crate::io::{Dir, MemoryDisk};
use crate::replay::archive::{Archive, ArchivedLog};
use crate::replay::options::ReplayOptions;
use crate::replay::scan::Scanned;
use crate::storage::{LogDirFacts, LogFacts, verify_log};
use crate::types::{Offset, TopicPartition};

/// The files that an input may have, by number. Those of the partition's directory come first.
const FILES: [&str; 14] = [
    "00000000000000000000.log",
    "00000000000000000000.index",
    "00000000000000000000.timeindex",
    "00000000000000000000.txnindex",
    "00000000000000000020.log",
    "00000000000000000020.index",
    "00000000000000000020.timeindex",
    "00000000000000000020.log.swap",
    "00000000000000000040.snapshot",
    "leader-epoch-checkpoint",
    "recovery-point-offset-checkpoint",
    "log-start-offset-checkpoint",
    "cleaner-offset-checkpoint",
    ".kafka_cleanshutdown",
];
const IN_PARTITION: usize = 10;
/// What a compressed batch may unpack to.
const UNPACKED_LIMIT: usize = 1 << 20;
/// How many steps of a scan are compared.
const STEPS: usize = 10_000;

/// Opens a directory with the files of `input`, goes through it both ways, plays it back in every way, and verifies it.
///
/// `input` is one file after the other: which one (a byte), how long it is (two bytes, big-endian), its content.
///
/// # Panics
/// If something is read twice, out of order, or differently the other way round.
pub fn archive_open(input: &[u8]) {
    let disk = MemoryDisk::new().disk();
    let root = disk.root();
    let dir = root.create_dir("t-0").expect("memory takes it");
    let mut rest = input;
    while let Some((&[number, high, low], behind)) = rest.split_first_chunk() {
        let len = usize::from(u16::from_be_bytes([high, low])).min(behind.len());
        let (content, behind) = behind.split_at(len);
        rest = behind;
        let number = usize::from(number) % FILES.len();
        put(if number < IN_PARTITION { &dir } else { &root }, FILES[number], content);
    }
    let archive = Archive::of_log_dir(root.path(), &disk).expect("it can be listed");
    let log = &archive.logs()[0];
    compare_both_ways(log);
    play(&archive);
    let partition = TopicPartition::new("t", 0);
    let facts = LogDirFacts::read(root.as_ref());
    let facts = LogFacts {
        ours: None,
        foreign: facts.of(&partition),
        was_clean: facts.was_clean,
        durable_end: facts.recovery_points.get(&partition).copied(),
        only: None,
        unpacked_limit: UNPACKED_LIMIT,
    };
    verify_log(&dir, &facts, &|| {}).expect("it can be listed");
}

fn put(dir: &Arc<dyn Dir>, name: &str, content: &[u8]) {
    let file = dir.create(name).expect("memory takes it");
    file.write_all_at(content, 0).expect("memory takes it");
}

fn compare_both_ways(log: &ArchivedLog) {
    let (mut least, mut forwards) = (Offset::ZERO, Vec::new());
    for found in log.scan().max_unpacked_bytes(UNPACKED_LIMIT).take(STEPS) {
        let Scanned::Batch(stored) = found.expect("memory can be read") else { continue };
        let header = stored.batch.header();
        assert!(header.base_offset >= least, "offsets rise: {} behind {least}", header.base_offset);
        least = header.next_offset();
        forwards.push((stored.path(), stored.position));
    }
    let back = log.scan().max_unpacked_bytes(UNPACKED_LIMIT).backwards().take(STEPS);
    let mut greatest = Offset(i64::MAX);
    for found in back {
        let Scanned::Batch(stored) = found.expect("memory can be read") else { continue };
        assert!(stored.batch.header().last_offset() < greatest, "offsets sink");
        greatest = stored.batch.header().base_offset;
    }
}

fn play(archive: &Archive) {
    let all = ReplayOptions::default().max_unpacked_bytes(UNPACKED_LIMIT).below_log_start(true);
    for committed in [false, true] {
        let options = all.clone().read_committed(committed);
        let mut count = 0;
        let report = archive.replay(&options).for_each(|found| {
            count += 1;
            let _ = (found.record.key(), found.record.headers().iter().count());
        });
        let report = report.expect("memory can be read");
        assert_eq!(report.records, count);
        let again = archive.replay(&options.clone().by_time(true)).take(STEPS).map(|record| record.is_ok());
        assert!(again.count() <= usize::try_from(count).unwrap_or(usize::MAX));
        let back = archive.replay(&options.backwards(true)).take(STEPS).filter(Result::is_ok).count();
        assert!(back <= usize::try_from(count).unwrap_or(usize::MAX), "{back} of {count}");
    }
}
