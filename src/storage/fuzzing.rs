//! What fuzzing holds the opening of indexes and journals to, and the decoding of Kafka's small files.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use crate::error::Error;
use crate::io::{Dir, MemoryDisk, read_small};
use crate::record::{BatchBuilder, ProducerStamp};
use crate::storage::checkpoint::{
    META_PROPERTIES, PARTITION_METADATA, RECOVERY_POINTS, each_offset, read_meta_properties, read_offsets,
    read_partition_metadata, write_meta_properties, write_offsets, write_partition_metadata,
};
use crate::storage::config::TopicConfig;
use crate::storage::index::{AbortedTransaction, OffsetIndex, TimeIndex};
use crate::storage::journal::{BehindHole, Journal};
use crate::storage::leader_epochs::{LEADER_EPOCHS, LeaderEpochs};
use crate::storage::log::Log;
use crate::storage::producer_state::{encode_snapshot, read_snapshot};
use crate::storage::recovery::Opening;
use crate::types::{LeaderEpoch, Offset, Timestamp, TopicId, TopicPartition};

const T: i64 = 1_700_000_000_000;
const EPOCH: LeaderEpoch = LeaderEpoch(0);
/// Records of the sample; two to a batch, each a second after the one before it.
const RECORDS: i64 = 48;
const OFFSET_INDEX: &str = "00000000000000000000.index";
const TIME_INDEX: &str = "00000000000000000000.timeindex";
const SMALL: u64 = 1 << 20;

/// Opens a log whose first segment has the indexes of `input`: every record is found by its offset and by its time,
/// whatever the indexes say.
///
/// `input` is a byte that is odd if the log was closed cleanly, how long the offset index is (two bytes, big-endian), that
/// index, and the time index.
///
/// # Panics
/// If a record is not found.
pub fn index_open(input: &[u8]) {
    let Some((&[flags, high, low], indexes)) = input.split_first_chunk() else { return };
    let len = usize::from(u16::from_be_bytes([high, low])).min(indexes.len());
    let (offset_index, time_index) = indexes.split_at(len);
    decode(offset_index, time_index);

    let sample = sample();
    let root = MemoryDisk::new().disk().root();
    let dir = root.create_dir("t-0").expect("memory takes it");
    for (name, content) in sample {
        let content = match name.as_str() {
            OFFSET_INDEX => offset_index,
            TIME_INDEX => time_index,
            _ => content,
        };
        put(&*dir, name, content);
    }
    let quarantine = root.create_dir("q").expect("memory takes it");
    let opening = Opening {
        dir: &dir,
        name: &name(),
        config: config(),
        quarantine: &*quarantine,
        epoch: EPOCH,
        log_start: Some(Offset::ZERO),
        durable_end: Some(Offset(RECORDS)),
        was_clean: flags & 1 == 1,
        forget_producers_before: None,
        now: Timestamp(T),
    };
    let log = Log::open(&opening, &mut |_| panic!("nothing is torn"), &mut |_| {}).expect("indexes are caches");
    assert_eq!(log.log_end(), Offset(RECORDS));
    for offset in (0..RECORDS).map(Offset) {
        let batches = log.read(&mut None, offset, log.log_end(), 1).expect("no batch is damaged");
        let records = batches[0].records().expect("it is not compressed").map(|record| record.expect("it is whole"));
        let found = records.into_iter().find(|record| record.offset() == offset).expect("its batch comes first");
        assert_eq!(found.timestamp(), time_of(offset));
        let (first, time) = log
            .offset_for_time(time_of(offset), log.log_end())
            .expect("no batch is damaged")
            .expect("there is a record of that time");
        assert_eq!((first, time), (offset, time_of(offset)));
    }
}

/// What decodes is written as it was, and every look-up answers.
fn decode(offset_index: &[u8], time_index: &[u8]) {
    if let Some(index) = OffsetIndex::decode(Offset(100), offset_index, 1 << 30) {
        assert_eq!(index.encode(), offset_index);
        for at in [99, 100, 101, 150, i64::from(i32::MAX), i64::MAX].map(Offset) {
            assert!(index.floor(at).is_none_or(|entry| entry.last_offset <= at));
            let position = at.0.cast_unsigned();
            assert!(index.after_position(position).is_none_or(|entry| entry.position > position));
        }
    }
    if let Some(index) = TimeIndex::decode(Offset(100), time_index) {
        assert_eq!(index.encode(), time_index);
        for at in [i64::MIN, -1, 0, T, i64::MAX].map(Timestamp) {
            assert!(index.before(at).is_none_or(|entry| entry.timestamp < at));
        }
    }
}

/// Opens a journal that has the bytes of `input`: it is refused, or gives no more than is there, and compacted the same
/// again.
///
/// `input` is a byte, whose lowest bit says whether it was closed cleanly and the next one whether frames behind a hole
/// count, and the file.
///
/// # Panics
/// If that does not hold.
pub fn journal_open(input: &[u8]) {
    const NAME: &str = "offsets";
    let Some((&flags, content)) = input.split_first() else { return };
    let root = MemoryDisk::new().disk().root();
    put(&*root, NAME, content);
    let behind = if flags & 2 == 0 { BehindHole::Drop } else { BehindHole::Keep };
    let open = |was_clean| Journal::open(Arc::clone(&root), NAME, was_clean, behind);
    let Ok(opening) = open(flags & 1 == 1) else { return };
    let payloads = opening.payloads;
    assert!(payloads.iter().map(Vec::len).sum::<usize>() <= content.len(), "it gives what is there");
    for finding in &opening.findings {
        assert!(finding.position <= content.len() as u64, "{finding}");
    }
    let mut journal = opening.journal;
    journal.compact([7; 16], payloads.clone()).expect("memory takes it");
    if journal.append(b"behind").is_ok() {
        journal.write_round(&mut || false).expect("memory takes it");
        let again = open(true).expect("it was just written");
        assert_eq!(again.findings, []);
        assert_eq!(again.payloads, [payloads, vec![b"behind".to_vec()]].concat());
    }
}

/// Reads whatever bytes as a producer snapshot: one without a fault is written as it was read, one with a fault has as
/// many entries as there is room for.
///
/// # Panics
/// If that does not hold.
pub fn snapshot(bytes: &[u8]) {
    let (producers, fault) = read_snapshot(bytes);
    match fault {
        None => assert_eq!(encode_snapshot(&producers), bytes),
        Some(fault) => {
            assert!(!fault.to_string().is_empty() && fault.position(bytes.len()) <= bytes.len() as u64);
            assert!(producers.len() * 46 <= bytes.len());
        }
    }
    let whole = encode_snapshot(&producers);
    assert_eq!(read_snapshot(&whole), (producers, None));
}

/// Reads whatever bytes as a transaction index: what has version 0 is written as it was read.
///
/// # Panics
/// If that does not hold.
pub fn transaction_index(bytes: &[u8]) {
    for entry in bytes.as_chunks::<{ AbortedTransaction::ENTRY_BYTES }>().0 {
        match AbortedTransaction::decode(entry) {
            Some(aborted) => assert_eq!(&aborted.encode(), entry),
            None => assert_ne!(entry[..2], [0, 0]),
        }
    }
}

/// Reads whatever bytes as each of Kafka's text files: what can be read is the same when it is written and read again,
/// and whoever looks at each line of it sees the same.
///
/// # Panics
/// If that does not hold.
pub fn checkpoint(bytes: &[u8]) {
    let dir = MemoryDisk::new().disk().root();
    let of = |name: &str| {
        put(&*dir, name, bytes);
        dir.path().join(name)
    };
    let path = of(RECOVERY_POINTS);
    let (mut offsets, mut flaws) = (BTreeMap::new(), 0);
    let seen = each_offset::<Error>(&path, bytes, |line| {
        match line {
            Ok((at, partition, offset)) => {
                assert!(at < bytes.len() as u64);
                offsets.insert(partition, offset);
            }
            Err(error) => {
                assert!(error.is_corruption());
                flaws += 1;
            }
        }
        Ok(())
    });
    match read_offsets(&*dir, RECOVERY_POINTS) {
        Ok(read) => {
            let read = read.expect("it is there");
            assert!(seen.is_ok() && flaws == 0 && read == offsets);
            write_offsets(&*dir, RECOVERY_POINTS, &read).expect("memory takes it");
            assert_eq!(read_offsets(&*dir, RECOVERY_POINTS).expect("it was just written"), Some(read));
        }
        Err(error) => assert!(error.is_corruption() && (seen.is_err() || flaws > 0), "{error}"),
    }
    of(LEADER_EPOCHS);
    let (epochs, finding) = LeaderEpochs::load(&*dir).expect("damage is a finding");
    if finding.is_none() {
        epochs.store(&*dir).expect("memory takes it");
        let (again, finding) = LeaderEpochs::load(&*dir).expect("it was just written");
        assert!(again == epochs && finding.is_none());
    }
    of(PARTITION_METADATA);
    if let Ok(Some(topic)) = read_partition_metadata(&*dir) {
        write_partition_metadata(&*dir, topic).expect("memory takes it");
        assert_eq!(read_partition_metadata(&*dir).expect("it was just written"), Some(topic));
    }
    of(META_PROPERTIES);
    if let Ok(Some(properties)) = read_meta_properties(&*dir) {
        write_meta_properties(&*dir, &properties).expect("memory takes it");
        assert_eq!(read_meta_properties(&*dir).expect("it was just written"), Some(properties));
    }
}

/// The first segment of the sample.
pub(crate) fn segment_of_sample() -> &'static [u8] {
    let is_first = |(name, _): &&(String, Vec<u8>)| name == "00000000000000000000.log";
    &sample().iter().find(is_first).expect("it has one").1
}

fn put(dir: &dyn Dir, name: &str, content: &[u8]) {
    dir.create(name).and_then(|file| file.write_all_at(content, 0)).expect("memory takes it");
}

fn name() -> TopicPartition {
    TopicPartition::new("t", 0)
}

fn time_of(offset: Offset) -> Timestamp {
    Timestamp(T + 1000 * offset.0)
}

fn config() -> Arc<TopicConfig> {
    let config = TopicConfig::builder().segment_bytes(1600).index_interval_bytes(150).build();
    Arc::new(config.expect("the settings are valid"))
}

/// The files of a log that was closed cleanly.
fn sample() -> &'static [(String, Vec<u8>)] {
    static SAMPLE: OnceLock<Vec<(String, Vec<u8>)>> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let dir = MemoryDisk::new().disk().root();
        let id = TopicId::from_random([7; 16]);
        let log = Log::create(&dir, name(), id, config(), EPOCH, Timestamp(T)).expect("memory takes it");
        for first in (0..RECORDS).step_by(2) {
            let mut builder = BatchBuilder::new(Vec::new());
            for offset in [first, first + 1].map(Offset) {
                builder.append(time_of(offset), None, Some(&offset.0.to_be_bytes()), &[]);
            }
            let mut sealed = builder.seal(ProducerStamp::NONE);
            let outcome = log.append(&mut [&mut sealed], Timestamp(T));
            assert!(outcome.error.is_none() && outcome.appended == 1);
        }
        log.close().expect("memory takes it");
        let files = dir.list().expect("it is there").into_iter().filter(|entry| !entry.is_dir);
        let read = |entry: crate::io::Entry| {
            let content = dir.open(&entry.name).and_then(|file| read_small(&*file, SMALL)).expect("it is there");
            (entry.name, content)
        };
        files.map(read).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The indexes that the sample has.
    fn indexes() -> (&'static [u8], &'static [u8]) {
        let content = |name| sample().iter().find(|(each, _)| each == name).expect("it has one").1.as_slice();
        (content(OFFSET_INDEX), content(TIME_INDEX))
    }

    #[expect(clippy::disallowed_methods, reason = "reads a seed")]
    fn seed(name: &str) -> Vec<u8> {
        let seeds = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/index_open");
        std::fs::read(seeds.join(name)).expect("the target has seeds")
    }

    #[test]
    fn sample_has_two_segments_and_its_own_indexes_serve() {
        assert!(sample().iter().filter(|(name, _)| name.ends_with(".log")).count() > 1);
        let (offset_index, time_index) = indexes();
        assert!(offset_index.len() > 40 && time_index.len() > 60);
        let [.., high, low] = offset_index.len().to_be_bytes();
        for flags in [0, 1] {
            let input = [&[flags, high, low], offset_index, time_index].concat();
            assert_eq!(seed(if flags == 0 { "unclean" } else { "clean" }), input, "the seed is what the sample has");
            index_open(&input);
            index_open(&input[..input.len() - 1]);
        }
    }

    #[test]
    fn journal_is_opened_whole_and_in_pieces() {
        let root = MemoryDisk::new().disk().root();
        let ids = crate::storage::journal::JournalIds { journal: [1; 16], history: [2; 16] };
        let mut journal = Journal::create(Arc::clone(&root), "offsets", ids, &[b"snapshot".to_vec()]).unwrap();
        for payload in [b"one".as_slice(), b"two", b"three"] {
            journal.append(payload).unwrap();
            journal.write_round(&mut || false).unwrap();
        }
        let content = read_small(&*root.open("offsets").unwrap(), SMALL).unwrap();
        for flags in 0..4 {
            for len in 0..=content.len() {
                journal_open(&[&[flags], &content[..len]].concat());
            }
        }
    }
}
