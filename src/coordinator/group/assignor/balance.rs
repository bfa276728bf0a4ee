//! `sticky` among members that want different topics.
//!
//! Everybody keeps what he has. What is nobody's goes to who has least, those partitions first that the fewest members
//! want. Then partitions move, from one who has more to one who wants it too and has at least two less, until none can.
//! Each move makes the sum of the squares of what members have smaller, so this ends; and it makes the deal more even,
//! so Kafka's comparison with the deal before, which would undo it, has nothing to undo.
//!
//! Who has least among those who want a topic is looked up in one order of all members by how much they have, passing
//! over those who do not want it; among few, all are looked at. Whether one wants it is a bit in a table.

use std::collections::BTreeSet;

use crate::coordinator::group::assignor::sticky::{NOBODY, Part, Table};

/// Who wants which topic, and how much everybody has.
struct Scales {
    /// By topic: the members that want it, in order.
    wanted_by: Vec<Vec<usize>>,
    /// By topic and member, a bit each.
    wants: Vec<Vec<u64>>,
    counts: Vec<usize>,
    /// Members by how much they have.
    order: BTreeSet<(usize, usize)>,
}

impl Scales {
    fn new(table: &Table<'_>, hands: &[Vec<Part>]) -> Self {
        let wanted_by = table.wanted_by();
        let bits = |members: &Vec<usize>| {
            let mut bits = vec![0; table.members.len().div_ceil(64)];
            members.iter().for_each(|member| bits[member / 64] |= 1 << (member % 64));
            bits
        };
        let wants = wanted_by.iter().map(bits).collect();
        let counts: Vec<usize> = hands.iter().map(Vec::len).collect();
        let order = counts.iter().enumerate().map(|(member, &count)| (count, member)).collect();
        Self { wanted_by, wants, counts, order }
    }

    /// Who has least of those who want `topic`.
    fn least(&self, topic: usize) -> Option<usize> {
        let wanted_by = &self.wanted_by[topic];
        if wanted_by.len() <= FEW {
            return wanted_by.iter().copied().min_by_key(|member| (self.counts[*member], *member));
        }
        let wants = &self.wants[topic];
        self.order.iter().map(|&(_, member)| member).find(|member| wants[member / 64] & (1 << (member % 64)) != 0)
    }

    fn add(&mut self, member: usize) {
        self.order.remove(&(self.counts[member], member));
        self.counts[member] += 1;
        self.order.insert((self.counts[member], member));
    }

    fn take(&mut self, member: usize) {
        self.order.remove(&(self.counts[member], member));
        self.counts[member] -= 1;
        self.order.insert((self.counts[member], member));
    }

    /// How much the one has who has least of all.
    fn floor(&self) -> usize {
        self.order.first().map_or(0, |(count, _)| *count)
    }
}

/// So many are looked at one by one.
const FEW: usize = 32;

pub(super) fn deal(table: &Table<'_>) -> Vec<Vec<Part>> {
    let mut owners = table.owners.clone();
    let mut scales = Scales::new(table, &table.owned);
    let mut topics: Vec<usize> = (0..table.topics.len()).collect();
    topics.sort_by_key(|&topic| scales.wanted_by[topic].len()); // equals stay in the order of their names
    let parts = || topics.iter().flat_map(|&topic| (0..table.topics[topic].1).map(move |number| (topic, number)));

    let mut given = Vec::new();
    for (topic, number) in parts() {
        let owner = &mut owners[topic][number as usize];
        if *owner == NOBODY
            && let Some(member) = scales.least(topic)
        {
            *owner = member;
            scales.add(member);
            given.push((topic, number));
        }
    }
    let movable: Vec<Part> = parts().filter(|(topic, _)| scales.wanted_by[*topic].len() > 1).collect();
    while even_out(table, &movable, &mut owners, &mut scales, &mut given) {}
    hands(table, &owners, &given)
}

/// Moves what can be moved, once; says whether that was anything.
fn even_out(
    table: &Table<'_>,
    movable: &[Part],
    owners: &mut [Vec<usize>],
    scales: &mut Scales,
    given: &mut Vec<Part>,
) -> bool {
    let mut has_moved = false;
    for &(topic, number) in movable {
        let owner = &mut owners[topic][number as usize];
        let count = scales.counts[*owner];
        if count <= scales.floor() + 1 {
            continue; // nobody has so much less
        }
        let has_room = |member: usize| scales.counts[member] + 1 < count;
        let former = table.before.get(&(topic, number)).copied().filter(|&former| has_room(former));
        let Some(to) = former.or_else(|| scales.least(topic).filter(|&least| has_room(least))) else { continue };
        scales.take(*owner);
        scales.add(to);
        *owner = to;
        given.push((topic, number));
        has_moved = true;
    }
    has_moved
}

/// What everybody has: first what he had, then what he was given, in that order.
fn hands(table: &Table<'_>, owners: &[Vec<usize>], given: &[Part]) -> Vec<Vec<Part>> {
    let owner = |&(topic, number): &Part| owners[topic][number as usize];
    let mut hands: Vec<Vec<Part>> = Vec::with_capacity(table.members.len());
    for (index, owned) in table.owned.iter().enumerate() {
        hands.push(owned.iter().filter(|part| owner(part) == index).copied().collect());
    }
    let mut seen = BTreeSet::new();
    let last_first = given.iter().rev().filter(|part| seen.insert(**part)).collect::<Vec<_>>();
    for part in last_first.into_iter().rev() {
        let index = owner(part);
        if table.owner(*part) != index {
            hands[index].push(*part);
        }
    }
    hands
}
