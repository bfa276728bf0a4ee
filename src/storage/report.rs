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
/// # use ottla::{Engine, Finding, MemoryDisk, NewTopic, Admin};
/// let disk = MemoryDisk::new();
/// let engine = Engine::builder().open_memory(&disk)?;
/// Admin::new(&engine).create_topic(NewTopic::new("orders"))?;
/// engine.close()?;
/// disk.remove("log/orders-0/leader-epoch-checkpoint")?;
///
/// let engine = Engine::builder().open_memory(&disk)?;
/// for finding in engine.report().iter() {
///     match finding {
///         Finding::Damaged { first, last, .. } => panic!("offsets {first} to {last} are lost"),
///         mended => println!("{mended}"),
///     }
/// }
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "a variant's sentence covers its fields")]
pub enum Finding {
    /// The log ended in bytes that were never acknowledged as durable and are no whole batch; they were cut off. What
    /// is not zero was put into `quarantine` first.
    Cut { partition: TopicPartition, log_end: Offset, path: PathBuf, bytes: u64, quarantine: Option<PathBuf> },
    /// Batches below the durable end cannot be read any more: reading them gives `CorruptBatch`.
    Damaged { partition: TopicPartition, first: Offset, last: Offset, path: PathBuf, file_position: u64 },
    /// A file that can be made again from others was missing or damaged, and was made again.
    Rebuilt { path: PathBuf, reason: Arc<str> },
    /// Something is wrong with a file of the engine's own state, a journal or `positions`; `detail` names it and says
    /// what was done about it.
    State { path: PathBuf, detail: Arc<str> },
    /// A group had committed beyond where the log ends after a crash; it goes on at the new end.
    Clamped { group: Arc<str>, partition: TopicPartition, committed: Offset, resumes_at: Offset },
    /// A directory or file that belongs to no topic, such as one whose creation a crash interrupted, was moved away.
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
            Self::Leftover { path } => write!(f, "{}: belongs to no topic, moved to quarantine", path.display()),
        }
    }
}

/// Everything that opening a directory found; empty after a clean shutdown of a healthy one.
///
/// ```
/// # use ottla::{Engine, MemoryDisk};
/// let disk = MemoryDisk::new();
/// Engine::builder().open_memory(&disk)?.close()?;
/// disk.remove("catalog")?;
/// let engine = Engine::builder().open_memory(&disk)?;
/// # println!("{:?}", engine.report());
/// assert!(engine.report().is_empty());
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
