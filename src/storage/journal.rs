//! A journal: the one mechanism for our own state, such as the catalog and the offsets of a group.
//!
//! State is a snapshot and the changes since: frames, appended in the writer's rounds, and compacted into a new file
//! when they have become many. [`mod@format`] draws the bytes, [`scan`] says what a damaged file is worth.
//!
//! ```text
//!   append --> queued --> write_round --> the file --> a sync of the file, by the syncer --> mark_durable
//!                                                                                             |
//!   each frame says up to where the file was known to be synced when it was appended <--------+
//! ```
//!
//! That field is what tells rot from a torn write: a bad place below the durable end of a later frame was on the disk
//! once. The same is said of the snapshot by the header, and of a whole file by a clean shutdown.
//!
//! A compaction writes `name.tmp`, syncs it and the directory, renames `name` to `name.previous` and `name.tmp` to
//! `name`, and syncs the directory, while no frame is appended. A new generation has a new journal id, which every checksum covers, so
//! blocks of an older one never pass for frames of the new one.
//!
//! | a crash during                   | leaves                           | and the next opening                   |
//! |----------------------------------|----------------------------------|----------------------------------------|
//! | `create`, before the rename      | `name.tmp`                       | finds no journal                       |
//! | `create`, before the dir sync    | a whole `name`, or none          | opens it, or finds no journal          |
//! | `write_round`                    | a torn tail, or holes before it  | leaves it out                          |
//! | its cutting back after a failure | frames nobody was told about     | may find them: the outcome was unknown |
//! | `compact`, before the 1st rename | `name`, `name.tmp`               | opens `name`                           |
//! | `compact`, between the renames   | `name.previous`, `name.tmp`      | opens `name.previous`, which is all    |
//! | `compact`, before the dir sync   | `name`, old or new, or as above  | opens what is there: both say the same |
//! | `remove`, before its 1st sync    | `name`, others or not            | opens `name`                           |
//! | `remove`, before its 2nd sync    | `name` alone, or nothing         | opens it, or finds no journal          |
//!
//! A journal that was not closed cleanly, or in which anything was found, takes no frame until it has been compacted.
//! So what an opening leaves out is never cut from the file: it stays in `name.previous`. And what it kept is on the
//! disk before anybody acts on it, even where a failed sync had left it in the page cache alone.

mod format;
mod salvage;
mod scan;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::io::{Dir, File};
use crate::storage::journal::format::{APPENDED, Header, encode_frame};

pub(crate) use crate::storage::journal::salvage::{Salvage, SalvageState};
pub(crate) use crate::storage::journal::scan::{
    BehindHole, JournalDamage, JournalFinding, Passage, each as each_passage,
};

/// The generation before, under the journal's name and this.
pub(crate) const PREVIOUS: &str = ".previous";
/// A generation that is being written.
const BESIDE: &str = ".tmp";

/// Below this size nothing is gained by a compaction.
const SMALL_BYTES: u64 = 1024 * 1024;
/// How often the file outgrows its snapshot before it is compacted: what is written twice stays a third of the whole.
const GROWTH: u64 = 4;

/// The ids of a new journal, each of random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JournalIds {
    /// Of this generation of this copy.
    pub(crate) journal: [u8; 16],
    /// Of the state, through all generations and copies.
    pub(crate) history: [u8; 16],
}

/// An open journal.
#[derive(Debug)]
pub(crate) struct Journal {
    dir: Arc<dyn Dir>,
    name: String,
    file: Arc<dyn File>,
    header: Header,
    /// Where the next round goes. Nothing valid is behind it, unless `must_be_compacted`.
    end: u64,
    /// At most `end`: everything below it was synced.
    durable_end: u64,
    /// Frames for the next round, encoded.
    queued: Vec<u8>,
    queued_frames: u64,
    /// Of the last frame in the file.
    last_sequence: u64,
    must_be_compacted: bool,
    /// Whether `name` was missing, so that `file` is the generation before.
    is_previous: bool,
    /// Why nothing can be written any more.
    failed: Option<Error>,
}

/// A journal as it was found.
#[derive(Debug)]
pub(crate) struct JournalOpening {
    pub(crate) journal: Journal,
    /// The payloads of all valid frames, snapshot first, in the order in which they were appended.
    pub(crate) payloads: Vec<Vec<u8>>,
    pub(crate) findings: Vec<JournalFinding>,
}

impl Journal {
    /// Makes the journal `name`, with `payloads` as its snapshot; all of it is durable, the name too.
    ///
    /// # Errors
    /// [`Error::IllegalState`] if there is one already; the operating system's.
    pub(crate) fn create(dir: Arc<dyn Dir>, name: &str, ids: JournalIds, payloads: &[Vec<u8>]) -> Result<Self> {
        if Self::exists(&*dir, name)? {
            let path = dir.path().join(name);
            return Err(Error::illegal_state(format!("there is a journal {} already", path.display())));
        }
        let beside = beside(name);
        let header = write_generation(&*dir, &beside, ids, 0, payloads.iter().cloned())?;
        dir.rename(&beside, name)?;
        let opened = dir.sync().and_then(|()| dir.open_writable(name));
        if opened.is_err() {
            drop(dir.remove(name)); // best effort: trying again would find a journal that nobody has
        }
        Ok(Self::of(Arc::clone(&dir), name, opened?, header, 0))
    }

    /// Opens the journal `name` and reads all of it. Changes nothing on the disk.
    ///
    /// `was_clean` says that the directory was closed cleanly: then every bad place is rot. Otherwise `behind` says
    /// what becomes of frames behind a hole.
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`] for a file of a newer version or of somebody else, [`Error::CorruptFile`] if the
    /// header is unreadable, an [`Error::Io`] that [`is_not_found`](Error::is_not_found) if there is no such journal.
    pub(crate) fn open(dir: Arc<dyn Dir>, name: &str, was_clean: bool, behind: BehindHole) -> Result<JournalOpening> {
        let (file, is_previous) = either_generation(name, |name| dir.open_writable(name))?;
        let content = scan::read(&*file, was_clean, behind)?;
        let mut findings = content.findings;
        if let Some(finding) = previous_finding(&*dir, name, &*file, is_previous)? {
            findings.insert(0, finding);
        }
        let payloads = content.payloads;
        let mut journal = Self::of(dir, name, file, content.header, content.last_sequence);
        journal.end = content.len;
        journal.durable_end = if was_clean { content.len } else { journal.durable_end.min(content.len) };
        journal.must_be_compacted = !was_clean || !findings.is_empty();
        journal.is_previous = is_previous;
        Ok(JournalOpening { journal, payloads, findings })
    }

    /// Reads the journal `name` as [`open`](Self::open) does, without being able to write it.
    ///
    /// # Errors
    /// Those of `open`.
    pub(crate) fn inspect(
        dir: &dyn Dir,
        name: &str,
        was_clean: bool,
        behind: BehindHole,
    ) -> Result<(Vec<Vec<u8>>, Vec<JournalFinding>)> {
        let (file, is_previous) = either_generation(name, |name| dir.open(name))?;
        let content = scan::read(&*file, was_clean, behind)?;
        let mut findings = content.findings;
        findings.extend(previous_finding(dir, name, &*file, is_previous)?);
        Ok((content.payloads, findings))
    }

    /// Whether there is a journal `name`, in whatever state.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn exists(dir: &dyn Dir, name: &str) -> Result<bool> {
        match either_generation(name, |name| dir.open(name)) {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes the journals `names` with all of their generations, whether or not they are there. Nobody may write them
    /// any more. Two syncs, however many there are.
    ///
    /// Answers how many of them are gone, from the first on; for good, unless a sync has failed. The others are there as
    /// they were, but perhaps for the generation before.
    pub(crate) fn remove(dir: &dyn Dir, names: &[String]) -> (usize, Result<()>) {
        let old = names.iter().flat_map(|name| [previous(name), beside(name)]);
        // Without the sync a cut could keep the generation before and lose the name: the next opening would go on with
        // old state.
        let prepared = old.into_iter().try_for_each(|name| remove_if_there(dir, &name)).and_then(|()| dir.sync());
        if let Err(error) = prepared {
            return (0, Err(error));
        }
        let mut gone = 0;
        let removed = names.iter().try_for_each(|name| {
            remove_if_there(dir, name)?;
            gone += 1;
            Ok(())
        });
        (gone, dir.sync().and(removed))
    }

    fn of(dir: Arc<dyn Dir>, name: &str, file: Arc<dyn File>, header: Header, last_sequence: u64) -> Self {
        let end = header.snapshot_end;
        Self {
            dir,
            name: name.to_owned(),
            file,
            header,
            end,
            durable_end: end,
            queued: Vec::new(),
            queued_frames: 0,
            last_sequence,
            must_be_compacted: false,
            is_previous: false,
            failed: None,
        }
    }

    /// Queues a frame for the next round.
    ///
    /// # Errors
    /// [`Error::IllegalArgument`] if `payload` is empty or longer than 16 MiB, [`Error::IllegalState`] if the journal
    /// has to be compacted first, [`Error::Storage`] after a failure from which only an opening recovers.
    pub(crate) fn append(&mut self, payload: &[u8]) -> Result<()> {
        self.check_usable()?;
        if self.must_be_compacted {
            let path = self.file.path().display();
            return Err(Error::illegal_state(format!("{path} was not closed cleanly: it has to be compacted first")));
        }
        let sequence = APPENDED | (self.last_sequence + self.queued_frames + 1);
        encode_frame(&mut self.queued, &self.header.journal_id, sequence, self.durable_end, payload)?;
        self.queued_frames += 1;
        Ok(())
    }

    /// Whether frames wait for the next round.
    pub(crate) const fn has_queued(&self) -> bool {
        self.queued_frames > 0
    }

    /// Writes what is queued, with one write; says whether there was anything. It is not synced. When the disk is full
    /// and `make_room` could do something about that, the write is tried once more.
    ///
    /// # Errors
    /// The operating system's, [`Error::DiskFull`] among them: then nothing of the round is or will be in the file,
    /// and the next round may succeed. [`Error::Storage`] if not even that could be achieved: what of the round is in
    /// the file only an opening tells.
    pub(crate) fn write_round(&mut self, make_room: &mut dyn FnMut() -> bool) -> Result<bool> {
        self.check_usable()?;
        if self.queued.is_empty() {
            return Ok(false);
        }
        let mut written = self.write_queued();
        if matches!(written, Err(Error::DiskFull { .. })) && make_room() {
            written = self.write_queued();
        }
        let (bytes, frames) = (self.queued.len() as u64, self.queued_frames);
        self.queued.clear();
        self.queued_frames = 0;
        written?;
        self.end += bytes;
        self.last_sequence += frames;
        Ok(true)
    }

    /// Writes all that is queued, or nothing of it.
    fn write_queued(&mut self) -> Result<()> {
        let written = self.file.write_all_at(&self.queued, self.end);
        if written.is_err() {
            self.cut_back()?;
        }
        written
    }

    /// Takes away what a failed write may have left behind the last good end.
    fn cut_back(&mut self) -> Result<()> {
        // Whole frames may be there. Without the sync a cut of the power could keep them and lose the new length, and
        // a round that was reported as failed would be found by the next opening.
        let cut = self.file.set_len(self.end).and_then(|()| self.file.sync());
        cut.map_err(|error| self.fail(error))?;
        self.durable_end = self.end;
        Ok(())
    }

    /// The file, to be synced, with [`end`](Self::end) as the position to mark afterwards.
    pub(crate) fn file(&self) -> Arc<dyn File> {
        Arc::clone(&self.file)
    }

    /// Where the written frames end: a file position.
    pub(crate) const fn end(&self) -> u64 {
        self.end
    }

    /// Notes that a sync of `file`, begun when the journal ended at `position`, has returned.
    ///
    /// Nothing happens if the journal has been compacted since: then everything was synced.
    pub(crate) fn mark_durable(&mut self, file: &Arc<dyn File>, position: u64) {
        if Arc::ptr_eq(&self.file, file) {
            debug_assert!(position <= self.end);
            self.durable_end = self.durable_end.max(position.min(self.end));
        }
    }

    /// Whether [`append`](Self::append) is refused until [`compact`](Self::compact) has been called.
    pub(crate) const fn must_be_compacted(&self) -> bool {
        self.must_be_compacted
    }

    /// Whether the file has outgrown its snapshot.
    pub(crate) const fn needs_compaction(&self) -> bool {
        self.end > SMALL_BYTES && self.end > GROWTH.saturating_mul(self.header.snapshot_end)
    }

    /// Replaces the file by a new generation whose snapshot is `payloads`, durable when this returns.
    ///
    /// `journal_id` are new random bytes. The payloads stand for everything up to [`last_sequence`]; nothing may be
    /// queued. Blocks for three syncs.
    ///
    /// [`last_sequence`]: Self::last_sequence
    ///
    /// # Errors
    /// The operating system's. If writing the new file failed, for want of room say, the journal is as it was; after
    /// anything else it takes no frame any more, and the next opening finds one generation or the other, whole.
    /// [`Error::IllegalState`] if frames are queued.
    pub(crate) fn compact(&mut self, journal_id: [u8; 16], payloads: impl IntoIterator<Item = Vec<u8>>) -> Result<()> {
        self.check_usable()?;
        if !self.queued.is_empty() {
            return Err(Error::illegal_state("frames are queued: a round has to be written before a compaction"));
        }
        let ids = JournalIds { journal: journal_id, history: self.header.history_id };
        let header = write_generation(&*self.dir, &beside(&self.name), ids, self.last_sequence, payloads)?;
        let file = self.swap().map_err(|error| self.fail(error))?;
        self.end = header.snapshot_end;
        self.durable_end = header.snapshot_end;
        self.file = file;
        self.header = header;
        self.must_be_compacted = false;
        self.is_previous = false;
        Ok(())
    }

    /// Puts the new generation in the place of the old one, which becomes the one before.
    fn swap(&self) -> Result<Arc<dyn File>> {
        // Or a cut could keep the first renaming and lose the name of the new file: what is left then looks like a
        // journal that somebody removed.
        self.dir.sync()?;
        if !self.is_previous {
            self.dir.rename(&self.name, &previous(&self.name))?;
        }
        self.dir.rename(&beside(&self.name), &self.name)?;
        self.dir.sync()?; // or a cut brings back the old generation, without what is appended from now on
        self.dir.open_writable(&self.name)
    }

    /// Nothing, or the error that every write gets.
    pub(crate) fn check_usable(&self) -> Result<()> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    fn fail(&mut self, cause: Error) -> Error {
        let error = Error::Storage { directory: self.dir.path().to_owned(), cause: Arc::new(cause) };
        self.failed = Some(error.clone());
        error
    }
}

/// Writes a whole generation to the file `name`, and syncs it; a file that could not be finished is removed.
fn write_generation(
    dir: &dyn Dir,
    name: &str,
    ids: JournalIds,
    base_sequence: u64,
    payloads: impl IntoIterator<Item = Vec<u8>>,
) -> Result<Header> {
    let mut header =
        Header { journal_id: ids.journal, history_id: ids.history, base_sequence, snapshot_end: format::HEADER_BYTES };
    let mut bytes = header.encode();
    for (sequence, payload) in (1..).zip(payloads) {
        encode_frame(&mut bytes, &header.journal_id, sequence, 0, &payload)?;
    }
    header.snapshot_end = bytes.len() as u64;
    let head = header.encode();
    bytes[..head.len()].copy_from_slice(&head);
    let file = dir.create(name)?;
    let written = file.write_all_at(&bytes, 0).and_then(|()| file.sync());
    if let Err(error) = written {
        drop(dir.remove(name)); // best effort: the room may be needed, and the next attempt overwrites it anyway
        return Err(error);
    }
    Ok(header)
}

/// Opens `name`; where it is missing, the generation before, and says so.
fn either_generation(name: &str, open: impl Fn(&str) -> Result<Arc<dyn File>>) -> Result<(Arc<dyn File>, bool)> {
    match open(name) {
        Ok(file) => Ok((file, false)),
        Err(missing) if missing.is_not_found() => match open(&previous(name)) {
            Ok(file) => Ok((file, true)),
            Err(error) if error.is_not_found() => Err(missing),
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    }
}

/// What is to be said of a journal whose generation before was opened.
fn previous_finding(dir: &dyn Dir, name: &str, file: &dyn File, is_previous: bool) -> Result<Option<JournalFinding>> {
    if !is_previous {
        return Ok(None);
    }
    // The crash that leaves the generation before alone leaves the new one, which says the same, beside it.
    let is_half_renamed = is_there(dir, &beside(name))?;
    let damage = if is_half_renamed { JournalDamage::HalfRenamed } else { JournalDamage::Outdated };
    Ok(Some(JournalFinding { path: file.path().to_owned(), position: 0, bytes: 0, damage }))
}

fn is_there(dir: &dyn Dir, name: &str) -> Result<bool> {
    match dir.open(name) {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

fn remove_if_there(dir: &dyn Dir, name: &str) -> Result<()> {
    match dir.remove(name) {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

fn previous(name: &str) -> String {
    format!("{name}{PREVIOUS}")
}

fn beside(name: &str) -> String {
    format!("{name}{BESIDE}")
}
