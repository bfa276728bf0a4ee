//! `cooperative-sticky`: what another one still owns goes to nobody yet.

use std::collections::BTreeMap;

use crate::coordinator::group::assignor::{Assignor, GroupAssignment, GroupSubscription, sticky};
use crate::error::Cause;
use crate::types::TopicPartition;

/// Deals as [`StickyAssignor`](crate::StickyAssignor) does, and leaves out what another member still owns: it goes to
/// nobody until that has let go of it, and the group is dealt once more. Kafka: `CooperativeStickyAssignor`.
///
/// ```
/// # use ottla::{Assignor, Cause, CooperativeStickyAssignor, GroupSubscription};
/// let mut group = GroupSubscription::new().with_topic("orders", 2);
/// group = group.with_member("a", ["orders"]).with_member("b", ["orders"]);
/// group.members.get_mut("a").expect("it was added").owned = vec![("orders", 0).into(), ("orders", 1).into()];
/// let assignment = CooperativeStickyAssignor.assign(&group)?;
/// assert_eq!((assignment["a"].len(), assignment["b"].len()), (1, 0)); // b gets the other one the next time
/// # Ok::<(), Cause>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CooperativeStickyAssignor;

impl Assignor for CooperativeStickyAssignor {
    fn name(&self) -> &str {
        "cooperative-sticky"
    }

    fn assign(&self, group: &GroupSubscription) -> Result<GroupAssignment, Cause> {
        let mut assignment = sticky::deal(group);
        let last =
            group.members.values().filter(|member| !member.owned.is_empty()).map(|member| member.generation).max();
        let current = group.members.iter().filter(|(_, member)| Some(member.generation) == last);
        let mut claimed: BTreeMap<&TopicPartition, Vec<&str>> = BTreeMap::new();
        for (id, member) in current {
            member.owned.iter().for_each(|partition| claimed.entry(partition).or_default().push(id));
        }
        for (id, partitions) in &mut assignment {
            let is_anothers = |partition: &TopicPartition| {
                claimed.get(partition).is_some_and(|owners| owners.iter().any(|owner| **owner != **id))
            };
            partitions.retain(|partition| !is_anothers(partition));
        }
        Ok(assignment)
    }

    fn target(&self, group: &GroupSubscription) -> Result<GroupAssignment, Cause> {
        Ok(sticky::deal(group))
    }
}
