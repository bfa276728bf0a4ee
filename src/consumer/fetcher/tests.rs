//! Positions and turns, over partitions that follow a script.

use std::sync::Mutex;

use super::*;
use crate::consumer::deserializer::OwnDeserializer;
use crate::consumer::record::Deserializers;
use crate::consumer::reset::AutoOffsetReset;
use crate::coordinator::group::{CommitEntry, Group};
use crate::metrics::Windows;
use crate::record::{Batch, BatchBuilder, Codec, Compressor, ProducerStamp, is_compiled};
use crate::sync::lock;
use crate::types::{Compression, LeaderEpoch, Offset, Timestamp, TopicId};

/// What a scripted partition holds and does; the test changes it while the fetcher reads.
#[derive(Debug)]
struct Script {
    batches: Vec<Batch>,
    log_start: Offset,
    /// Both included.
    damage: Option<(Offset, Offset)>,
    epoch: LeaderEpoch,
    /// The end of every epoch before `epoch`.
    cut_at: Option<Offset>,
    is_deleted: bool,
    reads: usize,
}

#[derive(Clone, Debug)]
struct Scripted {
    name: TopicPartition,
    script: Arc<Mutex<Script>>,
}

impl Scripted {
    fn new(topic: &str, batches: Vec<Batch>) -> Self {
        let script = Script {
            batches,
            log_start: Offset(0),
            damage: None,
            epoch: LeaderEpoch(0),
            cut_at: None,
            is_deleted: false,
            reads: 0,
        };
        Self { name: TopicPartition::new(topic, 0), script: Arc::new(Mutex::new(script)) }
    }

    fn change(&self, change: impl FnOnce(&mut Script)) {
        change(&mut lock(&self.script));
    }
}

impl Source for Scripted {
    fn name(&self) -> &TopicPartition {
        &self.name
    }

    fn topic_id(&self) -> TopicId {
        TopicId([1; 16])
    }

    fn log_start(&self) -> Offset {
        lock(&self.script).log_start
    }

    fn high_watermark(&self) -> Offset {
        lock(&self.script).batches.last().map_or(Offset::ZERO, |batch| batch.header().next_offset())
    }

    fn leader_epoch(&self) -> LeaderEpoch {
        lock(&self.script).epoch
    }

    fn epoch_before(&self, _offset: Offset) -> LeaderEpoch {
        lock(&self.script).epoch
    }

    fn resume_at(&self, offset: Offset, epoch: LeaderEpoch) -> Offset {
        let script = lock(&self.script);
        script.cut_at.filter(|_| epoch < script.epoch).map_or(offset, |cut_at| offset.min(cut_at))
    }

    fn offset_for_time(&self, _at: Timestamp) -> Result<Option<(Offset, Timestamp)>> {
        Ok(None)
    }

    fn is_deleted(&self) -> bool {
        lock(&self.script).is_deleted
    }

    fn watch(&self, _signal: &Arc<Signal>) {}

    fn unwatch(&self, _signal: &Arc<Signal>) {}

    fn read(&mut self, position: Offset, max_bytes: usize) -> Result<Vec<Batch>> {
        let (start, end, partition) = (self.log_start(), self.high_watermark(), self.name.clone());
        if position < start || position > end {
            return Err(Error::OffsetOutOfRange { partition, requested: position, start, end });
        }
        let mut script = lock(&self.script);
        script.reads += 1;
        if let Some((first, last)) = script.damage.filter(|&(first, last)| first <= position && position <= last) {
            let (path, reason) = ("orders-0".into(), "checksum".into());
            return Err(Error::CorruptBatch { partition, first, last, path, file_position: 0, reason });
        }
        let mut bytes = 0;
        let (mut batches, damage) = (Vec::new(), script.damage);
        for batch in script.batches.iter().filter(|batch| batch.header().last_offset() >= position) {
            let is_damaged = damage.is_some_and(|(first, _)| first == batch.header().base_offset);
            if bytes >= max_bytes || is_damaged {
                break;
            }
            bytes += batch.header().len_bytes;
            batches.push(batch.clone());
        }
        Ok(batches)
    }

    fn unreadable(&self, batch: &Batch, reason: String) -> Error {
        let (first, last) = (batch.header().base_offset, batch.header().last_offset());
        let (partition, path, reason) = (self.name.clone(), "orders-0".into(), reason.into());
        Error::CorruptBatch { partition, first, last, path, file_position: 0, reason }
    }
}

fn batch(base_offset: i64, values: &[&str]) -> Batch {
    doctored(base_offset, values, |_bytes| {})
}

/// A batch whose bytes are changed behind the back of its checksum.
fn doctored(base_offset: i64, values: &[&str], change: impl FnOnce(&mut Vec<u8>)) -> Batch {
    let mut builder = BatchBuilder::new(Vec::new());
    for value in values {
        builder.append(Timestamp(1), None, Some(value.as_bytes()), &[]);
    }
    let mut sealed = builder.seal(ProducerStamp::NONE);
    sealed.stamp(Offset(base_offset), LeaderEpoch(0));
    let mut bytes = sealed.into_buffer();
    change(&mut bytes);
    Batch::decode_unchecked(bytes.into()).unwrap()
}

/// The low byte of a batch's attributes: the codec, and flags.
const ATTRIBUTES_AT: usize = 22;
/// The low byte of the count of records.
const COUNT_AT: usize = 60;

fn control(base_offset: i64) -> Batch {
    doctored(base_offset, &["marker"], |bytes| bytes[ATTRIBUTES_AT] |= 0x20)
}

const RULES: Rules = Rules {
    max_records: 500,
    partition_bytes: 1 << 20,
    total_bytes: 1 << 20,
    unpacked_bytes: 1 << 20,
    min_bytes: 1,
    max_wait: Duration::from_millis(500),
};

const EARLIEST: Begin<'static> = Begin { group: None, reset: AutoOffsetReset::Earliest, now: Timestamp(0) };

fn fetcher<const COUNT: usize>(rules: Rules, sources: [&Scripted; COUNT]) -> Fetcher {
    let windows = Windows { count: 2, length: Duration::from_secs(30) };
    let mut fetcher = Fetcher::new(rules, FetchMetrics::new(windows, Moment::default()));
    fetcher.assign(sources.map(|source| Box::new(source.clone()) as Box<dyn Source>).into());
    fetcher
}

/// One round, as `topic@offset` of each record.
fn collect(fetcher: &mut Fetcher) -> Result<String> {
    let deserializers = Deserializers { key: <[u8]>::deserializer(), value: str::deserializer() };
    let collected = fetcher.collect(EARLIEST, Moment::default(), &deserializers)?;
    let mut shown = Vec::new();
    for chunk in &collected.chunks {
        let offsets = chunk.batch.last_records(chunk.start).map_while(Result::ok).map(|record| record.offset());
        let inside: Vec<_> = offsets.filter(|&offset| offset < chunk.to).collect();
        assert_eq!(inside.len(), chunk.count);
        shown.extend(inside.iter().map(|offset| format!("{}@{offset}", chunk.partition.topic())));
    }
    Ok(shown.join(" "))
}

#[test]
fn c13_damage_is_an_error_until_seek_and_records_in_front_of_it_come_first() {
    let log = Scripted::new("a", vec![batch(0, &["x", "y"]), batch(2, &["z"]), batch(3, &["w"])]);
    log.change(|script| script.damage = Some((Offset(2), Offset(2))));
    let mut fetcher = fetcher(RULES, [&log]);
    assert_eq!(collect(&mut fetcher).unwrap(), "a@0 a@1");
    for _ in 0..2 {
        let error = collect(&mut fetcher).unwrap_err();
        assert!(matches!(error, Error::CorruptBatch { last: Offset(2), .. }), "{error}");
        assert_eq!(fetcher.lanes()[0].position(), Some(Offset(2)));
    }
    fetcher.lane(&log.name).unwrap().seek(Offset(3));
    assert_eq!(collect(&mut fetcher).unwrap(), "a@3");
}

#[test]
fn error_of_one_partition_comes_after_the_records_of_another_and_in_the_next_round() {
    let good = Scripted::new("a", vec![batch(0, &["x"]), batch(1, &["y"])]);
    let bad = Scripted::new("b", vec![batch(0, &["x"])]);
    bad.change(|script| script.damage = Some((Offset(0), Offset(0))));
    let mut fetcher = fetcher(Rules { max_records: 1, ..RULES }, [&good, &bad]);
    assert_eq!(collect(&mut fetcher).unwrap(), "a@0");
    assert_eq!(collect(&mut fetcher).unwrap(), "a@1");
    assert!(collect(&mut fetcher).is_err());
    good.change(|script| script.batches.push(batch(2, &["z"])));
    assert!(collect(&mut fetcher).is_err(), "it is not forgotten while another partition has records");
    bad.change(|script| script.damage = None);
    assert_eq!(collect(&mut fetcher).unwrap(), "b@0");
    assert_eq!(collect(&mut fetcher).unwrap(), "a@2");
}

#[test]
fn partitions_take_turns() {
    let values = ["v"; 5];
    let one = Scripted::new("a", vec![batch(0, &values), batch(5, &values)]);
    let other = Scripted::new("b", vec![batch(0, &values)]);
    let rules = Rules { max_records: 3, partition_bytes: 1, ..RULES }; // a batch a read
    let mut fetcher = fetcher(rules, [&one, &other]);
    assert_eq!(collect(&mut fetcher).unwrap(), "a@0 a@1 a@2");
    assert_eq!(collect(&mut fetcher).unwrap(), "a@3 a@4 b@0");
    assert_eq!(collect(&mut fetcher).unwrap(), "b@1 b@2 b@3");
    assert_eq!(collect(&mut fetcher).unwrap(), "b@4 a@5 a@6");
    assert_eq!(collect(&mut fetcher).unwrap(), "a@7 a@8 a@9");
    assert_eq!(collect(&mut fetcher).unwrap(), "");
}

#[test]
fn c14_first_batch_is_returned_whatever_its_size() {
    let log = Scripted::new("a", vec![batch(0, &["long"; 9]), batch(9, &["long"; 9])]);
    let mut fetcher = fetcher(Rules { partition_bytes: 0, total_bytes: 0, ..RULES }, [&log]);
    assert_eq!(collect(&mut fetcher).unwrap().split(' ').count(), 9);
    assert_eq!(collect(&mut fetcher).unwrap().split(' ').count(), 9);
}

#[test]
fn round_reads_no_more_bytes_than_allowed_and_goes_on_with_the_next_partition() {
    let one = Scripted::new("a", vec![batch(0, &["x"]), batch(1, &["y"])]);
    let other = Scripted::new("b", vec![batch(0, &["x"])]);
    let mut fetcher = fetcher(Rules { total_bytes: 1, ..RULES }, [&one, &other]);
    assert_eq!(collect(&mut fetcher).unwrap(), "a@0");
    assert_eq!(collect(&mut fetcher).unwrap(), "b@0");
    assert_eq!(collect(&mut fetcher).unwrap(), "a@1");
}

#[test]
fn paused_partition_keeps_its_buffer() {
    let log = Scripted::new("a", vec![batch(0, &["x", "y", "z"])]);
    let mut fetcher = fetcher(Rules { max_records: 1, ..RULES }, [&log]);
    assert_eq!(collect(&mut fetcher).unwrap(), "a@0");
    fetcher.lane(&log.name).unwrap().set_paused(true);
    assert_eq!(collect(&mut fetcher).unwrap(), "");
    fetcher.lane(&log.name).unwrap().set_paused(false);
    assert_eq!(collect(&mut fetcher).unwrap(), "a@1");
    assert_eq!(lock(&log.script).reads, 1);
}

#[test]
fn control_batches_move_the_position_and_are_not_returned() {
    let log = Scripted::new("a", vec![control(0), batch(1, &["x"]), control(2)]);
    let mut fetcher = fetcher(Rules { max_records: 1, ..RULES }, [&log]);
    assert_eq!(collect(&mut fetcher).unwrap(), "a@1");
    assert_eq!(fetcher.lanes()[0].position(), Some(Offset(3)));
}

#[test]
fn seek_into_a_batch_returns_its_rest() {
    let log = Scripted::new("a", vec![batch(0, &["x", "y", "z"])]);
    let mut fetcher = fetcher(RULES, [&log]);
    fetcher.lane(&log.name).unwrap().seek(Offset(2));
    assert_eq!(collect(&mut fetcher).unwrap(), "a@2");
    assert_eq!(collect(&mut fetcher).unwrap(), "");
}

#[test]
fn batch_whose_records_make_no_sense_is_damage() {
    let senseless = doctored(1, &["y", "z"], |bytes| bytes[COUNT_AT] = 1);
    let log = Scripted::new("a", vec![batch(0, &["x"]), senseless]);
    let mut fetcher = fetcher(RULES, [&log]);
    assert_eq!(collect(&mut fetcher).unwrap(), "a@0");
    let error = collect(&mut fetcher).unwrap_err();
    assert!(matches!(error, Error::CorruptBatch { first: Offset(1), last: Offset(2), .. }), "{error}");
}

#[test]
fn batch_that_cannot_be_unpacked_says_why() {
    let packed = doctored(1, &["y"], |bytes| bytes[ATTRIBUTES_AT] |= 4);
    let log = Scripted::new("a", vec![batch(0, &["x"]), packed, batch(2, &["z"])]);
    let mut fetcher = fetcher(RULES, [&log]);
    assert_eq!(collect(&mut fetcher).unwrap(), "a@0");
    for _ in 0..2 {
        let error = collect(&mut fetcher).unwrap_err();
        if is_compiled(Compression::Zstd) {
            assert!(matches!(error, Error::CorruptBatch { first: Offset(1), last: Offset(1), .. }), "{error}");
            assert!(error.to_string().contains("the batch's stream of zstd is damaged"), "{error}");
        } else {
            let expected = (Offset(1), Offset(1), Compression::Zstd);
            let Error::CodecNotCompiled { first, last, codec, .. } = error else { panic!("{error}") };
            assert_eq!((first, last, codec), expected);
        }
    }
    fetcher.lane(&TopicPartition::new("a", 0)).unwrap().seek(Offset(2));
    assert_eq!(collect(&mut fetcher).unwrap(), "a@2");
}

/// Batches of `count` records of 1000 bytes, each compressed.
fn packed(base_offset: i64, count: usize) -> Batch {
    let mut builder = BatchBuilder::new(Vec::new());
    for _ in 0..count {
        builder.append(Timestamp(1), None, Some(&[7; 1000]), &[]);
    }
    let codec = Codec { compression: Compression::Lz4, level: 9 };
    let mut sealed = builder.seal_compressed(ProducerStamp::NONE, codec, &mut Compressor::default());
    sealed.stamp(Offset(base_offset), LeaderEpoch(0));
    Batch::decode(sealed.into_buffer().into()).unwrap()
}

#[test]
#[cfg_attr(not(feature = "lz4"), ignore = "needs the codec")]
fn compressed_batches_are_unpacked_one_at_a_time() {
    let log = Scripted::new("a", vec![packed(0, 3), packed(3, 2), batch(5, &["x"])]);
    let mut fetcher = fetcher(Rules { max_records: 2, ..RULES }, [&log]);
    assert_eq!(collect(&mut fetcher).unwrap(), "a@0 a@1");
    let unpacked = |fetcher: &Fetcher| {
        let buffer = fetcher.lanes()[0].buffer.iter();
        buffer.filter(|buffered| buffered.batch.records().is_ok()).count()
    };
    assert_eq!(unpacked(&fetcher), 2, "the first one, and the last one, which is not compressed");
    assert_eq!(collect(&mut fetcher).unwrap(), "a@2 a@3");
    assert_eq!(collect(&mut fetcher).unwrap(), "a@4 a@5");
    assert_eq!(collect(&mut fetcher).unwrap(), "");
}

#[test]
#[cfg_attr(not(feature = "lz4"), ignore = "needs the codec")]
fn poll_ends_where_its_batches_are_large_unpacked() {
    let log = Scripted::new("a", vec![packed(0, 3), packed(3, 2), packed(5, 1)]);
    let mut fetcher = fetcher(Rules { total_bytes: 4000, ..RULES }, [&log]);
    assert_eq!(collect(&mut fetcher).unwrap(), "a@0 a@1 a@2 a@3 a@4", "3000 bytes leave room for one more");
    assert_eq!(collect(&mut fetcher).unwrap(), "a@5");
}

#[test]
#[cfg_attr(not(feature = "lz4"), ignore = "needs the codec")]
fn batch_that_unpacks_to_more_than_is_allowed_names_the_setting() {
    let log = Scripted::new("a", vec![packed(0, 3)]);
    let mut fetcher = fetcher(Rules { unpacked_bytes: 3000, ..RULES }, [&log]);
    let error = collect(&mut fetcher).unwrap_err();
    assert!(
        error.to_string().ends_with("unpacks to more than 3000 bytes: raise max.decompressed.batch.bytes to read it"),
        "{error}"
    );
}

#[test]
fn c35_position_behind_a_cut_is_reported_once_and_moved() {
    let log = Scripted::new("a", vec![batch(0, &["x", "y"]), batch(2, &["z"])]);
    let mut fetcher = fetcher(RULES, [&log]);
    assert_eq!(collect(&mut fetcher).unwrap(), "a@0 a@1 a@2");
    log.change(|script| {
        script.batches = vec![batch(0, &["x"]), batch(1, &["other"])];
        (script.epoch, script.cut_at) = (LeaderEpoch(1), Some(Offset(1)));
    });
    let error = collect(&mut fetcher).unwrap_err();
    assert!(matches!(error, Error::LogTruncated { requested: Offset(3), resumed_at: Offset(1), .. }), "{error}");
    assert_eq!(collect(&mut fetcher).unwrap(), "a@1");
}

#[test]
fn committed_offset_behind_a_cut_is_read_as_the_end_of_its_epoch() {
    let log = Scripted::new("a", vec![batch(0, &["x", "y", "z"])]);
    log.change(|script| (script.epoch, script.cut_at) = (LeaderEpoch(1), Some(Offset(1))));
    let group = Group::new("billing");
    let committed = CommitEntry {
        topic_id: TopicId([1; 16]),
        partition: 0,
        offset: Offset(3),
        leader_epoch: LeaderEpoch(0),
        metadata: String::new(),
        commit_timestamp: Timestamp(1),
    };
    group.apply(&Group::encode_commit(&[committed])).unwrap();
    let mut fetcher = fetcher(RULES, [&log]);
    let lane = fetcher.lane(&log.name).unwrap();
    lane.settle(Begin { group: Some(&group), reset: AutoOffsetReset::None, now: Timestamp(0) }).unwrap();
    assert_eq!(lane.position(), Some(Offset(1)));
    assert_eq!(collect(&mut fetcher).unwrap(), "a@1 a@2");
}

#[test]
fn c6_position_below_the_log_start_is_reset_and_read_in_the_same_round() {
    let log = Scripted::new("a", vec![batch(5, &["x"])]);
    log.change(|script| script.log_start = Offset(5));
    let mut fetcher = fetcher(RULES, [&log]);
    fetcher.lane(&log.name).unwrap().seek(Offset(1));
    assert_eq!(collect(&mut fetcher).unwrap(), "a@5");
}

#[test]
fn deleted_topic_is_an_error_in_every_round() {
    let (gone, other) = (Scripted::new("a", vec![]), Scripted::new("b", vec![batch(0, &["x"])]));
    let mut fetcher = fetcher(RULES, [&gone, &other]);
    gone.change(|script| script.is_deleted = true);
    for _ in 0..2 {
        assert!(matches!(collect(&mut fetcher), Err(Error::UnknownTopicId { .. })));
    }
}

#[test]
fn lag_is_clamped_to_the_log_start() {
    let log = Scripted::new("a", vec![batch(5, &["x", "y"])]);
    let mut fetcher = fetcher(RULES, [&log]);
    let lane = fetcher.lane(&log.name).unwrap();
    assert_eq!((lane.records_behind(), lane.records_ahead()), (None, None));
    lane.seek(Offset(1));
    log.change(|script| script.log_start = Offset(5));
    assert_eq!((lane.records_behind(), lane.records_ahead()), (Some(2), Some(0)), "1 to 4 are gone");
    lane.seek(Offset(6));
    assert_eq!((lane.records_behind(), lane.records_ahead()), (Some(1), Some(1)));
}

#[test]
fn reads_that_gather_stay_within_the_limit_of_a_partition() {
    let log = Scripted::new("a", (0..10).map(|offset| batch(offset, &["x"])).collect());
    let one = batch(0, &["x"]).header().len_bytes;
    let mut fetcher = fetcher(Rules { partition_bytes: 3 * one, min_bytes: 100 * one, ..RULES }, [&log]);
    assert_eq!(collect(&mut fetcher).unwrap(), "");
    assert_eq!(collect(&mut fetcher).unwrap(), "");
    assert_eq!(fetcher.lanes()[0].buffer.len(), 3);
    let late = Moment(Duration::from_secs(1));
    let deserializers = Deserializers { key: <[u8]>::deserializer(), value: str::deserializer() };
    assert_eq!(fetcher.collect(EARLIEST, late, &deserializers).unwrap().count, 3);
    assert_eq!(collect(&mut fetcher).unwrap(), "", "and the next ones gather again");
}
