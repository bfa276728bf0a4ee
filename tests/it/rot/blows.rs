//! Blows to a directory, from a seed, and what has to be true of it when it is opened after them.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use bytes::Bytes;
use ottla::{Acks, Batch, Error, Finding, TopicPartition};

use super::content::{append_batch, read};
use super::sample::{Sample, open, t};
use super::tree::Tree;
use crate::chance::Chance;

/// Numbers that lengths, counts and offsets had better not be.
const EDGES: [i64; 10] = [0, -1, 1, 127, 128, 0x7fff_ffff, -0x8000_0000, i64::MAX, i64::MIN, 1 << 32];

/// Damages one file, and says how.
pub(super) fn damage(tree: &mut Tree, chance: &mut Chance) -> String {
    let paths: Vec<PathBuf> = tree.files.keys().cloned().collect();
    // Most of the files are indexes; half of the blows go to segments.
    let logs: Vec<PathBuf> =
        paths.iter().filter(|path| path.extension().is_some_and(|end| end == "log")).cloned().collect();
    let among = if chance.index(2) == 0 { &logs } else { &paths };
    let path = chance.pick(among).clone();
    let len = tree.files[&path].len();
    let kind = chance.index(16);
    let name = path.display().to_string();
    if len == 0 && !matches!(kind, 8..=11 | 13..=15) {
        let bytes: Vec<u8> = (0..chance.index(300)).map(|_| chance.byte()).collect();
        *tree.bytes(&path) = bytes;
        return format!("garbage in the empty {name}");
    }
    match kind {
        0..4 => {
            let (at, bit) = (chance.index(len), chance.index(8));
            tree.bytes(&path)[at] ^= 1 << bit;
            format!("bit {bit} of byte {at} of {name}")
        }
        4 => {
            let range = chance.range(len, 200);
            tree.bytes(&path)[range.clone()].fill(0);
            format!("zeros at {range:?} of {name}")
        }
        5 => {
            let range = chance.range(len, 200);
            for at in range.clone() {
                tree.bytes(&path)[at] = chance.byte();
            }
            format!("garbage at {range:?} of {name}")
        }
        6 => {
            let range = chance.range(len, 200);
            tree.bytes(&path).drain(range.clone());
            format!("{range:?} cut out of {name}")
        }
        7 => {
            let (range, at) = (chance.range(len, 200), chance.index(len));
            let copy = tree.files[&path][range.clone()].to_vec();
            tree.bytes(&path).splice(at..at, copy);
            format!("{range:?} of {name} again at {at}")
        }
        8 => {
            tree.remove(&path);
            format!("{name} removed")
        }
        9 => {
            tree.replace_by_dir(&path);
            format!("{name} is a directory")
        }
        10 => {
            let more = chance.index(5000);
            let filler = if chance.index(2) == 0 { 0 } else { chance.byte() };
            let content = tree.bytes(&path);
            content.resize(content.len() + more, filler);
            format!("{name} grown by {more} times {filler}")
        }
        11 => {
            // A neighbour of the same kind in the same directory: nobody can tell logs of two partitions apart.
            let same = |other: &&PathBuf| other.parent() == path.parent() && other.extension() == path.extension();
            let same: Vec<PathBuf> = paths.iter().filter(same).cloned().collect();
            let other = chance.pick(&same).clone();
            if other != path {
                tree.swap(&path, &other);
            }
            format!("{name} and {} swapped", other.display())
        }
        12 => {
            let cut = chance.index(len);
            tree.bytes(&path).truncate(cut);
            format!("{name} cut at {cut}")
        }
        13 => {
            tree.remove(&path);
            tree.links.push(path);
            format!("{name} is a link to itself")
        }
        14 => {
            // Of its kind, from another directory; but nobody can tell logs of two partitions apart.
            let is_log = path.extension().is_some_and(|end| end == "log");
            let same = |other: &&PathBuf| other.extension() == path.extension() && !is_log;
            let same: Vec<PathBuf> = paths.iter().filter(same).cloned().collect();
            if let Some(other) = same.get(chance.index(same.len())) {
                let content = tree.files[other].clone();
                *tree.bytes(&path) = content;
                return format!("{name} replaced by {}", other.display());
            }
            tree.bytes(&path).clear();
            format!("{name} emptied")
        }
        _ => {
            let bytes = chance.pick(&EDGES).to_be_bytes();
            let (at, wide) = (chance.index(len), if chance.index(2) == 0 { 4 } else { 8 });
            let end = (at + wide).min(len);
            tree.bytes(&path)[at..end].copy_from_slice(&bytes[8 - (end - at)..]);
            format!("{bytes:?} at {at} of {name}")
        }
    }
}

/// A directory, closed or killed, as `chance` has it.
pub(crate) fn any_sample(chance: &mut Chance) -> Sample {
    match chance.index(3) {
        0 => Sample::closed(),
        1 => Sample::killed(),
        _ => Sample::killed_with_tail(),
    }
}

/// What `check` panics with, if it does.
pub(crate) fn complaint(check: impl FnOnce()) -> Option<String> {
    let panic = catch_unwind(AssertUnwindSafe(check)).err()?;
    let message = panic.downcast_ref::<String>().cloned();
    Some(message.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default())
}

/// From which offset on a finding says that there is nothing, or what else it says of a partition.
fn is_said(findings: &[Finding], partition: &TopicPartition, offset: i64) -> bool {
    findings.iter().any(|finding| match finding {
        Finding::Cut { partition: named, log_end, .. } => named == partition && offset >= log_end.0,
        Finding::Damaged { partition: named, first, last, .. } => {
            named == partition && first.0 <= offset && offset <= last.0
        }
        // How far the logs were synced is not known: then the end of one may be missing, which is a second damage.
        Finding::State { path, .. } => path.ends_with("positions"),
        _ => false,
    })
}

/// Whether a whole batch has got the first offset of another one, as where what lies between the same place of two
/// headers was cut out. Kafka's checksum leaves that field out, and nothing else tells.
pub(super) fn is_renumbered(sample: &Sample, tree: &Tree) -> bool {
    let logs = |tree: &Tree| -> Vec<(PathBuf, Vec<u8>)> {
        let is_log = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "log");
        tree.files.clone().into_iter().filter(|(path, _)| is_log(path)).collect()
    };
    let mut batches = Vec::new();
    for (_, content) in logs(&sample.tree) {
        let mut rest = Bytes::from(content);
        while let Ok(batch) = Batch::decode(rest.clone()) {
            rest = rest.slice(batch.header().len_bytes..);
            batches.push(batch);
        }
    }
    logs(tree).iter().filter(|(path, content)| sample.tree.files.get(path) != Some(content)).any(|(_, content)| {
        batches.iter().any(|batch| {
            let (first, covered) = (&batch.as_bytes()[..8], &batch.as_bytes()[17..]);
            let mut places = content.windows(covered.len()).enumerate().filter(|(_, found)| *found == covered);
            places.any(|(at, _)| {
                let found = at.checked_sub(17).map(|begin| &content[begin..begin + 8]);
                found.is_some_and(|found| found != first && batches.iter().any(|other| other.as_bytes()[..8] == *found))
            })
        })
    })
}

pub(super) fn check(sample: &Sample, tree: &Tree) {
    let root = tree.write();
    let engine = match open(root.path()) {
        Ok(engine) => engine,
        Err(error) => return check_refusal(&error),
    };
    let findings: Vec<Finding> = engine.report().iter().cloned().collect();
    let mut before = BTreeMap::new();
    for (partition, end) in &sample.ends {
        let found = match read(&engine, partition) {
            Ok(found) => found,
            Err(Error::UnknownTopicOrPartition { .. }) => {
                assert!(!findings.is_empty(), "{partition} is gone");
                continue;
            }
            Err(error) => {
                check_refusal(&error);
                continue;
            }
        };
        let lost = found.lost_offsets();
        // Above the durable end a file that is gone leaves no trace.
        let durable_end = if *partition == t() { sample.durable_end } else { *end };
        for offset in 0..durable_end {
            let is_there = found.records.contains_key(&offset) || lost.contains(&offset);
            assert!(is_there || is_said(&findings, partition, offset), "{partition} at {offset}: {findings:?}");
        }
        assert!(found.end <= *end, "{partition}: there is nothing at {}", found.end);
        before.insert(partition.clone(), found);
    }
    let mut appended = BTreeMap::new();
    for partition in before.keys() {
        match append_batch(&engine, partition, 2, Acks::All) {
            Ok(offsets) => drop(appended.insert(partition.clone(), offsets)),
            Err(Error::Storage { .. } | Error::Io { .. }) => {}
            Err(error) => panic!("{partition}: {error}"),
        }
    }
    let closed = engine.close();
    // What opened to be read only is not closed cleanly; a directory in the place of a file is in the way of closing.
    let is_excused = matches!(closed, Err(Error::Storage { .. })) || !tree.dirs.is_empty() || !tree.links.is_empty();
    assert!(closed.is_ok() || is_excused, "{closed:?}");
    drop(engine);
    let engine = open(root.path()).unwrap_or_else(|error| panic!("the second opening: {error}"));
    for (partition, found) in before {
        let again = read(&engine, &partition).unwrap();
        for offset in appended.get(&partition).into_iter().flatten() {
            assert!(again.records.contains_key(offset), "{partition} at {offset} is gone, which was acknowledged");
        }
        for offset in found.records.keys() {
            assert!(
                again.records.contains_key(offset),
                "{partition} at {offset} is gone with the second opening: {findings:?}, then {:?} {again:?}",
                engine.report()
            );
        }
    }
}

/// The error says which file it is about.
fn check_refusal(error: &Error) {
    match error {
        Error::CorruptFile { .. } | Error::UnsupportedVersion { .. } | Error::Io { .. } => {}
        other => panic!("{other}"),
    }
}
