//! What fuzzing holds the dump of files, and the reading of `__consumer_offsets`, to.

mod archive;

use std::ops::ControlFlow;

use bytes::Bytes;

use crate::io::MemoryDisk;
use crate::record::Batch;
use crate::replay::consumer_offsets::GroupCommits;
use crate::replay::dump::{DumpKind, DumpOptions, Dumped, dump_in};
use crate::storage::segment_of_sample;
use crate::types::Offset;

pub use archive::archive_open;

/// The files that there are.
const NAMES: [&str; 15] = [
    "00000000000000000000.log",
    "00000000000000000000.index",
    "00000000000000000000.timeindex",
    "00000000000000000000.txnindex",
    "00000000000000000007.snapshot",
    "leader-epoch-checkpoint",
    "recovery-point-offset-checkpoint",
    "partition.metadata",
    "meta.properties",
    ".kafka_cleanshutdown",
    "catalog",
    "g.offsets",
    "positions",
    "00000000000000000040.log",
    "00000000000000000000.index.deleted",
];

const UNPACKED_LIMIT: usize = 1 << 20;

/// Dumps a file, `input` without its first byte, which says what it is called: whatever it holds, what is shown lies in
/// the file, in its order, and is no more than its bytes can hold.
///
/// # Panics
/// If that does not hold.
pub fn dump_file(input: &[u8]) {
    let Some((number, content)) = input.split_first() else { return };
    let name = NAMES[usize::from(*number) % NAMES.len()];
    let dir = MemoryDisk::new().disk().root();
    let put = |name: &str, content: &[u8]| {
        dir.create(name).and_then(|file| file.write_all_at(content, 0)).expect("memory takes it");
    };
    let kind = DumpKind::of(name).expect("all of them can be dumped");
    if !matches!(kind, DumpKind::Segment { .. }) {
        put(NAMES[0], segment_of_sample()); // beside the indexes
    }
    put(name, content);
    let options = DumpOptions::default().records(true).index_check(true).max_unpacked_bytes(UNPACKED_LIMIT);
    let (mut entries, mut findings, mut last) = (0u64, 0, None);
    let len = content.len() as u64;
    let outcome = dump_in(&dir, name, &options, &mut |entry| {
        let (position, size) = match &entry {
            Dumped::File { len_bytes, .. } => {
                assert_eq!(*len_bytes, len);
                return ControlFlow::Continue(());
            }
            Dumped::Batch { position, header, .. } => (*position, header.len_bytes as u64),
            Dumped::Frame { position, len_bytes, .. } => (*position, *len_bytes),
            Dumped::Finding { position, .. } => {
                findings += 1;
                assert!(position.is_none_or(|position| position <= len), "{entry:?}");
                return ControlFlow::Continue(());
            }
            Dumped::IndexEntry { position, .. } => (*position, 8),
            Dumped::TimeEntry { position, .. } => (*position, 12),
            Dumped::Aborted { position, .. } => (*position, 34),
            Dumped::Producer { position, .. } => (*position, 46),
            Dumped::LeaderEpoch { position, .. } | Dumped::Checkpoint { position, .. } => (*position, 1),
            Dumped::Record { .. } | Dumped::Control { .. } => {
                entries += 1;
                return ControlFlow::Continue(());
            }
            _ => return ControlFlow::Continue(()),
        };
        assert!(position + size <= len, "{entry:?}");
        assert!(last.is_none_or(|last| last < position), "{entry:?}");
        last = Some(position);
        ControlFlow::Continue(())
    });
    if let Ok(found) = outcome {
        assert_eq!(found, findings);
    }
    // A record takes seven bytes, of what a batch of at least 61 bytes has been unpacked to.
    assert!(entries <= (len / 26 + 1) * (UNPACKED_LIMIT as u64 / 7));
    let mut seen = 0;
    let stopped = dump_in(&dir, name, &options, &mut |_| {
        seen += 1;
        ControlFlow::Break(())
    });
    assert!(seen == 1 && stopped.is_ok_and(|found| found == 0), "it ends when it is told to");
}

/// Takes records of `__consumer_offsets`: whatever they say, no more comes out than went in.
///
/// Each is a byte of flags, the length of its key, that of its value, key and value. Bit 0: no key; 1: no value; 2: of
/// a transaction; 3: a marker; bits 4 and 5 are its producer. What follows the last one is also taken as a batch.
///
/// # Panics
/// If that does not hold.
pub fn consumer_offsets(input: &[u8]) {
    let mut commits = GroupCommits::default();
    let (mut rest, mut offset) = (input, 0);
    while let Some(([flags, key_len, value_len], behind)) = rest.split_first_chunk() {
        let Some((key, behind)) = behind.split_at_checked(usize::from(*key_len)) else { break };
        let Some((value, behind)) = behind.split_at_checked(usize::from(*value_len)) else { break };
        rest = behind;
        let (key, value) = ((flags & 1 == 0).then_some(key), (flags & 2 == 0).then_some(value));
        let producer = i64::from(flags >> 4 & 3);
        let at = Offset(offset);
        match flags & 12 {
            0 => commits.take_message(0, at, key, value),
            4 => commits.take_record(0, at, Some(producer), key, value),
            _ => commits.take_marker(0, producer, at, key),
        }
        offset += 1;
    }
    let taken = u64::try_from(offset).unwrap_or(0);
    let counted: usize = commits.groups().map(|(_, group)| group.commits.len() + group.kinds().count()).sum();
    let skipped: u64 = commits.skipped().map(|skipped| skipped.count).sum();
    assert!((counted + commits.pending()) as u64 + skipped <= taken);
    assert!(commits.groups().all(|(name, group)| commits.group(name) == Some(group)));
    for (_, group) in commits.groups() {
        assert!(group.commits.values().all(|commit| commit.stored_at.1.0 < offset));
    }
    if let Ok(batch) = Batch::decode_any(Bytes::copy_from_slice(input)) {
        let _ = commits.take(1, &batch);
    }
}
