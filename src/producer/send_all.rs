//! Sends many records with one call: what a single `send` pays for each record is paid for a run of them.
//!
//! A run is records of one topic that go to one partition. They are serialized first, without a lock, since serializers
//! are code of the user's; then the queue's lock is taken once for as many as fit its open batch.

use std::fmt;
use std::time::Duration;

use crate::error::{Error, RecordPart, Result};
use crate::producer::accumulator::EncodedRecord;
use crate::producer::delivery::Delivery;
use crate::producer::partitioner::partition_for_key;
use crate::producer::{Inner, ProducerRecord, TopicQueues};
use crate::record::{BatchHeader, record_size_upper_bound};
use crate::types::Timestamp;

/// How many records a run has at most.
const RUN: usize = 64;

/// Why [`Producer::send_all`](crate::Producer::send_all) stopped, and how far it came. As an [`Error`] it is the cause
/// alone.
///
/// ```
/// # use ottla::{Engine, Error, Producer, ProducerConfig, ProducerRecord};
/// # let engine = Engine::in_memory()?;
/// let config = ProducerConfig::builder().max_request_size(100).build()?;
/// let producer = Producer::<str, str>::with_config(&engine, config)?;
/// let large = "x".repeat(200);
/// let values = ["a", &large, "b"];
/// let records = values.map(|value| ProducerRecord::to("orders").value(value));
/// let stopped = producer.send_all(&records).unwrap_err();
/// assert_eq!(stopped.queued, 1);
/// assert!(matches!(stopped.error, Error::RecordTooLarge { .. }));
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct PartlySent {
    /// So many records at the front were queued.
    pub queued: usize,
    /// Their deliveries: one a batch.
    pub deliveries: Vec<Delivery>,
    /// Why the next one was not.
    pub error: Error,
}

impl fmt::Display for PartlySent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "behind {} records that were queued: {}", self.queued, self.error)
    }
}

impl std::error::Error for PartlySent {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl From<PartlySent> for Error {
    fn from(stopped: PartlySent) -> Self {
        stopped.error
    }
}

/// What was queued so far.
#[derive(Debug, Default)]
struct Progress {
    queued: usize,
    deliveries: Vec<Delivery>,
}

impl Progress {
    /// Takes note of `count` records more, the last of which has `delivery`.
    fn note(&mut self, delivery: Delivery, count: usize) {
        self.queued += count;
        match self.deliveries.last_mut().filter(|last| last.shares_batch_with(&delivery)) {
            Some(last) => *last = delivery,
            None => self.deliveries.push(delivery),
        }
    }
}

impl<K: ?Sized, V: ?Sized> Inner<K, V> {
    pub(super) fn send_all(&self, records: &[ProducerRecord<'_, K, V>]) -> Result<Vec<Delivery>, PartlySent> {
        let mut progress = Progress::default();
        while progress.queued < records.len() {
            if let Err(error) = self.send_run(&records[progress.queued..], &mut progress) {
                let Progress { queued, deliveries } = progress;
                self.note_refused(records[queued].topic);
                return Err(PartlySent { queued, deliveries, error });
            }
        }
        Ok(progress.deliveries)
    }

    /// Sends at least one of `records`, and with it those behind it that go the same way.
    fn send_run(&self, records: &[ProducerRecord<'_, K, V>], progress: &mut Progress) -> Result<()> {
        // A partitioner is asked once for each record, and a run ends with one that goes elsewhere.
        if self.needs_scratch || !self.interceptors.is_empty() || self.partitioner.is_some() {
            progress.note(self.send(records[0].clone(), None)?, 1);
            return Ok(());
        }
        self.check_open()?;
        let queues = match self.topics.find(records[0].topic) {
            Some(queues) => queues,
            None => self.make_queues(records[0].topic, &mut Duration::default())?,
        };
        let (mut run, mut count, mut goes_to) = ([EncodedRecord::NOTHING; RUN], 0, None);
        // These serializers answer what they are given, and leave the scratch alone.
        let mut now = None; // they are sent at the same moment
        let mut scratch = [const { (Vec::new(), Vec::new()) }; RUN];
        for ((record, encoded), scratch) in records.iter().zip(&mut run).zip(&mut scratch) {
            if record.topic != records[0].topic {
                break; // the next run begins here
            }
            match self.encode(record, queues, scratch, || *now.get_or_insert_with(|| self.engine.now()), encoded) {
                Ok(()) => {
                    let partition = self.own_partition(record, encoded, queues);
                    if *goes_to.get_or_insert(partition) != partition {
                        break;
                    }
                    count += 1;
                }
                Err(error) if count == 0 => return Err(error),
                Err(_) => break, // what stands before it goes first, and then it is refused
            }
        }
        self.append_run(queues, goes_to.flatten(), &run[..count], progress)
    }

    /// A record in bytes, if the topic takes it. Written in place: handing it on as a value costs a stall for each
    /// record, since it is read in larger pieces than it was just written in.
    pub(super) fn encode<'a>(
        &self,
        record: &'a ProducerRecord<'_, K, V>,
        queues: &TopicQueues,
        (key_scratch, value_scratch): &'a mut (Vec<u8>, Vec<u8>),
        now: impl FnOnce() -> Timestamp,
        into: &mut EncodedRecord<'a>,
    ) -> Result<()> {
        let failed = |part, cause| Error::Serialization { topic: record.topic.into(), part, cause };
        let key = record.key.map(|key| self.key_serializer.serialize_or_null(record.topic, key, key_scratch));
        let key = key.transpose().map_err(|cause| failed(RecordPart::Key, cause))?.flatten();
        let value =
            record.value.map(|value| self.value_serializer.serialize_or_null(record.topic, value, value_scratch));
        let value = value.transpose().map_err(|cause| failed(RecordPart::Value, cause))?.flatten();
        let timestamp = Self::timestamp(record, queues, now)?;
        let size = record_size_upper_bound(key, value, &record.headers);
        *into = EncodedRecord { timestamp, key, value, headers: &record.headers, size };
        if (BatchHeader::LEN_BYTES + size) as u64 > queues.record_limit {
            Self::check_size(queues, into)
        } else {
            Ok(())
        }
    }

    /// The partition that a record names, itself or by its key, or that the partitioner has for it.
    #[inline]
    pub(super) fn named_partition(
        &self,
        record: &ProducerRecord<'_, K, V>,
        encoded: &EncodedRecord<'_>,
        queues: &TopicQueues,
    ) -> Result<Option<u32>> {
        match &self.partitioner {
            Some(partitioner) if record.partition.is_none() => {
                let count = queues.topic.entry.partitions;
                let chosen = partitioner.partition(record.topic, encoded.key, encoded.value, count);
                if chosen >= count {
                    let reason = format!("{}: the partitioner chose partition {chosen}, of {count}", record.topic);
                    return Err(Error::illegal_argument(reason));
                }
                Ok(Some(chosen))
            }
            _ => Ok(self.own_partition(record, encoded, queues)),
        }
    }

    /// The partition that a record names, itself or by its key.
    #[inline]
    fn own_partition(
        &self,
        record: &ProducerRecord<'_, K, V>,
        encoded: &EncodedRecord<'_>,
        queues: &TopicQueues,
    ) -> Option<u32> {
        let key = if self.config.ignore_keys { None } else { encoded.key };
        record.partition.or_else(|| key.map(|key| partition_for_key(key, queues.topic.entry.partitions)))
    }

    fn append_run(
        &self,
        queues: &TopicQueues,
        partition: Option<u32>,
        run: &[EncodedRecord<'_>],
        progress: &mut Progress,
    ) -> Result<()> {
        let mut rest = run;
        while let [first, behind @ ..] = rest {
            let mut delivery = self.append(queues, partition, first, None, Duration::ZERO)?;
            let more = self.accumulator.append_more(&mut delivery, behind);
            progress.note(delivery, 1 + more);
            rest = &behind[more..];
        }
        Ok(())
    }
}
