//! Numbers that tell how a producer or consumer is doing, under Kafka's names.
//!
//! Who has something to count holds [`Meter`]s and [`Stat`]s, and notes in them once a batch; what is asked for becomes
//! a list of [`Metric`]s at that moment, and costs nothing before.

mod windows;

use std::fmt;
use std::sync::Arc;

use crate::sync::Moment;
use crate::types::TopicPartition;

pub(crate) use windows::{Meter, Stat, Windows};

/// One number, and what it is about.
///
/// ```
/// # use ottla::{Engine, Producer, ProducerRecord};
/// # let engine = Engine::in_memory()?;
/// let producer = Producer::<str, str>::new(&engine)?;
/// producer.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
/// let metrics = producer.metrics();
/// let sent = metrics.iter().find(|metric| metric.name == "record-send-total" && metric.tag("topic").is_some());
/// let sent = sent.expect("the topic was sent to");
/// assert_eq!((sent.group, sent.tag("topic"), sent.value), ("producer-topic-metrics", Some("orders"), 1.0));
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Metric {
    /// Kafka's name of the group: `producer-metrics`, for one.
    pub group: &'static str,
    /// Kafka's name: `record-send-rate`, for one.
    pub name: &'static str,
    /// What tells it from others of that name: `client-id`, if the client has one, then `topic` and `partition` where
    /// it is about one of them.
    pub tags: Vec<(&'static str, Arc<str>)>,
    /// Rates are by the second. Averages and extremes of what was not seen lately are not a number.
    pub value: f64,
}

impl Metric {
    /// The value of a tag, if it has it.
    #[must_use]
    pub fn tag(&self, name: &str) -> Option<&str> {
        self.tags.iter().find(|(tag, _)| *tag == name).map(|(_, value)| value.as_ref())
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.group, self.name)?;
        self.tags.iter().try_for_each(|(tag, value)| write!(f, " {tag}={value}"))?;
        write!(f, " {}", self.value)
    }
}

/// The numbers of a producer or consumer at one moment. Kafka: what `metrics()` answers.
///
/// Rates, averages and extremes are those of the last `metrics.num.samples` windows of `metrics.sample.window.ms`, the
/// one that is going on among them; totals are since the client was made.
///
/// ```
/// # use ottla::{Engine, Producer, ProducerRecord};
/// # let engine = Engine::in_memory()?;
/// let producer = Producer::<str, str>::new(&engine)?;
/// for value in ["made", "paid"] {
///     producer.send(ProducerRecord::to("orders").value(value))?.wait()?;
/// }
/// let metrics = producer.metrics();
/// assert_eq!(metrics.get("record-send-total"), Some(2.0));
/// assert_eq!(metrics.of_topic("record-error-total", "orders"), Some(0.0));
/// println!("{metrics}"); // one a line
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Metrics {
    list: Vec<Metric>,
}

impl Metrics {
    /// The metric of that name that is about the client as a whole.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<f64> {
        self.find(name, None, None)
    }

    /// The metric of that name that is about one topic.
    #[must_use]
    pub fn of_topic(&self, name: &str, topic: &str) -> Option<f64> {
        self.find(name, Some(topic), None)
    }

    /// The metric of that name that is about one partition.
    #[must_use]
    pub fn of_partition(&self, name: &str, partition: &TopicPartition) -> Option<f64> {
        self.find(name, Some(partition.topic()), Some(&partition.partition().to_string()))
    }

    fn find(&self, name: &str, topic: Option<&str>, partition: Option<&str>) -> Option<f64> {
        let is_it = |metric: &&Metric| {
            metric.name == name && metric.tag("topic") == topic && metric.tag("partition") == partition
        };
        self.list.iter().find(is_it).map(|metric| metric.value)
    }

    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Metric> {
        self.list.iter()
    }

    /// Starts from none; what is listed gets the tag `client-id` if there is one.
    pub(crate) const fn new() -> Self {
        Self { list: Vec::new() }
    }

    /// To list metrics of one group that share their tags.
    pub(crate) fn group(
        &mut self,
        group: &'static str,
        tags: impl IntoIterator<Item = (&'static str, Arc<str>)>,
    ) -> Group<'_> {
        Group { list: &mut self.list, group, tags: tags.into_iter().collect() }
    }
}

impl<'a> IntoIterator for &'a Metrics {
    type Item = &'a Metric;
    type IntoIter = std::slice::Iter<'a, Metric>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for Metrics {
    type Item = Metric;
    type IntoIter = std::vec::IntoIter<Metric>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.list.iter().try_for_each(|metric| writeln!(f, "{metric}"))
    }
}

/// Lists metrics of one group.
#[derive(Debug)]
pub(crate) struct Group<'a> {
    list: &'a mut Vec<Metric>,
    group: &'static str,
    tags: Vec<(&'static str, Arc<str>)>,
}

impl Group<'_> {
    pub(crate) fn value(&mut self, name: &'static str, value: f64) {
        self.list.push(Metric { group: self.group, name, tags: self.tags.clone(), value });
    }

    /// A count. Beyond 2^53 the last digits are lost.
    pub(crate) fn count(&mut self, name: &'static str, value: u64) {
        self.value(name, value as f64);
    }

    /// `[rate, total]` are the names.
    pub(crate) fn meter(&mut self, [rate, total]: [&'static str; 2], meter: &Meter, now: Moment) {
        self.value(rate, meter.rate(now));
        self.count(total, meter.total());
    }

    /// `[average, largest]` are the names.
    pub(crate) fn stat(&mut self, [avg, max]: [&'static str; 2], stat: &Stat, now: Moment) {
        self.value(avg, stat.avg(now));
        self.value(max, stat.max(now));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn metrics_of_one_name_are_told_apart_by_their_tags() {
        let now = Moment::default();
        let mut meter = Meter::new(Windows { count: 2, length: Duration::from_secs(30) }, now);
        meter.mark(now, 3);
        let mut metrics = Metrics::new();
        let client = ("client-id", Arc::from("till"));
        metrics.group("producer-metrics", [client.clone()]).meter(["sent-rate", "sent-total"], &meter, now);
        metrics.group("topic", [client.clone(), ("topic", "a".into())]).count("sent-total", 2);
        let tags = [client, ("topic", "a".into()), ("partition", "0".into())];
        metrics.group("partition", tags).count("sent-total", 1);
        assert_eq!(metrics.get("sent-total"), Some(3.0));
        assert_eq!(metrics.of_topic("sent-total", "a"), Some(2.0));
        assert_eq!(metrics.of_partition("sent-total", &("a", 0).into()), Some(1.0));
        assert_eq!(metrics.of_topic("sent-total", "b"), None);
        let lines = metrics.to_string();
        assert_eq!(lines.lines().next_back(), Some("partition sent-total client-id=till topic=a partition=0 1"));
    }
}
