//! Opens a directory: takes its locks, reads the catalog, recovers the logs, loads the groups.
//!
//! The order is what makes it safe to be interrupted anywhere:
//!
//! 1. the locks; nothing is looked at before they are held;
//! 2. `positions` and the catalog, which say what there is, and how much of it is on the disk;
//! 3. the marker of a clean shutdown goes, durably, before anything is changed;
//! 4. after an unclean shutdown the catalog is written anew with the next leader epoch, durably: a crash from here on
//!    finds the epoch taken, and takes another;
//! 5. the logs are recovered, each cut where it was torn, and told of the new epoch, before anything is appended;
//! 6. the groups are loaded, and what they committed beyond the end of a cut log is reported.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use crate::coordinator::group::{Group, OFFSETS_SUFFIX};
use crate::engine::config::EngineConfig;
use crate::engine::groups::{Groups, StoredGroup, journal_cell};
use crate::engine::lane::{JournalCell, Lane, Reserve};
use crate::error::{Error, Result};
use crate::io::{Dir, Disk, Entry, Lock};
use crate::replication::{Offline, Partition};
use crate::storage::{
    BehindHole, Finding, Journal, JournalFinding, JournalIds, JournalOpening, Log, META_PROPERTIES, OpenReport,
    Opening, PARTITION_METADATA, POSITIONS, PREVIOUS, PartitionDirKind, Position, Positions, RECOVERY_POINTS, SlotId,
    TopicConfig, ensure_meta_properties, has_clean_shutdown, has_meta_properties, parse_group_file_name,
    parse_partition_dir, partition_dir_name, read_offsets, read_partition_metadata, remove_clean_shutdown,
    write_partition_metadata,
};
use crate::sync::lock;
use crate::topics::{CATALOG, Catalog, Change, Topic, TopicEntry, Topics, clear_leftovers};
use crate::types::{LeaderEpoch, Offset, Timestamp, TopicId, TopicPartition};

/// An opened directory, before its threads start.
pub(super) struct Opened {
    pub(super) lane: Arc<Lane>,
    pub(super) log_dir: Arc<dyn Dir>,
    pub(super) topics: Topics,
    pub(super) groups: Groups,
    pub(super) catalog: Arc<Mutex<Catalog>>,
    pub(super) catalog_journal: Arc<JournalCell>,
    pub(super) report: OpenReport,
    pub(super) locks: Vec<Box<dyn Lock>>,
}

/// Opens the directory; on a full disk, with the room that the reserve gives back.
pub(super) fn open_directory(disk: &Arc<dyn Disk>, config: &EngineConfig, defaults: &TopicConfig) -> Result<Opened> {
    match open_once(disk, config, defaults) {
        // Interrupted anywhere, it can be done again.
        Err(error) if error.is_lack_of_room() && Reserve::of(&disk.root())?.release() => {
            open_once(disk, config, defaults)
        }
        opened => opened,
    }
}

fn open_once(disk: &Arc<dyn Disk>, config: &EngineConfig, defaults: &TopicConfig) -> Result<Opened> {
    let root = disk.root();
    let owner = format!("process {}", std::process::id());
    let mut locks = vec![root.lock("LOCK", &owner)?];
    let has = |name: &str| Ok::<_, Error>(root.list()?.iter().any(|entry| entry.name == name));
    let (has_catalog, has_positions) = (Journal::exists(root.as_ref(), CATALOG)?, has(POSITIONS)?);
    // A directory with a catalog is none, though its logs may be gone.
    let is_new = !has("log")? && !has_catalog;
    let [log_dir, groups_dir, quarantine] = ["log", "groups", "quarantine"]
        .map(|name| root.create_dir(name))
        .into_iter()
        .collect::<Result<Vec<_>>>()?
        .try_into()
        .expect("three were asked for");
    root.sync()?; // the names, before anything below them is relied upon
    locks.push(log_dir.lock(".lock", "")?); // Kafka's: keeps a broker out

    let mut report = OpenReport::default();
    let was_closed = has_clean_shutdown(log_dir.as_ref())?;
    let was_clean = was_closed || is_new;
    let has_properties = has_meta_properties(log_dir.as_ref())?;
    // The first opening makes them in this order, each durable before the next; a crash may have interrupted it.
    let made_again = [
        (has_catalog && !has_positions, root.path().join(POSITIONS)),
        ((has_properties || was_closed) && !has_catalog, root.path().join(CATALOG)),
        (was_closed && !has_properties, log_dir.path().join(META_PROPERTIES)),
    ];
    let (positions, position_findings) = Positions::open(&root)?;
    for finding in position_findings {
        report.push(finding.into());
    }
    let offline = Arc::new(Offline::new(root.path().to_owned()));
    let (journal, catalog) = open_catalog(&root, disk, log_dir.as_ref(), was_clean, &offline, &mut report)?;
    ensure_meta_properties(log_dir.as_ref(), || disk.random())?;
    for (_, path) in made_again.into_iter().filter(|(is_missing, _)| *is_missing) {
        report.push(Finding::Rebuilt { path, reason: "it was missing".into() });
    }
    if !offline.is_set() {
        remove_clean_shutdown(log_dir.as_ref())?;
    }
    let lane = Arc::new(Lane {
        reserve: Reserve::of(&root)?,
        offline,
        positions,
        positions_changed: AtomicBool::new(false),
        disk: Arc::clone(disk),
    });
    let catalog = Arc::new(Mutex::new(catalog));
    let state = Arc::clone(&catalog);
    let catalog_journal = Arc::new(JournalCell::new(journal, move || lock(&state).snapshot()));
    let old_epoch = lock(&catalog).epoch();
    if !lane.offline.is_set() {
        if !was_clean {
            lock(&catalog).apply(Change::Epoch(LeaderEpoch(old_epoch.0.saturating_add(1))));
        }
        // Also a catalog that was just made, after a crash within the first opening: its frame has the old epoch.
        if !was_clean || lock(&catalog_journal.journal).must_be_compacted() {
            catalog_journal.compact(lane.disk.random())?;
        }
    }

    let forget_producers_before = disk.now().minus(config.producer_id_expiration());
    let opener = Opener {
        lane: &lane,
        log_dir: &log_dir,
        quarantine: quarantine.as_ref(),
        was_clean,
        old_epoch,
        forget_producers_before,
        defaults,
    };
    let topics = opener.open_topics(&lock(&catalog), &mut report)?;
    let groups = open_groups(&groups_dir, &lane, &topics, was_clean, &mut report)?;
    if !lane.offline.is_set()
        && let Err(error) = lane.reserve.take()
    {
        log::warn!("no records until there is room for the reserve: {error}");
    }
    Ok(Opened { lane, log_dir, topics, groups, catalog, catalog_journal, report, locks })
}

/// Reads the catalog, or makes that of a new directory.
fn open_catalog(
    root: &Arc<dyn Dir>,
    disk: &Arc<dyn Disk>,
    log_dir: &dyn Dir,
    was_clean: bool,
    offline: &Offline,
    report: &mut OpenReport,
) -> Result<(Journal, Catalog)> {
    if !Journal::exists(root.as_ref(), CATALOG)? {
        // A directory that has records has a catalog: without one nobody knows what they belong to.
        if let Some(entry) = log_dir
            .list()?
            .into_iter()
            .find(|entry| entry.is_dir && matches!(parse_partition_dir(&entry.name), Some((_, PartitionDirKind::Live))))
        {
            let reason = format!("it is missing, and there is {}", log_dir.path().join(entry.name).display());
            return Err(Error::corrupt_file(&root.path().join(CATALOG), 0, reason));
        }
        let catalog = Catalog::default();
        let ids = JournalIds { journal: disk.random(), history: disk.random() };
        let journal = Journal::create(Arc::clone(root), CATALOG, ids, &catalog.snapshot())?;
        return Ok((journal, catalog));
    }
    let JournalOpening { journal, payloads, findings } =
        Journal::open(Arc::clone(root), CATALOG, was_clean, BehindHole::Drop)?;
    if let Some(rot) = findings.iter().find(|finding| finding.is_rot()) {
        // Nothing may be built on a catalog that has lost something: the engine opens to be read.
        offline.set(Error::corrupt_file(&rot.path, rot.position, "what it said of topics there is lost"));
    }
    report_journal(findings, report);
    Ok((journal, Catalog::read(&payloads, &root.path().join(CATALOG))?))
}

fn report_journal(findings: Vec<JournalFinding>, report: &mut OpenReport) {
    for finding in findings {
        report.push(finding.into());
    }
}

/// What opening the topics needs.
struct Opener<'a> {
    lane: &'a Arc<Lane>,
    log_dir: &'a Arc<dyn Dir>,
    quarantine: &'a dyn Dir,
    was_clean: bool,
    /// Of before this opening: no batch on the disk has a later one.
    old_epoch: LeaderEpoch,
    /// Producers that appended last before it are forgotten.
    forget_producers_before: Timestamp,
    defaults: &'a TopicConfig,
}

impl Opener<'_> {
    fn open_topics(&self, catalog: &Catalog, report: &mut OpenReport) -> Result<Topics> {
        let entries: BTreeMap<&str, &TopicEntry> = catalog.topics().map(|entry| (&*entry.name, entry)).collect();
        let is_ours = |partition: &TopicPartition| {
            let entry = entries.get(partition.topic());
            entry.is_some_and(|entry| partition.partition() < entry.partitions && self.has_id_of(partition, entry))
        };
        // A catalog that has lost something does not know whose a directory is.
        let knows_all = !self.lane.offline.is_set();
        if knows_all {
            let marker = self.lane.disk.random();
            clear_leftovers(self.log_dir.as_ref(), is_ours, marker, &mut |finding| report.push(finding))?;
        }

        // Written at the last close; `positions` knows better, unless it is gone. After a crash it may speak of a topic
        // that was deleted since, whose name another one has: it knows names only.
        let checkpoint = match read_offsets(self.log_dir.as_ref(), RECOVERY_POINTS) {
            Ok(checkpoint) => checkpoint.filter(|_| self.was_clean).unwrap_or_default(),
            Err(error) if error.is_corruption() => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        let topics = Topics::default();
        for entry in entries.into_values() {
            topics.insert(Arc::new(self.open_topic(entry, catalog.epoch(), &checkpoint, report)?));
        }
        let known: BTreeSet<TopicId> = topics.all().iter().map(|topic| topic.id()).collect();
        let slots = self.lane.positions.logs().into_iter().filter(|((id, _), _)| !known.contains(id));
        let orphans: Vec<SlotId> = slots.map(|(_, slot)| slot).collect();
        if knows_all && !orphans.is_empty() {
            self.lane.positions.free(&orphans)?;
        }
        if !self.was_clean {
            self.lane.positions.sync()?;
        }
        Ok(topics)
    }

    /// Whether the directory of `partition` is the one that the catalog means, not one of an older topic of that name.
    fn has_id_of(&self, partition: &TopicPartition, entry: &TopicEntry) -> bool {
        let found =
            self.log_dir.dir(&partition_dir_name(partition)).and_then(|dir| read_partition_metadata(dir.as_ref()));
        !matches!(found, Ok(Some(id)) if !id.is_almost(entry.id))
    }

    /// Makes `partition.metadata` say what the catalog does.
    fn check_metadata(&self, dir: &dyn Dir, id: TopicId, report: &mut OpenReport) -> Result<()> {
        let reason = match read_partition_metadata(dir) {
            Ok(Some(found)) if found == id => return Ok(()),
            Ok(Some(_)) => "its topic id was damaged".into(),
            Ok(None) => "it was missing".into(),
            Err(Error::CorruptFile { reason, .. }) => reason,
            Err(error) => return Err(error),
        };
        write_partition_metadata(dir, id)?;
        report.push(Finding::Rebuilt { path: dir.path().join(PARTITION_METADATA), reason });
        Ok(())
    }

    fn open_topic(
        &self,
        entry: &TopicEntry,
        epoch: LeaderEpoch,
        checkpoint: &BTreeMap<TopicPartition, Offset>,
        report: &mut OpenReport,
    ) -> Result<Topic> {
        let config = Arc::new(self.defaults.to_builder().set_all(&entry.overrides)?.build()?);
        let mut partitions = Vec::new();
        for number in 0..entry.partitions {
            let name = TopicPartition::new(Arc::clone(&entry.name), number);
            partitions.push(Arc::new(self.open_partition(entry, &name, &config, epoch, checkpoint, report)?));
        }
        Ok(Topic::new(entry.clone(), config, partitions))
    }

    fn open_partition(
        &self,
        entry: &TopicEntry,
        name: &TopicPartition,
        config: &Arc<TopicConfig>,
        epoch: LeaderEpoch,
        checkpoint: &BTreeMap<TopicPartition, Offset>,
        report: &mut OpenReport,
    ) -> Result<Partition> {
        let positions = &self.lane.positions;
        let known = positions.get(entry.id, name.partition());
        let slot = positions.slot_for(entry.id, name.partition());
        let dir_name = partition_dir_name(name);
        let dir = match self.log_dir.dir(&dir_name) {
            Err(error) if error.is_not_found() => {
                let path = self.log_dir.path().join(&dir_name);
                report.push(Finding::Rebuilt { path, reason: "the partition's directory was missing".into() });
                let dir = self.log_dir.create_dir(&dir_name)?;
                self.log_dir.sync()?;
                dir
            }
            found => found?,
        };
        self.check_metadata(dir.as_ref(), entry.id, report)?;
        let opening = Opening {
            dir: &dir,
            name,
            config: Arc::clone(config),
            quarantine: self.quarantine,
            epoch: self.old_epoch,
            log_start: known.map(|known| known.log_start),
            durable_end: known.map(|known| known.durable_end).or_else(|| checkpoint.get(name).copied()),
            was_clean: self.was_clean,
            forget_producers_before: Some(self.forget_producers_before),
            now: self.lane.disk.now(),
        };
        let mut before_cut = |log_end: Offset| {
            let Some(known) = known else { return Ok(()) };
            let lowered = Position {
                durable_end: known.durable_end.min(log_end),
                high_watermark: known.high_watermark.min(log_end),
                last_stable_offset: known.last_stable_offset.min(log_end),
                ..known
            };
            positions.lower(slot, &lowered)
        };
        let log = Log::open(&opening, &mut before_cut, &mut |finding| report.push(finding))?;
        if log.leader_epoch() != epoch {
            log.begin_epoch(epoch)?;
        }
        let partition = Partition::new(entry.id, log, slot, Arc::clone(&self.lane.offline));
        self.lane.write_position(&partition);
        Ok(partition)
    }
}

/// Loads the groups, and reports what they have committed beyond where a log now ends.
fn open_groups(
    dir: &Arc<dyn Dir>,
    lane: &Arc<Lane>,
    topics: &Topics,
    was_clean: bool,
    report: &mut OpenReport,
) -> Result<Groups> {
    let mut groups = Vec::new();
    // A crash within a compaction may have left the generation before alone.
    let file = |entry: Entry| {
        let name = entry.name.strip_suffix(PREVIOUS).unwrap_or(&entry.name);
        name.strip_suffix(OFFSETS_SUFFIX).filter(|_| !entry.is_dir).map(str::to_owned)
    };
    let files: BTreeSet<String> = dir.list()?.into_iter().filter_map(file).collect();
    for file in files {
        let Some(name) = parse_group_file_name(&file) else { continue };
        let file = format!("{file}{OFFSETS_SUFFIX}");
        let JournalOpening { journal, payloads, findings } =
            Journal::open(Arc::clone(dir), &file, was_clean, BehindHole::Keep)?;
        let is_whole = was_clean && findings.is_empty();
        report_journal(findings, report);
        let offsets = Arc::new(Group::new(&name));
        for payload in payloads {
            let path = dir.path().join(&file);
            offsets
                .apply(&payload)
                .map_err(|bad| Error::UnsupportedVersion { path, reason: bad.to_string().into() })?;
        }
        offsets.note_opening(is_whole, lane.disk.now()); // before it is written anew
        let cell = journal_cell(journal, &offsets);
        if lock(&cell.journal).must_be_compacted() {
            cell.compact(lane.disk.random())?;
        }
        report_clamped(&offsets, topics, report);
        groups.push(StoredGroup::new(offsets, Some(cell)));
    }
    Ok(Groups::new(Arc::clone(dir), groups))
}

fn report_clamped(offsets: &Group, topics: &Topics, report: &mut OpenReport) {
    let by_id: BTreeMap<_, _> = topics.all().into_iter().map(|topic| (topic.id(), topic)).collect();
    for entry in offsets.entries() {
        let Some(partition) = by_id.get(&entry.topic_id).and_then(|topic| topic.partition(entry.partition).ok()) else {
            continue;
        };
        let resumes_at = partition.resume_at(entry.offset, entry.leader_epoch);
        if resumes_at < entry.offset {
            let (group, partition) = (offsets.name().into(), partition.name().clone());
            report.push(Finding::Clamped { group, partition, committed: entry.offset, resumes_at });
        }
    }
}
