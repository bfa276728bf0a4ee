//! A bit that is wrong at rest: below the durable end it costs exactly its batch, by name; from there on the log ends
//! before it, and the opening says so.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use ottla::{Acks, Consumer, ConsumerConfig, Error, Finding, MemoryDisk, Offset, Result, TopicPartition};

use super::app::App;
use super::chance::Chance;
use super::model::{Contents, Model, Place};

/// A batch of which a bit was flipped.
#[derive(Debug)]
pub(crate) struct Rot {
    name: TopicPartition,
    place: Place,
    path: PathBuf,
    position: u64,
    bit: u32,
    /// Of the batch.
    offsets: Range<i64>,
}

/// Where the fields are that a checksum covers, and the few before it that are checked by themselves: behind the base
/// offset, the length and the epoch.
const CHECKED_FROM: usize = 16;

impl Rot {
    /// Flips a bit of some batch; `None` if there is none.
    pub(crate) fn begin(disk: &MemoryDisk, chance: &mut Chance, model: &Model) -> Option<Self> {
        let mut batches = Vec::new();
        for (name, id, count) in model.topics() {
            for number in 0..count {
                let folder = format!("log/{name}-{number}");
                let of_it =
                    |path: &PathBuf| path.starts_with(&folder) && path.extension().is_some_and(|end| end == "log");
                let base_of = |path: &PathBuf| path.file_stem().and_then(|name| name.to_str()?.parse::<i64>().ok());
                let segments: Vec<_> = disk.files().into_iter().map(|(path, _)| path).filter(of_it).collect();
                for path in &segments {
                    let content = disk.content(path).unwrap();
                    let base = base_of(path).unwrap();
                    // Behind damage at its end a segment may hold bytes that the next one has the offsets of.
                    let next = segments.iter().filter_map(base_of).filter(|next| *next > base).min();
                    let is_of_it = |(_, offsets): &(_, Range<i64>)| next.is_none_or(|next| offsets.end <= next);
                    let found = batches_in(&content, base).into_iter().filter(is_of_it);
                    batches.extend(
                        found.map(|(bytes, offsets)| ((name, number), (id, number), path.clone(), bytes, offsets)),
                    );
                }
            }
        }
        if batches.is_empty() {
            return None;
        }
        let (name, place, path, bytes, offsets) = batches.swap_remove(chance.index(batches.len()));
        let position = (bytes.start + CHECKED_FROM + chance.index(bytes.len() - CHECKED_FROM)) as u64;
        let rot = Self { name: name.into(), place, path, position, bit: u32::from(chance.byte() % 8), offsets };
        eprintln!("{rot:?}");
        rot.flip(disk);
        Some(rot)
    }

    fn flip(&self, disk: &MemoryDisk) {
        disk.flip_bit(&self.path, self.position, self.bit).unwrap();
    }

    /// The bit is right again.
    pub(crate) fn end(&self, disk: &MemoryDisk) {
        self.flip(disk);
    }

    /// Checks what has become of it, and that what is sent now stays. Answers whether the batch is still where it was.
    pub(crate) fn check(&self, app: &mut App<'_>) -> bool {
        app.check_topics().unwrap();
        app.findings().iter().for_each(|finding| eprintln!("{finding}"));
        // A write that was torn within a sector takes two of what a disk does, and rot is the second.
        let knows_how_far = !app.findings().iter().any(|finding| finding.to_string().contains("a slot is damaged"));
        let cut_at = app.findings().into_iter().find_map(|finding| match finding {
            Finding::Cut { partition, log_end, .. } if partition == self.name => Some(log_end.0),
            _ => None,
        });
        for (name, place) in app.partitions() {
            if place != self.place {
                let contents = app.read(&name, place).unwrap();
                app.model.check_contents(place, &contents);
                continue;
            }
            let (contents, damaged) = app.read_around(&name, place).unwrap();
            if let Some(cut_at) = cut_at.filter(|_| !knows_how_far) {
                app.model.cut_off(place, cut_at);
            }
            let context = &app.model.context;
            if damaged.is_empty() {
                let cut_at = cut_at.unwrap_or_else(|| panic!("{context}: {self:?} cost nothing: {contents:?}"));
                assert!(cut_at <= self.offsets.start, "{context}: {self:?}, and {cut_at} was the end");
                let settled = app.model.settled.get(&place).copied().filter(|_| knows_how_far);
                let floor = settled.unwrap_or(0);
                assert!(cut_at >= floor, "{context}: {self:?} was cut off at {cut_at}; {floor} was durable");
                app.model.cut_off(place, self.offsets.start);
            } else {
                assert_eq!(damaged, std::slice::from_ref(&self.offsets), "{context}: {self:?}");
            }
            app.model.check_contents_but(place, &contents, damaged.first().cloned().unwrap_or(0..0));
        }
        app.model.check_nothing_is_missing();
        let partitions = app.partitions();
        let Some((name, _)) = partitions.iter().find(|(_, place)| *place == self.place) else { return false };
        let topic = app.model.topics().into_iter().find(|(topic, ..)| *topic == name.topic()).unwrap().0;
        app.send_and_wait(Acks::All, topic, self.place.1).unwrap();
        app.read_around(name, self.place).unwrap().1 == std::slice::from_ref(&self.offsets)
    }
}

/// The batches that a segment seems to hold, beginning with the offset `next`: which bytes, and which offsets.
fn batches_in(content: &[u8], mut next: i64) -> Vec<(Range<usize>, Range<i64>)> {
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(header) = content.get(at..at + 61) {
        let base = i64::from_be_bytes(header[..8].try_into().unwrap());
        let len = u32::from_be_bytes(header[8..12].try_into().unwrap()) as usize + 12;
        let last = u32::from_be_bytes(header[23..27].try_into().unwrap());
        if base != next || header[16] != 2 || len < 61 || at + len > content.len() {
            break;
        }
        next = base + i64::from(last) + 1;
        found.push((at..at + len, base..next));
        at += len;
    }
    found
}

impl App<'_> {
    /// Reads a partition from the front to the high watermark, past what is damaged.
    fn read_around(&mut self, name: &TopicPartition, place: Place) -> Result<(Contents, Vec<Range<i64>>)> {
        let end = self.engine.end_offset(name)?;
        let mut consumer = Consumer::<str, str>::with_config(&self.engine, ConsumerConfig::default())?;
        consumer.assign([name.clone()])?;
        let (mut contents, mut damaged) = (Contents::new(), Vec::new());
        while consumer.position(name)? < end {
            match consumer.poll(Duration::ZERO) {
                Ok(records) => {
                    for record in &records {
                        let value = record.value()?.expect("all have one").to_owned();
                        self.model.saw(place, record.offset().0, &value);
                        contents.insert(record.offset().0, value);
                    }
                }
                Err(Error::CorruptBatch { first, last, .. }) => {
                    damaged.push(first.0..last.0 + 1);
                    consumer.seek(name, Offset(last.0 + 1))?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok((contents, damaged))
    }
}

impl Model {
    /// Damage that nobody can tell from a torn write has cost the end of a log, from `offset` on.
    fn cut_off(&mut self, place: Place, offset: i64) {
        for kept in [&mut self.durable, &mut self.written] {
            kept.entry(place).or_default().retain(|at, _| *at < offset);
        }
        let sent = &self.sent;
        self.closed_over.retain(|value| sent[value].place != place);
    }
}
