//! What has to be done now and then: brings `positions` to the disk, and sees which members of groups are late.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::engine::groups::Groups;
use crate::engine::lane::Lane;
use crate::sync::{Actor, Mailbox, Moment, Next};

/// The actor behind `ottla-upkeep`; any message ends it.
#[derive(Debug)]
pub(crate) struct Upkeep {
    inbox: Mailbox<()>,
    lane: Arc<Lane>,
    groups: Arc<Groups>,
    interval: Duration,
    next: Option<Moment>,
}

impl Upkeep {
    pub(crate) fn new(inbox: Mailbox<()>, lane: Arc<Lane>, groups: Arc<Groups>, interval: Duration) -> Self {
        Self { inbox, lane, groups, interval, next: None }
    }
}

impl Actor for Upkeep {
    fn step(&mut self, now: Moment) -> Next {
        if self.inbox.take().is_some() {
            return Next::Done;
        }
        let due = *self.next.get_or_insert(now + self.interval);
        if now >= due {
            // An old durable end costs recovery time, no data, so a failure here is only worth a word.
            if self.lane.positions_changed.swap(false, Ordering::AcqRel)
                && let Err(error) = self.lane.positions.sync()
            {
                log::warn!("{error}");
            }
            self.next = Some(now + self.interval);
        }
        let positions = self.next.unwrap_or(due);
        Next::Until(self.groups.expire(now).map_or(positions, |late| late.min(positions)))
    }
}
