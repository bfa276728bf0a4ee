//! Rebalances, as members see them: what their listeners are told, when, and what they may do there.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ottla::{Admin, Cause, Error, MemoryDisk, NewTopic, Offset, RebalanceListener, TopicPartition};

use super::{TextConsumer, append, committed, consumer, create, engine, engine_on, orders, poll, subscribed};

const BY_HAND: (&str, &str) = ("enable.auto.commit", "false");

fn second() -> TopicPartition {
    TopicPartition::new("orders", 1)
}

/// Notes what it is told, as a word and the names of the partitions.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    fn note(&self, word: &str, partitions: &[TopicPartition]) {
        let words = std::iter::once(word.to_owned()).chain(partitions.iter().map(ToString::to_string));
        self.0.lock().unwrap().push(words.collect::<Vec<_>>().join(" "));
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl RebalanceListener<str, str> for Notes {
    fn on_partitions_revoked(&mut self, _: &mut TextConsumer, partitions: &[TopicPartition]) -> Result<(), Cause> {
        self.note("revoked", partitions);
        Ok(())
    }

    fn on_partitions_assigned(&mut self, _: &mut TextConsumer, partitions: &[TopicPartition]) -> Result<(), Cause> {
        self.note("assigned", partitions);
        Ok(())
    }

    fn on_partitions_lost(&mut self, _: &mut TextConsumer, partitions: &[TopicPartition]) -> Result<(), Cause> {
        self.note("lost", partitions);
        Ok(())
    }
}

type Hook = Box<dyn FnMut(&mut TextConsumer, &str, &[TopicPartition]) -> Result<(), Cause> + Send>;

/// Does what a test wants it to do; the word is that of [`Notes`].
struct Hooked(Hook);

impl Hooked {
    fn new(hook: impl FnMut(&mut TextConsumer, &str, &[TopicPartition]) -> Result<(), Cause> + Send + 'static) -> Self {
        Self(Box::new(hook))
    }
}

impl RebalanceListener<str, str> for Hooked {
    fn on_partitions_revoked(&mut self, consumer: &mut TextConsumer, names: &[TopicPartition]) -> Result<(), Cause> {
        (self.0)(consumer, "revoked", names)
    }

    fn on_partitions_assigned(&mut self, consumer: &mut TextConsumer, names: &[TopicPartition]) -> Result<(), Cause> {
        (self.0)(consumer, "assigned", names)
    }

    fn on_partitions_lost(&mut self, consumer: &mut TextConsumer, names: &[TopicPartition]) -> Result<(), Cause> {
        (self.0)(consumer, "lost", names)
    }
}

fn told(
    engine: &ottla::Engine,
    settings: &[(&str, &str)],
    listener: impl RebalanceListener<str, str> + 'static,
) -> TextConsumer {
    let mut consumer = consumer(engine, &[&[("group.id", "billing")], settings].concat());
    consumer.subscribe_with(["orders"], listener).unwrap();
    consumer
}

/// Lets so much time pass on a stepped disk.
fn pass(engine: &ottla::Engine, seconds: u64) {
    if Admin::new(engine).describe_topic("still").is_err() {
        create(engine, "still", 1);
    }
    let mut idle = consumer(engine, &[]);
    idle.assign([("still", 0).into()]).unwrap();
    assert!(idle.poll(Duration::from_secs(seconds)).unwrap().is_empty());
}

#[test]
fn c11_pause_ends_when_the_partition_goes_and_lasts_while_it_is_kept() {
    let engine = engine(&[("orders", 2)]);
    let mut first = subscribed(&engine, &[]);
    poll(&mut first).unwrap();
    first.pause([&orders(), &second()]).unwrap();
    let mut other = subscribed(&engine, &[]);
    poll(&mut other).unwrap();
    poll(&mut first).unwrap();
    assert_eq!(first.paused(), [orders()]);
    other.close().unwrap();
    append(&engine, "orders", 1, &[b"a"]);
    assert_eq!(poll(&mut first).unwrap(), [0]);
    assert_eq!(first.assignment(), [orders(), second()]);
    assert_eq!(first.paused(), [orders()]);
}

#[test]
fn c20_auto_commit_comes_before_the_revocation_and_the_next_owner_begins_there() {
    let engine = engine(&[("orders", 2)]);
    append(&engine, "orders", 1, &[b"a", b"b", b"c"]);
    let seen = Arc::new(Mutex::new(None));
    let into = Arc::clone(&seen);
    let listener = Hooked::new(move |consumer, word, names| {
        if word == "revoked" {
            *into.lock().unwrap() = consumer.committed(&names[0])?.map(|committed| committed.offset);
        }
        Ok(())
    });
    let mut first = told(&engine, &[("max.poll.records", "2")], listener);
    assert_eq!(poll(&mut first).unwrap(), [0, 1]);
    let mut other = subscribed(&engine, &[]);
    poll(&mut other).unwrap();
    poll(&mut first).unwrap();
    assert_eq!(seen.lock().unwrap().take(), Some(Offset(2)));
    assert_eq!(poll(&mut other).unwrap(), [2]);
}

#[test]
fn c25_commit_during_a_rebalance_is_taken_from_whoever_still_owns() {
    let engine = engine(&[("orders", 2)]);
    append(&engine, "orders", 1, &[b"a"]);
    let mut first = subscribed(&engine, &[BY_HAND]);
    assert_eq!(poll(&mut first).unwrap(), [0]);
    let mut other = subscribed(&engine, &[BY_HAND]);
    poll(&mut other).unwrap(); // the second partition is to be its own, and is the first one's still
    first.commit_sync().unwrap();
    let refused = other.commit_sync_offsets([(second(), Offset(0).into())]);
    assert!(matches!(refused, Err(Error::CommitFailed { .. })), "{refused:?}");
    poll(&mut first).unwrap(); // lets go
    let refused = first.commit_sync_offsets([(second(), Offset(0).into())]);
    assert!(matches!(refused, Err(Error::CommitFailed { .. })), "{refused:?}");
    first.commit_sync().unwrap(); // of what it has kept
    assert_eq!(poll(&mut other).unwrap(), [0i64; 0]);
    assert_eq!(other.committed(&second()).unwrap().unwrap().offset, Offset(1));
}

#[test]
fn c28_what_goes_is_revoked_before_what_comes_is_assigned_and_begins_where_it_was_committed() {
    let engine = engine(&[("orders", 2), ("refunds", 1)]);
    append(&engine, "refunds", 0, &[b"a", b"b", b"c"]);
    let mut before = consumer(&engine, &[("group.id", "billing")]);
    before.commit_sync_offsets([(("refunds", 0).into(), Offset(2).into())]).unwrap();
    let notes = Notes::default();
    let mut first = told(&engine, &[], notes.clone());
    poll(&mut first).unwrap();
    assert_eq!(notes.take(), ["assigned orders-0 orders-1"]);
    first.subscribe_with(["refunds"], notes.clone()).unwrap();
    assert_eq!(notes.take(), [""; 0], "not before the poll");
    assert_eq!(poll(&mut first).unwrap(), [2]);
    assert_eq!(notes.take(), ["revoked orders-0 orders-1", "assigned refunds-0"]);
    first.close().unwrap();
    assert_eq!(notes.take(), ["revoked refunds-0"]);
}

#[test]
fn c29_member_that_loses_nothing_is_told_of_nothing_new_and_of_no_revocation() {
    let engine = engine(&[("orders", 2), ("refunds", 1)]);
    let notes = Notes::default();
    let mut first = told(&engine, &[], notes.clone());
    poll(&mut first).unwrap();
    notes.take();
    let mut other = consumer(&engine, &[("group.id", "billing")]);
    other.subscribe(["refunds"]).unwrap();
    poll(&mut other).unwrap();
    poll(&mut first).unwrap();
    assert_eq!(notes.take(), ["assigned"]);
    poll(&mut first).unwrap();
    assert_eq!(notes.take(), [""; 0]);
}

/// A member that has not polled for too long, and its notes.
fn expelled(engine: &ottla::Engine) -> (TextConsumer, Notes) {
    let notes = Notes::default();
    let mut stalled = told(engine, &[BY_HAND, ("max.poll.interval.ms", "60000")], notes.clone());
    poll(&mut stalled).unwrap();
    pass(engine, 59);
    assert_eq!(Admin::new(engine).group_members("billing").unwrap().members.len(), 1);
    pass(engine, 1);
    assert_eq!(Admin::new(engine).group_members("billing").unwrap().members, []);
    (stalled, notes)
}

#[test]
fn c30_member_that_was_expelled_is_told_that_its_partitions_are_lost() {
    let engine = engine_on(&MemoryDisk::stepped(7), &[("orders", 2)]);
    append(&engine, "orders", 0, &[b"a"]);
    let (mut stalled, notes) = expelled(&engine);
    let old = stalled.group_metadata().unwrap().member_id;
    assert_eq!(notes.take(), ["assigned orders-0 orders-1"], "and nothing outside of a poll");
    assert_eq!(poll(&mut stalled).unwrap(), [0]); // again: it was not committed
    assert_eq!(notes.take(), ["lost orders-0 orders-1", "assigned orders-0 orders-1"]);
    assert_ne!(stalled.group_metadata().unwrap().member_id, old);
    stalled.commit_sync().unwrap();

    let (mut stalled, notes) = expelled(&engine_on(&MemoryDisk::stepped(7), &[("orders", 2)]));
    notes.take();
    stalled.unsubscribe().unwrap();
    assert_eq!(notes.take(), ["lost orders-0 orders-1"]);
}

#[test]
fn c30_nothing_can_be_committed_for_what_is_lost_and_lost_means_revoked_unless_it_is_said_otherwise() {
    struct Commits(Arc<Mutex<Vec<bool>>>);
    impl RebalanceListener<str, str> for Commits {
        fn on_partitions_revoked(&mut self, consumer: &mut TextConsumer, _: &[TopicPartition]) -> Result<(), Cause> {
            self.0.lock().unwrap().push(consumer.commit_sync().is_ok());
            Ok(())
        }
    }
    let engine = engine_on(&MemoryDisk::stepped(7), &[("orders", 1)]);
    append(&engine, "orders", 0, &[b"a"]);
    let outcomes = Arc::default();
    let mut stalled = told(&engine, &[BY_HAND], Commits(Arc::clone(&outcomes)));
    assert_eq!(poll(&mut stalled).unwrap(), [0]);
    pass(&engine, 300);
    assert_eq!(poll(&mut stalled).unwrap(), [0]);
    assert_eq!(*outcomes.lock().unwrap(), [false]);
    stalled.close().unwrap();
    assert_eq!(*outcomes.lock().unwrap(), [false, true]);
    assert_eq!(committed(&subscribed(&engine, &[])), Some(1));
}

#[test]
fn c31_failure_of_a_listener_is_given_after_all_calls_and_the_consumer_reads_on() {
    let engine = engine(&[("orders", 2), ("refunds", 1)]);
    append(&engine, "refunds", 0, &[b"a"]);
    let notes = Notes::default();
    let noting = notes.clone();
    let failing = move || {
        let notes = noting.clone();
        Hooked::new(move |_, word, names| {
            notes.note(word, names);
            Err(Cause::msg(format!("{word} is not to my liking")))
        })
    };
    let mut first = told(&engine, &[], failing());
    let failed = poll(&mut first).unwrap_err();
    let text = "on_partitions_assigned of the rebalance listener failed: assigned is not to my liking";
    assert_eq!(failed.to_string(), text);
    first.subscribe_with(["refunds"], failing()).unwrap();
    let failed = poll(&mut first).unwrap_err();
    assert!(matches!(failed, Error::RebalanceListener { method: "on_partitions_revoked", .. }), "{failed}");
    assert_eq!(notes.take(), ["assigned orders-0 orders-1", "revoked orders-0 orders-1", "assigned refunds-0"]);
    assert_eq!(poll(&mut first).unwrap(), [0]);
    assert!(matches!(first.unsubscribe(), Err(Error::RebalanceListener { .. })));
    assert_eq!(Admin::new(&engine).group_members("billing").unwrap().members, []);
}

#[test]
fn panic_of_a_listener_is_the_callers_and_the_consumer_can_be_used_by_who_catches_it() {
    let engine = engine(&[("orders", 2)]);
    append(&engine, "orders", 0, &[b"a"]);
    let mut panics = true;
    let listener = Hooked::new(move |_, _, _| {
        if std::mem::take(&mut panics) {
            std::panic::resume_unwind(Box::new("on purpose"));
        }
        Ok(())
    });
    let mut first = told(&engine, &[], listener);
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| poll(&mut first)));
    assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"on purpose"));
    assert_eq!(poll(&mut first).unwrap(), [0]);
    first.close().unwrap();
}

#[test]
fn c32_nothing_is_read_before_on_partitions_assigned_returns_and_a_seek_in_it_counts() {
    let engine = engine(&[("orders", 1)]);
    append(&engine, "orders", 0, &[b"a", b"b", b"c"]);
    let listener = Hooked::new(|consumer, word, names| {
        if word == "assigned" {
            assert_eq!(consumer.position(&names[0])?, Offset(0));
            consumer.seek(&names[0], Offset(2))?;
            assert_eq!(consumer.position(&names[0])?, Offset(2));
            consumer.commit_sync()?;
        }
        Ok(())
    });
    let mut first = told(&engine, &[BY_HAND], listener);
    assert_eq!(poll(&mut first).unwrap(), [2]);
    assert_eq!(committed(&first), Some(2), "what was committed inside");
    let pausing = Hooked::new(|consumer, _, names| Ok(consumer.pause(names)?));
    let mut other = consumer(&engine, &[("group.id", "other")]);
    other.subscribe_with(["orders"], pausing).unwrap();
    assert_eq!(poll(&mut other).unwrap(), [0i64; 0]);
    other.resume([&orders()]).unwrap();
    assert_eq!(poll(&mut other).unwrap(), [0, 1, 2]);
}

#[test]
fn commit_in_on_partitions_revoked_is_where_the_next_owner_begins() {
    let engine = engine(&[("orders", 2)]);
    append(&engine, "orders", 1, &[b"a", b"b", b"c"]);
    for waits in [true, false] {
        let listener = Hooked::new(move |consumer, word, names| {
            if word == "revoked" {
                let done = Offset(if waits { 1 } else { 2 });
                if waits {
                    consumer.commit_sync_offsets([(names[0].clone(), done.into())])?;
                } else {
                    consumer.commit_async_offsets([(names[0].clone(), done.into())], |_, _| {})?;
                }
            }
            Ok(())
        });
        let mut first = told(&engine, &[BY_HAND], listener);
        poll(&mut first).unwrap();
        let mut other = subscribed(&engine, &[BY_HAND]);
        poll(&mut other).unwrap();
        poll(&mut first).unwrap();
        assert_eq!(poll(&mut other).unwrap(), if waits { vec![1, 2] } else { vec![2] });
        drop((other, first));
    }
}

#[test]
fn listener_may_not_poll_subscribe_assign_or_close() {
    let engine = engine(&[("orders", 1)]);
    let listener = Hooked::new(|consumer, _, _| {
        let is_refused = |outcome: ottla::Result<()>| assert!(matches!(outcome, Err(Error::IllegalState { .. })));
        is_refused(consumer.poll(Duration::ZERO).map(drop));
        is_refused(consumer.subscribe(["orders"]));
        is_refused(consumer.subscribe_pattern("orders"));
        is_refused(consumer.assign([orders()]));
        is_refused(consumer.unsubscribe());
        is_refused(consumer.close());
        assert_eq!(consumer.subscription(), ["orders"]);
        Ok(())
    });
    let mut first = told(&engine, &[], listener);
    assert_eq!(poll(&mut first).unwrap(), [0i64; 0]);
    first.close().unwrap();
}

#[test]
fn c33_another_member_takes_over_from_one_that_works_too_long() {
    let engine = engine_on(&MemoryDisk::stepped(7), &[("orders", 1)]);
    append(&engine, "orders", 0, &[b"a", b"b"]);
    let notes = Notes::default();
    let mut stalled = told(&engine, &[BY_HAND, ("max.poll.records", "1")], notes.clone());
    assert_eq!(poll(&mut stalled).unwrap(), [0]);
    let mut other = subscribed(&engine, &[BY_HAND]);
    assert!(other.poll(Duration::from_secs(299)).unwrap().is_empty());
    assert_eq!(other.poll(Duration::from_secs(3600)).unwrap().len(), 2, "while it waits");
    other.commit_sync().unwrap();

    let refused = stalled.commit_sync();
    assert!(matches!(refused, Err(Error::CommitFailed { .. })), "{refused:?}");
    assert_eq!(poll(&mut stalled).unwrap(), [0i64; 0]);
    assert_eq!(notes.take(), ["assigned orders-0", "lost orders-0", "assigned"]);
    other.close().unwrap();
    append(&engine, "orders", 0, &[b"c"]);
    assert_eq!(poll(&mut stalled).unwrap(), [2]);
    assert_eq!(notes.take(), ["assigned orders-0"]);
}

/// Takes its time with a commit.
struct Slow(ottla::Engine);

impl ottla::ConsumerInterceptor<str, str> for Slow {
    fn on_commit(&mut self, _: &ottla::Offsets) -> Result<(), Cause> {
        pass(&self.0, 300);
        Ok(())
    }
}

#[test]
fn member_that_is_expelled_while_its_poll_commits_is_handed_nothing() {
    let engine = engine_on(&MemoryDisk::stepped(7), &[("orders", 1)]);
    append(&engine, "orders", 0, &[b"a", b"b"]);
    let settings = [("group.id", "billing"), ("auto.commit.interval.ms", "0"), ("max.poll.records", "1")];
    let config = ottla::ConsumerConfig::builder().set_all(settings).unwrap().build().unwrap();
    let mut slow = TextConsumer::builder(&engine).config(config).interceptor(Slow(engine.clone())).build().unwrap();
    let notes = Notes::default();
    slow.subscribe_with(["orders"], notes.clone()).unwrap();
    assert_eq!(poll(&mut slow).unwrap(), [0]);
    assert_eq!(poll(&mut slow).unwrap(), [0i64; 0], "it commits, and is expelled meanwhile");
    let mut other = subscribed(&engine, &[]);
    assert_eq!(poll(&mut other).unwrap(), [1]);
    assert_eq!(poll(&mut slow).unwrap(), [0i64; 0]);
    assert_eq!(notes.take(), ["assigned orders-0", "lost orders-0", "assigned"]);
}

#[test]
fn member_that_waits_in_a_poll_is_never_late() {
    let engine = engine_on(&MemoryDisk::stepped(7), &[("orders", 1)]);
    let notes = Notes::default();
    let mut patient = told(&engine, &[("max.poll.interval.ms", "1000")], notes.clone());
    assert!(patient.poll(Duration::from_secs(3600)).unwrap().is_empty());
    assert!(patient.poll(Duration::ZERO).unwrap().is_empty());
    assert_eq!(notes.take(), ["assigned orders-0"]);
}

#[test]
fn c37_topics_join_a_pattern_as_they_are_created_and_leave_as_they_are_deleted() {
    let engine = engine(&[("orders", 1), ("other", 1)]);
    let admin = Admin::new(&engine);
    let notes = Notes::default();
    let mut first = consumer(&engine, &[("group.id", "billing")]);
    first.subscribe_pattern_with("orders.*", notes.clone()).unwrap();
    poll(&mut first).unwrap();
    assert_eq!(notes.take(), ["assigned orders-0"]);
    admin.create_topic(NewTopic::new("orders-eu").partitions(2)).unwrap();
    append(&engine, "orders-eu", 1, &[b"a"]);
    assert_eq!(poll(&mut first).unwrap(), [0], "from its beginning");
    assert_eq!(notes.take(), ["assigned orders-eu-0 orders-eu-1"]);
    assert_eq!(first.subscription(), ["orders", "orders-eu"]);
    admin.delete_topic("orders").unwrap();
    poll(&mut first).unwrap();
    assert_eq!(notes.take(), ["revoked orders-0", "assigned"]);
    for wrong in ["", "(", "*"] {
        assert!(matches!(first.subscribe_pattern(wrong), Err(Error::IllegalArgument { .. })), "{wrong}");
    }
    let mut none = consumer(&engine, &[("group.id", "billing")]);
    none.subscribe_pattern("nothing-.*").unwrap();
    assert!(poll(&mut none).unwrap().is_empty());
}
