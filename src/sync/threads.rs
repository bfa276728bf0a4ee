//! A thread for each actor: how an engine runs in an application.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::sync::{Actor, Moment, Next, Scheduler, Seen, Signal, Task};

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
