//! A log that a broker wrote, alone with the files around it, and what stands in it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use ottla::replay::{Archive, ArchivedLog, ReplayOptions, Scanned};
use ottla::{Batch, ControlType, DefectKind};
use serde_json::Value;

use super::super::manifest::{Manifest, record_row};
use super::super::{dir_name, golden, name};
use crate::rot::tree::Tree;

/// Longer logs take too long.
const MOST_BYTES: u64 = 60_000;

pub(super) struct Source {
    /// The directory of the collection.
    pub(super) name: String,
    /// The partition's.
    pub(super) dir: String,
    pub(super) tree: Tree,
    pub(super) batches: Vec<Stored>,
    /// What a replay gives that leaves nothing out, by offset.
    pub(super) records: BTreeMap<i64, Value>,
    /// What no reader of committed records may get.
    pub(super) uncommitted: BTreeSet<i64>,
    /// For each marker of a transaction, what it decides.
    pub(super) decided: Vec<(i64, BTreeSet<i64>)>,
    /// Where the first open transaction begins.
    pub(super) last_stable: i64,
    pub(super) log_start: i64,
    /// As the files around the log say.
    pub(super) known_end: i64,
    /// Where its first leader epoch begins.
    pub(super) begins: i64,
    /// Whether no offset is missing in the middle, as the files around the log say.
    pub(super) is_dense: bool,
}

/// A batch, or an entry of the old formats.
#[derive(Clone)]
pub(super) struct Stored {
    pub(super) path: PathBuf,
    pub(super) bytes: Range<usize>,
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) magic: i8,
    pub(super) is_packed: bool,
    /// Of the old formats alone.
    pub(super) messages: Vec<Message>,
}

#[derive(Clone)]
pub(super) struct Message {
    pub(super) offset: i64,
    pub(super) time: i64,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
}

impl Source {
    /// Every `step`th log of the collection that is not damaged.
    pub(super) fn some(step: usize) -> Vec<Self> {
        let known = golden();
        let mut places: Vec<_> =
            known.iter().map(|path| (name(path), path.join("log"), path.join("manifest.jsonl"))).collect();
        let wounds = known[0].with_file_name("damaged").join("clean");
        if wounds.is_dir() {
            places.push(("damaged".to_owned(), wounds.join("log"), wounds.join("manifest.jsonl")));
        }
        let mut sources = Vec::new();
        let mut number = 0;
        for (name, log_dir, manifest) in places {
            let sound = Manifest::read(&manifest).dirs();
            let whole = Tree::read(&log_dir);
            for log in Archive::open(&log_dir).unwrap().logs() {
                if !sound.contains(&dir_name(log)) || log.size_bytes() > MOST_BYTES || log.size_bytes() == 0 {
                    continue;
                }
                number += 1;
                if number % step == 0 {
                    sources.extend(Self::of(&name, &whole, &dir_name(log)));
                }
            }
        }
        assert!(!sources.is_empty());
        sources
    }

    /// The log in `dir` of the collection's directory `name`.
    pub(super) fn one(name: &str, dir: &str) -> Self {
        let place = golden()[0].with_file_name(name);
        Self::of(name, &Tree::read(&place.join("log")), dir).unwrap()
    }

    fn of(name: &str, whole: &Tree, dir: &str) -> Option<Self> {
        let mut tree = whole.clone();
        tree.files.retain(|path, _| path.starts_with(dir) || path.components().count() == 1);
        let root = tree.write();
        let archive = Archive::open(root.path()).unwrap();
        let log = archive.logs().first()?;
        let mut records = BTreeMap::new();
        let mut is_numbered_well = true;
        let replay = archive.replay(&ReplayOptions::default().below_log_start(true));
        let report = replay.for_each(|found| {
            let row = record_row(dir, found.batch, &found.record);
            is_numbered_well &= records.insert(found.record.offset().0, row).is_none();
        });
        let is_damaged = report.unwrap().findings.iter().any(|defect| defect.kind != DefectKind::Torn);
        if is_damaged || !is_numbered_well {
            return None;
        }
        let facts = Facts::of(&tree, dir);
        let mut source = Self {
            name: name.to_owned(),
            dir: dir.to_owned(),
            batches: Vec::new(),
            records,
            uncommitted: BTreeSet::new(),
            decided: Vec::new(),
            last_stable: i64::MAX,
            log_start: log.log_start().0,
            known_end: facts.known_end,
            begins: facts.begins,
            is_dense: facts.is_dense,
            tree,
        };
        source.look_at(log, root.path());
        Some(source)
    }

    fn look_at(&mut self, log: &ArchivedLog, root: &Path) {
        let mut open: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
        for found in log.scan() {
            let Scanned::Batch(stored) = found.unwrap() else { continue };
            let header = *stored.batch.header();
            let begin = usize::try_from(stored.position).unwrap();
            let path = stored.path().strip_prefix(root).unwrap().to_owned();
            let batch = stored.batch.unpack(Batch::DEFAULT_UNPACKED_LIMIT).unwrap();
            let records: Vec<_> = batch.records().unwrap().map(Result::unwrap).collect();
            let offsets = records.iter().map(|record| record.offset().0);
            if header.is_transactional() && !header.is_control() {
                open.entry(header.producer_id).or_default().extend(offsets);
            } else if header.is_transactional()
                && let Some(kind) = records.first().and_then(|record| ControlType::from_key(record.key()?))
                && matches!(kind, ControlType::Commit | ControlType::Abort)
            {
                let ended = open.remove(&header.producer_id).unwrap_or_default();
                if kind == ControlType::Abort {
                    self.uncommitted.extend(&ended);
                }
                self.decided.push((header.base_offset.0, ended));
            }
            let bytes = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
            let message = |record: &ottla::Record<'_>| Message {
                offset: record.offset().0,
                time: record.timestamp().0,
                key: bytes(record.key()),
                value: bytes(record.value()),
            };
            self.batches.push(Stored {
                path,
                bytes: begin..begin + header.len_bytes,
                first: header.base_offset.0,
                last: header.last_offset().0,
                magic: header.magic,
                is_packed: header.compression().is_ok_and(|codec| codec != ottla::Compression::None),
                messages: if header.magic < 2 { records.iter().map(message).collect() } else { Vec::new() },
            });
        }
        for offsets in open.into_values() {
            self.last_stable = self.last_stable.min(*offsets.first().unwrap_or(&i64::MAX));
            self.uncommitted.extend(offsets);
        }
    }

    /// Its segments' files of batches, in order.
    pub(super) fn segments(&self) -> Vec<PathBuf> {
        self.tree.of(&self.dir, "log")
    }
}

/// What the files around a log say, read here a second time.
struct Facts {
    known_end: i64,
    begins: i64,
    is_dense: bool,
}

impl Facts {
    fn of(tree: &Tree, dir: &str) -> Self {
        let (topic, partition) = dir.rsplit_once('-').unwrap();
        let offset_in = |name: &str| {
            let text = String::from_utf8(tree.files.get(Path::new(name))?.clone()).ok()?;
            let start = format!("{topic} {partition} ");
            Some(text.lines().find_map(|line| line.strip_prefix(&start)?.parse::<i64>().ok()))
        };
        let ends = [offset_in("recovery-point-offset-checkpoint"), offset_in("replication-offset-checkpoint")];
        let is_log_dir = ends.iter().any(Option::is_some);
        let known_end = ends.into_iter().flatten().flatten().max().unwrap_or(0);
        let is_dense = match offset_in("cleaner-offset-checkpoint") {
            Some(cleaned) => cleaned.is_none(),
            None => is_log_dir,
        };
        let epochs = tree.files.get(&Path::new(dir).join("leader-epoch-checkpoint"));
        let epochs = epochs.and_then(|bytes| String::from_utf8(bytes.clone()).ok()).unwrap_or_default();
        let begins = epochs.lines().nth(2).and_then(|line| line.rsplit_once(' ')?.1.parse().ok());
        Self { known_end, begins: begins.unwrap_or(i64::MAX), is_dense }
    }
}
