//! Looks at every file of a directory, and says what is wrong with it.
//!
//! | what is named                        | is held to                                                              |
//! |--------------------------------------|-------------------------------------------------------------------------|
//! | a directory of ours                  | all rules of ours; logs, journals, `positions` and checkpoints to each other |
//! | a `log.dir` of a Kafka broker        | the rules of Kafka's formats                                            |
//! | the directory of a partition, or a segment in it | what lies around it: the catalog, or the checkpoints beside it |
//!
//! Of what has no content of its own (`LOCK`, `.lock`, `reserve`, `quarantine`) only that it is a file or a directory,
//! and `reserve` of its size. Not looked at: what is only history (journals' generations before), and directories that
//! are put aside (`-stray`, `-delete`, `-future`), which are told of.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::coordinator::group::{Group, OFFSETS_SUFFIX};
use crate::error::{Error, Result};
use crate::io::{Dir, Kind};
use crate::record::Batch;
use crate::replay::target::{Target, open};
use crate::storage::{
    BehindHole, CLEAN_SHUTDOWN, CLEANED, Defect, DefectKind, HIGH_WATERMARKS, Journal, JournalDamage, JournalFinding,
    LOG_STARTS, LogDirFacts, LogFacts, LogVerdict, META_PROPERTIES, OurLog, POSITIONS, PREVIOUS, PartitionDirKind,
    Positions, PositionsByLog, PositionsDamage, PositionsFinding, RECOVERY_POINTS, RESERVE, RESERVE_BYTES, Seen,
    confirmed, parse_group_file_name, parse_partition_dir, partition_dir_name, read_clean_shutdown,
    read_meta_properties, read_offsets, read_partition_metadata, verify_log,
};
use crate::sync::{Scheduler, Signal, Threads, in_parallel, parallelism};
use crate::topics::{CATALOG, Catalog, Change, TopicEntry};
use crate::types::{LeaderEpoch, Offset, TopicId, TopicPartition};

/// How [`verify`] goes about it.
///
/// ```
/// # use ottla::{Engine, VerifyOptions, verify};
/// # let data = tempfile::tempdir().expect("a temporary directory");
/// # Engine::open(data.path())?.close()?;
/// let options = VerifyOptions::default().threads(1).max_unpacked_bytes(1 << 20);
/// assert!(verify(data.path(), &options)?.is_clean());
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct VerifyOptions {
    threads: usize,
    max_unpacked_bytes: usize,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        Self { threads: parallelism(), max_unpacked_bytes: Batch::DEFAULT_UNPACKED_LIMIT }
    }
}

impl VerifyOptions {
    /// How many partitions are looked at at a time; by default as many as the machine runs threads.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// How many bytes the records of one compressed batch may unpack to, 128 MiB by default; each thread takes up to
    /// twice that. A batch of more counts as damaged.
    pub fn max_unpacked_bytes(mut self, bytes: usize) -> Self {
        self.max_unpacked_bytes = bytes;
        self
    }
}

/// What [`verify`] found, and how much it has looked at.
///
/// ```
/// # use ottla::{Engine, Producer, ProducerRecord, VerifyOptions, verify};
/// # let data = tempfile::tempdir().expect("a temporary directory");
/// let engine = Engine::open(data.path())?;
/// Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
/// engine.close()?;
/// let report = verify(data.path(), &VerifyOptions::default())?;
/// assert!(report.is_clean() && report.iter().next().is_none());
/// assert_eq!((report.partitions(), report.segments(), report.records()), (1, 1, 1));
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    defects: Vec<Defect>,
    partitions: u64,
    seen: Seen,
}

impl VerifyReport {
    /// What is wrong, by file.
    pub fn iter(&self) -> impl Iterator<Item = &Defect> {
        self.defects.iter()
    }

    /// Whether there is nothing to say.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.defects.is_empty()
    }

    /// How many partitions were looked at.
    #[must_use]
    pub fn partitions(&self) -> u64 {
        self.partitions
    }

    /// How many segments.
    #[must_use]
    pub fn segments(&self) -> u64 {
        self.seen.segments
    }

    /// How many batches were whole.
    #[must_use]
    pub fn batches(&self) -> u64 {
        self.seen.batches
    }

    /// How many records they hold, markers of transactions included.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.seen.records
    }

    /// How many bytes the segments have together, but for what a crash has torn.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.seen.bytes
    }
}

/// Checks a directory of topics, a `log.dir` of a Kafka broker, the directory of a partition, or one segment: every
/// batch with its records, every index, every journal and small file. Changes nothing, and takes no lock: an engine may
/// be at work there, and what it is just writing is no defect.
///
/// Blocks until everything is read, on as many threads as the options say; they have ended when it returns.
///
/// What looks torn in a directory that was not closed cleanly is looked at several times, 20 ms apart, before it
/// counts. Of a broker's log it says where offsets are missing, unless the cleaner's checkpoint names the log.
///
/// # Errors
/// [`Error::IllegalArgument`] if it is nothing of the kind; [`Error::Io`] if it cannot be listed. What cannot be read
/// further down is a defect of the kind [`Unreadable`](crate::DefectKind::Unreadable).
///
/// # Examples
/// ```
/// # use ottla::{DefectKind, Engine, Producer, ProducerRecord, VerifyOptions, verify};
/// # let data = tempfile::tempdir().expect("a temporary directory");
/// let engine = Engine::open(data.path())?;
/// Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
/// assert!(verify(data.path(), &VerifyOptions::default())?.is_clean()); // while it is open
/// engine.close()?;
///
/// let segment = data.path().join("log/orders-0/00000000000000000000.log");
/// let mut bytes = std::fs::read(&segment)?;
/// bytes[65] ^= 1;
/// std::fs::write(&segment, bytes)?;
/// let report = verify(data.path(), &VerifyOptions::default())?;
/// for defect in report.iter() {
///     println!("{defect}"); // data/log/orders-0/00000000000000000000.log: 0: 0 to 0: damage: the checksum is ...
/// }
/// assert!(report.iter().any(|defect| defect.kind == DefectKind::Damage && defect.path == segment));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn verify(path: impl AsRef<Path>, options: &VerifyOptions) -> Result<VerifyReport> {
    let target = Target::of(path.as_ref())?;
    let (log_dir, root) = target.around();
    let open = |path: Option<PathBuf>| path.and_then(|path| open(&path).ok());
    run(&target, Surroundings::of(open(root), open(log_dir), pause), options)
}

/// The same of a directory of ours that is open already. Where the caller keeps writers out, nothing is half done, and
/// nothing is waited for.
pub(crate) fn verify_dir(root: &Arc<dyn Dir>, options: &VerifyOptions, is_locked: bool) -> Result<VerifyReport> {
    let pause = if is_locked { || {} } else { pause };
    let around = Surroundings::of(Some(Arc::clone(root)), root.dir("log").ok(), pause);
    run(&Target::Ours(root.path().to_owned()), around, options)
}

fn run(target: &Target, surroundings: Surroundings, options: &VerifyOptions) -> Result<VerifyReport> {
    let mut verification =
        Verification { options, report: VerifyReport::default(), surroundings, epochs: BTreeMap::new() };
    verification.run(target)?;
    let mut report = verification.report;
    report.defects.sort_by(|one, other| (&one.path, one.position).cmp(&(&other.path, other.position)));
    Ok(report)
}

/// What lies around, and says what is to be expected: read once, before any log.
struct Surroundings {
    root: Option<Arc<dyn Dir>>,
    log_dir: Option<Arc<dyn Dir>>,
    /// Lets a writer that may be there get on.
    pause: fn(),
    said: LogDirFacts,
    /// `None` if there is no catalog that can be read.
    catalog: Option<Catalog>,
    positions: PositionsByLog,
    defects: Vec<Defect>,
}

impl Surroundings {
    fn of(root: Option<Arc<dyn Dir>>, log_dir: Option<Arc<dyn Dir>>, pause: fn()) -> Self {
        let mut around = Self {
            root,
            log_dir,
            pause,
            said: LogDirFacts::default(),
            catalog: None,
            positions: PositionsByLog::new(),
            defects: Vec::new(),
        };
        if let Some(log_dir) = &around.log_dir {
            around.said = LogDirFacts::read(log_dir.as_ref());
        }
        if let Some(root) = around.root.clone() {
            around.read_positions(root.as_ref());
            around.read_catalog(root.as_ref());
        }
        around
    }

    fn read_positions(&mut self, root: &dyn Dir) {
        let path = root.path().join(POSITIONS);
        let was_clean = self.said.was_clean;
        let look = || match Positions::inspect(root) {
            Ok((_, findings)) => findings.iter().map(|finding| of_positions(finding, was_clean)).collect(),
            Err(error) if error.is_not_found() => vec![Defect::new(DefectKind::Damage, &path, "it is missing")],
            Err(error) => vec![Defect::from_error(&error, &path)],
        };
        self.defects.extend(confirmed(!was_clean, &self.pause, look));
        if let Ok((positions, _)) = Positions::inspect(root) {
            self.positions = positions;
        }
    }

    fn read_catalog(&mut self, root: &dyn Dir) {
        let was_clean = self.said.was_clean;
        let look = || match Journal::inspect(root, CATALOG, was_clean, BehindHole::Drop) {
            Ok((payloads, findings)) => {
                let mut found = of_journal(root, CATALOG, Ok(findings), was_clean);
                if payloads.iter().any(|payload| Change::decode(payload).is_none()) {
                    let detail = "it has a frame that this version does not know";
                    found.push(Defect::new(DefectKind::NotRead, root.path().join(CATALOG), detail));
                }
                found
            }
            Err(error) => of_journal(root, CATALOG, Err(error), was_clean),
        };
        self.defects.extend(confirmed(!was_clean, &self.pause, look));
        self.catalog = catalog_now(root, was_clean);
    }

    /// Whether the catalog names the partition now, as the same topic's as before; it may have been deleted meanwhile.
    fn is_still_there(&self, partition: &TopicPartition) -> bool {
        let (Some(root), Some(before)) = (&self.root, self.entry(partition)) else { return true };
        let now = catalog_now(root.as_ref(), self.said.was_clean);
        now.is_none_or(|now| now.topics().any(|entry| entry.id == before.id))
    }

    fn entry(&self, partition: &TopicPartition) -> Option<&TopicEntry> {
        let mut topics = self.catalog.as_ref()?.topics();
        topics.find(|entry| *entry.name == *partition.topic() && partition.partition() < entry.partitions)
    }

    /// What is known of a log.
    fn facts(&self, partition: Option<&TopicPartition>, only: Option<Offset>, options: &VerifyOptions) -> LogFacts {
        let entry = partition.and_then(|partition| self.entry(partition).map(|entry| (entry, partition)));
        let position = entry.and_then(|(entry, partition)| self.positions.get(&(entry.id, partition.partition())));
        let ours = entry.zip(self.catalog.as_ref()).map(|((entry, _), catalog)| OurLog {
            topic_id: entry.id,
            epoch: catalog.epoch(),
            log_start: position.map(|position| position.log_start),
        });
        let durable_end = match ours {
            Some(_) => position.map(|position| position.durable_end),
            None => partition.and_then(|partition| self.said.recovery_points.get(partition)).copied(),
        };
        LogFacts {
            ours,
            foreign: partition.map(|partition| self.said.of(partition)).unwrap_or_default(),
            was_clean: self.said.was_clean,
            durable_end,
            only,
            unpacked_limit: options.max_unpacked_bytes,
        }
    }
}

/// The catalog as it is now; `None` if there is none, or it has lost something: it does not say what is to be expected.
fn catalog_now(root: &dyn Dir, was_clean: bool) -> Option<Catalog> {
    let (payloads, findings) = Journal::inspect(root, CATALOG, was_clean, BehindHole::Drop).ok()?;
    if findings.iter().any(JournalFinding::is_rot) {
        return None;
    }
    let mut catalog = Catalog::default();
    for payload in payloads {
        catalog.apply(Change::decode(&payload)?);
    }
    Some(catalog)
}

/// One run.
struct Verification<'a> {
    options: &'a VerifyOptions,
    report: VerifyReport,
    surroundings: Surroundings,
    /// The latest leader epoch of each log.
    epochs: BTreeMap<TopicPartition, LeaderEpoch>,
}

impl Verification<'_> {
    fn run(&mut self, target: &Target) -> Result<()> {
        match target {
            Target::Segment(dir, partition, base) => {
                let facts = self.surroundings.facts(partition.as_ref(), Some(*base), self.options);
                self.take(verify_log(&open(dir)?, &facts, &self.surroundings.pause)?);
            }
            Target::Partition(dir, partition) => {
                let facts = self.surroundings.facts(Some(partition), None, self.options);
                self.take(verify_log(&open(dir)?, &facts, &self.surroundings.pause)?);
            }
            Target::LogDir(dir) => {
                let log_dir = open(dir)?;
                self.verify_log_dir(&log_dir)?;
            }
            Target::Ours(root) => {
                self.report.defects.append(&mut self.surroundings.defects);
                self.check_root();
                match self.surroundings.log_dir.clone() {
                    Some(log_dir) => {
                        let ends = self.verify_log_dir(&log_dir)?;
                        self.check_positions(&ends);
                        self.check_groups(&ends);
                    }
                    None => {
                        let what = "there is no such directory, and with it no record";
                        self.report.defects.push(Defect::new(DefectKind::Damage, root.join("log"), what));
                    }
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, verdict: LogVerdict) {
        let LogVerdict { defects, seen, .. } = verdict;
        self.report.defects.extend(defects);
        self.report.partitions += 1;
        self.report.seen.segments += seen.segments;
        self.report.seen.batches += seen.batches;
        self.report.seen.records += seen.records;
        self.report.seen.bytes += seen.bytes;
    }

    fn confirm(&mut self, look: impl Fn(&Surroundings) -> Vec<Defect>) {
        let around = &self.surroundings;
        let found = confirmed(!around.said.was_clean, &around.pause, || look(around));
        self.report.defects.extend(found);
    }

    /// What has no content that means anything: `LOCK`, `reserve`, `quarantine`. `LOCK` is not even opened: closing it
    /// would take the lock away from an engine of this process.
    fn check_root(&mut self) {
        self.confirm(|around| {
            let Some(root) = &around.root else { return Vec::new() };
            let mut found = Vec::new();
            let mut check = |dir: &dyn Dir, name: &str, expected: Kind| match dir.kind(name) {
                Ok(Some(kind)) if kind != expected => {
                    let detail = format!("it is {kind}, and not {expected}");
                    found.push(Defect::new(DefectKind::Name, dir.path().join(name), detail));
                }
                Ok(_) => {}
                Err(error) => found.push(Defect::from_error(&error, &dir.path().join(name))),
            };
            check(root.as_ref(), "LOCK", Kind::File);
            check(root.as_ref(), RESERVE, Kind::File);
            check(root.as_ref(), "quarantine", Kind::Dir);
            if let Some(log_dir) = &around.log_dir {
                check(log_dir.as_ref(), ".lock", Kind::File);
            }
            if let Ok(len) = root.open(RESERVE).and_then(|file| file.len())
                && len != RESERVE_BYTES as u64
            {
                let detail = format!("it has {len} bytes in place of {RESERVE_BYTES}");
                found.push(Defect::new(DefectKind::Cache, root.path().join(RESERVE), detail));
            }
            found
        });
    }

    /// Checks the directory of all partitions, and says where each ends.
    fn verify_log_dir(&mut self, log_dir: &Arc<dyn Dir>) -> Result<BTreeMap<TopicPartition, Offset>> {
        log_dir.list()?; // or there is nothing to say
        self.confirm(|around| names(log_dir.as_ref(), around));
        self.confirm(|around| small_files(log_dir.as_ref(), around));
        let entries = log_dir.list()?.into_iter().filter(|entry| entry.is_dir);
        let partitions: Vec<TopicPartition> = entries
            .filter_map(|entry| parse_partition_dir(&entry.name).filter(|(_, kind)| *kind == PartitionDirKind::Live))
            .map(|(partition, _)| partition)
            .filter(|partition| self.surroundings.catalog.is_none() || self.surroundings.entry(partition).is_some())
            .collect();
        let (around, options) = (&self.surroundings, self.options);
        let verdicts = in_parallel(&partitions, options.threads, |partition| {
            let dir = log_dir.dir(&partition_dir_name(partition))?;
            verify_log(&dir, &around.facts(Some(partition), None, options), &around.pause)
        });
        let mut ends = BTreeMap::new();
        for (partition, verdict) in partitions.into_iter().zip(verdicts) {
            match verdict {
                Ok(verdict) if verdict.defects.is_empty() || self.surroundings.is_still_there(&partition) => {
                    if let Some(epoch) = verdict.epoch {
                        self.epochs.insert(partition.clone(), epoch);
                    }
                    if let Some(end) = verdict.log_end {
                        ends.insert(partition, end);
                    }
                    self.take(verdict);
                }
                Ok(_) => {} // its topic was deleted
                Err(error) if error.is_not_found() && !self.surroundings.said.was_clean => {}
                Err(error) => {
                    let path = log_dir.path().join(partition_dir_name(&partition));
                    self.report.defects.push(Defect::from_error(&error, &path));
                }
            }
        }
        self.check_recovery_points(log_dir.as_ref(), &ends);
        Ok(ends)
    }

    /// After a clean shutdown the checkpoint says where each log ends.
    fn check_recovery_points(&mut self, log_dir: &dyn Dir, ends: &BTreeMap<TopicPartition, Offset>) {
        let around = &self.surroundings;
        if !around.said.was_clean {
            return;
        }
        let path = log_dir.path().join(RECOVERY_POINTS);
        let wrong = around.said.recovery_points.iter().find_map(|(partition, point)| {
            let Some(end) = ends.get(partition) else {
                let is_strange = around.catalog.is_some() && around.entry(partition).is_none();
                return is_strange.then(|| format!("it names {partition}, which there is not"));
            };
            let is_ours = around.entry(partition).is_some();
            let is_wrong = point > end || is_ours && point != end;
            is_wrong.then(|| format!("it says {point} of {partition}, which ends at {end}"))
        });
        let missing = || {
            let mut ours = ends.keys().filter(|partition| around.entry(partition).is_some());
            let missing = ours.find(|partition| !around.said.recovery_points.contains_key(partition))?;
            let is_damaged = !matches!(read_offsets(log_dir, RECOVERY_POINTS), Ok(Some(_)));
            (!is_damaged).then(|| format!("it lacks {missing}"))
        };
        if let Some(detail) = wrong.or_else(missing) {
            self.report.defects.push(Defect::new(DefectKind::Damage, path, detail));
        }
    }

    /// Of a directory that was closed cleanly `positions` and the logs say the same.
    fn check_positions(&mut self, ends: &BTreeMap<TopicPartition, Offset>) {
        let around = &self.surroundings;
        let Some(root) = around.root.as_ref().filter(|_| around.said.was_clean) else { return };
        let path = root.path().join(POSITIONS);
        if self.report.defects.iter().any(|defect| defect.path == path) {
            return;
        }
        let wrong = ends.iter().find_map(|(partition, end)| {
            let entry = around.entry(partition)?;
            match around.positions.get(&(entry.id, partition.partition())) {
                None => Some(format!("it lacks {partition}")),
                Some(position) if position.durable_end != *end => {
                    Some(format!("it says {} of {partition}, which ends at {end}", position.durable_end))
                }
                Some(_) => None,
            }
        });
        if let Some(detail) = wrong {
            self.report.defects.push(Defect::new(DefectKind::Damage, path, detail));
        }
    }

    fn check_groups(&mut self, ends: &BTreeMap<TopicPartition, Offset>) {
        let Some(root) = self.surroundings.root.clone() else { return };
        let path = root.path().join("groups");
        let listed = root.dir("groups").and_then(|dir| dir.list().map(|entries| (dir, entries)));
        let (dir, entries) = match listed {
            Ok(listed) => listed,
            Err(error) if error.is_not_found() => {
                return self.report.defects.push(Defect::new(DefectKind::Damage, path, "it is missing"));
            }
            Err(error) => return self.report.defects.push(Defect::from_error(&error, &path)),
        };
        let mut files = BTreeSet::new();
        for entry in entries {
            let name = entry.name.strip_suffix(PREVIOUS).unwrap_or(&entry.name);
            let group = name.strip_suffix(OFFSETS_SUFFIX).filter(|_| !entry.is_dir);
            match group.and_then(parse_group_file_name) {
                Some(group) => drop(files.insert((name.to_owned(), group))),
                None => {
                    let defect = Defect::new(DefectKind::Name, path.join(&entry.name), "it belongs to no group");
                    self.confirm(|_| dir.open(&entry.name).map_or_else(|_gone| Vec::new(), |_| vec![defect.clone()]));
                }
            }
        }
        let epochs = std::mem::take(&mut self.epochs);
        // What was committed in an earlier epoch a crash may have taken since: such an offset is read as where its
        // epoch ends.
        let is_lost = |partition: &TopicPartition, offset: Offset, epoch: LeaderEpoch| {
            let is_behind = ends.get(partition).filter(|end| offset > **end);
            is_behind.filter(|_| epochs.get(partition).is_none_or(|latest| epoch >= *latest)).copied()
        };
        for (file, group) in files {
            self.confirm(|around| group_defects(dir.as_ref(), &file, &group, around, &is_lost));
        }
    }
}

/// How long a writer is given to get on.
const PAUSE: Duration = Duration::from_millis(20);

fn pause() {
    let (threads, signal) = (Threads::new(), Signal::default());
    let seen = signal.seen();
    threads.park(&signal, seen, Some(threads.now() + PAUSE));
}

/// What is wrong with the names in a directory of partitions.
fn names(log_dir: &dyn Dir, around: &Surroundings) -> Vec<Defect> {
    let path = |name: &str| log_dir.path().join(name);
    let defect = |name: &str, detail: &str| Defect::new(DefectKind::Name, path(name), detail);
    let entries = match log_dir.list() {
        Ok(entries) => entries,
        Err(error) => return vec![Defect::from_error(&error, log_dir.path())],
    };
    let now = around.root.as_ref().filter(|_| around.catalog.is_some());
    let now = now.and_then(|root| catalog_now(root.as_ref(), around.said.was_clean));
    let has = |catalog: &Catalog, partition: &TopicPartition| {
        let mut topics = catalog.topics();
        topics.any(|entry| *entry.name == *partition.topic() && partition.partition() < entry.partitions)
    };
    let mut found = Vec::new();
    for entry in &entries {
        let name = entry.name.as_str();
        if !entry.is_dir {
            if matches!(parse_partition_dir(name), Some((_, PartitionDirKind::Live))) {
                found.push(defect(name, "it is named like a partition, and is no directory"));
            }
            if name.ends_with(".tmp") {
                found.push(defect(name, "an interrupted change has left it behind"));
            }
            continue;
        }
        match parse_partition_dir(name) {
            None if name == "remote-log-index-cache" || (name == "lost+found" && around.catalog.is_some()) => {}
            None => found.push(defect(name, "it is no partition, and a broker does not start with it")),
            Some((_, PartitionDirKind::Delete)) => {
                found.push(defect(name, "a deletion that is under way, or was not finished"))
            }
            Some((_, PartitionDirKind::Future)) => {
                found.push(defect(name, "a move that is under way, or was not finished"))
            }
            Some((_, PartitionDirKind::Stray)) => {
                found.push(defect(name, "put aside, since it belonged to no topic; its content is not looked at"));
            }
            Some((partition, PartitionDirKind::Live)) => {
                if around.entry(&partition).is_none() && now.as_ref().is_some_and(|now| !has(now, &partition)) {
                    // Another id is another attempt to create it, by somebody who is at it.
                    let id = log_dir.dir(name).and_then(|dir| read_partition_metadata(dir.as_ref())).ok().flatten();
                    let id = id.map_or_else(String::new, |id| format!(", whose topic id is {id}"));
                    found.push(defect(name, &format!("the catalog has no such partition{id}")));
                }
            }
        }
    }
    // Those that were there before the directory was listed and still are.
    let topics = now.iter().flat_map(Catalog::topics);
    let is_old = |partition: &TopicPartition| around.entry(partition).is_some() && around.is_still_there(partition);
    for partition in topics.flat_map(partitions_of).filter(is_old) {
        let name = partition_dir_name(&partition);
        if !entries.iter().any(|entry| entry.is_dir && entry.name == name) {
            found.push(Defect::new(DefectKind::Damage, path(&name), "the partition's directory is missing"));
        }
    }
    found
}

fn partitions_of(entry: &TopicEntry) -> impl Iterator<Item = TopicPartition> {
    (0..entry.partitions).map(|partition| TopicPartition::new(Arc::clone(&entry.name), partition))
}

/// What is wrong with the small files of a directory of partitions.
fn small_files(log_dir: &dyn Dir, around: &Surroundings) -> Vec<Defect> {
    let is_ours = around.catalog.is_some();
    let mut found = Vec::new();
    let mut check = |name: &str, is_there: Result<bool>, is_needed: bool| {
        let path = log_dir.path().join(name);
        match is_there {
            Ok(true) => {}
            Ok(false) if is_needed => found.push(Defect::new(DefectKind::Damage, path, "it is missing")),
            Ok(false) => {}
            Err(error) => found.push(Defect::from_error(&error, &path)),
        }
    };
    for name in [RECOVERY_POINTS, LOG_STARTS] {
        check(name, read_offsets(log_dir, name).map(|read| read.is_some()), is_ours && around.said.was_clean);
    }
    for name in [HIGH_WATERMARKS, CLEANED] {
        check(name, read_offsets(log_dir, name).map(|read| read.is_some()), false);
    }
    let properties = read_meta_properties(log_dir).and_then(|properties| match properties {
        Some(properties) if is_ours && !properties.is_complete() => {
            Err(Error::corrupt_file(&log_dir.path().join(META_PROPERTIES), 0, "it lacks some of its ids"))
        }
        properties => Ok(properties.is_some()),
    });
    check(META_PROPERTIES, properties, is_ours);
    let marker = read_clean_shutdown(log_dir).and_then(|content| {
        let is_fine = content.as_deref().is_none_or(|content| is_marker(content, is_ours));
        let flaw = || Error::corrupt_file(&log_dir.path().join(CLEAN_SHUTDOWN), 0, "it is not what Kafka writes");
        if is_fine { Ok(true) } else { Err(flaw()) }
    });
    check(CLEAN_SHUTDOWN, marker, false);
    found
}

/// Whether that is what a clean shutdown writes: JSON, or nothing before Kafka 3.7.
fn is_marker(content: &[u8], is_ours: bool) -> bool {
    let Some(rest) = content.strip_prefix(br#"{"version":0,"brokerEpoch":"#) else {
        return content.is_empty() && !is_ours;
    };
    let Some(number) = rest.strip_suffix(b"}") else { return false };
    let epoch = std::str::from_utf8(number).ok().and_then(|text| text.parse::<i64>().ok());
    if is_ours { epoch == Some(-1) } else { epoch.is_some() }
}

/// What is wrong with the journal of a group.
fn group_defects(
    dir: &dyn Dir,
    file: &str,
    group: &str,
    around: &Surroundings,
    is_lost: &dyn Fn(&TopicPartition, Offset, LeaderEpoch) -> Option<Offset>,
) -> Vec<Defect> {
    let was_clean = around.said.was_clean;
    let read = Journal::inspect(dir, file, was_clean, BehindHole::Keep);
    let (payloads, findings) = match read {
        Ok((payloads, findings)) => (payloads, Ok(findings)),
        Err(error) if error.is_not_found() => return Vec::new(), // its owner has deleted the group since it was listed
        Err(error) => (Vec::new(), Err(error)),
    };
    let mut found = of_journal(dir, file, findings, was_clean);
    let path = dir.path().join(file);
    let offsets = Group::new(group);
    for payload in payloads {
        if let Err(bad) = offsets.apply(&payload) {
            found.push(Defect::new(DefectKind::NotRead, &path, bad.to_string()));
            return found;
        }
    }
    if !was_clean {
        return found; // what it has committed may be newer than what was seen of the log, or be clamped
    }
    let topics = around.catalog.iter().flat_map(Catalog::topics);
    let by_id: BTreeMap<TopicId, &TopicEntry> = topics.map(|entry| (entry.id, entry)).collect();
    for entry in offsets.entries() {
        let Some(topic) = by_id.get(&entry.topic_id) else { continue };
        let partition = TopicPartition::new(Arc::clone(&topic.name), entry.partition);
        if let Some(end) = is_lost(&partition, entry.offset, entry.leader_epoch) {
            let detail = format!("it has committed {} of {partition}, which ends at {end}", entry.offset);
            found.push(Defect::new(DefectKind::Damage, &path, detail));
        }
    }
    found
}

/// What an inspection of the journal `name` says.
fn of_journal(dir: &dyn Dir, name: &str, read: Result<Vec<JournalFinding>>, was_clean: bool) -> Vec<Defect> {
    let path = dir.path().join(name);
    let findings = match read {
        Ok(findings) => findings,
        Err(error) if error.is_not_found() => return vec![Defect::new(DefectKind::Damage, path, "it is missing")],
        Err(error) => return vec![Defect::from_error(&error, &path)],
    };
    let defects = findings.into_iter().map(|finding| {
        let unfinished = if was_clean { DefectKind::Damage } else { DefectKind::Torn };
        let (kind, detail) = match finding.damage {
            JournalDamage::HalfRenamed => (unfinished, "its renaming was cut short; it is whole".to_owned()),
            JournalDamage::Outdated => {
                (DefectKind::Damage, "the file is gone; this generation before lacks what came since".to_owned())
            }
            JournalDamage::Header => (DefectKind::Damage, "one copy of the header is damaged".to_owned()),
            JournalDamage::BadFrame => (DefectKind::Damage, format!("{} bytes are no frame", finding.bytes)),
            JournalDamage::MissingFrames => (DefectKind::Damage, "frames are missing".to_owned()),
            JournalDamage::Hole { behind, .. } => {
                (unfinished, format!("{} bytes are no frame, and {behind} frames follow", finding.bytes))
            }
            JournalDamage::TornTail => (unfinished, format!("the last {} bytes are no frame", finding.bytes)),
        };
        Defect::new(kind, finding.path, detail).at(finding.position)
    });
    defects.collect()
}

fn of_positions(finding: &PositionsFinding, was_clean: bool) -> Defect {
    let (kind, detail) = match finding.damage {
        PositionsDamage::Header => (DefectKind::Damage, "the header is damaged"),
        PositionsDamage::Half if was_clean => (DefectKind::Damage, "half of a slot is damaged; the other one holds"),
        PositionsDamage::Half => (DefectKind::Torn, "half of a slot is torn; the other one holds"),
        PositionsDamage::Slot => (DefectKind::Damage, "a slot is damaged"),
        PositionsDamage::Double => (DefectKind::Damage, "it is a second slot of the same log"),
        PositionsDamage::TooLong => (DefectKind::Damage, "the rest of the file is no part of it"),
    };
    Defect::new(kind, &finding.path, detail).at(finding.position)
}
