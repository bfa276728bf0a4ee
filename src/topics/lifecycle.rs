//! The directories of topics: made before the catalog names the topic, removed after it no longer does.
//!
//! | a crash during | leaves | and the next opening |
//! |---|---|---|
//! | creation, before the catalog's frame is durable | directories that the catalog does not name | removes them if they are empty, else puts them aside |
//! | creation, after it | a whole topic | opens it |
//! | deletion, before the catalog's frame is durable | a whole topic | opens it |
//! | deletion, after it | directories, renamed or not, whole or not | removes them, if renamed; else puts them aside |

use std::sync::Arc;

use crate::error::Result;
use crate::io::Dir;
use crate::storage::{
    Finding, Log, PartitionDirKind, TopicConfig, marked_dir_name, parse_partition_dir, parse_segment_name,
    partition_dir_name,
};
use crate::topics::TopicEntry;
use crate::types::{LeaderEpoch, Timestamp, TopicPartition};

/// What the partitions of a new topic have in common.
#[derive(Debug)]
pub(crate) struct NewPartitions<'a> {
    pub(crate) log_dir: &'a dyn Dir,
    pub(crate) entry: &'a TopicEntry,
    pub(crate) config: &'a Arc<TopicConfig>,
    pub(crate) epoch: LeaderEpoch,
    pub(crate) now: Timestamp,
}

/// Makes the directories and empty logs of a topic; all of it is durable when this returns.
pub(crate) fn create_partitions(new: &NewPartitions<'_>) -> Result<Vec<Log>> {
    let mut logs = Vec::new();
    let mut begun = 0;
    let mut made = (0..new.entry.partitions).try_for_each(|partition| {
        let dir = make_dir(new, partition)?;
        begun = partition + 1;
        let name = TopicPartition::new(Arc::clone(&new.entry.name), partition);
        logs.push(Log::create(&dir, name, new.entry.id, Arc::clone(new.config), new.epoch, new.now)?);
        Ok(())
    });
    made = made.and_then(|()| new.log_dir.sync());
    match made {
        Ok(()) => Ok(logs),
        Err(error) => {
            discard_partitions(new.log_dir, new.entry, begun);
            Err(error)
        }
    }
}

/// Removes the first `count` directories of a topic that was not created after all.
pub(crate) fn discard_partitions(log_dir: &dyn Dir, entry: &TopicEntry, count: u32) {
    for partition in 0..count {
        let name = partition_dir_name(&TopicPartition::new(Arc::clone(&entry.name), partition));
        if let Err(error) = remove_dir(log_dir, &name) {
            log::warn!("{error}; the next opening removes it");
        }
    }
}

/// Makes the empty directory of a partition.
fn make_dir(new: &NewPartitions<'_>, partition: u32) -> Result<Arc<dyn Dir>> {
    let name = TopicPartition::new(Arc::clone(&new.entry.name), partition);
    let dir_name = partition_dir_name(&name);
    // A deletion that failed halfway may have left files under the name: a new log does not begin among them.
    match new.log_dir.dir(&dir_name) {
        Ok(left) if !left.list()?.is_empty() => {
            new.log_dir.rename(&dir_name, &marked_dir_name(&name, new.entry.id.0, PartitionDirKind::Stray))?;
        }
        _ => {}
    }
    new.log_dir.create_dir(&dir_name)
}

/// Removes the directories of a topic that the catalog no longer names.
///
/// They are renamed first, durably: from then on a new topic can have the name, and what a crash leaves of them is
/// recognised. Kafka: `<topic>-<partition>.<id>-delete`.
pub(crate) fn remove_partitions(log_dir: &dyn Dir, entry: &TopicEntry) -> Result<()> {
    let mut renamed = Vec::new();
    for partition in 0..entry.partitions {
        let partition = TopicPartition::new(Arc::clone(&entry.name), partition);
        let away = marked_dir_name(&partition, entry.id.0, PartitionDirKind::Delete);
        match log_dir.rename(&partition_dir_name(&partition), &away) {
            Err(error) if error.is_not_found() => {} // somebody has removed it before us
            done => {
                done?;
                renamed.push(away);
            }
        }
    }
    log_dir.sync()?; // or a new topic's directory could meet the old one's files after a crash
    for name in renamed {
        remove_dir(log_dir, &name)?;
    }
    Ok(())
}

/// Puts away what in `log_dir` belongs to no topic of the catalog.
///
/// Directories that a deletion left are removed, and so are empty ones that a creation left; others, which hold
/// records, are renamed and reported. What is not named like a partition is none of our business.
pub(crate) fn clear_leftovers(
    log_dir: &dyn Dir,
    is_ours: impl Fn(&TopicPartition) -> bool,
    marker: [u8; 16],
    found: &mut dyn FnMut(Finding),
) -> Result<()> {
    for entry in log_dir.list()?.into_iter().filter(|entry| entry.is_dir) {
        let partition = match parse_partition_dir(&entry.name) {
            Some((_, PartitionDirKind::Delete)) => {
                remove_dir(log_dir, &entry.name)?;
                continue;
            }
            Some((partition, PartitionDirKind::Live)) if !is_ours(&partition) => partition,
            _ => continue,
        };
        match content_of(log_dir.dir(&entry.name)?.as_ref())? {
            Content::Nothing => continue, // perhaps somebody else's, and in nobody's way
            Content::NoRecords => {
                remove_dir(log_dir, &entry.name)?;
                continue;
            }
            Content::Records => {}
        }
        let aside = marked_dir_name(&partition, marker, PartitionDirKind::Stray);
        log_dir.rename(&entry.name, &aside)?;
        found(Finding::Leftover { path: log_dir.path().join(aside) });
    }
    // Not synced: a rename that a crash undoes is done again by the next opening.
    Ok(())
}

/// What a directory that belongs to no topic holds.
enum Content {
    Nothing,
    /// Files of a partition that never got a record.
    NoRecords,
    /// Records, or what is not known to be ours.
    Records,
}

fn content_of(dir: &dyn Dir) -> Result<Content> {
    let entries = dir.list()?;
    if entries.is_empty() {
        return Ok(Content::Nothing);
    }
    let is_ours = |name: &str| {
        name.starts_with("partition.metadata")
            || name.starts_with("leader-epoch-checkpoint")
            || matches!(parse_segment_name(name), Some((_, "index" | "timeindex" | "snapshot")))
    };
    let is_empty_segment = |name: &str, len| len == 0 && matches!(parse_segment_name(name), Some((_, "log")));
    let holds_none =
        entries.iter().all(|entry| !entry.is_dir && (is_ours(&entry.name) || is_empty_segment(&entry.name, entry.len)));
    Ok(if holds_none { Content::NoRecords } else { Content::Records })
}

/// Removes a directory and all in it.
pub(crate) fn remove_dir(parent: &dyn Dir, name: &str) -> Result<()> {
    let dir = parent.dir(name)?;
    for entry in dir.list()? {
        if entry.is_dir { remove_dir(dir.as_ref(), &entry.name)? } else { dir.remove(&entry.name)? }
    }
    parent.remove_dir(name)
}
