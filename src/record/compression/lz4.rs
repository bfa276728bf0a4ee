//! lz4: the part of LZ4's frame format that Kafka knows.
//!
//! ```text
//!   04 22 4d 18   FLG   BD   [content size: 8 bytes]   HC      HC: second byte of the XXH32 of FLG to content size
//!   for each block: u32 LE length, bit 31 set if it is stored as it is; the block; [its XXH32]
//!   00 00 00 00   [XXH32 of the content]
//!
//!   FLG  bits 7-6 version 01, 5 blocks are independent, 4 blocks have checksums, 3 content size, 2 content checksum,
//!        1 reserved, 0 dictionary
//!   BD   bits 6-4 largest block: 4 is 64 KiB, 5 256 KiB, 6 1 MiB, 7 4 MiB; the others are reserved
//! ```
//!
//! Kafka refuses blocks that depend on those before, and dictionaries. It looks neither at the content checksum nor at
//! what follows the end mark.
//!
//! In format v0 alone Kafka's HC is wrong, a checksum over the magic number too, and nobody may look at it. Which format
//! it is, the stream does not say: whoever unpacks it does.

use lz4_flex::block::{CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size};
use twox_hash::XxHash32;

use crate::record::compression::output::Output;
use crate::record::compression::{Stop, take, take_le_u32, take_slice};

const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
const FLG: u8 = 0x60;
const BD: u8 = 0x40;
const HC: u8 = 0x82;
const HEADER: [u8; 7] = [MAGIC[0], MAGIC[1], MAGIC[2], MAGIC[3], FLG, BD, HC];
const END_MARK: [u8; 4] = [0; 4];
const LENGTH_BYTES: usize = 4;

const VERSION: u8 = 0b1100_0000;
const VERSION_1: u8 = 0b0100_0000;
const IS_INDEPENDENT: u8 = 1 << 5;
const HAS_BLOCK_CHECKSUMS: u8 = 1 << 4;
const HAS_CONTENT_SIZE: u8 = 1 << 3;
const FLG_RESERVED: u8 = 0b11;
const BD_RESERVED: u8 = 0b1000_1111;
const IS_STORED: u32 = 1 << 31;

/// How much goes into a block: the smallest of the sizes.
const BLOCK_BYTES: usize = 64 * 1024;
/// A byte unpacks to no more: it can lengthen a match by 255.
const MAX_RATIO: usize = 255;
/// What the first bytes of a block unpack to beyond that.
const RATIO_SLACK: usize = 64;

/// How long the frame of `len` bytes is at most, with room to try to compress the last block.
pub(super) fn bound(len: usize) -> usize {
    let blocks = len.div_ceil(BLOCK_BYTES);
    HEADER.len() + blocks * (LENGTH_BYTES + get_maximum_output_size(BLOCK_BYTES)) + END_MARK.len()
}

pub(super) struct Packer {
    table: CompressTable,
}

impl Default for Packer {
    fn default() -> Self {
        Self { table: CompressTable::large() }
    }
}

impl Packer {
    /// Writes `input` as one frame, and says how long that is.
    pub(super) fn pack(&mut self, input: &[u8], into: &mut [u8]) -> Option<usize> {
        into.get_mut(..HEADER.len())?.copy_from_slice(&HEADER);
        let mut len = HEADER.len();
        for block in input.chunks(BLOCK_BYTES) {
            len += self.pack_block(block, into.get_mut(len..)?)?;
        }
        into.get_mut(len..)?.get_mut(..END_MARK.len())?.copy_from_slice(&END_MARK);
        Some(len + END_MARK.len())
    }

    #[expect(clippy::little_endian_bytes, reason = "LZ4 is little-endian on every machine")]
    fn pack_block(&mut self, block: &[u8], into: &mut [u8]) -> Option<usize> {
        let (length, room) = into.split_first_chunk_mut::<LENGTH_BYTES>()?;
        let mut packed = compress_into_with_table(block, room, &mut self.table).ok()?;
        let mut stored = 0;
        if packed >= block.len() {
            packed = block.len();
            stored = IS_STORED;
            room.get_mut(..packed)?.copy_from_slice(block);
        }
        *length = (u32::try_from(packed).ok()? | stored).to_le_bytes();
        Some(LENGTH_BYTES + packed)
    }
}

/// What a frame says of its blocks.
#[derive(Clone, Copy, Debug)]
struct Descriptor {
    largest_block: usize,
    has_block_checksums: bool,
}

pub(super) fn unpack(input: &[u8], has_header_checksum: bool, output: &mut Output) -> Result<(), Stop> {
    let mut rest = input;
    let descriptor = take_descriptor(&mut rest, has_header_checksum)?;
    loop {
        let length = take_le_u32(&mut rest).ok_or("it ends without an end mark")?;
        let is_stored = length & IS_STORED != 0;
        let length = usize::try_from(length & !IS_STORED).unwrap_or(usize::MAX);
        if length == 0 {
            return Ok(());
        }
        if length > descriptor.largest_block {
            return Err("a block is larger than the frame allows".into());
        }
        let block = take_slice(&mut rest, length).ok_or("a block is not whole")?;
        if descriptor.has_block_checksums {
            let stored = take_le_u32(&mut rest).ok_or("a block is not whole")?;
            if stored != XxHash32::oneshot(0, block) {
                return Err("a block's checksum does not hold".into());
            }
        }
        unpack_block(block, is_stored, &descriptor, output)?;
    }
}

fn take_descriptor(rest: &mut &[u8], has_checksum: bool) -> Result<Descriptor, Stop> {
    let magic = take(rest).ok_or("there is no header of LZ4")?;
    let described = *rest;
    let [flg, bd] = take(rest).ok_or("there is no header of LZ4")?;
    if magic != MAGIC || flg & VERSION != VERSION_1 {
        return Err("there is no header of LZ4".into());
    }
    if flg & IS_INDEPENDENT == 0 {
        return Err("its blocks depend on each other".into());
    }
    if flg & FLG_RESERVED != 0 || bd & BD_RESERVED != 0 {
        return Err("its header has flags that are reserved".into());
    }
    let largest_block = match bd >> 4 {
        4 => BLOCK_BYTES,
        5 => BLOCK_BYTES << 2,
        6 => BLOCK_BYTES << 4,
        7 => BLOCK_BYTES << 6,
        _ => return Err("its header names no size of blocks that there is".into()),
    };
    if flg & HAS_CONTENT_SIZE != 0 {
        take::<8>(rest).ok_or("its header is not whole")?;
    }
    let described = described.get(..described.len() - rest.len()).unwrap_or_default();
    let [checksum] = take(rest).ok_or("its header is not whole")?;
    let [_, _, second, _] = XxHash32::oneshot(0, described).to_be_bytes();
    if has_checksum && checksum != second {
        return Err("the checksum of its header does not hold".into());
    }
    Ok(Descriptor { largest_block, has_block_checksums: flg & HAS_BLOCK_CHECKSUMS != 0 })
}

fn unpack_block(block: &[u8], is_stored: bool, descriptor: &Descriptor, output: &mut Output) -> Result<(), Stop> {
    if is_stored {
        if block.len() > output.left() {
            return Err(output.oversized());
        }
        let room = output.room(block.len());
        room.get_mut(..block.len()).unwrap_or_default().copy_from_slice(block);
        return output.wrote(block.len());
    }
    let most = descriptor.largest_block.min(block.len() * MAX_RATIO + RATIO_SLACK);
    let room = output.room(most).get_mut(..most).unwrap_or_default();
    let unpacked = decompress_into(block, room).map_err(|_error| "a block is not what LZ4 writes")?;
    output.wrote(unpacked)
}
