//! A counter that a thread can wait on.
//!
//! The one idea: whoever changes something counts the signal up *after* the change; whoever waits reads the counter
//! *before* looking, and parks only while it still has that value. A change between the look and the park moves the
//! counter, so no wake-up is lost. Counting up costs two atomic operations while nobody waits, and takes the lock
//! only when somebody does: waking a sleeping thread is a thousand times as dear.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use crate::sync::lock;

/// What a [`Signal`] read before the caller looked at what it guards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen(u64);

/// Wakes those who wait for something to change.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    count: AtomicU64,
    waiting: AtomicUsize,
    lock: Mutex<()>,
    moved: Condvar,
}

impl Signal {
    /// The value to park on. Read it before looking at what the signal is about.
    pub(crate) fn seen(&self) -> Seen {
        Seen(self.count.load(Ordering::SeqCst))
    }

    /// Whether it has moved on from `seen`.
    pub(crate) fn has_moved(&self, seen: Seen) -> bool {
        self.seen() != seen
    }

    /// Wakes everybody who waits. Call it after the change.
    pub(crate) fn notify(&self) {
        // SeqCst on both counters: either this thread sees the waiter, or the waiter sees the new count.
        self.count.fetch_add(1, Ordering::SeqCst);
        if self.waiting.load(Ordering::SeqCst) > 0 {
            // The lock is what makes a waiter that has looked at the count, but does not sleep yet, finish that first.
            drop(lock(&self.lock));
            self.moved.notify_all();
        }
    }

    /// Blocks this thread until the signal moves on from `seen`, or for `timeout`.
    #[expect(clippy::disallowed_methods, reason = "this is where the crate parks")]
    pub(super) fn block(&self, seen: Seen, timeout: Option<Duration>) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let mut guard = lock(&self.lock);
        match timeout {
            None => {
                while !self.has_moved(seen) {
                    guard = self.moved.wait(guard).unwrap_or_else(std::sync::PoisonError::into_inner);
                }
            }
            // One wait: the caller looks at the clock, and comes back if it woke for nothing.
            Some(timeout) if !self.has_moved(seen) => {
                guard = self.moved.wait_timeout(guard, timeout).unwrap_or_else(std::sync::PoisonError::into_inner).0;
            }
            Some(_) => {}
        }
        drop(guard);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}
