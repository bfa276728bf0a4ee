//! `partition.assignment.strategy`: names of assignors, the preferred one first.

use std::fmt;

use crate::config::Value;
use crate::coordinator::group::assignor_by_name;

/// Names of assignors, the preferred one first; made by parsing what `partition.assignment.strategy` has, names with
/// commas between them.
///
/// ```
/// # use ottla::{AssignmentStrategy, ConsumerConfig, Error};
/// let config = ConsumerConfig::builder().set("partition.assignment.strategy", "sticky,range")?.build()?;
/// assert_eq!(config.partition_assignment_strategy().to_string(), "sticky,range");
/// assert_eq!(AssignmentStrategy::default().to_string(), "range,cooperative-sticky");
/// let unknown = ConsumerConfig::builder().set("partition.assignment.strategy", "fair");
/// assert!(matches!(unknown, Err(Error::InvalidConfig { .. })));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AssignmentStrategy(Vec<String>);

impl AssignmentStrategy {
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl Default for AssignmentStrategy {
    /// Kafka's: `range`, and `cooperative-sticky` for when all members are told to go over to it.
    fn default() -> Self {
        Self(vec!["range".to_owned(), "cooperative-sticky".to_owned()])
    }
}

impl fmt::Display for AssignmentStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

impl Value for AssignmentStrategy {
    const KIND: &'static str = "range, roundrobin, sticky, cooperative-sticky";

    /// Kafka's names of classes are taken too.
    fn parse(text: &str) -> Result<Self, String> {
        let name = |word: &str| {
            let name = match word.trim().rsplit('.').next().unwrap_or_default() {
                "RangeAssignor" => "range",
                "RoundRobinAssignor" => "roundrobin",
                "StickyAssignor" => "sticky",
                "CooperativeStickyAssignor" => "cooperative-sticky",
                name => name,
            };
            assignor_by_name(name).map(|_| name.to_owned())
        };
        let names: Option<Vec<String>> = text.split(',').map(name).collect();
        names.map(Self).ok_or_else(|| format!("expected names with commas between them: {}", Self::KIND))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kafkas_short_or_long() {
        let parse = |text| AssignmentStrategy::parse(text).map(|strategy| strategy.to_string());
        assert_eq!(parse("range").as_deref(), Ok("range"));
        assert_eq!(parse("sticky, roundrobin").as_deref(), Ok("sticky,roundrobin"));
        let long = "org.apache.kafka.clients.consumer.CooperativeStickyAssignor";
        assert_eq!(parse(long).as_deref(), Ok("cooperative-sticky"));
        for wrong in ["", "range,", "Range", "fair"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
