//! `repair`, file by file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ottla::{
    Acks, Admin, Consumer, Engine, Error, NewTopic, Offset, RepairAction, RepairOptions, VerifyOptions, repair, verify,
};

use super::content::append_batch;
use super::repaired::{check, execute, lines, read_on};
use super::sample::{GROUP_OFFSET, Sample, open, t};
use super::tree::{Tree, temporary_dir};

#[test]
fn healthy_directory_has_nothing_to_repair() {
    for sample in [Sample::closed(), Sample::killed(), Sample::killed_with_tail()] {
        let root = sample.tree.write();
        let report = repair(root.path(), &execute()).unwrap();
        assert!(report.is_empty(), "{:#?}", lines(&report));
        assert_eq!(Tree::read(root.path()).files.len(), sample.tree.files.len());
    }
}

#[test]
fn unreadable_batch_gives_way_to_an_empty_one_and_is_kept() {
    for sample in [Sample::closed(), Sample::killed()] {
        let place = &sample.batches_in(1)[1];
        let mut tree = sample.tree.clone();
        tree.bytes(&place.path)[place.bytes.start + 70] ^= 1;
        let root = tree.write();
        let report = repair(root.path(), &execute()).unwrap();
        let step = report.iter().next().unwrap();
        let lost = (Offset(place.offsets.start), Offset(place.offsets.end - 1));
        assert_eq!((step.lost, step.action), (Some(lost), RepairAction::Replace), "{:#?}", lines(&report));
        let kept = std::path::PathBuf::from(step.copy.as_ref().unwrap().strip_prefix(root.path()).unwrap());
        assert_eq!(Tree::read(root.path()).files[&kept], tree.files[&place.path][place.bytes.clone()]);
        let engine = open(root.path()).unwrap();
        let records = read_on(&engine, &t()).unwrap();
        let missing: Vec<i64> = (0..sample.durable_end).filter(|offset| !records.contains_key(offset)).collect();
        assert_eq!(missing, place.offsets.clone().collect::<Vec<_>>());
        let mut consumer = Consumer::<str, str>::new(&engine, "g").unwrap();
        assert_eq!(consumer.committed(&t()).unwrap().map(|committed| committed.offset), Some(Offset(GROUP_OFFSET)));
        consumer.close().unwrap();
        check(&sample, &tree);
    }
}

#[test]
fn batch_whose_leader_epoch_alone_is_damaged_is_kept_with_the_right_one() {
    for sample in [Sample::closed(), Sample::killed()] {
        for place in sample.batches_in(1) {
            let mut tree = sample.tree.clone();
            tree.bytes(&place.path)[place.bytes.start + 13] ^= 4; // no log has had so many epochs
            let root = tree.write();
            let report = repair(root.path(), &execute()).unwrap();
            assert!(report.iter().all(|step| step.lost.is_none()), "{:#?}", lines(&report));
            assert!(lines(&report)[0].contains("is none: it is made"), "{:#?}", lines(&report));
            let records = read_on(&open(root.path()).unwrap(), &t()).unwrap();
            assert!((0..sample.durable_end).all(|offset| records.contains_key(&offset)));
            let repaired = Tree::read(root.path());
            assert_eq!(repaired.files[&place.path], sample.tree.files[&place.path], "as it was written");
        }
    }
}

fn ruin(tree: &Tree, path: &Path) -> Vec<(String, Tree)> {
    let mut found = Vec::new();
    let mut add = |what: &str, change: &dyn Fn(&mut Tree)| {
        let mut tree = tree.clone();
        change(&mut tree);
        found.push((format!("{} {what}", path.display()), tree));
    };
    add("removed", &|tree| drop(tree.remove(path)));
    add("emptied", &|tree| tree.bytes(path).clear());
    add("zeroed", &|tree| tree.bytes(path).fill(0));
    add("a directory", &|tree| tree.replace_by_dir(path));
    add("halved", &|tree| {
        let half = tree.files[path].len() / 2;
        tree.bytes(path).truncate(half);
    });
    add("grown", &|tree| tree.bytes(path).extend([0xa5; 3000]));
    found
}

#[test]
fn each_file_may_be_ruined_in_every_way() {
    for sample in [Sample::closed(), Sample::killed(), Sample::killed_with_tail()] {
        for path in sample.tree.files.keys() {
            for (what, tree) in ruin(&sample.tree, path) {
                let checked = std::panic::catch_unwind(|| check(&sample, &tree));
                assert!(checked.is_ok(), "{what}");
            }
        }
    }
}

#[test]
fn catalog_that_is_gone_is_put_together_from_the_directories() {
    let sample = Sample::closed();
    let mut tree = sample.tree.clone();
    for name in ["catalog", "catalog.previous"].map(PathBuf::from) {
        tree.files.remove(&name);
    }
    let report = check(&sample, &tree);
    assert!(lines(&report).iter().any(|line| line.contains("from their directories")), "{:#?}", lines(&report));
}

/// Else its end and its groups would be the other topic's.
#[test]
fn topic_without_a_catalog_takes_no_id_that_another_one_has() {
    let root = temporary_dir();
    let engine = Engine::open(root.path()).unwrap();
    let topics = [("u", 30), ("t", 5)];
    for (topic, records) in topics {
        Admin::new(&engine).create_topic(NewTopic::new(topic)).unwrap();
        append_batch(&engine, &(topic, 0).into(), records, Acks::All).unwrap();
    }
    engine.close().unwrap();
    let mut tree = Tree::read(root.path());
    let other = tree.files[Path::new("log/u-0/partition.metadata")].clone();
    *tree.bytes("log/t-0/partition.metadata") = other;
    *tree.bytes("catalog").last_mut().unwrap() ^= 1; // in the frame that says that there is `t`
    let root = tree.write();
    let report = repair(root.path(), &execute()).unwrap();
    assert!(lines(&report).iter().any(|line| line.contains("with the settings lost: t (kept")));
    assert!(verify(root.path(), &VerifyOptions::default()).unwrap().is_clean());
    let engine = Engine::open(root.path()).unwrap();
    let ids: BTreeSet<_> = Admin::new(&engine).list_topics().unwrap().into_iter().map(|topic| topic.id).collect();
    assert_eq!(ids.len(), 2);
    for (topic, records) in topics {
        let found = read_on(&engine, &(topic, 0).into()).unwrap();
        assert_eq!(found.into_keys().collect::<Vec<_>>(), (0..records).collect::<Vec<_>>());
    }
}

#[test]
fn engine_at_work_is_named_and_left_alone() {
    let sample = Sample::closed();
    let root = sample.tree.write();
    let engine = open(root.path()).unwrap();
    match repair(root.path(), &execute()) {
        Err(Error::DirectoryLocked { owner, .. }) => assert!(owner.contains("process"), "{owner}"),
        other => panic!("{other:?}"),
    }
    assert!(repair(root.path(), &RepairOptions::default()).unwrap().is_empty()); // a plan takes no lock
    engine.close().unwrap();
}

#[test]
fn what_is_no_directory_of_topics_is_refused() {
    let root = temporary_dir();
    assert!(matches!(repair(root.path(), &execute()), Err(Error::IllegalArgument { .. })));
    assert!(repair(root.path().join("nothing"), &execute()).is_err());
}

#[test]
fn foreign_files_are_left_alone() {
    let sample = Sample::closed();
    let mut tree = sample.tree;
    for name in ["notes.txt", "log/strange/file", "log/t-0/-1.log", "groups/README"] {
        tree.files.insert(name.into(), b"somebody's".to_vec());
    }
    tree.bytes("positions")[130] ^= 1;
    let root = tree.write();
    repair(root.path(), &execute()).unwrap();
    let after = Tree::read(root.path());
    for name in ["notes.txt", "log/strange/file", "log/t-0/-1.log", "groups/README"].map(Path::new) {
        assert_eq!(after.files[name], b"somebody's", "{}", name.display());
    }
}

#[test]
fn group_goes_on_from_the_generation_before_when_its_journal_is_lost() {
    let sample = Sample::killed();
    let root = sample.tree.write();
    open(root.path()).unwrap().close().unwrap(); // compacts, and keeps what was before
    let mut tree = Tree::read(root.path());
    assert!(tree.files.contains_key(Path::new("groups/g.offsets.previous")));
    tree.bytes("groups/g.offsets").fill(0xff);
    let root = tree.write();
    repair(root.path(), &execute()).unwrap();
    let engine = open(root.path()).unwrap();
    let mut consumer = Consumer::<str, str>::new(&engine, "g").unwrap();
    assert_eq!(consumer.committed(&t()).unwrap().map(|committed| committed.offset), Some(Offset(GROUP_OFFSET)));
    consumer.close().unwrap();
}

/// Issue 5: the end of a catalog that is gone looks like a write that a crash cut short, and topics with records were put
/// aside for it.
#[test]
fn issue_5_topic_that_the_end_of_the_catalog_named_comes_back() {
    let sample = Sample::killed();
    let mut tree = sample.tree.clone();
    let len = tree.files[Path::new("catalog")].len();
    tree.bytes("catalog").truncate(len - 20);
    let report = check(&sample, &tree);
    assert!(lines(&report).iter().any(|line| line.contains("it lacks topics whose records are there")));
}

/// Issue 5: an opening begins with the segment that holds the durable end, and what lies between that and the one before
/// stayed.
#[test]
fn issue_5_bytes_in_front_of_the_segment_at_the_durable_end_go() {
    let sample = Sample::killed_with_tail();
    let segments = sample.segments();
    let at_end = segments.iter().position(|path| sample.offsets_in(path).start == sample.durable_end).unwrap();
    let mut tree = sample.tree.clone();
    tree.bytes(&segments[at_end - 1]).extend([123; 3000]);
    let report = check(&sample, &tree);
    assert!(report.iter().all(|step| step.lost.is_none()), "{:#?}", lines(&report));
}
