//! Our own state: the catalog, what groups have committed, and `positions`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::admin::repair::{Repair, RepairAction};
use crate::coordinator::group::{Group, OFFSETS_SUFFIX};
use crate::error::{Error, Result};
use crate::storage::{
    BehindHole, Journal, LOG_STARTS, LeaderEpochs, POSITIONS, PREVIOUS, PartitionDirKind, Position, Positions,
    PositionsByLog, RECOVERY_POINTS, Salvage, SalvageState, parse_group_file_name, parse_partition_dir,
    parse_segment_name, partition_dir_name, read_offsets, read_partition_metadata,
};
use crate::topics::{CATALOG, Catalog, Change, TopicEntry};
use crate::types::{LeaderEpoch, Offset, TopicId, TopicPartition};

/// The partitions' directories by topic: the numbers, and the topic's id as far as it can be read.
type Dirs = BTreeMap<Arc<str>, BTreeMap<u32, Option<TopicId>>>;

impl Repair<'_> {
    /// The catalog, as it is or as it is put together.
    pub(super) fn mend_catalog(&mut self) -> Result<Catalog> {
        let root = Arc::clone(&self.root);
        let salvage = Journal::salvage(root.as_ref(), CATALOG, self.was_clean, BehindHole::Drop)?;
        let unknown = || Error::UnsupportedVersion {
            path: root.path().join(CATALOG),
            reason: "it has a frame that this version does not know".into(),
        };
        let decode = |payloads: &[Vec<u8>]| payloads.iter().map(|payload| Change::decode(payload)).collect::<Vec<_>>();
        let (mut now, mut before) = (decode(&salvage.payloads), decode(&salvage.before));
        let is_foreign = !now.is_empty() && now.iter().all(Option::is_none);
        if is_foreign {
            (now, before) = (Vec::new(), decode(&salvage.whatever_before));
        }
        if before.iter().any(Option::is_none) {
            before.clear();
        }
        let now = now.into_iter().collect::<Option<Vec<Change>>>().ok_or_else(unknown)?;
        let before: Vec<Change> = before.into_iter().flatten().collect();
        let dirs = self.partition_dirs()?;
        let is_missing = salvage.state == SalvageState::Nothing && !dirs.is_empty();
        let mut catalog = Catalog::default();
        let changes = if salvage.state == SalvageState::HalfRenamed { &before } else { &now };
        changes.iter().for_each(|change| catalog.apply(change.clone()));
        let has_tear = matches!(&salvage.state, SalvageState::Read(findings) if !findings.is_empty());
        let is_short = self.is_short(&catalog, changes, &dirs, has_tear);
        if !(salvage.has_lost() || is_foreign || is_missing || is_short) {
            return Ok(catalog);
        }
        let (catalog, told) = self.put_together(now, before, &dirs)?;
        let path = root.path().join(CATALOG);
        let mut copy = None;
        if self.is_executed {
            copy = self.keep_copy(root.as_ref(), CATALOG)?;
            salvage.replace(root.as_ref(), CATALOG, &|| self.disk.random(), catalog.snapshot())?;
        }
        let why = match () {
            () if is_foreign => "it is none of a catalog".to_owned(),
            () if is_short && !salvage.has_lost() => "it lacks topics whose records are there".to_owned(),
            () => reason(&salvage),
        };
        self.step(RepairAction::Replace, path, format!("{why}: {told}")).copy = copy;
        Ok(catalog)
    }

    fn partition_dirs(&self) -> Result<Dirs> {
        let mut dirs = Dirs::new();
        let Ok(log_dir) = self.root.dir("log") else { return Ok(dirs) };
        for name in log_dir.names()? {
            let Some((partition, PartitionDirKind::Live)) = parse_partition_dir(&name) else { continue };
            let Ok(dir) = log_dir.dir(&name) else { continue };
            let id = read_partition_metadata(dir.as_ref()).ok().flatten();
            dirs.entry(partition.topic().into()).or_default().insert(partition.partition(), id);
        }
        Ok(dirs)
    }

    /// Whether the catalog lacks a topic that has a directory and, under the same id, a slot in `positions`, though none
    /// of its frames says that it was deleted: its end is gone, which alone looks like a write that a crash cut short.
    /// With such a tear records are enough: the frame that makes a topic is durable before any record of it is written.
    fn is_short(&self, catalog: &Catalog, changes: &[Change], dirs: &Dirs, has_tear: bool) -> bool {
        let positions = Positions::inspect(self.root.as_ref()).map(|(known, _)| known).unwrap_or_default();
        let has_records = |name: &Arc<str>, number: u32| {
            let name = partition_dir_name(&TopicPartition::new(Arc::clone(name), number));
            let entries = self.root.dir("log").and_then(|log_dir| log_dir.dir(&name)).and_then(|dir| dir.list());
            let is_log = |name: &str| parse_segment_name(name).is_some_and(|(_, kind)| kind == "log");
            entries.unwrap_or_default().iter().any(|entry| !entry.is_dir && entry.len > 0 && is_log(&entry.name))
        };
        let is_lost = |name: &Arc<str>, number: u32, id: TopicId| {
            let is_unnamed = !changes.contains(&Change::Deleted(id)) && !catalog.topics().any(|entry| entry.id == id);
            is_unnamed && (positions.contains_key(&(id, number)) || has_tear && has_records(name, number))
        };
        let all = dirs.iter().flat_map(|(name, found)| found.iter().map(move |(number, id)| (name, number, id)));
        all.into_iter().any(|(name, number, id)| id.is_some_and(|id| is_lost(name, *number, id)))
    }

    /// The catalog that the frames which hold, the generation before and the directories make, and what is from where.
    fn put_together(&self, now: Vec<Change>, before: Vec<Change>, dirs: &Dirs) -> Result<(Catalog, String)> {
        let knows_epoch = !(now.is_empty() && before.is_empty());
        let deleted: BTreeSet<TopicId> =
            now.iter().filter_map(|change| if let Change::Deleted(id) = change { Some(*id) } else { None }).collect();
        let stated: BTreeSet<TopicId> = now
            .iter()
            .filter_map(|change| if let Change::Created(entry) = change { Some(entry.id) } else { None })
            .collect();
        let mut all = Catalog::default();
        before.into_iter().chain(now).for_each(|change| all.apply(change));
        let mut catalog = Catalog::default();
        let (mut kept, mut earlier, mut adopted) = (0, Vec::new(), Vec::new());
        for entry in all.topics() {
            let has_dir = || dirs.get(&entry.name).is_some_and(|found| found.values().any(|id| *id == Some(entry.id)));
            // Of a topic that only the generation before names, the deletion may be what was lost.
            if stated.contains(&entry.id) {
                kept += 1;
            } else if has_dir() {
                earlier.push(entry.name.to_string());
            } else {
                continue;
            }
            catalog.apply(Change::Created(entry.clone()));
        }
        for (name, found) in dirs {
            let is_left_over = found.values().all(|id| id.is_some_and(|id| deleted.contains(&id)));
            if is_left_over || catalog.topics().any(|entry| entry.name == *name) {
                continue;
            }
            let taken = catalog.topics().map(|entry| entry.id).collect();
            catalog.apply(Change::Created(self.adopt(name, found, &taken)));
            adopted.push(name.to_string());
        }
        // The frame that said the epoch may be what was lost: of two generations, one opening lies between.
        let mut epoch = LeaderEpoch(all.epoch().0.saturating_add(1));
        for position in Positions::inspect(self.root.as_ref()).map(|(known, _)| known).unwrap_or_default().values() {
            epoch = epoch.max(position.leader_epoch);
        }
        if !knows_epoch {
            epoch = epoch.max(self.latest_epoch()?);
        }
        catalog.apply(Change::Epoch(epoch));
        let mut told = format!("topics that it still names: {kept}");
        if !earlier.is_empty() {
            told.push_str(&format!("; from the generation before: {}", earlier.join(", ")));
        }
        if !adopted.is_empty() {
            told.push_str(&format!("; from their directories, with the settings lost: {}", adopted.join(", ")));
        }
        Ok((catalog, told))
    }

    /// A topic as its directories show it. An id that another one has is none of its own.
    fn adopt(&self, name: &Arc<str>, found: &BTreeMap<u32, Option<TopicId>>, taken: &BTreeSet<TopicId>) -> TopicEntry {
        let own = |id: &Option<TopicId>| id.filter(|id| !taken.contains(id));
        let mut counts: BTreeMap<TopicId, usize> = BTreeMap::new();
        found.values().filter_map(own).for_each(|id| *counts.entry(id).or_default() += 1);
        let id = counts.iter().max_by_key(|(_, count)| **count).map(|(id, _)| *id);
        let id = id.unwrap_or_else(|| TopicId::from_random(self.disk.random()));
        let fits = found.iter().filter(|(_, other)| own(other).is_none_or(|other| other == id));
        let partitions = fits.map(|(number, _)| number.saturating_add(1)).max().unwrap_or(1);
        TopicEntry { name: Arc::clone(name), id, partitions, overrides: BTreeMap::new() }
    }

    /// The latest leader epoch that any log's file of epochs names.
    fn latest_epoch(&self) -> Result<LeaderEpoch> {
        let mut latest = LeaderEpoch::FIRST;
        let Ok(log_dir) = self.root.dir("log") else { return Ok(latest) };
        for name in log_dir.names()?.iter().filter(|name| super::files::is_live(name)) {
            let Ok(dir) = log_dir.dir(name) else { continue };
            if let Ok((epochs, None)) = LeaderEpochs::load(dir.as_ref()) {
                latest = epochs.latest().map_or(latest, |(epoch, _)| epoch.max(latest));
            }
        }
        Ok(latest)
    }

    /// What the groups have committed.
    pub(super) fn mend_groups(&mut self) -> Result<()> {
        let Ok(dir) = self.root.dir("groups") else { return Ok(()) };
        let names = dir.names()?;
        let names = names.iter().map(|name| name.strip_suffix(PREVIOUS).unwrap_or(name));
        let files: BTreeSet<&str> = names.filter(|name| name.ends_with(OFFSETS_SUFFIX)).collect();
        for file in files {
            let Some(group) = file.strip_suffix(OFFSETS_SUFFIX).and_then(parse_group_file_name) else { continue };
            let salvage = Journal::salvage(dir.as_ref(), file, self.was_clean, BehindHole::Keep)?;
            let owner = salvage.payloads.iter().find_map(|payload| Group::owner(payload));
            let offsets = Group::new(&group);
            let count = salvage.payloads.iter().filter(|payload| offsets.apply(payload).is_ok()).count();
            let is_foreign = owner.is_some_and(|owner| owner != group) || count == 0 && !salvage.payloads.is_empty();
            if !is_foreign && count < salvage.payloads.len() {
                let path = dir.path().join(file);
                return Err(Error::UnsupportedVersion {
                    path,
                    reason: "it has a frame that this version does not know".into(),
                });
            }
            if !(salvage.has_lost() || is_foreign) {
                continue;
            }
            let before = if is_foreign { &salvage.whatever_before } else { &salvage.before };
            let merged = Group::new(&group);
            let now = if is_foreign { &[][..] } else { &salvage.payloads[..] };
            for payload in before.iter().chain(now) {
                let _ = merged.apply(payload); // the generation before may be anything
            }
            merged.note_opening(false, self.disk.now()); // who came and left may be among what is lost
            let has_nothing = merged.has_nothing();
            let why = if is_foreign { "it is not this group's".to_owned() } else { reason(&salvage) };
            let told = if has_nothing {
                "nothing that the group has committed can be told".to_owned()
            } else {
                let from = if before.is_empty() { "" } else { ", over those of the generation before" };
                format!("offsets that it still has{from}: {}", merged.entries().len())
            };
            let mut copy = None;
            if self.is_executed {
                copy = self.keep_copy(dir.as_ref(), file)?;
                if has_nothing {
                    for name in [file.to_owned(), format!("{file}{PREVIOUS}")] {
                        self.keep_copy(dir.as_ref(), &name)?;
                        match dir.remove(&name) {
                            Err(error) if !error.is_not_found() => return Err(error),
                            _ => {}
                        }
                    }
                    dir.sync()?;
                } else {
                    salvage.replace(dir.as_ref(), file, &|| self.disk.random(), merged.snapshot())?;
                }
            }
            self.step(RepairAction::Replace, dir.path().join(file), format!("{why}: {told}")).copy = copy;
        }
        Ok(())
    }

    /// What is known of the logs, as it is or as it is put together.
    pub(super) fn mend_positions(&mut self, catalog: &Catalog) -> Result<PositionsByLog> {
        let root = Arc::clone(&self.root);
        let path = root.path().join(POSITIONS);
        let (mut positions, mut why) = match Positions::inspect(root.as_ref()) {
            Ok((positions, findings)) => (positions, findings.first().map(ToString::to_string)),
            Err(error) if error.is_not_found() || self.has_step(&path) => (PositionsByLog::new(), None),
            Err(error) => return Err(error),
        };
        if let Some(added) = self.add_from_checkpoint(&mut positions, catalog) {
            why.get_or_insert(added);
        }
        if let Some(why) = why {
            let mut copy = None;
            if self.is_executed {
                copy = self.keep_copy(root.as_ref(), POSITIONS)?;
                Positions::replace(root.as_ref(), &positions)?;
            }
            self.step(RepairAction::Replace, path, why).copy = copy;
        }
        Ok(positions)
    }

    /// After a clean shutdown the checkpoint says where each log ends, too.
    fn add_from_checkpoint(&self, positions: &mut PositionsByLog, catalog: &Catalog) -> Option<String> {
        let log_dir = self.root.dir("log").ok().filter(|_| self.was_clean)?;
        let points = read_offsets(log_dir.as_ref(), RECOVERY_POINTS).ok().flatten()?;
        let starts = read_offsets(log_dir.as_ref(), LOG_STARTS).ok().flatten().unwrap_or_default();
        let mut added = 0;
        for entry in catalog.topics() {
            for number in 0..entry.partitions {
                let name = TopicPartition::new(Arc::clone(&entry.name), number);
                let Some(end) = points.get(&name).copied() else { continue };
                let log_start = starts.get(&name).copied().unwrap_or(Offset::ZERO).min(end);
                positions.entry((entry.id, number)).or_insert_with(|| {
                    added += 1;
                    let leader_epoch = catalog.epoch();
                    Position { leader_epoch, durable_end: end, log_start, high_watermark: end, last_stable_offset: end }
                });
            }
        }
        (added > 0).then(|| format!("it lacks logs; from the checkpoint of the clean shutdown: {added}"))
    }
}

/// What is wrong with a journal that has lost something.
fn reason(salvage: &Salvage) -> String {
    match &salvage.state {
        SalvageState::Nothing => "it is missing".to_owned(),
        SalvageState::Gone | SalvageState::HalfRenamed => "the file is gone".to_owned(),
        SalvageState::Unreadable(reason) => reason.clone(),
        SalvageState::Read(findings) => {
            let rot = findings.iter().filter(|finding| finding.is_rot());
            let places: Vec<String> = rot.map(|finding| finding.position.to_string()).collect();
            format!("frames are lost at {}", places.join(", "))
        }
    }
}
