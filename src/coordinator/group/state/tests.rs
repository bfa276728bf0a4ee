use proptest::prelude::*;

use super::*;
use crate::coordinator::group::assignor::{
    Assignor, CooperativeStickyAssignor, RangeAssignor, RoundRobinAssignor, StickyAssignor,
};
use crate::error::Cause;

fn image(topics: &[(&str, u32)]) -> TopicImage {
    let facts = |name: &str, partitions| {
        let mut id = [0; 16];
        name.bytes().zip(&mut id).for_each(|(byte, place)| *place = byte);
        TopicFacts { id: TopicId(id), partitions }
    };
    topics.iter().map(|&(name, partitions)| (name.into(), facts(name, partitions))).collect()
}

fn joining(topics: &[&str], assignor: impl Assignor + 'static) -> Joining {
    Joining {
        prefix: "c".into(),
        instance: None,
        interest: Interest::Topics(topics.iter().map(|&name| name.into()).collect()),
        assignors: vec![NamedAssignor::new(Arc::new(assignor))],
    }
}

fn of_instance(instance: &str, topics: &[&str]) -> Joining {
    Joining { instance: Some(instance.into()), ..joining(topics, RangeAssignor) }
}

/// Members that do what the group tells them, without a thread.
struct Group {
    members: Members,
    image: TopicImage,
}

impl Group {
    fn new(topics: &[(&str, u32)]) -> Self {
        Self { members: Members::default(), image: image(topics) }
    }

    fn join(&mut self, joining: Joining) -> MemberId {
        self.members.join(joining, &self.image, 100).unwrap()
    }

    fn join_range(&mut self) -> MemberId {
        self.join(joining(&["t"], RangeAssignor))
    }

    fn assign(&mut self) {
        while let Some(job) = self.members.begin_assign() {
            let assignment = job.assignor.assignor.assign(&job.subscription).unwrap();
            self.members.finish_assign(&job, &assignment).unwrap();
        }
    }

    /// A poll, as far as the group goes; says what came and went.
    fn poll(&mut self, id: &MemberId) -> (Vec<String>, Vec<String>) {
        let names = |places: &[Place]| places.iter().map(|place| place.partition.to_string()).collect::<Vec<_>>();
        let (mut gone, mut new) = (Vec::new(), Vec::new());
        loop {
            self.assign();
            match self.members.sync(id).unwrap() {
                Step::Nothing => return (gone, new),
                Step::Revoke(places) => {
                    gone.extend(names(&places));
                    self.members.release(id, places);
                }
                Step::Take(places) => new.extend(names(&places)),
            }
        }
    }

    fn held(&self, id: &MemberId) -> Vec<String> {
        let described = self.members.describe();
        let member = described.members.iter().find(|member| *member.member_id == **id).unwrap();
        member.assignment.iter().map(ToString::to_string).collect()
    }

    fn state(&self) -> GroupState {
        self.members.describe().state
    }

    fn place(&self, topic: &str, number: u32) -> Place {
        Place { partition: TopicPartition::new(topic, number), topic_id: self.image[topic].id }
    }
}

#[test] // G21
fn partition_goes_over_when_its_owner_has_let_go_and_not_before() {
    let mut group = Group::new(&[("t", 3)]);
    assert_eq!(group.state(), GroupState::Empty);
    let first = group.join_range();
    assert_eq!(group.state(), GroupState::Assigning);
    assert_eq!(group.poll(&first).1, ["t-0", "t-1", "t-2"]);
    assert_eq!(group.state(), GroupState::Stable);

    let second = group.join_range();
    assert_eq!(group.poll(&second), (vec![], vec![])); // t-2 is its own by the target, and the other one's still
    assert_eq!(group.state(), GroupState::Reconciling);
    let Some(Step::Revoke(revoked)) = group.members.sync(&first) else { panic!("it has to give something up") };
    assert_eq!(revoked, [group.place("t", 2)]);
    assert_eq!(group.poll(&second).1, Vec::<String>::new());
    group.members.release(&first, revoked);
    assert!(group.members.take_news().contains(&second));
    assert_eq!(group.poll(&second).1, ["t-2"]);
    group.poll(&first);
    assert_eq!(group.state(), GroupState::Stable);
}

#[test] // G24
fn member_that_nothing_changes_for_keeps_its_partitions_and_comes_to_the_new_epoch() {
    let mut group = Group::new(&[("t", 4), ("u", 1)]);
    let first = group.join_range();
    group.poll(&first);
    let other = group.join(joining(&["u"], RangeAssignor));
    group.poll(&other);
    let before = group.members.epoch_of(&first);
    assert_eq!(group.poll(&first), (vec![], vec![]));
    assert!(group.members.epoch_of(&first) > before);
    assert_eq!(group.held(&first).len(), 4);
}

#[test] // C29
fn each_epoch_is_said_once_even_if_nothing_is_new() {
    let mut group = Group::new(&[("t", 2)]);
    let first = group.join_range();
    group.poll(&first);
    let second = group.join(joining(&["none"], RangeAssignor));
    group.poll(&second);
    assert_eq!(group.members.sync(&first), Some(Step::Take(vec![])));
    assert_eq!(group.members.sync(&first), Some(Step::Nothing));
}

#[test] // G2
fn leaving_begins_an_epoch_and_frees_what_the_member_held() {
    let mut group = Group::new(&[("t", 2)]);
    let (first, second) = (group.join_range(), group.join_range());
    group.poll(&first);
    group.poll(&second);
    let before = group.members.describe().epoch;
    group.members.leave(&first, Moment::default());
    assert_eq!(group.members.describe().epoch, before + 1);
    assert!(group.members.take_news().contains(&second));
    assert_eq!(group.poll(&second).1, ["t-0"]);
    group.members.leave(&second, Moment::default());
    assert_eq!(group.state(), GroupState::Empty);
}

#[test] // G9, C25
fn commit_of_a_former_member_is_refused() {
    let mut group = Group::new(&[("t", 1)]);
    let member = group.join_range();
    group.poll(&member);
    let place = group.place("t", 0);
    group.members.begin_commit(Some(&member), [&place]).unwrap();
    group.members.end_commit(Some(&member), false);
    group.members.remove(&member);
    assert!(group.members.begin_commit(Some(&member), [&place]).is_err());
    assert_eq!(group.members.sync(&member), None);
}

#[test] // R064
fn commit_for_a_partition_that_was_given_up_is_refused() {
    let mut group = Group::new(&[("t", 1), ("u", 1)]);
    let member = group.join(joining(&["t", "u"], RangeAssignor));
    group.poll(&member);
    let (t, u) = (group.place("t", 0), group.place("u", 0));
    let image = group.image.clone();
    group.join_range();
    group.members.resubscribe(&member, Interest::Topics(["u".into()].into()), &image);
    group.members.begin_commit(Some(&member), [&t, &u]).unwrap(); // it has not let go yet
    group.members.end_commit(Some(&member), false);
    assert_eq!(group.poll(&member).0, ["t-0"]);
    assert!(group.members.begin_commit(Some(&member), [&t]).is_err());
    group.members.begin_commit(Some(&member), [&u]).unwrap();
}

#[test] // G13
fn standalone_commit_is_taken_only_while_the_group_is_empty() {
    let mut group = Group::new(&[("t", 1)]);
    group.members.begin_commit(None, []).unwrap();
    let member = group.join_range();
    assert!(group.members.begin_commit(None, []).is_err());
    assert_eq!(group.poll(&member).1, Vec::<String>::new()); // where it would begin is not known yet
    group.members.end_commit(None, true);
    assert!(group.members.take_news().contains(&member));
    assert_eq!(group.poll(&member).1, ["t-0"]);
    group.members.leave(&member, Moment::default());
    group.members.begin_commit(None, []).unwrap();
}

#[test]
fn commits_under_way_hold_back_what_their_member_has_let_go_of() {
    for expelled in [false, true] {
        let mut group = Group::new(&[("t", 2)]);
        let (first, second) = (group.join_range(), group.join_range());
        group.poll(&first);
        group.poll(&second);
        let place = group.place("t", 0);
        group.members.begin_commit(Some(&first), [&place]).unwrap();
        if expelled {
            group.members.remove(&first)
        } else {
            group.members.leave(&first, Moment::default())
        }
        assert_eq!(group.poll(&second).1, Vec::<String>::new());
        group.members.end_commit(Some(&first), false);
        assert!(group.members.take_news().contains(&second));
        assert_eq!(group.poll(&second).1, ["t-0"]);
    }
}

#[test]
fn partition_that_comes_back_while_commits_are_under_way_is_taken_when_they_are_through() {
    let mut group = Group::new(&[("t", 2)]);
    let first = group.join_range();
    group.poll(&first);
    let place = group.place("t", 1);
    let second = group.join_range();
    group.assign();
    group.members.begin_commit(Some(&first), [&place]).unwrap();
    let Some(Step::Revoke(places)) = group.members.sync(&first) else { panic!("it has to give something up") };
    group.members.release(&first, places);
    group.members.leave(&second, Moment::default());
    assert_eq!(group.poll(&first).1, Vec::<String>::new());
    group.members.end_commit(Some(&first), false);
    assert!(group.members.take_news().contains(&first));
    assert_eq!(group.poll(&first).1, ["t-1"]);
}

#[test] // G11
fn static_member_that_returns_in_time_gets_its_partitions_and_nobody_notices() {
    let mut group = Group::new(&[("t", 2)]);
    let (first, second) = (group.join(of_instance("a", &["t"])), group.join_range());
    group.poll(&first);
    group.poll(&second);
    group.members.take_news();
    let epoch = group.members.describe().epoch;
    group.members.leave(&first, Moment(std::time::Duration::from_secs(45)));
    assert!(group.members.describe().members.iter().any(|member| member.is_away));
    assert_eq!(group.poll(&second), (vec![], vec![]));
    assert_eq!(group.members.sync(&first), None); // the handle that left is none

    let again = group.join(of_instance("a", &["t"]));
    assert_ne!(first, again);
    assert_eq!(group.members.describe().epoch, epoch);
    let mine = group.poll(&again).1;
    assert_eq!(mine.len(), 1);
    assert!(!group.members.take_news().contains(&second));
    assert_eq!(group.state(), GroupState::Stable);
}

#[test]
fn static_member_that_is_alive_keeps_its_instance_id() {
    let mut group = Group::new(&[("t", 2)]);
    group.join(of_instance("a", &["t"]));
    let refused = group.members.join(of_instance("a", &["t"]), &group.image, 100);
    assert_eq!(refused, Err(JoinRefused::InstanceInUse("a".into())));
}

#[test] // G3
fn static_member_that_stays_away_is_removed_and_a_dynamic_one_at_once() {
    let second = |seconds| Moment(std::time::Duration::from_secs(seconds));
    let mut group = Group::new(&[("t", 2)]);
    let (away, here) = (group.join(of_instance("a", &["t"])), group.join_range());
    group.poll(&away);
    group.poll(&here);
    group.members.leave(&away, second(45));
    assert_eq!(group.members.next_expiry(), Some(second(45)));
    group.members.expire(second(44));
    assert_eq!(group.poll(&here).1, Vec::<String>::new());
    group.members.expire(second(45));
    assert_eq!(group.poll(&here).1.len(), 1);
    assert_eq!(group.members.next_expiry(), None);
}

#[test]
fn successor_waits_for_the_commits_of_the_one_before() {
    let mut group = Group::new(&[("t", 1)]);
    let first = group.join(of_instance("a", &["t"]));
    group.poll(&first);
    let place = group.place("t", 0);
    group.members.begin_commit(Some(&first), [&place]).unwrap();
    group.members.leave(&first, Moment(std::time::Duration::from_secs(45)));
    let again = group.join(of_instance("a", &["t"]));
    assert_eq!(group.poll(&again).1, Vec::<String>::new());
    group.members.end_commit(Some(&first), false);
    assert!(group.members.take_news().contains(&again));
    assert_eq!(group.poll(&again).1, ["t-0"]);
}

#[test]
fn what_a_rebalance_takes_from_one_that_is_away_is_free_at_once() {
    let mut group = Group::new(&[("t", 2)]);
    let away = group.join(of_instance("a", &["t"]));
    group.poll(&away);
    group.members.leave(&away, Moment(std::time::Duration::from_secs(45)));
    let new = group.join_range();
    assert_eq!(group.poll(&new).1.len(), 1);
}

#[test]
fn static_member_that_leaves_keeps_nothing_that_it_was_to_let_go_of() {
    let mut group = Group::new(&[("t", 2)]);
    let away = group.join(of_instance("a", &["t"]));
    group.poll(&away);
    let new = group.join_range();
    assert_eq!(group.poll(&new).1, Vec::<String>::new());
    group.members.leave(&away, Moment(std::time::Duration::from_secs(45)));
    assert!(group.members.take_news().contains(&new));
    assert_eq!(group.poll(&new).1.len(), 1);
    assert_eq!(group.state(), GroupState::Stable);
}

#[test] // G5
fn member_without_a_common_assignor_is_refused() {
    let mut group = Group::new(&[("t", 1)]);
    group.join_range();
    let refused = group.members.join(joining(&["t"], StickyAssignor), &group.image, 100);
    assert_eq!(refused, Err(JoinRefused::NoCommonAssignor));
}

#[test]
fn most_votes_choose_among_the_assignors_that_all_have() {
    let list = |assignors: &[&dyn Fn() -> Arc<dyn Assignor>]| Joining {
        assignors: assignors.iter().map(|make| NamedAssignor::new(make())).collect(),
        ..joining(&["t"], RangeAssignor)
    };
    let range: &dyn Fn() -> Arc<dyn Assignor> = &|| Arc::new(RangeAssignor);
    let sticky: &dyn Fn() -> Arc<dyn Assignor> = &|| Arc::new(StickyAssignor);
    let round_robin: &dyn Fn() -> Arc<dyn Assignor> = &|| Arc::new(RoundRobinAssignor);
    let mut group = Group::new(&[("t", 1)]);
    group.join(list(&[round_robin, range, sticky]));
    group.join(list(&[sticky, range]));
    group.join(list(&[sticky, range]));
    group.assign();
    assert_eq!(group.members.describe().assignor.as_deref(), Some("sticky"));
    for (first, second) in [(range, sticky), (sticky, range)] {
        let mut tied = Group::new(&[("t", 1)]);
        tied.join(list(&[first, second]));
        tied.join(list(&[second, first]));
        tied.assign();
        assert_eq!(tied.members.describe().assignor.as_deref(), Some(first().name()), "the first member decides");
    }
}

#[test] // G12
fn member_beyond_group_max_size_is_refused_but_not_one_that_returns() {
    let mut group = Group::new(&[("t", 1)]);
    let first = group.join(of_instance("a", &["t"]));
    assert_eq!(group.members.join(joining(&["t"], RangeAssignor), &group.image, 1), Err(JoinRefused::Full));
    group.members.leave(&first, Moment(std::time::Duration::from_secs(45)));
    assert_eq!(group.members.join(joining(&["t"], RangeAssignor), &group.image, 1), Err(JoinRefused::Full));
    group.members.join(of_instance("a", &["t"]), &group.image, 1).unwrap();
}

#[test] // C37
fn topics_join_a_pattern_as_they_come_and_leave_as_they_go() {
    let mut group = Group::new(&[("t", 1)]);
    let interest = Interest::Pattern(Regex::new("^(?:t.*)$").unwrap());
    let member = group.join(Joining { interest, ..joining(&[], RangeAssignor) });
    assert_eq!(group.poll(&member).1, ["t-0"]);
    group.members.set_topics(&image(&[("t", 1), ("t2", 1), ("other", 1)]));
    assert_eq!(group.poll(&member).1, ["t2-0"]);
    group.members.set_topics(&image(&[("t2", 1), ("other", 1)]));
    assert_eq!(group.poll(&member).0, ["t-0"]);
    group.members.set_topics(&image(&[("t2", 3), ("other", 1)]));
    assert_eq!(group.poll(&member).1, ["t2-1", "t2-2"]);
}

#[test]
fn topic_that_was_created_anew_is_another_one() {
    let mut group = Group::new(&[("t", 1)]);
    let member = group.join_range();
    group.poll(&member);
    let mut anew = group.image.clone();
    anew.insert("t".into(), TopicFacts { id: TopicId([9; 16]), partitions: 1 });
    group.members.set_topics(&anew);
    assert_eq!(group.poll(&member), (vec!["t-0".to_owned()], vec!["t-0".to_owned()]));
}

#[test]
fn topics_that_nobody_wants_concern_nobody() {
    let mut group = Group::new(&[("t", 1)]);
    let member = group.join_range();
    group.poll(&member);
    group.members.take_news();
    group.members.set_topics(&image(&[("t", 1), ("u", 1)]));
    assert!(group.members.take_news().is_empty());
}

#[test] // G28
fn cooperative_sticky_is_asked_again_when_what_it_withheld_is_free() {
    let mut group = Group::new(&[("t", 3)]);
    let member = || joining(&["t"], CooperativeStickyAssignor);
    let first = group.join(member());
    group.poll(&first);
    let second = group.join(member());
    for _ in 0..2 {
        group.poll(&first);
        group.poll(&second);
    }
    assert_eq!(group.held(&first).len() + group.held(&second).len(), 3);
    assert_eq!(group.state(), GroupState::Stable);
}

/// Which member gets which partition.
type Hands = &'static [(usize, &'static str, u32)];

/// Deals as it is told.
#[derive(Debug)]
struct Dealt(Hands);

impl Assignor for Dealt {
    fn name(&self) -> &str {
        "dealt"
    }

    fn assign(&self, group: &GroupSubscription) -> Result<GroupAssignment, Cause> {
        let ids: Vec<_> = group.members.keys().map(Arc::clone).chain(["nobody".into()]).collect();
        let mut assignment = GroupAssignment::default();
        for &(member, topic, number) in self.0 {
            let of_member = assignment.entry(Arc::clone(&ids[member])).or_default();
            of_member.push(TopicPartition::new(topic, number));
        }
        Ok(assignment)
    }
}

#[test]
fn assignment_against_the_rules_is_refused_and_changes_nothing() {
    let cases: [(Hands, &str); 4] = [
        (&[(0, "t", 0), (1, "t", 0)], "t-0 went to c-1 and to c-2"),
        (&[(0, "t", 7)], "t-7 went to c-1, which cannot have it"),
        (&[(0, "u", 0)], "u-0 went to c-1, which cannot have it"),
        (&[(2, "t", 0)], "there is no member nobody"),
    ];
    for (dealt, reason) in cases {
        let mut group = Group::new(&[("t", 2), ("u", 1)]);
        let (first, _) = (group.join(joining(&["t"], Dealt(dealt))), group.join(joining(&["t"], Dealt(dealt))));
        let job = group.members.begin_assign().unwrap();
        let assignment = job.assignor.assignor.assign(&job.subscription).unwrap();
        assert_eq!(group.members.finish_assign(&job, &assignment), Err(reason.to_owned()));
        assert_eq!(group.members.sync(&first), Some(Step::Nothing));
        assert!(group.members.begin_assign().is_some()); // asked again
    }
}

#[test]
fn assignment_of_an_epoch_that_is_over_is_dropped() {
    let mut group = Group::new(&[("t", 2)]);
    let first = group.join_range();
    let job = group.members.begin_assign().unwrap();
    assert!(group.members.begin_assign().is_none()); // one at a time
    let second = group.join_range();
    let assignment = job.assignor.assignor.assign(&job.subscription).unwrap();
    group.members.finish_assign(&job, &assignment).unwrap();
    assert_eq!(group.members.sync(&first), Some(Step::Nothing));
    group.poll(&second);
    assert_eq!(group.held(&second), ["t-1"]);
}

#[test]
fn what_is_let_go_of_while_an_assignor_that_withholds_it_is_at_work_is_dealt_again() {
    let mut group = Group::new(&[("t", 4)]);
    let member = || joining(&["t"], CooperativeStickyAssignor);
    let first = group.join(member());
    group.poll(&first);
    let second = group.join(member());
    group.poll(&second);
    let third = group.join(member());
    let job = group.members.begin_assign().unwrap(); // which takes all four for the first one's
    let Some(Step::Revoke(places)) = group.members.sync(&first) else { panic!("it has to give something up") };
    group.members.release(&first, places);
    let assignment = job.assignor.assignor.assign(&job.subscription).unwrap();
    group.members.finish_assign(&job, &assignment).unwrap();
    for _ in 0..3 {
        [&first, &second, &third].iter().for_each(|id| drop(group.poll(id)));
    }
    assert_eq!([&first, &second, &third].map(|id| group.held(id).len()).iter().sum::<usize>(), 4);
}

#[test]
fn assignor_that_hangs_holds_up_nobody_who_wants_a_later_epoch() {
    let mut group = Group::new(&[("t", 2)]);
    let first = group.join_range();
    let hanging = group.members.begin_assign().unwrap();
    group.members.remove(&first);
    let second = group.join_range();
    assert_eq!(group.poll(&second).1.len(), 2);
    group.members.finish_assign(&hanging, &GroupAssignment::new()).unwrap();
    assert_eq!(group.held(&second).len(), 2);
}

#[test]
fn static_member_that_returns_while_an_assignor_is_at_work_is_no_fault_of_its_answer() {
    let mut group = Group::new(&[("t", 2)]);
    let away = group.join(of_instance("a", &["t"]));
    group.poll(&away);
    group.members.leave(&away, Moment(std::time::Duration::from_secs(45)));
    group.join_range();
    let job = group.members.begin_assign().unwrap();
    group.join(of_instance("a", &["t"]));
    let assignment = job.assignor.assignor.assign(&job.subscription).unwrap();
    group.members.finish_assign(&job, &assignment).unwrap();
}

#[test]
fn commit_for_a_topic_that_nobody_subscribes_to_holds_back_who_comes_for_it() {
    let mut group = Group::new(&[("t", 1), ("u", 1)]);
    let member = group.join(joining(&["u"], RangeAssignor));
    group.poll(&member);
    let place = group.place("t", 0);
    assert_eq!(group.members.begin_commit(Some(&member), [&place]), Ok(true));
    let new = group.join_range();
    assert_eq!(group.poll(&new).1, Vec::<String>::new());
    group.members.end_commit(Some(&member), true);
    assert!(group.members.take_news().contains(&new));
    assert_eq!(group.poll(&new).1, ["t-0"]);
}

/// What may happen to a group.
#[derive(Clone, Debug)]
enum Happens {
    Join {
        topics: usize,
        instance: Option<u8>,
        assignor: u8,
    },
    Leave(usize),
    Expel(usize),
    Poll(usize),
    /// A poll whose listener does not return until something else has happened.
    HalfPoll(usize),
    Resubscribe(usize, usize),
    Topics(usize),
    BeginCommit(usize),
    EndCommit,
    Enforce,
    Expire,
    /// An assignor begins, and does not end before something else has happened.
    BeginAssign,
    EndAssign,
}

fn happens() -> impl Strategy<Value = Happens> {
    let member = 0..12usize;
    prop_oneof![
        3 => (0..4usize, prop::option::weighted(0.3, 0..3u8), 0..2u8)
            .prop_map(|(topics, instance, assignor)| Happens::Join { topics, instance, assignor }),
        2 => member.clone().prop_map(Happens::Leave),
        1 => member.clone().prop_map(Happens::Expel),
        8 => member.clone().prop_map(Happens::Poll),
        3 => member.clone().prop_map(Happens::HalfPoll),
        1 => (member.clone(), 0..4usize).prop_map(|(member, topics)| Happens::Resubscribe(member, topics)),
        1 => (0..3usize).prop_map(Happens::Topics),
        3 => member.prop_map(Happens::BeginCommit),
        3 => Just(Happens::EndCommit),
        1 => Just(Happens::Enforce),
        1 => Just(Happens::Expire),
        2 => Just(Happens::BeginAssign),
        2 => Just(Happens::EndAssign),
    ]
}

const WANTED: [&[&str]; 4] = [&["t"], &["t", "u"], &["u", "v"], &["v"]];
const IMAGES: [&[(&str, u32)]; 3] = [&[("t", 5), ("u", 3)], &[("t", 7), ("u", 3), ("v", 4)], &[("u", 3), ("v", 1)]];

/// A group that anything happens to, and what its members know themselves.
struct World {
    group: Group,
    /// What each handle believes to hold; those that have left are gone, those that were expelled do not know it.
    handles: Vec<(MemberId, BTreeSet<Place>)>,
    revoking: BTreeMap<MemberId, Vec<Place>>,
    commits: Vec<(MemberId, Place)>,
    jobs: Vec<AssignJob>,
    expelled: BTreeSet<MemberId>,
}

impl World {
    fn happen(&mut self, event: &Happens) {
        let at = |member: &usize| member % self.handles.len().max(1);
        let handle = |member: &usize| self.handles.get(at(member)).map(|(id, _)| Arc::clone(id));
        let interest = |topics: usize| Interest::Topics(WANTED[topics].iter().map(|&name| name.into()).collect());
        match event {
            Happens::Join { topics, instance, assignor } => {
                let assignors: Vec<Arc<dyn Assignor>> = match assignor {
                    0 => vec![Arc::new(StickyAssignor), Arc::new(CooperativeStickyAssignor)],
                    _ => vec![Arc::new(CooperativeStickyAssignor), Arc::new(StickyAssignor)],
                };
                let instance = instance.map(|number| format!("i{number}").into());
                let interest = interest(*topics);
                let assignors = assignors.into_iter().map(NamedAssignor::new).collect();
                let joining = Joining { prefix: "c".into(), instance, interest, assignors };
                if let Ok(id) = self.group.members.join(joining, &self.group.image, 10) {
                    self.handles.push((id, BTreeSet::new()));
                }
            }
            Happens::Leave(member) => {
                if let Some(id) = handle(member) {
                    self.group.members.leave(&id, Moment(std::time::Duration::from_secs(45)));
                    self.drop_handle(&id);
                }
            }
            Happens::Expel(member) => {
                if let Some(id) = handle(member) {
                    self.group.members.remove(&id);
                    self.expelled.insert(id);
                }
            }
            Happens::Poll(member) => {
                if let Some(id) = handle(member) {
                    self.poll(&id, false);
                }
            }
            Happens::HalfPoll(member) => {
                if let Some(id) = handle(member) {
                    self.poll(&id, true);
                }
            }
            Happens::Resubscribe(member, topics) => {
                if let Some(id) = handle(member) {
                    let image = self.group.image.clone();
                    self.group.members.resubscribe(&id, interest(*topics), &image);
                }
            }
            Happens::Topics(which) => {
                self.group.image = image(IMAGES[*which]);
                let image = self.group.image.clone();
                self.group.members.set_topics(&image);
            }
            Happens::BeginCommit(member) => {
                let holds =
                    self.handles.get(at(member)).and_then(|(id, held)| Some((id.clone(), held.first()?.clone())));
                if let Some((id, place)) = holds {
                    let begun = self.group.members.begin_commit(Some(&id), [&place]);
                    assert_eq!(begun.is_ok(), !self.expelled.contains(&id), "{id} {place:?}: {begun:?}");
                    self.commits.extend(begun.is_ok().then_some((id, place)));
                }
            }
            Happens::EndCommit => {
                if !self.commits.is_empty() {
                    let (id, _) = self.commits.remove(0);
                    self.group.members.end_commit(Some(&id), false);
                }
            }
            Happens::BeginAssign => self.jobs.extend(self.group.members.begin_assign()),
            Happens::EndAssign => self.end_assign(),
            Happens::Enforce => self.group.members.begin_epoch(),
            Happens::Expire => self.group.members.expire(Moment(std::time::Duration::from_secs(45))),
        }
    }

    fn end_assign(&mut self) {
        if !self.jobs.is_empty() {
            let job = self.jobs.remove(0);
            let assignment = job.assignor.assignor.assign(&job.subscription).unwrap();
            self.group.members.finish_assign(&job, &assignment).unwrap();
        }
    }

    fn drop_handle(&mut self, id: &MemberId) {
        self.handles.retain(|(handle, _)| handle != id);
        self.revoking.remove(id);
    }

    fn poll(&mut self, id: &MemberId, half: bool) {
        if let Some(places) = self.revoking.remove(id) {
            self.release(id, places);
        }
        loop {
            self.group.assign();
            match self.group.members.sync(id) {
                Some(Step::Nothing) => return,
                Some(Step::Revoke(places)) if half => {
                    self.revoking.insert(Arc::clone(id), places);
                    return;
                }
                Some(Step::Revoke(places)) => self.release(id, places),
                Some(Step::Take(places)) => {
                    let (_, held) = self.handles.iter_mut().find(|(handle, _)| handle == id).unwrap();
                    held.extend(places);
                }
                None => {
                    assert!(self.expelled.contains(id));
                    return self.drop_handle(id);
                }
            }
        }
    }

    fn release(&mut self, id: &MemberId, places: Vec<Place>) {
        let (_, held) = self.handles.iter_mut().find(|(handle, _)| handle == id).unwrap();
        places.iter().for_each(|place| assert!(held.remove(place)));
        self.group.members.release(id, places);
    }

    /// What must hold at any time.
    fn check(&self) {
        let mut owner_of: BTreeMap<&Place, &MemberId> = BTreeMap::new();
        for (id, held) in self.handles.iter().filter(|(id, _)| !self.expelled.contains(id)) {
            for place in held {
                assert_eq!(owner_of.insert(place, id), None, "{place:?} has two owners");
            }
        }
        for (id, place) in &self.commits {
            if let Some(owner) = owner_of.get(place) {
                assert_eq!(*owner, id, "{place:?} has an owner while a commit of another is under way");
            }
        }
    }

    /// Nothing happens any more but polls.
    fn settle(&mut self) {
        for (id, _) in std::mem::take(&mut self.commits) {
            self.group.members.end_commit(Some(&id), false);
        }
        while !self.jobs.is_empty() {
            self.end_assign();
        }
        self.group.members.expire(Moment(std::time::Duration::from_secs(45)));
        for _ in 0..3 {
            for id in self.handles.iter().map(|(id, _)| Arc::clone(id)).collect::<Vec<_>>() {
                self.poll(&id, false);
            }
        }
        let state = self.group.state();
        assert!(matches!(state, GroupState::Stable | GroupState::Empty), "{:?}", self.group.members.describe());
        let held = self.handles.iter().map(|(_, held)| held.len()).sum::<usize>();
        let members = &self.group.members;
        let total: u32 = members.subscribed.values().map(|facts| facts.partitions).sum();
        assert_eq!(held, usize::try_from(total).unwrap());
        assert_eq!(members.owners.len(), held);
        assert_eq!(members.by_id.len(), self.handles.len()); // nobody is remembered for nothing
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_partition_has_two_owners_whatever_happens_and_a_quiet_group_has_all(
        events in prop::collection::vec(happens(), 0..60)
    ) {
        let mut world = World {
            group: Group::new(IMAGES[0]),
            handles: Vec::new(),
            revoking: BTreeMap::new(),
            commits: Vec::new(),
            jobs: Vec::new(),
            expelled: BTreeSet::new(),
        };
        for event in &events {
            world.happen(event);
            world.check();
        }
        world.settle();
    }
}
