//! The directories of topics: made before the catalog names the topic, removed after it no longer does.
//!
//! | a crash during | leaves | and the next opening |
//! |---|---|---|
//! | creation, before the catalog's frame is durable | directories that the catalog does not name | removes them if they are empty, else puts them aside |
//! | creation, after it | a whole topic | opens it |
//! | adding partitions | as creation does, of those | the same, with or without those |
//! | import, while the logs are written | directories that are marked as deleted | removes them |
//! | import, between their renaming and the catalog's frame | whole directories that the catalog does not name | puts them aside |
//! | deletion, before the catalog's frame is durable | a whole topic | opens it |
//! | deletion, after it | directories, renamed or not, whole or not | removes them, if renamed; else puts them aside |

use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::io::Dir;
use crate::storage::{
    Finding, ImportedLog, Log, NewLog, Opening, PartitionDirKind, TopicConfig, marked_dir_name, parse_partition_dir,
    parse_segment_name, partition_dir_name,
};
use crate::topics::TopicEntry;
use crate::types::{LeaderEpoch, Timestamp, TopicPartition};

/// What new partitions of a topic have in common.
#[derive(Debug)]
pub(crate) struct NewPartitions<'a> {
    pub(crate) log_dir: &'a dyn Dir,
    pub(crate) entry: &'a TopicEntry,
    /// The number of the first of them; those before are there.
    pub(crate) first: u32,
    pub(crate) config: &'a Arc<TopicConfig>,
    pub(crate) epoch: LeaderEpoch,
    pub(crate) now: Timestamp,
}

/// Makes the directories and empty logs of new partitions; all of it is durable when this returns.
pub(crate) fn create_partitions(new: &NewPartitions<'_>) -> Result<Vec<Log>> {
    let mut logs = Vec::new();
    let mut begun = new.first;
    let mut made = (new.first..new.entry.partitions).try_for_each(|partition| {
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
            discard_partitions(new.log_dir, new.entry, new.first..begun);
            Err(error)
        }
    }
}

/// Makes the directories of a topic that comes with its records, and opens their logs; all of it is durable when this
/// returns.
///
/// `write` writes the log of a partition into its directory, and says where that begins and ends. Meanwhile the directories
/// are marked as those of a topic that was deleted: so the next opening removes what an interruption leaves.
pub(crate) fn import_partitions(
    new: &NewPartitions<'_>,
    quarantine: &dyn Dir,
    write: &mut dyn FnMut(u32, &NewLog<'_>) -> Result<ImportedLog>,
) -> Result<Vec<Log>> {
    let name = |partition| TopicPartition::new(Arc::clone(&new.entry.name), partition);
    let marked = |partition| marked_dir_name(&name(partition), new.entry.id.0, PartitionDirKind::Delete);
    let mut written = Vec::new();
    let all = (0..new.entry.partitions).try_for_each(|partition| {
        let dir = new.log_dir.create_dir(&marked(partition))?;
        let log = NewLog { dir: &dir, id: new.entry.id, config: new.config, epoch: new.epoch };
        written.push(write(partition, &log)?);
        Ok(())
    });
    if let Err(error) = all {
        for partition in 0..new.entry.partitions {
            match remove_dir(new.log_dir, &marked(partition)) {
                Err(left) if !left.is_not_found() => log::warn!("{left}; the next opening removes it"),
                _ => {}
            }
        }
        return Err(error);
    }
    let mut logs = Vec::new();
    let mut named = 0;
    let opened = written.into_iter().zip(0..).try_for_each(|(ImportedLog { log_start, log_end, .. }, partition)| {
        let (name, dir_name) = (name(partition), partition_dir_name(&name(partition)));
        clear_place(new.log_dir, &name, new.entry)?;
        new.log_dir.rename(&marked(partition), &dir_name)?;
        named = partition + 1;
        let dir = new.log_dir.dir(&dir_name)?;
        let opening = Opening {
            dir: &dir,
            name: &name,
            config: Arc::clone(new.config),
            quarantine,
            epoch: new.epoch,
            log_start: Some(log_start),
            durable_end: Some(log_end),
            was_clean: true,
            forget_producers_before: None,
            now: new.now,
        };
        let mut found = None;
        let log = Log::open(&opening, &mut |_| Ok(()), &mut |finding| found = Some(finding))?;
        if let Some(finding) = found {
            return Err(Error::corrupt_file(
                dir.path(),
                0,
                format!("what was just written reads differently: {finding}"),
            ));
        }
        logs.push(log);
        Ok(())
    });
    match opened.and_then(|()| new.log_dir.sync()) {
        Ok(()) => Ok(logs),
        Err(error) => {
            discard_partitions(new.log_dir, new.entry, 0..named);
            Err(error)
        }
    }
}

/// Removes directories of partitions that were not created after all.
pub(crate) fn discard_partitions(log_dir: &dyn Dir, entry: &TopicEntry, numbers: Range<u32>) {
    for partition in numbers {
        let name = partition_dir_name(&TopicPartition::new(Arc::clone(&entry.name), partition));
        if let Err(error) = remove_dir(log_dir, &name) {
            log::warn!("{error}; the next opening removes it");
        }
    }
}

/// Makes the empty directory of a partition.
fn make_dir(new: &NewPartitions<'_>, partition: u32) -> Result<Arc<dyn Dir>> {
    let name = TopicPartition::new(Arc::clone(&new.entry.name), partition);
    clear_place(new.log_dir, &name, new.entry)?;
    new.log_dir.create_dir(&partition_dir_name(&name))
}

/// A deletion that failed halfway may have left files under the name: a new log does not begin among them.
fn clear_place(log_dir: &dyn Dir, name: &TopicPartition, entry: &TopicEntry) -> Result<()> {
    let dir_name = partition_dir_name(name);
    match log_dir.dir(&dir_name) {
        Ok(left) if !left.list()?.is_empty() => {
            log_dir.rename(&dir_name, &marked_dir_name(name, entry.id.0, PartitionDirKind::Stray))
        }
        _ => Ok(()),
    }
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
