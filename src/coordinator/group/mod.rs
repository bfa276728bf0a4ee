//! Consumer groups: a name under which consumers remember how far they have read.
//!
//! A group takes one member at a time, which gets all partitions of its topics. A member lives as long as its
//! [`Membership`]: consumers are threads of this process, so no heartbeat is needed to know that one is gone.
//!
//! Each membership is a generation of the group. Only the present one commits; a consumer that assigns its
//! partitions itself is no member, and commits only while nobody is.
//!
//! | who commits                  | the group is empty | it has a member |
//! |------------------------------|--------------------|-----------------|
//! | its member                   |                    | accepted        |
//! | a former member              | refused            | refused         |
//! | a consumer that uses `assign` | accepted          | refused         |

mod description;
mod offsets;
mod payload;
mod reset;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use crate::error::{Error, Result};
use crate::sync::lock;
use crate::types::TopicId;

pub(crate) use description::Standing;
pub use description::{GroupDescription, GroupListing, GroupPartition};
pub(crate) use offsets::{Committed, GroupOffsets};
pub use offsets::{OffsetAndMetadata, Offsets};
pub(crate) use payload::{CommitEntry, DropEntry, Payload};
pub(crate) use reset::Footing;
pub use reset::{GroupOffsetChange, GroupReset};

/// What stands behind a group's name in the name of its journal.
pub(crate) const OFFSETS_SUFFIX: &str = ".offsets";

/// The one seat of a group.
#[derive(Debug, Default)]
struct Seat {
    state: Mutex<SeatState>,
}

#[derive(Debug, Default)]
struct SeatState {
    /// Of the last member that sat down.
    generation: u64,
    is_taken: bool,
    /// That the member subscribes to.
    topics: BTreeSet<TopicId>,
}

impl Seat {
    /// Takes the seat, and names the generation that begins; `None` if it is taken.
    fn take(&self) -> Option<u64> {
        let mut state = lock(&self.state);
        if state.is_taken {
            return None;
        }
        state.is_taken = true;
        state.generation += 1;
        Some(state.generation)
    }

    /// Frees the seat, unless another generation sits there.
    fn leave(&self, generation: u64) {
        let mut state = lock(&self.state);
        if state.generation == generation {
            state.is_taken = false;
            state.topics.clear();
        }
    }

    /// The generation of the member, if there is one.
    fn member(&self) -> Option<u64> {
        let state = lock(&self.state);
        state.is_taken.then_some(state.generation)
    }
}

/// A seat in a group, held until it is dropped.
#[derive(Debug)]
pub(crate) struct Membership {
    group: Arc<GroupOffsets>,
    generation: u64,
}

impl Membership {
    /// The topics that the member reads from now on.
    pub(crate) fn subscribe(&self, topics: BTreeSet<TopicId>) {
        let mut seat = lock(&self.group.seat.state);
        if seat.generation == self.generation {
            seat.topics = topics;
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.group.seat.leave(self.generation);
    }
}

impl GroupOffsets {
    /// Becomes the member of the group.
    ///
    /// # Errors
    /// [`Error::GroupMaxSizeReached`] while it has one.
    pub(crate) fn join(self: &Arc<Self>) -> Result<Membership> {
        match self.seat.take() {
            Some(generation) => Ok(Membership { group: Arc::clone(self), generation }),
            None => Err(Error::GroupMaxSizeReached { group: self.name().into() }),
        }
    }

    /// Whether anybody is a member now.
    pub(crate) fn has_members(&self) -> bool {
        self.seat.member().is_some()
    }

    /// The topics that a member of now subscribes to.
    pub(crate) fn subscribed_topics(&self) -> BTreeSet<TopicId> {
        lock(&self.seat.state).topics.clone()
    }

    /// Whether a commit is in order: by the member of now, or, without a membership, while there is no member.
    ///
    /// # Errors
    /// [`Error::CommitFailed`] if it is not.
    pub(crate) fn admit(&self, membership: Option<&Membership>) -> Result<()> {
        let reason = match (membership.map(|membership| membership.generation), self.seat.member()) {
            (None, None) => return Ok(()),
            (Some(generation), Some(member)) if generation == member => return Ok(()),
            (None, Some(_)) => "it has a member, and this consumer assigned its partitions itself",
            (Some(_), _) => "this consumer is not its member any more",
        };
        Err(Error::CommitFailed { group: self.name().into(), reason: reason.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_takes_one_member_at_a_time() {
        let group = Arc::new(GroupOffsets::new("billing"));
        let first = group.join().unwrap();
        assert!(matches!(group.join(), Err(Error::GroupMaxSizeReached { .. })));
        drop(first);
        group.join().unwrap();
    }

    #[test]
    fn commit_of_a_stale_membership_is_refused() {
        let group = Arc::new(GroupOffsets::new("billing"));
        let stale = Membership { group: Arc::clone(&group), generation: group.seat.take().unwrap() };
        group.admit(Some(&stale)).unwrap();
        group.seat.leave(stale.generation);
        assert!(matches!(group.admit(Some(&stale)), Err(Error::CommitFailed { .. })));
        let now = group.join().unwrap();
        assert!(matches!(group.admit(Some(&stale)), Err(Error::CommitFailed { .. })));
        group.admit(Some(&now)).unwrap();
        drop(stale); // does not free the seat of another generation
        group.admit(Some(&now)).unwrap();
    }

    #[test] // G13
    fn standalone_commit_is_taken_only_while_the_group_is_empty() {
        let group = Arc::new(GroupOffsets::new("billing"));
        group.admit(None).unwrap();
        let member = group.join().unwrap();
        assert!(matches!(group.admit(None), Err(Error::CommitFailed { .. })));
        drop(member);
        group.admit(None).unwrap();
    }
}
