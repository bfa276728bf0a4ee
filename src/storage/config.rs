//! The settings of a topic: how its logs are cut into segments and indexed, and what they take.

use std::time::Duration;

use crate::config::{at_least, known, settings};
use crate::error::{Error, Result};
use crate::types::{Timestamp, TimestampType};

settings! {
    /// The settings of a topic; whatever is not set has the default.
    ///
    /// ```
    /// # use ottla::TopicConfig;
    /// let config = TopicConfig::builder().segment_bytes(64 * 1024 * 1024).build()?;
    /// assert_eq!(config.value("segment.bytes").as_deref(), Some("67108864"));
    /// assert!(TopicConfig::builder().set("segment.bytes", "1").and_then(|builder| builder.build()).is_err());
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub struct TopicConfig, TopicConfigBuilder, "segment.bytes" = "1048576" not "0" {
        /// How long a segment file may get, in bytes, at least 128; then the next one is begun.
        segment_bytes: u32 = 1 << 30, "segment.bytes";
        /// How much later than a segment's first record one may be before the next segment is begun, by the records'
        /// timestamps; at least 1 ms.
        segment_ms: Duration = Duration::from_millis(604_800_000), "segment.ms";
        /// At most how much earlier than `segment.ms` says a segment may end, so that segments of many partitions that
        /// were begun together do not end together. How much it is differs from segment to segment.
        segment_jitter: Duration = Duration::ZERO, "segment.jitter.ms";
        /// How large each index of a segment may get, in bytes, at least 36. When one is full, the next segment begins.
        segment_index_bytes: u32 = 10 << 20, "segment.index.bytes";
        /// About how many bytes of batches lie between two entries of an index.
        index_interval_bytes: u32 = 4096, "index.interval.bytes";
        /// How large a batch may be, in bytes, its header included.
        max_message_bytes: u32 = 1_048_588, "max.message.bytes";
        /// Whose clock the records' timestamps are from: the producer's, or the log's when it appends.
        message_timestamp_type: TimestampType = TimestampType::CreateTime, "message.timestamp.type";
        /// How far in the past a record's timestamp may lie; without effect where the log stamps records itself.
        message_timestamp_before_max: Duration = FOR_EVER, "message.timestamp.before.max.ms";
        /// How far in the future a record's timestamp may lie; without effect where the log stamps records itself.
        message_timestamp_after_max: Duration = Duration::from_millis(3_600_000), "message.timestamp.after.max.ms";
        /// After how many records a log is synced though nobody waits for that, as nobody does with `acks` of 0 or 1;
        /// at least 1. Records of `acks = all` are synced anyway.
        flush_messages: u64 = i64::MAX.unsigned_abs(), "flush.messages";
        /// After how much time a log is synced though nobody waits for that.
        flush_ms: Duration = FOR_EVER, "flush.ms";
    }
    without_effect [known::TOPIC] refused [known::NOT_OF_TOPICS]
}

/// What Kafka writes as 9223372036854775807.
const FOR_EVER: Duration = Duration::from_millis(i64::MAX.unsigned_abs());

impl TopicConfig {
    /// How long after a write that nobody waits for it is synced; `None` if never.
    pub(crate) fn flush_after(&self) -> Option<Duration> {
        (self.flush_ms < FOR_EVER).then_some(self.flush_ms)
    }

    /// Refuses a timestamp that lies too far from the time that `now` tells.
    pub(crate) fn check_timestamp(
        &self,
        topic: &str,
        timestamp: Timestamp,
        now: impl FnOnce() -> Timestamp,
    ) -> Result<()> {
        let (before, after) = (self.message_timestamp_before_max, self.message_timestamp_after_max);
        if self.message_timestamp_type == TimestampType::LogAppendTime || (before >= FOR_EVER && after >= FOR_EVER) {
            return Ok(());
        }
        let ahead = i128::from(timestamp.0) - i128::from(now().0);
        let is_more =
            |millis: i128, than: Duration| u128::try_from(millis).is_ok_and(|millis| millis > than.as_millis());
        let (name, limit, place) = if is_more(ahead, after) {
            ("message.timestamp.after.max.ms", after, "in the future")
        } else if is_more(-ahead, before) {
            ("message.timestamp.before.max.ms", before, "in the past")
        } else {
            return Ok(());
        };
        let reason = format!("it lies {} ms {place}, and {name} = {}", ahead.abs(), limit.as_millis());
        Err(Error::InvalidTimestamp { topic: topic.into(), timestamp: timestamp.0, reason: reason.into() })
    }

    fn check(&self) -> Result<()> {
        at_least("segment.bytes", self.segment_bytes, 128)?;
        at_most_i32("segment.bytes", self.segment_bytes)?;
        at_least("segment.ms", self.segment_ms.as_millis(), 1)?;
        // Three entries of a time index: one, and one kept free for when the segment is sealed.
        at_least("segment.index.bytes", self.segment_index_bytes, 36)?;
        at_most_i32("segment.index.bytes", self.segment_index_bytes)?;
        at_most_i32("index.interval.bytes", self.index_interval_bytes)?;
        at_most_i32("max.message.bytes", self.max_message_bytes)?;
        at_least("flush.messages", self.flush_messages, 1)
    }
}

fn at_most_i32(name: &str, value: u32) -> Result<()> {
    if i32::try_from(value).is_err() {
        return Err(Error::invalid_config(name, value, format!("it has to be at most {}", i32::MAX)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamp_is_taken_up_to_its_limits() {
        let hour = Duration::from_secs(3600);
        let config = TopicConfig::builder().message_timestamp_before_max(hour).build().unwrap();
        let now = Timestamp(1_700_000_000_000);
        let check = |config: &TopicConfig, millis| config.check_timestamp("t", now.plus(millis), || now);
        for (millis, is_taken) in
            [(0, true), (3_600_000, true), (3_600_001, false), (-3_600_000, true), (-3_600_001, false)]
        {
            let checked = config.check_timestamp("t", Timestamp(now.0 + millis), || now);
            assert_eq!(checked.is_ok(), is_taken, "{millis}: {checked:?}");
        }
        let said = config.check_timestamp("t", Timestamp(i64::MAX), || now).unwrap_err().to_string();
        assert!(said.contains("message.timestamp.after.max.ms = 3600000"), "{said}");
        let appended = config.to_builder().message_timestamp_type(TimestampType::LogAppendTime).build().unwrap();
        assert!(check(&appended, Duration::from_secs(1 << 40)).is_ok());
        assert!(TopicConfig::default().check_timestamp("t", Timestamp(0), || now).is_ok());
    }
}
