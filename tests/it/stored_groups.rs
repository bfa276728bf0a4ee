//! `replay::GroupCommits` over `__consumer_offsets` as brokers of Kafka wrote it, against what Kafka's own classes know
//! of it.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use ottla::Batch;
use ottla::replay::GroupCommits;
use serde_json::{Value, json};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

#[expect(clippy::disallowed_methods, reason = "reads what Kafka wrote")]
fn read(path: &Path) -> Bytes {
    fs::read(path).unwrap().into()
}

/// Feeds all batches of a segment.
fn feed(commits: &mut GroupCommits, partition: u32, mut segment: Bytes) {
    while !segment.is_empty() {
        let batch = Batch::decode_any(segment.clone()).unwrap();
        commits.take(partition, &batch).unwrap();
        segment = segment.slice(batch.header().len_bytes..);
    }
}

fn stored(name: &str, partitions: u32) -> GroupCommits {
    let mut commits = GroupCommits::default();
    for partition in 0..partitions {
        let segment = format!("log/__consumer_offsets-{partition}/00000000000000000000.log");
        feed(&mut commits, partition, read(&golden(name).join(segment)));
    }
    commits
}

/// What is known, as the manifest says it.
fn lines(commits: &GroupCommits) -> Vec<Value> {
    let mut lines = Vec::new();
    for (group, stored) in commits.groups() {
        for (partition, commit) in &stored.commits {
            lines.push(json!({
                "kind": "group_offset",
                "group": group,
                "topic": partition.topic(),
                "partition": partition.partition(),
                "offset": commit.offset.0,
                "leader_epoch": commit.leader_epoch.0,
                "metadata": commit.metadata,
                "commit_timestamp": commit.commit_timestamp.0,
                "expire_timestamp": commit.expire_timestamp.0,
            }));
        }
        for (key_version, name) in stored.kinds() {
            lines.push(json!({ "kind": "group", "group": group, "type": name, "key_version": key_version }));
        }
    }
    lines
}

fn sorted(mut lines: Vec<Value>) -> Vec<String> {
    lines.sort_by_key(Value::to_string);
    lines.iter().map(Value::to_string).collect()
}

fn assert_known(name: &str, commits: &GroupCommits) {
    let manifest = read(&golden(name).join("manifest.jsonl"));
    let manifest = manifest.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let mut manifest: Vec<Value> = manifest.map(|line| serde_json::from_slice(line).unwrap()).collect();
    manifest.retain(|line| line["kind"] == "group" || line["kind"] == "group_offset");
    assert!(manifest.len() > 2);
    assert_eq!(sorted(lines(commits)), sorted(manifest), "{name}");
}

#[test]
fn groups_of_all_kinds_are_known_as_kafka_knows_them() {
    let commits = stored("groups", 3);
    assert_known("groups", &commits);
    assert_eq!(commits.skipped().next(), None);
}

#[test]
fn groups_that_outlived_an_upgrade_are_known() {
    assert_known("upgraded", &stored("upgraded", 2));
}

#[test]
fn groups_of_the_old_formats_are_known() {
    assert_known("legacy_zkera_0901", &stored("legacy_zkera_0901", 2));
    assert_known("legacy_zkera_chain", &stored("legacy_zkera_chain", 2));
}

#[test] // R033
fn deletions_and_open_transactions_count_and_unknown_records_are_passed_over() {
    const SEGMENT: &str = "00000000000000000000005800000000022bb883c30000000000000000018bcfe568000000018bcfe56800ffffffffffffffffff \
        ffffffffff000000014c0000001800010001670001740000000028000000000000000000050000000003bb2cc3d8000000000000 \
        00000001000000610000000002eff7edc10000000000000000018bcfe568010000018bcfe56801ffffffffffffffffffffffffff \
        ff000000015e000000180001000167000174000000013a0001000000000000000600016d000003bb2cc3d800ffffffffffffffff \
        0000000000000000020000005c0000000002f7f538ae0000000000000000018bcfe568020000018bcfe56802ffffffffffffffff \
        ffffffffffff0000000154000000180001000167000174000000023000030000000000000007000000000000000003bb2cc3d800 \
        00000000000000000300000060000000000287d5ecf50000000000000000018bcfe568030000018bcfe56803ffffffffffffffff \
        ffffffffffff000000015c0000001800010001670001740000000038000400000000000000080000000001000003bb2cc3d80001 \
        6302abcd0000000000000000040000005d0000000002645f7f8b0000000000000000018bcfe568040000018bcfe56804ffffffff \
        ffffffffffffffffffff00000001560000000a00020001674000030008636f6e73756d657200000001ffffffff000003bb2cc3d8 \
        0000000000000000000000000005000000420000000002a62c74170000000000000000018bcfe568050000018bcfe56805ffffff \
        ffffffffffffffffffffff00000001200000000c002a00027a7a080000010200000000000000000600000044000000000202f969 \
        c60000000000000000018bcfe568060000018bcfe56806ffffffffffffffffffffffffffff000000012400000018000100016700 \
        017400000001010000000000000000070000005c0000000002acd4bea50010000000000000018bcfe568070000018bcfe5680700 \
        00000000000007000000000000000000015400000018000100016700017400000002300003000000000000000900000000000000 \
        0003bb2cc3d80000";
    let digits: Vec<u32> = SEGMENT.chars().filter_map(|letter| letter.to_digit(16)).collect();
    let segment: Vec<u8> = digits.chunks(2).map(|pair| u8::try_from((pair[0] << 4) | pair[1]).unwrap()).collect();
    let mut commits = GroupCommits::default();
    feed(&mut commits, 3, segment.into());
    assert_eq!(commits.groups().map(|(group, _)| group).collect::<Vec<_>>(), ["g"]);
    let offsets = &commits.group("g").unwrap().commits;
    let offsets: Vec<_> = offsets.iter().map(|(partition, commit)| (partition.to_string(), commit.offset.0)).collect();
    assert_eq!(offsets, [("t-0".to_owned(), 8), ("t-2".to_owned(), 7)]);
    assert_eq!(commits.pending(), 1);
    let skipped: Vec<_> = commits.skipped().map(|skipped| skipped.reason.as_str()).collect();
    assert_eq!(skipped, ["records of type 42 are not known"]);
}
