//! Builds a batch: each record goes in once, in its final form, behind the room for the header.

use crate::record::batch::{
    Batch, BatchHeader, SealedFields, attributes_of, remove_transaction, write_append_time, write_header, write_place,
};
use crate::record::compression::{Codec, Compressor};
use crate::record::varint::{self, Short};
use crate::types::{Compression, LeaderEpoch, Offset, Timestamp};

/// What a record takes beyond its key, value and headers at the most: five bytes of length, one of attributes, ten of
/// timestamp and five of offset. Kafka: `DefaultRecord.MAX_RECORD_OVERHEAD`.
const MAX_RECORD_OVERHEAD: usize = 21;

/// How many bytes a batch of this one record takes at most, without the batch's header.
#[inline]
pub(crate) fn record_size_upper_bound(
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[(&str, Option<&[u8]>)],
) -> usize {
    MAX_RECORD_OVERHEAD + size_of_part(key) + size_of_part(value) + headers_size(headers)
}

/// How many bytes a record takes that stands alone in its batch, without the batch's header.
pub(crate) fn single_record_size(key: Option<&[u8]>, value: Option<&[u8]>, headers: &[(&str, Option<&[u8]>)]) -> usize {
    // One byte each of attributes, timestamp delta and offset delta.
    let length = record_size_upper_bound(key, value, headers) - MAX_RECORD_OVERHEAD + 3;
    varint::size(len_i64(length)) + length
}

/// What a record's headers take, and their count.
#[inline]
fn headers_size(headers: &[(&str, Option<&[u8]>)]) -> usize {
    let size = |(name, value): &(&str, Option<&[u8]>)| size_of_part(Some(name.as_bytes())) + size_of_part(*value);
    varint::size(len_i64(headers.len())) + headers.iter().map(size).sum::<usize>()
}

#[inline]
fn size_of_part(part: Option<&[u8]>) -> usize {
    varint::size(part_len(part)) + part.map_or(0, <[u8]>::len)
}

/// The length that stands before a key, a value, a header's name or its value.
#[inline]
fn part_len(part: Option<&[u8]>) -> i64 {
    part.map_or(-1, |bytes| len_i64(bytes.len()))
}

#[inline]
fn len_i64(len: usize) -> i64 {
    i64::try_from(len).expect("what is in memory has less than 2^63 bytes")
}

/// Which producer a batch is from, and the sequence number of its first record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProducerStamp {
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) base_sequence: i32,
}

impl ProducerStamp {
    /// A producer without an id.
    pub(crate) const NONE: Self = Self { producer_id: -1, producer_epoch: -1, base_sequence: -1 };
}

/// A batch that records are added to.
#[derive(Debug)]
pub(crate) struct BatchBuilder {
    buffer: Vec<u8>,
    count: i32,
    /// Of the last record from the first one.
    last_offset_delta: i32,
    base_timestamp: Timestamp,
    max_timestamp: Timestamp,
}

impl BatchBuilder {
    /// An empty batch that grows in `buffer`, whatever was in it before.
    pub(crate) fn new(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        buffer.resize(BatchHeader::LEN_BYTES, 0);
        let none = Timestamp::NONE;
        Self { buffer, count: 0, last_offset_delta: 0, base_timestamp: none, max_timestamp: none }
    }

    /// Adds a record and answers its index in the batch.
    #[inline]
    pub(crate) fn append(
        &mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) -> u32 {
        self.append_at(self.count, timestamp, key, value, headers)
    }

    /// The same of a record whose offset lies `offset_delta` behind the first one's, and behind all others.
    #[inline]
    pub(crate) fn append_at(
        &mut self,
        offset_delta: i32,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) -> u32 {
        debug_assert!(if self.count == 0 { offset_delta == 0 } else { offset_delta > self.last_offset_delta });
        self.last_offset_delta = offset_delta;
        if self.count == 0 {
            self.base_timestamp = timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        let timestamp_delta = timestamp.0.wrapping_sub(self.base_timestamp.0);
        // What stands between its length and its key, and if there is none, its value. The attributes are a byte of 0.
        let head = [0, timestamp_delta, i64::from(offset_delta), part_len(key), part_len(value)];
        let head = if key.is_none() { &head[..] } else { &head[..4] };
        let behind_key = if key.is_none() { 0 } else { varint::size(part_len(value)) };
        let short = Short::of(head);
        let head_size = short.map_or_else(|| head.iter().map(|&field| varint::size(field)).sum(), |short| short.len);
        let bytes_of = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
        let length = head_size + bytes_of(key) + behind_key + bytes_of(value) + headers_size(headers);

        let into = &mut self.buffer;
        into.reserve(length + varint::MAX_BYTES);
        varint::push(into, len_i64(length));
        match short {
            Some(short) => short.append_to(into),
            None => head.iter().for_each(|&field| varint::push(into, field)),
        }
        if let Some(key) = key {
            into.extend_from_slice(key);
            varint::push(into, part_len(value));
        }
        into.extend_from_slice(value.unwrap_or_default());
        varint::push(into, len_i64(headers.len()));
        for (name, value) in headers {
            push_part(into, Some(name.as_bytes()));
            push_part(into, *value);
        }
        let index = self.count.cast_unsigned();
        self.count += 1;
        index
    }

    /// Whether it has no record yet.
    pub(crate) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How long the batch is so far, its header included.
    pub(crate) fn len_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Completes the batch but for what the log decides.
    pub(crate) fn seal(self, producer: ProducerStamp) -> SealedBatch {
        self.complete(producer, Compression::None)
    }

    /// Compresses the records, and completes the batch. One that would not get smaller stays as it is: so a batch takes
    /// no more for being compressed, and what can only lose by it is not unpacked by each reader.
    pub(crate) fn seal_compressed(
        mut self,
        producer: ProducerStamp,
        codec: Codec,
        compressor: &mut Compressor,
    ) -> SealedBatch {
        let records = self.buffer.get(BatchHeader::LEN_BYTES..).unwrap_or_default();
        let Some(packed) = compressor.compress(codec, records) else { return self.seal(producer) };
        // Back into its own buffer, which the producer's memory knows.
        self.buffer.truncate(BatchHeader::LEN_BYTES);
        self.buffer.extend_from_slice(packed);
        self.complete(producer, codec.compression)
    }

    fn complete(mut self, producer: ProducerStamp, compression: Compression) -> SealedBatch {
        let fields = SealedFields {
            attributes: attributes_of(compression),
            last_offset_delta: self.last_offset_delta,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: producer.producer_id,
            producer_epoch: producer.producer_epoch,
            base_sequence: producer.base_sequence,
            count: self.count,
        };
        write_header(&mut self.buffer, &fields);
        SealedBatch { bytes: self.buffer }
    }
}

/// A batch without records that stands for the offsets from `first` on, up to `last` or as far as one can, as Kafka
/// leaves one where a compaction took all records. Readers pass it.
pub(crate) fn empty_batch(first: Offset, last: Offset, epoch: LeaderEpoch) -> Vec<u8> {
    debug_assert!(first <= last);
    let mut bytes = vec![0; BatchHeader::LEN_BYTES];
    let ProducerStamp { producer_id, producer_epoch, base_sequence } = ProducerStamp::NONE;
    let fields = SealedFields {
        attributes: 0,
        last_offset_delta: i32::try_from(last.0 - first.0).unwrap_or(i32::MAX),
        base_timestamp: Timestamp::NONE,
        max_timestamp: Timestamp::NONE,
        producer_id,
        producer_epoch,
        base_sequence,
        count: 0,
    };
    write_header(&mut bytes, &fields);
    write_place(&mut bytes, first, epoch);
    bytes
}

#[inline]
fn push_part(into: &mut Vec<u8>, part: Option<&[u8]>) {
    varint::push(into, part_len(part));
    into.extend_from_slice(part.unwrap_or_default());
}

/// A batch that is complete but for its place in a log.
#[derive(Debug)]
pub(crate) struct SealedBatch {
    bytes: Vec<u8>,
}

impl SealedBatch {
    /// Gives it its place. The checksum does not cover that.
    pub(crate) fn stamp(&mut self, base_offset: Offset, epoch: LeaderEpoch) {
        write_place(&mut self.bytes, base_offset, epoch);
    }

    /// A batch of v2 that others have stored, which is part of no transaction any more. A producer that has its id from a
    /// cluster stays; another directory's of ours goes, since one of this directory may get the same id.
    pub(crate) fn imported(batch: &Batch) -> Self {
        let mut bytes = batch.as_bytes().to_vec();
        let header = batch.header();
        if header.producer_id != ProducerStamp::NONE.producer_id && !header.has_cluster_producer() {
            BatchHeader::remove_producer(&mut bytes);
        } else if header.is_transactional() {
            remove_transaction(&mut bytes);
        }
        Self { bytes }
    }

    /// Gives all its records the time of the append. Kafka: `LogAppendTime`.
    pub(crate) fn stamp_append_time(&mut self, now: Timestamp) {
        write_append_time(&mut self.bytes, now);
    }

    pub(crate) fn header(&self) -> BatchHeader {
        BatchHeader::parse(&self.bytes).expect("a sealed batch has a whole header")
    }

    pub(crate) fn max_timestamp(&self) -> Timestamp {
        self.header().max_timestamp
    }

    pub(crate) fn count(&self) -> u32 {
        self.header().count.cast_unsigned()
    }

    pub(crate) fn len_bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The buffer, to be used again.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.bytes
    }
}
