//! The one error type: what failed, where, and what to do about it.
//!
//! Variants keep Kafka's names and carry the values that a reader of the message needs. An error is cheap to clone,
//! since one failed batch fails every delivery in it.

use std::fmt;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::types::{Compression, Offset, TopicPartition};

/// A `Result` whose error is [`Error`].
///
/// ```
/// # use ottla::{Engine, Producer, ProducerRecord};
/// fn pay(producer: &Producer<str, str>, order: &str) -> ottla::Result<()> {
///     producer.send(ProducerRecord::to("orders").key(order).value("paid"))?.wait()?;
///     Ok(())
/// }
/// # let engine = Engine::in_memory()?;
/// assert!(pay(&Producer::new(&engine)?, "o-17").is_ok());
/// # Ok::<(), ottla::Error>(())
/// ```
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Any other error, to travel inside an [`Error`]: what serializers, deserializers and interceptors answer. The operator
/// `?` makes one.
///
/// ```
/// # use ottla::Cause;
/// fn parse(text: &str) -> Result<u32, Cause> {
///     if text.is_empty() {
///         return Err(Cause::msg("there is no text"));
///     }
///     Ok(text.parse()?)
/// }
/// assert_eq!(parse("x").unwrap_err().to_string(), "invalid digit found in string");
/// assert!(parse("x").unwrap_err().is::<std::num::ParseIntError>());
/// assert_eq!(parse("").unwrap_err().to_string(), "there is no text");
/// ```
// Not an error itself, or every error that is one could not be turned into it.
#[derive(Clone)]
pub struct Cause(Arc<dyn std::error::Error + Send + Sync>);

impl Cause {
    /// One that is nothing but a message.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(ottla::Cause::msg("no such color").to_string(), "no such color");
    /// ```
    #[must_use]
    pub fn msg(message: impl Into<String>) -> Self {
        Self(Arc::from(Box::<dyn std::error::Error + Send + Sync>::from(message.into())))
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for Cause {
    fn from(error: E) -> Self {
        Self(Arc::new(error))
    }
}

impl Deref for Cause {
    type Target = dyn std::error::Error + Send + Sync;

    fn deref(&self) -> &Self::Target {
        self.0.as_ref()
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why an operation failed; [`class`](Error::class) says what to do about it.
///
/// | [`ErrorClass`] | what happened | what to do |
/// |---|---|---|
/// | `Refused` | this call, record or file is at fault; nothing else is affected | mend it, or pass it by |
/// | `Retry` | nothing of it is or will be in the log, and the cause may go away | try again, later |
/// | `AbortTransaction` | the open transaction cannot commit (no error says so yet) | abort it and begin anew |
/// | `Fatal` | the handle, or the directory behind it, does not recover by itself | close, look at the cause, open again |
///
/// ```
/// # use ottla::{Engine, Error, ErrorClass, Producer, ProducerRecord};
/// # let engine = Engine::in_memory()?;
/// let producer = Producer::<str, str>::new(&engine)?;
/// let refused = producer.send(ProducerRecord::to("no/such/name").value("x")).unwrap_err();
/// assert!(matches!(refused, Error::InvalidTopic { .. }));
/// assert_eq!(refused.class(), ErrorClass::Refused);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, thiserror::Error)] // Clone: one batch fails, each of its deliveries says so
#[non_exhaustive]
#[expect(missing_docs, reason = "a variant's sentence covers its fields")]
pub enum Error {
    // --- reading a log ---------------------------------------------------------------------------------------------
    /// The offset is below the log start offset or above the log end offset. Kafka: `OFFSET_OUT_OF_RANGE`.
    #[error("{partition}: offset {requested} is outside {start}..={end}")]
    OffsetOutOfRange { partition: TopicPartition, requested: Offset, start: Offset, end: Offset },
    /// Stored bytes are damaged: offsets `first` to `last` (both included) cannot be read. Everything around them can:
    /// seek past `last`. `file_position` is in bytes. Kafka: `CORRUPT_MESSAGE`.
    #[error(
        "{partition}: offsets {first} to {last} are unreadable, {} at position {file_position}: {reason}",
        path.display()
    )]
    CorruptBatch {
        partition: TopicPartition,
        first: Offset,
        last: Offset,
        path: PathBuf,
        file_position: u64,
        reason: Arc<str>,
    },
    /// The log was cut behind a crash, and the position lay behind the cut: it is now `resumed_at`. Kafka:
    /// `LogTruncationException`.
    #[error("{partition}: position {requested} was cut off by a crash; the log goes on at {resumed_at}")]
    LogTruncated { partition: TopicPartition, requested: Offset, resumed_at: Offset },
    /// The batch of these offsets is compressed by a codec that this build leaves out; seek past `last`.
    #[error(
        "{partition}: offsets {first} to {last} are compressed with {codec}, and this build has no such codec: enable \
         the cargo feature `{codec}`"
    )]
    CodecNotCompiled { partition: TopicPartition, first: Offset, last: Offset, codec: Compression },
    /// A record's key or value is not what the deserializer expects. The position stays at the record; seek past it.
    /// Kafka: `RecordDeserializationException`.
    #[error("{partition}: cannot deserialize the {part} of the record at offset {offset}: {cause}")]
    RecordDeserialization { partition: TopicPartition, offset: Offset, part: RecordPart, cause: Cause },

    // --- writing to a log ------------------------------------------------------------------------------------------
    /// A record or a batch is larger than a limit allows, both in bytes; nothing was written. Kafka:
    /// `MESSAGE_TOO_LARGE`.
    #[error("{topic}: {size} bytes are more than {setting} = {limit} allows")]
    RecordTooLarge { topic: Arc<str>, size: u64, limit: u64, setting: &'static str },
    /// A record is not what the topic takes. No call gives it yet. Kafka: `INVALID_RECORD`.
    #[error("{topic}: {reason}")]
    InvalidRecord { topic: Arc<str>, reason: Arc<str> },
    /// A record's timestamp, in milliseconds since 1970, is negative, or outside what the topic takes. Kafka:
    /// `INVALID_TIMESTAMP`.
    #[error("{topic}: {timestamp} is no timestamp this topic takes: {reason}")]
    InvalidTimestamp { topic: Arc<str>, timestamp: i64, reason: Arc<str> },
    /// A serializer refused a key or value. Kafka: `SerializationException`.
    #[error("{topic}: cannot serialize the {part}: {cause}")]
    Serialization { topic: Arc<str>, part: RecordPart, cause: Cause },
    /// The producer's buffer stayed too full for `needed` bytes more, for as long as `max.block.ms`. Kafka:
    /// `BufferExhaustedException`.
    #[error("no room for {needed} bytes in buffer.memory = {limit} within {waited:?}")]
    BufferExhausted { needed: u64, limit: u64, waited: Duration },
    /// The disk is full. Nothing of the batch is or will be in the log: the producer has tried for as long as its
    /// `delivery.timeout.ms` and `retries` let it. Writing goes on by itself when there is room.
    #[error("no space left to {action} {}", path.display())]
    DiskFull { action: &'static str, path: PathBuf },
    /// It is in the log once or not at all, and only reading the log tells: a sync failed, or power did, before the
    /// answer was in.
    #[error("{partition}: the outcome is unknown: {cause}")]
    OutcomeUnknown { partition: TopicPartition, cause: Arc<Self> },

    // --- topics and groups -----------------------------------------------------------------------------------------
    /// No topic or partition of that name. Kafka: `UNKNOWN_TOPIC_OR_PARTITION`.
    #[error("there is no topic or partition {name}")]
    UnknownTopicOrPartition { name: Arc<str> },
    /// The topic was deleted, and perhaps created again, while a handle on it was in use. Kafka: `UNKNOWN_TOPIC_ID`.
    #[error("{partition}: the topic was deleted, or replaced by another one of the same name")]
    UnknownTopicId { partition: TopicPartition },
    /// There is a topic of that name already. Kafka: `TOPIC_ALREADY_EXISTS`.
    #[error("there is a topic {topic} already")]
    TopicAlreadyExists { topic: Arc<str> },
    /// The engine was told that topics stay: `delete.topic.enable` is false. Kafka: `TOPIC_DELETION_DISABLED`.
    #[error("{topic} stays: delete.topic.enable is false")]
    TopicDeletionDisabled { topic: Arc<str> },
    /// A topic cannot have that name. Kafka: `INVALID_TOPIC_EXCEPTION`.
    #[error("{name:?} cannot be the name of a topic: {reason}")]
    InvalidTopic { name: Arc<str>, reason: Arc<str> },
    /// A topic cannot have that many partitions. Kafka: `INVALID_PARTITIONS`.
    #[error("{topic}: {partitions} partitions: {reason}")]
    InvalidPartitions { topic: Arc<str>, partitions: u32, reason: &'static str },
    /// A setting has a value it cannot have, or a name nobody knows. Kafka: `INVALID_CONFIG`.
    #[error("{setting} = {value}: {reason}")]
    InvalidConfig { setting: Arc<str>, value: Arc<str>, reason: Arc<str> },
    /// A group cannot have that name, or none was given where one is needed. Kafka: `INVALID_GROUP_ID`.
    #[error("{group:?} cannot be a group: {reason}")]
    InvalidGroupId { group: Arc<str>, reason: Arc<str> },
    /// No group of that name is known. Kafka: `GROUP_ID_NOT_FOUND`.
    #[error("there is no group {group}")]
    GroupIdNotFound { group: Arc<str> },
    /// The group has as many members as `group.max.size` allows. Kafka: `GROUP_MAX_SIZE_REACHED`.
    #[error("group {group} has {limit} members already, which is group.max.size")]
    GroupMaxSizeReached { group: Arc<str>, limit: u32 },
    /// Another consumer has that `group.instance.id`, and has not left. Kafka: `UNRELEASED_INSTANCE_ID`.
    #[error("group {group}: the member with group.instance.id = {instance} has not left")]
    UnreleasedInstanceId { group: Arc<str>, instance: Arc<str> },
    /// None of the consumer's assignors is one that all other members have: see `partition.assignment.strategy`. Kafka:
    /// `INCONSISTENT_GROUP_PROTOCOL`.
    #[error("group {group}: its members and this consumer have no assignor in common")]
    InconsistentGroupProtocol { group: Arc<str> },
    /// An assignor failed, or dealt partitions against the rules; members keep what they have. The next poll asks it
    /// again.
    #[error("group {group}: the assignor {assignor} failed: {cause}")]
    Assignor { group: Arc<str>, assignor: Arc<str>, cause: Cause },
    /// A rebalance listener failed, in `method`. The partitions have changed hands all the same. Kafka: a
    /// `KafkaException` around the listener's.
    #[error("{method} of the rebalance listener failed: {cause}")]
    RebalanceListener { method: &'static str, cause: Cause },
    /// The group has members, and what was asked for is possible only while it has none. Kafka: `NON_EMPTY_GROUP`.
    #[error("group {group} has members")]
    NonEmptyGroup { group: Arc<str> },
    /// A member of the group subscribes to the topic, so its offsets stay. Kafka: `GROUP_SUBSCRIBED_TO_TOPIC`.
    #[error("group {group}: a member subscribes to {topic}")]
    GroupSubscribedToTopic { group: Arc<str>, topic: Arc<str> },
    /// The commit is not this consumer's to make: it is no member of the group any more, the partition has gone to
    /// another member, or the group has members and the consumer is none. Kafka: `CommitFailedException`.
    #[error("group {group}: the commit was refused: {reason}")]
    CommitFailed { group: Arc<str>, reason: Arc<str> },
    /// The offsets are committed or they are not, and only opening the directory again tells: they were written, and
    /// then a sync failed. Until then the group reads as if they were not; if they are not, its records come again,
    /// and none is skipped. Kafka has no such answer: its brokers sync nothing for a commit.
    #[error("group {group}: whether the offsets were committed is unknown: {cause}")]
    CommitOutcomeUnknown { group: Arc<str>, cause: Arc<Self> },
    /// A commit's metadata is longer than `offset.metadata.max.bytes`; `size` and `limit` are bytes. Kafka:
    /// `OFFSET_METADATA_TOO_LARGE`.
    #[error("{partition}: {size} bytes of commit metadata are more than {limit}")]
    OffsetMetadataTooLarge { partition: TopicPartition, size: usize, limit: usize },
    /// The group has committed nothing for the partition, and `auto.offset.reset` is `none`. Kafka:
    /// `NoOffsetForPartitionException`.
    #[error("{partition}: no committed offset, and auto.offset.reset is none")]
    NoOffsetForPartition { partition: TopicPartition },

    // --- handles ---------------------------------------------------------------------------------------------------
    /// The engine, producer or consumer was closed.
    #[error("the {what} is closed")]
    Closed { what: &'static str },
    /// The call does not fit what was called before. Kafka: `IllegalStateException`.
    #[error("{reason}")]
    IllegalState { reason: Arc<str> },
    /// An argument is out of its range. Kafka: `IllegalArgumentException`.
    #[error("{reason}")]
    IllegalArgument { reason: Arc<str> },
    /// It did not happen within the time allowed, and may happen later. Kafka: `TimeoutException`.
    #[error("{what} took longer than {waited:?}")]
    Timeout { what: &'static str, waited: Duration },
    /// Another thread called `wakeup`; nothing else has happened, and the next poll goes on. Kafka: `WakeupException`.
    #[error("woken by another thread")]
    Wakeup,
    /// Another thread is using the consumer. No call gives it: the compiler sees to that. Kafka:
    /// `ConcurrentModificationException`.
    #[error("the consumer is in use by another thread")]
    ConcurrentModification,

    // --- files -----------------------------------------------------------------------------------------------------
    /// The operating system refused; says what was tried, and where.
    #[error("cannot {action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: Arc<io::Error> },
    /// The directory is offline after a failed sync, or since its catalog is damaged: writing is refused until it is
    /// opened again, reading goes on. Kafka: `KAFKA_STORAGE_ERROR`.
    #[error("{} is offline: {cause}", directory.display())]
    Storage { directory: PathBuf, cause: Arc<Self> },
    /// The directory is open already, in this process or another one.
    #[error("{} is in use by {owner}", directory.display())]
    DirectoryLocked { directory: PathBuf, owner: Arc<str> },
    /// A file is from a newer version, or not from ottla at all; it was not touched.
    #[error("{}: {reason}", path.display())]
    UnsupportedVersion { path: PathBuf, reason: Arc<str> },
    /// A file other than a segment is damaged at `file_position`, in bytes, or missing.
    #[error("{} is damaged at position {file_position}: {reason}", path.display())]
    CorruptFile { path: PathBuf, file_position: u64, reason: Arc<str> },
}

/// The part of a record that a serializer or deserializer works on.
///
/// ```
/// # use ottla::{Consumer, Engine, Error, Producer, ProducerRecord, RecordPart};
/// # use std::time::Duration;
/// # let engine = Engine::in_memory()?;
/// Producer::<str, [u8]>::new(&engine)?.send(ProducerRecord::to("orders").value(b"\xff"))?.wait()?;
/// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
/// consumer.subscribe(["orders"])?;
/// match consumer.poll(Duration::from_secs(1)).unwrap_err() {
///     Error::RecordDeserialization { part, .. } => assert_eq!(part, RecordPart::Value),
///     other => return Err(other),
/// }
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordPart {
    /// The key.
    Key,
    /// The value.
    Value,
}

impl std::fmt::Display for RecordPart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Key => "key",
            Self::Value => "value",
        })
    }
}

/// What to do about an [`Error`]; the table is [there](Error).
///
/// ```
/// # use ottla::{Admin, Engine, Error, ErrorClass};
/// /// Whether a worker should sleep and try the same again.
/// fn should_retry(error: &Error) -> bool {
///     match error.class() {
///         ErrorClass::Retry => true,
///         ErrorClass::Refused => false, // it would be refused again
///         _ => panic!("to be opened again: {error}"),
///     }
/// }
/// # let engine = Engine::in_memory()?;
/// let refused = Admin::new(&engine).delete_topic("orders").unwrap_err();
/// assert!(!should_retry(&refused));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorClass {
    /// This call, record or file is at fault.
    Refused,
    /// Nothing happened, and trying again may help.
    Retry,
    /// The transaction has to be aborted. No error is of this class yet: there are no transactions.
    AbortTransaction,
    /// The handle or the directory has to be opened again.
    Fatal,
}

impl Error {
    /// What to do about it; the table is [there](Self).
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Engine, ErrorClass};
    /// let engine = Engine::in_memory()?;
    /// engine.close()?;
    /// let closed = engine.end_offset(&("orders", 0).into()).unwrap_err();
    /// assert_eq!(closed.class(), ErrorClass::Fatal);
    /// # Ok::<(), ottla::Error>(())
    /// ```
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::BufferExhausted { .. } | Self::DiskFull { .. } | Self::Timeout { .. } => ErrorClass::Retry,
            Self::Closed { .. }
            | Self::Storage { .. }
            | Self::OutcomeUnknown { .. }
            | Self::CommitOutcomeUnknown { .. }
            | Self::Io { .. } => ErrorClass::Fatal,
            _ => ErrorClass::Refused,
        }
    }

    /// Whether trying the same again may succeed, with nothing written twice.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Admin, Engine, MemoryDisk, NewTopic, Producer, ProducerConfig, ProducerRecord};
    /// let disk = MemoryDisk::new();
    /// let engine = Engine::builder().open_memory(&disk)?;
    /// Admin::new(&engine).create_topic(NewTopic::new("orders"))?;
    /// let config = ProducerConfig::builder().retries(0).build()?; // or it would try again by itself, for a while
    /// let producer = Producer::<str, str>::with_config(&engine, config)?;
    /// let send = || producer.send(ProducerRecord::to("orders").value("paid"))?.wait();
    ///
    /// let used = disk.files().iter().map(|(_, bytes)| bytes).sum();
    /// disk.set_capacity(Some(used));
    /// assert!(send().unwrap_err().is_retriable()); // no room: nothing was written
    /// disk.set_capacity(None);
    /// assert!(send().is_ok());
    /// # Ok::<(), ottla::Error>(())
    /// ```
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        self.class() == ErrorClass::Retry
    }

    /// Whether stored bytes turned out to be damaged: [`CorruptBatch`](Self::CorruptBatch) of a segment,
    /// [`CorruptFile`](Self::CorruptFile) of any other file.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Error, Engine, Offset, TopicPartition};
    /// # use std::path::PathBuf;
    /// let damaged = Error::CorruptBatch {
    ///     partition: TopicPartition::new("orders", 0),
    ///     first: Offset(4),
    ///     last: Offset(7),
    ///     path: PathBuf::from("log/orders-0/00000000000000000000.log"),
    ///     file_position: 210,
    ///     reason: "the checksum does not hold".into(),
    /// };
    /// assert!(damaged.is_corruption() && !damaged.is_retriable());
    /// ```
    #[must_use]
    pub const fn is_corruption(&self) -> bool {
        matches!(self, Self::CorruptBatch { .. } | Self::CorruptFile { .. })
    }

    /// An answer of the operating system, with what was tried and where; a full disk has a variant of its own.
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::DiskFull { action, path: path.to_owned() }
            }
            _ => Self::Io { action, path: path.to_owned(), source: Arc::new(source) },
        }
    }

    /// Whether the operating system said that there is no such file.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// Whether a sync failed: what it should have brought to the disk may be lost though it still reads well, and no
    /// later sync tells.
    pub(crate) fn is_failed_sync(&self) -> bool {
        match self {
            Self::Io { action, .. } | Self::DiskFull { action, .. } => action.starts_with("sync"),
            Self::Storage { cause, .. } => cause.is_failed_sync(),
            _ => false,
        }
    }

    /// Whether there was no room to write, which trying again with more of it mends. A sync that says so has failed.
    pub(crate) fn is_lack_of_room(&self) -> bool {
        matches!(self, Self::DiskFull { .. }) && !self.is_failed_sync()
    }

    /// A damaged file of ours.
    pub(crate) fn corrupt_file(path: &Path, file_position: u64, reason: impl Into<Arc<str>>) -> Self {
        Self::CorruptFile { path: path.to_owned(), file_position, reason: reason.into() }
    }

    /// A setting that was refused.
    pub(crate) fn invalid_config(setting: &str, value: impl ToString, reason: impl Into<Arc<str>>) -> Self {
        Self::InvalidConfig { setting: setting.into(), value: value.to_string().into(), reason: reason.into() }
    }

    /// A call at the wrong time.
    pub(crate) fn illegal_state(reason: impl Into<Arc<str>>) -> Self {
        Self::IllegalState { reason: reason.into() }
    }

    /// A value out of its range.
    pub(crate) fn illegal_argument(reason: impl Into<Arc<str>>) -> Self {
        Self::IllegalArgument { reason: reason.into() }
    }

    /// No such topic.
    pub(crate) fn unknown_topic(name: impl ToString) -> Self {
        Self::UnknownTopicOrPartition { name: name.to_string().into() }
    }
}
