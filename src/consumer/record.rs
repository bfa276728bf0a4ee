//! What `poll` returns: records that borrow from batches, and the owner of those batches.
//!
//! Nothing is made per record. A [`ConsumerRecords`] holds, in the order they were read, whole batches and the range
//! of offsets of each that this poll hands out; a [`ConsumerRecord`] is decoded when the iterator comes to it.
//!
//! ```text
//! batch      | 40 41 42 43 44 45 |        a batch that max.poll.records = 4 cuts
//! one poll     ^^^^^^^^^^^               from = 40, to = 44
//! the next one             ^^^^^         from = 44, to = 46, the same bytes
//! ```

use std::fmt;
use std::sync::Arc;

use crate::consumer::deserializer::{Deserialize, Deserializer};
use crate::error::{Cause, Error, RecordPart, Result};
use crate::record::{Batch, Headers, Record, Records};
use crate::types::{LeaderEpoch, Offset, Timestamp, TimestampType, TopicPartition};

/// The part of a batch that one poll returns.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    pub(super) partition: TopicPartition,
    pub(super) batch: Batch,
    /// The first offset that is returned.
    pub(super) from: Offset,
    /// One past the last.
    pub(super) to: Offset,
    /// How many records of the batch have an offset in between.
    pub(super) count: usize,
}

/// Records in the order of their offsets, partition by partition. Kafka: `ConsumerRecords`.
///
/// It owns what it shows: it outlives the consumer, and the engine.
///
/// ```
/// # use ottla::{Consumer, Engine, Offset, Producer, ProducerRecord};
/// # use std::time::Duration;
/// # let engine = Engine::in_memory()?;
/// let producer = Producer::<str, str>::new(&engine)?;
/// producer.send(ProducerRecord::to("orders").key("o-17").value("paid"))?.wait()?;
///
/// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
/// consumer.subscribe(["orders"])?;
/// let records = consumer.poll(Duration::from_secs(1))?;
/// assert_eq!(records.len(), 1);
/// for record in &records {
///     assert_eq!((record.topic(), record.offset()), ("orders", Offset(0)));
///     assert_eq!((record.key()?, record.value()?), (Some("o-17"), Some("paid")));
/// }
/// # Ok::<(), ottla::Error>(())
/// ```
pub struct ConsumerRecords<K: ?Sized + Deserialize, V: ?Sized + Deserialize> {
    /// Those of one partition stand side by side.
    chunks: Vec<Chunk>,
    deserializers: Deserializers<K, V>,
}

impl<K: ?Sized + Deserialize, V: ?Sized + Deserialize> ConsumerRecords<K, V> {
    pub(super) fn new(chunks: Vec<Chunk>, deserializers: Deserializers<K, V>) -> Self {
        Self { chunks, deserializers }
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        count(&self.chunks)
    }

    /// Whether there is none: the time was up before one came.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The partitions that records are from, each once.
    pub fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.chunks.chunk_by(|one, next| one.partition == next.partition).map(|chunks| &chunks[0].partition)
    }

    /// The records, in the order in which they were read.
    #[must_use]
    pub fn iter(&self) -> Iter<'_, K, V> {
        self.over(&self.chunks)
    }

    /// The records of one partition; none if it had none.
    #[must_use]
    pub fn partition(&self, partition: &TopicPartition) -> Iter<'_, K, V> {
        let mut runs = self.chunks.chunk_by(|one, next| one.partition == next.partition);
        self.over(runs.find(|chunks| chunks[0].partition == *partition).unwrap_or_default())
    }

    fn over<'a>(&'a self, chunks: &'a [Chunk]) -> Iter<'a, K, V> {
        Iter { left: count(chunks), rest: chunks.iter(), current: None, deserializers: &self.deserializers }
    }
}

fn count(chunks: &[Chunk]) -> usize {
    chunks.iter().map(|chunk| chunk.count).sum()
}

impl<'a, K: ?Sized + Deserialize, V: ?Sized + Deserialize> IntoIterator for &'a ConsumerRecords<K, V> {
    type Item = ConsumerRecord<'a, K, V>;
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<K: ?Sized + Deserialize, V: ?Sized + Deserialize> fmt::Debug for ConsumerRecords<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

/// Iterates over [`ConsumerRecords`].
///
/// ```
/// # use ottla::{Consumer, Engine, Producer, ProducerRecord};
/// # use std::time::Duration;
/// # let engine = Engine::in_memory()?;
/// # let producer = Producer::<str, str>::new(&engine)?;
/// for value in ["made", "paid", "sent"] {
///     producer.send(ProducerRecord::to("orders").value(value))?;
/// }
/// producer.flush()?;
/// # let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
/// # consumer.subscribe(["orders"])?;
/// let records = consumer.poll(Duration::from_secs(1))?;
/// let mut records = records.iter();
/// assert_eq!(records.next().map(|record| record.value()).transpose()?, Some(Some("made")));
/// assert_eq!(records.len(), 2); // what is left
/// # Ok::<(), ottla::Error>(())
/// ```
pub struct Iter<'a, K: ?Sized + Deserialize, V: ?Sized + Deserialize> {
    rest: std::slice::Iter<'a, Chunk>,
    current: Option<(&'a Chunk, Records<'a>)>,
    /// How many records are still to come.
    left: usize,
    deserializers: &'a Deserializers<K, V>,
}

impl<'a, K: ?Sized + Deserialize, V: ?Sized + Deserialize> Iterator for Iter<'a, K, V> {
    type Item = ConsumerRecord<'a, K, V>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            // All records were walked once when the batch was read, so none fails now.
            while let Some((chunk, records)) = &mut self.current
                && let Some(Ok(record)) = records.next()
                && record.offset() < chunk.to
            {
                if record.offset() >= chunk.from {
                    self.left -= 1;
                    return Some(ConsumerRecord { chunk, record, deserializers: self.deserializers });
                }
            }
            let chunk = self.rest.next()?;
            self.current = chunk.batch.records().ok().map(|records| (chunk, records));
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<K: ?Sized + Deserialize, V: ?Sized + Deserialize> ExactSizeIterator for Iter<'_, K, V> {}

impl<K: ?Sized + Deserialize, V: ?Sized + Deserialize> fmt::Debug for Iter<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").field("left", &self.left).finish_non_exhaustive()
    }
}

/// A record, borrowed from the [`ConsumerRecords`] that own its bytes. Kafka: `ConsumerRecord`.
///
/// ```
/// # use ottla::{Consumer, Engine, Producer, ProducerRecord, Timestamp};
/// # use std::time::Duration;
/// # let engine = Engine::in_memory()?;
/// # let producer = Producer::<str, str>::new(&engine)?;
/// let sent = ProducerRecord::to("orders").key("o-17").value("paid").header("by", "till 3").timestamp(Timestamp(1000));
/// producer.send(sent)?.wait()?;
/// # let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
/// # consumer.subscribe(["orders"])?;
/// for record in &consumer.poll(Duration::from_secs(1))? {
///     assert_eq!((record.topic(), record.partition(), record.offset().0), ("orders", 0, 0));
///     assert_eq!((record.key()?, record.value()?), (Some("o-17"), Some("paid")));
///     assert_eq!(record.value_bytes(), Some(&b"paid"[..]));
///     assert_eq!(record.timestamp(), Timestamp(1000));
///     assert_eq!(record.headers().last("by"), Some(Some(&b"till 3"[..])));
/// }
/// # Ok::<(), ottla::Error>(())
/// ```
pub struct ConsumerRecord<'a, K: ?Sized + Deserialize, V: ?Sized + Deserialize> {
    chunk: &'a Chunk,
    record: Record<'a>,
    deserializers: &'a Deserializers<K, V>,
}

impl<'a, K: ?Sized + Deserialize, V: ?Sized + Deserialize> ConsumerRecord<'a, K, V> {
    /// The name of its topic.
    #[must_use]
    pub fn topic(&self) -> &'a str {
        self.chunk.partition.topic()
    }

    /// The number of its partition.
    #[must_use]
    pub fn partition(&self) -> u32 {
        self.chunk.partition.partition()
    }

    /// Its topic and partition.
    #[must_use]
    pub fn topic_partition(&self) -> &'a TopicPartition {
        &self.chunk.partition
    }

    /// Its number in the partition.
    #[must_use]
    pub fn offset(&self) -> Offset {
        self.record.offset()
    }

    /// When it was made or appended; [`timestamp_type`](Self::timestamp_type) says which.
    #[must_use]
    pub fn timestamp(&self) -> Timestamp {
        self.record.timestamp()
    }

    /// Whose clock [`timestamp`](Self::timestamp) is from.
    #[must_use]
    pub fn timestamp_type(&self) -> TimestampType {
        self.record.timestamp_type()
    }

    /// The leadership of the partition under which it was written.
    #[must_use]
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.chunk.batch.header().leader_epoch
    }

    /// Its headers, in order; a name may come more than once.
    pub fn headers(&self) -> Headers<'a> {
        self.record.headers()
    }

    /// Its key as it is stored; `None` if it has none.
    #[must_use]
    pub fn key_bytes(&self) -> Option<&'a [u8]> {
        self.record.key()
    }

    /// Its value as it is stored; `None` if it has none: a tombstone.
    #[must_use]
    pub fn value_bytes(&self) -> Option<&'a [u8]> {
        self.record.value()
    }

    /// Its key; `None` if it has none.
    ///
    /// # Errors
    /// [`Error::RecordDeserialization`] if the deserializer refuses what it accepted when `poll` looked at the record.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Consumer, Engine, Producer, ProducerRecord};
    /// # use std::time::Duration;
    /// # let engine = Engine::in_memory()?;
    /// # let producer = Producer::<str, str>::new(&engine)?;
    /// producer.send(ProducerRecord::to("orders").value("nobody's"))?.wait()?;
    /// producer.send(ProducerRecord::to("orders").key("o-17").value("paid"))?.wait()?;
    /// # let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
    /// # consumer.subscribe(["orders"])?;
    /// let records = consumer.poll(Duration::from_secs(1))?;
    /// let keys = records.iter().map(|record| record.key()).collect::<ottla::Result<Vec<_>>>()?;
    /// assert_eq!(keys, [None, Some("o-17")]);
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn key(&self) -> Result<Option<K::View<'a>>> {
        let key = self.key_bytes().map(|bytes| self.deserializers.key.deserialize(self.topic(), bytes));
        key.transpose().map_err(|cause| self.refused(RecordPart::Key, cause))
    }

    /// Its value; `None` if it has none: a tombstone.
    ///
    /// # Errors
    /// As [`key`](Self::key).
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Consumer, Engine, Producer, ProducerRecord};
    /// # use std::time::Duration;
    /// # let engine = Engine::in_memory()?;
    /// # let producer = Producer::<str, str>::new(&engine)?;
    /// producer.send(ProducerRecord::to("orders").key("o-17"))?.wait()?; // no value
    /// # let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
    /// # consumer.subscribe(["orders"])?;
    /// for record in &consumer.poll(Duration::from_secs(1))? {
    ///     match record.value()? {
    ///         Some(value) => panic!("{value} was not sent"),
    ///         None => assert_eq!(record.key()?, Some("o-17")), // what is known of o-17 is to be forgotten
    ///     }
    /// }
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn value(&self) -> Result<Option<V::View<'a>>> {
        let value = self.value_bytes().map(|bytes| self.deserializers.value.deserialize(self.topic(), bytes));
        value.transpose().map_err(|cause| self.refused(RecordPart::Value, cause))
    }

    fn refused(&self, part: RecordPart, cause: Cause) -> Error {
        Error::RecordDeserialization { partition: self.chunk.partition.clone(), offset: self.offset(), part, cause }
    }
}

impl<K: ?Sized + Deserialize, V: ?Sized + Deserialize> Clone for ConsumerRecord<'_, K, V> {
    fn clone(&self) -> Self {
        Self { chunk: self.chunk, record: self.record, deserializers: self.deserializers }
    }
}

impl<K: ?Sized + Deserialize, V: ?Sized + Deserialize> fmt::Debug for ConsumerRecord<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsumerRecord")
            .field("partition", &format_args!("{}", self.chunk.partition))
            .field("offset", &self.offset().0)
            .field("timestamp", &self.timestamp().0)
            .field("key", &self.key_bytes())
            .field("value", &self.value_bytes())
            .finish_non_exhaustive()
    }
}

/// How keys and values are read.
pub(super) struct Deserializers<K: ?Sized + Deserialize, V: ?Sized + Deserialize> {
    pub(super) key: Arc<dyn Deserializer<K>>,
    pub(super) value: Arc<dyn Deserializer<V>>,
}

impl<K: ?Sized + Deserialize, V: ?Sized + Deserialize> Clone for Deserializers<K, V> {
    fn clone(&self) -> Self {
        Self { key: Arc::clone(&self.key), value: Arc::clone(&self.value) }
    }
}

/// Looks at records before they are returned; what deserializers are to code that does not know their types.
pub(super) trait Inspect {
    /// Whether any record will do.
    fn accepts_all(&self) -> bool;

    /// Whether key and value of `record` can be read; else which cannot, and why.
    fn inspect(&self, topic: &str, record: &Record<'_>) -> Result<(), (RecordPart, Cause)>;
}

impl<K: ?Sized + Deserialize, V: ?Sized + Deserialize> Inspect for Deserializers<K, V> {
    fn accepts_all(&self) -> bool {
        self.key.accepts_all() && self.value.accepts_all()
    }

    fn inspect(&self, topic: &str, record: &Record<'_>) -> Result<(), (RecordPart, Cause)> {
        let key = record.key().map_or(Ok(()), |bytes| self.key.check(topic, bytes));
        key.map_err(|cause| (RecordPart::Key, cause))?;
        let value = record.value().map_or(Ok(()), |bytes| self.value.check(topic, bytes));
        value.map_err(|cause| (RecordPart::Value, cause))
    }
}
