//! The groups of an engine, and the journals of their committed offsets.
//!
//! A group has a journal from its first commit until it is deleted, or has expired. Which one that is stands under the
//! lock [`Group::journal`], and whoever has a frame written gives it to the writer under that lock. So a journal that
//! was taken out there gets no frame any more, and is removed when those under way are through:
//!
//! | who | takes it out | waits for the frames before |
//! |---|---|---|
//! | `delete_group` | if the group has no members | with a barrier |
//! | [`Expiry`](crate::engine::expiry::Expiry) | if it has no members, no offsets, and no frames under way | not at all |
//!
//! Both hold `Shared::changing_files` meanwhile, under which journals are made too. The group itself stays: handles on
//! it go on with one that has committed nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::coordinator::group::{
    CommitEntry, DropEntry, GroupOffsets, Interest, Joining, Membership, OFFSETS_SUFFIX, OffsetAndMetadata, SeatTerms,
};
use crate::engine::lane::{Answer, Failure, JournalCell, Lane};
use crate::engine::writer::Command;
use crate::engine::{Engine, Shared};
use crate::error::{Error, Result};
use crate::io::Dir;
use crate::storage::{Journal, JournalIds, group_file_name};
use crate::sync::{Moment, Post, Scheduler, Signal, lock};
use crate::topics::Topics;
use crate::types::{LeaderEpoch, Offset, Timestamp, TopicId, TopicPartition};

/// All groups by name.
#[derive(Debug)]
pub(crate) struct Groups {
    dir: Arc<dyn Dir>,
    by_name: Mutex<BTreeMap<Arc<str>, Arc<Group>>>,
    /// The engine closes: who leaves from now on was noted.
    has_ended: AtomicBool,
}

/// A group, and its journal once something was committed.
#[derive(Debug)]
pub(crate) struct Group {
    offsets: Arc<GroupOffsets>,
    journal: Mutex<Option<Arc<JournalCell>>>,
    /// Why the journal does not say whether the group has members.
    lost_note: Mutex<Option<Error>>,
}

impl Group {
    pub(crate) fn new(offsets: Arc<GroupOffsets>, journal: Option<Arc<JournalCell>>) -> Self {
        Self { offsets, journal: Mutex::new(journal), lost_note: Mutex::default() }
    }

    pub(crate) fn offsets(&self) -> &Arc<GroupOffsets> {
        &self.offsets
    }

    pub(crate) fn journal(&self) -> Option<Arc<JournalCell>> {
        lock(&self.journal).clone()
    }

    /// Has `payload` written, unless there is no journal: then nothing happens, and `done` comes back.
    pub(crate) fn begin_frame<D: FnOnce(Result<()>) + Send + 'static>(
        &self,
        to_writer: &Post<Command>,
        payload: Vec<u8>,
        done: D,
    ) -> Result<(), D> {
        match &*lock(&self.journal) {
            Some(cell) => {
                begin_frame(to_writer, &self.offsets, cell, payload, done);
                Ok(())
            }
            None => Err(done),
        }
    }

    fn write_note(self: &Arc<Self>, to_writer: &Post<Command>, cell: &Arc<JournalCell>, note: Vec<u8>) {
        let (group, under_way) = (Arc::clone(self), Arc::clone(cell));
        cell.under_way.fetch_add(1, Ordering::AcqRel);
        let answer = Answer::new(move |result: Result<(), Failure>| {
            // The state has it already, and perhaps a later one.
            *lock(&group.lost_note) = result.err().map(Failure::into_error);
            under_way.under_way.fetch_sub(1, Ordering::AcqRel);
        });
        let _ = to_writer.send(Command::Frame { cell: Arc::clone(cell), payload: note, answer });
    }

    /// Takes the journal out, if `may_go` says so of it.
    pub(super) fn take_journal(&self, may_go: impl FnOnce(&JournalCell) -> bool) -> Option<Arc<JournalCell>> {
        let mut journal = lock(&self.journal);
        if journal.as_deref().is_some_and(may_go) { journal.take() } else { None }
    }

    /// Puts it back: it was not removed.
    pub(super) fn put_journal(&self, cell: Arc<JournalCell>) {
        *lock(&self.journal) = Some(cell);
    }
}

impl Groups {
    pub(crate) fn new(dir: Arc<dyn Dir>, groups: impl IntoIterator<Item = Group>) -> Self {
        let by_name = groups.into_iter().map(|group| (group.offsets.name().into(), Arc::new(group))).collect();
        Self { dir, by_name: Mutex::new(by_name), has_ended: AtomicBool::new(false) }
    }

    /// The group of that name. A new one has no file before it commits, so that asking leaves nothing behind.
    pub(crate) fn group(&self, name: &str) -> Result<Arc<GroupOffsets>> {
        group_file_name(name)?; // refused here rather than at the first commit, when records have been handed out
        let mut groups = lock(&self.by_name);
        if let Some(group) = groups.get(name) {
            return Ok(Arc::clone(&group.offsets));
        }
        let offsets = Arc::new(GroupOffsets::new(name));
        groups.insert(name.into(), Arc::new(Group::new(Arc::clone(&offsets), None)));
        Ok(offsets)
    }

    /// The group of that name, if it has committed something.
    pub(crate) fn find(&self, name: &str) -> Result<Arc<GroupOffsets>> {
        let group = self.known(name)?;
        if group.journal().is_some() { Ok(Arc::clone(&group.offsets)) } else { Err(unknown(name)) }
    }

    /// The group of that name, if anybody has ever asked for it.
    fn known(&self, name: &str) -> Result<Arc<Group>> {
        group_file_name(name)?; // no such group is one thing, no such name another
        lock(&self.by_name).get(name).map(Arc::clone).ok_or_else(|| unknown(name))
    }

    /// The names of the groups that have committed something.
    pub(crate) fn names(&self) -> Vec<Arc<str>> {
        // Not under the lock: a group's first commit holds its journal's while it makes that.
        let committed = self.all().into_iter().filter(|group| group.journal().is_some());
        committed.map(|group| group.offsets.name().into()).collect()
    }

    /// Wakes the members of all groups.
    pub(super) fn wake_members(&self) {
        self.all().iter().for_each(|group| group.offsets.wake_members());
    }

    /// Topics have come or gone.
    pub(crate) fn refresh_topics(&self, topics: &Topics) {
        self.all().iter().for_each(|group| group.offsets().refresh_topics(topics));
    }

    /// Has every group look for members that are late, and notes which groups have members; says when to look again, if
    /// ever.
    pub(super) fn look_after(&self, now: Moment, time: Timestamp, to_writer: &Post<Command>) -> Option<Moment> {
        let look = |group: &Arc<Group>| {
            let next = group.offsets.expire(now);
            self.note_members(group, to_writer, time);
            next
        };
        self.all().iter().filter_map(look).min()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Group>> {
        lock(&self.by_name).values().map(Arc::clone).collect()
    }

    /// Where `offsets` are kept.
    fn entry(&self, offsets: &Arc<GroupOffsets>) -> Arc<Group> {
        let mut groups = lock(&self.by_name);
        let known = groups.entry(offsets.name().into());
        Arc::clone(known.or_insert_with(|| Arc::new(Group::new(Arc::clone(offsets), None))))
    }

    /// The journal of `offsets`; with a group's first commit it is made, and durable before this returns.
    pub(crate) fn journal_of(&self, offsets: &Arc<GroupOffsets>, lane: &Lane) -> Result<Arc<JournalCell>> {
        let group = self.entry(offsets);
        let mut journal = lock(&group.journal);
        if let Some(cell) = &*journal {
            return Ok(Arc::clone(cell));
        }
        let name = file_name(offsets)?;
        let ids = JournalIds { journal: lane.disk.random(), history: lane.disk.random() };
        let snapshot = offsets.snapshot();
        let made = lane.with_reserve(|| Journal::create(Arc::clone(&self.dir), &name, ids, &snapshot));
        let made = made.inspect_err(|error| lane.note_failed_sync(error))?;
        let cell = journal_cell(made, offsets);
        *journal = Some(Arc::clone(&cell));
        Ok(cell)
    }

    /// Removes the files of groups whose journals were taken out, and what the groups have committed. If that fails,
    /// those whose files are still there have their journals back.
    pub(super) fn remove(&self, taken: Vec<(Arc<Group>, Arc<JournalCell>)>, lane: &Lane) -> Result<()> {
        let names = taken.iter().map(|(group, _)| file_name(&group.offsets)).collect::<Result<Vec<_>>>();
        let (gone, removed) =
            names.map_or_else(|error| (0, Err(error)), |names| Journal::remove(self.dir.as_ref(), &names));
        // Before anybody has his journal back: after a failed sync nothing may be written to a file that has no name.
        let _ = removed.as_ref().inspect_err(|error| lane.note_failed_sync(error));
        for (index, (group, cell)) in taken.into_iter().enumerate() {
            if index < gone && !lane.offline.is_set() {
                group.offsets.clear();
                *lock(&group.lost_note) = None;
            } else {
                group.put_journal(cell);
            }
        }
        removed
    }

    /// Notes whether a group has members now, in its journal too if there is one. Nobody waits for that.
    fn note_members(&self, group: &Arc<Group>, to_writer: &Post<Command>, now: Timestamp) {
        let journal = lock(&group.journal); // the lock that all callers have, for the order of the notes
        if self.has_ended.load(Ordering::Acquire) {
            return;
        }
        let note = group.offsets.note_members(now);
        if let (Some(cell), Some(note)) = (&*journal, note) {
            group.write_note(to_writer, cell, note);
        }
    }

    /// The engine closes, and all members with it. What could not be noted so far is noted once more.
    pub(super) fn note_end(&self, to_writer: &Post<Command>, now: Timestamp) {
        self.has_ended.store(true, Ordering::Release);
        for group in self.all() {
            let journal = lock(&group.journal);
            let note = match group.offsets.note_end(now) {
                None if lock(&group.lost_note).is_some() => group.offsets.encode_life(),
                note => note,
            };
            if let (Some(cell), Some(note)) = (&*journal, note) {
                group.write_note(to_writer, cell, note);
            }
        }
    }

    /// Nothing, or why the journal of a group says that it was empty, and perhaps it was not.
    pub(super) fn check_notes(&self) -> Result<()> {
        self.all().iter().try_for_each(|group| lock(&group.lost_note).clone().map_or(Ok(()), Err))
    }
}

fn file_name(offsets: &GroupOffsets) -> Result<String> {
    Ok(format!("{}{OFFSETS_SUFFIX}", group_file_name(offsets.name())?))
}

fn unknown(name: &str) -> Error {
    Error::GroupIdNotFound { group: name.into() }
}

/// The journal of a group's offsets, which knows how to write them anew.
pub(crate) fn journal_cell(journal: Journal, offsets: &Arc<GroupOffsets>) -> Arc<JournalCell> {
    let state = Arc::clone(offsets);
    Arc::new(JournalCell::new(journal, move || state.snapshot()))
}

/// Has a frame of a group written; once it is on the disk the group is brought up to it, and then `done` is called.
fn begin_frame(
    to_writer: &Post<Command>,
    group: &Arc<GroupOffsets>,
    cell: &Arc<JournalCell>,
    payload: Vec<u8>,
    done: impl FnOnce(Result<()>) + Send + 'static,
) {
    let (group, under_way, applied) = (Arc::clone(group), Arc::clone(cell), payload.clone());
    cell.under_way.fetch_add(1, Ordering::AcqRel);
    let answer = Answer::new(move |result: Result<(), Failure>| {
        if result.is_ok() {
            let result = group.apply(&applied);
            debug_assert!(result.is_ok(), "a payload of our own is well formed");
        }
        under_way.under_way.fetch_sub(1, Ordering::AcqRel); // behind the state, for who looks at both
        done(result.map_err(|failure| match failure {
            Failure::Refused(error) => error,
            Failure::Unknown(cause) => {
                Error::CommitOutcomeUnknown { group: group.name().into(), cause: Arc::new(cause) }
            }
        }));
    });
    // A writer that is gone drops the command, which answers it.
    let _ = to_writer.send(Command::Frame { cell: Arc::clone(cell), payload, answer });
}

impl Engine {
    /// The group of that name; a new one is on the disk with its first commit.
    pub(crate) fn group(&self, name: &str) -> Result<Arc<GroupOffsets>> {
        self.ensure_open()?;
        self.shared().groups.group(name)
    }

    /// The group of that name, if it has committed something.
    pub(crate) fn find_group(&self, name: &str) -> Result<Arc<GroupOffsets>> {
        self.shared().groups.find(name)
    }

    /// The names of all groups that have committed something.
    pub(crate) fn groups(&self) -> Vec<Arc<str>> {
        self.shared().groups.names()
    }

    /// Joins `group`. `terms` is given what upkeep waits on, and the scheduler.
    pub(crate) fn join_group(
        &self,
        group: &Arc<GroupOffsets>,
        joining: Joining,
        terms: impl FnOnce(Arc<Signal>, Arc<dyn Scheduler>) -> SeatTerms,
    ) -> Result<Membership> {
        self.ensure_open()?;
        let shared = self.shared();
        let terms = terms(Arc::clone(&shared.deadlines), Arc::clone(&shared.scheduler));
        let membership = group.join(joining, terms, &shared.topics, shared.config.group_max_size)?;
        self.note_members(group);
        Ok(membership)
    }

    /// A member of `group` has come or gone. Whether that was the first or the last is noted in the group's journal, if
    /// there is one; nobody waits for that. Upkeep sees to it too, for members that are expelled, or dropped in a panic.
    pub(crate) fn note_members(&self, group: &Arc<GroupOffsets>) {
        let shared = self.shared();
        shared.groups.note_members(&shared.groups.entry(group), &shared.to_writer, shared.lane.disk.now());
    }

    /// A member wants other topics from now on.
    pub(crate) fn resubscribe(&self, member: &Membership, interest: Interest) {
        member.resubscribe(interest, &self.shared().topics);
    }

    /// The group of that name, if it has committed something or a consumer was made for it.
    pub(crate) fn known_group(&self, name: &str) -> Result<Arc<GroupOffsets>> {
        Ok(Arc::clone(&self.shared().groups.known(name)?.offsets))
    }

    /// What a commit of `offset` for `partition` writes.
    ///
    /// # Errors
    /// `IllegalArgument` for a negative offset, `OffsetMetadataTooLarge`, `UnknownTopicOrPartition`, `InvalidTopic`.
    pub(crate) fn commit_entry(&self, partition: &TopicPartition, committed: OffsetAndMetadata) -> Result<CommitEntry> {
        let OffsetAndMetadata { offset, leader_epoch, metadata } = committed;
        if offset < Offset::ZERO {
            return Err(Error::illegal_argument(format!("{partition}: {offset} cannot be committed")));
        }
        let (size, limit) = (metadata.len(), self.shared().config.offset_metadata_max_bytes);
        if size > limit {
            return Err(Error::OffsetMetadataTooLarge { partition: partition.clone(), size, limit });
        }
        let topic = self.topic(partition.topic())?;
        let log = topic.partition(partition.partition())?;
        let leader_epoch = if leader_epoch == LeaderEpoch::NONE { log.epoch_before(offset) } else { leader_epoch };
        let (topic_id, partition, commit_timestamp) = (topic.id(), partition.partition(), self.now());
        Ok(CommitEntry { topic_id, partition, offset, leader_epoch, metadata, commit_timestamp })
    }

    /// Commits `entries` for a group; they are on the disk when this returns.
    ///
    /// # Errors
    /// `CommitOutcomeUnknown` if they were written and could not be synced; with any other error they are not there.
    pub(crate) fn commit(&self, group: &Arc<GroupOffsets>, entries: &[CommitEntry]) -> Result<()> {
        let (told, tell) = self.expect_answer();
        self.begin_commit(group, entries, tell)?;
        self.await_answer(&told)
    }

    /// Begins to commit `entries` for a group. Calls `done` once they are on the disk, or will not be: from any thread,
    /// the caller's too; not at all after an error, which says that nothing was begun. Blocks for the disk only with
    /// the first commit of a group.
    pub(crate) fn begin_commit(
        &self,
        group: &Arc<GroupOffsets>,
        entries: &[CommitEntry],
        done: impl FnOnce(Result<()>) + Send + 'static,
    ) -> Result<()> {
        self.ensure_open()?;
        let (entry, payload, mut done) =
            (self.shared().groups.entry(group), GroupOffsets::encode_commit(entries), done);
        loop {
            match entry.begin_frame(&self.shared().to_writer, payload.clone(), done) {
                Ok(()) => return Ok(()),
                // The first commit; or the group was deleted, perhaps a moment after the journal was made.
                Err(not_begun) => done = not_begun,
            }
            self.make_group_journal(group)?;
        }
    }

    fn make_group_journal(&self, group: &Arc<GroupOffsets>) -> Result<Arc<JournalCell>> {
        let Shared { lane, groups, changing_files, .. } = self.shared();
        let _changing = lock(changing_files);
        self.ensure_open()?;
        lane.offline.check()?;
        groups.journal_of(group, lane)
    }

    /// Has a frame written to a journal that cannot go: under `Shared::changing_files`.
    pub(super) fn write_group_frame(
        &self,
        group: &Arc<GroupOffsets>,
        cell: &Arc<JournalCell>,
        payload: Vec<u8>,
    ) -> Result<()> {
        self.ensure_open()?;
        let (told, tell) = self.expect_answer();
        begin_frame(&self.shared().to_writer, group, cell, payload, tell);
        self.await_answer(&told)
    }

    /// Removes what groups have committed of a topic that is gone. A failure is no harm: the topic's id never comes
    /// back, and the next opening passes over what belongs to none.
    pub(super) fn forget_offsets(&self, id: TopicId) {
        for group in self.shared().groups.all() {
            let Some(cell) =
                group.journal().filter(|_| group.offsets().entries().iter().any(|entry| entry.topic_id == id))
            else {
                continue;
            };
            if let Err(error) = self.write_group_frame(group.offsets(), &cell, GroupOffsets::encode_forget_topic(id)) {
                log::warn!("group {}: {error}", group.offsets().name());
            }
        }
    }

    /// Removes what a group has committed for some partitions, whenever that was; gone for good when this returns.
    pub(crate) fn drop_offsets(&self, name: &str, entries: &[DropEntry]) -> Result<()> {
        let group = self.shared().groups.known(name)?;
        for payload in GroupOffsets::encode_drops(entries) {
            self.ensure_open()?;
            let (told, tell) = self.expect_answer();
            if group.begin_frame(&self.shared().to_writer, payload, tell).is_err() {
                return Err(unknown(name)); // deleted meanwhile
            }
            self.await_answer(&told)?;
        }
        Ok(())
    }

    /// Deletes a group and all that it has committed; gone for good when this returns.
    ///
    /// # Errors
    /// `NonEmptyGroup` while it has members, `GroupIdNotFound`, `InvalidGroupId`; what the disk gives, and then the
    /// group is there as it was.
    pub(crate) fn delete_group(&self, name: &str) -> Result<()> {
        let shared = self.shared();
        let _changing = lock(&shared.changing_files);
        self.ensure_open()?;
        let group = shared.groups.known(name)?;
        // Who joins from here on gets no partition before this is through, and then begins where nothing is committed.
        let _permit = group.offsets.admit(None, &[]).map_err(|_refused| Error::NonEmptyGroup { group: name.into() })?;
        shared.lane.offline.check()?;
        let cell = group.take_journal(|_| true).ok_or_else(|| unknown(name))?;
        // What is under way is told that it is committed, and is, until the file goes.
        if let Err(error) = self.pass_barrier() {
            group.put_journal(cell);
            return Err(error);
        }
        shared.groups.remove(vec![(group, cell)], &shared.lane)?;
        log::info!("deleted group {name}");
        Ok(())
    }
}
