//! What a consumer reads: topics that it subscribed to, or partitions that it assigned to itself. Never both.
//!
//! | before | `subscribe` | `assign` | `unsubscribe`, or either with nothing |
//! |---|---|---|---|
//! | nothing | topics | partitions | nothing |
//! | topics | other topics | `IllegalState` | nothing |
//! | partitions | `IllegalState` | other partitions | nothing |
//!
//! `subscribe` only notes the topics, by name or as a pattern; the next poll joins the group, or tells it, and the group
//! deals the partitions.

use std::collections::BTreeSet;
use std::sync::Arc;

use regex::Regex;

use crate::consumer::fetcher::Source;
use crate::coordinator::group::{Interest, Place};
use crate::engine::{Cursor, Engine};
use crate::error::{Error, Result};
use crate::types::TopicPartition;

/// What a consumer was told to read.
#[derive(Debug, Default)]
pub(super) enum Subscription {
    /// Nothing yet.
    #[default]
    None,
    /// What the group gives it of these topics.
    Topics(BTreeSet<Arc<str>>),
    /// What the group gives it of the topics whose whole name this matches.
    Pattern(Regex),
    /// Just the partitions that are assigned.
    Partitions,
}

impl Subscription {
    /// Whether there is nothing to poll.
    pub(super) fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Whether a group says which partitions are read.
    pub(super) fn is_dynamic(&self) -> bool {
        matches!(self, Self::Topics(_) | Self::Pattern(_))
    }

    /// The topics that were subscribed to; of a pattern, those that match it now.
    pub(super) fn topics(&self, engine: &Engine) -> Vec<String> {
        match self {
            Self::Topics(names) => names.iter().map(ToString::to_string).collect(),
            Self::Pattern(pattern) => {
                let topics = engine.topics();
                let names = topics.iter().map(|topic| topic.name().to_string());
                names.filter(|name| pattern.is_match(name)).collect()
            }
            Self::None | Self::Partitions => Vec::new(),
        }
    }

    /// What the group is told of it.
    pub(super) fn interest(&self) -> Interest {
        match self {
            Self::Topics(names) => Interest::Topics(names.clone()),
            Self::Pattern(pattern) => Interest::Pattern(pattern.clone()),
            Self::None | Self::Partitions => Interest::Topics(BTreeSet::new()),
        }
    }

    /// Whether topics may be subscribed to now.
    pub(super) fn allow_topics(&self) -> Result<()> {
        if matches!(self, Self::Partitions) { Err(exclusive()) } else { Ok(()) }
    }

    /// Whether partitions may be assigned now.
    pub(super) fn allow_partitions(&self) -> Result<()> {
        if self.is_dynamic() { Err(exclusive()) } else { Ok(()) }
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

/// What matches the whole of a name that `pattern` matches.
///
/// # Errors
/// [`Error::IllegalArgument`] if it is empty, or no regular expression.
pub(super) fn whole_name(pattern: &str) -> Result<Regex> {
    if pattern.is_empty() {
        return Err(Error::illegal_argument("the pattern is empty"));
    }
    // By itself first: what closes a bracket that it has not opened would mean something else within ours.
    Regex::new(pattern)
        .and_then(|_| Regex::new(&format!("^(?:{pattern})$")))
        .map_err(|error| Error::illegal_argument(format!("{pattern}: {error}")))
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

/// What `place` is read from, if it is still there.
pub(super) fn source_of(engine: &Engine, place: &Place) -> Option<Box<dyn Source>> {
    let topic = engine.topic(place.partition.topic()).ok().filter(|topic| topic.id() == place.topic_id)?;
    Some(source(Cursor::new(Arc::clone(topic.partition(place.partition.partition()).ok()?))))
}

fn source(cursor: Cursor) -> Box<dyn Source> {
    Box::new(cursor)
}
