//! Brings topics that a Kafka cluster has stored into a directory of ours, with what groups have committed of them.
//!
//! The logs are read as [`replay`](crate::replay) reads them, whoever wrote them, and written as
//! [`storage`](crate::storage) does that: records keep offsets, timestamps, keys, values and headers. What had not been
//! committed is left out, and so is what cannot be read; both are counted, and told.
//!
//! | of a log | becomes |
//! |---|---|
//! | records, of any format; compressed batches as they are | the same records at the same offsets |
//! | records of transactions that were aborted, or are open | nothing, at their offsets |
//! | markers, and what else is no record of an application | nothing |
//! | what is damaged | nothing, and a finding |
//! | a partition that is not there, such as one of another broker | an empty one |
//!
//! A topic is imported with all its partitions and the groups' offsets, or not at all: see `engine/import`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::admin::Admin;
use crate::engine::{ImportedCommit, ImportedTopic};
use crate::error::{Error, Result};
use crate::record::{Batch, BatchFault, Decompressor, MAGIC};
use crate::replay::{Archive, ArchivedLog, Directory, GroupCommits, Scanned, StoredBatch, Transactions};
use crate::storage::{Defect, DefectKind, ImportedLog, LogImport, NewLog, group_file_name};
use crate::types::{Offset, TopicId, TopicPartition};

/// Where a Kafka cluster keeps what groups have committed.
const CONSUMER_OFFSETS: &str = "__consumer_offsets";
/// What only a cluster's own machinery reads: imported if it is asked for by name.
const INTERNAL: [&str; 4] = [CONSUMER_OFFSETS, "__transaction_state", "__share_group_state", "__cluster_metadata"];

/// What [`Admin::import`] takes: everything but a cluster's own topics, unless topics or groups are named.
///
/// ```
/// # use ottla::{Admin, Engine, ExportOptions, ImportOptions, NewTopic, export};
/// # let data = tempfile::tempdir().expect("a temporary directory");
/// # let (source, kafka) = (data.path().join("data"), data.path().join("kafka"));
/// # let engine = Engine::open(&source)?;
/// # Admin::new(&engine).create_topic(NewTopic::new("orders"))?;
/// # Admin::new(&engine).create_topic(NewTopic::new("clicks"))?;
/// # engine.close()?;
/// # export(&source, &kafka, &ExportOptions::default())?;
/// let engine = Engine::in_memory()?;
/// Admin::new(&engine).import(&kafka, &ImportOptions::default().topics(["orders"]))?;
/// assert_eq!(Admin::new(&engine).list_topics()?.len(), 1);
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct ImportOptions {
    topics: BTreeSet<String>,
    groups: BTreeSet<String>,
    config: BTreeMap<String, String>,
    max_unpacked_bytes: usize,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self {
            topics: BTreeSet::new(),
            groups: BTreeSet::new(),
            config: BTreeMap::new(),
            max_unpacked_bytes: Batch::DEFAULT_UNPACKED_LIMIT,
        }
    }
}

impl ImportOptions {
    /// Takes these topics, besides those that were named before. Without any, all but a cluster's own.
    pub fn topics(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.topics.extend(names.into_iter().map(Into::into));
        self
    }

    /// Takes the offsets of these groups, besides those that were named before. Without any, of all.
    pub fn groups(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.groups.extend(names.into_iter().map(Into::into));
        self
    }

    /// Sets what Kafka calls `name` for the topics that are made. What they were set to in the cluster is not known: no
    /// file of a log says it.
    pub fn config(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.insert(name.into(), value.into());
        self
    }

    /// How many bytes the records of one compressed batch may unpack to, to be looked at: 128 MiB by default. A larger one
    /// is imported unseen, or, in one of the old formats, counts as damaged.
    pub fn max_unpacked_bytes(mut self, bytes: usize) -> Self {
        self.max_unpacked_bytes = bytes;
        self
    }
}

/// What [`Admin::import`] brought.
///
/// ```
/// # use ottla::{Engine, ExportOptions, Admin, ImportOptions, Producer, ProducerRecord, export};
/// # let data = tempfile::tempdir().expect("a temporary directory");
/// # let (source, kafka) = (data.path().join("data"), data.path().join("kafka"));
/// # let engine = Engine::open(&source)?;
/// # Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
/// # engine.close()?;
/// # export(&source, &kafka, &ExportOptions::default())?;
/// let engine = Engine::in_memory()?;
/// let report = Admin::new(&engine).import(&kafka, &ImportOptions::default())?;
/// assert_eq!((report.records(), report.topics[0].name.as_str()), (1, "orders"));
/// assert!(report.is_complete());
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportReport {
    /// The topics, by name.
    pub topics: Vec<TopicImport>,
    /// The groups that have committed something for one of them, by name, and for how many partitions.
    pub groups: Vec<(String, usize)>,
    /// What could not be read, in the logs of the topics and of the groups.
    pub findings: Vec<Defect>,
    /// Records of groups that were passed over, and groups that can have no such name here: why, and how many.
    pub passed: Vec<(String, u64)>,
}

impl ImportReport {
    fn partitions(&self) -> impl Iterator<Item = &PartitionImport> {
        self.topics.iter().flat_map(|topic| &topic.partitions)
    }

    /// How many records were imported.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.partitions().map(|partition| partition.records).sum()
    }

    /// Whether all that was there was imported: nothing was damaged or passed over, no partition was missing, and no
    /// transaction was open. What transactions have aborted does not count.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let is_whole = |partition: &PartitionImport| !partition.is_missing && partition.open == 0;
        self.findings.is_empty() && self.passed.is_empty() && self.partitions().all(is_whole)
    }
}

/// A topic that was imported.
///
/// ```
/// # use ottla::{Admin, Engine, ExportOptions, ImportOptions, NewTopic, export};
/// # let data = tempfile::tempdir().expect("a temporary directory");
/// # let (source, kafka) = (data.path().join("data"), data.path().join("kafka"));
/// # let engine = Engine::open(&source)?;
/// # Admin::new(&engine).create_topic(NewTopic::new("orders").partitions(2))?;
/// # engine.close()?;
/// # export(&source, &kafka, &ExportOptions::default())?;
/// # let engine = Engine::in_memory()?;
/// let orders = Admin::new(&engine).import(&kafka, &ImportOptions::default())?.topics.remove(0);
/// assert_eq!((orders.name.as_str(), orders.partitions.len()), ("orders", 2));
/// assert_eq!(orders.id, Admin::new(&engine).list_topics()?[0].id); // a new one
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicImport {
    /// Its name.
    pub name: String,
    /// Its id here.
    pub id: TopicId,
    /// Its partitions, by number.
    pub partitions: Vec<PartitionImport>,
}

/// A partition that was imported.
///
/// ```
/// # use ottla::{Admin, Engine, ExportOptions, ImportOptions, Offset, Producer, ProducerRecord, export};
/// # let data = tempfile::tempdir().expect("a temporary directory");
/// # let (source, kafka) = (data.path().join("data"), data.path().join("kafka"));
/// # let engine = Engine::open(&source)?;
/// # Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
/// # engine.close()?;
/// # export(&source, &kafka, &ExportOptions::default())?;
/// # let engine = Engine::in_memory()?;
/// let orders = Admin::new(&engine).import(&kafka, &ImportOptions::default())?.topics.remove(0);
/// let partition = &orders.partitions[0];
/// assert_eq!((partition.log_start_offset, partition.log_end_offset), (Offset(0), Offset(1)));
/// assert_eq!((partition.records, partition.aborted, partition.open), (1, 0, 0));
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionImport {
    /// Which one it is.
    pub partition: TopicPartition,
    /// The first offset that can be read.
    pub log_start_offset: Offset,
    /// One past the last offset.
    pub log_end_offset: Offset,
    /// How many records were imported.
    pub records: u64,
    /// How many were left out because their transaction was aborted.
    pub aborted: u64,
    /// How many were left out because their transaction was open: nobody knows whether they will count.
    pub open: u64,
    /// Whether there was no such partition, so that an empty one was made.
    pub is_missing: bool,
}

impl Admin {
    /// Brings topics that a Kafka cluster has stored into the directory, with their records at the same offsets and what
    /// groups have committed of them. `path` is a `log.dir` of a broker, of any version, or the directory of one
    /// partition; it is read, and nothing in it is locked or changed. A broker should be stopped: what it is just writing
    /// looks torn.
    ///
    /// A topic gets as many partitions as its greatest number says. Of transactions only what was committed is imported.
    /// What is damaged costs no more than itself, and is told in the report. Offsets that hold nothing any more stay empty,
    /// and what is appended goes on where the log ended. Batches stay compressed as they are; messages of the formats v0
    /// and v1 become batches of v2. Groups' offsets are read from `__consumer_offsets` beside the topics.
    ///
    /// Blocks until everything is read, written and synced; no topic is created or deleted meanwhile, and closing the
    /// engine waits. A topic is there with all of it, or not at all: what an interrupted import has left is removed when
    /// the directory is opened next.
    ///
    /// # Errors
    /// [`Error::TopicAlreadyExists`], before anything is imported; [`Error::InvalidTopic`] if a name differs from another
    /// one's only in `.` and `_`; [`Error::UnknownTopicOrPartition`] and [`Error::GroupIdNotFound`] for a name that there is
    /// none of; [`Error::InvalidGroupId`] for a group that was named and can have no such name here;
    /// [`Error::CommitFailed`] while a group has a member; [`Error::IllegalArgument`] if `path` holds no log;
    /// [`Error::InvalidConfig`]; [`Error::Closed`]; [`Error::Io`] and [`Error::DiskFull`]. Topics that were imported before
    /// the one that failed stay.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Admin, Engine, ExportOptions, ImportOptions, Offset, Producer, ProducerRecord, export};
    /// # let data = tempfile::tempdir().expect("a temporary directory");
    /// # let (source, log_dir) = (data.path().join("data"), data.path().join("kafka"));
    /// # let engine = Engine::open(&source)?;
    /// # Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
    /// # engine.close()?;
    /// # export(&source, &log_dir, &ExportOptions::default())?;
    /// let engine = Engine::in_memory()?;
    /// let report = Admin::new(&engine).import(&log_dir, &ImportOptions::default())?; // such as /var/lib/kafka
    /// assert_eq!(report.records(), 1);
    /// assert_eq!(engine.end_offset(&("orders", 0).into())?, Offset(1));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn import(&self, path: impl AsRef<Path>, options: &ImportOptions) -> Result<ImportReport> {
        let path = path.as_ref();
        if path.is_file() {
            let what = "is a file: the log.dir of a broker is imported, or a partition's directory";
            return Err(Error::illegal_argument(format!("{} {what}", path.display())));
        }
        let archive = Archive::open(path)?;
        let topics = chosen_topics(&archive, options)?;
        for name in topics.keys() {
            self.engine.check_new_topic(name)?;
        }
        let mut report = ImportReport { findings: archive.findings().to_vec(), ..ImportReport::default() };
        let mut commits = read_commits(&archive, options, &mut report)?;
        report.passed.extend(groups_of_ours(path)?);
        let mut groups: BTreeMap<String, usize> = BTreeMap::new();
        for (name, logs) in topics {
            let commits = commits.remove(name).unwrap_or_default();
            let has_log = |commit: &ImportedCommit| logs.contains_key(&commit.partition);
            let commits: Vec<ImportedCommit> = commits.into_iter().filter(has_log).collect();
            let topic = self.import_topic(name, &logs, &commits, options, &mut report.findings)?;
            report.topics.push(topic);
            commits.into_iter().for_each(|commit| *groups.entry(commit.group).or_default() += 1);
        }
        report.groups = groups.into_iter().collect();
        Ok(report)
    }

    fn import_topic(
        &self,
        name: &str,
        logs: &BTreeMap<u32, &ArchivedLog>,
        commits: &[ImportedCommit],
        options: &ImportOptions,
        findings: &mut Vec<Defect>,
    ) -> Result<TopicImport> {
        let partitions = logs.last_key_value().map_or(1, |(number, _)| number.saturating_add(1));
        let new = ImportedTopic { name, partitions, overrides: &options.config, commits };
        let mut imported = Vec::new();
        let mut found = Vec::new();
        let topic = self.engine.import_topic(&new, &mut |number, place| {
            let partition = TopicPartition::new(name, number);
            let (done, written) = match logs.get(&number) {
                Some(log) => Copying::new(log, place, options, &mut found)?.run()?,
                None => {
                    let done = PartitionImport { is_missing: true, ..PartitionImport::begun(partition, Offset::ZERO) };
                    (done, place.begin(Offset::ZERO)?.finish(Offset::ZERO)?)
                }
            };
            imported.push(PartitionImport {
                log_start_offset: written.log_start,
                log_end_offset: written.log_end,
                ..done
            });
            Ok(written)
        })?;
        findings.append(&mut found);
        Ok(TopicImport { name: name.to_owned(), id: topic.id(), partitions: imported })
    }
}

impl PartitionImport {
    /// Nothing yet.
    fn begun(partition: TopicPartition, start: Offset) -> Self {
        let (log_start_offset, log_end_offset) = (start, start);
        let (records, aborted, open) = (0, 0, 0);
        Self { partition, log_start_offset, log_end_offset, records, aborted, open, is_missing: false }
    }
}

/// The logs of the topics that are imported, by name and number.
fn chosen_topics<'a>(
    archive: &'a Archive,
    options: &ImportOptions,
) -> Result<BTreeMap<&'a str, BTreeMap<u32, &'a ArchivedLog>>> {
    let mut topics: BTreeMap<&str, BTreeMap<u32, &ArchivedLog>> = BTreeMap::new();
    for log in archive.logs() {
        let (topic, number) = (log.partition().topic(), log.partition().partition());
        let is_chosen =
            if options.topics.is_empty() { !INTERNAL.contains(&topic) } else { options.topics.contains(topic) };
        if is_chosen {
            topics.entry(topic).or_default().insert(number, log);
        }
    }
    match options.topics.iter().find(|name| !topics.contains_key(name.as_str())) {
        Some(missing) => Err(Error::unknown_topic(missing)),
        None => Ok(topics),
    }
}

/// The groups of a directory of ottla's own, which keeps their offsets in files that are not imported.
fn groups_of_ours(path: &Path) -> Result<Option<(String, u64)>> {
    let Ok(directory) = Directory::open(path) else { return Ok(None) };
    let count = directory.groups()?.len() as u64;
    Ok((count > 0).then(|| ("groups of a directory of ottla's own keep their offsets there".to_owned(), count)))
}

/// What groups have committed, by topic.
fn read_commits(
    archive: &Archive,
    options: &ImportOptions,
    report: &mut ImportReport,
) -> Result<BTreeMap<String, Vec<ImportedCommit>>> {
    let mut stored = GroupCommits::default();
    for log in archive.logs().iter().filter(|log| log.partition().topic() == CONSUMER_OFFSETS) {
        for found in log.scan().max_unpacked_bytes(options.max_unpacked_bytes) {
            match found? {
                Scanned::Damage(defect) => report.findings.push(defect),
                Scanned::Batch(found) => {
                    if let Err(fault) = stored.take(log.partition().partition(), &found.batch) {
                        report.findings.push(defect(&found, &fault));
                    }
                }
            }
        }
    }
    if let Some(missing) = options.groups.iter().find(|name| stored.group(name).is_none()) {
        return Err(Error::GroupIdNotFound { group: missing.as_str().into() });
    }
    let mut commits: BTreeMap<String, Vec<ImportedCommit>> = BTreeMap::new();
    for (group, known) in stored.groups() {
        if known.commits.is_empty() || !(options.groups.is_empty() || options.groups.contains(group)) {
            continue;
        }
        match group_file_name(group) {
            Err(error) if options.groups.is_empty() => {
                report.passed.push((error.to_string(), known.commits.len() as u64));
                continue;
            }
            checked => drop(checked?),
        }
        for (partition, commit) in known.commits.iter().filter(|(_, commit)| commit.offset >= Offset::ZERO) {
            commits.entry(partition.topic().to_owned()).or_default().push(ImportedCommit {
                group: group.to_owned(),
                partition: partition.partition(),
                offset: commit.offset,
                metadata: commit.metadata.clone(),
                commit_timestamp: commit.commit_timestamp,
            });
        }
    }
    report.passed.extend(stored.skipped().map(|skipped| (skipped.reason.clone(), skipped.count)));
    Ok(commits)
}

/// What is wrong with a batch whose checksum holds.
fn defect(found: &StoredBatch, fault: &BatchFault) -> Defect {
    let kind = match fault {
        BatchFault::CodecNotCompiled { .. } => DefectKind::NotRead,
        _ => DefectKind::Damage,
    };
    let header = found.batch.header();
    let defect = Defect::new(kind, found.path(), fault.to_string());
    defect.at(found.position).of(header.base_offset, header.last_offset())
}

/// A log that is being copied.
struct Copying<'a, 'b> {
    log: &'a ArchivedLog,
    target: LogImport<'b>,
    options: &'a ImportOptions,
    findings: &'a mut Vec<Defect>,
    /// Looked for when the first batch of a transaction is met.
    transactions: Option<Transactions>,
    decompressor: Decompressor,
    done: PartitionImport,
}

impl<'a, 'b> Copying<'a, 'b> {
    fn new(
        log: &'a ArchivedLog,
        place: &NewLog<'b>,
        options: &'a ImportOptions,
        findings: &'a mut Vec<Defect>,
    ) -> Result<Self> {
        let start = log.log_start();
        let done = PartitionImport::begun(log.partition().clone(), start);
        let target = place.begin(start)?;
        let decompressor = Decompressor::default();
        Ok(Self { log, target, options, findings, transactions: None, decompressor, done })
    }

    fn run(mut self) -> Result<(PartitionImport, ImportedLog)> {
        let start = self.done.log_start_offset;
        let mut end = start;
        for found in self.log.scan().from(start).max_unpacked_bytes(self.options.max_unpacked_bytes) {
            match found? {
                Scanned::Batch(found) => {
                    end = end.max(found.batch.header().next_offset());
                    self.take(&found)?;
                }
                Scanned::Damage(defect) => {
                    // What a crash has torn is no part of the log.
                    if let (Some((_, last)), true) = (defect.offsets, defect.kind != DefectKind::Torn) {
                        end = end.max(last.next());
                    }
                    self.findings.push(defect);
                }
            }
        }
        Ok((self.done, self.target.finish(end)?))
    }

    fn take(&mut self, found: &StoredBatch) -> Result<()> {
        let header = found.batch.header();
        if header.is_control() {
            return Ok(());
        }
        if header.is_transactional() {
            let transactions = match &mut self.transactions {
                Some(known) => known,
                unknown => unknown.insert(Transactions::of(self.log.scan())?),
            };
            let (is_aborted, is_open) = (transactions.is_aborted(header), transactions.is_open(header));
            let records = u64::try_from(header.count).unwrap_or(0);
            self.done.aborted += if is_aborted { records } else { 0 };
            self.done.open += if is_open { records } else { 0 };
            if is_aborted || is_open {
                return Ok(());
            }
        }
        if !self.target.takes(header.base_offset) {
            let detail = format!("no batch can begin at offset {} here", header.base_offset);
            let defect = Defect::new(DefectKind::Damage, found.path(), detail).at(found.position);
            self.findings.push(defect.of(header.base_offset, header.last_offset()));
            return Ok(());
        }
        match self.count_records(&found.batch) {
            Ok(records) => {
                self.target.append(&found.batch)?;
                self.done.records += records;
            }
            Err(fault) => self.findings.push(defect(found, &fault)),
        }
        Ok(())
    }

    /// Reads all records once: their batch's checksum says nothing of what is in them. The first batch may begin below the
    /// log start; those records do not count.
    fn count_records(&mut self, batch: &Batch) -> Result<u64, BatchFault> {
        let header = *batch.header();
        let unpacked = batch.clone().unpack_with(&mut self.decompressor, self.options.max_unpacked_bytes);
        let unpacked = match unpacked {
            // It goes over as it is, and whoever has the codec, or the room, reads it.
            Err(BatchFault::CodecNotCompiled { .. } | BatchFault::Oversized { .. }) if header.magic == MAGIC => {
                return Ok(u64::try_from(header.count).unwrap_or(0));
            }
            unpacked => unpacked?,
        };
        let (mut count, mut last) = (0, None);
        for (index, record) in (0..).zip(unpacked.records()?) {
            let offset = record?.offset();
            // These become records of a batch, which number them by how far they lie apart.
            if header.magic != MAGIC && last.replace(offset).is_some_and(|last| last >= offset) {
                return Err(BatchFault::BadRecord { index, reason: "its offset does not lie behind the one before" });
            }
            count += u64::from(offset >= self.done.log_start_offset);
        }
        Ok(count)
    }
}
