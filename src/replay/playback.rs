//! Plays stored records back: filtered, merged, forwards or backwards, as fast as it goes or as fast as it was.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::io::ReadAhead;
use crate::record::{Batch, BatchFault, BatchHeader, Decompressor, Record};
use crate::replay::archive::{Archive, ArchivedLog};
use crate::replay::options::{OnDamage, ReplayOptions};
use crate::replay::report::{ReplayReport, Times};
use crate::replay::scan::{Scan, Scanned, StoredBatch};
use crate::replay::transactions::Transactions;
use crate::storage::{Defect, DefectKind};
use crate::sync::{Moment, Scheduler, Signal, in_parallel, lock};
use crate::types::{Offset, Timestamp, TopicPartition};

/// A log that is shorter is gone through before a second thread has read anything.
const LEAST_BYTES_AHEAD: u64 = 8 * 1024 * 1024;

/// A record that a replay gives; it borrows from its batch.
///
/// ```
/// # use ottla::{Engine, MemoryDisk, Producer, ProducerRecord};
/// # use ottla::replay::{Archive, ReplayOptions, ReplayedRecord};
/// # let disk = MemoryDisk::new();
/// # let engine = Engine::builder().open_memory(&disk)?;
/// # Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
/// let mut replay = Archive::open_memory(&disk)?.replay(&ReplayOptions::default());
/// let ReplayedRecord { partition, record, .. } = replay.next_record()?.expect("there is one");
/// assert_eq!((partition.topic(), record.value()), ("orders", Some(&b"paid"[..])));
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ReplayedRecord<'a> {
    /// Where it is from.
    pub partition: &'a TopicPartition,
    /// The record.
    pub record: Record<'a>,
    /// The header of its batch.
    pub batch: &'a BatchHeader,
}

/// A record that a replay gave, which owns its bytes: it keeps its batch.
///
/// ```
/// # use ottla::{Engine, MemoryDisk, Producer, ProducerRecord, Result};
/// # use ottla::replay::{Archive, OwnedReplayedRecord, ReplayOptions};
/// # let disk = MemoryDisk::new();
/// # let engine = Engine::builder().open_memory(&disk)?;
/// # Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
/// let replay = Archive::open_memory(&disk)?.replay(&ReplayOptions::default());
/// let records: Vec<OwnedReplayedRecord> = replay.collect::<Result<_>>()?;
/// assert_eq!(records[0].get().record.value(), Some(&b"paid"[..]));
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone)]
pub struct OwnedReplayedRecord {
    partition: TopicPartition,
    batch: Batch,
    bytes_left: usize,
}

impl OwnedReplayedRecord {
    /// The record.
    ///
    /// ```
    /// # use ottla::{Engine, MemoryDisk, Producer, ProducerRecord};
    /// # use ottla::replay::{Archive, ReplayOptions};
    /// # let disk = MemoryDisk::new();
    /// # let engine = Engine::builder().open_memory(&disk)?;
    /// # Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
    /// for owned in Archive::open_memory(&disk)?.replay(&ReplayOptions::default()) {
    ///     assert_eq!(owned?.get().partition.partition(), 0);
    /// }
    /// # Ok::<(), ottla::Error>(())
    /// ```
    ///
    /// # Panics
    /// Never: it was read before.
    #[must_use]
    pub fn get(&self) -> ReplayedRecord<'_> {
        let record = record_at(&self.batch, self.bytes_left).expect("it was read before");
        ReplayedRecord { partition: &self.partition, record, batch: self.batch.header() }
    }
}

impl fmt::Debug for OwnedReplayedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.get(), f)
    }
}

/// Plays records of an [`Archive`] back. Nothing is read before the first one is asked for.
///
/// It gives records that borrow from it ([`next_record`](Self::next_record)), or is an iterator of records that own
/// their bytes, or calls back ([`for_each`](Self::for_each), which is the fastest), also from several threads
/// ([`for_each_in_parallel`](Self::for_each_in_parallel)). Memory stays flat: about a megabyte and one batch unpacked for
/// each partition that is read at the same time, and 3 MiB more where it is [read ahead](ReplayOptions::read_ahead).
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
/// let mut replay = Archive::open_memory(&disk)?.replay(&ReplayOptions::default().backwards(true));
/// let mut values = Vec::new();
/// while let Some(found) = replay.next_record()? {
///     values.extend(found.record.value().map(<[u8]>::to_vec));
/// }
/// assert_eq!(values, [b"sent", b"paid", b"made"]);
/// assert_eq!(replay.report().records, 3);
/// # Ok::<(), ottla::Error>(())
/// ```
pub struct Replay {
    options: Arc<ReplayOptions>,
    lanes: Vec<Lane>,
    /// By time: the lanes that have a record, the one whose turn it is on top. Else unused.
    heap: BinaryHeap<Reverse<(i64, usize)>>,
    has_begun: bool,
    /// By time: how many lanes are in the heap, or were.
    begun_lanes: usize,
    /// The lane that gave the last record; by time, one that is no lane if it has to give none.
    current: usize,
    pace: Option<Pace>,
    report: ReplayReport,
    total_bytes: u64,
    /// Whether a second thread may read.
    reads_ahead: bool,
}

impl Archive {
    /// Plays back what `options` ask for.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Engine, MemoryDisk, Producer, ProducerRecord};
    /// # use ottla::replay::{Archive, ReplayOptions};
    /// # let disk = MemoryDisk::new();
    /// # let engine = Engine::builder().open_memory(&disk)?;
    /// # Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
    /// let mut replay = Archive::open_memory(&disk)?.replay(&ReplayOptions::default().topic("orders"));
    /// assert!(replay.next_record()?.is_some());
    /// # Ok::<(), ottla::Error>(())
    /// ```
    #[must_use]
    pub fn replay(&self, options: &ReplayOptions) -> Replay {
        let logs = self.logs().iter().filter(|log| options.asks_for_partition(log.partition()));
        let logs: Vec<ArchivedLog> = logs.cloned().collect();
        let replay = Replay::of(logs, options, self.scheduler(), self.findings());
        Replay { reads_ahead: self.reads_ahead() && options.read_ahead, ..replay }
    }
}

impl Replay {
    fn of(
        logs: Vec<ArchivedLog>,
        options: &ReplayOptions,
        scheduler: &Arc<dyn Scheduler>,
        findings: &[Defect],
    ) -> Self {
        let options = Arc::new(options.clone());
        let total_bytes = logs.iter().map(ArchivedLog::size_bytes).sum();
        let report = ReplayReport { findings: findings.to_vec(), ..ReplayReport::default() };
        let pace = options.speed.map(|speed| Pace { scheduler: Arc::clone(scheduler), speed, began: None });
        let lanes = logs.into_iter().map(|log| Lane::new(log, Arc::clone(&options))).collect();
        Self {
            options,
            lanes,
            heap: BinaryHeap::new(),
            has_begun: false,
            begun_lanes: 0,
            current: 0,
            pace,
            report,
            total_bytes,
            reads_ahead: false,
        }
    }

    /// The next record; `None` at the end. Blocks for reading files, and until it is time with
    /// [`ReplayOptions::speed`].
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::UnknownTopicId`] if a topic of ours is deleted meanwhile. With [`OnDamage::Stop`] also
    /// [`Error::CorruptBatch`], [`Error::CorruptFile`], and [`Error::UnsupportedVersion`] for a codec that this build
    /// lacks; the next call goes on behind that.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Engine, MemoryDisk, Offset, Producer, ProducerRecord};
    /// # use ottla::replay::{Archive, ReplayOptions};
    /// # let disk = MemoryDisk::new();
    /// # let engine = Engine::builder().open_memory(&disk)?;
    /// # Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
    /// let mut replay = Archive::open_memory(&disk)?.replay(&ReplayOptions::default());
    /// assert_eq!(replay.next_record()?.map(|found| found.record.offset()), Some(Offset(0)));
    /// assert!(replay.next_record()?.is_none());
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn next_record(&mut self) -> Result<Option<ReplayedRecord<'_>>> {
        let Some(lane) = self.advance()? else { return Ok(None) };
        Ok(self.lanes.get(lane).and_then(Lane::record))
    }

    /// Calls `take` with every record that is left, and says what was gone through. Over a long log a second thread reads
    /// ahead, unless [`ReplayOptions::read_ahead`] is off; `take` runs in the calling thread.
    ///
    /// # Errors
    /// As [`next_record`](Self::next_record); then what is left is not given.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Engine, MemoryDisk, Producer, ProducerRecord};
    /// # use ottla::replay::{Archive, ReplayOptions};
    /// # let disk = MemoryDisk::new();
    /// # let engine = Engine::builder().open_memory(&disk)?;
    /// # Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
    /// let mut bytes = 0;
    /// let replay = Archive::open_memory(&disk)?.replay(&ReplayOptions::default());
    /// let report = replay.for_each(|found| bytes += found.record.value().map_or(0, <[u8]>::len))?;
    /// assert_eq!((report.records, bytes), (1, 4));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn for_each(mut self, mut take: impl FnMut(ReplayedRecord<'_>)) -> Result<ReplayReport> {
        let needs_order = self.options.by_time || self.options.backwards || self.pace.is_some() || self.has_begun;
        if needs_order {
            while let Some(found) = self.next_record()? {
                take(found);
            }
            return Ok(self.report);
        }
        let reads_ahead = self.reads_ahead && self.lanes.iter().any(Lane::is_long);
        let (lanes, report) = (&mut self.lanes, &mut self.report);
        let mut all = |ahead: Option<&Arc<ReadAhead>>| {
            lanes.iter_mut().try_for_each(|lane| {
                lane.read_ahead = ahead.filter(|_| lane.is_long()).cloned();
                lane.for_each(&mut take, report)
            })
        };
        if reads_ahead {
            ReadAhead::help_with(|ahead| all(Some(ahead)))?;
        } else {
            all(None)?;
        }
        Ok(self.report)
    }

    /// The same, with as many partitions at a time as there are `threads`; each on its own goes by its offsets. The
    /// threads have ended when this returns.
    ///
    /// # Errors
    /// As [`next_record`](Self::next_record), of one of the partitions; the others are gone through.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::atomic::{AtomicUsize, Ordering};
    /// # use ottla::{Engine, MemoryDisk, Producer, ProducerRecord};
    /// # use ottla::replay::{Archive, ReplayOptions};
    /// # let disk = MemoryDisk::new();
    /// # let engine = Engine::builder().open_memory(&disk)?;
    /// # Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
    /// let count = AtomicUsize::new(0);
    /// let replay = Archive::open_memory(&disk)?.replay(&ReplayOptions::default());
    /// replay.for_each_in_parallel(2, |_| drop(count.fetch_add(1, Ordering::Relaxed)))?;
    /// assert_eq!(count.into_inner(), 1);
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn for_each_in_parallel(
        self,
        threads: usize,
        take: impl Fn(ReplayedRecord<'_>) + Sync,
    ) -> Result<ReplayReport> {
        let mut report = self.report;
        let lanes: Vec<Mutex<Lane>> = self.lanes.into_iter().map(Mutex::new).collect();
        let reports = in_parallel(&lanes, threads, |lane| {
            let mut report = ReplayReport::default();
            lock(lane).for_each(&mut |found: ReplayedRecord<'_>| take(found), &mut report).map(|()| report)
        });
        for each in reports {
            report.add(each?);
        }
        Ok(report)
    }

    /// What was gone through so far.
    #[must_use]
    pub fn report(&self) -> &ReplayReport {
        &self.report
    }

    /// How many bytes the segments of all partitions have that are read; [`ReplayReport::bytes`] comes near that, for
    /// those who show how far it has got.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// Goes to the next record: which lane has it.
    fn advance(&mut self) -> Result<Option<usize>> {
        let lane = if self.options.by_time { self.advance_by_time()? } else { self.advance_in_turn()? };
        let Some(lane) = lane else { return Ok(None) };
        self.current = lane;
        let time = self.lanes.get(lane).map_or(Timestamp::NONE, |lane| lane.time);
        self.report.note_record(time);
        if let Some(pace) = &mut self.pace {
            pace.wait_for(time);
        }
        Ok(Some(lane))
    }

    fn advance_in_turn(&mut self) -> Result<Option<usize>> {
        self.has_begun = true;
        while let Some(lane) = self.lanes.get_mut(self.current) {
            if lane.advance(&mut self.report)? {
                return Ok(Some(self.current));
            }
            self.current += 1;
        }
        Ok(None)
    }

    fn advance_by_time(&mut self) -> Result<Option<usize>> {
        if self.has_begun {
            self.push(self.current)?;
        }
        // An error ends this, and the next call goes on with the lane behind.
        self.current = self.lanes.len();
        self.has_begun = true;
        while self.begun_lanes < self.lanes.len() {
            self.begun_lanes += 1;
            self.push(self.begun_lanes - 1)?;
        }
        Ok(self.heap.pop().map(|Reverse((_, index))| index))
    }

    /// Puts a lane where it belongs, by the time of its next record.
    fn push(&mut self, index: usize) -> Result<()> {
        let Some(lane) = self.lanes.get_mut(index) else { return Ok(()) };
        if lane.advance(&mut self.report)? {
            let time = if self.options.backwards { -lane.time.0.max(-i64::MAX) } else { lane.time.0 };
            self.heap.push(Reverse((time, index)));
        }
        Ok(())
    }
}

impl Iterator for Replay {
    type Item = Result<OwnedReplayedRecord>;

    fn next(&mut self) -> Option<Self::Item> {
        let lane = match self.advance().transpose()? {
            Ok(lane) => self.lanes.get(lane)?,
            Err(error) => return Some(Err(error)),
        };
        let batch = lane.batch.as_ref()?.batch.clone();
        Some(Ok(OwnedReplayedRecord { partition: lane.log.partition().clone(), batch, bytes_left: lane.at }))
    }
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay").field("options", &self.options).field("report", &self.report).finish_non_exhaustive()
    }
}

/// Waits between records as their times say.
struct Pace {
    scheduler: Arc<dyn Scheduler>,
    speed: f64,
    began: Option<(Moment, Timestamp)>,
}

impl Pace {
    fn wait_for(&mut self, time: Timestamp) {
        if !time.is_some() || self.speed.is_nan() || self.speed <= 0.0 {
            return;
        }
        let (began, first) = *self.began.get_or_insert_with(|| (self.scheduler.now(), time));
        let apart = Duration::from_millis(time.0.abs_diff(first.0));
        let Ok(apart) = Duration::try_from_secs_f64(apart.as_secs_f64() / self.speed) else { return };
        let due = began + apart;
        while self.scheduler.now() < due {
            let signal = Signal::default();
            let seen = signal.seen();
            self.scheduler.park(&signal, seen, Some(due));
        }
    }
}

/// One partition that is played back.
struct Lane {
    log: ArchivedLog,
    options: Arc<ReplayOptions>,
    /// `None` before the first record is asked for.
    scan: Option<Scan>,
    read_ahead: Option<Arc<ReadAhead>>,
    from: Offset,
    transactions: Option<Transactions>,
    decompressor: Decompressor,
    /// Unpacked.
    batch: Option<StoredBatch>,
    /// Forwards: how many bytes are behind the record that was given, and how many records came before.
    next: (usize, i32),
    /// Backwards: where the records of the batch begin that are still to come.
    ahead: Vec<usize>,
    /// Where the record begins that is given, and its time.
    at: usize,
    time: Timestamp,
}

impl Lane {
    fn new(log: ArchivedLog, options: Arc<ReplayOptions>) -> Self {
        let (from, _) = options.bounds();
        let from = if options.below_log_start { from } else { from.max(log.log_start()) };
        Self {
            log,
            options,
            scan: None,
            read_ahead: None,
            from,
            transactions: None,
            decompressor: Decompressor::default(),
            batch: None,
            next: (0, 0),
            ahead: Vec::new(),
            at: 0,
            time: Timestamp::NONE,
        }
    }

    /// Whether it is worth a second thread.
    fn is_long(&self) -> bool {
        self.log.size_bytes() >= LEAST_BYTES_AHEAD
    }

    /// The record that was gone to.
    fn record(&self) -> Option<ReplayedRecord<'_>> {
        let batch = &self.batch.as_ref()?.batch;
        let record = record_at(batch, self.at)?;
        Some(ReplayedRecord { partition: self.log.partition(), record, batch: batch.header() })
    }

    /// Goes to the next record that is asked for.
    fn advance(&mut self, report: &mut ReplayReport) -> Result<bool> {
        loop {
            let found = if self.options.backwards { self.next_backwards(report) } else { self.next_forwards(report)? };
            if found {
                return Ok(true);
            }
            if !self.load(report)? {
                return Ok(false);
            }
        }
    }

    fn next_forwards(&mut self, report: &mut ReplayReport) -> Result<bool> {
        let Some(stored) = &self.batch else { return Ok(false) };
        let mut records = stored.batch.records_from(self.next);
        loop {
            let before = records.bytes_left();
            match records.next() {
                Some(Ok(record)) => {
                    self.next = (records.bytes_left(), self.next.1 + 1);
                    if self.options.asks_for(self.log.partition(), self.from, &record) {
                        (self.at, self.time) = (before, record.timestamp());
                        return Ok(true);
                    }
                    report.records_passed += 1;
                }
                Some(Err(fault)) => {
                    let defect = defect_of(stored, &fault);
                    self.batch = None;
                    return note(&self.log, defect, self.options.on_damage, report).map(|()| false);
                }
                None => {
                    self.batch = None;
                    return Ok(false);
                }
            }
        }
    }

    fn next_backwards(&mut self, report: &mut ReplayReport) -> bool {
        let Some(stored) = &self.batch else { return false };
        while let Some(at) = self.ahead.pop() {
            let Some(record) = record_at(&stored.batch, at) else { continue };
            if self.options.asks_for(self.log.partition(), self.from, &record) {
                (self.at, self.time) = (at, record.timestamp());
                return true;
            }
            report.records_passed += 1;
        }
        self.batch = None;
        false
    }

    /// Takes the next batch that may hold a record that is asked for.
    fn load(&mut self, report: &mut ReplayReport) -> Result<bool> {
        loop {
            let found = match self.scan(report)?.next().transpose() {
                // The scan goes on with the next file.
                Err(error @ Error::Io { .. }) if self.options.on_damage == OnDamage::Skip => {
                    report.findings.push(Defect::from_error(&error, self.log.path()));
                    continue;
                }
                found => found?,
            };
            let stored = match found {
                None => return Ok(false),
                Some(Scanned::Batch(stored)) => stored,
                Some(Scanned::Damage(defect)) => {
                    note(&self.log, defect, self.options.on_damage, report)?;
                    continue;
                }
            };
            if !self.is_wanted(stored.batch.header(), report) {
                continue;
            }
            match self.unpack(stored) {
                Ok(stored) => {
                    let batch = &stored.batch;
                    self.next = (batch.records_len_bytes(), 0);
                    self.ahead.clear();
                    if self.options.backwards && self.collect_ahead(batch).is_err() {
                        // What is wrong is told in the order of the offsets: the front of it is as good as forwards.
                        let fault = batch.records_from(self.next).find_map(Result::err);
                        let fault = fault.unwrap_or(BatchFault::TooShort);
                        let defect = defect_of(&stored, &fault);
                        self.batch = Some(stored); // its front is given all the same
                        return note(&self.log, defect, self.options.on_damage, report).map(|()| true);
                    }
                    self.batch = Some(stored);
                    return Ok(true);
                }
                Err(defect) => note(&self.log, *defect, self.options.on_damage, report)?,
            }
        }
    }

    /// Where the records of a batch begin.
    fn collect_ahead(&mut self, batch: &Batch) -> Result<(), BatchFault> {
        let mut records = batch.records_from((batch.records_len_bytes(), 0));
        loop {
            let before = records.bytes_left();
            match records.next() {
                Some(record) => drop(record?),
                None => return Ok(()),
            }
            self.ahead.push(before);
        }
    }

    fn is_wanted(&self, header: &BatchHeader, report: &mut ReplayReport) -> bool {
        report.note_batch(header);
        self.options.note_progress(header);
        if header.is_control() {
            report.control_batches += 1;
        } else if self
            .transactions
            .as_ref()
            .is_some_and(|transactions| transactions.is_aborted(header) || transactions.is_open(header))
        {
            report.uncommitted_batches += 1;
        } else if self.options.may_hold(header) {
            return true;
        } else {
            report.batches_passed += 1;
        }
        false
    }

    fn unpack(&mut self, mut stored: StoredBatch) -> Result<StoredBatch, Box<Defect>> {
        match stored.batch.unpack_in_place(&mut self.decompressor, self.options.max_unpacked_bytes) {
            Ok(()) => Ok(stored),
            Err(fault) => Err(Box::new(defect_of(&stored, &fault))),
        }
    }

    /// The scan of the log, begun if it was not.
    fn scan(&mut self, report: &mut ReplayReport) -> Result<&mut Scan> {
        if self.scan.is_none() {
            let (_, to) = self.options.bounds();
            let whole = || {
                let scan = self.log.scan().max_unpacked_bytes(self.options.max_unpacked_bytes);
                scan.from(self.from).reading_ahead(self.read_ahead.clone())
            };
            let mut scan = whole().to(to);
            if self.options.read_committed {
                let transactions = Transactions::of(whole())?;
                for (producer_id, first, last) in transactions.unknown() {
                    report.findings.push(unknown_outcome(&self.log, producer_id, first, last));
                }
                scan = scan.to(transactions.last_stable().unwrap_or(Offset(i64::MAX)));
                self.transactions = Some(transactions);
            }
            self.scan = Some(if self.options.backwards { scan.backwards() } else { scan });
        }
        Ok(self.scan.as_mut().expect("it was just begun"))
    }

    /// Takes a copy: a record that nobody points to need not be in memory.
    #[inline(never)]
    fn asks_for(&self, record: Record<'_>) -> bool {
        self.options.asks_for(self.log.partition(), self.from, &record)
    }

    /// All records that are left.
    fn for_each(&mut self, take: &mut impl FnMut(ReplayedRecord<'_>), report: &mut ReplayReport) -> Result<()> {
        if self.options.backwards || self.batch.is_some() {
            while self.advance(report)? {
                report.note_record(self.time);
                if let Some(found) = self.record() {
                    take(found);
                }
            }
            return Ok(());
        }
        self.decompressor.lend(); // no batch is kept
        while self.load(report)? {
            let Some(stored) = self.batch.take() else { continue };
            let (partition, batch) = (self.log.partition(), stored.batch.header());
            let all = self.options.asks_for_all(self.from, batch);
            let (mut times, mut passed) = (Times::default(), 0);
            let visited = stored.batch.records_from(self.next).visit(|record| {
                if all || self.asks_for(record) {
                    times.note(record.timestamp());
                    take(ReplayedRecord { partition, record, batch });
                } else {
                    passed += 1;
                }
            });
            report.note_records(&times);
            report.records_passed += passed;
            if let Err(fault) = visited {
                note(&self.log, defect_of(&stored, &fault), self.options.on_damage, report)?;
            }
        }
        Ok(())
    }
}

/// The record that begins where so many bytes are left.
fn record_at(batch: &Batch, bytes_left: usize) -> Option<Record<'_>> {
    batch.last_records(bytes_left).next()?.ok()
}

/// That a transaction's end may be lost in damage.
fn unknown_outcome(log: &ArchivedLog, producer_id: i64, first: Offset, last: Offset) -> Defect {
    let detail = format!(
        "producer {producer_id} has a transaction there whose end is not in the log, or is lost in damage: its records are \
         left out"
    );
    Defect::new(DefectKind::Damage, log.path(), detail).of(first, last)
}

/// What is wrong with a batch whose checksum holds.
fn defect_of(stored: &StoredBatch, fault: &BatchFault) -> Defect {
    let kind = match fault {
        BatchFault::CodecNotCompiled { .. } => DefectKind::NotRead,
        _ => DefectKind::Damage,
    };
    stored.defect(kind, fault.to_string())
}

/// Takes note of what cannot be read, or makes it an error.
fn note(log: &ArchivedLog, defect: Defect, on_damage: OnDamage, report: &mut ReplayReport) -> Result<()> {
    let stops = on_damage == OnDamage::Stop && defect.kind != DefectKind::Torn;
    let error = stops.then(|| corrupt(log, &defect));
    report.findings.push(defect);
    error.map_or(Ok(()), Err)
}

fn corrupt(log: &ArchivedLog, defect: &Defect) -> Error {
    let (path, position, reason) = (defect.path.clone(), defect.position.unwrap_or(0), Arc::clone(&defect.detail));
    if defect.kind == DefectKind::NotRead {
        return Error::UnsupportedVersion { path, reason };
    }
    match defect.offsets {
        Some((first, last)) => {
            let partition = log.partition().clone();
            Error::CorruptBatch { partition, first, last, path, file_position: position, reason }
        }
        None => Error::CorruptFile { path, file_position: position, reason },
    }
}
