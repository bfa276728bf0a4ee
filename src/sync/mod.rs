//! Locks, signals, threads, and the scheduler behind which they hide.
//!
//! Whatever runs in the background is an [`Actor`]: its `step` takes what has come in, does what it can without
//! waiting, and says when it wants to be called again. Whoever has to wait parks here, on a [`Signal`], through the
//! [`Scheduler`]. So one and the same engine runs
//!
//! - with [`Threads`]: each actor has a thread, parking blocks it, time is the clock's; or
//! - with [`Stepped`]: no thread at all. A caller that parks runs the actors, one step at a time in an order that
//!   follows from a seed, until its signal moves; time passes only when nobody has anything left to do.
//!
//! Nothing else in the crate blocks, sleeps, spawns or asks for the time: `clippy.toml` refuses it.

mod chance;
mod mailbox;
mod signal;
mod stepped;
mod threads;

use std::fmt;
use std::io;
use std::ops::Add;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

pub(crate) use chance::Chance;
pub(crate) use mailbox::{Mailbox, Post, mailbox};
pub(crate) use signal::{Seen, Signal};
pub(crate) use stepped::Stepped;
pub(crate) use threads::{Threads, beside, in_parallel, parallelism, processor};

/// A point in monotonic time: how long the scheduler has been running.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(pub(crate) Duration);

impl Moment {
    /// How long ago `earlier` was; zero if it lies ahead.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    /// The far future where the sum would not fit.
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}

/// When an actor wants to be stepped again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// At once: there is more to do.
    Again,
    /// When its signal moves, or at that moment if it does not.
    Until(Moment),
    /// When its signal moves.
    Idle,
    /// Never: it has finished.
    Done,
}

/// Background work, cut into steps.
pub(crate) trait Actor: Send {
    /// Takes what has come in and does what can be done without waiting.
    fn step(&mut self, now: Moment) -> Next;
}

/// Runs actors, and lets callers wait.
pub(crate) trait Scheduler: fmt::Debug + Send + Sync {
    /// The time now; it never goes back.
    fn now(&self) -> Moment;

    /// Runs `actor` until it is done. It is stepped at once, then whenever it asks for it and whenever `signal` moves.
    ///
    /// # Errors
    /// The operating system's, if it refuses a thread.
    fn spawn(&self, name: String, signal: Arc<Signal>, actor: Box<dyn Actor>) -> io::Result<Task>;

    /// Waits until `signal` has moved on from `seen`, or until `deadline`.
    fn park(&self, signal: &Signal, seen: Seen, deadline: Option<Moment>);
}

/// An actor that was started.
pub(crate) struct Task {
    /// Waits for the end of the actor; says whether it ended by itself rather than by a panic.
    join: Box<dyn FnOnce() -> bool + Send>,
}

impl Task {
    /// Waits until the actor is done, and says whether it got there without a panic.
    pub(crate) fn join(self) -> bool {
        (self.join)()
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Task")
    }
}

/// Waits until `ready` gives a value, looking again whenever `signal` moves; `None` when `deadline` comes first.
///
/// `ready` is asked once more after the deadline, so that a zero timeout still takes what is there.
pub(crate) fn wait_for<T>(
    scheduler: &dyn Scheduler,
    signal: &Signal,
    deadline: Option<Moment>,
    mut ready: impl FnMut() -> Option<T>,
) -> Option<T> {
    loop {
        let seen = signal.seen();
        if let Some(value) = ready() {
            return Some(value);
        }
        if deadline.is_some_and(|deadline| scheduler.now() >= deadline) {
            return None;
        }
        scheduler.park(signal, seen, deadline);
    }
}

/// Takes a lock even if a thread panicked while it held it.
///
/// No code of the user's ever runs under a lock of ours, and no invariant is broken between two statements that can
/// panic, so what the lock guards is whole.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The same, unless another thread has it.
pub(crate) fn try_lock<T: ?Sized>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}
