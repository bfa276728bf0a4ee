//! How long the assignors take over a thousand members and ten thousand partitions.
//!
//! `cargo bench --all-features --bench assignors`

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use ottla::{
    Assignor, CooperativeStickyAssignor, GroupAssignment, GroupSubscription, RangeAssignor, RoundRobinAssignor,
    StickyAssignor,
};

const MEMBERS: u32 = 1000;
const PARTITIONS: u32 = 10_000;

/// `topics` topics; a member wants one of them if `wants` says so.
fn group(topics: u32, wants: impl Fn(u32, u32) -> bool) -> GroupSubscription {
    let name = |topic: u32| format!("t{topic}");
    let mut group = GroupSubscription::new();
    for topic in 0..topics {
        group = group.with_topic(&name(topic), PARTITIONS / topics);
    }
    let names: Vec<Arc<str>> = (0..topics).map(|topic| name(topic).into()).collect();
    for member in 0..MEMBERS {
        let id = format!("m{member}");
        group = group.with_member(&id, [""; 0]);
        let topics = names.iter().zip(0..).filter(|(_, topic)| wants(member, *topic)).map(|(name, _)| Arc::clone(name));
        group.members.get_mut(id.as_str()).expect("it was added").topics = topics.collect();
    }
    group
}

/// Everybody owns what `assignment` gave him, but for one in ten, who has left and is back with nothing.
fn one_in_ten_is_new(mut group: GroupSubscription, mut assignment: GroupAssignment) -> GroupSubscription {
    for (index, (id, member)) in group.members.iter_mut().enumerate() {
        if index % 10 > 0 {
            member.owned = assignment.remove(id).unwrap_or_default();
            member.generation = Some(1);
        }
    }
    group
}

fn assign(c: &mut Criterion) {
    let shapes = [
        ("one topic", group(1, |_, _| true)),
        ("100 topics, all want all", group(100, |_, _| true)),
        ("10000 topics, half of them each", group(10_000, |member, topic| (member * 31 + topic * 17) % 7 < 4)),
        ("1000 topics, half of them each", group(1000, |member, topic| (member * 31 + topic * 17) % 7 < 4)),
        ("1000 topics, one each", group(1000, |member, topic| member == topic)),
        ("1000 topics, a tenth of them each", group(1000, |member, topic| (member + topic) % 10 == 0)),
    ];
    let assignors: [&dyn Assignor; 4] =
        [&RangeAssignor, &RoundRobinAssignor, &StickyAssignor, &CooperativeStickyAssignor];
    for assignor in assignors {
        let mut bench = c.benchmark_group(format!("assign/{}", assignor.name()));
        bench.sample_size(10);
        for (name, fresh) in &shapes {
            let dealt = StickyAssignor.assign(fresh).expect("nothing fails");
            let changed = one_in_ten_is_new(fresh.clone(), dealt);
            for (owned, group) in [("nothing owned", fresh), ("one in ten new", &changed)] {
                bench.bench_function(format!("{name}, {owned}"), |b| {
                    b.iter_batched(|| group, |group| black_box(assignor.assign(group)), BatchSize::LargeInput);
                });
            }
        }
    }
}

criterion_group!(benches, assign);
criterion_main!(benches);
