//! Reads a journal, damaged ones too: what can be trusted, and what is wrong with the rest.
//!
//! A place where no valid frame begins is a bad one. The next valid frame is looked for where the length points, then
//! byte by byte: the checksum covers the journal's random id, so nothing else looks like a frame of this file. What a
//! bad place means follows from what is known about it:
//!
//! | the bad place | is | because |
//! |---|---|---|
//! | lies below a durable end, or the journal was closed cleanly | rot | it was on the disk once |
//! | else, and a valid frame follows | a hole | a power cut took an earlier sector than it left |
//! | else | a torn tail | it was being written |
//!
//! A hole can also be rot in frames whose sync returned and behind which nothing was written any more: the file alone
//! does not tell. [`BehindHole`] says which mistake the caller prefers.

use std::fmt;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::io::File;
use crate::storage::journal::format::{APPENDED, FRAME_OVERHEAD, FrameHead, HEADER_BYTES, Header};

/// What to do with valid frames behind a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BehindHole {
    /// They count. For state whose frames stand each on its own, such as committed offsets.
    Keep,
    /// The journal ends at the hole. For state whose frames build on earlier ones.
    Drop,
}

/// Something wrong with a journal, for the report of an opening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JournalFinding {
    pub(crate) path: PathBuf,
    pub(crate) position: u64,
    pub(crate) bytes: u64,
    pub(crate) damage: JournalDamage,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JournalDamage {
    /// A compaction ended between its two renames: the file before was opened, which has all there is.
    HalfRenamed,
    /// The file itself is gone, and not by a compaction: the generation before was opened, which lacks what came since.
    Outdated,
    /// One copy of the header is damaged; the other one served.
    Header,
    /// Frames that were on the disk are unreadable.
    BadFrame,
    /// Frames are missing, and no bytes are left of them.
    MissingFrames,
    /// Frames that were not known to be on the disk are unreadable, in front of `behind` readable ones.
    Hole { behind: usize, kept: bool },
    /// The last bytes are no frame: a write that a crash interrupted.
    TornTail,
}

impl JournalFinding {
    /// Whether something is lost that was on the disk.
    pub(crate) const fn is_rot(&self) -> bool {
        matches!(self.damage, JournalDamage::BadFrame | JournalDamage::MissingFrames | JournalDamage::Outdated)
    }
}

impl fmt::Display for JournalFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, position, bytes, damage } = self;
        let path = path.display();
        match damage {
            JournalDamage::HalfRenamed => {
                write!(f, "{path}: opened in place of a file whose renaming a crash cut short")
            }
            JournalDamage::Outdated => {
                write!(f, "{path}: opened in place of a file that is gone, and lacks what that had")
            }
            JournalDamage::Header => write!(f, "{path}: one copy of the header is damaged, the other one served"),
            JournalDamage::BadFrame => {
                write!(f, "{path}: {bytes} bytes at position {position} are damaged, and left out")
            }
            JournalDamage::MissingFrames => write!(f, "{path}: frames are missing at position {position}"),
            JournalDamage::Hole { behind, kept } => {
                let verb = if *kept { "kept" } else { "dropped" };
                write!(
                    f,
                    "{path}: {bytes} bytes at position {position} were never completed, and are left out; \
                     frames behind them: {behind}, {verb}"
                )
            }
            JournalDamage::TornTail => {
                write!(f, "{path}: the last {bytes} bytes, from position {position}, were never completed: cut off")
            }
        }
    }
}

/// What a journal says.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) header: Header,
    pub(super) payloads: Vec<Vec<u8>>,
    pub(super) findings: Vec<JournalFinding>,
    /// The number of the last frame, without [`APPENDED`].
    pub(super) last_sequence: u64,
    pub(super) len: u64,
}

/// Reads all of `file`.
///
/// # Errors
/// Those of [`Header::decode`], and the operating system's.
pub(super) fn read(file: &dyn File, was_clean: bool, behind: BehindHole) -> Result<Content> {
    let len = file.len()?;
    let head = file.slice(0, usize::try_from(HEADER_BYTES).expect("a small constant"))?;
    let (header, is_whole) = Header::decode(file.path(), &head)?;
    let mut scan = Scan { file, len, header: &header, window: Bytes::new(), window_at: 0 };
    let mut found = Found::new(header.clone());
    scan.frames(&mut found)?;
    if !is_whole {
        found.flaws.insert(0, Flaw { from: 0, to: HEADER_BYTES, frames_before: 0, sequence_before: 0, is_bad: true });
    }
    Ok(found.judge(file.path(), len, was_clean, behind))
}

/// What stands in a journal, in the order of the file.
#[derive(Debug)]
pub(crate) enum Passage {
    /// The header; `is_whole` if both copies of it are.
    Header { journal_id: [u8; 16], history_id: [u8; 16], base_sequence: u64, snapshot_end: u64, is_whole: bool },
    /// A frame that holds; `sequence` without the bit that tells it from those of the snapshot.
    Frame { position: u64, sequence: u64, is_appended: bool, durable_end: u64, payload: Vec<u8> },
    /// Frames are missing in front of the one at `position`, and nothing is left of them.
    Missing { position: u64 },
    /// Bytes that are no frame of this journal.
    Bad { position: u64, bytes: u64 },
}

/// Shows all that stands in `file`, whatever it is worth.
///
/// # Errors
/// Those of [`Header::decode`], those of `see`, and the operating system's.
pub(crate) fn each<E: From<Error>>(
    file: &dyn File,
    mut see: impl FnMut(Passage) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let head = file.slice(0, usize::try_from(HEADER_BYTES).expect("a small constant"))?;
    let (header, is_whole) = Header::decode(file.path(), &head)?;
    let Header { journal_id, history_id, base_sequence, snapshot_end } = header;
    see(Passage::Header { journal_id, history_id, base_sequence, snapshot_end, is_whole })?;
    let mut scan = Scan { file, len: file.len()?, header: &header, window: Bytes::new(), window_at: 0 };
    let mut found = Found::new(header.clone());
    let mut position = HEADER_BYTES;
    while position < scan.len {
        let Some(frame) = scan.frame_at(position, found.sequence)? else {
            let next = scan.next_frame(position, found.sequence)?;
            see(Passage::Bad { position, bytes: next - position })?;
            position = next;
            continue;
        };
        let (sequence, durable_end) = (frame.head.sequence, frame.head.durable_end);
        if position == found.end && !found.follows(position, sequence) {
            see(Passage::Missing { position })?;
        }
        (found.sequence, found.end) = (sequence, frame.end);
        let is_appended = sequence & APPENDED != 0;
        let (sequence, payload) = (sequence & !APPENDED, frame.payload);
        see(Passage::Frame { position, sequence, is_appended, durable_end, payload })?;
        position = frame.end;
    }
    Ok(())
}

/// A frame that holds.
struct Frame {
    head: FrameHead,
    payload: Vec<u8>,
    end: u64,
}

/// A walk over a file through a window, so that memory follows the frames and not the length of the file.
struct Scan<'a> {
    file: &'a dyn File,
    len: u64,
    header: &'a Header,
    window: Bytes,
    window_at: u64,
}

const WINDOW_BYTES: usize = 256 * 1024;

/// No journal writes so many frames in its life; a sequence that is further away is none.
const FAR_AWAY: u64 = 1 << 40;

impl Scan<'_> {
    fn frames(&mut self, found: &mut Found) -> Result<()> {
        let mut position = HEADER_BYTES;
        while position < self.len {
            if let Some(frame) = self.frame_at(position, found.sequence)? {
                position = frame.end;
                found.take(frame);
            } else {
                let next = self.next_frame(position, found.sequence)?;
                found.skip(position, next);
                position = next;
            }
        }
        Ok(())
    }

    /// The frame at `position`, if one is there that was written after the one numbered `last`.
    fn frame_at(&mut self, position: u64, last: u64) -> Result<Option<Frame>> {
        let Some(bytes) = self.bytes(position, FRAME_OVERHEAD)? else { return Ok(None) };
        let Some(head) = bytes.first_chunk().and_then(FrameHead::decode) else { return Ok(None) };
        if !self.may_follow(last, head.sequence) {
            return Ok(None); // a copy of an earlier frame, or none at all
        }
        let Some(bytes) = self.bytes(position, FRAME_OVERHEAD + head.len)? else { return Ok(None) };
        let payload = &bytes[FRAME_OVERHEAD..];
        if !head.fits(&self.header.journal_id, payload) {
            return Ok(None);
        }
        Ok(Some(Frame { head, payload: payload.to_vec(), end: position + bytes.len() as u64 }))
    }

    fn may_follow(&self, last: u64, sequence: u64) -> bool {
        let floor = if sequence & APPENDED == 0 { last } else { last.max(APPENDED | self.header.base_sequence) };
        sequence > floor && sequence - floor < FAR_AWAY
    }

    /// Where the next valid frame behind the bad place `from` begins; the end of the file if there is none.
    fn next_frame(&mut self, from: u64, last: u64) -> Result<u64> {
        let head = self.bytes(from, FRAME_OVERHEAD)?.and_then(|bytes| bytes.first_chunk().and_then(FrameHead::decode));
        if let Some(head) = head {
            let next = from + (FRAME_OVERHEAD + head.len) as u64;
            if self.frame_at(next, last)?.is_some() {
                return Ok(next);
            }
        }
        let mut position = from + 1;
        while position < self.len {
            if self.frame_at(position, last)?.is_some() {
                return Ok(position);
            }
            position += 1 + self.zeros_at(position + 1)?;
        }
        Ok(self.len)
    }

    /// How many bytes from `position` on cannot be the begin of a frame, since that and what follows is zero.
    ///
    /// Only the first three bytes of a length can be.
    fn zeros_at(&mut self, position: u64) -> Result<u64> {
        let Some(bytes) = self.bytes(position, FRAME_OVERHEAD)? else { return Ok(0) };
        if bytes.iter().any(|byte| *byte != 0) {
            return Ok(0);
        }
        let ahead = usize::try_from(position - self.window_at).map_or(&[][..], |from| &self.window[from..]);
        let zeros = ahead.iter().position(|byte| *byte != 0).unwrap_or(ahead.len());
        Ok(zeros.saturating_sub(3) as u64)
    }

    /// `len` bytes at `position`; `None` where the file ends before them.
    fn bytes(&mut self, position: u64, len: usize) -> Result<Option<Bytes>> {
        if self.len.saturating_sub(position) < len as u64 {
            return Ok(None);
        }
        if let Some(bytes) = self.in_window(position, len) {
            return Ok(Some(bytes));
        }
        self.window = self.file.slice(position, len.max(WINDOW_BYTES))?;
        self.window_at = position;
        Ok(self.in_window(position, len))
    }

    fn in_window(&self, position: u64, len: usize) -> Option<Bytes> {
        let from = usize::try_from(position.checked_sub(self.window_at)?).ok()?;
        let to = from.checked_add(len)?;
        (to <= self.window.len()).then(|| self.window.slice(from..to))
    }
}

/// A stretch of a file that is not as it should be. Without bytes of its own: a place where frames are missing.
struct Flaw {
    from: u64,
    to: u64,
    frames_before: usize,
    sequence_before: u64,
    is_bad: bool,
}

/// What a walk has come across.
struct Found {
    header: Header,
    payloads: Vec<Vec<u8>>,
    flaws: Vec<Flaw>,
    /// Of the last valid frame, as it is stored; 0 before the first one.
    sequence: u64,
    end: u64,
    durable_end: u64,
}

impl Found {
    fn new(header: Header) -> Self {
        let durable_end = header.snapshot_end;
        Self { header, payloads: Vec::new(), flaws: Vec::new(), sequence: 0, end: HEADER_BYTES, durable_end }
    }

    fn take(&mut self, frame: Frame) {
        let position = frame.end - (FRAME_OVERHEAD + frame.head.len) as u64;
        if position == self.end && !self.follows(position, frame.head.sequence) {
            self.flaw(position, position, false);
        }
        self.durable_end = self.durable_end.max(frame.head.durable_end);
        self.sequence = frame.head.sequence;
        self.end = frame.end;
        self.payloads.push(frame.payload);
    }

    /// Whether no frame is missing in front of the one that `position` holds.
    fn follows(&self, position: u64, sequence: u64) -> bool {
        let begins_to_append = self.sequence & APPENDED == 0 && sequence & APPENDED != 0;
        if begins_to_append {
            position == self.header.snapshot_end && sequence == (APPENDED | self.header.base_sequence) + 1
        } else {
            sequence == self.sequence + 1
        }
    }

    fn skip(&mut self, from: u64, to: u64) {
        self.flaw(from, to, true);
    }

    fn flaw(&mut self, from: u64, to: u64, is_bad: bool) {
        let (frames_before, sequence_before) = (self.payloads.len(), self.sequence);
        self.flaws.push(Flaw { from, to, frames_before, sequence_before, is_bad });
    }

    /// Says what each flaw is, now that the largest durable end is known.
    fn judge(mut self, path: &Path, len: u64, was_clean: bool, behind: BehindHole) -> Content {
        let ends_bad = self.flaws.last().is_some_and(|flaw| flaw.to == len);
        if len < self.header.snapshot_end && !ends_bad {
            self.flaw(len, len, false);
        }
        let durable_end = if was_clean { u64::MAX } else { self.durable_end };
        let mut findings = Vec::new();
        for flaw in &self.flaws {
            let frames_behind = self.payloads.len() - flaw.frames_before;
            let mut bytes = flaw.to - flaw.from;
            let damage = match flaw {
                Flaw { from: 0, .. } => JournalDamage::Header,
                Flaw { is_bad: false, .. } => JournalDamage::MissingFrames,
                Flaw { from, .. } if *from < durable_end => JournalDamage::BadFrame,
                Flaw { to, .. } if *to == len => JournalDamage::TornTail,
                _ => JournalDamage::Hole { behind: frames_behind, kept: behind == BehindHole::Keep },
            };
            let is_end = matches!(damage, JournalDamage::Hole { kept: false, .. });
            if is_end {
                bytes = len - flaw.from;
                self.payloads.truncate(flaw.frames_before);
                self.sequence = flaw.sequence_before;
            }
            findings.push(JournalFinding { path: path.to_owned(), position: flaw.from, bytes, damage });
            if is_end {
                break;
            }
        }
        let has_appended = self.sequence & APPENDED != 0;
        let last_sequence = if has_appended { self.sequence & !APPENDED } else { self.header.base_sequence };
        Content { header: self.header, payloads: self.payloads, findings, last_sequence, len }
    }
}
