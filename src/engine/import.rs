//! Topics that come with their records, and with what groups have committed of them.
//!
//! A topic is there with all of it, or not at all. Its logs are written while nothing names it; then what groups have
//! committed, by the topic's new id, which says nothing to anybody yet; and last the catalog's frame.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::coordinator::group::{CommitEntry, Group};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::replication::Partition;
use crate::storage::{CLEANED, ImportedLog, NewLog, read_offsets, write_offsets};
use crate::sync::lock;
use crate::topics::{Change, NewPartitions, Topic, discard_partitions, import_partitions};
use crate::types::{Offset, Timestamp, TopicId, TopicPartition};

/// A topic that is to be imported.
#[derive(Debug)]
pub(crate) struct ImportedTopic<'a> {
    pub(crate) name: &'a str,
    pub(crate) partitions: u32,
    /// The settings that differ from the defaults, by Kafka's names.
    pub(crate) overrides: &'a BTreeMap<String, String>,
    pub(crate) commits: &'a [ImportedCommit],
}

/// What a group has committed for one of its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImportedCommit {
    pub(crate) group: String,
    pub(crate) partition: u32,
    pub(crate) offset: Offset,
    pub(crate) metadata: String,
    pub(crate) commit_timestamp: Timestamp,
}

impl Engine {
    /// Whether a topic may be created under `name`.
    pub(crate) fn check_new_topic(&self, name: &str) -> Result<()> {
        self.ensure_open()?;
        self.shared().topics.check_new_name(name)
    }

    /// Creates a topic with its records; `write` writes the log of a partition, and says where that begins and ends. All
    /// of it is on the disk when this returns. No other topic is created or deleted meanwhile.
    pub(crate) fn import_topic(
        &self,
        new: &ImportedTopic<'_>,
        write: &mut dyn FnMut(u32, &NewLog<'_>) -> Result<ImportedLog>,
    ) -> Result<Arc<Topic>> {
        let shared = self.shared();
        let _changing = lock(&shared.changing_files);
        self.ensure_open()?;
        let (entry, config) = self.new_topic(new.name, Some(new.partitions), new.overrides)?;
        let mut groups: BTreeMap<&str, Arc<Group>> = BTreeMap::new();
        let mut permits = Vec::new();
        for commit in new.commits {
            let group = shared.groups.group(&commit.group)?;
            permits.push(group.admit(None, &[])?); // as for a commit from outside: not while it has a member
            groups.insert(&commit.group, group);
        }
        let epoch = lock(&shared.catalog).epoch();
        let (log_dir, now) = (shared.log_dir.as_ref(), shared.lane.disk.now());
        let quarantine = shared.lane.disk.root().dir("quarantine")?;
        let places = NewPartitions { log_dir, entry: &entry, first: 0, config: &config, epoch, now };
        let mut holes = BTreeMap::new();
        let logs = import_partitions(&places, quarantine.as_ref(), &mut |number, log| {
            let written = write(number, log)?;
            if written.has_holes {
                holes.insert(TopicPartition::new(new.name, number), written.log_start);
            }
            Ok(written)
        });
        let logs = logs.inspect_err(|error| shared.lane.note_failed_sync(error))?;
        let partitions: Vec<Arc<Partition>> = logs.into_iter().map(|log| self.partition(entry.id, log)).collect();
        let noted = self.note_bounds(&partitions).and_then(|()| {
            groups.into_iter().try_for_each(|(name, group)| {
                let commits = new.commits.iter().filter(|commit| commit.group == name);
                self.import_commits(entry.id, &group, commits, &partitions)
            })
        });
        let (was_noted, done) = match noted {
            Ok(()) => (true, self.change_catalog(Change::Created(entry.clone()))),
            failed => (false, failed),
        };
        if let Err(error) = done {
            // Whether the catalog's frame is on the disk may be unknown: then the next opening finds all that goes with it.
            if !was_noted || error.is_retriable() || matches!(error, Error::Closed { .. }) {
                self.forget_offsets(entry.id);
                discard_partitions(log_dir, &entry, 0..entry.partitions);
            }
            return Err(error);
        }
        if let Err(error) = self.note_holes(holes) {
            log::warn!("{error}");
        }
        Ok(self.insert_topic(Topic::new(entry, config, partitions)))
    }

    /// Tells Kafka's tools in which logs offsets without a record are no loss. Nothing here goes by it.
    fn note_holes(&self, holes: BTreeMap<TopicPartition, Offset>) -> Result<()> {
        if holes.is_empty() {
            return Ok(());
        }
        let log_dir = self.shared().log_dir.as_ref();
        let mut known = read_offsets(log_dir, CLEANED)?.unwrap_or_default();
        known.extend(holes);
        write_offsets(log_dir, CLEANED, &known)
    }

    /// Notes where the logs begin: no file in their directories says so.
    fn note_bounds(&self, partitions: &[Arc<Partition>]) -> Result<()> {
        let positions = &self.shared().lane.positions;
        partitions.iter().try_for_each(|partition| positions.write(partition.slot(), &partition.position()))?;
        positions.sync().inspect_err(|error| self.shared().lane.note_failed_sync(error))
    }

    fn import_commits<'a>(
        &self,
        id: TopicId,
        group: &Arc<Group>,
        commits: impl Iterator<Item = &'a ImportedCommit>,
        partitions: &[Arc<Partition>],
    ) -> Result<()> {
        let entry = |commit: &ImportedCommit| {
            let partition = partitions.get(usize::try_from(commit.partition).ok()?)?;
            // Behind the end nothing was read: what is appended there later must not be skipped.
            let offset = commit.offset.min(partition.log_end());
            Some(CommitEntry {
                topic_id: id,
                partition: commit.partition,
                offset,
                leader_epoch: partition.epoch_before(offset),
                metadata: commit.metadata.clone(),
                commit_timestamp: commit.commit_timestamp,
            })
        };
        let entries: Vec<CommitEntry> = commits.filter_map(entry).collect();
        let journal = self.shared().groups.journal_of(group, &self.shared().lane)?;
        // What was committed long ago, elsewhere, is not to expire at once.
        if let Some(note) = group.note_import(self.now()) {
            self.write_group_frame(group, &journal, note)?;
        }
        self.write_group_frame(group, &journal, Group::encode_commit(&entries))
    }
}
