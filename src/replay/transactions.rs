//! What became of the transactions in a log, told by their markers.
//!
//! A reader that goes by Kafka's transaction index needs it to be there and to be right. The markers are in the log
//! itself: a batch belongs to the first marker of its producer that stands behind it, and without one its transaction is
//! open. So the whole log is looked at once, up to its end, before any record is read: with checksums, since a length that is
//! damaged would lead past markers behind it.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::record::{BatchHeader, ControlType};
use crate::replay::scan::{Scan, Scanned};
use crate::types::Offset;

/// The transactions of one log.
#[derive(Debug)]
pub(crate) struct Transactions {
    /// The offsets of each producer's markers, and whether they commit.
    markers: BTreeMap<i64, Vec<(Offset, bool)>>,
    /// Where the first one begins that is still open.
    last_stable: Option<Offset>,
}

impl Transactions {
    /// Of what `scan` goes through.
    pub(crate) fn of(scan: Scan) -> Result<Self> {
        let mut markers: BTreeMap<i64, Vec<(Offset, bool)>> = BTreeMap::new();
        let mut open: BTreeMap<i64, Offset> = BTreeMap::new();
        for found in scan {
            let Scanned::Batch(stored) = found? else { continue };
            let header = stored.batch.header();
            if header.producer_id < 0 || !header.is_transactional() {
                continue;
            }
            if !header.is_control() {
                open.entry(header.producer_id).or_insert(header.base_offset);
                continue;
            }
            let key = stored.batch.records().ok().and_then(|mut records| records.next()?.ok()?.key());
            let commits = match key.and_then(ControlType::from_key) {
                Some(ControlType::Commit) => true,
                Some(ControlType::Abort) => false,
                _ => continue, // emptied by the cleaner, or of a kind that ends nothing
            };
            open.remove(&header.producer_id);
            markers.entry(header.producer_id).or_default().push((header.base_offset, commits));
        }
        Ok(Self { markers, last_stable: open.into_values().min() })
    }

    /// Where the first open transaction begins; all of the log is stable without one.
    pub(super) fn last_stable(&self) -> Option<Offset> {
        self.last_stable
    }

    /// Whether a batch of records belongs to a transaction that was aborted.
    pub(crate) fn is_aborted(&self, header: &BatchHeader) -> bool {
        if !header.is_transactional() {
            return false;
        }
        let Some(markers) = self.markers.get(&header.producer_id) else { return false };
        let behind = markers.partition_point(|(offset, _)| *offset < header.base_offset);
        markers.get(behind).is_some_and(|(_, commits)| !commits)
    }

    /// Whether a batch of records belongs to a transaction that has no marker.
    pub(crate) fn is_open(&self, header: &BatchHeader) -> bool {
        let last = || self.markers.get(&header.producer_id).and_then(|markers| markers.last());
        header.is_transactional() && last().is_none_or(|(offset, _)| *offset < header.base_offset)
    }
}
