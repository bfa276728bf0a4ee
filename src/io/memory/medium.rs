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
    /// Whether every sync carries the names and lengths of everything else.
    pub(super) is_journaled: bool,
    /// What cannot be read until it is written again.
    pub(super) unreadable: Vec<(NodeId, Range<usize>)>,
    /// What the power failed in the place of.
    pub(super) struck: Option<(Operation, PathBuf)>,
}

pub(super) type NodeId = usize;

/// A file or directory: as it is, and as a power cut would leave it.
pub(super) enum Node {
    Dir {
        names: BTreeMap<String, NodeId>,
        durable: BTreeMap<String, NodeId>,
        /// Each with the number of the step that it was.
        changes: Vec<(u64, NameChange)>,
    },
    /// `longest` is what it held since it was synced before it became shorter.
    File { content: Vec<u8>, durable: Vec<u8>, dirty: Vec<Dirty>, longest: Vec<u8> },
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

/// How the power goes: what of all that was not synced survives.
///
/// ```
/// # use ottla::{Acks, Engine, MemoryDisk, Producer, ProducerConfig, ProducerRecord};
/// # use ottla::sim::PowerCut;
/// let disk = MemoryDisk::simulated(7);
/// let engine = Engine::builder().open_memory(&disk)?;
/// let quick = Producer::<str, str>::with_config(&engine, ProducerConfig::builder().acks(Acks::One).build()?)?;
/// for value in ["paid", "packed", "shipped"] {
///     quick.send(ProducerRecord::to("orders").value(value))?.wait()?;
/// }
/// disk.power_cut_as(PowerCut::keeping(7).in_order().sector_bytes(1));
/// drop((quick, engine));
/// let engine = Engine::builder().open_memory(&disk)?;
/// assert!(engine.end_offset(&("orders", 0).into())? <= ottla::Offset(3)); // so many, from the front
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PowerCut {
    seed: u64,
    sector_bytes: usize,
    is_in_order: bool,
}

impl PowerCut {
    /// Any of the sectors of 512 bytes, any of the lengths, any of the names, each by itself, as `seed` says. A sector
    /// by which a file grew and that did not survive is zero, or garbage.
    #[must_use]
    pub const fn keeping(seed: u64) -> Self {
        Self { seed, sector_bytes: SECTOR_BYTES, is_in_order: false }
    }

    /// How much survives or is lost as a piece: 4096 as with the pages of many disks, 1 for writes that are torn at any
    /// byte. 0 counts as 1.
    #[must_use]
    pub const fn sector_bytes(mut self, bytes: usize) -> Self {
        self.sector_bytes = if bytes == 0 { 1 } else { bytes };
        self
    }

    /// What survives is what was done up to some moment, and of the last write then perhaps a part.
    #[must_use]
    pub const fn in_order(mut self) -> Self {
        self.is_in_order = true;
        self
    }
}

/// A cut, as it falls for one file or directory.
struct Loss {
    chance: Chance,
    sector_bytes: usize,
    /// Names and lengths are kept up to that step; else any of them.
    metadata_until: Option<u64>,
    /// Contents are; else any of them.
    contents_until: Option<u64>,
}

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
    pub(super) fn step(&mut self, operation: Operation, node: NodeId, path: &Path) -> io::Result<Effect> {
        if self.cut_at == Some(self.steps) {
            self.has_power = false;
            self.struck = Some((operation, path.components().skip(1).collect())); // from the root of the disk
            return Err(no_power());
        }
        self.steps += 1;
        Ok(self.injector.decide(operation, node, path))
    }

    /// A step that happens as a whole or not at all.
    pub(super) fn whole_step(&mut self, operation: Operation, node: NodeId, path: &Path) -> io::Result<()> {
        self.step(operation, node, path)?.whole()
    }

    /// Takes the power away: loses what `cut` does not keep.
    pub(super) fn lose(&mut self, cut: PowerCut) {
        let mut chance = Chance::new(cut.seed);
        let oldest = self.nodes.iter().filter_map(Node::oldest_change).min().unwrap_or(self.steps);
        // From before the first of them on.
        let moments = usize::try_from(self.steps.saturating_sub(oldest)).unwrap_or(0) + 2;
        let moment = (oldest + chance.pick(moments) as u64).saturating_sub(1);
        let mut loss = Loss {
            chance,
            sector_bytes: cut.sector_bytes,
            metadata_until: (cut.is_in_order || self.is_journaled).then_some(moment),
            contents_until: cut.is_in_order.then_some(moment),
        };
        self.nodes.iter_mut().for_each(|node| node.lose_some(&mut loss));
    }

    /// A sync that began at step `begun_at` returns well: with a journal, it has carried what others changed.
    pub(super) fn carry(&mut self, begun_at: u64) {
        if self.is_journaled {
            self.nodes.iter_mut().for_each(|node| node.carry_metadata(begun_at));
        }
    }

    /// Whether a read of these bytes meets some that cannot be read.
    pub(super) fn is_unreadable(&self, node: NodeId, range: &Range<usize>) -> bool {
        self.unreadable.iter().any(|(of, bad)| *of == node && bad.start < range.end && range.start < bad.end)
    }

    /// These bytes are written again, and a disk puts them where they can be read.
    pub(super) fn make_readable(&mut self, node: NodeId, range: &Range<usize>) {
        let is_touched = |bad: &Range<usize>| bad.start < range.end && range.start < bad.end;
        let (touched, rest) =
            std::mem::take(&mut self.unreadable).into_iter().partition(|(of, bad)| *of == node && is_touched(bad));
        self.unreadable = rest;
        for (_, bad) in touched as Vec<(NodeId, Range<usize>)> {
            let left = [bad.start..range.start.max(bad.start), range.end.min(bad.end)..bad.end];
            self.unreadable.extend(left.into_iter().filter(|left| !left.is_empty()).map(|left| (node, left)));
        }
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
        let step = self.steps;
        match &mut self.nodes[node] {
            Node::Dir { names, changes, .. } => {
                change.apply(names);
                changes.push((step, change));
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

    /// The first step of those that a cut may take back.
    fn oldest_change(&self) -> Option<u64> {
        match self {
            Self::Dir { changes, .. } => changes.first().map(|(step, _)| *step),
            Self::File { dirty, .. } => dirty.first().map(|dirty| dirty.step),
        }
    }

    /// Names and lengths as they were behind step `begun_at` are durable; contents are not.
    fn carry_metadata(&mut self, begun_at: u64) {
        match self {
            Self::Dir { durable, changes, .. } => {
                let count = changes.partition_point(|(step, _)| *step <= begun_at);
                changes.drain(..count).for_each(|(_, change)| change.apply(durable));
            }
            Self::File { durable, dirty, .. } => set_lengths(durable, dirty, begun_at),
        }
    }

    /// Becomes what was synced, and some of what was not.
    fn lose_some(&mut self, loss: &mut Loss) {
        match self {
            Self::Dir { durable, changes, .. } => {
                for (step, change) in changes.iter() {
                    let is_kept = loss.metadata_until.map(|until| *step <= until);
                    if is_kept.unwrap_or_else(|| loss.chance.pick(2) == 0) {
                        change.apply(durable);
                    }
                }
            }
            Self::File { content, durable, dirty, longest } => {
                // A length that was set may be lost, and what it cut off be back.
                if longest.len() > content.len() && (loss.contents_until.is_some() || loss.chance.pick(2) == 0) {
                    content.extend_from_slice(&longest[content.len()..]);
                }
                let old = durable.len();
                match (loss.contents_until, loss.metadata_until) {
                    (Some(until), _) => keep_until(content, durable, dirty, until, loss),
                    (None, Some(until)) => {
                        set_lengths(durable, dirty, until);
                        keep_sectors(content, durable, dirty, old, loss);
                    }
                    (None, None) => {
                        let new = content.len();
                        let between = old.min(new) + loss.chance.pick(old.abs_diff(new) + 1);
                        durable.resize([old, new, between][loss.chance.pick(3)], 0);
                        keep_sectors(content, durable, dirty, old, loss);
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

/// Gives the file the length that it had behind step `until`, by way of those that it had before.
fn set_lengths(durable: &mut Vec<u8>, dirty: &[Dirty], until: u64) {
    for change in dirty.iter().take_while(|change| change.step <= until) {
        durable.resize(change.len, 0);
    }
}

/// Brings what was written up to step `until` to the disk, the last of it perhaps in part.
fn keep_until(content: &[u8], durable: &mut Vec<u8>, dirty: &[Dirty], until: u64, loss: &mut Loss) {
    for change in dirty.iter().take_while(|change| change.step <= until) {
        let sectors = change.range.len().div_ceil(loss.sector_bytes);
        let is_torn = change.step == until && sectors > 0;
        let kept = if is_torn { loss.chance.pick(sectors + 1) * loss.sector_bytes } else { change.range.len() };
        let end = change.range.end.min(change.range.start + kept);
        // A file is as long as what was written of it; cut off or lengthened, it is so at once.
        durable.resize(if is_torn { change.len.min(end.max(durable.len())) } else { change.len }, 0);
        let range = change.range.start..end.min(durable.len()).min(content.len());
        if !range.is_empty() {
            durable[range.clone()].copy_from_slice(&content[range]);
        }
    }
}

/// Brings any of the sectors that were written to the disk; what lies behind `old` and did not get there is zeros, or
/// garbage.
fn keep_sectors(content: &[u8], durable: &mut [u8], dirty: &[Dirty], old: usize, loss: &mut Loss) {
    let (size, len) = (loss.sector_bytes, durable.len());
    let sectors: BTreeSet<usize> =
        dirty.iter().flat_map(|dirty| dirty.range.start / size..dirty.range.end.div_ceil(size)).collect();
    // Of some files the length got there, and nothing else.
    let has_no_content = loss.chance.pick(8) == 0;
    for sector in sectors {
        let range = sector * size..((sector + 1) * size).min(len);
        let range = range.start.min(range.end)..range.end;
        match loss.chance.pick(8) {
            0 => durable[range.start.max(old).min(range.end)..range.end].fill_with(|| loss.chance.byte()),
            1..4 => {}
            _ if has_no_content => {}
            _ => {
                let kept = range.start..range.end.min(content.len());
                if !kept.is_empty() {
                    durable[kept.clone()].copy_from_slice(&content[kept]);
                }
            }
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

    /// Becomes what was synced, where it had changed when step `begun_at` was over: a sync of it failed.
    pub(super) fn revert(self, begun_at: u64) {
        let (gone, newer): (Vec<Dirty>, Vec<Dirty>) =
            std::mem::take(self.dirty).into_iter().partition(|dirty| dirty.step <= begun_at);
        for at in gone.into_iter().flat_map(|dirty| dirty.range) {
            if at < self.content.len() && !newer.iter().any(|dirty| dirty.range.contains(&at)) {
                self.content[at] = self.durable.get(at).copied().unwrap_or_default();
            }
        }
        *self.dirty = newer;
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
