//! What a log remembers of its producers: by the snapshot of some offset, and the batches from there on.
//!
//! ```text
//!   segments     0 ------------ | 4711 ------------ | 9012 -------> log end
//!   snapshots                   4711                9012            written at each roll, and when the log is closed
//!   opening                                         |---------->    loads the newest one, and notes what is behind it
//! ```
//!
//! No batch below an offset ever changes what the producers were there, so a snapshot is right for good, whether it was
//! synced or not: one that a crash has torn fails its checksum, and then an older one leads to the same with more
//! batches. One that is whole is never written again, since that might tear it. And it is right only while the log goes
//! on from its offset: one above the log end tells of batches that a crash took, and is removed, durably, before anything
//! is appended.
//!
//! Of each producer the last batch is kept, about 100 bytes of memory. Kafka: `ProducerStateManager`.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::io::{Dir, read_small, replace};
use crate::record::BatchHeader;
use crate::storage::files::segment_name;
use crate::storage::producer_state::{
    MOST_PRODUCERS, ProducerState, SNAPSHOT, SNAPSHOT_LIMIT, SnapshotFault, encode_snapshot, is_snapshot, read_snapshot,
};
use crate::types::{Offset, Timestamp};

/// The producers of a log up to some offset.
#[derive(Clone, Debug)]
pub(crate) struct Producers {
    by_id: BTreeMap<i64, ProducerState>,
    /// Every batch below it was noted. Kafka: `mapEndOffset`.
    end: Offset,
    /// Of which end there is a whole snapshot; the newest one that is known.
    snapshot: Option<Offset>,
}

impl Producers {
    /// No producer below `end`.
    pub(crate) fn none_below(end: Offset) -> Self {
        Self { by_id: BTreeMap::new(), end, snapshot: None }
    }

    /// Those of the snapshot of `end`, or what is wrong with that.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn load(dir: &dyn Dir, end: Offset) -> Result<Result<Self, SnapshotFault>> {
        let bytes = read_small(dir.open(&segment_name(end, SNAPSHOT))?.as_ref(), SNAPSHOT_LIMIT)?;
        let (producers, fault) = read_snapshot(&bytes);
        if let Some(fault) = fault {
            return Ok(Err(fault));
        }
        let by_id = producers.into_iter().map(|state| (state.producer_id, state)).collect();
        Ok(Ok(Self { by_id, end, snapshot: Some(end) }))
    }

    /// Every batch below it was noted.
    pub(crate) const fn end(&self) -> Offset {
        self.end
    }

    /// What is remembered of one of them.
    pub(crate) fn get(&self, producer_id: i64) -> Option<ProducerState> {
        self.by_id.get(&producer_id).copied()
    }

    /// All of them, by id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &ProducerState> {
        self.by_id.values()
    }

    /// Whether there is a whole snapshot of all of it.
    pub(crate) fn has_snapshot(&self) -> bool {
        self.snapshot == Some(self.end)
    }

    /// Takes note of the next batch; of one below the end nothing is new.
    pub(crate) fn note(&mut self, header: &BatchHeader) {
        if header.base_offset < self.end {
            return;
        }
        self.end = header.next_offset();
        if header.producer_id < 0 || header.base_sequence < 0 || header.is_control() {
            return;
        }
        let state = ProducerState {
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            last_sequence: header.last_sequence(),
            last_offset: header.last_offset(),
            offset_delta: header.last_offset_delta,
            last_timestamp: header.max_timestamp,
            coordinator_epoch: -1,
            current_txn_first_offset: Offset(-1),
        };
        self.by_id.insert(header.producer_id, state);
    }

    /// Nothing more is below `end`: what was there has no batch any more.
    pub(crate) fn pass_to(&mut self, end: Offset) {
        self.end = self.end.max(end);
    }

    /// Forgets those that appended last before `time`. Kafka: `producer.id.expiration.ms`.
    pub(crate) fn forget_before(&mut self, time: Timestamp) {
        let has_transaction = |state: &ProducerState| state.current_txn_first_offset >= Offset::ZERO;
        self.by_id.retain(|_, state| state.last_timestamp >= time || has_transaction(state));
    }

    /// Writes their snapshot, unless there is one, without syncing it: whoever finds it torn takes an older one.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn write(&mut self, dir: &dyn Dir) -> Result<()> {
        if !self.has_snapshot() {
            dir.create(&segment_name(self.end, SNAPSHOT))?.write_all_at(&self.encode(), 0)?;
            self.snapshot = Some(self.end);
        }
        Ok(())
    }

    /// Writes their snapshot, durably, with all names in the directory; no other one is needed then, and is removed.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn store(&mut self, dir: &dyn Dir) -> Result<()> {
        let name = segment_name(self.end, SNAPSHOT);
        replace(dir, &name, &self.encode())?;
        self.snapshot = Some(self.end);
        for entry in dir.list()? {
            if is_snapshot(&entry.name) && !entry.is_dir && entry.name != name {
                dir.remove(&entry.name)?; // not synced: one that comes back does no harm
            }
        }
        Ok(())
    }

    /// If they are more than a snapshot takes, those that appended last.
    fn encode(&self) -> Vec<u8> {
        let mut producers: Vec<&ProducerState> = self.by_id.values().collect();
        if producers.len() > MOST_PRODUCERS {
            producers.sort_unstable_by_key(|state| std::cmp::Reverse(state.last_timestamp));
            producers.truncate(MOST_PRODUCERS);
        }
        encode_snapshot(producers)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::io::MemoryDisk;
    use crate::record::{Batch, BatchBuilder, ProducerStamp, SealedBatch};
    use crate::storage::config::TopicConfig;
    use crate::storage::files::parse_segment_name;
    use crate::storage::log::Log;
    use crate::storage::recovery::Opening;
    use crate::storage::report::Finding;
    use crate::storage::walk::{Check, Step, Walk};
    use crate::sync::lock;
    use crate::types::{LeaderEpoch, TopicId, TopicPartition};

    const T: Timestamp = Timestamp(1_700_000_000_000);
    const EPOCH: LeaderEpoch = LeaderEpoch(0);

    struct Place {
        disk: MemoryDisk,
        dir: Arc<dyn Dir>,
        quarantine: Arc<dyn Dir>,
        config: Arc<TopicConfig>,
    }

    impl Place {
        fn new(segment_bytes: u32) -> (Self, Log) {
            let disk = MemoryDisk::new();
            let root = disk.disk().root();
            let (dir, quarantine) = (root.create_dir("t-0").unwrap(), root.create_dir("q").unwrap());
            root.sync().unwrap();
            let config = Arc::new(TopicConfig::builder().segment_bytes(segment_bytes).build().unwrap());
            let (id, name) = (TopicId::from_random([7; 16]), TopicPartition::new("t", 0));
            let log = Log::create(&dir, name, id, Arc::clone(&config), EPOCH, T).unwrap();
            (Self { disk, dir, quarantine, config }, log)
        }

        fn open_since(&self, was_clean: bool, durable_end: Offset, since: Option<Timestamp>) -> (Log, Vec<Finding>) {
            let opening = Opening {
                dir: &self.dir,
                name: &TopicPartition::new("t", 0),
                config: Arc::clone(&self.config),
                quarantine: &*self.quarantine,
                epoch: EPOCH,
                log_start: Some(Offset::ZERO),
                durable_end: Some(durable_end),
                was_clean,
                forget_producers_before: since,
                now: T,
            };
            let mut found = Vec::new();
            let log = Log::open(&opening, &mut |_| Ok(()), &mut |finding| found.push(finding)).unwrap();
            (log, found)
        }

        fn open(&self, was_clean: bool, durable_end: Offset) -> Log {
            self.open_since(was_clean, durable_end, None).0
        }

        /// The power fails, and comes back.
        fn power_cut(&mut self, seed: u64) {
            self.disk.power_cut_keeping(seed);
            let root = self.disk.disk().root();
            (self.dir, self.quarantine) = (root.dir("t-0").unwrap(), root.dir("q").unwrap());
        }

        fn snapshots(&self) -> Vec<String> {
            let mut names: Vec<String> =
                self.dir.names().unwrap().into_iter().filter(|name| is_snapshot(name)).collect();
            names.sort();
            names
        }

        fn files(&self, kind: &str) -> Vec<String> {
            let names = self.dir.names().unwrap().into_iter();
            names.filter(|name| parse_segment_name(name).is_some_and(|(_, end)| end == kind)).collect()
        }
    }

    fn append(log: &Log, producer: ProducerStamp, records: usize) {
        let mut builder = BatchBuilder::new(Vec::new());
        for _ in 0..records {
            builder.append(T, None, Some(&[b'v'; 20]), &[]);
        }
        let mut sealed = builder.seal(producer);
        let outcome = log.append(&mut [&mut sealed], T);
        assert!(outcome.error.is_none());
    }

    fn stamp(producer_id: i64, base_sequence: i32) -> ProducerStamp {
        ProducerStamp { producer_id, producer_epoch: 3, base_sequence }
    }

    fn sync(log: &Log) {
        if let Some(work) = log.sync_work() {
            work.targets.iter().for_each(|target| target.sync().unwrap());
            log.finish_sync(&work);
        }
    }

    type Known = (BTreeMap<i64, ProducerState>, Offset);

    fn known(log: &Log) -> Known {
        let tail = lock(&log.tail);
        (tail.producers.by_id.clone(), tail.producers.end)
    }

    /// What the batches of the log say.
    fn expected(log: &Log) -> Known {
        let mut producers = Producers::none_below(Offset::ZERO);
        for segment in log.segments.load().iter() {
            let mut walk = Walk::new(segment, 0, segment.base_offset(), Check::Whole);
            while let Some(step) = walk.next_step().unwrap() {
                let Step::Batch { batch, .. } = step else { panic!("nothing is damaged") };
                producers.note(batch.header());
            }
        }
        (producers.by_id, producers.end)
    }

    #[test]
    fn the_last_batch_of_each_producer_is_remembered() {
        let (_place, log) = Place::new(1 << 20);
        append(&log, stamp(4000, i32::MAX - 1), 3);
        append(&log, ProducerStamp::NONE, 5);
        append(&log, stamp(4001, 0), 1);
        append(&log, stamp(4000, 1), 2);
        let state = |producer_id, last_sequence, last_offset, offset_delta| ProducerState {
            producer_id,
            producer_epoch: 3,
            last_sequence,
            last_offset: Offset(last_offset),
            offset_delta,
            last_timestamp: T,
            coordinator_epoch: -1,
            current_txn_first_offset: Offset(-1),
        };
        let by_id = [state(4000, 2, 10, 1), state(4001, 0, 8, 0)];
        let by_id = by_id.into_iter().map(|state| (state.producer_id, state)).collect();
        assert_eq!(known(&log), (by_id, Offset(11)));
    }

    #[test]
    fn producers_that_were_silent_for_too_long_are_forgotten_at_the_next_opening() {
        let (place, log) = Place::new(1 << 20);
        append(&log, stamp(4000, 0), 3);
        log.close().unwrap();
        let (log, found) = place.open_since(true, Offset(3), Some(T));
        assert_eq!((known(&log), found), (expected(&log), vec![]));
        // Also those that no snapshot tells of.
        for (was_clean, file) in [(true, None), (false, None), (false, Some("00000000000000000003.snapshot"))] {
            if let Some(file) = file {
                place.dir.remove(file).unwrap();
            }
            let (log, found) = place.open_since(was_clean, Offset(3), Some(Timestamp(T.0 + 1)));
            assert_eq!((known(&log), found), ((BTreeMap::new(), Offset(3)), vec![]));
        }
    }

    #[test]
    fn snapshot_of_batches_that_a_crash_took_is_removed_before_others_take_their_offsets() {
        let (mut place, log) = Place::new(200);
        append(&log, stamp(1, 0), 3);
        sync(&log);
        append(&log, stamp(2, 0), 3);
        append(&log, stamp(3, 0), 3); // rolls at 6, of which nothing is synced
        assert_eq!(place.snapshots(), ["00000000000000000003.snapshot", "00000000000000000006.snapshot"]);
        let torn = place.dir.open_writable("00000000000000000003.log").unwrap();
        torn.set_len(40).unwrap();
        drop(log);
        let log = place.open(false, Offset(3));
        assert_eq!((log.log_end(), known(&log)), (Offset(3), expected(&log)));
        assert_eq!(place.snapshots(), ["00000000000000000003.snapshot"]);
        append(&log, stamp(4, 0), 3);
        sync(&log);
        drop(log);
        place.power_cut(7);
        let log = place.open(false, Offset(6));
        assert_eq!((log.log_end(), known(&log)), (Offset(6), expected(&log)));
    }

    #[test]
    fn damaged_snapshot_of_a_closed_log_is_told_and_written_again() {
        let (place, log) = Place::new(1 << 20);
        append(&log, stamp(4000, 0), 3);
        log.close().unwrap();
        drop(log);
        place.disk.flip_bit("t-0/00000000000000000003.snapshot", 30, 1).unwrap();
        let (log, found) = place.open_since(true, Offset(3), None);
        assert_eq!(known(&log), expected(&log));
        let [Finding::Rebuilt { reason, .. }] = &found[..] else { panic!("{found:?}") };
        assert!(reason.starts_with("its checksum is"), "{reason}");
        log.close().unwrap();
        assert_eq!(place.open_since(true, Offset(3), None).1, []);
    }

    #[test]
    #[cfg(feature = "sim")]
    fn roll_does_not_touch_the_snapshot_that_the_last_close_has_synced() {
        let (place, log) = Place::new(200);
        append(&log, stamp(4000, 0), 3);
        sync(&log);
        log.close().unwrap();
        drop(log);
        let log = place.open(true, Offset(3));
        let name = "t-0/00000000000000000003.snapshot";
        place.disk.flip_bit(name, 30, 1).unwrap();
        let before = place.disk.content(name).unwrap();
        append(&log, stamp(4000, 3), 3); // which begins a segment at 3
        assert_eq!(log.segment_count(), 2);
        assert_eq!(place.disk.content(name).unwrap(), before);
    }

    #[test]
    #[cfg(feature = "sim")]
    fn snapshot_that_cannot_be_read_is_told_and_stops_nothing() {
        let (place, log) = Place::new(200);
        append(&log, stamp(4000, 0), 3);
        append(&log, stamp(4000, 3), 3);
        sync(&log);
        drop(log);
        place.disk.make_unreadable("t-0/00000000000000000003.snapshot", 0..56).unwrap();
        let (log, found) = place.open_since(false, Offset(6), None);
        assert_eq!(known(&log), expected(&log));
        let [Finding::Rebuilt { path, .. }] = &found[..] else { panic!("{found:?}") };
        assert!(path.ends_with("00000000000000000003.snapshot"));
    }

    #[test]
    #[cfg(feature = "sim")]
    fn batches_that_cannot_be_read_any_more_stop_no_opening() {
        let (place, log) = Place::new(200);
        append(&log, stamp(1, 0), 3);
        append(&log, stamp(2, 0), 3);
        append(&log, stamp(3, 0), 3);
        sync(&log);
        drop(log);
        for name in place.snapshots() {
            place.dir.remove(&name).unwrap();
        }
        place.disk.make_unreadable("t-0/00000000000000000000.log", 0..100).unwrap();
        let (log, found) = place.open_since(false, Offset(9), None);
        assert_eq!((known(&log).0.into_keys().collect::<Vec<_>>(), found), (vec![2, 3], vec![]));
        drop(log);
        assert_eq!(place.snapshots(), ["00000000000000000009.snapshot"], "the next opening has less to do");
    }

    #[derive(Clone, Debug)]
    enum Event {
        Append {
            producer: i64,
            records: usize,
        },
        Sync,
        Close,
        /// The process dies: all that was written is there.
        Kill,
        /// The power fails: of what was not synced there is some.
        PowerCut(u64),
        /// One of the snapshots is damaged while the process is dead.
        Damage {
            which: usize,
            bit: u64,
        },
        /// One of the snapshots is gone while the process is dead.
        Remove {
            which: usize,
        },
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            8 => (-1..4i64, 1..6usize).prop_map(|(producer, records)| Event::Append { producer, records }),
            2 => Just(Event::Sync),
            1 => Just(Event::Close),
            1 => Just(Event::Kill),
            1 => any::<u64>().prop_map(Event::PowerCut),
            1 => (any::<usize>(), any::<u64>()).prop_map(|(which, bit)| Event::Damage { which, bit }),
            1 => any::<usize>().prop_map(|which| Event::Remove { which }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn producers_are_those_of_the_batches_however_a_log_was_left(
            events in prop::collection::vec(event(), 1..60),
            segment_bytes in 200..1000u32,
        ) {
            let (mut place, mut log) = Place::new(segment_bytes);
            let mut sequence = 0;
            for event in events {
                let durable_end = log.durable_end();
                match event {
                    Event::Append { producer, records } => {
                        append(&log, if producer < 0 { ProducerStamp::NONE } else { stamp(producer, sequence) }, records);
                        sequence += 1;
                    }
                    Event::Sync => sync(&log),
                    Event::Close => {
                        sync(&log);
                        log.close().unwrap();
                        let end = log.log_end();
                        drop(log);
                        prop_assert_eq!(place.snapshots(), [segment_name(end, SNAPSHOT)]);
                        log = place.open(true, end);
                    }
                    Event::Kill => {
                        drop(log);
                        log = place.open(false, durable_end);
                    }
                    Event::PowerCut(seed) => {
                        drop(log);
                        place.power_cut(seed);
                        log = place.open(false, durable_end);
                    }
                    Event::Damage { which, bit } => {
                        drop(log);
                        let names = place.files(SNAPSHOT);
                        if let Some(name) = names.get(which % names.len().max(1)) {
                            let len = place.dir.open(name).unwrap().len().unwrap();
                            let (position, bit) = (bit / 8 % len.max(1), u32::try_from(bit % 8).unwrap());
                            if len > 0 {
                                place.disk.flip_bit(format!("t-0/{name}"), position, bit).unwrap();
                            }
                        }
                        log = place.open(false, durable_end);
                    }
                    Event::Remove { which } => {
                        drop(log);
                        let names = place.files(SNAPSHOT);
                        if let Some(name) = names.get(which % names.len().max(1)) {
                            place.dir.remove(name).unwrap();
                        }
                        log = place.open(false, durable_end);
                    }
                }
                prop_assert_eq!(known(&log), expected(&log));
                prop_assert_eq!(known(&log).1, log.log_end());
            }
        }
    }

    /// A batch as a cluster's producer sends it, and one of another directory of ours.
    #[test]
    fn import_keeps_the_producers_of_clusters() {
        for (producer_id, is_kept) in
            [(0, true), (4000, true), ((1 << 62) - 1, true), (1 << 62, false), (i64::MAX, false)]
        {
            let mut builder = BatchBuilder::new(Vec::new());
            builder.append(T, None, Some(b"a"), &[]);
            let batch = Batch::decode(builder.seal(stamp(producer_id, 7)).into_buffer().into()).unwrap();
            let imported = SealedBatch::imported(&batch);
            let kept = Batch::decode(imported.into_buffer().into()).unwrap();
            let expected = if is_kept { (producer_id, 3, 7) } else { (-1, -1, -1) };
            let header = kept.header();
            assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), expected);
        }
    }
}
