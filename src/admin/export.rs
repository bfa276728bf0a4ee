//! Hands topics over to a Kafka cluster: writes a `log.dir` whose partitions a broker takes over, and what goes with it.
//!
//! The cluster makes the topics, and with them ids and directories of its own; then its brokers are stopped, the
//! partitions' files are put in the place of the empty ones, and the brokers are started. `docs/kafka.md` has the steps.
//! So what is written here is the most that files can bring: the logs as [`storage`](crate::storage) writes them for
//! that, the checkpoints of a clean shutdown, and the groups' offsets as a table.
//!
//! | a crash during | leaves | and the next run |
//! |---|---|---|
//! | writing | `<target>.unfinished`, in part | removes it, and begins again |
//! | the renaming | that, or the target, whole | the same, or finds that the target is not empty |

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::engine::{Engine, EngineConfig};
use crate::error::{Error, Result};
use crate::io::{self, Dir, Disk, Kind, Lock, OsDisk};
use crate::replay::{Directory, StoredTopic, is_ours};
use crate::storage::{
    CLEAN_SHUTDOWN, CLEANED, Finding, HIGH_WATERMARKS, LOG_STARTS, LogExport, META_PROPERTIES, MetaProperties,
    PartitionDirKind, RECOVERY_POINTS, TopicConfig, has_clean_shutdown, parse_partition_dir, partition_dir_name,
    read_meta_properties, write_clean_shutdown, write_meta_properties, write_offsets, write_partition_metadata,
};
use crate::topics::remove_dir;
use crate::types::{Offset, TopicId, TopicPartition};

/// What the table of the groups' offsets is called.
const OFFSETS: &str = "group-offsets.csv";
/// What is put behind the target's name while it is being written.
const UNFINISHED: &str = ".unfinished";

/// What [`export`] takes: everything, unless topics or groups are named.
///
/// ```
/// # use ottla::{Admin, Engine, ExportOptions, NewTopic, export};
/// # let data = tempfile::tempdir().expect("a temporary directory");
/// # let (source, target) = (data.path().join("data"), data.path().join("out"));
/// let engine = Engine::open(&source)?;
/// Admin::new(&engine).create_topic(NewTopic::new("orders"))?;
/// Admin::new(&engine).create_topic(NewTopic::new("clicks"))?;
/// engine.close()?;
/// let report = export(&source, &target, &ExportOptions::default().topics(["orders"]))?;
/// assert_eq!(report.topics.len(), 1);
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct ExportOptions {
    topics: BTreeSet<String>,
    groups: BTreeSet<String>,
}

impl ExportOptions {
    /// Takes these topics, besides those that were named before. Without any, all.
    pub fn topics(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.topics.extend(names.into_iter().map(Into::into));
        self
    }

    /// Takes the offsets of these groups, besides those that were named before. Without any, of all.
    pub fn groups(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.groups.extend(names.into_iter().map(Into::into));
        self
    }
}

/// What [`export`] wrote.
///
/// ```
/// # use ottla::{Engine, ExportOptions, Producer, ProducerRecord, export};
/// # let data = tempfile::tempdir().expect("a temporary directory");
/// # let (source, target) = (data.path().join("data"), data.path().join("out"));
/// let engine = Engine::open(&source)?;
/// Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
/// engine.close()?;
/// let report = export(&source, &target, &ExportOptions::default())?;
/// assert_eq!((report.records(), report.topics[0].name.as_str()), (1, "orders"));
/// assert!(report.shared_bytes() <= report.bytes());
/// assert_eq!(report.group_offsets, None); // no group has committed anything
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportReport {
    /// The directory that was written.
    pub path: PathBuf,
    /// The topics, by name.
    pub topics: Vec<ExportedTopic>,
    /// The groups that have committed something for one of them, by name, and for how many partitions.
    pub groups: Vec<(String, usize)>,
    /// The table of their offsets, in it; `None` if there are no groups.
    pub group_offsets: Option<PathBuf>,
    /// What opening the directory found and mended first, if it was not closed cleanly.
    pub recovered: Vec<Finding>,
}

impl ExportReport {
    fn partitions(&self) -> impl Iterator<Item = &ExportedPartition> {
        self.topics.iter().flat_map(|topic| &topic.partitions)
    }

    /// How many records were written.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.partitions().map(|partition| partition.records).sum()
    }

    /// How many bytes of batches.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.partitions().map(|partition| partition.bytes).sum()
    }

    /// How many of these bytes take no room, since they are links to the segments of the source, or share their blocks.
    #[must_use]
    pub fn shared_bytes(&self) -> u64 {
        self.partitions().map(|partition| partition.shared_bytes).sum()
    }
}

/// A topic that was exported.
///
/// ```
/// # use ottla::{Admin, Engine, ExportOptions, NewTopic, export};
/// # let data = tempfile::tempdir().expect("a temporary directory");
/// # let (source, target) = (data.path().join("data"), data.path().join("out"));
/// let engine = Engine::open(&source)?;
/// let made = Admin::new(&engine).create_topic(NewTopic::new("orders").config("segment.ms", "3600000"))?;
/// engine.close()?;
/// let orders = export(&source, &target, &ExportOptions::default())?.topics.remove(0);
/// assert_eq!((orders.id, orders.config["segment.ms"].as_str()), (made.id, "3600000"));
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportedTopic {
    /// Its name.
    pub name: String,
    /// Its id, which is in `partition.metadata`; the cluster gives the topic that it makes another one.
    pub id: TopicId,
    /// The settings that differ from the defaults, by Kafka's names.
    pub config: BTreeMap<String, String>,
    /// Its partitions, by number.
    pub partitions: Vec<ExportedPartition>,
}

/// A partition that was exported.
///
/// ```
/// # use ottla::{Engine, ExportOptions, Offset, Producer, ProducerRecord, export};
/// # let data = tempfile::tempdir().expect("a temporary directory");
/// # let (source, target) = (data.path().join("data"), data.path().join("out"));
/// let engine = Engine::open(&source)?;
/// Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
/// engine.close()?;
/// let partition = export(&source, &target, &ExportOptions::default())?.topics.remove(0).partitions.remove(0);
/// assert_eq!((partition.log_start_offset, partition.log_end_offset), (Offset(0), Offset(1)));
/// assert_eq!((partition.records, partition.segments), (1, 1));
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportedPartition {
    /// Which one it is.
    pub partition: TopicPartition,
    /// The first offset that can be read.
    pub log_start_offset: Offset,
    /// One past the last offset.
    pub log_end_offset: Offset,
    /// How many records there are: fewer than offsets where a repair has put empty batches in the place of lost ones.
    pub records: u64,
    /// How many segments.
    pub segments: u64,
    /// How many bytes of batches.
    pub bytes: u64,
    /// How many of these take no room of their own.
    pub shared_bytes: u64,
}

/// Writes what a Kafka cluster needs to take topics over: the directory `target`, a `log.dir` with their partitions, and
/// in it `group-offsets.csv`, which `kafka-consumer-groups --reset-offsets --from-file` reads. The steps that are left to
/// do are told in `docs/kafka.md`.
///
/// The directory `path` has to be closed; its lock is held meanwhile. One that was not closed cleanly is opened first, as
/// any engine would, which mends what the crash left. Nothing else in it changes. All batches are read and checked. They
/// stay as they are but for the leader epoch, which becomes 0.
///
/// Segments may share their place on the disk with those of `path`, where the file system can do that: as clones, or as
/// links. Copy the directory to where a broker has its own, and change neither owner nor permissions in place.
///
/// Blocks until everything is written and synced. Nothing is called `target` before it is whole; what an interrupted
/// run has left is called `<target>.unfinished`, and the next one removes it.
///
/// # Errors
/// [`Error::IllegalArgument`] if `path` is no directory of topics, or `target` is there and not an empty directory;
/// [`Error::UnknownTopicOrPartition`] and [`Error::GroupIdNotFound`] for a name that there is none of;
/// [`Error::DirectoryLocked`] while an engine has `path` open; [`Error::CorruptBatch`] and [`Error::CorruptFile`] where
/// something is damaged: [`repair`](crate::repair) comes first, so that what is lost is known; [`Error::IllegalState`]
/// while a transaction is open; [`Error::Io`] and [`Error::DiskFull`]. After any of them there is no `target`.
///
/// # Examples
/// ```
/// # use ottla::{Engine, ExportOptions, Producer, ProducerRecord, export};
/// # let data = tempfile::tempdir().expect("a temporary directory");
/// # let (source, target) = (data.path().join("data"), data.path().join("out"));
/// let engine = Engine::open(&source)?;
/// Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
/// engine.close()?;
/// let report = export(&source, &target, &ExportOptions::default())?;
/// assert_eq!(report.records(), 1);
/// assert!(target.join("orders-0/00000000000000000000.log").is_file());
/// assert!(export(&source, &target, &ExportOptions::default()).is_err()); // it is there already
/// # Ok::<(), ottla::Error>(())
/// ```
pub fn export(path: impl AsRef<Path>, target: impl AsRef<Path>, options: &ExportOptions) -> Result<ExportReport> {
    let (path, target) = (path.as_ref(), target.as_ref());
    let reading = EngineConfig::default().reading();
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::open(path, false, &reading)?);
    let unusable = || Error::illegal_argument(format!("{} cannot be the name of a directory", target.display()));
    let name = target.file_name().and_then(|name| name.to_str()).ok_or_else(unusable)?;
    let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let parent = OsDisk::open(parent, false, &reading)?.root();
    if let (Ok(inner), Ok(outer)) = (parent.path().canonicalize(), path.canonicalize())
        && inner.starts_with(outer)
    {
        let reason = format!("{} lies in {}, which only its engine writes to", target.display(), path.display());
        return Err(Error::illegal_argument(reason));
    }
    export_disk(&disk, &parent, name, options)
}

/// The same of any disk, as the directory `name` in `parent`.
pub(super) fn export_disk(
    disk: &Arc<dyn Disk>,
    parent: &Arc<dyn Dir>,
    name: &str,
    options: &ExportOptions,
) -> Result<ExportReport> {
    let root = disk.root();
    let names = root.names()?;
    if !is_ours(|name| names.iter().any(|other| other == name)) {
        let path = root.path().display();
        return Err(Error::illegal_argument(format!("{path} is no directory of topics")));
    }
    refuse_taken(parent.as_ref(), name)?;
    let (_locks, recovered) = lock_closed(disk)?;
    let directory = Directory::on(Arc::clone(disk))?;
    if let Some(finding) = directory.report()?.iter().next() {
        let path = if let Finding::State { path, .. } = finding { path.as_path() } else { root.path() };
        return Err(Error::corrupt_file(path, 0, finding.to_string()));
    }
    let topics = chosen_topics(&directory, options)?;
    let groups = chosen_groups(&directory, options, &topics)?;

    let unfinished = format!("{name}{UNFINISHED}");
    let (beside, held) = begin(parent, &unfinished)?;
    let export = Export { disk, beside: &beside, topics: &topics, groups: &groups };
    let written = export.write().and_then(|report| {
        beside.remove(LOCK)?;
        beside.sync()?; // all of it, before it gets the name that says so
        parent.rename(&unfinished, name)?;
        parent.sync()?;
        Ok(report)
    });
    drop(held);
    match written {
        Ok(mut report) => {
            report.path = parent.path().join(name);
            report.group_offsets = (!groups.is_empty()).then(|| report.path.join(OFFSETS));
            report.recovered = recovered;
            Ok(report)
        }
        Err(error) => {
            if let Err(left) = remove_dir(parent.as_ref(), &unfinished) {
                log::warn!("{left}; the next export removes it");
            }
            Err(error)
        }
    }
}

/// Kafka's lock of a `log.dir`: held while one is written, so that neither a broker nor another export takes it.
const LOCK: &str = ".lock";

fn refuse_taken(parent: &dyn Dir, name: &str) -> Result<()> {
    let is_free = match parent.kind(name)? {
        None => true,
        Some(Kind::Dir) => parent.dir(name)?.names()?.is_empty(),
        Some(_) => false,
    };
    if is_free {
        return Ok(());
    }
    let path = parent.path().join(name);
    Err(Error::illegal_argument(format!("{} is there already, and it is no empty directory", path.display())))
}

/// Whether a run writes something of that name.
fn is_written(name: &str) -> bool {
    let files = [CLEAN_SHUTDOWN, CLEANED, HIGH_WATERMARKS, LOCK, LOG_STARTS, META_PROPERTIES, OFFSETS, RECOVERY_POINTS];
    files.contains(&name.strip_suffix(".tmp").unwrap_or(name))
        || matches!(parse_partition_dir(name), Some((_, PartitionDirKind::Live)))
}

/// Makes the directory to write in, without what an interrupted run has left there.
fn begin(parent: &Arc<dyn Dir>, name: &str) -> Result<(Arc<dyn Dir>, Box<dyn Lock>)> {
    if let Some(Kind::Dir) = parent.kind(name)? {
        let left = parent.dir(name)?;
        let names = left.names()?;
        if !names.iter().all(|name| is_written(name)) {
            let reason = format!("{} is in the way, and not left over from an export", left.path().display());
            return Err(Error::illegal_argument(reason));
        }
        if names.iter().any(|name| name == LOCK) {
            drop(left.lock(LOCK, "")?); // refused while another export is at work there
        }
        remove_dir(parent.as_ref(), name)?;
    }
    let beside = parent.create_dir(name)?;
    let held = beside.lock(LOCK, "")?;
    Ok((beside, held))
}

/// The engine's lock, and Kafka's.
type Locks = Vec<Box<dyn Lock>>;

/// Locks a directory, after opening and closing it if that was not done; and what this has found.
fn lock_closed(disk: &Arc<dyn Disk>) -> Result<(Locks, Vec<Finding>)> {
    let root = disk.root();
    let take = || {
        let owner = format!("process {}, which exports it", std::process::id());
        let mut locks = vec![root.lock("LOCK", &owner)?];
        if let Ok(log_dir) = root.dir("log") {
            locks.push(log_dir.lock(LOCK, "")?);
            if has_clean_shutdown(log_dir.as_ref())? {
                return Ok(Some(locks));
            }
        }
        Ok::<_, Error>(None)
    };
    if let Some(locks) = take()? {
        return Ok((locks, Vec::new()));
    }
    let engine = Engine::start(Arc::clone(disk), EngineConfig::default(), TopicConfig::default())?;
    let found = engine.report().iter().cloned().collect();
    engine.close()?;
    let busy = || Error::DirectoryLocked { directory: root.path().to_owned(), owner: "another process".into() };
    Ok((take()?.ok_or_else(busy)?, found))
}

fn chosen_topics(directory: &Directory, options: &ExportOptions) -> Result<Vec<StoredTopic>> {
    let names: BTreeSet<String> = match &options.topics {
        none if none.is_empty() => directory.topics()?.into_iter().map(|topic| topic.name).collect(),
        some => some.clone(),
    };
    names.iter().map(|name| directory.topic(name)).collect()
}

/// What a group has committed for the topics that are exported.
struct Group {
    name: String,
    offsets: Vec<(TopicPartition, Offset)>,
}

fn chosen_groups(directory: &Directory, options: &ExportOptions, topics: &[StoredTopic]) -> Result<Vec<Group>> {
    let names: BTreeSet<String> = match &options.groups {
        none if none.is_empty() => directory.groups()?.into_iter().map(|group| group.group).collect(),
        some => some.clone(),
    };
    let mut groups = Vec::new();
    for name in names {
        let described = directory.group(&name)?;
        let rows = described.partitions.into_iter();
        let rows = rows.filter(|row| topics.iter().any(|topic| topic.name == *row.partition.topic()));
        // Where a consumer would go on, which is not behind a cut nor before the log start.
        let offset = |lag: u64, end: Offset| Offset(end.0.saturating_sub(i64::try_from(lag).unwrap_or(i64::MAX)));
        let offsets = rows.filter_map(|row| Some((row.partition, offset(row.lag?.records, row.high_watermark))));
        let offsets: Vec<_> = offsets.collect();
        if !offsets.is_empty() {
            groups.push(Group { name, offsets });
        }
    }
    Ok(groups)
}

/// One run.
struct Export<'a> {
    disk: &'a Arc<dyn Disk>,
    beside: &'a Arc<dyn Dir>,
    topics: &'a [StoredTopic],
    groups: &'a [Group],
}

impl Export<'_> {
    fn write(&self) -> Result<ExportReport> {
        let root = self.disk.root();
        let log_dir = root.dir("log")?;
        let mut report = ExportReport::default();
        let mut holes = BTreeMap::new();
        for topic in self.topics {
            let config = TopicConfig::builder().set_all(&topic.config)?.build()?;
            let mut partitions = Vec::new();
            for stored in &topic.partitions {
                let name = partition_dir_name(&stored.partition);
                let target = self.beside.create_dir(&name)?;
                write_partition_metadata(target.as_ref(), topic.id)?;
                let (log_start_offset, log_end_offset) = (stored.bounds.log_start_offset, stored.bounds.durable_end);
                let log = LogExport {
                    dir: log_dir.dir(&name)?,
                    name: &stored.partition,
                    log_start: log_start_offset,
                    log_end: log_end_offset,
                    epoch: stored.bounds.leader_epoch,
                    index_interval_bytes: config.index_interval_bytes(),
                };
                let written = log.write(&target)?;
                if written.has_holes {
                    holes.insert(stored.partition.clone(), log_start_offset);
                }
                partitions.push(ExportedPartition {
                    partition: stored.partition.clone(),
                    log_start_offset,
                    log_end_offset,
                    records: written.records,
                    segments: written.segments,
                    bytes: written.bytes,
                    shared_bytes: written.shared_bytes,
                });
            }
            let (name, config) = (topic.name.clone(), topic.config.clone());
            report.topics.push(ExportedTopic { name, id: topic.id, config, partitions });
        }
        self.write_checkpoints(&report)?;
        if !holes.is_empty() {
            // Else Kafka's tools take them for a loss. Its cleaner, if it comes to it, begins at the log start.
            write_offsets(self.beside.as_ref(), CLEANED, &holes)?;
        }
        let mut table = String::new();
        for group in self.groups {
            for (partition, offset) in &group.offsets {
                let (topic, number) = (partition.topic(), partition.partition());
                writeln!(table, "{},{topic},{number},{offset}", quoted(&group.name)?).expect("a string takes all");
            }
            report.groups.push((group.name.clone(), group.offsets.len()));
        }
        if !table.is_empty() {
            io::replace(self.beside.as_ref(), OFFSETS, table.as_bytes())?;
        }
        let properties = read_meta_properties(log_dir.as_ref())?.unwrap_or_default();
        let directory_id = Some(TopicId::from_random(self.disk.random()).to_string());
        write_meta_properties(self.beside.as_ref(), &MetaProperties { directory_id, ..properties })?;
        write_clean_shutdown(self.beside.as_ref())?;
        Ok(report)
    }

    fn write_checkpoints(&self, report: &ExportReport) -> Result<()> {
        let ends = report.partitions().map(|each| (each.partition.clone(), each.log_end_offset)).collect();
        let starts = report.partitions().map(|each| (each.partition.clone(), each.log_start_offset));
        let starts = starts.filter(|(_, start)| *start > Offset::ZERO).collect();
        write_offsets(self.beside.as_ref(), RECOVERY_POINTS, &ends)?;
        write_offsets(self.beside.as_ref(), HIGH_WATERMARKS, &ends)?;
        write_offsets(self.beside.as_ref(), LOG_STARTS, &starts)
    }
}

/// A field of the table, in quotes where it needs them.
fn quoted(group: &str) -> Result<String> {
    if group.contains(['\n', '\r']) {
        let reason = format!("group {group:?} cannot stand in a table of lines: leave it out by naming the others");
        return Err(Error::illegal_argument(reason));
    }
    let needs_quotes = group.contains([',', '"', ' ', '#']);
    Ok(if needs_quotes { format!("\"{}\"", group.replace('"', "\"\"")) } else { group.to_owned() })
}
