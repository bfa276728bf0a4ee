//! How far a group has read: its committed offsets, and the journal payloads that they are kept in.
//!
//! Partitions are known by the id of their topic, so a topic that is created anew under an old name inherits nothing.
//! All numbers are big-endian.
//!
//! ```text
//! payload  u8 version = 1, u8 kind, then
//!   1  name    text                     whose offsets these are: the first frame of a file
//!   2  commit  u32 count, that many entries
//!   3  forget  16 bytes topic id        the topic was deleted, its offsets with it
//! entry    16 bytes topic id, u32 partition, i64 offset, i32 leader epoch, i64 commit timestamp, text metadata
//! text     u32 length, UTF-8
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::coordinator::group::roster::Roster;
use crate::sync::lock;
use crate::types::{LeaderEpoch, Offset, Timestamp, TopicId};

/// One partition's part of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommitEntry {
    pub(crate) topic_id: TopicId,
    pub(crate) partition: u32,
    /// The next offset to read.
    pub(crate) offset: Offset,
    /// Of the record before `offset`; see `Partition::resume_at`.
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) metadata: String,
    pub(crate) commit_timestamp: Timestamp,
}

/// What a group has committed for a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) offset: Offset,
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) metadata: String,
    pub(crate) commit_timestamp: Timestamp,
}

/// A payload that is not one of ours; says why. A journal's checksum held, so it is from another version or file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadPayload(pub(crate) String);

/// The committed offsets of one group.
#[derive(Debug)]
pub(crate) struct GroupOffsets {
    name: Arc<str>,
    offsets: Mutex<BTreeMap<(TopicId, u32), Committed>>,
    pub(super) roster: Roster,
}

impl GroupOffsets {
    /// A group that has committed nothing yet.
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.into(), offsets: Mutex::default(), roster: Roster::default() }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What the group has committed for a partition.
    pub(crate) fn committed(&self, topic_id: TopicId, partition: u32) -> Option<Committed> {
        lock(&self.offsets).get(&(topic_id, partition)).cloned()
    }

    /// Everything the group has committed, by topic id and partition.
    pub(crate) fn entries(&self) -> Vec<CommitEntry> {
        lock(&self.offsets).iter().map(|(&key, committed)| committed.entry(key)).collect()
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

    /// The payloads of a journal that says the same in the fewest frames: the name, then the offsets.
    pub(crate) fn snapshot(&self) -> Vec<Vec<u8>> {
        let name = Payload::Name(self.name.to_string()).encode();
        let entries = self.entries();
        std::iter::once(name).chain(entries.chunks(ENTRIES_A_FRAME).map(Self::encode_commit)).collect()
    }

    /// The payload that commits `entries`.
    pub(crate) fn encode_commit(entries: &[CommitEntry]) -> Vec<u8> {
        Payload::Commit(entries.to_vec()).encode()
    }

    /// The payload that forgets what was committed for a topic, because it was deleted.
    pub(crate) fn encode_forget_topic(topic_id: TopicId) -> Vec<u8> {
        Payload::Forget(topic_id).encode()
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

    fn encode(&self, into: &mut Vec<u8>) {
        into.extend(self.topic_id.0);
        into.extend(self.partition.to_be_bytes());
        into.extend(self.offset.0.to_be_bytes());
        into.extend(self.leader_epoch.0.to_be_bytes());
        into.extend(self.commit_timestamp.0.to_be_bytes());
        put_text(&self.metadata, into);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, BadPayload> {
        let entry = Self {
            topic_id: TopicId(reader.bytes()?),
            partition: u32::from_be_bytes(reader.bytes()?),
            offset: Offset(i64::from_be_bytes(reader.bytes()?)),
            leader_epoch: LeaderEpoch(i32::from_be_bytes(reader.bytes()?)),
            commit_timestamp: Timestamp(i64::from_be_bytes(reader.bytes()?)),
            metadata: reader.text()?,
        };
        if entry.offset < Offset::ZERO {
            return Err(BadPayload(format!("{} is no offset", entry.offset)));
        }
        Ok(entry)
    }
}

/// One frame's worth of change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    Name(String),
    Commit(Vec<CommitEntry>),
    Forget(TopicId),
}

impl Payload {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        match self {
            Self::Name(name) => {
                bytes.push(NAME);
                put_text(name, &mut bytes);
            }
            Self::Commit(entries) => {
                bytes.push(COMMIT);
                put_len(entries.len(), &mut bytes);
                entries.iter().for_each(|entry| entry.encode(&mut bytes));
            }
            Self::Forget(topic_id) => {
                bytes.push(FORGET);
                bytes.extend(topic_id.0);
            }
        }
        bytes
    }

    /// Reads the payload of a frame.
    ///
    /// # Errors
    /// [`BadPayload`] if it is none of ours.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, BadPayload> {
        let mut reader = Reader(bytes);
        let [version, kind] = reader.bytes()?;
        if version != VERSION {
            return Err(BadPayload(format!("version {version} is not known here")));
        }
        let payload = match kind {
            NAME => Self::Name(reader.text()?),
            COMMIT => Self::Commit(reader.entries()?),
            FORGET => Self::Forget(TopicId(reader.bytes()?)),
            _ => return Err(BadPayload(format!("kind {kind} is not known here"))),
        };
        match reader.0.len() {
            0 => Ok(payload),
            rest => Err(BadPayload(format!("{rest} bytes too many"))),
        }
    }
}

/// What is left of a payload.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn bytes<const LEN: usize>(&mut self) -> Result<[u8; LEN], BadPayload> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or_else(Self::too_short)?;
        self.0 = rest;
        Ok(*bytes)
    }

    fn len(&mut self) -> Result<usize, BadPayload> {
        Ok(usize::try_from(u32::from_be_bytes(self.bytes()?)).unwrap_or(usize::MAX))
    }

    fn text(&mut self) -> Result<String, BadPayload> {
        let len = self.len()?;
        let (text, rest) = self.0.split_at_checked(len).ok_or_else(Self::too_short)?;
        self.0 = rest;
        match std::str::from_utf8(text) {
            Ok(text) => Ok(text.to_owned()),
            Err(error) => Err(BadPayload(format!("a text that is not UTF-8: {error}"))),
        }
    }

    /// Allocates for no more entries than the bytes that are there can hold.
    fn entries(&mut self) -> Result<Vec<CommitEntry>, BadPayload> {
        let count = self.len()?;
        if count > self.0.len() / MIN_ENTRY_LEN {
            return Err(Self::too_short());
        }
        (0..count).map(|_| CommitEntry::decode(self)).collect()
    }

    fn too_short() -> BadPayload {
        BadPayload("it ends too early".to_owned())
    }
}

fn put_text(text: &str, into: &mut Vec<u8>) {
    put_len(text.len(), into);
    into.extend(text.as_bytes());
}

fn put_len(len: usize, into: &mut Vec<u8>) {
    into.extend(u32::try_from(len).expect("metadata, names and commits are far below 4 GiB").to_be_bytes());
}

const VERSION: u8 = 1;
const NAME: u8 = 1;
const COMMIT: u8 = 2;
const FORGET: u8 = 3;
/// An entry without metadata.
const MIN_ENTRY_LEN: usize = 16 + 4 + 8 + 4 + 8 + 4;
/// Keeps frames of a snapshot at a few hundred KiB, whatever the metadata.
const ENTRIES_A_FRAME: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

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
        let group = GroupOffsets::new("billing");
        group.apply(&GroupOffsets::encode_commit(&[entry(1, 0, 10), entry(1, 1, 4)])).unwrap();
        group.apply(&GroupOffsets::encode_commit(&[entry(1, 0, 7)])).unwrap();
        assert_eq!(group.committed(TopicId([1; 16]), 0).unwrap().offset, Offset(7));
        assert_eq!(group.committed(TopicId([1; 16]), 1).unwrap().offset, Offset(4));
        assert_eq!(group.committed(TopicId([2; 16]), 0), None);
    }

    #[test] // G19
    fn forgetting_a_topic_leaves_the_others() {
        let group = GroupOffsets::new("billing");
        group.apply(&GroupOffsets::encode_commit(&[entry(1, 0, 10), entry(2, 0, 4)])).unwrap();
        group.apply(&GroupOffsets::encode_forget_topic(TopicId([1; 16]))).unwrap();
        assert_eq!(group.entries(), [entry(2, 0, 4)]);
    }

    #[test]
    fn snapshot_rebuilds_the_group_and_names_it() {
        let group = GroupOffsets::new("billing");
        let entries: Vec<_> = (0..200).map(|partition| entry(1, partition, 10)).collect();
        group.apply(&GroupOffsets::encode_commit(&entries)).unwrap();
        let again = GroupOffsets::new("billing");
        for payload in group.snapshot() {
            again.apply(&payload).unwrap();
        }
        assert_eq!(again.entries(), entries);
        let other = GroupOffsets::new("shipping");
        let refused = other.apply(&group.snapshot()[0]).unwrap_err();
        assert_eq!(refused.to_string(), "it belongs to the group \"billing\"");
    }

    #[test]
    fn unknown_version_and_kind_are_refused() {
        let group = GroupOffsets::new("billing");
        assert_eq!(group.apply(&[9, COMMIT]).unwrap_err().to_string(), "version 9 is not known here");
        assert_eq!(group.apply(&[VERSION, 9]).unwrap_err().to_string(), "kind 9 is not known here");
        assert!(group.apply(&[VERSION, COMMIT, 0xff, 0xff, 0xff, 0xff]).is_err());
        assert!(group.apply(&[]).is_err());
    }

    fn entries() -> impl Strategy<Value = CommitEntry> {
        (any::<[u8; 16]>(), any::<u32>(), 0..i64::MAX, any::<i32>(), any::<String>(), any::<i64>()).prop_map(
            |(topic_id, partition, offset, leader_epoch, metadata, commit_timestamp)| CommitEntry {
                topic_id: TopicId(topic_id),
                partition,
                offset: Offset(offset),
                leader_epoch: LeaderEpoch(leader_epoch),
                metadata,
                commit_timestamp: Timestamp(commit_timestamp),
            },
        )
    }

    fn payloads() -> impl Strategy<Value = Payload> {
        prop_oneof![
            any::<String>().prop_map(Payload::Name),
            vec(entries(), 0..8).prop_map(Payload::Commit),
            any::<[u8; 16]>().prop_map(|id| Payload::Forget(TopicId(id))),
        ]
    }

    proptest! {
        #[test]
        fn payload_survives_a_round_trip(payload in payloads()) {
            prop_assert_eq!(Payload::decode(&payload.encode()).unwrap(), payload);
        }

        #[test]
        fn no_bytes_make_decoding_panic(bytes in vec(any::<u8>(), 0..200), kind in 0u8..5) {
            let _ = Payload::decode(&bytes);
            let _ = Payload::decode(&[&[VERSION, kind][..], &bytes].concat());
        }

        #[test]
        fn no_cut_makes_decoding_panic(payload in payloads(), cut in any::<prop::sample::Index>()) {
            let bytes = payload.encode();
            let end = cut.index(bytes.len());
            prop_assert!(Payload::decode(&bytes[..end]).is_err());
        }
    }
}
