//! The logs: every partition that the catalog names.

use std::sync::Arc;

use crate::admin::repair::{Repair, RepairAction, RepairStep};
use crate::error::{Error, Result};
use crate::io::{Dir, Kind};
use crate::storage::{
    LEADER_EPOCHS, LogMend, Mending, PARTITION_METADATA, PartitionDirKind, Position, PositionsByLog, marked_dir_name,
    partition_dir_name, read_partition_metadata, segment_name, write_partition_metadata,
};
use crate::topics::{Catalog, TopicEntry};
use crate::types::{Offset, TopicPartition};

impl Repair<'_> {
    pub(super) fn mend_logs(&mut self, catalog: &Catalog, positions: &PositionsByLog) -> Result<()> {
        let Ok(log_dir) = self.root.dir("log") else { return Ok(()) };
        // What is known of a log was wrong: what was found of it may be, too.
        let is_all_new = self.steps.iter().any(|step| step.path.parent() == Some(self.root.path()));
        for entry in catalog.topics() {
            for number in 0..entry.partitions {
                let name = TopicPartition::new(Arc::clone(&entry.name), number);
                let path = log_dir.path().join(partition_dir_name(&name));
                let is_named = self.found.iter().any(|defect| defect.path.starts_with(&path))
                    || self.steps.iter().any(|step| step.path.starts_with(&path));
                if is_all_new || is_named {
                    let position = positions.get(&(entry.id, number));
                    self.mend_partition(&log_dir, entry, &name, catalog, position)?;
                }
            }
        }
        Ok(())
    }

    fn mend_partition(
        &mut self,
        log_dir: &Arc<dyn Dir>,
        entry: &TopicEntry,
        name: &TopicPartition,
        catalog: &Catalog,
        position: Option<&Position>,
    ) -> Result<()> {
        let dir_name = partition_dir_name(name);
        let path = log_dir.path().join(&dir_name);
        let mut dir = match log_dir.dir(&dir_name) {
            Ok(dir) => Some(dir),
            Err(error) if error.is_not_found() || self.has_step(&path) => None,
            Err(error) => return Err(error),
        };
        let limit = self.options.max_unpacked_bytes;
        let mending = |dir: &Arc<dyn Dir>| Mending {
            dir: Arc::clone(dir),
            name,
            epoch: catalog.epoch(),
            log_start: position.map(|position| position.log_start),
            durable_end: position.map(|position| position.durable_end),
            unpacked_limit: limit,
        };
        let mut plan = dir.as_ref().map(|dir| mending(dir).plan()).transpose()?;
        if let (Some(found), Some(planned)) = (&dir, &plan)
            && let Ok(Some(id)) = read_partition_metadata(found.as_ref())
            && !id.is_almost(entry.id)
        {
            let said = format!("its topic id is {id}, and the catalog says {}", entry.id);
            // The records are those that `positions` knows of, if any of them is where it should be; or another topic's.
            let lost = planned.changes.iter().flat_map(|change| &change.losses).filter_map(|loss| loss.offsets);
            let lost: i64 = lost.map(|(first, last)| last.0 - first.0 + 1).sum();
            let fits = position.is_some_and(|known| lost == 0 || lost < known.durable_end.0 - known.log_start.0);
            if fits {
                let mut copy = None;
                if self.is_executed {
                    copy = self.keep_copy(found.as_ref(), PARTITION_METADATA)?;
                    write_partition_metadata(found.as_ref(), entry.id)?;
                }
                let path = path.join(PARTITION_METADATA);
                self.step(RepairAction::Replace, path, format!("{said}, whose records these are")).copy = copy;
            } else {
                let aside = marked_dir_name(name, self.disk.random(), PartitionDirKind::Stray);
                if self.is_executed {
                    log_dir.rename(&dir_name, &aside)?;
                    log_dir.sync()?;
                }
                let detail = format!("{said}, and so do its records not fit: put aside under a name with -stray");
                self.step(RepairAction::Leave, path.clone(), detail).copy =
                    self.is_executed.then(|| log_dir.path().join(aside));
                (dir, plan) = (None, None);
            }
        }
        let had_dir = dir.is_some();
        if !had_dir && !self.has_step(&path) {
            self.step(RepairAction::Rebuild, path.clone(), "the partition's directory is missing: it is made again");
        }
        if !had_dir && self.is_executed {
            let made = log_dir.create_dir(&dir_name)?;
            write_partition_metadata(made.as_ref(), entry.id)?;
            log_dir.sync()?;
            plan = Some(mending(&made).plan()?);
            dir = Some(made);
        }
        let (Some(dir), Some(plan)) = (dir, plan) else {
            if let Some(position) = position.filter(|position| position.log_start < position.durable_end) {
                let path = path.join(segment_name(position.log_start, "log"));
                let step = self.step(RepairAction::Replace, path, "there is no segment that has them");
                step.lost = Some((position.log_start, Offset(position.durable_end.0 - 1)));
            }
            return Ok(());
        };
        self.carry_out(&mending(&dir), &plan)?;
        self.drop_wrong_epochs(dir.as_ref(), &plan)
    }

    fn carry_out(&mut self, mending: &Mending<'_>, plan: &LogMend) -> Result<()> {
        for change in &plan.changes {
            let mut copies = vec![None; change.losses.len()];
            if self.is_executed {
                let quarantine = self.quarantine()?;
                copies = mending.carry_out(change, quarantine.as_ref())?;
            }
            let path = mending.dir.path().join(segment_name(change.base, "log"));
            for (loss, copy) in change.losses.iter().zip(copies) {
                let action = if loss.offsets.is_some() { RepairAction::Replace } else { RepairAction::Remove };
                self.steps.push(RepairStep {
                    path: path.clone(),
                    position: Some(loss.bytes.start),
                    lost: loss.offsets,
                    action,
                    detail: loss.reason.as_str().into(),
                    copy,
                });
            }
        }
        if let Some(error) = &plan.unreadable {
            let path = match error {
                Error::Io { path, .. } => path.clone(),
                _ => mending.dir.path().to_owned(),
            };
            self.step(RepairAction::Leave, path, error.to_string());
        }
        Ok(())
    }

    /// Removes a file of leader epochs that does not say what the batches do: the opening makes it again from them.
    fn drop_wrong_epochs(&mut self, dir: &dyn Dir, plan: &LogMend) -> Result<()> {
        let path = dir.path().join(LEADER_EPOCHS);
        let is_wrong = plan.has_wrong_epochs || self.found.iter().any(|defect| defect.path == path);
        let is_there = dir.kind(LEADER_EPOCHS)? == Some(Kind::File);
        if !is_wrong || !is_there || self.has_step(&path) {
            return Ok(());
        }
        let mut copy = None;
        if self.is_executed {
            copy = self.keep_copy(dir, LEADER_EPOCHS)?;
            dir.remove(LEADER_EPOCHS)?;
            dir.sync()?;
        }
        self.step(RepairAction::Rebuild, path, "it does not say what the batches do").copy = copy;
        Ok(())
    }
}
