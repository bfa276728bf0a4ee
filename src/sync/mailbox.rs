//! Messages to an actor: a channel, and the signal that wakes it.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::sync::Signal;

/// The receiving end, held by one actor.
#[derive(Debug)]
pub(crate) struct Mailbox<T> {
    inbox: Receiver<T>,
    signal: Arc<Signal>,
}

/// The sending end, held by whoever has something to tell.
#[derive(Debug)]
pub(crate) struct Post<T> {
    outbox: Sender<T>,
    signal: Arc<Signal>,
}

/// Makes both ends. Their number of messages is bounded by who sends them: one a waiting caller, or one a sync round.
pub(crate) fn mailbox<T>() -> (Post<T>, Mailbox<T>) {
    let (outbox, inbox) = unbounded();
    let signal = Arc::new(Signal::default());
    (Post { outbox, signal: Arc::clone(&signal) }, Mailbox { inbox, signal })
}

impl<T> Mailbox<T> {
    /// The next message, if one is there.
    pub(crate) fn take(&self) -> Option<T> {
        self.inbox.try_recv().ok()
    }

    /// What moves when a message arrives.
    pub(crate) fn signal(&self) -> &Arc<Signal> {
        &self.signal
    }
}

impl<T> Post<T> {
    /// Sends `message`, and wakes the actor. Gives it back if the actor is gone.
    pub(crate) fn send(&self, message: T) -> Result<(), T> {
        self.outbox.send(message).map_err(|refused| refused.0)?;
        self.signal.notify();
        Ok(())
    }

    /// Wakes the actor without a message: something it looks at has changed.
    pub(crate) fn wake(&self) {
        self.signal.notify();
    }
}

impl<T> Clone for Post<T> {
    fn clone(&self) -> Self {
        Self { outbox: self.outbox.clone(), signal: Arc::clone(&self.signal) }
    }
}
