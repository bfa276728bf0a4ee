//! zstd: frames of Zstandard, one behind the other, with skippable ones among them.
//!
//! A frame says how large a window its reader has to keep, up to what it likes. Unpacked in one go into a buffer it
//! needs none, so that is tried first, with a buffer large enough for nearly every batch. Only what does not fit is
//! unpacked piece by piece. There a window of more than 128 MiB is refused, as in Kafka, and one that is larger than all
//! that may come out.

use zstd::zstd_safe::zstd_sys::ZSTD_ErrorCode;
use zstd::zstd_safe::{
    CCtx, CParameter, DCtx, DParameter, InBuffer, OutBuffer, ResetDirective, compress_bound, get_error_name,
    is_error_kind,
};

use crate::record::compression::Stop;
use crate::record::compression::output::Output;

/// What is tried in one go.
const AT_ONCE_BYTES: usize = 256 * 1024;
/// How much is unpacked at a time at least.
const PIECE_BYTES: usize = 64 * 1024;
/// The largest window: 2 to the power of this.
const WINDOW_LOG_MAX: u32 = 27;
/// The smallest one that can be a limit.
const WINDOW_LOG_MIN: u32 = 10;
/// A context that has grown larger, by a window, is not kept.
const KEPT_CONTEXT_BYTES: usize = 4 << 20;

/// How long the frame of `len` bytes is at most.
pub(super) fn bound(len: usize) -> usize {
    compress_bound(len)
}

pub(super) struct Packer {
    level: i32,
    context: CCtx<'static>,
}

impl Packer {
    /// A context for `level`; `None` if there is no memory for one.
    pub(super) fn of_level(kept: &mut Option<Self>, level: i32) -> Option<&mut Self> {
        if kept.as_ref().is_none_or(|packer| packer.level != level) {
            let mut context = CCtx::try_create()?;
            context.set_parameter(CParameter::CompressionLevel(level)).ok()?;
            *kept = Some(Self { level, context });
        }
        kept.as_mut()
    }

    /// Writes `input` as one frame, and says how long that is.
    pub(super) fn pack(&mut self, input: &[u8], into: &mut [u8]) -> Option<usize> {
        self.context.compress2(into, input).ok()
    }
}

pub(super) struct Unpacker {
    context: DCtx<'static>,
}

pub(super) fn unpack(kept: &mut Option<Unpacker>, input: &[u8], output: &mut Output) -> Result<(), Stop> {
    // A context that met an error, or that has grown, is not put back.
    let mut unpacker = match kept.take() {
        Some(unpacker) => unpacker,
        None => Unpacker::new().ok_or("there is no memory to unpack it")?,
    };
    if unpacker.unpack_at_once(input, output)? {
        *kept = Some(unpacker);
        return Ok(());
    }
    unpacker.unpack_in_pieces(input, output)?;
    if unpacker.context_bytes() <= KEPT_CONTEXT_BYTES {
        *kept = Some(unpacker);
    }
    Ok(())
}

impl Unpacker {
    fn new() -> Option<Self> {
        DCtx::try_create().map(|context| Self { context })
    }

    /// Whether there was room for all of it.
    fn unpack_at_once(&mut self, input: &[u8], output: &mut Output) -> Result<bool, Stop> {
        match self.context.decompress(output.room(AT_ONCE_BYTES), input) {
            Ok(unpacked) => output.wrote(unpacked).map(|()| true),
            Err(code) if is_error_kind(code, ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall) => Ok(false),
            Err(code) => Err(get_error_name(code).into()),
        }
    }

    /// How large the context is, its window included.
    pub(super) fn context_bytes(&self) -> usize {
        self.context.sizeof()
    }

    fn unpack_in_pieces(&mut self, input: &[u8], output: &mut Output) -> Result<(), Stop> {
        let window_log = usize::BITS - output.left().leading_zeros();
        let window = DParameter::WindowLogMax(window_log.clamp(WINDOW_LOG_MIN, WINDOW_LOG_MAX));
        self.context.reset(ResetDirective::SessionOnly).map_err(get_error_name)?;
        self.context.set_parameter(window).map_err(get_error_name)?;
        let mut input = InBuffer::around(input);
        loop {
            let room = output.room(PIECE_BYTES);
            let size = room.len();
            let mut piece = OutBuffer::around(room);
            let hint = self.context.decompress_stream(&mut piece, &mut input);
            let wrote = piece.pos();
            let hint = hint.map_err(get_error_name)?;
            output.wrote(wrote)?;
            let is_read = input.pos() == input.src.len();
            match hint {
                0 if is_read => return Ok(()),
                // There may be more in the context while the piece is full.
                hint if hint > 0 && is_read && wrote < size => return Err("it ends too early".into()),
                _ => {}
            }
        }
    }
}
