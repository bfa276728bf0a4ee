//! The members of a group as they are shown.

use std::fmt;

use crate::types::TopicPartition;

/// How a group stands with its members. Kafka: `GroupState`.
///
/// ```
/// # use ottla::{Admin, Consumer, Engine, GroupState, NewTopic};
/// # use std::time::Duration;
/// # let engine = Engine::in_memory()?;
/// # let admin = Admin::new(&engine);
/// admin.create_topic(NewTopic::new("orders"))?;
/// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
/// consumer.subscribe(["orders"])?;
/// consumer.poll(Duration::ZERO)?;
/// assert_eq!(admin.group_members("billing")?.state, GroupState::Stable);
/// consumer.close()?;
/// assert_eq!(admin.group_members("billing")?.state, GroupState::Empty);
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GroupState {
    /// It has no members.
    Empty,
    /// Members, subscriptions or topics have changed, and who is to have what is not worked out yet.
    Assigning,
    /// It is, and some members have not come to it.
    Reconciling,
    /// Every member has what it is to have.
    Stable,
}

impl fmt::Display for GroupState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "Empty",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
            Self::Stable => "Stable",
        })
    }
}

/// The members of a group, at the moment it was asked. Kafka: `ConsumerGroupDescription`.
///
/// ```
/// # use ottla::{Admin, Consumer, Engine, NewTopic};
/// # use std::time::Duration;
/// # let engine = Engine::in_memory()?;
/// # let admin = Admin::new(&engine);
/// admin.create_topic(NewTopic::new("orders").partitions(2))?;
/// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
/// consumer.subscribe(["orders"])?;
/// consumer.poll(Duration::ZERO)?;
/// let group = admin.group_members("billing")?;
/// assert_eq!((group.assignor.as_deref(), group.members.len()), (Some("range"), 1));
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupMembers {
    /// How it stands.
    pub state: GroupState,
    /// Counts the changes of members, subscriptions and topics since the engine was opened.
    pub epoch: u64,
    /// The assignor that dealt the partitions; `None` before the first time.
    pub assignor: Option<String>,
    /// Its members by id; static ones too that are expected back.
    pub members: Vec<GroupMember>,
}

/// One member of a group. Kafka: `MemberDescription`.
///
/// ```
/// # use ottla::{Admin, Consumer, Engine, NewTopic};
/// # use std::time::Duration;
/// # let engine = Engine::in_memory()?;
/// # let admin = Admin::new(&engine);
/// admin.create_topic(NewTopic::new("orders").partitions(2))?;
/// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
/// consumer.subscribe(["orders"])?;
/// consumer.poll(Duration::ZERO)?;
/// let member = &admin.group_members("billing")?.members[0];
/// assert_eq!(member.member_id, "consumer-1");
/// assert_eq!(member.assignment, [("orders", 0).into(), ("orders", 1).into()]);
/// assert_eq!(member.assignment, member.target);
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupMember {
    /// Its id: `client.id`, or `group.instance.id`, and a number.
    pub member_id: String,
    /// Its `group.instance.id`, if it is static.
    pub instance_id: Option<String>,
    /// Whether it is a static one that has left, and is expected back.
    pub is_away: bool,
    /// The topics that it subscribes to and that exist.
    pub topics: Vec<String>,
    /// What it holds.
    pub assignment: Vec<TopicPartition>,
    /// What it is to hold.
    pub target: Vec<TopicPartition>,
}
