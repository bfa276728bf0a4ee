//! What a read gives: whole batches, and the records in them that were asked for.

use std::fmt;

use crate::record::{Batch, Record, Records};
use crate::types::{Offset, TopicPartition};

/// Records of one partition, in the order of their offsets. They own their bytes: they outlive reader and directory.
///
/// ```
/// # use ottla::replay::Directory;
/// # use ottla::{Engine, MemoryDisk, Offset, Producer, ProducerRecord};
/// # let disk = MemoryDisk::new();
/// # let engine = Engine::builder().open_memory(&disk)?;
/// # let producer = Producer::<str, str>::new(&engine)?;
/// for value in ["made", "paid", "sent"] {
///     producer.send(ProducerRecord::to("orders").value(value))?; // one batch
/// }
/// producer.flush()?;
/// let mut reader = Directory::open_memory(&disk)?.reader(&("orders", 0).into())?;
/// reader.seek(Offset(1));
/// let records = reader.read(1 << 20)?;
/// let values: Vec<_> = records.iter().filter_map(|record| record.value()).collect();
/// assert_eq!(values, [b"paid", b"sent"]);
/// assert_eq!(records.batches()[0].header().base_offset, Offset(0)); // batches are whole
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone)]
pub struct StoredRecords {
    partition: TopicPartition,
    /// Records below it were not asked for.
    from: Offset,
    /// Unpacked, and every record of them was decoded once.
    batches: Vec<Batch>,
}

impl StoredRecords {
    pub(super) fn new(partition: TopicPartition, from: Offset, batches: Vec<Batch>) -> Self {
        Self { partition, from, batches }
    }

    /// Where they are from.
    #[must_use]
    pub fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// Whether nothing was read: the reader is at the end.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// The batches that they are in, whole: the first one may begin before what was asked for. Control batches, the
    /// markers of transactions, are among them.
    #[must_use]
    pub fn batches(&self) -> &[Batch] {
        &self.batches
    }

    /// The records, without those of control batches.
    #[must_use]
    pub fn iter(&self) -> StoredIter<'_> {
        StoredIter { from: self.from, batches: self.batches.iter(), records: None }
    }
}

impl<'a> IntoIterator for &'a StoredRecords {
    type Item = Record<'a>;
    type IntoIter = StoredIter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Debug for StoredRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ends = self.batches.first().zip(self.batches.last());
        let ends = ends.map(|(first, last)| (self.from.max(first.header().base_offset), last.header().last_offset()));
        f.debug_struct("StoredRecords").field("partition", &self.partition).field("offsets", &ends).finish()
    }
}

/// Iterates over [`StoredRecords`].
///
/// ```
/// # use ottla::replay::Directory;
/// # use ottla::{Engine, MemoryDisk, Producer, ProducerRecord};
/// # let disk = MemoryDisk::new();
/// # let engine = Engine::builder().open_memory(&disk)?;
/// # Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").key("o-17").value("paid"))?.wait()?;
/// let records = Directory::open_memory(&disk)?.reader(&("orders", 0).into())?.read(1 << 20)?;
/// let mut iter = records.iter();
/// assert_eq!(iter.next().and_then(|record| record.key()), Some(&b"o-17"[..]));
/// assert!(iter.next().is_none());
/// # Ok::<(), ottla::Error>(())
/// ```
pub struct StoredIter<'a> {
    from: Offset,
    batches: std::slice::Iter<'a, Batch>,
    records: Option<Records<'a>>,
}

impl<'a> Iterator for StoredIter<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        loop {
            // All of them were decoded when they were read, so none fails now.
            for record in self.records.iter_mut().flatten().flatten() {
                if record.offset() >= self.from {
                    return Some(record);
                }
            }
            let batch = self.batches.find(|batch| !batch.header().is_control())?;
            self.records = batch.records().ok();
        }
    }
}

impl fmt::Debug for StoredIter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredIter").field("batches", &self.batches.len()).finish_non_exhaustive()
    }
}
