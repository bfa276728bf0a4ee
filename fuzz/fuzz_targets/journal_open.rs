//! Opening whatever bytes as a journal never panics, and what it gives is the same when it is compacted and opened again.
//!
//! Hardly any input has the checksums that a journal needs, so each is tried a second time with those put right that
//! stand where the lengths say.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ottla::fuzzing::journal_open;

const HEADER_COPY: usize = 64;
const FRAME_OVERHEAD: usize = 24;

fuzz_target!(|bytes: &[u8]| {
    journal_open(bytes);
    journal_open(&put_right(bytes.to_vec()));
});

/// The same input, behind its first byte, with the checksums of both copies of the header and of the frames.
fn put_right(mut input: Vec<u8>) -> Vec<u8> {
    let Some((_, file)) = input.split_first_mut() else { return input };
    let Some((header, mut rest)) = file.split_at_mut_checked(2 * HEADER_COPY) else { return input };
    for copy in header.chunks_mut(HEADER_COPY) {
        let crc = crc32fast::hash(&copy[..60]);
        copy[60..].copy_from_slice(&crc.to_be_bytes());
    }
    let journal_id = &header[12..28];
    while rest.len() >= FRAME_OVERHEAD {
        let (frame, behind) = rest.split_at_mut(FRAME_OVERHEAD);
        let length = u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]);
        let Some((payload, behind)) = behind.split_at_mut_checked(length as usize) else { break };
        let mut crc = crc32fast::Hasher::new();
        for part in [journal_id, &frame[4..12], &frame[..4], &frame[12..20], payload] {
            crc.update(part);
        }
        frame[20..].copy_from_slice(&crc.finalize().to_be_bytes());
        rest = behind;
    }
    input
}
