//! Codecs: the records of a batch as one compressed stream, and back.
//!
//! | codec  | stream                                                              | levels       |
//! |--------|---------------------------------------------------------------------|--------------|
//! | gzip   | RFC 1952, one member; read: several, one behind the other           | 1 to 9, -1   |
//! | snappy | xerial's framing of blocks of 32 KiB; read: any size, or one bare block | none     |
//! | lz4    | LZ4's frame of independent blocks of 64 KiB, no checksums; read: up to 4 MiB, with them | accepted, without effect |
//! | zstd   | one frame; read: several, and skippable ones                        | -131072 to 22 |
//!
//! What a stream unpacks to is not known before: a few bytes may stand for gigabytes. Three things bound it, none of
//! them a size that the stream itself declares ([`Output`] has the first two):
//!
//! 1. the records. Each begins with its length, so the end of the last one is seen coming. A stream that goes on behind
//!    it is given up where the buffer is full that it has by then, and so is one with a record that cannot fit the limit;
//! 2. the limit that the caller sets, for all records of a batch together. Memory grows with what has come out, by
//!    doubling: it is at most twice the limit, while a buffer grows to its last size, and 8 MiB for blocks of LZ4;
//! 3. for zstd, a window that is no larger than the limit, nor than 128 MiB; it is reserved for what is larger than
//!    256 KiB alone, and no more of it is touched than comes out.
//!
//! Contexts and buffers are kept from batch to batch in a [`Compressor`] or [`Decompressor`]; nobody shares one.
//!
//! Kafka: `org.apache.kafka.common.compress`.

#![cfg_attr(
    not(all(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd")),
    allow(dead_code, unused_variables, reason = "what the codecs share is not used by each of them")
)]

#[cfg(feature = "gzip")]
mod gzip;
#[cfg(feature = "lz4")]
mod lz4;
mod output;
#[cfg(feature = "snappy")]
mod snappy;
#[cfg(feature = "zstd")]
mod zstd;

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;

use crate::record::batch::BatchFault;
use crate::record::compression::output::Output;
use crate::types::Compression;

/// How much a decompressor keeps between batches. A batch that unpacks to more takes its buffer along.
const KEPT_BYTES: usize = 1 << 20;

/// The format whose streams are as everybody writes them.
const LATEST_MAGIC: i8 = 2;

/// How records are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Codec {
    pub(crate) compression: Compression,
    /// What gzip and zstd take as their level.
    pub(crate) level: i32,
}

/// The levels that a codec takes; `None` if it has none.
pub(crate) const fn levels(compression: Compression) -> Option<RangeInclusive<i32>> {
    match compression {
        Compression::None | Compression::Snappy => None,
        Compression::Gzip => Some(1..=9), // and -1, the default
        Compression::Lz4 => Some(1..=17),
        Compression::Zstd => Some(-131_072..=22),
    }
}

/// Whether this build has the codec.
pub(crate) const fn is_compiled(compression: Compression) -> bool {
    match compression {
        Compression::None => true,
        Compression::Gzip => cfg!(feature = "gzip"),
        Compression::Snappy => cfg!(feature = "snappy"),
        Compression::Lz4 => cfg!(feature = "lz4"),
        Compression::Zstd => cfg!(feature = "zstd"),
    }
}

/// How long the stream of `len` bytes is at most; `None` if this build does not have the codec.
fn bound(codec: Compression, len: usize) -> Option<usize> {
    match codec {
        #[cfg(feature = "gzip")]
        Compression::Gzip => Some(gzip::bound(len)),
        #[cfg(feature = "snappy")]
        Compression::Snappy => Some(snappy::bound(len)),
        #[cfg(feature = "lz4")]
        Compression::Lz4 => Some(lz4::bound(len)),
        #[cfg(feature = "zstd")]
        Compression::Zstd => Some(zstd::bound(len)),
        _ => None,
    }
}

/// Compresses one batch after the other.
#[derive(Default)]
pub(crate) struct Compressor {
    /// Longer than what was last compressed: it is not cleared.
    packed: Vec<u8>,
    #[cfg(feature = "gzip")]
    gzip: Option<gzip::Packer>,
    #[cfg(feature = "snappy")]
    snappy: Option<snappy::Packer>,
    #[cfg(feature = "lz4")]
    lz4: Option<lz4::Packer>,
    #[cfg(feature = "zstd")]
    zstd: Option<zstd::Packer>,
}

impl Compressor {
    /// `input` as one stream, until the next call; `None` if that would not be smaller.
    pub(crate) fn compress(&mut self, codec: Codec, input: &[u8]) -> Option<&[u8]> {
        self.pack(codec, input).filter(|packed| packed.len() < input.len())
    }

    /// `input` as one stream, however long that is.
    fn pack(&mut self, codec: Codec, input: &[u8]) -> Option<&[u8]> {
        let bound = bound(codec.compression, input.len())?;
        if self.packed.len() < bound {
            self.packed.resize(bound, 0);
        }
        let len = self.pack_into_buffer(codec, input)?;
        self.packed.get(..len)
    }

    fn pack_into_buffer(&mut self, codec: Codec, input: &[u8]) -> Option<usize> {
        let into = self.packed.as_mut_slice();
        match codec.compression {
            #[cfg(feature = "gzip")]
            Compression::Gzip => gzip::Packer::of_level(&mut self.gzip, codec.level).pack(input, into),
            #[cfg(feature = "snappy")]
            Compression::Snappy => self.snappy.get_or_insert_default().pack(input, into),
            #[cfg(feature = "lz4")]
            Compression::Lz4 => self.lz4.get_or_insert_default().pack(input, into),
            #[cfg(feature = "zstd")]
            Compression::Zstd => zstd::Packer::of_level(&mut self.zstd, codec.level)?.pack(input, into),
            _ => None,
        }
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").field("capacity", &self.packed.len()).finish_non_exhaustive()
    }
}

/// Unpacks one batch after the other.
#[derive(Default)]
pub(crate) struct Decompressor {
    /// Longer than what was last unpacked: it is not cleared.
    unpacked: Vec<u8>,
    /// Whether that is given out, in place of a copy of what is in it; `lent` is where it is then.
    lends: bool,
    lent: Option<Arc<Vec<u8>>>,
    #[cfg(feature = "gzip")]
    gzip: Option<gzip::Unpacker>,
    #[cfg(feature = "zstd")]
    zstd: Option<zstd::Unpacker>,
}

/// A buffer that is looked at from two sides.
struct Lent(Arc<Vec<u8>>);

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Decompressor {
    /// Gives its own buffer out in place of a copy. That saves the copy to whoever drops a batch before the next one;
    /// whoever keeps it keeps the whole buffer.
    pub(crate) fn lend(&mut self) {
        self.lends = true;
    }

    /// The buffer, or another one if somebody still holds it.
    fn buffer(&mut self) -> Vec<u8> {
        let lent = self.lent.take().and_then(|lent| Arc::try_unwrap(lent).ok());
        lent.unwrap_or_else(|| std::mem::take(&mut self.unpacked))
    }

    /// What `input` is a stream of: `count` records, which take `limit` bytes at most.
    ///
    /// # Errors
    /// [`BatchFault::CodecNotCompiled`]; [`BatchFault::BadStream`]; [`BatchFault::Oversized`]; and what is wrong with the
    /// lengths of the records: [`BatchFault::BadRecord`], [`BatchFault::LeftOver`].
    pub(crate) fn decompress(
        &mut self,
        codec: Compression,
        input: &[u8],
        count: i32,
        limit: usize,
    ) -> Result<Bytes, BatchFault> {
        let output = Output::new(self.buffer(), Some(count), limit);
        self.fill(output, codec, input, LATEST_MAGIC)
    }

    /// The same for messages of the old format `magic`, however many that are.
    ///
    /// # Errors
    /// As [`decompress`](Self::decompress).
    pub(crate) fn decompress_messages(
        &mut self,
        codec: Compression,
        magic: i8,
        input: &[u8],
        limit: usize,
    ) -> Result<Bytes, BatchFault> {
        let output = Output::new(self.buffer(), None, limit);
        self.fill(output, codec, input, magic)
    }

    fn fill(&mut self, mut output: Output, codec: Compression, input: &[u8], magic: i8) -> Result<Bytes, BatchFault> {
        let outcome = self.unpack(codec, input, magic, &mut output).map_err(|stop| match stop {
            Stop::Stream(reason) => BatchFault::BadStream { codec, reason },
            Stop::Batch(fault) => fault,
        });
        let (mut buffer, len) = output.into_parts();
        if outcome.is_ok() && len > KEPT_BYTES {
            buffer.truncate(len);
            buffer.shrink_to_fit();
            return Ok(Bytes::from(buffer));
        }
        if outcome.is_ok() && self.lends && buffer.len() <= KEPT_BYTES {
            let lent = Arc::new(buffer);
            self.lent = Some(Arc::clone(&lent));
            return Ok(Bytes::from_owner(Lent(lent)).slice(..len));
        }
        let unpacked = outcome.map(|()| Bytes::copy_from_slice(buffer.get(..len).unwrap_or_default()));
        if buffer.len() > KEPT_BYTES {
            buffer = Vec::new();
        }
        self.unpacked = buffer;
        unpacked
    }

    fn unpack(&mut self, codec: Compression, input: &[u8], magic: i8, output: &mut Output) -> Result<(), Stop> {
        match codec {
            #[cfg(feature = "gzip")]
            Compression::Gzip => self.gzip.get_or_insert_default().unpack(input, output),
            #[cfg(feature = "snappy")]
            Compression::Snappy => snappy::unpack(input, output),
            #[cfg(feature = "lz4")]
            Compression::Lz4 => lz4::unpack(input, magic != 0, output),
            #[cfg(feature = "zstd")]
            Compression::Zstd => zstd::unpack(&mut self.zstd, input, output),
            codec => Err(BatchFault::CodecNotCompiled { codec }.into()),
        }
    }
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decompressor").field("capacity", &self.unpacked.len()).finish_non_exhaustive()
    }
}

/// Why unpacking ends early.
#[derive(Debug, PartialEq, Eq)]
enum Stop {
    /// The stream is not what the codec writes.
    Stream(&'static str),
    /// What comes out is not what a batch holds.
    Batch(BatchFault),
}

impl From<&'static str> for Stop {
    fn from(reason: &'static str) -> Self {
        Self::Stream(reason)
    }
}

impl From<BatchFault> for Stop {
    fn from(fault: BatchFault) -> Self {
        Self::Batch(fault)
    }
}

/// Takes `N` bytes off the front of `rest`.
fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, behind) = rest.split_first_chunk::<N>()?;
    *rest = behind;
    Some(*taken)
}

/// Takes `len` bytes off the front of `rest`.
fn take_slice<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, behind) = rest.split_at_checked(len)?;
    *rest = behind;
    Some(taken)
}

/// A field of a format that is little-endian, other than Kafka's own.
fn take_le_u32(rest: &mut &[u8]) -> Option<u32> {
    take(rest).map(u32::from_le_bytes)
}

#[cfg(test)]
mod tests;
