//! What is different in a log that others wrote: a broker's, or one that was copied from somewhere.
//!
//! - It may hold messages of the formats v0 and v1. Each is looked at whole, and a compressed set is unpacked at once,
//!   since its first offset is known only then.
//! - Offsets may be missing between batches where the cleaner was; whether it was is told by the checkpoint of the
//!   cleaner. A batch behind a gap is right if the one behind it agrees, and if it lies in the segment.
//! - Where nothing says where to go on behind damage, the walk searches byte by byte for a whole batch. A record's value
//!   may contain the bytes of a batch, and so one counts only if batch follows on batch from there to the end of the
//!   segment, or to where the offset index says that one begins, or for 2 MiB, or, two of them, to the torn or empty rest
//!   that a crash leaves. The search is given up when it has read and checked four times what there is, and 64 MiB.
//!   Where a walk reads a log of ours like this, since it wants what is visible and no more, it does not search.

use crate::error::Result;
use crate::record::{Batch, BatchFault, BatchHeader, Decompressor, MAGIC};
use crate::storage::walk::{Check, LARGE_BYTES, READ_BYTES, Walk};
use crate::types::Offset;

/// The front of a batch that tells its format: up to its magic.
const FRONT_BYTES: usize = 17;
/// The least that a length field says of a batch in any format.
const LEAST_LENGTH: u32 = 14;
/// As many bytes are more than the end of a record that holds a batch.
const LEAST_REST_BYTES: usize = 61;
/// What a search may check beyond a few times the rest of the segment.
const SEARCH_BYTES: u64 = 64 << 20;

/// How a walk goes through a log of others.
#[derive(Debug)]
pub(crate) struct Foreign {
    decompressor: Decompressor,
    unpacked_limit: usize,
    allows_gaps: bool,
    /// Whether it searches byte by byte where nothing else leads on.
    searches: bool,
}

impl Foreign {
    /// Compressed sets of the old formats unpack to no more than `unpacked_limit` bytes; `allows_gaps` if offsets may be
    /// missing between batches.
    pub(crate) fn new(unpacked_limit: usize, allows_gaps: bool) -> Self {
        Self { decompressor: Decompressor::default(), unpacked_limit, allows_gaps, searches: true }
    }

    /// Goes on behind damage only where lengths or the index lead, as in a log of ours.
    pub(crate) fn without_search(mut self) -> Self {
        self.searches = false;
        self
    }
}

impl Walk<'_> {
    pub(super) fn allows_gaps(&self) -> bool {
        self.foreign.as_ref().is_some_and(|foreign| foreign.allows_gaps)
    }

    /// Whether a batch lies behind where the segment ends for sure.
    pub(super) fn is_behind_end(&self, header: &BatchHeader) -> bool {
        !self.may_reach_further && self.segment_end.is_some_and(|end| header.next_offset() > end)
    }

    /// The offset behind a damaged batch, by what is left of its header.
    pub(super) fn predicted(&self, header: &[u8]) -> Offset {
        if self.foreign.is_some() && matches!(header.get(FRONT_BYTES - 1), Some(0 | 1)) {
            let last = header.first_chunk().map_or(-1, |offset| i64::from_be_bytes(*offset));
            return Offset(last.saturating_add(1)); // of a set that is its last message's
        }
        Offset(self.expected.0.saturating_add(1 + i64::from(BatchHeader::stored_last_delta(header))))
    }

    /// The place before `end` where the batch at `position` ends by its checksum, if another batch begins there.
    pub(super) fn place_that_holds(&mut self, position: u64, end: u64, header: &[u8]) -> Result<Option<(u64, Offset)>> {
        let magic = header.get(FRONT_BYTES - 1).copied().and_then(|magic| i8::try_from(magic).ok());
        let Some(magic) = magic.filter(|magic| self.searches() && (0..=MAGIC).contains(magic)) else { return Ok(None) };
        let mut left = (end - position).saturating_mul(4).saturating_add(SEARCH_BYTES);
        let mut at = position + u64::from(LEAST_LENGTH);
        while let Some(candidate) = self.candidate(at, &mut left)?.filter(|candidate| *candidate < end) {
            let Some(rest) = left.checked_sub(candidate - position) else { return Ok(None) };
            left = rest;
            let length = u32::try_from(candidate - position - BatchHeader::LENGTH_END as u64).unwrap_or(u32::MAX);
            if self.holds_with_length(position, length, magic)?
                && let Some(place) = self.place_behind(position, length, self.predicted(header))?
            {
                return Ok(Some(place));
            }
            at = candidate + 1;
        }
        Ok(None)
    }

    fn searches(&self) -> bool {
        self.foreign.as_ref().is_some_and(|foreign| foreign.searches)
    }

    /// Whether a batch lies behind the offset at which the next segment begins: that one has it, or another.
    pub(super) fn is_of_next_segment(&self, header: &BatchHeader) -> bool {
        let end = self.segment_end.filter(|_| self.foreign.is_some() && !self.is_last && !self.may_reach_further);
        end.is_some_and(|end| header.base_offset >= end)
    }

    /// The message or compressed set of an old format at `position`, unpacked; `None` if there is none, or if there
    /// cannot be any.
    pub(super) fn message_at(&mut self, position: u64) -> Result<Option<Result<Batch, BatchFault>>> {
        if self.foreign.is_none() {
            return Ok(None);
        }
        let left = usize::try_from(self.end.saturating_sub(position)).unwrap_or(usize::MAX);
        let least = left.min(BatchHeader::LEGACY_LEN_BYTES);
        let Some(head) = self.look_at(position, least)? else { return Ok(None) };
        if !matches!(head.get(FRONT_BYTES - 1), Some(0 | 1)) {
            return Ok(None);
        }
        let header = match BatchHeader::parse_any(head) {
            Ok(header) => header,
            Err(fault) => return Ok(Some(Err(fault))),
        };
        if header.len_bytes > LARGE_BYTES
            && let Err(fault) = self.check_in_pieces(position, header.len_bytes, header.magic, None)?
        {
            return Ok(Some(Err(fault)));
        }
        let Some(bytes) = self.bytes_at(position, header.len_bytes)? else {
            return Ok(Some(Err(BatchFault::TooShort)));
        };
        Ok(Some(Batch::decode_any(bytes).and_then(|batch| self.unpacked(batch))))
    }

    fn unpacked(&mut self, batch: Batch) -> Result<Batch, BatchFault> {
        let Some(foreign) = &mut self.foreign else { return Ok(batch) };
        let mut batch = batch;
        match batch.unpack_in_place(&mut foreign.decompressor, foreign.unpacked_limit) {
            Ok(()) | Err(BatchFault::CodecNotCompiled { .. }) => Ok(batch), // it may be fine
            Err(fault) => Err(fault),
        }
    }

    /// The offset behind damage from the current place to the segment's end.
    pub(super) fn end_behind_damage(&mut self) -> Result<Offset> {
        let first = self.expected;
        // What was preallocated, and what a crash has left, holds no record.
        let is_empty = self.foreign.is_some() && self.segment_end.is_none() && self.is_zero(self.position)?;
        let least = if is_empty { first } else { first.next() };
        let end = self.segment_end.filter(|end| self.foreign.is_none() || !self.may_reach_further || *end > first);
        Ok(end.unwrap_or(least).max(first))
    }

    /// The first place behind `position` from which on all is whole.
    pub(super) fn scanned_place(&mut self, position: u64) -> Result<Option<(u64, Offset)>> {
        if !self.searches() {
            return Ok(None);
        }
        if self.is_zero(position)? {
            return Ok(None); // what was preallocated may be large
        }
        let mut left = (self.end - position).saturating_mul(4).saturating_add(SEARCH_BYTES);
        let mut at = position + 1;
        while let Some(candidate) = self.candidate(at, &mut left)? {
            if let Some(first) = self.chain(candidate, &mut left)? {
                return Ok(Some((candidate, first)));
            }
            if left == 0 {
                log::warn!("{}: the search for a batch behind {position} is given up", self.segment.file_name());
                return Ok(None);
            }
            at = candidate + 1;
        }
        Ok(None)
    }

    /// The first place from `at` on whose bytes may be the front of a batch. What has to be read counts.
    fn candidate(&mut self, at: u64, left: &mut u64) -> Result<Option<u64>> {
        let mut at = at;
        while at + FRONT_BYTES as u64 <= self.end && *left > 0 {
            let bytes = match self.rest_at_hand(at).filter(|rest| rest.len() >= FRONT_BYTES) {
                Some(rest) => rest,
                None => {
                    let len = usize::try_from(self.end - at).unwrap_or(usize::MAX).min(READ_BYTES);
                    *left = left.saturating_sub(len as u64);
                    let Some(bytes) = self.bytes_at(at, len)? else { return Ok(None) };
                    bytes
                }
            };
            let fits = |window: &&[u8]| {
                let length = BatchHeader::stored_length(window);
                let offset = window.first_chunk().map_or(-1, |offset| i64::from_be_bytes(*offset));
                has_known_magic(window)
                    && length >= LEAST_LENGTH
                    && u64::from(length) < self.end
                    && self.may_hold(Offset(offset))
            };
            if let Some(found) = bytes.windows(FRONT_BYTES).position(|window| fits(&window)) {
                return Ok(Some(at + found as u64));
            }
            at += (bytes.len() - FRONT_BYTES + 1) as u64;
        }
        Ok(None)
    }

    /// The first offset of the batch at `position`, if batches follow each other from there as far as they have to.
    fn chain(&mut self, position: u64, left: &mut u64) -> Result<Option<Offset>> {
        let (mut at, mut first, mut next, mut batches) = (position, None, self.expected, 0);
        loop {
            if at == self.end || (batches > 0 && self.is_indexed(at)) || (batches > 1 && self.is_rest(at, next)?) {
                return Ok(first);
            }
            if at - position > LARGE_BYTES as u64 {
                return Ok(first); // no record is as long
            }
            let length = self.bytes_at(at, FRONT_BYTES)?.map_or(0, |front| BatchHeader::stored_length(&front));
            let Some(rest) = left.checked_sub(u64::from(length).min(self.end - at)) else {
                *left = 0;
                return Ok(None);
            };
            *left = rest;
            let Ok(batch) = self.batch_at(at, Check::Whole)? else { return Ok(None) };
            let header = batch.header();
            let follows = batches == 0 || self.allows_gaps() || header.base_offset == next;
            if header.base_offset < next || !follows || self.is_behind_end(header) {
                return Ok(None);
            }
            first = first.or(Some(header.base_offset));
            batches += 1;
            (at, next) = (at + header.len_bytes as u64, header.next_offset());
        }
    }

    fn is_indexed(&self, position: u64) -> bool {
        let hints = self.segment.offset_hints();
        hints
            .and_then(|hints| hints.after_position(position.saturating_sub(1)))
            .is_some_and(|at| at.position == position)
    }

    /// Whether nothing is left from `position` on but what a crash leaves where a batch that begins at `next` or behind it
    /// was to be: zeros, or its front. A few bytes may be the end of a record as well.
    pub(super) fn is_rest(&mut self, position: u64, next: Offset) -> Result<bool> {
        let Some(front) = self.bytes_at(position, LEAST_REST_BYTES)? else { return Ok(false) };
        let length = BatchHeader::stored_length(&front);
        let offset = front.first_chunk().map_or(-1, |offset| i64::from_be_bytes(*offset));
        let is_behind = u64::from(length) + BatchHeader::LENGTH_END as u64 > self.end - position;
        if is_behind && i32::try_from(length).is_ok() && offset >= next.0 && has_known_magic(&front) {
            return Ok(true);
        }
        self.is_zero(position)
    }

    /// Whether there are only zeros from `position` on.
    fn is_zero(&mut self, position: u64) -> Result<bool> {
        let mut at = position;
        while at < self.end {
            let len = usize::try_from(self.end - at).unwrap_or(usize::MAX).min(READ_BYTES);
            let Some(bytes) = self.bytes_at(at, len)? else { return Ok(false) };
            if bytes.chunks(1024).any(|chunk| chunk.iter().fold(0, |any, byte| any | byte) != 0) {
                return Ok(false);
            }
            at += len as u64;
        }
        Ok(true)
    }
}

fn has_known_magic(front: &[u8]) -> bool {
    matches!(front.get(FRONT_BYTES - 1), Some(0..=2))
}
