//! Snapshots of producer state, `<offset>.snapshot`. Ours are empty so far: no producer has an id.
//!
//! Kafka wants one at the log end of a log that was closed cleanly, or else it goes through the log for producers.

use crate::error::Result;
use crate::io::{Dir, replace};
use crate::storage::files::{parse_segment_name, segment_name};
use crate::types::Offset;

/// Version 1, the CRC-32C of what follows, and no entries.
const EMPTY: [u8; 10] = [0x00, 0x01, 0x48, 0x67, 0x4b, 0xc7, 0, 0, 0, 0];

/// Whether a file of that name is a snapshot.
pub(crate) fn is_snapshot(name: &str) -> bool {
    matches!(parse_segment_name(name), Some((_, "snapshot")))
}

/// Whether the one snapshot in `dir` is that of a log which ends at `log_end`.
pub(crate) fn has_only_snapshot(dir: &dyn Dir, log_end: Offset) -> Result<bool> {
    let mut snapshots = dir.names()?.into_iter().filter(|name| is_snapshot(name));
    let is_there = snapshots.next().is_some_and(|name| name == segment_name(log_end, "snapshot"));
    Ok(is_there && snapshots.next().is_none())
}

/// Writes the snapshot of a log that ends at `log_end`, and removes those of earlier ends.
pub(crate) fn write_empty_snapshot(dir: &dyn Dir, log_end: Offset) -> Result<()> {
    let name = segment_name(log_end, "snapshot");
    for entry in dir.list()? {
        if is_snapshot(&entry.name) && !entry.is_dir && entry.name != name {
            dir.remove(&entry.name)?;
        }
    }
    replace(dir, &name, &EMPTY)
}
