//! What a consumer counts. It belongs to one thread, so there is no lock; a poll that returns records notes a few numbers
//! a partition, and a record costs nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::consumer::Consumer;
use crate::consumer::config::ConsumerConfig;
use crate::consumer::deserializer::Deserialize;
use crate::consumer::fetcher::Lane;
use crate::consumer::listener::Event;
use crate::metrics::{Meter, Metrics, Stat, Windows};
use crate::sync::Moment;
use crate::types::TopicPartition;

impl<K: ?Sized + Deserialize, V: ?Sized + Deserialize> Consumer<K, V> {
    /// How this consumer is doing, in numbers under Kafka's names. Never blocks for the disk. Kafka:
    /// `KafkaConsumer.metrics`.
    ///
    /// | group | tags | metrics |
    /// |---|---|---|
    /// | `consumer-metrics` | | `last-poll-seconds-ago` (-1: never), `time-between-poll-avg`, `-max`, `poll-idle-ratio-avg` |
    /// | `consumer-fetch-manager-metrics` | none, or `topic` | `records-consumed-rate`, `-total`, `bytes-consumed-rate`, `-total` |
    /// | | none | `fetch-rate`, `-total`, `fetch-size-avg`, `-max`, `fetch-latency-avg`, `-max`, `records-per-request-avg`, `records-lag-max`, `records-lead-min`, `position-reset-total` |
    /// | | `topic`, `partition` | `records-lag`, `-avg`, `-max`, `records-lead`, `-avg`, `-min` |
    /// | `consumer-coordinator-metrics` | | `commit-rate`, `-total`, `commit-latency-avg`, `-max`, `commit-sync-time-ns-total`, `assigned-partitions` |
    /// | | | `rebalance-rate-per-hour`, `rebalance-total`, `failed-rebalance-total`, `rebalance-latency-avg`, `-max`, `-total`, `last-rebalance-seconds-ago` (-1: never) |
    /// | | | `partition-revoked-latency-avg`, `-max`, the same with `assigned` and `lost` |
    ///
    /// Times are milliseconds where the name says nothing else. A fetch is a round over the partitions that read from
    /// files, its size what it read, its latency what that and looking through it took. Lag is from the position to the
    /// end of what can be read, lead from the log start to the position; those of partitions that are no longer assigned
    /// are gone. `position-reset-total`, which Kafka does not have, counts how often a position was outside the log and
    /// `auto.offset.reset` moved it: records may have been passed over there. A rebalance is what this consumer does to come
    /// to what its group has dealt, its latency how long that takes, listeners and commits included; one that failed is one
    /// that an assignor or the group refused. The latencies of partitions are those of the listener.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Consumer, Engine, Producer, ProducerRecord};
    /// # use std::time::Duration;
    /// # let engine = Engine::in_memory()?;
    /// # let producer = Producer::<str, str>::new(&engine)?;
    /// # for value in ["made", "paid", "sent"] {
    /// #     producer.send(ProducerRecord::to("orders").value(value))?.wait()?;
    /// # }
    /// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
    /// consumer.subscribe(["orders"])?;
    /// consumer.poll(Duration::from_secs(1))?;
    /// let metrics = consumer.metrics();
    /// assert_eq!(metrics.get("records-consumed-total"), Some(3.0));
    /// assert_eq!(metrics.of_partition("records-lag", &("orders", 0).into()), Some(0.0));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let now = self.engine.scheduler().now();
        let mut metrics = Metrics::new();
        let client = &self.client_id;
        self.polls.list(client, now, &mut metrics);
        self.fetcher.metrics().list(client, self.fetcher.lanes(), now, &mut metrics);
        let assigned = self.fetcher.lanes().len();
        self.commits.metrics().list(client, assigned, now, &mut metrics);
        self.rebalances.list(client, now, &mut metrics);
        metrics
    }
}

type ClientId = Option<Arc<str>>;

fn tags(client: &ClientId) -> impl Iterator<Item = (&'static str, Arc<str>)> {
    client.clone().map(|id| ("client-id", id)).into_iter()
}

/// How far back to look.
pub(super) fn windows(config: &ConsumerConfig) -> Windows {
    Windows { count: config.metrics_num_samples, length: config.metrics_sample_window }
}

/// When polls begin, and how much of the time they take.
#[derive(Debug)]
pub(super) struct PollMetrics {
    last_began: Option<Moment>,
    last_took: Duration,
    between: Stat,
    idle_ratio: Stat,
}

impl PollMetrics {
    pub(super) fn new(windows: Windows, now: Moment) -> Self {
        let stat = || Stat::new(windows, now);
        Self { last_began: None, last_took: Duration::ZERO, between: stat(), idle_ratio: stat() }
    }

    pub(super) fn note_begin(&mut self, now: Moment) {
        if let Some(last) = self.last_began {
            let between = now.since(last);
            self.between.note(now, millis(between));
            // All of the time, if there was none in between.
            let ratio = self.last_took.as_secs_f64() / between.as_secs_f64();
            self.idle_ratio.note(now, if ratio.is_finite() { ratio } else { 1.0 });
        }
        self.last_began = Some(now);
    }

    pub(super) fn note_end(&mut self, now: Moment) {
        self.last_took = self.last_began.map_or(Duration::ZERO, |began| now.since(began));
    }

    fn list(&self, client: &ClientId, now: Moment, metrics: &mut Metrics) {
        let mut list = metrics.group("consumer-metrics", tags(client));
        list.value("last-poll-seconds-ago", self.last_began.map_or(-1.0, |began| now.since(began).as_secs_f64()));
        list.stat(["time-between-poll-avg", "time-between-poll-max"], &self.between, now);
        list.value("poll-idle-ratio-avg", self.idle_ratio.avg(now));
    }
}

/// What is counted of all records, and of those of each topic.
#[derive(Debug)]
struct Consumed {
    records: Meter,
    bytes: Meter,
}

impl Consumed {
    fn new(windows: Windows, now: Moment) -> Self {
        Self { records: Meter::new(windows, now), bytes: Meter::new(windows, now) }
    }

    fn note(&mut self, now: Moment, records: u64, bytes: u64) {
        self.records.mark(now, records);
        self.bytes.mark(now, bytes);
    }
}

/// How far a partition's positions were from both ends of its log.
#[derive(Debug)]
struct Ends {
    lag: Stat,
    /// Negative, so that the largest is the least lead.
    minus_lead: Stat,
}

impl Ends {
    fn new(windows: Windows, now: Moment) -> Self {
        Self { lag: Stat::new(windows, now), minus_lead: Stat::new(windows, now) }
    }

    fn note(&mut self, now: Moment, lag: f64, lead: f64) {
        self.lag.note(now, lag);
        self.minus_lead.note(now, -lead);
    }
}

/// What was fetched.
#[derive(Debug)]
pub(super) struct FetchMetrics {
    windows: Windows,
    all: Consumed,
    ends: Ends,
    topics: BTreeMap<Arc<str>, Consumed>,
    partitions: BTreeMap<TopicPartition, Ends>,
    fetches: Meter,
    size: Stat,
    latency: Stat,
    records_per_fetch: Stat,
    resets: u64,
}

impl FetchMetrics {
    pub(super) fn new(windows: Windows, now: Moment) -> Self {
        let stat = || Stat::new(windows, now);
        Self {
            windows,
            all: Consumed::new(windows, now),
            ends: Ends::new(windows, now),
            topics: BTreeMap::new(),
            partitions: BTreeMap::new(),
            fetches: Meter::new(windows, now),
            size: stat(),
            latency: stat(),
            records_per_fetch: stat(),
            resets: 0,
        }
    }

    /// A poll takes records of a lane, which has moved behind them.
    pub(super) fn note_consumed(&mut self, now: Moment, lane: &Lane, (records, bytes): (usize, usize)) {
        let (records, bytes) = (records as u64, bytes as u64);
        let (lag, lead) = (lane.records_behind().unwrap_or(0) as f64, lane.records_ahead().unwrap_or(0) as f64);
        self.all.note(now, records, bytes);
        self.ends.note(now, lag, lead);
        let name = lane.name();
        match self.topics.get_mut(name.topic()) {
            Some(topic) => topic.note(now, records, bytes),
            None => {
                let topic = self.topics.entry(name.topic().into()).or_insert(Consumed::new(self.windows, now));
                topic.note(now, records, bytes);
            }
        }
        match self.partitions.get_mut(name) {
            Some(ends) => ends.note(now, lag, lead),
            None => {
                let ends = self.partitions.entry(name.clone()).or_insert(Ends::new(self.windows, now));
                ends.note(now, lag, lead);
            }
        }
    }

    /// A round has read `bytes` from files, and taken `records`.
    pub(super) fn note_fetch(&mut self, now: Moment, took: Duration, bytes: usize, records: usize) {
        self.fetches.mark(now, 1);
        self.size.note(now, bytes as f64);
        self.latency.note(now, millis(took));
        self.records_per_fetch.note(now, records as f64);
    }

    /// A position was outside its log, and was moved.
    pub(super) fn note_resets(&mut self, count: u64) {
        self.resets += count;
    }

    /// Forgets the partitions that are not among `lanes`, which are in order.
    pub(super) fn keep(&mut self, lanes: &[Lane]) {
        self.partitions.retain(|name, _| lanes.binary_search_by(|lane| lane.name().cmp(name)).is_ok());
    }

    fn list(&self, client: &ClientId, lanes: &[Lane], now: Moment, metrics: &mut Metrics) {
        const GROUP: &str = "consumer-fetch-manager-metrics";
        let mut list = metrics.group(GROUP, tags(client));
        list.meter(RECORDS, &self.all.records, now);
        list.meter(BYTES, &self.all.bytes, now);
        list.meter(["fetch-rate", "fetch-total"], &self.fetches, now);
        list.stat(["fetch-size-avg", "fetch-size-max"], &self.size, now);
        list.stat(["fetch-latency-avg", "fetch-latency-max"], &self.latency, now);
        list.value("records-per-request-avg", self.records_per_fetch.avg(now));
        // Also as it is now: of a consumer that does not poll, nothing is noted.
        let behind = lanes.iter().filter_map(Lane::records_behind).map(|lag| lag as f64);
        list.value("records-lag-max", behind.fold(self.ends.lag.max(now), f64::max));
        let ahead = lanes.iter().filter_map(Lane::records_ahead).map(|lead| lead as f64);
        list.value("records-lead-min", ahead.fold(-self.ends.minus_lead.max(now), f64::min));
        list.count("position-reset-total", self.resets);
        for (topic, consumed) in &self.topics {
            let mut list = metrics.group(GROUP, tags(client).chain([("topic", Arc::clone(topic))]));
            list.meter(RECORDS, &consumed.records, now);
            list.meter(BYTES, &consumed.bytes, now);
        }
        for lane in lanes {
            let (Some(lag), Some(lead)) = (lane.records_behind(), lane.records_ahead()) else { continue };
            let name = lane.name();
            let place = [("topic", name.topic().into()), ("partition", name.partition().to_string().into())];
            let mut list = metrics.group(GROUP, tags(client).chain(place));
            list.count("records-lag", lag);
            list.count("records-lead", lead);
            if let Some(ends) = self.partitions.get(name) {
                list.stat(["records-lag-avg", "records-lag-max"], &ends.lag, now);
                list.value("records-lead-avg", -ends.minus_lead.avg(now));
                list.value("records-lead-min", -ends.minus_lead.max(now));
            }
        }
    }
}

const RECORDS: [&str; 2] = ["records-consumed-rate", "records-consumed-total"];
const BYTES: [&str; 2] = ["bytes-consumed-rate", "bytes-consumed-total"];

/// What was committed.
#[derive(Debug)]
pub(super) struct CommitMetrics {
    commits: Meter,
    latency: Stat,
    sync_nanos: u64,
}

impl CommitMetrics {
    pub(super) fn new(windows: Windows, now: Moment) -> Self {
        Self { commits: Meter::new(windows, now), latency: Stat::new(windows, now), sync_nanos: 0 }
    }

    /// A commit is on the disk, `took` after it was begun.
    pub(super) fn note_commit(&mut self, now: Moment, took: Duration) {
        self.commits.mark(now, 1);
        self.latency.note(now, millis(took));
    }

    /// The caller waited `took` for a commit.
    pub(super) fn note_wait(&mut self, took: Duration) {
        self.sync_nanos += u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
    }

    fn list(&self, client: &ClientId, assigned: usize, now: Moment, metrics: &mut Metrics) {
        let mut list = metrics.group("consumer-coordinator-metrics", tags(client));
        list.meter(["commit-rate", "commit-total"], &self.commits, now);
        list.stat(["commit-latency-avg", "commit-latency-max"], &self.latency, now);
        list.count("commit-sync-time-ns-total", self.sync_nanos);
        list.count("assigned-partitions", assigned as u64);
    }
}

/// How the consumer has come to what its group dealt.
#[derive(Debug)]
pub(super) struct RebalanceMetrics {
    rebalances: Meter,
    latency: Stat,
    took: Duration,
    failed: u64,
    last: Option<Moment>,
    listener: [(Event, Stat); 3],
}

impl RebalanceMetrics {
    pub(super) fn new(windows: Windows, now: Moment) -> Self {
        let stat = || Stat::new(windows, now);
        Self {
            rebalances: Meter::new(windows, now),
            latency: stat(),
            took: Duration::ZERO,
            failed: 0,
            last: None,
            listener: [(Event::Revoked, stat()), (Event::Assigned, stat()), (Event::Lost, stat())],
        }
    }

    /// One is over, `took` after it began.
    pub(super) fn note(&mut self, now: Moment, took: Duration) {
        self.rebalances.mark(now, 1);
        self.latency.note(now, millis(took));
        self.took += took;
        self.last = Some(now);
    }

    pub(super) fn note_failed(&mut self) {
        self.failed += 1;
    }

    /// The listener took so long.
    pub(super) fn note_listener(&mut self, event: Event, now: Moment, took: Duration) {
        let of_event = self.listener.iter_mut().filter(|(known, _)| *known == event);
        of_event.for_each(|(_, stat)| stat.note(now, millis(took)));
    }

    fn list(&self, client: &ClientId, now: Moment, metrics: &mut Metrics) {
        let mut list = metrics.group("consumer-coordinator-metrics", tags(client));
        list.value("rebalance-rate-per-hour", self.rebalances.rate(now) * 3600.0);
        list.count("rebalance-total", self.rebalances.total());
        list.count("failed-rebalance-total", self.failed);
        list.stat(["rebalance-latency-avg", "rebalance-latency-max"], &self.latency, now);
        list.value("rebalance-latency-total", millis(self.took));
        list.value("last-rebalance-seconds-ago", self.last.map_or(-1.0, |last| now.since(last).as_secs_f64()));
        for (event, stat) in &self.listener {
            list.stat(event.latency_metrics(), stat, now);
        }
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
