//! gzip: deflate between a header and a checksum.
//!
//! ```text
//!   1f 8b 08   flags   time (4)   xfl   os   | extra: u16 LE length, bytes          if bit 2 of the flags
//!                                            | name, comment: up to a zero each     if bit 3, bit 4
//!                                            | checksum of the header: 2 bytes      if bit 1
//!   deflate stream     CRC-32 LE     length LE, modulo 2^32
//! ```
//!
//! Like Java's reader this takes members that follow each other, and ignores what follows the last one.

use flate2::{Compress, Decompress, FlushCompress, FlushDecompress, Status};

use crate::record::compression::output::Output;
use crate::record::compression::{Stop, take, take_le_u32, take_slice};

/// No time, no flags, and an operating system that nobody knows, as Java writes it since 16.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
const TRAILER_BYTES: usize = 8;

const HAS_HEADER_CHECKSUM: u8 = 1 << 1;
const HAS_EXTRA: u8 = 1 << 2;
const HAS_NAME: u8 = 1 << 3;
const HAS_COMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0b1110_0000;

/// How much is unpacked at a time at least.
const PIECE_BYTES: usize = 16 * 1024;

/// How long the stream of `len` bytes is at most: where deflate finds nothing, nine bits for eight.
pub(super) const fn bound(len: usize) -> usize {
    len + len / 8 + len / 64 + 64 + HEADER.len() + TRAILER_BYTES
}

pub(super) struct Packer {
    level: i32,
    deflate: Compress,
}

impl Packer {
    pub(super) fn of_level(kept: &mut Option<Self>, level: i32) -> &mut Self {
        if kept.as_ref().is_some_and(|packer| packer.level != level) {
            *kept = None;
        }
        kept.get_or_insert_with(|| {
            let deflate_level =
                u32::try_from(level).map_or_else(|_| flate2::Compression::default(), flate2::Compression::new);
            Self { level, deflate: Compress::new(deflate_level, false) }
        })
    }

    /// Writes `input` as one member, and says how long that is; `None` if it does not fit.
    pub(super) fn pack(&mut self, input: &[u8], into: &mut [u8]) -> Option<usize> {
        let (header, room) = into.split_first_chunk_mut()?;
        *header = HEADER;
        self.deflate.reset();
        let status = self.deflate.compress(input, room, FlushCompress::Finish).ok()?;
        if status != Status::StreamEnd {
            return None;
        }
        let len = usize::try_from(self.deflate.total_out()).ok()?;
        let trailer = room.get_mut(len..)?.first_chunk_mut::<TRAILER_BYTES>()?;
        *trailer = self::trailer(crc32fast::hash(input), input.len());
        Some(HEADER.len() + len + TRAILER_BYTES)
    }
}

#[expect(clippy::little_endian_bytes, reason = "gzip is little-endian on every machine")]
fn trailer(crc: u32, len: usize) -> [u8; TRAILER_BYTES] {
    let [crc_0, crc_1, crc_2, crc_3] = crc.to_le_bytes();
    let [len_0, len_1, len_2, len_3, ..] = (len as u64).to_le_bytes();
    [crc_0, crc_1, crc_2, crc_3, len_0, len_1, len_2, len_3]
}

pub(super) struct Unpacker {
    inflate: Decompress,
}

impl Default for Unpacker {
    fn default() -> Self {
        Self { inflate: Decompress::new(false) }
    }
}

impl Unpacker {
    pub(super) fn unpack(&mut self, input: &[u8], output: &mut Output) -> Result<(), Stop> {
        let mut rest = input;
        skip_header(&mut rest).ok_or("there is no header of gzip")?;
        loop {
            self.unpack_member(&mut rest, output)?;
            if !rest.starts_with(&MAGIC) || skip_header(&mut rest).is_none() {
                return Ok(());
            }
        }
    }

    /// Unpacks from behind a header to behind the trailer.
    fn unpack_member(&mut self, rest: &mut &[u8], output: &mut Output) -> Result<(), Stop> {
        self.inflate.reset(false);
        let mut crc = crc32fast::Hasher::new();
        loop {
            let (read_before, wrote_before) = (self.inflate.total_in(), self.inflate.total_out());
            let room = output.room(PIECE_BYTES);
            let status = self.inflate.decompress(rest, room, FlushDecompress::None);
            let status = status.map_err(|_error| "it is not what deflate writes")?;
            let read = usize::try_from(self.inflate.total_in() - read_before).unwrap_or(usize::MAX);
            let wrote = usize::try_from(self.inflate.total_out() - wrote_before).unwrap_or(usize::MAX);
            crc.update(room.get(..wrote).unwrap_or_default());
            output.wrote(wrote)?;
            take_slice(rest, read).ok_or("it ends too early")?;
            match status {
                Status::StreamEnd => break,
                _ if read == 0 && wrote == 0 => return Err("it ends too early".into()),
                _ => {}
            }
        }
        let (Some(stored_crc), Some(stored_len)) = (take_le_u32(rest), take_le_u32(rest)) else {
            return Err("it ends too early".into());
        };
        if stored_crc != crc.finalize() || u64::from(stored_len) != self.inflate.total_out() & u64::from(u32::MAX) {
            return Err("its checksum does not hold".into());
        }
        Ok(())
    }
}

/// Passes over a header; `None` if there is none, or not all of it.
fn skip_header(rest: &mut &[u8]) -> Option<()> {
    let [magic @ .., flags, _time_0, _time_1, _time_2, _time_3, _xfl, _os] = take::<10>(rest)?;
    if magic != MAGIC || flags & RESERVED != 0 {
        return None;
    }
    if flags & HAS_EXTRA != 0 {
        let [low, high] = take(rest)?;
        take_slice(rest, usize::from(u16::from_be_bytes([high, low])))?;
    }
    for text in [HAS_NAME, HAS_COMMENT] {
        if flags & text != 0 {
            let len = rest.iter().position(|&byte| byte == 0)?;
            take_slice(rest, len + 1)?;
        }
    }
    if flags & HAS_HEADER_CHECKSUM != 0 {
        take::<2>(rest)?;
    }
    Some(())
}
