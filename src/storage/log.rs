//! One replica of one partition: its state, and the order in which that changes.
//!
//! One thread appends, the directory's writer; any number of threads read, without a lock. They agree by the order of
//! a few stores: bytes into the file, then the segment's end, then the log end, then (in `replication`) the high
//! watermark. Whoever reads the watermark first and the rest after it sees whole batches only. The list of segments
//! is replaced, never changed, so a reader keeps the one that it began with.
//!
//! ```text
//! log_start <= high_watermark <= log_end;  durable_end <= log_end
//! ```

use std::sync::atomic::{AtomicI32, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;

use crate::error::Result;
use crate::io::{Dir, SyncTarget};
use crate::storage::checkpoint::write_partition_metadata;
use crate::storage::config::TopicConfig;
use crate::storage::leader_epochs::LeaderEpochs;
use crate::storage::producer_state::has_only_snapshot;
use crate::storage::producers::Producers;
use crate::storage::segment::{IndexFiller, Segment};
use crate::storage::walk::EpochBounds;
use crate::sync::lock;
use crate::types::{LeaderEpoch, Offset, Timestamp, TopicId, TopicPartition};

/// The segments of a log by base offset. There is always one; the last is active.
pub(crate) type Segments = Vec<Arc<Segment>>;

/// A partition's log in one directory.
#[derive(Debug)]
pub(crate) struct Log {
    pub(super) name: TopicPartition,
    pub(super) dir: Arc<dyn Dir>,
    pub(super) config: Arc<TopicConfig>,
    pub(super) segments: ArcSwap<Segments>,
    pub(super) epochs: ArcSwap<LeaderEpochs>,
    pub(super) leader_epoch: AtomicI32,
    pub(super) log_start: AtomicI64,
    pub(super) log_end: AtomicI64,
    pub(super) durable_end: AtomicI64,
    pub(super) tail: Mutex<Tail>,
}

/// What only appending and syncing need.
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) filler: IndexFiller,
    /// Of the active segment's first batch, if that has one.
    pub(super) first_timestamp: Option<Timestamp>,
    /// When the active segment was begun.
    pub(super) begun_at: Timestamp,
    /// Up to the log end.
    pub(super) producers: Producers,
    /// Segments that may have bytes no sync has covered, oldest first.
    pub(super) unsynced: Vec<Arc<Segment>>,
    /// How many names were made in the directory, and how many of them a sync of it has covered.
    pub(super) names: u64,
    pub(super) names_synced: u64,
    /// Segments that were sealed since opening, and all that were before a crash: nobody has synced their index files.
    pub(super) indexes_unsynced: Vec<Offset>,
    /// The log end that a clean shutdown left, if this log was opened after one: all that goes with it is on the disk.
    pub(super) closed_at: Option<Offset>,
}

/// What has to be synced so that everything below `end` is durable.
#[derive(Debug)]
pub(crate) struct SyncWork {
    pub(crate) targets: Vec<SyncTarget>,
    pub(crate) end: Offset,
    marks: Vec<(Arc<Segment>, u64)>,
    names: u64,
}

impl Log {
    /// Makes the log of a new partition in `dir`: empty, all of it durable but the name of `dir` itself.
    pub(crate) fn create(
        dir: &Arc<dyn Dir>,
        name: TopicPartition,
        id: TopicId,
        config: Arc<TopicConfig>,
        epoch: LeaderEpoch,
        now: Timestamp,
    ) -> Result<Self> {
        write_partition_metadata(dir.as_ref(), id)?;
        let mut epochs = LeaderEpochs::default();
        epochs.assign(epoch, Offset::ZERO);
        epochs.store(dir.as_ref())?;
        let active = Segment::create(dir, Offset::ZERO, u64::from(config.index_interval_bytes))?;
        active.let_go(); // of many partitions that are created some are never written to
        dir.sync()?; // the segment's name
        let parts = Parts {
            segments: vec![Arc::new(active)],
            epochs,
            epoch,
            log_start: Offset::ZERO,
            log_end: Offset::ZERO,
            producers: Producers::none_below(Offset::ZERO),
            indexes_unsynced: Vec::new(),
            closed_at: None,
        };
        let filler = IndexFiller::new(u64::from(config.index_interval_bytes));
        Ok(Self::from_parts(dir, name, config, parts, filler, None, now))
    }

    pub(super) fn from_parts(
        dir: &Arc<dyn Dir>,
        name: TopicPartition,
        config: Arc<TopicConfig>,
        parts: Parts,
        filler: IndexFiller,
        first_timestamp: Option<Timestamp>,
        now: Timestamp,
    ) -> Self {
        let tail = Tail {
            filler,
            first_timestamp,
            begun_at: now,
            producers: parts.producers,
            unsynced: Vec::new(),
            names: 0,
            names_synced: 0,
            indexes_unsynced: parts.indexes_unsynced,
            closed_at: parts.closed_at,
        };
        Self {
            name,
            dir: Arc::clone(dir),
            config,
            segments: ArcSwap::from_pointee(parts.segments),
            epochs: ArcSwap::from_pointee(parts.epochs),
            leader_epoch: AtomicI32::new(parts.epoch.0),
            log_start: AtomicI64::new(parts.log_start.0),
            log_end: AtomicI64::new(parts.log_end.0),
            durable_end: AtomicI64::new(parts.log_end.0),
            tail: Mutex::new(tail),
        }
    }

    pub(crate) fn name(&self) -> &TopicPartition {
        &self.name
    }

    pub(crate) fn config(&self) -> &TopicConfig {
        &self.config
    }

    /// The first offset that can be read.
    pub(crate) fn log_start(&self) -> Offset {
        Offset(self.log_start.load(Ordering::Acquire))
    }

    /// The offset of the next record to be appended.
    pub(crate) fn log_end(&self) -> Offset {
        Offset(self.log_end.load(Ordering::Acquire))
    }

    /// Every offset below it was synced, names included.
    pub(crate) fn durable_end(&self) -> Offset {
        Offset(self.durable_end.load(Ordering::Acquire))
    }

    /// The epoch that appended batches get.
    pub(crate) fn leader_epoch(&self) -> LeaderEpoch {
        LeaderEpoch(self.leader_epoch.load(Ordering::Acquire))
    }

    /// Begins a new leader epoch at the log end; its file is durable when this returns, so before the first append.
    pub(crate) fn begin_epoch(&self, epoch: LeaderEpoch) -> Result<()> {
        let mut epochs = LeaderEpochs::clone(&self.epochs.load());
        epochs.assign(epoch, self.log_end());
        epochs.store(self.dir.as_ref())?;
        self.epochs.store(Arc::new(epochs));
        self.leader_epoch.store(epoch.0, Ordering::Release);
        Ok(())
    }

    /// The epoch of the record before `offset`: what a commit of `offset` was read under.
    pub(crate) fn epoch_before(&self, offset: Offset) -> LeaderEpoch {
        let before = Offset(offset.0.saturating_sub(1));
        self.epochs.load().epoch_at(before).unwrap_or(LeaderEpoch::NONE)
    }

    /// The smaller of `offset` and the end of `epoch`: where to go on after a crash may have cut the log.
    pub(crate) fn resume_at(&self, offset: Offset, epoch: LeaderEpoch) -> Offset {
        let end = self.epochs.load().end_offset_for(epoch, self.log_end());
        end.map_or(offset, |(_, end)| offset.min(end))
    }

    pub(super) fn epoch_bounds(&self) -> EpochBounds {
        EpochBounds { starts: self.epochs.load_full(), latest: self.leader_epoch() }
    }

    /// How many bytes the batches take.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.segments.load().iter().map(|segment| segment.end()).sum()
    }

    pub(crate) fn segment_count(&self) -> usize {
        self.segments.load().len()
    }

    /// What to sync so that everything appended so far is durable; `None` if it is.
    ///
    /// Files of older segments count too, and the directory if it has a name that no sync covered: a batch is not
    /// durable before its file's name is.
    pub(crate) fn sync_work(&self) -> Option<SyncWork> {
        let tail = lock(&self.tail);
        let end = self.log_end();
        let marks: Vec<_> = tail
            .unsynced
            .iter()
            .map(|segment| (Arc::clone(segment), segment.end()))
            .filter(|(segment, end)| segment.synced_to() < *end)
            .collect();
        let mut targets = Vec::with_capacity(marks.len() + 1);
        for (segment, _) in &marks {
            // A segment with unsynced bytes was written to, so its file is open.
            if let Ok(file) = segment.writable() {
                targets.push(SyncTarget::File(file));
            }
        }
        if tail.names_synced < tail.names {
            targets.push(SyncTarget::Dir(Arc::clone(&self.dir)));
        }
        (!targets.is_empty()).then_some(SyncWork { targets, end, marks, names: tail.names })
    }

    /// `work` has been synced.
    pub(crate) fn finish_sync(&self, work: &SyncWork) {
        for (segment, end) in &work.marks {
            segment.mark_synced(*end);
        }
        let mut tail = lock(&self.tail);
        tail.names_synced = tail.names_synced.max(work.names);
        tail.unsynced.retain(|segment| segment.synced_to() < segment.end());
        drop(tail);
        self.durable_end.fetch_max(work.end.0, Ordering::AcqRel);
    }

    /// Closes a log all of whose batches are durable: what a clean shutdown leaves for the next opening, and for
    /// Kafka, is written and synced. Costs no sync if it is there already: of many logs only some are appended to.
    pub(crate) fn close(&self) -> Result<()> {
        let mut tail = lock(&self.tail);
        let segments = self.segments.load();
        let active = segments.last().expect("a log has a segment");
        tail.filler.finish(active.indexes()?);
        if tail.closed_at == Some(self.log_end())
            && active.has_stored_indexes()?
            && has_only_snapshot(self.dir.as_ref(), self.log_end())?
        {
            return Ok(());
        }
        for segment in segments.iter().filter(|segment| tail.indexes_unsynced.contains(&segment.base_offset())) {
            segment.sync_indexes(true)?; // of those before a crash nobody knows: they are written again
        }
        active.sync_indexes(false)?; // which may have grown since its files were written
        tail.indexes_unsynced.clear();
        // Last, since it syncs the directory, and with it the names of all of them.
        tail.producers.store(self.dir.as_ref())
    }
}

/// What a log is made of when it is opened.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) segments: Segments,
    pub(super) epochs: LeaderEpochs,
    pub(super) epoch: LeaderEpoch,
    pub(super) log_start: Offset,
    pub(super) log_end: Offset,
    pub(super) producers: Producers,
    /// Sealed segments whose index files are not known to be good.
    pub(super) indexes_unsynced: Vec<Offset>,
    /// The log end, if a clean shutdown left it.
    pub(super) closed_at: Option<Offset>,
}
