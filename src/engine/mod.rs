//! The engine: opens a directory, owns its threads and topics, and closes it.
//!
//! It owns and connects; what is done is done by its actors ([`writer`], [`syncer`], [`upkeep`], [`callbacks`]) and by
//! the rooms below.

mod callbacks;
mod config;
mod expiry;
mod fetch;
mod groups;
mod import;
mod lane;
mod opening;
mod syncer;
mod upkeep;
mod writer;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::engine::expiry::Expiry;
use crate::engine::groups::Groups;
use crate::engine::lane::{Answer, Failure, JournalCell, Lane};
use crate::engine::opening::{Opened, open_directory};
use crate::engine::syncer::Syncer;
use crate::engine::upkeep::{ToUpkeep, Upkeep};
use crate::engine::writer::{Command, Sources, Writer, begin_frame};
use crate::error::{Error, Result};
use crate::io::{Dir, Disk, Lock, MemoryDisk, OsDisk};
use crate::replication::Partition;
use crate::storage::{
    LOG_STARTS, Log, OpenReport, RECOVERY_POINTS, TopicConfig, validate_topic_name, write_clean_shutdown, write_offsets,
};
use crate::sync::{Post, Scheduler, Signal, Task, lock, mailbox, wait_for};
use crate::topics::{
    Catalog, Change, NewPartitions, Topic, TopicEntry, Topics, create_partitions, discard_partitions, remove_partitions,
};
use crate::types::{Offset, Timestamp, TopicId, TopicPartition};

pub use config::{EngineConfig, EngineConfigBuilder};

pub(crate) use callbacks::Callbacks;
pub(crate) use fetch::Cursor;
pub(crate) use import::{ImportedCommit, ImportedTopic};
pub(crate) use writer::{Appended, BatchSource, Completion, ReadyBatch, WriterWaker};

/// The partitions that one topic can have.
const MAX_PARTITIONS: u32 = 100_000;

/// A directory of topics, open for writing and reading.
///
/// Clones are handles on the same engine; producers and consumers hold one too. [`close`](Self::close) ends it for all
/// of them and says whether everything is on the disk. When the last handle is dropped the engine closes as well, and
/// logs what goes wrong.
///
/// One process at a time can have a directory open; others read it with [`Directory`](crate::replay::Directory).
///
/// ```
/// # use ottla::{Engine, Offset, Producer, ProducerRecord};
/// let dir = tempfile::tempdir().expect("a temporary directory");
/// let engine = Engine::open(dir.path())?;
/// let producer = Producer::<str, str>::new(&engine)?;
/// producer.send(ProducerRecord::to("orders").key("o-17").value("paid"))?.wait()?;
/// assert_eq!(engine.end_offset(&("orders", 0).into())?, Offset(1));
/// engine.close()?;
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone)]
pub struct Engine {
    handle: Arc<Handle>,
}

/// Closes the engine when the last one who holds it lets go.
struct Handle {
    shared: Shared,
    threads: Mutex<Option<Threads>>,
    /// Released last: until then nobody else may open the directory.
    locks: Mutex<Vec<Box<dyn Lock>>>,
}

/// What stays the same while the engine is open.
struct Shared {
    config: EngineConfig,
    topic_defaults: TopicConfig,
    scheduler: Arc<dyn Scheduler>,
    lane: Arc<Lane>,
    log_dir: Arc<dyn Dir>,
    topics: Arc<Topics>,
    groups: Arc<Groups>,
    sources: Arc<Sources>,
    callbacks: Arc<Callbacks>,
    to_writer: Post<Command>,
    catalog: Arc<Mutex<Catalog>>,
    catalog_journal: Arc<JournalCell>,
    /// Held while files of topics or groups are made or removed by other threads than the writer: one at a time, and
    /// none once the engine closes, since another process may have the directory then.
    changing_files: Arc<Mutex<()>>,
    report: OpenReport,
    is_closed: AtomicBool,
    /// Has upkeep look when the next deadline is.
    deadlines: Arc<Signal>,
}

/// Where one who waits for the writer finds its answer.
#[derive(Default)]
struct Told {
    answer: Mutex<Option<Result<()>>>,
    changed: Signal,
}

/// What runs in the background.
struct Threads {
    writer: Task,
    syncer: Task,
    upkeep: Task,
    to_upkeep: Post<ToUpkeep>,
}

impl Engine {
    /// Opens the engine in the directory `path` with all defaults; makes the directory if there is none.
    ///
    /// Blocks while a directory that was not closed cleanly is recovered: every log is read from where it is known to
    /// be on the disk.
    ///
    /// # Errors
    /// [`Error::DirectoryLocked`] while another engine, or a Kafka broker, has it open; [`Error::UnsupportedVersion`]
    /// if a newer version wrote it; [`Error::CorruptFile`] if the catalog, which says what the records belong to, is
    /// lost; [`Error::Io`] and [`Error::DiskFull`].
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Engine, Error};
    /// let data = tempfile::tempdir().expect("a temporary directory");
    /// let engine = Engine::open(data.path().join("queue"))?;
    /// let second = Engine::open(data.path().join("queue"));
    /// assert!(matches!(second, Err(Error::DirectoryLocked { .. })));
    /// # engine.close()?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::builder().open(path)
    }

    /// Opens an engine on a new disk in memory: the same code, and nothing left when it closes.
    ///
    /// # Errors
    /// [`Error::Io`] if the operating system refuses threads.
    ///
    /// # Examples
    /// ```
    /// let engine = ottla::Engine::in_memory()?;
    /// assert!(engine.report().is_empty());
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn in_memory() -> Result<Self> {
        Self::builder().open_memory(&MemoryDisk::new())
    }

    /// Starts from the defaults.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Engine, EngineConfig, MemoryDisk};
    /// let config = EngineConfig::builder().num_partitions(4).build()?;
    /// let engine = Engine::builder().config(config).open_memory(&MemoryDisk::new())?;
    /// assert!(engine.report().is_empty());
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn builder() -> EngineBuilder {
        EngineBuilder { config: EngineConfig::default(), topic_defaults: TopicConfig::default() }
    }

    /// Opens the engine on a disk.
    pub(crate) fn start(disk: Arc<dyn Disk>, config: EngineConfig, topic_defaults: TopicConfig) -> Result<Self> {
        let Opened { lane, log_dir, topics, groups, catalog, catalog_journal, report, locks } =
            open_directory(&disk, &config, &topic_defaults)?;
        let scheduler = lane.disk.scheduler();
        let (topics, groups, sources) = (Arc::new(topics), Arc::new(groups), Arc::new(Sources::default()));
        let changing_files = Arc::new(Mutex::new(()));
        let (to_writer, writer_inbox) = mailbox();
        let (to_syncer, syncer_inbox) = mailbox();
        let (to_upkeep, upkeep_inbox) = mailbox();
        let dir = lane.disk.root().path().file_name().map_or_else(String::new, |name| name.to_string_lossy().into());
        let spawn = |name: &str, signal: &Arc<Signal>, actor| {
            scheduler.spawn(format!("ottla-{name}"), Arc::clone(signal), actor).map_err(|error| {
                let _ = to_writer.send(Command::Close); // ends the threads before this one, if they were started
                Error::io("start a thread for", lane.disk.root().path(), error)
            })
        };
        let signals = [writer_inbox.signal(), syncer_inbox.signal(), upkeep_inbox.signal()].map(Arc::clone);
        let writer =
            Writer::new(writer_inbox, Arc::clone(&lane), Arc::clone(&sources), Arc::clone(&topics), to_syncer.clone());
        let syncer = Syncer::new(syncer_inbox, to_syncer, Arc::clone(&lane));
        let expiry = config.offsets_retention().map(|retention| Expiry {
            lane: Arc::clone(&lane),
            groups: Arc::clone(&groups),
            changing_files: Arc::clone(&changing_files),
            to_writer: to_writer.clone(),
            to_upkeep: to_upkeep.clone(),
            retention,
            interval: config.offsets_retention_check_interval,
            due: None,
        });
        let upkeep = Upkeep {
            inbox: upkeep_inbox,
            lane: Arc::clone(&lane),
            groups: Arc::clone(&groups),
            to_writer: to_writer.clone(),
            interval: config.recovery_point_interval,
            next: None,
            expiry,
        };
        let threads = Threads {
            writer: spawn(&format!("writer-{dir}"), &signals[0], Box::new(writer))?,
            syncer: spawn(&format!("sync-{dir}"), &signals[1], Box::new(syncer))?,
            upkeep: spawn("upkeep", &signals[2], Box::new(upkeep))?,
            to_upkeep,
        };
        let [_, _, deadlines] = signals;
        let shared = Shared {
            config,
            topic_defaults,
            callbacks: Arc::new(Callbacks::new(Arc::clone(&scheduler))),
            scheduler,
            lane,
            log_dir,
            topics,
            groups,
            sources,
            to_writer,
            catalog,
            catalog_journal,
            changing_files,
            report,
            is_closed: AtomicBool::new(false),
            deadlines,
        };
        log::info!(
            "opened {}: {} topics, leader epoch {}, {} findings",
            shared.lane.disk.root().path().display(),
            shared.topics.all().len(),
            lock(&shared.catalog).epoch().0,
            shared.report.iter().count()
        );
        let handle = Handle { shared, threads: Mutex::new(Some(threads)), locks: Mutex::new(locks) };
        Ok(Self { handle: Arc::new(handle) })
    }

    /// Closes the engine, for all handles: writes and syncs what producers still have queued, and leaves the directory
    /// so that it opens without recovery. Blocks until that is done; a later call does nothing.
    ///
    /// Calls on producers and consumers fail with [`Error::Closed`] from then on. What consumers were given stays good.
    ///
    /// # Errors
    /// [`Error::Storage`] if the directory went offline, and what writing and syncing give: then the next opening
    /// recovers. [`Error::IllegalState`] inside a callback.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Engine, Error, Producer, ProducerRecord};
    /// # let engine = Engine::in_memory()?;
    /// let producer = Producer::<str, str>::new(&engine)?;
    /// let delivery = producer.send(ProducerRecord::to("orders").value("paid"))?;
    /// engine.close()?;
    /// assert!(delivery.wait().is_ok()); // it was written on the way out
    /// let late = producer.send(ProducerRecord::to("orders").value("sent"));
    /// assert!(matches!(late, Err(Error::Closed { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn close(&self) -> Result<()> {
        self.handle.shared.callbacks.refuse_inside("close")?;
        self.handle.close()
    }

    /// What opening found and did: nothing, after a clean shutdown of a healthy directory.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Engine, MemoryDisk};
    /// # let disk = MemoryDisk::new();
    /// let engine = Engine::builder().open_memory(&disk)?;
    /// for finding in engine.report().iter() {
    ///     eprintln!("{finding}");
    /// }
    /// assert!(engine.report().is_empty());
    /// # Ok::<(), ottla::Error>(())
    /// ```
    #[must_use]
    pub fn report(&self) -> &OpenReport {
        &self.shared().report
    }

    /// The end of what consumers can read of `partition`, one past the last offset: its high watermark. Kafka:
    /// `endOffsets`.
    ///
    /// # Errors
    /// [`Error::UnknownTopicOrPartition`] if there is no such partition, [`Error::InvalidTopic`] if there can be none
    /// of that name; [`Error::Closed`] after the engine was closed.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Admin, Engine, NewTopic, Offset};
    /// # let engine = Engine::in_memory()?;
    /// Admin::new(&engine).create_topic(NewTopic::new("orders"))?;
    /// assert_eq!(engine.end_offset(&("orders", 0).into())?, Offset(0));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn end_offset(&self, partition: &TopicPartition) -> Result<Offset> {
        let topic = self.topic(partition.topic())?;
        Ok(topic.partition(partition.partition())?.high_watermark())
    }

    fn shared(&self) -> &Shared {
        &self.handle.shared
    }

    pub(crate) fn scheduler(&self) -> &Arc<dyn Scheduler> {
        &self.shared().scheduler
    }

    /// The time of day.
    pub(crate) fn now(&self) -> Timestamp {
        self.shared().lane.disk.now()
    }

    /// A number from the engine's source of chance.
    pub(crate) fn random(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.shared().lane.disk.random();
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    pub(crate) fn ensure_open(&self) -> Result<()> {
        if self.shared().is_closed.load(Ordering::Acquire) {
            return Err(Error::Closed { what: "engine" });
        }
        Ok(())
    }

    pub(crate) fn callbacks(&self) -> &Arc<Callbacks> {
        &self.shared().callbacks
    }

    /// The topic of that name.
    pub(crate) fn topic(&self, name: &str) -> Result<Arc<Topic>> {
        self.ensure_open()?;
        if let Some(topic) = self.shared().topics.find(name) {
            return Ok(topic);
        }
        validate_topic_name(name)?;
        Err(Error::unknown_topic(name))
    }

    /// The topic of that name; it is created if the engine creates topics by itself.
    pub(crate) fn topic_or_create(&self, name: &str) -> Result<Arc<Topic>> {
        match self.topic(name) {
            Err(Error::UnknownTopicOrPartition { .. }) if self.shared().config.auto_create_topics => {
                match self.create_topic(name, None, &BTreeMap::new()) {
                    Err(Error::TopicAlreadyExists { .. }) => self.topic(name), // another thread was faster
                    created => created,
                }
            }
            found => found,
        }
    }

    pub(crate) fn topics(&self) -> Vec<Arc<Topic>> {
        self.shared().topics.all()
    }

    /// Creates a topic; it is on the disk when this returns.
    pub(crate) fn create_topic(
        &self,
        name: &str,
        partitions: Option<u32>,
        overrides: &BTreeMap<String, String>,
    ) -> Result<Arc<Topic>> {
        let shared = self.shared();
        let _changing = lock(&shared.changing_files);
        self.ensure_open()?;
        let (entry, config) = self.new_topic(name, partitions, overrides)?;
        let partitions = self.make_partitions(&entry, 0, &config)?;
        let topic = self.insert_topic(Topic::new(entry, config, partitions));
        log::info!("created topic {}, id {}, {} partitions", topic.name(), topic.id(), topic.entry.partitions);
        Ok(topic)
    }

    /// Has a topic have `total` partitions; the new ones are on the disk when this returns.
    pub(crate) fn grow_topic(&self, name: &str, total: u32) -> Result<Arc<Topic>> {
        let shared = self.shared();
        let _changing = lock(&shared.changing_files);
        let before = self.topic(name)?;
        check_partitions(name, total)?;
        if total <= before.entry.partitions {
            let reason = "it has as many or more, and partitions are only added";
            return Err(Error::InvalidPartitions { topic: name.into(), partitions: total, reason });
        }
        shared.lane.offline.check()?;
        let entry = TopicEntry { partitions: total, ..before.entry.clone() };
        let added = self.make_partitions(&entry, before.entry.partitions, &before.config)?;
        let partitions = before.partitions.iter().map(Arc::clone).chain(added).collect();
        let topic = self.insert_topic(Topic::new(entry, Arc::clone(&before.config), partitions));
        before.set_outgrown(); // behind the new one: who sees this looks that up
        log::info!("topic {} has {total} partitions now, and had {}", topic.name(), before.entry.partitions);
        Ok(topic)
    }

    /// Makes the partitions of `entry` from `first` on, and has the catalog name them: in this order, so that a crash
    /// leaves either all of them or empty directories that belong to no topic.
    fn make_partitions(
        &self,
        entry: &TopicEntry,
        first: u32,
        config: &Arc<TopicConfig>,
    ) -> Result<Vec<Arc<Partition>>> {
        let shared = self.shared();
        let epoch = lock(&shared.catalog).epoch();
        let (log_dir, now) = (shared.log_dir.as_ref(), shared.lane.disk.now());
        let made = create_partitions(&NewPartitions { log_dir, entry, first, config, epoch, now });
        let logs = made.inspect_err(|error| shared.lane.note_failed_sync(error))?;
        if let Err(error) = self.change_catalog(Change::Created(entry.clone())) {
            if error.is_retriable() {
                discard_partitions(log_dir, entry, first..entry.partitions); // or each attempt would leave its own behind
            }
            return Err(error);
        }
        Ok(logs.into_iter().map(|log| self.partition(entry.id, log)).collect())
    }

    /// What a new topic is to be, unless there can be none such.
    fn new_topic(
        &self,
        name: &str,
        partitions: Option<u32>,
        overrides: &BTreeMap<String, String>,
    ) -> Result<(TopicEntry, Arc<TopicConfig>)> {
        let shared = self.shared();
        shared.topics.check_new_name(name)?;
        let partitions = partitions.unwrap_or(shared.config.num_partitions);
        check_partitions(name, partitions)?;
        let config = Arc::new(shared.topic_defaults.to_builder().set_all(overrides)?.build()?);
        shared.lane.offline.check()?;
        let id = TopicId::from_random(shared.lane.disk.random());
        Ok((TopicEntry { name: name.into(), id, partitions, overrides: overrides.clone() }, config))
    }

    fn partition(&self, id: TopicId, log: Log) -> Arc<Partition> {
        let lane = &self.shared().lane;
        let slot = lane.positions.slot_for(id, log.name().partition());
        Arc::new(Partition::new(id, log, slot, Arc::clone(&lane.offline)))
    }

    fn insert_topic(&self, topic: Topic) -> Arc<Topic> {
        let topic = Arc::new(topic);
        self.shared().topics.insert(Arc::clone(&topic));
        self.shared().groups.refresh_topics(&self.shared().topics);
        topic
    }

    /// Deletes a topic, its records and what groups have committed of it.
    pub(crate) fn delete_topic(&self, name: &str) -> Result<()> {
        let shared = self.shared();
        let _changing = lock(&shared.changing_files);
        let topic = self.topic(name)?;
        if !shared.config.delete_topics {
            return Err(Error::TopicDeletionDisabled { topic: name.into() });
        }
        self.change_catalog(Change::Deleted(topic.id()))?;
        log::info!("deleted topic {name}, id {}", topic.id());
        shared.topics.remove(name);
        topic.partitions.iter().for_each(|partition| partition.mark_deleted());
        shared.groups.refresh_topics(&shared.topics);
        // Rounds under way may still sync the partitions' files and directories by name.
        self.pass_barrier()?;
        let slots: Vec<_> = topic.partitions.iter().map(|partition| partition.slot()).collect();
        if let Err(error) = shared.lane.positions.free(&slots) {
            shared.lane.note_failed_sync(&error);
            log::warn!("{error}"); // the next opening frees them
        }
        // From here on the topic is gone whatever happens: the next opening removes what is left of it.
        self.forget_offsets(topic.id());
        let removed = remove_partitions(shared.log_dir.as_ref(), &topic.entry);
        removed.inspect_err(|error| shared.lane.note_failed_sync(error))
    }

    /// Puts `change` on the disk, then into the catalog.
    fn change_catalog(&self, change: Change) -> Result<()> {
        self.ensure_open()?;
        let Shared { to_writer, catalog, catalog_journal, .. } = self.shared();
        let (payload, catalog, (told, tell)) = (change.encode(), Arc::clone(catalog), self.expect_answer());
        begin_frame(to_writer, catalog_journal, payload, move |result| {
            if result.is_ok() {
                lock(&catalog).apply(change);
            }
            tell(result.map_err(Failure::into_error));
        });
        self.await_answer(&told)
    }

    /// Waits until all that the writer was given before is through.
    fn pass_barrier(&self) -> Result<()> {
        let (told, tell) = self.expect_answer();
        let answer = Answer::new(|result: Result<(), Failure>| tell(result.map_err(Failure::into_error)));
        let _ = self.shared().to_writer.send(Command::Barrier(answer));
        self.await_answer(&told)
    }

    fn expect_answer(&self) -> (Arc<Told>, impl FnOnce(Result<()>) + Send + use<>) {
        let told = Arc::new(Told::default());
        let tell = Arc::clone(&told);
        (told, move |result| {
            *lock(&tell.answer) = Some(result);
            tell.changed.notify();
        })
    }

    fn await_answer(&self, told: &Told) -> Result<()> {
        let answer = || lock(&told.answer).take();
        wait_for(self.scheduler().as_ref(), &told.changed, None, answer).expect("there is no deadline")
    }

    /// Has the writer ask `source` from now on.
    pub(crate) fn add_source(&self, source: Arc<dyn BatchSource>) -> Result<()> {
        self.ensure_open()?;
        self.shared().sources.add(source)
    }

    pub(crate) fn writer_waker(&self) -> WriterWaker {
        WriterWaker(self.shared().to_writer.clone())
    }
}

/// Whether a topic can have so many.
fn check_partitions(name: &str, partitions: u32) -> Result<()> {
    if (1..=MAX_PARTITIONS).contains(&partitions) {
        return Ok(());
    }
    let reason = "a topic has from 1 to 100000 of them";
    Err(Error::InvalidPartitions { topic: name.into(), partitions, reason })
}

impl Handle {
    fn close(&self) -> Result<()> {
        let mut running = lock(&self.threads); // held until the end: a second caller comes back to a closed engine
        let Some(threads) = running.take() else { return Ok(()) };
        self.shared.is_closed.store(true, Ordering::Release);
        let _changing = lock(&self.shared.changing_files); // waits for who began before that
        for topic in self.shared.topics.all() {
            topic.partitions.iter().for_each(|partition| partition.notify_watchers()); // who waits is to see it
        }
        self.shared.groups.wake_members(); // also those that have no partition to watch
        self.shared.groups.note_end(&self.shared.to_writer, self.shared.lane.disk.now());
        let _ = self.shared.to_writer.send(Command::Close); // one that is gone has panicked, which join tells
        let all_ended = [threads.writer.join(), threads.syncer.join()].into_iter().all(|ended| ended);
        let _ = threads.to_upkeep.send(ToUpkeep::Close);
        threads.upkeep.join();
        self.shared.callbacks.close();
        let closed = if all_ended {
            match self.shared.leave_clean() {
                Err(error) if error.is_lack_of_room() && self.shared.lane.reserve.release() => {
                    self.shared.leave_clean()
                }
                closed => closed,
            }
        } else {
            Err(Error::illegal_state("a thread of the engine panicked; opening the directory again recovers it"))
        };
        lock(&self.locks).clear();
        closed
    }
}

impl Shared {
    /// Everything is synced: leaves what makes the next opening one without recovery, the marker of that last.
    fn leave_clean(&self) -> Result<()> {
        self.lane.offline.check()?;
        self.groups.check_notes()?;
        self.catalog_journal.check_usable()?; // what a failed one has behind its end is no rot
        self.groups.all().iter().filter_map(|group| group.journal()).try_for_each(|cell| cell.check_usable())?;
        let topics = self.topics.all();
        let partitions: Vec<&Arc<Partition>> = topics.iter().flat_map(|topic| &topic.partitions).collect();
        for partition in &partitions {
            partition.log().close()?;
            self.lane.write_position(partition);
        }
        self.lane.positions.sync()?;
        let ends = partitions.iter().map(|partition| (partition.name().clone(), partition.durable_end()));
        write_offsets(self.log_dir.as_ref(), RECOVERY_POINTS, &ends.collect())?;
        let starts = partitions.iter().map(|partition| (partition.name().clone(), partition.log_start()));
        let starts = starts.filter(|(_, start)| *start > Offset::ZERO).collect();
        write_offsets(self.log_dir.as_ref(), LOG_STARTS, &starts)?;
        write_clean_shutdown(self.log_dir.as_ref())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            log::error!("closing the engine: {error}");
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = self.shared();
        f.debug_struct("Engine")
            .field("disk", &shared.lane.disk)
            .field("is_closed", &shared.is_closed.load(Ordering::Relaxed))
            .finish_non_exhaustive()
    }
}

/// Opens an [`Engine`] with settings.
///
/// ```
/// # use ottla::{Engine, EngineConfig, Error, MemoryDisk, Producer, ProducerRecord};
/// let config = EngineConfig::builder().auto_create_topics(false).build()?;
/// let engine = Engine::builder().config(config).open_memory(&MemoryDisk::new())?;
/// let sent = Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").value("paid"));
/// assert!(matches!(sent, Err(Error::UnknownTopicOrPartition { .. })));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct EngineBuilder {
    config: EngineConfig,
    topic_defaults: TopicConfig,
}

impl EngineBuilder {
    /// Takes `config` in place of the defaults.
    pub fn config(mut self, config: EngineConfig) -> Self {
        self.config = config;
        self
    }

    /// Takes the settings of `defaults` for topics, old and new, wherever a topic was not given its own. They are not
    /// stored: whoever opens the directory next says them again. Kafka: the broker's `log.segment.bytes` and its like.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use ottla::{Engine, Error, MemoryDisk, Producer, ProducerRecord, TopicConfig};
    /// let defaults = TopicConfig::builder().max_message_bytes(100).build()?;
    /// let engine = Engine::builder().topic_defaults(defaults).open_memory(&MemoryDisk::new())?;
    /// let long = "x".repeat(200);
    /// let sent = Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").value(&*long));
    /// assert!(matches!(sent, Err(Error::RecordTooLarge { limit: 100, .. })));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn topic_defaults(mut self, defaults: TopicConfig) -> Self {
        self.topic_defaults = defaults;
        self
    }

    /// Opens the engine in the directory `path`; see [`Engine::open`].
    ///
    /// # Errors
    /// As [`Engine::open`].
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Admin, Engine, EngineConfig, NewTopic};
    /// let data = tempfile::tempdir().expect("a temporary directory");
    /// let config = EngineConfig::builder().num_partitions(3).build()?;
    /// let engine = Engine::builder().config(config).open(data.path())?;
    /// assert_eq!(Admin::new(&engine).create_topic(NewTopic::new("orders"))?.partitions.len(), 3);
    /// # engine.close()?;
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn open(self, path: impl AsRef<Path>) -> Result<Engine> {
        let disk = OsDisk::open(path.as_ref(), true, &self.config.reading())?;
        Engine::start(Arc::new(disk), self.config, self.topic_defaults)
    }

    /// Opens the engine on a disk in memory.
    ///
    /// # Errors
    /// As [`Engine::open`].
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Engine, MemoryDisk};
    /// let disk = MemoryDisk::new();
    /// Engine::builder().open_memory(&disk)?.close()?;
    /// assert!(Engine::builder().open_memory(&disk)?.report().is_empty());
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn open_memory(self, disk: &MemoryDisk) -> Result<Engine> {
        Engine::start(disk.disk(), self.config, self.topic_defaults)
    }
}

#[cfg(test)]
mod tests;
