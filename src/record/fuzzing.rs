//! What fuzzing holds the numbers in records, the old formats, and writing and reading a batch to.

use bytes::Bytes;

use crate::record::batch::Batch;
use crate::record::builder::{BatchBuilder, ProducerStamp};
use crate::record::compression::{Codec, Compressor};
use crate::record::varint;
use crate::types::{Compression, Timestamp};

/// What a compressed set may unpack to.
const UNPACKED_LIMIT: usize = 1 << 20;

/// Decodes `bytes` as a message of an old format, as they are and with size and checksum put right: whatever they are, it
/// does not panic, no record is longer than what was unpacked, and offsets lie in the batch.
///
/// # Panics
/// If that does not hold.
pub fn legacy_decode(bytes: &[u8]) {
    visit(bytes);
    let mut whole = bytes.to_vec();
    if whole.len() > 17 {
        let size = i32::try_from(whole.len() - 12).unwrap_or(i32::MAX);
        whole[8..12].copy_from_slice(&size.to_be_bytes());
        whole[16] &= 1;
        let crc = crc32fast::hash(&whole[16..]);
        whole[12..16].copy_from_slice(&crc.to_be_bytes());
        visit(&whole);
    }
}

fn visit(bytes: &[u8]) {
    let Ok(batch) = Batch::decode_any(Bytes::copy_from_slice(bytes)) else { return };
    assert_eq!(Batch::decode_any(batch.as_bytes().clone()).as_ref(), Ok(&batch));
    let Ok(batch) = batch.unpack(UNPACKED_LIMIT) else { return };
    let (header, mut count) = (*batch.header(), 0);
    for record in batch.records().expect("it is unpacked") {
        let Ok(record) = record else {
            assert_eq!(header.magic, 2, "messages were checked when they were unpacked");
            return;
        };
        assert!((header.base_offset..=header.last_offset()).contains(&record.offset()));
        count += 1;
    }
    assert!(header.magic == 2 || count == header.count);
}

/// The records that `input` describes (timestamp, key, value, headers), and the batch of them, compressed as its first byte
/// says.
#[expect(clippy::type_complexity, reason = "a record as plain as can be, for another reader to compare")]
pub fn build(input: &[u8]) -> Option<(Vec<(i64, Option<&[u8]>, Option<&[u8]>, Vec<(&str, Option<&[u8]>)>)>, Vec<u8>)> {
    let (&codec, mut rest) = input.split_first()?;
    let compression = [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
    let compression = compression[usize::from(codec) % compression.len()];
    let (mut builder, mut records) = (BatchBuilder::new(Vec::new()), Vec::new());
    while !rest.is_empty() {
        let timestamp = i64::from_be_bytes(take(&mut rest, 8)?.try_into().ok()?);
        // Kafka keeps -1 for "none", and takes no other that is negative.
        let timestamp = timestamp.max(-1);
        let (key, value) = (part(&mut rest)?, part(&mut rest)?);
        let (count, mut headers) = (take(&mut rest, 1)?[0] % 4, Vec::new());
        for _ in 0..count {
            let name = std::str::from_utf8(part(&mut rest)?.unwrap_or_default()).ok()?;
            headers.push((name, part(&mut rest)?));
        }
        builder.append(Timestamp(timestamp), key, value, &headers);
        records.push((timestamp, key, value, headers));
    }
    if records.is_empty() {
        return None;
    }
    let codec = Codec { compression, level: if compression == Compression::Gzip { 6 } else { 3 } };
    let sealed = match compression {
        Compression::None => builder.seal(ProducerStamp::NONE),
        _ => builder.seal_compressed(ProducerStamp::NONE, codec, &mut Compressor::default()),
    };
    Some((records, sealed.into_buffer()))
}

/// What is written is read the same.
///
/// # Panics
/// If it is not.
pub fn round_trip(input: &[u8]) {
    let Some((records, bytes)) = build(input) else { return };
    let batch = Batch::decode(bytes.into()).expect("it was just written");
    let batch = batch.unpack(usize::MAX).expect("it was just packed");
    let mut read = batch.records().expect("it is unpacked");
    for (index, (timestamp, key, value, headers)) in (0..).zip(records) {
        let record = read.next().expect("there is one more").expect("it is whole");
        assert_eq!((record.offset().0, record.timestamp().0), (index, timestamp));
        assert_eq!((record.key(), record.value()), (key, value));
        assert!(record.headers().iter().eq(headers));
    }
    assert!(read.next().is_none());
}

/// A length, or 255 for null, and so many bytes.
fn part<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    match take(rest, 1)?[0] {
        255 => Some(None),
        len => take(rest, usize::from(len)).map(Some),
    }
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, behind) = rest.split_at_checked(len)?;
    *rest = behind;
    Some(taken)
}

/// Takes varints off `bytes` until they end: no more bytes than one may have, and a number that is written as it is read.
///
/// # Panics
/// If that does not hold.
pub fn varint(bytes: &[u8]) {
    let mut rest = bytes;
    while let Some(value) = take_number(&mut rest, varint::take_i32, 5) {
        assert_eq!(varint::take_i32(&mut written(i64::from(value)).as_slice()), Some(value));
    }
    rest = bytes;
    while let Some(value) = take_number(&mut rest, varint::take_i64, varint::MAX_BYTES) {
        assert_eq!(varint::take_i64(&mut written(value).as_slice()), Some(value));
    }
}

fn take_number<T>(rest: &mut &[u8], take: impl FnOnce(&mut &[u8]) -> Option<T>, most: usize) -> Option<T> {
    let before = *rest;
    let value = take(rest)?;
    assert!(before.ends_with(rest), "what is left is the end of what was there");
    assert!((1..=most).contains(&(before.len() - rest.len())), "{} bytes for one", before.len() - rest.len());
    Some(value)
}

fn written(value: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    varint::push(&mut bytes, value);
    assert_eq!(bytes.len(), varint::size(value));
    bytes
}
