//! The door to files and clocks: the contract, and exactly what a crash may take.
//!
//! Everything that reads or changes a disk goes through [`Disk`], [`Dir`] and [`File`], so that one engine runs on a
//! real disk ([`os`]), in memory ([`memory`], with `power_cut()`), and in a simulation.
//!
//! What the rest of the crate may rely on:
//!
//! | after | a killed process leaves | a power cut leaves |
//! |---|---|---|
//! | `write_*` returned | the bytes | any subset of the sectors written since the last sync, zeros or the old bytes in the others; a grown file may be as short as it was |
//! | `set_len` returned | the new length | the old or the new one |
//! | `File::sync` returned `Ok` | the bytes | contents and length as they were when it was called; **not** the name |
//! | `File::sync` returned an error | the bytes, until the page cache drops them | as without a sync, and **never again** better by itself: the pages count as clean. Only writing the bytes again and a sync that returns `Ok` bring them to the disk |
//! | `create`, `rename`, `remove` returned | the new name | the old or the new one, each by itself |
//! | `Dir::sync` returned `Ok` | the names | the names in that directory as they were when it was called |
//!
//! A rename is atomic: after a crash the name leads to the old file or to the new one. Names are durable from the
//! directory up only if each directory on the way was synced.

mod ahead;
mod memory;
mod os;
mod pool;

use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::sync::Scheduler;
use crate::types::{ReadMode, Timestamp};

pub(crate) use ahead::ReadAhead;
pub use memory::MemoryDisk;
#[cfg(feature = "sim")]
pub use memory::{Fault, Faults, Operation, PowerCut};
pub(crate) use os::OsDisk;

/// A disk, with the clock and the scheduler that go with it.
pub(crate) trait Disk: fmt::Debug + Send + Sync {
    /// The directory that everything is in.
    fn root(&self) -> Arc<dyn Dir>;

    /// Runs the actors of an engine on this disk.
    fn scheduler(&self) -> Arc<dyn Scheduler>;

    /// The time of day. It may jump, in both directions.
    fn now(&self) -> Timestamp;

    /// Random bytes; in a simulation they follow from the seed.
    fn random(&self) -> [u8; 16];

    /// Syncs every target, and tells `done` when all are through, or with the first error.
    ///
    /// A real disk syncs before it returns: call it on a thread that may wait for a disk. A simulated one may call
    /// `done` later, from another step.
    fn begin_sync(&self, targets: Vec<SyncTarget>, done: SyncDone);
}

/// How files that are only read are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) mode: ReadMode,
    /// How many of them are open at a time, and how many are mapped.
    pub(crate) max_open_segments: u32,
    /// How many bytes are mapped at a time.
    pub(crate) max_mapped_bytes: u64,
}

/// Told the outcome of [`Disk::begin_sync`].
pub(crate) type SyncDone = Box<dyn FnOnce(Result<()>) + Send>;

/// What can be synced.
#[derive(Clone, Debug)]
pub(crate) enum SyncTarget {
    /// A file's contents and length.
    File(Arc<dyn File>),
    /// The names in a directory.
    Dir(Arc<dyn Dir>),
}

impl SyncTarget {
    /// Syncs it, and waits for that.
    pub(crate) fn sync(&self) -> Result<()> {
        match self {
            Self::File(file) => file.sync(),
            Self::Dir(dir) => dir.sync(),
        }
    }
}

/// What a directory holds under one name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) is_dir: bool,
    /// Of a file, in bytes.
    pub(crate) len: u64,
}

/// What stands under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Dir,
    /// A symbolic link to something that is there. None is followed below the root.
    Link,
    /// A symbolic link to nothing, or round in a circle.
    DeadLink,
    /// A pipe, a device, a socket.
    Other,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "a file",
            Self::Dir => "a directory",
            Self::Link => "a symbolic link",
            Self::DeadLink => "a symbolic link to nothing",
            Self::Other => "no file",
        })
    }
}

/// A directory that is there. Every error names the action and the path.
pub(crate) trait Dir: fmt::Debug + Send + Sync {
    /// Where it is, for messages.
    fn path(&self) -> &Path;

    /// What is in it, by name. Names that are not UTF-8 are left out: ottla made none of them.
    fn list(&self) -> Result<Vec<Entry>>;

    /// The names of what is in it, in no order. [`list`](Self::list) looks each of them up, which costs more.
    fn names(&self) -> Result<Vec<String>> {
        Ok(self.list()?.into_iter().map(|entry| entry.name).collect())
    }

    /// Opens the directory `name` in this one.
    fn dir(&self, name: &str) -> Result<Arc<dyn Dir>>;

    /// Makes and opens the directory `name`; takes one that is there.
    fn create_dir(&self, name: &str) -> Result<Arc<dyn Dir>>;

    /// Opens the file `name` to read.
    fn open(&self, name: &str) -> Result<Arc<dyn File>>;

    /// The file `name`, to be read now and then: it shares a bounded number of descriptors with others, and has one only
    /// when it needs it. That there is no such file may show with the first read only.
    fn open_shared(&self, name: &str) -> Result<Arc<dyn File>>;

    /// Opens the file `name` to read and write.
    fn open_writable(&self, name: &str) -> Result<Arc<dyn File>>;

    /// Makes and opens the file `name`, empty; one that is there loses its content.
    fn create(&self, name: &str) -> Result<Arc<dyn File>>;

    /// Gives what is called `from` the name `to`, in place of a file that has it.
    fn rename(&self, from: &str, to: &str) -> Result<()>;

    /// Removes a file.
    fn remove(&self, name: &str) -> Result<()>;

    /// Removes an empty directory.
    fn remove_dir(&self, name: &str) -> Result<()>;

    /// What is called `name`; `None` if nothing is.
    fn kind(&self, name: &str) -> Result<Option<Kind>>;

    /// Moves what is called `name`, whatever it is, into the directory `target`, where nothing may have the name `to`.
    /// Once `target` and this one were synced, in this order, a crash finds it there; before that, here or there.
    fn move_to(&self, name: &str, target: &dyn Dir, to: &str) -> Result<()>;

    /// Gives the file `name` a second name, `to` in the directory `target`, without copying it: as a clone that shares its
    /// blocks, or else as a link to the same file. So neither may be written to from then on. `false` where the disk can
    /// do neither, as between two file systems.
    fn link(&self, name: &str, target: &dyn Dir, to: &str) -> Result<bool>;

    /// Makes the names in it durable.
    fn sync(&self) -> Result<()>;

    /// Takes the exclusive lock on the file `name`, which is made if need be, for as long as the answer is held.
    ///
    /// `owner` is written into the file, for the message to whoever comes second.
    ///
    /// # Errors
    /// [`Error::DirectoryLocked`] while somebody else holds it.
    fn lock(&self, name: &str, owner: &str) -> Result<Box<dyn Lock>>;
}

/// A lock, held until it is dropped.
pub(crate) trait Lock: fmt::Debug + Send + Sync {}

/// An open file. Every error names the action and the path.
pub(crate) trait File: fmt::Debug + Send + Sync {
    /// Where it is, for messages.
    fn path(&self) -> &Path;

    /// How long it is, in bytes.
    fn len(&self) -> Result<u64>;

    /// Reads from `position` until `into` is full or the file ends; says how many bytes there were.
    fn read_at(&self, into: &mut [u8], position: u64) -> Result<usize>;

    /// Reads `len` bytes from `position`, fewer where the file ends. The bytes stay good when the file is removed.
    fn slice(&self, position: u64, len: usize) -> Result<Bytes>;

    /// Says that neither its length nor its bytes change any more: one that was opened shared may be mapped from now on.
    fn seal(&self) {}

    /// Writes all of `bytes` at `position`. After an error any part of them may have been written.
    fn write_all_at(&self, bytes: &[u8], position: u64) -> Result<()>;

    /// Writes all of `slices`, one behind the other, at `position`. After an error any part may have been written.
    fn write_vectored_all_at(&self, slices: &mut [IoSlice<'_>], position: u64) -> Result<()>;

    /// Cuts it off, or lengthens it with zeros.
    fn set_len(&self, len: u64) -> Result<()>;

    /// Makes contents and length durable, but not the name.
    fn sync(&self) -> Result<()>;
}

/// Reads with `read_once`, which gives some of what it is asked for, until `into` is full or the file ends.
pub(crate) fn read_full(
    into: &mut [u8],
    position: u64,
    mut read_once: impl FnMut(&mut [u8], u64) -> io::Result<usize>,
) -> io::Result<usize> {
    let mut filled = 0;
    while filled < into.len() {
        match read_once(&mut into[filled..], position + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Writes all of `slices` with `write_once`, which takes some of what it is given.
pub(crate) fn write_full(
    slices: &mut [IoSlice<'_>],
    position: u64,
    mut write_once: impl FnMut(&[IoSlice<'_>], u64) -> io::Result<usize>,
) -> io::Result<()> {
    let mut rest = slices;
    let mut position = position;
    IoSlice::advance_slices(&mut rest, 0); // without those that are empty: writing nothing is not a failure
    while !rest.is_empty() {
        match write_once(rest, position) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => {
                position += written as u64;
                IoSlice::advance_slices(&mut rest, written);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads a whole file that is expected to be small: an error above `limit` bytes rather than an allocation.
pub(crate) fn read_small(file: &dyn File, limit: u64) -> Result<Vec<u8>> {
    let len = file.len()?;
    if len > limit {
        return Err(Error::corrupt_file(file.path(), limit, format!("{len} bytes are more than such a file has")));
    }
    let mut content = vec![0; usize::try_from(len).unwrap_or(0)];
    let read = file.read_at(&mut content, 0)?;
    content.truncate(read);
    Ok(content)
}

/// Replaces `name` by `bytes`: after a crash the file holds the old content or the new one, never a mix.
pub(crate) fn replace(dir: &dyn Dir, name: &str, bytes: &[u8]) -> Result<()> {
    let beside = format!("{name}.tmp");
    let file = dir.create(&beside)?;
    file.write_all_at(bytes, 0)?;
    file.sync()?; // or the rename may become durable before the content
    dir.rename(&beside, name)?;
    dir.sync() // or a later write that relies on the new content may survive without it
}
