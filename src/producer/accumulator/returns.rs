//! Batches that come back: those that are tried again, and those that nobody tries any more.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::engine::Completion;
use crate::error::Error;
use crate::producer::accumulator::sealing::QueuedBatch;
use crate::producer::accumulator::{Accumulator, QueueState};
use crate::producer::delivery::Ticket;
use crate::record::SealedBatch;
use crate::sync::{Moment, lock};

impl Accumulator {
    /// Puts a batch that the writer could not write for the moment back in front of all others of its partition; of
    /// several the last one comes first. Gives it back if it is not to be tried again.
    pub(in crate::producer) fn take_back(
        &self,
        ticket: &Arc<Ticket>,
        batch: SealedBatch,
        error: Error,
    ) -> Result<(), (SealedBatch, Error)> {
        let (outcome, now) = (ticket.outcome(), self.scheduler.now());
        let attempts = outcome.note_failed_attempt(&error);
        let is_last = attempts > self.config.retries || now >= outcome.expires_at();
        if is_last || !error.is_retriable() || self.is_ending.load(Ordering::Acquire) {
            return Err((batch, error));
        }
        outcome.mark_returned(now);
        let queue = outcome.queue();
        let mut state = lock(&queue.state);
        if attempts == 1 && state.backoff.is_none() {
            log::warn!("{}: {error}; it is tried again", queue.partition.name());
        }
        let batch = QueuedBatch::Sealed(batch);
        self.queued.add(&batch);
        state.full.push_front((batch, Arc::clone(ticket)));
        queue.note_waiting(&state);
        let next = (now + self.backoff.after(attempts)).min(outcome.expires_at());
        let place = (next, outcome.due().1);
        let mut ready = lock(&self.ready);
        if let Some(former) = state.backoff.replace(place) {
            ready.lingering.remove(&former);
        }
        ready.lingering.insert(place, Arc::clone(queue));
        Ok(())
    }

    /// Whether the first batch waits for its next attempt at `now`; when that is over, it is forgotten.
    pub(super) fn backs_off(&self, state: &mut QueueState, now: Moment) -> bool {
        let Some(place) = state.backoff else { return false };
        if now < place.0 && !self.is_ending.load(Ordering::Acquire) {
            return true;
        }
        state.backoff = None;
        lock(&self.ready).lingering.remove(&place);
        false
    }

    /// Refuses records from now on, and has everything fail that the writer has not taken. What the writer has, and
    /// cannot write, is not tried again.
    pub(in crate::producer) fn abort(&self) {
        self.is_ending.store(true, Ordering::Release);
        for outcome in self.forbid() {
            let queue = outcome.queue();
            let given_up = {
                let mut state = lock(&queue.state);
                self.complete(queue, &mut state);
                if let Some(place) = state.backoff.take() {
                    lock(&self.ready).lingering.remove(&place);
                }
                let given_up = std::mem::take(&mut state.full);
                queue.note_waiting(&state);
                given_up
            };
            for (batch, ticket) in given_up {
                self.queued.remove(&batch);
                ticket.recycle(batch.seal(&ticket).into_buffer());
                ticket.resolve(Err(Error::Closed { what: "producer" }));
            }
        }
    }
}
