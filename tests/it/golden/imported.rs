//! `Admin::import` of every directory: the records that count are there, as Kafka's classes read them, and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ottla::replay::{Archive, Scanned};
use ottla::{Admin, Batch, Engine, ImportOptions, ImportReport, MemoryDisk};
use serde_json::Value;

use super::manifest::{Manifest, read_lines, record_row};
use super::{dir_name, golden};

/// What an import of `path` brings, by directory and offset, and what it says.
pub(super) fn imported(path: &Path) -> (BTreeMap<(String, i64), Value>, ImportReport) {
    let disk = MemoryDisk::stepped(7);
    let engine = Engine::builder().open_memory(&disk).unwrap();
    let report = Admin::new(&engine).import(path, &ImportOptions::default()).unwrap();
    engine.close().unwrap();
    assert!(Engine::builder().open_memory(&disk).unwrap().report().is_empty());
    let mut rows = BTreeMap::new();
    for log in Archive::open_memory(&disk).unwrap().logs() {
        let mut expected = log.log_start();
        for found in log.scan() {
            let Scanned::Batch(stored) = found.unwrap() else {
                panic!("{}: what was imported is whole", path.display())
            };
            let header = *stored.batch.header();
            assert!(header.base_offset <= expected, "{}: no offset is left out", path.display());
            assert!(!header.is_transactional() && !header.is_control());
            expected = header.next_offset();
            let batch = stored.batch.unpack(Batch::DEFAULT_UNPACKED_LIMIT).unwrap();
            for record in batch.records().unwrap() {
                let record = record.unwrap();
                if record.offset() >= log.log_start() {
                    let row = record_row(&dir_name(log), &header, &record);
                    rows.insert((dir_name(log), record.offset().0), row);
                }
            }
        }
    }
    (rows, report)
}

/// The records of a log that were committed, by what the batches and markers say that Kafka's classes read.
fn committed(manifest: &Manifest, dir: &str) -> BTreeMap<i64, Value> {
    let rows = manifest.readable(dir);
    let mut markers: BTreeMap<i64, Vec<(i64, bool)>> = BTreeMap::new();
    let mut batch = &Value::Null;
    for row in &rows {
        if row["kind"] == "batch" {
            batch = row;
        } else if row["kind"] == "control" && batch["transactional"] == true {
            let marker = (row["offset"].as_i64().unwrap(), row["type"] == "COMMIT");
            markers.entry(batch["producer_id"].as_i64().unwrap()).or_default().push(marker);
        }
    }
    let mut records = BTreeMap::new();
    for row in &rows {
        if row["kind"] == "batch" {
            batch = row;
        } else if row["kind"] == "record" {
            let offset = row["offset"].as_i64().unwrap();
            let markers = markers.get(&batch["producer_id"].as_i64().unwrap());
            let behind = markers.and_then(|markers| markers.iter().find(|(marker, _)| *marker > offset));
            if batch["transactional"] != true || behind.is_some_and(|(_, commits)| *commits) {
                records.insert(offset, row.clone());
            }
        }
    }
    records
}

fn is_internal(dir: &str) -> bool {
    dir.starts_with("__")
}

#[test]
fn every_committed_record_of_every_broker_is_imported_and_no_other() {
    let mut records = 0;
    for directory in golden().into_iter().filter(|path| !path.join("expected.jsonl").exists()) {
        let manifest = Manifest::read(&directory.join("manifest.jsonl"));
        let (rows, report) = imported(&directory.join("log"));
        let mut expected = BTreeMap::new();
        for dir in manifest.dirs().into_iter().filter(|dir| !is_internal(dir) && !dir.ends_with("-delete")) {
            let start = manifest.log_start(&dir);
            let committed = committed(&manifest, &dir).into_iter().filter(|(offset, _)| *offset >= start);
            let committed: BTreeMap<i64, Value> = committed.collect();
            // What a consumer saw is among them. It stopped before the first open transaction.
            for offset in manifest.visible(&dir, "read_committed").unwrap_or_default() {
                assert!(committed.contains_key(&offset), "{}: {dir} {offset}", directory.display());
            }
            expected.extend(committed.into_iter().map(|(offset, row)| ((dir.clone(), offset), row)));
        }
        let different = rows.iter().find(|(at, row)| expected.get(at) != Some(row));
        assert!(different.is_none(), "{}: {different:?}", directory.display());
        let missing = expected.keys().find(|at| !rows.contains_key(at));
        assert!(missing.is_none(), "{}: {missing:?}", directory.display());
        assert!(report.records() >= rows.len() as u64); // with what lies below the start of a log, in its first batch
        records += rows.len();
    }
    assert!(records > 5_000, "{records}");
}

#[test]
fn offsets_of_groups_are_what_kafkas_coordinator_knows() {
    let mut compared = 0;
    for directory in golden() {
        let rows = read_lines(&directory.join("manifest.jsonl"));
        let rows: Vec<&Value> = rows.iter().filter(|row| row["kind"] == "group_offset").collect();
        if rows.is_empty() {
            continue;
        }
        let disk = MemoryDisk::stepped(7);
        let engine = Engine::builder().open_memory(&disk).unwrap();
        let admin = Admin::new(&engine);
        let report = admin.import(directory.join("log"), &ImportOptions::default()).unwrap();
        let partitions = report.topics.iter().flat_map(|topic| &topic.partitions);
        let ends: BTreeMap<_, _> = partitions
            .filter(|each| !each.is_missing)
            .map(|each| (each.partition.to_string(), each.log_end_offset.0))
            .collect();
        let mut expected = BTreeSet::new();
        for row in rows {
            let partition = format!("{}-{}", row["topic"].as_str().unwrap(), row["partition"]);
            if let (Some(end), Some(offset @ 0..)) = (ends.get(&partition), row["offset"].as_i64()) {
                expected.insert((row["group"].as_str().unwrap().to_owned(), partition, offset.min(*end)));
            }
        }
        let mut found = BTreeSet::new();
        for group in admin.list_groups().unwrap() {
            for row in admin.describe_group(&group.group).unwrap().partitions {
                found.extend(row.committed.map(|offset| (group.group.clone(), row.partition.to_string(), offset.0)));
            }
        }
        assert_eq!(found, expected, "{}", directory.display());
        assert_eq!(report.groups.iter().map(|(_, count)| count).sum::<usize>(), expected.len());
        compared += expected.len();
    }
    assert!(compared > 50, "{compared}");
}

/// The offsets in ranges of directory, first and last.
fn ranges(of: &Value) -> BTreeSet<(String, i64)> {
    let range = |range: &Value| {
        let dir = range[0].as_str().unwrap().to_owned();
        (range[1].as_i64().unwrap()..=range[2].as_i64().unwrap()).map(move |offset| (dir.clone(), offset))
    };
    of.as_array().unwrap().iter().flat_map(range).collect()
}

#[test]
fn damage_costs_no_more_than_it_hit_and_is_told() {
    let directory = golden()[0].with_file_name("damaged");
    let clean = Manifest::read(&directory.join("clean/manifest.jsonl"));
    let mut sound = BTreeMap::new();
    for dir in clean.dirs().into_iter().filter(|dir| !is_internal(dir)) {
        sound.extend(committed(&clean, &dir).into_iter().map(|(offset, row)| ((dir.clone(), offset), row)));
    }
    let cases = read_lines(&directory.join("expected.jsonl"));
    for case in &cases {
        let name = case["damage"].as_str().unwrap();
        let (rows, report) = imported(&directory.join(name).join("log"));
        let lost = ranges(&case["unreadable"]);
        let wrong = rows.iter().find(|(at, row)| sound.get(at) != Some(row));
        assert!(wrong.is_none(), "{name}: {wrong:?}");
        let missing = sound.keys().find(|at| !rows.contains_key(at) && !lost.contains(at));
        assert!(missing.is_none(), "{name}: {missing:?}");
        assert!(rows.len() == sound.len() || !report.findings.is_empty(), "{name} lost something without a word");
    }
    assert!(cases.len() > 50);
}
