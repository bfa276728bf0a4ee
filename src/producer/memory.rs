//! The producer's buffer: how many bytes of batches may wait, and buffers to use again.
//!
//! Who finds no room waits, first come, first served: a large record is not starved by small ones that come later.
//!
//! Kafka: `BufferPool`.

use std::collections::{BTreeMap, VecDeque};
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

/// How much of it is in use.
#[derive(Clone, Copy, Debug)]
pub(super) struct MemoryUse {
    pub(super) total: usize,
    pub(super) available: usize,
    /// So many threads wait for some.
    pub(super) waiting: usize,
}

#[derive(Debug, Default)]
struct State {
    available: usize,
    /// Buffers that are not in use, by their size; they count as available.
    buffers: BTreeMap<usize, Vec<Vec<u8>>>,
    /// How large they are together.
    kept: usize,
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
        let state = State { available: total, ..State::default() };
        Self { total, batch_size, state: Mutex::new(state) }
    }

    pub(super) fn usage(&self) -> MemoryUse {
        let state = lock(&self.state);
        MemoryUse { total: self.total, available: state.available, waiting: state.waiting.len() }
    }

    /// Whether somebody waits for room.
    pub(super) fn is_wanted(&self) -> bool {
        !lock(&self.state).waiting.is_empty()
    }

    /// A buffer of `needed` bytes, which are charged until they are given back. Blocks while there is no room, at most
    /// for as long as `starve` says; it is called once before that, to have written what can be.
    pub(super) fn take(
        &self,
        needed: usize,
        scheduler: &dyn Scheduler,
        starve: impl FnOnce() -> Duration,
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
        let max_block = starve();
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

    /// The buffer for a charge that was granted.
    fn buffer(&self, state: &mut State, needed: usize) -> Vec<u8> {
        if let Some(kept) = state.buffers.get_mut(&needed).and_then(Vec::pop) {
            state.kept -= needed;
            return kept;
        }
        // Buffers that wait to be used again are memory as well: those that the charge leaves no room for go.
        while state.kept > state.available {
            let Some(mut largest) = state.buffers.last_entry() else { break };
            match largest.get_mut().pop() {
                Some(_) => state.kept -= *largest.key(),
                None => drop(largest.remove()),
            }
        }
        Vec::with_capacity(needed)
    }

    /// Whether a buffer of that size will be asked for again: `batch_size`, or that doubled a few times, for batches
    /// that are going to be compressed.
    fn is_usual(&self, size: usize) -> bool {
        size.checked_rem(self.batch_size) == Some(0) && (size / self.batch_size).is_power_of_two()
    }

    /// Takes back a buffer for which `charged` bytes were taken.
    pub(super) fn give_back(&self, buffer: Vec<u8>, charged: usize) {
        let mut state = lock(&self.state);
        state.available += charged;
        debug_assert!(state.available <= self.total);
        if self.is_usual(charged) && !state.is_closed {
            state.buffers.entry(charged).or_default().push(buffer);
            state.kept += charged;
        }
        state.serve();
    }

    /// Nothing is taken any more, and nobody waits.
    pub(super) fn close(&self) {
        let mut state = lock(&self.state);
        state.is_closed = true;
        state.kept = 0;
        state.buffers.clear(); // deliveries may be held for long, and they hold the producer's state
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
    use std::sync::mpsc::Sender;

    use super::*;
    use crate::sync::{Stepped, Threads};

    fn exhausted(memory: &Memory, needed: usize) -> Error {
        memory.take(needed, &Stepped::new(0), || Duration::from_secs(60)).unwrap_err()
    }

    /// Waits for memory, and tells before that it does.
    fn take_and_tell(memory: &Memory, needed: usize, begun: &Sender<()>) -> Result<Vec<u8>> {
        memory.take(needed, &Threads::new(), || {
            begun.send(()).unwrap();
            Duration::from_secs(60)
        })
    }

    #[test]
    fn who_finds_no_room_in_time_is_told_what_was_needed() {
        let memory = Memory::new(100, 60);
        let scheduler = Stepped::new(0);
        let buffer = memory.take(60, &scheduler, || Duration::ZERO).unwrap();
        let mut has_starved = false;
        let starve = || {
            has_starved = true;
            Duration::from_secs(60)
        };
        let refused = memory.take(60, &scheduler, starve).unwrap_err();
        assert!(has_starved);
        assert!(matches!(refused, Error::BufferExhausted { needed: 60, limit: 100, .. }), "{refused}");
        assert!(!memory.is_wanted(), "nobody is left waiting");
        memory.give_back(buffer, 60);
        assert!(memory.take(100, &scheduler, || Duration::ZERO).is_ok());
    }

    #[test]
    fn a_small_request_does_not_overtake_a_large_one() {
        let memory = Arc::new(Memory::new(100, 60));
        let scheduler = Threads::new();
        let first = memory.take(60, &scheduler, || Duration::ZERO).unwrap();
        std::thread::scope(|scope| {
            let (begun, has_begun) = std::sync::mpsc::channel();
            let memory = &memory;
            let large = scope.spawn(move || take_and_tell(memory, 90, &begun));
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
            let waiting = scope.spawn(move || take_and_tell(memory, 200, &begun));
            has_begun.recv_timeout(Duration::from_secs(60)).unwrap();
            memory.close();
            assert!(matches!(waiting.join().unwrap(), Err(Error::Closed { .. })));
        });
        assert!(matches!(exhausted(&memory, 1), Error::Closed { .. }));
    }

    #[test]
    fn who_came_first_is_served_first() {
        let memory = Memory::new(100, 100);
        let all = memory.take(100, &Stepped::new(0), || Duration::ZERO).unwrap();
        std::thread::scope(|scope| {
            let (begun, has_begun) = std::sync::mpsc::channel();
            let (served, order) = std::sync::mpsc::channel();
            for needed in [70, 60] {
                let (memory, begun, served) = (&memory, begun.clone(), served.clone());
                scope.spawn(move || {
                    let buffer = take_and_tell(memory, needed, &begun).unwrap();
                    served.send((needed, buffer)).unwrap();
                });
                has_begun.recv_timeout(Duration::from_secs(60)).unwrap();
            }
            memory.give_back(all, 100);
            let (first, buffer) = order.recv_timeout(Duration::from_secs(60)).unwrap();
            assert_eq!(first, 70);
            assert!(memory.is_wanted(), "30 bytes are not enough for the second");
            memory.give_back(buffer, 70);
            assert_eq!(order.recv_timeout(Duration::from_secs(60)).unwrap().0, 60);
        });
    }

    #[test]
    fn buffers_are_used_again_and_make_room_for_large_ones() {
        let memory = Memory::new(100, 50);
        let scheduler = Stepped::new(0);
        let take = |needed| memory.take(needed, &scheduler, || Duration::ZERO).unwrap();
        let mut buffer = take(50);
        buffer.push(7);
        memory.give_back(buffer, 50);
        let buffer = take(50);
        assert_eq!(buffer, [7], "it is the same one");
        memory.give_back(buffer, 50);
        let large = take(80);
        assert_eq!(lock(&memory.state).kept, 0, "80 in use and 50 kept would be more than 100");
        memory.give_back(large, 80);
        let mut doubled = take(100);
        doubled.push(8);
        memory.give_back(doubled, 100);
        assert_eq!(lock(&memory.state).kept, 100);
        assert_eq!(take(50).capacity(), 50, "one of another size is no good");
        assert_eq!(lock(&memory.state).kept, 0, "and had to go for it");
        memory.close();
        assert!(lock(&memory.state).buffers.is_empty());
    }
}
