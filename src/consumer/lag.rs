//! How far a position is behind, beyond a count of offsets.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::record::{Batch, Decompressor};
use crate::replication::Partition;
use crate::types::{Offset, Timestamp};

/// How far a consumer is behind in one partition; [`Consumer::lag`](crate::Consumer::lag) measures it.
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

/// How far `position`, which is in the log, is behind the end of `partition`.
pub(super) fn lag_behind(partition: &Partition, position: Offset, records: u64, now: Timestamp) -> Result<Lag> {
    if records == 0 {
        return Ok(Lag::default());
    }
    let bytes = partition.bytes_between(position, partition.high_watermark())?;
    let time = next_timestamp(partition, position)?
        .map_or(Duration::ZERO, |at| Duration::from_millis(u64::try_from(now.0.saturating_sub(at.0)).unwrap_or(0)));
    Ok(Lag { records, bytes, time })
}

/// The timestamp of the first record at or behind `position`; `None` if nobody can say.
fn next_timestamp(partition: &Partition, position: Offset) -> Result<Option<Timestamp>> {
    let mut place = None;
    let mut from = position;
    loop {
        let batches = match partition.read(&mut place, from, 1) {
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
