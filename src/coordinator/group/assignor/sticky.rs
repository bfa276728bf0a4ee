//! `sticky`: as evenly as can be, and as little as possible moves.
//!
//! If all members want the same topics, an even deal is known beforehand: everybody has the same number, or one more.
//! So everybody keeps what he has up to that, and the rest goes to those who have less. If they want different topics,
//! [`balance`](super::balance) looks for a deal that no single move makes more even.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::coordinator::group::assignor::{Assignor, GroupAssignment, GroupSubscription, MemberSubscription, balance};
use crate::error::Cause;
use crate::types::TopicPartition;

/// Deals evenly, and so that as many partitions as possible stay where they are. Kafka: `StickyAssignor`.
///
/// ```
/// # use ottla::{Assignor, Cause, GroupSubscription, StickyAssignor, TopicPartition};
/// let mut group = GroupSubscription::new().with_topic("orders", 3).with_member("a", ["orders"]);
/// group.members.get_mut("a").expect("it was added").owned = StickyAssignor.assign(&group)?.remove("a").expect("a share");
/// let group = group.with_member("b", ["orders"]);
/// let assignment = StickyAssignor.assign(&group)?;
/// assert_eq!(assignment["a"], [TopicPartition::new("orders", 0), TopicPartition::new("orders", 1)]);
/// # Ok::<(), Cause>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StickyAssignor;

impl Assignor for StickyAssignor {
    fn name(&self) -> &str {
        "sticky"
    }

    fn assign(&self, group: &GroupSubscription) -> Result<GroupAssignment, Cause> {
        Ok(deal(group))
    }
}

/// A partition by numbers: that of its topic in the order of names, and its own.
pub(super) type Part = (usize, u32);

/// Nobody.
pub(super) const NOBODY: usize = usize::MAX;

/// A group by numbers, and who owns what in it.
#[derive(Debug)]
pub(super) struct Table<'a> {
    group: &'a GroupSubscription,
    pub(super) topics: Vec<(&'a Arc<str>, u32)>,
    /// By id.
    pub(super) members: Vec<(&'a Arc<str>, &'a MemberSubscription)>,
    /// By topic and partition: the one that owns it in the last epoch, if just one does.
    pub(super) owners: Vec<Vec<usize>>,
    /// By member, in the order in which they claim them.
    pub(super) owned: Vec<Vec<Part>>,
    /// What two claim in the last epoch.
    pub(super) disputed: Vec<Part>,
    /// Who claims a partition in the latest of the epochs before.
    pub(super) before: BTreeMap<Part, usize>,
}

impl<'a> Table<'a> {
    pub(super) fn new(group: &'a GroupSubscription) -> Self {
        let topics: Vec<(&Arc<str>, u32)> = group.topics.iter().map(|(topic, &count)| (topic, count)).collect();
        let mut table = Self {
            group,
            owners: topics.iter().map(|&(_, count)| vec![NOBODY; usize::try_from(count).unwrap_or(0)]).collect(),
            topics,
            members: group.members.iter().collect(),
            owned: vec![Vec::new(); group.members.len()],
            disputed: Vec::new(),
            before: BTreeMap::new(),
        };
        table.note_claims(group);
        table
    }

    fn note_claims(&mut self, group: &GroupSubscription) {
        let claimants = || group.members.values().filter(|member| !member.owned.is_empty());
        let last = claimants().map(|member| member.generation).max().flatten();
        let mut generations: BTreeMap<Part, Option<u64>> = BTreeMap::new();
        for (index, member) in group.members.values().enumerate() {
            for partition in &member.owned {
                let Some(part) = self.part(partition, member) else { continue };
                if member.generation != last {
                    let later = generations.get(&part).is_none_or(|known| member.generation > *known);
                    if later {
                        generations.insert(part, member.generation);
                        self.before.insert(part, index);
                    }
                    continue;
                }
                match std::mem::replace(self.owner_mut(part), index) {
                    NOBODY => {}
                    other if other == index => {} // named twice
                    _ => self.disputed.push(part),
                }
            }
        }
        for part in self.disputed.clone() {
            *self.owner_mut(part) = NOBODY;
        }
        let mut seen = BTreeSet::new();
        for (index, member) in group.members.values().enumerate() {
            for partition in &member.owned {
                if let Some(part) = self.part(partition, member)
                    && self.owner(part) == index
                    && seen.insert(part)
                {
                    self.owned[index].push(part);
                }
            }
        }
    }

    /// A partition that a member claims, if it exists and the member wants it.
    fn part(&self, partition: &TopicPartition, member: &MemberSubscription) -> Option<Part> {
        let topic = self.topics.binary_search_by(|(name, _)| (***name).cmp(partition.topic())).ok()?;
        let is_there = partition.partition() < self.topics[topic].1 && member.topics.contains(partition.topic());
        is_there.then_some((topic, partition.partition()))
    }

    /// For each topic the members that want it.
    pub(super) fn wanted_by(&self) -> Vec<Vec<usize>> {
        let ids: Vec<&Arc<str>> = self.members.iter().map(|(id, _)| *id).collect();
        self.group.wanted_by(&ids)
    }

    pub(super) fn owner(&self, (topic, number): Part) -> usize {
        self.owners[topic][number as usize]
    }

    fn owner_mut(&mut self, (topic, number): Part) -> &mut usize {
        &mut self.owners[topic][number as usize]
    }

    pub(super) fn assignment(&self, hands: Vec<Vec<Part>>) -> GroupAssignment {
        let name = |(topic, number): Part| TopicPartition::new(Arc::clone(self.topics[topic].0), number);
        let hand = |hand: Vec<Part>| hand.into_iter().map(name).collect();
        self.members.iter().map(|(id, _)| Arc::clone(id)).zip(hands.into_iter().map(hand)).collect()
    }
}

/// Deals as `sticky` does.
pub(super) fn deal(group: &GroupSubscription) -> GroupAssignment {
    let table = Table::new(group);
    let mut topics = group.members.values().map(|member| &member.topics);
    let hands = match topics.next() {
        Some(first) if topics.all(|other| other == first) => deal_evenly(&table),
        Some(_) => balance::deal(&table),
        None => Vec::new(),
    };
    table.assignment(hands)
}

/// All members want the same.
fn deal_evenly(table: &Table<'_>) -> Vec<Vec<Part>> {
    let wants = |name: &Arc<str>| table.members[0].1.topics.contains(name);
    let wanted = table.topics.iter().enumerate().filter(|(_, (name, _))| wants(name));
    let parts: Vec<Part> =
        wanted.flat_map(|(topic, &(_, count))| (0..count).map(move |number| (topic, number))).collect();
    let (least, mut larger_shares) = (parts.len() / table.members.len(), parts.len() % table.members.len());

    let mut hands: Vec<Vec<Part>> = Vec::with_capacity(table.members.len());
    let (mut below, mut at_least) = (Vec::new(), VecDeque::new());
    for (index, owned) in table.owned.iter().enumerate() {
        let keeps = if owned.len() < least {
            below.push(index);
            owned.len()
        } else if owned.len() > least && larger_shares > 0 {
            larger_shares -= 1;
            least + 1
        } else {
            at_least.push_back(index);
            least
        };
        hands.push(first_by_number(owned, keeps));
    }
    let mut kept: Vec<Part> = hands.iter().flatten().copied().collect();
    kept.sort_unstable();
    let mut turn = 0;
    for part in parts.into_iter().filter(|part| kept.binary_search(part).is_err()) {
        if below.is_empty() {
            let Some(index) = at_least.pop_front() else { break };
            hands[index].push(part);
            continue;
        }
        turn %= below.len();
        let index = below[turn];
        hands[index].push(part);
        if hands[index].len() == least {
            below.remove(turn);
            at_least.push_back(index);
        } else {
            turn += 1;
        }
    }
    hands
}

/// The first `count` of `owned` by their numbers, in the order of `owned`.
fn first_by_number(owned: &[Part], count: usize) -> Vec<Part> {
    if count >= owned.len() {
        return owned.to_vec();
    }
    let mut by_number: Vec<(u32, usize)> = owned.iter().map(|&(topic, number)| (number, topic)).collect();
    by_number.sort_unstable();
    let Some(&limit) = by_number.get(count) else { return Vec::new() };
    owned.iter().copied().filter(|&(topic, number)| (number, topic) < limit).collect()
}
