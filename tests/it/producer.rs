//! Producers, a test for each statement about Kafka's that concerns them.
//!
//! The numbers are those of the statements, which say what Kafka's own tests check of its producer. A test without a
//! path is in a module below; the others are beside the code, since no public call reaches what they look at.
//!
//! | | statement | test |
//! |---|---|---|
//! | P1 | a key has one partition, by murmur2 | `partitioners::records_of_one_key_go_where_kafka_sends_that_key`; `hashes_are_kafkas` in `src/producer/partitioner/murmur2` |
//! | P2 | a named partition wins, the partitioner is not asked | `partitioners::named_partition_wins_and_the_partitioner_is_not_asked` |
//! | P3 | a partitioner that chooses none that is there | `partitioners::partition_that_the_topic_does_not_have_is_refused` |
//! | P4 | a named partition that is not there | refused at once, where Kafka waits for it: `limits::topic_and_partition_that_are_not_there_are_refused_at_once` |
//! | P5 | a topic that appears after a while | no waiting either: it is created by the record, or refused at once, and found when it is there: the same test |
//! | P6 | no key: even, a batch each | `partitioners::records_without_a_key_fill_a_batch_and_move_on_evenly`, `partitioners::records_stay_with_a_partition_until_a_batch_is_full` |
//! | P7 | queues of 0, 3, 1: chances of 4, 1, 3 | `queues_of_0_3_and_1_are_chosen_4_to_1_to_3` in `src/producer/partitioner/sticky` |
//! | P8 | a partition without leader is not chosen | not here: every partition of an open engine has its leader |
//! | P9 | no change while a batch is half full | `records_without_key_leave_no_batch_half_full_behind` in `src/producer/accumulator`; none is forced at twice the size, since a turn ends only where a batch begins |
//! | P10 | `partitioner.ignore.keys` | `partitioners::ignored_keys_do_not_choose_the_partition` |
//! | P11 | round robin is even | `partitioners::round_robin_is_even_with_and_without_keys`; all partitions are available |
//! | P12 | an interceptor that throws is passed over | `interceptors::interceptor_that_fails_or_panics_is_passed_over` |
//! | P13 | a record that fails before it is queued is acknowledged once | `interceptors::record_that_send_refuses_is_acknowledged_once_and_its_callback_is_dropped`: `send` answers the error, where Kafka calls back |
//! | P14 | headers do not change after `send` | by type: `send` takes the record, which borrows them |
//! | P15 | every serializer: null is null | `serializers::every_type_and_null_come_back_as_they_were_sent` |
//! | P16 | bytes of the wrong length | `serializers::bytes_of_the_wrong_length_are_refused_at_their_offset` |
//! | P17 | the bytes of a list with a null | `serializers::list_of_numbers_with_a_null_has_kafkas_bytes` |
//! | P18 | a serializer of the wrong type | by type; one that refuses a value: `serializers::serializer_that_refuses_or_panics_concerns_its_record_alone` |
//! | P19 | more than `max.request.size` | `limits::record_larger_than_max_request_size_is_refused_and_nothing_of_it_is_queued`; in a transaction: not yet |
//! | P20 | `batch.size` 0: a batch each | `batch_size_zero_gives_each_record_a_batch` in `src/producer/accumulator` |
//! | P21 | due when the linger ends, or when full | `open_batch_is_taken_when_its_linger_ends`, `full_batch_is_taken_before_its_linger_ends` in `src/producer/accumulator` |
//! | P22 | two batches of a partition: one a drain | a round takes as many as there is room for, in order: `round_that_is_full_leaves_the_rest_for_the_next_in_order` in `src/producer/accumulator` |
//! | P23 | a first batch beyond the limit is taken | the same test |
//! | P24 | no attempt before the backoff ends, others unaffected | `refused_batches_wait_for_their_next_attempt_in_order_and_hold_up_no_other_partition` in `src/producer/accumulator` |
//! | P25 | the backoff doubles, a fifth more or less | `wait_doubles_give_or_take_a_fifth_up_to_the_most` in `src/producer/retry`, `writer_is_told_when_to_ask_for_the_next_attempt_and_of_batches_that_are_due_before`; no leader changes while an engine is open |
//! | P26 | a muted partition is skipped | the test of P24: a partition is muted while its first batch waits for its next attempt, and by nothing else |
//! | P27 | a flush ignores the linger, and returns after failures | `flush_needs_no_linger_and_waits_for_failures_too` in `src/producer/accumulator`, `retries::flush_returns_and_callbacks_are_called_in_order_when_all_has_failed` |
//! | P28 | who waits first for memory gets it first | `who_came_first_is_served_first`, and unlike in Kafka `a_small_request_does_not_overtake_a_large_one`, in `src/producer/memory` |
//! | P29 | no memory within `max.block.ms` | `who_finds_no_room_in_time_is_told_what_was_needed` in `src/producer/memory`, `retries::buffer_stays_charged_and_send_fails_after_max_block` |
//! | P30 | closing fails who waits for memory | `closing_wakes_everybody` in `src/producer/memory` |
//! | P31 | a compressed batch too large for the log is split | there is none: a batch is no larger than the topic takes even before it is compressed: `batches_are_no_larger_than_the_topic_takes` in `src/producer/accumulator` |
//! | P32 | one record too large for the log | `limits::compressed_record_too_large_for_the_topic_fails_alone_and_its_memory_is_free_again` |
//! | P33 | too long in the queue | `batch_that_waited_for_too_long_fails_and_what_stands_behind_it_goes_after_it` in `src/producer/accumulator`, `retries::deliveries_fail_with_what_stood_in_the_way_when_the_delivery_timeout_ends` |
//! | P34 | too long in flight | not here: no answer gets lost between two threads, and what the writer has is not given up (`DESIGN.md`); `Delivery::wait_timeout` lets the caller go |
//! | P35 | one bad record of three | refused alone, by `send`, where Kafka fails its batch: `limits::bad_record_among_good_ones_is_refused_alone` |
//! | P36 | callbacks in order, before waiters wake | `callbacks_have_run_in_order_when_flush_returns` in `src/producer/tests`, `interceptors::interceptors_are_told_before_the_records_own_callback_in_the_order_of_the_records` |
//! | P37 | a callback that throws | the first of these: its hundredth call panics |
//! | P38 | a batch is decided once | by type: the right to decide it goes with it, and is used up; `callbacks_run_in_order_though_batches_are_decided_out_of_order` in `src/producer/accumulator` |
//! | P39 | close sends all; close of no time fails all | `closing::close_writes_all_that_was_sent`, `closing::close_after_no_time_fails_all_that_is_not_on_its_way` |
//! | P40 | close of no time in a callback | `closing::close_inside_a_callback_waits_for_nothing` |
//! | P41 | a closed producer refuses | `closing::closed_producer_takes_nothing`; transactions: not yet |
//! | P42 | `acks` 0 hides that the log refuses, 1 tells | the test of P32 |
//! | P43, P44 | rules for `enable.idempotence` | not yet: there are no producer ids. The setting is taken, and has no effect |
//! | P45 | attempts keep the order | `retries::batches_on_a_full_disk_are_written_once_and_in_order_when_there_is_room` |
//! | P46 to P49 | sequence numbers, epochs | not yet: there are no producer ids |
//! | P50 | an internal topic refuses records | not here: there are none, offsets and transactions are in journals |
//!
//! Of 50 statements 41 are tested or hold by type, of which P4, P5, P13, P22, P31 and P35 hold in the form that stands
//! there; 9 are not: P8, P34 and P50 for what they need is not here, P43, P44 and P46 to P49 until producers have ids.

mod closing;
mod futures;
mod interceptors;
mod limits;
mod partitioners;
mod retries;
mod serializers;
