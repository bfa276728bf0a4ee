//! Files of the operating system.
//!
//! Reads go into buffers that are used again: the first touch of a fresh page costs more than copying into it. All
//! writes are positional, so nothing depends on where a file's cursor is. Files that are only read share a bounded
//! number of descriptors, and may be mapped ([`handles`]).

mod handles;

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, IoSlice};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use fs2::FileExt as _;
use rustix::time::{ClockId, clock_gettime};

use crate::error::{Error, Result};
use crate::io::os::handles::{FileId, Handles};
use crate::io::pool::Pool;
use crate::io::{Dir, Disk, Entry, File, Kind, Lock, Reading, SyncDone, SyncTarget, read_full, write_full};
use crate::sync::{Scheduler, Threads};
use crate::types::Timestamp;

/// How large a pooled read buffer is: what one `pread` of the read path asks for.
const BUFFER_BYTES: usize = 256 * 1024;
/// How many buffers rest in the pool at most: 8 MiB.
const POOLED_BUFFERS: usize = 32;

/// A directory of a real file system, and threads.
#[derive(Debug)]
pub(crate) struct OsDisk {
    root: Arc<OsDir>,
    scheduler: Arc<Threads>,
}

impl OsDisk {
    /// Opens `path`, which is made, with all above it, if `create` says so.
    pub(crate) fn open(path: &Path, create: bool, reading: &Reading) -> Result<Self> {
        if create {
            create_dirs(path)?;
        }
        let (pool, handles) = (Arc::new(Pool::new(BUFFER_BYTES, POOLED_BUFFERS)), Arc::new(Handles::new(reading)));
        let dir = OsDir { path: path.to_owned(), pool, handles };
        let found = fs::metadata(path).map_err(|error| Error::io("open", path, error))?;
        if !found.is_dir() {
            return Err(Error::io("open", path, ErrorKind::NotADirectory.into()));
        }
        Ok(Self { root: Arc::new(dir), scheduler: Arc::new(Threads::new()) })
    }
}

/// Makes `path` and what is missing above it, each name durable before anything is put below it.
#[expect(clippy::disallowed_methods, reason = "io is where directories are made")]
fn create_dirs(path: &Path) -> Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        create_dirs(parent)?;
    }
    match fs::create_dir(path) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => return Ok(()),
        Err(error) => return Err(Error::io("create directory", path, error)),
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    sync_dir(parent)
}

#[expect(clippy::disallowed_methods, reason = "io is where directories are opened")]
fn sync_dir(path: &Path) -> Result<()> {
    fs::File::open(path).and_then(|dir| dir.sync_all()).map_err(|error| Error::io("sync directory", path, error))
}

/// Makes `to` a file of its own that shares the blocks of `from`; `false` where the file system does not do that.
#[cfg(target_os = "linux")]
#[expect(clippy::disallowed_methods, reason = "io is where files are made")]
fn clone_file(from: &Path, to: &Path) -> Result<bool> {
    let source = open(from, &mut OpenOptions::new())?;
    let mut options = OpenOptions::new();
    let target = options.write(true).create_new(true).open(to).map_err(|error| Error::io("create", to, error))?;
    if rustix::fs::ioctl_ficlone(&target, &source).is_ok() {
        target.sync_all().map_err(|error| Error::io("sync", to, error))?;
        return Ok(true);
    }
    fs::remove_file(to).map_err(|error| Error::io("remove", to, error))?;
    Ok(false)
}

#[cfg(not(target_os = "linux"))]
fn clone_file(_from: &Path, _to: &Path) -> Result<bool> {
    Ok(false)
}

/// A symbolic link in the place of a file of ours is somebody's mistake or trick: it is not followed. Nor is a pipe
/// waited for.
fn no_follow() -> i32 {
    i32::try_from((rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits()).unwrap_or(0)
}

impl Disk for OsDisk {
    fn root(&self) -> Arc<dyn Dir> {
        Arc::clone(&self.root) as Arc<dyn Dir>
    }

    fn scheduler(&self) -> Arc<dyn Scheduler> {
        Arc::clone(&self.scheduler) as Arc<dyn Scheduler>
    }

    #[inline]
    fn now(&self) -> Timestamp {
        // Asked for each record that is sent: the standard library's clock costs half as much again, on its way from
        // seconds and nanoseconds to a time, a duration, and back.
        let now = clock_gettime(ClockId::Realtime);
        Timestamp(now.tv_sec.saturating_mul(1000).saturating_add(now.tv_nsec / 1_000_000).max(0))
    }

    fn random(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        let mut filled = 0;
        while filled < bytes.len() {
            // It can only be interrupted: the buffer is small and the flags are none.
            filled += rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty()).unwrap_or(0);
        }
        bytes
    }

    fn begin_sync(&self, targets: Vec<SyncTarget>, done: SyncDone) {
        done(targets.iter().try_for_each(SyncTarget::sync));
    }
}

#[derive(Debug)]
struct OsDir {
    path: PathBuf,
    pool: Arc<Pool>,
    handles: Arc<Handles>,
}

impl OsDir {
    fn below(&self, name: &str) -> Arc<dyn Dir> {
        let (pool, handles) = (Arc::clone(&self.pool), Arc::clone(&self.handles));
        Arc::new(Self { path: self.path.join(name), pool, handles })
    }

    fn open_with(&self, name: &str, options: &mut OpenOptions) -> Result<Arc<dyn File>> {
        let path = self.path.join(name);
        let file = open(&path, options)?;
        Ok(Arc::new(OsFile { file, path, pool: Arc::clone(&self.pool) }))
    }
}

#[expect(clippy::disallowed_methods, reason = "io is where files are opened")]
fn open(path: &Path, options: &mut OpenOptions) -> Result<fs::File> {
    let file = options.read(true).custom_flags(no_follow()).open(path);
    file.map_err(|error| Error::io("open", path, error))
}

impl Dir for OsDir {
    fn path(&self) -> &Path {
        &self.path
    }

    #[expect(clippy::disallowed_methods, reason = "io is where directories are read")]
    fn list(&self) -> Result<Vec<Entry>> {
        let failed = |error| Error::io("list", &self.path, error);
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            match entry.metadata() {
                Ok(found) => entries.push(Entry { name, is_dir: found.is_dir(), len: found.len() }),
                Err(error) if error.kind() == ErrorKind::NotFound => {} // removed since
                Err(error) => return Err(Error::io("look up", &entry.path(), error)),
            }
        }
        entries.sort_unstable();
        Ok(entries)
    }

    #[expect(clippy::disallowed_methods, reason = "io is where directories are read")]
    fn names(&self) -> Result<Vec<String>> {
        let failed = |error| Error::io("list", &self.path, error);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            names.extend(entry.map_err(failed)?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn dir(&self, name: &str) -> Result<Arc<dyn Dir>> {
        let path = self.path.join(name);
        let found = fs::symlink_metadata(&path).map_err(|error| Error::io("open", &path, error))?;
        if !found.is_dir() {
            return Err(Error::io("open", &path, ErrorKind::NotADirectory.into()));
        }
        Ok(self.below(name))
    }

    #[expect(clippy::disallowed_methods, reason = "io is where directories are made")]
    fn create_dir(&self, name: &str) -> Result<Arc<dyn Dir>> {
        let path = self.path.join(name);
        match fs::create_dir(&path) {
            Ok(()) => Ok(self.below(name)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => self.dir(name),
            Err(error) => Err(Error::io("create directory", &path, error)),
        }
    }

    fn open(&self, name: &str) -> Result<Arc<dyn File>> {
        self.open_with(name, &mut OpenOptions::new())
    }

    fn open_shared(&self, name: &str) -> Result<Arc<dyn File>> {
        let (pool, handles) = (Arc::clone(&self.pool), Arc::clone(&self.handles));
        let (id, is_sealed) = (handles.new_id(), AtomicBool::new(false));
        Ok(Arc::new(SharedFile { path: self.path.join(name), id, is_sealed, pool, handles }))
    }

    fn open_writable(&self, name: &str) -> Result<Arc<dyn File>> {
        self.open_with(name, OpenOptions::new().write(true))
    }

    fn create(&self, name: &str) -> Result<Arc<dyn File>> {
        self.open_with(name, OpenOptions::new().write(true).create(true).truncate(true))
    }

    #[expect(clippy::disallowed_methods, reason = "io is where names change")]
    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let path = self.path.join(from);
        fs::rename(&path, self.path.join(to)).map_err(|error| Error::io("rename", &path, error))
    }

    #[expect(clippy::disallowed_methods, reason = "io is where files are removed")]
    fn remove(&self, name: &str) -> Result<()> {
        let path = self.path.join(name);
        fs::remove_file(&path).map_err(|error| Error::io("remove", &path, error))
    }

    #[expect(clippy::disallowed_methods, reason = "io is where directories are removed")]
    fn remove_dir(&self, name: &str) -> Result<()> {
        let path = self.path.join(name);
        fs::remove_dir(&path).map_err(|error| Error::io("remove directory", &path, error))
    }

    fn kind(&self, name: &str) -> Result<Option<Kind>> {
        let path = self.path.join(name);
        let found = match fs::symlink_metadata(&path) {
            Ok(found) => found.file_type(),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("look up", &path, error)),
        };
        Ok(Some(match () {
            () if found.is_file() => Kind::File,
            () if found.is_dir() => Kind::Dir,
            () if !found.is_symlink() => Kind::Other,
            () if fs::metadata(&path).is_ok() => Kind::Link,
            () => Kind::DeadLink,
        }))
    }

    #[expect(clippy::disallowed_methods, reason = "io is where names change")]
    fn move_to(&self, name: &str, target: &dyn Dir, to: &str) -> Result<()> {
        let path = self.path.join(name);
        fs::rename(&path, target.path().join(to)).map_err(|error| Error::io("move", &path, error))
    }

    fn link(&self, name: &str, target: &dyn Dir, to: &str) -> Result<bool> {
        let (from, to) = (self.path.join(name), target.path().join(to));
        if clone_file(&from, &to)? {
            return Ok(true);
        }
        match fs::hard_link(&from, &to) {
            Ok(()) => Ok(true),
            // Another file system, one without links, a file of another owner, or one with as many names as it can have.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::CrossesDevices
                        | ErrorKind::PermissionDenied
                        | ErrorKind::Unsupported
                        | ErrorKind::TooManyLinks
                ) =>
            {
                Ok(false)
            }
            Err(error) => Err(Error::io("link", &from, error)),
        }
    }

    fn sync(&self) -> Result<()> {
        sync_dir(&self.path)
    }

    #[expect(clippy::disallowed_methods, reason = "io is where locks are taken")]
    fn lock(&self, name: &str, owner: &str) -> Result<Box<dyn Lock>> {
        let path = self.path.join(name);
        let failed = |error| Error::io("lock", &path, error);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).custom_flags(no_follow());
        let file = options.open(&path).map_err(failed)?;
        let locked = || {
            let mut said = [0; 256];
            let length = file.read_at(&mut said, 0).unwrap_or(0);
            let owner = String::from_utf8_lossy(&said[..length]).trim().to_owned();
            let owner = if owner.is_empty() { "another process".to_owned() } else { owner };
            Error::DirectoryLocked { directory: self.path.clone(), owner: owner.into() }
        };
        // flock(2) is tied to the open file: a second opener in this process is refused as well.
        match file.try_lock_exclusive() {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(locked()),
            Err(error) => return Err(failed(error)),
        }
        // A Kafka broker locks with fcntl(2), which knows nothing of flock(2).
        match rustix::fs::fcntl_lock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => return Err(locked()),
            Err(error) => return Err(failed(error.into())),
        }
        file.set_len(0).and_then(|()| file.write_all_at(owner.as_bytes(), 0)).map_err(failed)?;
        Ok(Box::new(OsLock { file }))
    }
}

/// Holds the file, and with it both locks, until it is dropped.
#[derive(Debug)]
struct OsLock {
    file: fs::File,
}

impl Lock for OsLock {}

impl Drop for OsLock {
    fn drop(&mut self) {
        // Closing alone would not do: a child that another thread has forked holds the open file until it executes its
        // program, and the lock with it.
        if let Err(error) = self.file.unlock() {
            log::warn!("the lock goes when the file is closed: {error}");
        }
    }
}

#[derive(Debug)]
struct OsFile {
    file: fs::File,
    path: PathBuf,
    pool: Arc<Pool>,
}

impl OsFile {
    fn failed(&self, action: &'static str) -> impl Fn(io::Error) -> Error {
        move |error| Error::io(action, &self.path, error)
    }
}

impl File for OsFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn len(&self) -> Result<u64> {
        Ok(self.file.metadata().map_err(self.failed("look up"))?.len())
    }

    fn read_at(&self, into: &mut [u8], position: u64) -> Result<usize> {
        read_from(&self.file, into, position).map_err(self.failed("read"))
    }

    fn slice(&self, position: u64, len: usize) -> Result<Bytes> {
        read_pooled(&self.pool, &self.file, position, len).map_err(self.failed("read"))
    }

    fn write_all_at(&self, bytes: &[u8], position: u64) -> Result<()> {
        self.write_vectored_all_at(&mut [IoSlice::new(bytes)], position)
    }

    fn write_vectored_all_at(&self, slices: &mut [IoSlice<'_>], position: u64) -> Result<()> {
        let write_once = |rest: &[IoSlice<'_>], at| Ok(rustix::io::pwritev(&self.file, rest, at)?);
        write_full(slices, position, write_once).map_err(self.failed("write"))
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.file.set_len(len).map_err(self.failed("set the length of"))
    }

    fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(self.failed("sync"))
    }
}

/// Reads until `into` is full or the file ends.
fn read_from(file: &fs::File, into: &mut [u8], position: u64) -> io::Result<usize> {
    read_full(into, position, |into, position| file.read_at(into, position))
}

/// Up to `len` bytes of `file`, in a buffer that goes back to the pool.
fn read_pooled(pool: &Arc<Pool>, file: &fs::File, position: u64, len: usize) -> io::Result<Bytes> {
    let mut buffer = Pool::take(pool, len);
    let read = read_from(file, &mut buffer.bytes_mut()[..len], position)?;
    Ok(Bytes::from_owner(buffer).slice(..read))
}

/// A file that is only read, through a descriptor or a map that others may take its place in.
#[derive(Debug)]
struct SharedFile {
    path: PathBuf,
    id: FileId,
    is_sealed: AtomicBool,
    pool: Arc<Pool>,
    handles: Arc<Handles>,
}

impl SharedFile {
    fn file(&self) -> Result<Arc<fs::File>> {
        self.handles.file(self.id, || open(&self.path, &mut OpenOptions::new()))
    }

    fn failed(&self, action: &'static str) -> impl Fn(io::Error) -> Error {
        move |error| Error::io(action, &self.path, error)
    }

    /// What it is not opened for.
    fn refused(&self, action: &'static str) -> Result<()> {
        Err(self.failed(action)(ErrorKind::PermissionDenied.into()))
    }
}

impl File for SharedFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn len(&self) -> Result<u64> {
        Ok(self.file()?.metadata().map_err(self.failed("look up"))?.len())
    }

    fn read_at(&self, into: &mut [u8], position: u64) -> Result<usize> {
        read_from(&*self.file()?, into, position).map_err(self.failed("read"))
    }

    fn slice(&self, position: u64, len: usize) -> Result<Bytes> {
        if self.is_sealed.load(Ordering::Acquire)
            && let Some(map) = self.handles.map(self.id, || self.file())?
        {
            let from = usize::try_from(position).unwrap_or(usize::MAX).min(map.len());
            return Ok(map.slice(from..from.saturating_add(len).min(map.len())));
        }
        read_pooled(&self.pool, &*self.file()?, position, len).map_err(self.failed("read"))
    }

    fn seal(&self) {
        self.is_sealed.store(true, Ordering::Release);
    }

    fn write_all_at(&self, _bytes: &[u8], _position: u64) -> Result<()> {
        self.refused("write")
    }

    fn write_vectored_all_at(&self, _slices: &mut [IoSlice<'_>], _position: u64) -> Result<()> {
        self.refused("write")
    }

    fn set_len(&self, _len: u64) -> Result<()> {
        self.refused("set the length of")
    }

    fn sync(&self) -> Result<()> {
        self.refused("sync")
    }
}

impl Drop for SharedFile {
    fn drop(&mut self) {
        self.handles.forget(self.id);
    }
}
