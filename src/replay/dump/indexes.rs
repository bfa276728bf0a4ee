//! The index files of a segment; and, if that is asked for, whether the segment's batches agree with them.

use std::sync::Arc;

use crate::error::Result;
use crate::io::Dir;
use crate::record::{BatchHeader, ControlType};
use crate::replay::dump::segments::walk;
use crate::replay::dump::{Dump, Dumped, Outcome, without_state};
use crate::storage::{AbortedTransaction, Segment, Step, Walk, parse_segment_name, segment_name};
use crate::types::{Offset, Timestamp};

/// How many entries are read at a time.
const CHUNK_ENTRIES: usize = 8192;

impl Dump<'_> {
    pub(super) fn offset_index(&mut self, base: Offset) -> Outcome {
        let segment = self.segment_beside(base)?;
        let mut beside = segment.as_ref().map(|segment| Beside::new(segment, self.options.max_unpacked_bytes));
        let mut before = None;
        self.entries::<8>(true, |dump, at, entry| {
            let [a, b, c, d, e, f, g, h] = *entry;
            let relative = i32::from_be_bytes([a, b, c, d]);
            let (offset, batch_position) =
                (base.plus(i64::from(relative)), u64::from(u32::from_be_bytes([e, f, g, h])));
            dump.show(Dumped::IndexEntry { position: at, offset, batch_position })?;
            let is_sorted = before.is_none_or(|(last, position)| last < offset && position < batch_position);
            before = Some((offset, batch_position));
            if relative < 0 || !is_sorted {
                return dump.found(at, "the entry is not behind the one before");
            }
            let Some(beside) = &mut beside else { return Ok(()) };
            match beside.at_position(batch_position)? {
                Some(header) if offset >= header.base_offset => Ok(()),
                Some(header) => {
                    let begins = header.base_offset;
                    dump.found(at, format!("the batch at position {batch_position} begins behind it, at {begins}"))
                }
                None if beside.is_unknown => Ok(()),
                None => dump.found(at, format!("no batch begins at position {batch_position}")),
            }
        })
    }

    pub(super) fn time_index(&mut self, base: Offset) -> Outcome {
        let segment = self.segment_beside(base)?;
        let mut beside = segment.as_ref().map(|segment| Beside::new(segment, self.options.max_unpacked_bytes));
        let mut before = None;
        self.entries::<12>(true, |dump, at, entry| {
            let [a, b, c, d, e, f, g, h, i, j, k, l] = *entry;
            let timestamp = Timestamp(i64::from_be_bytes([a, b, c, d, e, f, g, h]));
            let relative = i32::from_be_bytes([i, j, k, l]);
            let offset = base.plus(i64::from(relative));
            dump.show(Dumped::TimeEntry { position: at, timestamp, offset })?;
            let is_sorted = before.is_none_or(|(time, last)| time < timestamp && last <= offset);
            before = Some((timestamp, offset));
            if relative < 0 || !is_sorted {
                return dump.found(at, "the entry is not behind the one before");
            }
            let Some(beside) = &mut beside else { return Ok(()) };
            match beside.with_offset(offset)? {
                Some(_) if beside.largest == timestamp => Ok(()),
                Some(_) => {
                    let largest = beside.largest;
                    dump.found(at, format!("the largest time up to offset {offset} is {largest}"))
                }
                None if beside.is_unknown => Ok(()),
                None => dump.found(at, format!("no batch holds offset {offset}")),
            }
        })
    }

    pub(super) fn transaction_index(&mut self, base: Offset) -> Outcome {
        let segment = self.segment_beside(base)?;
        let mut beside = segment.as_ref().map(|segment| Beside::new(segment, self.options.max_unpacked_bytes));
        let mut before = None;
        self.entries::<{ AbortedTransaction::ENTRY_BYTES }>(false, |dump, at, entry| {
            let Some(transaction) = AbortedTransaction::decode(entry) else {
                return dump.found(at, "the version of the entry is not 0");
            };
            dump.show(Dumped::Aborted { position: at, transaction })?;
            let AbortedTransaction { producer_id, first_offset, last_offset, .. } = transaction;
            let is_sorted = before.is_none_or(|last| last < last_offset);
            before = Some(last_offset);
            if !is_sorted {
                return dump.found(at, "the entry is not behind the one before");
            }
            if first_offset.0 < 0 || first_offset > last_offset || last_offset < base {
                return dump.found(at, "its offsets do not fit each other, or the segment");
            }
            let Some(beside) = &mut beside else { return Ok(()) };
            match beside.with_offset(last_offset)? {
                Some(header) if header.is_control() && header.producer_id == producer_id && beside.is_abort => Ok(()),
                None if beside.is_unknown => Ok(()),
                _ => dump.found(at, format!("no abort of producer {producer_id} stands at offset {last_offset}")),
            }
        })
    }

    /// Goes through the entries of the file. If it `may_be_untrimmed`, two or more of zeros at its end are none.
    fn entries<const N: usize>(
        &mut self,
        may_be_untrimmed: bool,
        mut see: impl FnMut(&mut Self, u64, &[u8; N]) -> Outcome,
    ) -> Outcome {
        let (mut at, mut zeros) = (0, 0u64);
        loop {
            let chunk = self.file.slice(at, CHUNK_ENTRIES * N)?;
            let (entries, rest) = chunk.as_chunks::<N>();
            for entry in entries {
                if may_be_untrimmed && *entry == [0; N] {
                    zeros += 1;
                } else {
                    for back in (1..=std::mem::take(&mut zeros)).rev() {
                        see(self, at - back * N as u64, &[0; N])?;
                    }
                    see(self, at, entry)?;
                }
                at += N as u64;
            }
            if entries.is_empty() {
                let position = at - zeros * N as u64;
                match zeros {
                    0 => {}
                    1 => see(self, position, &[0; N])?,
                    entries => self.show(Dumped::Untrimmed { position, entries })?,
                }
                let left = rest.len();
                return if left == 0 {
                    Ok(())
                } else {
                    self.found(at, format!("{left} bytes are a piece of an entry"))
                };
            }
        }
    }

    /// The segment that the index belongs to, if it is to be looked at.
    fn segment_beside(&mut self, base: Offset) -> Outcome<Option<Segment>> {
        if !self.options.index_check {
            return Ok(None);
        }
        let plain = without_state(self.name);
        let extension = parse_segment_name(plain).map_or("", |(_, extension)| extension);
        let state = self.name.strip_prefix(plain).unwrap_or_default();
        debug_assert!(!extension.is_empty());
        let name = segment_name(base, "log") + state;
        match open(self.dir, base, &name) {
            Ok(segment) => Ok(Some(segment)),
            Err(error) if error.is_not_found() => {
                self.finding(None, None, format!("there is no {name} beside it"))?;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn open(dir: &Arc<dyn Dir>, base: Offset, name: &str) -> Result<Segment> {
    Segment::over(dir, base, dir.open(name)?)
}

/// The batches of the segment beside an index, one after the other, as the index's entries ask for them.
struct Beside<'a> {
    walk: Walk<'a>,
    /// The batch that was reached, and its place.
    reached: Option<(u64, BatchHeader)>,
    /// Of all batches up to that one.
    largest: Timestamp,
    /// Whether that one aborts a transaction.
    is_abort: bool,
    /// Damage of the segment is in the way, so that nothing can be said.
    is_unknown: bool,
}

impl<'a> Beside<'a> {
    fn new(segment: &'a Segment, max_unpacked_bytes: usize) -> Self {
        let walk = walk(segment, max_unpacked_bytes);
        Self { walk, reached: None, largest: Timestamp::NONE, is_abort: false, is_unknown: false }
    }

    /// The batch that begins at `position`.
    fn at_position(&mut self, position: u64) -> Result<Option<BatchHeader>> {
        self.go_on(|at, _| at >= position)?;
        Ok(self.reached.filter(|(at, _)| *at == position).map(|(_, header)| header))
    }

    /// The batch that holds `offset`.
    fn with_offset(&mut self, offset: Offset) -> Result<Option<BatchHeader>> {
        self.go_on(|_, header| header.last_offset() >= offset)?;
        let holds = |header: &BatchHeader| header.base_offset <= offset && offset <= header.last_offset();
        Ok(self.reached.map(|(_, header)| header).filter(holds))
    }

    /// Goes on to the first batch that is far enough.
    fn go_on(&mut self, is_there: impl Fn(u64, &BatchHeader) -> bool) -> Result<()> {
        while !self.reached.is_some_and(|(at, header)| is_there(at, &header)) {
            match self.walk.next_step()? {
                None => return Ok(()),
                Some(Step::Damage { .. }) => self.is_unknown = true,
                Some(Step::Batch { position, batch }) => {
                    let header = *batch.header();
                    self.largest = self.largest.max(header.max_timestamp);
                    self.is_abort = header.is_control()
                        && batch.records().is_ok_and(|mut records| {
                            let key = records.next().and_then(|record| record.ok()?.key());
                            key.and_then(ControlType::from_key) == Some(ControlType::Abort)
                        });
                    self.reached = Some((position, header));
                }
            }
        }
        Ok(())
    }
}
