//! What a consumer can be told, with Kafka's names.

use std::time::Duration;

use crate::config::{at_least, known, settings};
use crate::consumer::reset::AutoOffsetReset;
use crate::consumer::strategy::AssignmentStrategy;
use crate::error::{Error, Result};
use crate::record::Batch;

settings! {
    /// How a [`Consumer`](crate::Consumer) reads; made with [`ConsumerConfig::builder`].
    ///
    /// ```
    /// # use ottla::ConsumerConfig;
    /// let config = ConsumerConfig::builder().group_id(Some("billing".into())).max_poll_records(100).build()?;
    /// assert_eq!(config.value("max.poll.records").as_deref(), Some("100"));
    /// assert!(config.enable_auto_commit());
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub struct ConsumerConfig, ConsumerConfigBuilder, "max.poll.records" = "100" not "0" {
        /// The group under whose name offsets are committed. Needed to subscribe and to commit, not to assign.
        group_id: Option<String> = None, "group.id";
        /// Makes the consumer a static member of its group: its partitions are kept for it when it leaves, for as long as
        /// `session.timeout.ms`, and the consumer that comes with this id then gets them. One at a time can have it.
        group_instance_id: Option<String> = None, "group.instance.id";
        /// Which assignors the consumer would have its group use, the first of them rather than the next: `range`,
        /// `roundrobin`, `sticky`, `cooperative-sticky`. All members of a group need one in common.
        partition_assignment_strategy: AssignmentStrategy = AssignmentStrategy::default(),
            "partition.assignment.strategy";
        /// How much time may pass between two polls, at least a millisecond. A member that takes longer is expelled: the
        /// others get its partitions, and its commits are refused. Its next poll joins again.
        max_poll_interval: Duration = Duration::from_secs(5 * 60), "max.poll.interval.ms";
        /// How long the partitions of a static member that has left are kept for it. Other members are known to be alive.
        session_timeout: Duration = Duration::from_secs(45), "session.timeout.ms";
        /// Where reading begins when nothing is committed, or what is committed is outside the log.
        auto_offset_reset: AutoOffsetReset = AutoOffsetReset::Earliest, "auto.offset.reset" kafka "latest"
            because "a queue's first reader wants what was stored before it came";
        /// Whether `poll` and `close` commit what earlier polls returned. Without effect if there is no group.
        enable_auto_commit: bool = true, "enable.auto.commit";
        /// How much time passes between two commits of `poll`, which then blocks until the commit is on the disk.
        auto_commit_interval: Duration = Duration::from_secs(5), "auto.commit.interval.ms";
        /// How many records `poll` returns at most, at least 1. The rest of what was read waits for the next one.
        max_poll_records: usize = 500, "max.poll.records";
        /// How many bytes have to be there before `poll` returns any, as long as `fetch.max.wait.ms` has not passed: for
        /// fewer and larger polls. With 0 or 1 it returns what there is.
        fetch_min_bytes: usize = 1, "fetch.min.bytes";
        /// How long records wait for `fetch.min.bytes`. A `poll` whose own timeout is shorter returns none until then.
        fetch_max_wait: Duration = Duration::from_millis(500), "fetch.max.wait.ms";
        /// About how many bytes are read of one partition at a time. The first batch is read whatever its size.
        max_partition_fetch_bytes: usize = 1024 * 1024, "max.partition.fetch.bytes";
        /// About how many bytes one `poll` reads of all partitions. The first batch is read whatever its size.
        fetch_max_bytes: usize = 50 * 1024 * 1024, "fetch.max.bytes";
        /// How many bytes the records of one compressed batch may unpack to. A larger batch is an error at its first
        /// offset, and takes no more memory than twice that.
        max_decompressed_batch_bytes: usize = Batch::DEFAULT_UNPACKED_LIMIT, "max.decompressed.batch.bytes"
            because "Kafka has none: there, a batch may take all the memory that it unpacks to";
        /// A name for the consumer. Its metrics have it as a tag.
        client_id: Option<String> = None, "client.id";
        /// How many windows of time the metrics look back, at least 1; the one that is going on is one of them.
        metrics_num_samples: u32 = 2, "metrics.num.samples";
        /// How long such a window is, at least a millisecond.
        metrics_sample_window: Duration = Duration::from_secs(30), "metrics.sample.window.ms";
    }
    without_effect [known::NETWORK, known::CONSUMER] refused [known::NOT_OF_CONSUMERS]
}

impl ConsumerConfig {
    fn check(&self) -> Result<()> {
        if self.group_instance_id.as_ref().is_some_and(|id| id.trim().is_empty()) {
            return Err(Error::invalid_config("group.instance.id", "", "it is blank"));
        }
        at_least("max.poll.records", self.max_poll_records, 1)?;
        at_least("max.poll.interval.ms", self.max_poll_interval.as_millis(), 1)?;
        at_least("metrics.num.samples", self.metrics_num_samples, 1)?;
        at_least("metrics.sample.window.ms", self.metrics_sample_window.as_millis(), 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_documented_ones() {
        let defaults: Vec<_> = ConsumerConfig::settings().into_iter().map(|s| (s.name, s.default)).collect();
        let expected = [
            ("group.id", ""),
            ("group.instance.id", ""),
            ("partition.assignment.strategy", "range,cooperative-sticky"),
            ("max.poll.interval.ms", "300000"),
            ("session.timeout.ms", "45000"),
            ("auto.offset.reset", "earliest"),
            ("enable.auto.commit", "true"),
            ("auto.commit.interval.ms", "5000"),
            ("max.poll.records", "500"),
            ("fetch.min.bytes", "1"),
            ("fetch.max.wait.ms", "500"),
            ("max.partition.fetch.bytes", "1048576"),
            ("fetch.max.bytes", "52428800"),
            ("max.decompressed.batch.bytes", "134217728"),
            ("client.id", ""),
            ("metrics.num.samples", "2"),
            ("metrics.sample.window.ms", "30000"),
        ];
        assert_eq!(defaults, expected.map(|(name, value)| (name, value.to_owned())));
    }

    #[test]
    fn value_out_of_range_is_refused_by_name() {
        let refused = ConsumerConfig::builder().max_poll_records(0).build().unwrap_err();
        assert_eq!(refused.to_string(), "max.poll.records = 0: it has to be at least 1");
        let refused = ConsumerConfig::builder().set("auto.offset.reset", "soon").unwrap_err();
        assert_eq!(
            refused.to_string(),
            "auto.offset.reset = soon: expected earliest, latest, none or by_duration:PnDTnHnMnS"
        );
    }
}
