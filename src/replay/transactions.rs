//! What became of the transactions in a log, told by their markers.
//!
//! A batch belongs to the first marker of its producer that stands behind it; without one its transaction is open. So the
//! whole log is looked at once, up to its end, before any record is read. Kafka's transaction index, which may be missing
//! or wrong, is not needed for that.
//!
//! Where something is damaged, a marker may be lost with it:
//!
//! | then | the index decides | if it has no say |
//! |---|---|---|
//! | a batch before the damage seems to belong to a marker behind it | by an abort marker that lies in the damage, and by where the transaction of the one behind it began | it does belong to it |
//! | a batch before the damage has no marker at all | by an abort marker that lies in the damage | nobody knows: its records are left out, and that is said |
//!
//! Where a segment is gone with its index, the index has no say, and so nobody knows either what a batch before it belongs
//! to that seems to belong to a marker behind it.
//!
//! An entry of the index counts only where its own abort marker stands, or where that is damaged.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::record::{BatchHeader, ControlType};
use crate::replay::scan::{Scan, Scanned};
use crate::storage::AbortedTransaction;
use crate::types::Offset;

/// The transactions of one log.
#[derive(Debug, Default)]
pub(crate) struct Transactions {
    /// Each producer's markers, by offset.
    markers: BTreeMap<i64, Vec<Marker>>,
    /// Where the first one begins that is still open.
    last_stable: Option<Offset>,
    /// Transactions that nobody knows the end of, by producer, and what they hold.
    unknown: Vec<(i64, Open)>,
}

#[derive(Clone, Copy, Debug)]
struct Marker {
    offset: Offset,
    commits: bool,
    /// Where an aborted transaction begins, where that is needed to tell.
    begins: Offset,
}

/// What a producer has open: its first and last record.
#[derive(Clone, Copy, Debug)]
struct Open {
    first: Offset,
    last: Offset,
}

impl Transactions {
    /// Of what `scan` goes through. A file that cannot be opened or read is damage to this: markers may be in it.
    pub(crate) fn of(mut scan: Scan) -> Result<Self> {
        let index = scan.log().aborted_transactions();
        let mut transactions = Self::default();
        let (mut open, mut damages, mut cut) = (BTreeMap::<i64, Open>::new(), Vec::new(), Vec::new());
        loop {
            let first = scan.reached();
            let stored = match scan.next() {
                None => break,
                Some(Ok(Scanned::Batch(stored))) => stored,
                Some(Ok(Scanned::Damage(defect))) => {
                    damages.extend(defect.offsets);
                    if defect.offsets.is_some_and(|(first, last)| scan.log().lacks_index(first, last, defect.position))
                    {
                        cut.extend(open.iter().map(|(producer_id, open)| (*producer_id, *open)));
                    }
                    continue;
                }
                Some(Err(Error::Io { .. })) => {
                    // Behind the last segment nobody knows how far it went.
                    let next = Some(scan.reached()).filter(|next| *next > first);
                    damages.push((first, next.unwrap_or(Offset(i64::MAX))));
                    continue;
                }
                Some(Err(error)) => return Err(error),
            };
            let header = stored.batch.header();
            if header.producer_id < 0 || !header.is_transactional() {
                continue;
            }
            if !header.is_control() {
                let begun = Open { first: header.base_offset, last: header.last_offset() };
                open.entry(header.producer_id).or_insert(begun).last = header.last_offset();
                continue;
            }
            let key = stored.batch.records().ok().and_then(|mut records| records.next()?.ok()?.key());
            let commits = match key.and_then(ControlType::from_key) {
                Some(ControlType::Commit) => true,
                Some(ControlType::Abort) => false,
                _ => continue, // emptied by the cleaner, or of a kind that ends nothing
            };
            let ended = open.remove(&header.producer_id);
            let is_torn = |open: Open| damages.iter().any(|(_, last)| *last > open.first);
            let begins = match ended {
                Some(open) if !commits && is_torn(open) => begin_of(&index, header),
                _ => Offset::ZERO,
            };
            transactions.note(header.producer_id, Marker { offset: header.base_offset, commits, begins });
        }
        transactions.restore(&damages, &index);
        transactions.forget(cut, &damages);
        transactions.end(open, &damages);
        Ok(transactions)
    }

    fn note(&mut self, producer_id: i64, marker: Marker) {
        let markers = self.markers.entry(producer_id).or_default();
        markers.insert(markers.partition_point(|each| each.offset < marker.offset), marker);
    }

    /// Puts the abort markers in that are lost in damage and that the index knows.
    fn restore(&mut self, damages: &[(Offset, Offset)], index: &[AbortedTransaction]) {
        for aborted in index {
            let (offset, begins) = (aborted.last_offset, aborted.first_offset);
            if damages.iter().any(|(first, last)| (*first..=*last).contains(&offset)) {
                self.note(aborted.producer_id, Marker { offset, commits: false, begins });
            }
        }
    }

    /// What lies before segments that are gone with their indexes, and may not belong to the marker behind them.
    fn forget(&mut self, cut: Vec<(i64, Open)>, damages: &[(Offset, Offset)]) {
        for (producer_id, open) in cut {
            let markers = self.markers.get(&producer_id).map(Vec::as_slice).unwrap_or_default();
            let marker = markers.get(markers.partition_point(|marker| marker.offset < open.last));
            let is_restored =
                |marker: &Marker| damages.iter().any(|(first, last)| (*first..=*last).contains(&marker.offset));
            let is_its = |marker: &Marker| !marker.commits && open.first >= marker.begins;
            if marker.is_some_and(|marker| !is_its(marker) && !is_restored(marker)) {
                self.unknown.push((producer_id, open));
            }
        }
    }

    /// What has no marker.
    fn end(&mut self, open: BTreeMap<i64, Open>, damages: &[(Offset, Offset)]) {
        for (producer_id, open) in open {
            let last = self.markers.get(&producer_id).and_then(|markers| markers.last());
            if last.is_some_and(|marker| marker.offset > open.last) {
                continue;
            }
            if damages.iter().any(|(_, last)| *last > open.last) {
                self.unknown.push((producer_id, open));
            } else {
                self.last_stable = Some(self.last_stable.map_or(open.first, |least| least.min(open.first)));
            }
        }
    }

    /// Where the first open transaction begins; all of the log is stable without one.
    pub(crate) fn last_stable(&self) -> Option<Offset> {
        self.last_stable
    }

    /// The transactions that nobody knows the end of: producer, first and last offset.
    pub(crate) fn unknown(&self) -> impl Iterator<Item = (i64, Offset, Offset)> {
        self.unknown.iter().map(|(producer_id, open)| (*producer_id, open.first, open.last))
    }

    /// Whether a batch of records belongs to a transaction that was aborted.
    pub(crate) fn is_aborted(&self, header: &BatchHeader) -> bool {
        self.marker_of(header).is_some_and(|marker| !marker.commits && header.base_offset >= marker.begins)
    }

    /// Whether a batch of records belongs to a transaction that has no marker: it is open, or its end is lost.
    pub(crate) fn is_open(&self, header: &BatchHeader) -> bool {
        let is_unknown = |(producer_id, open): &(i64, Open)| {
            *producer_id == header.producer_id && (open.first..=open.last).contains(&header.base_offset)
        };
        header.is_transactional() && (self.marker_of(header).is_none() || self.unknown.iter().any(is_unknown))
    }

    fn marker_of(&self, header: &BatchHeader) -> Option<&Marker> {
        let markers = self.markers.get(&header.producer_id).filter(|_| header.is_transactional())?;
        markers.get(markers.partition_point(|marker| marker.offset < header.base_offset))
    }
}

/// Where the transaction begins that this abort marker ends, by the index; at the beginning if that does not know it.
fn begin_of(index: &[AbortedTransaction], marker: &BatchHeader) -> Offset {
    let mut entries = index.iter();
    let entry =
        entries.find(|aborted| aborted.producer_id == marker.producer_id && aborted.last_offset == marker.base_offset);
    entry.map_or(Offset::ZERO, |aborted| aborted.first_offset)
}
