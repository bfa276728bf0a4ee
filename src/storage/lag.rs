//! How far a reader is behind the end of a log, in all that a user may count.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::record::{Batch, Decompressor};
use crate::storage::log::Log;
use crate::types::{Offset, Timestamp};

/// How far a reader is behind in one partition: [`Consumer::lag`](crate::Consumer::lag) says it of a consumer,
/// [`GroupPartition::lag`](crate::GroupPartition::lag) of a group.
///
/// ```
/// # use ottla::{Consumer, Engine, Lag, Offset, Producer, ProducerRecord, Timestamp};
/// # use std::time::Duration;
/// # let engine = Engine::in_memory()?;
/// let producer = Producer::<str, str>::new(&engine)?;
/// producer.send(ProducerRecord::to("orders").value("paid").timestamp(Timestamp(1000)))?.wait()?;
/// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
/// consumer.assign([("orders", 0).into()])?;
/// consumer.seek(&("orders", 0).into(), Offset(0))?;
/// let Lag { records, time, .. } = consumer.lag(&("orders", 0).into())?.expect("there is a position");
/// assert_eq!(records, 1);
/// assert!(time > Duration::from_secs(3600)); // it was made in 1970
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lag {
    /// Offsets from the position, or the log start if that is behind it, to the end of what can be read.
    pub records: u64,
    /// Bytes of the batches that hold them, as they are stored. The batch that the position is in counts as a whole.
    pub bytes: u64,
    /// How old the next record is, by its timestamp; zero if there is none, or if it is from the future.
    pub time: Duration,
}

impl Log {
    /// How far a reader is behind `bound` that goes on at `position`, wherever that is: before the log start it goes on
    /// there, and behind `bound` it is behind by nothing. `bound` is the high watermark, and `now` the time of day.
    ///
    /// # Errors
    /// The operating system's. What is damaged is none: its bytes count, and its times are not known.
    pub(crate) fn lag_behind(&self, position: Offset, bound: Offset, now: Timestamp) -> Result<Lag> {
        let position = position.max(self.log_start());
        if position >= bound {
            return Ok(Lag::default());
        }
        let records = u64::try_from(bound.0.saturating_sub(position.0)).unwrap_or(0);
        let bytes = self.bytes_between(position, bound)?;
        let age = |at: Timestamp| u64::try_from(now.0.saturating_sub(at.0)).unwrap_or(0);
        let time = self.next_timestamp(position, bound)?.map_or(Duration::ZERO, |at| Duration::from_millis(age(at)));
        Ok(Lag { records, bytes, time })
    }

    /// The timestamp of the first record at or behind `position`; `None` if nobody can say.
    fn next_timestamp(&self, position: Offset, bound: Offset) -> Result<Option<Timestamp>> {
        let mut place = None;
        let mut from = position;
        loop {
            let batches = match self.read(&mut place, from, bound, 1) {
                Err(Error::CorruptBatch { .. } | Error::OffsetOutOfRange { .. }) => return Ok(None),
                batches => batches?,
            };
            let Some(last) = batches.last() else { return Ok(None) };
            from = last.header().next_offset();
            if let Some(found) = batches.iter().find_map(|batch| first_timestamp(batch, position)) {
                return Ok(found.is_some().then_some(found));
            }
        }
    }
}

/// The timestamp of the first record of `batch` at or behind `position`, if it has one.
fn first_timestamp(batch: &Batch, position: Offset) -> Option<Timestamp> {
    if batch.header().is_control() || batch.header().count == 0 {
        return None;
    }
    let unpacked = batch.clone().unpack_with(&mut Decompressor::default(), Batch::DEFAULT_UNPACKED_LIMIT);
    let Ok(unpacked) = unpacked else { return Some(batch.header().base_timestamp) }; // as near as one can tell
    let records = unpacked.records().into_iter().flatten().filter_map(Result::ok);
    records.skip_while(|record| record.offset() < position).map(|record| record.timestamp()).next()
}
