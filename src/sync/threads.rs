//! A thread for each actor: how an engine runs in an application.

use std::io;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::sync::{Actor, Moment, Next, Scheduler, Seen, Signal, Task, lock};

/// Real threads, real time.
#[derive(Clone, Debug)]
pub(crate) struct Threads {
    started: Instant,
}

impl Threads {
    /// Time begins now.
    #[expect(clippy::disallowed_methods, reason = "the scheduler is where monotonic time comes from")]
    pub(crate) fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Scheduler for Threads {
    fn now(&self) -> Moment {
        Moment(self.started.elapsed())
    }

    #[expect(clippy::disallowed_methods, reason = "the scheduler is where threads come from")]
    fn spawn(&self, name: String, signal: Arc<Signal>, mut actor: Box<dyn Actor>) -> io::Result<Task> {
        let clock = self.clone();
        let thread = std::thread::Builder::new().name(name.clone()).spawn(move || {
            let ran = catch_unwind(AssertUnwindSafe(|| run(&clock, &signal, actor.as_mut())));
            if ran.is_err() {
                log::error!("{name} panicked; the engine has to be opened again");
            }
            ran.is_ok()
        })?;
        // The last handle on an engine may be let go in code of the user's that one of its own threads runs.
        let is_own = move |thread: &std::thread::Thread| thread.id() == std::thread::current().id();
        Ok(Task { join: Box::new(move || is_own(thread.thread()) || thread.join().unwrap_or(false)) })
    }

    fn park(&self, signal: &Signal, seen: Seen, deadline: Option<Moment>) {
        let timeout = deadline.map(|deadline| deadline.since(self.now()));
        if timeout != Some(Duration::ZERO) {
            signal.block(seen, timeout);
        }
    }
}

/// Steps `actor` until it is done.
fn run(clock: &Threads, signal: &Signal, actor: &mut dyn Actor) {
    loop {
        let seen = signal.seen();
        match actor.step(clock.now()) {
            Next::Again => {}
            Next::Until(moment) => clock.park(signal, seen, Some(moment)),
            Next::Idle => clock.park(signal, seen, None),
            Next::Done => return,
        }
    }
}

/// Does `work` for each of `items`, several at a time on threads that have ended when this returns; answers in their
/// order. With one thread, or one item, no thread is started.
///
/// A panic of `work` goes on in the caller.
pub(crate) fn in_parallel<T: Sync, R: Send>(items: &[T], threads: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    if threads <= 1 || items.len() <= 1 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, R)>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..threads.min(items.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { break };
                    let answer = work(item);
                    lock(&done).push((index, answer));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, answer)| answer).collect()
}

/// Does `work`, and `helper` on a thread beside it, which has ended when this returns: `work` has to see to that, also
/// where it panics. If there can be no such thread, `helper` is not called.
pub(crate) fn beside<R>(name: &str, helper: impl FnOnce() + Send, work: impl FnOnce() -> R) -> R {
    std::thread::scope(|scope| {
        if let Err(error) = std::thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, helper) {
            log::debug!("there is no {name}: {error}");
        }
        work()
    })
}

/// How many threads can run at a time.
pub(crate) fn parallelism() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// Which processor this thread runs on at the moment; `None` where the system does not tell.
pub(crate) fn processor() -> Option<usize> {
    #[cfg(target_os = "linux")]
    return Some(rustix::thread::sched_getcpu());
    #[cfg(not(target_os = "linux"))]
    None
}
