//! `ottla group`.

use std::time::Duration;

use ottla::replay::Directory;
use ottla::{Admin, Engine, Error, GroupOffsetChange, GroupPartition, TopicPartition};
use serde_json::{Value, json};

use crate::Status;
use crate::arguments::{GroupCommand, GroupResetCommand, TopicPartitions};
use crate::output::{Failure, Output, no_partition, say};

/// The commands that change nothing, beside whoever writes the directory.
pub(crate) fn look(command: &GroupCommand, directory: &Directory, output: &mut Output) -> Result<Status, Failure> {
    match command {
        GroupCommand::List => {
            for group in directory.groups()? {
                if output.is_json { output.line(json!({ "group": group.group }))? } else { output.line(group.group)? }
            }
        }
        GroupCommand::Describe { group } => describe(&directory.group(group)?.partitions, output)?,
        GroupCommand::Reset(reset) => {
            let count = |topic: &str| Ok(directory.topic(topic)?.partitions.len());
            let partitions = partitions(reset, count, || Ok(directory.group(&reset.group)?.partitions))?;
            show(&directory.plan_group_reset(&reset.group, partitions, reset.target.reset())?, output)?;
            if !output.is_json {
                output.flush()?;
                say("nothing was changed: --execute does it");
            }
        }
        GroupCommand::Members { .. } | GroupCommand::Delete { .. } => {} // they need an engine: see `run`
    }
    Ok(Status::Done)
}

pub(crate) fn run(command: &GroupCommand, engine: &Engine, output: &mut Output) -> Result<Status, Failure> {
    let admin = Admin::new(engine);
    match command {
        GroupCommand::Members { group } => {
            admin.describe_group(group)?; // which says whether there is such a group
            if output.is_json {
                output.line(json!({ "group": group, "members": [] }))?;
            } else {
                output.line(format_args!("group {group} has no members: nobody has the directory open"))?;
            }
        }
        GroupCommand::Reset(reset) => {
            let count = |topic: &str| Ok(admin.describe_topic(topic)?.partitions.len());
            let partitions = partitions(reset, count, || Ok(admin.describe_group(&reset.group)?.partitions))?;
            show(&admin.reset_group_offsets(&reset.group, partitions, reset.target.reset())?, output)?;
        }
        GroupCommand::Delete { groups } => {
            let mut has_failed = false;
            for group in groups {
                match admin.delete_group(group) {
                    Ok(()) if output.is_json => output.line(json!({ "group": group }))?,
                    Ok(()) => {}
                    Err(error) => {
                        say(format_args!("ottla: {error}"));
                        has_failed = true;
                    }
                }
            }
            if has_failed {
                return Err(Failure::Said);
            }
        }
        GroupCommand::List | GroupCommand::Describe { .. } => {} // they need no engine: see `look`
    }
    Ok(Status::Done)
}

/// Why the directory cannot be had, and what can be done all the same.
pub(crate) fn refused(command: &GroupCommand, error: &Error) -> Failure {
    let what = match command {
        GroupCommand::Members { .. } => "consumers of that process are the members of its groups",
        _ => "that process can reset and delete groups, others when it has ended",
    };
    Failure::Usage(format!("{error}: {what}; {BESIDE}"))
}

/// What reads, and takes no lock.
pub(crate) const BESIDE: &str = "`consume` without --group, `group describe` and `replay` work beside it";

/// The partitions that are to be reset; `count` tells how many a topic has, `committed` those of the group.
fn partitions(
    reset: &GroupResetCommand,
    count: impl Fn(&str) -> Result<usize, Error>,
    committed: impl FnOnce() -> Result<Vec<GroupPartition>, Error>,
) -> Result<Vec<TopicPartition>, Failure> {
    if reset.scope.all_topics {
        let rows = committed()?.into_iter().filter(|row| row.committed.is_some());
        return Ok(rows.map(|row| row.partition).collect());
    }
    let mut partitions = Vec::new();
    for TopicPartitions { topic, partitions: numbers } in &reset.scope.topics {
        let count = u32::try_from(count(topic)?).unwrap_or(u32::MAX);
        if let Some(number) = numbers.iter().find(|number| **number >= count) {
            return Err(no_partition(topic, *number, count));
        }
        let numbers = if numbers.is_empty() { (0..count).collect() } else { numbers.clone() };
        partitions.extend(numbers.into_iter().map(|number| TopicPartition::new(topic.as_str(), number)));
    }
    Ok(partitions)
}

fn show(changes: &[GroupOffsetChange], output: &mut Output) -> Result<(), Failure> {
    let rows = changes.iter().map(|change| {
        [
            Value::from(change.partition.topic()),
            change.partition.partition().into(),
            change.before.map(|offset| offset.0).into(),
            change.after.0.into(),
        ]
    });
    output.table(["topic", "partition", "before", "after"], rows)
}

fn describe(rows: &[GroupPartition], output: &mut Output) -> Result<(), Failure> {
    let is_json = output.is_json;
    let headings =
        ["topic", "partition", "committed", "log_end", "lag", "lag_bytes", if is_json { "lag_ms" } else { "behind" }];
    let rows = rows.iter().map(|each| {
        let lag = each.lag;
        let bytes = lag.map(|lag| if is_json { lag.bytes.into() } else { Value::from(bytes(lag.bytes)) });
        let time = lag.map(|lag| if is_json { millis(lag.time) } else { Value::from(age(lag.time)) });
        [
            Value::from(each.partition.topic()),
            each.partition.partition().into(),
            each.committed.map(|offset| offset.0).into(),
            each.high_watermark.0.into(),
            lag.map(|lag| lag.records).into(),
            bytes.into(),
            time.into(),
        ]
    });
    output.table(headings, rows)
}

fn millis(time: Duration) -> Value {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).into()
}

/// A number of bytes for a person.
fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut tenths = u128::from(bytes) * 10;
    let mut unit = "B";
    for larger in UNITS {
        if tenths < 10_240 {
            break;
        }
        (tenths, unit) = (tenths / 1024, larger);
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{}.{} {unit}", tenths / 10, tenths % 10) }
}

/// How long ago something was, for a person: its two largest units.
fn age(time: Duration) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3600, "h"), (60, "m"), (1, "s")];
    let seconds = time.as_secs();
    let Some(first) = UNITS.iter().position(|(length, _)| seconds >= *length) else {
        return format!("{} ms", time.as_millis());
    };
    let (length, unit) = UNITS[first];
    match UNITS.get(first + 1) {
        Some((smaller, small)) => format!("{}{unit} {}{small}", seconds / length, seconds % length / smaller),
        None => format!("{seconds}{unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_ages_are_for_people() {
        for (number, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1024 * 1024 - 1, "1023.9 KiB"),
            (3 * 1024 * 1024 / 2, "1.5 MiB"),
            (u64::MAX, "16383.9 PiB"),
        ] {
            assert_eq!(bytes(number), text);
        }
        for (millis, text) in
            [(0, "0 ms"), (999, "999 ms"), (1000, "1s"), (61_500, "1m 1s"), (7_200_000, "2h 0m"), (90_000_000, "1d 1h")]
        {
            assert_eq!(age(Duration::from_millis(millis)), text);
        }
    }
}
