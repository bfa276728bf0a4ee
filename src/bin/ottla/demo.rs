//! `ottla demo`: the main job, with deaths in between.
//!
//! It runs this same program as its producer and its consumers, kills one of each with SIGKILL while it works, lets the
//! next one go on where the log and the group say, and compares what came out with what went in.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use ottla::{Admin, Engine, Error};
use serde_json::{Value, json};

use crate::Status;
use crate::arguments::Demo;
use crate::json::json_bytes;
use crate::output::{Failure, Output, say};

const TOPIC: &str = "orders";
const GROUP: &str = "billing";
/// How many orders are made up if no file is given.
const ORDERS: usize = 20_000;

pub(crate) fn run(command: &Demo, directory: Option<&Path>, output: &mut Output) -> Result<Status, Failure> {
    let lines = lines(command)?;
    if lines.is_empty() {
        return Err(Failure::Usage("there are no lines to work on".to_owned()));
    }
    let scratch = Scratch::new(directory)?;
    let mut show = Show { directory: &scratch.path, lines: &lines, seen: BTreeMap::new(), output };
    let source = command.file.as_ref().map_or_else(|| "orders, made up".to_owned(), |file| file.display().to_string());
    let (count, place) = (lines.len(), scratch.path.display());
    show.tell(
        json!({ "step": "begin", "lines": count, "directory": place.to_string() }),
        format_args!("{count} lines of {source}; the directory is {place}\n"),
    )?;
    let acknowledged = show.produce_until_killed()?;
    let stored = show.look(acknowledged)?;
    show.produce_the_rest(stored)?;
    show.consume_with_a_death()?;
    let status = show.compare()?;
    if !scratch.is_ours && !output.is_json {
        output.line(format_args!("The directory stays, to be looked at: ottla -d {place} topic describe {TOPIC}"))?;
    }
    Ok(status)
}

fn lines(command: &Demo) -> Result<Vec<Vec<u8>>, Failure> {
    let Some(path) = &command.file else {
        return Ok((1..=ORDERS).map(order).collect());
    };
    let failed = |error| Failure::Input { path: path.display().to_string(), error };
    #[expect(clippy::disallowed_methods, reason = "the input is the user's file, not one of the engine's")]
    let file = std::fs::File::open(path).map_err(failed)?;
    BufReader::new(file).split(b'\n').collect::<Result<_, _>>().map_err(failed)
}

fn order(number: usize) -> Vec<u8> {
    let (customer, cents) = (number * 7919 % 997, number * 104_729 % 100_000);
    format!("order {number:06}: customer {customer:03} pays {}.{:02}", cents / 100, cents % 100).into_bytes()
}

/// The directory of the demo; one that it made itself goes away with it.
struct Scratch {
    path: PathBuf,
    is_ours: bool,
}

impl Scratch {
    fn new(given: Option<&Path>) -> Result<Self, Failure> {
        match given {
            Some(path) if path.join("log").exists() => {
                Err(Failure::Usage(format!("{} is in use: the demo wants a directory of its own", path.display())))
            }
            Some(path) => Ok(Self { path: path.to_owned(), is_ours: false }),
            None => Self::make(),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "makes a directory that is nobody else's")]
    fn make() -> Result<Self, Failure> {
        let mut number = 0;
        loop {
            let path = std::env::temp_dir().join(format!("ottla-demo-{}-{number}", std::process::id()));
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path, is_ours: true }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(Failure::Usage(format!("cannot make {}: {error}", path.display()))),
            }
        }
    }
}

impl Drop for Scratch {
    #[expect(clippy::disallowed_methods, reason = "removes the directory that was made for the demo")]
    fn drop(&mut self) {
        if self.is_ours
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            say(format_args!("ottla: cannot remove {}: {error}", self.path.display()));
        }
    }
}

/// What is shown, where, and to whom.
struct Show<'a> {
    directory: &'a Path,
    lines: &'a [Vec<u8>],
    /// The values that came out by offset, as often as they did.
    seen: BTreeMap<u64, Vec<Value>>,
    output: &'a mut Output,
}

impl Show<'_> {
    /// Says what has happened, while the next thing does.
    fn tell(&mut self, facts: Value, text: fmt::Arguments<'_>) -> Result<(), Failure> {
        if self.output.is_json {
            self.output.line(facts)?
        } else {
            self.output.line(text)?
        }
        self.output.flush()
    }

    /// Runs this program on the directory.
    fn start(&self, arguments: &[&str], stdin: Stdio) -> Result<Child, Failure> {
        let started = std::env::current_exe().and_then(|program| {
            let mut command = Command::new(program);
            command.arg("-d").arg(self.directory).args(arguments).stdin(stdin).stdout(Stdio::piped());
            command.spawn()
        });
        started.map_err(|error| Failure::Usage(format!("cannot run this program again: {error}")))
    }

    /// Sends lines until a producer process has died; answers how many were acknowledged as durable.
    fn produce_until_killed(&mut self) -> Result<usize, Failure> {
        let mut producer = self.start(&["produce", TOPIC, "--json"], Stdio::piped())?;
        let (input, answers) = (producer.stdin.take(), producer.stdout.take());
        let enough = (self.lines.len() / 3).max(1);
        // So many lines are on their way when it dies, and no more, or it might be through with them by then.
        let window = (self.lines.len() / 10).clamp(1, 1000);
        let mut acknowledged = 0;
        std::thread::scope(|scope| {
            let (allow, allowed) = channel();
            let lines = self.lines;
            scope.spawn(move || input.map(|input| feed_as_allowed(input, lines, &allowed)));
            let _ = allow.send(window);
            for answer in json_lines(answers) {
                if answer["offset"].as_u64() != Some(acknowledged as u64) {
                    break; // an error, which the producer says as well
                }
                acknowledged += 1;
                if acknowledged == enough {
                    let _ = producer.kill(); // SIGKILL; it may have ended by itself
                } else if acknowledged % window.div_ceil(4) == 0 {
                    let _ = allow.send(acknowledged + window);
                }
            }
        });
        let _ = producer.wait();
        self.tell(
            json!({ "step": "produce", "killed": true, "acknowledged": acknowledged }),
            format_args!(
                "1. A producer stores them with acks = all, and dies by SIGKILL at work.\n   \
                 Acknowledged, and so on the disk: {acknowledged}."
            ),
        )?;
        if acknowledged >= enough { Ok(acknowledged) } else { Err(Failure::Said) }
    }

    /// Opens what the dead producer left; answers how many records there are.
    fn look(&mut self, acknowledged: usize) -> Result<usize, Failure> {
        let engine = Engine::open(self.directory)?;
        let stored = end(&engine)?;
        let findings: Vec<String> = engine.report().iter().map(|finding| finding.to_string()).collect();
        engine.close()?;
        let indented: String = findings.iter().map(|finding| format!("   {finding}\n")).collect();
        let lost = acknowledged.saturating_sub(stored);
        let what = match stored.saturating_sub(acknowledged) {
            _ if lost > 0 => format!("{lost} acknowledged ones are LOST"),
            0 => "just what was acknowledged".to_owned(),
            more => format!("what was acknowledged, and {more} more that were stored by then"),
        };
        self.tell(
            json!({ "step": "open", "findings": findings, "records": stored, "lost": lost }),
            format_args!("2. The directory is opened again.\n{indented}   In the log: {stored}, which is {what}."),
        )?;
        if lost == 0 { Ok(stored) } else { Err(Failure::Said) }
    }

    /// Goes on where the log ends.
    fn produce_the_rest(&mut self, stored: usize) -> Result<(), Failure> {
        let mut producer = self.start(&["produce", TOPIC], Stdio::piped())?;
        let rest = self.lines.get(stored..).unwrap_or_default();
        if let Some(mut input) = producer.stdin.take() {
            drop(feed(&mut input, rest)); // if it ended early, its status says so
        }
        let is_done = producer.wait().is_ok_and(|status| status.success());
        let count = rest.len();
        self.tell(
            json!({ "step": "produce", "killed": false, "records": count, "done": is_done }),
            format_args!("3. Another producer stores the rest: {count}.{}", outcome(is_done)),
        )?;
        if is_done { Ok(()) } else { Err(Failure::Said) }
    }

    /// Reads with a group: some and ends, some and is killed, the rest.
    fn consume_with_a_death(&mut self) -> Result<(), Failure> {
        let third = self.lines.len() / 3;
        let count = third.to_string();
        self.consume("4. A consumer of group \"billing\" reads a third, and ends.", &["--max-records", &count], None)?;
        // This one does not end by itself, so it is alive when it is killed.
        self.consume("5. The next one goes on, and dies by SIGKILL at work.", &["--follow"], Some(third.max(1)))?;
        self.consume("6. The last one goes on, and reads to the end.", &[], None)
    }

    /// Runs a consumer, which is killed when it has printed `kill_at` records, and tells what it did.
    fn consume(&mut self, what: &str, options: &[&str], kill_at: Option<usize>) -> Result<(), Failure> {
        let arguments = [&["consume", TOPIC, "--group", GROUP, "--json"], options].concat();
        let mut consumer = self.start(&arguments, Stdio::null())?;
        let mut printed = 0;
        for record in json_lines(consumer.stdout.take()) {
            if let (Some(offset), Some(value)) = (record["offset"].as_u64(), record.get("value")) {
                self.seen.entry(offset).or_default().push(value.clone());
                printed += 1;
            }
            if Some(printed) == kill_at {
                let _ = consumer.kill();
            }
        }
        let has_ended_well = consumer.wait().is_ok_and(|status| status.success());
        let is_as_meant = has_ended_well || kill_at.is_some();
        let committed = self.committed()?;
        let again = match self.seen.len().saturating_sub(committed) {
            0 => String::new(),
            again => format!("; {again} came out behind that, and come again"),
        };
        self.tell(
            json!({ "step": "consume", "killed": kill_at.is_some(), "records": printed, "committed": committed,
                "done": is_as_meant }),
            format_args!("{what}{}\n   Came out: {printed}. Committed: {committed}{again}.", outcome(is_as_meant)),
        )?;
        if is_as_meant { Ok(()) } else { Err(Failure::Said) }
    }

    /// How far the group has come.
    fn committed(&self) -> Result<usize, Failure> {
        let engine = Engine::open(self.directory)?;
        let described = Admin::new(&engine).describe_group(GROUP);
        engine.close()?;
        let committed = match described {
            Ok(group) => {
                group.partitions.first().and_then(|partition| partition.committed).map_or(0, |offset| offset.0)
            }
            Err(Error::GroupIdNotFound { .. }) => 0,
            Err(error) => return Err(error.into()),
        };
        Ok(usize::try_from(committed).unwrap_or(0))
    }

    /// Holds what came out against what went in.
    fn compare(&mut self) -> Result<Status, Failure> {
        let (count, records) = (self.lines.len(), self.seen.len());
        let expected = |offset: u64| {
            let line = usize::try_from(offset).ok().and_then(|index| self.lines.get(index));
            line.map(|line| json_bytes(Some(line)))
        };
        let is_wrong = |(offset, values): &(&u64, &Vec<Value>)| {
            let expected = expected(**offset);
            values.iter().any(|value| Some(value) != expected.as_ref())
        };
        let lost = (0..count).filter(|&index| !self.seen.contains_key(&(index as u64))).count();
        let wrong = self.seen.iter().filter(is_wrong).count();
        let repeated: usize = self.seen.values().map(|values| values.len() - 1).sum();
        let is_good = lost == 0 && wrong == 0 && records == count;
        let verdict = if is_good { "Every line went through at least once, and none was lost or changed." } else { "" };
        self.tell(
            json!({ "step": "compare", "lines": count, "records": records, "lost": lost, "wrong": wrong,
                "repeated": repeated }),
            format_args!(
                "\n{count} lines in, {records} records out: {lost} lost, {wrong} wrong, {repeated} delivered again after \
                 the kill.\n{verdict}"
            ),
        )?;
        if is_good {
            return Ok(Status::Done);
        }
        say("ottla: the demo lost or changed lines: this is a bug, please report it");
        Err(Failure::Said)
    }
}

/// What there is to add.
fn outcome(is_done: bool) -> &'static str {
    if is_done { "" } else { " IT FAILED." }
}

fn end(engine: &Engine) -> Result<usize, Failure> {
    match engine.end_offset(&(TOPIC, 0).into()) {
        Ok(end) => Ok(usize::try_from(end.0).unwrap_or(0)),
        Err(Error::UnknownTopicOrPartition { .. }) => Ok(0), // killed before it could send anything
        Err(error) => Err(error.into()),
    }
}

/// Writes lines to a producer up to the numbers that come in, and keeps its input open until none does any more.
fn feed_as_allowed(mut input: ChildStdin, lines: &[Vec<u8>], allowed: &Receiver<usize>) {
    let mut sent = 0;
    for end in allowed {
        let end = end.min(lines.len()).max(sent);
        if feed(&mut input, &lines[sent..end]).is_err() {
            return; // it is dead, as it should be
        }
        sent = end;
    }
}

fn feed(input: &mut ChildStdin, lines: &[Vec<u8>]) -> io::Result<()> {
    for chunk in lines.chunks(500) {
        let text = chunk.iter().flat_map(|line| line.iter().copied().chain([b'\n'])).collect::<Vec<u8>>();
        input.write_all(&text)?;
    }
    Ok(())
}

/// What a process prints; the piece of a line that it died over is none.
fn json_lines(pipe: Option<impl io::Read>) -> impl Iterator<Item = Value> {
    let lines = pipe.into_iter().flat_map(|pipe| BufReader::new(pipe).lines()).map_while(Result::ok);
    lines.filter_map(|line| serde_json::from_str(&line).ok())
}
