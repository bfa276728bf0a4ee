//! Makes a damaged directory whole again: what can be known is put in the place of what cannot be read.
//!
//! [`verify`](crate::verify) says what is wrong; here follows what becomes of it. All that goes or is replaced is
//! copied to `quarantine/` first, and what is lost is said by file, position and offsets.
//!
//! | what is damaged | what is put in its place |
//! |---|---|
//! | a segment | an empty batch for the offsets that cannot be read; every other byte stays ([`mend`](crate::storage)) |
//! | the catalog | its frames that hold, over the generation before; topics that neither names, from their directories |
//! | a group's offsets | the frames that hold, over the generation before |
//! | `positions` | the slots that hold; after a clean shutdown also what the checkpoint says |
//! | `meta.properties` | the ids that are whole, and new ones |
//! | indexes, leader epochs, checkpoints, `partition.metadata`, snapshots | made again from the batches and the catalog |
//! | a directory or a dead link in the place of a file, and the other way round | nothing: it is moved away |
//! | what interrupted changes have left (`.tmp`, `.swap`, `.cleaned`, `.deleted`) | nothing |
//!
//! What is made again from other files, and what a crash has torn, is left to the opening of an engine, which does it
//! with the same care each time. So it comes last: when all that stands in its way is mended, an engine opens the
//! directory and closes it cleanly.
//!
//! # Interrupted anywhere, it can be run again
//!
//! 1. Each step replaces one file by a rename, or removes one file, and its copy is durable before that: a crash leaves
//!    the file as it was, or as it is to be.
//! 2. Each run looks at everything afresh. It remembers nothing, and no step relies on an earlier one having been made
//!    in the same run, only on what then is on the disk.
//! 3. The order is what keeps the second run as wise as the first. Journals and `positions` come before the marker of
//!    the clean shutdown goes, since with it goes the knowledge that every bad place in them is rot, and what the
//!    checkpoint of that shutdown says. Logs come after `positions`, which tell rot from a tear.
//! 4. What a crash leaves beside, a `.tmp`, is written over by the next run, or removed as a leftover.

mod files;
mod logs;
mod state;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::engine::{Engine, EngineConfig};
use crate::error::{Error, Result};
use crate::io::{Dir, Disk, Kind, OsDisk};
use crate::record::Batch;
use crate::replay::{VerifyOptions, VerifyReport, is_ours, verify_dir};
use crate::storage::{
    CLEAN_SHUTDOWN, Defect, DefectKind, Finding, TopicConfig, free_name, has_clean_shutdown, parse_segment_name,
    remove_clean_shutdown, save,
};
use crate::types::Offset;

/// What [`repair`] does, or would do, about one thing that is wrong.
///
/// ```
/// # use ottla::RepairAction;
/// assert_eq!(RepairAction::Replace.to_string(), "replace");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RepairAction {
    /// What cannot be read goes, and what is known is put in its place.
    Replace,
    /// The file is made again from others, and nothing is lost.
    Rebuild,
    /// No whole batch behind what is durable: cut off, as any opening does.
    Cut,
    /// It does not belong there: it is moved to the quarantine.
    Remove,
    /// It stays as it is; the detail says why.
    Leave,
}

impl fmt::Display for RepairAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Replace => "replace",
            Self::Rebuild => "rebuild",
            Self::Cut => "cut",
            Self::Remove => "remove",
            Self::Leave => "leave",
        })
    }
}

/// One step of a repair; printed, it is one line: file, position, lost offsets, action, and what it is about, `-` where
/// there is none.
///
/// ```
/// # use ottla::{Engine, Offset, Producer, ProducerRecord, RepairAction, RepairOptions, repair};
/// # let data = tempfile::tempdir().expect("a temporary directory");
/// let engine = Engine::open(data.path())?;
/// Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
/// engine.close()?;
/// let segment = data.path().join("log/orders-0/00000000000000000000.log");
/// let mut bytes = std::fs::read(&segment)?;
/// bytes[65] ^= 1;
/// std::fs::write(&segment, bytes)?;
///
/// let plan = repair(data.path(), &RepairOptions::default())?; // changes nothing
/// let step = plan.iter().next().expect("there is one");
/// assert_eq!((&step.path, step.position, step.action), (&segment, Some(0), RepairAction::Replace));
/// assert_eq!(step.lost, Some((Offset(0), Offset(0))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RepairStep {
    /// The file or directory.
    pub path: PathBuf,
    /// Where in the file, in bytes.
    pub position: Option<u64>,
    /// The first and the last offset whose records are lost.
    pub lost: Option<(Offset, Offset)>,
    /// What is done.
    pub action: RepairAction,
    /// What is wrong, and what comes of it.
    pub detail: Arc<str>,
    /// Where the copy is; `None` of what was only planned, or where nothing but zeros was taken away.
    pub copy: Option<PathBuf>,
}

impl fmt::Display for RepairStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path.display())?;
        match self.position {
            Some(position) => write!(f, "{position}: ")?,
            None => f.write_str("-: ")?,
        }
        match self.lost {
            Some((first, last)) => write!(f, "{first} to {last}: ")?,
            None => f.write_str("-: ")?,
        }
        write!(f, "{}: {}", self.action, self.detail)?;
        match &self.copy {
            Some(copy) => write!(f, " (kept in {})", copy.display()),
            None => Ok(()),
        }
    }
}

/// How [`repair`] goes about it: without changing anything, unless it is told to.
///
/// ```
/// # use ottla::{Engine, RepairOptions, repair};
/// # let data = tempfile::tempdir().expect("a temporary directory");
/// # Engine::open(data.path())?.close()?;
/// assert!(repair(data.path(), &RepairOptions::default().execute(true))?.is_empty());
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct RepairOptions {
    execute: bool,
    max_unpacked_bytes: usize,
}

impl Default for RepairOptions {
    fn default() -> Self {
        Self { execute: false, max_unpacked_bytes: Batch::DEFAULT_UNPACKED_LIMIT }
    }
}

impl RepairOptions {
    /// Whether the steps are carried out; else they are only listed.
    pub fn execute(mut self, execute: bool) -> Self {
        self.execute = execute;
        self
    }

    /// How many bytes the records of one compressed batch may unpack to, 128 MiB by default. What a batch of more holds
    /// is not looked at, and it stays.
    pub fn max_unpacked_bytes(mut self, bytes: usize) -> Self {
        self.max_unpacked_bytes = bytes;
        self
    }
}

/// What [`repair`] did, or would do.
///
/// ```
/// # use ottla::{Engine, RepairOptions, repair};
/// # let data = tempfile::tempdir().expect("a temporary directory");
/// # Engine::open(data.path())?.close()?;
/// std::fs::write(data.path().join("log/meta.properties"), "version=many")?;
/// let plan = repair(data.path(), &RepairOptions::default())?;
/// assert!(!plan.is_empty() && !plan.was_executed());
/// let done = repair(data.path(), &RepairOptions::default().execute(true))?;
/// assert!(done.was_executed() && done.remaining().next().is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepairReport {
    steps: Vec<RepairStep>,
    was_executed: bool,
    remaining: Vec<Defect>,
}

impl RepairReport {
    /// The steps, in the order in which they are made.
    pub fn iter(&self) -> impl Iterator<Item = &RepairStep> {
        self.steps.iter()
    }

    /// Whether there is nothing to repair, and nothing that stays as it is though it is found fault with.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether the steps were carried out.
    #[must_use]
    pub fn was_executed(&self) -> bool {
        self.was_executed
    }

    /// What [`verify`](crate::verify) finds after the repair: nothing but what the steps leave as it is.
    pub fn remaining(&self) -> impl Iterator<Item = &Defect> {
        self.remaining.iter()
    }
}

/// Repairs a directory of topics, or says what it would do: by default nothing is changed.
///
/// Where records cannot be read, an empty batch takes their place, as Kafka leaves one behind a compaction: reading goes
/// on without an error, no offset is given out twice, and the report says which are lost. The catalog, groups'
/// offsets and everything else are put together from what is left. Whatever goes or is replaced is kept in
/// `quarantine/`. Afterwards [`verify`](crate::verify) finds nothing but names that are left alone, and an engine opens
/// the directory to write.
///
/// Blocks until everything is read, and written. Interrupted anywhere, it can be run again. Without
/// [`execute`](RepairOptions::execute) it takes no lock and needs no permission to write, as `verify`; beside a writer,
/// what it says may be over by then.
///
/// # Errors
/// [`Error::IllegalArgument`] if it is no directory of topics: what a broker wrote, the broker repairs.
/// [`Error::DirectoryLocked`] while an engine has it open, if the steps are to be carried out.
/// [`Error::UnsupportedVersion`] if a newer version wrote some of it; nothing is changed then. [`Error::IllegalState`]
/// where a symbolic link stands in the place of a file or directory. [`Error::Io`] and [`Error::DiskFull`]: run it again
/// when the cause is gone.
///
/// # Examples
/// ```
/// # use ottla::{Engine, Producer, ProducerRecord, RepairOptions, VerifyOptions, repair, verify};
/// # let data = tempfile::tempdir().expect("a temporary directory");
/// let engine = Engine::open(data.path())?;
/// Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
/// engine.close()?;
/// let catalog = data.path().join("catalog");
/// std::fs::write(&catalog, vec![0; 300])?; // and no engine knows which topics there are
/// assert!(Engine::open(data.path()).is_err());
///
/// for step in repair(data.path(), &RepairOptions::default().execute(true))?.iter() {
///     println!("{step}");
/// }
/// assert!(verify(data.path(), &VerifyOptions::default())?.is_clean());
/// let engine = Engine::open(data.path())?;
/// assert_eq!(engine.end_offset(&("orders", 0).into())?, ottla::Offset(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn repair(path: impl AsRef<Path>, options: &RepairOptions) -> Result<RepairReport> {
    let disk = OsDisk::open(path.as_ref(), false, &EngineConfig::default().reading())?;
    repair_disk(&(Arc::new(disk) as Arc<dyn Disk>), options)
}

/// The same of any disk.
pub(super) fn repair_disk(disk: &Arc<dyn Disk>, options: &RepairOptions) -> Result<RepairReport> {
    let root = disk.root();
    let names = root.names()?;
    if !is_ours(|name| names.iter().any(|other| other == name)) {
        let path = root.path().display();
        let reason = format!("{path} is no directory of topics, and only such a directory is repaired");
        return Err(Error::illegal_argument(reason));
    }
    let mut locks = Vec::new();
    if options.execute {
        // What is no file nobody holds a lock on.
        let is_lockable =
            |dir: &dyn Dir, name: &str| dir.kind(name).map(|kind| matches!(kind, None | Some(Kind::File | Kind::Link)));
        let owner = format!("process {}, which repairs it", std::process::id());
        if is_lockable(root.as_ref(), "LOCK")? {
            locks.push(root.lock("LOCK", &owner)?);
        }
        if let Ok(log_dir) = root.dir("log")
            && is_lockable(log_dir.as_ref(), ".lock")?
        {
            locks.push(log_dir.lock(".lock", "")?);
        }
    }
    let verify_options = VerifyOptions::default().max_unpacked_bytes(options.max_unpacked_bytes);
    let found = verify_dir(&root, &verify_options, options.execute)?;
    let plan = Repair::new(disk, options, &found, false)?.run()?;
    if !options.execute || plan.iter().all(|step| step.action == RepairAction::Leave) {
        return Ok(RepairReport { steps: plan, was_executed: options.execute, remaining: Vec::new() });
    }
    let mut steps = Repair::new(disk, options, &found, true)?.run()?;
    drop(locks);
    // Whoever is faster in between opens what is mended, and does the same.
    let engine = Engine::start(Arc::clone(disk), EngineConfig::default(), TopicConfig::default())?;
    for finding in engine.report().iter() {
        note_opening(&mut steps, finding);
    }
    engine.close()?;
    drop(engine);
    let remaining = verify_dir(&root, &verify_options, true)?.iter().cloned().collect();
    Ok(RepairReport { steps, was_executed: true, remaining })
}

/// Takes in what the opening at the end has done, unless it was planned.
fn note_opening(steps: &mut Vec<RepairStep>, finding: &Finding) {
    let (path, action) = match finding {
        Finding::Cut { path, quarantine, .. } => {
            let planned = steps.iter_mut().find(|step| step.action == RepairAction::Cut && step.path == *path);
            if let Some(step) = planned {
                step.copy.clone_from(quarantine);
            }
            (path.clone(), RepairAction::Cut)
        }
        Finding::Damaged { path, .. } => (path.clone(), RepairAction::Leave),
        Finding::Rebuilt { path, .. } | Finding::State { path, .. } => (path.clone(), RepairAction::Rebuild),
        Finding::Leftover { path } => (path.clone(), RepairAction::Leave),
        // It loses nothing: the group goes on at the end of the log, as it would have done in any case.
        Finding::Clamped { partition, .. } => (PathBuf::from(partition.to_string()), RepairAction::Rebuild),
    };
    if !steps.iter().any(|step| step.path == path) {
        let detail = finding.to_string().into();
        steps.push(RepairStep { path, position: None, lost: None, action, detail, copy: None });
    }
}

/// One run: through everything, to say what is to be done, or to do it.
struct Repair<'a> {
    disk: &'a Arc<dyn Disk>,
    options: &'a RepairOptions,
    /// What was wrong before anything was changed.
    found: &'a VerifyReport,
    is_executed: bool,
    root: Arc<dyn Dir>,
    was_clean: bool,
    /// There once something is to be put there.
    quarantine: Option<Arc<dyn Dir>>,
    steps: Vec<RepairStep>,
    /// Copies were made of these, since the last opening makes them again.
    copied: BTreeSet<PathBuf>,
}

impl<'a> Repair<'a> {
    fn new(
        disk: &'a Arc<dyn Disk>,
        options: &'a RepairOptions,
        found: &'a VerifyReport,
        is_executed: bool,
    ) -> Result<Self> {
        let root = disk.root();
        let was_clean = match root.dir("log") {
            Ok(log_dir) => log_dir.kind(CLEAN_SHUTDOWN)? == Some(Kind::File) && has_clean_shutdown(log_dir.as_ref())?,
            Err(_) => false,
        };
        let (steps, copied) = (Vec::new(), BTreeSet::new());
        Ok(Self { disk, options, found, is_executed, root, was_clean, quarantine: None, steps, copied })
    }

    fn run(mut self) -> Result<Vec<RepairStep>> {
        self.clear_places()?;
        let catalog = self.mend_catalog()?;
        self.mend_groups()?;
        self.mend_small_files()?;
        let positions = self.mend_positions(&catalog)?;
        if self.is_executed
            && let Ok(log_dir) = self.root.dir("log")
        {
            // From here on the indexes are not trusted: the opening makes all of them again.
            remove_clean_shutdown(log_dir.as_ref())?;
        }
        self.mend_logs(&catalog, &positions)?;
        self.clear_leftovers()?;
        self.note_rest()?;
        Ok(self.steps)
    }

    fn step(&mut self, action: RepairAction, path: PathBuf, detail: impl Into<Arc<str>>) -> &mut RepairStep {
        let step = RepairStep { path, position: None, lost: None, action, detail: detail.into(), copy: None };
        self.steps.push(step);
        self.steps.last_mut().expect("it was just put there")
    }

    /// The quarantine, made if need be.
    fn quarantine(&mut self) -> Result<Arc<dyn Dir>> {
        if let Some(quarantine) = &self.quarantine {
            return Ok(Arc::clone(quarantine));
        }
        let quarantine = self.root.create_dir("quarantine")?;
        self.root.sync()?; // its name, before what is put in it is relied upon
        self.quarantine = Some(Arc::clone(&quarantine));
        Ok(quarantine)
    }

    /// What a copy of `name` in `dir` is called: its path from the root, with dots.
    fn place(&self, dir: &dyn Dir, name: &str) -> String {
        let path = dir.path().strip_prefix(self.root.path()).unwrap_or(dir.path()).join(name);
        let path = path.strip_prefix("log").unwrap_or(&path);
        let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
        parts.join(".")
    }

    /// Copies a file, durably; `None` if there is none, or nothing is in it.
    fn keep_copy(&mut self, dir: &dyn Dir, name: &str) -> Result<Option<PathBuf>> {
        if dir.kind(name)? != Some(Kind::File) {
            return Ok(None);
        }
        let quarantine = self.quarantine()?;
        let file = dir.open(name)?;
        let copy = save(quarantine.as_ref(), &self.place(dir, name), file.as_ref(), 0..file.len()?)?;
        quarantine.sync()?;
        Ok(copy)
    }

    /// Moves a file to the quarantine.
    fn remove(&mut self, dir: &dyn Dir, name: &str, detail: impl Into<Arc<str>>) -> Result<()> {
        let copy = if self.is_executed {
            let copy = self.keep_copy(dir, name)?;
            dir.remove(name)?;
            dir.sync()?;
            copy
        } else {
            None
        };
        self.step(RepairAction::Remove, dir.path().join(name), detail).copy = copy;
        Ok(())
    }

    /// Moves whatever is called `name` to the quarantine: what is no file cannot be copied.
    fn move_away(&mut self, dir: &dyn Dir, name: &str, detail: impl Into<Arc<str>>) -> Result<()> {
        let mut copy = None;
        if self.is_executed {
            let quarantine = self.quarantine()?;
            let place = free_name(quarantine.as_ref(), &self.place(dir, name))?;
            dir.move_to(name, quarantine.as_ref(), &place)?;
            quarantine.sync()?;
            dir.sync()?;
            copy = Some(quarantine.path().join(place));
        }
        self.step(RepairAction::Remove, dir.path().join(name), detail).copy = copy;
        Ok(())
    }

    fn has_step(&self, path: &Path) -> bool {
        self.steps.iter().any(|step| step.path == path)
    }

    /// What was found and has no step of its own is made again or cut off by the opening at the end, or it stays.
    fn note_rest(&mut self) -> Result<()> {
        let found = self.found;
        let rest: Vec<&Defect> = found.iter().filter(|defect| !self.is_dealt_with(defect)).collect();
        for defect in rest {
            let name = defect.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let kind = parse_segment_name(&name).map(|(_, kind)| kind);
            let action = match defect.kind {
                // Made again by nobody, such as what unpacks to more than the limit.
                DefectKind::Damage if kind == Some("log") => RepairAction::Leave,
                DefectKind::Damage | DefectKind::Cache => RepairAction::Rebuild,
                DefectKind::Torn => RepairAction::Cut,
                DefectKind::Name if matches!(kind, Some("index" | "timeindex")) => RepairAction::Rebuild,
                DefectKind::Name | DefectKind::NotRead | DefectKind::Unreadable => RepairAction::Leave,
            };
            let mut copy = None;
            if self.is_executed && action == RepairAction::Rebuild && self.copied.insert(defect.path.clone()) {
                copy = self.keep_copy_of(&defect.path)?;
            }
            let step = self.step(action, defect.path.clone(), Arc::clone(&defect.detail));
            (step.position, step.copy) = (defect.position, copy);
        }
        Ok(())
    }

    /// Whether there is a step for what was found: one of that file, or one that makes good for the same offsets.
    fn is_dealt_with(&self, defect: &Defect) -> bool {
        let dir = |path: &Path| {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let is_segment = parse_segment_name(&name).is_some();
            if is_segment { path.parent().map(Path::to_owned) } else { Some(path.to_owned()) }
        };
        let covers = |step: &RepairStep| {
            let both = defect.offsets.zip(step.lost);
            let is_covered = both.is_some_and(|((first, last), lost)| lost.0 <= first && last <= lost.1);
            is_covered && dir(&step.path) == dir(&defect.path)
        };
        self.steps.iter().any(|step| step.path == defect.path || covers(step))
    }

    /// Copies the file at `path`, which lies in one of the directories of ours.
    fn keep_copy_of(&mut self, path: &Path) -> Result<Option<PathBuf>> {
        let Ok(below) = path.strip_prefix(self.root.path()) else { return Ok(None) };
        let mut dir = Arc::clone(&self.root);
        let mut parts: Vec<String> = below.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        let Some(name) = parts.pop() else { return Ok(None) };
        for part in parts {
            match dir.dir(&part) {
                Ok(next) => dir = next,
                Err(_) => return Ok(None), // what is not there cannot be copied
            }
        }
        self.keep_copy(dir.as_ref(), &name)
    }
}
