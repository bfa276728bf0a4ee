//! Checks the files of a partition's directory against each other, and changes nothing.
//!
//! Opening a log reads as little as it can; this reads everything: every batch with its checksum, its place in the
//! chain of offsets and epochs, its records, unpacked; both indexes of every segment against the batches; the small
//! files against what the batches say. A log that we wrote is held to all of our own rules. Of one that a broker wrote,
//! or that was copied from somewhere, the rules of the format hold: after a compaction offsets are missing, and older
//! brokers index the first offset of a batch.
//!
//! A directory that was not closed cleanly may have a writer, whose steps are seen half done. What looks wrong there,
//! and need not be rot, is looked at again after a pause, and counts if it stays.

mod indexes;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::io::{Dir, Entry, read_small};
use crate::record::{Batch, BatchFault, ControlType, Decompressor, MAGIC};
use crate::storage::checkpoint::{PARTITION_METADATA, read_partition_metadata};
use crate::storage::files::{parse_segment_name, segment_behind, segment_name};
use crate::storage::foreign::ForeignLog;
use crate::storage::leader_epochs::{LEADER_EPOCHS, LeaderEpochs, LeaderEpochsFinding};
use crate::storage::producer_state::{ProducerState, SNAPSHOT_LIMIT, read_snapshot};
use crate::storage::producers::Producers;
use crate::storage::segment::Segment;
use crate::storage::verify::indexes::IndexChecks;
use crate::storage::walk::{Check, EpochBounds, Step, Walk};
use crate::types::{LeaderEpoch, Offset, TopicId};

/// What kind of thing [`verify`](crate::verify) found.
///
/// ```
/// # use ottla::{DefectKind, Engine, VerifyOptions, verify};
/// # let data = tempfile::tempdir().expect("a temporary directory");
/// # Engine::open(data.path())?.close()?;
/// std::fs::write(data.path().join("log/meta.properties"), "version=many")?;
/// let report = verify(data.path(), &VerifyOptions::default())?;
/// assert_eq!(report.iter().next().map(|defect| defect.kind), Some(DefectKind::Damage));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DefectKind {
    /// Something is not what was once on the disk, or it is missing.
    Damage,
    /// Behind what is durable stand bytes that are nothing whole: a crash cut a write short, or somebody put them there.
    /// The next opening cuts them off; nothing that was durable is lost.
    Torn,
    /// An index or a snapshot does not fit the records. It is made again from them.
    Cache,
    /// A name that does not belong there, or what an interrupted change has left.
    Name,
    /// A format or a codec that this build does not read; it may be fine.
    NotRead,
    /// The operating system refused to read it, so that nobody knows.
    Unreadable,
}

impl fmt::Display for DefectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Damage => "damage",
            Self::Torn => "torn",
            Self::Cache => "cache",
            Self::Name => "name",
            Self::NotRead => "not-read",
            Self::Unreadable => "unreadable",
        })
    }
}

/// One thing that [`verify`](crate::verify) found; printed, it is one line: file, position, offsets, kind, and what it
/// is, `-` where there is none.
///
/// ```
/// # use ottla::{Engine, Offset, Producer, ProducerRecord, VerifyOptions, verify};
/// # let data = tempfile::tempdir().expect("a temporary directory");
/// let engine = Engine::open(data.path())?;
/// Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
/// engine.close()?;
/// let segment = data.path().join("log/orders-0/00000000000000000000.log");
/// let mut bytes = std::fs::read(&segment)?;
/// bytes[65] ^= 1; // in its first batch
/// std::fs::write(&segment, bytes)?;
///
/// let report = verify(data.path(), &VerifyOptions::default())?;
/// let defect = report.iter().next().expect("there is one");
/// assert_eq!((&defect.path, defect.position), (&segment, Some(0)));
/// assert_eq!(defect.offsets, Some((Offset(0), Offset(0))));
/// assert!(defect.to_string().contains("00000000000000000000.log: 0: 0 to 0: damage: "));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Defect {
    /// The file or directory.
    pub path: PathBuf,
    /// Where in the file, in bytes.
    pub position: Option<u64>,
    /// The first and the last offset that it concerns.
    pub offsets: Option<(Offset, Offset)>,
    /// What kind of thing it is.
    pub kind: DefectKind,
    /// What is wrong.
    pub detail: Arc<str>,
}

impl Defect {
    pub(crate) fn new(kind: DefectKind, path: impl Into<PathBuf>, detail: impl Into<Arc<str>>) -> Self {
        Self { path: path.into(), position: None, offsets: None, kind, detail: detail.into() }
    }

    #[must_use]
    pub(crate) const fn at(mut self, position: u64) -> Self {
        self.position = Some(position);
        self
    }

    #[must_use]
    pub(crate) const fn of(mut self, first: Offset, last: Offset) -> Self {
        if last.0 >= first.0 {
            self.offsets = Some((first, last));
        }
        self
    }

    /// What an error says of a file or directory at `path`.
    pub(crate) fn from_error(error: &Error, path: &Path) -> Self {
        match error {
            Error::CorruptFile { path, file_position, reason } => {
                Self::new(DefectKind::Damage, path, Arc::clone(reason)).at(*file_position)
            }
            Error::UnsupportedVersion { path, reason } => Self::new(DefectKind::NotRead, path, Arc::clone(reason)),
            error => Self::new(DefectKind::Unreadable, path, error.to_string()),
        }
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path.display())?;
        match self.position {
            Some(position) => write!(f, "{position}: ")?,
            None => f.write_str("-: ")?,
        }
        match self.offsets {
            Some((first, last)) => write!(f, "{first} to {last}: ")?,
            None => f.write_str("-: ")?,
        }
        write!(f, "{}: {}", self.kind, self.detail)
    }
}

/// What is known of a log before its directory is looked at.
#[derive(Clone, Debug)]
pub(crate) struct LogFacts {
    /// What of ours the log has to agree with; `None` if a broker wrote it, or nobody knows who.
    pub(crate) ours: Option<OurLog>,
    /// What the files of a broker say of it.
    pub(crate) foreign: ForeignLog,
    pub(crate) was_clean: bool,
    /// Every offset below it was synced; `None` if nobody knows.
    pub(crate) durable_end: Option<Offset>,
    /// Only the segment that begins there.
    pub(crate) only: Option<Offset>,
    pub(crate) unpacked_limit: usize,
}

/// What the catalog and `positions` say of a log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OurLog {
    pub(crate) topic_id: TopicId,
    /// No batch has a later one.
    pub(crate) epoch: LeaderEpoch,
    pub(crate) log_start: Option<Offset>,
}

/// How much was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) segments: u64,
    pub(crate) batches: u64,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
}

/// What became of a partition's directory.
#[derive(Debug, Default)]
pub(crate) struct LogVerdict {
    pub(crate) defects: Vec<Defect>,
    pub(crate) seen: Seen,
    /// Behind the last batch; `None` if not all of it could be read.
    pub(crate) log_end: Option<Offset>,
    /// The latest epoch that is on record.
    pub(crate) epoch: Option<LeaderEpoch>,
}

/// Checks a partition's directory. `pause` lets a writer that may be there get on.
///
/// # Errors
/// The operating system's, if the directory cannot be listed.
pub(crate) fn verify_log(dir: &Arc<dyn Dir>, facts: &LogFacts, pause: &dyn Fn()) -> Result<LogVerdict> {
    let entries = dir.list()?;
    let looked_at;
    let facts = match facts.ours {
        Some(_) => facts,
        None => {
            looked_at = LogFacts { foreign: facts.foreign.in_dir(dir.as_ref()), ..*facts };
            &looked_at
        }
    };
    let mut verifier = Verifier {
        dir,
        facts,
        pause,
        epochs: Arc::default(),
        has_epochs: false,
        transactions: BTreeMap::new(),
        behind: facts.only.and_then(|only| segment_behind(entries.iter().map(|entry| entry.name.as_str()), only)),
        last_magic: 0,
        producers: Producers::none_below(Offset::ZERO),
        has_producers: false,
        has_lost_end: false,
        verdict: LogVerdict::default(),
        decompressor: Decompressor::default(),
    };
    let bases: Vec<(Offset, u64)> = entries
        .iter()
        .filter(|entry| !entry.is_dir)
        .filter_map(|entry| Some((parse_segment_name(&entry.name).filter(|(_, end)| *end == "log")?.0, entry.len)))
        .filter(|(base, _)| facts.only.is_none_or(|only| only == *base))
        .collect();
    if facts.only.is_none() {
        verifier.check_names(&entries, &bases);
    }
    verifier.load_epochs();
    verifier.check_metadata();
    verifier.check_segments(&bases);
    if facts.only.is_none() {
        verifier.check_snapshots(&entries);
    }
    Ok(verifier.verdict)
}

/// Says again after a pause what looks wrong in a directory that may have a writer; only what stays is wrong.
pub(crate) fn confirmed(may_be_live: bool, pause: &dyn Fn(), look: impl Fn() -> Vec<Defect>) -> Vec<Defect> {
    let mut found = look();
    for _ in 0..LOOKS {
        if found.is_empty() || !may_be_live {
            break;
        }
        pause();
        let again = look();
        found.retain(|defect| again.contains(defect));
    }
    found
}

/// How often something is looked at again.
const LOOKS: usize = 3;
/// More than an index that a broker has not trimmed.
const INDEX_LIMIT: u64 = 64 << 20;
/// The ends of names that mean something to a broker.
const MEANINGFUL: [&str; 8] = ["log", "index", "timeindex", "txnindex", "snapshot", "deleted", "cleaned", "swap"];

struct Verifier<'a> {
    dir: &'a Arc<dyn Dir>,
    facts: &'a LogFacts,
    pause: &'a dyn Fn(),
    epochs: Arc<LeaderEpochs>,
    has_epochs: bool,
    /// Where the open transaction of each producer begins, in a log of others in which no offset is missing.
    transactions: BTreeMap<i64, Offset>,
    /// Where the segment behind the only one begins that is looked at.
    behind: Option<Offset>,
    /// The format of the last batch.
    last_magic: i8,
    /// By the batches.
    producers: Producers,
    has_producers: bool,
    /// The log ends in damage, and nobody knows at which offset.
    has_lost_end: bool,
    verdict: LogVerdict,
    decompressor: Decompressor,
}

impl Verifier<'_> {
    fn found(&mut self, defect: Defect) {
        // A writer may have removed it, with its topic.
        let is_gone = || !self.facts.was_clean && !self.is_there(&defect.path);
        if defect.kind == DefectKind::Unreadable && is_gone() {
            return;
        }
        self.verdict.defects.push(defect);
    }

    fn is_there(&self, path: &Path) -> bool {
        let name = path.file_name().and_then(|name| name.to_str());
        self.dir.list().is_ok_and(|entries| entries.iter().any(|entry| Some(entry.name.as_str()) == name))
    }

    fn confirmed(&self, look: impl Fn() -> Vec<Defect>) -> Vec<Defect> {
        confirmed(!self.facts.was_clean, self.pause, look)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn check_names(&mut self, entries: &[Entry], bases: &[(Offset, u64)]) {
        let dir = self.dir.path().to_owned();
        let flaw = |entry: &Entry| {
            let end = entry.name.rsplit_once('.').map_or("", |(_, end)| end);
            match parse_segment_name(&entry.name) {
                _ if entry.is_dir => Some("there is no place for a directory here"),
                Some((_, "log" | "snapshot")) => None,
                Some((base, "index" | "timeindex" | "txnindex")) => {
                    let has_log = bases.iter().any(|(other, _)| *other == base);
                    (!has_log).then_some("it is the index of a segment that is not there")
                }
                _ if end == "deleted" && self.facts.ours.is_none() => None, // a broker removes it in a minute
                _ if matches!(end, "deleted" | "cleaned" | "swap" | "tmp") => {
                    Some("an interrupted change has left it behind")
                }
                _ if MEANINGFUL.contains(&end) => Some("it is named almost like a segment, and is none"),
                _ => None,
            }
        };
        let found: Vec<_> = entries
            .iter()
            .filter_map(|entry| Some(Defect::new(DefectKind::Name, dir.join(&entry.name), flaw(entry)?)))
            .collect();
        let found = if found.is_empty() {
            found
        } else {
            self.confirmed(|| found.iter().filter(|defect| self.is_there(&defect.path)).cloned().collect())
        };
        found.into_iter().for_each(|defect| self.found(defect));
    }

    fn load_epochs(&mut self) {
        let path = self.path(LEADER_EPOCHS);
        match LeaderEpochs::load(self.dir.as_ref()) {
            Ok((epochs, None)) => {
                self.verdict.epoch = epochs.latest().map(|(epoch, _)| epoch);
                self.epochs = Arc::new(epochs);
                self.has_epochs = true;
            }
            Ok((_, Some(LeaderEpochsFinding::Damaged(error)))) => self.found(Defect::from_error(&error, &path)),
            Ok((_, Some(finding))) if self.facts.ours.is_some() => {
                self.found(Defect::new(DefectKind::Damage, path, finding.reason()));
            }
            Ok(_) => {} // a broker leaves none for old formats, and an empty one for a log without epochs
            Err(error) => self.found(Defect::from_error(&error, &path)),
        }
    }

    fn check_metadata(&mut self) {
        let path = self.path(PARTITION_METADATA);
        let detail = match (read_partition_metadata(self.dir.as_ref()), self.facts.ours) {
            (Ok(Some(id)), Some(ours)) if id != ours.topic_id => {
                format!("the topic id is {id}, and the catalog says {}", ours.topic_id)
            }
            (Ok(None), Some(_)) => "it is missing".to_owned(),
            (Err(error), _) => return self.found(Defect::from_error(&error, &path)),
            _ => return,
        };
        self.found(Defect::new(DefectKind::Damage, path, detail));
    }

    fn check_segments(&mut self, bases: &[(Offset, u64)]) {
        let is_whole = self.facts.only.is_none();
        let first = bases.first().map(|(base, _)| *base);
        // Without `positions` the epochs still tell that something stood before the first segment.
        let begun = self.epochs.beginning().filter(|begun| first.is_none_or(|first| *begun < first));
        let start = self.facts.ours.filter(|_| is_whole).and_then(|ours| ours.log_start.or(begun));
        if let Some((from, to)) =
            self.facts.foreign.missing_front(first).filter(|_| is_whole && self.facts.ours.is_none())
        {
            let detail = "there is no segment that has them";
            self.found(Defect::new(DefectKind::Damage, self.dir.path(), detail).of(from, to));
            self.has_lost_end |= bases.is_empty();
        }
        let mut expected = start.or(first).unwrap_or(Offset::ZERO);
        for (index, (base, len)) in bases.iter().enumerate() {
            let is_first = index == 0;
            let misplaced = match self.facts.ours {
                Some(_) if is_first => *base > expected, // the log start may lie within the first segment
                Some(_) => *base != expected,
                None => *base < expected,
            };
            if misplaced && is_whole && !self.note_misplaced(*base, expected) {
                return;
            }
            let next = bases.get(index + 1).map(|(next, _)| *next).or(self.behind);
            match self.check_segment(*base, *len, next) {
                Ok(Some(end)) => expected = end,
                Ok(None) => return, // the log is torn there: what is behind goes with it
                Err(error) => {
                    let path = self.path(&segment_name(*base, "log"));
                    self.found(Defect::from_error(&error, &path));
                    expected = next.unwrap_or(*base);
                    self.verdict.log_end = None;
                    if next.is_none() {
                        return;
                    }
                }
            }
        }
        let known_end = self.facts.durable_end.filter(|_| is_whole && self.facts.ours.is_some());
        if let Some(end) = known_end.filter(|end| expected < *end) {
            let (path, detail) = match bases.last() {
                None => (self.dir.path().to_owned(), "there is no segment that has them"),
                Some((base, _)) => (self.path(&segment_name(*base, "log")), "the log ends before them"),
            };
            self.found(Defect::new(DefectKind::Damage, path, detail).of(expected, Offset(end.0 - 1)));
            self.verdict.log_end = Some(end).filter(|_| !bases.is_empty());
        } else if bases.is_empty() && is_whole && self.facts.ours.is_some() && self.facts.was_clean {
            self.found(Defect::new(DefectKind::Damage, self.dir.path(), "there is no segment"));
        } else if !self.has_lost_end {
            self.verdict.log_end = Some(expected);
        }
    }

    /// A segment begins elsewhere than the one before it ends. Answers whether the log goes on there.
    fn note_misplaced(&mut self, base: Offset, expected: Offset) -> bool {
        let path = self.path(&segment_name(base, "log"));
        let is_rot = self.facts.was_clean || self.facts.durable_end.is_none_or(|end| expected < end);
        let defect = if base > expected {
            let detail = "there is no segment that has the offsets before this one";
            Defect::new(if is_rot { DefectKind::Damage } else { DefectKind::Torn }, path, detail)
                .of(expected, Offset(base.0 - 1))
        } else {
            Defect::new(DefectKind::Damage, path, format!("it begins before {expected}, where the one before it ends"))
        };
        self.found(defect.at(0));
        is_rot
    }

    /// Goes through a segment; answers where it ends, or `None` if the log is torn in it.
    fn check_segment(&mut self, base: Offset, len: u64, next: Option<Offset>) -> Result<Option<Offset>> {
        self.verdict.seen.segments += 1;
        let mut segment = self.segment(base, len);
        if !self.facts.was_clean {
            segment.set_end(segment.file()?.len()?); // a writer may have gone on since the directory was listed
        }
        // The last one's may be written at any time, and after a crash nobody trusts what is there.
        let has_indexes = self.facts.was_clean || next.is_some();
        let mut indexes = IndexChecks::load(self, base, segment.end(), has_indexes);
        let (mut position, mut expected) = (0, base);
        let mut looked_at = None;
        let mut is_over = false;
        while !is_over {
            let mut walk = self.walk(&segment, position, expected, next);
            loop {
                expected = walk.expected();
                match walk.next_step()? {
                    None => {
                        is_over = true;
                        break;
                    }
                    Some(Step::Batch { position, batch }) => {
                        indexes.note(batch.header(), position);
                        self.follow_transactions(&batch, &mut indexes);
                        self.check_batch(&segment, position, batch);
                    }
                    Some(Step::Damage { position: at, first, last, reason }) => {
                        indexes.pass(walk.position());
                        let behind = walk.position();
                        // Where the next segment begins at the durable end, the opening begins with that one.
                        let is_before_end = next == Some(first) && self.facts.durable_end == Some(first);
                        if is_before_end
                            || !self.is_torn(first, behind >= segment.end() && next.is_none(), at >= segment.end())
                        {
                            indexes.has_damage = true;
                            let is_known = self.facts.ours.is_some() && self.facts.durable_end.is_some();
                            self.has_lost_end |= behind >= segment.end() && next.is_none() && !is_known;
                            let path = self.path(&segment.file_name());
                            self.found(Defect::new(DefectKind::Damage, path, reason).at(at).of(first, last));
                            continue;
                        }
                        // Once a place: what a second look takes for a batch may not fit what is around it.
                        let has_looked = looked_at.replace(at) == Some(at);
                        let longer = if has_looked { None } else { self.look_again(&segment, at, first, next)? };
                        match longer {
                            Some(longer) => {
                                drop(walk);
                                segment = longer;
                                (position, expected) = (at, first);
                                break;
                            }
                            None => {
                                self.note_torn(&segment, at, first, &reason);
                                return Ok(None);
                            }
                        }
                    }
                }
            }
        }
        self.verdict.seen.bytes += segment.end();
        let defects = indexes.finish(self.facts, expected);
        defects.into_iter().for_each(|defect| self.found(defect));
        Ok(Some(expected))
    }

    fn segment(&self, base: Offset, len: u64) -> Segment {
        Segment::at(self.dir, base, len, false, 0)
    }

    fn walk<'s>(&self, segment: &'s Segment, position: u64, expected: Offset, next: Option<Offset>) -> Walk<'s> {
        let walk = Walk::new(segment, position, expected, Check::Whole);
        let Some(ours) = self.facts.ours else {
            let foreign = &self.facts.foreign;
            return foreign.walk(segment, (position, expected), next, Check::Whole, self.facts.unpacked_limit);
        };
        let walk = walk.with_epochs(EpochBounds { starts: Arc::clone(&self.epochs), latest: ours.epoch });
        // Where the one before ends is where the next one begins; of the last one only the durable end is known.
        let end = next.or(self.facts.durable_end.filter(|_| self.facts.only.is_none()));
        match end.filter(|end| *end >= expected) {
            Some(end) if next.is_some() || self.facts.was_clean => walk.ending_at(end),
            _ => walk,
        }
    }

    /// Whether a bad place where `first` should be may be where a crash tore the log.
    fn is_torn(&self, first: Offset, is_end: bool, is_missing: bool) -> bool {
        // What the next opening goes by: from the durable end on it cuts off, also what somebody put there since.
        let is_above = self.facts.durable_end.map_or(!self.facts.was_clean, |end| first >= end);
        is_above && (is_end && !is_missing || self.facts.ours.is_some())
    }

    /// Whether a writer has got on at the bad place: the segment as it is now, if so.
    fn look_again(
        &self,
        segment: &Segment,
        position: u64,
        expected: Offset,
        next: Option<Offset>,
    ) -> Result<Option<Segment>> {
        for _ in 0..LOOKS {
            (self.pause)();
            let again = self.segment(segment.base_offset(), 0);
            again.set_end(again.file()?.len()?);
            if again.end() <= position {
                return Ok(Some(again)); // cut off there: it ends before the bad place
            }
            let mut walk = self.walk(&again, position, expected, next);
            if matches!(walk.next_step()?, Some(Step::Batch { .. })) {
                return Ok(Some(again));
            }
        }
        Ok(None)
    }

    fn note_torn(&mut self, segment: &Segment, position: u64, first: Offset, reason: &str) {
        let bytes = segment.end() - position;
        let detail = format!("the last {bytes} bytes, which no sync has covered, are no whole batch: {reason}");
        let defect = Defect::new(DefectKind::Torn, self.path(&segment.file_name()), detail).at(position);
        self.found(Defect { offsets: Some((first, first)), ..defect });
        self.verdict.log_end = Some(first);
        self.verdict.seen.bytes += position;
    }

    /// An aborted transaction has to be in the transaction index; in a compacted log it may have been forgotten.
    fn follow_transactions(&mut self, batch: &Batch, indexes: &mut IndexChecks) {
        let header = batch.header();
        self.last_magic = header.magic;
        self.has_producers |= header.producer_id >= 0;
        self.producers.note(header);
        if !header.is_transactional() || !self.facts.foreign.is_dense || !self.facts.was_clean {
            return;
        }
        if !header.is_control() {
            self.transactions.entry(header.producer_id).or_insert(header.base_offset);
            return;
        }
        let has_begun = self.transactions.remove(&header.producer_id).is_some();
        let key = batch.records().ok().and_then(|mut records| records.next()?.ok()?.key());
        if has_begun && key.and_then(ControlType::from_key) == Some(ControlType::Abort) {
            indexes.note_abort(header.producer_id, header.base_offset);
        }
    }

    /// What the walk leaves open: the records, and the epochs on record.
    fn check_batch(&mut self, segment: &Segment, position: u64, batch: Batch) {
        let header = *batch.header();
        self.verdict.seen.batches += 1;
        if self.facts.ours.is_some()
            && self.has_epochs
            && self.epochs.epoch_at(header.base_offset) != Some(header.leader_epoch)
        {
            let said = self.epochs.epoch_at(header.base_offset).unwrap_or(LeaderEpoch::NONE);
            let epoch = header.leader_epoch;
            let detail = format!("it says leader epoch {said} of a batch that was written in {epoch}");
            let defect = Defect::new(DefectKind::Damage, self.path(LEADER_EPOCHS), detail);
            self.found(defect.of(header.base_offset, header.last_offset()));
            self.has_epochs = false; // once is enough
        }
        if self.facts.ours.is_none()
            && self.has_epochs
            && header.leader_epoch.0 >= 0
            && let Some(epoch) = self.epochs.epoch_at(header.base_offset)
            && epoch != header.leader_epoch
        {
            let detail = format!("leader epoch {} is not {epoch}, the one on record", header.leader_epoch);
            let defect = Defect::new(DefectKind::Damage, self.path(&segment.file_name()), detail);
            self.found(defect.at(position).of(header.base_offset, header.last_offset()));
        }
        match self.count_records(batch) {
            Ok(records) => self.verdict.seen.records += records,
            Err(fault) => {
                let kind = match fault {
                    BatchFault::CodecNotCompiled { .. } => DefectKind::NotRead,
                    _ => DefectKind::Damage,
                };
                let path = self.path(&segment.file_name());
                let defect = Defect::new(kind, path, fault.to_string());
                self.found(defect.at(position).of(header.base_offset, header.last_offset()));
            }
        }
    }

    fn count_records(&mut self, batch: Batch) -> Result<u64, BatchFault> {
        let batch = batch.unpack_with(&mut self.decompressor, self.facts.unpacked_limit)?;
        let mut least = Offset::ZERO;
        (0..).zip(batch.records()?).try_fold(0, |count, (index, record)| {
            let offset = record?.offset();
            if offset < least {
                return Err(BatchFault::BadRecord { index, reason: "its offset is not above that of the one before" });
            }
            least = offset.next();
            Ok(count + 1)
        })
    }

    fn check_snapshots(&mut self, entries: &[Entry]) {
        let snapshots = entries.iter().filter(|entry| !entry.is_dir);
        let snapshots = snapshots.filter_map(|entry| {
            Some((parse_segment_name(&entry.name).filter(|(_, end)| *end == "snapshot")?.0, &entry.name))
        });
        let snapshots: Vec<_> = snapshots.collect();
        // While our log is open, nobody has synced them: a crash may tear them, and the next opening sees to it.
        let is_synced = self.facts.was_clean || self.facts.ours.is_none();
        for (_, name) in snapshots.iter().filter(|_| is_synced) {
            let look = || {
                let content = self.dir.open(name).and_then(|file| read_small(file.as_ref(), SNAPSHOT_LIMIT));
                match content {
                    Ok(content) => snapshot_flaw(&content)
                        .map(|(at, flaw)| Defect::new(DefectKind::Cache, self.path(name), flaw).at(at))
                        .into_iter()
                        .collect(),
                    Err(error) if error.is_not_found() => Vec::new(),
                    Err(error) => vec![Defect::from_error(&error, &self.path(name))],
                }
            };
            let found = self.confirmed(look);
            found.into_iter().for_each(|defect| self.found(defect));
        }
        // Brokers write them since 0.11, with format v2.
        let has_any = self.has_producers || !snapshots.is_empty();
        let is_due = self.facts.was_clean && (self.facts.ours.is_some() || (self.last_magic == MAGIC && has_any));
        if let (Some(end), true) = (self.verdict.log_end, is_due)
            && !snapshots.iter().any(|(offset, _)| *offset == end)
        {
            let path = self.path(&segment_name(end, "snapshot"));
            self.found(Defect::new(DefectKind::Cache, path, "a clean shutdown writes it, and it is missing"));
        }
        if self.facts.ours.is_some() && self.facts.was_clean && self.verdict.defects.is_empty() {
            self.check_producers();
        }
    }

    /// The snapshot of our log's end may know of less producers than the batches do, or of batches that were taken out.
    fn check_producers(&mut self) {
        let Some(end) = self.verdict.log_end else { return };
        let Ok(Ok(stored)) = Producers::load(self.dir.as_ref(), end) else { return };
        let is_wrong = |state: &&ProducerState| {
            let known = self.producers.get(state.producer_id);
            state.last_offset >= end
                || known.is_some_and(|known| state.last_offset <= known.last_offset && **state != known)
        };
        if let Some(state) = stored.iter().find(is_wrong) {
            let detail = format!("what it says of producer {} does not go with the batches", state.producer_id);
            self.found(Defect::new(DefectKind::Cache, self.path(&segment_name(end, "snapshot")), detail));
        }
    }
}

/// What is wrong with the bytes of a producer snapshot, and where.
fn snapshot_flaw(bytes: &[u8]) -> Option<(u64, String)> {
    read_snapshot(bytes).1.map(|fault| (fault.position(bytes.len()), fault.to_string()))
}
