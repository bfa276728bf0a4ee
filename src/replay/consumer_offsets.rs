//! How far groups have come, as the records of `__consumer_offsets` tell it.
//!
//! Key and value of each record begin with an i16. That of the key says what the record is, that of the value how it is
//! written; all numbers are big-endian.
//!
//! ```text
//! key       0, 1  a commit          text group, text topic, i32 partition
//!           2     a classic group   text group
//!           3-17, 19-23             what else a group is made of: text group, and more
//! commit    0, 2  i64 offset, text metadata, i64 commit timestamp
//!           1     i64 offset, text metadata, i64 commit timestamp, i64 expire timestamp
//!           3     i64 offset, i32 leader epoch, text metadata, i64 commit timestamp
//!           4     i64 offset, i32 leader epoch, short text metadata, i64 commit timestamp, tags
//! text      i16 length, UTF-8
//! short     its length and one as an unsigned varint, UTF-8
//! ```
//!
//! | what comes by | does |
//! |---|---|
//! | a commit | takes the place of the one before |
//! | one in a transaction | waits for the producer's marker; then it counts unless a later one has come meanwhile |
//! | a null value | removes |
//! | a type or a version that is not known, or a record that is not whole | is counted, and passed over |
//!
//! Kafka: `OffsetMetadataManager`, and the loading of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::record::{Batch, BatchFault, ControlType};
use crate::types::{LeaderEpoch, Offset, Timestamp, TopicPartition};

/// What a group coordinator would know if it had loaded these records of `__consumer_offsets`.
///
/// It is fed with the batches of a partition in their order, of one partition after the other or as they come.
///
/// ```
/// use ottla::Offset;
/// use ottla::replay::GroupCommits;
///
/// let mut commits = GroupCommits::default();
/// // A commit of the group g for partition 3 of t: offset 42, and another one of a version that does not exist.
/// let key = b"\0\x01\0\x01g\0\x01t\0\0\0\x03";
/// let value = b"\0\x03\0\0\0\0\0\0\0\x2a\0\0\0\x05\0\0\0\0\x01\x8b\xcf\xe5\x68\0";
/// commits.take_message(12, Offset(0), Some(key), Some(value));
/// commits.take_message(12, Offset(1), Some(key), Some(b"\0\x63"));
/// let (group, stored) = commits.groups().next().expect("there is one");
/// assert_eq!((group, stored.commits[&("t", 3).into()].offset), ("g", Offset(42)));
/// assert_eq!(commits.skipped().count(), 1);
/// ```
#[derive(Clone, Debug, Default)]
pub struct GroupCommits {
    groups: BTreeMap<String, StoredGroup>,
    /// By the number of the partition and the id of the producer.
    open: BTreeMap<(u32, i64), Vec<Change>>,
    skipped: BTreeMap<String, SkippedRecords>,
}

/// What is stored of one group.
///
/// ```
/// # use ottla::Offset;
/// # use ottla::replay::GroupCommits;
/// let mut commits = GroupCommits::default();
/// commits.take_message(12, Offset(0), Some(b"\0\x02\0\x01g"), Some(b"\0\x03"));
/// let (_, group) = commits.groups().next().expect("there is one");
/// assert!(group.commits.is_empty()); // it has members, or had some, and committed nothing
/// assert_eq!(group.kinds().next(), Some((2, "GroupMetadata")));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredGroup {
    /// What it has committed.
    pub commits: BTreeMap<TopicPartition, StoredCommit>,
    /// The keys of its other records, by their type.
    records: BTreeMap<i16, BTreeSet<Box<[u8]>>>,
}

impl StoredGroup {
    /// Of which types it has records besides commits, with Kafka's names.
    pub fn kinds(&self) -> impl Iterator<Item = (i16, &'static str)> {
        self.records.keys().filter_map(|kind| Some((*kind, name_of(*kind)?)))
    }

    fn is_empty(&self) -> bool {
        self.commits.is_empty() && self.records.is_empty()
    }
}

/// One commit. Kafka: `OffsetCommitValue`.
///
/// ```
/// # use ottla::{LeaderEpoch, Offset, Timestamp};
/// # use ottla::replay::GroupCommits;
/// # let mut commits = GroupCommits::default();
/// # let key = b"\0\x01\0\x01g\0\x01t\0\0\0\x03";
/// let value = b"\0\x03\0\0\0\0\0\0\0\x2a\0\0\0\x05\0\x02hi\0\0\x01\x8b\xcf\xe5\x68\0";
/// commits.take_message(12, Offset(0), Some(key), Some(value));
/// # let (_, group) = commits.groups().next().expect("there is one");
/// let commit = &group.commits[&("t", 3).into()];
/// assert_eq!((commit.offset, commit.leader_epoch, &*commit.metadata), (Offset(42), LeaderEpoch(5), "hi"));
/// assert_eq!((commit.commit_timestamp, commit.expire_timestamp), (Timestamp(1_700_000_000_000), Timestamp::NONE));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredCommit {
    /// The next offset to read, as it is stored: nobody has checked it.
    pub offset: Offset,
    /// That of the record before it; -1 if it is not known.
    pub leader_epoch: LeaderEpoch,
    /// What the consumer wanted to be remembered.
    pub metadata: String,
    /// When it was committed.
    pub commit_timestamp: Timestamp,
    /// When it is to be forgotten; -1 if the broker decides.
    pub expire_timestamp: Timestamp,
    /// Where the record stands: number of the partition, and offset.
    pub stored_at: (u32, Offset),
}

/// Records that were passed over, all for one reason.
///
/// ```
/// # use ottla::Offset;
/// # use ottla::replay::GroupCommits;
/// let mut commits = GroupCommits::default();
/// commits.take_message(12, Offset(7), Some(b"\0\x2a"), Some(b""));
/// let skipped = commits.skipped().next().expect("there is one");
/// assert_eq!((skipped.count, skipped.first), (1, (12, Offset(7))));
/// assert_eq!(skipped.reason, "records of type 42 are not known");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SkippedRecords {
    /// Why.
    pub reason: String,
    /// How many there were.
    pub count: u64,
    /// Where the first one stands: number of the partition, and offset.
    pub first: (u32, Offset),
}

/// What a commit does when it counts.
#[derive(Clone, Debug)]
struct Change {
    group: String,
    partition: TopicPartition,
    stored_at: (u32, Offset),
    /// `None` for a tombstone.
    commit: Option<StoredCommit>,
}

impl GroupCommits {
    /// Takes the next batch of partition `partition` of `__consumer_offsets`. A compressed one is unpacked, to no more
    /// than [`Batch::DEFAULT_UNPACKED_LIMIT`].
    ///
    /// # Errors
    /// Those of [`Batch::unpack`] and of its records; what stands before the damage has been taken, and the batches
    /// behind it may be.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Batch, Engine, Producer, ProducerRecord};
    /// use ottla::replay::GroupCommits;
    ///
    /// # let data = tempfile::tempdir().expect("a temporary directory");
    /// # let engine = Engine::open(data.path())?;
    /// # let tombstone = ProducerRecord::to("copied").key("\0\x01\0\x01g\0\x01t\0\0\0\x03");
    /// # Producer::<str, str>::new(&engine)?.send(tombstone)?.wait()?;
    /// # let stored = std::fs::read(data.path().join("log/copied-0/00000000000000000000.log"))?;
    /// let batch = Batch::decode(stored.into())?;
    /// let mut commits = GroupCommits::default();
    /// commits.take(0, &batch)?;
    /// assert_eq!(commits.groups().count(), 0); // it removes a commit that is not there
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn take(&mut self, partition: u32, batch: &Batch) -> Result<(), BatchFault> {
        let batch = batch.clone().unpack(Batch::DEFAULT_UNPACKED_LIMIT)?;
        let header = batch.header();
        for record in batch.records()? {
            let record = record?;
            if header.is_control() {
                self.take_marker(partition, header.producer_id, record.offset(), record.key());
            } else {
                let producer = header.is_transactional().then_some(header.producer_id);
                self.take_record(partition, record.offset(), producer, record.key(), record.value());
            }
        }
        Ok(())
    }

    /// Takes a record that is part of no transaction, such as a message of format v0 or v1.
    pub fn take_message(&mut self, partition: u32, offset: Offset, key: Option<&[u8]>, value: Option<&[u8]>) {
        self.take_record(partition, offset, None, key, value);
    }

    /// The groups of which something is stored, by name.
    pub fn groups(&self) -> impl Iterator<Item = (&str, &StoredGroup)> {
        self.groups.iter().filter(|(_, group)| !group.is_empty()).map(|(name, group)| (name.as_str(), group))
    }

    /// What is stored of a group; `None` if nothing is.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<&StoredGroup> {
        self.groups.get(name).filter(|group| !group.is_empty())
    }

    /// How many commits wait for the marker of their transaction. They do not count.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.open.values().map(Vec::len).sum()
    }

    /// What was passed over, by reason.
    pub fn skipped(&self) -> impl Iterator<Item = &SkippedRecords> {
        self.skipped.values()
    }

    pub(super) fn take_marker(&mut self, partition: u32, producer_id: i64, offset: Offset, key: Option<&[u8]>) {
        match key.and_then(ControlType::from_key) {
            Some(ControlType::Commit) => {
                let changes = self.open.remove(&(partition, producer_id)).unwrap_or_default();
                changes.into_iter().for_each(|change| self.apply(change));
            }
            Some(ControlType::Abort) => drop(self.open.remove(&(partition, producer_id))),
            Some(_) => {}
            None => self.skip((partition, offset), "a marker is not whole".to_owned()),
        }
    }

    pub(super) fn take_record(
        &mut self,
        partition: u32,
        offset: Offset,
        producer: Option<i64>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) {
        let stored_at = (partition, offset);
        match Entry::decode(key, value, stored_at) {
            Ok(Entry::Commit(change)) => match producer {
                Some(id) => self.open.entry((partition, id)).or_default().push(change),
                None => self.apply(change),
            },
            Ok(Entry::Group { group, kind, key, is_removed }) => {
                let records = &mut self.groups.entry(group).or_default().records;
                if is_removed {
                    if let Some(keys) = records.get_mut(&kind) {
                        keys.remove(key);
                    }
                    records.retain(|_, keys| !keys.is_empty());
                } else {
                    records.entry(kind).or_default().insert(key.into());
                }
            }
            Err(reason) => self.skip(stored_at, reason),
        }
    }

    fn apply(&mut self, change: Change) {
        let (number, offset) = change.stored_at;
        let commits = &mut self.groups.entry(change.group).or_default().commits;
        let is_late = commits.get(&change.partition).is_some_and(|present| {
            let (other, later) = present.stored_at;
            other == number && later > offset
        });
        match change.commit {
            _ if is_late => {}
            Some(commit) => drop(commits.insert(change.partition, commit)),
            None => drop(commits.remove(&change.partition)),
        }
    }

    fn skip(&mut self, at: (u32, Offset), reason: String) {
        let new = |reason: &String| SkippedRecords { reason: reason.clone(), count: 0, first: at };
        let skipped = self.skipped.entry(reason.clone()).or_insert_with(|| new(&reason));
        skipped.count += 1;
    }
}

/// What a record says.
enum Entry<'a> {
    Commit(Change),
    Group { group: String, kind: i16, key: &'a [u8], is_removed: bool },
}

impl<'a> Entry<'a> {
    fn decode(key: Option<&'a [u8]>, value: Option<&[u8]>, stored_at: (u32, Offset)) -> Result<Self, String> {
        let bytes = key.ok_or("a record has no key")?;
        let mut key = Fields(bytes);
        let not_whole = || "a key is not whole".to_owned();
        let kind = key.i16().ok_or_else(not_whole)?;
        if !matches!(kind, 0 | 1) {
            name_of(kind).ok_or_else(|| format!("records of type {kind} are not known"))?;
            let group = key.text().ok_or_else(not_whole)?;
            return Ok(Self::Group { group, kind, key: bytes, is_removed: value.is_none() });
        }
        let (group, topic) = (key.text().ok_or_else(not_whole)?, key.text().ok_or_else(not_whole)?);
        let number = key.i32().ok_or_else(not_whole)?;
        let number = u32::try_from(number).ok().ok_or("a commit is of a negative partition")?;
        let commit = value.map(|value| StoredCommit::decode(value, stored_at)).transpose()?;
        Ok(Self::Commit(Change { group, partition: TopicPartition::new(topic, number), stored_at, commit }))
    }
}

impl StoredCommit {
    fn decode(value: &[u8], stored_at: (u32, Offset)) -> Result<Self, String> {
        let mut value = Fields(value);
        let not_whole = || "a commit is not whole".to_owned();
        let version = value.i16().ok_or_else(not_whole)?;
        if !(0..=4).contains(&version) {
            return Err(format!("commits of version {version} are not known"));
        }
        let mut fields = || {
            let offset = Offset(value.i64()?);
            let leader_epoch = if version >= 3 { LeaderEpoch(value.i32()?) } else { LeaderEpoch::NONE };
            let metadata = if version >= 4 { value.short_text()? } else { value.text()? };
            let commit_timestamp = Timestamp(value.i64()?);
            let expire_timestamp = if version == 1 { Timestamp(value.i64()?) } else { Timestamp::NONE };
            Some(Self { offset, leader_epoch, metadata, commit_timestamp, expire_timestamp, stored_at })
        };
        fields().ok_or_else(not_whole) // the tags of version 4 say nothing that is asked for here
    }
}

/// What Kafka calls the records of a type; `None` for commits and for what came later.
fn name_of(kind: i16) -> Option<&'static str> {
    Some(match kind {
        2 => "GroupMetadata",
        3 => "ConsumerGroupMetadata",
        4 => "ConsumerGroupPartitionMetadata",
        5 => "ConsumerGroupMemberMetadata",
        6 => "ConsumerGroupTargetAssignmentMetadata",
        7 => "ConsumerGroupTargetAssignmentMember",
        8 => "ConsumerGroupCurrentMemberAssignment",
        9 => "ShareGroupPartitionMetadata",
        10 => "ShareGroupMemberMetadata",
        11 => "ShareGroupMetadata",
        12 => "ShareGroupTargetAssignmentMetadata",
        13 => "ShareGroupTargetAssignmentMember",
        14 => "ShareGroupCurrentMemberAssignment",
        15 => "ShareGroupStatePartitionMetadata",
        16 => "ConsumerGroupRegularExpression",
        17 => "StreamsGroupMetadata",
        19 => "StreamsGroupMemberMetadata",
        20 => "StreamsGroupTargetAssignmentMetadata",
        21 => "StreamsGroupTargetAssignmentMember",
        22 => "StreamsGroupCurrentMemberAssignment",
        23 => "StreamsGroupTopology",
        _ => return None,
    })
}

/// What is left of a key or a value.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*bytes)
    }

    fn i16(&mut self) -> Option<i16> {
        self.take().map(i16::from_be_bytes)
    }

    fn i32(&mut self) -> Option<i32> {
        self.take().map(i32::from_be_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.take().map(i64::from_be_bytes)
    }

    /// Replaces what is not UTF-8, as Java does.
    fn text(&mut self) -> Option<String> {
        let len = usize::try_from(self.i16()?).ok()?;
        self.text_of(len)
    }

    fn short_text(&mut self) -> Option<String> {
        let len = usize::try_from(self.unsigned_varint()?).ok()?.checked_sub(1)?;
        self.text_of(len)
    }

    fn text_of(&mut self, len: usize) -> Option<String> {
        let (text, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(String::from_utf8_lossy(text).into_owned())
    }

    fn unsigned_varint(&mut self) -> Option<u32> {
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.take()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{BatchBuilder, ProducerStamp};

    const KEY: &[u8] = b"\0\x01\0\x01g\0\x01t\0\0\0\x03";

    fn value(offset: u8) -> Vec<u8> {
        [b"\0\x03\0\0\0\0\0\0\0", &[offset][..], b"\0\0\0\x05\0\0\0\0\x01\x8b\xcf\xe5\x68\0"].concat()
    }

    fn committed(commits: &GroupCommits) -> Option<i64> {
        Some(commits.group("g")?.commits.get(&("t", 3).into())?.offset.0)
    }

    /// A batch of one record, of a transaction of producer 7 if so, or its marker.
    fn transactional(offset: i64, key: &[u8], value: &[u8], flags: u8) -> Batch {
        let mut builder = BatchBuilder::new(Vec::new());
        builder.append(Timestamp(0), Some(key), Some(value), &[]);
        let mut bytes = builder.seal(ProducerStamp::NONE).as_bytes().to_vec();
        bytes[..8].copy_from_slice(&offset.to_be_bytes());
        bytes[22] = flags;
        bytes[43..51].copy_from_slice(&7i64.to_be_bytes());
        let crc = u32::try_from(crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &bytes[21..])).unwrap();
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        Batch::decode(bytes.into()).unwrap()
    }

    const OPEN: u8 = 0x10;
    const MARKER: u8 = 0x30;
    const ABORT: &[u8] = &[0, 0, 0, 0];
    const COMMIT: &[u8] = &[0, 0, 0, 1];

    #[test]
    fn commit_of_every_version_is_read() {
        // Vector V20 of the format facts, and the same in other versions.
        let time = b"\0\0\x01\x8b\xcf\xe5\x68\0";
        let offset = b"\0\0\0\0\0\0\0\x2a";
        for (version, behind, epoch, expires) in [
            (0, [&b"\0\x01m"[..], time].concat(), -1, -1),
            (1, [&b"\0\x01m"[..], time, &[0; 7], &[9]].concat(), -1, 9),
            (2, [&b"\0\x01m"[..], time].concat(), -1, -1),
            (3, [&b"\0\0\0\x05\0\x01m"[..], time].concat(), 5, -1),
            (4, [&b"\0\0\0\x05\x02m"[..], time, b"\x01\x63\x02\xab\xcd"].concat(), 5, -1),
        ] {
            let value = [&[0, version], &offset[..], &behind].concat();
            for key_version in [0, 1] {
                let mut commits = GroupCommits::default();
                commits.take_message(0, Offset(0), Some(&[&[0, key_version], &KEY[2..]].concat()), Some(&value));
                assert_eq!(commits.skipped().next(), None, "version {version}");
                let commit = commits.group("g").unwrap().commits[&("t", 3).into()].clone();
                assert_eq!((commit.offset, commit.leader_epoch), (Offset(42), LeaderEpoch(epoch)));
                assert_eq!((&*commit.metadata, commit.commit_timestamp), ("m", Timestamp(1_700_000_000_000)));
                assert_eq!(commit.expire_timestamp, Timestamp(expires));
            }
            for len in 0..value.len() {
                let mut commits = GroupCommits::default();
                commits.take_message(0, Offset(0), Some(KEY), Some(&value[..len]));
                let is_whole = version == 4 && len >= value.len() - 5; // the tags are passed over
                assert_eq!(commits.skipped().count(), usize::from(!is_whole), "version {version}, {len} bytes");
            }
        }
    }

    #[test]
    fn commit_of_a_transaction_counts_with_its_marker_unless_a_later_one_has_come() {
        let mut commits = GroupCommits::default();
        commits.take_message(0, Offset(0), Some(KEY), Some(&value(1)));
        commits.take(0, &transactional(1, KEY, &value(2), OPEN)).unwrap();
        assert_eq!((committed(&commits), commits.pending()), (Some(1), 1));
        commits.take(1, &transactional(9, COMMIT, &[0; 6], MARKER)).unwrap(); // of another partition
        assert_eq!(committed(&commits), Some(1));
        commits.take(0, &transactional(2, COMMIT, &[0; 6], MARKER)).unwrap();
        assert_eq!((committed(&commits), commits.pending()), (Some(2), 0));

        commits.take(0, &transactional(3, KEY, &value(3), OPEN)).unwrap();
        commits.take(0, &transactional(4, ABORT, &[0; 6], MARKER)).unwrap();
        assert_eq!((committed(&commits), commits.pending()), (Some(2), 0));

        commits.take(0, &transactional(5, KEY, &value(4), OPEN)).unwrap();
        commits.take_message(0, Offset(6), Some(KEY), Some(&value(5)));
        commits.take(0, &transactional(7, COMMIT, &[0; 6], MARKER)).unwrap();
        assert_eq!(committed(&commits), Some(5));

        commits.take_message(0, Offset(8), Some(KEY), None);
        assert_eq!((committed(&commits), commits.groups().count()), (None, 0));
    }

    #[test]
    fn group_is_there_as_long_as_one_of_its_records_is() {
        let member = |name: u8| [&b"\0\x05\0\x01g\0\x01"[..], &[name]].concat();
        let mut commits = GroupCommits::default();
        for name in [b'a', b'b'] {
            commits.take_message(0, Offset(0), Some(&member(name)), Some(b"\0\0"));
        }
        let kinds = |commits: &GroupCommits| commits.group("g").map(|group| group.kinds().collect::<Vec<_>>());
        assert_eq!(kinds(&commits), Some(vec![(5, "ConsumerGroupMemberMetadata")]));
        commits.take_message(0, Offset(1), Some(&member(b'a')), None);
        assert!(kinds(&commits).is_some());
        commits.take_message(0, Offset(2), Some(&member(b'b')), None);
        assert_eq!(kinds(&commits), None);
    }

    #[test] // R033
    fn what_is_not_known_is_counted_and_passed_over() {
        let mut commits = GroupCommits::default();
        let negative = b"\0\x01\0\x01g\0\x01t\xff\xff\xff\xff";
        for (offset, key, value) in [
            (0, &b"\0\x2a\0\x02zz"[..], &b"x"[..]),
            (1, b"\xff\xff", b"x"),
            (2, KEY, b"\0\x05 later"),
            (3, KEY, b"\xff\xff"),
            (4, KEY, b""),
            (5, KEY, b"\0\x03\0"),
            (6, b"\0", b""),
            (7, b"\0\x01\0\x05g", b""),
            (8, b"\0\x02\xff\xff", b""),
            (9, negative, b""),
        ] {
            commits.take_message(4, Offset(offset), Some(key), Some(value));
        }
        commits.take_message(4, Offset(10), None, Some(b"x"));
        commits.take_message(4, Offset(11), Some(KEY), Some(&value(7)));
        commits.take(4, &transactional(12, b"\0", &[0; 6], MARKER)).unwrap();
        assert_eq!(committed(&commits), Some(7));
        let skipped: Vec<_> = commits.skipped().map(|each| (&*each.reason, each.count, each.first.1.0)).collect();
        assert_eq!(
            skipped,
            [
                ("a commit is not whole", 2, 4),
                ("a commit is of a negative partition", 1, 9),
                ("a key is not whole", 3, 6),
                ("a marker is not whole", 1, 12),
                ("a record has no key", 1, 10),
                ("commits of version -1 are not known", 1, 3),
                ("commits of version 5 are not known", 1, 2),
                ("records of type -1 are not known", 1, 1),
                ("records of type 42 are not known", 1, 0),
            ]
        );
    }
}
