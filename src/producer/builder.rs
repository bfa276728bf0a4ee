//! How a producer is put together.

use std::fmt;

use crate::engine::Engine;
use crate::error::Result;
use crate::producer::config::ProducerConfig;
use crate::producer::interceptor::{Interceptors, ProducerInterceptor};
use crate::producer::partitioner::Partitioner;
use crate::producer::serializer::Serializer;
use crate::producer::{Parts, Producer};

/// Makes a [`Producer`] of settings and of code of yours: serializers, interceptors, a partitioner.
///
/// ```
/// # use ottla::{Engine, Producer, ProducerConfig, ProducerRecord, RoundRobinPartitioner};
/// # use std::time::Duration;
/// # let engine = Engine::in_memory()?;
/// let producer = Producer::<str, str>::builder(&engine)
///     .config(ProducerConfig::builder().linger(Duration::from_millis(20)).build()?)
///     .partitioner(RoundRobinPartitioner::default())
///     .build()?;
/// assert!(producer.send(ProducerRecord::to("orders").value("paid"))?.wait().is_ok());
/// # Ok::<(), ottla::Error>(())
/// ```
#[must_use]
pub struct ProducerBuilder<K: ?Sized, V: ?Sized> {
    engine: Engine,
    parts: Parts<K, V>,
}

impl<K: ?Sized, V: ?Sized> ProducerBuilder<K, V> {
    pub(super) fn new(engine: &Engine, key: Box<dyn Serializer<K>>, value: Box<dyn Serializer<V>>) -> Self {
        let parts = Parts {
            config: ProducerConfig::default(),
            key_serializer: key,
            value_serializer: value,
            interceptors: Interceptors::default(),
            partitioner: None,
        };
        Self { engine: engine.clone(), parts }
    }

    /// Takes `config` in the place of the defaults.
    pub fn config(mut self, config: ProducerConfig) -> Self {
        self.parts.config = config;
        self
    }

    /// Adds an interceptor behind those that were added before. Kafka: `interceptor.classes`.
    pub fn interceptor(mut self, interceptor: impl ProducerInterceptor<K, V> + 'static) -> Self
    where
        K: 'static,
        V: 'static,
    {
        self.parts.interceptors.add(interceptor);
        self
    }

    /// Has `partitioner` choose the partitions of records that name none. `partitioner.ignore.keys` and
    /// `partitioner.adaptive.partitioning.enable` are without effect then. Kafka: `partitioner.class`.
    pub fn partitioner(mut self, partitioner: impl Partitioner + 'static) -> Self {
        self.parts.partitioner = Some(Box::new(partitioner));
        self
    }

    /// The producer.
    ///
    /// # Errors
    /// [`Error::Closed`](crate::Error::Closed) if the engine is closed.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Engine, Error, Producer};
    /// let engine = Engine::in_memory()?;
    /// assert!(Producer::<str, str>::builder(&engine).build().is_ok());
    /// engine.close()?;
    /// let refused = Producer::<str, str>::builder(&engine).build();
    /// assert!(matches!(refused, Err(Error::Closed { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn build(self) -> Result<Producer<K, V>> {
        Producer::with_parts(&self.engine, self.parts)
    }
}

impl<K: ?Sized, V: ?Sized> fmt::Debug for ProducerBuilder<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProducerBuilder").field("config", &self.parts.config).finish_non_exhaustive()
    }
}
