//! Which operations of a disk in memory go wrong, and how.
//!
//! An operation is one call to the system, as a real disk would see it: a write that is cut short is followed by
//! another for the rest. Each has a number. A fault is either chosen, for the operation of that number, or random, for
//! one in so many of a kind; both follow from the seed. Without faults nothing here changes anything, but the numbers and
//! the trace are kept: two runs were the same if their traces are.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use rustix::io::Errno;

use crate::io::memory::medium::NodeId;
use crate::sync::Chance;

/// What a disk is asked to do.
///
/// ```
/// # use ottla::sim::Operation;
/// assert!(Operation::Write < Operation::Sync); // in the order in which a record meets them
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Opening a file or directory that is there.
    Open,
    /// Listing a directory.
    List,
    /// Reading.
    Read,
    /// Making a file or directory.
    Create,
    /// Writing.
    Write,
    /// Changing a file's length.
    SetLen,
    /// Making contents or names durable.
    Sync,
    /// Giving another name.
    Rename,
    /// Removing a file or directory.
    Remove,
}

/// How an operation goes wrong.
///
/// ```
/// # use ottla::{Engine, Error, MemoryDisk};
/// # use ottla::sim::Fault;
/// let disk = MemoryDisk::simulated(7);
/// disk.fail_operation(0, Fault::TooManyFiles);
/// let refused = Engine::builder().open_memory(&disk);
/// assert!(matches!(refused, Err(Error::Io { .. })));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// The device fails: `EIO`. A write may have written a part; a sync loses what it should have made durable.
    Device,
    /// No space is left: `ENOSPC`. A write may have written a part.
    NoSpace,
    /// The user's quota is used up: `EDQUOT`. A write may have written a part.
    Quota,
    /// The process has as many files open as it may: `EMFILE`.
    TooManyFiles,
    /// A signal came in between: `EINTR`. Nothing is done, and asking again helps. Only reads and writes know it: other
    /// calls are asked again below the engine.
    Interrupted,
    /// Only a part is read or written, without an error. Other operations do not know it.
    Short,
    /// A bit that is read is wrong, this once. Other operations do not know it.
    FlippedBit,
    /// A sync fails with `EIO`, and what it should have made durable stays to be written: a later sync does it. Other
    /// operations do not know it.
    StaysDirty,
    /// A sync fails with `EIO`, and what it should have made durable is gone at once: reading shows what was synced
    /// before, and zeros behind that. Other operations do not know it.
    Reverts,
}

/// What there is to do with a disk.
const OPERATIONS: [Operation; 9] = [
    Operation::Open,
    Operation::List,
    Operation::Read,
    Operation::Create,
    Operation::Write,
    Operation::SetLen,
    Operation::Sync,
    Operation::Rename,
    Operation::Remove,
];

impl Fault {
    /// Whether there is such a thing for `operation`.
    const fn concerns(self, operation: Operation) -> bool {
        match self {
            Self::Device => true,
            Self::NoSpace | Self::Quota => {
                matches!(operation, Operation::Create | Operation::Write | Operation::SetLen | Operation::Sync)
            }
            Self::TooManyFiles => matches!(operation, Operation::Open | Operation::List | Operation::Create),
            Self::Interrupted | Self::Short => matches!(operation, Operation::Read | Operation::Write),
            Self::FlippedBit => matches!(operation, Operation::Read),
            Self::StaysDirty | Self::Reverts => matches!(operation, Operation::Sync),
        }
    }

    fn error(self) -> Option<io::Error> {
        let errno = match self {
            Self::Device | Self::StaysDirty | Self::Reverts => Errno::IO,
            Self::NoSpace => Errno::NOSPC,
            Self::Quota => Errno::DQUOT,
            Self::TooManyFiles => Errno::MFILE,
            Self::Interrupted => Errno::INTR,
            Self::Short | Self::FlippedBit => return None,
        };
        Some(errno.into())
    }
}

/// Faults that happen at random.
///
/// ```
/// # use ottla::{Engine, MemoryDisk, Producer, ProducerRecord};
/// # use ottla::sim::{Fault, Faults, Operation};
/// let disk = MemoryDisk::simulated(7);
/// let engine = Engine::builder().open_memory(&disk)?;
/// let producer = Producer::<str, str>::new(&engine)?;
/// disk.set_faults(Faults::none().one_in(2, Operation::Write, Fault::Short).one_in(2, Operation::Write, Fault::Interrupted));
/// let stored = producer.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
/// assert_eq!(stored.offset(), Some(ottla::Offset(0))); // what was left was written with the next call
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    list: Vec<Chosen>,
}

/// One in `count` operations of a kind, on files in whose path `part` is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Chosen {
    operation: Operation,
    fault: Fault,
    count: u32,
    part: String,
    is_once: bool,
}

impl Faults {
    /// None: the disk works.
    #[must_use]
    pub const fn none() -> Self {
        Self { list: Vec::new() }
    }

    /// And one in `count` of the operations of that kind, on average, goes wrong like that. 0 stands for none.
    ///
    /// An operation that does not know the fault is left alone.
    #[must_use]
    pub fn one_in(mut self, count: u32, operation: Operation, fault: Fault) -> Self {
        if count > 0 && fault.concerns(operation) {
            self.list.push(Chosen { operation, fault, count, part: String::new(), is_once: false });
        }
        self
    }

    /// And one in `count` of all operations that know the fault, of whatever kind, goes wrong like that.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Engine, Error, MemoryDisk};
    /// # use ottla::sim::{Fault, Faults};
    /// let disk = MemoryDisk::simulated(7);
    /// disk.set_faults(Faults::none().one_in_all(1, Fault::Device)); // the disk is gone
    /// assert!(matches!(Engine::builder().open_memory(&disk), Err(Error::Io { .. })));
    /// ```
    #[must_use]
    pub fn one_in_all(self, count: u32, fault: Fault) -> Self {
        OPERATIONS.into_iter().fold(self, |faults, operation| faults.one_in(count, operation, fault))
    }

    /// Each of what was listed so far at most once, and then no more.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Engine, Error, MemoryDisk, Producer, ProducerRecord};
    /// # use ottla::sim::{Fault, Faults, Operation};
    /// let disk = MemoryDisk::simulated(7);
    /// let engine = Engine::builder().open_memory(&disk)?;
    /// let producer = Producer::<str, str>::new(&engine)?;
    /// producer.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
    /// disk.set_faults(Faults::none().one_in(1, Operation::Write, Fault::NoSpace).once());
    /// producer.send(ProducerRecord::to("orders").value("sent"))?.wait()?; // a retry helped
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn once(mut self) -> Self {
        self.list.iter_mut().for_each(|chosen| chosen.is_once = true);
        self
    }

    /// Only on files and directories in whose path from the root of the disk `part` occurs: what was listed so far,
    /// and not restricted yet.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Engine, MemoryDisk, Producer, ProducerRecord};
    /// # use ottla::sim::{Fault, Faults, Operation};
    /// let disk = MemoryDisk::simulated(7);
    /// let engine = Engine::builder().open_memory(&disk)?;
    /// let faults = Faults::none().one_in(1, Operation::Write, Fault::NoSpace).within("log/orders-0/");
    /// Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("audit").value("seen"))?.wait()?;
    /// disk.set_faults(faults);
    /// Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("audit").value("seen"))?.wait()?; // another one
    /// # Ok::<(), ottla::Error>(())
    /// ```
    #[must_use]
    pub fn within(mut self, part: &str) -> Self {
        self.list.iter_mut().filter(|chosen| chosen.part.is_empty()).for_each(|chosen| chosen.part = part.to_owned());
        self
    }
}

impl Chosen {
    /// Paths begin with the name of the disk.
    fn concerns(&self, path: &Path) -> bool {
        self.part.is_empty()
            || path.to_string_lossy().split_once('/').is_some_and(|(_, path)| path.contains(&self.part))
    }
}

/// What happens to an operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effect {
    fault: Option<Fault>,
    /// For what the fault leaves open.
    chance: u64,
}

impl Effect {
    /// Whether this fault is what happens.
    pub(super) fn is(self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    /// The error with which the operation ends.
    pub(super) fn error(self) -> Option<io::Error> {
        self.fault.and_then(Fault::error)
    }

    /// Of an operation that is done as a whole, or not at all.
    pub(super) fn whole(self) -> io::Result<()> {
        self.error().map_or(Ok(()), Err)
    }

    /// How much is done of `count` bytes.
    pub(super) fn part_of(self, count: usize) -> usize {
        let mut chance = Chance::new(self.chance);
        match self.fault {
            None | Some(Fault::FlippedBit) => count,
            Some(Fault::Interrupted | Fault::TooManyFiles) => 0,
            Some(Fault::Short) => chance.pick(count.max(1)).max(1).min(count),
            Some(Fault::Device | Fault::NoSpace | Fault::Quota | Fault::StaysDirty | Fault::Reverts) => {
                match chance.pick(4) {
                    0 => count, // all of it, and an error nevertheless
                    _ => chance.pick(count + 1),
                }
            }
        }
    }

    /// Makes a bit of what was read wrong.
    pub(super) fn flip(self, bytes: &mut [u8]) {
        let mut chance = Chance::new(self.chance);
        if self.fault == Some(Fault::FlippedBit) && !bytes.is_empty() {
            let at = chance.pick(bytes.len());
            bytes[at] ^= 1 << chance.pick(8);
        }
    }
}

/// Decides about each operation.
#[derive(Debug)]
pub(super) struct Injector {
    pub(super) random: Faults,
    pub(super) chosen: BTreeMap<u64, Fault>,
    /// How many operations there were.
    pub(super) operations: u64,
    /// What all operations were, and what they wrote: the same for runs that did the same.
    pub(super) trace: u64,
    chance: Chance,
}

impl Injector {
    pub(super) const fn new(seed: u64) -> Self {
        Self {
            random: Faults::none(),
            chosen: BTreeMap::new(),
            operations: 0,
            trace: 0,
            chance: Chance::new(seed ^ 0x5eed_d15c),
        }
    }

    /// Nothing goes wrong any more.
    pub(super) fn clear(&mut self) {
        self.random = Faults::none();
        self.chosen.clear();
    }

    pub(super) fn decide(&mut self, operation: Operation, node: NodeId, path: &Path) -> Effect {
        let chosen = self.chosen.remove(&self.operations).filter(|fault| fault.concerns(operation));
        let mut fault = chosen;
        let chance = &mut self.chance;
        self.random.list.retain(|random| {
            let happens = fault.is_none()
                && random.operation == operation
                && random.concerns(path)
                && chance.pick(random.count as usize) == 0;
            if happens {
                fault = Some(random.fault);
            }
            !(happens && random.is_once)
        });
        self.operations += 1;
        let happened = [operation as u64, node as u64, fault.map_or(0, |fault| fault as u64 + 1)];
        for part in happened {
            self.trace = Chance::new(self.trace ^ part).next();
        }
        Effect { fault, chance: self.chance.next() }
    }

    /// Whatever else belongs to the trace.
    pub(super) fn note(&mut self, value: u64) {
        self.trace = Chance::new(self.trace ^ value).next();
    }
}
