//! `ottla export`.

use std::path::Path;

use ottla::{Error, ExportOptions, ExportReport, ExportedTopic, export};
use serde_json::{Value, json};

use crate::Status;
use crate::arguments::Export;
use crate::output::{Failure, Output, say};

/// A broker since 4.0 does not start with a topic whose segments are smaller.
const LEAST_SEGMENT_BYTES: u64 = 1 << 20;

pub(crate) fn run(path: &Path, arguments: &Export, output: &mut Output) -> Result<Status, Failure> {
    if !path.exists() {
        return Err(Failure::Usage(format!("there is no {}", path.display())));
    }
    let options = ExportOptions::default().topics(&arguments.topics).groups(&arguments.groups);
    let report = export(path, &arguments.path, &options).map_err(|error| refused(error, path))?;
    report.recovered.iter().for_each(say);
    if output.is_json {
        print_json(&report, output)?
    } else {
        print(&report, output)?
    }
    output.flush()?;
    Ok(Status::Done)
}

/// Why there is nothing, and what to do about damage.
fn refused(error: Error, path: &Path) -> Failure {
    if error.is_corruption() {
        let path = path.display();
        return Failure::Usage(format!(
            "{error}; nothing was exported: `ottla -d {path} repair` says what can be done"
        ));
    }
    error.into()
}

fn print_json(report: &ExportReport, output: &mut Output) -> Result<(), Failure> {
    for topic in &report.topics {
        for each in &topic.partitions {
            output.line(json!({
                "topic": topic.name, "partition": each.partition.partition(), "topic_id": topic.id.to_string(),
                "log_start": each.log_start_offset.0, "log_end": each.log_end_offset.0, "records": each.records,
                "segments": each.segments, "bytes": each.bytes, "shared_bytes": each.shared_bytes,
            }))?;
        }
    }
    for (group, partitions) in &report.groups {
        output.line(json!({ "group": group, "partitions": partitions }))?;
    }
    output.line(json!({
        "path": report.path.to_string_lossy(),
        "topics": report.topics.len(),
        "partitions": report.topics.iter().map(|topic| topic.partitions.len()).sum::<usize>(),
        "records": report.records(),
        "bytes": report.bytes(),
        "shared_bytes": report.shared_bytes(),
        "groups": report.groups.len(),
        "group_offsets": report.group_offsets.as_ref().map(|path| path.to_string_lossy()),
        "steps": steps(report),
    }))
}

fn print(report: &ExportReport, output: &mut Output) -> Result<(), Failure> {
    let rows = report.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|each| {
            [
                Value::from(topic.name.as_str()),
                each.partition.partition().into(),
                each.log_start_offset.0.into(),
                each.log_end_offset.0.into(),
                each.records.into(),
                each.segments.into(),
                each.bytes.into(),
            ]
        })
    });
    output.table(["topic", "partition", "log_start", "log_end", "records", "segments", "bytes"], rows)?;
    let groups: usize = report.groups.iter().map(|(_, partitions)| partitions).sum();
    output.line(format_args!(
        "{}: topics: {}, records: {}, bytes: {} ({} shared with the source), groups: {}, their offsets: {groups}",
        report.path.display(),
        report.topics.len(),
        report.records(),
        report.bytes(),
        report.shared_bytes(),
        report.groups.len(),
    ))?;
    output.line("")?;
    output.line("What is left to do; docs/kafka.md has it in full:")?;
    for (number, step) in steps(report).iter().enumerate() {
        output.line(format_args!("{}. {step}", number + 1))?;
    }
    Ok(())
}

/// What is left to do, a step a text.
fn steps(report: &ExportReport) -> Vec<String> {
    let path = report.path.display();
    let mut steps = vec![
        "Create the topics, one replica each; time looks at the records' own timestamps, so nothing may expire yet:"
            .to_owned()
            + &report.topics.iter().map(create).collect::<String>(),
        "Stop the brokers that have their partitions cleanly; each log.dir then has .kafka_cleanshutdown.".to_owned(),
        format!(
            "For each partition, into the directory that the broker made, which keeps its partition.metadata:\n     \
             find LOGDIR/TOPIC-N -type f ! -name partition.metadata -delete\n     \
             find {path}/TOPIC-N -type f ! -name partition.metadata -exec cp {{}} LOGDIR/TOPIC-N/ \\;"
        ),
        format!(
            "Merge the lines of {path}/*-offset-checkpoint into the broker's, and put the count in their second line right."
        ),
        "Give the files to the broker's user, start the brokers, and look for stray, WARN and ERROR in their logs."
            .to_owned(),
    ];
    if let Some(table) = &report.group_offsets {
        let groups: String = report.groups.iter().map(|(group, _)| format!(" --group {}", shell(group))).collect();
        steps.push(format!(
            "Set what the groups have committed, while they have no members:\n     \
             kafka-consumer-groups.sh --bootstrap-server HOST:9092 --reset-offsets{groups} --from-file {} --execute",
            table.display()
        ));
    }
    steps.push("Set the retention that you want, and raise the replication factor by a reassignment.".to_owned());
    steps
}

/// The command that creates a topic.
fn create(topic: &ExportedTopic) -> String {
    let mut command = format!(
        "\n     kafka-topics.sh --bootstrap-server HOST:9092 --create --topic {} --partitions {} --replication-factor 1 \
         --config retention.ms=-1",
        topic.name,
        topic.partitions.len()
    );
    for (name, value) in &topic.config {
        let is_too_small = name == "segment.bytes" && value.parse().is_ok_and(|bytes: u64| bytes < LEAST_SEGMENT_BYTES);
        if name != "retention.ms" && !is_too_small {
            command.push_str(&format!(" --config {}", shell(&format!("{name}={value}"))));
        }
    }
    command
}

/// A word of a shell's command.
fn shell(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-' | '=' | '/' | ':');
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}
