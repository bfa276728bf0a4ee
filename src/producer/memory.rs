//! The producer's buffer: how many bytes of batches may wait, and buffers to use again.
//!
//! Who finds no room waits, first come, first served: a large record is not starved by small ones that come later.
//!
//! Kafka: `BufferPool`.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::sync::{Scheduler, Signal, lock, wait_for};

/// Memory for batches.
#[derive(Debug)]
pub(super) struct Memory {
    total: usize,
    batch_size: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    available: usize,
    /// Buffers of `batch_size`, not in use; they count as available.
    buffers: Vec<Vec<u8>>,
    waiting: VecDeque<Arc<Waiter>>,
    is_closed: bool,
}

#[derive(Debug)]
struct Waiter {
    needed: usize,
    is_served: AtomicBool,
    signal: Signal,
}

impl Memory {
    pub(super) fn new(total: usize, batch_size: usize) -> Self {
        let state = State { available: total, buffers: Vec::new(), waiting: VecDeque::new(), is_closed: false };
        Self { total, batch_size, state: Mutex::new(state) }
    }

    /// Whether somebody waits for room.
    pub(super) fn is_wanted(&self) -> bool {
        !lock(&self.state).waiting.is_empty()
    }

    /// A buffer of `needed` bytes, which are charged until they are given back. Blocks while there is no room, at most
    /// for `max_block`; `starve` is called once before that, to have written what can be.
    pub(super) fn take(
        &self,
        needed: usize,
        max_block: Duration,
        scheduler: &dyn Scheduler,
        starve: impl FnOnce(),
    ) -> Result<Vec<u8>> {
        let waiter = {
            let mut state = lock(&self.state);
            if state.is_closed {
                return Err(Error::Closed { what: "producer" });
            }
            if state.waiting.is_empty() && state.available >= needed {
                state.available -= needed;
                return Ok(self.buffer(&mut state, needed));
            }
            let waiter = Arc::new(Waiter { needed, is_served: AtomicBool::new(false), signal: Signal::default() });
            state.waiting.push_back(Arc::clone(&waiter));
            waiter
        };
        starve();
        let deadline = scheduler.now() + max_block;
        let woken = || {
            let is_closed = || lock(&self.state).is_closed;
            (waiter.is_served.load(Ordering::Acquire) || is_closed()).then_some(())
        };
        wait_for(scheduler, &waiter.signal, Some(deadline), woken);
        let mut state = lock(&self.state);
        if waiter.is_served.load(Ordering::Acquire) {
            return Ok(self.buffer(&mut state, needed));
        }
        state.waiting.retain(|each| !Arc::ptr_eq(each, &waiter));
        state.serve(); // whoever stood behind may fit
        if state.is_closed {
            return Err(Error::Closed { what: "producer" });
        }
        Err(Error::BufferExhausted { needed: needed as u64, limit: self.total as u64, waited: max_block })
    }

    fn buffer(&self, state: &mut State, needed: usize) -> Vec<u8> {
        let pooled = if needed == self.batch_size { state.buffers.pop() } else { None };
        pooled.unwrap_or_else(|| Vec::with_capacity(needed))
    }

    /// Takes back a buffer for which `charged` bytes were taken.
    pub(super) fn give_back(&self, buffer: Vec<u8>, charged: usize) {
        let mut state = lock(&self.state);
        state.available += charged;
        debug_assert!(state.available <= self.total);
        if charged == self.batch_size {
            state.buffers.push(buffer);
        }
        state.serve();
    }

    /// Nothing is taken any more, and nobody waits.
    pub(super) fn close(&self) {
        let mut state = lock(&self.state);
        state.is_closed = true;
        for waiter in state.waiting.drain(..) {
            waiter.signal.notify();
        }
    }
}

impl State {
    /// Serves those who wait, as far as there is room for the first.
    fn serve(&mut self) {
        while let Some(first) = self.waiting.front().filter(|first| first.needed <= self.available) {
            self.available -= first.needed;
            first.is_served.store(true, Ordering::Release);
            first.signal.notify();
            self.waiting.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::Stepped;

    fn exhausted(memory: &Memory, needed: usize) -> Error {
        memory.take(needed, Duration::from_secs(60), &Stepped::new(0), || {}).unwrap_err()
    }

    #[test]
    fn who_finds_no_room_in_time_is_told_what_was_needed() {
        let memory = Memory::new(100, 60);
        let scheduler = Stepped::new(0);
        let buffer = memory.take(60, Duration::ZERO, &scheduler, || {}).unwrap();
        let mut has_starved = false;
        let refused = memory.take(60, Duration::from_secs(60), &scheduler, || has_starved = true).unwrap_err();
        assert!(has_starved);
        assert!(matches!(refused, Error::BufferExhausted { needed: 60, limit: 100, .. }), "{refused}");
        assert!(!memory.is_wanted(), "nobody is left waiting");
        memory.give_back(buffer, 60);
        assert!(memory.take(100, Duration::ZERO, &scheduler, || {}).is_ok());
    }

    #[test]
    fn a_small_request_does_not_overtake_a_large_one() {
        let memory = Arc::new(Memory::new(100, 60));
        let scheduler = crate::sync::Threads::new();
        let first = memory.take(60, Duration::ZERO, &scheduler, || {}).unwrap();
        std::thread::scope(|scope| {
            let (begun, has_begun) = std::sync::mpsc::channel();
            let memory = &memory;
            let large = scope.spawn(move || {
                memory.take(90, Duration::from_secs(60), &crate::sync::Threads::new(), || begun.send(()).unwrap())
            });
            has_begun.recv_timeout(Duration::from_secs(60)).unwrap();
            // There are 40 bytes, and somebody stands before us.
            assert!(matches!(exhausted(memory, 10), Error::BufferExhausted { .. }));
            memory.give_back(first, 60);
            assert!(large.join().unwrap().is_ok());
        });
    }

    #[test]
    fn closing_wakes_everybody() {
        let memory = Memory::new(100, 60);
        std::thread::scope(|scope| {
            let (begun, has_begun) = std::sync::mpsc::channel();
            let memory = &memory;
            let waiting = scope.spawn(move || {
                memory.take(200, Duration::from_secs(60), &crate::sync::Threads::new(), || begun.send(()).unwrap())
            });
            has_begun.recv_timeout(Duration::from_secs(60)).unwrap();
            memory.close();
            assert!(matches!(waiting.join().unwrap(), Err(Error::Closed { .. })));
        });
        assert!(matches!(exhausted(&memory, 1), Error::Closed { .. }));
    }
}
