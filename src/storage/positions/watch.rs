//! Looks slots up in a file that another process writes.
//!
//! A slot is two halves, each with its checksum, and the writer overwrites the one that does not count. So whoever reads
//! a slot in the middle of a write gets the numbers before it or those after it, and needs no lock for that.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::error::Result;
use crate::io::{Dir, File};
use crate::storage::positions::{
    POSITIONS, Position, PositionsDamage, PositionsFinding, SLOT_BYTES, SlotId, Table, check_header, decode_slot,
    slot_place,
};
use crate::sync::lock;
use crate::types::TopicId;

/// What the file says of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// Nothing was written of it yet: it may have been made a moment ago.
    Nothing,
    /// These are its numbers.
    Position(Position),
    /// Nothing can be read of it, and there is a slot that cannot be read: perhaps its own.
    Damaged(PositionsFinding),
}

/// Finds slots again: the file is searched once for each log.
#[derive(Debug)]
pub(crate) struct PositionsWatch {
    root: Arc<dyn Dir>,
    places: Mutex<BTreeMap<(TopicId, u32), u64>>,
}

impl PositionsWatch {
    pub(crate) fn new(root: Arc<dyn Dir>) -> Self {
        Self { root, places: Mutex::default() }
    }

    /// What is known of a log now. A read of 128 bytes, if its slot is where it was; else of the whole file.
    ///
    /// # Errors
    /// Those of [`Positions::inspect`](super::Positions::inspect).
    pub(crate) fn look(&self, log: (TopicId, u32)) -> Result<Known> {
        let file = self.root.open(POSITIONS)?; // each time: whoever lost the file makes another one
        let place = lock(&self.places).get(&log).copied();
        if let Some(place) = place
            && let Some(position) = slot_at(&*file, place, log)?
        {
            return Ok(Known::Position(position));
        }
        self.search(&*file, log)
    }

    fn search(&self, file: &dyn File, log: (TopicId, u32)) -> Result<Known> {
        check_header(file)?;
        let mut findings = Vec::new();
        let (table, _) = Table::load(file, &mut findings)?;
        *lock(&self.places) = table.by_log.iter().map(|(log, slot)| (*log, slot_place(SlotId(*slot)))).collect();
        if let Some(used) = table.by_log.get(&log).and_then(|slot| table.slots[*slot]) {
            return Ok(Known::Position(used.position));
        }
        let damaged = findings.into_iter().find(|finding| finding.damage == PositionsDamage::Slot);
        Ok(damaged.map_or(Known::Nothing, Known::Damaged))
    }
}

/// The numbers in the slot at `place`, if that is still the slot of `log`.
fn slot_at(file: &dyn File, place: u64, log: (TopicId, u32)) -> Result<Option<Position>> {
    let mut bytes = [0; SLOT_BYTES];
    file.read_at(&mut bytes, place)?; // one that is only half there ends in zeros
    let (used, _) = decode_slot(&bytes);
    Ok(used.filter(|used| used.log == log).map(|used| used.position))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::MemoryDisk;
    use crate::storage::positions::Positions;
    use crate::types::{LeaderEpoch, Offset};

    fn position(end: i64) -> Position {
        Position {
            leader_epoch: LeaderEpoch(1),
            durable_end: Offset(end),
            log_start: Offset(0),
            high_watermark: Offset(end),
            last_stable_offset: Offset(end),
        }
    }

    #[test]
    fn slot_is_found_again_until_another_log_has_it() {
        let root = MemoryDisk::new().disk().root();
        let (positions, _) = Positions::open(&root).unwrap();
        let watch = PositionsWatch::new(Arc::clone(&root));
        let (one, other) = ((TopicId([1; 16]), 0), (TopicId([2; 16]), 0));
        assert_eq!(watch.look(one).unwrap(), Known::Nothing);
        let slot = positions.slot_for(one.0, one.1);
        for end in 1..5 {
            positions.write(slot, &position(end)).unwrap();
            assert_eq!(watch.look(one).unwrap(), Known::Position(position(end)));
        }
        positions.free(&[slot]).unwrap();
        assert_eq!(watch.look(one).unwrap(), Known::Nothing);
        positions.write(positions.slot_for(other.0, other.1), &position(7)).unwrap();
        assert_eq!(watch.look(one).unwrap(), Known::Nothing, "the slot is another log's");
        assert_eq!(watch.look(other).unwrap(), Known::Position(position(7)));
    }

    #[test]
    fn slot_that_is_being_written_shows_the_numbers_before() {
        let root = MemoryDisk::new().disk().root();
        let (positions, _) = Positions::open(&root).unwrap();
        let (watch, log) = (PositionsWatch::new(Arc::clone(&root)), (TopicId([1; 16]), 3));
        let slot = positions.slot_for(log.0, log.1);
        positions.write(slot, &position(1)).unwrap();
        positions.write(slot, &position(2)).unwrap();
        let file = root.open_writable(POSITIONS).unwrap();
        file.write_all_at(&[7; 20], slot_place(slot)).unwrap(); // the third write, not all of it
        assert_eq!(watch.look(log).unwrap(), Known::Position(position(2)));
        file.write_all_at(&[7; 20], slot_place(slot) + 64).unwrap();
        assert!(matches!(watch.look(log).unwrap(), Known::Damaged(_)), "and with no half left it is damage");
    }
}
