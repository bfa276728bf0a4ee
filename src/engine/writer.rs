//! The one appender of a directory: rounds over all batches that are ready, and all journal frames.
//!
//! A round takes what the sources have ready, writes it, a few large writes a file, and resolves what needed no more
//! than that. Batches of `acks = all` and journal frames go on to the syncer, and the writer to its next round: while
//! one sync is under way, the rounds behind it gather for the next.
//!
//! Rolling, writing and answering never wait for a sync. What a crash may take is therefore what the syncer has not
//! confirmed, and that is what nobody has been told is durable.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::engine::lane::{Answer, Failure, JournalCell, Lane};
use crate::engine::syncer::{Round, ToSyncer};
use crate::error::{Error, Result};
use crate::record::SealedBatch;
use crate::replication::Partition;
use crate::sync::{Actor, Mailbox, Moment, Next, Post, lock};
use crate::topics::Topics;
use crate::types::{Acks, Offset, Timestamp, TimestampType};

/// How many bytes of batches one round takes.
const ROUND_BYTES: usize = 4 << 20;
/// How many unsynced bytes a directory may have before they are synced though nobody waits: so that a crash leaves
/// little to check.
const UNSYNCED_BYTES: u64 = 64 << 20;

/// Where the writer takes batches from; the producer's accumulator implements it.
pub(crate) trait BatchSource: Send + Sync + fmt::Debug {
    /// Moves the batches that are ready at `now` into `into`, about `limit` bytes at most, each partition's in order.
    /// Answers when to ask again, if that is before the source wakes the writer.
    fn take(&self, now: Moment, limit: usize, into: &mut Vec<ReadyBatch>) -> Option<Moment>;

    /// The engine closes: what was sent so far becomes ready, and nothing more is taken in.
    fn close(&self);

    /// Whether it was closed and has nothing left: the writer forgets it then.
    fn is_finished(&self) -> bool;
}

/// Wakes the writer of an engine, without keeping the engine open.
#[derive(Clone, Debug)]
pub(crate) struct WriterWaker(pub(super) Post<Command>);

impl WriterWaker {
    /// Has the writer ask the sources.
    pub(crate) fn wake(&self) {
        self.0.wake();
    }
}

/// A batch that is complete but for its offsets.
pub(crate) struct ReadyBatch {
    pub(crate) partition: Arc<Partition>,
    pub(crate) acks: Acks,
    pub(crate) batch: SealedBatch,
    pub(crate) completion: Arc<dyn Completion>,
    /// Why it is not written, if that is known.
    pub(crate) refused: Option<Error>,
}

impl fmt::Debug for ReadyBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReadyBatch({}, acks {})", self.partition.name(), self.acks)
    }
}

/// Told once what became of a batch.
pub(crate) trait Completion: Send + Sync {
    /// The batch is where its acks want it, or may be: it was written, and something failed then.
    fn resolve(&self, outcome: Result<Appended>);

    /// Gets back the batch, which is not in the log unless `error` says that nobody knows: to try again, if the error
    /// may pass, or to give it up. Of several batches of a partition the last one comes first, so that each can go in
    /// front of the others.
    fn refuse(self: Arc<Self>, batch: SealedBatch, error: Error) {
        self.recycle(batch.into_buffer());
        self.resolve(Err(error));
    }

    /// Gets back the batch's buffer, to be used again: its bytes are written, or never will be.
    fn recycle(&self, buffer: Vec<u8>);
}

/// Where a batch went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Appended {
    pub(crate) base_offset: Offset,
    /// When, if the topic stamps records with that.
    pub(crate) append_time: Option<Timestamp>,
}

/// The sources that the writer asks; none once there is no writer any more.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    list: Mutex<Vec<Arc<dyn BatchSource>>>,
    is_closed: AtomicBool,
}

impl Sources {
    /// Adds a source, or closes it at once.
    pub(crate) fn add(&self, source: Arc<dyn BatchSource>) -> Result<()> {
        let mut list = lock(&self.list);
        if self.is_closed.load(Ordering::Acquire) {
            return Err(Error::Closed { what: "engine" });
        }
        list.push(source);
        Ok(())
    }

    /// Closes all sources, and those that would come.
    pub(crate) fn close(&self) {
        let list = lock(&self.list);
        self.is_closed.store(true, Ordering::Release);
        list.iter().for_each(|source| source.close());
    }
}

/// What the writer is told.
#[derive(Debug)]
pub(crate) enum Command {
    /// Write a frame, and answer when it is durable.
    Frame { cell: Arc<JournalCell>, payload: Vec<u8>, answer: Answer },
    /// Answer when every round before is through.
    Barrier(Answer),
    /// Write and sync all that was sent, and end.
    Close,
}

/// Has a frame written to the journal of `cell`. Calls `done` when it is durable, or will not be: from any thread, the
/// caller's too.
pub(super) fn begin_frame(
    to_writer: &Post<Command>,
    cell: &Arc<JournalCell>,
    payload: Vec<u8>,
    done: impl FnOnce(Result<(), Failure>) + Send + 'static,
) {
    let (cell, answer) = (Arc::clone(cell), Answer::new(done));
    // A writer that is gone drops the command, which answers it.
    let _ = to_writer.send(Command::Frame { cell, payload, answer });
}

/// The actor behind `ottla-writer-<dir>`.
#[derive(Debug)]
pub(crate) struct Writer {
    inbox: Mailbox<Command>,
    lane: Arc<Lane>,
    sources: Arc<Sources>,
    topics: Arc<Topics>,
    to_syncer: Post<ToSyncer>,
    is_closing: bool,
    /// Appended since the last sync that nobody waited for.
    unsynced_bytes: u64,
    /// Partitions with records that are to be synced by then, though nobody waits: `flush.ms`.
    to_flush: Vec<(Moment, Arc<Partition>)>,
    // Emptied and filled again in each round.
    ready: Vec<ReadyBatch>,
    results: Vec<Result<Offset>>,
}

impl Writer {
    pub(crate) fn new(
        inbox: Mailbox<Command>,
        lane: Arc<Lane>,
        sources: Arc<Sources>,
        topics: Arc<Topics>,
        to_syncer: Post<ToSyncer>,
    ) -> Self {
        Self {
            inbox,
            lane,
            sources,
            topics,
            to_syncer,
            is_closing: false,
            unsynced_bytes: 0,
            to_flush: Vec::new(),
            ready: Vec::new(),
            results: Vec::new(),
        }
    }

    /// Takes what the sources have; answers when to ask them again.
    fn take_batches(&mut self, now: Moment) -> Option<Moment> {
        let mut sources = lock(&self.sources.list);
        let mut next = None;
        sources.retain(|source| !source.is_finished());
        if sources.len() > 1 {
            sources.rotate_left(1); // a producer that fills whole rounds does not keep the others out
        }
        for source in sources.iter() {
            let taken: usize = self.ready.iter().map(|ready| ready.batch.len_bytes()).sum();
            let ask_at = source.take(now, ROUND_BYTES.saturating_sub(taken), &mut self.ready);
            next = [next, ask_at].into_iter().flatten().min();
        }
        next
    }

    /// Appends what was taken, a partition after the other.
    fn append_batches(&mut self, moment: Moment, round: &mut Round) {
        if self.ready.is_empty() {
            return;
        }
        let now = self.lane.disk.now();
        let mut ready = std::mem::take(&mut self.ready);
        if let Err(full) = self.lane.offline.check().and_then(|()| self.lane.reserve.take()) {
            for ready in &mut ready {
                ready.refused.get_or_insert_with(|| full.clone());
            }
        }
        // Stable: each partition's batches stay in their order. Not by address: a seed would not be one run.
        ready.sort_by_key(|ready| ready.partition.slot());
        let mut rest = ready.as_mut_slice();
        while let Some(first) = rest.first() {
            let partition = Arc::clone(&first.partition);
            let count = rest.iter().take_while(|ready| Arc::ptr_eq(&ready.partition, &partition)).count();
            let (run, behind) = rest.split_at_mut(count);
            self.append_run(&partition, run, now, round);
            self.plan_flush(&partition, moment, round);
            rest = behind;
        }
        for ReadyBatch { batch, completion, refused, .. } in ready.drain(..).rev() {
            match refused {
                None => completion.recycle(batch.into_buffer()),
                Some(error) => completion.refuse(batch, error),
            }
        }
        self.ready = ready;
    }

    /// Appends batches of one partition, and resolves or hands on each.
    fn append_run(&mut self, partition: &Arc<Partition>, run: &mut [ReadyBatch], now: Timestamp, round: &mut Round) {
        let seen_end = partition.high_watermark();
        let stamps = partition.log().config().message_timestamp_type() == TimestampType::LogAppendTime;
        let append_time = stamps.then_some(now);
        let written = |ready: &&mut ReadyBatch| ready.refused.is_none();
        let mut batches: Vec<_> = run.iter_mut().filter(written).map(|ready| (&mut ready.batch, ready.acks)).collect();
        partition.append(&mut batches, now, &mut self.results);
        if partition.high_watermark() != seen_end {
            self.lane.write_position(partition); // before anybody is told: a reader elsewhere finds what he speaks of
        }
        for (ready, result) in run.iter_mut().filter(written).zip(self.results.drain(..)) {
            match result {
                Ok(base_offset) => {
                    self.unsynced_bytes += ready.batch.len_bytes() as u64;
                    let appended = Appended { base_offset, append_time };
                    if ready.acks == Acks::All {
                        round.wait(partition, Arc::clone(&ready.completion), appended);
                    } else {
                        ready.completion.resolve(Ok(appended));
                    }
                }
                Err(error) => ready.refused = Some(error),
            }
        }
    }

    /// What the topic says of records that nobody waits for: `flush.messages`, `flush.ms`.
    fn plan_flush(&mut self, partition: &Arc<Partition>, moment: Moment, round: &mut Round) {
        let config = partition.log().config();
        let unsynced = partition.log_end().0 - partition.durable_end().0;
        if u64::try_from(unsynced).is_ok_and(|count| count >= config.flush_messages()) {
            round.partitions.push(Arc::clone(partition));
        } else if let Some(after) = config.flush_after()
            && unsynced > 0
            && !self.to_flush.iter().any(|(_, listed)| Arc::ptr_eq(listed, partition))
        {
            self.to_flush.push((moment + after, Arc::clone(partition)));
        }
    }

    /// Has the partitions synced whose time has come; answers when the next one's does.
    fn flush_due(&mut self, now: Moment, round: &mut Round) -> Option<Moment> {
        let due = self.to_flush.extract_if(.., |(at, _)| *at <= now);
        round.partitions.extend(due.map(|(_, partition)| partition).filter(|it| it.sync_work().is_some()));
        self.to_flush.iter().map(|(at, _)| *at).min()
    }

    /// Writes the frames of a round, one write a journal.
    fn write_frames(&mut self, frames: Vec<(Arc<JournalCell>, Vec<u8>, Answer)>, round: &mut Round) {
        let mut by_journal: Vec<(Arc<JournalCell>, Vec<Answer>)> = Vec::new();
        for (cell, payload, answer) in frames {
            let known = by_journal.iter().position(|(known, _)| Arc::ptr_eq(known, &cell));
            let index = known.unwrap_or_else(|| {
                by_journal.push((Arc::clone(&cell), Vec::new()));
                by_journal.len() - 1
            });
            match self.queue_frame(&cell, &payload) {
                Ok(()) => by_journal[index].1.push(answer),
                Err(error) => answer.give(Err(error)),
            }
        }
        for (cell, mut answers) in by_journal.into_iter().filter(|(_, answers)| !answers.is_empty()) {
            let written = self.write_journal(&cell);
            // A write that failed took back what it had written, unless that is what failed.
            if matches!(written, Ok(()) | Err(Error::Storage { .. })) {
                answers.iter_mut().for_each(Answer::mark_written);
            }
            match written {
                Ok(()) => {
                    cell.in_flight.fetch_add(answers.len(), Ordering::AcqRel);
                    round.frames.push((cell, answers));
                }
                Err(error) => answers.into_iter().for_each(|answer| answer.give(Err(error.clone()))),
            }
        }
    }

    /// Queues a frame to be written with others; before the first one the journal may be written anew.
    fn queue_frame(&self, cell: &JournalCell, payload: &[u8]) -> Result<()> {
        self.lane.offline.check()?; // here, or what is queued would stay and become more
        if let Err(error) = cell.compact_if_grown(self.lane.disk.random()) {
            self.lane.note_failed_sync(&error);
            log::warn!("{error}"); // the old file goes on
        }
        lock(&cell.journal).append(payload)
    }

    /// Writes the frames that were queued for a journal.
    fn write_journal(&self, cell: &JournalCell) -> Result<()> {
        let mut journal = lock(&cell.journal);
        let written = journal.write_round(&mut || self.lane.reserve.release());
        // Under the lock, for the syncer: see where that has a sync of the same file behind itself.
        written.map(drop).inspect_err(|error| self.lane.note_failed_sync(error))
    }

    /// Has everything synced that nobody waits for, when there is much of it, or at the end.
    fn sync_rest(&mut self, round: &mut Round) {
        let topics = self.topics.all();
        let partitions = topics.iter().flat_map(|topic| topic.partitions.iter());
        round.partitions.extend(partitions.filter(|partition| partition.sync_work().is_some()).cloned());
        self.unsynced_bytes = 0;
    }
}

impl Actor for Writer {
    fn step(&mut self, now: Moment) -> Next {
        let mut round = Round::default();
        let mut frames = Vec::new();
        while let Some(command) = self.inbox.take() {
            match command {
                Command::Frame { cell, payload, answer } => frames.push((cell, payload, answer)),
                Command::Barrier(answer) => round.barriers.push(answer),
                Command::Close => {
                    self.is_closing = true;
                    self.sources.close();
                }
            }
        }
        let ask_at = self.take_batches(now);
        let has_work = !self.ready.is_empty() || !frames.is_empty();
        self.append_batches(now, &mut round);
        let flush_at = self.flush_due(now, &mut round);
        self.write_frames(frames, &mut round);

        let ends = self.is_closing && !has_work;
        if ends || self.unsynced_bytes > UNSYNCED_BYTES {
            self.sync_rest(&mut round);
        }
        if !round.is_empty() {
            let _ = self.to_syncer.send(ToSyncer::Round(round)); // a syncer that is gone fails what it is sent
        }
        match (ends, [ask_at, flush_at].into_iter().flatten().min()) {
            (true, _) => {
                let _ = self.to_syncer.send(ToSyncer::Close);
                Next::Done
            }
            (false, _) if has_work => Next::Again,
            (false, Some(moment)) => Next::Until(moment),
            (false, None) => Next::Idle,
        }
    }
}

/// Ended by closing, it has nothing left; ended by a panic, it leaves nobody waiting for ever.
impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.to_syncer.send(ToSyncer::Close); // or whoever closes the engine would wait for the syncer
        self.sources.close();
        let sources = lock(&self.sources.list);
        for source in sources.iter() {
            loop {
                let mut left = Vec::new();
                source.take(Moment::default(), usize::MAX, &mut left);
                if left.is_empty() {
                    break;
                }
                for ready in left.into_iter().rev() {
                    ready.completion.refuse(ready.batch, Error::Closed { what: "engine" });
                }
            }
        }
    }
}
