//! Reads partitions for consumers.

use std::sync::Arc;

use crate::error::Result;
use crate::record::Batch;
use crate::replication::Partition;
use crate::storage::ReadPlace;
use crate::types::Offset;

/// A reader of one partition. It remembers where in the files it was, so reading on needs no index.
#[derive(Debug)]
pub(crate) struct Cursor {
    partition: Arc<Partition>,
    place: Option<ReadPlace>,
}

impl Cursor {
    pub(crate) fn new(partition: Arc<Partition>) -> Self {
        Self { partition, place: None }
    }

    pub(crate) fn partition(&self) -> &Arc<Partition> {
        &self.partition
    }

    /// Whole, checked batches from the one that holds `position` on: about `max_bytes`, at least one if there is one
    /// below the high watermark, none at it.
    ///
    /// # Errors
    /// `OffsetOutOfRange`; `CorruptBatch` if `position` lies in damage (what stands before damage is answered first);
    /// `UnknownTopicId` if the topic was deleted; `Io`.
    pub(crate) fn read(&mut self, position: Offset, max_bytes: usize) -> Result<Vec<Batch>> {
        self.partition.read(&mut self.place, position, max_bytes)
    }
}
