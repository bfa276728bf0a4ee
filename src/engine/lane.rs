//! What the threads of one directory share.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::error::{Error, Result};
use crate::io::{Dir, Disk, Entry};
use crate::replication::{Offline, Partition};
use crate::storage::{Journal, Positions, RESERVE, RESERVE_BYTES};
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

    /// Does `work`, which can be done again and takes no lock, and once more with the reserve given back if the disk is
    /// full.
    pub(crate) fn with_reserve<T>(&self, work: impl Fn() -> Result<T>) -> Result<T> {
        match work() {
            Err(error) if error.is_lack_of_room() => self.reserve.without(work),
            done => done,
        }
    }

    /// Takes the directory offline if `error` is a failed sync, wherever it came up. Else a clean shutdown would vouch
    /// for what is in the page cache alone.
    pub(crate) fn note_failed_sync(&self, error: &Error) {
        if error.is_failed_sync() {
            self.offline.set(error.clone());
        }
    }
}

/// A file that holds a little room for a full disk: it is given back so that offsets can be committed, topics deleted
/// and the engine closed.
///
/// Records are not written while it is given back: they would take the room at once. With each round the writer tries
/// to have it again, and when that succeeds there is room for records too.
#[derive(Debug)]
pub(crate) struct Reserve {
    root: Arc<dyn Dir>,
    is_held: Mutex<bool>,
}

impl Reserve {
    /// The reserve of a directory, held or not.
    pub(crate) fn of(root: &Arc<dyn Dir>) -> Result<Self> {
        let is_whole = |entry: &Entry| entry.name == RESERVE && entry.len == RESERVE_BYTES as u64;
        Ok(Self { root: Arc::clone(root), is_held: Mutex::new(root.list()?.iter().any(is_whole)) })
    }

    /// Takes the room, unless it is held.
    ///
    /// # Errors
    /// [`Error::DiskFull`] if there is none. What else may stand in the way is logged: a reserve is a convenience.
    pub(crate) fn take(&self) -> Result<()> {
        let mut is_held = lock(&self.is_held);
        if *is_held {
            return Ok(());
        }
        match self.fill() {
            Err(error) => {
                drop(self.root.remove(RESERVE)); // a part of it would hold room that nobody gives back
                if matches!(error, Error::DiskFull { .. }) {
                    return Err(error);
                }
                log::warn!("no reserve: {error}");
            }
            Ok(()) => *is_held = true,
        }
        Ok(())
    }

    fn fill(&self) -> Result<()> {
        // Written, not only lengthened: a hole takes no room.
        self.root.create(RESERVE)?.write_all_at(&vec![0; RESERVE_BYTES], 0)
    }

    /// Gives the room back; `false` if that was done before.
    pub(crate) fn release(&self) -> bool {
        self.release_locked(&mut lock(&self.is_held))
    }

    fn release_locked(&self, is_held: &mut bool) -> bool {
        std::mem::take(is_held) && self.root.remove(RESERVE).inspect_err(|error| log::warn!("{error}")).is_ok()
    }

    /// Does `work` with the room given back; nobody takes it, or tries to, before that is done.
    fn without<T>(&self, work: impl FnOnce() -> T) -> T {
        let mut is_held = lock(&self.is_held);
        self.release_locked(&mut is_held);
        work()
    }
}

/// A journal, and whose state it is.
pub(crate) struct JournalCell {
    pub(crate) journal: Mutex<Journal>,
    /// Frames that were given to the writer and are not answered yet: counted for groups, whose journals may go.
    pub(crate) under_way: AtomicUsize,
    /// Frames that were written and are not answered yet.
    pub(crate) in_flight: AtomicUsize,
    snapshot: Box<dyn Fn() -> Vec<Vec<u8>> + Send + Sync>,
}

impl JournalCell {
    /// `snapshot` gives the payloads that lead to the state which the answered frames have made.
    pub(crate) fn new(journal: Journal, snapshot: impl Fn() -> Vec<Vec<u8>> + Send + Sync + 'static) -> Self {
        let [under_way, in_flight] = [AtomicUsize::new(0), AtomicUsize::new(0)];
        Self { journal: Mutex::new(journal), under_way, in_flight, snapshot: Box::new(snapshot) }
    }

    /// Writes the state into a new file if the old one has grown much larger than it needs to be, and no frame is
    /// under way that the state does not know yet.
    pub(crate) fn compact_if_grown(&self, journal_id: [u8; 16]) -> Result<()> {
        let mut journal = lock(&self.journal);
        if self.in_flight.load(Ordering::Acquire) > 0 || journal.has_queued() || !journal.needs_compaction() {
            return Ok(());
        }
        journal.compact(journal_id, (self.snapshot)())
    }

    /// Nothing, or why nothing can be written to it any more.
    pub(crate) fn check_usable(&self) -> Result<()> {
        lock(&self.journal).check_usable()
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

/// Why a command was not carried out.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Nothing of it is or will be on the disk.
    Refused(Error),
    /// It was written, and what then failed leaves open whether it is on the disk.
    Unknown(Error),
}

impl Failure {
    /// What failed, for whom the difference is no help.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Refused(error) | Self::Unknown(error) => error,
        }
    }
}

type Tell = Box<dyn FnOnce(Result<(), Failure>) + Send>;

/// Told once what became of something; told that the engine closed, if it is dropped before.
pub(crate) struct Answer {
    tell: Option<Tell>,
    is_written: bool,
}

impl Answer {
    pub(crate) fn new(tell: impl FnOnce(Result<(), Failure>) + Send + 'static) -> Self {
        Self { tell: Some(Box::new(tell)), is_written: false }
    }

    /// Bytes of it may be in a file from now on: a later error leaves the outcome open.
    pub(crate) fn mark_written(&mut self) {
        self.is_written = true;
    }

    pub(crate) fn give(mut self, result: Result<()>) {
        self.tell(result);
    }

    fn tell(&mut self, result: Result<()>) {
        if let Some(tell) = self.tell.take() {
            tell(result.map_err(if self.is_written { Failure::Unknown } else { Failure::Refused }));
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.tell(Err(Error::Closed { what: "engine" }));
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer")
    }
}
