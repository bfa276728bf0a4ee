//! Whatever a file holds, dumping it never panics, and what is shown lies in the file, in its order.
//!
//! Hardly any input has the checksums that it needs, so each is tried again with those put right that stand where the
//! lengths say.

#![no_main]

#[path = "common/journal.rs"]
mod journal;

use crc_fast::CrcAlgorithm;
use libfuzzer_sys::fuzz_target;
use ottla::fuzzing::dump_file;

fuzz_target!(|bytes: &[u8]| {
    dump_file(bytes);
    if bytes.is_empty() {
        return;
    }
    for put_right in [put_batches_right, put_snapshot_right, journal::put_right, put_slots_right] {
        let mut bytes = bytes.to_vec();
        put_right(&mut bytes[1..]);
        dump_file(&bytes);
    }
});

/// The checksums of batches and messages.
fn put_batches_right(file: &mut [u8]) {
    let mut rest = file;
    while rest.len() > 26 {
        let length = u32::from_be_bytes([rest[8], rest[9], rest[10], rest[11]]);
        let Some((batch, behind)) = rest.split_at_mut_checked(length as usize + 12) else { return };
        match (batch.get(16), batch.len()) {
            (Some(0 | 1), 17..) => {
                let crc = crc32fast::hash(&batch[16..]);
                batch[12..16].copy_from_slice(&crc.to_be_bytes());
            }
            (_, 21..) => {
                let crc = crc32c(&batch[21..]);
                batch[17..21].copy_from_slice(&crc.to_be_bytes());
            }
            _ => {}
        }
        rest = behind;
    }
}

fn put_snapshot_right(file: &mut [u8]) {
    if file.len() > 6 {
        let crc = crc32c(&file[6..]);
        file[2..6].copy_from_slice(&crc.to_be_bytes());
    }
}

/// The checksums of `positions`.
fn put_slots_right(file: &mut [u8]) {
    let Some((header, slots)) = file.split_at_mut_checked(128) else { return };
    let crc = crc32fast::hash(&header[..12]);
    header[12..16].copy_from_slice(&crc.to_be_bytes());
    for half in slots.chunks_exact_mut(64) {
        let crc = crc32fast::hash(&half[..60]);
        half[60..].copy_from_slice(&crc.to_be_bytes());
    }
}

fn crc32c(bytes: &[u8]) -> u32 {
    u32::try_from(crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes)).expect("a CRC-32 has 32 bits")
}
