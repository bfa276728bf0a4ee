//! What stands in the frames of a group's journal.
//!
//! All numbers are big-endian.
//!
//! ```text
//! payload  u8 version = 1, u8 kind, then
//!   1  name     text                     whose offsets these are: the first frame of a file
//!   2  commit   u32 count, that many entries
//!   3  forget   16 bytes topic id        the topic was deleted, its offsets with it
//!   4  members  i64 timestamp            since when it has none; -1: it has some
//!   5  drop     u32 count, that many of: 16 bytes topic id, u32 partition, i64 commit timestamp
//!                                        goes, unless it was committed at another time; -1: whenever that was
//! entry    16 bytes topic id, u32 partition, i64 offset, i32 leader epoch, i64 commit timestamp, text metadata
//! text     u32 length, UTF-8
//! ```
//!
//! A drop names the commit that it means, since another one may have been on its way when it was decided.

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

/// A commit that goes: one partition's part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DropEntry {
    pub(crate) topic_id: TopicId,
    pub(crate) partition: u32,
    /// When it was committed: what was committed at another time stays. [`Timestamp::NONE`]: whenever that was.
    pub(crate) commit_timestamp: Timestamp,
}

/// A payload that is not one of ours; says why. A journal's checksum held, so it is from another version or file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadPayload(pub(crate) String);

/// One frame's worth of change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    Name(String),
    Commit(Vec<CommitEntry>),
    Forget(TopicId),
    /// [`Timestamp::NONE`] while it has members.
    EmptySince(Timestamp),
    Drop(Vec<DropEntry>),
}

impl Payload {
    pub(super) fn encode(&self) -> Vec<u8> {
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
            Self::EmptySince(at) => {
                bytes.push(MEMBERS);
                bytes.extend(at.0.to_be_bytes());
            }
            Self::Drop(entries) => {
                bytes.push(DROP);
                put_len(entries.len(), &mut bytes);
                entries.iter().for_each(|entry| entry.encode(&mut bytes));
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
            COMMIT => Self::Commit(reader.entries(MIN_ENTRY_LEN, CommitEntry::decode)?),
            FORGET => Self::Forget(TopicId(reader.bytes()?)),
            MEMBERS => Self::EmptySince(Timestamp(i64::from_be_bytes(reader.bytes()?))),
            DROP => Self::Drop(reader.entries(DROP_ENTRY_LEN, DropEntry::decode)?),
            _ => return Err(BadPayload(format!("kind {kind} is not known here"))),
        };
        match reader.0.len() {
            0 => Ok(payload),
            rest => Err(BadPayload(format!("{rest} bytes too many"))),
        }
    }
}

impl CommitEntry {
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

impl DropEntry {
    fn encode(&self, into: &mut Vec<u8>) {
        into.extend(self.topic_id.0);
        into.extend(self.partition.to_be_bytes());
        into.extend(self.commit_timestamp.0.to_be_bytes());
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, BadPayload> {
        Ok(Self {
            topic_id: TopicId(reader.bytes()?),
            partition: u32::from_be_bytes(reader.bytes()?),
            commit_timestamp: Timestamp(i64::from_be_bytes(reader.bytes()?)),
        })
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
    fn entries<T>(
        &mut self,
        min_len: usize,
        decode: impl Fn(&mut Self) -> Result<T, BadPayload>,
    ) -> Result<Vec<T>, BadPayload> {
        let count = self.len()?;
        if count > self.0.len() / min_len {
            return Err(Self::too_short());
        }
        (0..count).map(|_| decode(self)).collect()
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
const MEMBERS: u8 = 4;
const DROP: u8 = 5;
/// An entry without metadata.
const MIN_ENTRY_LEN: usize = 16 + 4 + 8 + 4 + 8 + 4;
const DROP_ENTRY_LEN: usize = 16 + 4 + 8;

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn unknown_version_and_kind_are_refused() {
        assert_eq!(Payload::decode(&[9, COMMIT]).unwrap_err().to_string(), "version 9 is not known here");
        assert_eq!(Payload::decode(&[VERSION, 9]).unwrap_err().to_string(), "kind 9 is not known here");
        for kind in [COMMIT, DROP] {
            assert!(Payload::decode(&[VERSION, kind, 0xff, 0xff, 0xff, 0xff]).is_err());
        }
        assert!(Payload::decode(&[]).is_err());
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

    fn drops() -> impl Strategy<Value = DropEntry> {
        (any::<[u8; 16]>(), any::<u32>(), any::<i64>()).prop_map(|(topic_id, partition, at)| DropEntry {
            topic_id: TopicId(topic_id),
            partition,
            commit_timestamp: Timestamp(at),
        })
    }

    fn payloads() -> impl Strategy<Value = Payload> {
        prop_oneof![
            any::<String>().prop_map(Payload::Name),
            vec(entries(), 0..8).prop_map(Payload::Commit),
            any::<[u8; 16]>().prop_map(|id| Payload::Forget(TopicId(id))),
            any::<i64>().prop_map(|at| Payload::EmptySince(Timestamp(at))),
            vec(drops(), 0..8).prop_map(Payload::Drop),
        ]
    }

    proptest! {
        #[test]
        fn payload_survives_a_round_trip(payload in payloads()) {
            prop_assert_eq!(Payload::decode(&payload.encode()).unwrap(), payload);
        }

        #[test]
        fn no_bytes_make_decoding_panic(bytes in vec(any::<u8>(), 0..200), kind in 0u8..7) {
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
