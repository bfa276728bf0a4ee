//! `ottla demo`: the main job, with deaths in between.
//!
//! It runs this same program as its producer and its consumer, kills each with SIGKILL while it works, lets the next
//! one go on where the log and the group say, and compares what came out with what went in.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use ottla::{Admin, Engine, Error};
use serde_json::Value;

use crate::Status;
use crate::arguments::Demo;
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
    let show = Show { directory: &scratch.path, lines: &lines };
    let source = command.file.as_ref().map_or_else(|| "made-up orders".to_owned(), |file| file.display().to_string());
    output.line(format_args!("{} lines of {source}, in {}", lines.len(), scratch.path.display()))?;
    output.line("")?;
    let acknowledged = show.produce_until_killed(output)?;
    show.look(acknowledged, output)?;
    show.produce_the_rest(output)?;
    let seen = show.consume_with_a_death(output)?;
    show.compare(&seen, output)
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
            None => {
                let path = std::env::temp_dir().join(format!("ottla-demo-{}", std::process::id()));
                Ok(Self { path, is_ours: true })
            }
        }
    }
}

impl Drop for Scratch {
    #[expect(clippy::disallowed_methods, reason = "the demo removes the directory that it made")]
    fn drop(&mut self) {
        if self.is_ours
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            say(format_args!("cannot remove {}: {error}", self.path.display()));
        }
    }
}

/// What is shown, and where.
struct Show<'a> {
    directory: &'a Path,
    lines: &'a [Vec<u8>],
}

impl Show<'_> {
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
    fn produce_until_killed(&self, output: &mut Output) -> Result<usize, Failure> {
        let mut producer = self.start(&["produce", TOPIC, "--json"], Stdio::piped())?;
        let (input, answers) = (producer.stdin.take(), producer.stdout.take());
        let enough = self.lines.len() / 3;
        let mut acknowledged = 0;
        std::thread::scope(|scope| {
            // It never closes the input: the producer is killed in the middle of its work.
            let feeder = scope.spawn(|| input.and_then(|input| feed(input, self.lines)));
            for answer in answers.into_iter().flat_map(|pipe| BufReader::new(pipe).lines()).map_while(Result::ok) {
                acknowledged += usize::from(!answer.contains("\"error\""));
                if acknowledged == enough.max(1) {
                    let _ = producer.kill(); // SIGKILL; it may have ended by itself
                }
            }
            drop(feeder.join());
        });
        let _ = producer.wait();
        output.line(format_args!("1. a producer sends with acks = all, and is killed (SIGKILL) as it works:"))?;
        output.line(format_args!("   {acknowledged} records were acknowledged as being on the disk"))?;
        Ok(acknowledged)
    }

    /// Opens what the dead producer left.
    fn look(&self, acknowledged: usize, output: &mut Output) -> Result<(), Failure> {
        let engine = Engine::open(self.directory)?;
        let end = end(&engine)?;
        output.line(format_args!("2. the directory is opened again:"))?;
        for finding in engine.report().iter() {
            output.line(format_args!("   {finding}"))?;
        }
        output.line(format_args!(
            "   {end} records are in the log, the last ones written and not acknowledged in time"
        ))?;
        engine.close()?;
        if end < acknowledged {
            say(format_args!("{} acknowledged records are LOST", acknowledged - end));
            return Err(Failure::Said);
        }
        Ok(())
    }

    /// Goes on where the log ends.
    fn produce_the_rest(&self, output: &mut Output) -> Result<(), Failure> {
        let engine = Engine::open(self.directory)?;
        let end = end(&engine)?;
        engine.close()?;
        let mut producer = self.start(&["produce", TOPIC], Stdio::piped())?;
        if let Some(input) = producer.stdin.take() {
            drop(feed(input, self.lines.get(end..).unwrap_or_default()));
        }
        let ended = producer.wait().is_ok_and(|status| status.success());
        output.line(format_args!(
            "3. another producer sends the other {}: {}",
            self.lines.len().saturating_sub(end),
            said(ended)
        ))?;
        if ended { Ok(()) } else { Err(Failure::Said) }
    }

    /// Reads with a group, is killed, and reads on; answers the values by offset, as often as they were printed.
    fn consume_with_a_death(&self, output: &mut Output) -> Result<BTreeMap<u64, Vec<String>>, Failure> {
        let mut seen: BTreeMap<u64, Vec<String>> = BTreeMap::new();
        let mut consumer = self.consumer()?;
        let mut printed = 0;
        for line in
            consumer.stdout.take().into_iter().flat_map(|pipe| BufReader::new(pipe).lines()).map_while(Result::ok)
        {
            note(&line, &mut seen);
            printed += 1;
            if printed == (self.lines.len() / 2).max(1) {
                let _ = consumer.kill();
            }
        }
        let _ = consumer.wait();
        output.line(format_args!(
            "4. a consumer of group {GROUP:?} reads, and is killed as it works: {printed} records came out"
        ))?;

        let engine = Engine::open(self.directory)?;
        let described = Admin::new(&engine).describe_group(GROUP);
        engine.close()?;
        let committed = match described {
            Ok(group) => group.partitions.first().map_or(0, |partition| partition.committed.0),
            Err(Error::GroupIdNotFound { .. }) => 0,
            Err(error) => return Err(error.into()),
        };
        output.line(format_args!("   the group has committed {committed}: what came out behind that comes again"))?;

        let mut consumer = self.consumer()?;
        let mut again = 0;
        for line in
            consumer.stdout.take().into_iter().flat_map(|pipe| BufReader::new(pipe).lines()).map_while(Result::ok)
        {
            note(&line, &mut seen);
            again += 1;
        }
        let ended = consumer.wait().is_ok_and(|status| status.success());
        output.line(format_args!("5. another consumer of the group goes on: {again} records, {}", said(ended)))?;
        if ended { Ok(seen) } else { Err(Failure::Said) }
    }

    fn consumer(&self) -> Result<Child, Failure> {
        self.start(&["consume", TOPIC, "--group", GROUP, "--json"], Stdio::null())
    }

    /// Holds what came out against what went in.
    fn compare(&self, seen: &BTreeMap<u64, Vec<String>>, output: &mut Output) -> Result<Status, Failure> {
        let lost = (0..self.lines.len()).filter(|&index| !seen.contains_key(&(index as u64))).count();
        let wrong = seen
            .iter()
            .filter(|(offset, values)| {
                let line = usize::try_from(**offset).ok().and_then(|index| self.lines.get(index));
                let expected = line.map(|line| crate::output::json_bytes(Some(line)).to_string());
                values.iter().any(|value| Some(value) != expected.as_ref())
            })
            .count();
        let repeated: usize = seen.values().map(|values| values.len() - 1).sum();
        output.line("")?;
        output.line(format_args!(
            "{} lines in, {} records out: {lost} lost, {wrong} wrong, {repeated} delivered again after the kill",
            self.lines.len(),
            seen.len()
        ))?;
        if lost == 0 && wrong == 0 && seen.len() == self.lines.len() {
            output.line("Every line went through, at least once, and none was lost.")?;
            Ok(Status::Done)
        } else {
            output.flush()?;
            say("ottla: the demo lost or changed lines: this is a bug, please report it");
            Err(Failure::Said)
        }
    }
}

fn said(ended_well: bool) -> &'static str {
    if ended_well { "done" } else { "FAILED" }
}

fn end(engine: &Engine) -> Result<usize, Failure> {
    match engine.end_offset(&(TOPIC, 0).into()) {
        Ok(end) => Ok(usize::try_from(end.0).unwrap_or(0)),
        Err(Error::UnknownTopicOrPartition { .. }) => Ok(0), // killed before it could send anything
        Err(error) => Err(error.into()),
    }
}

/// Writes `lines` to a producer, and gives its input back open; `None` if it died meanwhile.
fn feed(mut input: ChildStdin, lines: &[Vec<u8>]) -> Option<ChildStdin> {
    for chunk in lines.chunks(500) {
        let text = chunk.iter().flat_map(|line| line.iter().copied().chain([b'\n'])).collect::<Vec<u8>>();
        input.write_all(&text).ok()?;
    }
    Some(input)
}

/// Takes note of a line that a consumer printed; the piece of one that it died over is none.
fn note(line: &str, seen: &mut BTreeMap<u64, Vec<String>>) {
    if let Ok(record) = serde_json::from_str::<Value>(line)
        && let Some(offset) = record["offset"].as_u64()
    {
        seen.entry(offset).or_default().push(record["value"].to_string());
    }
}
