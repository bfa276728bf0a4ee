//! `roundrobin`: all partitions in turn.

use std::sync::Arc;

use crate::coordinator::group::assignor::{Assignor, GroupAssignment, GroupSubscription};
use crate::error::Cause;
use crate::types::TopicPartition;

/// Deals the partitions of all topics, in order, to the members in turn; one that does not want a topic is passed over.
/// Kafka: `RoundRobinAssignor`.
///
/// ```
/// # use ottla::{Assignor, Cause, GroupSubscription, RoundRobinAssignor, TopicPartition};
/// let group = GroupSubscription::new().with_topic("orders", 3);
/// let group = group.with_member("a", ["orders"]).with_member("b", ["orders"]);
/// let assignment = RoundRobinAssignor.assign(&group)?;
/// assert_eq!(assignment["a"], [TopicPartition::new("orders", 0), TopicPartition::new("orders", 2)]);
/// # Ok::<(), Cause>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoundRobinAssignor;

impl Assignor for RoundRobinAssignor {
    fn name(&self) -> &str {
        "roundrobin"
    }

    fn assign(&self, group: &GroupSubscription) -> Result<GroupAssignment, Cause> {
        let members = group.members_in_order();
        let mut hands: Vec<Vec<TopicPartition>> = vec![Vec::new(); members.len()];
        let mut turn = 0;
        for ((topic, &count), wanted_by) in group.topics.iter().zip(group.wanted_by(&members)) {
            if wanted_by.is_empty() {
                continue;
            }
            // The first one from the turn on that wants it; then they follow each other.
            let mut next = wanted_by.partition_point(|member| *member < turn) % wanted_by.len();
            for number in 0..count {
                let member = wanted_by[next];
                hands[member].push(TopicPartition::new(Arc::clone(topic), number));
                turn = (member + 1) % members.len();
                next = (next + 1) % wanted_by.len();
            }
        }
        Ok(members.into_iter().map(Arc::clone).zip(hands).collect())
    }
}
