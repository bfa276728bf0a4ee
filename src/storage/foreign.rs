//! A log that a broker wrote, or that was copied from somewhere: what the files around it say of it.
//!
//! Nothing of ours stands beside such a log, no catalog and no `positions`. What is known comes from the checkpoints of
//! the `log.dir`, which lag behind in one that is in use or was not closed, and are as often damaged as anything else.
//! So each says only this much:
//!
//! | file | says |
//! |---|---|
//! | `.kafka_cleanshutdown` | the recovery point of a log is its end |
//! | `recovery-point-offset-checkpoint`, `replication-offset-checkpoint` | the log was written that far at least |
//! | `log-start-offset-checkpoint` | what stands below is deleted |
//! | names of indexes and snapshots in its directory, `leader-epoch-checkpoint` | the log was written that far at least, and began no later |
//! | `cleaner-offset-checkpoint` | the cleaner was at the log: offsets may be missing in the middle; in no other log are they |

use std::collections::{BTreeMap, BTreeSet};

use crate::io::Dir;
use crate::storage::checkpoint::{
    CLEANED, HIGH_WATERMARKS, LOG_STARTS, RECOVERY_POINTS, has_clean_shutdown, read_offsets,
};
use crate::storage::files::parse_segment_name;
use crate::storage::leader_epochs::LeaderEpochs;
use crate::storage::segment::{SWAPPED, Segment};
use crate::storage::verify::Defect;
use crate::storage::walk::{Check, Foreign, Walk};
use crate::types::{Offset, TopicPartition};

/// What the files of a `log.dir` say of all logs in it. What cannot be read says nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogDirFacts {
    pub(crate) was_clean: bool,
    pub(crate) recovery_points: BTreeMap<TopicPartition, Offset>,
    high_watermarks: BTreeMap<TopicPartition, Offset>,
    log_starts: BTreeMap<TopicPartition, Offset>,
    /// `None` if nobody can tell where the cleaner was.
    cleaned: Option<BTreeMap<TopicPartition, Offset>>,
    /// Why nobody knows what is deleted.
    pub(crate) defect: Option<Defect>,
}

impl LogDirFacts {
    pub(crate) fn read(log_dir: &dyn Dir) -> Self {
        let read = |name| read_offsets(log_dir, name).unwrap_or_default();
        let (recovery_points, high_watermarks) = (read(RECOVERY_POINTS), read(HIGH_WATERMARKS));
        let is_log_dir = recovery_points.is_some() || high_watermarks.is_some();
        let cleaned = match read_offsets(log_dir, CLEANED) {
            Ok(None) if is_log_dir => Some(BTreeMap::new()),
            cleaned => cleaned.unwrap_or_default(),
        };
        let log_starts = read_offsets(log_dir, LOG_STARTS);
        let path = log_dir.path().join(LOG_STARTS);
        let defect = log_starts.as_ref().err().map(|error| Defect::from_error(error, &path));
        Self {
            was_clean: has_clean_shutdown(log_dir).unwrap_or(false),
            recovery_points: recovery_points.unwrap_or_default(),
            high_watermarks: high_watermarks.unwrap_or_default(),
            log_starts: log_starts.unwrap_or_default().unwrap_or_default(),
            cleaned,
            defect,
        }
    }

    /// What they say of one log.
    pub(crate) fn of(&self, partition: &TopicPartition) -> ForeignLog {
        let recovery_point = self.recovery_points.get(partition).copied();
        ForeignLog {
            log_start: self.log_starts.get(partition).copied().unwrap_or_default(),
            recovery_point,
            end: recovery_point.filter(|_| self.was_clean),
            least_end: recovery_point.max(self.high_watermarks.get(partition).copied()),
            begins: None,
            next_segment: None,
            is_dense: self.cleaned.as_ref().is_some_and(|cleaned| !cleaned.contains_key(partition)),
            is_ours: false,
        }
    }
}

/// What is known of one log of others.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ForeignLog {
    /// What stands below is deleted.
    pub(crate) log_start: Offset,
    /// Every offset below it was synced.
    pub(crate) recovery_point: Option<Offset>,
    /// Where it ends, if it was closed.
    pub(crate) end: Option<Offset>,
    /// It was written that far at least.
    pub(crate) least_end: Option<Offset>,
    /// It began no later, though no segment may have that offset any more.
    pub(crate) begins: Option<Offset>,
    /// Of a segment that is looked at alone: where the next one begins.
    pub(crate) next_segment: Option<Offset>,
    /// No offset is missing in the middle.
    pub(crate) is_dense: bool,
    /// It is one of ours, of which as much is read as is visible.
    pub(crate) is_ours: bool,
}

impl ForeignLog {
    /// The same with what its directory says: a segment that is gone may have left its indexes, and a broker names a
    /// snapshot by where the log ends, and the first leader epoch begins where the log does.
    pub(crate) fn in_dir(self, dir: &dyn Dir) -> Self {
        let names = dir.names().unwrap_or_default();
        let files = || names.iter().filter_map(|name| parse_segment_name(name));
        let of = |kinds: &[&str]| files().filter(|(_, end)| kinds.contains(end)).map(|(base, _)| base).collect();
        let (logs, indexes): (BTreeSet<Offset>, BTreeSet<Offset>) =
            (of(&["log", SWAPPED]), of(&["index", "timeindex", "txnindex"]));
        let orphans = || indexes.difference(&logs).copied();
        let snapshots = files().filter(|(_, end)| *end == "snapshot").map(|(offset, _)| offset);
        let epochs = LeaderEpochs::load(dir).map(|(epochs, _)| epochs).unwrap_or_default();
        // A broker notes log starts once a minute: segments may have been deleted since, unless it was stopped.
        let listed = Some(self.log_start).filter(|start| *start > Offset::ZERO && self.end.is_some());
        let begins = [listed, epochs.beginning(), orphans().next()].into_iter().flatten().min();
        Self {
            begins: begins.map(|begins| begins.max(self.log_start)),
            least_end: self.least_end.max(orphans().chain(snapshots).max()),
            ..self
        }
    }

    /// The offsets that no segment has, before the first one, which begins at `first`; without one, up to the end.
    pub(crate) fn missing_front(&self, first: Option<Offset>) -> Option<(Offset, Offset)> {
        let behind = first.or(self.end).or(self.least_end)?;
        let begins = match first {
            Some(_) => self.begins?,
            None => self.begins.unwrap_or(self.log_start),
        };
        (!self.is_ours && begins < behind).then(|| (begins, Offset(behind.0 - 1)))
    }

    /// A walk through one of its segments from `position` on, where `expected` stands; `next` is where the next segment
    /// begins.
    pub(crate) fn walk<'s>(
        &self,
        segment: &'s Segment,
        (position, expected): (u64, Offset),
        next: Option<Offset>,
        check: Check,
        unpacked_limit: usize,
    ) -> Walk<'s> {
        let walk = Walk::new(segment, position, expected, check);
        let foreign = Foreign::new(unpacked_limit, !self.is_dense);
        let walk = walk.through_foreign(if self.is_ours { foreign.without_search() } else { foreign });
        let next = next.or(self.next_segment);
        let walk = if next.is_none() { walk.in_last_segment() } else { walk };
        match (next.or(self.end), self.least_end) {
            (Some(end), _) if end >= expected => walk.ending_at(end),
            (_, Some(end)) if end >= expected && next.is_none() => walk.reaching(end),
            _ => walk,
        }
    }

    /// Whether what is wrong from `first` on, up to the end of the last segment, may be what a crash leaves behind what
    /// was synced.
    pub(crate) fn may_be_torn(&self, first: Offset, was_clean: bool) -> bool {
        self.recovery_point.map_or(!was_clean, |synced| first >= synced)
    }
}
