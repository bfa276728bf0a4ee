//! What becomes of a batch that takes no more records: it is queued, sealed, and handed to the writer.
//!
//! Without compression a batch is sealed where it is full: its bytes are still in that processor's cache. One that is
//! to be compressed is queued as it is, and sealed by the writer when it takes it; or at once by who sends, when so much
//! waits already that the writer falls behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::engine::ReadyBatch;
use crate::producer::accumulator::{Accumulator, OpenBatch, PartitionQueue, QueueState};
use crate::producer::delivery::Ticket;
use crate::producer::metrics::BatchFacts;
use crate::producer::ratio::CompressionRatio;
use crate::record::{BatchBuilder, BatchHeader, ProducerStamp, SealedBatch};
use crate::sync::{Moment, lock};

/// How many bytes may be queued before the writer is woken for their number alone.
const QUEUED_BYTES: usize = 1024 * 1024;
/// How many bytes the writer compresses in one round: what waits behind them waits a millisecond for that, or a few with
/// gzip. It is woken when so many are there.
const PACKED_A_ROUND: usize = 256 * 1024;
/// How many bytes may wait for the writer to compress them.
const MOST_UNPACKED: usize = 1024 * 1024;

/// A batch that takes no more records.
pub(super) enum QueuedBatch {
    Sealed(SealedBatch),
    /// To be compressed by the writer.
    Unpacked(FullBatch),
}

/// A batch that is full and not sealed.
pub(super) struct FullBatch {
    builder: BatchBuilder,
    largest_record: usize,
}

impl QueuedBatch {
    /// How many bytes it takes for now.
    fn len_bytes(&self) -> usize {
        match self {
            Self::Sealed(batch) => batch.len_bytes(),
            Self::Unpacked(full) => full.builder.len_bytes(),
        }
    }

    fn unpacked_bytes(&self) -> usize {
        if matches!(self, Self::Unpacked(_)) { self.len_bytes() } else { 0 }
    }

    /// Seals it, if it is not, without compressing it.
    pub(super) fn seal(self, ticket: &Ticket) -> SealedBatch {
        match self {
            Self::Sealed(batch) => batch,
            Self::Unpacked(full) => full.seal(ticket, |builder| builder.seal(ProducerStamp::NONE)),
        }
    }
}

impl FullBatch {
    fn seal(self, ticket: &Ticket, seal: impl FnOnce(BatchBuilder) -> SealedBatch) -> SealedBatch {
        let unpacked_bytes = self.builder.len_bytes();
        let batch = seal(self.builder);
        let (records, packed_bytes) = (batch.count(), batch.len_bytes());
        let largest_record = self.largest_record;
        ticket.outcome().set_facts(BatchFacts { records, unpacked_bytes, packed_bytes, largest_record });
        batch
    }
}

/// How many bytes are queued, over all partitions.
#[derive(Debug, Default)]
pub(super) struct QueuedBytes {
    all: AtomicUsize,
    /// Those of them that wait to be compressed.
    unpacked: AtomicUsize,
}

impl QueuedBytes {
    pub(super) fn add(&self, batch: &QueuedBatch) {
        self.all.fetch_add(batch.len_bytes(), Ordering::Relaxed);
        self.unpacked.fetch_add(batch.unpacked_bytes(), Ordering::Relaxed);
    }

    pub(super) fn remove(&self, batch: &QueuedBatch) {
        self.all.fetch_sub(batch.len_bytes(), Ordering::Relaxed);
        self.unpacked.fetch_sub(batch.unpacked_bytes(), Ordering::Relaxed);
    }

    /// Whether the writer is to be woken for them alone.
    pub(super) fn are_worth_a_round(&self) -> bool {
        self.all.load(Ordering::Relaxed) >= QUEUED_BYTES || self.unpacked.load(Ordering::Relaxed) >= PACKED_A_ROUND
    }

    /// Whether the writer has enough to compress.
    fn keep_the_writer_busy(&self) -> bool {
        self.unpacked.load(Ordering::Relaxed) >= MOST_UNPACKED
    }
}

/// What the writer may still take in a round, in bytes.
pub(super) struct Budget {
    all: usize,
    unpacked: usize,
}

impl Budget {
    pub(super) fn of_a_round(limit: usize) -> Self {
        Self { all: limit, unpacked: PACKED_A_ROUND }
    }

    fn is_used_up(&self) -> bool {
        self.all == 0 || self.unpacked == 0
    }

    fn charge(&mut self, batch: &QueuedBatch) {
        self.all = self.all.saturating_sub(batch.len_bytes());
        self.unpacked = self.unpacked.saturating_sub(batch.unpacked_bytes());
    }
}

impl Accumulator {
    /// Ends the open batch, and queues it behind the others.
    pub(super) fn complete(&self, queue: &PartitionQueue, state: &mut QueueState) {
        let Some(OpenBatch { builder, ticket, largest_record, .. }) = state.open.take() else { return };
        lock(&self.ready).lingering.remove(&ticket.outcome().due());
        state.completed_bytes += queue.expected_len(builder.len_bytes());
        let full = FullBatch { builder, largest_record };
        let batch = match &queue.ratio {
            Some(_) if !self.queued.keep_the_writer_busy() => QueuedBatch::Unpacked(full),
            ratio => QueuedBatch::Sealed(self.seal_full(full, ratio.as_deref(), &ticket)),
        };
        self.queued.add(&batch);
        state.full.push_back((batch, Arc::new(ticket)));
        queue.note_waiting(state);
    }

    fn seal_full(&self, full: FullBatch, ratio: Option<&CompressionRatio>, ticket: &Ticket) -> SealedBatch {
        full.seal(ticket, |builder| match ratio {
            None => builder.seal(ProducerStamp::NONE),
            Some(ratio) => self.compress(builder, ratio),
        })
    }

    /// Seals a batch compressed, and learns from it.
    fn compress(&self, builder: BatchBuilder, ratio: &CompressionRatio) -> SealedBatch {
        let unpacked = builder.len_bytes() - BatchHeader::LEN_BYTES;
        let mut compressor = lock(&self.compressors).pop().unwrap_or_default();
        let batch = builder.seal_compressed(ProducerStamp::NONE, self.config.codec(), &mut compressor);
        lock(&self.compressors).push(compressor);
        ratio.observe(unpacked, batch.len_bytes() - BatchHeader::LEN_BYTES);
        batch
    }

    /// Takes what waits in `queue` and fits the round.
    pub(super) fn take_from(
        &self,
        queue: &PartitionQueue,
        state: &mut QueueState,
        budget: &mut Budget,
        into: &mut Vec<(QueuedBatch, Arc<Ticket>)>,
    ) {
        while !budget.is_used_up()
            && let Some((batch, ticket)) = state.full.pop_front()
        {
            budget.charge(&batch);
            self.queued.remove(&batch);
            into.push((batch, ticket));
        }
        queue.note_waiting(state);
    }

    /// Makes a batch that was taken what the writer takes: complete, or refused since nobody wants it any more.
    pub(super) fn hand_over(
        &self,
        queue: &PartitionQueue,
        batch: QueuedBatch,
        ticket: Arc<Ticket>,
        now: Moment,
    ) -> ReadyBatch {
        let refused = (now >= ticket.outcome().expires_at()).then(|| ticket.outcome().expiry());
        let batch = match batch {
            QueuedBatch::Unpacked(full) if refused.is_none() => self.seal_full(full, queue.ratio.as_deref(), &ticket),
            batch => batch.seal(&ticket),
        };
        if refused.is_none() {
            ticket.mark_taken(now);
        }
        let partition = Arc::clone(&queue.partition);
        ReadyBatch { partition, acks: self.config.acks, batch, completion: ticket, refused }
    }
}
