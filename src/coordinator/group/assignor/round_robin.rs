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
        for (topic, &count) in &group.topics {
            let wants: Vec<bool> = members.iter().map(|id| group.members[*id].topics.contains(topic)).collect();
            if !wants.contains(&true) {
                continue;
            }
            // Where the turn goes from each place: passing over one by one would be slow among many who do not want it.
            let next = next_in_turn(&wants);
            for number in 0..count {
                let index = next[turn];
                hands[index].push(TopicPartition::new(Arc::clone(topic), number));
                turn = (index + 1) % members.len();
            }
        }
        Ok(members.into_iter().map(Arc::clone).zip(hands).collect())
    }
}

/// For each place the next one, itself first, that is wanted; one is.
fn next_in_turn(wants: &[bool]) -> Vec<usize> {
    let mut next = vec![0; wants.len()];
    let mut last = wants.iter().position(|wants| *wants).unwrap_or_default();
    for index in (0..wants.len()).rev() {
        if wants[index] {
            last = index;
        }
        next[index] = last;
    }
    next
}
