//! A directory with two topics and a group, closed or killed, and what has to be true of it however it was damaged.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ottla::{Acks, Consumer, Engine, EngineConfig, Finding, Offset, OffsetAndMetadata, Result, TopicPartition};

use super::content::{Cut, Found, append_batch, check_seeks, create, read};
use super::tree::{Tree, temporary_dir};

/// A batch, and where it is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    pub(super) bytes: Range<usize>,
    pub(super) offsets: Range<i64>,
}

/// A directory, and what it holds.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) tree: Tree,
    /// The batches of `t-0`, and behind them those that no sync has covered.
    pub(super) places: Vec<Place>,
    pub(super) durable_end: i64,
    pub(super) ends: BTreeMap<TopicPartition, i64>,
}

pub(super) const GROUP_OFFSET: i64 = 9;

/// How many batches of `t-0` are synced: so many that the active segment has some.
const SYNCED: usize = 15;

/// Four or five batches a segment.
pub(super) const CUT: Cut = Cut { segment_bytes: 380, index_interval_bytes: 0 };

pub(super) fn t() -> TopicPartition {
    TopicPartition::new("t", 0)
}

pub(super) fn open(root: &Path) -> Result<Engine> {
    let config = EngineConfig::builder().auto_create_topics(false).build()?;
    Engine::builder().config(config).open(root)
}

impl Sample {
    /// As a clean shutdown leaves it.
    pub(super) fn closed() -> Self {
        static MADE: OnceLock<Sample> = OnceLock::new();
        MADE.get_or_init(|| make(true, 0).unwrap()).clone()
    }

    /// As `kill -9` leaves it, everything synced.
    pub(super) fn killed() -> Self {
        static MADE: OnceLock<Sample> = OnceLock::new();
        MADE.get_or_init(|| make(false, 0).unwrap()).clone()
    }

    /// As `kill -9` leaves it, the last batches not synced.
    pub(super) fn killed_with_tail() -> Self {
        static MADE: OnceLock<Sample> = OnceLock::new();
        MADE.get_or_init(|| make(false, 6).unwrap()).clone()
    }

    /// The segments of `t-0`, in order.
    pub(super) fn segments(&self) -> Vec<PathBuf> {
        self.tree.of("log/t-0", "log")
    }

    /// The offsets that a segment holds.
    pub(super) fn offsets_in(&self, path: &Path) -> Range<i64> {
        let inside = self.places.iter().filter(|place| place.path == path);
        let (mut first, mut end) = (i64::MAX, 0);
        for place in inside {
            first = first.min(place.offsets.start);
            end = end.max(place.offsets.end);
        }
        first..end
    }

    /// The batches of the segment number `index`.
    pub(super) fn batches_in(&self, index: usize) -> Vec<Place> {
        let path = &self.segments()[index];
        self.places.iter().filter(|place| place.path == *path).cloned().collect()
    }
}

fn make(is_closed: bool, unsynced: usize) -> Result<Sample> {
    let root = temporary_dir();
    let engine = open(root.path())?;
    create(&engine, "t", 1, CUT)?;
    create(&engine, "u", 2, CUT)?;
    let (mut places, mut durable_end) = (Vec::new(), 0);
    let mut before = Tree::read(root.path());
    for number in 0..SYNCED + unsynced {
        let acks = if number < SYNCED { Acks::All } else { Acks::One };
        let offsets = append_batch(&engine, &t(), 1 + i64::try_from(number % 3).expect("small"), acks)?;
        let after = Tree::read(root.path());
        let path = after.of("log/t-0", "log").pop().expect("there is a segment");
        let begin = before.files.get(&path).map_or(0, Vec::len);
        let end = offsets.last().expect("it has records") + 1;
        places.push(Place { bytes: begin..after.files[&path].len(), path, offsets: offsets[0]..end });
        if number < SYNCED {
            durable_end = end;
        }
        before = after;
    }
    for partition in 0..2 {
        for _ in 0..5 {
            append_batch(&engine, &("u", partition).into(), 2, Acks::All)?;
        }
    }
    let mut consumer = Consumer::<str, str>::new(&engine, "g")?;
    consumer.commit_sync_offsets([(t(), OffsetAndMetadata::new(Offset(GROUP_OFFSET)))])?;
    consumer.close()?;
    drop(consumer);
    let ends = [t(), ("u", 0).into(), ("u", 1).into()];
    let ends = ends.into_iter().map(|name| Ok((name.clone(), engine.end_offset(&name)?.0))).collect::<Result<_>>()?;
    if is_closed {
        engine.close()?;
    }
    let tree = Tree::read(root.path());
    Ok(Sample { tree, places, durable_end, ends })
}

/// What opening a damaged directory came to.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) findings: Vec<Finding>,
    pub(super) found: Found,
    /// The directory after it was opened, and before anything else.
    pub(super) tree: Tree,
}

/// Opens `tree`, in which `lost` of `t-0` cannot be read, and only those; appends are taken and kept, and nothing
/// changes with the next opening.
#[track_caller]
pub(super) fn check(sample: &Sample, tree: &Tree, lost: impl IntoIterator<Item = i64>) -> Opened {
    let end = sample.ends[&t()];
    check_ending_at(sample, tree, lost, end)
}

/// The same of a log that ends at `end`.
#[track_caller]
pub(super) fn check_ending_at(sample: &Sample, tree: &Tree, lost: impl IntoIterator<Item = i64>, end: i64) -> Opened {
    let lost: BTreeSet<i64> = lost.into_iter().collect();
    let root = tree.write();
    let engine = open(root.path()).unwrap();
    let opened = Opened {
        findings: engine.report().iter().cloned().collect(),
        found: read(&engine, &t()).unwrap(),
        tree: Tree::read(root.path()),
    };
    let findings = &opened.findings;
    assert_eq!(opened.found.lost_offsets(), lost.iter().copied().collect::<Vec<_>>(), "{findings:?}");
    assert_eq!(opened.found.end, end, "{findings:?}");
    for finding in findings {
        if let Finding::Damaged { first, last, .. } = finding {
            assert!((first.0..=last.0).all(|offset| lost.contains(&offset)), "{finding}");
        }
    }
    check_seeks(&engine, &t(), &opened.found).unwrap();
    for partition in [("u", 0).into(), ("u", 1).into()] {
        let other = read(&engine, &partition).unwrap();
        assert!(other.lost.is_empty() && other.end == sample.ends[&partition], "{partition}: {other:?}");
    }
    let committed = Consumer::<str, str>::new(&engine, "g").unwrap().committed(&t()).unwrap();
    assert_eq!(committed.map(|committed| committed.offset), Some(Offset(GROUP_OFFSET)));

    assert_eq!(append_batch(&engine, &t(), 2, Acks::All).unwrap()[0], end);
    engine.close().unwrap();
    drop(engine);
    let engine = open(root.path()).unwrap();
    let again = read(&engine, &t()).unwrap();
    assert_eq!(again.lost_offsets(), opened.found.lost_offsets(), "{:?}", engine.report());
    assert_eq!(again.end, end + 2);
    assert_eq!(append_batch(&engine, &t(), 9, Acks::All).unwrap()[0], end + 2);
    opened
}
