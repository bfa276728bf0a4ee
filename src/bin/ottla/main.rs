//! The command line, over the public API alone.
//!
//! Exit status: 0 done, 1 findings, 2 error. What somebody reads goes to standard output, what they should know of to
//! standard error; a reader of the output that goes away ends the command quietly.

mod arguments;
mod config;
mod consume;
mod copy;
mod demo;
mod dump;
mod export;
mod format;
mod group;
mod help;
mod import;
mod json;
mod logger;
mod output;
mod produce;
mod read;
mod repair;
mod replay;
mod topic;
mod verify;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{CommandFactory, Parser};
use ottla::replay::Directory;
use ottla::{Engine, Error};
use signal_hook::consts::SIGXFSZ;

use crate::arguments::{Arguments, Command};
use crate::output::{Failure, Output};

/// What a command that ran has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    /// All is well.
    Done,
    /// Something was found that its user should know of; it was said on standard error.
    Findings,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(Status::Done) | Err(Failure::ClosedPipe) => ExitCode::SUCCESS,
        Ok(Status::Findings) => ExitCode::from(1),
        Err(Failure::Said) => ExitCode::from(2),
        Err(failure) => {
            output::say(format_args!("ottla: {failure}"));
            ExitCode::from(2)
        }
    }
}

/// A write beyond the limit on the size of files (`ulimit -f`) fails as it does on a full disk; without this the signal
/// that goes with it would end the process.
fn outlive_file_size_limit() {
    let unread = Arc::new(AtomicBool::new(false)); // the error of the write says all
    if let Err(error) = signal_hook::flag::register(SIGXFSZ, unread) {
        log::warn!("a limit on the size of files would end this process: {error}");
    }
}

fn run(arguments: Arguments) -> Result<Status, Failure> {
    let mut output = Output::new(arguments.json);
    let Arguments { directory, command, verbose, .. } = arguments;
    logger::start(verbose);
    outlive_file_size_limit();
    match &command {
        Command::Demo(demo) => return demo::run(demo, directory.as_deref(), &mut output),
        Command::Config { kind } => return config::run(*kind, &mut output),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Arguments::command(), "ottla", &mut script);
            output.bytes(&script)?;
            return output.flush().map(|()| Status::Done);
        }
        Command::Dump(dump) => return dump::run(dump, &mut output),
        Command::Verify { path: Some(path) } => return verify::run(path, &mut output),
        Command::Replay(replay) if replay.path.is_some() || directory.is_some() => {
            let path = replay.path.as_ref().or(directory.as_ref());
            return path.map_or(Ok(Status::Done), |path| replay::run(replay, path, &mut output));
        }
        _ => {}
    }
    let no_directory =
        || Failure::Usage("say which directory with -d DIR, such as: ottla -d data topic list".to_owned());
    let directory = directory.ok_or_else(no_directory)?;
    if let Command::Verify { .. } = command {
        return verify::run(&directory, &mut output);
    }
    if let Command::Repair { execute } = command {
        return repair::run(&directory, execute, &mut output);
    }
    if let Command::Export(export) = &command {
        return export::run(&directory, export, &mut output);
    }
    if let Command::Import(import) = &command {
        import::check(import)?; // before the directory is made
    }
    check(&directory, command.creates())?;
    if !command.writes() {
        return look(&command, &directory, verbose, &mut output);
    }
    let engine = Engine::open(&directory).map_err(|error| refused(error, &command))?;
    for finding in engine.report().iter() {
        if verbose == 0 {
            output::say(finding); // else it was logged
        }
    }
    let ran = match &command {
        Command::Topic(command) => topic::run(command, &engine, &mut output),
        Command::Produce(produce) => produce::run(produce, &engine, &mut output),
        Command::Import(import) => import::run(import, &engine, &mut output),
        Command::Consume(consume) => consume::run(consume, &engine, &mut output),
        Command::Group(command) => group::run(command, &engine, &mut output),
        _ => Ok(Status::Done), // they need no engine
    };
    let flushed = output.flush();
    let closed = engine.close().map_err(Failure::from);
    ran.and_then(|status| flushed.and(closed).map(|()| status))
}

/// What is done without an engine: no lock, no file made or changed, whoever has the directory open.
fn look(command: &Command, directory: &Path, verbose: u8, output: &mut Output) -> Result<Status, Failure> {
    let directory = Directory::open(directory)?;
    for finding in directory.report()?.iter() {
        if verbose == 0 {
            output::say(finding); // else it was logged
        }
    }
    let looked = match command {
        Command::Topic(command) => topic::look(command, &directory, output),
        Command::Consume(consume) => read::run(consume, &directory, output),
        Command::Group(command) => group::look(command, &directory, output),
        _ => Ok(Status::Done), // they open an engine
    };
    let flushed = output.flush();
    looked.and_then(|status| flushed.map(|()| status))
}

/// Why an engine could not be opened, and what can be done all the same.
fn refused(error: Error, command: &Command) -> Failure {
    match (&error, command) {
        (Error::DirectoryLocked { .. }, Command::Consume(_)) => Failure::Usage(format!("{error}; {}", group::BESIDE)),
        (Error::DirectoryLocked { .. }, Command::Group(command)) => group::refused(command, &error),
        _ => error.into(),
    }
}

/// Refuses a directory that is none, and keeps a command that only looks from making itself at home in a strange one.
fn check(directory: &Path, creates: bool) -> Result<(), Failure> {
    let name = directory.display();
    let exists = directory.try_exists().map_err(|error| Failure::Usage(format!("cannot look up {name}: {error}")))?;
    let is_ours = OURS.iter().any(|file| directory.join(file).exists());
    if creates && !is_ours && is_of_a_broker(directory) {
        let what = "it is the log.dir of a Kafka broker, or in one, and stays as it is";
        return Err(Failure::Usage(format!("{name} is not one of ottla's directories: {what}")));
    }
    let failure = match (directory.is_dir(), exists) {
        (true, _) if creates || is_empty(directory) || is_ours => {
            return Ok(());
        }
        (false, false) if creates => return Ok(()),
        (true, _) => format!("{name} has files in it, but no topics: it is not one of ottla's directories"),
        (false, true) => format!("{name} is no directory"),
        (false, false) => format!("there is no directory {name}; `produce`, `import` and `topic create` make it"),
    };
    Err(Failure::Usage(failure))
}

/// What only a directory of ours has, from the first moment on.
const OURS: [&str; 2] = ["LOCK", "catalog"];

/// Whether a broker has it, or would take it for a partition: also where it is not there yet.
fn is_of_a_broker(directory: &Path) -> bool {
    const OF_A_BROKER: [&str; 3] = ["meta.properties", "recovery-point-offset-checkpoint", "partition.metadata"];
    let has_any = |directory: &Path| OF_A_BROKER.iter().any(|file| directory.join(file).exists());
    has_any(directory) || directory.parent().is_some_and(|parent| parent != Path::new("") && has_any(parent))
}

/// Whether there is nothing in it but what a file system puts there; if it cannot be read, opening it will say why.
#[expect(clippy::disallowed_methods, reason = "looks at a directory that may not be the engine's")]
fn is_empty(directory: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(directory) else { return true };
    entries.flatten().all(|entry| entry.file_name() == "lost+found")
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}
