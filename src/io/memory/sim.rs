//! A disk in memory on which everything that can go wrong does, as a seed says: the feature `sim`.
//!
//! [`MemoryDisk::simulated`] is a stepped disk whose syncs take their time: the syncer begins one, the writer goes on,
//! and between them and the end of the sync the power may fail. The targets of a sync become durable one after the
//! other, in an order that follows from the seed, and hold then what they held when the sync began.

#[cfg(feature = "sim")]
use std::io::ErrorKind;
#[cfg(feature = "sim")]
use std::ops::Range;
#[cfg(feature = "sim")]
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
#[cfg(feature = "sim")]
use std::time::Duration;

#[cfg(feature = "sim")]
use crate::error::{Error, Result};
#[cfg(feature = "sim")]
use crate::io::memory::faults::{Fault, Faults, Operation};
#[cfg(feature = "sim")]
use crate::io::memory::medium::{Node, NodeId, PowerCut, State};
use crate::io::memory::{Inner, MemoryDisk};
use crate::io::{SyncDone, SyncTarget};
use crate::sync::{Actor, Mailbox, Moment, Next, lock};

/// A sync that was begun.
pub(super) struct PendingSync {
    pub(super) targets: Vec<SyncTarget>,
    /// The number of steps then.
    pub(super) begun_at: u64,
    pub(super) done: SyncDone,
}

/// Carries out syncs, a target in a step.
pub(super) struct Platter {
    pub(super) inbox: Mailbox<PendingSync>,
    pub(super) pending: Vec<PendingSync>,
    pub(super) disk: Weak<Inner>,
}

impl Actor for Platter {
    fn step(&mut self, _now: Moment) -> Next {
        while let Some(sync) = self.inbox.take() {
            self.pending.push(sync);
        }
        let Some(disk) = self.disk.upgrade() else { return Next::Done };
        if self.pending.is_empty() {
            return Next::Idle;
        }
        let (index, target) = {
            let mut state = lock(&disk.state);
            let index = state.chance.pick(self.pending.len());
            let sync = &mut self.pending[index];
            let target =
                (!sync.targets.is_empty()).then(|| sync.targets.swap_remove(state.chance.pick(sync.targets.len())));
            state.sync_begun_at = Some(sync.begun_at);
            (index, target)
        };
        let synced = target.as_ref().map_or(Ok(()), SyncTarget::sync); // an error once the process has died
        lock(&disk.state).sync_begun_at = None;
        if synced.is_err() || self.pending[index].targets.is_empty() {
            (self.pending.swap_remove(index).done)(synced);
        }
        Next::Again
    }
}

/// Faults and time, with the feature `sim`.
#[cfg(feature = "sim")]
impl MemoryDisk {
    /// An empty disk for simulations: as [`stepped`](Self::stepped), and its syncs take some steps of the other
    /// threads. All that happens follows from `seed` and from the calls; [`trace`](Self::trace) tells whether two runs
    /// were the same.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Engine, MemoryDisk, Producer, ProducerRecord};
    /// let run = |seed| {
    ///     let disk = MemoryDisk::simulated(seed);
    ///     let engine = Engine::builder().open_memory(&disk)?;
    ///     Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
    ///     engine.close()?;
    ///     Ok::<_, ottla::Error>(disk.trace())
    /// };
    /// assert_eq!(run(7)?, run(7)?);
    /// # Ok::<(), ottla::Error>(())
    /// ```
    #[must_use]
    pub fn simulated(seed: u64) -> Self {
        Self::with_slow_syncs(seed)
    }

    /// From now on operations go wrong at random as `faults` say, until the next call, or until a crash.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Engine, MemoryDisk, Producer, ProducerRecord};
    /// # use ottla::sim::{Fault, Faults, Operation};
    /// let disk = MemoryDisk::simulated(7);
    /// let engine = Engine::builder().open_memory(&disk)?;
    /// let producer = Producer::<str, str>::new(&engine)?;
    /// disk.set_faults(Faults::none().one_in(1, Operation::Write, Fault::NoSpace));
    /// let refused = producer.send(ProducerRecord::to("orders").value("paid")).and_then(|delivery| delivery.wait());
    /// assert!(refused.unwrap_err().is_retriable());
    /// disk.set_faults(Faults::none());
    /// producer.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn set_faults(&self, faults: Faults) {
        lock(&self.inner.state).injector.random = faults;
    }

    /// Lets operation number `number`, counted from 0 over the life of the disk (see
    /// [`operations`](Self::operations)), go wrong, if it is one that knows the fault.
    pub fn fail_operation(&self, number: u64, fault: Fault) {
        lock(&self.inner.state).injector.chosen.insert(number, fault);
    }

    /// How many operations there have been: reads, and all that changes the disk.
    #[must_use]
    pub fn operations(&self) -> u64 {
        lock(&self.inner.state).injector.operations
    }

    /// A number in which all operations went so far: what they were, on which files, how they went wrong, and what was
    /// written where.
    #[must_use]
    pub fn trace(&self) -> u64 {
        lock(&self.inner.state).injector.trace
    }

    /// Cuts the power, and turns it on again, in a way of your choice. See [`power_cut_keeping`](Self::power_cut_keeping),
    /// which is this with [`PowerCut::keeping`].
    pub fn power_cut_as(&self, cut: PowerCut) {
        self.cut(cut);
    }

    /// With `true`, the disk is like a file system with a journal: every sync that returns well, of whatever file or
    /// directory, makes all names and lengths durable that there are by then, in the order in which they changed. Of
    /// contents it still makes durable those of its own file alone, so that the length of another may be there, and
    /// zeros.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Acks, Engine, MemoryDisk, Offset, Producer, ProducerConfig, ProducerRecord};
    /// let disk = MemoryDisk::simulated(7);
    /// disk.set_journaled(true);
    /// let engine = Engine::builder().open_memory(&disk)?;
    /// let quick = Producer::<str, str>::with_config(&engine, ProducerConfig::builder().acks(Acks::One).build()?)?;
    /// quick.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
    /// Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("audit").value("seen"))?.wait()?; // syncs
    /// disk.power_cut();
    /// drop((quick, engine));
    /// let segment = "log/orders-0/00000000000000000000.log";
    /// assert!(disk.files().iter().any(|(path, bytes)| path.ends_with(segment) && *bytes > 0)); // zeros
    /// let engine = Engine::builder().open_memory(&disk)?;
    /// assert_eq!(engine.end_offset(&("orders", 0).into())?, Offset(0)); // which are no records
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn set_journaled(&self, is_journaled: bool) {
        lock(&self.inner.state).is_journaled = is_journaled;
    }

    /// What the power failed in the place of, by [`fail_from`](Self::fail_from), when it last did: the operation, and
    /// the path from the root of the disk. Of a new name that is the name, of a renaming the old one.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Engine, MemoryDisk};
    /// # use ottla::sim::Operation;
    /// let disk = MemoryDisk::simulated(7);
    /// disk.fail_from(0);
    /// Engine::builder().open_memory(&disk).unwrap_err();
    /// assert_eq!(disk.power_failed_at(), Some((Operation::Create, "LOCK".into())));
    /// ```
    #[must_use]
    pub fn power_failed_at(&self) -> Option<(Operation, PathBuf)> {
        lock(&self.inner.state).struck.clone()
    }

    /// What the file `path` holds, as a process would read it now. Paths are those of [`files`](Self::files).
    ///
    /// # Errors
    /// [`Error::Io`] if there is no such file.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Engine, MemoryDisk};
    /// let disk = MemoryDisk::simulated(7);
    /// Engine::builder().open_memory(&disk)?.close()?;
    /// assert!(disk.content("log/meta.properties")?.starts_with(b"version=1"));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn content(&self, path: impl AsRef<Path>) -> Result<Vec<u8>> {
        let mut state = lock(&self.inner.state);
        let node = find_file(&state, path.as_ref())?;
        Ok(state.file(node).map(|file| file.content.clone()).unwrap_or_default())
    }

    /// Lets reads of any of the bytes `range` of the file `path` fail with `EIO`, as bad sectors do: until they are
    /// written again, through crashes too. Paths are those of [`files`](Self::files).
    ///
    /// # Errors
    /// [`Error::Io`] if there is no such file.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Consumer, Engine, Error, MemoryDisk, Producer, ProducerRecord};
    /// # use std::time::Duration;
    /// let disk = MemoryDisk::simulated(7);
    /// let engine = Engine::builder().open_memory(&disk)?;
    /// Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
    /// disk.make_unreadable("log/orders-0/00000000000000000000.log", 0..512)?;
    ///
    /// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
    /// consumer.subscribe(["orders"])?;
    /// assert!(matches!(consumer.poll(Duration::ZERO), Err(Error::Io { .. }))); // and not the end of the log
    /// # Ok::<(), Error>(())
    /// ```
    pub fn make_unreadable(&self, path: impl AsRef<Path>, range: Range<u64>) -> Result<()> {
        let mut state = lock(&self.inner.state);
        let node = find_file(&state, path.as_ref())?;
        let byte = |position| usize::try_from(position).unwrap_or(usize::MAX);
        state.unreadable.push((node, byte(range.start)..byte(range.end)));
        Ok(())
    }

    /// Sets the time of day forward by so much, as somebody may who sets a computer's clock.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Engine, MemoryDisk, Producer, ProducerRecord};
    /// # use std::time::Duration;
    /// let disk = MemoryDisk::simulated(7);
    /// let engine = Engine::builder().open_memory(&disk)?;
    /// let producer = Producer::<str, str>::new(&engine)?;
    /// let send = || producer.send(ProducerRecord::to("orders").value("paid"))?.wait();
    /// let first = send()?.timestamp();
    /// disk.set_clock_back(Duration::from_secs(3600));
    /// assert!(send()?.timestamp() < first);
    /// disk.set_clock_forward(Duration::from_secs(7200));
    /// assert!(send()?.timestamp() > first);
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn set_clock_forward(&self, by: Duration) {
        self.jump(i64::try_from(by.as_millis()).unwrap_or(i64::MAX));
    }

    /// Sets the time of day back by so much.
    pub fn set_clock_back(&self, by: Duration) {
        self.jump(i64::try_from(by.as_millis()).unwrap_or(i64::MAX).saturating_neg());
    }

    fn jump(&self, by_ms: i64) {
        let mut state = lock(&self.inner.state);
        state.clock_jumped = state.clock_jumped.saturating_add(by_ms);
        state.injector.note(by_ms.cast_unsigned());
    }
}

#[cfg(feature = "sim")]
fn find_file(state: &State, path: &Path) -> Result<NodeId> {
    let found = state.look_up(path).filter(|&node| matches!(state.nodes[node], Node::File { .. }));
    found.ok_or_else(|| Error::io("open", path, ErrorKind::NotFound.into()))
}

impl MemoryDisk {
    /// A stepped disk whose syncs end some steps after they were begun.
    pub(super) fn with_slow_syncs(seed: u64) -> Self {
        use crate::sync::{Scheduler as _, Stepped, mailbox};
        let scheduler = Arc::new(Stepped::new(seed));
        let (syncs, inbox) = mailbox();
        let signal = Arc::clone(inbox.signal());
        let disk = Self::with(Arc::clone(&scheduler) as _, seed, true, Some(syncs));
        let platter = Platter { inbox, pending: Vec::new(), disk: Arc::downgrade(&disk.inner) };
        let spawned = scheduler.spawn("platter".to_owned(), signal, Box::new(platter));
        spawned.expect("no thread is needed for it, which could be refused");
        disk
    }
}
