//! Ending the wait of a consumer from another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::sync::Signal;

/// Wakes a consumer that waits in `poll`, from any thread; made by
/// [`Consumer::wakeup_handle`](crate::Consumer::wakeup_handle). Clones wake the same consumer.
///
/// ```
/// # use ottla::{Admin, Consumer, Engine, Error, NewTopic, WakeupHandle};
/// # use std::thread;
/// # use std::time::Duration;
/// # let engine = Engine::in_memory()?;
/// # Admin::new(&engine).create_topic(NewTopic::new("orders"))?;
/// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
/// consumer.subscribe(["orders"])?;
/// let handle: WakeupHandle = consumer.wakeup_handle();
/// thread::scope(|scope| {
///     scope.spawn(|| handle.wakeup()); // now, or later, when the program is to end
///     let woken = consumer.poll(Duration::from_secs(60));
///     assert!(matches!(woken, Err(Error::Wakeup)));
/// });
/// consumer.close()?; // commits, as ever
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct WakeupHandle {
    wake: Arc<Wake>,
}

impl WakeupHandle {
    /// Has the poll that waits, or else the next one, fail with [`Error::Wakeup`](crate::Error::Wakeup): one, however
    /// often this was called before. It returns no records then, and the poll after it goes on where it stood. Never
    /// blocks.
    ///
    /// Commits are not interrupted: what they wait for has been written.
    pub fn wakeup(&self) {
        self.wake.is_called.store(true, Ordering::SeqCst);
        self.wake.signal.notify();
    }
}

/// Whether a consumer was woken.
#[derive(Debug)]
pub(super) struct Wake {
    is_called: AtomicBool,
    signal: Arc<Signal>,
}

impl Wake {
    /// Moves `signal`, on which the consumer waits.
    pub(super) fn new(signal: &Arc<Signal>) -> Arc<Self> {
        Arc::new(Self { is_called: AtomicBool::new(false), signal: Arc::clone(signal) })
    }

    pub(super) fn handle(self: &Arc<Self>) -> WakeupHandle {
        WakeupHandle { wake: Arc::clone(self) }
    }

    /// Whether it was woken since this was last asked.
    pub(super) fn take(&self) -> bool {
        self.is_called.load(Ordering::SeqCst) && self.is_called.swap(false, Ordering::SeqCst)
    }
}
