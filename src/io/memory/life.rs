//! A disk in memory as one process sees it: until it dies, or the power fails.

use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::io::memory::Inner;
use crate::io::memory::faults::{Fault, Operation};
use crate::io::memory::medium::{NameChange, Node, NodeId, State, no_power};
use crate::io::memory::sim::PendingSync;
use crate::io::{Dir, Disk, Entry, File, Kind, Lock, SyncDone, SyncTarget, read_full, write_full};
use crate::sync::{Chance, Scheduler, lock};
use crate::types::Timestamp;

/// The disk as one process sees it, until it dies.
#[derive(Clone)]
pub(super) struct MemoryLife {
    pub(super) inner: Arc<Inner>,
    pub(super) life: u64,
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
        if !self.inner.is_seeded {
            return wall_time();
        }
        let begin = Timestamp(1_700_000_000_000 + lock(&self.inner.state).clock_jumped);
        begin.plus(self.inner.scheduler.now().0)
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
        Arc::new(MemoryDir { disk: self.clone(), node: 0, path: PathBuf::from(ROOT) })
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
            state.chance = Chance::new(state.chance.next() ^ wall_time().0.cast_unsigned());
        }
        let mut bytes = [0; 16];
        for half in bytes.chunks_exact_mut(8) {
            half.copy_from_slice(&state.chance.next().to_be_bytes());
        }
        bytes
    }

    fn begin_sync(&self, targets: Vec<SyncTarget>, done: SyncDone) {
        match &self.inner.syncs {
            None => done(targets.iter().try_for_each(SyncTarget::sync)),
            Some(syncs) => {
                let begun_at = lock(&self.inner.state).steps;
                let _ = syncs.send(PendingSync { targets, begun_at, done }); // its actor lives as long as the disk
            }
        }
    }
}

/// What the paths of such a disk begin with.
const ROOT: &str = "memory:";

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
            state.injector.decide(Operation::Open, node, &self.path.join(name)).whole()?;
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
            state.whole_step(Operation::Remove, node, &self.path.join(name))?;
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
        let mut state = self.disk.state().map_err(self.failed("list", ""))?;
        state.injector.decide(Operation::List, self.node, &self.path).whole().map_err(self.failed("list", ""))?;
        let names = state.names(self.node).map_err(self.failed("list", ""))?.clone();
        let entry = |(name, node): (String, NodeId)| Entry {
            name,
            is_dir: matches!(state.nodes[node], Node::Dir { .. }),
            len: state.nodes[node].len() as u64,
        };
        Ok(names.into_iter().map(entry).collect())
    }

    fn dir(&self, name: &str) -> Result<Arc<dyn Dir>> {
        let found = self.disk.state().and_then(|mut state| {
            let node = state.find(self.node, name)?;
            state.injector.decide(Operation::Open, node, &self.path.join(name)).whole()?;
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
            state.whole_step(Operation::Create, self.node, &self.path.join(name))?;
            let node = state.add(Node::empty_dir());
            state.change(self.node, NameChange::Made(name.to_owned(), node))
        });
        made.map_err(self.failed("create directory", name))?;
        self.dir(name)
    }

    fn open(&self, name: &str) -> Result<Arc<dyn File>> {
        self.open_file(name)
    }

    fn open_shared(&self, name: &str) -> Result<Arc<dyn File>> {
        self.open_file(name)
    }

    fn open_writable(&self, name: &str) -> Result<Arc<dyn File>> {
        self.open_file(name)
    }

    fn create(&self, name: &str) -> Result<Arc<dyn File>> {
        let made = self.disk.state().and_then(|mut state| {
            state.whole_step(Operation::Create, self.node, &self.path.join(name))?;
            if let Ok(node) = state.find(self.node, name) {
                state.file(node)?.set_len(0);
                state.make_readable(node, &(0..usize::MAX));
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
            state.whole_step(Operation::Rename, node, &self.path.join(from))?;
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

    fn kind(&self, name: &str) -> Result<Option<Kind>> {
        let found = self.disk.state().and_then(|state| match state.find(self.node, name) {
            Ok(node) if matches!(state.nodes[node], Node::Dir { .. }) => Ok(Some(Kind::Dir)),
            Ok(_) => Ok(Some(Kind::File)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        });
        found.map_err(self.failed("look up", name))
    }

    fn move_to(&self, name: &str, target: &dyn Dir, to: &str) -> Result<()> {
        let moved = self.disk.state().and_then(|mut state| {
            let node = state.find(self.node, name)?;
            let place = target.path().strip_prefix(ROOT).ok().and_then(|path| state.look_up(path));
            let place = place.ok_or(ErrorKind::NotFound)?;
            state.whole_step(Operation::Rename, node, &self.path.join(name))?;
            state.change(place, NameChange::Made(to.to_owned(), node))?;
            state.change(self.node, NameChange::Removed(name.to_owned()))
        });
        moved.map_err(self.failed("move", name))
    }

    fn link(&self, _name: &str, _target: &dyn Dir, _to: &str) -> Result<bool> {
        Ok(false) // a disk in memory has nothing to save by it
    }

    fn sync(&self) -> Result<()> {
        let synced = self.disk.state().and_then(|mut state| {
            let begun_at = state.sync_begun_at.unwrap_or(state.steps);
            state.whole_step(Operation::Sync, self.node, &self.path)?;
            if state.sync_fails() {
                return Err(io::Error::other("the sync failed"));
            }
            state.carry(begun_at);
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
                let held = MemoryLock { disk: self.disk.clone(), node }; // from now on, whatever fails
                file.set_len(0)?;
                // A process id is of some length or other, and one seed is one run in each process.
                let owner = if self.disk.inner.is_seeded { "a simulated process" } else { owner };
                file.write_all_at(owner.as_bytes(), 0)?;
                Ok(Box::new(held))
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
        read_full(into, position, |into, position| {
            let mut state = self.disk.state()?;
            let effect = state.injector.decide(Operation::Read, self.node, &self.path);
            let len = state.file(self.node)?.content.len();
            let from = usize::try_from(position).unwrap_or(usize::MAX).min(len);
            let count = effect.part_of(into.len().min(len - from));
            if state.is_unreadable(self.node, &(from..from + count)) {
                return Err(Errno::IO.into());
            }
            let file = state.file(self.node)?;
            into[..count].copy_from_slice(&file.content[from..from + count]);
            effect.flip(&mut into[..count]);
            effect.error().map_or(Ok(count), Err)
        })
        .map_err(|error| Error::io("read", &self.path, error))
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
        write_full(slices, position, |slices, position| {
            let mut state = self.disk.state()?;
            let effect = state.step(Operation::Write, self.node, &self.path)?;
            let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            let from = usize::try_from(position).map_err(|_too_far| ErrorKind::FileTooLarge)?;
            // As a real disk does: what still fits is there, and then the answer is an error.
            let len = state.file(self.node)?.content.len();
            let fits = len.saturating_add(state.room()).saturating_sub(from).min(bytes.len());
            if fits == 0 && !bytes.is_empty() {
                return Err(ErrorKind::StorageFull.into());
            }
            let count = effect.part_of(fits);
            state.injector.note(position ^ u64::from(crc32fast::hash(&bytes[..count])) << 32);
            if count > 0 {
                state.file(self.node)?.write(from, &bytes[..count]);
                state.make_readable(self.node, &(from..from + count));
            }
            effect.error().map_or(Ok(count), Err)
        })
        .map_err(|error| Error::io("write", &self.path, error))
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.with("set the length of", |state| {
            state.whole_step(Operation::SetLen, self.node, &self.path)?;
            let len = usize::try_from(len).map_err(|_too_far| ErrorKind::FileTooLarge)?;
            let grows = len.saturating_sub(state.file(self.node)?.content.len());
            if !state.has_room(grows) {
                return Err(ErrorKind::StorageFull.into());
            }
            state.file(self.node)?.set_len(len);
            state.make_readable(self.node, &(len..usize::MAX));
            Ok(())
        })
    }

    fn sync(&self) -> Result<()> {
        self.with("sync", |state| {
            let begun_at = state.sync_begun_at.unwrap_or(state.steps);
            let effect = state.step(Operation::Sync, self.node, &self.path)?;
            let fails = state.sync_fails();
            let file = state.file(self.node)?;
            if fails || effect.error().is_some() {
                if effect.is(Fault::Reverts) {
                    file.revert(begun_at);
                } else if !effect.is(Fault::StaysDirty) {
                    file.forget(begun_at);
                }
                return Err(effect.error().unwrap_or_else(|| io::Error::other("the sync failed")));
            }
            file.sync(begun_at);
            state.carry(begun_at);
            Ok(())
        })
    }
}
