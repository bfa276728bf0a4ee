//! Damages that once cost more than their unit, or were not said, or gave a wrong record.

use std::path::{Path, PathBuf};

use super::judge::judge;
use super::kinds::Hit;
use super::source::{Source, Stored};
use crate::chance::Chance;
use crate::rot::tree::Tree;

/// Damages one log of the collection, with or without its marker of a clean shutdown; how many records that cost.
#[track_caller]
fn cost(name: &str, dir: &str, is_clean: bool, damage: impl FnOnce(&Source, &mut Tree) -> Hit) -> usize {
    let source = Source::one(name, dir);
    let mut tree = source.tree.clone();
    if !is_clean {
        tree.files.remove(Path::new(".kafka_cleanshutdown"));
    }
    let hit = damage(&source, &mut tree);
    match judge(&source, &hit, &tree, &mut Chance::new(1)) {
        Ok(outcome) => {
            assert!(!outcome.is_unknowable, "{name} {dir}: it is said");
            outcome.lost
        }
        Err(problem) => panic!("{name} {dir}: {problem}"),
    }
}

fn segment(dir: &str, base: u64) -> PathBuf {
    Path::new(dir).join(format!("{base:020}.log"))
}

fn batch_of(source: &Source, first: i64) -> &Stored {
    source.batches.iter().find(|batch| batch.first == first).expect("there is one")
}

fn of_batch(batch: &Stored) -> Hit {
    Hit { units: vec![(batch.first, batch.last)], ..Hit::default() }
}

fn of_segment(source: &Source, path: &Path) -> Hit {
    let units = source.batches.iter().filter(|batch| batch.path == path).map(|batch| (batch.first, batch.last));
    Hit { units: units.collect(), is_gone: true, ..Hit::default() }
}

/// A segment that is gone, with these files of its name.
fn without_segment(source: &Source, tree: &mut Tree, path: &Path, extensions: &[&str]) -> Hit {
    for extension in extensions {
        tree.files.remove(&path.with_extension(extension));
    }
    of_segment(source, path)
}

fn again(source: &Source, tree: &mut Tree, first: i64, behind: &Path) -> Hit {
    let batch = batch_of(source, first);
    let bytes = tree.files[&batch.path][batch.bytes.clone()].to_vec();
    tree.bytes(behind).extend(bytes);
    Hit::default()
}

#[test]
fn a_batch_again_behind_a_sealed_segment_costs_nothing_of_the_next() {
    let dir = "carried-over-1";
    assert_eq!(cost("upgraded", dir, true, |source, tree| again(source, tree, 64, &segment(dir, 0))), 0);
    let dir = "compact-lz4-0";
    assert_eq!(cost("legacy_v1_01022", dir, false, |source, tree| again(source, tree, 2, &segment(dir, 26))), 0);
}

#[test]
fn a_batch_of_the_next_segment_does_not_come_twice() {
    let dir = "by-time-0";
    assert_eq!(cost("retention", dir, true, |source, tree| again(source, tree, 115, &segment(dir, 85))), 0);
}

#[test]
fn a_wrong_number_of_the_last_batch_is_not_believed() {
    let lost = cost("upgraded", "__consumer_offsets-1", false, |source, tree| {
        tree.bytes(segment("__consumer_offsets-1", 0))[1] ^= 8;
        of_batch(batch_of(source, 0))
    });
    assert_eq!(lost, 1);
}

#[test]
fn a_wrong_number_before_a_preallocated_end_costs_one_batch() {
    let dir = "live-0";
    let lost = cost("legacy_killed_01022", dir, false, |source, tree| {
        let batch = batch_of(source, 47);
        tree.bytes(&batch.path)[batch.bytes.start + 7] = 48;
        of_batch(batch)
    });
    assert_eq!(lost, 1);
}

#[test]
fn zeros_that_reach_into_the_number_of_a_batch_give_no_wrong_record() {
    let dir = "attributes.horizon-bit-0";
    let lost = cost("foreign", dir, true, |source, tree| {
        let path = segment(dir, 0);
        tree.bytes(&path)[512..1024].fill(0);
        let is_hit = |batch: &&Stored| batch.bytes.start < 1024 && batch.bytes.end > 512;
        let units = source.batches.iter().filter(is_hit).map(|batch| (batch.first, batch.last));
        Hit { units: units.collect(), ..Hit::default() }
    });
    assert!(lost > 0);
}

#[test]
fn the_same_zeros_before_an_end_that_nobody_names_give_no_wrong_record() {
    let dir = "attributes.horizon-bit-0";
    let lost = cost("foreign", dir, false, |source, tree| {
        tree.bytes(segment(dir, 0))[512..1024].fill(0);
        Hit { units: vec![(0, 8), (9, 22)], ..of_batch(batch_of(source, 0)) }
    });
    assert!(lost > 0);
}

#[test]
fn what_a_cleaner_left_is_read_also_where_its_checkpoint_is_empty() {
    for (name, dir) in [("legacy_v0_0901", "compact-snappy-0"), ("legacy_v1_282", "compact-gzip-0")] {
        let lost = cost(name, dir, true, |_, tree| {
            tree.bytes("cleaner-offset-checkpoint").clear();
            Hit::default()
        });
        assert_eq!(lost, 0);
    }
}

#[test]
fn a_length_that_leads_to_the_end_of_the_segment_costs_one_batch() {
    for (name, dir, base) in [("legacy_damaged_v0", "lz4-0", 0), ("retention", "cut-past-segments-0", 52)] {
        for is_clean in [false, true] {
            cost(name, dir, is_clean, |source, tree| {
                let path = segment(dir, base);
                let batch = source.batches.iter().find(|batch| batch.path == path).expect("there is one");
                let len = u32::try_from(tree.files[&path].len() - 12).unwrap().to_be_bytes();
                tree.bytes(&path)[8..12].copy_from_slice(&len);
                of_batch(batch)
            });
        }
    }
}

#[test]
fn a_log_whose_only_segment_is_gone_is_said() {
    let dir = "golden-streams-counts-changelog-1";
    for is_clean in [false, true] {
        let lost = cost("groups", dir, is_clean, |source, tree| {
            without_segment(source, tree, &segment(dir, 0), &["log", "index", "timeindex"])
        });
        assert_eq!(lost, 4);
    }
}

#[test]
fn a_first_segment_that_is_gone_is_said_by_where_the_leader_epochs_begin() {
    let dir = "by-size-0";
    let lost = cost("retention", dir, false, |source, tree| {
        without_segment(source, tree, &segment(dir, 56), &["log", "index", "timeindex", "snapshot"])
    });
    assert_eq!(lost, 30);
}

#[test]
fn the_index_of_a_segment_that_is_gone_still_tells_what_was_aborted() {
    let dir = "carried-tx-0";
    cost("upgraded", dir, true, |source, tree| {
        tree.remove(segment(dir, 43));
        of_segment(source, &segment(dir, 43))
    });
}

#[test]
fn a_transaction_whose_end_may_be_in_a_segment_that_is_gone_is_left_out() {
    let dir = "pay-0";
    cost("legacy_txn_01103", dir, true, |source, tree| {
        without_segment(source, tree, &segment(dir, 27), &["log", "index", "timeindex", "txnindex"])
    });
}

#[test]
fn a_sealed_segment_that_is_cut_where_a_cleaner_was_is_said_by_its_index() {
    let dir = "swept-none-0";
    let lost = cost("compacted", dir, true, |source, tree| {
        let path = segment(dir, 0);
        let cut = batch_of(source, 79).bytes.start;
        tree.bytes(&path).truncate(cut);
        let gone = source.batches.iter().filter(|batch| batch.path == path && batch.bytes.start >= cut);
        Hit { units: gone.map(|batch| (batch.first, batch.last)).collect(), is_gone: true, ..Hit::default() }
    });
    assert!(lost > 0);
}
