//! How far a group has read: its committed offsets, and how long they stay.
//!
//! Partitions are known by the id of their topic, so a topic that is created anew under an old name inherits nothing.
//!
//! With `offsets.retention.minutes` offsets go that long after the later of two moments: when they were committed, and
//! when the group last began to have members, or to have none. Those of topics that a member subscribes to stay.
//!
//! | since the group | that is |
//! |---|---|
//! | never had members | each commit's own time |
//! | was left by the last member | when that was, or a later commit from outside |
//! | has members, for a topic that none of them subscribes to | when the first of them came, or a later commit |
//!
//! No offset goes too early, whatever a crash takes. Coming and leaving are noted in the journal, in their order, and
//! nobody waits for that; so behind a crash the notes may be old, and none of them counts: the group has been empty
//! since the directory was opened. That is noted in turn when the journal is written anew, which opening after a crash
//! does. Behind a clean shutdown all notes are there. A journal that has lost a frame is taken for one behind a crash.
//! What goes is named with the time of its commit: a commit that is on its way when its predecessor is found too old
//! stays, in memory and in whatever part of the journal a crash leaves.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::coordinator::group::Group;
use crate::coordinator::group::payload::{BadPayload, CommitEntry, DropEntry, Payload};
use crate::sync::lock;
use crate::types::{LeaderEpoch, Offset, Timestamp, TopicId, TopicPartition};

/// What is committed for a partition: the next offset to read, and a note.
///
/// ```
/// # use ottla::{LeaderEpoch, Offset, OffsetAndMetadata};
/// let noted = OffsetAndMetadata::new(Offset(5)).with_metadata("shift 2");
/// assert_eq!((noted.offset, noted.metadata.as_str()), (Offset(5), "shift 2"));
/// assert_eq!(OffsetAndMetadata::from(Offset(5)).leader_epoch, LeaderEpoch::NONE);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OffsetAndMetadata {
    /// The next offset to read.
    pub offset: Offset,
    /// Under which leadership the record before `offset` was written. Left at [`LeaderEpoch::NONE`], a commit looks
    /// it up.
    pub leader_epoch: LeaderEpoch,
    /// A note of the application's, 4096 bytes at most.
    pub metadata: String,
}

impl OffsetAndMetadata {
    /// Names the next offset to read, without a note.
    #[must_use]
    pub fn new(offset: Offset) -> Self {
        Self { offset, leader_epoch: LeaderEpoch::NONE, metadata: String::new() }
    }

    /// Adds a note.
    #[must_use]
    pub fn with_metadata(mut self, metadata: impl Into<String>) -> Self {
        self.metadata = metadata.into();
        self
    }

    /// Says under which leadership the record before the offset was written.
    #[must_use]
    pub fn with_leader_epoch(mut self, leader_epoch: LeaderEpoch) -> Self {
        self.leader_epoch = leader_epoch;
        self
    }
}

impl From<Offset> for OffsetAndMetadata {
    fn from(offset: Offset) -> Self {
        Self::new(offset)
    }
}

/// What is committed at once: for each partition, the next offset to read. Kafka: `Map<TopicPartition, OffsetAndMetadata>`.
///
/// ```
/// # use ottla::{Offset, Offsets};
/// let offsets: Offsets = [(("orders", 0).into(), Offset(5).into())].into();
/// assert_eq!(offsets[&("orders", 0).into()].offset, Offset(5));
/// ```
pub type Offsets = BTreeMap<TopicPartition, OffsetAndMetadata>;

/// What a group has committed for a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) offset: Offset,
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) metadata: String,
    pub(crate) commit_timestamp: Timestamp,
}

/// What a group does at present, and since when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Life {
    #[default]
    NeverHadMembers,
    HasMembers(Timestamp),
    IsEmpty(Timestamp),
}

impl Group {
    /// What the group has committed for a partition.
    pub(crate) fn committed(&self, topic_id: TopicId, partition: u32) -> Option<Committed> {
        lock(&self.offsets).get(&(topic_id, partition)).cloned()
    }

    /// Everything the group has committed, by topic id and partition.
    pub(crate) fn entries(&self) -> Vec<CommitEntry> {
        lock(&self.offsets).iter().map(|(&key, committed)| committed.entry(key)).collect()
    }

    /// Whether nothing that the group has committed is left.
    pub(crate) fn has_nothing(&self) -> bool {
        lock(&self.offsets).is_empty()
    }

    /// Takes in one payload of the group's journal: all of it, or nothing.
    ///
    /// # Errors
    /// [`BadPayload`] if it is none, or names another group.
    pub(crate) fn apply(&self, payload: &[u8]) -> Result<(), BadPayload> {
        match Payload::decode(payload)? {
            Payload::Name(name) if name == *self.name => {}
            Payload::Name(name) => return Err(BadPayload(format!("it belongs to the group {name:?}"))),
            Payload::Commit(entries) => {
                let entries = entries.into_iter().map(CommitEntry::into_committed);
                lock(&self.offsets).extend(entries);
            }
            Payload::Forget(topic_id) => lock(&self.offsets).retain(|key, _| key.0 != topic_id),
            Payload::EmptySince(at) => {
                *lock(&self.life) = if at.is_some() { Life::IsEmpty(at) } else { Life::HasMembers(at) };
            }
            Payload::Drop(entries) => {
                let mut offsets = lock(&self.offsets);
                for DropEntry { topic_id, partition, commit_timestamp } in entries {
                    let key = (topic_id, partition);
                    let is_meant = |committed: &Committed| committed.commit_timestamp == commit_timestamp;
                    if !commit_timestamp.is_some() || offsets.get(&key).is_some_and(is_meant) {
                        offsets.remove(&key);
                    }
                }
            }
        }
        Ok(())
    }

    /// Whose offsets a journal holds, if `payload` is the frame that says so.
    pub(crate) fn owner(payload: &[u8]) -> Option<String> {
        match Payload::decode(payload) {
            Ok(Payload::Name(name)) => Some(name),
            _ => None,
        }
    }

    /// The payloads of a journal that says the same in the fewest frames: the name, whether there are members, the
    /// offsets.
    pub(crate) fn snapshot(&self) -> Vec<Vec<u8>> {
        let name = Payload::Name(self.name.to_string()).encode();
        let life = self.encode_life();
        let entries = self.entries();
        std::iter::once(name).chain(life).chain(entries.chunks(ENTRIES_A_FRAME).map(Self::encode_commit)).collect()
    }

    /// Takes note at `now` that the group has got members, or has none any more: the payload that says so, if that is
    /// news.
    ///
    /// Whoever calls this last has to see the group as it is: call it under a lock that all callers have, and write the
    /// payloads in the order of the calls.
    pub(crate) fn note_members(&self, now: Timestamp) -> Option<Vec<u8>> {
        let has_members = self.has_members();
        let mut life = lock(&self.life);
        let had_members = matches!(*life, Life::HasMembers(_));
        if has_members == had_members {
            return None;
        }
        *life = if has_members { Life::HasMembers(now) } else { Life::IsEmpty(now) };
        drop(life);
        self.encode_life()
    }

    /// Takes note that the time of what it has committed begins now, whenever that was: the payload that says so, if it
    /// has no members.
    pub(crate) fn note_import(&self, now: Timestamp) -> Option<Vec<u8>> {
        let mut life = lock(&self.life);
        if matches!(*life, Life::HasMembers(_)) {
            return None;
        }
        *life = Life::IsEmpty(now);
        drop(life);
        self.encode_life()
    }

    /// The members end with the engine that closes: the payload that says so, if there were any.
    pub(crate) fn note_end(&self, now: Timestamp) -> Option<Vec<u8>> {
        let mut life = lock(&self.life);
        if !matches!(*life, Life::HasMembers(_)) {
            return None;
        }
        *life = Life::IsEmpty(now);
        drop(life);
        self.encode_life()
    }

    /// The journal was read through: `is_whole` says that nothing of it can be missing.
    pub(crate) fn note_opening(&self, is_whole: bool, now: Timestamp) {
        let mut life = lock(&self.life);
        if !is_whole || matches!(*life, Life::HasMembers(_)) {
            *life = Life::IsEmpty(now);
        }
    }

    /// What nobody has wanted for `retention` at `now`.
    pub(crate) fn expired(&self, retention: Duration, now: Timestamp) -> Vec<DropEntry> {
        let (has_members, subscribed, life) = (self.has_members(), self.subscribed_topics(), *lock(&self.life));
        let since = match life {
            Life::HasMembers(_) if !has_members => return Vec::new(), // it is about to be noted
            Life::HasMembers(since) | Life::IsEmpty(since) => since,
            Life::NeverHadMembers => Timestamp::NONE,
        };
        let offsets = lock(&self.offsets);
        let is_due = |committed: &Committed| committed.commit_timestamp.max(since).plus(retention) <= now;
        let due = offsets.iter().filter(|((id, _), committed)| !subscribed.contains(id) && is_due(committed));
        let entry = |(&(topic_id, partition), committed): (&(TopicId, u32), &Committed)| {
            let commit_timestamp = committed.commit_timestamp;
            DropEntry { topic_id, partition, commit_timestamp }
        };
        due.map(entry).collect()
    }

    /// The group was deleted. What handles on it there are go on with one that has committed nothing.
    pub(crate) fn clear(&self) {
        lock(&self.offsets).clear();
        let mut life = lock(&self.life);
        if matches!(*life, Life::IsEmpty(_)) {
            *life = Life::NeverHadMembers;
        }
    }

    /// The payload that says whether there are members; `None` if there never were.
    pub(crate) fn encode_life(&self) -> Option<Vec<u8>> {
        match *lock(&self.life) {
            Life::NeverHadMembers => None,
            Life::HasMembers(_) => Some(Payload::EmptySince(Timestamp::NONE).encode()),
            Life::IsEmpty(since) => Some(Payload::EmptySince(since).encode()),
        }
    }

    /// The payload that commits `entries`.
    pub(crate) fn encode_commit(entries: &[CommitEntry]) -> Vec<u8> {
        Payload::Commit(entries.to_vec()).encode()
    }

    /// The payload that forgets what was committed for a topic, because it was deleted.
    pub(crate) fn encode_forget_topic(topic_id: TopicId) -> Vec<u8> {
        Payload::Forget(topic_id).encode()
    }

    /// The payloads that drop `entries`.
    pub(crate) fn encode_drops(entries: &[DropEntry]) -> impl Iterator<Item = Vec<u8>> {
        entries.chunks(DROPS_A_FRAME).map(|entries| Payload::Drop(entries.to_vec()).encode())
    }
}

impl Committed {
    fn entry(&self, (topic_id, partition): (TopicId, u32)) -> CommitEntry {
        CommitEntry {
            topic_id,
            partition,
            offset: self.offset,
            leader_epoch: self.leader_epoch,
            metadata: self.metadata.clone(),
            commit_timestamp: self.commit_timestamp,
        }
    }
}

impl CommitEntry {
    fn into_committed(self) -> ((TopicId, u32), Committed) {
        let Self { topic_id, partition, offset, leader_epoch, metadata, commit_timestamp } = self;
        ((topic_id, partition), Committed { offset, leader_epoch, metadata, commit_timestamp })
    }
}

/// Keeps frames of a snapshot at a few hundred KiB, whatever the metadata.
const ENTRIES_A_FRAME: usize = 64;
/// About as much.
const DROPS_A_FRAME: usize = 10_000;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn entry(topic: u8, partition: u32, offset: i64) -> CommitEntry {
        CommitEntry {
            topic_id: TopicId([topic; 16]),
            partition,
            offset: Offset(offset),
            leader_epoch: LeaderEpoch(2),
            metadata: "m".to_owned(),
            commit_timestamp: Timestamp(1_700_000_000_000),
        }
    }

    #[test]
    fn later_commit_replaces_the_earlier_one_even_backwards() {
        let group = Group::new("billing");
        group.apply(&Group::encode_commit(&[entry(1, 0, 10), entry(1, 1, 4)])).unwrap();
        group.apply(&Group::encode_commit(&[entry(1, 0, 7)])).unwrap();
        assert_eq!(group.committed(TopicId([1; 16]), 0).unwrap().offset, Offset(7));
        assert_eq!(group.committed(TopicId([1; 16]), 1).unwrap().offset, Offset(4));
        assert_eq!(group.committed(TopicId([2; 16]), 0), None);
    }

    #[test] // G19
    fn forgetting_a_topic_leaves_the_others() {
        let group = Group::new("billing");
        group.apply(&Group::encode_commit(&[entry(1, 0, 10), entry(2, 0, 4)])).unwrap();
        group.apply(&Group::encode_forget_topic(TopicId([1; 16]))).unwrap();
        assert_eq!(group.entries(), [entry(2, 0, 4)]);
    }

    #[test]
    fn snapshot_rebuilds_the_group_and_names_it() {
        let group = Group::new("billing");
        let entries: Vec<_> = (0..200).map(|partition| entry(1, partition, 10)).collect();
        group.apply(&Group::encode_commit(&entries)).unwrap();
        let again = Group::new("billing");
        for payload in group.snapshot() {
            again.apply(&payload).unwrap();
        }
        assert_eq!(again.entries(), entries);
        let other = Group::new("shipping");
        let refused = other.apply(&group.snapshot()[0]).unwrap_err();
        assert_eq!(refused.to_string(), "it belongs to the group \"billing\"");
    }

    /// A group in which 1-0 was committed at T and 2-0 a day later.
    fn committed_at(group: &Group) {
        let later = CommitEntry { commit_timestamp: Timestamp(T + DAY), ..entry(2, 0, 4) };
        group.apply(&Group::encode_commit(&[entry(1, 0, 10), later])).unwrap();
    }

    /// By the first byte of the topic's id.
    fn expired(group: &Group, now: i64) -> String {
        let expired = group.expired(RETENTION, Timestamp(now));
        expired.iter().map(|entry| char::from(b'0' + entry.topic_id.0[0])).collect()
    }

    const T: i64 = 1_700_000_000_000;
    const DAY: i64 = 24 * 60 * 60 * 1000;
    const RETENTION: Duration = Duration::from_secs(7 * 24 * 60 * 60);

    #[test] // G16
    fn commits_of_a_group_without_members_go_by_their_own_time() {
        let group = Group::new("billing");
        committed_at(&group);
        assert_eq!(expired(&group, T + 7 * DAY - 1), "");
        assert_eq!(expired(&group, T + 7 * DAY), "1");
        assert_eq!(expired(&group, T + 8 * DAY), "12");
        assert_eq!(expired(&group, T - 1000 * DAY), "");
    }

    #[test] // G16
    fn offsets_of_a_group_go_by_when_its_last_member_left() {
        let group = Arc::new(Group::new("billing"));
        committed_at(&group);
        let member = group.join_for_test();
        group.note_members(Timestamp(T + 2 * DAY));
        drop(member);
        assert_eq!(expired(&group, T + 100 * DAY), "", "that it left has not been noted yet");
        group.note_members(Timestamp(T + 5 * DAY));
        assert_eq!(expired(&group, T + 12 * DAY - 1), "");
        assert_eq!(expired(&group, T + 12 * DAY), "12");
        let late = CommitEntry { commit_timestamp: Timestamp(T + 10 * DAY), ..entry(1, 0, 11) };
        group.apply(&Group::encode_commit(&[late])).unwrap();
        assert_eq!(expired(&group, T + 12 * DAY), "2", "what was committed from outside is as good as new");
    }

    #[test]
    fn opening_after_a_crash_begins_the_time_anew() {
        let group = Arc::new(Group::new("billing"));
        committed_at(&group);
        let member = group.join_for_test();
        let came = group.note_members(Timestamp(T)).unwrap();
        drop(member);
        let left = group.note_members(Timestamp(T + DAY)).unwrap();
        for (notes, is_whole, since) in [
            (vec![], true, T),
            (vec![], false, T + 3 * DAY),
            (vec![&came], true, T + 3 * DAY), // the engine was closed before its members
            (vec![&came], false, T + 3 * DAY),
            (vec![&came, &left], true, T + DAY),
            (vec![&came, &left], false, T + 3 * DAY), // perhaps somebody came, and nobody has noted it
        ] {
            let opened = Group::new("billing");
            opened.apply(&Group::encode_commit(&[entry(1, 0, 10)])).unwrap();
            notes.iter().for_each(|note| opened.apply(note).unwrap());
            opened.note_opening(is_whole, Timestamp(T + 3 * DAY));
            let again = Group::new("billing");
            opened.snapshot().iter().for_each(|payload| again.apply(payload).unwrap());
            for group in [&opened, &again] {
                assert_eq!(expired(group, since + 7 * DAY - 1), "", "{notes:?}, {is_whole}");
                assert_eq!(expired(group, since + 7 * DAY), "1", "{notes:?}, {is_whole}");
            }
        }
    }

    #[test]
    fn commit_that_comes_in_between_is_not_dropped() {
        let group = Group::new("billing");
        committed_at(&group);
        let due = group.expired(RETENTION, Timestamp(T + 8 * DAY));
        let again = CommitEntry { commit_timestamp: Timestamp(T + 8 * DAY), ..entry(1, 0, 11) };
        group.apply(&Group::encode_commit(std::slice::from_ref(&again))).unwrap();
        Group::encode_drops(&due).for_each(|payload| group.apply(&payload).unwrap());
        assert_eq!(group.entries(), [again]);
        let whenever = DropEntry { topic_id: TopicId([1; 16]), partition: 0, commit_timestamp: Timestamp::NONE };
        Group::encode_drops(&[whenever]).for_each(|payload| group.apply(&payload).unwrap());
        assert!(group.has_nothing());
    }
}
