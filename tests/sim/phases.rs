//! What an engine was doing when a crash struck it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use ottla::MemoryDisk;
use ottla::sim::Operation;

/// What the application was waiting for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Doing {
    #[default]
    Opening,
    Creating,
    Deleting,
    Closing,
    /// Whatever else.
    Using,
}

/// How many crashes struck what.
#[derive(Clone, Debug, Default)]
pub(crate) struct Phases(BTreeMap<&'static str, u64>);

impl Phases {
    /// The power has failed, while the application was `doing` something.
    pub(crate) fn count(&mut self, disk: &MemoryDisk, doing: Doing) {
        if let Some((operation, path)) = disk.power_failed_at() {
            *self.0.entry(phase(disk, doing, operation, &path)).or_default() += 1;
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (phase, count) in &other.0 {
            *self.0.entry(phase).or_default() += count;
        }
    }

    pub(crate) fn of(&self, phase: &str) -> u64 {
        self.0.get(phase).copied().unwrap_or(0)
    }
}

impl fmt::Display for Phases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (phase, count) in &self.0 {
            writeln!(f, "| {phase:<36} | {count:>8} |")?;
        }
        Ok(())
    }
}

pub(crate) const ROLL: &str = "roll";
pub(crate) const INDEX: &str = "index write";
pub(crate) const CHECKPOINT: &str = "checkpoint";
pub(crate) const COMPACTION: &str = "journal compaction, while in use";
pub(crate) const COMPACTION_IN_RECOVERY: &str = "journal compaction, in recovery";
pub(crate) const DELETION: &str = "topic deletion";
pub(crate) const RECOVERY: &str = "recovery";

fn phase(disk: &MemoryDisk, doing: Doing, operation: Operation, path: &Path) -> &'static str {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let extension = path.extension().and_then(|extension| extension.to_str());
    let journal = journal_at(path, name);
    let is_journal_dir = operation == Operation::Sync && (path == Path::new("") || path == Path::new("groups"));
    let is_swap = |journal: &String| operation == Operation::Rename || *journal != path.to_string_lossy();
    match doing {
        Doing::Opening if journal.as_ref().is_some_and(is_swap) => COMPACTION_IN_RECOVERY,
        Doing::Opening => RECOVERY,
        Doing::Deleting => DELETION,
        Doing::Creating => "topic creation",
        _ if matches!(extension, Some("index" | "timeindex")) => INDEX,
        _ if name.contains("checkpoint") => CHECKPOINT,
        _ if name.starts_with("positions") => "positions",
        Doing::Closing if extension != Some("log") => "clean shutdown",
        _ => match (journal, operation) {
            (Some(journal), _) if journal != path.to_string_lossy() || operation == Operation::Rename => {
                let is_new = !disk
                    .files()
                    .iter()
                    .any(|(there, _)| *there == Path::new(&journal) || is_previous(there, &journal));
                if is_new { "first commit of a group" } else { COMPACTION }
            }
            (Some(_), Operation::Write) => "journal frame",
            (Some(_), Operation::Sync) => "sync of a journal",
            (Some(_), _) => "journal, cut back",
            (None, _) if is_journal_dir => "directory of journals",
            (None, Operation::Create | Operation::Sync) if extension != Some("log") && is_partition(path) => ROLL,
            (None, Operation::Create) if extension == Some("log") => ROLL,
            (None, Operation::Write) if extension == Some("log") => "append",
            (None, Operation::Sync) if extension == Some("log") => "sync of records",
            (None, Operation::SetLen) if extension == Some("log") => "append, cut back",
            _ => "other",
        },
    }
}

fn is_partition(path: &Path) -> bool {
    path.parent() == Some(Path::new("log"))
}

/// The path of the journal that a file is a generation of.
fn journal_at(path: &Path, name: &str) -> Option<String> {
    let is_one = name.starts_with("catalog") || path.parent() == Some(Path::new("groups"));
    let text = path.to_string_lossy();
    is_one.then(|| text.trim_end_matches(".tmp").trim_end_matches(".previous").to_owned())
}

fn is_previous(path: &Path, journal: &str) -> bool {
    path.to_string_lossy() == format!("{journal}.previous")
}
