//! Lets go of offsets that nobody has wanted for `offsets.retention.minutes`, and of groups that have none left.
//!
//! Which offsets those are, [`Group`](crate::coordinator::group::Group) says. They go by frames of the
//! group's journal, as they came; when the frames are on the disk, the journals of groups without members and offsets
//! are removed, all of them with two syncs.
//!
//! | a crash | leaves | and the next opening |
//! |---|---|---|
//! | before a frame is on the disk | the offsets | begins their time anew, as for every group behind a crash |
//! | before the removal | a group without offsets | the same; it goes some time later |
//! | within the removal | each journal whole, or gone | goes on with what is there |

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::coordinator::group::Group;
use crate::engine::groups::Groups;
use crate::engine::lane::{JournalCell, Lane};
use crate::engine::upkeep::ToUpkeep;
use crate::engine::writer::Command;
use crate::sync::{Moment, Post, try_lock};

/// Looks after the groups of an engine, each `interval`.
#[derive(Debug)]
pub(super) struct Expiry {
    pub(super) lane: Arc<Lane>,
    pub(super) groups: Arc<Groups>,
    pub(super) changing_files: Arc<Mutex<()>>,
    pub(super) to_writer: Post<Command>,
    pub(super) to_upkeep: Post<ToUpkeep>,
    pub(super) retention: Duration,
    pub(super) interval: Duration,
    pub(super) due: Option<Moment>,
}

impl Expiry {
    /// Does what is due at `now`, and says when the next is.
    pub(super) fn step(&mut self, now: Moment) -> Moment {
        let due = *self.due.get_or_insert(now + self.interval);
        if now < due {
            return due;
        }
        if !self.lane.offline.is_set() {
            self.drop_expired();
            self.remove_empty();
        }
        let next = now + self.interval;
        self.due = Some(next);
        next
    }

    fn drop_expired(&self) {
        let now = self.lane.disk.now();
        for stored in self.groups.all() {
            let entries = stored.group().expired(self.retention, now);
            if entries.is_empty() {
                continue;
            }
            log::info!("group {}: offsets that expire: {}", stored.group().name(), entries.len());
            for payload in Group::encode_drops(&entries) {
                let (to_upkeep, offsets) = (self.to_upkeep.clone(), Arc::clone(stored.group()));
                // Without a journal they are not on the disk, and the next one begins without them.
                let _ = stored.begin_frame(&self.to_writer, payload, move |dropped| match dropped {
                    Ok(()) => drop(to_upkeep.send(ToUpkeep::Dropped)),
                    Err(error) => log::warn!("group {}: {error}", offsets.name()), // they are found again
                });
            }
        }
    }

    /// Removes the groups that have neither members nor offsets.
    pub(super) fn remove_empty(&self) {
        // Whoever has it may be waiting for the writer, and the next time will do.
        let Some(_changing) = try_lock(&self.changing_files) else { return };
        if self.lane.offline.is_set() {
            return;
        }
        let mut taken = Vec::new();
        for stored in self.groups.all() {
            let offsets = stored.group();
            let may_go = |cell: &JournalCell| {
                // In this order: a frame that is through has changed the offsets before it is not under way any more.
                cell.under_way.load(Ordering::Acquire) == 0 && offsets.has_nothing() && !offsets.has_members()
            };
            if let Some(cell) = stored.take_journal(may_go) {
                taken.push((Arc::clone(&stored), cell));
            }
        }
        if taken.is_empty() {
            return;
        }
        let names: Vec<String> = taken.iter().map(|(stored, _)| stored.group().name().to_owned()).collect();
        match self.groups.remove(taken, &self.lane) {
            Ok(()) => log::info!("groups without members and offsets that were removed: {}", names.join(", ")),
            Err(error) => log::warn!("{error}"), // another time
        }
    }
}
