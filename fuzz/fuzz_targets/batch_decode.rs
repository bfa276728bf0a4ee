//! Decoding never panics whatever the bytes are, and what decodes is the same when it is decoded again.
//!
//! Hardly any input has the checksum that a batch needs, so each is tried a second time with length and checksum put
//! right: that gets to the header's other fields and to the records.

#![no_main]

use bytes::Bytes;
use crc_fast::CrcAlgorithm;
use libfuzzer_sys::fuzz_target;
use ottla::Batch;

fuzz_target!(|bytes: &[u8]| {
    visit(Bytes::copy_from_slice(bytes));
    visit(put_right(bytes.to_vec()));
});

fn visit(bytes: Bytes) {
    let Ok(batch) = Batch::decode(bytes.clone()) else { return };
    assert!(bytes.starts_with(batch.as_bytes()), "a batch is the front of what it was decoded from");
    assert_eq!(Batch::decode(batch.as_bytes().clone()).as_ref(), Ok(&batch));
    let Ok(records) = batch.records() else { return };
    for record in records {
        let Ok(record) = record else { break };
        let (key, value) = (record.key().unwrap_or_default(), record.value().unwrap_or_default());
        let headers = record.headers().iter().map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len));
        assert!(key.len() + value.len() + headers.sum::<usize>() <= bytes.len(), "records borrow from their batch");
        let _ = (record.offset(), record.timestamp(), record.timestamp_type(), record.leader_epoch());
    }
}

/// The same bytes as one whole batch of format v2: length, magic and checksum as they should be.
fn put_right(mut bytes: Vec<u8>) -> Bytes {
    if bytes.len() > 21 {
        let length = u32::try_from(bytes.len() - 12).expect("inputs are small");
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes[16] = 2;
        let crc = crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, &bytes[21..]);
        bytes[17..21].copy_from_slice(&u32::try_from(crc).expect("a CRC-32 has 32 bits").to_be_bytes());
    }
    Bytes::from(bytes)
}
