//! The command line, over the public API alone.
//!
//! Exit status: 0 done, 1 findings, 2 error. What somebody reads goes to standard output, what they should know of to
//! standard error; a reader of the output that goes away ends the command quietly.

mod arguments;
mod consume;
mod demo;
mod group;
mod output;
mod produce;
mod topic;

use std::process::ExitCode;

use clap::Parser;
use ottla::{Engine, Error};

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

fn run(arguments: Arguments) -> Result<Status, Failure> {
    let mut output = Output::new(arguments.json);
    let Arguments { directory, command, .. } = arguments;
    if let Command::Demo(demo) = &command {
        return demo::run(demo, directory.as_deref(), &mut output);
    }
    let directory = directory.ok_or_else(|| Failure::Usage("which directory? give it with -d DIR".to_owned()))?;
    if !command.creates() && !directory.is_dir() {
        return Err(Failure::Usage(format!("{} is no directory", directory.display())));
    }
    let engine = Engine::open(&directory)?;
    for finding in engine.report().iter() {
        output::say(finding);
    }
    let ran = match &command {
        Command::Topic(command) => topic::run(command, &engine, &mut output),
        Command::Produce(produce) => produce::run(produce, &engine, &mut output),
        Command::Consume(consume) => consume::run(consume, &engine, &mut output),
        Command::Group(command) => group::run(command, &engine, &mut output),
        Command::Demo(_) => Ok(Status::Done),
    };
    let flushed = output.flush();
    let closed = engine.close().map_err(Failure::from);
    ran.and_then(|status| flushed.and(closed).map(|()| status))
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}
