//! Which records a replay gives, and how.

use std::fmt;
use std::sync::Arc;

use crate::record::{Batch, BatchHeader, Record};
use crate::types::{Offset, Timestamp, TimestampType, TopicPartition};

type Filter = Arc<dyn Fn(&TopicPartition, &Record<'_>) -> bool + Send + Sync>;
type Progress = Arc<dyn Fn(u64) + Send + Sync>;

/// What a replay does where something cannot be read.
///
/// ```
/// # use ottla::replay::{OnDamage, ReplayOptions};
/// let careful = ReplayOptions::default().on_damage(OnDamage::Stop);
/// # assert!(format!("{careful:?}").contains("Stop"));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnDamage {
    /// Notes it for the report, and goes on behind it. The default.
    #[default]
    Skip,
    /// Ends with an error. The torn end that a crash leaves is no damage.
    Stop,
}

/// Which records a replay gives, in which order, and how fast. By default all of them, from the log start on, each
/// partition by its offsets; several partitions one after the other.
///
/// ```
/// # use ottla::{Engine, MemoryDisk, Producer, ProducerRecord, Timestamp};
/// # use ottla::replay::{Archive, ReplayOptions};
/// # let disk = MemoryDisk::new();
/// # let engine = Engine::builder().open_memory(&disk)?;
/// # let producer = Producer::<str, str>::new(&engine)?;
/// for (at, key) in [(1000, "o-17"), (2000, "o-18"), (3000, "o-17")] {
///     producer.send(ProducerRecord::to("orders").key(key).value("paid").timestamp(Timestamp(at)))?.wait()?;
/// }
/// let options = ReplayOptions::default().topic("orders").key("o-17").from_time(Timestamp(1500));
/// let mut replay = Archive::open_memory(&disk)?.replay(&options);
/// let found = replay.next_record()?.expect("there is one");
/// assert_eq!(found.record.timestamp(), Timestamp(3000));
/// assert!(replay.next_record()?.is_none());
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct ReplayOptions {
    topics: Vec<String>,
    partition: Option<u32>,
    from: Offset,
    to: Offset,
    from_time: Option<Timestamp>,
    to_time: Option<Timestamp>,
    key: Option<Vec<u8>>,
    headers: Vec<(String, Vec<u8>)>,
    filter: Option<Filter>,
    progress: Option<Progress>,
    pub(super) below_log_start: bool,
    pub(super) read_committed: bool,
    pub(super) backwards: bool,
    pub(super) by_time: bool,
    pub(super) speed: Option<f64>,
    pub(super) on_damage: OnDamage,
    pub(super) max_unpacked_bytes: usize,
    pub(super) read_ahead: bool,
}

impl Default for ReplayOptions {
    fn default() -> Self {
        Self {
            topics: Vec::new(),
            partition: None,
            from: Offset::ZERO,
            to: Offset(i64::MAX),
            from_time: None,
            to_time: None,
            key: None,
            headers: Vec::new(),
            filter: None,
            progress: None,
            below_log_start: false,
            read_committed: false,
            backwards: false,
            by_time: false,
            speed: None,
            on_damage: OnDamage::default(),
            max_unpacked_bytes: Batch::DEFAULT_UNPACKED_LIMIT,
            read_ahead: true,
        }
    }
}

impl ReplayOptions {
    /// Only this topic, and others that are named like that.
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.topics.push(topic.into());
        self
    }

    /// Only the partition of that number, of each topic.
    pub fn partition(mut self, partition: u32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// From that offset on, in every partition.
    pub fn from_offset(mut self, offset: Offset) -> Self {
        self.from = offset;
        self
    }

    /// Up to that offset, without it.
    pub fn to_offset(mut self, offset: Offset) -> Self {
        self.to = offset;
        self
    }

    /// Only records whose timestamp is at that time or behind it; none that has no timestamp. Times need not rise with
    /// the offsets, so every record is looked at, but for batches whose largest time is before.
    pub fn from_time(mut self, time: Timestamp) -> Self {
        self.from_time = Some(time);
        self
    }

    /// Only records whose timestamp is before that time.
    pub fn to_time(mut self, time: Timestamp) -> Self {
        self.to_time = Some(time);
        self
    }

    /// Only records with that key.
    pub fn key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Only records that have a header of that name and value; of several, those that have all.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Only records for which `filter` answers true. A panic of it goes on in the caller.
    ///
    /// ```
    /// # use ottla::{Engine, MemoryDisk, Producer, ProducerRecord};
    /// # use ottla::replay::{Archive, ReplayOptions};
    /// # let disk = MemoryDisk::new();
    /// # let engine = Engine::builder().open_memory(&disk)?;
    /// # let producer = Producer::<str, str>::new(&engine)?;
    /// for value in ["made", "paid", "sent"] {
    ///     producer.send(ProducerRecord::to("orders").value(value))?.wait()?;
    /// }
    /// let options = ReplayOptions::default().filter(|_, record| record.value() == Some(&b"paid"[..]));
    /// let report = Archive::open_memory(&disk)?.replay(&options).for_each(|_| {})?;
    /// assert_eq!((report.records, report.records_passed), (1, 2));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn filter(mut self, filter: impl Fn(&TopicPartition, &Record<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.filter = Some(Arc::new(filter));
        self
    }

    /// Calls `told` for every batch that is come to, asked for or not, with the bytes that it has as it is stored: for
    /// those who show how far a replay has got. They add up to about [`Replay::total_bytes`](crate::replay::Replay).
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use std::sync::atomic::{AtomicU64, Ordering};
    /// # use ottla::{Engine, MemoryDisk, Producer, ProducerRecord};
    /// # use ottla::replay::{Archive, ReplayOptions};
    /// # let disk = MemoryDisk::new();
    /// # let engine = Engine::builder().open_memory(&disk)?;
    /// # Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
    /// let bytes = Arc::new(AtomicU64::new(0));
    /// let told = Arc::clone(&bytes);
    /// let options = ReplayOptions::default().on_progress(move |more| {
    ///     told.fetch_add(more, Ordering::Relaxed);
    /// });
    /// let replay = Archive::open_memory(&disk)?.replay(&options);
    /// let total = replay.total_bytes();
    /// replay.for_each(|_| {})?;
    /// assert_eq!(bytes.load(Ordering::Relaxed), total);
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn on_progress(mut self, told: impl Fn(u64) + Send + Sync + 'static) -> Self {
        self.progress = Some(Arc::new(told));
        self
    }

    /// Also what was deleted by moving the log start, as far as it is still there.
    pub fn below_log_start(mut self, yes: bool) -> Self {
        self.below_log_start = yes;
        self
    }

    /// Leaves out records of transactions that were aborted, and all from the first one on that is still open. Kafka:
    /// `isolation.level = read_committed`.
    ///
    /// It is told by the markers in the log, for which the log is read once before; the transaction index is asked only
    /// where a marker may be lost in damage. If that does not know either, the records are left out, and it is a finding.
    pub fn read_committed(mut self, yes: bool) -> Self {
        self.read_committed = yes;
        self
    }

    /// From the last record to the first.
    pub fn backwards(mut self, yes: bool) -> Self {
        self.backwards = yes;
        self
    }

    /// Merges all partitions by timestamp, in place of one after the other. Each keeps the order of its offsets, so a
    /// record whose time is before that of the one before it comes late.
    pub fn by_time(mut self, yes: bool) -> Self {
        self.by_time = yes;
        self
    }

    /// Waits between records as long as their timestamps lie apart, divided by `speed`: 1.0 is the original speed, 10.0
    /// ten times that. Without it, as fast as it goes.
    pub fn speed(mut self, speed: f64) -> Self {
        self.speed = Some(speed);
        self
    }

    /// What to do where something cannot be read.
    pub fn on_damage(mut self, on_damage: OnDamage) -> Self {
        self.on_damage = on_damage;
        self
    }

    /// How many bytes the records of one compressed batch may unpack to, 128 MiB by default. A larger one cannot be read.
    pub fn max_unpacked_bytes(mut self, bytes: usize) -> Self {
        self.max_unpacked_bytes = bytes;
        self
    }

    /// Whether a second thread reads ahead for [`Replay::for_each`](crate::replay::Replay::for_each), which it does by
    /// default where the log is longer than 8 MiB, segments are not mapped, and there is more than one processor. That is
    /// faster by a third while a processor is idle, costs up to half as much processor time again, and 3 MiB; where no
    /// processor is idle, it is slower by 6 to 9 %. The thread has ended when the call returns. What is given is the same.
    ///
    /// ```
    /// # use ottla::{Engine, MemoryDisk, Producer, ProducerRecord};
    /// # use ottla::replay::{Archive, ReplayOptions};
    /// # let disk = MemoryDisk::new();
    /// # let engine = Engine::builder().open_memory(&disk)?;
    /// # Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
    /// let alone = ReplayOptions::default().read_ahead(false); // the other processors have enough to do
    /// let report = Archive::open_memory(&disk)?.replay(&alone).for_each(|_| {})?;
    /// assert_eq!(report.records, 1);
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn read_ahead(mut self, yes: bool) -> Self {
        self.read_ahead = yes;
        self
    }

    pub(super) fn asks_for_partition(&self, partition: &TopicPartition) -> bool {
        let is_topic = self.topics.is_empty() || self.topics.iter().any(|topic| topic == partition.topic());
        is_topic && self.partition.is_none_or(|number| number == partition.partition())
    }

    pub(super) fn note_progress(&self, header: &BatchHeader) {
        if let Some(told) = &self.progress {
            told(header.len_bytes as u64);
        }
    }

    pub(super) fn bounds(&self) -> (Offset, Offset) {
        (self.from, self.to)
    }

    /// Whether a batch may hold a record that is asked for, by its header.
    pub(super) fn may_hold(&self, header: &BatchHeader) -> bool {
        let has_times = header.magic > 0; // v0 has none of its own, but what is packed into it may
        let is_before = self.from_time.is_some_and(|from| has_times && header.max_timestamp < from);
        let is_append_time = header.timestamp_type() == TimestampType::LogAppendTime;
        let is_behind = self.to_time.is_some_and(|to| is_append_time && header.max_timestamp >= to);
        !is_before && !is_behind
    }

    /// Whether every record of a batch is asked for, by its header.
    pub(super) fn asks_for_all(&self, from: Offset, header: &BatchHeader) -> bool {
        header.base_offset >= from
            && header.last_offset() < self.to
            && self.from_time.is_none()
            && self.to_time.is_none()
            && self.key.is_none()
            && self.headers.is_empty()
            && self.filter.is_none()
    }

    /// Whether a record is asked for.
    #[inline]
    pub(super) fn asks_for(&self, partition: &TopicPartition, from: Offset, record: &Record<'_>) -> bool {
        let (offset, time) = (record.offset(), record.timestamp());
        let has_header = |(name, value): &(String, Vec<u8>)| {
            record.headers().iter().any(|(each, found)| each == name && found == Some(value.as_slice()))
        };
        offset >= from
            && offset < self.to
            && self.from_time.is_none_or(|from| time >= from)
            && self.to_time.is_none_or(|to| time < to)
            && self.key.as_ref().is_none_or(|key| record.key() == Some(key.as_slice()))
            && self.headers.iter().all(has_header)
            && self.filter.as_ref().is_none_or(|filter| filter(partition, record))
    }
}

impl fmt::Debug for ReplayOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayOptions")
            .field("topics", &self.topics)
            .field("partition", &self.partition)
            .field("offsets", &(self.from, self.to))
            .field("times", &(self.from_time, self.to_time))
            .field("read_committed", &self.read_committed)
            .field("backwards", &self.backwards)
            .field("by_time", &self.by_time)
            .field("speed", &self.speed)
            .field("on_damage", &self.on_damage)
            .finish_non_exhaustive()
    }
}
