//! What is on a disk in memory, as it is and as a power cut would leave it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::io::memory::faults::{Effect, Injector, Operation};
use crate::sync::Chance;

pub(super) struct State {
    pub(super) nodes: Vec<Node>,
    /// Goes up when a process dies: what it had open does not work any more.
    pub(super) life: u64,
    pub(super) has_power: bool,
    pub(super) steps: u64,
    pub(super) cut_at: Option<u64>,
    pub(super) syncs_to_fail: u32,
    pub(super) syncs_fail_from: u64,
    pub(super) capacity: Option<u64>,
    pub(super) locked: BTreeSet<NodeId>,
    pub(super) chance: Chance,
    pub(super) injector: Injector,
    /// How far the time of day is from where it should be, in milliseconds.
    pub(super) clock_jumped: i64,
    /// While a sync that was begun earlier is carried out: `steps` as it was then.
    pub(super) sync_begun_at: Option<u64>,
}

pub(super) type NodeId = usize;

/// A file or directory: as it is, and as a power cut would leave it.
pub(super) enum Node {
    Dir {
        names: BTreeMap<String, NodeId>,
        durable: BTreeMap<String, NodeId>,
        changes: Vec<NameChange>,
    },
    /// `longest` is what it held since it was synced before it became shorter.
    File {
        content: Vec<u8>,
        durable: Vec<u8>,
        dirty: Vec<Dirty>,
        longest: Vec<u8>,
    },
}

/// A change of a file that was not synced.
#[derive(Clone)]
pub(super) struct Dirty {
    pub(super) range: Range<usize>,
    /// How long the file was then.
    len: usize,
    /// The number of the step that it was.
    step: u64,
}

/// What happened to the names of a directory since it was synced.
pub(super) enum NameChange {
    Made(String, NodeId),
    Renamed { from: String, to: String, node: NodeId },
    Removed(String),
}

/// How much of what was not synced a power cut keeps or loses as a piece, in bytes.
pub(super) const SECTOR_BYTES: usize = 512;

impl State {
    pub(super) fn begin_life(&mut self) {
        self.life += 1;
        self.has_power = true;
        self.cut_at = None;
        self.syncs_to_fail = 0;
        self.injector.clear();
        self.locked.clear();
    }

    /// Counts a step that changes something; fails it if the power does, or says how a fault changes it.
    pub(super) fn step(&mut self, operation: Operation, node: NodeId) -> io::Result<Effect> {
        if self.cut_at == Some(self.steps) {
            self.has_power = false;
            return Err(no_power());
        }
        self.steps += 1;
        Ok(self.injector.decide(operation, node))
    }

    /// A step that happens as a whole or not at all.
    pub(super) fn whole_step(&mut self, operation: Operation, node: NodeId) -> io::Result<()> {
        self.step(operation, node)?.whole()
    }

    /// What a path from the root leads to.
    pub(super) fn look_up(&self, path: &Path) -> Option<NodeId> {
        path.iter().try_fold(0, |node, part| match &self.nodes[node] {
            Node::Dir { names, .. } => part.to_str().and_then(|name| names.get(name)).copied(),
            Node::File { .. } => None,
        })
    }

    /// Changes the names of the directory `node`.
    pub(super) fn change(&mut self, node: NodeId, change: NameChange) -> io::Result<()> {
        match &mut self.nodes[node] {
            Node::Dir { names, changes, .. } => {
                change.apply(names);
                changes.push(change);
                Ok(())
            }
            Node::File { .. } => Err(ErrorKind::NotADirectory.into()),
        }
    }

    /// Whether the sync that was just counted is one that fails.
    pub(super) fn sync_fails(&mut self) -> bool {
        let fails = self.syncs_to_fail > 0 && self.steps > self.syncs_fail_from;
        self.syncs_to_fail -= u32::from(fails);
        fails
    }

    pub(super) fn names(&self, node: NodeId) -> io::Result<&BTreeMap<String, NodeId>> {
        match &self.nodes[node] {
            Node::Dir { names, .. } => Ok(names),
            Node::File { .. } => Err(ErrorKind::NotADirectory.into()),
        }
    }

    pub(super) fn file(&mut self, node: NodeId) -> io::Result<FileParts<'_>> {
        match &mut self.nodes[node] {
            Node::File { content, durable, dirty, longest } => {
                Ok(FileParts { content, durable, dirty, longest, step: self.steps })
            }
            Node::Dir { .. } => Err(ErrorKind::IsADirectory.into()),
        }
    }

    pub(super) fn find(&self, node: NodeId, name: &str) -> io::Result<NodeId> {
        self.names(node)?.get(name).copied().ok_or_else(|| ErrorKind::NotFound.into())
    }

    pub(super) fn add(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// Whether files may grow by `more` bytes.
    pub(super) fn has_room(&self, more: usize) -> bool {
        more == 0 || more <= self.room()
    }

    /// The paths of all files, and how long they are.
    pub(super) fn files(&self) -> Vec<(PathBuf, u64)> {
        let mut found = Vec::new();
        let mut todo = vec![(PathBuf::new(), 0)];
        while let Some((path, node)) = todo.pop() {
            match &self.nodes[node] {
                Node::Dir { names, .. } => todo.extend(names.iter().map(|(name, node)| (path.join(name), *node))),
                Node::File { content, .. } => found.push((path, content.len() as u64)),
            }
        }
        found.sort_unstable();
        found
    }

    /// By how many bytes files may grow. Those that were removed give theirs back.
    pub(super) fn room(&self) -> usize {
        let Some(capacity) = self.capacity else { return usize::MAX / 2 };
        let used: u64 = self.files().iter().map(|(_, len)| len).sum();
        usize::try_from(capacity.saturating_sub(used)).unwrap_or(usize::MAX / 2)
    }
}

impl NameChange {
    pub(super) fn apply(&self, names: &mut BTreeMap<String, NodeId>) {
        match self {
            Self::Made(name, node) => {
                names.insert(name.clone(), *node);
            }
            Self::Renamed { from, to, node } => {
                if names.get(from) == Some(node) {
                    names.remove(from);
                }
                names.insert(to.clone(), *node);
            }
            Self::Removed(name) => {
                names.remove(name);
            }
        }
    }
}

impl Node {
    pub(super) const fn empty_dir() -> Self {
        Self::Dir { names: BTreeMap::new(), durable: BTreeMap::new(), changes: Vec::new() }
    }

    /// Becomes what was synced.
    pub(super) fn lose_unsynced(&mut self) {
        match self {
            Self::Dir { names, durable, changes } => {
                names.clone_from(durable);
                changes.clear();
            }
            Self::File { content, durable, dirty, longest } => {
                longest.clear();
                content.clone_from(durable);
                dirty.clear();
            }
        }
    }

    /// Becomes what was synced, and some of what was not.
    pub(super) fn lose_some(&mut self, chance: &mut Chance) {
        match self {
            Self::Dir { durable, changes, .. } => {
                for change in changes.iter().filter(|_| chance.pick(2) == 0) {
                    change.apply(durable);
                }
            }
            Self::File { content, durable, dirty, longest } => {
                // A length that was set may be lost, and what it cut off be back.
                if longest.len() > content.len() && chance.pick(2) == 0 {
                    content.extend_from_slice(&longest[content.len()..]);
                }
                let (old, new) = (durable.len(), content.len());
                let len = [old, new, old.min(new) + chance.pick(old.abs_diff(new) + 1)][chance.pick(3)];
                durable.resize(len, 0);
                let sectors: BTreeSet<usize> = dirty
                    .iter()
                    .flat_map(|dirty| dirty.range.start / SECTOR_BYTES..dirty.range.end.div_ceil(SECTOR_BYTES))
                    .collect();
                for sector in sectors {
                    let range = sector * SECTOR_BYTES..((sector + 1) * SECTOR_BYTES).min(len);
                    let range = range.start.min(range.end)..range.end;
                    match chance.pick(8) {
                        0 => durable[range.start.max(old).min(range.end)..range.end].fill_with(|| chance.byte()),
                        1..4 => {}
                        _ => {
                            let kept = range.start..range.end.min(content.len()).max(range.start);
                            durable[kept.clone()].copy_from_slice(&content[kept]);
                        }
                    }
                }
            }
        }
        self.lose_unsynced();
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::File { content, .. } => content.len(),
            Self::Dir { .. } => 0,
        }
    }
}

pub(super) struct FileParts<'a> {
    pub(super) content: &'a mut Vec<u8>,
    pub(super) durable: &'a mut Vec<u8>,
    pub(super) dirty: &'a mut Vec<Dirty>,
    pub(super) longest: &'a mut Vec<u8>,
    step: u64,
}

pub(super) fn no_power() -> io::Error {
    io::Error::other("the power is off")
}

impl FileParts<'_> {
    pub(super) fn write(self, from: usize, bytes: &[u8]) {
        let end = from + bytes.len();
        if self.content.len() < end {
            self.content.resize(end, 0);
        }
        self.content[from..end].copy_from_slice(bytes);
        self.dirty.push(Dirty { range: from..end, len: self.content.len(), step: self.step });
    }

    pub(super) fn set_len(self, len: usize) {
        if len < self.content.len() && self.longest.len() < self.content.len() {
            self.longest.clone_from(self.content);
        }
        let from = self.content.len().min(len);
        self.content.resize(len, 0);
        self.dirty.push(Dirty { range: from..len, len, step: self.step });
    }

    /// Forgets what had changed when step `begun_at` was over: a sync of it failed, and no later one writes it.
    pub(super) fn forget(self, begun_at: u64) {
        self.dirty.retain(|dirty| dirty.step > begun_at);
    }

    /// Makes durable what had changed when step `begun_at` was over. What changed the same bytes since then becomes
    /// durable with it.
    pub(super) fn sync(self, begun_at: u64) {
        let count = self.dirty.partition_point(|dirty| dirty.step <= begun_at);
        let covered: Vec<Dirty> = self.dirty.drain(..count).collect();
        // The length is the inode's: it becomes durable also when the pages were lost to a sync that failed.
        let since =
            if self.dirty.is_empty() { Some(self.content.len()) } else { covered.last().map(|dirty| dirty.len) };
        let Some(len) = since else { return };
        self.durable.resize(len, 0);
        for Dirty { range, .. } in covered {
            for at in range.start.min(len)..range.end.min(len) {
                // What was cut off since then is on the disk nevertheless.
                let byte = self.content.get(at).or_else(|| self.longest.get(at));
                self.durable[at] = byte.copied().unwrap_or_default();
            }
        }
        if self.dirty.is_empty() {
            self.longest.clear();
        }
    }
}
