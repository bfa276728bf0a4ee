//! Bytes and records: batches of format v2, the one that Kafka writes since 0.11 and ottla always writes; and messages
//! of the formats before, which are only read.
//!
//! Pure: nothing here knows of files, clocks or locks. [`builder`] turns records into the bytes of a batch, [`batch`]
//! reads a batch's header and checks it, [`records`] goes through the records in it and borrows from its bytes.
//! [`legacy`] reads the old formats, as batches of the same kind. [`compression`] packs the records of a batch into one stream, and unpacks them within bounds.

mod batch;
mod builder;
mod compression;
mod control;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod legacy;
mod records;
#[cfg(test)]
mod tests;
mod varint;

pub use batch::{Batch, BatchFault, BatchHeader};
pub(crate) use batch::{BatchChecksum, MAGIC};
pub(crate) use builder::{
    BatchBuilder, ProducerStamp, SealedBatch, empty_batch, record_size_upper_bound, single_record_size,
};
pub(crate) use compression::{Codec, Compressor, Decompressor, is_compiled, levels};
pub use control::ControlType;
pub use records::{Headers, Record, Records};
