//! Reads by offset and by time: whole batches, each checked, up to a bound.
//!
//! Damage costs the reader exactly the offsets that are damaged: what stands before it is returned first, then the
//! damage is an error at its own offset, and a reader that seeks past it reads on.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::record::{Batch, BatchFault, BatchHeader, Decompressor};
use crate::storage::log::{Log, Segments};
use crate::storage::segment::Segment;
use crate::storage::walk::{Check, Step, Walk};
use crate::types::{Offset, Timestamp};

/// Where a reader stands: a sequential reader does not look anything up.
#[derive(Debug)]
pub(crate) struct ReadPlace {
    segment: Arc<Segment>,
    position: u64,
    /// The first offset of what stands there.
    offset: Offset,
}

impl Log {
    /// The batches from the one that holds `from` on, at least one if there is one below `bound`, about `max_bytes`.
    ///
    /// `bound` is the end of a batch, or an offset at which none begins. `place` is where the last read ended; it is
    /// looked up if `from` is elsewhere.
    ///
    /// # Errors
    /// [`Error::OffsetOutOfRange`], [`Error::CorruptBatch`] if `from` lies in damage, and what reading a file gives.
    pub(crate) fn read(
        &self,
        place: &mut Option<ReadPlace>,
        from: Offset,
        bound: Offset,
        max_bytes: usize,
    ) -> Result<Vec<Batch>> {
        // Before the log start: a segment is removed only when that has moved on.
        let segments = self.segments.load();
        let start = self.log_start();
        if from < start || from > self.log_end() {
            let partition = self.name.clone();
            return Err(Error::OffsetOutOfRange { partition, requested: from, start, end: bound });
        }
        if from >= bound {
            return Ok(Vec::new());
        }
        if let Some(first) = segments.first().filter(|first| from < first.base_offset()) {
            let last = Offset(first.base_offset().0 - 1);
            return Err(self.corrupt_batch(first, 0, start, last, "there is no file that has them".to_owned()));
        }
        let mut here = match place.take().filter(|place| place.offset == from) {
            Some(place) => place,
            None => Self::look_up(&segments, from)?,
        };
        loop {
            let batches = self.read_segment(&mut here, &segments, from, bound, max_bytes)?;
            let next = Self::segment_behind(&segments, &here.segment);
            let is_through = here.offset >= bound;
            match next {
                Some(next) if batches.is_empty() && !is_through => {
                    here = ReadPlace { segment: Arc::clone(next), position: 0, offset: next.base_offset() };
                }
                _ => {
                    *place = Some(here);
                    return Ok(batches);
                }
            }
        }
    }

    /// Reads on in one segment; empty if that has nothing more at or above `from`.
    fn read_segment(
        &self,
        here: &mut ReadPlace,
        segments: &Segments,
        from: Offset,
        bound: Offset,
        max_bytes: usize,
    ) -> Result<Vec<Batch>> {
        let segment = Arc::clone(&here.segment);
        let walk = Walk::new(&segment, here.position, here.offset, Check::Whole);
        let walk = match Self::segment_behind(segments, &segment) {
            Some(next) => walk.ending_at(next.base_offset()),
            None => walk.reaching(bound), // what may not be read yet is behind it
        };
        let mut walk = walk.with_epochs(self.epoch_bounds()).reading(max_bytes);
        let mut batches = Vec::new();
        let mut bytes = 0;
        while walk.expected() < bound && bytes < max_bytes {
            match walk.next_step()? {
                None => break,
                Some(Step::Batch { batch, .. }) if batch.header().last_offset() < from => {}
                Some(Step::Batch { batch, .. }) => {
                    bytes += batch.header().len_bytes;
                    batches.push(batch);
                }
                Some(Step::Damage { first, last, .. }) if last < from || last < first => {}
                Some(Step::Damage { .. }) if !batches.is_empty() => break, // the next read begins here, and fails
                Some(Step::Damage { position, first, last, reason }) => {
                    return Err(self.corrupt_batch(&segment, position, first, last, reason));
                }
            }
            (here.position, here.offset) = (walk.position(), walk.expected());
        }
        Ok(batches)
    }

    /// The error for a batch whose checksum holds and whose records cannot be read all the same.
    pub(crate) fn unreadable(&self, header: &BatchHeader, reason: String) -> Error {
        let (first, last) = (header.base_offset, header.last_offset());
        let segments = self.segments.load();
        let found =
            Self::look_up(&segments, first).and_then(|here| Ok((Self::position_of(&here, first)?, here.segment)));
        let (partition, reason) = (self.name.clone(), reason.into());
        let (path, file_position) = match found {
            Ok((position, segment)) => (self.dir.path().join(segment.file_name()), position),
            Err(_) => (self.dir.path().to_owned(), 0), // removed, or out of reach: what is known is said
        };
        Error::CorruptBatch { partition, first, last, path, file_position, reason }
    }

    /// Where in its segment the batch is that begins with `first`, not before `here`.
    fn position_of(here: &ReadPlace, first: Offset) -> Result<u64> {
        let mut walk = Walk::new(&here.segment, here.position, here.offset, Check::Header);
        while let Some(step) = walk.next_step()? {
            match step {
                Step::Batch { position, batch } if batch.header().base_offset >= first => return Ok(position),
                _ => {}
            }
        }
        Ok(here.position)
    }

    fn corrupt_batch(
        &self,
        segment: &Segment,
        file_position: u64,
        first: Offset,
        last: Offset,
        reason: String,
    ) -> Error {
        let path = self.dir.path().join(segment.file_name());
        Error::CorruptBatch { partition: self.name.clone(), first, last, path, file_position, reason: reason.into() }
    }

    /// The place from which a walk finds `offset`.
    fn look_up(segments: &Segments, offset: Offset) -> Result<ReadPlace> {
        let count = segments.partition_point(|segment| segment.base_offset() <= offset);
        let segment = &segments[count.saturating_sub(1)];
        let (position, first) = segment.start_for(offset)?;
        Ok(ReadPlace { segment: Arc::clone(segment), position, offset: first })
    }

    fn segment_behind<'a>(segments: &'a Segments, segment: &Segment) -> Option<&'a Arc<Segment>> {
        segments.get(segments.partition_point(|each| each.base_offset() <= segment.base_offset()))
    }

    /// The first record below `bound` whose timestamp is at or after `at`, by offset.
    ///
    /// # Errors
    /// [`Error::CorruptBatch`] for damage where the answer may lie: nobody knows its times, and to pass it over would skip
    /// it for good. [`Error::CodecNotCompiled`] if the answer lies in a batch that this build cannot unpack; what reading
    /// gives.
    pub(crate) fn offset_for_time(&self, at: Timestamp, bound: Offset) -> Result<Option<(Offset, Timestamp)>> {
        let segments = self.segments.load();
        let start = self.log_start();
        let mut decompressor = Decompressor::default();
        for (index, segment) in segments.iter().enumerate() {
            let next = segments.get(index + 1);
            if next.is_some_and(|next| next.base_offset() <= start) {
                continue;
            }
            if next.is_some() && segment.largest_timestamp()? < at {
                continue;
            }
            let (position, first) = segment.start_for_time(at)?;
            let mut walk = Walk::new(segment, position, first, Check::Whole).with_epochs(self.epoch_bounds());
            while walk.expected() < bound {
                let Some(step) = walk.next_step()? else { break };
                let batch = match step {
                    Step::Batch { batch, .. } => batch,
                    Step::Damage { first, last, .. } if last < start || last < first || first >= bound => continue,
                    Step::Damage { position, first, last, reason } => {
                        return Err(self.corrupt_batch(segment, position, first, last, reason));
                    }
                };
                if batch.header().max_timestamp < at {
                    continue;
                }
                let header = *batch.header();
                let (first, last) = (header.base_offset, header.last_offset());
                match first_at_or_after(batch, at, start, &mut decompressor) {
                    Ok(None) => {}
                    Ok(found) => return Ok(found),
                    Err(BatchFault::CodecNotCompiled { codec }) => {
                        return Err(Error::CodecNotCompiled { partition: self.name.clone(), first, last, codec });
                    }
                    Err(fault) => return Err(self.unreadable(&header, fault.to_string())),
                }
            }
        }
        Ok(None)
    }
}

/// The first record of `batch` at or above `from` whose timestamp is at or after `at`.
fn first_at_or_after(
    batch: Batch,
    at: Timestamp,
    from: Offset,
    decompressor: &mut Decompressor,
) -> Result<Option<(Offset, Timestamp)>, BatchFault> {
    let batch = batch.unpack_with(decompressor, Batch::DEFAULT_UNPACKED_LIMIT)?;
    for record in batch.records()? {
        let record = record?;
        if record.timestamp() >= at && record.offset() >= from {
            return Ok(Some((record.offset(), record.timestamp())));
        }
    }
    Ok(None)
}
