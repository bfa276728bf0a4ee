//! What a damaged journal and the generation before it say together, and the journal that is made of that.
//!
//! A compaction writes the state that the old generation led to into the new one, and keeps the old one. So where a
//! frame of the new one's snapshot is lost, the old one still leads to what it said; what was appended since stands
//! behind the snapshot, and is applied on top. That holds only for the generation right before: the new one's base
//! sequence is where the old one ends, and the history is the same.

use crate::error::{Error, Result};
use crate::io::{Dir, Kind};
use crate::storage::journal::format::{HEADER_BYTES, Header};
use crate::storage::journal::scan::{self, Content};
use crate::storage::journal::{
    BehindHole, Journal, JournalFinding, JournalIds, beside, is_there, previous, write_generation,
};

/// A journal that may be damaged, and the generation before it.
#[derive(Debug)]
pub(crate) struct Salvage {
    pub(crate) state: SalvageState,
    /// Of all frames of the journal that hold.
    pub(crate) payloads: Vec<Vec<u8>>,
    /// Of the generation before, if it is the one that the journal was made from, or the journal does not say.
    pub(crate) before: Vec<Vec<u8>>,
    /// Of the generation before, whatever the journal says: for one that is somebody else's.
    pub(crate) whatever_before: Vec<Vec<u8>>,
    history: Option<[u8; 16]>,
    last_sequence: u64,
}

/// How a journal was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SalvageState {
    /// There is none, nor a generation before.
    Nothing,
    /// There is only the generation before, and a crash has left it so: it says all.
    HalfRenamed,
    /// There is only the generation before.
    Gone,
    /// Nothing in it can be read, for that reason.
    Unreadable(String),
    Read(Vec<JournalFinding>),
}

impl Journal {
    /// Reads what there is of the journal `name`.
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`] for one of a newer version; the operating system's.
    pub(crate) fn salvage(dir: &dyn Dir, name: &str, was_clean: bool, behind: BehindHole) -> Result<Salvage> {
        let now = read(dir, name, was_clean, behind)?;
        let before = match read(dir, &previous(name), false, behind) {
            Ok(Found::Read(content)) => Some(content),
            // Only history: whatever it is, it is no help.
            Ok(_) | Err(Error::UnsupportedVersion { .. } | Error::Io { .. }) => None,
            Err(error) => return Err(error),
        };
        let is_half_renamed = || is_there(dir, &beside(name));
        let state = match &now {
            Found::Missing if before.is_none() => SalvageState::Nothing,
            Found::Missing if is_half_renamed()? => SalvageState::HalfRenamed,
            Found::Missing => SalvageState::Gone,
            Found::Unreadable(reason) => SalvageState::Unreadable(reason.clone()),
            Found::Read(content) => SalvageState::Read(content.findings.clone()),
        };
        let now = if let Found::Read(content) = now { Some(content) } else { None };
        let is_before = |before: &Content| {
            now.as_ref().is_none_or(|now| {
                now.header.history_id == before.header.history_id && now.header.base_sequence == before.last_sequence
            })
        };
        let whatever_before = before.as_ref().map_or_else(Vec::new, |content| content.payloads.clone());
        let before = before.filter(is_before);
        let last = |content: &Option<Content>| content.as_ref().map_or(0, |content| content.last_sequence);
        let either = now.as_ref().or(before.as_ref());
        Ok(Salvage {
            state,
            whatever_before,
            history: either.map(|content| content.header.history_id),
            last_sequence: last(&now).max(last(&before)),
            payloads: now.map_or_else(Vec::new, |content| content.payloads),
            before: before.map_or_else(Vec::new, |content| content.payloads),
        })
    }
}

impl Salvage {
    /// Whether something of the journal is lost that was on the disk once.
    pub(crate) fn has_lost(&self) -> bool {
        match &self.state {
            SalvageState::Nothing | SalvageState::HalfRenamed => false,
            SalvageState::Gone | SalvageState::Unreadable(_) => true,
            SalvageState::Read(findings) => findings.iter().any(JournalFinding::is_rot),
        }
    }

    /// Puts a new generation in the place of the journal, with `payloads` as its snapshot, durable when this returns.
    /// `random` gives new random bytes. After a crash the journal is as it was, or the new one.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn replace(
        &self,
        dir: &dyn Dir,
        name: &str,
        random: &dyn Fn() -> [u8; 16],
        payloads: Vec<Vec<u8>>,
    ) -> Result<()> {
        let ids = JournalIds { journal: random(), history: self.history.unwrap_or_else(random) };
        write_generation(dir, &beside(name), ids, self.last_sequence, payloads)?;
        // The generation before stays: until the rename is durable it may be all there is.
        dir.rename(&beside(name), name)?;
        dir.sync()
    }
}

enum Found {
    Missing,
    Unreadable(String),
    Read(Content),
}

fn read(dir: &dyn Dir, name: &str, was_clean: bool, behind: BehindHole) -> Result<Found> {
    if dir.kind(name)? != Some(Kind::File) {
        return Ok(Found::Missing);
    }
    let file = dir.open(name)?;
    let head = file.slice(0, usize::try_from(HEADER_BYTES).expect("a small constant"))?;
    if !Header::is_any(&head) {
        return Ok(Found::Unreadable("it is no journal".to_owned()));
    }
    match scan::read(file.as_ref(), was_clean, behind) {
        Ok(content) => Ok(Found::Read(content)),
        Err(Error::CorruptFile { reason, .. }) => Ok(Found::Unreadable(reason.to_string())),
        Err(error) => Err(error),
    }
}
