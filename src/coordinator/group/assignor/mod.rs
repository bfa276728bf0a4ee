//! Assignors: how the partitions of a group's topics are dealt among its members.
//!
//! | name | deals | with equal subscriptions |
//! |---|---|---|
//! | `range` | each topic by itself, in contiguous pieces | one partition more or less a topic; topics alike side by side |
//! | `roundrobin` | all partitions in turn | one partition more or less |
//! | `sticky` | as evenly as can be, and as little as possible moves | the same |
//! | `cooperative-sticky` | the same; what another one still owns goes to nobody yet | the same, when all was let go |
//!
//! The results are Kafka's, the order within a member's list too. Where Kafka walks hash maps (`sticky` with unequal
//! subscriptions) the order here is that of the names.
//!
//! An assignor only says who is to have what. Whatever it says, the group hands partitions over one by one: nobody gets
//! what another member has not let go of. So `sticky` takes nothing away early either, and `cooperative-sticky`, whose
//! answer in Kafka is one for now and needs a second round for what moves, says by `target` where all of it is to go.

mod balance;
mod cooperative_sticky;
mod range;
mod round_robin;
mod sticky;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::error::Cause;
use crate::types::TopicPartition;

pub use cooperative_sticky::CooperativeStickyAssignor;
pub use range::RangeAssignor;
pub use round_robin::RoundRobinAssignor;
pub use sticky::StickyAssignor;

/// Deals the partitions of a group's topics among its members. Kafka: `ConsumerPartitionAssignor`.
///
/// Give yours to [`ConsumerBuilder::assignor`](crate::ConsumerBuilder::assignor). It runs in the poll of one of the
/// members, whenever members, subscriptions or topics have changed.
///
/// ```
/// # use ottla::{Assignor, Cause, GroupAssignment, GroupSubscription, TopicPartition};
/// /// The first member works, the others stand by.
/// #[derive(Debug)]
/// struct Standby;
///
/// impl Assignor for Standby {
///     fn name(&self) -> &str {
///         "standby"
///     }
///
///     fn assign(&self, group: &GroupSubscription) -> Result<GroupAssignment, Cause> {
///         let mut assignment = GroupAssignment::new();
///         if let Some((id, member)) = group.members.first_key_value() {
///             let of_topic = |(topic, count): (&std::sync::Arc<str>, &u32)| {
///                 (0..*count).map(|number| TopicPartition::new(topic.clone(), number)).collect::<Vec<_>>()
///             };
///             let topics = group.topics.iter().filter(|(topic, _)| member.topics.contains(*topic));
///             assignment.insert(id.clone(), topics.flat_map(of_topic).collect());
///         }
///         Ok(assignment)
///     }
/// }
///
/// let group = GroupSubscription::new().with_topic("orders", 2).with_member("a", ["orders"]).with_member("b", ["orders"]);
/// assert_eq!(Standby.assign(&group)?["a"], [("orders", 0).into(), ("orders", 1).into()]);
/// # Ok::<(), Cause>(())
/// ```
pub trait Assignor: fmt::Debug + Send + Sync {
    /// The name by which members agree on it: all members of a group that have an assignor of that name have the same.
    fn name(&self) -> &str;

    /// Says who is to have what. Members may be left out, and partitions too: nobody reads those.
    ///
    /// # Errors
    /// Yours: the poll that asked fails with [`Error::Assignor`](crate::Error::Assignor), and everybody keeps what he
    /// has. So it is if the answer gives a partition to two members, or one to a member that does not subscribe to its
    /// topic.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Assignor, Cause, GroupSubscription, RangeAssignor};
    /// let group = GroupSubscription::new().with_topic("orders", 3);
    /// let group = group.with_member("a", ["orders"]).with_member("b", ["orders"]);
    /// let assignment = RangeAssignor.assign(&group)?;
    /// assert_eq!((assignment["a"].len(), assignment["b"].len()), (2, 1));
    /// # Ok::<(), Cause>(())
    /// ```
    fn assign(&self, group: &GroupSubscription) -> Result<GroupAssignment, Cause>;

    /// What a group works towards: what `assign` answers, if you do not say otherwise. An assignor that withholds what
    /// others still own, as Kafka's cooperative ones do, answers here who is to have it: the group sees to it that nobody
    /// gets it before they have let go.
    ///
    /// # Errors
    /// As [`assign`](Self::assign).
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Assignor, Cause, CooperativeStickyAssignor, GroupSubscription};
    /// let mut group = GroupSubscription::new().with_topic("orders", 2);
    /// group = group.with_member("a", ["orders"]).with_member("b", ["orders"]);
    /// group.members.get_mut("a").expect("it was added").owned = vec![("orders", 0).into(), ("orders", 1).into()];
    /// assert_eq!(CooperativeStickyAssignor.assign(&group)?["b"].len(), 0);
    /// assert_eq!(CooperativeStickyAssignor.target(&group)?["b"].len(), 1);
    /// # Ok::<(), Cause>(())
    /// ```
    fn target(&self, group: &GroupSubscription) -> Result<GroupAssignment, Cause> {
        self.assign(group)
    }
}

/// What an assignor deals, and among whom. Kafka: `Cluster` and `GroupSubscription`.
///
/// ```
/// # use ottla::GroupSubscription;
/// let group = GroupSubscription::new().with_topic("orders", 4).with_member("a", ["orders", "not-there"]);
/// assert_eq!(group.topics["orders"], 4);
/// assert!(group.members["a"].topics.contains("not-there"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupSubscription {
    /// The topics that members subscribe to and that exist, with how many partitions each has.
    pub topics: BTreeMap<Arc<str>, u32>,
    /// The members, by id.
    pub members: BTreeMap<Arc<str>, MemberSubscription>,
}

impl GroupSubscription {
    /// Nothing, and nobody.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a topic.
    #[must_use]
    pub fn with_topic(mut self, name: &str, partitions: u32) -> Self {
        self.topics.insert(name.into(), partitions);
        self
    }

    /// Adds a member that owns nothing.
    #[must_use]
    pub fn with_member(mut self, id: &str, topics: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let topics = topics.into_iter().map(|topic| topic.as_ref().into()).collect();
        self.members.insert(id.into(), MemberSubscription { topics, ..MemberSubscription::default() });
        self
    }

    /// The members in Kafka's order: those with an instance id come first, by that, the others by their ids.
    fn members_in_order(&self) -> Vec<&Arc<str>> {
        let mut ids: Vec<&Arc<str>> = self.members.keys().collect();
        ids.sort_by_key(|id| {
            let instance = self.members[*id].instance.as_ref();
            (instance.is_none(), instance)
        });
        ids
    }

    /// For each topic, in order, who wants it: by their places in `members`, rising.
    ///
    /// Both lists of names are in order, so they are gone through side by side: with ten thousand topics, looking each up
    /// for each of a thousand members would be most of the work. One that wants few looks those up.
    fn wanted_by(&self, members: &[&Arc<str>]) -> Vec<Vec<usize>> {
        let topics: Vec<&Arc<str>> = self.topics.keys().collect();
        let mut wanted_by = vec![Vec::new(); topics.len()];
        for (index, id) in members.iter().enumerate() {
            let wants = &self.members[*id].topics;
            if wants.len() * 16 < topics.len() {
                let known = wants.iter().filter_map(|name| topics.binary_search(&name).ok());
                known.for_each(|topic| wanted_by[topic].push(index));
                continue;
            }
            let mut wants = wants.iter().peekable();
            for (topic, name) in topics.iter().enumerate() {
                while wants.next_if(|want| want < name).is_some() {}
                if wants.next_if(|want| want == name).is_some() {
                    wanted_by[topic].push(index);
                }
            }
        }
        wanted_by
    }
}

/// What an assignor is told of a member. Kafka: `Subscription`.
///
/// ```
/// # use ottla::{Assignor, Cause, GroupSubscription, StickyAssignor, TopicPartition};
/// let mut group = GroupSubscription::new().with_topic("orders", 2);
/// group = group.with_member("a", ["orders"]).with_member("b", ["orders"]);
/// let member = group.members.get_mut("b").expect("it was added");
/// member.owned = vec![("orders", 0).into()];
/// assert_eq!(StickyAssignor.assign(&group)?["b"], [TopicPartition::new("orders", 0)]); // it keeps that
/// # Ok::<(), Cause>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberSubscription {
    /// The topics that it subscribes to; not all of them need exist.
    pub topics: BTreeSet<Arc<str>>,
    /// The partitions that it holds now.
    pub owned: Vec<TopicPartition>,
    /// The epoch that it holds them in: of two that claim the same partition, the one with the later epoch has it.
    /// `None` is earlier than any.
    pub generation: Option<u64>,
    /// Its `group.instance.id`.
    pub instance: Option<Arc<str>>,
}

/// Who is to have what, by the ids of members. Kafka: `GroupAssignment`.
///
/// ```
/// # use ottla::GroupAssignment;
/// let assignment: GroupAssignment = [("a".into(), vec![("orders", 0).into()])].into();
/// assert_eq!(assignment["a"][0].to_string(), "orders-0");
/// ```
pub type GroupAssignment = BTreeMap<Arc<str>, Vec<TopicPartition>>;

/// An assignor and its name, which it is asked for once: both may be the user's, and names are compared under a lock.
#[derive(Clone)]
pub(crate) struct NamedAssignor {
    pub(crate) name: Arc<str>,
    pub(crate) assignor: Arc<dyn Assignor>,
}

impl NamedAssignor {
    pub(crate) fn new(assignor: Arc<dyn Assignor>) -> Self {
        Self { name: assignor.name().into(), assignor }
    }
}

impl fmt::Debug for NamedAssignor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

/// The assignor that Kafka has under `name`.
pub(crate) fn by_name(name: &str) -> Option<Arc<dyn Assignor>> {
    let all: [Arc<dyn Assignor>; 4] = [
        Arc::new(RangeAssignor),
        Arc::new(RoundRobinAssignor),
        Arc::new(StickyAssignor),
        Arc::new(CooperativeStickyAssignor),
    ];
    all.into_iter().find(|assignor| assignor.name() == name)
}

#[cfg(test)]
mod tests;
