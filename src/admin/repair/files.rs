//! Names and small files: what stands in the place of something else, what was left behind, and Kafka's text files.

use std::path::Path;
use std::sync::Arc;

use crate::admin::repair::{Repair, RepairAction};
use crate::error::{Error, Result};
use crate::io::{Dir, Kind};
use crate::storage::{
    CLEAN_SHUTDOWN, CLEANED, HIGH_WATERMARKS, LEADER_EPOCHS, LOG_STARTS, META_PROPERTIES, PARTITION_METADATA,
    POSITIONS, PREVIOUS, PartitionDirKind, RECOVERY_POINTS, RESERVE, free_name, parse_partition_dir,
    parse_segment_name, read_meta_properties, read_offsets, salvage_meta_properties, write_meta_properties,
};
use crate::topics::CATALOG;

/// Checkpoints that only a broker writes, and makes again.
const OF_A_BROKER: [&str; 2] = [HIGH_WATERMARKS, CLEANED];

impl Repair<'_> {
    /// Moves away what stands in the place of a file and is none, or of a directory and is none.
    pub(super) fn clear_places(&mut self) -> Result<()> {
        let root = Arc::clone(&self.root);
        let catalog_before = format!("{CATALOG}{PREVIOUS}");
        self.clear_place(root.as_ref(), "quarantine", Kind::Dir)?; // all others are moved there
        for name in ["LOCK", CATALOG, &catalog_before, POSITIONS, RESERVE] {
            self.clear_place(root.as_ref(), name, Kind::File)?;
        }
        for name in ["log", "groups"] {
            self.clear_place(root.as_ref(), name, Kind::Dir)?;
        }
        if let Ok(groups) = root.dir("groups") {
            for name in groups.names()?.iter().filter(|name| name.contains(".offsets")) {
                self.clear_place(groups.as_ref(), name, Kind::File)?;
            }
        }
        let Ok(log_dir) = root.dir("log") else { return Ok(()) };
        for name in [META_PROPERTIES, RECOVERY_POINTS, LOG_STARTS, CLEAN_SHUTDOWN, ".lock"].iter().chain(&OF_A_BROKER) {
            self.clear_place(log_dir.as_ref(), name, Kind::File)?;
        }
        for name in log_dir.names()?.iter().filter(|name| is_live(name)) {
            self.clear_place(log_dir.as_ref(), name, Kind::Dir)?;
            let Ok(dir) = log_dir.dir(name) else { continue };
            for name in dir.names()? {
                let is_ours =
                    name == PARTITION_METADATA || name == LEADER_EPOCHS || parse_segment_name(&name).is_some();
                if is_ours {
                    self.clear_place(dir.as_ref(), &name, Kind::File)?;
                }
            }
        }
        Ok(())
    }

    fn clear_place(&mut self, dir: &dyn Dir, name: &str, expected: Kind) -> Result<()> {
        let Some(kind) = dir.kind(name)?.filter(|kind| *kind != expected) else { return Ok(()) };
        let path = dir.path().join(name);
        if kind == Kind::Link {
            let detail = "a symbolic link, which is not followed: put what it leads to in its place";
            if self.is_executed {
                return Err(Error::illegal_state(format!("{} is {detail}", path.display())));
            }
            self.step(RepairAction::Leave, path, format!("it is {detail}"));
            return Ok(());
        }
        let detail = format!("it is {kind}, where {expected} belongs");
        if name == "quarantine" && self.is_executed {
            // There is no quarantine yet to move it to.
            let aside = free_name(dir, "quarantine.aside")?;
            dir.rename(name, &aside)?;
            dir.sync()?;
            let copy = dir.path().join(aside);
            self.step(RepairAction::Remove, path, detail).copy = Some(copy);
            return Ok(());
        }
        self.move_away(dir, name, detail)
    }

    /// Mends what an opening would refuse, or leave as it is.
    pub(super) fn mend_small_files(&mut self) -> Result<()> {
        let Ok(log_dir) = self.root.dir("log") else { return Ok(()) };
        let path = log_dir.path().join(META_PROPERTIES);
        if !self.has_step(&path) {
            let detail = match read_meta_properties(log_dir.as_ref()) {
                Ok(None) => None,
                Ok(Some(properties)) => (!properties.is_complete()).then(|| "it lacks some of its ids".to_owned()),
                Err(Error::CorruptFile { reason, .. } | Error::UnsupportedVersion { reason, .. }) => {
                    Some(reason.to_string())
                }
                Err(error) => return Err(error),
            };
            if let Some(detail) = detail {
                let mut copy = None;
                if self.is_executed {
                    copy = self.keep_copy(log_dir.as_ref(), META_PROPERTIES)?;
                    let properties = salvage_meta_properties(log_dir.as_ref(), || self.disk.random())?;
                    write_meta_properties(log_dir.as_ref(), &properties)?;
                }
                let detail = format!("{detail}: the ids that are whole stay, others are new");
                self.step(RepairAction::Replace, path, detail).copy = copy;
            }
        }
        for name in OF_A_BROKER {
            let is_clear = !self.has_step(&log_dir.path().join(name));
            if let Err(Error::CorruptFile { reason, .. }) = read_offsets(log_dir.as_ref(), name)
                && is_clear
            {
                self.remove(log_dir.as_ref(), name, format!("{reason}: a broker makes it again"))?;
            }
        }
        Ok(())
    }

    /// Removes what interrupted changes have left, wherever only we write.
    pub(super) fn clear_leftovers(&mut self) -> Result<()> {
        let root = Arc::clone(&self.root);
        if let Ok(groups) = root.dir("groups") {
            self.clear_leftovers_of(groups.as_ref())?;
        }
        let Ok(log_dir) = root.dir("log") else { return Ok(()) };
        self.clear_leftovers_of(log_dir.as_ref())?;
        for name in log_dir.names()?.iter().filter(|name| is_live(name)) {
            let Ok(dir) = log_dir.dir(name) else { continue };
            self.clear_leftovers_of(dir.as_ref())?;
            for name in &dir.names()? {
                let Some((_, "index" | "timeindex" | "txnindex")) = parse_segment_name(name) else { continue };
                let segment = name.split('.').next().map(|base| format!("{base}.log"));
                let is_made = |path: &Path| {
                    self.steps.iter().any(|step| step.path == path && step.action == RepairAction::Replace)
                };
                let is_file = |name: &str| dir.kind(name).is_ok_and(|kind| kind == Some(Kind::File));
                let is_there = |segment: &String| is_file(segment) || is_made(&dir.path().join(segment));
                if !segment.as_ref().is_some_and(is_there) {
                    self.remove(dir.as_ref(), name, "it is the index of a segment that is not there")?;
                }
            }
        }
        Ok(())
    }

    fn clear_leftovers_of(&mut self, dir: &dyn Dir) -> Result<()> {
        for name in dir.names()? {
            let end = name.rsplit_once('.').map_or("", |(_, end)| end);
            let is_left = matches!(end, "tmp" | "deleted" | "cleaned" | "swap");
            if is_left && dir.kind(&name)? == Some(Kind::File) && !self.has_step(&dir.path().join(&name)) {
                self.remove(dir, &name, "an interrupted change has left it behind")?;
            }
        }
        Ok(())
    }
}

/// Whether a directory of that name is the one of a partition.
pub(super) fn is_live(name: &str) -> bool {
    matches!(parse_partition_dir(name), Some((_, PartitionDirKind::Live)))
}
