//! The groups of an engine, and the journals of their committed offsets.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::coordinator::group::{GroupOffsets, OFFSETS_SUFFIX};
use crate::engine::lane::{JournalCell, Lane};
use crate::error::{Error, Result};
use crate::io::Dir;
use crate::storage::{Journal, JournalIds, group_file_name};
use crate::sync::{Moment, lock};
use crate::topics::Topics;

/// All groups by name.
#[derive(Debug)]
pub(crate) struct Groups {
    dir: Arc<dyn Dir>,
    by_name: Mutex<BTreeMap<Arc<str>, Arc<Group>>>,
}

/// A group, and its journal once something was committed.
#[derive(Debug)]
pub(crate) struct Group {
    offsets: Arc<GroupOffsets>,
    journal: Mutex<Option<Arc<JournalCell>>>,
}

impl Group {
    pub(crate) fn new(offsets: Arc<GroupOffsets>, journal: Option<Arc<JournalCell>>) -> Self {
        Self { offsets, journal: Mutex::new(journal) }
    }

    pub(crate) fn offsets(&self) -> &Arc<GroupOffsets> {
        &self.offsets
    }

    pub(crate) fn journal(&self) -> Option<Arc<JournalCell>> {
        lock(&self.journal).clone()
    }
}

impl Groups {
    pub(crate) fn new(dir: Arc<dyn Dir>, groups: impl IntoIterator<Item = Group>) -> Self {
        let by_name = groups.into_iter().map(|group| (group.offsets.name().into(), Arc::new(group))).collect();
        Self { dir, by_name: Mutex::new(by_name) }
    }

    /// The group of that name. A new one has no file before it commits, so that asking leaves nothing behind.
    pub(crate) fn group(&self, name: &str) -> Result<Arc<GroupOffsets>> {
        group_file_name(name)?; // refused here rather than at the first commit, when records have been handed out
        let mut groups = lock(&self.by_name);
        if let Some(group) = groups.get(name) {
            return Ok(Arc::clone(&group.offsets));
        }
        let offsets = Arc::new(GroupOffsets::new(name));
        groups.insert(name.into(), Arc::new(Group::new(Arc::clone(&offsets), None)));
        Ok(offsets)
    }

    /// The group of that name, if it has committed something or a consumer was made for it.
    pub(crate) fn known(&self, name: &str) -> Result<Arc<GroupOffsets>> {
        group_file_name(name)?;
        let group = lock(&self.by_name).get(name).map(|group| Arc::clone(&group.offsets));
        group.ok_or_else(|| Error::GroupIdNotFound { group: name.into() })
    }

    /// The group of that name, if it has committed something.
    pub(crate) fn find(&self, name: &str) -> Result<Arc<GroupOffsets>> {
        group_file_name(name)?; // no such group is one thing, no such name another
        let group = lock(&self.by_name).get(name).map(Arc::clone);
        let committed = group.filter(|group| group.journal().is_some());
        committed.map(|group| Arc::clone(&group.offsets)).ok_or_else(|| Error::GroupIdNotFound { group: name.into() })
    }

    /// The names of the groups that have committed something.
    pub(crate) fn names(&self) -> Vec<Arc<str>> {
        let groups = lock(&self.by_name);
        groups.iter().filter(|(_, group)| group.journal().is_some()).map(|(name, _)| Arc::clone(name)).collect()
    }

    /// Topics have come or gone.
    pub(crate) fn refresh_topics(&self, topics: &Topics) {
        self.all().iter().for_each(|group| group.offsets().refresh_topics(topics));
    }

    /// Has every group look for members that are late; says when to look again, if ever.
    pub(crate) fn expire(&self, now: Moment) -> Option<Moment> {
        self.all().iter().filter_map(|group| group.offsets().expire(now)).min()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Group>> {
        lock(&self.by_name).values().map(Arc::clone).collect()
    }

    /// The journal of `offsets`, if something was committed.
    pub(crate) fn find_journal(&self, offsets: &GroupOffsets) -> Option<Arc<JournalCell>> {
        let group = lock(&self.by_name).get(offsets.name()).map(Arc::clone)?;
        group.journal()
    }

    /// The journal of `offsets`; with a group's first commit it is made, and durable before this returns.
    pub(crate) fn journal_of(&self, offsets: &Arc<GroupOffsets>, lane: &Lane) -> Result<Arc<JournalCell>> {
        let group = {
            let mut groups = lock(&self.by_name);
            let known = groups.entry(offsets.name().into());
            Arc::clone(known.or_insert_with(|| Arc::new(Group::new(Arc::clone(offsets), None))))
        };
        let mut journal = lock(&group.journal);
        if let Some(cell) = &*journal {
            return Ok(Arc::clone(cell));
        }
        let name = format!("{}{OFFSETS_SUFFIX}", group_file_name(offsets.name())?);
        let ids = JournalIds { journal: lane.disk.random(), history: lane.disk.random() };
        let snapshot = offsets.snapshot();
        let made = lane.with_reserve(|| Journal::create(Arc::clone(&self.dir), &name, ids, &snapshot));
        let made = made.inspect_err(|error| lane.note_failed_sync(error))?;
        let cell = journal_cell(made, offsets);
        *journal = Some(Arc::clone(&cell));
        Ok(cell)
    }
}

/// The journal of a group's offsets, which knows how to write them anew.
pub(crate) fn journal_cell(journal: Journal, offsets: &Arc<GroupOffsets>) -> Arc<JournalCell> {
    let state = Arc::clone(offsets);
    Arc::new(JournalCell::new(journal, move || state.snapshot()))
}
