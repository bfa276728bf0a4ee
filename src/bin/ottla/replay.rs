//! `ottla replay`: plays stored records back, of whatever holds some, and leaves that as it is.

use std::io::{self, IsTerminal};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use ottla::replay::{Archive, OnDamage, Replay, ReplayOptions, ReplayReport, ReplayedRecord};
use ottla::{Defect, Error, Offset, Record, Timestamp};
use regex::bytes::Regex;
use serde_json::{Map, Value, json};

use crate::Status;
use crate::arguments::{From, OnCorrupt, Replay as Command};
use crate::copy::Copy;
use crate::format::{Line, time};
use crate::output::{Failure, Output, no_partition, say};
use crate::verify::as_json;

pub(crate) fn run(command: &Command, path: &Path, output: &mut Output) -> Result<Status, Failure> {
    if !path.exists() {
        return Err(Failure::Usage(format!("there is no {}", path.display())));
    }
    let archive = Archive::open(path)?;
    check(command, &archive)?;
    let mut copy = command.into.as_deref().map(|into| Copy::begin(into, &archive, command)).transpose()?;
    let progress = progress(command);
    let bar = progress.clone();
    let mut options = options(command).on_progress(move |bytes| bar.inc(bytes));
    if let Some(copy) = &copy {
        options = copy.chosen().fold(options, ReplayOptions::topic);
    }
    let replay = archive.replay(&options);
    progress.set_length(replay.total_bytes());
    let mut playing = Playing { command, replay, said: 0, is_json: output.is_json };
    let played = playing.play(copy.as_mut(), output);
    progress.finish_and_clear();
    let closed = copy.as_mut().map_or(Ok(()), Copy::end);
    let flushed = output.flush();
    if matches!((&played, &flushed), (Err(Failure::ClosedPipe), _) | (_, Err(Failure::ClosedPipe))) {
        return closed.and(Err(Failure::ClosedPipe));
    }
    let report = playing.replay.report();
    playing.summary(progress.elapsed(), copy.as_ref().map(Copy::stored));
    played.and(closed).and(flushed)?;
    Ok(if report.findings.is_empty() { Status::Done } else { Status::Findings })
}

/// Makes sure that there is what is asked for by name.
fn check(command: &Command, archive: &Archive) -> Result<(), Failure> {
    let logs = archive.logs();
    for topic in &command.topics {
        let numbers =
            || logs.iter().filter(|log| log.partition().topic() == topic).map(|log| log.partition().partition());
        let Some(last) = numbers().max() else {
            return Err(Failure::Usage(format!("{} holds no topic {topic}", archive.path().display())));
        };
        if let Some(number) = command.partition.filter(|number| numbers().all(|each| each != *number)) {
            return Err(no_partition(topic, number, last + 1));
        }
    }
    match command.partition {
        Some(number) if logs.iter().all(|log| log.partition().partition() != number) => {
            Err(Failure::Usage(format!("{} holds no partition {number}", archive.path().display())))
        }
        _ => Ok(()),
    }
}

fn options(command: &Command) -> ReplayOptions {
    let mut options = ReplayOptions::default()
        .read_committed(command.committed)
        .backwards(command.backwards)
        .by_time(!command.by_partition)
        .below_log_start(command.below_log_start)
        .on_damage(match command.on_corrupt {
            OnCorrupt::Skip => OnDamage::Skip,
            OnCorrupt::Stop => OnDamage::Stop,
        });
    options = command.topics.iter().fold(options, ReplayOptions::topic);
    options = command.headers.iter().fold(options, |options, (name, value)| options.header(name, value.as_bytes()));
    if let Some(number) = command.partition {
        options = options.partition(number);
    }
    options = match command.from {
        From::Beginning => options,
        From::End => options.from_offset(Offset(i64::MAX)),
        From::Offset(offset) => options.from_offset(Offset(offset)),
        From::Time(millis) => options.from_time(Timestamp(millis)),
    };
    options = match command.to {
        From::Beginning => options.to_offset(Offset::ZERO),
        From::End => options,
        From::Offset(offset) => options.to_offset(Offset(offset)),
        From::Time(millis) => options.to_time(Timestamp(millis)),
    };
    if let Some(key) = &command.key {
        options = options.key(key.as_bytes());
    }
    if let Some(speed) = command.speed.times() {
        options = options.speed(speed);
    }
    if let Some(pattern) = &command.grep {
        let pattern = pattern.clone();
        options = options.filter(move |_, record| is_found(&pattern, record));
    }
    options
}

/// Whether the value or the key has a place that the pattern fits.
fn is_found(pattern: &Regex, record: &Record<'_>) -> bool {
    [record.value(), record.key()].into_iter().flatten().any(|bytes| pattern.is_match(bytes))
}

/// A replay at work.
struct Playing<'a> {
    command: &'a Command,
    replay: Replay,
    /// How many of its findings were said.
    said: usize,
    is_json: bool,
}

impl Playing<'_> {
    fn play(&mut self, mut copy: Option<&mut Copy>, output: &mut Output) -> Result<(), Failure> {
        // What is played at its own speed is seen at its own speed, and so is what somebody watches.
        let is_watched = self.command.speed.times().is_some() || io::stdout().is_terminal();
        let mut left = self.command.max_records.unwrap_or(u64::MAX);
        while left > 0 {
            let found = match self.replay.next_record() {
                Ok(Some(found)) => found,
                Ok(None) => break,
                Err(error) => {
                    self.say_findings(matches!(error, Error::CorruptBatch { .. } | Error::CorruptFile { .. }));
                    return Err(error.into());
                }
            };
            match &mut copy {
                Some(copy) => copy.take(&found)?,
                None => print(&found, self.command, output)?,
            }
            if is_watched {
                output.flush()?;
            }
            left -= 1;
            self.say_findings(false);
        }
        self.say_findings(false);
        Ok(())
    }

    /// Says what was found since the last time, but for the last of it if that is said as an error.
    fn say_findings(&mut self, but_the_last: bool) {
        let findings = &self.replay.report().findings;
        let end = findings.len() - usize::from(but_the_last && !findings.is_empty());
        for defect in findings.get(self.said..end).unwrap_or_default() {
            say_defect(defect, self.is_json);
        }
        self.said = self.said.max(end);
    }

    fn summary(&self, elapsed: Duration, stored: Option<u64>) {
        let report = self.replay.report();
        if self.is_json {
            return say(summary_as_json(report, elapsed, stored));
        }
        summary(report, elapsed).iter().for_each(say);
        if let (Some(stored), Some(into)) = (stored, &self.command.into) {
            say(format_args!("stored in {}, under new offsets: {}", into.display(), count(stored, "record")));
        }
    }
}

fn print(found: &ReplayedRecord<'_>, command: &Command, output: &mut Output) -> Result<(), Failure> {
    Line::of(found.partition, &found.record).print(&command.format, output)
}

fn say_defect(defect: &Defect, is_json: bool) {
    if is_json {
        say(as_json(defect));
    } else {
        say(defect);
    }
}

/// What somebody reads at the end.
fn summary(report: &ReplayReport, elapsed: Duration) -> Vec<String> {
    let span = match report.times {
        Some((first, last)) if first == last => format!(", at {}", time(first)),
        Some((first, last)) => format!(", from {} to {}", time(first), time(last)),
        None => String::new(),
    };
    let codecs: Vec<_> = report.codecs.iter().map(|(codec, batches)| format!("{codec} {batches}")).collect();
    let codecs = if codecs.is_empty() { String::new() } else { format!(" ({})", codecs.join(", ")) };
    let mut lines = vec![
        format!("{}{span}", count(report.records, "record")),
        format!(
            "read: {}{codecs}, {} bytes in {:.3} s, {}/s",
            count(report.batches, "batch"),
            report.bytes,
            elapsed.as_secs_f64(),
            HumanBytes(per_second(report.bytes, elapsed)),
        ),
    ];
    let passed = [
        (report.records_passed, "record", "not asked for"),
        (report.batches_passed, "batch", "not unpacked, by what its header says"),
        (report.control_batches, "control batch", "that no consumer sees"),
        (report.uncommitted_batches, "batch", "of transactions that are not committed"),
    ];
    let passed: Vec<_> = passed.iter().filter(|(number, ..)| *number > 0).collect();
    if !passed.is_empty() {
        let passed: Vec<_> =
            passed.iter().map(|(number, what, why)| format!("{} {why}", count(*number, what))).collect();
        lines.push(format!("passed by: {}", passed.join("; ")));
    }
    if report.batches_without_time > 0 {
        lines.push(format!("without a time: {}", count(report.batches_without_time, "batch")));
    }
    lines.push(match report.findings.len() {
        0 => "no findings".to_owned(),
        findings => count(findings as u64, "finding"),
    });
    lines
}

fn summary_as_json(report: &ReplayReport, elapsed: Duration, stored: Option<u64>) -> Value {
    let codecs: Map<_, _> = report.codecs.iter().map(|(codec, batches)| (codec.to_string(), json!(batches))).collect();
    let mut summary = json!({
        "records": report.records,
        "records_passed": report.records_passed,
        "batches": report.batches,
        "batches_passed": report.batches_passed,
        "control_batches": report.control_batches,
        "uncommitted_batches": report.uncommitted_batches,
        "batches_without_time": report.batches_without_time,
        "bytes": report.bytes,
        "first_timestamp": report.times.map(|(first, _)| first.0),
        "last_timestamp": report.times.map(|(_, last)| last.0),
        "codecs": codecs,
        "findings": report.findings.len(),
        "seconds": elapsed.as_secs_f64(),
    });
    if let Some(stored) = stored {
        summary["stored"] = json!(stored);
    }
    summary
}

/// "1 batch", "2 batches".
fn count(number: u64, what: &str) -> String {
    match (number, what) {
        (1, _) => format!("1 {what}"),
        (_, "batch" | "control batch") => format!("{number} {what}es"),
        _ => format!("{number} {what}s"),
    }
}

fn per_second(bytes: u64, elapsed: Duration) -> u64 {
    let per_second = u128::from(bytes) * 1_000_000_000 / elapsed.as_nanos().max(1);
    u64::try_from(per_second).unwrap_or(u64::MAX)
}

/// Shown on a terminal only, and not between records on the same one.
fn progress(command: &Command) -> ProgressBar {
    let is_between = command.into.is_none() && io::stdout().is_terminal();
    if is_between || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {elapsed}");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// How fast to play back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Speed {
    /// So many times as fast as it was.
    Times(f64),
    /// As fast as it goes.
    Max,
}

impl Speed {
    /// `max`, or a number with or without an `x` behind it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self::Max);
        }
        match text.strip_suffix('x').unwrap_or(text).parse::<f64>() {
            Ok(times) if times.is_finite() && times > 0.0 => Ok(Self::Times(times)),
            _ => Err("it is none of: max, and how many times as fast as it was, such as 1x, 10x, 0.5x".to_owned()),
        }
    }

    fn times(self) -> Option<f64> {
        match self {
            Self::Times(times) => Some(times),
            Self::Max => None,
        }
    }
}

/// What a record has to match, as `--grep` takes it.
pub(crate) fn pattern(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_are_numbers_and_max() {
        for (text, speed) in
            [("max", Speed::Max), ("1x", Speed::Times(1.0)), ("10", Speed::Times(10.0)), ("0.5x", Speed::Times(0.5))]
        {
            assert_eq!(Speed::parse(text), Ok(speed), "{text}");
        }
        for text in ["", "x", "0x", "-1x", "infx", "NaN", "fast", "1xx"] {
            assert!(Speed::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn throughput_is_by_the_second() {
        assert_eq!(per_second(1_000, Duration::from_millis(500)), 2_000);
        assert_eq!(per_second(1_000, Duration::ZERO), 1_000_000_000_000);
    }
}
