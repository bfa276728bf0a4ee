//! Consumer groups: a name under which consumers share topics, and remember how far they have read.
//!
//! A group has members, which are handles of this process: no heartbeat is needed to know that one is alive, and a
//! member lives as long as its [`Membership`], or until it has not polled for too long. Parts:
//!
//! | module | is about |
//! |---|---|
//! | `state` | who is a member, who is to have what, who holds what: decisions alone |
//! | `assignor` | how partitions are dealt |
//! | `roster` | `state` behind a lock, and what members and their group share without one |
//! | `offsets`, `payload` | what is committed and when it expires, and the journal payloads that keep it |
//! | `reset` | where a group is set to begin |
//! | `description`, `shown` | a group as it is shown: its offsets, its members |
//!
//! | who commits                   | the group is empty | it has members                                        |
//! |-------------------------------|--------------------|-------------------------------------------------------|
//! | a member                      |                    | accepted, for what it holds or no member subscribes to |
//! | a member that was expelled    | refused            | refused                                               |
//! | anybody else                  | accepted           | refused                                               |

pub(crate) mod assignor;
mod description;
mod offsets;
mod payload;
mod reset;
mod roster;
mod shown;
mod state;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::types::TopicId;

use offsets::Life;
use roster::Roster;

pub use assignor::{
    Assignor, CooperativeStickyAssignor, GroupAssignment, GroupSubscription, MemberSubscription, RangeAssignor,
    RoundRobinAssignor, StickyAssignor,
};
pub(crate) use assignor::{NamedAssignor, by_name as assignor_by_name};
pub(crate) use description::Standing;
pub use description::{GroupDescription, GroupListing, GroupPartition};
pub(crate) use offsets::Committed;
pub use offsets::{OffsetAndMetadata, Offsets};
pub(crate) use payload::{CommitEntry, DropEntry, Payload};
pub(crate) use reset::Footing;
pub use reset::{GroupOffsetChange, GroupReset};
pub(crate) use roster::{CommitPermit, Membership, SeatTerms};
pub use shown::{GroupMember, GroupMembers, GroupState};
pub(crate) use state::{Interest, Joining, Place, Step};

/// What stands behind a group's name in the name of its journal.
pub(crate) const OFFSETS_SUFFIX: &str = ".offsets";

/// A group: what it has committed, and who its members are. What it does is in the modules above.
#[derive(Debug)]
pub(crate) struct Group {
    name: Arc<str>,
    offsets: Mutex<BTreeMap<(TopicId, u32), Committed>>,
    life: Mutex<Life>,
    roster: Roster,
}

impl Group {
    /// A group that has committed nothing yet, and has no members.
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.into(), offsets: Mutex::default(), life: Mutex::default(), roster: Roster::default() }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}
