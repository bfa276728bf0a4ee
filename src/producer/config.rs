//! The settings of a producer.

use std::time::Duration;

use crate::config::{Value, at_least, settings};
use crate::error::Result;
use crate::types::Acks;

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
        /// of its own. With 0 each record has. Where `buffer.memory` is less, that counts.
        batch_size: usize = 16_384, "batch.size";
        /// How long a batch waits for more records. A caller who waits for a delivery is never delayed by it.
        linger: Duration = Duration::from_millis(5), "linger.ms";
        /// How many bytes of batches may wait to be written, over all partitions, at least 1024; then `send` blocks.
        buffer_memory: usize = 33_554_432, "buffer.memory";
        /// How long `send` may block while the buffer is full.
        max_block: Duration = Duration::from_secs(60), "max.block.ms";
        /// How large a record may be, in bytes, key, value and headers together with what stores them.
        max_request_size: usize = 1_048_576, "max.request.size";
        /// A name for the producer. Kafka shows it in the broker's logs; here only the application reads it.
        client_id: Option<String> = None, "client.id";
    }
}

impl ProducerConfig {
    /// How large a batch gets: one that the buffer does not hold could never be begun.
    pub(super) fn batch_bytes(&self) -> usize {
        self.batch_size.min(self.buffer_memory)
    }

    fn check(&self) -> Result<()> {
        at_least("buffer.memory", self.buffer_memory, 1024)?;
        for (name, bytes) in [("batch.size", self.batch_size), ("max.request.size", self.max_request_size)] {
            if i32::try_from(bytes).is_err() {
                let reason = format!("it has to be at most {}", i32::MAX);
                return Err(crate::error::Error::invalid_config(name, bytes.show(), reason));
            }
        }
        Ok(())
    }
}
