//! snappy: raw blocks in the framing of xerial's library, which Java uses.
//!
//! ```text
//!   82 "SNAPPY" 00   version: i32 = 1   compatible version: i32 = 1
//!   for each block: length: i32, a raw block of snappy, which begins with the length of what it unpacks to
//! ```
//!
//! There is no end mark and no checksum. Clients in other languages leave the framing out: then all of it is one block.
//! The framing that snappy itself has is never used.

use crate::record::compression::output::Output;
use crate::record::compression::{Stop, take, take_slice};

const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
const HEADER: [u8; 16] = *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
/// A length that is none: another stream begins there.
const MAGIC_AS_LENGTH: [u8; 4] = *b"\x82SNA";
const LENGTH_BYTES: usize = 4;
/// How much goes into a block; Kafka's.
const BLOCK_BYTES: usize = 32 * 1024;
/// A byte unpacks to no more: the best that a block can say is "64 bytes again" in three.
const MAX_RATIO: usize = 22;

/// How long the stream of `len` bytes is at most.
pub(super) fn bound(len: usize) -> usize {
    let blocks = len.div_ceil(BLOCK_BYTES);
    HEADER.len() + blocks * (LENGTH_BYTES + snap::raw::max_compress_len(BLOCK_BYTES))
}

pub(super) struct Packer {
    encoder: snap::raw::Encoder,
}

impl Default for Packer {
    fn default() -> Self {
        Self { encoder: snap::raw::Encoder::new() }
    }
}

impl Packer {
    /// Writes `input` as one stream, and says how long that is.
    pub(super) fn pack(&mut self, input: &[u8], into: &mut [u8]) -> Option<usize> {
        into.get_mut(..HEADER.len())?.copy_from_slice(&HEADER);
        let mut len = HEADER.len();
        for block in input.chunks(BLOCK_BYTES) {
            let (length, room) = into.get_mut(len..)?.split_first_chunk_mut::<LENGTH_BYTES>()?;
            let packed = self.encoder.compress(block, room).ok()?;
            *length = u32::try_from(packed).ok()?.to_be_bytes();
            len += LENGTH_BYTES + packed;
        }
        Some(len)
    }
}

pub(super) fn unpack(input: &[u8], output: &mut Output) -> Result<(), Stop> {
    if !input.starts_with(&MAGIC) || input.len() < HEADER.len() {
        return unpack_block(input, output);
    }
    let mut rest = input.get(HEADER.len()..).unwrap_or_default(); // nobody looks at the versions
    while let Some(length) = take::<LENGTH_BYTES>(&mut rest) {
        if length == MAGIC_AS_LENGTH {
            skip_second_header(&mut rest)?;
            continue;
        }
        let length = usize::try_from(i32::from_be_bytes(length)).map_err(|_negative| "a block's length is negative")?;
        let block = take_slice(&mut rest, length).ok_or("a block is not whole")?;
        unpack_block(block, output)?;
    }
    Ok(())
}

/// Passes over the header of a stream behind another; its first bytes are taken already.
fn skip_second_header(rest: &mut &[u8]) -> Result<(), Stop> {
    let [magic @ .., v0, v1, v2, v3, _, _, _, _] = take::<12>(rest).ok_or("a second header is not whole")?;
    let is_known = MAGIC.ends_with(&magic) && i32::from_be_bytes([v0, v1, v2, v3]) >= 1;
    if is_known { Ok(()) } else { Err("a second header is of no version that there is".into()) }
}

fn unpack_block(block: &[u8], output: &mut Output) -> Result<(), Stop> {
    let len = snap::raw::decompress_len(block).map_err(|_error| "a block does not begin with its length")?;
    if len > block.len() * MAX_RATIO {
        return Err("a block says that it unpacks to more than it can".into());
    }
    if len > output.left() {
        return Err(output.oversized());
    }
    let unpacked = snap::raw::Decoder::new().decompress(block, output.room(len));
    output.wrote(unpacked.map_err(|_error| "a block is not what snappy writes")?)
}
