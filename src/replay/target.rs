//! What a path names: a directory of topics, a `log.dir` of a broker, the directory of a partition, or one segment.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::io::{Dir, Disk, Entry, OsDisk, Reading};
use crate::storage::{
    CLEAN_SHUTDOWN, META_PROPERTIES, POSITIONS, PartitionDirKind, RECOVERY_POINTS, parse_partition_dir,
    parse_segment_name,
};
use crate::topics::CATALOG;
use crate::types::{Offset, ReadMode, TopicPartition};

/// What a path names.
pub(super) enum Target {
    /// A directory of ours.
    Ours(PathBuf),
    LogDir(PathBuf),
    Partition(PathBuf, TopicPartition),
    Segment(PathBuf, Option<TopicPartition>, Offset),
}

impl Target {
    pub(super) fn of(path: &Path) -> Result<Self> {
        let wrong = |what: &str| {
            let expected =
                "expected a directory of topics, a Kafka log.dir, the directory of a partition, or a segment";
            Error::illegal_argument(format!("{}: {what}: {expected}", path.display()))
        };
        let name = |path: &Path| {
            let full = if path.file_name().is_none() { path.canonicalize().ok() } else { None }; // such as `.`
            let named = full.as_deref().unwrap_or(path).file_name();
            named.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
        };
        if path.is_file() {
            let (base, _) = parse_segment_name(&name(path)).ok_or_else(|| wrong("it is no segment"))?;
            let dir = match path.parent() {
                Some(dir) if dir != Path::new("") => dir.to_owned(),
                _ => PathBuf::from("."),
            };
            let partition = parse_partition_dir(&name(&dir)).map(|(partition, _)| partition);
            return Ok(Self::Segment(dir, partition, base));
        }
        let entries = open(path)?.list()?;
        let has = |name: &str| entries.iter().any(|entry| entry.name == name);
        if is_ours(has) {
            return Ok(Self::Ours(path.to_owned()));
        }
        let has_segments = entries
            .iter()
            .any(|entry| !entry.is_dir && parse_segment_name(&entry.name).is_some_and(|(_, end)| end == "log"));
        if let (Some((partition, _)), true) = (parse_partition_dir(&name(path)), has_segments) {
            return Ok(Self::Partition(path.to_owned(), partition));
        }
        if has_segments {
            return Ok(Self::Partition(path.to_owned(), TopicPartition::new(name(path), 0)));
        }
        // Of directories whose names end in a number there are some anywhere: one has to hold a segment.
        let holds_segment = |entry: &Entry| {
            let names = open(&path.join(&entry.name)).and_then(|dir| dir.names()).unwrap_or_default();
            names.iter().any(|name| parse_segment_name(name).is_some())
        };
        let mut partitions = entries.iter().filter(|entry| entry.is_dir && parse_partition_dir(&entry.name).is_some());
        let is_log_dir =
            [META_PROPERTIES, RECOVERY_POINTS, CLEAN_SHUTDOWN].into_iter().any(has) || partitions.any(holds_segment);
        if is_log_dir { Ok(Self::LogDir(path.to_owned())) } else { Err(wrong("it holds no log")) }
    }

    /// The directory of partitions, and that of ours around it, where they would be.
    pub(super) fn around(&self) -> (Option<PathBuf>, Option<PathBuf>) {
        let parent = |path: &Path| match path.parent() {
            Some(parent) if parent == Path::new("") => Some(PathBuf::from(".")),
            parent => parent.map(Path::to_owned),
        };
        let log_dir = match self {
            Self::Ours(root) => return (Some(root.join("log")), Some(root.clone())),
            Self::LogDir(dir) => Some(dir.clone()),
            // What was put aside is none of what lies around any more.
            Self::Partition(dir, _) | Self::Segment(dir, ..) if is_aside(dir) => return (None, None),
            Self::Partition(dir, _) | Self::Segment(dir, ..) => parent(dir),
        };
        let root = log_dir.as_deref().filter(|dir| dir.ends_with("log")).and_then(parent);
        (log_dir, root.filter(|root| root.join(CATALOG).is_file()))
    }
}

/// Whether a broker, or an engine, has renamed the directory of a partition to be deleted, moved or looked at.
fn is_aside(dir: &Path) -> bool {
    let name = dir.file_name().and_then(|name| name.to_str());
    let kind = name.and_then(parse_partition_dir).map(|(_, kind)| kind);
    kind.is_some_and(|kind| kind != PartitionDirKind::Live)
}

/// Whether a directory with such names is one of ours.
pub(crate) fn is_ours(has: impl Fn(&str) -> bool) -> bool {
    has(CATALOG) || has(POSITIONS) || has("LOCK") && has("log")
}

/// Opens a directory to look at the few files that lie in it.
pub(super) fn open(path: &Path) -> Result<Arc<dyn Dir>> {
    let reading = Reading { mode: ReadMode::Buffered, max_open_segments: 16, max_mapped_bytes: 0 };
    Ok(OsDisk::open(path, false, &reading)?.root())
}
