//! No threads: whoever parks runs the actors, so that one seed is one run.
//!
//! A caller that parks picks, by the seed, one of the actors that have something to do, steps it, and looks whether
//! its own signal moved. When no actor has anything to do, time jumps to the next moment that somebody waits for.
//! Several threads may share the scheduler, but only one of them runs actors at a time, and then the order is theirs.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::sync::{Actor, Chance, Moment, Next, Scheduler, Seen, Signal, Task, lock};

/// Runs actors inside the calls that wait for them.
#[derive(Clone)]
pub(crate) struct Stepped {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    /// Moves when an actor comes back from a step, for threads that found none to run.
    stepped: Signal,
}

struct State {
    now: Moment,
    chance: Chance,
    actors: Vec<Slot>,
}

struct Slot {
    name: String,
    signal: Arc<Signal>,
    seen: Option<Seen>,
    wake_at: Option<Moment>,
    /// `None` while it is being stepped, and when it is done.
    actor: Option<Box<dyn Actor>>,
    end: Option<End>,
}

/// How an actor ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Done,
    Panicked,
}

impl Stepped {
    /// Time begins now; `seed` decides which of several actors that could run is stepped.
    pub(crate) fn new(seed: u64) -> Self {
        let state = State { now: Moment::default(), chance: Chance::new(seed), actors: Vec::new() };
        Self { inner: Arc::new(Inner { state: Mutex::new(state), stepped: Signal::default() }) }
    }

    /// Steps one actor that has something to do; `false` if there is none.
    fn step_one(&self) -> bool {
        let mut state = lock(&self.inner.state);
        let now = state.now;
        let ready: Vec<usize> = (0..state.actors.len()).filter(|&index| state.actors[index].is_ready(now)).collect();
        if ready.is_empty() {
            return false;
        }
        let index = ready[state.chance.pick(ready.len())];
        let slot = &mut state.actors[index];
        let Some(mut actor) = slot.actor.take() else { return false };
        slot.seen = Some(slot.signal.seen());
        slot.wake_at = None;
        drop(state); // the actor may notify, spawn and ask for the time

        // As on a thread of its own: a panic is the end of the actor, and not of whoever happened to step it.
        let stepped = catch_unwind(AssertUnwindSafe(|| actor.step(now)));
        let end = match stepped {
            Ok(Next::Done) => Some(End::Done),
            Ok(_) => None,
            Err(_) => Some(End::Panicked),
        };
        let actor = if end.is_none() {
            Some(actor)
        } else {
            drop(actor); // without the lock: what it holds may call in here when it goes
            None
        };

        let mut state = lock(&self.inner.state);
        let slot = &mut state.actors[index];
        match stepped {
            Ok(Next::Again) => slot.seen = None,
            Ok(Next::Until(moment)) => slot.wake_at = Some(moment),
            Ok(Next::Idle | Next::Done) => {}
            Err(_) => log::error!("{} panicked; the engine has to be opened again", slot.name),
        }
        (slot.actor, slot.end) = (actor, end);
        drop(state);
        self.inner.stepped.notify();
        true
    }

    /// Moves time on to the next moment that an actor or `deadline` waits for; `false` if nobody waits for any.
    fn pass_time(&self, deadline: Option<Moment>) -> bool {
        let mut state = lock(&self.inner.state);
        let next = state.actors.iter().filter_map(|slot| slot.wake_at).chain(deadline).min();
        match next {
            Some(moment) => {
                state.now = state.now.max(moment);
                true
            }
            None => false,
        }
    }

    fn end_of(&self, index: usize) -> Option<End> {
        lock(&self.inner.state).actors[index].end
    }
}

impl Slot {
    fn is_ready(&self, now: Moment) -> bool {
        self.actor.is_some()
            && (self.seen.is_none_or(|seen| self.signal.has_moved(seen)) || self.wake_at.is_some_and(|at| at <= now))
    }
}

impl Scheduler for Stepped {
    fn now(&self) -> Moment {
        lock(&self.inner.state).now
    }

    fn spawn(&self, name: String, signal: Arc<Signal>, actor: Box<dyn Actor>) -> io::Result<Task> {
        let mut state = lock(&self.inner.state);
        let index = state.actors.len();
        state.actors.push(Slot { name, signal, seen: None, wake_at: None, actor: Some(actor), end: None });
        drop(state);
        let scheduler = self.clone();
        Ok(Task {
            join: Box::new(move || {
                loop {
                    let seen = scheduler.inner.stepped.seen();
                    if let Some(end) = scheduler.end_of(index) {
                        return end == End::Done;
                    }
                    if !scheduler.step_one() && scheduler.end_of(index).is_none() && !scheduler.pass_time(None) {
                        scheduler.inner.stepped.block(seen, Some(Duration::from_millis(1)));
                    }
                }
            }),
        })
    }

    /// Runs actors until `signal` moves. With a deadline, all that can be done before it is done first.
    fn park(&self, signal: &Signal, seen: Seen, deadline: Option<Moment>) {
        while !signal.has_moved(seen) {
            if self.step_one() {
                continue;
            }
            if deadline.is_some_and(|deadline| self.now() >= deadline) {
                return;
            }
            if !self.pass_time(deadline) {
                // Nothing runs and nobody waits for a time: another thread has to act.
                signal.block(seen, Some(Duration::from_millis(1)));
            }
        }
    }
}

impl fmt::Debug for Stepped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = lock(&self.inner.state);
        let names: Vec<&str> =
            state.actors.iter().filter(|slot| slot.end.is_none()).map(|slot| slot.name.as_str()).collect();
        f.debug_struct("Stepped").field("now", &state.now).field("actors", &names).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::{Mailbox, Threads, mailbox, wait_for};

    /// Adds up what it is sent, and notifies.
    struct Adder {
        inbox: Mailbox<u64>,
        total: Arc<Mutex<u64>>,
        changed: Arc<Signal>,
    }

    impl Actor for Adder {
        fn step(&mut self, now: Moment) -> Next {
            match self.inbox.take() {
                Some(0) => Next::Done,
                Some(number) => {
                    *lock(&self.total) += number;
                    self.changed.notify();
                    Next::Again
                }
                None => Next::Until(now + Duration::from_secs(3600)),
            }
        }
    }

    fn adds_up(scheduler: &dyn Scheduler) {
        let (post, inbox) = mailbox();
        let (total, changed) = (Arc::new(Mutex::new(0)), Arc::new(Signal::default()));
        let signal = Arc::clone(inbox.signal());
        let actor = Adder { inbox, total: Arc::clone(&total), changed: Arc::clone(&changed) };
        let task = scheduler.spawn("adder".to_owned(), signal, Box::new(actor)).unwrap();
        for number in 1..=10 {
            post.send(number).unwrap();
        }
        let sum = wait_for(scheduler, &changed, None, || Some(*lock(&total)).filter(|&total| total == 55));
        assert_eq!(sum, Some(55));
        let deadline = Some(scheduler.now() + Duration::from_millis(5));
        assert_eq!(wait_for(scheduler, &changed, deadline, || None::<()>), None);
        post.send(0).unwrap();
        assert!(task.join());
    }

    #[test]
    fn actors_run_inside_the_calls_that_wait() {
        adds_up(&Stepped::new(7));
    }

    #[test]
    fn actors_run_on_threads() {
        adds_up(&Threads::new());
    }

    /// Panics in its first step, and looks at the time when it goes, as what it holds may.
    struct Panics(Arc<dyn Scheduler>);

    impl Actor for Panics {
        fn step(&mut self, _now: Moment) -> Next {
            panic!("for the test")
        }
    }

    impl Drop for Panics {
        fn drop(&mut self) {
            self.0.now();
        }
    }

    #[test]
    fn a_panic_ends_the_actor_and_is_told_to_who_joins_it() {
        for scheduler in [Arc::new(Stepped::new(7)) as Arc<dyn Scheduler>, Arc::new(Threads::new())] {
            let actor = Panics(Arc::clone(&scheduler));
            let task = scheduler.spawn("panics".to_owned(), Arc::default(), Box::new(actor)).unwrap();
            assert!(!task.join());
        }
    }

    #[test]
    fn time_passes_only_when_nobody_has_anything_to_do() {
        let scheduler = Stepped::new(1);
        let signal = Signal::default();
        scheduler.park(&signal, signal.seen(), Some(Moment(Duration::from_secs(60))));
        assert_eq!(scheduler.now(), Moment(Duration::from_secs(60)));
    }
}
