//! What a producer counts. A batch takes the lock twice, when it is taken and when it is decided; a record never does,
//! unless it fails.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::metrics::{Meter, Metrics, Stat, Windows};
use crate::producer::config::ProducerConfig;
use crate::producer::memory::MemoryUse;
use crate::sync::{Moment, lock};

/// The numbers of one producer.
#[derive(Debug)]
pub(super) struct ProducerMetrics {
    windows: Windows,
    client_id: Option<Arc<str>>,
    state: Mutex<State>,
    flush_nanos: AtomicU64,
    metadata_nanos: AtomicU64,
}

#[derive(Debug)]
struct State {
    all: Counts,
    batch_size: Stat,
    record_size: Stat,
    queue_time: Stat,
    /// Kafka's request is a batch here: what is handed to the writer, and answered.
    requests: Meter,
    records_per_request: Stat,
    request_latency: Stat,
    requests_in_flight: u64,
    buffer_exhausted: Meter,
    /// In nanoseconds.
    buffer_wait: Meter,
    topics: BTreeMap<Arc<str>, Counts>,
}

/// What is counted of all records, and of those of each topic.
#[derive(Debug)]
struct Counts {
    sent: Meter,
    bytes: Meter,
    retried: Meter,
    failed: Meter,
    compression: Stat,
}

/// What is known of a batch when it is complete.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchFacts {
    pub(super) records: u32,
    /// Before it was compressed, if it was.
    pub(super) unpacked_bytes: usize,
    pub(super) packed_bytes: usize,
    pub(super) largest_record: usize,
}

impl Counts {
    fn new(windows: Windows, now: Moment) -> Self {
        let meter = || Meter::new(windows, now);
        let compression = Stat::new(windows, now);
        Self { sent: meter(), bytes: meter(), retried: meter(), failed: meter(), compression }
    }

    fn note_sent(&mut self, now: Moment, facts: &BatchFacts) {
        self.sent.mark(now, u64::from(facts.records));
        self.bytes.mark(now, facts.packed_bytes as u64);
        self.compression.note(now, facts.packed_bytes as f64 / facts.unpacked_bytes.max(1) as f64);
    }
}

impl State {
    fn new(windows: Windows, now: Moment) -> Self {
        let (meter, stat) = (|| Meter::new(windows, now), || Stat::new(windows, now));
        Self {
            all: Counts::new(windows, now),
            batch_size: stat(),
            record_size: stat(),
            queue_time: stat(),
            requests: meter(),
            records_per_request: stat(),
            request_latency: stat(),
            requests_in_flight: 0,
            buffer_exhausted: meter(),
            buffer_wait: meter(),
            topics: BTreeMap::new(),
        }
    }
}

impl ProducerMetrics {
    pub(super) fn new(config: &ProducerConfig, now: Moment) -> Self {
        let windows = Windows { count: config.metrics_num_samples, length: config.metrics_sample_window };
        Self {
            windows,
            client_id: config.client_id.as_deref().map(Arc::from),
            state: Mutex::new(State::new(windows, now)),
            flush_nanos: AtomicU64::new(0),
            metadata_nanos: AtomicU64::new(0),
        }
    }

    /// Changes the counts of all and those of `topic`.
    fn count(&self, topic: &Arc<str>, now: Moment, change: impl Fn(&mut Counts)) -> MutexGuard<'_, State> {
        let mut state = lock(&self.state);
        change(&mut state.all);
        if !state.topics.contains_key(topic) {
            state.topics.insert(Arc::clone(topic), Counts::new(self.windows, now));
        }
        state.topics.get_mut(topic).into_iter().for_each(change);
        state
    }

    /// The writer takes a batch that was begun `queued` ago.
    pub(super) fn note_taken(&self, topic: &Arc<str>, now: Moment, facts: &BatchFacts, queued: Duration) {
        let mut state = self.count(topic, now, |counts| counts.note_sent(now, facts));
        state.batch_size.note(now, facts.packed_bytes as f64);
        state.record_size.note(now, facts.largest_record as f64);
        state.queue_time.note(now, millis(queued));
        state.requests.mark(now, 1);
        state.records_per_request.note(now, f64::from(facts.records));
        state.requests_in_flight += 1;
    }

    /// The writer, or the syncer, is through with a batch that was taken `latency` ago.
    pub(super) fn note_answered(&self, now: Moment, latency: Duration) {
        let mut state = lock(&self.state);
        state.request_latency.note(now, millis(latency));
        state.requests_in_flight = state.requests_in_flight.saturating_sub(1);
    }

    /// The writer could not write a batch, which is tried again.
    pub(super) fn note_retried(&self, topic: &Arc<str>, now: Moment, records: u32) {
        let mut state = self.count(topic, now, |counts| counts.retried.mark(now, u64::from(records)));
        state.requests_in_flight = state.requests_in_flight.saturating_sub(1);
    }

    /// Records are not in the log, and nobody tries any more.
    pub(super) fn note_failed(&self, topic: &Arc<str>, now: Moment, records: u32) {
        drop(self.count(topic, now, |counts| counts.failed.mark(now, u64::from(records))));
    }

    /// A record was refused, and its topic, if there is one, is not known to the producer.
    pub(super) fn note_refused(&self, now: Moment) {
        lock(&self.state).all.failed.mark(now, 1);
    }

    /// A `send` waited for memory, and may have got none.
    pub(super) fn note_memory_wait(&self, now: Moment, waited: Duration, is_exhausted: bool) {
        let mut state = lock(&self.state);
        state.buffer_wait.mark(now, nanos(waited));
        if is_exhausted {
            state.buffer_exhausted.mark(now, 1);
        }
    }

    pub(super) fn note_flush(&self, took: Duration) {
        self.flush_nanos.fetch_add(nanos(took), Ordering::Relaxed);
    }

    /// A topic was looked up, and perhaps created.
    pub(super) fn note_metadata_wait(&self, took: Duration) {
        self.metadata_nanos.fetch_add(nanos(took), Ordering::Relaxed);
    }

    /// All of them, as they are at `now`.
    pub(super) fn snapshot(&self, memory: &MemoryUse, now: Moment) -> Metrics {
        let client = || self.client_id.clone().map(|id| ("client-id", id));
        let mut metrics = Metrics::new();
        let state = lock(&self.state);
        let mut list = metrics.group("producer-metrics", client());
        list.meter(["record-send-rate", "record-send-total"], &state.all.sent, now);
        list.meter(["byte-rate", "byte-total"], &state.all.bytes, now);
        list.meter(["record-retry-rate", "record-retry-total"], &state.all.retried, now);
        list.meter(["record-error-rate", "record-error-total"], &state.all.failed, now);
        list.value("compression-rate-avg", state.all.compression.avg(now));
        list.stat(["batch-size-avg", "batch-size-max"], &state.batch_size, now);
        list.stat(["record-size-avg", "record-size-max"], &state.record_size, now);
        list.stat(["record-queue-time-avg", "record-queue-time-max"], &state.queue_time, now);
        list.meter(["request-rate", "request-total"], &state.requests, now);
        list.value("records-per-request-avg", state.records_per_request.avg(now));
        list.stat(["request-latency-avg", "request-latency-max"], &state.request_latency, now);
        list.count("requests-in-flight", state.requests_in_flight);
        list.count("buffer-total-bytes", memory.total as u64);
        list.count("buffer-available-bytes", memory.available as u64);
        list.count("waiting-threads", memory.waiting as u64);
        list.meter(["buffer-exhausted-rate", "buffer-exhausted-total"], &state.buffer_exhausted, now);
        list.value("bufferpool-wait-ratio", state.buffer_wait.rate(now) / 1e9);
        list.count("bufferpool-wait-time-ns-total", state.buffer_wait.total());
        list.count("flush-time-ns-total", self.flush_nanos.load(Ordering::Relaxed));
        list.count("metadata-wait-time-ns-total", self.metadata_nanos.load(Ordering::Relaxed));
        for (topic, counts) in &state.topics {
            let tags = client().into_iter().chain([("topic", Arc::clone(topic))]);
            let mut list = metrics.group("producer-topic-metrics", tags);
            list.meter(["record-send-rate", "record-send-total"], &counts.sent, now);
            list.meter(["byte-rate", "byte-total"], &counts.bytes, now);
            list.meter(["record-retry-rate", "record-retry-total"], &counts.retried, now);
            list.meter(["record-error-rate", "record-error-total"], &counts.failed, now);
            list.value("compression-rate", counts.compression.avg(now));
        }
        metrics
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
