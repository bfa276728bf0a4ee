//! What is sent, and what is known of it afterwards.

use crate::types::{Offset, Timestamp, TopicPartition};

/// A record to be sent. It borrows what it is made of: nothing is copied before it goes into its batch.
///
/// ```
/// # use ottla::{ProducerRecord, Timestamp};
/// let record = ProducerRecord::<str, str>::to("orders")
///     .key("o-17")
///     .value("paid")
///     .header("trace", b"1")
///     .timestamp(Timestamp(1_700_000_000_000));
/// assert_eq!(record.topic(), "orders");
/// ```
#[derive(Debug)]
#[must_use]
#[non_exhaustive]
pub struct ProducerRecord<'a, K: ?Sized, V: ?Sized> {
    /// The name of the topic.
    pub topic: &'a str,
    /// The partition, if it is not to be chosen.
    pub partition: Option<u32>,
    /// The time of the record, if it is not that of the call to `send`.
    pub timestamp: Option<Timestamp>,
    /// The key; `None` is null.
    pub key: Option<&'a K>,
    /// The value; `None` is null.
    pub value: Option<&'a V>,
    /// Names and values, in their order; a value that is `None` is null.
    pub headers: Vec<(&'a str, Option<&'a [u8]>)>,
}

/// It borrows the same things; the list of headers is copied.
impl<K: ?Sized, V: ?Sized> Clone for ProducerRecord<'_, K, V> {
    fn clone(&self) -> Self {
        let Self { topic, partition, timestamp, key, value, ref headers } = *self;
        Self { topic, partition, timestamp, key, value, headers: headers.clone() }
    }
}

impl<'a, K: ?Sized, V: ?Sized> ProducerRecord<'a, K, V> {
    /// A record for `topic`, so far with null key and null value.
    pub const fn to(topic: &'a str) -> Self {
        Self { topic, partition: None, timestamp: None, key: None, value: None, headers: Vec::new() }
    }

    /// The key. Records of one key go to one partition.
    pub const fn key(mut self, key: &'a K) -> Self {
        self.key = Some(key);
        self
    }

    /// The value. Without one the record is a tombstone in a compacted topic.
    pub const fn value(mut self, value: &'a V) -> Self {
        self.value = Some(value);
        self
    }

    /// The partition, counted from 0, whatever the key is.
    pub const fn partition(mut self, partition: u32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// The time of the record, in place of that of the call to `send`, which [`Timestamp::NONE`] stands for.
    pub const fn timestamp(mut self, timestamp: Timestamp) -> Self {
        self.timestamp = Some(timestamp);
        self
    }

    /// Adds a header. The order stays, and a name may come twice.
    pub fn header(mut self, name: &'a str, value: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        self.headers.push((name, Some(value.as_ref())));
        self
    }

    /// Adds a header whose value is null.
    pub fn null_header(mut self, name: &'a str) -> Self {
        self.headers.push((name, None));
        self
    }

    /// The name of the topic.
    #[must_use]
    pub const fn topic(&self) -> &'a str {
        self.topic
    }
}

/// Where a record went. Kafka: `RecordMetadata`.
///
/// ```
/// # use ottla::{Engine, Offset, Producer, ProducerRecord};
/// # let engine = Engine::in_memory()?;
/// let producer = Producer::<str, str>::new(&engine)?;
/// let metadata = producer.send(ProducerRecord::to("orders").key("o-17").value("paid"))?.wait()?;
/// assert_eq!(metadata.topic(), "orders");
/// assert_eq!(metadata.offset(), Some(Offset(0)));
/// assert_eq!(metadata.serialized_value_size(), Some(4));
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordMetadata {
    pub(super) partition: TopicPartition,
    pub(super) offset: Option<Offset>,
    pub(super) timestamp: Timestamp,
    pub(super) key_size: Option<usize>,
    pub(super) value_size: Option<usize>,
}

impl RecordMetadata {
    /// The name of the topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.partition.topic()
    }

    /// The number of the partition.
    #[must_use]
    pub const fn partition(&self) -> u32 {
        self.partition.partition()
    }

    /// Topic and partition.
    #[must_use]
    pub const fn topic_partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// The record's offset; `None` with `acks = 0`, when nobody waits to learn it.
    #[must_use]
    pub const fn offset(&self) -> Option<Offset> {
        self.offset
    }

    /// The record's timestamp, as it is stored.
    #[must_use]
    pub const fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// How many bytes the key has; `None` for null.
    #[must_use]
    pub const fn serialized_key_size(&self) -> Option<usize> {
        self.key_size
    }

    /// How many bytes the value has; `None` for null.
    #[must_use]
    pub const fn serialized_value_size(&self) -> Option<usize> {
        self.value_size
    }
}
