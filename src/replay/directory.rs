//! A directory of topics as it stands on the disk, whoever writes it.
//!
//! Everything is read when it is asked for, so what one call answers is how things were at some moment within it. The
//! catalog and the groups are journals: frames are appended, and a compaction puts a new file in the place of the old
//! one, so each look opens the file anew. A frame that is being written looks like one that a crash has torn, and is
//! left out; what looks like rot is looked at again, since a compaction may have come in between.

mod groups;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::io::{Dir, Disk, Entry, MemoryDisk, OsDisk, Reading};
use crate::replay::follow::PartitionReader;
use crate::storage::{
    BehindHole, Journal, JournalDamage, JournalFinding, Known, LOG_STARTS, OpenReport, POSITIONS, PartitionDirKind,
    Position, Positions, PositionsByLog, PositionsDamage, PositionsFinding, PositionsWatch, RECOVERY_POINTS,
    has_clean_shutdown, parse_partition_dir, parse_segment_name, partition_dir_name, read_offsets,
    read_partition_metadata, validate_topic_name,
};
use crate::sync::Signal;
use crate::topics::{CATALOG, Catalog, TopicEntry, TopicListing};
use crate::types::{LeaderEpoch, Offset, ReadMode, TopicId, TopicPartition};

/// How often something is looked at again before it counts: an owner may be in the middle of a change.
pub(super) const LOOKS: u32 = 3;
/// How long an owner gets to finish it.
pub(super) const PAUSE: Duration = Duration::from_millis(20);

/// A directory of topics, to be read and nothing else. Clones share it.
///
/// No lock is taken, no file is made or changed, and no permission to write is needed: an engine, in this process or in
/// another one, may have the directory open, open it, close it, or be killed meanwhile. Nothing is kept open but the
/// segments that its readers read, 128 at the most.
///
/// ```
/// # use ottla::{Admin, Engine, NewTopic};
/// use ottla::replay::Directory;
/// # let data = tempfile::tempdir().expect("a temporary directory");
/// let engine = Engine::open(data.path())?;
/// let directory = Directory::open(data.path())?; // the engine has the lock, and goes on
/// Admin::new(&engine).create_topic(NewTopic::new("orders").partitions(2).config("segment.ms", "3600000"))?;
///
/// let orders = directory.topic("orders")?;
/// assert_eq!((orders.partitions.len(), orders.config["segment.ms"].as_str()), (2, "3600000"));
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone)]
pub struct Directory {
    inner: Arc<Inner>,
}

struct Inner {
    disk: Arc<dyn Disk>,
    root: Arc<dyn Dir>,
    positions: PositionsWatch,
}

/// A topic of a [`Directory`].
///
/// ```
/// # use ottla::replay::Directory;
/// # use ottla::{Engine, MemoryDisk, Offset, Producer, ProducerRecord};
/// # let disk = MemoryDisk::new();
/// # let engine = Engine::builder().open_memory(&disk)?;
/// Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
/// let orders = Directory::open_memory(&disk)?.topic("orders")?;
/// assert_eq!(orders.name, "orders");
/// assert_eq!(orders.partitions[0].bounds.high_watermark, Offset(1));
/// assert!(orders.config.is_empty()); // it has no settings of its own
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredTopic {
    /// Its name.
    pub name: String,
    /// What tells it from another topic that had the name before.
    pub id: TopicId,
    /// Its partitions, by number.
    pub partitions: Vec<StoredPartition>,
    /// The settings that differ from the defaults, by Kafka's names.
    pub config: BTreeMap<String, String>,
}

/// What a partition of a [`Directory`] holds.
///
/// ```
/// # use ottla::replay::Directory;
/// # use ottla::{Engine, MemoryDisk, Producer, ProducerRecord};
/// # let disk = MemoryDisk::new();
/// # let engine = Engine::builder().open_memory(&disk)?;
/// Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
/// let partition = Directory::open_memory(&disk)?.topic("orders")?.partitions.remove(0);
/// assert_eq!(partition.partition, ("orders", 0).into());
/// assert!(partition.size_bytes > 61 && partition.segments == 1);
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredPartition {
    /// Which one it is.
    pub partition: TopicPartition,
    /// What of it can be read, and what a power cut leaves.
    pub bounds: Bounds,
    /// How many bytes its segments have, without indexes; a batch that is being written counts.
    pub size_bytes: u64,
    /// How many segments that is.
    pub segments: usize,
}

/// Where a log begins and ends, as its owner last said in the file `positions`. How far it is written is the owner's
/// own affair: that may be further than all of these.
///
/// ```
/// # use ottla::replay::Directory;
/// # use ottla::{Acks, Engine, MemoryDisk, Offset, Producer, ProducerConfig, ProducerRecord};
/// # let disk = MemoryDisk::new();
/// # let engine = Engine::builder().open_memory(&disk)?;
/// let config = ProducerConfig::builder().acks(Acks::One).build()?;
/// let quick = Producer::<str, str>::with_config(&engine, config)?;
/// quick.send(ProducerRecord::to("orders").value("paid"))?.wait()?; // written, and not synced
/// let bounds = Directory::open_memory(&disk)?.bounds(&("orders", 0).into())?;
/// assert_eq!((bounds.high_watermark, bounds.durable_end), (Offset(1), Offset(0)));
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bounds {
    /// Under which leadership the owner writes, or has written last.
    pub leader_epoch: LeaderEpoch,
    /// The first offset that can be read.
    pub log_start_offset: Offset,
    /// One past the last offset below which no transaction is open; the high watermark, as long as there are none.
    pub last_stable_offset: Offset,
    /// One past the last offset that may be read.
    pub high_watermark: Offset,
    /// One past the last offset that a power cut leaves.
    pub durable_end: Offset,
}

impl From<Position> for Bounds {
    fn from(position: Position) -> Self {
        Self {
            leader_epoch: position.leader_epoch,
            log_start_offset: position.log_start,
            last_stable_offset: position.last_stable_offset,
            high_watermark: position.high_watermark,
            durable_end: position.durable_end,
        }
    }
}

impl Directory {
    /// Opens a directory to read it. It need not have been closed: one whose owner is at work, or was killed, is as good.
    ///
    /// # Errors
    /// [`Error::Io`] if there is no such directory, or it cannot be read; [`Error::IllegalArgument`] if it is none of
    /// ottla's; [`Error::UnsupportedVersion`] if a newer version wrote it; [`Error::CorruptFile`] if its catalog is
    /// missing, or cannot be read at all.
    ///
    /// # Examples
    /// ```
    /// # use ottla::replay::Directory;
    /// # use ottla::{Engine, Error};
    /// # let data = tempfile::tempdir().expect("a temporary directory");
    /// assert!(matches!(Directory::open(data.path().join("nowhere")), Err(Error::Io { .. })));
    /// Engine::open(data.path())?.close()?;
    /// assert!(Directory::open(data.path())?.topics()?.is_empty());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let reading = Reading { mode: ReadMode::Buffered, max_open_segments: MAX_OPEN_SEGMENTS, max_mapped_bytes: 0 };
        Self::on(Arc::new(OsDisk::open(path.as_ref(), false, &reading)?))
    }

    /// The same of a disk in memory. It ends with the disk's present life: after a power cut it has to be opened again.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    ///
    /// # Examples
    /// ```
    /// # use ottla::replay::Directory;
    /// # use ottla::{Engine, MemoryDisk};
    /// let disk = MemoryDisk::new();
    /// Engine::builder().open_memory(&disk)?.close()?;
    /// assert!(Directory::open_memory(&disk)?.groups()?.is_empty());
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn open_memory(disk: &MemoryDisk) -> Result<Self> {
        Self::on(disk.disk())
    }

    /// The same of any disk.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) fn on(disk: Arc<dyn Disk>) -> Result<Self> {
        let root = disk.root();
        let positions = PositionsWatch::new(Arc::clone(&root));
        let directory = Self { inner: Arc::new(Inner { disk, root, positions }) };
        directory.catalog()?;
        Ok(directory)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.inner.root.path()
    }

    /// What is damaged in the directory's own state, so that topics, groups or bounds may be missing from what is
    /// answered here. [`verify`](crate::verify) looks at everything.
    ///
    /// # Errors
    /// As [`topics`](Self::topics).
    ///
    /// # Examples
    /// ```
    /// # use ottla::replay::Directory;
    /// # use ottla::{Admin, Engine, MemoryDisk, NewTopic};
    /// let disk = MemoryDisk::new();
    /// let engine = Engine::builder().open_memory(&disk)?;
    /// let directory = Directory::open_memory(&disk)?;
    /// Admin::new(&engine).create_topic(NewTopic::new("orders"))?;
    /// assert!(directory.report()?.is_empty());
    /// engine.close()?;
    /// let (_, bytes) = disk.files().into_iter().find(|(path, _)| path.ends_with("catalog")).expect("there is one");
    /// disk.flip_bit("catalog", bytes - 1, 0)?; // in the frame that names the topic
    /// assert!(directory.topics()?.is_empty());
    /// assert!(directory.report()?.iter().any(|finding| finding.to_string().contains("catalog")));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn report(&self) -> Result<OpenReport> {
        let mut report = OpenReport::default();
        let (_, mut findings) = self.read_catalog()?;
        if let Some(dir) = self.groups_dir()? {
            for name in groups::files(dir.as_ref())? {
                match self.journal(dir.as_ref(), &name, BehindHole::Keep) {
                    Err(error) if error.is_not_found() => {}
                    read => findings.extend(read?.1),
                }
            }
        }
        findings.into_iter().for_each(|finding| report.push(finding.into()));
        if let Ok((_, findings)) = self.inspect_positions() {
            findings.into_iter().for_each(|finding| report.push(finding.into()));
        }
        Ok(report)
    }

    /// All topics, by name. Blocks for reading the catalog.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::CorruptFile`] and [`Error::UnsupportedVersion`] as for [`open`](Self::open).
    ///
    /// # Examples
    /// ```
    /// # use ottla::replay::Directory;
    /// # use ottla::{Admin, Engine, MemoryDisk, NewTopic};
    /// # let disk = MemoryDisk::new();
    /// # let engine = Engine::builder().open_memory(&disk)?;
    /// let directory = Directory::open_memory(&disk)?;
    /// Admin::new(&engine).create_topic(NewTopic::new("orders").partitions(4))?;
    /// let topics = directory.topics()?;
    /// assert_eq!((topics[0].name.as_str(), topics[0].partitions), ("orders", 4));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn topics(&self) -> Result<Vec<TopicListing>> {
        Ok(self.catalog()?.topics().map(TopicListing::of).collect())
    }

    /// A topic, with its settings and what its partitions hold now. Blocks for reading files.
    ///
    /// # Errors
    /// [`Error::UnknownTopicOrPartition`] if there is no such topic, [`Error::InvalidTopic`] if there can be none of that
    /// name; else as [`topics`](Self::topics) and [`bounds`](Self::bounds).
    ///
    /// # Examples
    /// ```
    /// # use ottla::replay::Directory;
    /// # use ottla::{Engine, Error, MemoryDisk};
    /// # let disk = MemoryDisk::new();
    /// # let engine = Engine::builder().open_memory(&disk)?;
    /// let directory = Directory::open_memory(&disk)?;
    /// assert!(matches!(directory.topic("orders"), Err(Error::UnknownTopicOrPartition { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn topic(&self, name: &str) -> Result<StoredTopic> {
        self.settled(|| self.topic_now(name))
    }

    fn topic_now(&self, name: &str) -> Result<StoredTopic> {
        let catalog = self.catalog()?;
        let entry = entry(&catalog, name)?;
        let known = self.positions_of(entry, catalog.epoch())?;
        let names = (0..entry.partitions).map(|number| TopicPartition::new(Arc::clone(&entry.name), number));
        let partitions = names.zip(known).map(|(partition, position)| self.stored_partition(partition, position));
        Ok(StoredTopic {
            name: name.to_owned(),
            id: entry.id,
            partitions: partitions.collect::<Result<_>>()?,
            config: entry.overrides.clone(),
        })
    }

    /// The bounds of a partition now. Blocks for reading files.
    ///
    /// # Errors
    /// [`Error::UnknownTopicOrPartition`] if there is no such topic or partition, [`Error::InvalidTopic`] if there can be
    /// none of that name; [`Error::CorruptFile`] if `positions` is damaged where the partition may stand: opening the
    /// directory with an engine mends that; [`Error::Io`], also if `positions` is missing after a crash.
    ///
    /// # Examples
    /// ```
    /// # use ottla::replay::Directory;
    /// # use ottla::{Engine, MemoryDisk, Offset, Producer, ProducerRecord};
    /// # let disk = MemoryDisk::new();
    /// # let engine = Engine::builder().open_memory(&disk)?;
    /// let directory = Directory::open_memory(&disk)?;
    /// Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
    /// let bounds = directory.bounds(&("orders", 0).into())?;
    /// assert_eq!((bounds.log_start_offset, bounds.high_watermark), (Offset(0), Offset(1)));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn bounds(&self, partition: &TopicPartition) -> Result<Bounds> {
        self.settled(|| self.look(self.topic_id(partition)?, partition).map(Bounds::from))
    }

    /// A reader of a partition, which stands at the first record that is there.
    ///
    /// # Errors
    /// As [`bounds`](Self::bounds).
    ///
    /// # Examples
    /// ```
    /// # use ottla::replay::Directory;
    /// # use ottla::{Admin, Engine, MemoryDisk, NewTopic, Offset};
    /// # let disk = MemoryDisk::new();
    /// # let engine = Engine::builder().open_memory(&disk)?;
    /// # Admin::new(&engine).create_topic(NewTopic::new("orders"))?;
    /// let reader = Directory::open_memory(&disk)?.reader(&("orders", 0).into())?;
    /// assert_eq!(reader.position(), Offset(0));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn reader(&self, partition: &TopicPartition) -> Result<PartitionReader> {
        self.settled(|| {
            let id = self.topic_id(partition)?;
            let position = self.look(id, partition)?;
            Ok(PartitionReader::new(self.clone(), partition.clone(), id, position))
        })
    }

    /// What `ask` answers, asked again if a topic was deleted while it did: then there is another one of that name, or none.
    fn settled<T>(&self, ask: impl Fn() -> Result<T>) -> Result<T> {
        let mut answer = ask();
        for _ in 0..LOOKS {
            if !matches!(answer, Err(Error::UnknownTopicId { .. })) {
                break;
            }
            answer = ask();
        }
        answer
    }

    fn stored_partition(&self, partition: TopicPartition, position: Position) -> Result<StoredPartition> {
        let dir = self.log_dir().and_then(|dir| dir.dir(&partition_dir_name(&partition)));
        let entries = match dir.and_then(|dir| dir.list()) {
            Err(error) if error.is_not_found() => Vec::new(), // removed, with its topic or by somebody
            entries => entries?,
        };
        let segments = entries.iter().filter(is_segment);
        let (size_bytes, segments) = segments.fold((0, 0), |(bytes, count), entry| (bytes + entry.len, count + 1));
        Ok(StoredPartition { partition, bounds: position.into(), size_bytes, segments })
    }
}

/// What its readers ask for.
impl Directory {
    /// What is known of a log now. Cheap, once it was found.
    ///
    /// # Errors
    /// [`Error::UnknownTopicId`] if the topic is gone.
    pub(super) fn look(&self, id: TopicId, partition: &TopicPartition) -> Result<Position> {
        let mut looks = 0;
        loop {
            let failed = match self.inner.positions.look((id, partition.partition())) {
                Ok(Known::Position(position)) => return Ok(position),
                Ok(Known::Nothing) => return self.require(id, partition).map(|catalog| nothing(catalog.epoch())),
                Ok(Known::Damaged(_)) if self.is_unused(id, partition)? => {
                    return self.require(id, partition).map(|catalog| nothing(catalog.epoch()));
                }
                Ok(Known::Damaged(finding)) => {
                    let reason = format!("nothing can be read of {partition}, and this slot may be its own");
                    Error::corrupt_file(&finding.path, finding.position, reason)
                }
                Err(error) if error.is_not_found() => error,
                Err(error) => return Err(error),
            };
            if looks == LOOKS {
                return self.closed_position(id, partition)?.ok_or(failed);
            }
            looks += 1;
            self.pause();
        }
    }

    /// Whether a log has no bytes at all: then it needs no slot.
    fn is_unused(&self, id: TopicId, partition: &TopicPartition) -> Result<bool> {
        let entries = self.partition_dir(id, partition)?.list()?;
        let mut segments = entries.iter().filter(is_segment).peekable();
        Ok(segments.peek().is_some() && segments.all(|segment| segment.len == 0))
    }

    /// What a clean shutdown has left beside `positions`; `None` if the directory was not closed.
    fn closed_position(&self, id: TopicId, partition: &TopicPartition) -> Result<Option<Position>> {
        let catalog = self.require(id, partition)?;
        if !self.was_closed()? {
            return Ok(None);
        }
        let log_dir = self.log_dir()?;
        let Some(ends) = read_offsets(log_dir.as_ref(), RECOVERY_POINTS)? else { return Ok(None) };
        let starts = read_offsets(log_dir.as_ref(), LOG_STARTS)?.unwrap_or_default();
        let end = ends.get(partition).copied().unwrap_or(Offset::ZERO);
        Ok(Some(Position {
            leader_epoch: catalog.epoch(),
            durable_end: end,
            log_start: starts.get(partition).copied().unwrap_or(Offset::ZERO),
            high_watermark: end,
            last_stable_offset: end,
        }))
    }

    /// The directory of a partition: that of this topic, not of one that has got its name.
    ///
    /// What was opened by name before this is asked was this topic's too: a name never comes back to a topic.
    ///
    /// # Errors
    /// [`Error::UnknownTopicId`] if the topic is gone.
    pub(super) fn partition_dir(&self, id: TopicId, partition: &TopicPartition) -> Result<Arc<dyn Dir>> {
        let dir = self.log_dir().and_then(|log_dir| log_dir.dir(&partition_dir_name(partition)));
        let found = dir.and_then(|dir| Ok((read_partition_metadata(dir.as_ref())?, dir)));
        match found {
            Ok((Some(found), dir)) if found == id => return Ok(dir),
            Err(error) if !error.is_not_found() && !error.is_corruption() => return Err(error),
            _ => {}
        }
        // The file is missing or damaged, or it is another topic's. As long as the catalog names a topic, nobody has
        // touched its directories.
        self.require(id, partition)?;
        self.log_dir()?.dir(&partition_dir_name(partition))
    }

    /// Gives an owner the time to finish what it is at.
    pub(super) fn pause(&self) {
        self.wait(PAUSE);
    }

    /// Waits for that long.
    pub(super) fn wait(&self, duration: Duration) {
        let (scheduler, signal) = (self.inner.disk.scheduler(), Signal::default());
        let seen = signal.seen();
        scheduler.park(&signal, seen, Some(scheduler.now() + duration));
    }

    /// How long this process, or simulation, has been reading.
    pub(super) fn elapsed(&self) -> Duration {
        self.inner.disk.scheduler().now().0
    }

    /// The catalog, if it names the topic.
    fn require(&self, id: TopicId, partition: &TopicPartition) -> Result<Catalog> {
        let catalog = self.catalog()?;
        let is_there = catalog.topics().any(|entry| entry.id == id);
        if is_there { Ok(catalog) } else { Err(Error::UnknownTopicId { partition: partition.clone() }) }
    }

    pub(super) fn topic_id(&self, partition: &TopicPartition) -> Result<TopicId> {
        let catalog = self.catalog()?;
        let entry = entry(&catalog, partition.topic())?;
        if partition.partition() >= entry.partitions {
            return Err(Error::unknown_topic(partition));
        }
        Ok(entry.id)
    }

    /// What is known of all logs of a topic.
    fn positions_of(&self, entry: &TopicEntry, epoch: LeaderEpoch) -> Result<Vec<Position>> {
        let inspected = self.inspect_positions();
        let is_whole = inspected.as_ref().is_ok_and(|(_, findings)| findings.is_empty());
        let known = inspected.map(|(known, _)| known).unwrap_or_default();
        let position = |number| match known.get(&(entry.id, number)) {
            Some(position) => Ok(*position),
            None if is_whole => Ok(nothing(epoch)),
            None => self.look(entry.id, &TopicPartition::new(Arc::clone(&entry.name), number)),
        };
        (0..entry.partitions).map(position).collect()
    }

    /// All slots, and those that cannot be read.
    fn inspect_positions(&self) -> Result<(PositionsByLog, Vec<PositionsFinding>)> {
        let mut looks = 0;
        loop {
            let (known, mut findings) = Positions::inspect(self.inner.root.as_ref())?;
            findings.retain(|finding| finding.damage == PositionsDamage::Slot); // no log loses by the others
            if findings.is_empty() || looks == LOOKS {
                return Ok((known, findings));
            }
            looks += 1;
            self.pause();
        }
    }

    fn catalog(&self) -> Result<Catalog> {
        self.read_catalog().map(|(catalog, _)| catalog)
    }

    fn read_catalog(&self) -> Result<(Catalog, Vec<JournalFinding>)> {
        let root = self.inner.root.as_ref();
        let (payloads, findings) = match self.journal(root, CATALOG, BehindHole::Drop) {
            Err(error) if error.is_not_found() => return self.check_new().map(|()| (Catalog::default(), Vec::new())),
            read => read?,
        };
        Ok((Catalog::read(&payloads, &root.path().join(CATALOG))?, findings))
    }

    /// There is no catalog: well if nothing needs one yet.
    fn check_new(&self) -> Result<()> {
        let root = self.inner.root.as_ref();
        let names = root.names()?;
        if let Some(foreign) = names.iter().find(|name| !BEFORE_THE_CATALOG.contains(&name.as_str())) {
            let path = root.path().display();
            return Err(Error::illegal_argument(format!("{path} is no directory of topics: there is {foreign} in it")));
        }
        let names = match self.log_dir().and_then(|dir| dir.names()) {
            Err(error) if error.is_not_found() => Vec::new(),
            names => names?,
        };
        let is_live = |name: &&String| matches!(parse_partition_dir(name), Some((_, PartitionDirKind::Live)));
        match names.iter().find(is_live) {
            None => Ok(()),
            Some(name) => {
                let reason = format!("it is missing, and there is {}", root.path().join(LOG).join(name).display());
                Err(Error::corrupt_file(&root.path().join(CATALOG), 0, reason))
            }
        }
    }

    /// The payloads of a journal, and what of it is lost.
    fn journal(&self, dir: &dyn Dir, name: &str, behind: BehindHole) -> Result<(Vec<Vec<u8>>, Vec<JournalFinding>)> {
        let mut looks = 0;
        loop {
            let was_clean = self.was_closed()?; // before it is read: an owner that comes in between begins to write
            let (payloads, mut findings) = Journal::inspect(dir, name, was_clean, behind)?;
            if looks == LOOKS || !findings.iter().any(JournalFinding::is_rot) {
                // Everything else is what a writer is just doing, or what the next opening mends without a loss.
                findings.retain(|finding| finding.is_rot() || finding.damage == JournalDamage::Header);
                return Ok((payloads, findings));
            }
            looks += 1;
            self.pause();
        }
    }

    pub(super) fn was_closed(&self) -> Result<bool> {
        match self.log_dir() {
            Err(error) if error.is_not_found() => Ok(false),
            dir => has_clean_shutdown(dir?.as_ref()),
        }
    }

    fn log_dir(&self) -> Result<Arc<dyn Dir>> {
        self.inner.root.dir(LOG)
    }

    fn groups_dir(&self) -> Result<Option<Arc<dyn Dir>>> {
        match self.inner.root.dir(GROUPS) {
            Err(error) if error.is_not_found() => Ok(None),
            dir => dir.map(Some),
        }
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory").field("path", &self.path()).finish_non_exhaustive()
    }
}

/// As many as an engine has by default.
const MAX_OPEN_SEGMENTS: u32 = 128;
const LOG: &str = "log";
const GROUPS: &str = "groups";
/// What may be in a directory whose first opening has not got so far as to make the catalog.
const BEFORE_THE_CATALOG: [&str; 8] =
    ["LOCK", LOG, GROUPS, "quarantine", "reserve", POSITIONS, "catalog.tmp", "lost+found"];

/// A log that nothing was written of yet.
const fn nothing(leader_epoch: LeaderEpoch) -> Position {
    Position {
        leader_epoch,
        durable_end: Offset::ZERO,
        log_start: Offset::ZERO,
        high_watermark: Offset::ZERO,
        last_stable_offset: Offset::ZERO,
    }
}

fn entry<'a>(catalog: &'a Catalog, name: &str) -> Result<&'a TopicEntry> {
    validate_topic_name(name)?;
    catalog.topics().find(|entry| *entry.name == *name).ok_or_else(|| Error::unknown_topic(name))
}

fn is_segment(entry: &&Entry) -> bool {
    !entry.is_dir && parse_segment_name(&entry.name).is_some_and(|(_, suffix)| suffix == "log")
}
