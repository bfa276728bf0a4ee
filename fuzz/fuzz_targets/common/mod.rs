//! A stream of a codec as the records of a batch whose checksum holds.

use bytes::Bytes;
use crc_fast::CrcAlgorithm;
use ottla::{Batch, BatchFault, Compression};

const HEADER_BYTES: usize = 61;
/// Enough for each way of unpacking, and no more: bombs are what takes the time.
const fn limit(codec: Compression) -> usize {
    match codec {
        Compression::Zstd => 320 << 10, // beyond what is tried in one go
        _ => 80 << 10,
    }
}

/// Unpacks `input`: one byte for how many records there are, and a stream.
pub fn unpack(codec: Compression, input: &[u8]) {
    let Some((&count, stream)) = input.split_first() else { return };
    // Most are few; 255 stands for as many as there can be.
    let count = if count == u8::MAX { i32::MAX } else { i32::from(count) };
    let batch = Batch::decode(batch(codec, count, stream)).expect("length and checksum are right");
    let most = limit(codec);
    let batch = match batch.unpack(most) {
        Ok(batch) => batch,
        Err(BatchFault::Oversized { limit }) => return assert_eq!(limit, most),
        Err(_) => return,
    };
    let records = batch.records().expect("it is unpacked");
    let mut bytes = 0;
    for record in records {
        let Ok(record) = record else { return };
        let headers = record.headers().iter().map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len));
        bytes += record.key().map_or(0, <[u8]>::len) + record.value().map_or(0, <[u8]>::len) + headers.sum::<usize>();
    }
    assert!(bytes <= most, "records borrow from what was unpacked");
}

fn batch(codec: Compression, count: i32, stream: &[u8]) -> Bytes {
    let mut bytes = vec![0; HEADER_BYTES];
    bytes.extend_from_slice(stream);
    let length = u32::try_from(bytes.len() - 12).expect("inputs are small");
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    bytes[16] = 2;
    bytes[22] = match codec {
        Compression::Gzip => 1,
        Compression::Snappy => 2,
        Compression::Lz4 => 3,
        _ => 4,
    };
    bytes[23..27].copy_from_slice(&(count - 1).max(0).to_be_bytes());
    bytes[57..61].copy_from_slice(&count.to_be_bytes());
    let crc = crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, &bytes[21..]);
    bytes[17..21].copy_from_slice(&u32::try_from(crc).expect("a CRC-32 has 32 bits").to_be_bytes());
    Bytes::from(bytes)
}
