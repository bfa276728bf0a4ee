//! ottla: Kafka's log in your process.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod types;

mod error;
mod sync;

mod config;
mod io;

pub use crate::error::{Cause, Error, ErrorClass, RecordPart, Result};
pub use crate::io::MemoryDisk;
pub use crate::types::{Acks, Compression, LeaderEpoch, Offset, Timestamp, TimestampType, TopicId, TopicPartition};
