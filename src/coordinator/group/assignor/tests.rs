use proptest::prelude::*;

use super::*;

/// `t1:3 t2:3` are topics; `C0{t1,t2} owns t1-0,t1-1 gen 2 static a` is a member.
fn group(topics: &str, members: &[&str]) -> GroupSubscription {
    let mut group = GroupSubscription::new();
    for topic in topics.split(' ') {
        let (name, count) = topic.split_once(':').unwrap();
        group = group.with_topic(name, count.parse().unwrap());
    }
    for member in members {
        let (id, rest) = member.split_once('{').unwrap();
        let (wants, rest) = rest.split_once('}').unwrap();
        group = group.with_member(id, wants.split(','));
        let member = group.members.get_mut(id).unwrap();
        let words: Vec<&str> = rest.split(' ').collect();
        for pair in words[1..].chunks(2) {
            match pair {
                ["owns", owned] => member.owned = partitions(owned),
                ["gen", generation] => member.generation = Some(generation.parse().unwrap()),
                ["static", instance] => member.instance = Some((*instance).into()),
                other => panic!("{other:?}"),
            }
        }
    }
    group
}

fn partitions(text: &str) -> Vec<TopicPartition> {
    let partition = |name: &str| {
        let (topic, number) = name.rsplit_once('-').unwrap();
        TopicPartition::new(topic, number.parse().unwrap())
    };
    text.split(',').filter(|name| !name.is_empty()).map(partition).collect()
}

/// `C0[t1-0,t1-1] C1[]`
fn show(assignment: &GroupAssignment) -> String {
    let hand = |hand: &[TopicPartition]| hand.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let member = |(id, partitions): (&Arc<str>, &Vec<TopicPartition>)| format!("{id}[{}]", hand(partitions));
    assignment.iter().map(member).collect::<Vec<_>>().join(" ")
}

fn assigned(assignor: &dyn Assignor, group: &GroupSubscription) -> String {
    show(&assignor.assign(group).unwrap())
}

/// The group in the round after one that answered `assignment`: everybody owns that.
fn after(group: &GroupSubscription, assignment: &GroupAssignment, generation: u64) -> GroupSubscription {
    let mut next = group.clone();
    for (id, member) in &mut next.members {
        member.owned = assignment.get(id).cloned().unwrap_or_default();
        member.generation = Some(generation);
    }
    next
}

#[test] // G25
fn range_deals_as_kafkas() {
    let cases: [(&str, &[&str], &str); 7] = [
        ("t1:3 t2:3", &["C0{t1,t2}", "C1{t1,t2}"], "C0[t1-0,t1-1,t2-0,t2-1] C1[t1-2,t2-2]"),
        ("t1:1", &["C0{t1}", "C1{t1}", "C2{t1}"], "C0[t1-0] C1[] C2[]"),
        ("t0:4 t1:3", &["C0{t0,t1}", "C1{t0,t1}"], "C0[t0-0,t0-1,t1-0,t1-1] C1[t0-2,t0-3,t1-2]"),
        ("t0:5", &["C0{t0}", "C1{t0}", "C2{t0}"], "C0[t0-0,t0-1] C1[t0-2,t0-3] C2[t0-4]"),
        ("t1:3 t2:2", &["C0{t1}", "C1{t1,t2}", "C2{t1}"], "C0[t1-0] C1[t1-1,t2-0,t2-1] C2[t1-2]"),
        ("t1:7", &["C0{t1}", "C1{t1}", "C2{t1}"], "C0[t1-0,t1-1,t1-2] C1[t1-3,t1-4] C2[t1-5,t1-6]"),
        (
            "t1:3 t2:3",
            &["zz{t1,t2} static a", "aa{t1,t2} static b", "mm{t1,t2}"],
            "aa[t1-1,t2-1] mm[t1-2,t2-2] zz[t1-0,t2-0]",
        ),
    ];
    for (topics, members, expected) in cases {
        assert_eq!(assigned(&RangeAssignor, &group(topics, members)), expected);
    }
}

#[test] // G26
fn round_robin_deals_as_kafkas() {
    let cases: [(&str, &[&str], &str); 6] = [
        ("t0:3 t1:3", &["C0{t0,t1}", "C1{t0,t1}"], "C0[t0-0,t0-2,t1-1] C1[t0-1,t1-0,t1-2]"),
        ("t0:1 t1:2 t2:3", &["C0{t0}", "C1{t0,t1}", "C2{t0,t1,t2}"], "C0[t0-0] C1[t1-0] C2[t1-1,t2-0,t2-1,t2-2]"),
        ("t1:3 t2:2", &["C0{t1}", "C1{t1,t2}", "C2{t1}"], "C0[t1-0] C1[t1-1,t2-0,t2-1] C2[t1-2]"),
        ("t1:2 t2:3", &["C0{t1,t2}", "C1{t1,t2}"], "C0[t1-0,t2-0,t2-2] C1[t1-1,t2-1]"),
        ("t1:2", &["C0{t1}", "C1{t1}", "C2{t1}"], "C0[t1-0] C1[t1-1] C2[]"),
        ("t1:3", &["zz{t1} static a", "aa{t1} static b", "mm{t1}"], "aa[t1-1] mm[t1-2] zz[t1-0]"),
    ];
    for (topics, members, expected) in cases {
        assert_eq!(assigned(&RoundRobinAssignor, &group(topics, members)), expected);
    }
}

#[test] // G27
fn sticky_deals_as_kafkas() {
    let cases: [(&str, &[&str], &str); 8] = [
        (
            "t0:2 t1:2 t2:2 t3:2",
            &["C0{t0,t1,t2,t3}", "C1{t0,t1,t2,t3}", "C2{t0,t1,t2,t3}"],
            "C0[t0-0,t1-1,t3-0] C1[t0-1,t2-0,t3-1] C2[t1-0,t2-1]",
        ),
        (
            "t0:2 t1:2 t2:2 t3:2", // and C1 leaves
            &["C0{t0,t1,t2,t3} owns t0-0,t1-1,t3-0 gen 1", "C2{t0,t1,t2,t3} owns t1-0,t2-1 gen 1"],
            "C0[t0-0,t1-1,t3-0,t0-1] C2[t1-0,t2-1,t2-0,t3-1]",
        ),
        ("t0:1 t1:2 t2:3", &["C0{t0}", "C1{t0,t1}", "C2{t0,t1,t2}"], "C0[t0-0] C1[t1-0,t1-1] C2[t2-0,t2-1,t2-2]"),
        (
            "t0:1 t1:2 t2:3", // and C0 leaves
            &["C1{t0,t1} owns t1-0,t1-1 gen 1", "C2{t0,t1,t2} owns t2-0,t2-1,t2-2 gen 1"],
            "C1[t1-0,t1-1,t0-0] C2[t2-0,t2-1,t2-2]",
        ),
        ("t:3", &["C1{t} owns t-0,t-1,t-2 gen 1", "C2{t}"], "C1[t-0,t-1] C2[t-2]"),
        ("t:5", &["A{t}", "B{t}"], "A[t-0,t-2,t-4] B[t-1,t-3]"),
        ("t1:3 t2:3", &["A{t1,t2}", "B{t1,t2}"], "A[t1-0,t1-2,t2-1] B[t1-1,t2-0,t2-2]"),
        ("t1:3 t2:2", &["C0{t1}", "C1{t1,t2}", "C2{t1}"], "C0[t1-0,t1-2] C1[t2-0,t2-1] C2[t1-1]"),
    ];
    for (topics, members, expected) in cases {
        assert_eq!(assigned(&StickyAssignor, &group(topics, members)), expected);
    }
}

#[test] // G28
fn cooperative_sticky_withholds_as_kafkas_and_deals_the_rest_the_next_time() {
    let cases: [(&str, &[&str], &str, &str); 7] = [
        ("t:3", &["C1{t} owns t-0,t-1,t-2 gen 1", "C2{t}"], "C1[t-0,t-1] C2[]", "C1[t-0,t-1] C2[t-2]"),
        (
            "t:6",
            &["A{t} owns t-0,t-1,t-2 gen 1", "B{t} owns t-3,t-4,t-5 gen 1", "C{t}"],
            "A[t-0,t-1] B[t-3,t-4] C[]",
            "A[t-0,t-1] B[t-3,t-4] C[t-2,t-5]",
        ),
        (
            "t:4",
            &["A{t} owns t-0,t-1 gen 1", "B{t} owns t-2,t-3 gen 1"],
            "A[t-0,t-1] B[t-2,t-3]",
            "A[t-0,t-1] B[t-2,t-3]",
        ),
        ("t:4", &["A{t} owns t-0,t-1,t-2,t-3 gen 1", "B{t}", "C{t}"], "A[t-0,t-1] B[] C[]", "A[t-0,t-1] B[t-2] C[t-3]"),
        ("t:3", &["A{t} owns t-0,t-1 gen 2", "B{t} owns t-1,t-2 gen 2"], "A[t-0] B[t-2]", "A[t-0,t-1] B[t-2]"),
        ("t:3", &["A{t} owns t-0,t-1 gen 3", "B{t} owns t-1,t-2 gen 2"], "A[t-0,t-1] B[t-2]", "A[t-0,t-1] B[t-2]"),
        (
            "t1:2 t2:2",
            &["A{t1,t2} owns t1-0,t2-0 gen 1", "B{t1} owns t1-1 gen 1", "C{t2}"],
            "A[t1-0,t2-0] B[t1-1] C[t2-1]",
            "A[t1-0,t2-0] B[t1-1] C[t2-1]",
        ),
    ];
    for (topics, members, first, second) in cases {
        let group = group(topics, members);
        let assignment = CooperativeStickyAssignor.assign(&group).unwrap();
        assert_eq!(show(&assignment), first);
        assert_eq!(assigned(&CooperativeStickyAssignor, &after(&group, &assignment, 4)), second);
    }
    let left = group("t:4", &["A{t} owns t-0,t-1 gen 2"]); // B of the third case has left
    assert_eq!(assigned(&CooperativeStickyAssignor, &left), "A[t-0,t-1,t-2,t-3]");
}

#[test]
fn nobody_and_nothing_are_dealt() {
    for name in ["range", "roundrobin", "sticky", "cooperative-sticky"] {
        let assignor = by_name(name).unwrap();
        assert!(assignor.assign(&GroupSubscription::new().with_topic("t", 3)).unwrap().is_empty());
        let alone = GroupSubscription::new().with_member("a", ["none"]);
        assert_eq!(assigned(assignor.as_ref(), &alone), "a[]");
        assert_eq!(assigned(assignor.as_ref(), &alone.with_topic("t", 3)), "a[]");
    }
    assert!(by_name("fair").is_none());
}

#[test]
fn claims_of_what_there_is_not_are_passed_over() {
    for assignor in [&StickyAssignor as &dyn Assignor, &CooperativeStickyAssignor] {
        let group = group("t:2", &["A{t} owns t-0,t-0,t-9,u-0 gen 1", "B{t} gen 1"]);
        assert_eq!(assigned(assignor, &group), "A[t-0] B[t-1]");
    }
}

#[test]
fn partition_goes_back_to_who_had_it_before() {
    // B has no more than C, and its id comes first.
    let members = ["A{t} owns t-0,t-1,t-2,t-3 gen 2", "B{t,u} owns u-0 gen 2", "C{t,v} owns t-0 gen 1"];
    let group = group("t:4 u:1 v:1", &members);
    assert_eq!(assigned(&StickyAssignor, &group), "A[t-2,t-3] B[u-0,t-1] C[v-0,t-0]");
}

/// A group: everybody wants the same topics or not, and owns what an earlier deal gave him, or anything.
#[derive(Clone, Debug)]
struct Case {
    group: GroupSubscription,
    is_equal: bool,
}

fn cases() -> impl Strategy<Value = Case> {
    let topics = prop::collection::vec(0..7u32, 1..6);
    let members =
        prop::collection::vec((any::<u8>(), any::<u64>(), 0..3u64, prop::option::weighted(0.2, 0..9u8)), 1..9);
    (topics, members, any::<bool>(), 0..3u8).prop_map(|(topics, members, is_equal, owning)| {
        let mut group = GroupSubscription::new();
        for (number, count) in topics.iter().enumerate() {
            group = group.with_topic(&format!("t{number}"), *count);
        }
        let count = topics.len();
        let mut instances = BTreeSet::new();
        for (number, (wants, owns, generation, instance)) in members.into_iter().enumerate() {
            let wants =
                (0..count).filter(|topic| is_equal || wants & (1 << topic) != 0).map(|topic| format!("t{topic}"));
            let id = format!("m{number}");
            group = group.with_member(&id, wants);
            let all = (0..count).flat_map(|topic| (0..topics[topic]).map(move |number| (topic, number)));
            let owned = all.enumerate().filter(|(bit, _)| owning == 1 && owns & (1 << (bit % 64)) != 0);
            let owned = owned.map(|(_, (topic, number))| TopicPartition::new(format!("t{topic}").as_str(), number));
            let member = group.members.get_mut(id.as_str()).unwrap();
            member.owned = owned.collect();
            member.generation = (generation > 0).then_some(generation);
            member.instance = instance.filter(|it| instances.insert(*it)).map(|it| format!("i{it}").into());
        }
        if owning == 2 {
            let dealt = StickyAssignor.assign(&group).unwrap();
            group = after(&group, &dealt, 1);
        }
        Case { group, is_equal }
    })
}

fn count(assignment: &GroupAssignment, id: &str) -> usize {
    assignment[id].len()
}

fn spread(assignment: &GroupAssignment) -> usize {
    let counts = || assignment.values().map(Vec::len);
    counts().max().unwrap_or(0) - counts().min().unwrap_or(0)
}

/// I1, I2: everything that anybody wants goes to one who wants it; of `withheld` at most to one.
fn check_total_and_legal(group: &GroupSubscription, assignment: &GroupAssignment, may_withhold: bool) {
    assert!(assignment.keys().eq(group.members.keys()));
    let mut given = BTreeSet::new();
    for (id, partitions) in assignment {
        for partition in partitions {
            assert!(group.members[id].topics.contains(partition.topic()), "{partition} of {id}");
            assert!(partition.partition() < group.topics[partition.topic()]);
            assert!(given.insert(partition), "{partition} twice");
        }
    }
    let is_wanted = |topic: &str| group.members.values().any(|member| member.topics.contains(topic));
    let wanted: u32 = group.topics.iter().filter(|(topic, _)| is_wanted(topic)).map(|(_, count)| *count).sum();
    assert!(may_withhold || given.len() == usize::try_from(wanted).unwrap());
}

fn check(case: &Case) {
    let Case { group, is_equal } = case;
    for name in ["range", "roundrobin", "sticky", "cooperative-sticky"] {
        let assignor = by_name(name).unwrap();
        let assignment = assignor.assign(group).unwrap();
        check_total_and_legal(group, &assignment, name == "cooperative-sticky");
        match name {
            "range" => check_range(group, &assignment),
            "roundrobin" => assert!(!is_equal || spread(&assignment) <= 1), // I3
            "sticky" => check_sticky(case, &assignment),
            _ => check_cooperative(group, assignment),
        }
    }
    check_static(group);
}

/// I3 of `range`: a topic's pieces differ by one.
fn check_range(group: &GroupSubscription, assignment: &GroupAssignment) {
    for topic in group.topics.keys() {
        let wants = group.members.iter().filter(|(_, member)| member.topics.contains(topic)).map(|(id, _)| id);
        let of_topic = |id| assignment[id].iter().filter(|partition| *partition.topic() == **topic).count();
        let counts: Vec<usize> = wants.map(of_topic).collect();
        let least = counts.iter().min().unwrap_or(&0);
        assert!(counts.iter().all(|count| count - least <= 1), "{topic}: {counts:?}");
    }
}

fn check_sticky(Case { group, is_equal }: &Case, assignment: &GroupAssignment) {
    assert!(!is_equal || spread(assignment) <= 1); // I3
    for (id, partitions) in assignment {
        for partition in partitions {
            for (other, member) in group.members.iter().filter(|(_, member)| member.topics.contains(partition.topic()))
            {
                let (has, would) = (count(assignment, id), count(assignment, other) + 1);
                assert!(has <= would, "{partition} of {id}, who has {has}, should be {other}'s, of {member:?}"); // I4
            }
        }
    }
    let again = after(group, assignment, 9);
    let sorted = |assignment: &GroupAssignment| {
        let mut sorted = assignment.clone();
        sorted.values_mut().for_each(|hand| hand.sort());
        sorted
    };
    assert_eq!(sorted(&StickyAssignor.assign(&again).unwrap()), sorted(assignment)); // I5, I6
    if !is_equal || group.members.len() < 2 {
        return;
    }
    // I5: who stays keeps all that he had when another one leaves,
    let mut fewer = again.clone();
    fewer.members.pop_first();
    for (id, kept) in StickyAssignor.assign(&fewer).unwrap() {
        assert!(assignment[&id].iter().all(|partition| kept.contains(partition)), "{id} lost something");
    }
    // and when one comes, only what he gets moves.
    let mut more = again;
    let newcomer = MemberSubscription { owned: vec![], ..more.members.first_key_value().unwrap().1.clone() };
    more.members.insert("new".into(), newcomer);
    let dealt = StickyAssignor.assign(&more).unwrap();
    let moved: usize = dealt
        .iter()
        .map(|(id, hand)| {
            hand.iter().filter(|partition| !assignment.get(id).is_some_and(|had| had.contains(*partition))).count()
        })
        .sum();
    assert_eq!(moved, dealt["new"].len());
}

/// I8: nobody is given what another one owns; and the second time everything is dealt.
fn check_cooperative(group: &GroupSubscription, mut assignment: GroupAssignment) {
    let last = group.members.values().filter(|member| !member.owned.is_empty()).map(|member| member.generation).max();
    for (id, hand) in &assignment {
        for (_, other) in group.members.iter().filter(|(other, _)| *other != id) {
            let is_current = Some(other.generation) == last;
            assert!(!is_current || hand.iter().all(|partition| !other.owned.contains(partition)));
        }
    }
    for generation in 10..12 {
        let next = after(group, &assignment, generation);
        assignment = CooperativeStickyAssignor.assign(&next).unwrap();
    }
    check_total_and_legal(group, &assignment, false);
    let settled = CooperativeStickyAssignor.assign(&after(group, &assignment, 12)).unwrap();
    assert_eq!(settled.values().map(Vec::len).sum::<usize>(), assignment.values().map(Vec::len).sum::<usize>());
}

/// I9: the ids of static members play no part.
fn check_static(group: &GroupSubscription) {
    let mut renamed = group.clone();
    renamed.members.clear();
    let new_id = |id: &Arc<str>, member: &MemberSubscription| match member.instance {
        Some(_) => format!("z{}", id.bytes().rev().map(char::from).collect::<String>()).into(),
        None => Arc::clone(id),
    };
    for (id, member) in &group.members {
        renamed.members.insert(new_id(id, member), member.clone());
    }
    for assignor in [&RangeAssignor as &dyn Assignor, &RoundRobinAssignor] {
        let (before, behind) = (assignor.assign(group).unwrap(), assignor.assign(&renamed).unwrap());
        for (id, member) in &group.members {
            assert_eq!(before[id], behind[&new_id(id, member)]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test] // G27, G28, G29; I1 to I9, but I7, which holds by the type: members are in a map
    fn assignors_keep_what_they_promise(case in cases()) {
        check(&case);
    }
}
