//! Kafka's log in your process: durable, partitioned, replayable topics as a synchronous library.
//!
//! No broker, no network, no async runtime: a directory, and function calls. ottla is to Kafka what SQLite is to a
//! database server.
//!
//! # A tour
//!
//! An [`Engine`] opens a directory; [`Engine::in_memory`] is the same without one. A [`Producer`] sends records from
//! any thread, and a [`Delivery`] tells what became of each. A [`Consumer`] polls records, and its group remembers how
//! far it came. `<str, str>` are the types of keys and values.
//!
//! ```
//! use std::time::Duration;
//! use ottla::{Consumer, Engine, Offset, Producer, ProducerRecord};
//!
//! let engine = Engine::in_memory()?; // on a disk: Engine::open("data")?
//! let producer = Producer::<str, str>::new(&engine)?;
//! let delivery = producer.send(ProducerRecord::to("orders").key("o-17").value("paid"))?;
//! assert_eq!(delivery.wait()?.offset(), Some(Offset(0)));
//!
//! let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
//! consumer.subscribe(["orders"])?;
//! for record in &consumer.poll(Duration::from_secs(5))? {
//!     assert_eq!((record.key()?, record.value()?), (Some("o-17"), Some("paid")));
//! }
//! consumer.commit_sync()?;
//! consumer.close()?;
//! producer.close()?;
//! engine.close()?;
//! # Ok::<(), ottla::Error>(())
//! ```
//!
//! The words are Kafka's. A *topic* is a named log of records, in one or more *partitions*; a record's *offset* is its
//! number in its partition. Records of one key go to one partition, where they keep their order; across partitions
//! there is none. A *group* is a name under which the next offset to read is *committed*, so that whoever comes next
//! goes on there. Nothing is removed by being read: any number of groups read the same records, and each may go back.
//!
//! | to | use |
//! |---|---|
//! | open a directory, and learn what opening found | [`Engine`], [`EngineBuilder`], [`OpenReport`] |
//! | send records, and wait for them, `await` them or be called back | [`Producer`], [`ProducerRecord`], [`Delivery`] |
//! | choose how safe "sent" is | [`Acks`] |
//! | read records, go back, by time too, commit | [`Consumer`], [`ConsumerRecords`], [`ConsumerRecord`] |
//! | read record by record, until somebody says stop | [`RecordStream`], [`StopHandle`], [`WakeupHandle`] |
//! | see, and leave out, what is read | [`ConsumerInterceptor`], [`ConsumerBuilder`] |
//! | see every record on its way, choose its partition | [`ProducerInterceptor`], [`Partitioner`], [`ProducerBuilder`] |
//! | send and read values of your own types | [`Serializer`], [`Serialize`], [`Deserializer`], [`Deserialize`] |
//! | create, list, describe and delete topics; see how far groups are behind; reset and delete them | [`Admin`] |
//! | know what to do about an error or a failure | [`Error`], [`ErrorClass`]; [more](_documentation::failures) |
//! | see how producers and consumers are doing | [`Producer::metrics`], [`Consumer::metrics`], [`Consumer::lag`] |
//! | change a setting | [`ProducerConfig`], [`ConsumerConfig`], [`EngineConfig`], [`TopicConfig`]; [more](_documentation::settings) |
//! | test what your application does when the power goes | [`MemoryDisk`] |
//! | read a directory that another process writes, without a lock | [`replay::Directory`], [`replay::PartitionReader`] |
//! | play back stored records, of any Kafka broker's directory too | [`replay::Archive`]; [more](_documentation::replay) |
//! | check every file of a directory, without changing it | [`verify`], [`VerifyReport`], [`Defect`] |
//! | make a damaged directory whole again | [`repair`], [`RepairReport`], [`RepairStep`] |
//! | decode stored batches | [`Batch`], [`Records`] |
//!
//! # What is promised
//!
//! A delivery of `acks = all`, the default, resolves when its record is on the disk, and so is the name of the file: it
//! survives a power cut. With `acks = 1` it survives `kill -9`. Nobody reads an `acks = all` record before it is
//! durable, and no group skips a record, whatever a crash took. Damage costs the records that it hit, and reading them
//! says which; nothing is ever cut away that was once durable. The [README](https://docs.rs/crate/ottla) has the whole
//! table, and [a page on failures](_documentation::failures) says what each does to you and what to do about it.
//!
//! # Blocking and threads
//!
//! Everything is synchronous. `send` blocks only while the producer's buffer is full, or while it creates a topic;
//! `wait`, `flush`, `poll`, `commit_sync` and `close` say how long they block. In an async application call them where
//! blocking is allowed, and `await` deliveries anywhere: a [`Delivery`] is a future that needs no runtime. An engine
//! starts three threads when it is opened and one more with the first callback; without an engine there are none, and
//! on a disk of [`MemoryDisk::stepped`] neither.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod types;

mod error;
mod sync;

mod config;
mod io;
mod metrics;

mod record;
mod storage;

mod replication;
mod topics;

mod coordinator;
mod engine;
pub mod replay;

mod admin;
mod consumer;
mod producer;

pub use crate::admin::{
    Admin, ExportOptions, ExportReport, ExportedPartition, ExportedTopic, GroupDescription, GroupListing, GroupMember,
    GroupMembers, GroupOffsetChange, GroupPartition, GroupReset, GroupState, ImportOptions, ImportReport, ListedOffset,
    NewTopic, OffsetSpec, PartitionDescription, PartitionImport, RepairAction, RepairOptions, RepairReport, RepairStep,
    TopicDescription, TopicImport, TopicListing, export, repair,
};
pub use crate::config::Setting;
pub use crate::consumer::{
    AssignmentStrategy, AutoOffsetReset, Consumer, ConsumerBuilder, ConsumerConfig, ConsumerConfigBuilder,
    ConsumerGroupMetadata, ConsumerInterceptor, ConsumerRecord, ConsumerRecords, Deserialize, Deserializer, Iter,
    OffsetAndTimestamp, OwnDeserializer, OwnedRecord, RebalanceListener, RecordStream, StopHandle, WakeupHandle,
};
pub use crate::coordinator::group::{
    Assignor, CooperativeStickyAssignor, GroupAssignment, GroupSubscription, MemberSubscription, OffsetAndMetadata,
    Offsets, RangeAssignor, RoundRobinAssignor, StickyAssignor,
};
pub use crate::engine::{Engine, EngineBuilder, EngineConfig, EngineConfigBuilder};
pub use crate::error::{Cause, Error, ErrorClass, RecordPart, Result};
pub use crate::io::MemoryDisk;
pub use crate::metrics::{Metric, Metrics};
#[cfg(feature = "uuid")]
pub use crate::producer::UuidSerializer;
#[cfg(feature = "json")]
pub use crate::producer::serializer::JsonSerializer;
pub use crate::producer::{
    BooleanSerializer, BytesSerializer, Delivery, DoubleSerializer, FloatSerializer, IntegerSerializer, Keep,
    ListSerializer, LongSerializer, OptionSerializer, Partitioner, PartlySent, Producer, ProducerBuilder,
    ProducerConfig, ProducerConfigBuilder, ProducerInterceptor, ProducerRecord, RecordMetadata, RoundRobinPartitioner,
    Serialize, Serializer, ShortSerializer, StringSerializer, VoidSerializer, partition_for_key,
};
pub use crate::record::{Batch, BatchFault, BatchHeader, ControlType, Headers, Record, Records};
pub use crate::replay::{VerifyOptions, VerifyReport, verify};
pub use crate::storage::{Defect, DefectKind, Finding, Lag, OpenReport, TopicConfig, TopicConfigBuilder};
#[cfg(feature = "json")]
pub use crate::types::Json;
pub use crate::types::{
    Acks, Compression, LeaderEpoch, Offset, ReadMode, Timestamp, TimestampType, TopicId, TopicPartition,
};

/// What is longer than the documentation of one item.
#[cfg(any(doc, doctest))]
pub mod _documentation {
    #[doc = include_str!("../docs/settings.md")]
    pub mod settings {}

    #[doc = include_str!("../docs/failures.md")]
    pub mod failures {}

    #[doc = include_str!("../docs/groups.md")]
    pub mod groups {}

    #[doc = include_str!("../docs/kafka.md")]
    pub mod kafka {}

    #[doc = include_str!("../docs/session.md")]
    pub mod session {}

    #[doc = include_str!("../docs/replay.md")]
    pub mod replay {}

    #[doc = include_str!("../docs/damages.md")]
    pub mod damages {}

    #[doc = include_str!("../docs/fuzzing.md")]
    pub mod fuzzing {}
}

/// Faults of a [`MemoryDisk`], to test applications with: the feature `sim`.
///
/// Run what your application does on a [simulated](MemoryDisk::simulated) disk, have the power fail at each step of it,
/// and see whether it keeps what it promises itself. All that happens follows from the seed, so what fails once fails
/// again, under a debugger too.
///
/// ```
/// use ottla::sim::{Fault, Faults, Operation, PowerCut};
/// use ottla::{Engine, MemoryDisk, Producer, ProducerRecord, Result};
///
/// /// Takes orders, and says so when they are safe.
/// fn take_orders(disk: &MemoryDisk, said: &mut i64) -> Result<()> {
///     let engine = Engine::builder().open_memory(disk)?;
///     let producer = Producer::<str, str>::new(&engine)?;
///     for _ in 0..3 {
///         producer.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
///         *said += 1;
///     }
///     engine.close()
/// }
///
/// for step in 0.. {
///     let disk = MemoryDisk::simulated(7);
///     disk.set_faults(Faults::none().one_in(10, Operation::Write, Fault::Short));
///     disk.fail_from(step);
///     let mut said = 0;
///     let outcome = take_orders(&disk, &mut said);
///     disk.power_cut_as(PowerCut::keeping(step).sector_bytes(4096));
///
///     let engine = Engine::builder().open_memory(&disk)?;
///     let kept = engine.end_offset(&("orders", 0).into()).map_or(0, |end| end.0); // or there is no topic yet
///     assert!(kept >= said, "the power failed at {:?}", disk.power_failed_at());
///     if outcome.is_ok() {
///         assert_eq!(kept, 3);
///         break; // through before that step
///     }
/// }
/// # Ok::<(), ottla::Error>(())
/// ```
#[cfg(feature = "sim")]
pub mod sim {
    pub use crate::io::{Fault, Faults, Operation, PowerCut};
}

/// What decodes bytes and is not public, for the fuzz targets in `fuzz/`. No part of the interface.
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::record::fuzzing::{build, legacy_decode, round_trip, varint};
    pub use crate::replay::fuzzing::{archive_open, consumer_offsets, dump_file};
    pub use crate::storage::fuzzing::{checkpoint, index_open, journal_open, snapshot, transaction_index};
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
