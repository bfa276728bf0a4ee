//! Runs callbacks, one after the other, on a thread of their own.
//!
//! So a callback that takes its time, or panics, delays other callbacks and nothing else. The thread starts with the
//! first one. Inside, waiting for a delivery, `flush` and `close` are refused: what they wait for may be behind the
//! callback that waits.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;

use crate::error::{Error, Result};
use crate::sync::{Actor, Mailbox, Moment, Next, Post, Scheduler, Task, lock, mailbox};

/// What is run.
pub(crate) type Callback = Box<dyn FnOnce() + Send>;

/// The callbacks of an engine.
pub(crate) struct Callbacks {
    scheduler: Arc<dyn Scheduler>,
    state: Mutex<State>,
    /// The thread that runs a callback right now.
    running_on: Arc<Mutex<Option<ThreadId>>>,
}

enum State {
    NotStarted,
    Running(Post<Option<Callback>>, Task),
    Closed,
}

impl Callbacks {
    pub(crate) fn new(scheduler: Arc<dyn Scheduler>) -> Self {
        Self { scheduler, state: Mutex::new(State::NotStarted), running_on: Arc::default() }
    }

    /// Runs `callback` behind all that were handed over before.
    pub(crate) fn run(&self, callback: Callback) {
        let mut state = lock(&self.state);
        if matches!(*state, State::NotStarted) {
            match self.start() {
                Ok((post, task)) => *state = State::Running(post, task),
                Err(error) => log::error!("cannot start the thread for callbacks: {error}"),
            }
        }
        match &*state {
            State::Running(post, _) => {
                let _ = post.send(Some(callback)); // gone only after close, when nothing is resolved any more
            }
            State::NotStarted | State::Closed => {
                drop(state);
                run_caught(callback); // late, but it was promised a call
            }
        }
    }

    fn start(&self) -> std::io::Result<(Post<Option<Callback>>, Task)> {
        let (post, inbox) = mailbox();
        let signal = Arc::clone(inbox.signal());
        let actor = Runner { inbox, running_on: Arc::clone(&self.running_on) };
        let task = self.scheduler.spawn("ottla-callbacks".to_owned(), signal, Box::new(actor))?;
        Ok((post, task))
    }

    /// Refuses `what`, which waits, if this thread is running a callback.
    pub(crate) fn refuse_inside(&self, what: &str) -> Result<()> {
        let running_on = *lock(&self.running_on);
        if running_on == Some(std::thread::current().id()) {
            return Err(Error::illegal_state(format!("{what} inside a callback would wait for itself")));
        }
        Ok(())
    }

    /// Runs what was handed over, and ends the thread.
    pub(crate) fn close(&self) {
        let state = std::mem::replace(&mut *lock(&self.state), State::Closed);
        if let State::Running(post, task) = state {
            let _ = post.send(None);
            if self.refuse_inside("close").is_ok() {
                task.join();
            }
        }
    }
}

impl fmt::Debug for Callbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Callbacks")
    }
}

/// The actor behind `ottla-callbacks`; `None` ends it.
struct Runner {
    inbox: Mailbox<Option<Callback>>,
    running_on: Arc<Mutex<Option<ThreadId>>>,
}

impl Actor for Runner {
    fn step(&mut self, _now: Moment) -> Next {
        match self.inbox.take() {
            None => Next::Idle,
            Some(None) => Next::Done,
            Some(Some(callback)) => {
                *lock(&self.running_on) = Some(std::thread::current().id());
                run_caught(callback);
                *lock(&self.running_on) = None;
                Next::Again
            }
        }
    }
}

fn run_caught(callback: Callback) {
    if catch_unwind(AssertUnwindSafe(callback)).is_err() {
        log::error!("a callback panicked; the others go on");
    }
}
