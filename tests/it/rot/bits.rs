//! Every single bit of a batch, in turn.

use std::ops::Range;
use std::path::PathBuf;

use ottla::{Acks, Engine, EngineConfig, Finding, MemoryDisk, Result, TopicPartition};

use super::content::{Cut, Found, append_batch, check_seeks, create, read};

/// How the engine was left when the bit flips.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Closed,
    Killed,
    Open,
}

/// Which batch is hit.
#[derive(Clone, Copy, Debug)]
enum Which {
    FirstOfLog,
    FirstOfSegment,
    Middle,
    LastOfSegment,
    LastOfLog,
}

/// A batch, and where it is.
#[derive(Clone, Debug)]
struct Place {
    path: PathBuf,
    bytes: Range<u64>,
    offsets: Range<i64>,
}

/// A disk with one log of a dozen batches in four segments.
struct Sample {
    disk: MemoryDisk,
    engine: Option<Engine>,
    partition: TopicPartition,
    places: Vec<Place>,
}

impl Sample {
    fn new(cut: Cut) -> Result<Self> {
        let disk = MemoryDisk::stepped(1);
        let engine = open(&disk)?;
        let partition = TopicPartition::new("t", 0);
        create(&engine, "t", 1, cut)?;
        let mut sample = Self { disk, engine: Some(engine), partition, places: Vec::new() };
        for number in 0..12 {
            sample.append(1 + number % 3)?;
        }
        Ok(sample)
    }

    fn append(&mut self, count: i64) -> Result<()> {
        let engine = self.engine.as_ref().expect("it is open");
        let before = logs(&self.disk);
        let offsets = append_batch(engine, &self.partition, count, Acks::All)?;
        let after = logs(&self.disk);
        let (path, end) = after.last().expect("there is a segment").clone();
        let begin = before.iter().find(|(known, _)| *known == path).map_or(0, |(_, len)| *len);
        self.places.push(Place { path, bytes: begin..end, offsets: offsets[0]..offsets[0] + count });
        Ok(())
    }

    fn place(&self, which: Which) -> Place {
        let is_first = |index: &usize| self.places[*index].bytes.start == 0;
        let firsts: Vec<usize> = (0..self.places.len()).filter(is_first).collect();
        assert!(firsts.len() > 2 && *firsts.last().unwrap() < self.places.len() - 1, "{firsts:?}");
        let index = match which {
            Which::FirstOfLog => 0,
            Which::FirstOfSegment => firsts[1],
            Which::Middle => firsts[1] + 1,
            Which::LastOfSegment => firsts[2] - 1,
            Which::LastOfLog => self.places.len() - 1,
        };
        self.places[index].clone()
    }

    fn leave(&mut self, left: Left) -> Result<()> {
        match left {
            Left::Closed => self.engine.take().expect("it was open").close(),
            Left::Killed => {
                self.disk.kill();
                drop(self.engine.take());
                Ok(())
            }
            Left::Open => Ok(()),
        }
    }
}

fn open(disk: &MemoryDisk) -> Result<Engine> {
    let config = EngineConfig::builder().auto_create_topics(false).build()?;
    Engine::builder().config(config).open_memory(disk)
}

fn logs(disk: &MemoryDisk) -> Vec<(PathBuf, u64)> {
    let mut files = disk.files();
    files.retain(|(path, _)| path.extension().is_some_and(|extension| extension == "log"));
    files
}

/// Where in a batch the leader epoch is. The checksum leaves it out, and where nothing contradicts it, a damaged one
/// is believed: the records are right all the same.
const EPOCH: Range<u64> = 12..16;

/// Four or five batches a segment; each but the first of one has an index entry, or none has.
const INDEXED: Cut = Cut { segment_bytes: 380, index_interval_bytes: 0 };
const BARE: Cut = Cut { segment_bytes: 380, index_interval_bytes: 4096 };

#[test]
fn one_flipped_bit_costs_one_batch_after_a_clean_shutdown() {
    for which in [Which::FirstOfLog, Which::FirstOfSegment, Which::Middle, Which::LastOfSegment, Which::LastOfLog] {
        flip_every_bit(BARE, which, Left::Closed).unwrap();
    }
}

#[test]
fn one_flipped_bit_costs_one_batch_after_a_crash() {
    for which in [Which::FirstOfLog, Which::FirstOfSegment, Which::Middle, Which::LastOfSegment, Which::LastOfLog] {
        flip_every_bit(BARE, which, Left::Killed).unwrap();
    }
}

#[test]
fn one_flipped_bit_costs_one_batch_while_the_engine_is_open() {
    for which in [Which::FirstOfLog, Which::FirstOfSegment, Which::Middle, Which::LastOfSegment, Which::LastOfLog] {
        flip_every_bit(BARE, which, Left::Open).unwrap();
    }
}

#[test]
fn one_flipped_bit_costs_one_batch_in_an_indexed_segment() {
    for left in [Left::Closed, Left::Killed, Left::Open] {
        flip_every_bit(INDEXED, Which::Middle, left).unwrap();
    }
}

fn flip_every_bit(cut: Cut, which: Which, left: Left) -> Result<()> {
    let place = Sample::new(cut)?.place(which);
    for position in place.bytes.clone() {
        for bit in 0..8 {
            let context = format!("{which:?} {left:?} {place:?} byte {} bit {bit}", position - place.bytes.start);
            let checked = std::panic::catch_unwind(|| check_flip(cut, which, left, position, bit));
            match checked {
                Ok(Ok(())) => {}
                Ok(Err(error)) => panic!("{context}: {error}"),
                Err(panic) => {
                    let message = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                    panic!("{context}: {message}");
                }
            }
        }
    }
    Ok(())
}

fn check_flip(cut: Cut, which: Which, left: Left, position: u64, bit: u32) -> Result<()> {
    let mut sample = Sample::new(cut)?;
    let place = sample.place(which);
    let end = sample.places.last().expect("there are some").offsets.end;
    sample.leave(left)?;
    sample.disk.flip_bit(&place.path, position, bit)?;
    let before = logs(&sample.disk);
    let engine = match sample.engine.take() {
        Some(engine) => engine,
        None => open(&sample.disk)?,
    };
    let partition = &sample.partition;
    let found = read(&engine, partition)?;
    assert_eq!(found.end, end, "something was cut");
    let is_epoch = EPOCH.contains(&(position - place.bytes.start));
    let is_passed_by = is_epoch && found.lost.is_empty();
    if !is_passed_by {
        check_lost(&found, &place);
    }
    for (path, len) in &before {
        let now = logs(&sample.disk).into_iter().find(|(each, _)| each == path).expect("no segment goes").1;
        assert!(now >= *len, "{} was cut", path.display());
    }
    for finding in engine.report().iter() {
        match finding {
            Finding::Damaged { partition: named, first, last, path, file_position } => {
                assert_eq!(named, partition);
                assert_eq!(first.0..last.0 + 1, place.offsets);
                assert!(path.ends_with(&place.path), "{}", path.display());
                assert_eq!(*file_position, place.bytes.start);
            }
            other => panic!("it reports {other}"),
        }
    }
    let is_looked_at = matches!((which, left), (Which::LastOfLog, Left::Closed | Left::Killed));
    assert!(!is_looked_at || engine.report().iter().count() == 1, "it reports nothing");
    // What follows is the same for all bits of a byte, and takes most of the time.
    if position % 8 == u64::from(bit) {
        check_seeks(&engine, partition, &found)?;
        keeps_on(&sample.disk, engine, partition, &found)?;
    }
    Ok(())
}

fn check_lost(found: &Found, place: &Place) {
    assert_eq!(found.lost_offsets(), place.offsets.clone().collect::<Vec<_>>());
    let [lost] = found.lost.as_slice() else { panic!("{:?}", found.lost) };
    assert!(lost.path.ends_with(&place.path), "{}", lost.path.display());
    assert_eq!(lost.file_position, place.bytes.start);
}

/// Appends are taken, and the next opening finds them, and as much as before.
fn keeps_on(disk: &MemoryDisk, engine: Engine, partition: &TopicPartition, found: &Found) -> Result<()> {
    assert_eq!(append_batch(&engine, partition, 2, Acks::All)?[0], found.end);
    let again = read(&engine, partition)?;
    assert_eq!(again.lost_offsets(), found.lost_offsets());
    assert_eq!(again.records.len(), found.records.len() + 2);
    engine.close()?;
    drop(engine);
    let engine = open(disk)?;
    let again = read(&engine, partition)?;
    assert_eq!(again.lost_offsets(), found.lost_offsets());
    assert_eq!(again.records.len(), found.records.len() + 2);
    assert_eq!(append_batch(&engine, partition, 1, Acks::All)?[0], found.end + 2);
    Ok(())
}
