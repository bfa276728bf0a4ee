//! Stored logs, whoever wrote them, as they lie there: to be gone through and nothing else.
//!
//! An archive is what a path names: a directory of topics, a `log.dir` of any Kafka broker, a partition's directory, or
//! one segment. Nothing is locked, nothing is written. Of a directory of topics no more is read than its owner has made
//! visible; in everything else what is told by the files, see [`ForeignLog`].
//!
//! Names are told by the directories, and files are opened when they are read. A topic of ours may be deleted meanwhile,
//! and another one may get its name: so before and behind each segment the topic's id has to be the same.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::io::{Dir, Disk, MemoryDisk, OsDisk, Reading, read_small};
use crate::record::Batch;
use crate::replay::directory::Directory;
use crate::replay::scan::Scan;
use crate::replay::target::{Target, open};
use crate::storage::{
    AbortedTransaction, Check, Defect, DefectKind, ForeignLog, LOG_STARTS, LogDirFacts, PartitionDirKind, SWAPPED,
    Segment, Step, parse_partition_dir, parse_segment_name, partition_dir_name, segment_behind,
};
use crate::sync::{Scheduler, parallelism};
use crate::types::{Offset, ReadMode, TopicId, TopicPartition};

/// The log of a cluster's own metadata: only by its own path.
const CLUSTER_METADATA: &str = "__cluster_metadata";
/// How many segments are open, or mapped, at a time.
const MAX_OPEN_SEGMENTS: u32 = 128;
/// More than any transaction index that was ever seen.
const INDEX_LIMIT: u64 = 64 << 20;
/// How much is mapped at a time, with [`ReadMode::Mmap`].
const MAX_MAPPED_BYTES: u64 = 8 << 30;

/// Stored logs at a path. Clones share them.
///
/// What is there when it is opened is what is read: segments that come later are not.
///
/// ```
/// # use ottla::{Engine, Offset, Producer, ProducerRecord};
/// use ottla::replay::Archive;
/// # let data = tempfile::tempdir().expect("a temporary directory");
/// # let engine = Engine::open(data.path())?;
/// # Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
/// # let path = data.path();
/// let archive = Archive::open(path)?; // or a broker's log.dir, or a partition's directory, or a segment
/// let orders = archive.log(&("orders", 0).into())?;
/// assert_eq!((orders.log_start(), orders.segments()), (Offset(0), 1));
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone)]
pub struct Archive {
    path: PathBuf,
    scheduler: Arc<dyn Scheduler>,
    logs: Vec<ArchivedLog>,
    findings: Vec<Defect>,
    /// Whether a second thread may read: there is one, and something to read.
    reads_ahead: bool,
}

/// One log of an [`Archive`]. Clones share it.
///
/// ```
/// # use ottla::{Engine, MemoryDisk, Producer, ProducerRecord};
/// # use ottla::replay::Archive;
/// # let disk = MemoryDisk::new();
/// # let engine = Engine::builder().open_memory(&disk)?;
/// # Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
/// for log in Archive::open_memory(&disk)?.logs() {
///     assert_eq!(log.partition(), &("orders", 0).into());
///     assert!(log.size_bytes() > 61);
/// }
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone)]
pub struct ArchivedLog {
    inner: Arc<Inner>,
}

struct Inner {
    partition: TopicPartition,
    dir: Arc<dyn Dir>,
    segments: Vec<Arc<Segment>>,
    facts: ForeignLog,
    was_clean: bool,
    owner: Option<(Directory, TopicId)>,
    /// What is wrong with what the files around it say.
    defect: Option<Defect>,
    /// What is missing before its first segment.
    front: Option<Defect>,
}

impl Archive {
    /// Opens what `path` names, whoever has it open: see the type. Reads names, and the small files that say where logs
    /// begin and end; records are read when they are asked for.
    ///
    /// # Errors
    /// [`Error::IllegalArgument`] if it is nothing of the kind; [`Error::Io`] if it is not there, or cannot be listed; of
    /// a directory of topics also as for [`Directory::open`].
    ///
    /// # Examples
    /// ```
    /// # use ottla::Error;
    /// # use ottla::replay::Archive;
    /// # let empty = tempfile::tempdir().expect("a temporary directory");
    /// assert!(matches!(Archive::open(empty.path()), Err(Error::IllegalArgument { .. })));
    /// assert!(matches!(Archive::open(empty.path().join("nowhere")), Err(Error::Io { .. })));
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, ReadMode::Buffered)
    }

    /// The same, and says how segments are read: those that nobody writes any more may be read from maps.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Engine, Producer, ProducerRecord, ReadMode};
    /// # use ottla::replay::Archive;
    /// # let data = tempfile::tempdir().expect("a temporary directory");
    /// # let engine = Engine::open(data.path())?;
    /// # Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
    /// # engine.close()?;
    /// let archive = Archive::open_with(data.path(), ReadMode::Mmap)?;
    /// assert_eq!(archive.logs()[0].scan().count(), 1);
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn open_with(path: impl AsRef<Path>, mode: ReadMode) -> Result<Self> {
        let archive = Self::at(path.as_ref(), mode)?;
        Ok(Self { reads_ahead: mode == ReadMode::Buffered && parallelism() > 1, ..archive })
    }

    fn at(path: &Path, mode: ReadMode) -> Result<Self> {
        let reading = Reading { mode, max_open_segments: MAX_OPEN_SEGMENTS, max_mapped_bytes: MAX_MAPPED_BYTES };
        let disk = |path: &Path| -> Result<Arc<dyn Disk>> { Ok(Arc::new(OsDisk::open(path, false, &reading)?)) };
        let target = Target::of(path)?;
        let (log_dir, root) = target.around();
        if let Some(root) = root {
            let disk = disk(&root)?;
            return Self::ours(path, &disk, &target);
        }
        let facts = match log_dir.filter(|log_dir| log_dir.is_dir()) {
            Some(log_dir) => LogDirFacts::read(open(&log_dir)?.as_ref()),
            None => LogDirFacts::default(),
        };
        let findings = facts.defect.iter().cloned().collect();
        let (disk, logs) = match target {
            Target::Ours(_) => return Err(Error::illegal_argument(format!("{} has no topics", path.display()))),
            Target::LogDir(dir) => return Self::of_log_dir(path, &disk(&dir)?),
            Target::Partition(dir, partition) => {
                let disk = disk(&dir)?;
                let log = ArchivedLog::foreign(partition, disk.root(), None, &facts)?;
                (disk, vec![log])
            }
            Target::Segment(dir, partition, base) => {
                let disk = disk(&dir)?;
                let name = || dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                let partition = partition.unwrap_or_else(|| TopicPartition::new(name(), 0));
                let log = ArchivedLog::foreign(partition, disk.root(), Some(base), &facts)?;
                (disk, vec![log])
            }
        };
        Ok(Self { path: path.to_owned(), scheduler: disk.scheduler(), logs, findings, reads_ahead: false })
    }

    /// The directory of topics on a disk in memory.
    ///
    /// # Errors
    /// As [`Directory::open_memory`].
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Engine, MemoryDisk};
    /// # use ottla::replay::Archive;
    /// # let disk = MemoryDisk::new();
    /// Engine::builder().open_memory(&disk)?.close()?;
    /// assert!(Archive::open_memory(&disk)?.logs().is_empty());
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn open_memory(disk: &MemoryDisk) -> Result<Self> {
        let disk = disk.disk();
        let root = disk.root().path().to_owned();
        Self::ours(&root, &disk, &Target::Ours(root.clone()))
    }

    /// A broker's `log.dir`, the root of a disk.
    pub(super) fn of_log_dir(path: &Path, disk: &Arc<dyn Disk>) -> Result<Self> {
        let root = disk.root();
        let facts = LogDirFacts::read(root.as_ref());
        let mut logs = Vec::new();
        let (live, strange) = live_partitions(root.as_ref())?;
        let findings = facts.defect.iter().cloned().chain(strange).collect();
        for partition in live {
            let dir = root.dir(&partition_dir_name(&partition))?;
            logs.push(ArchivedLog::foreign(partition, dir, None, &facts)?);
        }
        Ok(Self { path: path.to_owned(), scheduler: disk.scheduler(), logs, findings, reads_ahead: false })
    }

    /// A directory of topics, or a part of one.
    fn ours(path: &Path, disk: &Arc<dyn Disk>, target: &Target) -> Result<Self> {
        let directory = Directory::on(Arc::clone(disk))?;
        let (only, base) = match target {
            Target::Ours(_) | Target::LogDir(_) => (None, None),
            Target::Partition(_, partition) => (Some(partition), None),
            Target::Segment(_, Some(partition), base) => (Some(partition), Some(*base)),
            Target::Segment(_, None, _) => return Err(unnamed(path)),
        };
        let was_clean = directory.was_closed()?;
        let mut logs = Vec::new();
        for topic in directory.topics()? {
            for number in 0..topic.partitions {
                let partition = TopicPartition::new(topic.name.as_str(), number);
                if only.is_some_and(|only| *only != partition) {
                    continue;
                }
                let id = directory.topic_id(&partition)?;
                let known = directory.look(id, &partition)?;
                let facts = ForeignLog {
                    log_start: known.log_start,
                    recovery_point: Some(known.durable_end),
                    end: Some(known.high_watermark),
                    least_end: Some(known.high_watermark),
                    begins: None,
                    next_segment: None,
                    is_dense: true,
                    is_ours: true,
                };
                let dir = directory.partition_dir(id, &partition)?;
                let owner = Some((directory.clone(), id));
                logs.push(ArchivedLog::new(partition, dir, base, facts, was_clean, owner)?);
            }
        }
        if logs.is_empty() && only.is_some() {
            return Err(unnamed(path));
        }
        Ok(Self { path: path.to_owned(), scheduler: disk.scheduler(), logs, findings: Vec::new(), reads_ahead: false })
    }

    /// What was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its logs, by topic and partition. Directories that a broker has put aside (`-delete`, `-stray`, `-future`) are
    /// none, nor is the log of a cluster's own metadata, which is read by its own path.
    #[must_use]
    pub fn logs(&self) -> &[ArchivedLog] {
        &self.logs
    }

    /// What is wrong beside the logs, so that some of what is there may not be seen, or some of what was deleted.
    #[must_use]
    pub fn findings(&self) -> &[Defect] {
        &self.findings
    }

    /// The log of one partition.
    ///
    /// # Errors
    /// [`Error::UnknownTopicOrPartition`] if there is none.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Engine, Error, MemoryDisk};
    /// # use ottla::replay::Archive;
    /// # let disk = MemoryDisk::new();
    /// # Engine::builder().open_memory(&disk)?.close()?;
    /// let orders = Archive::open_memory(&disk)?.log(&("orders", 0).into());
    /// assert!(matches!(orders, Err(Error::UnknownTopicOrPartition { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn log(&self, partition: &TopicPartition) -> Result<ArchivedLog> {
        let found = self.logs.iter().find(|log| log.partition() == partition);
        found.cloned().ok_or_else(|| Error::unknown_topic(partition))
    }

    pub(super) fn reads_ahead(&self) -> bool {
        self.reads_ahead
    }

    pub(super) fn scheduler(&self) -> &Arc<dyn Scheduler> {
        &self.scheduler
    }
}

impl ArchivedLog {
    fn foreign(
        partition: TopicPartition,
        dir: Arc<dyn Dir>,
        only: Option<Offset>,
        facts: &LogDirFacts,
    ) -> Result<Self> {
        let said = facts.of(&partition).in_dir(dir.as_ref());
        Self::new(partition, dir, only, said, facts.was_clean, None)
    }

    fn new(
        partition: TopicPartition,
        dir: Arc<dyn Dir>,
        only: Option<Offset>,
        facts: ForeignLog,
        was_clean: bool,
        owner: Option<(Directory, TopicId)>,
    ) -> Result<Self> {
        let segments = segments(&dir, only, owner.is_none())?;
        let mut facts = facts;
        let names = if only.is_some() { dir.names()? } else { Vec::new() };
        if let Some(next) = only.and_then(|only| segment_behind(names.iter().map(String::as_str), only)) {
            facts.next_segment = Some(facts.end.map_or(next, |end| end.min(next)));
        }
        let first = segments.first().map(|segment| segment.base_offset());
        let front = facts.missing_front(first).filter(|_| only.is_none()).map(|(from, to)| {
            let detail = "there is no segment that has them";
            Defect::new(DefectKind::Damage, dir.path(), detail).of(from, to)
        });
        let sealed = if was_clean { segments.len() } else { segments.len().saturating_sub(1) };
        segments.iter().take(sealed).for_each(|segment| segment.seal());
        let defect = if owner.is_none() { wild_log_start(&dir, &segments, &facts) } else { None };
        if defect.is_some() {
            facts.log_start = Offset::ZERO;
        }
        Ok(Self { inner: Arc::new(Inner { partition, dir, segments, facts, was_clean, owner, defect, front }) })
    }

    /// Which partition it is; by the name of its directory.
    #[must_use]
    pub fn partition(&self) -> &TopicPartition {
        &self.inner.partition
    }

    /// Where its files are.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.inner.dir.path()
    }

    /// How many segments there are.
    #[must_use]
    pub fn segments(&self) -> usize {
        self.inner.segments.len()
    }

    /// How many bytes its segments have.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.inner.segments.iter().map(|segment| segment.end()).sum()
    }

    /// The first offset that is not deleted, as far as the files around it say.
    #[must_use]
    pub fn log_start(&self) -> Offset {
        let missing = self.inner.front.as_ref().and_then(|front| front.offsets);
        let first = self.inner.segments.first().map_or(Offset::ZERO, |segment| segment.base_offset());
        self.inner.facts.log_start.max(missing.map_or(first, |(from, _)| from))
    }

    /// Goes through all that stands in its files, batch by batch, with what is damaged, in the order of the offsets.
    ///
    /// ```
    /// # use ottla::{Engine, MemoryDisk, Offset, Producer, ProducerRecord};
    /// # use ottla::replay::{Archive, Scanned};
    /// # let disk = MemoryDisk::new();
    /// # let engine = Engine::builder().open_memory(&disk)?;
    /// # Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
    /// for found in Archive::open_memory(&disk)?.logs()[0].scan() {
    ///     match found? {
    ///         Scanned::Batch(stored) => assert_eq!(stored.batch.header().base_offset, Offset(0)),
    ///         Scanned::Damage(defect) => println!("{defect}"),
    ///         _ => {} // what a later version may find
    ///     }
    /// }
    /// # Ok::<(), ottla::Error>(())
    /// ```
    #[must_use]
    pub fn scan(&self) -> Scan {
        Scan::new(self.clone())
    }

    pub(super) fn segment(&self, index: usize) -> Option<&Arc<Segment>> {
        self.inner.segments.get(index)
    }

    pub(super) fn defect(&self) -> Option<&Defect> {
        self.inner.defect.as_ref()
    }

    /// What is missing before its first segment.
    pub(super) fn front(&self) -> Option<&Defect> {
        self.inner.front.as_ref()
    }

    pub(super) fn facts(&self) -> &ForeignLog {
        &self.inner.facts
    }

    pub(super) fn was_clean(&self) -> bool {
        self.inner.was_clean
    }

    /// Whether only what its owner has made visible may be read.
    pub(super) fn bound(&self) -> Option<Offset> {
        self.inner.owner.as_ref().and(self.inner.facts.end)
    }

    /// The last segment that begins at or below `offset`, or else the first.
    pub(super) fn segment_of(&self, offset: Offset) -> usize {
        self.inner.segments.partition_point(|segment| segment.base_offset() <= offset).saturating_sub(1)
    }

    /// What the transaction indexes say; those that cannot be read say nothing.
    pub(super) fn aborted_transactions(&self) -> Vec<AbortedTransaction> {
        let mut aborted = Vec::new();
        let mut names = self.inner.dir.names().unwrap_or_default();
        names.retain(|name| parse_segment_name(name).is_some_and(|(_, end)| end == "txnindex")); // also of lost segments
        for name in names {
            let content = self.inner.dir.open(&name).and_then(|file| read_small(file.as_ref(), INDEX_LIMIT));
            let (entries, _) = content.as_deref().unwrap_or_default().as_chunks();
            aborted.extend(entries.iter().filter_map(AbortedTransaction::decode));
        }
        aborted
    }

    /// Whether offsets that are missing at `position` may have been in segments whose transaction indexes are gone, too.
    pub(super) fn lacks_index(&self, first: Offset, last: Offset, position: Option<u64>) -> bool {
        let is_in_file = self
            .segment(self.segment_of(first))
            .is_some_and(|segment| position.is_some_and(|position| position < segment.end()));
        let names = self.inner.dir.names().unwrap_or_default();
        let is_left = |name: &String| {
            parse_segment_name(name).is_some_and(|(base, end)| end.ends_with("index") && base >= first && base <= last)
        };
        !is_in_file && self.inner.owner.is_none() && !names.iter().any(is_left)
    }

    /// Makes sure that the files are still this topic's.
    ///
    /// # Errors
    /// [`Error::UnknownTopicId`] if it was deleted.
    pub(super) fn check_owner(&self) -> Result<()> {
        match &self.inner.owner {
            Some((directory, id)) => directory.partition_dir(*id, &self.inner.partition).map(drop),
            None => Ok(()),
        }
    }
}

/// The segments in a directory, in the order of their offsets.
///
/// A broker's cleaner writes `.cleaned` files, renames them to `.swap`, the last one first, puts the segments that they
/// replace aside, and takes `.swap` away. Where a crash has interrupted that, those that were renamed before all were, are
/// none yet; else they have the place of all that begins where they have offsets.
fn segments(dir: &Arc<dyn Dir>, only: Option<Offset>, is_foreign: bool) -> Result<Vec<Arc<Segment>>> {
    let (mut segments, mut swapped, mut least_cleaned) = (Vec::new(), Vec::new(), None);
    for entry in dir.list()?.into_iter().filter(|entry| !entry.is_dir) {
        let Some((base, extension)) = parse_segment_name(&entry.name) else { continue };
        match extension {
            "log" if only.is_none_or(|only| only == base) => {
                segments.push(Segment::at(dir, base, entry.len, false, 0));
            }
            SWAPPED if only.is_none() && is_foreign => swapped.push(Segment::swapped_in(dir, base, entry.len)),
            _ if extension.ends_with(".cleaned") => {
                least_cleaned = Some(least_cleaned.map_or(base, |least: Offset| least.min(base)))
            }
            _ => {}
        }
    }
    swapped.retain(|swapped| least_cleaned.is_none_or(|least| swapped.base_offset() < least));
    let mut replaced: Option<(Offset, Offset)> = None;
    for segment in &swapped {
        let (from, to) = replaced.unwrap_or((segment.base_offset(), segment.base_offset()));
        replaced = Some((from.min(segment.base_offset()), to.max(end_of(segment)?)));
    }
    if let Some((from, to)) = replaced {
        segments.retain(|segment| segment.base_offset() < from || segment.base_offset() >= to);
        segments.append(&mut swapped);
    }
    segments.sort_unstable_by_key(Segment::base_offset);
    Ok(segments.into_iter().map(Arc::new).collect())
}

/// That the checkpoint of log starts is not believed, since the log ends before what it says: it has no checksum.
fn wild_log_start(dir: &Arc<dyn Dir>, segments: &[Arc<Segment>], facts: &ForeignLog) -> Option<Defect> {
    let last = segments.last()?;
    let known = facts.end.max(facts.least_end).unwrap_or_default().max(last.base_offset());
    // One that cannot be read ends nobody knows where, and is told of when it is read.
    if facts.log_start <= known || end_of(last).map_or(true, |end| facts.log_start <= end) {
        return None;
    }
    let path = dir.path().parent().unwrap_or(dir.path()).join(LOG_STARTS);
    let detail = format!("the log start {} lies behind the log's end: nothing is taken for deleted", facts.log_start);
    Some(Defect::new(DefectKind::Damage, path, detail))
}

/// The offset behind the last batch of a segment of others that can be read.
fn end_of(segment: &Segment) -> Result<Offset> {
    let unknown = ForeignLog::default();
    let place = (0, segment.base_offset());
    let mut walk = unknown.walk(segment, place, None, Check::Whole, Batch::DEFAULT_UNPACKED_LIMIT);
    let mut end = segment.base_offset();
    while let Some(step) = walk.next_step()? {
        if let Step::Batch { batch, .. } = step {
            end = end.max(batch.header().next_offset());
        }
    }
    Ok(end)
}

fn unnamed(path: &Path) -> Error {
    Error::illegal_argument(format!("{} is no partition that the catalog of its directory names", path.display()))
}

/// The partitions that have a directory, and what only looks like one.
fn live_partitions(log_dir: &dyn Dir) -> Result<(BTreeSet<TopicPartition>, Vec<Defect>)> {
    let (mut live, mut strange) = (BTreeSet::new(), Vec::new());
    for entry in log_dir.list()? {
        match parse_partition_dir(&entry.name) {
            // A broker's log manager does not know the log in which a cluster keeps its own metadata.
            Some((partition, _)) if partition.topic() == CLUSTER_METADATA => {}
            Some((partition, PartitionDirKind::Live)) if entry.is_dir => drop(live.insert(partition)),
            Some((_, PartitionDirKind::Live)) => {
                let detail = "it is named like a partition, and is no directory: symbolic links are not followed here";
                strange.push(Defect::new(DefectKind::Unreadable, log_dir.path().join(&entry.name), detail));
            }
            _ => {}
        }
    }
    Ok((live, strange))
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archive").field("path", &self.path).field("logs", &self.logs).finish_non_exhaustive()
    }
}

impl fmt::Debug for ArchivedLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArchivedLog")
            .field("partition", &self.inner.partition)
            .field("segments", &self.inner.segments.len())
            .finish_non_exhaustive()
    }
}
