//! Batches, and what is in them.

use crate::error::Result;
use crate::record::{Batch, BatchChecksum, BatchFault, BatchHeader, ControlType, Decompressor};
use crate::replay::dump::{Dump, Dumped, Outcome};
use crate::storage::{Check, Foreign, Segment, Step, Walk};
use crate::types::{LeaderEpoch, Offset};

/// How much is looked at at a time where there is no batch.
const PIECE_BYTES: usize = 256 * 1024;

impl Dump<'_> {
    pub(super) fn segment(&mut self, base: Offset) -> Outcome {
        let segment = Segment::over(self.dir, base, self.file.clone())?;
        let mut walk = walk(&segment, self.options.max_unpacked_bytes);
        let mut decompressor = Decompressor::default();
        let mut latest = LeaderEpoch::NONE;
        while let Some(step) = walk.next_step()? {
            match step {
                Step::Batch { position, batch } => {
                    let epoch = batch.header().leader_epoch;
                    self.batch(position, batch, &mut decompressor)?;
                    if epoch < latest && epoch != LeaderEpoch::NONE {
                        self.found(position, format!("its leader epoch is {epoch}, below {latest} before it"))?;
                    }
                    latest = epoch;
                }
                Step::Damage { position, first, last, reason } => {
                    let is_empty = walk.position() == segment.end() && self.zeros(position, segment.end())?;
                    let zeros = || format!("{} bytes of zeros, up to the end", segment.end() - position);
                    let detail = if is_empty { zeros() } else { reason };
                    let offsets = (first <= last).then_some((first, last));
                    self.passed(walk.position(), position, offsets, detail)?;
                }
            }
        }
        Ok(())
    }

    fn batch(&mut self, position: u64, batch: Batch, decompressor: &mut Decompressor) -> Outcome {
        self.header(position, batch.header(), true)?;
        if !self.options.records {
            return Ok(());
        }
        match batch.unpack_with(decompressor, self.options.max_unpacked_bytes) {
            Ok(batch) => self.records(position, &batch),
            Err(fault) => self.fault(position, &fault),
        }
    }

    fn header(&mut self, position: u64, header: &BatchHeader, is_valid: bool) -> Outcome {
        let last_sequence = header.last_sequence();
        self.show(Dumped::Batch { position, header: *header, is_valid, last_sequence })
    }

    fn records(&mut self, position: u64, batch: &Batch) -> Outcome {
        let header = batch.header();
        let records = match batch.records() {
            Ok(records) => records,
            Err(fault) => return self.fault(position, &fault),
        };
        for record in records {
            let record = match record {
                Ok(record) => record,
                Err(fault) => return self.fault(position, &fault),
            };
            if header.is_control() {
                let Some(control) = record.key().and_then(ControlType::from_key) else {
                    self.found(position, format!("the control record at offset {} has no type", record.offset()))?;
                    continue;
                };
                let coordinator_epoch = coordinator_epoch(control, record.value());
                self.show(Dumped::Control { record, control, coordinator_epoch })?;
            } else {
                let delta = record.offset().0 - header.base_offset.0;
                let sequence = header.sequence_at(i32::try_from(delta).unwrap_or(0));
                self.show(Dumped::Record { record, sequence })?;
            }
        }
        Ok(())
    }

    fn fault(&mut self, position: u64, fault: &BatchFault) -> Outcome {
        self.found(position, fault.to_string())
    }

    /// Shows damage at `position`, and the headers that stand from there to where reading goes on, as far as their
    /// lengths lead.
    fn passed(&mut self, next: u64, position: u64, offsets: Option<(Offset, Offset)>, detail: String) -> Outcome {
        let (mut at, mut unsaid) = (position, Some(detail));
        while at < next
            && let Some((header, is_valid)) = self.stored_header(at)?
        {
            self.header(at, &header, is_valid)?;
            at += header.len_bytes as u64;
            if let Some(detail) = unsaid.take() {
                // Of the last batch nothing but its own header tells how many offsets it has.
                let said = offsets.filter(|(first, _)| at == next && *first == header.base_offset);
                let offsets = said.map_or(offsets, |(first, last)| Some((first, last.max(header.last_offset()))));
                self.finding(Some(position), offsets, detail)?;
            }
        }
        unsaid.map_or(Ok(()), |detail| self.finding(Some(position), offsets, detail))
    }

    /// The header that stands at `position`, and whether the checksum holds; `None` if it is none, or the file ends
    /// before the batch does.
    fn stored_header(&self, position: u64) -> Result<Option<(BatchHeader, bool)>> {
        let head = self.file.slice(position, BatchHeader::LEN_BYTES)?;
        let Ok(header) = BatchHeader::parse_any(&head) else { return Ok(None) };
        Ok(self.checksum(position, &header)?.map(|is_valid| (header, is_valid)))
    }

    /// Whether the checksum of a batch holds; `None` if the file ends before it does.
    fn checksum(&self, position: u64, header: &BatchHeader) -> Result<Option<bool>> {
        let mut checksum = BatchChecksum::of(header.magic);
        let (mut at, end) = (position, position + header.len_bytes as u64);
        while at < end {
            let piece = self.file.slice(at, usize::try_from(end - at).unwrap_or(PIECE_BYTES).min(PIECE_BYTES))?;
            if piece.is_empty() {
                return Ok(None);
            }
            checksum.update(&piece);
            at += piece.len() as u64;
        }
        Ok(Some(checksum.check().is_ok()))
    }

    /// Whether there are only zeros up to `end`.
    fn zeros(&self, position: u64, end: u64) -> Result<bool> {
        let mut at = position;
        while at < end {
            let piece = self.file.slice(at, PIECE_BYTES)?;
            if piece.is_empty() {
                break;
            }
            if piece.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
            at += piece.len() as u64;
        }
        Ok(at > position)
    }
}

/// Goes through a segment of which nothing else is known.
pub(super) fn walk(segment: &Segment, max_unpacked_bytes: usize) -> Walk<'_> {
    let walk = Walk::new(segment, 0, segment.base_offset(), Check::Whole);
    walk.through_foreign(Foreign::new(max_unpacked_bytes, true))
}

/// Which epoch a marker says that its coordinator had: a version comes before it.
fn coordinator_epoch(control: ControlType, value: Option<&[u8]>) -> Option<i32> {
    let is_end = matches!(control, ControlType::Abort | ControlType::Commit);
    let epoch = value.filter(|_| is_end)?.get(2..)?.first_chunk()?;
    Some(i32::from_be_bytes(*epoch))
}
