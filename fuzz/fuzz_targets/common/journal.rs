//! Checksums of a journal, put right where the lengths say that they stand.

const HEADER_COPY: usize = 64;
const FRAME_OVERHEAD: usize = 24;

/// Puts the checksums of both copies of the header right, and of the frames.
pub fn put_right(file: &mut [u8]) {
    let Some((header, mut rest)) = file.split_at_mut_checked(2 * HEADER_COPY) else { return };
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
}
