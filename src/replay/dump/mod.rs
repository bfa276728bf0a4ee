//! Shows what stands in a file, in the order of the file, each entry with its place.
//!
//! | file | recognised by | shown by |
//! |---|---|---|
//! | a segment | 20 digits and `.log` | [`segments`] |
//! | its indexes | 20 digits and `.index`, `.timeindex` or `.txnindex` | [`indexes`] |
//! | a producer snapshot, Kafka's checkpoints and texts | 20 digits and `.snapshot`; their names | [`small`] |
//! | a journal of ours, and `positions` | `catalog`, `*.offsets`; `positions` | [`ours`] |
//!
//! Files of a segment may have `.deleted`, `.cleaned` or `.swap` behind their names, journals `.previous`.
//!
//! Nothing is believed because of what stands beside it, no lock is taken, and damage is an entry of its own at its
//! place: behind it the dump goes on where reading would go on.

mod indexes;
mod ours;
mod segments;
mod small;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use crate::coordinator::group::OFFSETS_SUFFIX;
use crate::error::{Error, Result};
use crate::io::{Dir, Disk, File, OsDisk, Reading};
use crate::record::{Batch, BatchHeader, ControlType, Record};
use crate::replay::directory::Bounds;
use crate::storage::{
    AbortedTransaction, CLEAN_SHUTDOWN, LEADER_EPOCHS, META_PROPERTIES, PARTITION_METADATA, POSITIONS, PREVIOUS,
    ProducerState, SNAPSHOT, parse_segment_name,
};
use crate::topics::CATALOG;
use crate::types::{LeaderEpoch, Offset, ReadMode, Timestamp, TopicId, TopicPartition};

/// How much [`dump`] shows.
///
/// ```
/// # use ottla::Engine;
/// # use ottla::replay::{DumpOptions, dump};
/// # use std::ops::ControlFlow;
/// # let data = tempfile::tempdir().expect("a temporary directory");
/// # Engine::open(data.path())?.close()?;
/// let options = DumpOptions::default().records(true).index_check(true).max_unpacked_bytes(1 << 20);
/// let findings = dump(data.path().join("catalog"), &options, |_| ControlFlow::Continue(()))?;
/// assert_eq!(findings, 0);
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct DumpOptions {
    records: bool,
    index_check: bool,
    max_unpacked_bytes: usize,
}

impl Default for DumpOptions {
    fn default() -> Self {
        Self { records: false, index_check: false, max_unpacked_bytes: Batch::DEFAULT_UNPACKED_LIMIT }
    }
}

impl DumpOptions {
    /// Whether the records in each batch are shown behind it. Not by default.
    pub fn records(mut self, records: bool) -> Self {
        self.records = records;
        self
    }

    /// Whether each entry of an index is held against the batches of the segment beside it. Not by default.
    pub fn index_check(mut self, check: bool) -> Self {
        self.index_check = check;
        self
    }

    /// How many bytes the records of one compressed batch may unpack to, 128 MiB by default; a batch of more counts as
    /// damaged.
    pub fn max_unpacked_bytes(mut self, bytes: usize) -> Self {
        self.max_unpacked_bytes = bytes;
        self
    }
}

/// What a file is, by its name.
///
/// ```
/// use ottla::Offset;
/// use ottla::replay::DumpKind;
///
/// assert_eq!(DumpKind::of("00000000000000000042.log"), Some(DumpKind::Segment { base_offset: Offset(42) }));
/// assert_eq!(DumpKind::of("billing.offsets"), Some(DumpKind::GroupJournal));
/// assert_eq!(DumpKind::of("notes.txt"), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "a variant's sentence covers its fields")]
pub enum DumpKind {
    /// Batches from an offset on.
    Segment { base_offset: Offset },
    /// From offsets to places in a segment.
    OffsetIndex { base_offset: Offset },
    /// From times to offsets in a segment.
    TimeIndex { base_offset: Offset },
    /// The aborted transactions that end in a segment.
    TransactionIndex { base_offset: Offset },
    /// What a log that ends at an offset remembers of its producers.
    ProducerSnapshot { end_offset: Offset },
    /// Where each leader epoch of a log began.
    LeaderEpochs,
    /// An offset of each partition of a `log.dir`.
    OffsetCheckpoint,
    /// Which topic a partition belongs to.
    PartitionMetadata,
    /// What a `log.dir` says about itself.
    MetaProperties,
    /// That a `log.dir` was closed cleanly.
    CleanShutdown,
    /// ottla's topics.
    Catalog,
    /// The committed offsets of one of ottla's groups.
    GroupJournal,
    /// How far each of ottla's logs is known to be on the disk.
    Positions,
}

impl DumpKind {
    /// What a file of that name is; `None` if no such file can be dumped.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        if let Some((offset, extension)) = parse_segment_name(without_state(name)) {
            return match extension {
                "log" => Some(Self::Segment { base_offset: offset }),
                "index" => Some(Self::OffsetIndex { base_offset: offset }),
                "timeindex" => Some(Self::TimeIndex { base_offset: offset }),
                "txnindex" => Some(Self::TransactionIndex { base_offset: offset }),
                SNAPSHOT => Some(Self::ProducerSnapshot { end_offset: offset }),
                _ => None,
            };
        }
        match name.strip_suffix(PREVIOUS).unwrap_or(name) {
            CATALOG => return Some(Self::Catalog),
            group if group.len() > OFFSETS_SUFFIX.len() && group.ends_with(OFFSETS_SUFFIX) => {
                return Some(Self::GroupJournal);
            }
            _ => {}
        }
        match name {
            LEADER_EPOCHS => Some(Self::LeaderEpochs),
            PARTITION_METADATA => Some(Self::PartitionMetadata),
            META_PROPERTIES => Some(Self::MetaProperties),
            CLEAN_SHUTDOWN => Some(Self::CleanShutdown),
            POSITIONS => Some(Self::Positions),
            _ => name.ends_with("-offset-checkpoint").then_some(Self::OffsetCheckpoint),
        }
    }
}

impl fmt::Display for DumpKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segment { base_offset } => write!(f, "segment from offset {base_offset} on"),
            Self::OffsetIndex { base_offset } => write!(f, "offset index of the segment from {base_offset} on"),
            Self::TimeIndex { base_offset } => write!(f, "time index of the segment from {base_offset} on"),
            Self::TransactionIndex { base_offset } => {
                write!(f, "transaction index of the segment from {base_offset} on")
            }
            Self::ProducerSnapshot { end_offset } => write!(f, "producers of a log that ends at {end_offset}"),
            Self::LeaderEpochs => f.write_str("leader epochs of a log"),
            Self::OffsetCheckpoint => f.write_str("offsets of partitions"),
            Self::PartitionMetadata => f.write_str("the topic of a partition"),
            Self::MetaProperties => f.write_str("ids of a log.dir"),
            Self::CleanShutdown => f.write_str("marker of a clean shutdown"),
            Self::Catalog => f.write_str("journal of topics"),
            Self::GroupJournal => f.write_str("journal of a group's offsets"),
            Self::Positions => f.write_str("how far each log is on the disk"),
        }
    }
}

/// The name of a segment's file without what a broker puts behind it.
fn without_state(name: &str) -> &str {
    let state = STATES.into_iter().find_map(|state| name.strip_suffix(state));
    state.unwrap_or(name)
}

const STATES: [&str; 3] = [".deleted", ".cleaned", ".swap"];

/// One entry of a file, or what is wrong with it. Positions are in bytes, from the begin of the file.
///
/// ```
/// use std::ops::ControlFlow;
/// use ottla::replay::{DumpOptions, Dumped, dump};
/// # use ottla::{Engine, Producer, ProducerRecord};
///
/// # let data = tempfile::tempdir().expect("a temporary directory");
/// # let engine = Engine::open(data.path())?;
/// # Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
/// let segment = data.path().join("log/orders-0/00000000000000000000.log");
/// let mut seen = Vec::new();
/// dump(segment, &DumpOptions::default().records(true), |entry| {
///     seen.push(match entry {
///         Dumped::File { kind, .. } => kind.to_string(),
///         Dumped::Batch { position, header, .. } => format!("a batch of {} at {position}", header.count),
///         Dumped::Record { record, .. } => String::from_utf8_lossy(record.value().unwrap_or_default()).into_owned(),
///         other => format!("{other:?}"),
///     });
///     ControlFlow::Continue(())
/// })?;
/// assert_eq!(seen, ["segment from offset 0 on", "a batch of 1 at 0", "paid"]);
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
#[expect(missing_docs, reason = "a variant's sentence covers its fields")]
pub enum Dumped<'a> {
    /// What is dumped: the first entry of every file.
    File { kind: DumpKind, len_bytes: u64 },
    /// A batch, or a message or compressed set of the formats before; `is_valid` if its checksum holds. The last sequence
    /// is that of its last record, -1 if there is none.
    Batch { position: u64, header: BatchHeader, is_valid: bool, last_sequence: i32 },
    /// A record of the batch before; its sequence is -1 if there is none.
    Record { record: Record<'a>, sequence: i32 },
    /// A control record of the batch before; the epoch of the coordinator that ended a transaction.
    Control { record: Record<'a>, control: ControlType, coordinator_epoch: Option<i32> },
    /// An entry of an offset index, and what it says of the segment: where the batch begins.
    IndexEntry { position: u64, offset: Offset, batch_position: u64 },
    /// An entry of a time index.
    TimeEntry { position: u64, timestamp: Timestamp, offset: Offset },
    /// So many entries of zeros up to the end of an index: it was never trimmed.
    Untrimmed { position: u64, entries: u64 },
    /// An entry of a transaction index.
    Aborted { position: u64, transaction: AbortedTransaction },
    /// An entry of a producer snapshot.
    Producer { position: u64, state: ProducerState },
    /// A line of a `leader-epoch-checkpoint`.
    LeaderEpoch { position: u64, epoch: LeaderEpoch, start_offset: Offset },
    /// A line of an offset checkpoint.
    Checkpoint { position: u64, partition: TopicPartition, offset: Offset },
    /// A line of `meta.properties` or `partition.metadata`.
    Property { name: &'a str, value: &'a str },
    /// What the marker of a clean shutdown says; older brokers leave it empty.
    CleanShutdown { content: &'a str },
    /// The header of a journal: its id and that of its history, the number of the last frame that the snapshot at its
    /// front stands for, and where that ends.
    Journal { journal_id: [u8; 16], history_id: [u8; 16], base_sequence: u64, snapshot_end: u64 },
    /// A frame of a journal, with its number, which counts on its own in the snapshot; all below `durable_end` was synced
    /// when it was written.
    Frame { position: u64, len_bytes: u64, sequence: u64, in_snapshot: bool, durable_end: u64, content: DumpedFrame },
    /// Half of a slot of `positions`, with how often the slot had been written; the newer half counts.
    Slot { position: u64, topic_id: TopicId, partition: u32, sequence: u32, bounds: Bounds, is_newer: bool },
    /// Something is wrong, at that place if it has one; the offsets that are lost by it, if it is known.
    Finding { position: Option<u64>, offsets: Option<(Offset, Offset)>, detail: String },
}

/// What a frame of a journal says.
///
/// ```
/// use std::ops::ControlFlow;
/// use ottla::replay::{DumpOptions, Dumped, DumpedFrame, dump};
/// # use ottla::{Admin, Engine, NewTopic};
///
/// # let data = tempfile::tempdir().expect("a temporary directory");
/// # let engine = Engine::open(data.path())?;
/// # Admin::new(&engine).create_topic(NewTopic::new("orders"))?;
/// let mut topics = Vec::new();
/// dump(data.path().join("catalog"), &DumpOptions::default(), |entry| {
///     if let Dumped::Frame { content: DumpedFrame::TopicCreated { name, partitions, .. }, .. } = entry {
///         topics.push((name, partitions));
///     }
///     ControlFlow::Continue(())
/// })?;
/// assert_eq!(topics, [("orders".to_owned(), 1)]);
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "a variant's sentence covers its fields")]
pub enum DumpedFrame {
    /// Every partition's leader epoch from now on.
    LeaderEpoch(LeaderEpoch),
    /// A topic was created, with settings that differ from the defaults.
    TopicCreated { name: String, topic_id: TopicId, partitions: u32, config: BTreeMap<String, String> },
    /// A topic was deleted.
    TopicDeleted { topic_id: TopicId },
    /// Whose offsets the journal holds.
    Group { name: String },
    /// Offsets that were committed together.
    Committed(Vec<DumpedCommit>),
    /// What was committed for a topic is forgotten.
    Forgotten { topic_id: TopicId },
    /// What was committed for these partitions is gone: it had expired, or somebody removed it.
    Dropped(Vec<(TopicId, u32)>),
    /// The group has members from here on.
    HasMembers,
    /// Since when the group has none.
    EmptySince(Timestamp),
    /// None that this version knows.
    Unknown { bytes: Vec<u8> },
}

/// A committed offset in a journal of ottla's.
///
/// ```
/// use std::ops::ControlFlow;
/// use std::time::Duration;
/// use ottla::replay::{DumpOptions, Dumped, DumpedFrame, dump};
/// # use ottla::{Consumer, Engine, Offset, Producer, ProducerRecord};
///
/// # let data = tempfile::tempdir().expect("a temporary directory");
/// # let engine = Engine::open(data.path())?;
/// # Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
/// # let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
/// # consumer.subscribe(["orders"])?;
/// # consumer.poll(Duration::from_secs(5))?;
/// # consumer.commit_sync()?;
/// let mut committed = Vec::new();
/// dump(data.path().join("groups/billing.offsets"), &DumpOptions::default(), |entry| {
///     if let Dumped::Frame { content: DumpedFrame::Committed(commits), .. } = entry {
///         committed.extend(commits.iter().map(|commit| (commit.partition, commit.offset)));
///     }
///     ControlFlow::Continue(())
/// })?;
/// assert_eq!(committed, [(0, Offset(1))]);
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DumpedCommit {
    /// Of which topic.
    pub topic_id: TopicId,
    /// Of which of its partitions.
    pub partition: u32,
    /// The next offset to read.
    pub offset: Offset,
    /// That of the record before it.
    pub leader_epoch: LeaderEpoch,
    /// What the consumer wanted to be remembered.
    pub metadata: String,
    /// When it was committed.
    pub commit_timestamp: Timestamp,
}

/// Shows all that stands in a file to `see`, in the order of the file, until it breaks; says how many findings there
/// were. Nothing is changed, and no lock is taken. Kafka: `kafka-dump-log.sh`.
///
/// A segment or an index is read piece by piece, so that a file of any size takes little memory.
///
/// # Errors
/// [`Error::IllegalArgument`] if the name says that it is no file that can be dumped; [`Error::UnsupportedVersion`] for
/// files of ottla's that are of a later version; the operating system's. Damage is no error.
///
/// # Examples
/// ```
/// # use ottla::Error;
/// # use ottla::replay::{DumpOptions, Dumped, dump};
/// # use std::ops::ControlFlow;
/// # let data = tempfile::tempdir().expect("a temporary directory");
/// let path = data.path().join("recovery-point-offset-checkpoint");
/// std::fs::write(&path, "0\n2\norders 0 4711\norders 1 x\n").expect("it can be written");
/// let mut offsets = Vec::new();
/// let findings = dump(&path, &DumpOptions::default(), |entry| {
///     if let Dumped::Checkpoint { offset, .. } = entry {
///         offsets.push(offset.0);
///     }
///     ControlFlow::Continue(())
/// })?;
/// assert_eq!((offsets, findings), (vec![4711], 1));
///
/// let refused = dump(data.path().join("notes.txt"), &DumpOptions::default(), |_| ControlFlow::Continue(()));
/// assert!(matches!(refused, Err(Error::IllegalArgument { .. })));
/// # Ok::<(), Error>(())
/// ```
pub fn dump(
    path: impl AsRef<Path>,
    options: &DumpOptions,
    mut see: impl FnMut(Dumped<'_>) -> ControlFlow<()>,
) -> Result<u64> {
    let path = path.as_ref();
    let name = path.file_name().and_then(|name| name.to_str()).filter(|name| DumpKind::of(name).is_some());
    let Some(name) = name else {
        let reason = format!("{} is none of the files that can be dumped: {NAMES}", path.display());
        return Err(Error::illegal_argument(reason));
    };
    let parent = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or_else(|| Path::new("."));
    let reading = Reading { mode: ReadMode::Buffered, max_open_segments: 4, max_mapped_bytes: 0 };
    let disk = OsDisk::open(parent, false, &reading)?;
    dump_in(&disk.root(), name, options, &mut see)
}

const NAMES: &str = "a segment (20 digits and .log), its .index, .timeindex, .txnindex or .snapshot, \
    leader-epoch-checkpoint, *-offset-checkpoint, partition.metadata, meta.properties, .kafka_cleanshutdown, \
    and of ottla's own catalog, *.offsets and positions";

/// The same of the file `name` in a directory. Its name is one that can be dumped.
pub(crate) fn dump_in(
    dir: &Arc<dyn Dir>,
    name: &str,
    options: &DumpOptions,
    see: &mut dyn FnMut(Dumped<'_>) -> ControlFlow<()>,
) -> Result<u64> {
    let Some(kind) = DumpKind::of(name) else { return Err(Error::illegal_argument(format!("{name}: {NAMES}"))) };
    let file = dir.open(name)?;
    let mut dump = Dump { dir, name, file, options, see, findings: 0 };
    match dump.all(kind) {
        Ok(()) | Err(Stop::Asked) => Ok(dump.findings),
        Err(Stop::Failed(error)) => Err(error),
    }
}

/// Why a dump ends early.
enum Stop {
    Asked,
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

type Outcome<T = ()> = std::result::Result<T, Stop>;

/// A dump at work.
struct Dump<'a> {
    dir: &'a Arc<dyn Dir>,
    name: &'a str,
    file: Arc<dyn File>,
    options: &'a DumpOptions,
    see: &'a mut dyn FnMut(Dumped<'_>) -> ControlFlow<()>,
    findings: u64,
}

impl Dump<'_> {
    fn all(&mut self, kind: DumpKind) -> Outcome {
        self.show(Dumped::File { kind, len_bytes: self.file.len()? })?;
        match kind {
            DumpKind::Segment { base_offset } => self.segment(base_offset),
            DumpKind::OffsetIndex { base_offset } => self.offset_index(base_offset),
            DumpKind::TimeIndex { base_offset } => self.time_index(base_offset),
            DumpKind::TransactionIndex { base_offset } => self.transaction_index(base_offset),
            DumpKind::ProducerSnapshot { .. } => self.snapshot(),
            DumpKind::LeaderEpochs => self.leader_epochs(),
            DumpKind::OffsetCheckpoint => self.offset_checkpoint(),
            DumpKind::PartitionMetadata => self.partition_metadata(),
            DumpKind::MetaProperties => self.meta_properties(),
            DumpKind::CleanShutdown => self.clean_shutdown(),
            DumpKind::Catalog | DumpKind::GroupJournal => self.journal(kind),
            DumpKind::Positions => self.positions(),
        }
    }

    fn show(&mut self, entry: Dumped<'_>) -> Outcome {
        match (self.see)(entry) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Stop::Asked),
        }
    }

    fn found(&mut self, position: u64, detail: impl Into<String>) -> Outcome {
        self.finding(Some(position), None, detail.into())
    }

    fn finding(&mut self, position: Option<u64>, offsets: Option<(Offset, Offset)>, detail: String) -> Outcome {
        self.findings += 1;
        self.show(Dumped::Finding { position, offsets, detail })
    }

    /// An error that is damage is a finding.
    fn found_error(&mut self, error: Error) -> Outcome {
        match error {
            Error::CorruptFile { file_position, reason, .. } => self.found(file_position, &*reason),
            error => Err(Stop::Failed(error)),
        }
    }
}
