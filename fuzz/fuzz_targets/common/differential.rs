//! Batches read by ottla and by the crate kafka-protocol: what both take says the same to both.

use std::collections::BTreeMap;

use bytes::Bytes;
use crc_fast::CrcAlgorithm;
use kafka_protocol::records::RecordBatchDecoder;
use ottla::{Batch, Compression, fuzzing};

type Headers = BTreeMap<String, Option<Vec<u8>>>;
/// Offset, timestamp, key, value, and headers; of equal names the last, since the other crate keeps them in a map.
type Plain = (i64, i64, Option<Vec<u8>>, Option<Vec<u8>>, Headers);

/// Builds the batch that `input` describes, and has it read by the other crate.
///
/// # Panics
/// If that reads something else.
pub(super) fn written(input: &[u8]) {
    let Some((records, bytes)) = fuzzing::build(input) else { return };
    let first = records.first().map_or(0, |record| record.0);
    if records.iter().any(|record| record.0.checked_sub(first).is_none()) {
        return; // it adds what wraps around without a thought for the end of the numbers
    }
    let expected: Vec<Plain> = (0..)
        .zip(records)
        .map(|(offset, (timestamp, key, value, headers))| {
            let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec)));
            (offset, timestamp, key.map(<[u8]>::to_vec), value.map(<[u8]>::to_vec), headers.collect())
        })
        .collect();
    assert_eq!(theirs(bytes.into()).expect("it is a batch"), expected);
}

/// Has both read `input` as one batch of v2, with length, magic and checksum put right. What ottla takes, the other crate
/// takes, and reads the same.
///
/// # Panics
/// If it does not.
pub(super) fn read(mut input: Vec<u8>) {
    if input.len() < 61 {
        return;
    }
    let length = u32::try_from(input.len() - 12).expect("inputs are small");
    input[8..12].copy_from_slice(&length.to_be_bytes());
    input[16] = 2;
    let crc = crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, &input[21..]);
    input[17..21].copy_from_slice(&u32::try_from(crc).expect("a CRC-32 has 32 bits").to_be_bytes());
    let Ok(batch) = Batch::decode(Bytes::from(input)) else { return };
    if batch.header().compression() != Ok(Compression::None) {
        return; // the other crate knows fewer of the streams
    }
    if batch.header().timestamp_type() == ottla::TimestampType::LogAppendTime {
        return; // it does not know of the time of an append
    }
    let mut expected = Vec::new();
    for record in batch.records().expect("it is not compressed") {
        let Ok(record) = record else { return };
        let (timestamp, base) = (record.timestamp().0, batch.header().base_timestamp.0);
        if timestamp.wrapping_sub(base).unsigned_abs() >> 62 > 0 || base.unsigned_abs() >> 62 > 0 {
            return; // the same
        }
        let headers = record.headers().iter().map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec)));
        let (key, value) = (record.key().map(<[u8]>::to_vec), record.value().map(<[u8]>::to_vec));
        expected.push((record.offset().0, timestamp, key, value, headers.collect()));
    }
    let found = match theirs(batch.as_bytes().clone()) {
        // Like Kafka, ottla takes any negative length for null, and this crate -1 alone.
        Err(refused) if refused.starts_with("Unexpected negative") => return,
        found => found.expect("ottla takes it"),
    };
    assert_eq!(found, expected);
}

fn theirs(mut bytes: Bytes) -> Result<Vec<Plain>, String> {
    let set = RecordBatchDecoder::decode(&mut bytes).map_err(|error| error.to_string())?;
    let plain = set.records.into_iter().map(|record| {
        let headers = record.headers.into_iter();
        let headers = headers.map(|(name, value)| (name.to_string(), value.map(|value| value.to_vec())));
        let (key, value) = (record.key.map(|key| key.to_vec()), record.value.map(|value| value.to_vec()));
        (record.offset, record.timestamp, key, value, headers.collect())
    });
    Ok(plain.collect())
}
