//! Makes durable what the writer has written, one sync round at a time.
//!
//! Rounds that arrive while a sync is under way gather, and the next one serves them all: with many callers waiting,
//! each sync serves many. What is synced is, for every partition with somebody waiting, each file that has unsynced
//! bytes, older segments too, and the directory of each name that no sync covered.
//!
//! A sync that fails is never tried again: the system may have dropped what it could not write, and would say yes to
//! the second try. The directory goes offline, and whoever waits is told that the outcome is unknown.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::engine::lane::{Answer, JournalCell, Lane};
use crate::engine::writer::{Appended, Completion};
use crate::error::{Error, Result};
use crate::io::{File, SyncTarget};
use crate::replication::Partition;
use crate::storage::SyncWork;
use crate::sync::{Actor, Mailbox, Moment, Next, Post, lock};

/// What the syncer is told.
#[derive(Debug)]
pub(crate) enum ToSyncer {
    /// The writer has written this.
    Round(Round),
    /// The sync that was begun has ended.
    Synced(Result<()>),
    /// Sync what came before, and end.
    Close,
}

/// What waits for a sync.
#[derive(Debug, Default)]
pub(crate) struct Round {
    /// Partitions to be synced.
    pub(crate) partitions: Vec<Arc<Partition>>,
    /// Batches of those, whose acks want it.
    waiting: Vec<Waiting>,
    /// Journals to be synced, and who waits for that.
    pub(crate) frames: Vec<(Arc<JournalCell>, Vec<Answer>)>,
    /// Who only wants to know that everything before is through.
    pub(crate) barriers: Vec<Answer>,
}

/// A batch that is written, and not known to be durable. One that is dropped before that has an unknown outcome.
struct Waiting {
    partition: Arc<Partition>,
    completion: Option<Arc<dyn Completion>>,
    appended: Appended,
}

impl Waiting {
    fn resolve(mut self, outcome: Result<()>) {
        if let Some(completion) = self.completion.take() {
            completion.resolve(outcome.map(|()| self.appended));
        }
    }

    fn fail(self, cause: &Arc<Error>) {
        let partition = self.partition.name().clone();
        self.resolve(Err(Error::OutcomeUnknown { partition, cause: Arc::clone(cause) }));
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(completion) = self.completion.take() {
            let (partition, cause) = (self.partition.name().clone(), Arc::new(Error::Closed { what: "engine" }));
            completion.resolve(Err(Error::OutcomeUnknown { partition, cause }));
        }
    }
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Waiting({} at {})", self.partition.name(), self.appended.base_offset)
    }
}

impl Round {
    /// `completion` wants to know when the batch is durable.
    pub(crate) fn wait(&mut self, partition: &Arc<Partition>, completion: Arc<dyn Completion>, appended: Appended) {
        if !self.partitions.last().is_some_and(|last| Arc::ptr_eq(last, partition)) {
            self.partitions.push(Arc::clone(partition));
        }
        self.waiting.push(Waiting { partition: Arc::clone(partition), completion: Some(completion), appended });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.partitions.is_empty() && self.waiting.is_empty() && self.frames.is_empty() && self.barriers.is_empty()
    }

    fn merge(&mut self, other: Self) {
        self.partitions.extend(other.partitions);
        self.waiting.extend(other.waiting);
        self.frames.extend(other.frames);
        self.barriers.extend(other.barriers);
    }

    /// Fails everybody who waits.
    fn fail(self, cause: &Error) {
        let cause = Arc::new(cause.clone());
        self.waiting.into_iter().for_each(|waiting| waiting.fail(&cause));
        for (cell, answers) in self.frames {
            cell.in_flight.fetch_sub(answers.len(), Ordering::AcqRel);
            answers.into_iter().for_each(|answer| answer.give(Err(cause.as_ref().clone())));
        }
        self.barriers.into_iter().for_each(|barrier| barrier.give(Ok(())));
    }
}

/// The actor behind `ottla-sync-<dir>`.
#[derive(Debug)]
pub(crate) struct Syncer {
    inbox: Mailbox<ToSyncer>,
    /// Its own address, for the end of a sync.
    post: Post<ToSyncer>,
    lane: Arc<Lane>,
    gathered: Round,
    in_flight: Option<InFlight>,
    is_closing: bool,
}

/// A sync that was begun.
#[derive(Debug)]
struct InFlight {
    round: Round,
    work: Vec<(Arc<Partition>, SyncWork)>,
    /// How far each journal of the round was written when the sync began.
    journal_ends: Vec<(Arc<dyn File>, u64)>,
}

impl Syncer {
    pub(crate) fn new(inbox: Mailbox<ToSyncer>, post: Post<ToSyncer>, lane: Arc<Lane>) -> Self {
        Self { inbox, post, lane, gathered: Round::default(), in_flight: None, is_closing: false }
    }

    /// Begins to sync what has gathered.
    fn begin(&mut self) {
        let mut round = std::mem::take(&mut self.gathered);
        if let Err(error) = self.lane.offline.check() {
            round.fail(&error);
            return;
        }
        round.partitions.sort_by_key(|partition| partition.slot());
        round.partitions.dedup_by(|one, other| Arc::ptr_eq(one, other));
        let work: Vec<_> =
            round.partitions.iter().filter_map(|each| Some((Arc::clone(each), each.sync_work()?))).collect();
        let mut targets: Vec<SyncTarget> = work.iter().flat_map(|(_, work)| work.targets.iter().cloned()).collect();
        let mut journal_ends = Vec::with_capacity(round.frames.len());
        for (cell, _) in &round.frames {
            let journal = lock(&cell.journal);
            targets.push(SyncTarget::File(journal.file()));
            journal_ends.push((journal.file(), journal.end()));
        }
        self.in_flight = Some(InFlight { round, work, journal_ends });
        let post = self.post.clone();
        let done = Box::new(move |result| {
            let _ = post.send(ToSyncer::Synced(result)); // a syncer that is gone needs no answer
        });
        self.lane.disk.begin_sync(targets, done);
    }

    /// Notes what the sync has made durable.
    ///
    /// A failed sync is told once a file: when the writer, cutting off what a full disk took in part, has met it, the
    /// sync here returned well in spite of it. The writer takes the directory offline under the lock of the partition
    /// or journal, so whoever has had that lock since knows.
    fn mark_durable(
        &self,
        round: &Round,
        work: &[(Arc<Partition>, SyncWork)],
        journal_ends: &[(Arc<dyn File>, u64)],
    ) -> Result<()> {
        for (partition, work) in work {
            partition.finish_sync(work)?;
            self.lane.write_position(partition);
        }
        for ((cell, _), (file, end)) in round.frames.iter().zip(journal_ends) {
            let mut journal = lock(&cell.journal);
            self.lane.offline.check()?;
            journal.mark_durable(file, *end);
        }
        Ok(())
    }

    /// The sync has ended.
    fn finish(&mut self, result: Result<()>) {
        let Some(InFlight { round, work, journal_ends }) = self.in_flight.take() else { return };
        if let Err(error) = result {
            self.lane.offline.set(error.clone());
            // As what it is from now on: the system's own word may sound as if trying again could help.
            round.fail(&self.lane.offline.check().err().unwrap_or(error));
            return;
        }
        if let Err(error) = self.mark_durable(&round, &work, &journal_ends) {
            round.fail(&error);
            return;
        }
        for (cell, answers) in round.frames {
            let count = answers.len();
            answers.into_iter().for_each(|answer| answer.give(Ok(())));
            // Behind the answers, which bring the state up to the frames.
            cell.in_flight.fetch_sub(count, Ordering::AcqRel);
        }
        round.waiting.into_iter().for_each(|waiting| waiting.resolve(Ok(())));
        round.barriers.into_iter().for_each(|barrier| barrier.give(Ok(())));
    }
}

/// Ended by a panic, it leaves a directory in which nothing becomes durable any more.
impl Drop for Syncer {
    fn drop(&mut self) {
        if !self.is_closing {
            self.lane.offline.set(Error::illegal_state("the thread that syncs it panicked"));
        }
    }
}

impl Actor for Syncer {
    fn step(&mut self, _now: Moment) -> Next {
        while let Some(message) = self.inbox.take() {
            match message {
                ToSyncer::Round(round) => self.gathered.merge(round),
                ToSyncer::Synced(result) => self.finish(result),
                ToSyncer::Close => self.is_closing = true,
            }
        }
        if self.in_flight.is_some() {
            return Next::Idle;
        }
        if !self.gathered.is_empty() {
            self.begin();
            return Next::Again;
        }
        if self.is_closing { Next::Done } else { Next::Idle }
    }
}
