//! Whatever bytes a producer snapshot has, reading them never panics, and what has no fault is written as it was read.
//!
//! Hardly any input has the checksum that a snapshot needs, so each is tried a second time with that put right.

#![no_main]

use crc_fast::CrcAlgorithm;
use libfuzzer_sys::fuzz_target;
use ottla::fuzzing::snapshot;

fuzz_target!(|bytes: &[u8]| {
    snapshot(bytes);
    let mut bytes = bytes.to_vec();
    if bytes.len() > 6 {
        let crc = crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, &bytes[6..]);
        bytes[2..6].copy_from_slice(&u32::try_from(crc).expect("a CRC-32 has 32 bits").to_be_bytes());
        snapshot(&bytes);
    }
});
