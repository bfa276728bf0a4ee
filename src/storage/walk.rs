//! Goes through a segment batch by batch, past damage.
//!
//! Kafka's checksum leaves out a batch's base offset, length, leader epoch and magic, so these are held against what
//! must stand there: the offset that is expected, the end of the file, the format that we write. Where a batch is
//! damaged, the walk goes on at the next place that is sure to begin one:
//!
//! 1. where the batch's length leads, if a whole batch stands there that begins at the offset behind the damaged one's
//!    last, or the segment ends at that offset;
//! 2. where a length that differs in one bit leads, if the damaged batch's checksum holds with it;
//! 3. where the batch's length leads, if a whole batch with a higher offset stands there, or the end; in a log of others
//!    before that where its checksum holds if it ends there;
//! 4. where the offset index says that a batch begins.
//!
//! What stands there has to be numbered right, too, since no checksum covers that: by what the damaged batch says of
//! its length in offsets, or by the batch behind it, or by the damaged batch's checksum, which holds if its length in
//! offsets is all that is wrong with it. One that nothing confirms is passed as well.
//!
//! In a log of ours it never searches byte by byte: a record's value may contain the bytes of a batch. What a walk
//! through a log that others wrote does besides is [`foreign`]'s.

mod foreign;

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::Result;
use crate::io::ReadAhead;
use crate::record::{Batch, BatchChecksum, BatchFault, BatchHeader, MAGIC};
use crate::storage::leader_epochs::LeaderEpochs;
use crate::storage::segment::Segment;
pub(crate) use crate::storage::walk::foreign::Foreign;
use crate::types::{LeaderEpoch, Offset};

/// How much is read at a time; what the pooled buffers of `io` hold.
const READ_BYTES: usize = 256 * 1024;
/// A batch that says it is longer is checked piece by piece before memory is taken for it: hardly any is, and a
/// damaged length may say two gigabytes.
const LARGE_BYTES: usize = 2 * 1024 * 1024;

/// How closely a batch is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// Only what the checksum leaves out.
    Header,
    /// The checksum too.
    Whole,
}

/// What stands at a place in a segment.
#[derive(Debug)]
pub(crate) enum Step {
    /// A batch, with the offset that was expected.
    Batch { position: u64, batch: Batch },
    /// Something else; `first` to `last` are lost, which may be none if `last` lies before `first`.
    Damage { position: u64, first: Offset, last: Offset, reason: String },
}

/// What is known of the leader epochs of a log.
#[derive(Clone, Debug)]
pub(crate) struct EpochBounds {
    /// Where each began. Its file has no checksum, so it can confirm an epoch, and never refute one alone.
    pub(crate) starts: Arc<LeaderEpochs>,
    /// No batch has a higher one.
    pub(crate) latest: LeaderEpoch,
}

/// What a walk has read and not come to, for the one that goes on behind it.
#[derive(Debug, Default)]
pub(crate) struct AtHand {
    bytes: Bytes,
    position: u64,
}

/// A walk through one segment.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    segment: &'a Segment,
    check: Check,
    position: u64,
    end: u64,
    expected: Offset,
    /// The offset behind this segment's last one, if it is known.
    segment_end: Option<Offset>,
    /// Whether the segment may hold more than `segment_end` says.
    may_reach_further: bool,
    /// Whether no segment follows: nobody was at its end but who wrote it.
    is_last: bool,
    epochs: Option<EpochBounds>,
    /// If it is none of ours.
    foreign: Option<Foreign>,
    last_epoch: LeaderEpoch,
    at_hand: AtHand,
    read_bytes: usize,
    ahead: Option<&'a ReadAhead>,
}

impl<'a> Walk<'a> {
    /// Begins at `position`, where a batch stands whose first offset is `expected`, and ends where the segment does.
    pub(crate) fn new(segment: &'a Segment, position: u64, expected: Offset, check: Check) -> Self {
        Self {
            segment,
            check,
            position,
            end: segment.end(),
            expected,
            segment_end: None,
            may_reach_further: false,
            is_last: false,
            epochs: None,
            foreign: None,
            last_epoch: LeaderEpoch::NONE,
            at_hand: AtHand::default(),
            read_bytes: READ_BYTES,
            ahead: None,
        }
    }

    /// Tells the walk at which offset the segment ends, so that damage at its end can be named in full.
    pub(crate) fn ending_at(mut self, next_offset: Offset) -> Self {
        self.segment_end = Some(next_offset);
        self
    }

    /// Tells the walk up to which offset the segment was written at least: damage at its end costs no less.
    pub(crate) fn reaching(mut self, next_offset: Offset) -> Self {
        self.may_reach_further = true;
        self.ending_at(next_offset)
    }

    /// Tells the walk that no segment follows. A cleaner leaves the last one alone.
    pub(crate) fn in_last_segment(mut self) -> Self {
        self.is_last = true;
        self
    }

    /// Tells the walk which leader epochs there were.
    pub(crate) fn with_epochs(mut self, epochs: EpochBounds) -> Self {
        self.epochs = Some(epochs);
        self
    }

    /// Tells the walk that others wrote the segment.
    pub(crate) fn through_foreign(mut self, foreign: Foreign) -> Self {
        self.foreign = Some(foreign);
        self
    }

    /// Reads no more than about `bytes` at a time.
    pub(crate) fn reading(mut self, bytes: usize) -> Self {
        self.read_bytes = bytes.clamp(4096, READ_BYTES);
        self
    }

    /// Has somebody who reads ahead.
    pub(crate) fn reading_ahead(mut self, ahead: Option<&'a ReadAhead>) -> Self {
        self.ahead = ahead;
        self
    }

    /// Goes on with what another walk through the same segment has read.
    pub(crate) fn with_at_hand(mut self, at_hand: AtHand) -> Self {
        self.at_hand = at_hand;
        self
    }

    /// What was read and is of use to a walk that goes on here.
    pub(crate) fn into_at_hand(self) -> AtHand {
        self.at_hand
    }

    /// Whether the next batch needs no reading.
    pub(crate) fn is_at_hand(&self) -> bool {
        let begin = self.position.checked_sub(self.at_hand.position).and_then(|begin| usize::try_from(begin).ok());
        let rest = begin.and_then(|begin| self.at_hand.bytes.get(begin..)).unwrap_or_default();
        let body = rest.len().checked_sub(BatchHeader::LENGTH_END);
        body.is_some_and(|body| body >= BatchHeader::stored_length(rest) as usize)
    }

    /// Where the next step begins.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The offset that is expected there.
    pub(crate) fn expected(&self) -> Offset {
        self.expected
    }

    /// The next batch or damaged place; `None` at the end of the segment.
    pub(crate) fn next_step(&mut self) -> Result<Option<Step>> {
        if self.position >= self.end {
            return self.missing_end();
        }
        let position = self.position;
        let mut found = self.fitting_batch()?;
        if found.is_err() {
            // It may be right on the disk, and have been read wrong: damage is believed when it is read twice.
            self.at_hand = AtHand::default();
            if let Some(ahead) = self.ahead.take() {
                ahead.forget(); // and whoever looks for where to go on jumps about
            }
            found = self.fitting_batch()?;
        }
        match found {
            Ok(batch) => {
                self.position += batch.header().len_bytes as u64;
                self.expected = batch.header().next_offset();
                self.last_epoch = batch.header().leader_epoch;
                Ok(Some(Step::Batch { position, batch }))
            }
            Err(fault) => self.pass_damage(fault).map(Some),
        }
    }

    /// The batch at the current place, or what is wrong with it.
    fn fitting_batch(&mut self) -> Result<Result<Batch, String>> {
        Ok(match self.batch_at(self.position, self.check)? {
            Ok(batch) => self.misfit(batch.header())?.map_or(Ok(batch), Err),
            Err(fault) => Err(fault.to_string()),
        })
    }

    /// At the end of the file: offsets that should be there and are not.
    fn missing_end(&mut self) -> Result<Option<Step>> {
        let Some(segment_end) = self.segment_end.filter(|end| self.expected < *end) else { return Ok(None) };
        if self.allows_gaps() && !self.is_last && !self.segment.has_lost_indexed_end(self.expected) {
            return Ok(None);
        }
        let step = Step::Damage {
            position: self.position,
            first: self.expected,
            last: Offset(segment_end.0 - 1),
            reason: "the file ends before them".to_owned(),
        };
        self.expected = segment_end;
        Ok(Some(step))
    }

    /// Reads the batch that begins at `position`.
    fn batch_at(&mut self, position: u64, check: Check) -> Result<Result<Batch, BatchFault>> {
        if let Some(message) = self.message_at(position)? {
            return Ok(message);
        }
        let Some(header) = self.look_at(position, BatchHeader::LEN_BYTES)? else {
            return Ok(Err(BatchFault::TooShort));
        };
        let header = match BatchHeader::parse(header) {
            Ok(header) => header,
            Err(fault) => return Ok(Err(fault)),
        };
        if header.len_bytes > LARGE_BYTES
            && let Err(fault) = self.check_in_pieces(position, header.len_bytes, MAGIC, None)?
        {
            return Ok(Err(fault));
        }
        let Some(bytes) = self.bytes_at(position, header.len_bytes)? else {
            return Ok(Err(BatchFault::TooShort));
        };
        Ok(match check {
            Check::Whole => Batch::decode(bytes),
            Check::Header => Batch::decode_unchecked(bytes),
        })
    }

    /// What was read already and stands from `position` on.
    fn rest_at_hand(&self, position: u64) -> Option<Bytes> {
        let begin = usize::try_from(position.checked_sub(self.at_hand.position)?).ok()?;
        (begin < self.at_hand.bytes.len()).then(|| self.at_hand.bytes.slice(begin..))
    }

    /// `len` bytes at `position`, if the segment has them.
    fn bytes_at(&mut self, position: u64, len: usize) -> Result<Option<Bytes>> {
        let found = self.bring(position, len)?;
        Ok(found.map(|found| self.at_hand.bytes.slice(found)))
    }

    /// The same, to be looked at and not kept.
    fn look_at(&mut self, position: u64, len: usize) -> Result<Option<&[u8]>> {
        let found = self.bring(position, len)?;
        Ok(found.and_then(|found| self.at_hand.bytes.get(found)))
    }

    /// Reads `len` bytes at `position`, if they are not at hand; tells where they are in what is.
    fn bring(&mut self, position: u64, len: usize) -> Result<Option<Range<usize>>> {
        if self.end.saturating_sub(position) < len as u64 {
            return Ok(None);
        }
        let within = |at_hand: &AtHand| {
            let from = usize::try_from(position.checked_sub(at_hand.position)?).ok()?;
            let end = from.checked_add(len)?;
            (end <= at_hand.bytes.len()).then_some(from..end)
        };
        if let Some(found) = within(&self.at_hand) {
            return Ok(Some(found));
        }
        let file = self.segment.file()?;
        let ahead = self.ahead.filter(|_| ReadAhead::takes(len));
        if let Some(ahead) = ahead {
            let rest = self.rest_at_hand(position).unwrap_or_default();
            if let Some(bytes) = ahead.take(file, position + rest.len() as u64, &rest) {
                self.at_hand = AtHand { bytes, position };
                return Ok(within(&self.at_hand)); // a piece is longer than what is read ahead
            }
        }
        let left = usize::try_from(self.end - position).unwrap_or(usize::MAX);
        self.at_hand = AtHand::default(); // first, so that its buffer can be read into again
        let bytes = file.slice(position, left.min(self.read_bytes.max(len)))?;
        if let Some(ahead) = ahead {
            ahead.follow(file, position + bytes.len() as u64, self.end);
        }
        self.at_hand = AtHand { bytes, position };
        Ok(within(&self.at_hand))
    }

    /// What does not fit about a header whose own fields are fine.
    fn misfit(&mut self, header: &BatchHeader) -> Result<Option<String>> {
        let expected = self.expected;
        if header.base_offset != expected && !self.is_behind_gap(header)? {
            let said = header.base_offset;
            return Ok(Some(format!("it says that it begins at offset {said}, and {expected} is expected")));
        }
        if self.is_of_next_segment(header) {
            return Ok(Some(format!("the next segment begins at {}, and so does it", header.base_offset)));
        }
        Ok(if self.epoch_fits(header)? { None } else { Some(format!("leader epoch {} is none", header.leader_epoch)) })
    }

    /// Whether a batch that begins behind the expected offset does so rightly: the one behind it does not contradict it.
    fn is_behind_gap(&mut self, header: &BatchHeader) -> Result<bool> {
        if !self.allows_gaps() || header.base_offset < self.expected || self.is_behind_end(header) {
            return Ok(false);
        }
        let next = self.batch_at(self.position + header.len_bytes as u64, Check::Header)?;
        Ok(next.map_or(true, |next| {
            next.header().base_offset >= header.next_offset() || next.header().base_offset < self.expected
        }))
    }

    /// Whether a batch's leader epoch can be right: it is the one on record, or it lies between its neighbours'.
    fn epoch_fits(&mut self, header: &BatchHeader) -> Result<bool> {
        let epoch = header.leader_epoch;
        let Some(bounds) = &self.epochs else { return Ok(true) };
        if bounds.starts.epoch_at(header.base_offset) == Some(epoch) {
            return Ok(true);
        }
        if epoch > bounds.latest || epoch < self.last_epoch {
            return Ok(false);
        }
        let next = self.batch_at(self.position + header.len_bytes as u64, Check::Header)?;
        Ok(next.map_or(true, |next| {
            next.header().base_offset != header.next_offset() || next.header().leader_epoch >= epoch
        }))
    }

    /// Finds where to go on behind damage at the current place, and goes there.
    fn pass_damage(&mut self, reason: String) -> Result<Step> {
        let (position, first) = (self.position, self.expected);
        let (next_position, next_offset) = match self.resume_place()? {
            Some(place) => place,
            None => (self.end, self.end_behind_damage()?),
        };
        self.position = next_position;
        self.expected = next_offset;
        Ok(Step::Damage { position, first, last: Offset(next_offset.0 - 1), reason })
    }

    /// The next place that is sure to begin a batch, and the batch's first offset.
    fn resume_place(&mut self) -> Result<Option<(u64, Offset)>> {
        let position = self.position;
        if let Some(place) = self.gap()? {
            return Ok(Some(place));
        }
        if let Some(header) = self.bytes_at(position, BatchHeader::LEN_BYTES)? {
            let length = BatchHeader::stored_length(&header);
            let predicted = self.predicted(&header);
            let by_length = self.place_behind(position, length, predicted)?;
            let follows = |place: &(u64, Offset)| place.1 == predicted && self.is_known(place.0);
            if let Some(place) = by_length.filter(follows) {
                return Ok(Some(place));
            }
            for bit in 0..32 {
                let candidate = length ^ (1 << bit);
                if let Some(place) = self.place_behind(position, candidate, predicted)?
                    && self.holds_with_length(position, candidate, MAGIC)?
                {
                    return Ok(Some(place));
                }
            }
            if let Some(place) = by_length {
                let nearer = self.place_that_holds(position, place.0, &header)?;
                return Ok(Some(nearer.unwrap_or(place)));
            }
        }
        match self.scanned_place(position)? {
            None => self.indexed_place(position),
            place => Ok(place),
        }
    }

    /// Offsets are missing *before* a batch that is itself whole: the one behind it agrees with it.
    fn gap(&mut self) -> Result<Option<(u64, Offset)>> {
        let position = self.position;
        let Ok(batch) = self.batch_at(position, Check::Whole)? else { return Ok(None) };
        let header = *batch.header();
        if header.base_offset == self.expected || !self.may_hold(header.base_offset) {
            return Ok(None);
        }
        // At an end that nobody has named it is its number that is damaged: bytes do not go missing without a trace. With
        // a number that is too high it would not lie before the next one.
        let next = self.offset_behind(position, &header)?;
        let is_confirmed = next.is_some_and(|next| {
            next == header.next_offset() || (self.foreign.is_some() && next > header.next_offset())
        });
        Ok(is_confirmed.then_some((position, header.base_offset)))
    }

    /// Whether the neighbour behind the batch at `position`, which stands behind damage, agrees with its numbers. At an end
    /// that nobody has named there is none: then a batch of others is believed.
    fn is_confirmed(&mut self, position: u64, header: &BatchHeader) -> Result<bool> {
        let Some(next) = self.offset_behind(position, header)? else {
            let behind = position + header.len_bytes as u64;
            let has_no_bound = self.segment_end.is_none() || self.may_reach_further;
            let is_others = self.foreign.is_some() && has_no_bound && header.base_offset > self.expected;
            return Ok(is_others && (behind == self.end || self.is_rest(behind, header.next_offset())?));
        };
        // Behind damage that has cost no offset there is no room for the batch that was there.
        let may_lack_some = self.allows_gaps() && header.base_offset > self.expected;
        Ok(next == header.next_offset() || (may_lack_some && next > header.next_offset()))
    }

    /// The offset that the neighbour behind the batch at `position` begins with, or that the segment ends with.
    fn offset_behind(&mut self, position: u64, header: &BatchHeader) -> Result<Option<Offset>> {
        let behind = position + header.len_bytes as u64;
        if behind == self.end {
            let is_least = self.foreign.is_some() && self.may_reach_further; // what others know of their end is old
            return Ok(self.segment_end.filter(|_| !is_least));
        }
        Ok(self.batch_at(behind, Check::Whole)?.ok().map(|next| next.header().base_offset))
    }

    /// The place where a batch at `position` whose length field is `length` would end, if a batch begins there, or the
    /// segment ends. If the batch there is not `predicted`, and the one behind it says that it is numbered wrong, then
    /// the next place behind it of which that is not so.
    fn place_behind(&mut self, position: u64, length: u32, predicted: Offset) -> Result<Option<(u64, Offset)>> {
        let end_of_batch = position + u64::from(length) + BatchHeader::LENGTH_END as u64;
        let mut behind = end_of_batch;
        while behind < self.end {
            let Ok(next) = self.batch_at(behind, Check::Whole)? else { return Ok(None) };
            let header = *next.header();
            let is_confirmed = header.base_offset == predicted
                || self.is_confirmed(behind, &header)?
                || (header.base_offset == self.expected && self.is_stray(position, end_of_batch == behind)?)
                || (behind == end_of_batch && self.holds_up_to(position, length, header.base_offset)?);
            if self.may_hold(header.base_offset) && is_confirmed {
                return Ok(Some((behind, header.base_offset)));
            }
            behind += header.len_bytes as u64;
        }
        let is_end = behind == self.end;
        let is_sure = self.foreign.is_none() || !self.may_reach_further;
        let end = self.segment_end.filter(|end| is_sure || *end > self.expected);
        Ok(is_end.then(|| (behind, end.unwrap_or(self.expected.next()))))
    }

    /// Whether a whole batch stands at `position` that is no part of this log: then nothing is lost before what follows on
    /// it at the expected offset.
    fn is_stray(&mut self, position: u64, is_next: bool) -> Result<bool> {
        Ok(is_next && self.foreign.is_some() && self.batch_at(position, Check::Whole)?.is_ok())
    }

    /// Whether a batch that begins at `offset` may stand from here on. It may be the expected one behind damage, too:
    /// then the bytes in between are no part of this log.
    fn may_hold(&self, offset: Offset) -> bool {
        offset >= self.expected && (self.may_reach_further || self.segment_end.is_none_or(|end| offset < end))
    }

    /// Whether the offset at a place behind damage is more than a guess, which it is at an end that nobody has named.
    fn is_known(&self, behind: u64) -> bool {
        behind < self.end || self.segment_end.is_some()
    }

    /// Whether the batch at `position` is whole if its length field is `length`.
    fn holds_with_length(&mut self, position: u64, length: u32, magic: i8) -> Result<bool> {
        let len = length as usize + BatchHeader::LENGTH_END;
        let least = if magic == MAGIC { BatchHeader::LEN_BYTES } else { BatchHeader::LEGACY_LEN_BYTES };
        Ok(len >= least && self.check_in_pieces(position, len, magic, None)?.is_ok())
    }

    /// Whether the batch at `position`, of that length field, is whole if `next` follows on its last offset: nothing but
    /// what it says of that is damaged.
    fn holds_up_to(&mut self, position: u64, length: u32, next: Offset) -> Result<bool> {
        let len = length as usize + BatchHeader::LENGTH_END;
        let Ok(last_delta) = i32::try_from(next.0.saturating_sub(self.expected.0).saturating_sub(1)) else {
            return Ok(false);
        };
        Ok(len >= BatchHeader::LEN_BYTES && self.check_in_pieces(position, len, MAGIC, Some(last_delta))?.is_ok())
    }

    /// Whether the checksum of the `len` bytes at `position` holds, without taking memory for all of them; with
    /// `last_delta`, as if that stood in the header.
    fn check_in_pieces(
        &mut self,
        position: u64,
        len: usize,
        magic: i8,
        last_delta: Option<i32>,
    ) -> Result<Result<(), BatchFault>> {
        let end = position + len as u64;
        if end > self.end {
            return Ok(Err(BatchFault::TooShort));
        }
        let mut checksum = BatchChecksum::of(magic);
        let mut at = position;
        while at < end {
            let piece = usize::try_from(end - at).unwrap_or(READ_BYTES).min(READ_BYTES);
            let Some(bytes) = self.bytes_at(at, piece)? else { return Ok(Err(BatchFault::TooShort)) };
            match last_delta.filter(|_| at == position && piece >= BatchHeader::LEN_BYTES) {
                Some(last_delta) => {
                    let (head, rest) = bytes.split_at(BatchHeader::LEN_BYTES);
                    let mut head = head.to_vec();
                    BatchHeader::store_last_delta(&mut head, last_delta);
                    checksum.update(&head);
                    checksum.update(rest);
                }
                None => checksum.update(&bytes),
            }
            at += piece as u64;
        }
        Ok(checksum.check())
    }

    /// The next place that the offset index names and where a whole batch stands that ends as it says.
    fn indexed_place(&mut self, position: u64) -> Result<Option<(u64, Offset)>> {
        let mut position = position;
        loop {
            let hints = self.segment.offset_hints();
            let Some(entry) = hints.and_then(|hints| hints.after_position(position)) else { return Ok(None) };
            position = entry.position;
            if let Ok(batch) = self.batch_at(position, Check::Whole)?
                && batch.header().last_offset() == entry.last_offset
                && self.may_hold(batch.header().base_offset)
            {
                return Ok(Some((position, batch.header().base_offset)));
            }
        }
    }
}
