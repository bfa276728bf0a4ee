//! What has to be done now and then: brings `positions` to the disk, sees which members of groups are late, and looks
//! after groups that nobody uses.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::engine::expiry::Expiry;
use crate::engine::groups::Groups;
use crate::engine::lane::Lane;
use crate::engine::writer::Command;
use crate::sync::{Actor, Mailbox, Moment, Next, Post};

/// What upkeep is told.
#[derive(Debug)]
pub(crate) enum ToUpkeep {
    /// Offsets that had expired are gone: perhaps a group is without any now.
    Dropped,
    /// End.
    Close,
}

/// The actor behind `ottla-upkeep`.
#[derive(Debug)]
pub(crate) struct Upkeep {
    pub(super) inbox: Mailbox<ToUpkeep>,
    pub(super) lane: Arc<Lane>,
    pub(super) groups: Arc<Groups>,
    pub(super) to_writer: Post<Command>,
    pub(super) interval: Duration,
    pub(super) next: Option<Moment>,
    /// None if offsets do not expire.
    pub(super) expiry: Option<Expiry>,
}

impl Upkeep {
    /// Has `positions` on the disk every interval, and says when the next time is.
    fn sync_positions(&mut self, now: Moment) -> Moment {
        let due = *self.next.get_or_insert(now + self.interval);
        if now < due {
            return due;
        }
        // An old durable end costs recovery time, no data, so a failure here is only worth a word.
        if self.lane.positions_changed.swap(false, Ordering::AcqRel)
            && let Err(error) = self.lane.positions.sync()
        {
            log::warn!("{error}");
        }
        let next = now + self.interval;
        self.next = Some(next);
        next
    }
}

impl Actor for Upkeep {
    fn step(&mut self, now: Moment) -> Next {
        let mut has_dropped = false;
        while let Some(message) = self.inbox.take() {
            match message {
                ToUpkeep::Dropped => has_dropped = true,
                ToUpkeep::Close => return Next::Done,
            }
        }
        let mut next = self.sync_positions(now);
        if let Some(late) = self.groups.look_after(now, self.lane.disk.now(), &self.to_writer) {
            next = next.min(late);
        }
        if let Some(expiry) = &mut self.expiry {
            if has_dropped {
                expiry.remove_empty();
            }
            next = next.min(expiry.step(now));
        }
        Next::Until(next)
    }
}
