//! How a consumer is put together.

use std::fmt;
use std::sync::Arc;

use crate::consumer::Consumer;
use crate::consumer::config::ConsumerConfig;
use crate::consumer::deserializer::{Deserialize, Deserializer};
use crate::consumer::interceptor::{ConsumerInterceptor, Interceptors};
use crate::consumer::membership::MemberTerms;
use crate::consumer::record::Deserializers;
use crate::coordinator::group::Assignor;
use crate::engine::Engine;
use crate::error::Result;

/// Makes a [`Consumer`] of settings and of code of yours: deserializers, interceptors.
///
/// ```
/// # use ottla::{Consumer, ConsumerConfig, ConsumerInterceptor, Engine};
/// struct Nothing;
///
/// impl ConsumerInterceptor<str, str> for Nothing {}
///
/// # let engine = Engine::in_memory()?;
/// let consumer = Consumer::<str, str>::builder(&engine)
///     .config(ConsumerConfig::builder().group_id(Some("billing".into())).max_poll_records(100).build()?)
///     .interceptor(Nothing)
///     .build()?;
/// assert!(consumer.assignment().is_empty());
/// # Ok::<(), ottla::Error>(())
/// ```
#[must_use]
pub struct ConsumerBuilder<K: ?Sized + Deserialize, V: ?Sized + Deserialize> {
    engine: Engine,
    config: ConsumerConfig,
    deserializers: Deserializers<K, V>,
    interceptors: Interceptors<K, V>,
    assignors: Vec<Arc<dyn Assignor>>,
}

impl<K: ?Sized + Deserialize, V: ?Sized + Deserialize> ConsumerBuilder<K, V> {
    pub(super) fn new(engine: &Engine, key: Arc<dyn Deserializer<K>>, value: Arc<dyn Deserializer<V>>) -> Self {
        Self {
            engine: engine.clone(),
            config: ConsumerConfig::default(),
            deserializers: Deserializers { key, value },
            interceptors: Interceptors::default(),
            assignors: Vec::new(),
        }
    }

    /// Takes `config` in the place of the defaults.
    pub fn config(mut self, config: ConsumerConfig) -> Self {
        self.config = config;
        self
    }

    /// Adds an interceptor behind those that were added before. Kafka: `interceptor.classes`.
    pub fn interceptor(mut self, interceptor: impl ConsumerInterceptor<K, V> + 'static) -> Self {
        self.interceptors.add(interceptor);
        self
    }

    /// Adds an assignor of your own behind those that were added before: the first is the one that this consumer prefers
    /// for its group. With any, `partition.assignment.strategy` plays no part. All members of a group need one in
    /// common.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Consumer, Engine, NewTopic, Admin, StickyAssignor};
    /// # use std::time::Duration;
    /// # use ottla::ConsumerConfig;
    /// # let engine = Engine::in_memory()?;
    /// # let admin = Admin::new(&engine);
    /// # admin.create_topic(NewTopic::new("orders"))?;
    /// let mut consumer = Consumer::<str, str>::builder(&engine)
    ///     .config(ConsumerConfig::builder().group_id(Some("billing".into())).build()?)
    ///     .assignor(StickyAssignor) // or any type that implements Assignor
    ///     .build()?;
    /// consumer.subscribe(["orders"])?;
    /// consumer.poll(Duration::ZERO)?;
    /// assert_eq!(admin.group_members("billing")?.assignor.as_deref(), Some("sticky"));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn assignor(mut self, assignor: impl Assignor + 'static) -> Self {
        self.assignors.push(Arc::new(assignor));
        self
    }

    /// The consumer.
    ///
    /// # Errors
    /// As [`Consumer::new`].
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Consumer, Engine, Error};
    /// let engine = Engine::in_memory()?;
    /// assert!(Consumer::<str, str>::builder(&engine).build().is_ok());
    /// engine.close()?;
    /// let refused = Consumer::<str, str>::builder(&engine).build();
    /// assert!(matches!(refused, Err(Error::Closed { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn build(self) -> Result<Consumer<K, V>> {
        let terms = MemberTerms::new(&self.config, self.assignors);
        Consumer::with_parts(&self.engine, &self.config, terms, self.deserializers, self.interceptors)
    }
}

impl<K: ?Sized + Deserialize, V: ?Sized + Deserialize> fmt::Debug for ConsumerBuilder<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsumerBuilder").field("config", &self.config).finish_non_exhaustive()
    }
}
