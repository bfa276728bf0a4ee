//! What the threads of one directory share.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::error::{Error, Result};
use crate::io::{Dir, Disk};
use crate::replication::{Offline, Partition};
use crate::storage::{Journal, Positions};
use crate::sync::lock;

/// One directory: its disk, and what is written beside the logs.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) positions: Positions,
    /// Whether `positions` was written since upkeep synced it.
    pub(crate) positions_changed: AtomicBool,
    pub(crate) offline: Arc<Offline>,
    pub(crate) reserve: Reserve,
}

impl Lane {
    /// Writes what is known of `partition` into its slot. A failure is no harm: the slot holds lower bounds, and an
    /// older one is as good.
    pub(crate) fn write_position(&self, partition: &Partition) {
        if let Err(error) = self.positions.write(partition.slot(), &partition.position()) {
            log::warn!("{error}");
        }
        self.positions_changed.store(true, Ordering::Release);
    }

    /// Takes the directory offline if `error` is a failed sync, wherever it came up. Else a clean shutdown would vouch
    /// for what is in the page cache alone.
    pub(crate) fn note_failed_sync(&self, error: &Error) {
        if error.is_failed_sync() {
            self.offline.set(error.clone());
        }
    }
}

/// A file that holds a little room, to be given back when the disk is full: so that offsets can be committed, and the
/// engine closed.
#[derive(Debug)]
pub(crate) struct Reserve {
    root: Arc<dyn Dir>,
    is_held: AtomicBool,
}

impl Reserve {
    const NAME: &'static str = "reserve";
    const BYTES: usize = 1 << 20;

    /// Takes the room if it is to be had.
    pub(crate) fn take(root: &Arc<dyn Dir>) -> Self {
        let is_held = Self::fill(root.as_ref()).inspect_err(|error| log::warn!("no reserve: {error}")).is_ok();
        Self { root: Arc::clone(root), is_held: AtomicBool::new(is_held) }
    }

    fn fill(root: &dyn Dir) -> Result<()> {
        let bytes = Self::BYTES as u64;
        if root.list()?.iter().any(|entry| entry.name == Self::NAME && entry.len == bytes) {
            return Ok(());
        }
        // Written, not only lengthened: a hole takes no room.
        root.create(Self::NAME)?.write_all_at(&vec![0; Self::BYTES], 0)
    }

    /// Gives the room back; `false` if that was done before.
    pub(crate) fn release(&self) -> bool {
        self.is_held.swap(false, Ordering::AcqRel)
            && self.root.remove(Self::NAME).inspect_err(|error| log::warn!("{error}")).is_ok()
    }
}

/// A journal, and whose state it is.
pub(crate) struct JournalCell {
    pub(crate) journal: Mutex<Journal>,
    /// Frames that were written and are not answered yet.
    pub(crate) in_flight: AtomicUsize,
    snapshot: Box<dyn Fn() -> Vec<Vec<u8>> + Send + Sync>,
}

impl JournalCell {
    /// `snapshot` gives the payloads that lead to the state which the answered frames have made.
    pub(crate) fn new(journal: Journal, snapshot: impl Fn() -> Vec<Vec<u8>> + Send + Sync + 'static) -> Self {
        Self { journal: Mutex::new(journal), in_flight: AtomicUsize::new(0), snapshot: Box::new(snapshot) }
    }

    /// Writes the state into a new file if the old one has grown much larger than it needs to be, and no frame is
    /// under way that the state does not know yet.
    pub(crate) fn compact_if_grown(&self, journal_id: [u8; 16]) -> Result<()> {
        let mut journal = lock(&self.journal);
        if self.in_flight.load(Ordering::Acquire) > 0 || !journal.needs_compaction() {
            return Ok(());
        }
        journal.compact(journal_id, (self.snapshot)())
    }

    /// Writes the state into a new file, whose id is `journal_id`.
    pub(crate) fn compact(&self, journal_id: [u8; 16]) -> Result<()> {
        lock(&self.journal).compact(journal_id, (self.snapshot)())
    }
}

impl fmt::Debug for JournalCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JournalCell").field("journal", &self.journal).finish_non_exhaustive()
    }
}

/// Told once what became of something; told that the engine closed, if it is dropped before.
pub(crate) struct Answer(Option<Box<dyn FnOnce(Result<()>) + Send>>);

impl Answer {
    pub(crate) fn new(tell: impl FnOnce(Result<()>) + Send + 'static) -> Self {
        Self(Some(Box::new(tell)))
    }

    pub(crate) fn give(mut self, result: Result<()>) {
        if let Some(tell) = self.0.take() {
            tell(result);
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(tell) = self.0.take() {
            tell(Err(Error::Closed { what: "engine" }));
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer")
    }
}
