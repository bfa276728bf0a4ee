//! The producer: takes records from any thread, and tells what became of them.
//!
//! `send` runs serializer and partitioner, encodes the record once, into the open batch of its partition, and answers
//! a [`Delivery`]. Nothing is allocated for a record, only for a batch; and no thread is waited for unless the buffer
//! is full.

mod accumulator;
mod builder;
mod config;
mod delivery;
mod interceptor;
mod known_topics;
mod memory;
mod metrics;
mod partitioner;
mod random;
mod ratio;
mod record;
mod retry;
mod send_all;
pub(crate) mod serializer;

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::engine::{BatchSource, Engine};
use crate::error::{Error, Result};
use crate::metrics::Metrics;
use crate::producer::accumulator::{Accumulator, EncodedRecord, PartitionQueue};
use crate::producer::delivery::DeliveryCallback;
use crate::producer::interceptor::Interceptors;
use crate::producer::known_topics::KnownTopics;
use crate::producer::partitioner::Sticky;
use crate::producer::ratio::CompressionRatio;
use crate::record::{BatchHeader, single_record_size};
use crate::sync::lock;
use crate::topics::Topic;
use crate::types::{Compression, Timestamp};

pub use builder::ProducerBuilder;
pub use config::{ProducerConfig, ProducerConfigBuilder};
pub use delivery::Delivery;
pub use interceptor::{Keep, ProducerInterceptor};
pub use partitioner::{Partitioner, RoundRobinPartitioner, partition_for_key};
pub use record::{ProducerRecord, RecordMetadata};
pub use send_all::PartlySent;
#[cfg(feature = "uuid")]
pub use serializer::UuidSerializer;
pub use serializer::{
    BooleanSerializer, BytesSerializer, DoubleSerializer, FloatSerializer, IntegerSerializer, ListSerializer,
    LongSerializer, OptionSerializer, Serialize, Serializer, ShortSerializer, StringSerializer, VoidSerializer,
};

/// Sends records with keys of type `K` and values of type `V`. Kafka: `KafkaProducer`.
///
/// Clones share everything, and `send` takes `&self`: use one producer from as many threads as you like. Records that
/// one thread sends to one partition stay in their order.
///
/// When the last clone is dropped, what was sent is still written; [`close`](Self::close) waits for that.
///
/// ```
/// # use ottla::{Engine, Offset, Producer, ProducerRecord};
/// let engine = Engine::in_memory()?;
/// let producer = Producer::<str, str>::new(&engine)?;
/// let delivery = producer.send(ProducerRecord::to("orders").key("o-17").value("paid"))?;
/// assert_eq!(delivery.wait()?.offset(), Some(Offset(0)));
/// # Ok::<(), ottla::Error>(())
/// ```
pub struct Producer<K: ?Sized, V: ?Sized> {
    inner: Arc<Inner<K, V>>,
}

/// What a producer is put together from.
struct Parts<K: ?Sized, V: ?Sized> {
    config: ProducerConfig,
    key_serializer: Box<dyn Serializer<K>>,
    value_serializer: Box<dyn Serializer<V>>,
    interceptors: Interceptors<K, V>,
    partitioner: Option<Box<dyn Partitioner>>,
}

struct Inner<K: ?Sized, V: ?Sized> {
    engine: Engine,
    config: ProducerConfig,
    key_serializer: Box<dyn Serializer<K>>,
    value_serializer: Box<dyn Serializer<V>>,
    /// Whether one of them does.
    needs_scratch: bool,
    interceptors: Interceptors<K, V>,
    partitioner: Option<Box<dyn Partitioner>>,
    accumulator: Arc<Accumulator>,
    topics: KnownTopics,
    /// Buffers for serializers that need one.
    scratch: Mutex<Vec<Vec<u8>>>,
}

/// The queues of one topic's partitions.
struct TopicQueues {
    topic: Arc<Topic>,
    queues: Vec<Arc<PartitionQueue>>,
    sticky: Sticky,
    /// What a record may take in its batch, by the settings that bound it.
    limits: [(&'static str, u64); 4],
    /// The least of these.
    record_limit: u64,
}

impl<K: Serialize + ?Sized, V: Serialize + ?Sized> Producer<K, V> {
    /// A producer with all defaults, and the serializers that belong to the types.
    ///
    /// # Errors
    /// [`Error::Closed`] if the engine is closed.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Engine, Producer, ProducerRecord};
    /// # let engine = Engine::in_memory()?;
    /// let producer = Producer::<[u8], [u8]>::new(&engine)?; // bytes as they are
    /// let metadata = producer.send(ProducerRecord::to("frames").value(b"\x00\x01"))?.wait()?;
    /// assert_eq!(metadata.serialized_value_size(), Some(2));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn new(engine: &Engine) -> Result<Self> {
        Self::with_config(engine, ProducerConfig::default())
    }

    /// A producer with settings, and the serializers that belong to the types.
    ///
    /// # Errors
    /// [`Error::Closed`] if the engine is closed.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Engine, Producer, ProducerConfig};
    /// # use std::time::Duration;
    /// # let engine = Engine::in_memory()?;
    /// let config = ProducerConfig::builder().linger(Duration::from_millis(20)).batch_size(256 * 1024).build()?;
    /// let producer = Producer::<str, str>::with_config(&engine, config)?;
    /// assert_eq!(producer.config().linger(), Duration::from_millis(20));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn with_config(engine: &Engine, config: ProducerConfig) -> Result<Self> {
        Self::with_serializers(engine, config, K::Serializer::default(), V::Serializer::default())
    }

    /// To put one together with interceptors or a partitioner, and the serializers that belong to the types.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Engine, Error, Producer, ProducerInterceptor, ProducerRecord, RecordMetadata};
    /// # use std::sync::Arc;
    /// # use std::sync::atomic::{AtomicU32, Ordering};
    /// #[derive(Clone, Default)]
    /// struct Failures(Arc<AtomicU32>);
    ///
    /// impl ProducerInterceptor<str, str> for Failures {
    ///     fn on_acknowledgement(&self, _: &str, _: Option<u32>, outcome: Result<&RecordMetadata, &Error>) {
    ///         self.0.fetch_add(u32::from(outcome.is_err()), Ordering::Relaxed);
    ///     }
    /// }
    ///
    /// # let engine = Engine::in_memory()?;
    /// let failures = Failures::default();
    /// let producer = Producer::<str, str>::builder(&engine).interceptor(failures.clone()).build()?;
    /// producer.send(ProducerRecord::to("no/such/name").value("paid")).unwrap_err();
    /// assert_eq!(failures.0.load(Ordering::Relaxed), 1);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn builder(engine: &Engine) -> ProducerBuilder<K, V> {
        ProducerBuilder::new(engine, Box::new(K::Serializer::default()), Box::new(V::Serializer::default()))
    }
}

impl<K: ?Sized, V: ?Sized> Producer<K, V> {
    /// A producer with settings and serializers. Kafka: `key.serializer`, `value.serializer`.
    ///
    /// # Errors
    /// [`Error::Closed`] if the engine is closed.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Cause, Engine, Producer, ProducerConfig, ProducerRecord, Serializer, StringSerializer};
    /// struct Decimal;
    ///
    /// impl Serializer<u64> for Decimal {
    ///     fn serialize<'a>(&self, _topic: &str, data: &'a u64, scratch: &'a mut Vec<u8>) -> Result<&'a [u8], Cause> {
    ///         scratch.extend_from_slice(data.to_string().as_bytes());
    ///         Ok(scratch)
    ///     }
    /// }
    ///
    /// # let engine = Engine::in_memory()?;
    /// let config = ProducerConfig::default();
    /// let producer = Producer::<str, u64>::with_serializers(&engine, config, StringSerializer, Decimal)?;
    /// let metadata = producer.send(ProducerRecord::to("cents").key("o-17").value(&1299))?.wait()?;
    /// assert_eq!(metadata.serialized_value_size(), Some(4));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn with_serializers(
        engine: &Engine,
        config: ProducerConfig,
        key_serializer: impl Serializer<K> + 'static,
        value_serializer: impl Serializer<V> + 'static,
    ) -> Result<Self> {
        Self::builder_with(engine, key_serializer, value_serializer).config(config).build()
    }

    /// To put one together with interceptors or a partitioner, and serializers of your own.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{BytesSerializer, Engine, Producer, ProducerRecord, RoundRobinPartitioner, StringSerializer};
    /// # let engine = Engine::in_memory()?;
    /// let producer = Producer::<str, [u8]>::builder_with(&engine, StringSerializer, BytesSerializer)
    ///     .partitioner(RoundRobinPartitioner::default())
    ///     .build()?;
    /// assert_eq!(producer.send(ProducerRecord::to("frames").value(b"\xff"))?.wait()?.partition(), 0);
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn builder_with(
        engine: &Engine,
        key_serializer: impl Serializer<K> + 'static,
        value_serializer: impl Serializer<V> + 'static,
    ) -> ProducerBuilder<K, V> {
        ProducerBuilder::new(engine, Box::new(key_serializer), Box::new(value_serializer))
    }

    fn with_parts(engine: &Engine, parts: Parts<K, V>) -> Result<Self> {
        let Parts { config, key_serializer, value_serializer, interceptors, partitioner } = parts;
        let accumulator = Arc::new(Accumulator::new(
            config.clone(),
            Arc::clone(engine.scheduler()),
            engine.writer_waker(),
            Arc::clone(engine.callbacks()),
            engine.random(),
        ));
        engine.add_source(Arc::clone(&accumulator) as Arc<dyn BatchSource>)?;
        let inner = Inner {
            engine: engine.clone(),
            needs_scratch: key_serializer.needs_scratch() || value_serializer.needs_scratch(),
            config,
            key_serializer,
            value_serializer,
            interceptors,
            partitioner,
            accumulator,
            topics: KnownTopics::new(),
            scratch: Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Queues `record` and returns at once; the [`Delivery`] resolves when its acks are in.
    ///
    /// A topic that does not exist is created if the engine does that (`auto.create.topics.enable`), which blocks until
    /// it is on the disk. Blocks while the buffer (`buffer.memory` bytes over all partitions) is full, at most until the
    /// call has taken `max.block.ms`.
    ///
    /// # Errors
    /// [`Error::RecordTooLarge`] if it exceeds `max.request.size`, `buffer.memory` or what the topic takes (which a
    /// producer that compresses learns from the `Delivery`);
    /// [`Error::Serialization`]; [`Error::InvalidTopic`], [`Error::UnknownTopicOrPartition`];
    /// [`Error::InvalidTimestamp`] if it is negative, or further from now than the topic takes; [`Error::BufferExhausted`] after `max.block.ms`;
    /// [`Error::Closed`]. Then nothing of it was queued. Later failures arrive through the `Delivery`.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Engine, Error, Producer, ProducerRecord};
    /// # let engine = Engine::in_memory()?;
    /// let producer = Producer::<str, str>::new(&engine)?;
    /// let mut deliveries = Vec::new();
    /// for order in ["o-17", "o-18", "o-19"] {
    ///     deliveries.push(producer.send(ProducerRecord::to("orders").key(order).value("paid"))?);
    /// }
    /// for delivery in deliveries {
    ///     assert!(delivery.wait()?.offset().is_some()); // on the disk
    /// }
    /// let too_large = "x".repeat(2 * 1024 * 1024);
    /// let refused = producer.send(ProducerRecord::to("orders").value(&too_large));
    /// assert!(matches!(refused, Err(Error::RecordTooLarge { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn send(&self, record: ProducerRecord<'_, K, V>) -> Result<Delivery> {
        let topic = record.topic;
        let sent = self.inner.send(record, None);
        // By reference: a delivery is not moved once more for each record.
        if sent.is_err() {
            self.inner.note_refused(topic);
        }
        sent
    }

    /// As [`send`](Self::send), and calls `callback` when it is known what became of the record: once, if this returns
    /// `Ok`, on the engine's thread for callbacks.
    ///
    /// Callbacks of one partition are called in the order in which its records were sent. When `wait` or `flush`
    /// returns, the callbacks of the records that it waited for have returned too. With `acks = 0` they are called when
    /// the records were written or lost, and are not told which.
    ///
    /// The callback may send, and must not wait: `wait`, `flush` and `close` are refused in it, and `send` does not block
    /// while the buffer is full but fails. If it panics, that is logged, and others are called all the same.
    ///
    /// # Errors
    /// As [`send`](Self::send); then `callback` is not called.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Engine, Producer, ProducerRecord};
    /// # let engine = Engine::in_memory()?;
    /// let producer = Producer::<str, str>::new(&engine)?;
    /// let (told, outcome) = std::sync::mpsc::channel();
    /// producer.send_with(ProducerRecord::to("orders").value("paid"), move |result| {
    ///     let _ = told.send(result);
    /// })?;
    /// producer.flush()?;
    /// assert_eq!(outcome.try_recv().expect("called before flush returns")?.partition(), 0);
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn send_with(
        &self,
        record: ProducerRecord<'_, K, V>,
        callback: impl FnOnce(Result<RecordMetadata>) + Send + 'static,
    ) -> Result<Delivery> {
        let topic = record.topic;
        let callback: DeliveryCallback = Box::new(|_, outcome| callback(outcome));
        self.inner.send(record, Some(callback)).inspect_err(|_| self.inner.note_refused(topic))
    }

    /// Queues all `records`, in their order, as [`send`](Self::send) would one after the other, for much less a record.
    /// Answers a delivery for each batch that they went into: that of its last record.
    ///
    /// When all of these have resolved well, all records are where `acks` wants them. Blocks as `send` does.
    ///
    /// # Errors
    /// [`PartlySent`] with the error that `send` would give for the first record that is refused, and with what was
    /// queued before it.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Engine, Offset, Producer, ProducerRecord};
    /// # let engine = Engine::in_memory()?;
    /// let producer = Producer::<str, str>::new(&engine)?;
    /// let records = ["made", "paid", "sent"].map(|value| ProducerRecord::to("orders").key("o-17").value(value));
    /// for delivery in producer.send_all(&records)? {
    ///     delivery.wait()?;
    /// }
    /// assert_eq!(engine.end_offset(&("orders", 0).into())?, Offset(3));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn send_all(&self, records: &[ProducerRecord<'_, K, V>]) -> Result<Vec<Delivery>, PartlySent> {
        self.inner.send_all(records)
    }

    /// Blocks until all that was sent before is resolved, well or not, and its callbacks have run. What is left of
    /// `linger.ms` does not matter.
    ///
    /// # Errors
    /// [`Error::IllegalState`] inside a callback. What became of the records, their deliveries say.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Engine, Producer, ProducerRecord};
    /// # let engine = Engine::in_memory()?;
    /// let producer = Producer::<str, str>::new(&engine)?;
    /// let delivery = producer.send(ProducerRecord::to("orders").value("paid"))?;
    /// producer.flush()?;
    /// assert!(delivery.try_get().expect("it is resolved").is_ok());
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn flush(&self) -> Result<()> {
        self.inner.engine.callbacks().refuse_inside("flush")?;
        self.inner.accumulator.flush(None);
        Ok(())
    }

    /// Closes the producer, for all clones: refuses further records, and blocks until those that were sent are
    /// resolved. The second call does nothing.
    ///
    /// # Errors
    /// [`Error::IllegalState`] inside a callback.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Engine, Error, Producer, ProducerRecord};
    /// # let engine = Engine::in_memory()?;
    /// let producer = Producer::<str, str>::new(&engine)?;
    /// let delivery = producer.send(ProducerRecord::to("orders").value("paid"))?;
    /// producer.close()?;
    /// assert!(delivery.try_get().expect("it is resolved").is_ok());
    /// let late = producer.send(ProducerRecord::to("orders").value("sent"));
    /// assert!(matches!(late, Err(Error::Closed { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn close(&self) -> Result<()> {
        self.inner.engine.callbacks().refuse_inside("close")?;
        self.inner.accumulator.refuse();
        self.inner.accumulator.flush(None);
        Ok(())
    }

    /// As [`close`](Self::close), and blocks for `timeout` at the most: then everything that the writer has not taken
    /// fails with [`Error::Closed`], and nothing of it is written. What the writer has taken resolves when the disk
    /// answers. Zero does not block. Kafka: `close(Duration)`.
    ///
    /// # Errors
    /// [`Error::IllegalState`] inside a callback, unless `timeout` is zero.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Engine, Error, Offset, Producer, ProducerConfig, ProducerRecord};
    /// # use std::time::Duration;
    /// # let engine = Engine::in_memory()?;
    /// let config = ProducerConfig::builder().linger(Duration::from_secs(60)).build()?;
    /// let producer = Producer::<str, str>::with_config(&engine, config)?;
    /// let delivery = producer.send(ProducerRecord::to("orders").value("paid"))?;
    /// producer.close_timeout(Duration::ZERO)?;
    /// assert!(matches!(delivery.wait(), Err(Error::Closed { .. })));
    /// assert_eq!(engine.end_offset(&("orders", 0).into())?, Offset(0));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn close_timeout(&self, timeout: Duration) -> Result<()> {
        let accumulator = &self.inner.accumulator;
        if timeout.is_zero() {
            accumulator.abort();
            return Ok(());
        }
        self.inner.engine.callbacks().refuse_inside("close")?;
        let deadline = accumulator.scheduler().now() + timeout;
        accumulator.refuse();
        accumulator.flush(Some(deadline));
        accumulator.abort();
        Ok(())
    }

    /// Its numbers as they are now, under Kafka's names: `record-send-rate`, `batch-size-avg`, `buffer-available-bytes`
    /// and others, of the producer as a whole and of each topic that it has sent to.
    ///
    /// Sizes are bytes and times milliseconds, unless the name says another unit. Where Kafka counts requests, a batch
    /// is one, and its latency is the time from when the writer takes it until its acks are in.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Engine, Producer, ProducerRecord};
    /// # let engine = Engine::in_memory()?;
    /// let producer = Producer::<str, str>::new(&engine)?;
    /// for _ in 0..10 {
    ///     producer.send(ProducerRecord::to("orders").value("paid"))?;
    /// }
    /// producer.flush()?;
    /// let metrics = producer.metrics();
    /// assert_eq!(metrics.get("record-send-total"), Some(10.0));
    /// assert_eq!(metrics.get("buffer-available-bytes"), metrics.get("buffer-total-bytes"));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let accumulator = &self.inner.accumulator;
        accumulator.metrics().snapshot(&accumulator.memory_use(), accumulator.scheduler().now())
    }

    /// Its settings.
    #[must_use]
    pub fn config(&self) -> &ProducerConfig {
        &self.inner.config
    }
}

impl<K: ?Sized, V: ?Sized> Inner<K, V> {
    #[inline]
    fn send(&self, record: ProducerRecord<'_, K, V>, callback: Option<DeliveryCallback>) -> Result<Delivery> {
        if self.interceptors.is_empty() {
            self.send_as_it_is(&record, callback)
        } else {
            self.send_intercepted(record, callback)
        }
    }

    /// Has interceptors see the record, and what becomes of it.
    fn send_intercepted(
        &self,
        record: ProducerRecord<'_, K, V>,
        callback: Option<DeliveryCallback>,
    ) -> Result<Delivery> {
        let keep = Keep::default();
        let record = self.interceptors.on_send(record, &keep);
        let listeners = self.interceptors.listeners();
        let told: DeliveryCallback = Box::new(move |partition, outcome| {
            listeners.tell(partition.topic(), Some(partition.partition()), outcome.as_ref());
            if let Some(callback) = callback {
                callback(partition, outcome);
            }
        });
        self.send_as_it_is(&record, Some(told)).inspect_err(|error| {
            self.interceptors.listeners().tell(record.topic, record.partition, Err(error));
        })
    }

    fn send_as_it_is(&self, record: &ProducerRecord<'_, K, V>, callback: Option<DeliveryCallback>) -> Result<Delivery> {
        self.check_open()?;
        if !self.needs_scratch {
            return self.serialize_and_send(record, callback, &mut (Vec::new(), Vec::new()));
        }
        let mut scratch = (self.take_scratch(), self.take_scratch());
        let sent = self.serialize_and_send(record, callback, &mut scratch);
        lock(&self.scratch).extend([scratch.0, scratch.1]);
        sent
    }

    fn check_open(&self) -> Result<()> {
        if self.accumulator.is_closed() {
            self.engine.ensure_open()?; // or that is the reason
            return Err(Error::Closed { what: "producer" });
        }
        Ok(())
    }

    /// A record was not queued.
    fn note_refused(&self, topic: &str) {
        let (metrics, now) = (self.accumulator.metrics(), self.accumulator.scheduler().now());
        match self.topics.find(topic) {
            Some(queues) => metrics.note_failed(queues.topic.name(), now, 1),
            None => metrics.note_refused(now), // names that nobody knows would add up
        }
    }

    fn take_scratch(&self) -> Vec<u8> {
        let mut scratch = lock(&self.scratch).pop().unwrap_or_default();
        scratch.clear();
        scratch
    }

    fn serialize_and_send(
        &self,
        record: &ProducerRecord<'_, K, V>,
        callback: Option<DeliveryCallback>,
        scratch: &mut (Vec<u8>, Vec<u8>),
    ) -> Result<Delivery> {
        let mut blocked = Duration::ZERO;
        let queues = match self.topics.find(record.topic) {
            Some(queues) => queues,
            None => self.make_queues(record.topic, &mut blocked)?,
        };
        let mut encoded = EncodedRecord::NOTHING;
        self.encode(record, queues, scratch, || self.engine.now(), &mut encoded)?;
        let partition = self.named_partition(record, &encoded, queues)?;
        self.append(queues, partition, &encoded, callback, blocked)
    }

    /// The queues of a topic that this producer has not sent to; the topic is created if need be.
    fn make_queues(&self, name: &str, blocked: &mut Duration) -> Result<&Arc<TopicQueues>> {
        let began = self.accumulator.scheduler().now();
        let topic = self.engine.topic_or_create(name)?;
        *blocked = self.accumulator.scheduler().now().since(began);
        self.accumulator.metrics().note_metadata_wait(*blocked);
        Ok(self.topics.add(&topic, |before| self.queues_of(&topic, before)))
    }

    /// New queues; for partitions that had one `before`, that.
    fn queues_of(&self, topic: &Arc<Topic>, before: Option<&TopicQueues>) -> TopicQueues {
        let known = before.map_or(&[][..], |before| &before.queues);
        let ratio = Arc::new(CompressionRatio::new());
        let queue = |partition| Arc::new(PartitionQueue::new(Arc::clone(partition), &self.config, &ratio));
        let queues = known.iter().map(Arc::clone).chain(topic.partitions[known.len()..].iter().map(queue)).collect();
        let limits = self.limits(topic);
        TopicQueues {
            topic: Arc::clone(topic),
            queues,
            sticky: Sticky::new(self.engine.random(), topic.entry.partitions),
            limits,
            record_limit: limits.iter().map(|(_, limit)| *limit).min().unwrap_or(u64::MAX),
        }
    }

    /// The record's own timestamp, if the topic takes it, or the time that `now` tells.
    fn timestamp(
        record: &ProducerRecord<'_, K, V>,
        queues: &TopicQueues,
        now: impl FnOnce() -> Timestamp,
    ) -> Result<Timestamp> {
        match record.timestamp {
            None | Some(Timestamp::NONE) => Ok(now()),
            Some(timestamp) if timestamp.0 >= 0 => {
                queues.topic.config.check_timestamp(record.topic, timestamp, now)?;
                Ok(timestamp)
            }
            Some(Timestamp(timestamp)) => {
                let reason = "it lies before 1970".into();
                Err(Error::InvalidTimestamp { topic: record.topic.into(), timestamp, reason })
            }
        }
    }

    /// What bounds a record of `topic`: one that nobody could store is refused before it joins a batch and takes its
    /// neighbours with it.
    fn limits(&self, topic: &Topic) -> [(&'static str, u64); 4] {
        // What the topic takes is counted compressed, which only the append can do.
        let is_compressed = self.config.compression != Compression::None;
        let of_topic = |bytes| if is_compressed { u64::MAX } else { u64::from(bytes) };
        [
            ("max.request.size", self.config.max_request_size as u64),
            ("buffer.memory", self.config.buffer_memory as u64),
            ("max.message.bytes", of_topic(topic.config.max_message_bytes())),
            ("segment.bytes", of_topic(topic.config.segment_bytes())),
        ]
    }

    /// Looks again at a record whose upper bound is over a limit: what counts is what it takes alone in a batch.
    #[cold]
    fn check_size(queues: &TopicQueues, record: &EncodedRecord<'_>) -> Result<()> {
        let size = (BatchHeader::LEN_BYTES + single_record_size(record.key, record.value, record.headers)) as u64;
        match queues.limits.iter().find(|(_, limit)| size > *limit) {
            None => Ok(()),
            Some(&(setting, limit)) => {
                Err(Error::RecordTooLarge { topic: Arc::clone(queues.topic.name()), size, limit, setting })
            }
        }
    }

    /// Appends to the partition `named`, or to any.
    fn append(
        &self,
        queues: &TopicQueues,
        named: Option<u32>,
        record: &EncodedRecord<'_>,
        callback: Option<DeliveryCallback>,
        blocked: Duration,
    ) -> Result<Delivery> {
        let (mut callback, mut blocked) = (callback, blocked);
        let may_move = named.is_none() && queues.queues.len() > 1;
        loop {
            let chosen = named.unwrap_or_else(|| queues.sticky.current());
            let queue = queues.queues.get(usize::try_from(chosen).unwrap_or(usize::MAX));
            let queue = queue.ok_or_else(|| Error::unknown_topic(format_args!("{}-{chosen}", queues.topic.name())))?;
            if let Some(delivery) = self.accumulator.append(queue, record, &mut callback, may_move, &mut blocked)? {
                return Ok(delivery);
            }
            if self.config.adaptive_partitioning {
                queues.sticky.move_on_by_load(chosen, queues.queues.iter().map(|queue| queue.waiting()));
            } else {
                queues.sticky.move_on(chosen);
            }
        }
    }
}

impl<K: ?Sized, V: ?Sized> Clone for Producer<K, V> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

/// What was sent is written all the same: the writer asks for it once more.
impl<K: ?Sized, V: ?Sized> Drop for Inner<K, V> {
    fn drop(&mut self) {
        self.accumulator.refuse();
    }
}

impl<K: ?Sized, V: ?Sized> fmt::Debug for Producer<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
