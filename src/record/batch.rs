//! The header of a batch, and what has to hold for the whole of it.
//!
//! ```text
//!    0  i64  base offset             of the first record              |
//!    8  i32  length                  of all that follows this field   |  not covered by the checksum:
//!   12  i32  partition leader epoch                                   |  the log writes these when it appends
//!   16  i8   magic                   2                                |
//!   17  u32  crc                     CRC-32C of all that follows it
//!   21  i16  attributes              bits 0-2 codec, 3 append time, 4 transactional, 5 control, 6 delete horizon
//!   23  i32  last offset delta       of the last record, from the base offset
//!   27  i64  base timestamp          of the first record (or the delete horizon)
//!   35  i64  max timestamp           of all records, or the append time
//!   43  i64  producer id             -1 none
//!   51  i16  producer epoch          -1 none
//!   53  i32  base sequence           -1 none
//!   57  i32  records count
//!   61       records, one behind the other, or compressed as one stream
//! ```
//!
//! Kafka: `DefaultRecordBatch`.

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};

use crate::record::compression::Decompressor;
use crate::record::legacy;
use crate::record::records::Records;
use crate::types::{Compression, LeaderEpoch, Offset, Timestamp, TimestampType};

/// The only format of batches that is written.
pub(crate) const MAGIC: i8 = 2;

/// The first producer id of ours: no cluster, which counts from 0, ever gets to it.
const FIRST_OWN_PRODUCER: i64 = 1 << 62;

const LENGTH_AT: usize = 8;
const EPOCH_AT: usize = 12;
const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;
pub(super) const ATTRIBUTES_AT: usize = 21;
const LAST_OFFSET_DELTA_AT: usize = 23;
const BASE_TIMESTAMP_AT: usize = 27;
const MAX_TIMESTAMP_AT: usize = 35;
const PRODUCER_ID_AT: usize = 43;
const PRODUCER_EPOCH_AT: usize = 51;
const BASE_SEQUENCE_AT: usize = 53;
const COUNT_AT: usize = 57;
const RECORDS_AT: usize = 61;

pub(super) const CODEC: i16 = 0b111;
pub(super) const APPEND_TIME: i16 = 1 << 3;
const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;
const DELETE_HORIZON: i16 = 1 << 6;

/// What is wrong with the bytes of a batch.
///
/// ```
/// # use ottla::{Batch, BatchFault, Engine, Producer, ProducerRecord};
/// # let dir = tempfile::tempdir().expect("a temporary directory");
/// # let engine = Engine::open(dir.path())?;
/// # let producer = Producer::<str, str>::new(&engine)?;
/// # producer.send(ProducerRecord::to("orders").key("o-17").value("paid").header("by", "till 3"))?.wait()?;
/// # let segment = dir.path().join("log/orders-0/00000000000000000000.log");
/// let mut bytes = std::fs::read(segment)?;
/// bytes[65] ^= 1;
/// assert!(matches!(Batch::decode(bytes.into()), Err(BatchFault::BadCrc { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchFault {
    /// There are fewer bytes than the batch says it has.
    #[error("the batch is not whole")]
    TooShort,
    /// The length field is smaller than a header, or negative.
    #[error("a batch cannot be {length} bytes long")]
    BadLength {
        /// The field as it is stored.
        length: i32,
    },
    /// It is in another format than v2.
    #[error("the batch is of format {magic}, which is not supported")]
    BadMagic {
        /// The field as it is stored.
        magic: i8,
    },
    /// The checksum does not hold.
    #[error("the checksum is {stored:08x}, and {computed:08x} is that of the bytes")]
    BadCrc {
        /// The field as it is stored.
        stored: u32,
        /// The checksum of the bytes that are there.
        computed: u32,
    },
    /// A field has a value that it cannot have.
    #[error("the batch's {field} is {value}")]
    BadField {
        /// Which one.
        field: &'static str,
        /// Its value.
        value: i64,
    },
    /// The records are compressed with a codec that does not exist.
    #[error("there is no codec {id}")]
    UnknownCodec {
        /// Its number.
        id: i16,
    },
    /// The records are compressed with a codec that this build leaves out.
    #[error(
        "the batch is compressed with {codec}, and this build has no such codec: enable the cargo feature `{codec}`"
    )]
    CodecNotCompiled {
        /// Which one.
        codec: Compression,
    },
    /// The records are compressed: [`Batch::unpack`] comes first.
    #[error("the batch is compressed with {codec}, and was not unpacked")]
    Packed {
        /// With what.
        codec: Compression,
    },
    /// The compressed records are not a stream that the codec writes.
    #[error("the batch's stream of {codec} is damaged: {reason}")]
    BadStream {
        /// Which one.
        codec: Compression,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The records unpack to more than the reader takes.
    #[error("the batch unpacks to more than {limit} bytes")]
    Oversized {
        /// How much that is.
        limit: usize,
    },
    /// A record is not what a record has to be.
    #[error("record {index} of the batch: {reason}")]
    BadRecord {
        /// The first record is 0.
        index: i32,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Bytes are left behind the last record.
    #[error("{bytes} bytes are left behind the last record")]
    LeftOver {
        /// How many.
        bytes: usize,
    },
}

/// The fields of a batch's header. Kafka: that of a `RecordBatch`.
///
/// Of the old formats v0 and v1 each message, or compressed set of messages, is a batch. It has no leader epoch and no
/// producer; the first offset and the count of a compressed set are known once it is [unpacked](Batch::unpack).
///
/// ```
/// # use ottla::{BatchHeader, Offset, Engine, Producer, ProducerRecord};
/// # let dir = tempfile::tempdir().expect("a temporary directory");
/// # let engine = Engine::open(dir.path())?;
/// # let producer = Producer::<str, str>::new(&engine)?;
/// # producer.send(ProducerRecord::to("orders").key("o-17").value("paid").header("by", "till 3"))?.wait()?;
/// # let segment = dir.path().join("log/orders-0/00000000000000000000.log");
/// let header = BatchHeader::parse(&std::fs::read(segment)?)?;
/// assert_eq!((header.base_offset, header.next_offset(), header.count), (Offset(0), Offset(1), 1));
/// assert!(!header.is_control() && !header.is_transactional());
/// assert_eq!((header.delete_horizon(), header.last_sequence()), (None, -1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchHeader {
    /// The format: 2 of all that ottla writes, 0 and 1 of what brokers wrote before Kafka 0.11.
    pub magic: i8,
    /// The offset of the first record, or of the one that was first before a compaction. Kafka: `baseOffset`.
    pub base_offset: Offset,
    /// How long the whole batch is, in bytes.
    pub len_bytes: usize,
    /// Under which leadership it was appended.
    pub leader_epoch: LeaderEpoch,
    /// The checksum of what follows the field: CRC-32C, in the old formats CRC-32.
    pub crc: u32,
    /// Codec and flags; the methods tell them apart.
    pub attributes: i16,
    /// The offset of the last record, less the base offset.
    pub last_offset_delta: i32,
    /// What the records' timestamps are relative to; the delete horizon if there is one.
    pub base_timestamp: Timestamp,
    /// The largest timestamp of the records, or the time of the append.
    pub max_timestamp: Timestamp,
    /// -1 if the producer has none.
    pub producer_id: i64,
    /// -1 if the producer has none.
    pub producer_epoch: i16,
    /// The sequence number of the first record; -1 if there is none.
    pub base_sequence: i32,
    /// How many records there are; after a compaction fewer than the offsets that it spans.
    pub count: i32,
}

impl BatchHeader {
    /// How long the header is, in bytes.
    pub const LEN_BYTES: usize = RECORDS_AT;
    /// Where the length field ends: what it counts begins there.
    pub(crate) const LENGTH_END: usize = EPOCH_AT;
    /// How much of the front of a batch tells what [`parse_any`](Self::parse_any) wants of the old formats.
    pub(crate) const LEGACY_LEN_BYTES: usize = 26;
    /// Where the leader epoch stands, which the checksum does not cover.
    pub(crate) const LEADER_EPOCH_AT: u64 = EPOCH_AT as u64;

    /// Reads a header of v2 off the front of `bytes`, and checks what can be told without the rest of the batch.
    ///
    /// # Errors
    /// [`BatchFault::TooShort`], [`BatchFault::BadLength`], [`BatchFault::BadMagic`], [`BatchFault::BadField`].
    ///
    /// # Examples
    /// ```
    /// # use ottla::{BatchFault, BatchHeader};
    /// assert_eq!(BatchHeader::parse(&[0; 60]), Err(BatchFault::TooShort));
    /// assert_eq!(BatchHeader::parse(&[0; 61]), Err(BatchFault::BadLength { length: 0 }));
    /// ```
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchFault> {
        let header = bytes.first_chunk::<RECORDS_AT>().ok_or(BatchFault::TooShort)?;
        let length = i32::from_be_bytes(field(header, LENGTH_AT));
        let len_bytes = usize::try_from(length).ok().map(|length| length + Self::LENGTH_END);
        let len_bytes = len_bytes.filter(|&len| len >= RECORDS_AT).ok_or(BatchFault::BadLength { length })?;
        let magic = i8::from_be_bytes(field(header, MAGIC_AT));
        if magic != MAGIC {
            return Err(BatchFault::BadMagic { magic });
        }
        let parsed = Self {
            magic,
            base_offset: Offset(i64::from_be_bytes(field(header, 0))),
            len_bytes,
            leader_epoch: LeaderEpoch(i32::from_be_bytes(field(header, EPOCH_AT))),
            crc: u32::from_be_bytes(field(header, CRC_AT)),
            attributes: i16::from_be_bytes(field(header, ATTRIBUTES_AT)),
            last_offset_delta: i32::from_be_bytes(field(header, LAST_OFFSET_DELTA_AT)),
            base_timestamp: Timestamp(i64::from_be_bytes(field(header, BASE_TIMESTAMP_AT))),
            max_timestamp: Timestamp(i64::from_be_bytes(field(header, MAX_TIMESTAMP_AT))),
            producer_id: i64::from_be_bytes(field(header, PRODUCER_ID_AT)),
            producer_epoch: i16::from_be_bytes(field(header, PRODUCER_EPOCH_AT)),
            base_sequence: i32::from_be_bytes(field(header, BASE_SEQUENCE_AT)),
            count: i32::from_be_bytes(field(header, COUNT_AT)),
        };
        parsed.check_fields()?;
        Ok(parsed)
    }

    /// The same of any format that Kafka ever had.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    ///
    /// # Examples
    /// ```
    /// # use ottla::{BatchHeader, Offset};
    /// // A message of v0 at offset 5, whose key is "k1" and whose value "v1".
    /// let message = b"\0\0\0\0\0\0\0\x05\0\0\0\x12\x57\xe7\x49\x6e\0\0\0\0\0\x02k1\0\0\0\x02v1";
    /// let header = BatchHeader::parse_any(message)?;
    /// assert_eq!((header.magic, header.base_offset, header.count), (0, Offset(5), 1));
    /// # Ok::<(), ottla::BatchFault>(())
    /// ```
    pub fn parse_any(bytes: &[u8]) -> Result<Self, BatchFault> {
        match bytes.get(MAGIC_AT) {
            Some(0 | 1) => legacy::parse_header(bytes),
            _ => Self::parse(bytes),
        }
    }

    fn check_fields(&self) -> Result<(), BatchFault> {
        let bad = |field, value| Err(BatchFault::BadField { field, value });
        if self.base_offset.0 < 0 || self.base_offset.0.checked_add(i64::from(self.last_offset_delta) + 1).is_none() {
            return bad("base offset", self.base_offset.0);
        }
        if self.last_offset_delta < 0 {
            return bad("last offset delta", i64::from(self.last_offset_delta));
        }
        if self.count < 0 || i64::from(self.count) > i64::from(self.last_offset_delta) + 1 {
            return bad("count of records", i64::from(self.count));
        }
        Ok(())
    }

    /// The offset of the last record, or of the one that was last before a compaction.
    #[must_use]
    pub const fn last_offset(&self) -> Offset {
        Offset(self.base_offset.0 + self.last_offset_delta as i64)
    }

    /// The offset behind the last record.
    #[must_use]
    pub const fn next_offset(&self) -> Offset {
        Offset(self.base_offset.0 + self.last_offset_delta as i64 + 1)
    }

    /// The sequence number of the last record, or of the one that was last before a compaction; -1 if the batch has none.
    /// Behind the greatest number comes 0. Kafka: `lastSequence`.
    #[must_use]
    pub fn last_sequence(&self) -> i32 {
        self.sequence_at(self.last_offset_delta)
    }

    /// The sequence number of the record that lies so many offsets behind the first one.
    pub(crate) fn sequence_at(&self, delta: i32) -> i32 {
        let beyond = i64::from(self.base_sequence) + i64::from(delta) - i64::from(i32::MAX) - 1;
        match self.base_sequence {
            ..0 => -1,
            base => {
                i32::try_from(beyond).ok().filter(|beyond| *beyond >= 0).unwrap_or_else(|| base.saturating_add(delta))
            }
        }
    }

    /// Whether it is from a producer that a Kafka cluster gave its id: those count from 0, and ours from 2^62.
    pub(crate) const fn has_cluster_producer(&self) -> bool {
        self.producer_id >= 0 && self.producer_id < FIRST_OWN_PRODUCER
    }

    /// Whether it spans offsets that have no record.
    pub(crate) const fn has_holes(&self) -> bool {
        self.count as i64 <= self.last_offset_delta as i64
    }

    /// How the records are compressed.
    ///
    /// # Errors
    /// [`BatchFault::UnknownCodec`] if the three bits name none that Kafka has.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{BatchHeader, Compression, Engine, Producer, ProducerRecord};
    /// # let dir = tempfile::tempdir().expect("a temporary directory");
    /// # let engine = Engine::open(dir.path())?;
    /// # let producer = Producer::<str, str>::new(&engine)?;
    /// # producer.send(ProducerRecord::to("orders").key("o-17").value("paid").header("by", "till 3"))?.wait()?;
    /// # let segment = dir.path().join("log/orders-0/00000000000000000000.log");
    /// let header = BatchHeader::parse(&std::fs::read(segment)?)?;
    /// assert_eq!(header.compression()?, Compression::None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub const fn compression(&self) -> Result<Compression, BatchFault> {
        Ok(match self.attributes & CODEC {
            0 => Compression::None,
            1 => Compression::Gzip,
            2 => Compression::Snappy,
            3 => Compression::Lz4,
            4 => Compression::Zstd,
            id => return Err(BatchFault::UnknownCodec { id }),
        })
    }

    /// Whose clock the records' timestamps are from.
    #[must_use]
    pub const fn timestamp_type(&self) -> TimestampType {
        if self.attributes & APPEND_TIME == 0 { TimestampType::CreateTime } else { TimestampType::LogAppendTime }
    }

    /// Whether it is part of a transaction.
    #[must_use]
    pub const fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    /// Whether it holds a marker, such as the end of a transaction, in place of an application's records.
    #[must_use]
    pub const fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// Until when its tombstones are kept, if a compaction has decided that. Kafka: `deleteHorizonMs`.
    #[must_use]
    pub const fn delete_horizon(&self) -> Option<Timestamp> {
        if self.attributes & DELETE_HORIZON == 0 { None } else { Some(self.base_timestamp) }
    }

    /// The length field as it is stored, at the front of a batch that may be damaged.
    pub(crate) fn stored_length(bytes: &[u8]) -> u32 {
        bytes.get(LENGTH_AT..).and_then(<[u8]>::first_chunk).map_or(0, |field| u32::from_be_bytes(*field))
    }

    /// The last offset delta as it is stored, at the front of a batch that may be damaged.
    pub(crate) fn stored_last_delta(bytes: &[u8]) -> i32 {
        bytes.get(LAST_OFFSET_DELTA_AT..).and_then(<[u8]>::first_chunk).map_or(0, |field| i32::from_be_bytes(*field))
    }

    /// Puts a leader epoch into the front of a batch. No checksum covers it.
    pub(crate) fn store_leader_epoch(bytes: &mut [u8], epoch: LeaderEpoch) {
        if let Some(field) = bytes.get_mut(EPOCH_AT..).and_then(<[u8]>::first_chunk_mut) {
            *field = epoch.0.to_be_bytes();
        }
    }

    /// Takes away which producer a whole batch of v2 is from, and which transaction it is part of; its records stay as
    /// they are.
    pub(crate) fn remove_producer(batch: &mut [u8]) {
        put(batch, PRODUCER_ID_AT, &(-1_i64).to_be_bytes());
        put(batch, PRODUCER_EPOCH_AT, &(-1_i16).to_be_bytes());
        put(batch, BASE_SEQUENCE_AT, &(-1_i32).to_be_bytes());
        remove_transaction(batch);
    }

    /// Puts a last offset delta into the front of a batch.
    pub(crate) fn store_last_delta(bytes: &mut [u8], last_delta: i32) {
        if let Some(field) = bytes.get_mut(LAST_OFFSET_DELTA_AT..).and_then(<[u8]>::first_chunk_mut) {
            *field = last_delta.to_be_bytes();
        }
    }
}

/// Checks the checksum of a batch that comes in pieces, whatever its length field says.
#[derive(Debug)]
pub(crate) struct BatchChecksum {
    /// Where the checksum stands, and where what it covers begins.
    places: (usize, usize),
    digest: AnyDigest,
    /// The front of the batch, as far as it is not covered.
    head: Vec<u8>,
}

/// The checksum of a format.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time, on the stack")]
enum AnyDigest {
    Batch(Digest),
    Message(crc32fast::Hasher),
}

impl BatchChecksum {
    /// For a batch of that format.
    pub(crate) fn of(magic: i8) -> Self {
        let (places, digest) = match magic {
            0 | 1 => (legacy::CHECKSUM_PLACES, AnyDigest::Message(crc32fast::Hasher::new())),
            _ => ((CRC_AT, ATTRIBUTES_AT), AnyDigest::Batch(Digest::new(CrcAlgorithm::Crc32Iscsi))),
        };
        Self { places, digest, head: Vec::with_capacity(places.1) }
    }

    /// Takes the next piece.
    pub(crate) fn update(&mut self, piece: &[u8]) {
        let (head, covered) = piece.split_at((self.places.1 - self.head.len()).min(piece.len()));
        self.head.extend_from_slice(head);
        match &mut self.digest {
            AnyDigest::Batch(digest) => digest.update(covered),
            AnyDigest::Message(hasher) => hasher.update(covered),
        }
    }

    /// Whether what was taken is what the checksum was made of.
    pub(crate) fn check(&self) -> Result<(), BatchFault> {
        let field = self.head.get(self.places.0..).and_then(<[u8]>::first_chunk).ok_or(BatchFault::TooShort)?;
        let computed = match &self.digest {
            AnyDigest::Batch(digest) => crc_32(digest.finalize()),
            AnyDigest::Message(hasher) => hasher.clone().finalize(),
        };
        let stored = u32::from_be_bytes(*field);
        if stored == computed { Ok(()) } else { Err(BatchFault::BadCrc { stored, computed }) }
    }
}

/// The attributes of a batch that is compressed like that and is nothing else.
pub(super) const fn attributes_of(compression: Compression) -> i16 {
    match compression {
        Compression::None => 0,
        Compression::Gzip => 1,
        Compression::Snappy => 2,
        Compression::Lz4 => 3,
        Compression::Zstd => 4,
    }
}

/// The fields that a builder fills in when the batch is sealed.
pub(super) struct SealedFields {
    pub(super) attributes: i16,
    pub(super) last_offset_delta: i32,
    pub(super) base_timestamp: Timestamp,
    pub(super) max_timestamp: Timestamp,
    pub(super) producer_id: i64,
    pub(super) producer_epoch: i16,
    pub(super) base_sequence: i32,
    pub(super) count: i32,
}

/// Writes a whole header, checksum last, into the room at the front of `batch`.
pub(super) fn write_header(batch: &mut [u8], fields: &SealedFields) {
    let length = i32::try_from(batch.len() - BatchHeader::LENGTH_END).expect("a batch is limited to less than 2 GiB");
    put(batch, 0, &0i64.to_be_bytes());
    put(batch, LENGTH_AT, &length.to_be_bytes());
    put(batch, EPOCH_AT, &LeaderEpoch::NONE.0.to_be_bytes());
    put(batch, MAGIC_AT, &MAGIC.to_be_bytes());
    put(batch, ATTRIBUTES_AT, &fields.attributes.to_be_bytes());
    put(batch, LAST_OFFSET_DELTA_AT, &fields.last_offset_delta.to_be_bytes());
    put(batch, BASE_TIMESTAMP_AT, &fields.base_timestamp.0.to_be_bytes());
    put(batch, MAX_TIMESTAMP_AT, &fields.max_timestamp.0.to_be_bytes());
    put(batch, PRODUCER_ID_AT, &fields.producer_id.to_be_bytes());
    put(batch, PRODUCER_EPOCH_AT, &fields.producer_epoch.to_be_bytes());
    put(batch, BASE_SEQUENCE_AT, &fields.base_sequence.to_be_bytes());
    put(batch, COUNT_AT, &fields.count.to_be_bytes());
    write_crc(batch);
}

/// Writes what the log decides when it appends; the checksum does not cover it.
pub(super) fn write_place(batch: &mut [u8], base_offset: Offset, epoch: LeaderEpoch) {
    put(batch, 0, &base_offset.0.to_be_bytes());
    put(batch, EPOCH_AT, &epoch.0.to_be_bytes());
}

/// Makes the batch one of append time, `now` for all its records.
pub(super) fn write_append_time(batch: &mut [u8], now: Timestamp) {
    let attributes =
        batch.get(ATTRIBUTES_AT..).and_then(<[u8]>::first_chunk).map_or(0, |field| i16::from_be_bytes(*field));
    put(batch, ATTRIBUTES_AT, &(attributes | APPEND_TIME).to_be_bytes());
    put(batch, MAX_TIMESTAMP_AT, &now.0.to_be_bytes());
    write_crc(batch);
}

/// Takes a batch of v2 out of the transaction that it is part of; producer and records stay as they are.
pub(super) fn remove_transaction(batch: &mut [u8]) {
    let attributes =
        batch.get(ATTRIBUTES_AT..).and_then(<[u8]>::first_chunk).map_or(0, |field| i16::from_be_bytes(*field));
    put(batch, ATTRIBUTES_AT, &(attributes & !TRANSACTIONAL).to_be_bytes());
    write_crc(batch);
}

fn write_crc(batch: &mut [u8]) {
    let crc = batch.get(ATTRIBUTES_AT..).map_or(0, crc32c);
    put(batch, CRC_AT, &crc.to_be_bytes());
}

fn put(batch: &mut [u8], at: usize, field: &[u8]) {
    let room = batch.get_mut(at..at + field.len()).expect("a batch has room for its header");
    room.copy_from_slice(field);
}

fn field<const N: usize>(header: &[u8; RECORDS_AT], at: usize) -> [u8; N] {
    *header.get(at..).and_then(<[u8]>::first_chunk).expect("the fields lie within the header")
}

fn crc32c(bytes: &[u8]) -> u32 {
    crc_32(crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes))
}

fn crc_32(crc: u64) -> u32 {
    u32::try_from(crc).expect("a CRC-32 has 32 bits")
}

/// One whole batch whose checksum holds; its records borrow from it, or from what they unpack to. Kafka:
/// `DefaultRecordBatch`.
///
/// Two batches are equal if they are stored as the same bytes.
///
/// ```
/// # use ottla::{Batch, Engine, Producer, ProducerRecord};
/// # let dir = tempfile::tempdir().expect("a temporary directory");
/// # let engine = Engine::open(dir.path())?;
/// # let producer = Producer::<str, str>::new(&engine)?;
/// # producer.send(ProducerRecord::to("orders").key("o-17").value("paid"))?.wait()?;
/// let segment = dir.path().join("log/orders-0/00000000000000000000.log");
/// let batch = Batch::decode(std::fs::read(segment)?.into())?;
/// assert_eq!(batch.as_bytes().len(), batch.header().len_bytes);
/// for record in batch.records()? {
///     assert_eq!(record?.key(), Some(&b"o-17"[..]));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Batch {
    header: BatchHeader,
    bytes: Bytes,
    /// The records of a compressed batch, once it is unpacked.
    unpacked: Option<Bytes>,
}

impl Batch {
    /// What [`unpack`](Self::unpack) may reasonably be told to make of one batch, in bytes: 128 MiB.
    pub const DEFAULT_UNPACKED_LIMIT: usize = 128 << 20;

    /// Takes the batch of v2 at the front of `bytes`; what lies behind it is left out. Copies nothing.
    ///
    /// Its records are not looked at: [`records`](Self::records) does that.
    ///
    /// # Errors
    /// What is wrong with it: [`BatchFault::TooShort`] if it is not whole, [`BatchFault::BadCrc`] if the checksum does
    /// not hold, and those of [`BatchHeader::parse`].
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Batch, BatchFault, Engine, Producer, ProducerRecord};
    /// # let dir = tempfile::tempdir().expect("a temporary directory");
    /// # let engine = Engine::open(dir.path())?;
    /// # let producer = Producer::<str, str>::new(&engine)?;
    /// # producer.send(ProducerRecord::to("orders").key("o-17").value("paid").header("by", "till 3"))?.wait()?;
    /// # let segment = dir.path().join("log/orders-0/00000000000000000000.log");
    /// let stored = bytes::Bytes::from(std::fs::read(segment)?);
    /// let batch = Batch::decode(stored.clone())?;
    /// let behind = stored.slice(batch.header().len_bytes..); // where the next one begins
    /// assert_eq!(Batch::decode(behind), Err(BatchFault::TooShort)); // there is none
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn decode(bytes: Bytes) -> Result<Self, BatchFault> {
        let batch = Self::decode_unchecked(bytes)?;
        let computed = batch.bytes.get(ATTRIBUTES_AT..).map_or(0, crc32c);
        if computed != batch.header.crc {
            return Err(BatchFault::BadCrc { stored: batch.header.crc, computed });
        }
        Ok(batch)
    }

    /// The same without looking at the checksum.
    pub(crate) fn decode_unchecked(bytes: Bytes) -> Result<Self, BatchFault> {
        let header = BatchHeader::parse(&bytes)?;
        if bytes.len() < header.len_bytes {
            return Err(BatchFault::TooShort);
        }
        let mut bytes = bytes;
        bytes.truncate(header.len_bytes);
        Ok(Self { header, bytes, unpacked: None })
    }

    /// The same of any format that Kafka ever had.
    ///
    /// # Errors
    /// As [`decode`](Self::decode); [`BatchFault::BadRecord`] for a message of the old formats whose lengths do not fit.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Batch, Offset};
    /// let stored = b"\0\0\0\0\0\0\0\x05\0\0\0\x12\x57\xe7\x49\x6e\0\0\0\0\0\x02k1\0\0\0\x02v1";
    /// let batch = Batch::decode_any(bytes::Bytes::from_static(stored))?;
    /// let record = batch.records()?.next().expect("a message is a batch of its own")?;
    /// assert_eq!((record.offset(), record.value()), (Offset(5), Some(&b"v1"[..])));
    /// assert!(!record.timestamp().is_some()); // v0 has no timestamps
    /// # Ok::<(), ottla::BatchFault>(())
    /// ```
    pub fn decode_any(bytes: Bytes) -> Result<Self, BatchFault> {
        let header = BatchHeader::parse_any(&bytes)?;
        if header.magic == MAGIC {
            return Self::decode(bytes);
        }
        if bytes.len() < header.len_bytes {
            return Err(BatchFault::TooShort);
        }
        let bytes = bytes.slice(..header.len_bytes);
        legacy::check(&header, &bytes)?;
        Ok(Self { header, bytes, unpacked: None })
    }

    /// The fields of its header.
    #[must_use]
    pub const fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// All of it, as it is stored.
    #[must_use]
    pub const fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Unpacks the records, to no more than `limit` bytes; does nothing if they are not compressed.
    ///
    /// A few bytes may unpack to gigabytes, so there is no way without a limit. Unpacking takes at most twice the
    /// limit of memory, and 8 MiB. It ends where the lengths of the records show that it would be in vain.
    ///
    /// # Errors
    /// [`BatchFault::UnknownCodec`]; [`BatchFault::CodecNotCompiled`]; [`BatchFault::BadStream`];
    /// [`BatchFault::Oversized`] beyond the limit; [`BatchFault::BadRecord`] and [`BatchFault::LeftOver`] for what is
    /// wrong with the lengths of the records.
    ///
    /// # Examples
    /// ```
    /// # if !cfg!(feature = "zstd") { return Ok(()); }
    /// # use ottla::{Batch, Compression, Engine, Producer, ProducerConfig, ProducerRecord};
    /// # let dir = tempfile::tempdir().expect("a temporary directory");
    /// # let engine = Engine::open(dir.path())?;
    /// # let config = ProducerConfig::builder().compression(Compression::Zstd).build()?;
    /// # let producer = Producer::<str, str>::with_config(&engine, config)?;
    /// # producer.send(ProducerRecord::to("orders").value(&"paid ".repeat(100)))?.wait()?;
    /// # let segment = dir.path().join("log/orders-0/00000000000000000000.log");
    /// let batch = Batch::decode(std::fs::read(segment)?.into())?;
    /// assert_eq!(batch.header().compression()?, Compression::Zstd);
    /// let batch = batch.unpack(Batch::DEFAULT_UNPACKED_LIMIT)?;
    /// let record = batch.records()?.next().expect("it holds one")?;
    /// assert_eq!(record.value().map(<[u8]>::len), Some(500));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn unpack(self, limit: usize) -> Result<Self, BatchFault> {
        self.unpack_with(&mut Decompressor::default(), limit)
    }

    /// The same, with contexts and buffers that are kept from batch to batch.
    pub(crate) fn unpack_with(mut self, decompressor: &mut Decompressor, limit: usize) -> Result<Self, BatchFault> {
        self.unpack_in_place(decompressor, limit)?;
        Ok(self)
    }

    /// The same of a batch that stays what it is where that fails.
    pub(crate) fn unpack_in_place(&mut self, decompressor: &mut Decompressor, limit: usize) -> Result<(), BatchFault> {
        let codec = self.header.compression()?;
        if codec == Compression::None || self.unpacked.is_some() {
            return Ok(());
        }
        if self.header.magic != MAGIC {
            let (header, messages) = legacy::unpack(&self.header, &self.bytes, decompressor, limit)?;
            (self.header, self.unpacked) = (header, Some(messages));
            return Ok(());
        }
        // Like Kafka, which does not look at what an empty batch holds.
        self.unpacked = Some(match self.header.count {
            0 => Bytes::new(),
            count => decompressor.decompress(codec, self.stored_records(), count, limit)?,
        });
        Ok(())
    }

    /// How many bytes of memory its records take.
    pub(crate) fn records_len_bytes(&self) -> usize {
        self.unpacked.as_deref().unwrap_or_else(|| self.stored_records()).len()
    }

    /// Goes through its records, which borrow from the batch. An error ends them.
    ///
    /// # Errors
    /// [`BatchFault::Packed`] if they are compressed, and the batch was not [unpacked](Self::unpack);
    /// [`BatchFault::UnknownCodec`].
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Batch, Engine, Producer, ProducerRecord};
    /// # let dir = tempfile::tempdir().expect("a temporary directory");
    /// # let engine = Engine::open(dir.path())?;
    /// # let producer = Producer::<str, str>::new(&engine)?;
    /// # producer.send(ProducerRecord::to("orders").key("o-17").value("paid").header("by", "till 3"))?.wait()?;
    /// # let segment = dir.path().join("log/orders-0/00000000000000000000.log");
    /// let batch = Batch::decode(std::fs::read(segment)?.into())?;
    /// for record in batch.records()? {
    ///     assert_eq!(record?.value(), Some(&b"paid"[..]));
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn records(&self) -> Result<Records<'_>, BatchFault> {
        match (&self.unpacked, self.header.compression()?) {
            (Some(unpacked), _) => Ok(Records::new(&self.header, unpacked, 0)),
            (None, Compression::None) => Ok(Records::new(&self.header, self.stored_records(), 0)),
            (None, codec) => Err(BatchFault::Packed { codec }),
        }
    }

    /// The records in the last `bytes_left` bytes, of which the first is number `index`.
    pub(crate) fn records_from(&self, (bytes_left, index): (usize, i32)) -> Records<'_> {
        self.last_records(bytes_left).beginning_with(index)
    }

    /// The records in the last `bytes_left` bytes, where [`Records::bytes_left`] once said that one begins. Their end is
    /// an error, and means nothing: the batch was walked before.
    pub(crate) fn last_records(&self, bytes_left: usize) -> Records<'_> {
        let bytes = self.unpacked.as_deref().unwrap_or_else(|| self.stored_records());
        Records::new(&self.header, bytes, bytes.len().saturating_sub(bytes_left))
    }

    /// All that stands behind the header; a message of the old formats has none before it.
    fn stored_records(&self) -> &[u8] {
        let records_at = if self.header.magic == MAGIC { RECORDS_AT } else { 0 };
        self.bytes.get(records_at..).unwrap_or_default()
    }
}

impl PartialEq for Batch {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Batch {}
