//! Assignors: of the settings, and of the user's own; those that fail.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ottla::{
    Admin, Assignor, Cause, Consumer, Engine, Error, GroupAssignment, GroupState, GroupSubscription, RangeAssignor,
    TopicPartition,
};

use super::{TextConsumer, assigned, config, engine, fill, member, poll};

/// Gives everything to one member; sees what it is told; fails and panics as often as it is told to.
#[derive(Clone, Debug, Default)]
struct Own {
    seen: Arc<Mutex<Vec<GroupSubscription>>>,
    fails: Arc<AtomicU32>,
    panics: Arc<AtomicU32>,
    deals_twice: Arc<AtomicU32>,
}

fn is_due(times: &AtomicU32) -> bool {
    times.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

impl Assignor for Own {
    fn name(&self) -> &str {
        "one-for-all"
    }

    fn assign(&self, group: &GroupSubscription) -> Result<GroupAssignment, Cause> {
        self.seen.lock().unwrap().push(group.clone());
        if is_due(&self.fails) {
            return Err(Cause::msg("not today"));
        }
        if is_due(&self.panics) {
            resume_unwind(Box::new("on purpose"));
        }
        let twice = is_due(&self.deals_twice);
        let all: Vec<TopicPartition> = (0..group.topics["orders"]).map(|number| ("orders", number).into()).collect();
        let members = group.members.keys().rev().take(if twice { 2 } else { 1 });
        Ok(members.map(|id| (Arc::clone(id), all.clone())).collect())
    }
}

fn with(engine: &Engine, assignor: &Own) -> TextConsumer {
    let builder = Consumer::<str, str>::builder(engine).config(config(&[]));
    let mut member = builder.assignor(assignor.clone()).build().unwrap();
    member.subscribe(["orders"]).unwrap();
    member
}

#[test]
fn assignor_of_ones_own_is_asked_and_obeyed() {
    let engine = engine(3);
    let own = Own::default();
    let mut first = with(&engine, &own);
    poll(&mut first);
    assert_eq!(assigned(&first), [0, 1, 2]);
    let mut second = with(&engine, &own);
    poll(&mut second);
    poll(&mut first);
    fill(&engine, "orders");
    assert_eq!(poll(&mut second).len(), 3);
    assert!(poll(&mut first).is_empty());
    assert_eq!(Admin::new(&engine).group_members("billing").unwrap().assignor.as_deref(), Some("one-for-all"));
    let seen = own.seen.lock().unwrap();
    let last = seen.last().unwrap();
    assert_eq!(last.topics.keys().map(|topic| &**topic).collect::<Vec<_>>(), ["orders"]);
    let owned: Vec<usize> = last.members.values().map(|member| member.owned.len()).collect();
    assert_eq!(owned, [3, 0], "it is told who has what");
}

#[test]
fn assignor_that_fails_is_asked_again_and_everybody_keeps_what_he_has() {
    let engine = engine(2);
    let own = Own::default();
    let mut first = with(&engine, &own);
    poll(&mut first);
    own.fails.store(1, Ordering::SeqCst);
    let mut second = with(&engine, &own);
    let failed = second.poll(Duration::ZERO).unwrap_err();
    assert_eq!(failed.to_string(), "group billing: the assignor one-for-all failed: not today");
    own.deals_twice.store(1, Ordering::SeqCst);
    let failed = second.poll(Duration::ZERO).unwrap_err();
    assert!(matches!(failed, Error::Assignor { .. }) && failed.to_string().contains("orders-0"), "{failed}");
    assert_eq!(assigned(&first), [0, 1]);
    first.commit_sync().unwrap();
    poll(&mut second);
    poll(&mut first);
    poll(&mut second);
    assert_eq!(assigned(&second), [0, 1]);
}

#[test]
fn g4_when_one_member_cannot_deal_another_does() {
    let engine = engine(2);
    let own = Own::default();
    let mut first = with(&engine, &own);
    poll(&mut first);
    own.fails.store(1, Ordering::SeqCst);
    let mut second = with(&engine, &own);
    assert!(second.poll(Duration::ZERO).is_err());
    poll(&mut first); // deals
    poll(&mut second);
    assert_eq!(assigned(&second), [0, 1]);
}

#[test]
fn assignor_that_panics_is_asked_again() {
    for other_polls in [false, true] {
        let engine = engine(2);
        let own = Own::default();
        let mut first = with(&engine, &own);
        poll(&mut first);
        own.panics.store(1, Ordering::SeqCst);
        let mut second = with(&engine, &own);
        let caught = catch_unwind(AssertUnwindSafe(|| second.poll(Duration::ZERO).map(drop)));
        assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"on purpose"));
        if other_polls {
            poll(&mut first);
            poll(&mut second);
        } else {
            poll(&mut second);
            poll(&mut first);
            poll(&mut second);
        }
        assert_eq!(assigned(&second), [0, 1], "whoever polls first: {other_polls}");
        assert_eq!(Admin::new(&engine).group_members("billing").unwrap().state, GroupState::Stable);
    }
}

#[test]
fn g5_member_without_a_common_assignor_is_refused_and_the_group_goes_on() {
    let engine = engine(2);
    let mut first = member(&engine, &[("partition.assignment.strategy", "range")]);
    let mut other: TextConsumer =
        Consumer::with_config(&engine, config(&[("partition.assignment.strategy", "sticky,roundrobin")])).unwrap();
    other.subscribe(["orders"]).unwrap();
    let refused = other.poll(Duration::ZERO).unwrap_err();
    assert!(matches!(refused, Error::InconsistentGroupProtocol { .. }), "{refused}");
    fill(&engine, "orders");
    assert_eq!(poll(&mut first).len(), 2);
    first.close().unwrap();
    assert_eq!(poll(&mut other).len(), 0);
    assert_eq!(assigned(&other), [0, 1]);
}

#[test]
fn members_agree_on_an_assignor_that_all_have() {
    let engine = engine(2);
    let builder = Consumer::<str, str>::builder(&engine).config(config(&[]));
    let mut first = builder.assignor(Own::default()).assignor(RangeAssignor).build().unwrap();
    first.subscribe(["orders"]).unwrap();
    poll(&mut first);
    let name = || Admin::new(&engine).group_members("billing").unwrap().assignor.unwrap();
    assert_eq!(name(), "one-for-all");
    let _second = member(&engine, &[]);
    assert_eq!(name(), "range");
}
