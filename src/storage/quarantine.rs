//! The quarantine: what was taken out of a log or replaced lies there, under the name of the place that it is from.
//!
//! Nothing in it is ever read, overwritten or removed by us. What is put there is durable but for its name: the caller
//! syncs the directory before it touches the original.

use std::ops::Range;
use std::path::PathBuf;

use crate::error::Result;
use crate::io::{Dir, File};

/// How much is copied at a time.
pub(super) const COPY_BYTES: usize = 256 * 1024;
static ZEROS: [u8; COPY_BYTES] = [0; COPY_BYTES];

/// Copies a stretch of `source` into the quarantine, named for `place`; `None` if it is nothing but zeros.
pub(crate) fn save(quarantine: &dyn Dir, place: &str, source: &dyn File, bytes: Range<u64>) -> Result<Option<PathBuf>> {
    if is_zero(source, bytes.start, bytes.end)? {
        return Ok(None);
    }
    let name = free_name(quarantine, place)?;
    let copy = quarantine.create(&name)?;
    copy_bytes(source, bytes, copy.as_ref(), 0)?;
    copy.sync()?; // before the original goes
    Ok(Some(quarantine.path().join(name)))
}

/// Copies a stretch of one file into another one, and says where it ends there.
pub(super) fn copy_bytes(source: &dyn File, bytes: Range<u64>, target: &dyn File, at: u64) -> Result<u64> {
    let mut position = bytes.start;
    while position < bytes.end {
        let piece = source.slice(position, chunk(position, bytes.end))?;
        if piece.is_empty() {
            break;
        }
        target.write_all_at(&piece, at + (position - bytes.start))?;
        position += piece.len() as u64;
    }
    Ok(at + (position - bytes.start))
}

fn chunk(position: u64, end: u64) -> usize {
    usize::try_from(end - position).unwrap_or(COPY_BYTES).min(COPY_BYTES)
}

fn is_zero(file: &dyn File, from: u64, end: u64) -> Result<bool> {
    let mut position = from;
    while position < end {
        let bytes = file.slice(position, chunk(position, end))?;
        if bytes.is_empty() {
            break;
        }
        // Compared as a block: a file that somebody has lengthened may have many gigabytes of them.
        if bytes[..] != ZEROS[..bytes.len()] {
            return Ok(false);
        }
        position += bytes.len() as u64;
    }
    Ok(true)
}

/// `name`, or with a number behind it if that is taken: nothing in the quarantine is ever overwritten.
pub(crate) fn free_name(dir: &dyn Dir, name: &str) -> Result<String> {
    let taken = dir.names()?;
    let candidates = std::iter::once(name.to_owned()).chain((1u64..).map(|number| format!("{name}.{number}")));
    Ok(candidates.into_iter().find(|candidate| !taken.contains(candidate)).expect("there is always another number"))
}
