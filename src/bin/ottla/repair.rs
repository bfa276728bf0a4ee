//! `ottla repair`.

use std::path::Path;

use ottla::{RepairAction, RepairOptions, RepairReport, RepairStep, repair};
use serde_json::{Value, json};

use crate::Status;
use crate::output::{Failure, Output};

pub(crate) fn run(path: &Path, execute: bool, output: &mut Output) -> Result<Status, Failure> {
    if !path.exists() {
        return Err(Failure::Usage(format!("there is no {}", path.display())));
    }
    let report = repair(path, &RepairOptions::default().execute(execute))?;
    for step in report.iter() {
        if output.is_json {
            output.line(as_json(step))?;
        } else {
            output.line(step)?;
        }
    }
    summary(&report, output)?;
    output.flush()?;
    let is_left = report.iter().any(|step| step.action == RepairAction::Leave) || report.remaining().next().is_some();
    let is_done = report.was_executed() && !is_left || report.is_empty();
    Ok(if is_done { Status::Done } else { Status::Findings })
}

fn as_json(step: &RepairStep) -> Value {
    json!({
        "file": step.path.to_string_lossy(),
        "position": step.position,
        "first_offset": step.lost.map(|(first, _)| first.0),
        "last_offset": step.lost.map(|(_, last)| last.0),
        "action": step.action.to_string(),
        "detail": &*step.detail,
        "kept": step.copy.as_ref().map(|copy| copy.to_string_lossy()),
    })
}

fn summary(report: &RepairReport, output: &mut Output) -> Result<(), Failure> {
    let left = report.iter().filter(|step| step.action == RepairAction::Leave).count();
    let steps = report.iter().count() - left;
    let lost: i64 = report.iter().filter_map(|step| step.lost).map(|(first, last)| last.0 - first.0 + 1).sum();
    let remaining = report.remaining().count();
    if output.is_json {
        return output.line(json!({
            "steps": steps, "left": left, "lost_offsets": lost, "executed": report.was_executed(),
            "remaining": remaining,
        }));
    }
    let what = match steps {
        0 => "nothing to repair".to_owned(),
        1 => "1 step".to_owned(),
        more => format!("{more} steps"),
    };
    let how = match (steps, report.was_executed()) {
        (0, _) => "",
        (_, true) => ", done",
        (_, false) => ", none of them done: --execute does them",
    };
    output.line(format_args!("{what}{how}; offsets lost: {lost}, left as it is: {left}"))
}
