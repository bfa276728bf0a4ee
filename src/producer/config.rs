//! The settings of a producer.

use std::time::Duration;

use crate::config::{Value, at_least, known, settings};
use crate::error::{Error, Result};
use crate::record::{Codec, is_compiled, levels};
use crate::types::{Acks, Compression};

settings! {
    /// The settings of a producer; whatever is not set has the default.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use ottla::{Acks, ProducerConfig};
    /// let config = ProducerConfig::builder().acks(Acks::One).linger(Duration::from_millis(20)).build()?;
    /// assert_eq!(config.value("linger.ms").as_deref(), Some("20"));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub struct ProducerConfig, ProducerConfigBuilder, "buffer.memory" = "67108864" not "0" {
        /// When a delivery resolves.
        acks: Acks = Acks::All, "acks";
        /// How large a batch gets, in bytes, before it is written without waiting for more; a larger record has a batch
        /// of its own. With 0 each record has. Where `buffer.memory` is less, that counts. Of a batch that is compressed
        /// it is the size that it is going to have then, by what was seen of the topic so far.
        batch_size: usize = 16_384, "batch.size";
        /// How batches are compressed. One that does not get smaller is written as it is.
        compression: Compression = Compression::None, "compression.type";
        /// How hard gzip tries, from 1, which is the fastest, to 9; -1 is its own default, 6.
        gzip_level: i32 = -1, "compression.gzip.level";
        /// Kafka's level of LZ4, from 1 to 17. Taken, and without effect: there is one way to compress, a fast one.
        lz4_level: i32 = 9, "compression.lz4.level";
        /// How hard zstd tries, from -131072, which is the fastest, to 22.
        zstd_level: i32 = 3, "compression.zstd.level";
        /// How long a batch waits for more records. A caller who waits for a delivery is never delayed by it.
        linger: Duration = Duration::from_millis(5), "linger.ms";
        /// How many bytes of batches may wait to be written, over all partitions, at least 1024; then `send` blocks.
        buffer_memory: usize = 33_554_432, "buffer.memory";
        /// How long `send` may block while the buffer is full.
        max_block: Duration = Duration::from_secs(60), "max.block.ms";
        /// How often a batch is tried again that could not be written for the moment, as on a full disk; at most
        /// 2147483647. Nothing of the producer overtakes it in its partition meanwhile.
        retries: u32 = 2_147_483_647, "retries";
        /// How long the first of these attempts waits; each waits twice as long as the one before, a fifth more or less.
        retry_backoff: Duration = Duration::from_millis(100), "retry.backoff.ms";
        /// How long an attempt waits at the most.
        retry_backoff_max: Duration = Duration::from_secs(1), "retry.backoff.max.ms";
        /// How long a batch may wait to be written, from its first record on, attempts included; at least `linger.ms`.
        /// Then its deliveries fail. What the writer has taken is not given up: nobody could tell whether it is there.
        delivery_timeout: Duration = DELIVERY_TIMEOUT, "delivery.timeout.ms";
        /// How large a record may be, in bytes, key, value and headers together with what stores them.
        max_request_size: usize = 1_048_576, "max.request.size";
        /// Whether records go to any partition though they have keys. Their values are spread evenly then, and records
        /// of one key lose their order.
        ignore_keys: bool = false, "partitioner.ignore.keys";
        /// Whether records without a key rather go to partitions where fewer batches wait to be written.
        adaptive_partitioning: bool = true, "partitioner.adaptive.partitioning.enable";
        /// A name for the producer. Its metrics have it as a tag.
        client_id: Option<String> = None, "client.id";
        /// How many windows of time the metrics look back, at least 1; the one that is going on is one of them.
        metrics_num_samples: u32 = 2, "metrics.num.samples";
        /// How long such a window is; at least 1 ms.
        metrics_sample_window: Duration = Duration::from_secs(30), "metrics.sample.window.ms";
    }
    without_effect [known::NETWORK, known::PRODUCER] refused [known::NOT_OF_PRODUCERS]
}

const DELIVERY_TIMEOUT: Duration = Duration::from_secs(120);
/// What a batch has left to be written in when it has lingered for longer than the default of `delivery.timeout.ms`.
/// Kafka: the default of `request.timeout.ms`.
const LEFT_AFTER_LINGER: Duration = Duration::from_secs(30);

impl ProducerConfig {
    /// How long a batch may wait to be written. The default gives way to a long linger.
    pub(super) fn patience(&self) -> Duration {
        if self.delivery_timeout < self.linger {
            self.linger.saturating_add(LEFT_AFTER_LINGER)
        } else {
            self.delivery_timeout
        }
    }

    /// How large a batch gets: one that the buffer does not hold could never be begun.
    pub(super) fn batch_bytes(&self) -> usize {
        self.batch_size.min(self.buffer_memory)
    }

    /// How batches are compressed.
    pub(super) fn codec(&self) -> Codec {
        let level = match self.compression {
            Compression::Gzip => self.gzip_level,
            Compression::Zstd => self.zstd_level,
            _ => 0,
        };
        Codec { compression: self.compression, level }
    }

    fn check(&self) -> Result<()> {
        at_least("buffer.memory", self.buffer_memory, 1024)?;
        self.check_compression()?;
        if self.delivery_timeout < self.linger && self.delivery_timeout != DELIVERY_TIMEOUT {
            let reason = format!("it has to be at least linger.ms = {}", self.linger.show());
            return Err(Error::invalid_config("delivery.timeout.ms", self.delivery_timeout.show(), reason));
        }
        if i32::try_from(self.retries).is_err() {
            return Err(Error::invalid_config("retries", self.retries, format!("it has to be at most {}", i32::MAX)));
        }
        at_least("metrics.num.samples", self.metrics_num_samples, 1)?;
        at_least("metrics.sample.window.ms", self.metrics_sample_window.as_millis(), 1)?;
        for (name, bytes) in [("batch.size", self.batch_size), ("max.request.size", self.max_request_size)] {
            if i32::try_from(bytes).is_err() {
                let reason = format!("it has to be at most {}", i32::MAX);
                return Err(Error::invalid_config(name, bytes.show(), reason));
            }
        }
        Ok(())
    }

    fn check_compression(&self) -> Result<()> {
        let codec = self.compression;
        if !is_compiled(codec) {
            let reason = format!("this build has no such codec: enable the cargo feature `{codec}`");
            return Err(Error::invalid_config("compression.type", codec, reason));
        }
        let all = [
            ("compression.gzip.level", Compression::Gzip, self.gzip_level),
            ("compression.lz4.level", Compression::Lz4, self.lz4_level),
            ("compression.zstd.level", Compression::Zstd, self.zstd_level),
        ];
        for (name, codec, level) in all {
            let is_default = codec == Compression::Gzip && level == -1;
            if let Some(range) = levels(codec).filter(|range| !range.contains(&level) && !is_default) {
                let or_default = if codec == Compression::Gzip { ", or -1" } else { "" };
                let reason = format!("it has to be from {} to {}{or_default}", range.start(), range.end());
                return Err(Error::invalid_config(name, level, reason));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn level_out_of_range_is_refused_by_name() {
        let refused = |name, value| {
            let built = ProducerConfig::builder().set(name, value).and_then(ProducerConfigBuilder::build);
            built.map(|_| ()).map_err(|error| error.to_string())
        };
        for (name, good, bad) in [
            ("compression.gzip.level", ["-1", "1", "9"], ["-2", "0", "10"]),
            ("compression.lz4.level", ["1", "9", "17"], ["-1", "0", "18"]),
            ("compression.zstd.level", ["-131072", "3", "22"], ["-131073", "23", "99999"]),
        ] {
            for level in good {
                assert_eq!(refused(name, level), Ok(()), "{name} {level}");
            }
            for level in bad {
                let error = refused(name, level).unwrap_err();
                assert!(error.starts_with(&format!("{name} = {level}: it has to be from ")), "{error}");
            }
        }
    }

    #[test]
    fn delivery_timeout_is_no_shorter_than_the_linger_and_its_default_gives_way() {
        let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3600));
        let refused = ProducerConfig::builder().linger(hour).delivery_timeout(second).build().unwrap_err();
        assert_eq!(refused.to_string(), "delivery.timeout.ms = 1000: it has to be at least linger.ms = 3600000");
        let patience = |builder: ProducerConfigBuilder| builder.build().unwrap().patience();
        assert_eq!(patience(ProducerConfig::builder().linger(hour)), hour + LEFT_AFTER_LINGER);
        assert_eq!(patience(ProducerConfig::builder().delivery_timeout(second)), second);
        assert_eq!(patience(ProducerConfig::builder()), DELIVERY_TIMEOUT);
        assert!(ProducerConfig::builder().retries(1 << 31).build().is_err());
    }

    #[test]
    fn codec_has_the_level_of_its_own_setting() {
        let config = ProducerConfig { gzip_level: 7, zstd_level: 19, ..ProducerConfig::default() };
        let level = |compression| ProducerConfig { compression, ..config.clone() }.codec().level;
        assert_eq!([Compression::Gzip, Compression::Zstd, Compression::Lz4].map(level), [7, 19, 0]);
    }

    #[test]
    fn codec_that_is_left_out_is_refused() {
        for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
            let built = ProducerConfig::builder().compression(codec).build();
            assert_eq!(built.is_ok(), is_compiled(codec), "{codec}");
        }
    }
}
