//! What opening a directory found, and what it did about it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::storage::journal::JournalFinding;
use crate::storage::positions::PositionsFinding;
use crate::types::{Offset, TopicPartition};

/// One thing that opening found; printed, it is one line.
///
/// ```
/// # use ottla::{Acks, Consumer, Engine, Finding, MemoryDisk, Offset, Producer, ProducerConfig, ProducerRecord};
/// let disk = MemoryDisk::stepped(7);
/// let engine = Engine::builder().open_memory(&disk)?;
/// let config = ProducerConfig::builder().acks(Acks::One).build()?;
/// let producer = Producer::<str, str>::with_config(&engine, config)?;
/// producer.send(ProducerRecord::to("orders").value("paid"))?.wait()?; // written, and not synced
/// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
/// consumer.commit_sync_offsets([(("orders", 0).into(), Offset(1).into())])?; // synced
/// disk.power_cut();
/// # drop((consumer, producer, engine));
///
/// let engine = Engine::builder().open_memory(&disk)?;
/// let resumes_at = engine.report().iter().find_map(|finding| match finding {
///     Finding::Clamped { resumes_at, .. } => Some(*resumes_at),
///     _ => None,
/// });
/// assert_eq!(resumes_at, Some(Offset(0)));
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "a variant's sentence covers its fields")]
pub enum Finding {
    /// The log ended in bytes that were never acknowledged as durable and are no whole batch. They were cut off: so
    /// many `bytes` behind the offset `log_end`. Unless all are zero they were put into the file `quarantine` first.
    Cut { partition: TopicPartition, log_end: Offset, path: PathBuf, bytes: u64, quarantine: Option<PathBuf> },
    /// Batches below the durable end cannot be read any more, those of the offsets `first` to `last`: reading them
    /// gives [`CorruptBatch`](crate::Error::CorruptBatch). `file_position` is in bytes.
    Damaged { partition: TopicPartition, first: Offset, last: Offset, path: PathBuf, file_position: u64 },
    /// A file or directory that can be made again was missing or damaged, and was made again.
    Rebuilt { path: PathBuf, reason: Arc<str> },
    /// Something is wrong with a file of the engine's own state, a journal or `positions`; `detail` names it and says
    /// what was done about it.
    State { path: PathBuf, detail: Arc<str> },
    /// A group had committed beyond where the log ends after a crash; it goes on at the new end, `resumes_at`.
    Clamped { group: Arc<str>, partition: TopicPartition, committed: Offset, resumes_at: Offset },
    /// A directory with records belongs to no topic; it keeps them under another name, `path`, which ends in `-stray`.
    Leftover { path: PathBuf },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut { partition, log_end, path, bytes, quarantine } => {
                write!(f, "{partition}: cut {bytes} bytes behind offset {log_end} off {}", path.display())?;
                match quarantine {
                    Some(kept) => write!(f, ", kept in {}", kept.display()),
                    None => f.write_str(", all zero"),
                }
            }
            Self::Damaged { partition, first, last, path, file_position } => write!(
                f,
                "{partition}: offsets {first} to {last} are damaged, {} at position {file_position}",
                path.display()
            ),
            Self::Rebuilt { path, reason } => write!(f, "{}: rebuilt: {reason}", path.display()),
            Self::State { detail, .. } => f.write_str(detail),
            Self::Clamped { group, partition, committed, resumes_at } => write!(
                f,
                "{partition}: group {group} had committed {committed}, which a crash took; it goes on at {resumes_at}"
            ),
            Self::Leftover { path } => {
                write!(f, "{}: belongs to no topic, and keeps its records under this name", path.display())
            }
        }
    }
}

/// Everything that opening a directory found; empty after a clean shutdown of a healthy one.
///
/// ```
/// # use ottla::{Admin, Engine, MemoryDisk, NewTopic};
/// let disk = MemoryDisk::new();
/// let engine = Engine::builder().open_memory(&disk)?;
/// Admin::new(&engine).create_topic(NewTopic::new("orders"))?;
/// engine.close()?;
/// disk.remove("log/orders-0")?; // somebody tidied up
///
/// let engine = Engine::builder().open_memory(&disk)?;
/// let lines: Vec<_> = engine.report().iter().map(ToString::to_string).collect();
/// assert!(lines.iter().any(|line| line.contains("orders-0: rebuilt")), "{lines:?}");
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    findings: Vec<Finding>,
}

impl OpenReport {
    /// What was found, in the order of discovery.
    pub fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter()
    }

    /// Whether there was nothing to say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    pub(crate) fn push(&mut self, finding: Finding) {
        log::warn!("{finding}");
        self.findings.push(finding);
    }
}

impl From<JournalFinding> for Finding {
    fn from(finding: JournalFinding) -> Self {
        Self::State { detail: finding.to_string().into(), path: finding.path }
    }
}

impl From<PositionsFinding> for Finding {
    fn from(finding: PositionsFinding) -> Self {
        Self::State { detail: finding.to_string().into(), path: finding.path }
    }
}
