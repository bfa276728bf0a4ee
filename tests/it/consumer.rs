//! Consumers, one test for each statement about Kafka's that concerns them, through the public API.
//!
//! The numbers are those of the statements, which say what Kafka's own tests check of its consumer:
//!
//! | | statement | test |
//! |---|---|---|
//! | C1 | subscribing, then assigning, is illegal | `c1_subscribing_and_assigning_exclude_each_other` |
//! | C2 | so is polling without either | `c2_poll_without_subscription_is_illegal` |
//! | C3 | a second thread cannot poll | by type: `poll` takes `&mut self`; an example of `Consumer` that does not compile |
//! | C4 | a wakeup fails one poll, and loses nothing | `c4_wakeup_fails_one_poll_and_the_next_returns_the_records` |
//! | C5 | nothing committed: the policy, or an error | `c5_without_a_committed_offset_the_policy_says_where_to_begin`, `c5_by_duration_begins_at_the_first_record_young_enough` |
//! | C6 | out of range: the policy, or an error | `c6_position_out_of_range_is_reset_or_an_error` |
//! | C7 | `max.poll.records` cuts, positions follow | `c7_poll_returns_at_most_max_poll_records_and_positions_follow` |
//! | C8 | a seek drops what is buffered | `c8_seek_drops_what_is_buffered` |
//! | C9 | a bad seek is refused | `c9_seek_to_a_negative_offset_or_of_an_unassigned_partition_is_refused` |
//! | C10 | paused: nothing; resumed: what was buffered | `c10_paused_partition_returns_nothing_until_resumed`; that nothing is read again: `paused_partition_keeps_its_buffer` in `src/consumer/fetcher` |
//! | C11 | a rebalance that takes a partition away ends its pause | `c11_pause_ends_when_the_partition_goes_and_lasts_while_it_is_kept`, `c11_pause_lasts_as_long_as_the_partition_is_kept` |
//! | C12 | a record that cannot be deserialized is an error until a seek | `c12_record_that_cannot_be_deserialized_is_an_error_until_seek` |
//! | C13 | so is a corrupt batch | `c13_corrupt_batch_is_an_error_that_names_its_place_until_seek` |
//! | C14 | a first batch beyond the fetch limits is returned | `c14_record_larger_than_the_fetch_limits_is_returned` |
//! | C15 | an unreachable leader is a timeout | not here: there is no network, `position` and `committed` ask memory |
//! | C16 | looking up times: negative refused, none young enough | `c16_negative_time_is_refused_and_a_late_one_finds_nothing` |
//! | C17 | the end under `read_committed` | not yet: there are no transactions |
//! | C18 | lag: unknown at first, then to the high watermark | `c18_lag_is_unknown_before_a_position_is` |
//! | C19 | automatic commits cover earlier polls only | `c19_auto_commit_covers_what_earlier_polls_returned` |
//! | C20 | and happen before a partition is given up | `c20_auto_commit_comes_before_the_revocation_and_the_next_owner_begins_there` |
//! | C21 | and on close | `c21_close_commits_what_the_last_poll_returned` |
//! | C22 | also when it was woken | `c22_close_after_a_wakeup_commits` |
//! | C23 | callbacks run in order, before a later `commit_sync` returns | `c23_callbacks_have_run_in_order_before_commit_sync_returns` |
//! | C24 | a failure that may pass is told, and not tried again | `c24_commit_that_fails_for_want_of_room_is_told_and_not_tried_again` |
//! | C25 | a commit by one who is not the member is refused | `c25_commit_of_another_than_the_member_is_refused`; during a rebalance nothing has to be refused but what is not owned: `c25_commit_during_a_rebalance_is_taken_from_whoever_still_owns` |
//! | C26 | metadata comes back, and has a limit | `c26_metadata_comes_back_and_has_a_limit` |
//! | C27 | no group: assigning works, committing does not | `c27_without_a_group_assigning_works_and_committing_does_not` |
//! | C28 | eager: all is revoked, then the new is assigned | partitions change hands one by one, as with KIP-848, so what is kept is never revoked; the order and where it begins: `c28_what_goes_is_revoked_before_what_comes_is_assigned_and_begins_where_it_was_committed` |
//! | C29 | cooperative: nothing lost, so nothing revoked | `c29_member_that_loses_nothing_is_told_of_nothing_new_and_of_no_revocation` |
//! | C30 | an expelled member is told, and cannot commit | `c30_member_that_was_expelled_is_told_that_its_partitions_are_lost`, `c30_nothing_can_be_committed_for_what_is_lost_and_lost_means_revoked_unless_it_is_said_otherwise` |
//! | C31 | a listener that fails | `c31_failure_of_a_listener_is_given_after_all_calls_and_the_consumer_reads_on` |
//! | C32 | nothing is read before `on_partitions_assigned` returns | `c32_nothing_is_read_before_on_partitions_assigned_returns_and_a_seek_in_it_counts` |
//! | C33 | `max.poll.interval.ms` | `c33_another_member_takes_over_from_one_that_works_too_long` |
//! | C34 | interceptors filter, fail without harm, see commits that succeeded | `c34_interceptor_may_leave_records_out`, `c34_failing_interceptor_is_passed_by`, `c34_interceptor_sees_commits_that_succeeded` |
//! | C35 | a position behind a cut | `c35_committed_offset_that_a_power_cut_took_is_cut_back`; of a consumer that is reading: `c35_position_behind_a_cut_is_reported_once_and_moved` in `src/consumer/fetcher`, since no log is cut while it is open |
//! | C36 | a topic no longer subscribed is let go | `c36_topic_no_longer_subscribed_is_let_go_with_its_buffer` |
//! | C37 | patterns | `c37_topics_join_a_pattern_as_they_are_created_and_leave_as_they_are_deleted`; there are no internal topics to leave out |
//! | C38 | the lag metric, gone when unassigned | `c38_lag_is_a_metric_until_the_partition_is_unassigned` |
//!
//! Of 38 statements 36 are tested or hold by type; 2 are not: C15 for want of a network, C17 until there are transactions.
//! The groups themselves are in `groups.rs`.

mod commits;
mod fetching;
mod interceptors;
mod positions;
mod reading;
mod rebalances;
mod threads;

use std::time::Duration;

use ottla::{
    Admin, Consumer, ConsumerConfig, Engine, MemoryDisk, NewTopic, Producer, ProducerRecord, Result, Timestamp,
    TopicPartition,
};

use crate::statements::untested;

fn create(engine: &Engine, topic: &str, partitions: u32) {
    Admin::new(engine).create_topic(NewTopic::new(topic).partitions(partitions)).unwrap();
}

fn engine(topics: &[(&str, u32)]) -> Engine {
    engine_on(&MemoryDisk::new(), topics)
}

fn engine_on(disk: &MemoryDisk, topics: &[(&str, u32)]) -> Engine {
    let engine = Engine::builder().open_memory(disk).unwrap();
    topics.iter().for_each(|(topic, partitions)| create(&engine, topic, *partitions));
    engine
}

/// Stores records, durably.
fn append(engine: &Engine, topic: &str, partition: u32, values: &[&[u8]]) {
    let producer = Producer::<str, [u8]>::new(engine).unwrap();
    for &value in values {
        let record = ProducerRecord::to(topic).partition(partition).key("k").value(value).header("h", "1");
        drop(producer.send(record.timestamp(Timestamp(7))).unwrap());
    }
    producer.flush().unwrap();
}

fn orders() -> TopicPartition {
    TopicPartition::new("orders", 0)
}

type TextConsumer = Consumer<str, str>;

fn consumer(engine: &Engine, settings: &[(&str, &str)]) -> TextConsumer {
    let config = ConsumerConfig::builder().set_all(settings.iter().copied()).unwrap().build().unwrap();
    Consumer::with_config(engine, config).unwrap()
}

fn subscribed(engine: &Engine, settings: &[(&str, &str)]) -> TextConsumer {
    let mut consumer = consumer(engine, &[&[("group.id", "billing")], settings].concat());
    consumer.subscribe(["orders"]).unwrap();
    consumer
}

/// One poll, as the offsets of what it returned.
fn poll(consumer: &mut TextConsumer) -> Result<Vec<i64>> {
    let records = consumer.poll(Duration::from_millis(10))?;
    Ok(records.iter().map(|record| record.offset().0).collect())
}

fn committed(consumer: &TextConsumer) -> Option<i64> {
    consumer.committed(&orders()).unwrap().map(|committed| committed.offset.0)
}

#[test]
fn table_of_statements_is_whole() {
    let words = ["read_committed", "commit_sync", "on_partitions_assigned"];
    let tests = [
        include_str!("consumer/commits.rs"),
        include_str!("consumer/fetching.rs"),
        include_str!("consumer/interceptors.rs"),
        include_str!("consumer/positions.rs"),
        include_str!("consumer/reading.rs"),
        include_str!("consumer/rebalances.rs"),
        include_str!("consumer/threads.rs"),
        include_str!("../../src/consumer/fetcher/tests.rs"),
    ];
    let untested = untested(include_str!("consumer.rs"), 'C', 38, &words, &tests);
    assert_eq!(untested, [3, 15, 17], "C3 holds by type");
}
