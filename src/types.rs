//! The nouns: what every other room talks about, without any behaviour that needs a room of its own.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The number of a record in its partition: the first is 0, each next one is larger.
///
/// ```
/// # use ottla::Offset;
/// assert_eq!(Offset(41).next(), Offset(42));
/// assert_eq!(Offset::ZERO.plus(42), Offset(42));
/// assert_eq!(Offset(42).to_string(), "42");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub i64);

impl Offset {
    /// The offset of the first record ever written to a partition.
    pub const ZERO: Self = Self(0);

    /// The offset behind this one; the largest offset is its own successor.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The offset `count` records later, without going past the largest one.
    #[must_use]
    pub const fn plus(self, count: i64) -> Self {
        Self(self.0.saturating_add(count))
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Milliseconds since 1970-01-01T00:00:00Z, as Kafka stores them; [`Timestamp::NONE`] stands for "no timestamp".
///
/// ```
/// # use ottla::Timestamp;
/// assert_eq!(Timestamp(1_700_000_000_000).to_string(), "1700000000000");
/// assert_eq!(Timestamp(1000).plus(std::time::Duration::from_secs(2)), Timestamp(3000));
/// assert!(!Timestamp::NONE.is_some());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// No timestamp. Kafka: `RecordBatch.NO_TIMESTAMP`.
    pub const NONE: Self = Self(-1);

    /// Whether this is a point in time rather than [`Timestamp::NONE`].
    #[must_use]
    pub const fn is_some(self) -> bool {
        self.0 != Self::NONE.0
    }

    /// This point in time and `duration` more, in whole milliseconds.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This point in time and `duration` less, in whole milliseconds.
    #[must_use]
    pub(crate) fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which leadership of a partition wrote a batch. Kafka: `partitionLeaderEpoch`.
///
/// A new epoch begins when a directory is opened that was not closed cleanly. Offsets that were committed under an
/// older epoch are read as the smaller of themselves and the end of that epoch, so a group never skips a record that
/// took the place of one a crash took away.
///
/// ```
/// # use ottla::{Admin, Engine, LeaderEpoch, MemoryDisk, NewTopic};
/// let disk = MemoryDisk::new();
/// let engine = Engine::builder().open_memory(&disk)?;
/// let orders = Admin::new(&engine).create_topic(NewTopic::new("orders"))?;
/// assert_eq!(orders.partitions[0].leader_epoch, LeaderEpoch::FIRST);
/// disk.power_cut();
/// # drop(engine);
///
/// let engine = Engine::builder().open_memory(&disk)?;
/// let orders = Admin::new(&engine).describe_topic("orders")?;
/// assert_eq!(orders.partitions[0].leader_epoch, LeaderEpoch(1));
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaderEpoch(pub i32);

impl LeaderEpoch {
    /// The epoch of a partition that has never been opened uncleanly.
    pub const FIRST: Self = Self(0);
    /// No epoch is known. Kafka: `RecordBatch.NO_PARTITION_LEADER_EPOCH`.
    pub const NONE: Self = Self(-1);
}

impl fmt::Display for LeaderEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How sealed segments are read: all of a log but its last segment, which is still written to.
///
/// Records, their order and the checks of them are the same in both modes.
///
/// ```
/// # use ottla::{Engine, EngineConfig, ReadMode};
/// # let data = tempfile::tempdir().expect("a temporary directory");
/// let config = EngineConfig::builder().read_mode(ReadMode::Mmap).build()?;
/// let engine = Engine::builder().config(config.clone()).open(data.path())?;
/// assert_eq!(config.value("log.read.mode").as_deref(), Some("mmap"));
/// # engine.close()?;
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ReadMode {
    /// With read calls into buffers that are used again; the default. A page that the disk cannot read is an
    /// [`Error::Io`](crate::Error::Io) with path and position.
    #[default]
    Buffered,
    /// From maps of the files: nothing is copied, and scans of what is in the page cache are faster.
    ///
    /// In return, nothing may happen to the files of a directory that is open. **If the disk fails under a mapped
    /// segment, or somebody cuts the file off, the process gets SIGBUS and ends**, in whatever thread touches the page:
    /// there is no call that could return an error. Removing a file is fine. What was read keeps its map, up to a whole
    /// segment of address space, until it is dropped, also beyond the deletion of the topic and the close of the
    /// engine.
    Mmap,
}

impl fmt::Display for ReadMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Buffered => "buffered",
            Self::Mmap => "mmap",
        })
    }
}

/// A partition of a topic; `orders-3` when printed, which is also the name of its directory.
///
/// ```
/// # use ottla::TopicPartition;
/// let partition = TopicPartition::new("orders", 3);
/// assert_eq!((partition.topic(), partition.partition()), ("orders", 3));
/// assert_eq!(partition.to_string(), "orders-3");
/// assert_eq!(partition, ("orders", 3).into());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    topic: Arc<str>,
    partition: u32,
}

impl TopicPartition {
    /// Names partition number `partition`, counted from 0, of `topic`.
    pub fn new(topic: impl Into<Arc<str>>, partition: u32) -> Self {
        Self { topic: topic.into(), partition }
    }

    /// The name of the topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The number of the partition, counted from 0.
    #[must_use]
    pub const fn partition(&self) -> u32 {
        self.partition
    }

    /// The name of the topic, shared.
    pub(crate) fn shared_topic(&self) -> Arc<str> {
        Arc::clone(&self.topic)
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

impl<T: Into<Arc<str>>> From<(T, u32)> for TopicPartition {
    fn from((topic, partition): (T, u32)) -> Self {
        Self::new(topic, partition)
    }
}

/// What tells a topic from another one that had the same name before. Kafka: `topic_id`, a UUID.
///
/// ```
/// # use ottla::{Admin, Engine, NewTopic};
/// # let engine = Engine::in_memory()?;
/// let admin = Admin::new(&engine);
/// let before = admin.create_topic(NewTopic::new("orders"))?.id;
/// admin.delete_topic("orders")?;
/// let after = admin.create_topic(NewTopic::new("orders"))?.id;
/// assert_ne!(before, after);
/// assert_eq!(after.to_string().len(), 22); // URL-safe base64, as Kafka writes it
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub(crate) [u8; 16]);

impl TopicId {
    /// Whether it is the other one with one of its letters damaged: ids are random, and no two are that close by chance.
    pub(crate) fn is_almost(self, other: Self) -> bool {
        self.0.iter().zip(&other.0).filter(|(one, other)| one != other).count() <= 2 // a letter has bits of two bytes
    }

    /// Makes an id of random bytes; the few values that Kafka keeps for itself are not used.
    pub(crate) fn from_random(mut bytes: [u8; 16]) -> Self {
        // The version (4) and variant bits of a random UUID: never all zero, never 0 or 1.
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        // The first six bits give the first letter: 62 would be '-', with which Kafka lets no id begin.
        if bytes[0] >> 2 == 62 {
            bytes[0] &= 0x7f;
        }
        Self(bytes)
    }

    /// Reads the 22 letters that [`Display`](fmt::Display) writes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let id = Self(bytes.try_into().ok()?);
        (id.0 != [0; 16]).then_some(id)
    }
}

/// As Kafka writes ids: 22 letters of URL-safe base64.
impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicId({self})")
    }
}

/// When a [`Delivery`](crate::Delivery) resolves. Kafka: `acks`.
///
/// | acks | resolved means | survives |
/// |---|---|---|
/// | [`Acks::Zero`] | `send` returned: the record is queued | nothing: it is written unless the process dies |
/// | [`Acks::One`] | it is in the leader's file (the page cache) | `kill -9` |
/// | [`Acks::All`] | it is on the disk of every in-sync replica, names included | a power cut |
///
/// ```
/// # use ottla::{Acks, Engine, Producer, ProducerConfig, ProducerRecord};
/// # let engine = Engine::in_memory()?;
/// let config = ProducerConfig::builder().acks(Acks::Zero).build()?;
/// let producer = Producer::<str, str>::with_config(&engine, config)?;
/// let metadata = producer.send(ProducerRecord::to("clicks").value("home"))?.wait()?; // returns at once
/// assert_eq!(metadata.offset(), None); // nobody waits to learn it
/// assert_eq!(Acks::default(), Acks::All);
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Acks {
    /// At once. The delivery carries no offset and never reports an error; a record that is lost is logged.
    Zero,
    /// When the leader has written it.
    One,
    /// When every in-sync replica has synced it; the default.
    #[default]
    All,
}

impl fmt::Display for Acks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Zero => "0",
            Self::One => "1",
            Self::All => "all",
        })
    }
}

/// How the records of a batch are compressed. Kafka: `compression.type`, the low three bits of a batch's attributes.
///
/// Of a batch with a codec that this build leaves out the header can be read, but not the records:
/// [`BatchFault::CodecNotCompiled`](crate::BatchFault::CodecNotCompiled).
///
/// ```
/// # use ottla::{BatchFault, Compression};
/// assert_eq!(Compression::default().to_string(), "none");
/// let fault = BatchFault::CodecNotCompiled { codec: Compression::Zstd };
/// assert!(fault.to_string().contains("zstd"));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy blocks in the framing of xerial.
    Snappy,
    /// LZ4 frames of independent blocks.
    Lz4,
    /// Zstandard frames.
    Zstd,
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        })
    }
}

/// Whose clock a timestamp is from. Kafka: `message.timestamp.type`.
///
/// ```
/// # use ottla::{Admin, Engine, NewTopic, Producer, ProducerRecord, Timestamp};
/// # let engine = Engine::in_memory()?;
/// let by_the_log = NewTopic::new("audit").config("message.timestamp.type", "LogAppendTime");
/// Admin::new(&engine).create_topic(by_the_log)?;
/// let producer = Producer::<str, str>::new(&engine)?;
/// let sent = producer.send(ProducerRecord::to("audit").value("login").timestamp(Timestamp(1000)))?;
/// assert!(sent.wait()?.timestamp() > Timestamp(1000)); // the time of the append
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TimestampType {
    /// The producer's: the record's own timestamp.
    #[default]
    CreateTime,
    /// The log's: when the batch was appended.
    LogAppendTime,
}

impl fmt::Display for TimestampType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CreateTime => "CreateTime",
            Self::LogAppendTime => "LogAppendTime",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_id_prints_and_parses_kafka_base64() {
        let id = TopicId([0xff; 16]);
        assert_eq!(id.to_string(), "_____________________w");
        assert_eq!(TopicId::parse("_____________________w"), Some(id));
        let one = TopicId([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(one.to_string(), "AAAAAAAAAAAAAAAAAAAAAQ"); // the id of __cluster_metadata
        assert_eq!(TopicId::parse("AAAAAAAAAAAAAAAAAAAAAQ"), Some(one));
        assert_eq!(TopicId::parse("AAAAAAAAAAAAAAAAAAAAAA"), None);
        assert_eq!(TopicId::parse("AAAAAAAAAAAAAAAAAAAAAR"), None);
        assert_eq!(TopicId::parse("short"), None);
    }

    #[test]
    fn random_topic_id_never_begins_with_a_dash() {
        for first in 0..=255u8 {
            let mut bytes = [0; 16];
            bytes[0] = first;
            let id = TopicId::from_random(bytes);
            assert!(!id.to_string().starts_with('-'));
            assert_eq!(TopicId::parse(&id.to_string()), Some(id));
        }
    }
}

/// A key or value that is JSON in the record: `T` is what serde makes of it.
///
/// ```
/// # use ottla::{Consumer, Engine, Json, Producer, ProducerRecord};
/// # use std::time::Duration;
/// # let engine = Engine::in_memory()?;
/// let producer = Producer::<str, Json<Vec<u32>>>::new(&engine)?;
/// producer.send(ProducerRecord::to("scores").key("ann").value(&Json(vec![3, 5])))?.wait()?;
///
/// let mut consumer = Consumer::<str, Json<Vec<u32>>>::new(&engine, "league")?;
/// consumer.subscribe(["scores"])?;
/// for record in &consumer.poll(Duration::from_secs(1))? {
///     assert_eq!(record.value()?, Some(vec![3, 5]));
///     assert_eq!(record.value_bytes(), Some(&b"[3,5]"[..]));
/// }
/// # Ok::<(), ottla::Error>(())
/// ```
#[cfg(feature = "json")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Json<T: ?Sized>(pub T);

#[cfg(feature = "json")]
impl<T: serde::Serialize + ?Sized> serde::Serialize for Json<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}
