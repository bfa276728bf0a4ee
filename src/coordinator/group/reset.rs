//! Where a group is put: what an operator asks for, and what that is in a log.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::types::{Offset, Timestamp, TopicPartition};

/// Where [`Admin::reset_group_offsets`](crate::Admin::reset_group_offsets) puts a group, in each of its partitions.
/// Kafka: the options of `kafka-consumer-groups --reset-offsets`.
///
/// What lies outside the log becomes the nearest end of it.
///
/// ```
/// # use ottla::{Admin, Engine, GroupReset, Offset, Producer, ProducerRecord, Timestamp, TopicPartition};
/// # let engine = Engine::in_memory()?;
/// let producer = Producer::<str, str>::new(&engine)?;
/// for at in [1000, 2000, 2000, 3000] {
///     producer.send(ProducerRecord::to("orders").value("paid").timestamp(Timestamp(at)))?.wait()?;
/// }
/// let admin = Admin::new(&engine);
/// let to = |to| Ok::<_, ottla::Error>(admin.reset_group_offsets("billing", [("orders", 0).into()], to)?[0].after);
/// assert_eq!(to(GroupReset::Latest)?, Offset(4));
/// assert_eq!(to(GroupReset::ShiftBy(-1))?, Offset(3));
/// assert_eq!(to(GroupReset::Timestamp(Timestamp(1500)))?, Offset(1)); // the first of equal times
/// assert_eq!(to(GroupReset::Timestamp(Timestamp(4000)))?, Offset(4)); // behind all of them: the end
/// assert_eq!(to(GroupReset::Offset(Offset(1_000_000)))?, Offset(4));
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GroupReset {
    /// At the first record that is there. Kafka: `--to-earliest`.
    Earliest,
    /// Behind the last record that may be read. Kafka: `--to-latest`.
    Latest,
    /// Where it would go on now: at the first record where it has committed nothing. Kafka: `--to-current`, which goes behind
    /// the last one there, where Kafka's consumers begin.
    Current,
    /// At this offset. Kafka: `--to-offset`.
    Offset(Offset),
    /// At the first record whose timestamp is this, or later; behind the last one if there is none. Kafka:
    /// `--to-datetime`.
    Timestamp(Timestamp),
    /// So many offsets further on, or back if it is negative. Kafka: `--shift-by`.
    ShiftBy(i64),
    /// At the first record that is no older than this; behind the last one if all are older. Kafka: `--by-duration`.
    ByDuration(Duration),
}

/// What a reset does, or has done, to a group in one partition.
///
/// ```
/// # use ottla::{Admin, Engine, GroupOffsetChange, GroupReset, NewTopic, Offset};
/// # let engine = Engine::in_memory()?;
/// # let admin = Admin::new(&engine);
/// admin.create_topic(NewTopic::new("orders"))?;
/// let plan = admin.plan_group_reset("billing", [("orders", 0).into()], GroupReset::Earliest)?;
/// let GroupOffsetChange { partition, before, after, .. } = &plan[0];
/// assert_eq!((partition.topic(), *before, *after), ("orders", None, Offset(0)));
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupOffsetChange {
    /// Which one it is.
    pub partition: TopicPartition,
    /// What the group has committed so far; `None` if nothing.
    pub before: Option<Offset>,
    /// What it is reset to.
    pub after: Offset,
}

/// What a reset has to know of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Footing {
    pub(crate) log_start: Offset,
    pub(crate) high_watermark: Offset,
    pub(crate) committed: Option<Offset>,
    /// The committed offset, or where a crash has cut the log before that.
    pub(crate) resumes_at: Option<Offset>,
}

impl GroupReset {
    /// What becomes of the group's offset in `partition`; `look_up` finds the first record at or after a time.
    ///
    /// # Errors
    /// [`Error::IllegalArgument`] if there is nothing to shift, or for a time before 1970; what `look_up` gives.
    pub(crate) fn plan(
        self,
        partition: TopicPartition,
        footing: &Footing,
        now: Timestamp,
        look_up: impl FnOnce(Timestamp) -> Result<Option<(Offset, Timestamp)>>,
    ) -> Result<GroupOffsetChange> {
        let Footing { log_start, high_watermark, committed, resumes_at } = *footing;
        let at_time = |at| Ok::<_, Error>(look_up(at)?.map_or(high_watermark, |(offset, _)| offset));
        let wanted = match self {
            Self::Earliest => log_start,
            Self::Latest => high_watermark,
            Self::Current => resumes_at.unwrap_or(log_start),
            Self::Offset(offset) => offset,
            Self::Timestamp(at) if at.0 < 0 => {
                return Err(Error::illegal_argument(format!("{at}, in milliseconds since 1970, lies before that")));
            }
            Self::Timestamp(at) => at_time(at)?,
            Self::ByDuration(age) => {
                let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
                at_time(Timestamp(now.0.saturating_sub(age).max(0)))?
            }
            Self::ShiftBy(by) => match resumes_at {
                Some(from) => Offset(from.0.saturating_add(by)),
                None => {
                    let what = format!("{partition}: the group has committed nothing that could be shifted");
                    return Err(Error::illegal_argument(what));
                }
            },
        };
        Ok(GroupOffsetChange { partition, before: committed, after: wanted.min(high_watermark).max(log_start) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log from 10 to 20, with records at 1000, 1010 ... 1090; the group stands at `committed`.
    fn reset(to: GroupReset, committed: Option<i64>) -> Result<i64> {
        let resumes_at = committed.map(|at| Offset(at.min(18))); // the rest was taken by a crash, and written anew
        let committed = committed.map(Offset);
        let footing = Footing { log_start: Offset(10), high_watermark: Offset(20), committed, resumes_at };
        let look_up = |at: Timestamp| {
            let found = (0..10).find(|number| 1000 + 10 * number >= at.0);
            Ok(found.map(|number| (Offset(10 + number), Timestamp(1000 + 10 * number))))
        };
        let change = to.plan(("orders", 0).into(), &footing, Timestamp(1100), look_up)?;
        assert_eq!(change.before, committed);
        Ok(change.after.0)
    }

    #[test]
    fn every_reset_ends_within_the_log() {
        let millis = Duration::from_millis;
        for (to, committed, after) in [
            (GroupReset::Earliest, Some(15), 10),
            (GroupReset::Latest, Some(15), 20),
            (GroupReset::Current, Some(15), 15),
            (GroupReset::Current, Some(3), 10),
            (GroupReset::Current, Some(30), 18),
            (GroupReset::Current, None, 10),
            (GroupReset::Offset(Offset(12)), None, 12),
            (GroupReset::Offset(Offset(0)), None, 10),
            (GroupReset::Offset(Offset(-5)), None, 10),
            (GroupReset::Offset(Offset(i64::MAX)), None, 20),
            (GroupReset::Timestamp(Timestamp(0)), None, 10),
            (GroupReset::Timestamp(Timestamp(1011)), None, 12),
            (GroupReset::Timestamp(Timestamp(1091)), None, 20),
            (GroupReset::Timestamp(Timestamp(i64::MAX)), None, 20),
            (GroupReset::ByDuration(millis(90)), None, 11),
            (GroupReset::ByDuration(Duration::ZERO), None, 20),
            (GroupReset::ByDuration(Duration::MAX), None, 10),
            (GroupReset::ShiftBy(2), Some(15), 17),
            (GroupReset::ShiftBy(-100), Some(15), 10),
            (GroupReset::ShiftBy(100), Some(15), 20),
            (GroupReset::ShiftBy(i64::MIN), Some(15), 10),
            (GroupReset::ShiftBy(i64::MAX), Some(15), 20),
            (GroupReset::ShiftBy(-2), Some(30), 16),
            (GroupReset::ShiftBy(3), Some(3), 10),
        ] {
            assert_eq!(reset(to, committed).unwrap(), after, "{to:?} from {committed:?}");
        }
    }

    #[test]
    fn nothing_to_shift_and_no_such_time_are_refused() {
        for (to, said) in [
            (GroupReset::ShiftBy(1), "orders-0: the group has committed nothing that could be shifted"),
            (GroupReset::Timestamp(Timestamp(-1)), "-1, in milliseconds since 1970, lies before that"),
        ] {
            assert_eq!(reset(to, None).unwrap_err().to_string(), said);
        }
    }
}
