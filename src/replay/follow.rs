//! Reads one partition that somebody else writes, and follows it.
//!
//! A reader has no lock and no signal, only the files. What makes that safe is the order in which an owner works, and
//! that each read is confirmed after it was made. For each log the owner keeps a slot in `positions`: topic id, leader
//! epoch, log start, high watermark, durable end.
//!
//! | the owner | in this order | so a reader that sees |
//! |---|---|---|
//! | appends | bytes into the segment, then the high watermark into the slot, once `acks` allow it | the watermark, sees whole batches below it, and nothing at or above it counts |
//! | rolls | the new file, batches in it, the slot | the watermark, finds the file if it lists the directory after that |
//! | is killed, or closed | nothing | the slot as it was: all below the watermark stands in the page cache |
//! | recovers a log | lowers the slot, cuts the file, notes the next epoch and where it begins, writes the slot with that epoch, appends | the old epoch in the slot, sees nothing that was appended in the next one |
//! | deletes a topic | the catalog, empties the slot, renames the directory, removes it | the topic's id in the directory, had only files of that topic before |
//!
//! Hence a read is: take the watermark; read below it; look at the slot and the directory again. The batches count if
//! the epoch is the same, the watermark has not sunk below them, and the directory is still the topic's. Otherwise they
//! are dropped, unseen, and the reader looks again: in a new epoch it finds out from `leader-epoch-checkpoint` where its
//! own one ended, and a position behind that is [`LogTruncated`](Error::LogTruncated); without the topic there is
//! [`UnknownTopicId`](Error::UnknownTopicId).
//!
//! What stands there and is no batch means one of three things:
//!
//! | the bad place | means |
//! |---|---|
//! | is a batch after a pause, or lies behind the watermark by then | the list of segments was old, or the owner is cutting: read on |
//! | stays, and lies below the durable end | rot: [`CorruptBatch`](Error::CorruptBatch) names offsets, file and place |
//! | stays, and lies at or above it | a power cut took what was never promised to be there: the log ends for now, until an owner opens it |
//!
//! A segment that is gone though its offsets should be there is treated alike.

use std::fmt;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::record::{Batch, BatchFault, BatchHeader, Decompressor};
use crate::replay::directory::{Bounds, Directory, LOOKS, PAUSE};
use crate::replay::records::StoredRecords;
use crate::storage::{LeaderEpochs, Log, Position, ReadPlace};
use crate::types::{LeaderEpoch, Offset, Timestamp, TopicId, TopicPartition};

/// How long a reader at the end waits before it looks again: at first, and at most.
const WAITS: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(20)];
/// How much the batches of one read unpack to, about: a few bytes may become very many.
const UNPACKED_BYTES: usize = 16 * 1024 * 1024;
/// How much one read of [`PartitionReader::poll`] asks for.
const POLL_BYTES: usize = 1024 * 1024;

/// Reads a partition of a [`Directory`], from any offset or time up to the high watermark, and on from there as it grows.
///
/// It reads what consumers read, and sees it a moment later. It belongs to no group and remembers nothing. When its
/// owner cuts the log after a crash, deletes the topic, or something is damaged, it says so; what it returns was there.
///
/// ```
/// # use ottla::replay::Directory;
/// # use ottla::{Engine, Offset, Producer, ProducerRecord};
/// # use std::time::Duration;
/// # let data = tempfile::tempdir().expect("a temporary directory");
/// # let engine = Engine::open(data.path())?;
/// let producer = Producer::<str, str>::new(&engine)?;
/// producer.send(ProducerRecord::to("orders").value("made"))?.wait()?;
///
/// let mut reader = Directory::open(data.path())?.reader(&("orders", 0).into())?;
/// assert_eq!(reader.read(1 << 20)?.iter().count(), 1);
/// assert!(reader.read(1 << 20)?.is_empty()); // that was all
/// producer.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
/// let more = reader.poll(Duration::from_secs(10))?;
/// assert_eq!(more.iter().map(|record| record.offset()).collect::<Vec<_>>(), [Offset(1)]);
/// # Ok::<(), ottla::Error>(())
/// ```
pub struct PartitionReader {
    directory: Directory,
    partition: TopicPartition,
    topic_id: TopicId,
    position: Offset,
    /// The slot as it was when it was looked at last. Everything before the position was read, or asked for, in its epoch
    /// or an earlier one.
    known: Position,
    /// Whether it has to be looked at before anything is read.
    is_stale: bool,
    log: Option<Log>,
    place: Option<ReadPlace>,
    ends_early: Option<Error>,
    decompressor: Decompressor,
    max_unpacked_bytes: usize,
}

impl PartitionReader {
    pub(super) fn new(directory: Directory, partition: TopicPartition, topic_id: TopicId, known: Position) -> Self {
        Self {
            directory,
            partition,
            topic_id,
            position: known.log_start,
            known,
            is_stale: false,
            log: None,
            place: None,
            ends_early: None,
            decompressor: Decompressor::default(),
            max_unpacked_bytes: Batch::DEFAULT_UNPACKED_LIMIT,
        }
    }

    /// The partition that it reads.
    #[must_use]
    pub fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// What tells its topic from another one that has, or had, the name.
    #[must_use]
    pub fn topic_id(&self) -> TopicId {
        self.topic_id
    }

    /// The next offset that it reads.
    #[must_use]
    pub fn position(&self) -> Offset {
        self.position
    }

    /// How many bytes the records of one compressed batch may unpack to, 128 MiB at first. A larger one is an error at
    /// its own offsets.
    pub fn set_max_unpacked_bytes(&mut self, bytes: usize) {
        self.max_unpacked_bytes = bytes;
    }

    /// The bounds of the partition now. Blocks for a small read.
    ///
    /// # Errors
    /// [`Error::UnknownTopicId`] if the topic was deleted; else as [`Directory::bounds`].
    ///
    /// # Examples
    /// ```
    /// # use ottla::replay::Directory;
    /// # use ottla::{Engine, MemoryDisk, Offset, Producer, ProducerRecord};
    /// # let disk = MemoryDisk::new();
    /// # let engine = Engine::builder().open_memory(&disk)?;
    /// # let producer = Producer::<str, str>::new(&engine)?;
    /// producer.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
    /// let reader = Directory::open_memory(&disk)?.reader(&("orders", 0).into())?;
    /// producer.send(ProducerRecord::to("orders").value("sent"))?.wait()?;
    /// assert_eq!(reader.bounds()?.high_watermark, Offset(2));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn bounds(&self) -> Result<Bounds> {
        self.directory.look(self.topic_id, &self.partition).map(Bounds::from)
    }

    /// Goes on at `offset`, wherever that is: a read before the log start is an error, one behind the end finds nothing
    /// until the log has got there.
    ///
    /// # Examples
    /// ```
    /// # use ottla::replay::Directory;
    /// # use ottla::{Engine, MemoryDisk, Offset, Producer, ProducerRecord};
    /// # let disk = MemoryDisk::new();
    /// # let engine = Engine::builder().open_memory(&disk)?;
    /// # let producer = Producer::<str, str>::new(&engine)?;
    /// for value in ["made", "paid", "sent"] {
    ///     producer.send(ProducerRecord::to("orders").value(value))?.wait()?;
    /// }
    /// let mut reader = Directory::open_memory(&disk)?.reader(&("orders", 0).into())?;
    /// reader.seek(Offset(2));
    /// assert_eq!(reader.read(1 << 20)?.iter().next().and_then(|record| record.value()), Some(&b"sent"[..]));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn seek(&mut self, offset: Offset) {
        self.position = offset;
        self.ends_early = None;
    }

    /// The first record at or behind the time `at` by its timestamp, and that; `None` if there is none below the high
    /// watermark. Damage where it may lie is an error. Blocks for reading files. The position stays.
    ///
    /// # Errors
    /// [`Error::IllegalArgument`] for a negative time; [`Error::CodecNotCompiled`] if the answer lies in a batch that this
    /// build cannot unpack; [`Error::UnknownTopicId`] if the topic was deleted; [`Error::LogTruncated`] as for
    /// [`read`](Self::read); [`Error::Timeout`] if the log is being recovered all the while; else as
    /// [`Directory::bounds`].
    ///
    /// # Examples
    /// ```
    /// # use ottla::replay::Directory;
    /// # use ottla::{Engine, MemoryDisk, Offset, Producer, ProducerRecord, Timestamp};
    /// # let disk = MemoryDisk::new();
    /// # let engine = Engine::builder().open_memory(&disk)?;
    /// # let producer = Producer::<str, str>::new(&engine)?;
    /// for at in [1000, 2000, 3000] {
    ///     producer.send(ProducerRecord::to("orders").value("x").timestamp(Timestamp(at)))?.wait()?;
    /// }
    /// let mut reader = Directory::open_memory(&disk)?.reader(&("orders", 0).into())?;
    /// assert_eq!(reader.offset_for_time(Timestamp(1500))?, Some((Offset(1), Timestamp(2000))));
    /// assert_eq!(reader.offset_for_time(Timestamp(3001))?, None);
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn offset_for_time(&mut self, at: Timestamp) -> Result<Option<(Offset, Timestamp)>> {
        if at < Timestamp(0) {
            return Err(Error::illegal_argument(format!("{at} is no time to look for")));
        }
        let mut looks = 0;
        loop {
            self.look()?;
            self.forget(); // a segment that an old view does not list could be the one
            let bound = self.known.high_watermark;
            let found = self.view().and_then(|log| log.offset_for_time(at, bound));
            self.is_stale = true;
            match found {
                Ok(found) if self.is_confirmed(found.map_or(bound, |(offset, _)| offset.next()))? => return Ok(found),
                Err(error) if looks == LOOKS => return Err(error),
                _ if looks == LOOKS => return Err(Error::Timeout { what: "looking a time up", waited: LOOKS * PAUSE }),
                _ => looks += 1,
            }
            self.directory.pause();
        }
    }

    /// Reads whole batches from the position on, about `max_bytes` of them, at least one if there is one below the high
    /// watermark; the position moves behind them. Nothing if it is there. Blocks for reading files, and up to 60 ms more
    /// where something is not as it should be, since an owner may be about to mend it.
    ///
    /// # Errors
    /// - [`Error::CorruptBatch`]: the position lies in damage; what stands before that was returned, and a
    ///   [`seek`](Self::seek) past its `last` reads on. Also for a batch whose records are none;
    /// - [`Error::CodecNotCompiled`]: the batch there needs a codec that this build lacks;
    /// - [`Error::LogTruncated`]: a crash took what was read last, and its owner has cut it off; said once, the next read
    ///   goes on where the log does;
    /// - [`Error::OffsetOutOfRange`]: the position lies before the log start;
    /// - [`Error::UnknownTopicId`]: the topic was deleted, whether or not another one has its name now;
    /// - what reading files gives, and [`Directory::bounds`].
    ///
    /// The position stays where it was after all of these but `LogTruncated`.
    ///
    /// # Examples
    /// ```
    /// # use ottla::replay::Directory;
    /// # use ottla::{Admin, Engine, Error, MemoryDisk, Producer, ProducerRecord};
    /// # let disk = MemoryDisk::new();
    /// # let engine = Engine::builder().open_memory(&disk)?;
    /// # let producer = Producer::<str, str>::new(&engine)?;
    /// producer.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
    /// let mut reader = Directory::open_memory(&disk)?.reader(&("orders", 0).into())?;
    /// assert_eq!(reader.read(1 << 20)?.iter().count(), 1);
    /// Admin::new(&engine).delete_topic("orders")?;
    /// assert!(matches!(reader.read(1 << 20), Err(Error::UnknownTopicId { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn read(&mut self, max_bytes: usize) -> Result<StoredRecords> {
        let from = self.position;
        let stored = self.read_stored(max_bytes)?;
        let most = max_bytes.max(UNPACKED_BYTES);
        let (mut batches, mut bytes) = (Vec::with_capacity(stored.len()), 0);
        for batch in stored {
            let header = *batch.header();
            let unpacked = (bytes < most).then(|| self.unpack(batch));
            if let Some(Ok(batch)) = unpacked {
                bytes += batch.records_len_bytes();
                batches.push(batch);
                continue;
            }
            self.position = header.base_offset.max(from); // the next read begins here, and fails if this one did
            self.place = None;
            match unpacked {
                Some(Err(fault)) if batches.is_empty() => return Err(self.unreadable(&header, &fault)),
                _ => break,
            }
        }
        Ok(StoredRecords::new(self.partition.clone(), from, batches))
    }

    /// The same as [`read`](Self::read), a megabyte at a time, but at the end it waits until there is more, for no longer
    /// than `timeout`. Nothing tells it of that: it looks every few milliseconds.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    ///
    /// # Examples
    /// ```
    /// # use ottla::replay::Directory;
    /// # use ottla::{Admin, Engine, MemoryDisk, NewTopic};
    /// # use std::time::Duration;
    /// # let disk = MemoryDisk::new();
    /// # let engine = Engine::builder().open_memory(&disk)?;
    /// # Admin::new(&engine).create_topic(NewTopic::new("orders"))?;
    /// let mut reader = Directory::open_memory(&disk)?.reader(&("orders", 0).into())?;
    /// assert!(reader.poll(Duration::from_millis(5))?.is_empty());
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn poll(&mut self, timeout: Duration) -> Result<StoredRecords> {
        let deadline = self.directory.elapsed().saturating_add(timeout);
        let [mut wait, most] = WAITS;
        loop {
            let records = self.read(POLL_BYTES)?;
            let left = deadline.saturating_sub(self.directory.elapsed());
            if !records.is_empty() || left.is_zero() {
                return Ok(records);
            }
            self.directory.wait(wait.min(left));
            wait = (2 * wait).min(most);
        }
    }

    /// Why the last read found nothing though the high watermark lies further on: what stands there is no batch, and no
    /// sync had covered it. It is what a power cut leaves, and the next opening by an engine cuts it off.
    ///
    /// # Examples
    /// ```
    /// # use ottla::replay::Directory;
    /// # use ottla::{Acks, Engine, MemoryDisk, Producer, ProducerConfig, ProducerRecord};
    /// # let disk = MemoryDisk::new();
    /// # let engine = Engine::builder().open_memory(&disk)?;
    /// let config = ProducerConfig::builder().acks(Acks::One).build()?;
    /// let quick = Producer::<str, str>::with_config(&engine, config)?;
    /// quick.send(ProducerRecord::to("orders").value("paid"))?.wait()?; // written, and not synced
    /// let mut reader = Directory::open_memory(&disk)?.reader(&("orders", 0).into())?;
    /// disk.flip_bit("log/orders-0/00000000000000000000.log", 65, 0)?;
    /// assert!(reader.read(1 << 20)?.is_empty());
    /// assert!(reader.ends_early().is_some_and(|why| why.is_corruption()));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    #[must_use]
    pub fn ends_early(&self) -> Option<&Error> {
        self.ends_early.as_ref()
    }

    /// Whole batches as they are stored, confirmed.
    fn read_stored(&mut self, max_bytes: usize) -> Result<Vec<Batch>> {
        self.ends_early = None;
        let mut looks = 0;
        loop {
            if self.is_stale || self.position >= self.known.high_watermark {
                self.look()?;
            }
            if self.position >= self.known.high_watermark {
                return Ok(Vec::new());
            }
            let failed = match self.read_once(max_bytes) {
                Ok(batches) => {
                    let end = batches.last().map_or(self.position, |last| last.header().next_offset());
                    if self.is_confirmed(end)? {
                        self.position = self.position.max(end);
                        return Ok(batches);
                    }
                    None
                }
                Err(error) => Some(error),
            };
            self.forget();
            if looks == LOOKS {
                return self.give_up(failed);
            }
            if looks > 0 {
                self.directory.pause(); // not before the first: the list of segments may have been old, nothing else
            }
            looks += 1;
        }
    }

    fn read_once(&mut self, max_bytes: usize) -> Result<Vec<Batch>> {
        let (from, bound) = (self.position, self.known.high_watermark);
        let mut place = self.place.take();
        let read = self.view()?.read(&mut place, from, bound, max_bytes.max(1));
        self.place = place;
        read
    }

    /// The log as it is known, with a fresh list of its segments if there is none.
    fn view(&mut self) -> Result<&Log> {
        let log = match self.log.take() {
            Some(log) => log,
            None => {
                let dir = self.directory.partition_dir(self.topic_id, &self.partition)?;
                Log::view(&dir, self.partition.clone(), &self.known)?
            }
        };
        Ok(self.log.insert(log))
    }

    /// Whether what was read up to `end` counts: see the top of this file.
    fn is_confirmed(&self, end: Offset) -> Result<bool> {
        let now = self.directory.look(self.topic_id, &self.partition)?;
        let is_same = now.leader_epoch == self.known.leader_epoch && end <= now.high_watermark;
        // Behind all that was read. An error says that the topic is gone.
        self.directory.partition_dir(self.topic_id, &self.partition).map(|_| is_same)
    }

    /// Takes note of where the log stands now.
    ///
    /// # Errors
    /// [`Error::LogTruncated`] if the position was cut off; it has moved then.
    fn look(&mut self) -> Result<()> {
        let now = self.directory.look(self.topic_id, &self.partition)?;
        let end = if now.leader_epoch == self.known.leader_epoch {
            None
        } else {
            let end = self.end_of_epoch(self.known.leader_epoch, &now)?;
            self.forget();
            Some(end)
        };
        let has_moved = now != self.known;
        self.known = now;
        self.is_stale = false;
        if has_moved
            && let Some(log) = &self.log
            && log.follow(&now).is_err()
        {
            (self.log, self.place) = (None, None); // the segment is gone: the next view tells more
        }
        match end.filter(|end| *end < self.position) {
            None => Ok(()),
            Some(resumed_at) => {
                let requested = std::mem::replace(&mut self.position, resumed_at);
                Err(Error::LogTruncated { partition: self.partition.clone(), requested, resumed_at })
            }
        }
    }

    /// Where `epoch` ended, now that there is a later one.
    fn end_of_epoch(&self, epoch: LeaderEpoch, now: &Position) -> Result<Offset> {
        let dir = self.directory.partition_dir(self.topic_id, &self.partition)?;
        let (epochs, _) = LeaderEpochs::load(dir.as_ref())?;
        Ok(epochs.end_offset_for(epoch, now.high_watermark).map_or(now.high_watermark, |(_, end)| end))
    }

    /// What was known may be old.
    fn forget(&mut self) {
        (self.log, self.place, self.is_stale) = (None, None, true);
    }

    /// It stays as it is.
    fn give_up(&mut self, failed: Option<Error>) -> Result<Vec<Batch>> {
        match failed {
            Some(error @ Error::CorruptBatch { first, .. }) if first >= self.known.durable_end => {
                self.ends_early = Some(error);
                Ok(Vec::new())
            }
            Some(error) => Err(error),
            None => Ok(Vec::new()), // the owner is at it all the time: nothing can be said now
        }
    }

    fn unpack(&mut self, batch: Batch) -> Result<Batch, BatchFault> {
        let batch = batch.unpack_with(&mut self.decompressor, self.max_unpacked_bytes)?;
        batch.records()?.try_for_each(|record| record.map(drop))?;
        Ok(batch)
    }

    /// The checksum of the batch held, and yet its records cannot be read.
    fn unreadable(&mut self, header: &BatchHeader, fault: &BatchFault) -> Error {
        let (first, last) = (header.base_offset, header.last_offset());
        if let BatchFault::CodecNotCompiled { codec } = *fault {
            return Error::CodecNotCompiled { partition: self.partition.clone(), first, last, codec };
        }
        let reason = match fault {
            BatchFault::Oversized { .. } => format!("{fault}: allow it more (max.decompressed.batch.bytes) to read it"),
            fault => fault.to_string(),
        };
        match self.view() {
            Ok(log) => log.unreadable(header, reason),
            Err(error) => error,
        }
    }
}

impl fmt::Debug for PartitionReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartitionReader")
            .field("partition", &self.partition)
            .field("position", &self.position)
            .field("known", &self.known)
            .finish_non_exhaustive()
    }
}
