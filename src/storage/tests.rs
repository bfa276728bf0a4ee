//! What the indexes say, held against a look at every record: whatever batches, segments and index intervals there
//! are, in whatever order their times are, and however the log was left.

use std::sync::Arc;

use proptest::prelude::*;

use crate::io::{Dir, MemoryDisk};
use crate::record::{BatchBuilder, ProducerStamp};
use crate::storage::config::TopicConfig;
use crate::storage::files::parse_segment_name;
use crate::storage::log::Log;
use crate::storage::recovery::Opening;
use crate::types::{LeaderEpoch, Offset, Timestamp, TopicId, TopicPartition};

const T: i64 = 1_700_000_000_000;
const EPOCH: LeaderEpoch = LeaderEpoch(0);

/// How a log was left, and what was done to its index files meanwhile.
#[derive(Clone, Copy, Debug)]
struct Left {
    is_clean: bool,
    indexes: Indexes,
}

#[derive(Clone, Copy, Debug)]
enum Indexes {
    Kept,
    Removed,
    TimesCutShort,
}

/// The times of a batch's records.
type Times = Vec<i64>;

fn any_time() -> impl Strategy<Value = i64> {
    prop_oneof![
        6 => (0..40i64).prop_map(|step| T + step), // equal ones and backwards ones
        1 => Just(0),
        1 => Just(i64::MAX),
        1 => any::<u32>().prop_map(|step| T + i64::from(step)),
    ]
}

fn any_session() -> impl Strategy<Value = (Vec<Times>, Left)> {
    let indexes = prop_oneof![3 => Just(Indexes::Kept), 1 => Just(Indexes::Removed), 1 => Just(Indexes::TimesCutShort)];
    let left = (any::<bool>(), indexes).prop_map(|(is_clean, indexes)| Left { is_clean, indexes });
    (prop::collection::vec(prop::collection::vec(any_time(), 1..5), 0..25), left)
}

/// A log, and the time of each of its records.
struct Sample {
    dir: Arc<dyn Dir>,
    quarantine: Arc<dyn Dir>,
    config: Arc<TopicConfig>,
    times: Vec<i64>,
}

impl Sample {
    fn append(&mut self, log: &Log, batch: &[i64]) {
        let mut builder = BatchBuilder::new(Vec::new());
        for time in batch {
            builder.append(Timestamp(*time), None, Some(&time.to_be_bytes()), &[]);
        }
        let mut sealed = builder.seal(ProducerStamp::NONE);
        assert!(log.refuses(&sealed).is_none());
        let outcome = log.append(&mut [&mut sealed], Timestamp(T));
        assert!(outcome.error.is_none() && outcome.appended == 1);
        self.times.extend(batch);
    }

    fn reopen(&self, log: Log, left: Left) -> Log {
        let durable_end = log.log_end();
        if left.is_clean {
            log.close().unwrap();
        }
        drop(log);
        for entry in self.dir.list().unwrap() {
            match (parse_segment_name(&entry.name), left.indexes) {
                (Some((_, "index" | "timeindex")), Indexes::Removed) => self.dir.remove(&entry.name).unwrap(),
                (Some((_, "timeindex")), Indexes::TimesCutShort) => {
                    let file = self.dir.open_writable(&entry.name).unwrap();
                    file.set_len(entry.len / 24 * 12).unwrap();
                }
                _ => {}
            }
        }
        let opening = Opening {
            dir: &self.dir,
            name: &name(),
            config: Arc::clone(&self.config),
            quarantine: &*self.quarantine,
            epoch: EPOCH,
            log_start: Some(Offset::ZERO),
            durable_end: Some(durable_end),
            was_clean: left.is_clean,
            forget_producers_before: None,
            now: Timestamp(T),
        };
        Log::open(&opening, &mut |_| panic!("nothing is torn"), &mut |finding| panic!("{finding}")).unwrap()
    }

    /// Each offset and each time leads where a look at all records leads.
    fn check(&self, log: &Log) {
        let end = log.log_end();
        assert_eq!(end.0, i64::try_from(self.times.len()).unwrap());
        for (offset, time) in (0..).map(Offset).zip(&self.times) {
            let batches = log.read(&mut None, offset, end, 1).unwrap();
            let record = batches[0].records().unwrap().map(Result::unwrap).find(|record| record.offset() == offset);
            assert_eq!(record.expect("its batch comes first").timestamp(), Timestamp(*time));
        }
        let mut times: Vec<i64> =
            self.times.iter().flat_map(|time| [*time, time.saturating_add(1), time - 1]).collect();
        times.extend([0, T, i64::MAX]);
        for at in times {
            let expected = (0..).map(Offset).zip(&self.times).find(|(_, time)| **time >= at);
            let expected = expected.map(|(offset, time)| (offset, Timestamp(*time)));
            assert_eq!(log.offset_for_time(Timestamp(at), end).unwrap(), expected, "at time {at} of {:?}", self.times);
        }
    }
}

fn name() -> TopicPartition {
    TopicPartition::new("t", 0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn offsets_and_times_lead_where_a_look_at_all_records_does(
        sessions in prop::collection::vec(any_session(), 1..4),
        segment_bytes in 300..3000u32,
        index_interval_bytes in prop_oneof![Just(0), 1..1000u32],
        segment_index_bytes in 36..200u32,
    ) {
        let root = MemoryDisk::new().disk().root();
        let config = TopicConfig::builder().segment_bytes(segment_bytes).index_interval_bytes(index_interval_bytes);
        let config = config.segment_index_bytes(segment_index_bytes).build().unwrap();
        let dir = root.create_dir("t-0").unwrap();
        let mut sample =
            Sample { dir, quarantine: root.create_dir("q").unwrap(), config: Arc::new(config), times: Vec::new() };
        let id = TopicId::from_random([7; 16]);
        let mut log =
            Log::create(&sample.dir, name(), id, Arc::clone(&sample.config), EPOCH, Timestamp(T)).unwrap();
        for (batches, left) in sessions {
            for batch in &batches {
                sample.append(&log, batch);
            }
            sample.check(&log);
            log = sample.reopen(log, left);
            sample.check(&log);
        }
    }
}
