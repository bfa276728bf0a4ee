//! Groups of several members, one test for each statement about Kafka's that concerns them.
//!
//! The numbers are those of the statements, which say what Kafka's own tests check of its group coordinator and assignors.
//! A group here is Kafka's of KIP-848 without heartbeats: members are handles of this process, and partitions go from one
//! to the next one by one. Tests without a letter are in `tests/it/groups`; (c) is `tests/it/consumer`, (d)
//! `tests/it/group_admin.rs`, (s) `src/coordinator/group/state/tests.rs`, (o) `src/coordinator/group/offsets.rs`, (a)
//! `src/coordinator/group/assignor/tests.rs`.
//!
//! | | statement | test |
//! |---|---|---|
//! | G1 | the first members are waited for | not here: dealing again moves partitions one by one and stops nobody, so there is nothing to save by waiting |
//! | G2 | one that leaves begins an epoch | (s) `leaving_begins_an_epoch_and_frees_what_the_member_held`, `g2_what_a_member_leaves_the_others_read_on` |
//! | G3 | one that does not come back is removed, a static one later | (s) `static_member_that_stays_away_is_removed_and_a_dynamic_one_at_once`, `g3_static_member_that_comes_back_too_late_has_lost_its_place` |
//! | G4 | when the leader does not deal, another one does | `g4_when_one_member_cannot_deal_another_does` |
//! | G5 | no assignor in common: refused | (s) `member_without_a_common_assignor_is_refused`, `g5_member_without_a_common_assignor_is_refused_and_the_group_goes_on` |
//! | G6 | joining again with the same subscription changes nothing | `g6_subscribing_to_the_same_again_begins_no_epoch` |
//! | G7 | one that does not take part is removed | (c) `c33_another_member_takes_over_from_one_that_works_too_long`; there is one time limit, `max.poll.interval.ms` |
//! | G8 | a heartbeat during a rebalance | not here: no heartbeats; a member that waits in a poll is alive, (c) `member_that_waits_in_a_poll_is_never_late` |
//! | G9 | commits of an old generation are refused | (s) `commit_of_a_former_member_is_refused`, (c) `c33_another_member_takes_over_from_one_that_works_too_long` |
//! | G10 | commits while partitions are dealt | (c) `c25_commit_during_a_rebalance_is_taken_from_whoever_still_owns`: they are taken, since the owner is known |
//! | G11 | a static member that returns has what it had, nobody notices, the old handle is fenced | (s) `static_member_that_returns_in_time_gets_its_partitions_and_nobody_notices`, `g11_static_member_that_comes_back_in_time_has_its_partitions` |
//! | G12 | `group.max.size` | (s) `member_beyond_group_max_size_is_refused_but_not_one_that_returns`, `g12_group_takes_no_more_than_group_max_size` |
//! | G13 | commits of one that is no member: only while there is none | (s) `standalone_commit_is_taken_only_while_the_group_is_empty`, (c) `c25_commit_of_another_than_the_member_is_refused`, (d) `g13_standalone_commit_is_taken_by_a_group_without_members`, `g13_unknown_group_has_committed_nothing` |
//! | G14 | offsets of an open transaction | waits for transactions |
//! | G15 | a commit beside one of a transaction | waits for transactions |
//! | G16 | retention of offsets | (o) `commits_of_a_group_without_members_go_by_their_own_time`, `offsets_of_a_group_go_by_when_its_last_member_left`, (d) `g16_offsets_of_a_group_expire_when_it_has_been_empty_for_so_long_and_the_group_with_them`, `g16_offsets_of_topics_that_a_member_subscribes_to_never_expire` |
//! | G17 | offsets of a subscribed topic cannot be deleted | (d) `g17_offsets_of_a_topic_that_a_member_subscribes_to_cannot_be_deleted` |
//! | G18 | nor a group with members | (d) `g18_group_with_members_cannot_be_deleted` |
//! | G19 | a deleted topic takes its offsets along | (o) `forgetting_a_topic_leaves_the_others`, (d) `g19_offsets_go_with_their_topic`, `member_reads_a_topic_that_was_created_anew_from_its_beginning` |
//! | G20 | what a restart keeps | `g20_reopening_keeps_offsets_and_no_members`: members are handles of a process, and end with it |
//! | G21 | a partition is granted when its former owner has let it go | (s) `partition_goes_over_when_its_owner_has_let_go_and_not_before`, `g21_partition_is_read_by_nobody_while_its_owner_has_not_let_go` |
//! | G22 | one that does not let go in time is expelled | (c) `c33_another_member_takes_over_from_one_that_works_too_long` |
//! | G23 | old epochs, with fewer partitions or fenced | (c) `c25_commit_during_a_rebalance_is_taken_from_whoever_still_owns`: who owns a partition may commit for it, whichever epoch it has come to |
//! | G24 | one that nothing changes for keeps all | (s) `member_that_nothing_changes_for_keeps_its_partitions_and_comes_to_the_new_epoch`, (c) `c29_member_that_loses_nothing_is_told_of_nothing_new_and_of_no_revocation` |
//! | G25 | range | (a) `range_deals_as_kafkas` |
//! | G26 | round robin | (a) `round_robin_deals_as_kafkas` |
//! | G27 | sticky | (a) `sticky_deals_as_kafkas`, `assignors_keep_what_they_promise` |
//! | G28 | cooperative sticky | (a) `cooperative_sticky_withholds_as_kafkas_and_deals_the_rest_the_next_time`, (s) `cooperative_sticky_is_asked_again_when_what_it_withheld_is_free` |
//! | G29 | the uniform assignor | it runs in Kafka's brokers; what it promises, `sticky` keeps: (a) `assignors_keep_what_they_promise` |
//!
//! Of 29 statements 25 are tested; G1 and G8 make no sense here, G14 and G15 wait for transactions. `chaos` does all of it
//! at once, with eight threads; `tests/sim/groups.rs` under a clock of its own, with crashes.

mod assignors;
mod chaos;
mod ledger;
mod members;
mod stored;
mod worker;

use std::time::Duration;

use ottla::{Admin, Consumer, ConsumerConfig, Engine, MemoryDisk, NewTopic, Producer, ProducerRecord, TopicPartition};

use crate::statements::untested;

type TextConsumer = Consumer<str, str>;

/// An engine whose time passes when somebody waits, with a topic of so many partitions.
fn engine(partitions: u32) -> Engine {
    engine_on(&MemoryDisk::stepped(11), partitions)
}

fn engine_on(disk: &MemoryDisk, partitions: u32) -> Engine {
    let engine = Engine::builder().open_memory(disk).unwrap();
    create(&engine, "orders", partitions);
    create(&engine, "still", 1);
    engine
}

fn create(engine: &Engine, topic: &str, partitions: u32) {
    Admin::new(engine).create_topic(NewTopic::new(topic).partitions(partitions)).unwrap();
}

/// A record into each partition of a topic.
fn fill(engine: &Engine, topic: &str) {
    let producer = Producer::<str, str>::new(engine).unwrap();
    let partitions = Admin::new(engine).describe_topic(topic).unwrap().partitions;
    for partition in partitions.iter().map(|partition| partition.partition.partition()) {
        drop(producer.send(ProducerRecord::to(topic).partition(partition).value("v")).unwrap());
    }
    producer.close().unwrap();
}

fn config(settings: &[(&str, &str)]) -> ConsumerConfig {
    let group = ConsumerConfig::builder().group_id(Some("billing".into()));
    group.set_all(settings.iter().copied()).unwrap().build().unwrap()
}

/// A member that has polled once, and lets go of what it is not to have.
fn member(engine: &Engine, settings: &[(&str, &str)]) -> TextConsumer {
    let mut member = Consumer::with_config(engine, config(settings)).unwrap();
    member.subscribe(["orders"]).unwrap();
    poll(&mut member);
    member
}

/// One poll, as the names of the partitions that records came from.
fn poll(member: &mut TextConsumer) -> Vec<String> {
    let records = member.poll(Duration::ZERO).unwrap();
    records.partitions().map(ToString::to_string).collect()
}

fn assigned(member: &TextConsumer) -> Vec<u32> {
    member.assignment().iter().map(TopicPartition::partition).collect()
}

fn epoch(engine: &Engine) -> u64 {
    Admin::new(engine).group_members("billing").unwrap().epoch
}

/// Lets time pass.
fn pass(engine: &Engine, seconds: u64) {
    let mut idle = TextConsumer::with_config(engine, ConsumerConfig::default()).unwrap();
    idle.assign([("still", 0).into()]).unwrap();
    assert!(idle.poll(Duration::from_secs(seconds)).unwrap().is_empty());
}

#[test]
fn table_of_statements_is_whole() {
    let tests = [
        include_str!("groups/assignors.rs"),
        include_str!("groups/members.rs"),
        include_str!("groups/stored.rs"),
        include_str!("group_admin.rs"),
        include_str!("consumer/commits.rs"),
        include_str!("consumer/rebalances.rs"),
        include_str!("../../src/coordinator/group/assignor/tests.rs"),
        include_str!("../../src/coordinator/group/offsets.rs"),
        include_str!("../../src/coordinator/group/state/tests.rs"),
    ];
    assert_eq!(untested(include_str!("groups.rs"), 'G', 29, &[], &tests), [1, 8, 14, 15]);
}
