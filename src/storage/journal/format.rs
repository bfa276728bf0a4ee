//! The bytes of a journal: a header, written once, and frames behind it. All numbers are big-endian.
//!
//! ```text
//! header, 64 bytes, twice:
//!   0 magic "OTLJ"      4
//!   4 version         u32   magic, version and checksum keep their places in every version
//!   8 features        u32   bits a reader must know
//!  12 journal id       16   random, another one in every generation of the file
//!  28 history id       16   random, the same in all generations, and in all copies
//!  44 base sequence   u64   the number of the last frame that the snapshot stands for
//!  52 snapshot end    u64   a file position: all below it was synced before the file had its name
//!  60 CRC-32          u32   over the 60 bytes before it
//!
//! frame, from position 128 on, one behind the other:
//!   0 length          u32   of the payload, 1 to 16 MiB
//!   4 sequence        u64   rises from frame to frame by one
//!  12 durable end     u64   a file position: all below it was known to be synced when this was written
//!  20 CRC-32          u32   over journal id, sequence, length, durable end, payload
//!  24 payload
//! ```
//!
//! The header is there twice so that one flipped bit in an id, without which no frame can be checked, is not the end
//! of the journal. The frames of a snapshot are numbered from 1; those appended behind it carry on from the base
//! sequence, with the highest bit set, so that the numbers rise through the whole file while a compaction does not
//! change the number of the last frame: copies of a journal that are compacted at different times stay comparable.

use std::path::Path;

use bytes::{Buf, BufMut};

use crate::error::{Error, Result};

/// Where the first frame is.
pub(super) const HEADER_BYTES: u64 = 2 * COPY_BYTES as u64;
const COPY_BYTES: usize = 64;
const CHECKSUM_AT: usize = 60;

const MAGIC: [u8; 4] = *b"OTLJ";
const VERSION: u32 = 1;
const FEATURES: u32 = 0;

/// What a frame has in front of its payload.
pub(super) const FRAME_OVERHEAD: usize = 24;
/// The largest payload. A damaged length never makes a reader allocate more than this.
pub(super) const MAX_PAYLOAD: usize = 16 * 1024 * 1024;

/// Set in the sequence of every frame that was appended behind the snapshot.
pub(super) const APPENDED: u64 = 1 << 63;
/// No journal counts so far: a header that says so is damaged, and what is appended behind it always finds a number.
const TOO_FAR: u64 = 1 << 62;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) journal_id: [u8; 16],
    pub(super) history_id: [u8; 16],
    pub(super) base_sequence: u64,
    pub(super) snapshot_end: u64,
}

/// Why one of the two copies of a header does not serve.
enum Flaw {
    Magic,
    Version(u32),
    Features(u32),
    Damage,
}

impl Header {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut copy = Vec::with_capacity(COPY_BYTES);
        copy.put_slice(&MAGIC);
        copy.put_u32(VERSION);
        copy.put_u32(FEATURES);
        copy.put_slice(&self.journal_id);
        copy.put_slice(&self.history_id);
        copy.put_u64(self.base_sequence);
        copy.put_u64(self.snapshot_end);
        debug_assert_eq!(copy.len(), CHECKSUM_AT);
        copy.put_u32(crc32fast::hash(&copy));
        copy.repeat(2)
    }

    /// Whether one of the copies begins as a header of any version does.
    pub(super) fn is_any(bytes: &[u8]) -> bool {
        bytes.chunks(COPY_BYTES).take(2).any(|copy| copy.starts_with(&MAGIC))
    }

    /// Reads what [`encode`](Self::encode) wrote; says too whether both copies were whole.
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`] for a file that is not ours or newer than this code, [`Error::CorruptFile`] if
    /// both copies are damaged.
    pub(super) fn decode(path: &Path, bytes: &[u8]) -> Result<(Self, bool)> {
        let (copies, _) = bytes.as_chunks::<COPY_BYTES>();
        let [first, second] = copies else {
            return Err(Error::corrupt_file(path, 0, "the header is not all there"));
        };
        match (Self::decode_copy(first), Self::decode_copy(second)) {
            (Ok(one), Ok(other)) if one == other => Ok((one, true)),
            (Ok(header), _) | (_, Ok(header)) => Ok((header, false)),
            (Err(one), Err(other)) => Err(refusal(path, &one, &other)),
        }
    }

    fn decode_copy(copy: &[u8; COPY_BYTES]) -> Result<Self, Flaw> {
        let (content, mut checksum) = copy.split_at(CHECKSUM_AT);
        let mut fields = content;
        if fields.copy_to_bytes(MAGIC.len()) != MAGIC[..] {
            return Err(Flaw::Magic);
        }
        if checksum.get_u32() != crc32fast::hash(content) {
            return Err(Flaw::Damage);
        }
        let (version, features) = (fields.get_u32(), fields.get_u32());
        if version != VERSION {
            return Err(Flaw::Version(version));
        }
        if features & !FEATURES != 0 {
            return Err(Flaw::Features(features));
        }
        let (mut journal_id, mut history_id) = ([0; 16], [0; 16]);
        fields.copy_to_slice(&mut journal_id);
        fields.copy_to_slice(&mut history_id);
        let (base_sequence, snapshot_end) = (fields.get_u64(), fields.get_u64());
        if base_sequence >= TOO_FAR {
            return Err(Flaw::Damage);
        }
        Ok(Self { journal_id, history_id, base_sequence, snapshot_end })
    }
}

fn refusal(path: &Path, one: &Flaw, other: &Flaw) -> Error {
    let unsupported = |reason: String| Error::UnsupportedVersion { path: path.to_owned(), reason: reason.into() };
    match (one, other) {
        (Flaw::Version(version), _) | (_, Flaw::Version(version)) => {
            unsupported(format!("a journal of version {version}, and this code knows version {VERSION}"))
        }
        (Flaw::Features(bits), _) | (_, Flaw::Features(bits)) => {
            unsupported(format!("the journal asks for features {:#x}, which this code does not know", bits & !FEATURES))
        }
        (Flaw::Magic, Flaw::Magic) => unsupported("not a journal of ottla".to_owned()),
        _ => Error::corrupt_file(path, 0, "both copies of the header are damaged"),
    }
}

/// A frame without its payload.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameHead {
    pub(super) len: usize,
    pub(super) sequence: u64,
    pub(super) durable_end: u64,
    checksum: u32,
}

impl FrameHead {
    /// Reads the numbers in front of a payload; `None` if the length is one that no frame has.
    pub(super) fn decode(bytes: &[u8; FRAME_OVERHEAD]) -> Option<Self> {
        let mut fields = &bytes[..];
        let len = usize::try_from(fields.get_u32()).ok().filter(|len| (1..=MAX_PAYLOAD).contains(len))?;
        let (sequence, durable_end, checksum) = (fields.get_u64(), fields.get_u64(), fields.get_u32());
        Some(Self { len, sequence, durable_end, checksum })
    }

    /// Whether head and payload are as they were written, in this generation of this journal.
    pub(super) fn fits(&self, journal_id: &[u8; 16], payload: &[u8]) -> bool {
        payload.len() == self.len && checksum(journal_id, self.sequence, self.durable_end, payload) == self.checksum
    }
}

/// Appends a frame to `into`.
///
/// # Errors
/// [`Error::IllegalArgument`] if the payload is empty or larger than a frame may be.
pub(super) fn encode_frame(
    into: &mut Vec<u8>,
    journal_id: &[u8; 16],
    sequence: u64,
    durable_end: u64,
    payload: &[u8],
) -> Result<()> {
    if payload.is_empty() || payload.len() > MAX_PAYLOAD {
        let reason = format!("a journal frame of {} bytes: 1 to {MAX_PAYLOAD} are possible", payload.len());
        return Err(Error::illegal_argument(reason));
    }
    into.reserve(FRAME_OVERHEAD + payload.len());
    into.put_u32(frame_len(payload));
    into.put_u64(sequence);
    into.put_u64(durable_end);
    into.put_u32(checksum(journal_id, sequence, durable_end, payload));
    into.put_slice(payload);
    Ok(())
}

fn frame_len(payload: &[u8]) -> u32 {
    u32::try_from(payload.len()).expect("a payload is at most MAX_PAYLOAD bytes long")
}

fn checksum(journal_id: &[u8; 16], sequence: u64, durable_end: u64, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(journal_id);
    hasher.update(&sequence.to_be_bytes());
    hasher.update(&frame_len(payload).to_be_bytes());
    hasher.update(&durable_end.to_be_bytes());
    hasher.update(payload);
    hasher.finalize()
}
