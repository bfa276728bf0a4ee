//! ottla: Kafka's log in your process.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod types;

mod error;
mod sync;

mod config;
mod io;

mod record;
mod storage;

mod replication;
mod topics;

mod coordinator;
mod engine;

mod admin;
mod consumer;
mod producer;

pub use crate::admin::{
    Admin, GroupDescription, GroupListing, GroupPartition, NewTopic, PartitionDescription, TopicDescription,
    TopicListing,
};
pub use crate::config::Setting;
pub use crate::consumer::{
    AutoOffsetReset, Consumer, ConsumerConfig, ConsumerConfigBuilder, ConsumerRecord, ConsumerRecords, Deserialize,
    Deserializer, Iter, OffsetAndMetadata, OwnDeserializer,
};
pub use crate::engine::{Engine, EngineBuilder, EngineConfig, EngineConfigBuilder};
pub use crate::error::{Cause, Error, ErrorClass, RecordPart, Result};
pub use crate::io::MemoryDisk;
pub use crate::producer::{
    BytesSerializer, Delivery, Producer, ProducerConfig, ProducerConfigBuilder, ProducerRecord, RecordMetadata,
    Serialize, Serializer, StringSerializer,
};
pub use crate::record::{Batch, BatchFault, BatchHeader, ControlType, Headers, Record, Records};
pub use crate::storage::{Finding, OpenReport, TopicConfig, TopicConfigBuilder};
pub use crate::types::{Acks, Compression, LeaderEpoch, Offset, Timestamp, TimestampType, TopicId, TopicPartition};
