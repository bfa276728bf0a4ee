//! A disk in memory that can lose its power.
//!
//! It keeps what was synced apart from what was not, for contents and for names, and takes away all of the latter
//! when the power goes: the harshest disk that keeps its promises. A sync that fails leaves the pages clean, as Linux
//! does: they still read well, no later sync writes them, and they go with the next cut.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::io::{Dir, Disk, Entry, File, Lock, SyncDone, SyncTarget};
use crate::sync::{Scheduler, Stepped, Threads, lock};
use crate::types::Timestamp;

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
}

struct State {
    nodes: Vec<Node>,
    /// Goes up when a process dies: what it had open does not work any more.
    life: u64,
    has_power: bool,
    steps: u64,
    cut_at: Option<u64>,
    syncs_to_fail: u32,
    syncs_fail_from: u64,
    capacity: Option<u64>,
    locked: BTreeSet<NodeId>,
    random: u64,
}

type NodeId = usize;

/// A file or directory: as it is, and as a power cut would leave it.
enum Node {
    Dir {
        names: BTreeMap<String, NodeId>,
        durable: BTreeMap<String, NodeId>,
        changes: Vec<NameChange>,
    },
    /// `longest` is what it held since it was synced before it became shorter.
    File {
        content: Vec<u8>,
        durable: Vec<u8>,
        dirty: Vec<Range<usize>>,
        longest: Vec<u8>,
    },
}

/// What happened to the names of a directory since it was synced.
enum NameChange {
    Made(String, NodeId),
    Renamed { from: String, to: String, node: NodeId },
    Removed(String),
}

/// How much of what was not synced a power cut keeps or loses as a piece, in bytes.
const SECTOR_BYTES: usize = 512;

impl MemoryDisk {
    /// An empty disk; engines on it run on threads.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Arc::new(Threads::new()), 0, false)
    }

    /// An empty disk whose engines run inside the calls that wait for them, with no threads at all: the same calls
    /// from one thread, with the same `seed`, make the same run. Time passes only while a call waits.
    #[must_use]
    pub fn stepped(seed: u64) -> Self {
        Self::with(Arc::new(Stepped::new(seed)), seed, true)
    }

    fn with(scheduler: Arc<dyn Scheduler>, seed: u64, is_seeded: bool) -> Self {
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
            random: seed,
        };
        Self { inner: Arc::new(Inner { state: Mutex::new(state), scheduler, is_seeded }) }
    }

    /// Cuts the power, and turns it on again: what was not synced is gone, and so is every process that used the disk.
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
        let mut state = lock(&self.inner.state);
        let mut chance = Chance(seed);
        state.nodes.iter_mut().for_each(|node| node.lose_some(&mut chance));
        state.begin_life();
    }

    /// Kills every process that uses the disk, as `kill -9` would: what was written stays, synced or not.
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
    pub fn fail_from(&self, step: u64) {
        lock(&self.inner.state).cut_at = Some(step);
    }

    /// Lets the next `count` syncs fail. What they should have made durable still reads well, and is lost with the
    /// next power cut even if later syncs succeed, unless it is written again.
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
    pub fn set_capacity(&self, bytes: Option<u64>) {
        lock(&self.inner.state).capacity = bytes;
    }

    /// The paths of all files, and how long they are.
    #[must_use]
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        lock(&self.inner.state).files()
    }

    /// Flips the bit `bit` (0 to 7) of the byte at `position` of a file, for good: a fault of the medium.
    ///
    /// # Errors
    /// [`Error::Io`] if there is no such file, or it is not that long.
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

impl State {
    fn begin_life(&mut self) {
        self.life += 1;
        self.has_power = true;
        self.cut_at = None;
        self.syncs_to_fail = 0;
        self.locked.clear();
    }

    /// Counts a step that changes something; fails it if the power does.
    fn step(&mut self) -> io::Result<()> {
        if self.cut_at == Some(self.steps) {
            self.has_power = false;
            return Err(no_power());
        }
        self.steps += 1;
        Ok(())
    }

    /// What a path from the root leads to.
    fn look_up(&self, path: &Path) -> Option<NodeId> {
        path.iter().try_fold(0, |node, part| match &self.nodes[node] {
            Node::Dir { names, .. } => part.to_str().and_then(|name| names.get(name)).copied(),
            Node::File { .. } => None,
        })
    }

    /// Changes the names of the directory `node`.
    fn change(&mut self, node: NodeId, change: NameChange) -> io::Result<()> {
        match &mut self.nodes[node] {
            Node::Dir { names, changes, .. } => {
                change.apply(names);
                changes.push(change);
                Ok(())
            }
            Node::File { .. } => Err(ErrorKind::NotADirectory.into()),
        }
    }

    /// Whether the sync that was just counted is one that fails.
    fn sync_fails(&mut self) -> bool {
        let fails = self.syncs_to_fail > 0 && self.steps > self.syncs_fail_from;
        self.syncs_to_fail -= u32::from(fails);
        fails
    }

    fn names(&self, node: NodeId) -> io::Result<&BTreeMap<String, NodeId>> {
        match &self.nodes[node] {
            Node::Dir { names, .. } => Ok(names),
            Node::File { .. } => Err(ErrorKind::NotADirectory.into()),
        }
    }

    fn file(&mut self, node: NodeId) -> io::Result<FileParts<'_>> {
        match &mut self.nodes[node] {
            Node::File { content, durable, dirty, longest } => Ok(FileParts { content, durable, dirty, longest }),
            Node::Dir { .. } => Err(ErrorKind::IsADirectory.into()),
        }
    }

    fn find(&self, node: NodeId, name: &str) -> io::Result<NodeId> {
        self.names(node)?.get(name).copied().ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn add(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// Whether files may grow by `more` bytes.
    fn has_room(&self, more: usize) -> bool {
        more == 0 || more <= self.room()
    }

    fn files(&self) -> Vec<(PathBuf, u64)> {
        let mut found = Vec::new();
        let mut todo = vec![(PathBuf::new(), 0)];
        while let Some((path, node)) = todo.pop() {
            match &self.nodes[node] {
                Node::Dir { names, .. } => todo.extend(names.iter().map(|(name, node)| (path.join(name), *node))),
                Node::File { content, .. } => found.push((path, content.len() as u64)),
            }
        }
        found.sort_unstable();
        found
    }

    /// By how many bytes files may grow. Those that were removed give theirs back.
    fn room(&self) -> usize {
        let Some(capacity) = self.capacity else { return usize::MAX / 2 };
        let used: u64 = self.files().iter().map(|(_, len)| len).sum();
        usize::try_from(capacity.saturating_sub(used)).unwrap_or(usize::MAX / 2)
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, NodeId>) {
        match self {
            Self::Made(name, node) => {
                names.insert(name.clone(), *node);
            }
            Self::Renamed { from, to, node } => {
                if names.get(from) == Some(node) {
                    names.remove(from);
                }
                names.insert(to.clone(), *node);
            }
            Self::Removed(name) => {
                names.remove(name);
            }
        }
    }
}

impl Node {
    const fn empty_dir() -> Self {
        Self::Dir { names: BTreeMap::new(), durable: BTreeMap::new(), changes: Vec::new() }
    }

    /// Becomes what was synced.
    fn lose_unsynced(&mut self) {
        match self {
            Self::Dir { names, durable, changes } => {
                names.clone_from(durable);
                changes.clear();
            }
            Self::File { content, durable, dirty, longest } => {
                content.clone_from(durable);
                dirty.clear();
                longest.clear();
            }
        }
    }

    /// Becomes what was synced, and some of what was not.
    fn lose_some(&mut self, chance: &mut Chance) {
        match self {
            Self::Dir { durable, changes, .. } => {
                for change in changes.iter().filter(|_| chance.pick(2) == 0) {
                    change.apply(durable);
                }
            }
            Self::File { content, durable, dirty, longest } => {
                // A length that was set may be lost, and what it cut off be back.
                if longest.len() > content.len() && chance.pick(2) == 0 {
                    content.extend_from_slice(&longest[content.len()..]);
                }
                let (old, new) = (durable.len(), content.len());
                let len = [old, new, old.min(new) + chance.pick(old.abs_diff(new) + 1)][chance.pick(3)];
                durable.resize(len, 0);
                let sectors: BTreeSet<usize> = dirty
                    .iter()
                    .flat_map(|range| range.start / SECTOR_BYTES..range.end.div_ceil(SECTOR_BYTES))
                    .collect();
                for sector in sectors {
                    let range = sector * SECTOR_BYTES..((sector + 1) * SECTOR_BYTES).min(len);
                    let range = range.start.min(range.end)..range.end;
                    match chance.pick(8) {
                        0 => durable[range.start.max(old).min(range.end)..range.end].fill_with(|| chance.byte()),
                        1..4 => {}
                        _ => {
                            let kept = range.start..range.end.min(content.len()).max(range.start);
                            durable[kept.clone()].copy_from_slice(&content[kept]);
                        }
                    }
                }
            }
        }
        self.lose_unsynced();
    }

    fn len(&self) -> usize {
        match self {
            Self::File { content, .. } => content.len(),
            Self::Dir { .. } => 0,
        }
    }
}

struct FileParts<'a> {
    content: &'a mut Vec<u8>,
    durable: &'a mut Vec<u8>,
    dirty: &'a mut Vec<Range<usize>>,
    longest: &'a mut Vec<u8>,
}

/// A source of chance that follows from a seed (splitmix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    fn pick(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap_or(0) % bound
    }

    fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }
}

fn no_power() -> io::Error {
    io::Error::other("the power is off")
}

/// The disk as one process sees it, until it dies.
#[derive(Clone)]
struct MemoryLife {
    inner: Arc<Inner>,
    life: u64,
}

impl MemoryLife {
    /// The state, if the process is alive and there is power.
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = lock(&self.inner.state);
        if state.life != self.life || !state.has_power {
            return Err(no_power());
        }
        Ok(state)
    }

    fn time(&self) -> Timestamp {
        if self.inner.is_seeded { Timestamp(1_700_000_000_000).plus(self.inner.scheduler.now().0) } else { wall_time() }
    }
}

#[expect(clippy::disallowed_methods, reason = "io is where the time of day comes from")]
fn wall_time() -> Timestamp {
    Timestamp(0).plus(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

impl fmt::Debug for MemoryLife {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "memory, life {}", self.life)
    }
}

impl Disk for MemoryLife {
    fn root(&self) -> Arc<dyn Dir> {
        Arc::new(MemoryDir { disk: self.clone(), node: 0, path: PathBuf::from("memory:") })
    }

    fn scheduler(&self) -> Arc<dyn Scheduler> {
        Arc::clone(&self.inner.scheduler)
    }

    fn now(&self) -> Timestamp {
        self.time()
    }

    fn random(&self) -> [u8; 16] {
        let mut state = lock(&self.inner.state);
        if !self.inner.is_seeded {
            state.random ^= u64::from_be_bytes(wall_time().0.to_be_bytes());
        }
        let mut bytes = [0; 16];
        for half in bytes.chunks_exact_mut(8) {
            state.random = state.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state.random ^ (state.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            half.copy_from_slice(&(mixed ^ (mixed >> 27)).to_be_bytes());
        }
        bytes
    }

    fn begin_sync(&self, targets: Vec<SyncTarget>, done: SyncDone) {
        done(targets.iter().try_for_each(SyncTarget::sync));
    }
}

#[derive(Clone, Debug)]
struct MemoryDir {
    disk: MemoryLife,
    node: NodeId,
    path: PathBuf,
}

impl MemoryDir {
    fn failed(&self, action: &'static str, name: &str) -> impl Fn(io::Error) -> Error {
        let path = if name.is_empty() { self.path.clone() } else { self.path.join(name) };
        move |error| Error::io(action, &path, error)
    }

    fn open_file(&self, name: &str) -> Result<Arc<dyn File>> {
        let found = self.disk.state().and_then(|mut state| {
            let node = state.find(self.node, name)?;
            state.file(node).map(|_| node)
        });
        let node = found.map_err(self.failed("open", name))?;
        Ok(self.file(node, name))
    }

    fn file(&self, node: NodeId, name: &str) -> Arc<dyn File> {
        Arc::new(MemoryFile { disk: self.disk.clone(), node, path: self.path.join(name) })
    }

    fn remove_if(&self, name: &str, action: &'static str, may_go: impl Fn(&Node) -> io::Result<()>) -> Result<()> {
        let removed = self.disk.state().and_then(|mut state| {
            let node = state.find(self.node, name)?;
            may_go(&state.nodes[node])?;
            state.step()?;
            state.change(self.node, NameChange::Removed(name.to_owned()))
        });
        removed.map_err(self.failed(action, name))
    }
}

impl Dir for MemoryDir {
    fn path(&self) -> &Path {
        &self.path
    }

    fn list(&self) -> Result<Vec<Entry>> {
        let state = self.disk.state().map_err(self.failed("list", ""))?;
        let names = state.names(self.node).map_err(self.failed("list", ""))?.clone();
        let entry = |(name, node): (String, NodeId)| Entry {
            name,
            is_dir: matches!(state.nodes[node], Node::Dir { .. }),
            len: state.nodes[node].len() as u64,
        };
        Ok(names.into_iter().map(entry).collect())
    }

    fn dir(&self, name: &str) -> Result<Arc<dyn Dir>> {
        let found = self.disk.state().and_then(|state| {
            let node = state.find(self.node, name)?;
            state.names(node).map(|_| node)
        });
        let node = found.map_err(self.failed("open", name))?;
        Ok(Arc::new(Self { disk: self.disk.clone(), node, path: self.path.join(name) }))
    }

    fn create_dir(&self, name: &str) -> Result<Arc<dyn Dir>> {
        if self.disk.state().is_ok_and(|state| state.find(self.node, name).is_ok()) {
            return self.dir(name);
        }
        let made = self.disk.state().and_then(|mut state| {
            state.step()?;
            let node = state.add(Node::empty_dir());
            state.change(self.node, NameChange::Made(name.to_owned(), node))
        });
        made.map_err(self.failed("create directory", name))?;
        self.dir(name)
    }

    fn open(&self, name: &str) -> Result<Arc<dyn File>> {
        self.open_file(name)
    }

    fn open_writable(&self, name: &str) -> Result<Arc<dyn File>> {
        self.open_file(name)
    }

    fn create(&self, name: &str) -> Result<Arc<dyn File>> {
        let made = self.disk.state().and_then(|mut state| {
            state.step()?;
            if let Ok(node) = state.find(self.node, name) {
                state.file(node)?.content.clear();
                return Ok(node);
            }
            let empty = Node::File { content: Vec::new(), durable: Vec::new(), dirty: Vec::new(), longest: Vec::new() };
            let node = state.add(empty);
            state.change(self.node, NameChange::Made(name.to_owned(), node))?;
            Ok(node)
        });
        Ok(self.file(made.map_err(self.failed("create", name))?, name))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let renamed = self.disk.state().and_then(|mut state| {
            let node = state.find(self.node, from)?;
            state.step()?;
            state.change(self.node, NameChange::Renamed { from: from.to_owned(), to: to.to_owned(), node })
        });
        renamed.map_err(self.failed("rename", from))
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.remove_if(name, "remove", |node| match node {
            Node::File { .. } => Ok(()),
            Node::Dir { .. } => Err(ErrorKind::IsADirectory.into()),
        })
    }

    fn remove_dir(&self, name: &str) -> Result<()> {
        self.remove_if(name, "remove directory", |node| match node {
            Node::Dir { names, .. } if names.is_empty() => Ok(()),
            Node::Dir { .. } => Err(ErrorKind::DirectoryNotEmpty.into()),
            Node::File { .. } => Err(ErrorKind::NotADirectory.into()),
        })
    }

    fn sync(&self) -> Result<()> {
        let synced = self.disk.state().and_then(|mut state| {
            state.step()?;
            if state.sync_fails() {
                return Err(io::Error::other("the sync failed"));
            }
            if let Node::Dir { names, durable, changes } = &mut state.nodes[self.node] {
                durable.clone_from(names);
                changes.clear();
            }
            Ok(())
        });
        synced.map_err(self.failed("sync directory", ""))
    }

    fn lock(&self, name: &str, owner: &str) -> Result<Box<dyn Lock>> {
        let file = match self.open_file(name) {
            Ok(file) => file,
            Err(error) if error.is_not_found() => self.create(name)?,
            Err(error) => return Err(error),
        };
        let locked = self.disk.state().and_then(|mut state| {
            let node = state.find(self.node, name)?;
            Ok(state.locked.insert(node).then_some(node))
        });
        match locked.map_err(self.failed("lock", name))? {
            Some(node) => {
                file.set_len(0)?;
                file.write_all_at(owner.as_bytes(), 0)?;
                Ok(Box::new(MemoryLock { disk: self.disk.clone(), node }))
            }
            None => {
                let owner = String::from_utf8_lossy(&file.slice(0, 256)?).into_owned();
                Err(Error::DirectoryLocked { directory: self.path.clone(), owner: owner.into() })
            }
        }
    }
}

#[derive(Debug)]
struct MemoryLock {
    disk: MemoryLife,
    node: NodeId,
}

impl Lock for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        let mut state = lock(&self.disk.inner.state);
        if state.life == self.disk.life {
            state.locked.remove(&self.node);
        }
    }
}

#[derive(Debug)]
struct MemoryFile {
    disk: MemoryLife,
    node: NodeId,
    path: PathBuf,
}

impl MemoryFile {
    fn with<T>(&self, action: &'static str, work: impl FnOnce(&mut State) -> io::Result<T>) -> Result<T> {
        let done = self.disk.state().and_then(|mut state| work(&mut state));
        done.map_err(|error| Error::io(action, &self.path, error))
    }
}

impl File for MemoryFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn len(&self) -> Result<u64> {
        self.with("look up", |state| Ok(state.file(self.node)?.content.len() as u64))
    }

    fn read_at(&self, into: &mut [u8], position: u64) -> Result<usize> {
        self.with("read", |state| {
            let file = state.file(self.node)?;
            let from = usize::try_from(position).unwrap_or(usize::MAX).min(file.content.len());
            let count = into.len().min(file.content.len() - from);
            into[..count].copy_from_slice(&file.content[from..from + count]);
            Ok(count)
        })
    }

    fn slice(&self, position: u64, len: usize) -> Result<Bytes> {
        let mut bytes = vec![0; len.min(usize::try_from(self.len()?.saturating_sub(position)).unwrap_or(usize::MAX))];
        let read = self.read_at(&mut bytes, position)?;
        bytes.truncate(read);
        Ok(bytes.into())
    }

    fn write_all_at(&self, bytes: &[u8], position: u64) -> Result<()> {
        self.write_vectored_all_at(&mut [IoSlice::new(bytes)], position)
    }

    fn write_vectored_all_at(&self, slices: &mut [IoSlice<'_>], position: u64) -> Result<()> {
        self.with("write", |state| {
            state.step()?;
            let bytes = slices.iter().fold(Vec::new(), |mut bytes, slice| {
                bytes.extend_from_slice(slice);
                bytes
            });
            let from = usize::try_from(position).map_err(|_too_far| ErrorKind::FileTooLarge)?;
            let end = from + bytes.len();
            let grows = end.saturating_sub(state.file(self.node)?.content.len());
            if !state.has_room(grows) {
                // As a real disk does: what still fits is there, and the answer is an error.
                let room = state.room();
                let file = state.file(self.node)?;
                let fits = (file.content.len() + room).saturating_sub(from).min(bytes.len());
                file.write(from, &bytes[..fits]);
                return Err(ErrorKind::StorageFull.into());
            }
            state.file(self.node)?.write(from, &bytes);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.with("set the length of", |state| {
            state.step()?;
            let len = usize::try_from(len).map_err(|_too_far| ErrorKind::FileTooLarge)?;
            let grows = len.saturating_sub(state.file(self.node)?.content.len());
            if !state.has_room(grows) {
                return Err(ErrorKind::StorageFull.into());
            }
            let file = state.file(self.node)?;
            let from = file.content.len().min(len);
            if len < file.content.len() && file.longest.len() < file.content.len() {
                file.longest.clone_from(file.content);
            }
            file.content.resize(len, 0);
            file.dirty.push(from..len);
            Ok(())
        })
    }

    fn sync(&self) -> Result<()> {
        self.with("sync", |state| {
            state.step()?;
            let fails = state.sync_fails();
            let file = state.file(self.node)?;
            if fails {
                file.dirty.clear();
                return Err(io::Error::other("the sync failed"));
            }
            file.longest.clear();
            file.durable.resize(file.content.len(), 0);
            for range in file.dirty.drain(..) {
                let range = range.start.min(file.content.len())..range.end.min(file.content.len());
                file.durable[range.clone()].copy_from_slice(&file.content[range]);
            }
            Ok(())
        })
    }
}

impl FileParts<'_> {
    fn write(self, from: usize, bytes: &[u8]) {
        let end = from + bytes.len();
        if self.content.len() < end {
            self.content.resize(end, 0);
        }
        self.content[from..end].copy_from_slice(bytes);
        self.dirty.push(from..end);
    }
}

#[cfg(test)]
mod tests;
