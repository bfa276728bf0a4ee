//! The small files: indexes, checkpoints, metadata, positions, and the journals. Each alone, so that what one of them
//! says can be had from another, or is refused by name.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ottla::{Consumer, ConsumerConfig, Engine, Error, Finding, Offset, Timestamp};

use super::content::{BEGIN, read};
use super::sample::{GROUP_OFFSET, Sample, check, open, t};
use super::tree::Tree;

/// What can become of a file as a whole.
fn ruin(tree: &Tree, path: &Path) -> Vec<(&'static str, Tree)> {
    let with = |change: &dyn Fn(&mut Tree)| {
        let mut tree = tree.clone();
        change(&mut tree);
        tree
    };
    let len = tree.files[path].len();
    vec![
        ("removed", with(&|tree| drop(tree.remove(path)))),
        ("emptied", with(&|tree| tree.bytes(path).clear())),
        ("zeroed", with(&|tree| tree.bytes(path).fill(0))),
        ("cut short", with(&|tree| tree.bytes(path).truncate(len / 2))),
        ("cut by a byte", with(&|tree| tree.bytes(path).truncate(len.saturating_sub(1)))),
        ("grown by zeros", with(&|tree| tree.bytes(path).extend_from_slice(&[0; 4096]))),
        ("garbage", with(&|tree| tree.bytes(path).fill(0xa5))),
    ]
}

/// Every single bit of a file, or those of a stretch.
fn flips(tree: &Tree, path: &Path) -> impl Iterator<Item = (String, Tree)> {
    let (tree, path) = (tree.clone(), path.to_owned());
    (0..tree.files[&path].len() * 8).map(move |bit| {
        let mut tree = tree.clone();
        tree.bytes(&path)[bit / 8] ^= 1 << (bit % 8);
        (format!("bit {bit}"), tree)
    })
}

/// Every time leads to the first record that is not older.
fn check_times(engine: &Engine, sample: &Sample) {
    let consumer = Consumer::<str, str>::with_config(engine, ConsumerConfig::default()).unwrap();
    let end = sample.ends[&t()];
    for offset in 0..end {
        for (time, expected) in [(BEGIN + 1000 * offset, offset), (BEGIN + 1000 * offset - 1, offset)] {
            let found = consumer.offset_for_time(&t(), Timestamp(time)).unwrap();
            assert_eq!(found, Some((Offset(expected), Timestamp(BEGIN + 1000 * expected))), "at {time}");
        }
    }
    assert_eq!(consumer.offset_for_time(&t(), Timestamp(BEGIN + 1000 * end)).unwrap(), None);
    assert_eq!(consumer.offset_for_time(&t(), Timestamp(i64::MAX)).unwrap(), None);
}

/// Nothing may be lost by damage of a file that can be made again.
fn check_nothing_lost(sample: &Sample, context: &str, tree: &Tree) {
    let root = tree.write();
    let engine = open(root.path()).unwrap_or_else(|error| panic!("{context}: {error}"));
    let found = read(&engine, &t()).unwrap();
    assert!(found.lost.is_empty() && found.end == sample.ends[&t()], "{context}: {found:?}");
    let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check_times(&engine, sample)));
    assert!(checked.is_ok(), "{context}: times");
    drop(engine);
}

#[test]
fn index_files_are_made_again_whatever_is_wrong_with_them() {
    for sample in [Sample::closed(), Sample::killed()] {
        for extension in ["index", "timeindex"] {
            for path in sample.tree.of("log/t-0", extension) {
                for (what, tree) in ruin(&sample.tree, &path) {
                    check_nothing_lost(&sample, &format!("{} {what}", path.display()), &tree);
                }
            }
            for paths in sample.tree.of("log/t-0", extension).windows(2) {
                let mut tree = sample.tree.clone();
                tree.swap(&paths[0], &paths[1]);
                check_nothing_lost(&sample, &format!("{} swapped", paths[0].display()), &tree);
            }
            let mut tree = sample.tree.clone();
            sample.tree.of("log/t-0", extension).iter().for_each(|path| drop(tree.remove(path)));
            check(&sample, &tree, []);
            check_nothing_lost(&sample, "all removed", &tree);
        }
    }
}

#[test]
fn time_index_that_lacks_its_last_entries_is_found_out() {
    let sample = Sample::closed();
    for path in sample.tree.of("log/t-0", "timeindex") {
        for kept in (0..sample.tree.files[&path].len()).step_by(12) {
            let mut tree = sample.tree.clone();
            tree.bytes(&path).truncate(kept);
            check_nothing_lost(&sample, &format!("{} of {kept} bytes", path.display()), &tree);
        }
    }
}

#[test]
fn every_bit_of_an_index_may_flip() {
    let sample = Sample::closed();
    for path in [sample.tree.of("log/t-0", "index")[1].clone(), sample.tree.of("log/t-0", "timeindex")[1].clone()] {
        for (what, tree) in flips(&sample.tree, &path) {
            check_nothing_lost(&sample, &format!("{} {what}", path.display()), &tree);
        }
    }
}

#[test]
fn small_files_of_a_log_are_made_again() {
    for sample in [Sample::closed(), Sample::killed()] {
        for path in ["log/t-0/leader-epoch-checkpoint", "log/t-0/partition.metadata"] {
            for (_, tree) in ruin(&sample.tree, Path::new(path)) {
                check(&sample, &tree, []);
            }
        }
    }
}

#[test]
fn every_bit_of_a_small_file_may_flip() {
    let sample = Sample::closed();
    for path in ["log/t-0/leader-epoch-checkpoint", "log/t-0/partition.metadata"] {
        for (what, tree) in flips(&sample.tree, Path::new(path)) {
            check_nothing_lost(&sample, &format!("{path} {what}"), &tree);
        }
    }
}

#[test]
fn files_of_the_log_dir_are_made_again_or_refused_by_name() {
    for sample in [Sample::closed(), Sample::killed()] {
        let paths = ["meta.properties", "recovery-point-offset-checkpoint", "log-start-offset-checkpoint"];
        for path in paths.map(|name| PathBuf::from("log").join(name)) {
            if !sample.tree.files.contains_key(&path) {
                continue;
            }
            for (_, tree) in ruin(&sample.tree, &path) {
                check_or_refused(&sample, &tree, &path);
            }
        }
    }
}

#[test]
fn positions_cost_no_record() {
    for sample in [Sample::closed(), Sample::killed(), Sample::killed_with_tail()] {
        for (_, tree) in ruin(&sample.tree, Path::new("positions")) {
            check_or_refused(&sample, &tree, Path::new("positions"));
        }
    }
    let sample = Sample::killed();
    for (_, tree) in flips(&sample.tree, Path::new("positions")).step_by(5) {
        let root = tree.write();
        match open(root.path()) {
            Ok(engine) => assert!(read(&engine, &t()).unwrap().lost.is_empty()),
            Err(error) => assert!(names(&error, Path::new("positions")), "{error}"),
        }
    }
}

fn names(error: &Error, file: &Path) -> bool {
    let (Error::CorruptFile { path, .. } | Error::UnsupportedVersion { path, .. } | Error::Io { path, .. }) = error
    else {
        return false;
    };
    path.ends_with(file)
}

fn check_or_refused(sample: &Sample, tree: &Tree, file: &Path) {
    let root = tree.write();
    match open(root.path()) {
        Ok(engine) => {
            drop(engine);
            check(sample, tree, []);
        }
        Err(error) => assert!(names(&error, file), "{error}"),
    }
}

/// Nothing is lost, or opening is refused by name, or it says what is lost; and the files of the log stay.
fn check_journal(sample: &Sample, context: &str, tree: &Tree, journal: &Path) {
    let root = tree.write();
    match open(root.path()) {
        Err(error) => {
            assert!(names(&error, journal), "{context}: {error}");
        }
        Ok(engine) => {
            let has_finding = engine.report().iter().any(|finding| matches!(finding, Finding::State { .. }));
            match read(&engine, &t()) {
                Ok(found) => assert!(found.lost.is_empty() && found.end == sample.ends[&t()], "{context}: {found:?}"),
                Err(Error::UnknownTopicOrPartition { .. }) => assert!(has_finding, "{context}: a topic is gone"),
                Err(error) => panic!("{context}: {error}"),
            }
            let group = Consumer::<str, str>::new(&engine, "g").unwrap().committed(&t());
            match group {
                Ok(Some(committed)) => assert_eq!(committed.offset, Offset(GROUP_OFFSET)),
                Ok(None) | Err(Error::UnknownTopicOrPartition { .. }) => {
                    let is_removed = !tree.files.contains_key(journal);
                    assert!(has_finding || is_removed, "{context}: an offset is gone");
                }
                Err(error) => panic!("{context}: {error}"),
            }
        }
    }
    let after = Tree::read(root.path());
    for path in sample.segments() {
        let content = &sample.tree.files[&path];
        assert!(after.files.values().any(|kept| kept.starts_with(content)), "{context}: {} is gone", path.display());
    }
}

#[test]
fn journals_are_refused_by_name_or_say_what_they_lost() {
    for sample in [Sample::closed(), Sample::killed()] {
        for journal in ["catalog", "groups/g.offsets"].map(Path::new) {
            for (what, tree) in ruin(&sample.tree, journal) {
                check_journal(&sample, &format!("{} {what}", journal.display()), &tree, journal);
            }
            for (what, tree) in flips(&sample.tree, journal).step_by(3) {
                check_journal(&sample, &format!("{} {what}", journal.display()), &tree, journal);
            }
        }
    }
}

#[test]
fn catalog_that_lost_something_is_only_read() {
    let sample = Sample::closed();
    let len = sample.tree.files[Path::new("catalog")].len();
    for position in (128..len).step_by(5) {
        let mut tree = sample.tree.clone();
        tree.bytes("catalog")[position] ^= 0x10;
        let root = tree.write();
        let Ok(engine) = open(root.path()) else { continue };
        drop(engine);
        let after = Tree::read(root.path());
        for (path, content) in tree.files.iter().filter(|(path, _)| path.starts_with("log")) {
            assert_eq!(after.files.get(path), Some(content), "{} changed, byte {position}", path.display());
        }
    }
}

#[test]
fn journal_whose_file_is_gone_is_not_replaced_by_an_older_one_in_silence() {
    // A compaction leaves the generation before; the crash that leaves that alone leaves the new one beside it.
    let sample = Sample::killed();
    let root = sample.tree.write();
    let engine = open(root.path()).unwrap(); // compacts
    super::content::create(&engine, "v", 1, super::sample::CUT).unwrap();
    super::content::append_batch(&engine, &("v", 0).into(), 3, ottla::Acks::All).unwrap();
    engine.close().unwrap();
    drop(engine);
    let mut tree = Tree::read(root.path());
    let segment = PathBuf::from("log/v-0/00000000000000000000.log");
    let content = tree.files[&segment].clone();
    tree.remove("catalog");
    let root = tree.write();
    match open(root.path()) {
        Err(error) => assert!(names(&error, Path::new("catalog")), "{error}"),
        Ok(engine) => assert!(engine.report().iter().next().is_some()),
    }
    assert_eq!(Tree::read(root.path()).files.get(&segment), Some(&content), "it was moved");
}

#[test]
fn poll_ends_at_once_whatever_is_damaged() {
    let sample = Sample::closed();
    let mut tree = sample.tree;
    tree.of("log/t-0", "log").iter().for_each(|path| tree.bytes(path).fill(0xff));
    let root = tree.write();
    let engine = open(root.path()).unwrap();
    let mut consumer = Consumer::<str, str>::with_config(&engine, ConsumerConfig::default()).unwrap();
    consumer.assign([t()]).unwrap();
    assert!(matches!(consumer.poll(Duration::from_secs(60)), Err(Error::CorruptBatch { .. })));
}

#[test]
fn file_of_an_empty_directory_that_is_made_again_is_reported() {
    let root = super::tree::temporary_dir();
    open(root.path()).unwrap().close().unwrap();
    let empty = Tree::read(root.path());
    for file in ["catalog", "positions", "log/meta.properties"] {
        let mut tree = empty.clone();
        tree.remove(file);
        let root = tree.write();
        let engine = open(root.path()).unwrap();
        let made_again: Vec<_> = engine.report().iter().collect();
        assert!(
            matches!(&made_again[..], [Finding::Rebuilt { path, .. }] if *path == root.path().join(file)),
            "{file}: {made_again:?}"
        );
        engine.close().unwrap();
        assert!(open(root.path()).unwrap().report().is_empty(), "{file}");
    }
}
