//! `ottla import`.

use ottla::{Admin, Engine, ImportOptions, ImportReport};
use serde_json::{Value, json};

use crate::Status;
use crate::arguments::Import;
use crate::output::{Failure, Output, say};
use crate::verify::as_json;

/// Refuses what is not there.
pub(crate) fn check(arguments: &Import) -> Result<(), Failure> {
    let path = &arguments.path;
    if path.exists() { Ok(()) } else { Err(Failure::Usage(format!("there is no {}", path.display()))) }
}

pub(crate) fn run(arguments: &Import, engine: &Engine, output: &mut Output) -> Result<Status, Failure> {
    let Import { path, topics, groups, settings } = arguments;
    let options = ImportOptions::default().topics(topics).groups(groups);
    let options = settings.iter().fold(options, |options, (name, value)| options.config(name, value));
    let admin = Admin::new(engine);
    let names =
        || -> Result<Vec<String>, Failure> { Ok(admin.list_topics()?.into_iter().map(|topic| topic.name).collect()) };
    let before = names()?;
    let report = match admin.import(path, &options) {
        Ok(report) => report,
        Err(error) => {
            let mut imported = names()?;
            imported.retain(|name| !before.contains(name));
            if !imported.is_empty() {
                say(format_args!("imported before this failed: {}; --topic names the others", imported.join(", ")));
            }
            return Err(error.into());
        }
    };
    if output.is_json {
        print_json(&report, output)?
    } else {
        print(&report, output)?
    }
    output.flush()?;
    Ok(if report.is_complete() { Status::Done } else { Status::Findings })
}

fn print_json(report: &ImportReport, output: &mut Output) -> Result<(), Failure> {
    for topic in &report.topics {
        for each in &topic.partitions {
            output.line(json!({
                "topic": topic.name, "partition": each.partition.partition(), "topic_id": topic.id.to_string(),
                "log_start": each.log_start_offset.0, "log_end": each.log_end_offset.0, "records": each.records,
                "aborted": each.aborted, "open": each.open, "missing": each.is_missing,
            }))?;
        }
    }
    for (group, partitions) in &report.groups {
        output.line(json!({ "group": group, "partitions": partitions }))?;
    }
    for defect in &report.findings {
        output.line(as_json(defect))?;
    }
    for (reason, count) in &report.passed {
        output.line(json!({ "passed": reason, "count": count }))?;
    }
    output.line(json!({
        "topics": report.topics.len(),
        "partitions": report.topics.iter().map(|topic| topic.partitions.len()).sum::<usize>(),
        "records": report.records(),
        "groups": report.groups.len(),
        "findings": report.findings.len(),
        "complete": report.is_complete(),
    }))
}

fn print(report: &ImportReport, output: &mut Output) -> Result<(), Failure> {
    let rows = report.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|each| {
            [
                Value::from(topic.name.as_str()),
                each.partition.partition().into(),
                each.log_start_offset.0.into(),
                each.log_end_offset.0.into(),
                each.records.into(),
                each.aborted.into(),
                each.open.into(),
            ]
        })
    });
    output.table(["topic", "partition", "log_start", "log_end", "records", "aborted", "open"], rows)?;
    let offsets: usize = report.groups.iter().map(|(_, partitions)| partitions).sum();
    output.line(format_args!(
        "topics: {}, records: {}, groups: {}, their offsets: {offsets}, findings: {}",
        report.topics.len(),
        report.records(),
        report.groups.len(),
        report.findings.len(),
    ))?;
    report.findings.iter().for_each(say);
    for (reason, count) in &report.passed {
        say(format_args!("passed over: {reason} (times: {count})"));
    }
    for each in report.topics.iter().flat_map(|topic| &topic.partitions) {
        if each.is_missing {
            say(format_args!("{}: it was not there, and an empty one was made", each.partition));
        }
        if each.open > 0 {
            say(format_args!("{}: records of open transactions that were left out: {}", each.partition, each.open));
        }
    }
    Ok(())
}
