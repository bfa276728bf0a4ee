//! A disk in memory that can lose its power.
//!
//! It keeps what was synced apart from what was not, for contents and for names, and takes away all of the latter
//! when the power goes: the harshest disk that keeps its promises. A sync that fails leaves the pages clean, as Linux
//! does: they still read well, no later sync writes them, and they go with the next cut.
//!
//! [`medium`] is what is on the disk and what a crash makes of it, [`life`] how one process sees it until it dies;
//! [`faults`] decides which of its calls go wrong, and [`sim`] is what simulations set.

#[cfg_attr(not(feature = "sim"), allow(dead_code, unreachable_pub, reason = "only the feature lets faults happen"))]
mod faults;
mod life;
#[cfg_attr(not(feature = "sim"), allow(dead_code, unreachable_pub, reason = "only the feature lets faults happen"))]
mod medium;
#[cfg_attr(not(feature = "sim"), allow(dead_code, unreachable_pub, reason = "only the feature lets faults happen"))]
mod sim;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::error::{Error, Result};
use crate::io::Disk;
use crate::io::memory::faults::Injector;
use crate::io::memory::life::MemoryLife;
use crate::io::memory::medium::{Node, PowerCut as Cut, State};
use crate::io::memory::sim::PendingSync;
use crate::sync::{Chance, Post, Scheduler, Stepped, Threads, lock};

#[cfg(feature = "sim")]
pub use faults::{Fault, Faults, Operation};
#[cfg(feature = "sim")]
pub use medium::PowerCut;

/// A disk in memory, for tests and examples, whose power can be cut.
///
/// Clones are the same disk. An engine that is open when the power goes gets errors from then on; a new one opens on
/// what had been synced.
///
/// ```
/// # use ottla::{Acks, Engine, MemoryDisk, Producer, ProducerConfig, ProducerRecord};
/// let disk = MemoryDisk::new();
/// let engine = Engine::builder().open_memory(&disk)?;
/// let producer = Producer::<str, str>::new(&engine)?;
/// producer.send(ProducerRecord::to("orders").value("paid"))?.wait()?; // acks = all: it is on the disk
/// disk.power_cut();
/// drop((producer, engine));
///
/// let engine = Engine::builder().open_memory(&disk)?;
/// assert_eq!(engine.end_offset(&("orders", 0).into())?, ottla::Offset(1));
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone)]
pub struct MemoryDisk {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    scheduler: Arc<dyn Scheduler>,
    /// With a seed, the time of day and random bytes follow from it.
    is_seeded: bool,
    /// Who carries out syncs, if they take their time.
    syncs: Option<Post<PendingSync>>,
}

impl MemoryDisk {
    /// An empty disk; engines on it run on threads.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Arc::new(Threads::new()), 0, false, None)
    }

    /// An empty disk whose engines run inside the calls that wait for them, with no threads at all: the same calls
    /// from one thread, with the same `seed`, make the same run. Time passes only while a call waits.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Engine, MemoryDisk, Producer, ProducerRecord};
    /// let run = |seed| {
    ///     let disk = MemoryDisk::stepped(seed);
    ///     let engine = Engine::builder().open_memory(&disk)?;
    ///     Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
    ///     engine.close()?;
    ///     Ok::<_, ottla::Error>((disk.steps(), disk.files()))
    /// };
    /// assert_eq!(run(7)?, run(7)?);
    /// # Ok::<(), ottla::Error>(())
    /// ```
    #[must_use]
    pub fn stepped(seed: u64) -> Self {
        Self::with(Arc::new(Stepped::new(seed)), seed, true, None)
    }

    fn with(scheduler: Arc<dyn Scheduler>, seed: u64, is_seeded: bool, syncs: Option<Post<PendingSync>>) -> Self {
        let root = Node::empty_dir();
        let state = State {
            nodes: vec![root],
            life: 0,
            has_power: true,
            steps: 0,
            cut_at: None,
            syncs_to_fail: 0,
            syncs_fail_from: 0,
            capacity: None,
            locked: BTreeSet::new(),
            chance: Chance::new(seed),
            injector: Injector::new(seed),
            clock_jumped: 0,
            sync_begun_at: None,
            is_journaled: false,
            unreadable: Vec::new(),
            struck: None,
        };
        Self { inner: Arc::new(Inner { state: Mutex::new(state), scheduler, is_seeded, syncs }) }
    }

    /// Cuts the power, and turns it on again: what was not synced is gone, and so is every process that used the disk.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Acks, Engine, MemoryDisk, Offset, Producer, ProducerConfig, ProducerRecord};
    /// let disk = MemoryDisk::stepped(7);
    /// let engine = Engine::builder().open_memory(&disk)?;
    /// let quick = Producer::<str, str>::with_config(&engine, ProducerConfig::builder().acks(Acks::One).build()?)?;
    /// quick.send(ProducerRecord::to("orders").value("paid"))?.wait()?; // written, and not synced
    /// disk.power_cut();
    /// drop((quick, engine));
    /// assert_eq!(Engine::builder().open_memory(&disk)?.end_offset(&("orders", 0).into())?, Offset(0));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn power_cut(&self) {
        let mut state = lock(&self.inner.state);
        state.nodes.iter_mut().for_each(Node::lose_unsynced);
        state.begin_life();
    }

    /// Cuts the power as [`power_cut`](Self::power_cut) does, but some of what was not synced survives, as `seed` says:
    /// any of the sectors of 512 bytes, any of the lengths, any of the names, each by itself. A sector by which a file
    /// grew and that did not survive is zero, or garbage.
    ///
    /// ```
    /// # use ottla::{Acks, Engine, MemoryDisk, Producer, ProducerConfig, ProducerRecord};
    /// let disk = MemoryDisk::new();
    /// let engine = Engine::builder().open_memory(&disk)?;
    /// let producer = Producer::<str, str>::new(&engine)?;
    /// producer.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
    /// let quick = Producer::<str, str>::with_config(&engine, ProducerConfig::builder().acks(Acks::One).build()?)?;
    /// quick.send(ProducerRecord::to("orders").value("shipped"))?.wait()?;
    /// disk.power_cut_keeping(7);
    /// drop((producer, quick, engine));
    ///
    /// let engine = Engine::builder().open_memory(&disk)?;
    /// assert!(engine.end_offset(&("orders", 0).into())? >= ottla::Offset(1)); // the other one is there, or it is not
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn power_cut_keeping(&self, seed: u64) {
        self.cut(Cut::keeping(seed));
    }

    fn cut(&self, cut: Cut) {
        let mut state = lock(&self.inner.state);
        state.lose(cut);
        state.begin_life();
    }

    /// Kills every process that uses the disk, as `kill -9` would: what was written stays, synced or not.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Acks, Engine, MemoryDisk, Offset, Producer, ProducerConfig, ProducerRecord};
    /// let disk = MemoryDisk::new();
    /// let engine = Engine::builder().open_memory(&disk)?;
    /// let quick = Producer::<str, str>::with_config(&engine, ProducerConfig::builder().acks(Acks::One).build()?)?;
    /// quick.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
    /// disk.kill();
    /// drop((quick, engine));
    /// assert_eq!(Engine::builder().open_memory(&disk)?.end_offset(&("orders", 0).into())?, Offset(1));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn kill(&self) {
        lock(&self.inner.state).begin_life();
    }

    /// How many steps that change the disk there have been: writes, syncs, and changes of names and lengths.
    #[must_use]
    pub fn steps(&self) -> u64 {
        lock(&self.inner.state).steps
    }

    /// Lets the power fail in the place of step number `step` (see [`steps`](Self::steps)): it and all that follow
    /// fail until [`power_cut`](Self::power_cut) turns the power on again, or [`kill`](Self::kill), with which
    /// everything up to that step is there.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Engine, MemoryDisk};
    /// for step in 0.. {
    ///     let disk = MemoryDisk::stepped(7);
    ///     disk.fail_from(step); // each step of a first opening and closing in turn
    ///     let outcome = Engine::builder().open_memory(&disk).and_then(|engine| engine.close());
    ///     disk.power_cut();
    ///     Engine::builder().open_memory(&disk)?.close()?; // it opens, whatever was lost
    ///     if outcome.is_ok() {
    ///         assert!(step > 0 && disk.steps() >= step);
    ///         break;
    ///     }
    /// }
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn fail_from(&self, step: u64) {
        lock(&self.inner.state).cut_at = Some(step);
    }

    /// Whether the disk has power: not once [`fail_from`](Self::fail_from) has taken it, until a crash gives it back.
    #[must_use]
    pub fn has_power(&self) -> bool {
        lock(&self.inner.state).has_power
    }

    /// Lets the next `count` syncs fail. What they should have made durable still reads well, and is lost with the
    /// next power cut even if later syncs succeed, unless it is written again.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Admin, Engine, Error, MemoryDisk, NewTopic, Producer, ProducerRecord};
    /// let disk = MemoryDisk::new();
    /// let engine = Engine::builder().open_memory(&disk)?;
    /// Admin::new(&engine).create_topic(NewTopic::new("orders"))?;
    /// let producer = Producer::<str, str>::new(&engine)?;
    /// disk.fail_next_syncs(1);
    /// let failed = producer.send(ProducerRecord::to("orders").value("paid"))?.wait();
    /// assert!(matches!(failed, Err(Error::OutcomeUnknown { .. })));
    /// let refused = producer.send(ProducerRecord::to("orders").value("sent"))?.wait();
    /// assert!(matches!(refused, Err(Error::Storage { .. }))); // until the directory is opened again
    /// # Ok::<(), Error>(())
    /// ```
    pub fn fail_next_syncs(&self, count: u32) {
        self.fail_syncs_from(0, count);
    }

    /// Lets `count` syncs fail, as [`fail_next_syncs`](Self::fail_next_syncs) does, the first of them the one that is
    /// step number `step` (see [`steps`](Self::steps)), or the next behind it.
    pub fn fail_syncs_from(&self, step: u64, count: u32) {
        let mut state = lock(&self.inner.state);
        state.syncs_fail_from = step;
        state.syncs_to_fail = count;
    }

    /// Limits how many bytes all files may have together; `None`, as at first, for no limit.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Engine, Error, MemoryDisk};
    /// let disk = MemoryDisk::new();
    /// disk.set_capacity(Some(100));
    /// let full = Engine::builder().open_memory(&disk);
    /// assert!(matches!(full, Err(Error::DiskFull { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn set_capacity(&self, bytes: Option<u64>) {
        lock(&self.inner.state).capacity = bytes;
    }

    /// The paths of all files, from the root of the disk, and how long they are in bytes.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Admin, Engine, MemoryDisk, NewTopic};
    /// let disk = MemoryDisk::new();
    /// let engine = Engine::builder().open_memory(&disk)?;
    /// Admin::new(&engine).create_topic(NewTopic::new("orders"))?;
    /// let segment = "log/orders-0/00000000000000000000.log";
    /// assert!(disk.files().iter().any(|(path, bytes)| path.ends_with(segment) && *bytes == 0));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    #[must_use]
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        lock(&self.inner.state).files()
    }

    /// Flips the bit `bit` (0 to 7) of the byte at `position` of a file, for good: a fault of the medium. Paths are
    /// those of [`files`](Self::files), positions are bytes from 0.
    ///
    /// # Errors
    /// [`Error::Io`] if there is no such file, or it is not that long.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Consumer, Engine, Error, MemoryDisk, Producer, ProducerRecord};
    /// # use std::time::Duration;
    /// let disk = MemoryDisk::new();
    /// let engine = Engine::builder().open_memory(&disk)?;
    /// Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
    /// disk.flip_bit("log/orders-0/00000000000000000000.log", 65, 0)?; // in the first batch
    ///
    /// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
    /// consumer.subscribe(["orders"])?;
    /// assert!(matches!(consumer.poll(Duration::ZERO), Err(Error::CorruptBatch { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn flip_bit(&self, path: impl AsRef<Path>, position: u64, bit: u32) -> Result<()> {
        let path = path.as_ref();
        let missing = |kind: ErrorKind| Error::io("flip a bit of", path, kind.into());
        let mut state = lock(&self.inner.state);
        let node = state.look_up(path).ok_or_else(|| missing(ErrorKind::NotFound))?;
        let Node::File { content, durable, .. } = &mut state.nodes[node] else {
            return Err(missing(ErrorKind::IsADirectory));
        };
        let position = usize::try_from(position).unwrap_or(usize::MAX);
        let byte = content.get_mut(position).ok_or_else(|| missing(ErrorKind::UnexpectedEof))?;
        *byte ^= 1 << (bit % 8);
        let byte = *byte;
        if let Some(stored) = durable.get_mut(position) {
            *stored = byte;
        }
        Ok(())
    }

    /// Removes the file or directory `path` with all that is in it, for good: somebody meddled.
    ///
    /// # Errors
    /// [`Error::Io`] if there is nothing of that name.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Admin, Engine, MemoryDisk, NewTopic};
    /// let disk = MemoryDisk::new();
    /// let engine = Engine::builder().open_memory(&disk)?;
    /// Admin::new(&engine).create_topic(NewTopic::new("orders"))?;
    /// engine.close()?;
    /// disk.remove("log/orders-0")?;
    ///
    /// let engine = Engine::builder().open_memory(&disk)?; // makes it again, and says so
    /// assert!(engine.report().iter().any(|finding| finding.to_string().contains("orders-0")));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn remove(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let missing = || Error::io("remove", path, ErrorKind::NotFound.into());
        let mut state = lock(&self.inner.state);
        let parent = path.parent().and_then(|parent| state.look_up(parent)).ok_or_else(missing)?;
        let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(missing)?;
        let Node::Dir { names, durable, .. } = &mut state.nodes[parent] else { return Err(missing()) };
        durable.remove(name);
        names.remove(name).map(drop).ok_or_else(missing)
    }

    /// The disk behind the contract.
    pub(crate) fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(MemoryLife { inner: Arc::clone(&self.inner), life: lock(&self.inner.state).life })
    }
}

impl Default for MemoryDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = lock(&self.inner.state);
        f.debug_struct("MemoryDisk").field("steps", &state.steps).field("has_power", &state.has_power).finish()
    }
}
