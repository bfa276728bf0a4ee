//! The groups of an engine, and the journals of their committed offsets.
//!
//! A group has a journal from its first commit until it is deleted, or has expired. Which one that is stands under the
//! lock [`StoredGroup::journal`], and whoever has a frame written gives it to the writer under that lock. So a journal that
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
    CommitEntry, DropEntry, Group, Interest, Joining, Membership, OFFSETS_SUFFIX, OffsetAndMetadata, SeatTerms,
};
use crate::engine::lane::{Failure, JournalCell, Lane};
use crate::engine::writer::{Command, begin_frame};
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
    by_name: Mutex<BTreeMap<Arc<str>, Arc<StoredGroup>>>,
    /// The engine closes: who leaves from now on was noted.
    has_ended: AtomicBool,
}

/// A group, and its journal once something was committed.
#[derive(Debug)]
pub(crate) struct StoredGroup {
    group: Arc<Group>,
    journal: Mutex<Option<Arc<JournalCell>>>,
    /// Why the journal does not say whether the group has members.
    lost_note: Mutex<Option<Error>>,
}

impl StoredGroup {
    pub(crate) fn new(group: Arc<Group>, journal: Option<Arc<JournalCell>>) -> Self {
        Self { group, journal: Mutex::new(journal), lost_note: Mutex::default() }
    }

    pub(crate) fn group(&self) -> &Arc<Group> {
        &self.group
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
                begin_group_frame(to_writer, &self.group, cell, payload, done);
                Ok(())
            }
            None => Err(done),
        }
    }

    fn write_note(self: &Arc<Self>, to_writer: &Post<Command>, cell: &Arc<JournalCell>, note: Vec<u8>) {
        let (stored, under_way) = (Arc::clone(self), Arc::clone(cell));
        cell.under_way.fetch_add(1, Ordering::AcqRel);
        begin_frame(to_writer, cell, note, move |result| {
            // The state has it already, and perhaps a later one.
            *lock(&stored.lost_note) = result.err().map(Failure::into_error);
            under_way.under_way.fetch_sub(1, Ordering::AcqRel);
        });
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
    pub(crate) fn new(dir: Arc<dyn Dir>, groups: impl IntoIterator<Item = StoredGroup>) -> Self {
        let by_name = groups.into_iter().map(|stored| (stored.group.name().into(), Arc::new(stored))).collect();
        Self { dir, by_name: Mutex::new(by_name), has_ended: AtomicBool::new(false) }
    }

    /// The group of that name. A new one has no file before it commits, so that asking leaves nothing behind.
    pub(crate) fn group(&self, name: &str) -> Result<Arc<Group>> {
        group_file_name(name)?; // refused here rather than at the first commit, when records have been handed out
        let mut groups = lock(&self.by_name);
        if let Some(stored) = groups.get(name) {
            return Ok(Arc::clone(&stored.group));
        }
        let group = Arc::new(Group::new(name));
        groups.insert(name.into(), Arc::new(StoredGroup::new(Arc::clone(&group), None)));
        Ok(group)
    }

    /// The group of that name, if it has committed something.
    pub(crate) fn find(&self, name: &str) -> Result<Arc<Group>> {
        let stored = self.known(name)?;
        if stored.journal().is_some() { Ok(Arc::clone(&stored.group)) } else { Err(unknown(name)) }
    }

    /// The group of that name, if anybody has ever asked for it.
    fn known(&self, name: &str) -> Result<Arc<StoredGroup>> {
        group_file_name(name)?; // no such group is one thing, no such name another
        lock(&self.by_name).get(name).map(Arc::clone).ok_or_else(|| unknown(name))
    }

    /// The names of the groups that have committed something.
    pub(crate) fn names(&self) -> Vec<Arc<str>> {
        // Not under the lock: a group's first commit holds its journal's while it makes that.
        let committed = self.all().into_iter().filter(|stored| stored.journal().is_some());
        committed.map(|stored| stored.group.name().into()).collect()
    }

    /// Wakes the members of all groups.
    pub(super) fn wake_members(&self) {
        self.all().iter().for_each(|stored| stored.group.wake_members());
    }

    /// Topics have come or gone.
    pub(crate) fn refresh_topics(&self, topics: &Topics) {
        self.all().iter().for_each(|stored| stored.group().refresh_topics(topics));
    }

    /// Has every group look for members that are late, and notes which groups have members; says when to look again, if
    /// ever.
    pub(super) fn look_after(&self, now: Moment, time: Timestamp, to_writer: &Post<Command>) -> Option<Moment> {
        let look = |stored: &Arc<StoredGroup>| {
            let next = stored.group.expire(now);
            self.note_members(stored, to_writer, time);
            next
        };
        self.all().iter().filter_map(look).min()
    }

    pub(crate) fn all(&self) -> Vec<Arc<StoredGroup>> {
        lock(&self.by_name).values().map(Arc::clone).collect()
    }

    /// Where `group` is kept.
    fn entry(&self, group: &Arc<Group>) -> Arc<StoredGroup> {
        let mut groups = lock(&self.by_name);
        let known = groups.entry(group.name().into());
        Arc::clone(known.or_insert_with(|| Arc::new(StoredGroup::new(Arc::clone(group), None))))
    }

    /// The journal of `group`; with a group's first commit it is made, and durable before this returns.
    pub(crate) fn journal_of(&self, group: &Arc<Group>, lane: &Lane) -> Result<Arc<JournalCell>> {
        let stored = self.entry(group);
        let mut journal = lock(&stored.journal);
        if let Some(cell) = &*journal {
            return Ok(Arc::clone(cell));
        }
        let name = file_name(group)?;
        let ids = JournalIds { journal: lane.disk.random(), history: lane.disk.random() };
        let snapshot = group.snapshot();
        let made = lane.with_reserve(|| Journal::create(Arc::clone(&self.dir), &name, ids, &snapshot));
        let made = made.inspect_err(|error| lane.note_failed_sync(error))?;
        let cell = journal_cell(made, group);
        *journal = Some(Arc::clone(&cell));
        Ok(cell)
    }

    /// Removes the files of groups whose journals were taken out, and what the groups have committed. If that fails,
    /// those whose files are still there have their journals back.
    pub(super) fn remove(&self, taken: Vec<(Arc<StoredGroup>, Arc<JournalCell>)>, lane: &Lane) -> Result<()> {
        let names = taken.iter().map(|(stored, _)| file_name(&stored.group)).collect::<Result<Vec<_>>>();
        let (gone, removed) =
            names.map_or_else(|error| (0, Err(error)), |names| Journal::remove(self.dir.as_ref(), &names));
        // Before anybody has his journal back: after a failed sync nothing may be written to a file that has no name.
        let _ = removed.as_ref().inspect_err(|error| lane.note_failed_sync(error));
        for (index, (stored, cell)) in taken.into_iter().enumerate() {
            if index < gone && !lane.offline.is_set() {
                stored.group.clear();
                *lock(&stored.lost_note) = None;
            } else {
                stored.put_journal(cell);
            }
        }
        removed
    }

    /// Notes whether a group has members now, in its journal too if there is one. Nobody waits for that.
    fn note_members(&self, stored: &Arc<StoredGroup>, to_writer: &Post<Command>, now: Timestamp) {
        let journal = lock(&stored.journal); // the lock that all callers have, for the order of the notes
        if self.has_ended.load(Ordering::Acquire) {
            return;
        }
        let note = stored.group.note_members(now);
        if let (Some(cell), Some(note)) = (&*journal, note) {
            stored.write_note(to_writer, cell, note);
        }
    }

    /// The engine closes, and all members with it. What could not be noted so far is noted once more.
    pub(super) fn note_end(&self, to_writer: &Post<Command>, now: Timestamp) {
        self.has_ended.store(true, Ordering::Release);
        for stored in self.all() {
            let journal = lock(&stored.journal);
            let note = match stored.group.note_end(now) {
                None if lock(&stored.lost_note).is_some() => stored.group.encode_life(),
                note => note,
            };
            if let (Some(cell), Some(note)) = (&*journal, note) {
                stored.write_note(to_writer, cell, note);
            }
        }
    }

    /// Nothing, or why the journal of a group says that it was empty, and perhaps it was not.
    pub(super) fn check_notes(&self) -> Result<()> {
        self.all().iter().try_for_each(|stored| lock(&stored.lost_note).clone().map_or(Ok(()), Err))
    }
}

fn file_name(group: &Group) -> Result<String> {
    Ok(format!("{}{OFFSETS_SUFFIX}", group_file_name(group.name())?))
}

fn unknown(name: &str) -> Error {
    Error::GroupIdNotFound { group: name.into() }
}

/// The journal of a group's offsets, which knows how to write them anew.
pub(crate) fn journal_cell(journal: Journal, group: &Arc<Group>) -> Arc<JournalCell> {
    let state = Arc::clone(group);
    Arc::new(JournalCell::new(journal, move || state.snapshot()))
}

/// Has a frame of a group written; once it is on the disk the group is brought up to it, and then `done` is called.
fn begin_group_frame(
    to_writer: &Post<Command>,
    group: &Arc<Group>,
    cell: &Arc<JournalCell>,
    payload: Vec<u8>,
    done: impl FnOnce(Result<()>) + Send + 'static,
) {
    let (group, under_way, applied) = (Arc::clone(group), Arc::clone(cell), payload.clone());
    cell.under_way.fetch_add(1, Ordering::AcqRel);
    begin_frame(to_writer, cell, payload, move |result| {
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
}

impl Engine {
    /// The group of that name; a new one is on the disk with its first commit.
    pub(crate) fn group(&self, name: &str) -> Result<Arc<Group>> {
        self.ensure_open()?;
        self.shared().groups.group(name)
    }

    /// The group of that name, if it has committed something.
    pub(crate) fn find_group(&self, name: &str) -> Result<Arc<Group>> {
        self.shared().groups.find(name)
    }

    /// The names of all groups that have committed something.
    pub(crate) fn groups(&self) -> Vec<Arc<str>> {
        self.shared().groups.names()
    }

    /// Joins `group`. `terms` is given what upkeep waits on, and the scheduler.
    pub(crate) fn join_group(
        &self,
        group: &Arc<Group>,
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
    pub(crate) fn note_members(&self, group: &Arc<Group>) {
        let shared = self.shared();
        shared.groups.note_members(&shared.groups.entry(group), &shared.to_writer, shared.lane.disk.now());
    }

    /// A member wants other topics from now on.
    pub(crate) fn resubscribe(&self, member: &Membership, interest: Interest) {
        member.resubscribe(interest, &self.shared().topics);
    }

    /// The group of that name, if it has committed something or a consumer was made for it.
    pub(crate) fn known_group(&self, name: &str) -> Result<Arc<Group>> {
        Ok(Arc::clone(&self.shared().groups.known(name)?.group))
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
    pub(crate) fn commit(&self, group: &Arc<Group>, entries: &[CommitEntry]) -> Result<()> {
        let (told, tell) = self.expect_answer();
        self.begin_commit(group, entries, tell)?;
        self.await_answer(&told)
    }

    /// Begins to commit `entries` for a group. Calls `done` once they are on the disk, or will not be: from any thread,
    /// the caller's too; not at all after an error, which says that nothing was begun. Blocks for the disk only with
    /// the first commit of a group.
    pub(crate) fn begin_commit(
        &self,
        group: &Arc<Group>,
        entries: &[CommitEntry],
        done: impl FnOnce(Result<()>) + Send + 'static,
    ) -> Result<()> {
        self.ensure_open()?;
        let (entry, payload, mut done) = (self.shared().groups.entry(group), Group::encode_commit(entries), done);
        loop {
            match entry.begin_frame(&self.shared().to_writer, payload.clone(), done) {
                Ok(()) => return Ok(()),
                // The first commit; or the group was deleted, perhaps a moment after the journal was made.
                Err(not_begun) => done = not_begun,
            }
            self.make_group_journal(group)?;
        }
    }

    fn make_group_journal(&self, group: &Arc<Group>) -> Result<Arc<JournalCell>> {
        let Shared { lane, groups, changing_files, .. } = self.shared();
        let _changing = lock(changing_files);
        self.ensure_open()?;
        lane.offline.check()?;
        groups.journal_of(group, lane)
    }

    /// Has a frame written to a journal that cannot go: under `Shared::changing_files`.
    pub(super) fn write_group_frame(
        &self,
        group: &Arc<Group>,
        cell: &Arc<JournalCell>,
        payload: Vec<u8>,
    ) -> Result<()> {
        self.ensure_open()?;
        let (told, tell) = self.expect_answer();
        begin_group_frame(&self.shared().to_writer, group, cell, payload, tell);
        self.await_answer(&told)
    }

    /// Removes what groups have committed of a topic that is gone. A failure is no harm: the topic's id never comes
    /// back, and the next opening passes over what belongs to none.
    pub(super) fn forget_offsets(&self, id: TopicId) {
        for stored in self.shared().groups.all() {
            let Some(cell) =
                stored.journal().filter(|_| stored.group().entries().iter().any(|entry| entry.topic_id == id))
            else {
                continue;
            };
            if let Err(error) = self.write_group_frame(stored.group(), &cell, Group::encode_forget_topic(id)) {
                log::warn!("group {}: {error}", stored.group().name());
            }
        }
    }

    /// Removes what a group has committed for some partitions, whenever that was; gone for good when this returns.
    pub(crate) fn drop_offsets(&self, name: &str, entries: &[DropEntry]) -> Result<()> {
        let stored = self.shared().groups.known(name)?;
        for payload in Group::encode_drops(entries) {
            self.ensure_open()?;
            let (told, tell) = self.expect_answer();
            if stored.begin_frame(&self.shared().to_writer, payload, tell).is_err() {
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
        let stored = shared.groups.known(name)?;
        // Who joins from here on gets no partition before this is through, and then begins where nothing is committed.
        let _permit = stored.group.admit(None, &[]).map_err(|_refused| Error::NonEmptyGroup { group: name.into() })?;
        shared.lane.offline.check()?;
        let cell = stored.take_journal(|_| true).ok_or_else(|| unknown(name))?;
        // What is under way is told that it is committed, and is, until the file goes.
        if let Err(error) = self.pass_barrier() {
            stored.put_journal(cell);
            return Err(error);
        }
        shared.groups.remove(vec![(stored, cell)], &shared.lane)?;
        log::info!("deleted group {name}");
        Ok(())
    }
}
