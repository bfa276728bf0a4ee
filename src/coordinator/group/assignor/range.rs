//! `range`: each topic by itself, in contiguous pieces.

use std::sync::Arc;

use crate::coordinator::group::assignor::{Assignor, GroupAssignment, GroupSubscription};
use crate::error::Cause;
use crate::types::TopicPartition;

/// Cuts each topic into contiguous pieces, one for each member that wants it; the first members get one partition more if
/// it does not come out even. Kafka: `RangeAssignor`.
///
/// Topics with the same number of partitions and the same members are cut alike: who has a partition of one has that of
/// the other. With many topics that do not come out even, the first members have more.
///
/// ```
/// # use ottla::{Assignor, Cause, GroupSubscription, RangeAssignor, TopicPartition};
/// let group = GroupSubscription::new().with_topic("orders", 3).with_topic("payments", 3);
/// let group = group.with_member("a", ["orders", "payments"]).with_member("b", ["orders", "payments"]);
/// let assignment = RangeAssignor.assign(&group)?;
/// assert_eq!(assignment["b"], [TopicPartition::new("orders", 2), TopicPartition::new("payments", 2)]);
/// # Ok::<(), Cause>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RangeAssignor;

impl Assignor for RangeAssignor {
    fn name(&self) -> &str {
        "range"
    }

    fn assign(&self, group: &GroupSubscription) -> Result<GroupAssignment, Cause> {
        let members = group.members_in_order();
        let mut hands: Vec<Vec<TopicPartition>> = vec![Vec::new(); members.len()];
        for ((topic, &count), wanted_by) in group.topics.iter().zip(group.wanted_by(&members)) {
            let Ok(shares) = u32::try_from(wanted_by.len()) else { continue };
            let mut next = 0;
            for (index, member) in (0..shares).zip(wanted_by) {
                let share = count / shares + u32::from(index < count % shares);
                let piece = (next..next + share).map(|number| TopicPartition::new(Arc::clone(topic), number));
                hands[member].extend(piece);
                next += share;
            }
        }
        Ok(members.into_iter().map(Arc::clone).zip(hands).collect())
    }
}
