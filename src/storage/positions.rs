//! How far each log is known to be on the disk: the file `positions`, a slot for each log.
//!
//! It serves recovery, which takes a bad place below the durable end for rot and one above it for a torn write, and
//! readers in other processes, which take their bounds from it. The writer writes a slot whenever a round moved one of
//! its numbers, and does not sync it.
//!
//! ```text
//! header, 128 bytes                       slot number n, at 128 + 128 n: two halves
//!   0 magic "OTLP"      4                   0 sequence             u32   the newer valid half counts
//!   4 version         u32                   4 topic id              16
//!   8 features        u32                  20 partition            u32
//!  12 CRC-32          u32 over the 12      24 leader epoch         i32
//!  16 zeros                                28 durable end          i64
//!                                          36 log start            i64
//!                                          44 high watermark       i64
//!                                          52 last stable offset   i64
//!                                          60 CRC-32               u32 over the 60 bytes before it
//! ```
//!
//! All numbers are big-endian. A half of zeros is unused, a slot of zeros is free.
//!
//! **An old slot, or none, is safe**, because every number in it is a lower bound that only rises: the durable end is
//! written after the sync that it reports returned, so an older one claims less; and no slot claims nothing. What a
//! torn or damaged slot costs is precision: damage in what it would have covered is taken for a torn write, and goes to
//! the quarantine instead of staying where it is. Nobody learns from here that something exists.
//!
//! Two things would break that, and are done with care. A log that is cut gets its numbers lowered *before*, by
//! [`Positions::lower`]: both halves, and synced; else an older half, or the state before a power cut, would claim a
//! durable end above what the log then has. And [`Positions::free`] syncs as well: else the log's old numbers could
//! come back after it had been made anew.
//!
//! | a crash during    | leaves                                     | and then                                    |
//! |-------------------|--------------------------------------------|---------------------------------------------|
//! | open, a new file  | no file, or an empty one, or a header      | it is made anew; its slots are none         |
//! | write             | that half old, new or torn; the other whole | the newer valid one counts, maybe the older |
//! | lower             | each half old, new or torn                 | old numbers, and nothing was cut yet; or new |
//! | free              | the slot, or half of it, or zeros          | a slot of a log that is gone: freed again   |

mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::{Buf, BufMut};

use crate::error::{Error, Result};
use crate::io::{Dir, File, replace};
use crate::sync::lock;
use crate::types::{LeaderEpoch, Offset, TopicId};

pub(crate) use crate::storage::positions::watch::{Known, PositionsWatch};

/// The file's name.
pub(crate) const POSITIONS: &str = "positions";

/// What is known of one log. All of it is a lower bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) leader_epoch: LeaderEpoch,
    /// Every offset below it has been synced.
    pub(crate) durable_end: Offset,
    pub(crate) log_start: Offset,
    pub(crate) high_watermark: Offset,
    pub(crate) last_stable_offset: Offset,
}

/// What is known of logs, by topic and partition.
pub(crate) type PositionsByLog = BTreeMap<(TopicId, u32), Position>;

/// Names a slot, for as long as the log has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SlotId(usize);

/// The open file. All of it may be called from several threads; a call waits for a write of another one.
#[derive(Debug)]
pub(crate) struct Positions {
    file: Arc<dyn File>,
    table: Mutex<Table>,
}

/// Something wrong with the file, for the report of an opening. None of it loses a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PositionsFinding {
    pub(crate) path: PathBuf,
    pub(crate) position: u64,
    pub(crate) damage: PositionsDamage,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PositionsDamage {
    /// The header is not what it was; it was written again.
    Header,
    /// Half of a slot is damaged, and the other half served.
    Half,
    /// A slot is damaged, or half of it while the other was never used: a log has lost its numbers.
    Slot,
    /// Two slots are of one log; the one with the smaller durable end counts.
    Double,
    /// The file is longer than any that is written.
    TooLong,
}

impl fmt::Display for PositionsFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.damage {
            PositionsDamage::Header => "the header is damaged, and was written again",
            PositionsDamage::Half => "half of a slot is damaged, and the other half served",
            PositionsDamage::Slot => "a slot is damaged: how far its log was synced is not known",
            PositionsDamage::Double => "a second slot of the same log: the lower one counts",
            PositionsDamage::TooLong => "the rest of the file is no part of it, and was left out",
        };
        write!(f, "{} at position {}: {what}", self.path.display(), self.position)
    }
}

impl Positions {
    /// Opens the file, and makes it if it is missing; its name is durable then.
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`] if it was written by a newer version; the operating system's. Damage is no error.
    pub(crate) fn open(dir: &Arc<dyn Dir>) -> Result<(Self, Vec<PositionsFinding>)> {
        let file = match dir.open_writable(POSITIONS) {
            Err(error) if error.is_not_found() => create(&**dir)?,
            found => found?,
        };
        let mut findings = Vec::new();
        if !check_header(&*file)? {
            // Not synced: one that a crash takes back is damaged again, and written again.
            file.write_all_at(&header(), 0)?;
            findings.push(finding(&*file, 0, PositionsDamage::Header));
        }
        let (table, doubles) = Table::load(&*file, &mut findings)?;
        if !doubles.is_empty() {
            erase(&*file, &doubles)?;
        }
        Ok((Self { file, table: Mutex::new(table) }, findings))
    }

    /// Reads what is known of all logs, and changes nothing.
    ///
    /// # Errors
    /// As [`open`](Self::open); an [`Error::Io`] that [`is_not_found`](Error::is_not_found) if there is no such file.
    pub(crate) fn inspect(dir: &dyn Dir) -> Result<(PositionsByLog, Vec<PositionsFinding>)> {
        let file = dir.open(POSITIONS)?;
        let mut findings = Vec::new();
        let is_padded = file.slice(0, HEADER_BYTES)?.iter().skip(16).all(|byte| *byte == 0);
        if !check_header(&*file)? || !is_padded {
            findings.push(finding(&*file, 0, PositionsDamage::Header));
        }
        let (table, _) = Table::load(&*file, &mut findings)?;
        let used = table.slots.into_iter().flatten().filter(Used::is_written);
        Ok((used.map(|used| (used.log, used.position)).collect(), findings))
    }

    /// Writes the whole file anew, with a slot for each of these logs: after a crash it is the old one or the new one.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn replace(dir: &dyn Dir, positions: &PositionsByLog) -> Result<()> {
        let mut bytes = header();
        for (log, position) in positions {
            bytes.extend(Used::new(*log).next(position).encode());
            bytes.resize(bytes.len() + HALF_BYTES, 0);
        }
        replace(dir, POSITIONS, &bytes)
    }

    /// What is known of a log; `None` if nothing is.
    pub(crate) fn get(&self, topic: TopicId, partition: u32) -> Option<Position> {
        let table = lock(&self.table);
        let slot = table.by_log.get(&(topic, partition))?;
        table.slots[*slot].and_then(|used| used.is_written().then_some(used.position))
    }

    /// All logs that have a slot, so that those of deleted ones can be freed.
    pub(crate) fn logs(&self) -> Vec<((TopicId, u32), SlotId)> {
        lock(&self.table).by_log.iter().map(|(log, slot)| (*log, SlotId(*slot))).collect()
    }

    /// The slot of a log; it gets one if it has none. Nothing is written yet.
    pub(crate) fn slot_for(&self, topic: TopicId, partition: u32) -> SlotId {
        SlotId(lock(&self.table).slot_for((topic, partition)))
    }

    /// Writes what is known of a log, with one write of 64 bytes.
    ///
    /// The durable end may be one that a sync has reached, and no other.
    ///
    /// # Errors
    /// The operating system's; what was known before remains.
    pub(crate) fn write(&self, slot: SlotId, position: &Position) -> Result<()> {
        let mut table = lock(&self.table);
        let Some(used) = &mut table.slots[slot.0] else { return Err(no_slot()) };
        let next = used.next(position);
        self.file.write_all_at(&next.encode(), next.place(slot))?;
        *used = next;
        Ok(())
    }

    /// Writes numbers that may be lower than before, and syncs them: to be called before a log is cut.
    ///
    /// # Errors
    /// The operating system's; the log must not be cut then.
    pub(crate) fn lower(&self, slot: SlotId, position: &Position) -> Result<()> {
        self.write(slot, position)?;
        self.write(slot, position)?; // the other half: one that is damaged must not bring back what it said before
        self.file.sync()
    }

    /// Gives slots back, and syncs that, so that logs of the same names may be made again.
    ///
    /// # Errors
    /// The operating system's; the slots keep their logs then.
    pub(crate) fn free(&self, slots: &[SlotId]) -> Result<()> {
        let mut table = lock(&self.table);
        erase(&*self.file, slots)?;
        for slot in slots {
            if let Some(used) = table.slots[slot.0].take() {
                table.by_log.remove(&used.log);
                table.free.insert(slot.0);
            }
        }
        Ok(())
    }

    /// Makes what was written so far durable.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync()
    }
}

/// Half of a slot, as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotHalf {
    pub(crate) file_position: u64,
    pub(crate) log: (TopicId, u32),
    /// How often the slot was written, when this was.
    pub(crate) sequence: u32,
    pub(crate) position: Position,
    /// Whether it is the half that counts.
    pub(crate) is_newer: bool,
}

/// Shows all halves of slots that are in use, and at its place what is wrong with the file.
///
/// # Errors
/// [`Error::UnsupportedVersion`]; those of `see`; the operating system's.
pub(crate) fn each_half<E: From<Error>>(
    file: &dyn File,
    mut see: impl FnMut(std::result::Result<SlotHalf, PositionsFinding>) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    if !check_header(file)? {
        see(Err(finding(file, 0, PositionsDamage::Header)))?;
    }
    let mut at = HEADER_BYTES as u64;
    loop {
        let mut chunk = file.slice(at, CHUNK_SLOTS * SLOT_BYTES)?.to_vec();
        if chunk.is_empty() {
            return Ok(());
        }
        chunk.resize(chunk.len().next_multiple_of(SLOT_BYTES), 0);
        for slot in chunk.as_chunks::<SLOT_BYTES>().0 {
            let (used, damage) = decode_slot(slot);
            if let Some(damage) = damage {
                see(Err(finding(file, at, damage)))?;
            }
            for (number, half) in slot.as_chunks::<HALF_BYTES>().0.iter().enumerate() {
                if let Some(Used { log, position, sequence, half }) = Used::decode(half, number == 1) {
                    let is_newer = used.is_some_and(|used| used.half == half);
                    let file_position = at + (number * HALF_BYTES) as u64;
                    see(Ok(SlotHalf { file_position, log, sequence, position, is_newer }))?;
                }
            }
            at += SLOT_BYTES as u64;
        }
    }
}

const HEADER_BYTES: usize = 128;
const SLOT_BYTES: usize = 2 * HALF_BYTES;
const HALF_BYTES: usize = 64;
const CHECKSUM_AT: usize = 60;

const MAGIC: [u8; 4] = *b"OTLP";
const VERSION: u32 = 1;
const FEATURES: u32 = 0;

/// How many slots are read: 32 MiB of them. A log beyond has no numbers after an opening, which is safe.
const MAX_SLOTS: usize = 1 << 18;
/// How many slots are read at once.
const CHUNK_SLOTS: usize = 512;

/// Who has which slot.
#[derive(Debug, Default)]
struct Table {
    slots: Vec<Option<Used>>,
    by_log: BTreeMap<(TopicId, u32), usize>,
    /// Slots that no log has.
    free: BTreeSet<usize>,
}

/// A slot in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Used {
    log: (TopicId, u32),
    position: Position,
    /// Of the newer half; goes round after 2^32 writes.
    sequence: u32,
    /// Which half that is; `None` while nothing has been written.
    half: Option<bool>,
}

impl Used {
    fn new(log: (TopicId, u32)) -> Self {
        let nothing = Position {
            leader_epoch: LeaderEpoch::NONE,
            durable_end: Offset::ZERO,
            log_start: Offset::ZERO,
            high_watermark: Offset::ZERO,
            last_stable_offset: Offset::ZERO,
        };
        Self { log, position: nothing, sequence: 0, half: None }
    }

    const fn is_written(&self) -> bool {
        self.half.is_some()
    }

    /// The slot once `position` is in the half that does not count now.
    fn next(&self, position: &Position) -> Self {
        let half = self.half.is_some_and(|half| !half);
        Self { log: self.log, position: *position, sequence: self.sequence.wrapping_add(1), half: Some(half) }
    }

    fn place(&self, slot: SlotId) -> u64 {
        let behind = if self.half == Some(true) { HALF_BYTES as u64 } else { 0 };
        slot_place(slot) + behind
    }

    fn encode(&self) -> Vec<u8> {
        let mut half = Vec::with_capacity(HALF_BYTES);
        half.put_u32(self.sequence);
        half.put_slice(&self.log.0.0);
        half.put_u32(self.log.1);
        half.put_i32(self.position.leader_epoch.0);
        half.put_i64(self.position.durable_end.0);
        half.put_i64(self.position.log_start.0);
        half.put_i64(self.position.high_watermark.0);
        half.put_i64(self.position.last_stable_offset.0);
        debug_assert_eq!(half.len(), CHECKSUM_AT);
        half.put_u32(crc32fast::hash(&half));
        half
    }

    fn decode(bytes: &[u8; HALF_BYTES], half: bool) -> Option<Self> {
        let (mut fields, mut checksum) = bytes.split_at(CHECKSUM_AT);
        if checksum.get_u32() != crc32fast::hash(fields) {
            return None; // half of zeros, too: their checksum is not zero
        }
        let sequence = fields.get_u32();
        let mut topic = [0; 16];
        fields.copy_to_slice(&mut topic);
        let log = (TopicId(topic), fields.get_u32());
        let position = Position {
            leader_epoch: LeaderEpoch(fields.get_i32()),
            durable_end: Offset(fields.get_i64()),
            log_start: Offset(fields.get_i64()),
            high_watermark: Offset(fields.get_i64()),
            last_stable_offset: Offset(fields.get_i64()),
        };
        Some(Self { log, position, sequence, half: Some(half) })
    }

    /// Whether this half was written after `other`; the sequence may have gone round in between.
    fn is_newer_than(&self, other: &Self) -> bool {
        (1..1 << 31).contains(&self.sequence.wrapping_sub(other.sequence))
    }
}

impl Table {
    /// Reads all slots; says which of them are free since another one has their log.
    fn load(file: &dyn File, findings: &mut Vec<PositionsFinding>) -> Result<(Self, Vec<SlotId>)> {
        let (mut table, mut doubles) = (Self::default(), Vec::new());
        let len = file.len()?;
        loop {
            let at = slot_place(SlotId(table.slots.len()));
            if at < len && table.slots.len() >= MAX_SLOTS {
                findings.push(finding(file, at, PositionsDamage::TooLong));
                return Ok((table, doubles));
            }
            let mut chunk = file.slice(at, CHUNK_SLOTS * SLOT_BYTES)?.to_vec();
            if chunk.is_empty() {
                return Ok((table, doubles));
            }
            chunk.resize(chunk.len().next_multiple_of(SLOT_BYTES), 0); // the last slot may end with its first half
            for slot in chunk.as_chunks::<SLOT_BYTES>().0 {
                let number = table.slots.len();
                let (used, damage) = decode_slot(slot);
                let double = table.add(used);
                let damage = damage.or(double.map(|_| PositionsDamage::Double));
                findings.extend(damage.map(|damage| finding(file, slot_place(SlotId(number)), damage)));
                doubles.extend(double.map(SlotId));
            }
        }
    }

    /// Takes the next slot in. Of two that have the same log, the number of the one that has to go.
    fn add(&mut self, used: Option<Used>) -> Option<usize> {
        let number = self.slots.len();
        self.slots.push(used);
        let Some(used) = used else {
            self.free.insert(number); // a damaged one, too: whatever is written to it is the newest there
            return None;
        };
        let double = self.by_log.insert(used.log, number)?;
        let kept = self.slots[double].filter(|other| other.position.durable_end <= used.position.durable_end);
        let loser = if kept.is_some() { number } else { double };
        if kept.is_some() {
            self.by_log.insert(used.log, double);
        }
        self.slots[loser] = None;
        self.free.insert(loser);
        Some(loser)
    }

    fn slot_for(&mut self, log: (TopicId, u32)) -> usize {
        if let Some(slot) = self.by_log.get(&log) {
            return *slot;
        }
        let slot = self.unused_slot();
        self.slots[slot] = Some(Used::new(log));
        self.by_log.insert(log, slot);
        slot
    }

    fn unused_slot(&mut self) -> usize {
        self.free.pop_first().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        })
    }
}

/// What a slot says, and what is wrong with it.
fn decode_slot(bytes: &[u8; SLOT_BYTES]) -> (Option<Used>, Option<PositionsDamage>) {
    let (halves, _) = bytes.as_chunks::<HALF_BYTES>();
    let decoded = (Used::decode(&halves[0], false), Used::decode(&halves[1], true));
    let is_damaged =
        |half: &[u8; HALF_BYTES], used: &Option<Used>| used.is_none() && half.iter().any(|byte| *byte != 0);
    let is_damaged = is_damaged(&halves[0], &decoded.0) || is_damaged(&halves[1], &decoded.1);
    let used = match decoded {
        (Some(one), Some(other)) => Some(if other.is_newer_than(&one) { other } else { one }),
        (one, other) => one.or(other),
    };
    let damage = if used.is_some() { PositionsDamage::Half } else { PositionsDamage::Slot };
    (used, is_damaged.then_some(damage))
}

fn slot_place(slot: SlotId) -> u64 {
    (HEADER_BYTES + slot.0 * SLOT_BYTES) as u64
}

fn header() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    bytes.put_slice(&MAGIC);
    bytes.put_u32(VERSION);
    bytes.put_u32(FEATURES);
    bytes.put_u32(crc32fast::hash(&bytes));
    bytes.resize(HEADER_BYTES, 0);
    bytes
}

/// Whether the header is as it was written.
fn check_header(file: &dyn File) -> Result<bool> {
    let bytes = file.slice(0, HEADER_BYTES)?;
    if bytes.len() < HEADER_BYTES {
        return Ok(false);
    }
    let (mut fields, mut checksum) = bytes.split_at(12);
    if fields[..4] != MAGIC || checksum.get_u32() != crc32fast::hash(fields) {
        return Ok(false);
    }
    fields.advance(4);
    let (version, features) = (fields.get_u32(), fields.get_u32());
    if version != VERSION || features & !FEATURES != 0 {
        let reason = format!("version {version} with features {features:#x}, and this code knows version {VERSION}");
        return Err(Error::UnsupportedVersion { path: file.path().to_owned(), reason: reason.into() });
    }
    Ok(true)
}

fn create(dir: &dyn Dir) -> Result<Arc<dyn File>> {
    let file = dir.create(POSITIONS)?;
    file.write_all_at(&header(), 0)?;
    file.sync()?;
    dir.sync()?; // or the syncs of this file would be for nothing: a power cut takes its name
    Ok(file)
}

/// Fills slots with zeros, and syncs that.
fn erase(file: &dyn File, slots: &[SlotId]) -> Result<()> {
    for slot in slots {
        file.write_all_at(&[0; SLOT_BYTES], slot_place(*slot))?;
    }
    file.sync()
}

fn finding(file: &dyn File, position: u64, damage: PositionsDamage) -> PositionsFinding {
    PositionsFinding { path: file.path().to_owned(), position, damage }
}

fn no_slot() -> Error {
    Error::illegal_state("the slot of a log was used after it had been given back")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::io::MemoryDisk;

    fn topic(number: u8) -> TopicId {
        TopicId([number; 16])
    }

    fn at(durable_end: i64) -> Position {
        Position {
            leader_epoch: LeaderEpoch(3),
            durable_end: Offset(durable_end),
            log_start: Offset(1),
            high_watermark: Offset(durable_end + 2),
            last_stable_offset: Offset(durable_end + 1),
        }
    }

    fn root(disk: &MemoryDisk) -> Arc<dyn Dir> {
        disk.disk().root()
    }

    fn open(disk: &MemoryDisk) -> (Positions, Vec<PositionsDamage>) {
        let (positions, findings) = Positions::open(&root(disk)).unwrap();
        (positions, findings.iter().map(|finding| finding.damage).collect())
    }

    #[test]
    fn written_positions_come_back() {
        let disk = MemoryDisk::new();
        let (positions, findings) = open(&disk);
        assert_eq!(findings, []);
        for partition in 0..1500 {
            let slot = positions.slot_for(topic(1), partition);
            positions.write(slot, &at(i64::from(partition))).unwrap();
        }
        let slot = positions.slot_for(topic(1), 7);
        positions.write(slot, &at(100)).unwrap();
        positions.write(slot, &at(200)).unwrap();
        assert_eq!(positions.slot_for(topic(1), 7), slot);
        positions.sync().unwrap();
        disk.power_cut();
        let (positions, findings) = open(&disk);
        assert_eq!(findings, []);
        assert_eq!(positions.get(topic(1), 7), Some(at(200)));
        assert_eq!(positions.get(topic(1), 1499), Some(at(1499)));
        assert_eq!(positions.get(topic(2), 7), None);
        assert_eq!(positions.logs().len(), 1500);
    }

    #[test]
    fn slot_without_a_write_is_unknown() {
        let disk = MemoryDisk::new();
        let (positions, _) = open(&disk);
        positions.slot_for(topic(1), 0);
        assert_eq!(positions.get(topic(1), 0), None);
        assert_eq!(open(&disk).0.get(topic(1), 0), None);
    }

    #[test]
    fn damaged_half_gives_the_other_one_and_a_damaged_slot_none() {
        let disk = MemoryDisk::new();
        let (positions, _) = open(&disk);
        let slot = positions.slot_for(topic(1), 0);
        positions.write(slot, &at(10)).unwrap();
        positions.write(slot, &at(20)).unwrap();
        for byte in 64..128 {
            disk.flip_bit(POSITIONS, 128 + byte, 5).unwrap();
            let (positions, findings) = open(&disk);
            assert_eq!((positions.get(topic(1), 0), findings), (Some(at(10)), vec![PositionsDamage::Half]));
            disk.flip_bit(POSITIONS, 128 + byte, 5).unwrap();
        }
        disk.flip_bit(POSITIONS, 128 + 3, 5).unwrap();
        assert_eq!(open(&disk).0.get(topic(1), 0), Some(at(20)));
        disk.flip_bit(POSITIONS, 128 + 64, 5).unwrap();
        let (positions, findings) = open(&disk);
        assert_eq!((positions.get(topic(1), 0), findings), (None, vec![PositionsDamage::Slot]));
        let slot = positions.slot_for(topic(2), 9);
        positions.write(slot, &at(5)).unwrap();
        assert_eq!(open(&disk).0.get(topic(2), 9), Some(at(5)));
    }

    #[test]
    fn damaged_header_is_written_again_and_a_newer_version_refused() {
        let disk = MemoryDisk::new();
        let (positions, _) = open(&disk);
        let slot = positions.slot_for(topic(1), 0);
        positions.write(slot, &at(10)).unwrap();
        for byte in 0..16 {
            disk.flip_bit(POSITIONS, byte, 3).unwrap();
            let (positions, findings) = open(&disk);
            assert_eq!((positions.get(topic(1), 0), findings), (Some(at(10)), vec![PositionsDamage::Header]));
            assert_eq!(open(&disk).1, []);
        }
        let mut newer = header();
        newer[7] = 2;
        let checksum = crc32fast::hash(&newer[..12]).to_be_bytes();
        newer[12..16].copy_from_slice(&checksum);
        root(&disk).open_writable(POSITIONS).unwrap().write_all_at(&newer, 0).unwrap();
        assert!(matches!(Positions::open(&root(&disk)), Err(Error::UnsupportedVersion { .. })));
        assert_eq!(root(&disk).open(POSITIONS).unwrap().slice(0, 128).unwrap(), newer);
    }

    #[test]
    fn sequence_goes_round() {
        let disk = MemoryDisk::new();
        let (positions, _) = open(&disk);
        let slot = positions.slot_for(topic(1), 0);
        lock(&positions.table).slots[0].as_mut().unwrap().sequence = u32::MAX - 2;
        for end in 0..6 {
            positions.write(slot, &at(end)).unwrap();
            assert_eq!(open(&disk).0.get(topic(1), 0), Some(at(end)));
        }
    }

    #[test]
    fn lowered_position_stays_low_whichever_half_is_lost() {
        let disk = MemoryDisk::new();
        let (positions, _) = open(&disk);
        let slot = positions.slot_for(topic(1), 0);
        positions.write(slot, &at(1000)).unwrap();
        positions.lower(slot, &at(500)).unwrap();
        disk.power_cut();
        for byte in 0..128 {
            disk.flip_bit(POSITIONS, 128 + byte, 0).unwrap();
            assert_eq!(open(&disk).0.get(topic(1), 0), Some(at(500)));
            disk.flip_bit(POSITIONS, 128 + byte, 0).unwrap();
        }
    }

    #[test]
    fn crash_during_lower_leaves_the_old_numbers_or_the_new_ones() {
        for step in 0..4 {
            for is_cut in [true, false] {
                let disk = MemoryDisk::new();
                let (positions, _) = open(&disk);
                let slot = positions.slot_for(topic(1), 0);
                positions.write(slot, &at(1000)).unwrap();
                positions.sync().unwrap();
                disk.fail_from(disk.steps() + step);
                let lowered = positions.lower(slot, &at(500));
                if is_cut {
                    disk.power_cut()
                } else {
                    disk.kill()
                }
                let (positions, findings) = open(&disk);
                let found = positions.get(topic(1), 0).unwrap();
                assert!(found == at(500) || (found == at(1000) && lowered.is_err()));
                assert_eq!(findings, []);
            }
        }
    }

    #[test]
    fn freed_slot_goes_to_the_next_log_and_its_numbers_never_come_back() {
        let disk = MemoryDisk::new();
        let (positions, _) = open(&disk);
        let first = positions.slot_for(topic(1), 0);
        positions.write(first, &at(1000)).unwrap();
        positions.write(first, &at(1001)).unwrap();
        positions.sync().unwrap();
        positions.free(&[first]).unwrap();
        assert!(positions.write(first, &at(5)).is_err());
        assert_eq!(positions.get(topic(1), 0), None);
        assert_eq!(positions.slot_for(topic(2), 0), first);
        positions.write(first, &at(1)).unwrap();
        assert_eq!(open(&disk).0.get(topic(2), 0), Some(at(1)));
        disk.power_cut();
        let (positions, findings) = open(&disk);
        assert_eq!((positions.logs(), findings), (vec![], vec![]));
    }

    #[test]
    fn second_slot_of_a_log_gives_way_to_the_lower_one() {
        for (first, second) in [(10, 20), (20, 10)] {
            let disk = MemoryDisk::new();
            let (positions, _) = open(&disk);
            let slots = [positions.slot_for(topic(1), 0), positions.slot_for(topic(2), 0)];
            positions.write(slots[0], &at(first)).unwrap();
            positions.sync().unwrap();
            let other = Used::new((topic(1), 0)).next(&at(second));
            positions.file.clone().write_all_at(&other.encode(), other.place(slots[1])).unwrap();
            let (positions, findings) = open(&disk);
            assert_eq!(findings, [PositionsDamage::Double]);
            assert_eq!(positions.get(topic(1), 0), Some(at(10)));
            disk.power_cut();
            let (positions, findings) = open(&disk);
            assert_eq!((positions.get(topic(1), 0), findings), (Some(at(10)), vec![]));
        }
    }

    #[test]
    fn crash_while_the_file_is_made_is_made_good_by_the_next_opening() {
        for step in 0..4 {
            for is_cut in [true, false] {
                let disk = MemoryDisk::new();
                disk.fail_from(step);
                assert!(Positions::open(&root(&disk)).is_err());
                if is_cut {
                    disk.power_cut()
                } else {
                    disk.kill()
                }
                let (positions, _) = open(&disk);
                let slot = positions.slot_for(topic(1), 0);
                positions.write(slot, &at(3)).unwrap();
                assert_eq!(open(&disk).0.get(topic(1), 0), Some(at(3)));
            }
        }
    }

    #[test]
    fn huge_sparse_file_is_read_no_further_than_slots_go() {
        let disk = MemoryDisk::new();
        let (positions, _) = open(&disk);
        positions.file.clone().set_len(slot_place(SlotId(MAX_SLOTS + 3))).unwrap();
        assert_eq!(open(&disk).1, [PositionsDamage::TooLong]);
    }

    fn positions() -> impl Strategy<Value = Position> {
        (any::<i32>(), any::<[i64; 4]>()).prop_map(|(epoch, [end, start, watermark, stable])| Position {
            leader_epoch: LeaderEpoch(epoch),
            durable_end: Offset(end),
            log_start: Offset(start),
            high_watermark: Offset(watermark),
            last_stable_offset: Offset(stable),
        })
    }

    proptest! {
        #[test]
        fn slots_round_trip(writes in prop::collection::vec((any::<[u8; 16]>(), any::<u32>(), positions()), 1..40)) {
            let disk = MemoryDisk::new();
            let (positions, _) = open(&disk);
            let mut model = BTreeMap::new();
            for (topic, partition, position) in writes {
                positions.write(positions.slot_for(TopicId(topic), partition), &position).unwrap();
                model.insert((TopicId(topic), partition), position);
            }
            let (positions, _) = open(&disk);
            let known = model.keys().filter_map(|&(topic, partition)| Some(((topic, partition), positions.get(topic, partition)?)));
            prop_assert_eq!(known.collect::<BTreeMap<_, _>>(), model);
        }

        #[test]
        fn damage_never_panics_and_never_makes_a_number(
            ends in prop::collection::vec((0..4u32, 0..1000i64), 1..30),
            blows in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20),
            len in any::<prop::sample::Index>(),
        ) {
            let disk = MemoryDisk::new();
            let (positions, _) = open(&disk);
            let mut written = BTreeSet::new();
            for (partition, end) in &ends {
                positions.write(positions.slot_for(topic(1), *partition), &at(*end)).unwrap();
                written.insert((*partition, *end));
            }
            let file = positions.file.clone();
            let bytes = file.len().unwrap();
            for (place, byte) in &blows {
                let place = place.index(usize::try_from(bytes).unwrap()) as u64;
                file.write_all_at(&[*byte], place).unwrap();
            }
            file.set_len(len.index(usize::try_from(bytes).unwrap()) as u64 + 1).unwrap();
            // A header may be struck so that it says another version: with its checksum, that is out of reach here.
            let (positions, _) = open(&disk);
            for ((_, partition), _) in positions.logs() {
                let found = positions.get(topic(1), partition).unwrap();
                prop_assert!(written.contains(&(partition, found.durable_end.0)));
                prop_assert_eq!(found, at(found.durable_end.0));
            }
        }
    }
}
