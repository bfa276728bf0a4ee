//! Directories that Apache Kafka wrote (`tests/golden`): what is read of them is what Kafka's own classes read.
//!
//! `OTTLA_GOLDEN=DIR cargo test --all-features --test it golden:: -- --nocapture` does the same with all directories of
//! the same shape in another place.

#![expect(clippy::disallowed_methods, reason = "reads what is beside the sources")]
#![expect(clippy::print_stdout, reason = "says how much it has compared, to whoever runs it by hand")]

mod anywhere;
mod damaged;
mod imported;
mod manifest;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use ottla::replay::{Archive, ArchivedLog, ReplayOptions, Scanned};
use ottla::{Batch, DefectKind, Offset, VerifyOptions, verify};
use serde_json::Value;

use manifest::{Manifest, batch_row, control_row, read_lines, record_row};

/// All directories of the collection.
fn golden() -> Vec<PathBuf> {
    let place = std::env::var_os("OTTLA_GOLDEN").map(PathBuf::from);
    let place = place.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden"));
    let mut found: Vec<_> = fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.join("manifest.jsonl").is_file());
    found.sort();
    assert!(!found.is_empty(), "{}", place.display());
    found
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

fn dir_name(log: &ArchivedLog) -> String {
    format!("{}-{}", log.partition().topic(), log.partition().partition())
}

/// Every batch, record and marker of a log as a manifest has them.
fn rows(log: &ArchivedLog) -> Vec<Value> {
    let dir = dir_name(log);
    let mut rows = Vec::new();
    for found in log.scan() {
        let Scanned::Batch(stored) = found.unwrap() else { continue };
        rows.push(batch_row(&dir, &name(&stored.path()), stored.position, stored.batch.header()));
        let header = *stored.batch.header();
        let batch = stored.batch.unpack(Batch::DEFAULT_UNPACKED_LIMIT).unwrap();
        for record in batch.records().unwrap() {
            let record = record.unwrap();
            let is_control = header.is_control();
            rows.push(if is_control { control_row(&dir, &record) } else { record_row(&dir, &header, &record) });
        }
    }
    rows
}

#[test]
fn every_batch_and_record_is_what_kafka_reads() {
    let (mut batches, mut records) = (0, 0);
    for directory in golden() {
        let manifest = Manifest::read(&directory.join("manifest.jsonl"));
        let archive = Archive::open(directory.join("log")).unwrap();
        let mut seen = BTreeSet::new();
        let live = manifest.dirs().into_iter().filter(|dir| !dir.ends_with("-delete")).collect::<BTreeSet<_>>();
        for log in archive.logs() {
            let dir = dir_name(log);
            if !live.contains(&dir) {
                continue; // a damaged copy of another
            }
            let expected = manifest.readable(&dir);
            let found = rows(log);
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!(found, expected, "{}", directory.display());
            }
            assert_eq!(found.len(), expected.len(), "{} {dir}", directory.display());
            batches += found.iter().filter(|row| row["kind"] == "batch").count();
            records += found.iter().filter(|row| row["kind"] != "batch").count();
            seen.insert(dir);
        }
        assert_eq!(seen, live, "{}", directory.display());
    }
    println!("{batches} batches, {records} records and markers");
    assert!(records > 5_000);
}

#[test]
fn backwards_gives_the_same_in_the_other_order() {
    for directory in golden() {
        let archive = Archive::open(directory.join("log")).unwrap();
        for log in archive.logs() {
            let place = |found: ottla::Result<Scanned>| match found.unwrap() {
                Scanned::Batch(stored) => (stored.path(), stored.position, true),
                Scanned::Damage(defect) => (defect.path, defect.position.unwrap_or(0), false),
                other => panic!("{other:?}"),
            };
            let mut there: Vec<_> = log.scan().map(place).collect();
            let back: Vec<_> = log.scan().backwards().map(place).collect();
            there.reverse();
            assert_eq!(there, back, "{}", log.path().display());
        }
    }
}

/// The offsets that a replay of one partition gives.
fn offsets(archive: &Archive, log: &ArchivedLog, options: ReplayOptions) -> Vec<i64> {
    let options = options.topic(log.partition().topic()).partition(log.partition().partition());
    let mut offsets = Vec::new();
    archive.replay(&options).for_each(|found| offsets.push(found.record.offset().0)).unwrap();
    offsets
}

/// What Kafka's consumers received, with and without the transaction index: it is not used at all.
#[test]
fn replay_gives_what_consumers_received() {
    let mut compared = 0;
    for directory in golden() {
        let manifest = Manifest::read(&directory.join("manifest.jsonl"));
        let archive = Archive::open(directory.join("log")).unwrap();
        for log in archive.logs() {
            for (isolation, is_committed) in [("read_uncommitted", false), ("read_committed", true)] {
                let Some(expected) = manifest.visible(&dir_name(log), isolation) else { continue };
                let options = ReplayOptions::default().read_committed(is_committed);
                // A record's offset may stand twice in a batch that a client numbered strangely.
                let mut found = offsets(&archive, log, options.clone());
                let mut back = offsets(&archive, log, options.backwards(true));
                back.reverse();
                assert_eq!(found, back, "{} {isolation}", log.path().display());
                found.dedup();
                assert_eq!(found, expected, "{} {isolation}", log.path().display());
                compared += 1;
            }
        }
    }
    println!("{compared} partitions and isolation levels");
    assert!(compared > 150);
}

#[test]
fn any_offset_can_be_sought() {
    for directory in golden().into_iter().step_by(3) {
        let archive = Archive::open(directory.join("log")).unwrap();
        for log in archive.logs() {
            let all = offsets(&archive, log, ReplayOptions::default());
            let end = all.last().map_or(0, |last| last + 2);
            for from in (0..end).step_by(7) {
                let expected: Vec<_> = all.iter().copied().filter(|offset| (from..from + 9).contains(offset)).collect();
                let options = ReplayOptions::default().from_offset(Offset(from)).to_offset(Offset(from + 9));
                assert_eq!(offsets(&archive, log, options), expected, "{} from {from}", log.path().display());
            }
        }
    }
}

/// Compressed sets of the old formats, against another reader of the bytes.
#[test]
fn messages_in_sets_have_the_offsets_of_another_reader() {
    let mut sets = 0;
    for directory in golden() {
        let manifest = Manifest::read(&directory.join("manifest.jsonl"));
        let mut wrappers: BTreeMap<(String, String, u64), Vec<i64>> = manifest.wrappers();
        for log in Archive::open(directory.join("log")).unwrap().logs() {
            for found in log.scan() {
                let Scanned::Batch(stored) = found.unwrap() else { continue };
                let place = (dir_name(log), name(&stored.path()), stored.position);
                let Some(expected) = wrappers.remove(&place) else { continue };
                let offsets: Vec<_> =
                    stored.batch.records().unwrap().map(|record| record.unwrap().offset().0).collect();
                assert_eq!(offsets, expected, "{place:?}");
                sets += 1;
            }
        }
        let is_damaged = name(&directory).starts_with("legacy_damaged");
        assert!(is_damaged || wrappers.is_empty(), "{wrappers:?}");
    }
    println!("{sets} compressed sets");
}

/// What `verify` says of a directory that was closed, or was not; names of directories that were put aside left out.
#[test]
fn verify_finds_what_is_there_and_nothing_else() {
    for directory in golden() {
        let name = name(&directory);
        if name.starts_with("legacy_damaged") {
            continue; // `damaged` has those
        }
        let log = directory.join("log");
        let report = verify(&log, &VerifyOptions::default()).unwrap();
        let is_aside = |path: &Path| path.extension().is_some_and(|end| end.to_str().unwrap().ends_with("-delete"));
        let found: Vec<_> = report.iter().filter(|defect| !is_aside(&defect.path)).collect();
        if log.join(".kafka_cleanshutdown").exists() {
            let is_told = |defect: &&&ottla::Defect| {
                let dir = defect.path.strip_prefix(&log).unwrap().to_str().unwrap();
                name != "foreign" || !dir.starts_with("deltas.")
            };
            assert!(!found.iter().any(|defect| is_told(&defect)), "{found:#?}");
        } else {
            assert!(found.iter().all(|defect| matches!(defect.kind, DefectKind::Torn | DefectKind::Damage)));
        }
        let damage = found.iter().filter(|defect| defect.kind == DefectKind::Damage).count();
        assert_eq!(damage > 0, matches!(name.as_str(), "live_copy" | "foreign"), "{found:#?}");
        let records = read_lines(&directory.join("manifest.jsonl"));
        let records = records.iter().filter(|row| row["kind"] == "record" || row["kind"] == "control");
        assert!(usize::try_from(report.records()).unwrap() >= records.count() / 2);
    }
}

/// With one batch damaged, whether of records or a marker, no aborted record is given out, and what is missing was in that
/// batch, or its transaction's end was.
#[test]
fn damage_lets_no_aborted_record_through() {
    let (mut tried, mut unknown) = (0, 0);
    for directory in golden().iter().filter(|directory| name(directory).starts_with("transactions")) {
        let manifest = Manifest::read(&directory.join("manifest.jsonl"));
        let data = tempfile::tempdir().unwrap();
        copy(&directory.join("log"), data.path());
        let archive = Archive::open(data.path()).unwrap();
        for log in archive.logs() {
            let Some(expected) = manifest.visible(&dir_name(log), "read_committed") else { continue };
            if manifest.has_open_transaction(&dir_name(log)) {
                continue; // without the batch that keeps it open, more is stable
            }
            let batches = log.scan().filter_map(|found| match found.unwrap() {
                Scanned::Batch(stored) => Some((stored.path(), stored.position, *stored.batch.header())),
                _ => None,
            });
            for (path, position, header) in batches.collect::<Vec<_>>() {
                let whole = fs::read(&path).unwrap();
                let mut flipped = whole.clone();
                flipped[usize::try_from(position).unwrap() + 62] ^= 4;
                fs::write(&path, flipped).unwrap();
                let options = ReplayOptions::default().topic(log.partition().topic()).read_committed(true);
                let mut found = Vec::new();
                let replay = archive.replay(&options.partition(log.partition().partition()));
                let report = replay.for_each(|each| found.push(each.record.offset().0)).unwrap();
                fs::write(&path, whole).unwrap();
                assert!(!report.findings.is_empty());
                let said = report.findings.iter().any(|defect| defect.detail.contains("is lost in damage"));
                assert!(found.iter().all(|offset| expected.contains(offset)), "{path:?} at {position}: aborted");
                let range = header.base_offset.0..=header.last_offset().0;
                let mut missing = expected.iter().filter(|offset| !found.contains(offset) && !range.contains(offset));
                assert!(missing.next().is_none() || said, "{path:?} at {position}: lost without a word");
                tried += 1;
                unknown += usize::from(said);
            }
        }
    }
    println!("{tried} batches, {unknown} of which took the end of a transaction along");
    assert!(tried > 100 && unknown < tried / 4);
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&to).unwrap();
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}
