//! The accumulator without a writer: the tests take batches, and decide them.

use std::task::{Context, Poll, Wake, Waker};

use super::*;
use crate::engine::{Appended, Engine};
use crate::io::MemoryDisk;
use crate::producer::partitioner::Sticky;
use crate::producer::record::RecordMetadata;
use crate::record::record_size_upper_bound;
use crate::sync::Stepped;
use crate::types::Offset;

/// An accumulator that no engine knows, for the partitions of a topic.
struct Bench {
    accumulator: Arc<Accumulator>,
    queues: Vec<Arc<PartitionQueue>>,
    scheduler: Stepped,
    engine: Engine,
}

const LINGER: Duration = Duration::from_millis(5);

impl Bench {
    fn new(config: ProducerConfig, partitions: u32, topic: &[(&str, &str)]) -> Self {
        let engine = Engine::builder().open_memory(&MemoryDisk::stepped(1)).unwrap();
        let overrides = topic.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let topic = engine.create_topic("orders", Some(partitions), &overrides).unwrap();
        let ratio = Arc::new(CompressionRatio::new());
        let queue = |partition: &Arc<Partition>| Arc::new(PartitionQueue::new(Arc::clone(partition), &config, &ratio));
        let queues = topic.partitions.iter().map(queue).collect();
        let scheduler = Stepped::new(1);
        let accumulator = Arc::new(Accumulator::new(
            config,
            Arc::new(scheduler.clone()),
            engine.writer_waker(),
            Arc::clone(engine.callbacks()),
            1,
        ));
        Self { accumulator, queues, scheduler, engine }
    }

    fn with_batch_size(batch_size: usize) -> Self {
        Self::new(ProducerConfig::builder().batch_size(batch_size).build().unwrap(), 3, &[])
    }

    fn append(&self, partition: usize, value: &[u8]) -> Delivery {
        self.try_append(partition, value, None).unwrap()
    }

    fn append_with(&self, value: &[u8], callback: impl FnOnce(Result<RecordMetadata>) + Send + 'static) -> Delivery {
        self.try_append(0, value, Some(Box::new(|_, outcome| callback(outcome)))).unwrap()
    }

    fn try_append(&self, partition: usize, value: &[u8], callback: Option<DeliveryCallback>) -> Result<Delivery> {
        let mut callback = callback;
        let appended = self.accumulator.append(
            &self.queues[partition],
            &record(value),
            &mut callback,
            false,
            &mut Duration::default(),
        )?;
        Ok(appended.expect("it belongs to this partition"))
    }

    /// Sends a record without a key as the producer does.
    fn append_anywhere(&self, sticky: &Sticky, value: &[u8]) -> Delivery {
        loop {
            let current = sticky.current();
            let queue = &self.queues[usize::try_from(current).unwrap()];
            if let Some(delivery) =
                self.accumulator.append(queue, &record(value), &mut None, true, &mut Duration::default()).unwrap()
            {
                return delivery;
            }
            sticky.move_on(current);
        }
    }

    fn take(&self, now: Moment) -> (Vec<ReadyBatch>, Option<Moment>) {
        let mut taken = Vec::new();
        let ask_at = self.accumulator.take(now, usize::MAX, &mut taken);
        (taken, ask_at)
    }

    /// Takes what is ready now, and answers how many records each batch has.
    fn counts(&self) -> Vec<u32> {
        self.take(self.scheduler.now()).0.iter().map(|ready| ready.batch.count()).collect()
    }
}

fn record(value: &[u8]) -> EncodedRecord<'_> {
    let size = record_size_upper_bound(None, Some(value), &[]);
    EncodedRecord { timestamp: Timestamp(7), key: None, value: Some(value), headers: &[], size }
}

fn appended(base_offset: i64) -> Result<Appended> {
    Ok(Appended { base_offset: Offset(base_offset), append_time: None })
}

fn offset(delivery: &Delivery) -> Option<Offset> {
    delivery.try_get().unwrap().unwrap().offset()
}

#[test] // P21
fn open_batch_is_taken_when_its_linger_ends() {
    let bench = Bench::with_batch_size(1000);
    bench.append(0, b"a");
    let due = bench.scheduler.now() + LINGER;
    let (taken, ask_at) = bench.take(Moment(due.0 - Duration::from_nanos(1)));
    assert!(taken.is_empty());
    assert_eq!(ask_at, Some(due));
    let (taken, ask_at) = bench.take(due);
    assert_eq!(taken.len(), 1);
    assert_eq!(ask_at, None);
}

#[test] // P21
fn full_batch_is_taken_before_its_linger_ends() {
    let bench = Bench::with_batch_size(300);
    for _ in 0..3 {
        bench.append(0, &[7; 100]); // two fit
    }
    assert_eq!(bench.counts(), [2]);
    assert_eq!(lock(&bench.accumulator.ready).lingering.len(), 1, "the one that is open");
}

#[test]
fn batch_that_somebody_waits_for_is_taken_at_once_and_alone() {
    let bench = Bench::with_batch_size(1000);
    bench.append(0, b"a");
    let waited_for = [bench.append(1, b"b"), bench.append(1, b"c")];
    for delivery in &waited_for {
        assert_eq!(delivery.wait_timeout(Duration::ZERO).unwrap(), None);
    }
    let (taken, ask_at) = bench.take(bench.scheduler.now());
    assert_eq!(taken.iter().map(|ready| ready.batch.count()).collect::<Vec<_>>(), [2], "they share it");
    assert_eq!(ask_at, Some(bench.scheduler.now() + LINGER), "the other one lingers");
    taken[0].completion.resolve(appended(40));
    assert_eq!(waited_for.each_ref().map(offset), [Some(Offset(40)), Some(Offset(41))]);
}

#[test]
fn flush_needs_no_linger_and_waits_for_failures_too() {
    let bench = Bench::with_batch_size(1000);
    let deliveries = [bench.append(0, b"a"), bench.append(2, b"b")];
    std::thread::scope(|scope| {
        let flushing = scope.spawn(|| bench.accumulator.flush(None));
        let mut taken = Vec::new();
        while taken.len() < 2 {
            std::thread::yield_now();
            bench.accumulator.take(Moment::default(), usize::MAX, &mut taken);
        }
        assert!(!flushing.is_finished());
        taken[0].completion.resolve(appended(0));
        taken[1].completion.resolve(Err(Error::Closed { what: "disk" }));
        flushing.join().unwrap();
    });
    let failed = deliveries.iter().filter(|delivery| delivery.try_get().unwrap().is_err()).count();
    assert_eq!(failed, 1);
}

#[test]
fn record_larger_than_a_batch_has_one_of_its_own() {
    let bench = Bench::with_batch_size(300);
    bench.append(0, b"before");
    bench.append(0, &[7; 1000]);
    bench.append(0, b"behind");
    assert_eq!(bench.counts(), [1, 1], "the third lingers");
}

#[test] // P20
fn batch_size_zero_gives_each_record_a_batch() {
    let bench = Bench::with_batch_size(0);
    for _ in 0..3 {
        bench.append(0, b"a");
    }
    assert_eq!(bench.counts(), [1, 1, 1]);
}

#[test]
fn batches_are_no_larger_than_the_topic_takes() {
    let bench = Bench::new(ProducerConfig::default(), 1, &[("max.message.bytes", "300")]);
    for _ in 0..9 {
        bench.append(0, &[7; 50]);
    }
    let (taken, _) = bench.take(bench.scheduler.now() + LINGER);
    assert!(taken.iter().all(|ready| ready.batch.len_bytes() <= 300));
    assert_eq!(taken.iter().map(|ready| ready.batch.count()).sum::<u32>(), 9);
}

#[test] // P22, P23, where ours takes as much as there is room for
fn round_that_is_full_leaves_the_rest_for_the_next_in_order() {
    let bench = Bench::with_batch_size(300);
    for number in 0..4 {
        bench.append(0, &[number; 300]);
        bench.append(1, &[number; 300]);
    }
    let mut order = [Vec::new(), Vec::new()];
    loop {
        let mut taken = Vec::new();
        let ask_at = bench.accumulator.take(bench.scheduler.now(), 1, &mut taken);
        let [ready] = taken.as_slice() else { break };
        let partition = usize::try_from(ready.partition.name().partition()).unwrap();
        let last = *ready.batch.as_bytes().last().unwrap(); // the number of headers; the value is before it
        assert_eq!(last, 0);
        order[partition].push(ready.batch.as_bytes()[ready.batch.len_bytes() - 2]);
        let is_left = order.iter().map(Vec::len).sum::<usize>() < 8;
        assert_eq!(ask_at, is_left.then(|| bench.scheduler.now()));
        ready.completion.resolve(appended(0));
    }
    assert_eq!(order, [[0, 1, 2, 3], [0, 1, 2, 3]]);
}

#[test]
fn closing_makes_batches_due_and_refuses_new_ones() {
    let bench = Bench::with_batch_size(1000);
    let delivery = bench.append(0, b"a");
    bench.accumulator.refuse();
    assert!(!bench.accumulator.is_finished());
    let refused = bench.try_append(1, b"b", None);
    assert!(matches!(refused, Err(Error::Closed { .. })));
    let (taken, ask_at) = bench.take(Moment::default());
    assert_eq!((taken.len(), ask_at), (1, None));
    taken[0].completion.resolve(appended(3));
    assert_eq!(offset(&delivery), Some(Offset(3)));
    assert!(bench.accumulator.is_finished());
}

#[test]
fn batch_that_the_writer_drops_has_an_unknown_outcome() {
    let bench = Bench::with_batch_size(1000);
    let delivery = bench.append(0, b"a");
    drop(bench.take(bench.scheduler.now() + LINGER));
    assert!(matches!(delivery.wait(), Err(Error::OutcomeUnknown { .. })));
    assert!(lock(&bench.accumulator.unresolved).batches.is_empty());
}

#[test]
fn callbacks_run_in_order_though_batches_are_decided_out_of_order() {
    let bench = Bench::with_batch_size(300);
    let (told, calls) = std::sync::mpsc::channel();
    let deliveries: Vec<_> = (0..4)
        .map(|number| {
            let told = told.clone();
            bench.append_with(&[7; 100], move |outcome| told.send((number, outcome.is_ok())).unwrap())
        })
        .collect();
    let (taken, _) = bench.take(bench.scheduler.now() + LINGER);
    taken[1].completion.resolve(Err(Error::Closed { what: "disk" }));
    assert!(deliveries[2].try_get().is_none(), "its callback has not run");
    taken[0].completion.resolve(appended(0));
    // The callbacks' actor runs in the engine's calls that wait.
    let never = crate::sync::Signal::default();
    let scheduler = bench.engine.scheduler();
    scheduler.park(&never, never.seen(), Some(scheduler.now() + LINGER));
    assert_eq!(calls.try_iter().collect::<Vec<_>>(), [(0, true), (1, true), (2, false), (3, false)]);
    assert!(deliveries[2].try_get().unwrap().is_err());
    assert_eq!(offset(&deliveries[1]), Some(Offset(1)));
}

#[test] // P6, P9
fn records_without_key_leave_no_batch_half_full_behind() {
    let bench = Bench::with_batch_size(1000);
    let sticky = Sticky::new(5, 3);
    for len in (20..220).cycle().step_by(7).take(500) {
        let value = vec![7; len];
        bench.append_anywhere(&sticky, &value);
    }
    let open = bench.queues.iter().filter(|queue| lock(&queue.state).open.is_some()).count();
    assert!(open <= 1, "only the last one had no time to fill, of {open}");
    let mut bytes = [0; 3];
    for ready in bench.take(bench.scheduler.now()).0 {
        assert!(ready.batch.len_bytes() + 21 + 4 + 220 > 1000, "{}", ready.batch.len_bytes());
        bytes[usize::try_from(ready.partition.name().partition()).unwrap()] += ready.batch.len_bytes();
    }
    assert!(bytes.iter().all(|&bytes| bytes > 5000), "{bytes:?}");
}

#[test]
fn record_without_key_that_is_larger_than_a_batch_finds_a_partition() {
    for batch_size in [0, 300] {
        let bench = Bench::with_batch_size(batch_size);
        let sticky = Sticky::new(5, 3);
        let mut partitions = [0; 3];
        for _ in 0..300 {
            let delivery = bench.append_anywhere(&sticky, &[7; 1000]);
            partitions[usize::try_from(delivery.partition().partition()).unwrap()] += 1;
        }
        assert!(partitions.iter().all(|&count| count > 50), "{partitions:?}");
    }
}

#[test]
fn senders_without_key_share_turns_and_lose_nothing() {
    let bench = Bench::with_batch_size(500);
    let sticky = Sticky::new(5, 3);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    bench.append_anywhere(&sticky, &[7; 50]);
                }
            });
        }
    });
    let counts = bench.take(bench.scheduler.now() + LINGER).0;
    assert_eq!(counts.iter().map(|ready| ready.batch.count()).sum::<u32>(), 4000);
}

/// Sends until `count` batches were taken, and answers how long the last one is before and after compression.
#[cfg(feature = "zstd")]
fn fill(bench: &Bench, count: usize, mut value: impl FnMut() -> Vec<u8>) -> (usize, usize) {
    let (mut lens, mut taken) = ((0, 0), 0);
    while taken < count {
        bench.append(0, &value());
        for ready in bench.take(Moment::default()).0 {
            let stored = bytes::Bytes::copy_from_slice(ready.batch.as_bytes());
            let batch = crate::record::Batch::decode(stored).unwrap().unpack(usize::MAX).unwrap();
            lens = (BatchHeader::LEN_BYTES + batch.records_len_bytes(), ready.batch.len_bytes());
            taken += 1;
            ready.completion.resolve(appended(0));
            ready.completion.recycle(ready.batch.into_buffer());
        }
    }
    lens
}

/// Values that are half noise: a ratio of about one half.
#[cfg(feature = "zstd")]
fn half_noise() -> impl FnMut() -> Vec<u8> {
    let mut state = 1_u64;
    move || {
        let mut value = vec![b'v'; 100];
        for byte in &mut value[..50] {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = state.to_be_bytes()[0];
        }
        value
    }
}

#[test]
#[cfg(feature = "zstd")]
fn compressed_batches_fill_up_to_the_size_of_a_batch() {
    let config = ProducerConfig::builder().compression(Compression::Zstd).build().unwrap();
    let bench = Bench::new(config, 1, &[]);
    let (before, after) = fill(&bench, 1, half_noise());
    assert!(before <= 16_384 && after < 11_000, "nothing is known yet: {before} to {after}");
    let (before, after) = fill(&bench, 150, half_noise());
    assert!(before > 20_000 && (14_000..=16_384).contains(&after), "{before} to {after}");
    // What compresses no more is no larger than the topic takes.
    let bench = Bench::new(bench.accumulator.config.clone(), 1, &[("max.message.bytes", "20000")]);
    fill(&bench, 200, || vec![7; 100]);
    let mut noise = half_noise();
    let (before, after) = fill(&bench, 1, || noise()[..50].to_vec());
    assert!(before <= 20_000 && after <= 20_000, "{before} to {after}");
}

#[test]
#[cfg(feature = "zstd")]
fn memory_counts_what_a_batch_takes_before_it_is_compressed() {
    let config = ProducerConfig::builder().compression(Compression::Zstd).buffer_memory(1 << 20).build().unwrap();
    let bench = Bench::new(config, 1, &[]);
    let (before, after) = fill(&bench, 600, || vec![7; 100]);
    assert!(before > 60_000 && before <= 65_536, "a sixteenth of the memory: {before}");
    assert!(after < 2000, "{after}");
    assert_eq!(bench.accumulator.usual_buffer(usize::MAX), 65_536);
    let bench = Bench::with_batch_size(0);
    assert_eq!(bench.accumulator.usual_buffer(61), 0);
}

/// Fills batches of 16 KiB until more wait than the writer is left to compress, and answers how many of them do.
#[cfg(feature = "lz4")]
fn unpacked_of_full(bench: &Bench) -> (usize, usize) {
    (0..20_000).for_each(|_| drop(bench.append(0, &[7; 100])));
    let state = lock(&bench.queues[0].state);
    let unpacked = state.full.iter().take_while(|(batch, _)| matches!(batch, QueuedBatch::Unpacked(_))).count();
    (unpacked, state.full.len())
}

#[cfg(feature = "lz4")]
fn lz4_bench() -> Bench {
    let config = ProducerConfig::builder().compression(Compression::Lz4).linger(Duration::from_secs(60)).build();
    Bench::new(config.unwrap(), 1, &[])
}

#[test]
#[cfg(feature = "lz4")]
fn sender_compresses_only_what_the_writer_cannot_keep_up_with() {
    let bench = lz4_bench();
    let (unpacked, full) = unpacked_of_full(&bench);
    assert!((60..80).contains(&unpacked), "a mebibyte waits for the writer: {unpacked}");
    assert!(full > unpacked + 5, "{full}");
    // The writer takes a bounded piece a round, is to come again at once, and gets all of it compressed and in order.
    let mut next = 0;
    while next < full {
        let (taken, ask_at) = bench.take(Moment::default());
        assert!(taken.len() < 20 || next >= unpacked, "{}", taken.len());
        for ready in &taken {
            assert_eq!(ready.batch.header().compression().ok(), Some(Compression::Lz4));
            ready.completion.resolve(appended(0));
        }
        next += taken.len();
        assert!(ask_at.is_some());
    }
    assert_eq!((next, bench.accumulator.queued.are_worth_a_round()), (full, false));
    assert!(
        bench
            .accumulator
            .metrics()
            .snapshot(&bench.accumulator.memory_use(), Moment::default())
            .get("record-send-total")
            >= Some(19_000.0)
    );
}

#[test]
#[cfg(feature = "lz4")]
fn batches_that_were_not_compressed_yet_are_given_up_like_others() {
    let bench = lz4_bench();
    let first = bench.append(0, &[7; 100]);
    let (unpacked, full) = unpacked_of_full(&bench);
    assert!(unpacked > 0 && full > unpacked);
    bench.accumulator.abort();
    assert!(matches!(first.try_get(), Some(Err(Error::Closed { what: "producer" }))));
    let usage = bench.accumulator.memory_use();
    assert_eq!(usage.available, usage.total);
    assert!(!bench.accumulator.queued.are_worth_a_round());
    let metrics = bench.accumulator.metrics().snapshot(&usage, Moment::default());
    assert_eq!(metrics.get("record-error-total"), Some(20_001.0));
}

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn polling_wants_the_batch_and_wakes_once() {
    let bench = Bench::with_batch_size(1000);
    let mut delivery = bench.append(0, b"a");
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&count));
    let mut context = Context::from_waker(&waker);
    for _ in 0..3 {
        assert!(std::pin::Pin::new(&mut delivery).poll(&mut context).is_pending());
    }
    let (taken, _) = bench.take(bench.scheduler.now());
    taken[0].completion.resolve(appended(9));
    assert_eq!(count.0.load(Ordering::Relaxed), 1, "the last poll is the one that counts");
    let Poll::Ready(Ok(metadata)) = std::pin::Pin::new(&mut delivery).poll(&mut context) else { panic!("it is known") };
    assert_eq!(metadata.offset(), Some(Offset(9)));
}

/// Takes what is ready, and has a full disk refuse all of it, as the writer does: the last batch first.
fn refuse_all(bench: &Bench) -> usize {
    let (taken, _) = bench.take(bench.scheduler.now());
    let count = taken.len();
    for ready in taken.into_iter().rev() {
        ready.completion.refuse(ready.batch, full_disk());
    }
    count
}

fn full_disk() -> Error {
    Error::DiskFull { action: "write", path: "orders-0".into() }
}

/// The values' first bytes, of all records that are taken now.
fn first_bytes(bench: &Bench) -> Vec<u8> {
    let (taken, _) = bench.take(bench.scheduler.now());
    taken.iter().map(|ready| ready.batch.as_bytes()[ready.batch.len_bytes() - 2]).collect()
}

fn pass(bench: &Bench, time: Duration) {
    let never = crate::sync::Signal::default();
    bench.scheduler.park(&never, never.seen(), Some(bench.scheduler.now() + time));
}

#[test] // P24, P26, P45
fn refused_batches_wait_for_their_next_attempt_in_order_and_hold_up_no_other_partition() {
    let bench = Bench::with_batch_size(300);
    (1..=3).for_each(|number| drop(bench.append(0, &[number; 300])));
    assert_eq!(refuse_all(&bench), 3);
    bench.append(0, &[4; 300]);
    bench.append(1, &[9; 300]);
    assert_eq!(first_bytes(&bench), [9], "the fourth does not overtake the others");
    pass(&bench, Duration::from_millis(79));
    assert_eq!(first_bytes(&bench), [0; 0]);
    pass(&bench, Duration::from_millis(42));
    assert_eq!(first_bytes(&bench), [1, 2, 3, 4]);
}

#[test] // P25
fn writer_is_told_when_to_ask_for_the_next_attempt_and_of_batches_that_are_due_before() {
    let bench = Bench::with_batch_size(300);
    bench.append(0, &[1; 300]);
    refuse_all(&bench);
    let (_, ask_at) = bench.take(bench.scheduler.now());
    let next = ask_at.unwrap().since(bench.scheduler.now());
    assert!((Duration::from_millis(80)..=Duration::from_millis(120)).contains(&next), "{next:?}");
    bench.append(1, b"a");
    let (_, ask_at) = bench.take(bench.scheduler.now());
    assert_eq!(ask_at, Some(bench.scheduler.now() + LINGER));
    let ready = lock(&bench.accumulator.ready);
    let due = |millis| (bench.scheduler.now() + Duration::from_millis(millis), 7);
    assert!(!ready.knows_no_moment_before(due(6)) && ready.knows_no_moment_before(due(4)));
}

#[test] // P33
fn batch_that_waited_for_too_long_fails_and_what_stands_behind_it_goes_after_it() {
    let config = ProducerConfig::builder().batch_size(300).delivery_timeout(Duration::from_millis(150));
    let bench = Bench::new(config.build().unwrap(), 1, &[]);
    let first = bench.append(0, &[1; 300]);
    refuse_all(&bench);
    pass(&bench, Duration::from_millis(60));
    let second = bench.append(0, &[2; 300]);
    pass(&bench, Duration::from_millis(90));
    let (taken, _) = bench.take(bench.scheduler.now());
    let refused: Vec<bool> = taken.iter().map(|ready| ready.refused.is_some()).collect();
    assert_eq!(refused, [true, false]);
    for ready in taken.into_iter().rev() {
        match ready.refused {
            Some(error) => ready.completion.refuse(ready.batch, error),
            None => ready.completion.resolve(appended(0)),
        }
    }
    assert!(matches!(first.try_get(), Some(Err(Error::DiskFull { .. }))));
    assert!(matches!(second.try_get(), Some(Ok(_))));

    let untried = bench.append(0, &[3; 300]);
    pass(&bench, Duration::from_millis(150));
    let (mut taken, _) = bench.take(bench.scheduler.now());
    let ready = taken.pop().unwrap();
    ready.completion.refuse(ready.batch, ready.refused.unwrap());
    assert!(matches!(untried.try_get(), Some(Err(Error::Timeout { .. }))), "the writer did not come");
    let usage = bench.accumulator.memory_use();
    assert_eq!(usage.available + 300.max(BatchHeader::LEN_BYTES + record(&[2; 300]).size), usage.total, "the second's");
}

#[test]
fn batch_is_tried_as_often_as_retries_says() {
    let config = ProducerConfig::builder().batch_size(300).retries(2).retry_backoff(Duration::from_millis(1));
    let bench = Bench::new(config.build().unwrap(), 1, &[]);
    let delivery = bench.append(0, &[1; 300]);
    let mut attempts = 0;
    while delivery.try_get().is_none() {
        attempts += refuse_all(&bench);
        pass(&bench, Duration::from_millis(5));
    }
    assert_eq!(attempts, 3);
    let fatal = bench.append(0, &[2; 300]);
    let (mut taken, _) = bench.take(bench.scheduler.now());
    let ready = taken.pop().unwrap();
    ready.completion.refuse(ready.batch, Error::illegal_state("what does not pass is not tried again"));
    assert!(fatal.try_get().is_some());
    assert_eq!(bench.accumulator.memory_use().available, bench.accumulator.memory_use().total);
}

#[test]
fn engine_that_closes_tries_once_more() {
    let bench = Bench::with_batch_size(300);
    let delivery = bench.append(0, &[1; 300]);
    refuse_all(&bench);
    assert_eq!(refuse_all(&bench), 0, "it waits");
    BatchSource::close(bench.accumulator.as_ref());
    assert_eq!(refuse_all(&bench), 1);
    assert!(matches!(delivery.try_get(), Some(Err(Error::DiskFull { .. }))));
    assert!(bench.accumulator.is_finished());
}
