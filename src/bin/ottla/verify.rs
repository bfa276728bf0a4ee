//! `ottla verify`.

use std::path::Path;

use ottla::{Defect, DefectKind, VerifyOptions, VerifyReport, verify};
use serde_json::{Value, json};

use crate::Status;
use crate::output::{Failure, Output};

pub(crate) fn run(path: &Path, output: &mut Output) -> Result<Status, Failure> {
    if !path.exists() {
        return Err(Failure::Usage(format!("there is no {}", path.display())));
    }
    let report = verify(path, &VerifyOptions::default())?;
    for defect in report.iter() {
        if output.is_json {
            output.line(as_json(defect))?;
        } else {
            output.line(defect)?;
        }
    }
    summary(&report, output)?;
    output.flush()?;
    if report.iter().any(|defect| defect.kind == DefectKind::Unreadable) {
        return Err(Failure::Said);
    }
    Ok(if report.is_clean() { Status::Done } else { Status::Findings })
}

/// A finding, for a program.
pub(crate) fn as_json(defect: &Defect) -> Value {
    json!({
        "file": defect.path.to_string_lossy(),
        "position": defect.position,
        "first_offset": defect.offsets.map(|(first, _)| first.0),
        "last_offset": defect.offsets.map(|(_, last)| last.0),
        "kind": defect.kind.to_string(),
        "detail": &*defect.detail,
    })
}

fn summary(report: &VerifyReport, output: &mut Output) -> Result<(), Failure> {
    let findings = report.iter().count();
    let (partitions, segments, bytes) = (report.partitions(), report.segments(), report.bytes());
    let (batches, records) = (report.batches(), report.records());
    if output.is_json {
        return output.line(json!({
            "findings": findings, "partitions": partitions, "segments": segments, "batches": batches,
            "records": records, "bytes": bytes,
        }));
    }
    let found = match findings {
        0 => "no findings".to_owned(),
        1 => "1 finding".to_owned(),
        more => format!("{more} findings"),
    };
    output.line(format_args!(
        "{found}; partitions: {partitions}, segments: {segments}, batches: {batches}, records: {records}, bytes: {bytes}"
    ))
}
