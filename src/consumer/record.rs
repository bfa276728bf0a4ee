//! What `poll` returns: records that borrow from batches, and the owner of those batches.
//!
//! Nothing is made per record. A [`ConsumerRecords`] holds, in the order they were read, whole batches and the range
//! of offsets of each that this poll hands out; a [`ConsumerRecord`] is decoded when the iterator comes to it.
//!
//! ```text
//! batch      | 40 41 42 43 44 45 |        a batch that max.poll.records = 4 cuts
//! one poll     ^^^^^^^^^^^               starts at 40, to = 44
//! the next one             ^^^^^         starts at 44, to = 46, the same bytes
//! ```

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
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
    /// Where the first record begins that is returned: so many bytes before the end of the records.
    pub(super) start: usize,
    /// One past the last offset.
    pub(super) to: Offset,
    /// How many records that is.
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

    /// Keeps the records for which `keep` says so, in their order. The others count as read.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Consumer, Engine, Producer, ProducerRecord};
    /// # use std::time::Duration;
    /// # let engine = Engine::in_memory()?;
    /// # let producer = Producer::<str, str>::new(&engine)?;
    /// # for value in ["made", "paid", "sent"] {
    /// #     producer.send(ProducerRecord::to("orders").value(value))?.wait()?;
    /// # }
    /// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
    /// consumer.subscribe(["orders"])?;
    /// let mut records = consumer.poll(Duration::from_secs(1))?;
    /// records.retain(|record| record.value_bytes() != Some(b"paid"));
    /// assert_eq!(records.len(), 2);
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn retain(&mut self, mut keep: impl FnMut(&ConsumerRecord<'_, K, V>) -> bool) {
        let mut kept = Vec::with_capacity(self.chunks.len());
        for chunk in &self.chunks {
            let mut run: Option<Chunk> = None;
            for record in self.over(std::slice::from_ref(chunk)) {
                if !keep(&record) {
                    kept.extend(run.take());
                    continue;
                }
                let run = run.get_or_insert_with(|| Chunk { start: record.start, count: 0, ..chunk.clone() });
                run.count += 1;
                run.to = record.offset().next();
            }
            kept.extend(run);
        }
        self.chunks = kept;
    }

    /// The record at `place`, which moves behind it; `None` at the end.
    pub(super) fn take_at(&self, place: &mut Place) -> Option<OwnedRecord<K, V>> {
        loop {
            let chunk = self.chunks.get(place.chunk)?;
            let start = place.start.unwrap_or(chunk.start);
            let mut records = chunk.batch.last_records(start);
            if let Some(Ok(record)) = records.next()
                && record.offset() < chunk.to
            {
                place.start = Some(records.bytes_left());
                let (chunk, deserializers) = (chunk.clone(), self.deserializers.clone());
                return Some(OwnedRecord { chunk, start, deserializers });
            }
            *place = Place { chunk: place.chunk + 1, start: None };
        }
    }

    /// The first record of each partition at or behind `place`.
    pub(super) fn behind(&self, place: &Place) -> Vec<(&TopicPartition, Offset)> {
        let mut firsts = Vec::new();
        let mut place = place.clone();
        while let Some(record) = self.take_at(&mut place) {
            let chunk = &self.chunks[place.chunk];
            firsts.push((&chunk.partition, record.offset()));
            let same = self.chunks[place.chunk..].iter().take_while(|later| later.partition == chunk.partition);
            place = Place { chunk: place.chunk + same.count(), start: None };
        }
        firsts
    }

    fn over<'a>(&'a self, chunks: &'a [Chunk]) -> Iter<'a, K, V> {
        Iter { left: count(chunks), rest: chunks.iter(), current: None, deserializers: &self.deserializers }
    }
}

fn count(chunks: &[Chunk]) -> usize {
    chunks.iter().map(|chunk| chunk.count).sum()
}

impl<K: ?Sized + Deserialize, V: ?Sized + Deserialize> Clone for ConsumerRecords<K, V> {
    fn clone(&self) -> Self {
        Self { chunks: self.chunks.clone(), deserializers: self.deserializers.clone() }
    }
}

/// How far somebody has come in [`ConsumerRecords`].
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    chunk: usize,
    /// In that chunk; `None` at its beginning.
    start: Option<usize>,
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
            if let Some((chunk, records)) = &mut self.current {
                let start = records.bytes_left();
                if let Some(Ok(record)) = records.next()
                    && record.offset() < chunk.to
                {
                    self.left -= 1;
                    return Some(ConsumerRecord { chunk, record, start, deserializers: self.deserializers });
                }
            }
            let chunk = self.rest.next()?;
            self.current = Some((chunk, chunk.batch.last_records(chunk.start)));
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
    /// Where it begins: so many bytes before the end of its batch.
    start: usize,
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

    /// This record on its own, to be kept or sent to another thread. It holds on to the bytes of its whole batch, and
    /// copies none.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Consumer, Engine, OwnedRecord, Producer, ProducerRecord};
    /// # use std::time::Duration;
    /// # let engine = Engine::in_memory()?;
    /// # let producer = Producer::<str, str>::new(&engine)?;
    /// producer.send(ProducerRecord::to("orders").key("o-17").value("paid"))?.wait()?;
    /// # let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
    /// # consumer.subscribe(["orders"])?;
    /// let kept: Vec<OwnedRecord<str, str>> =
    ///     consumer.poll(Duration::from_secs(1))?.iter().map(|record| record.detach()).collect();
    /// assert_eq!(kept[0].value()?, Some("paid"));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    #[must_use]
    pub fn detach(&self) -> OwnedRecord<K, V> {
        OwnedRecord { chunk: self.chunk.clone(), start: self.start, deserializers: self.deserializers.clone() }
    }

    fn refused(&self, part: RecordPart, cause: Cause) -> Error {
        Error::RecordDeserialization { partition: self.chunk.partition.clone(), offset: self.offset(), part, cause }
    }
}

impl<K: ?Sized + Deserialize, V: ?Sized + Deserialize> Clone for ConsumerRecord<'_, K, V> {
    fn clone(&self) -> Self {
        Self { chunk: self.chunk, record: self.record, start: self.start, deserializers: self.deserializers }
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

/// A record that keeps its bytes alive by itself; [`ConsumerRecord::detach`] and [`RecordStream`] make it.
///
/// [`record`](Self::record) shows all of it. Each look at it finds the record in its batch anew, which is cheap.
///
/// [`RecordStream`]: crate::RecordStream
///
/// ```
/// # use ottla::{Consumer, Engine, Offset, Producer, ProducerRecord};
/// # let engine = Engine::in_memory()?;
/// # let producer = Producer::<str, str>::new(&engine)?;
/// producer.send(ProducerRecord::to("orders").key("o-17").value("paid").header("by", "till 3"))?.wait()?;
/// # let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
/// # consumer.subscribe(["orders"])?;
/// let kept = consumer.stream().next().expect("nobody has stopped it")?;
/// drop((consumer, engine));
/// std::thread::spawn(move || {
///     assert_eq!((kept.topic_partition(), kept.offset()), (&("orders", 0).into(), Offset(0)));
///     assert_eq!(kept.record().headers().last("by"), Some(Some(&b"till 3"[..])));
///     assert_eq!(kept.key()?, Some("o-17"));
///     Ok::<(), ottla::Error>(())
/// });
/// # Ok::<(), ottla::Error>(())
/// ```
pub struct OwnedRecord<K: ?Sized + Deserialize, V: ?Sized + Deserialize> {
    chunk: Chunk,
    start: usize,
    deserializers: Deserializers<K, V>,
}

impl<K: ?Sized + Deserialize, V: ?Sized + Deserialize> OwnedRecord<K, V> {
    /// The record, to be looked at.
    #[must_use]
    pub fn record(&self) -> ConsumerRecord<'_, K, V> {
        let record = self.chunk.batch.last_records(self.start).next().and_then(Result::ok);
        let record = record.expect("it was there when the batch was walked");
        ConsumerRecord { chunk: &self.chunk, record, start: self.start, deserializers: &self.deserializers }
    }

    /// Its topic and partition.
    #[must_use]
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.chunk.partition
    }

    /// Its number in the partition.
    #[must_use]
    pub fn offset(&self) -> Offset {
        self.record().offset()
    }

    /// Its key; `None` if it has none.
    ///
    /// # Errors
    /// As [`ConsumerRecord::key`].
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Consumer, Engine, Producer, ProducerRecord};
    /// # let engine = Engine::in_memory()?;
    /// # Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").key("o-17").value("paid"))?.wait()?;
    /// # let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
    /// # consumer.subscribe(["orders"])?;
    /// for record in consumer.stream().take(1) {
    ///     assert_eq!(record?.key()?, Some("o-17"));
    /// }
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn key(&self) -> Result<Option<K::View<'_>>> {
        self.record().key()
    }

    /// Its value; `None` if it has none: a tombstone.
    ///
    /// # Errors
    /// As [`ConsumerRecord::value`].
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Consumer, Engine, Producer, ProducerRecord};
    /// # let engine = Engine::in_memory()?;
    /// # Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").key("o-17").value("paid"))?.wait()?;
    /// # let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
    /// # consumer.subscribe(["orders"])?;
    /// for record in consumer.stream().take(1) {
    ///     assert_eq!(record?.value()?, Some("paid"));
    /// }
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn value(&self) -> Result<Option<V::View<'_>>> {
        self.record().value()
    }
}

impl<K: ?Sized + Deserialize, V: ?Sized + Deserialize> Clone for OwnedRecord<K, V> {
    fn clone(&self) -> Self {
        Self { chunk: self.chunk.clone(), start: self.start, deserializers: self.deserializers.clone() }
    }
}

impl<K: ?Sized + Deserialize, V: ?Sized + Deserialize> fmt::Debug for OwnedRecord<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.record().fmt(f)
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
        let key = record.key().map_or(Ok(()), |bytes| caught(|| self.key.check(topic, bytes)));
        key.map_err(|cause| (RecordPart::Key, cause))?;
        let value = record.value().map_or(Ok(()), |bytes| caught(|| self.value.check(topic, bytes)));
        value.map_err(|cause| (RecordPart::Value, cause))
    }
}

/// A panic of the user's counts as an error: going through the poll, it would lose the records that others gave before.
fn caught(check: impl FnOnce() -> Result<(), Cause>) -> Result<(), Cause> {
    catch_unwind(AssertUnwindSafe(check)).unwrap_or_else(|_panic| Err(Cause::msg("the deserializer panicked")))
}
