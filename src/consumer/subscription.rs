//! What a consumer reads: topics that it subscribed to, or partitions that it assigned to itself. Never both.
//!
//! | before | `subscribe` | `assign` | `unsubscribe`, or either with nothing |
//! |---|---|---|---|
//! | nothing | topics | partitions | nothing |
//! | topics | other topics | `IllegalState` | nothing |
//! | partitions | `IllegalState` | other partitions | nothing |
//!
//! `subscribe` only notes the topics; the next poll takes up their partitions, as it will when groups have several
//! members and a partition first has to be let go by another one.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::consumer::fetcher::Source;
use crate::engine::{Cursor, Engine};
use crate::error::{Error, Result};
use crate::types::TopicPartition;

/// What a consumer was told to read.
#[derive(Debug, Default)]
pub(super) enum Subscription {
    /// Nothing yet.
    #[default]
    None,
    /// All partitions of these topics.
    Topics {
        names: BTreeSet<Arc<str>>,
        /// The partitions were taken up since `subscribe` was called.
        is_taken_up: bool,
    },
    /// Just the partitions that are assigned.
    Partitions,
}

impl Subscription {
    /// Whether there is nothing to poll.
    pub(super) fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// The topics that were subscribed to.
    pub(super) fn topics(&self) -> Vec<String> {
        match self {
            Self::Topics { names, .. } => names.iter().map(ToString::to_string).collect(),
            Self::None | Self::Partitions => Vec::new(),
        }
    }

    /// Whether topics may be subscribed to now.
    pub(super) fn allow_topics(&self) -> Result<()> {
        match self {
            Self::Partitions => Err(exclusive()),
            Self::None | Self::Topics { .. } => Ok(()),
        }
    }

    /// Whether partitions may be assigned now.
    pub(super) fn allow_partitions(&self) -> Result<()> {
        match self {
            Self::Topics { .. } => Err(exclusive()),
            Self::None | Self::Partitions => Ok(()),
        }
    }

    /// The partitions to read from now on, if that has changed since they were last taken up.
    ///
    /// # Errors
    /// [`Error::UnknownTopicOrPartition`] if a topic is not there any more.
    pub(super) fn changed(&self, engine: &Engine) -> Result<Option<Vec<Box<dyn Source>>>> {
        let Self::Topics { names, is_taken_up: false } = self else { return Ok(None) };
        let mut sources = Vec::new();
        for name in names {
            let topic = engine.topic(name)?;
            sources.extend(topic.partitions.iter().map(|partition| source(Cursor::new(Arc::clone(partition)))));
        }
        Ok(Some(sources))
    }

    /// The partitions were taken up.
    pub(super) fn set_taken_up(&mut self) {
        if let Self::Topics { is_taken_up, .. } = self {
            *is_taken_up = true;
        }
    }
}

fn exclusive() -> Error {
    Error::illegal_state("a consumer either subscribes to topics or assigns partitions: unsubscribe first")
}

/// Checks that all of `names` are topics.
///
/// # Errors
/// [`Error::IllegalArgument`] for a blank name, [`Error::UnknownTopicOrPartition`] for one that is no topic's.
pub(super) fn known_topics(engine: &Engine, names: Vec<Arc<str>>) -> Result<BTreeSet<Arc<str>>> {
    for name in &names {
        if name.trim().is_empty() {
            return Err(Error::illegal_argument("the name of a topic is blank"));
        }
        engine.topic(name)?;
    }
    Ok(names.into_iter().collect())
}

/// What `partitions` are read from.
///
/// # Errors
/// [`Error::UnknownTopicOrPartition`] if one of them is not there.
pub(super) fn sources(engine: &Engine, partitions: Vec<TopicPartition>) -> Result<Vec<Box<dyn Source>>> {
    let open = |partition: TopicPartition| {
        let topic = engine.topic(partition.topic())?;
        Ok(source(Cursor::new(Arc::clone(topic.partition(partition.partition())?))))
    };
    partitions.into_iter().map(open).collect()
}

fn source(cursor: Cursor) -> Box<dyn Source> {
    Box::new(cursor)
}
