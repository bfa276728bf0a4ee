//! What a replay has gone through.

use std::collections::BTreeMap;

use crate::record::{BatchHeader, MAGIC};
use crate::storage::Defect;
use crate::types::{Compression, Timestamp};

/// What a replay has gone through so far.
///
/// ```
/// # use ottla::{Compression, Engine, MemoryDisk, Producer, ProducerRecord};
/// # use ottla::replay::{Archive, ReplayOptions};
/// # let disk = MemoryDisk::new();
/// # let engine = Engine::builder().open_memory(&disk)?;
/// # Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
/// let report = Archive::open_memory(&disk)?.replay(&ReplayOptions::default()).for_each(|_| {})?;
/// assert_eq!((report.batches, report.records), (1, 1));
/// assert_eq!(report.codecs[&Compression::None], 1);
/// assert!(report.findings.is_empty());
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ReplayReport {
    /// Batches that were whole.
    pub batches: u64,
    /// Of these, those that were left unread, since their header says that nothing in them is asked for.
    pub batches_passed: u64,
    /// Of these, those that hold a control record: the marker of a transaction, say.
    pub control_batches: u64,
    /// Of these, those of transactions that were aborted or are open, where only committed records are asked for.
    pub uncommitted_batches: u64,
    /// Of all of them, those whose records have no time, as before Kafka 0.10: no bound of time says whether they are asked
    /// for, so with a first time they are not.
    pub batches_without_time: u64,
    /// Records that were given.
    pub records: u64,
    /// Records that were read and not asked for.
    pub records_passed: u64,
    /// How many bytes the batches have, as they are stored.
    pub bytes: u64,
    /// The smallest and the largest timestamp of the records that were given.
    pub times: Option<(Timestamp, Timestamp)>,
    /// How many batches were compressed with what.
    pub codecs: BTreeMap<Compression, u64>,
    /// What could not be read, by the order in which it was met.
    pub findings: Vec<Defect>,
}

impl ReplayReport {
    pub(super) fn note_batch(&mut self, header: &BatchHeader) {
        self.batches += 1;
        let holds_records = header.magic < MAGIC || header.count > 0;
        self.batches_without_time += u64::from(holds_records && !header.max_timestamp.is_some());
        self.bytes += header.len_bytes as u64;
        *self.codecs.entry(header.compression().unwrap_or_default()).or_default() += 1;
    }

    #[inline]
    pub(super) fn note_record(&mut self, time: Timestamp) {
        let mut times = Times::default();
        times.note(time);
        self.note_records(&times);
    }

    #[inline]
    pub(super) fn note_records(&mut self, times: &Times) {
        self.records += times.records;
        if times.least <= times.most {
            self.widen((times.least, times.most));
        }
    }

    #[inline]
    fn widen(&mut self, (least, most): (Timestamp, Timestamp)) {
        let (before, behind) = self.times.unwrap_or((least, most));
        self.times = Some((before.min(least), behind.max(most)));
    }

    /// Adds what another replay has gone through.
    pub(super) fn add(&mut self, other: Self) {
        self.batches += other.batches;
        self.batches_passed += other.batches_passed;
        self.control_batches += other.control_batches;
        self.uncommitted_batches += other.uncommitted_batches;
        self.batches_without_time += other.batches_without_time;
        self.records += other.records;
        self.records_passed += other.records_passed;
        self.bytes += other.bytes;
        if let Some(times) = other.times {
            self.widen(times);
        }
        for (codec, batches) in other.codecs {
            *self.codecs.entry(codec).or_default() += batches;
        }
        self.findings.extend(other.findings);
    }
}

/// How many records were given, and their smallest and largest timestamp.
#[derive(Debug)]
pub(super) struct Times {
    records: u64,
    least: Timestamp,
    most: Timestamp,
}

impl Default for Times {
    fn default() -> Self {
        Self { records: 0, least: Timestamp(i64::MAX), most: Timestamp(i64::MIN) }
    }
}

impl Times {
    #[inline]
    pub(super) fn note(&mut self, time: Timestamp) {
        self.records += 1;
        if time.is_some() {
            self.least = self.least.min(time);
            self.most = self.most.max(time);
        }
    }
}
