//! The groups of a directory, and how far they have come.

use std::collections::BTreeSet;

use crate::coordinator::group::{
    Committed, Footing, Group, GroupDescription, GroupListing, GroupOffsetChange, GroupReset, OFFSETS_SUFFIX, Standing,
};
use crate::error::{Error, Result};
use crate::io::Dir;
use crate::replay::directory::{Directory, LOOKS, entry, nothing};
use crate::replay::follow::PartitionReader;
use crate::storage::{BehindHole, Lag, LeaderEpochs, Log, PREVIOUS, Position, group_file_name, parse_group_file_name};
use crate::topics::{Catalog, TopicEntry};
use crate::types::{Offset, TopicId, TopicPartition};

impl Directory {
    /// All groups that have committed something, by name. Blocks for reading a directory.
    ///
    /// # Errors
    /// [`Error::Io`].
    ///
    /// # Examples
    /// ```
    /// # use ottla::replay::Directory;
    /// # use ottla::{Admin, Consumer, Engine, MemoryDisk, NewTopic, Offset};
    /// # let disk = MemoryDisk::new();
    /// # let engine = Engine::builder().open_memory(&disk)?;
    /// # Admin::new(&engine).create_topic(NewTopic::new("orders"))?;
    /// let directory = Directory::open_memory(&disk)?;
    /// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
    /// consumer.commit_sync_offsets([(("orders", 0).into(), Offset(0).into())])?;
    /// assert_eq!(directory.groups()?[0].group, "billing");
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn groups(&self) -> Result<Vec<GroupListing>> {
        let Some(dir) = self.groups_dir()? else { return Ok(Vec::new()) };
        let name = |file: &String| parse_group_file_name(file.strip_suffix(OFFSETS_SUFFIX)?);
        let mut groups: Vec<String> = files(dir.as_ref())?.iter().filter_map(name).collect();
        groups.sort_unstable();
        Ok(groups.into_iter().map(|group| GroupListing { group }).collect())
    }

    /// How far a group has read, and how much is left. Blocks for reading files. What is being committed at this moment
    /// may be seen before its sync.
    ///
    /// # Errors
    /// [`Error::InvalidGroupId`] if no group can have that name, [`Error::GroupIdNotFound`] if there is no such group, or
    /// it has committed nothing; [`Error::UnsupportedVersion`] if a newer version wrote it; else as
    /// [`bounds`](Self::bounds).
    ///
    /// # Examples
    /// ```
    /// # use ottla::replay::Directory;
    /// # use ottla::{Consumer, Engine, MemoryDisk, Offset, Producer, ProducerRecord};
    /// # let disk = MemoryDisk::new();
    /// # let engine = Engine::builder().open_memory(&disk)?;
    /// # let producer = Producer::<str, str>::new(&engine)?;
    /// for value in ["made", "paid", "sent"] {
    ///     producer.send(ProducerRecord::to("orders").value(value))?.wait()?;
    /// }
    /// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
    /// consumer.commit_sync_offsets([(("orders", 0).into(), Offset(1).into())])?;
    /// let billing = Directory::open_memory(&disk)?.group("billing")?;
    /// assert_eq!(billing.partitions[0].committed, Some(Offset(1)));
    /// assert_eq!(billing.partitions[0].lag.map(|lag| lag.records), Some(2));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn group(&self, name: &str) -> Result<GroupDescription> {
        self.settled(|| self.group_now(name))
    }

    /// What [`Admin::reset_group_offsets`](crate::Admin::reset_group_offsets) would do to a group, in the order of the
    /// partitions, beside whoever has the directory open. Nothing is changed; the group need not exist. Blocks for
    /// reading files.
    ///
    /// # Errors
    /// [`Error::IllegalArgument`] for a time before 1970, and for [`ShiftBy`](GroupReset::ShiftBy) where the group has
    /// committed nothing; [`Error::UnknownTopicOrPartition`] if there is no such partition; else as
    /// [`group`](Self::group) and [`PartitionReader::offset_for_time`].
    ///
    /// # Examples
    /// ```
    /// # use ottla::replay::Directory;
    /// # use ottla::{Engine, GroupReset, MemoryDisk, Offset, Producer, ProducerRecord};
    /// # let disk = MemoryDisk::new();
    /// # let engine = Engine::builder().open_memory(&disk)?;
    /// Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
    /// let directory = Directory::open_memory(&disk)?; // the engine goes on
    /// let plan = directory.plan_group_reset("billing", [("orders", 0).into()], GroupReset::Latest)?;
    /// assert_eq!((plan[0].before, plan[0].after), (None, Offset(1)));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn plan_group_reset(
        &self,
        group: &str,
        partitions: impl IntoIterator<Item = TopicPartition>,
        to: GroupReset,
    ) -> Result<Vec<GroupOffsetChange>> {
        let partitions: BTreeSet<TopicPartition> = partitions.into_iter().collect();
        self.settled(|| {
            let offsets = match self.group_offsets(group) {
                Err(Error::GroupIdNotFound { .. }) => Group::new(group),
                found => found?,
            };
            let catalog = self.catalog()?;
            partitions.iter().map(|partition| self.plan_reset(&offsets, &catalog, partition, to)).collect()
        })
    }

    fn plan_reset(
        &self,
        offsets: &Group,
        catalog: &Catalog,
        partition: &TopicPartition,
        to: GroupReset,
    ) -> Result<GroupOffsetChange> {
        let entry = entry(catalog, partition.topic())?;
        if partition.partition() >= entry.partitions {
            return Err(Error::unknown_topic(partition));
        }
        let position = self.look(entry.id, partition)?;
        let committed = offsets.committed(entry.id, partition.partition());
        let resumes_at = committed.as_ref().map(|committed| self.resume_at(entry, partition, committed, &position));
        let footing = Footing {
            log_start: position.log_start,
            high_watermark: position.high_watermark,
            committed: committed.as_ref().map(|committed| committed.offset),
            resumes_at: resumes_at.transpose()?,
        };
        to.plan(partition.clone(), &footing, self.inner.disk.now(), |at| {
            PartitionReader::new(self.clone(), partition.clone(), entry.id, position).offset_for_time(at)
        })
    }

    /// What a group has committed.
    fn group_offsets(&self, name: &str) -> Result<Group> {
        let file = format!("{}{OFFSETS_SUFFIX}", group_file_name(name)?);
        let missing = || Error::GroupIdNotFound { group: name.into() };
        let dir = self.groups_dir()?.ok_or_else(missing)?;
        let payloads = match self.journal(dir.as_ref(), &file, BehindHole::Keep) {
            Err(error) if error.is_not_found() => return Err(missing()),
            read => read?.0,
        };
        let offsets = Group::new(name);
        for payload in payloads {
            offsets.apply(&payload).map_err(|bad| Error::UnsupportedVersion {
                path: dir.path().join(&file),
                reason: bad.to_string().into(),
            })?;
        }
        Ok(offsets)
    }

    fn group_now(&self, name: &str) -> Result<GroupDescription> {
        let offsets = self.group_offsets(name)?;
        // Behind the group: so whatever it has read is there.
        let catalog = self.catalog()?;
        let mut known: Option<(TopicId, Vec<Position>)> = None;
        GroupDescription::of(&offsets, catalog.topics(), |entry, partition, committed| {
            if known.as_ref().is_none_or(|(id, _)| *id != entry.id) {
                known = Some((entry.id, self.positions_of(entry, catalog.epoch())?));
            }
            let at = usize::try_from(partition.partition()).unwrap_or(usize::MAX);
            let position = known.as_ref().and_then(|(_, known)| known.get(at).copied());
            let position = position.unwrap_or_else(|| nothing(catalog.epoch()));
            let lag = committed.map(|committed| {
                let from = self.resume_at(entry, partition, committed, &position)?;
                self.lag(entry, partition, from, &position)
            });
            let (log_start, high_watermark) = (position.log_start, position.high_watermark);
            Ok(Standing { log_start, high_watermark, lag: lag.transpose()? })
        })
    }

    /// How far a reader is behind that goes on at `from`. Files may come and go meanwhile, and are looked at again then;
    /// one that somebody has removed has no bytes, and no times.
    fn lag(&self, entry: &TopicEntry, partition: &TopicPartition, from: Offset, position: &Position) -> Result<Lag> {
        let now = self.inner.disk.now();
        let measure = || {
            let dir = self.partition_dir(entry.id, partition)?;
            Log::view(&dir, partition.clone(), position)?.lag_behind(from, position.high_watermark, now)
        };
        let from = from.max(position.log_start);
        if from >= position.high_watermark {
            return Ok(Lag::default());
        }
        for _ in 0..LOOKS {
            match measure() {
                Err(error) if error.is_not_found() => self.pause(),
                measured => return measured,
            }
        }
        match measure() {
            Err(error) if error.is_not_found() => {
                let records = u64::try_from(position.high_watermark.0 - from.0).unwrap_or(0);
                Ok(Lag { records, ..Lag::default() })
            }
            measured => measured,
        }
    }

    /// The smaller of what was committed and the end of the epoch that it was read under.
    fn resume_at(
        &self,
        entry: &TopicEntry,
        partition: &TopicPartition,
        committed: &Committed,
        position: &Position,
    ) -> Result<Offset> {
        if committed.leader_epoch == position.leader_epoch {
            return Ok(committed.offset);
        }
        let (epochs, _) = LeaderEpochs::load(self.partition_dir(entry.id, partition)?.as_ref())?;
        let end = epochs.end_offset_for(committed.leader_epoch, position.high_watermark);
        Ok(end.map_or(committed.offset, |(_, end)| committed.offset.min(end)))
    }
}

/// The names of the groups' journals; one may be there under its old name alone, within a compaction.
pub(super) fn files(dir: &dyn Dir) -> Result<BTreeSet<String>> {
    let current = |name: String| name.strip_suffix(PREVIOUS).map_or(name.clone(), str::to_owned);
    let names = dir.names()?.into_iter().map(current);
    Ok(names.filter(|name| name.ends_with(OFFSETS_SUFFIX)).collect())
}
