//! Runs the command line as its users do: arguments, standard input and output, an exit status.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use ottla::Engine;
use serde_json::Value;
use tempfile::TempDir;

/// A directory of topics that goes away with the test.
pub(crate) struct Home {
    scratch: TempDir,
}

/// What a command left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: i32,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

/// A command at work, its input and its output in the test's hands.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) input: Option<ChildStdin>,
    pub(crate) output: Option<BufReader<ChildStdout>>,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { scratch: tempfile::tempdir().unwrap() }
    }

    /// Where the topics are; the first command that creates something makes it.
    pub(crate) fn data(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    /// A file beside them.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// The directory of a partition.
    pub(crate) fn partition(&self, name: &str) -> PathBuf {
        self.data().join("log").join(name)
    }

    /// The first segment of a partition.
    pub(crate) fn segment(&self, partition: &str) -> PathBuf {
        self.partition(partition).join("00000000000000000000.log")
    }

    /// Runs a command whose arguments have no blanks in them.
    pub(crate) fn run(&self, arguments: &str) -> Ran {
        self.feed("", arguments)
    }

    pub(crate) fn feed(&self, input: impl AsRef<[u8]>, arguments: &str) -> Ran {
        self.feed_to(input, &arguments.split(' ').collect::<Vec<_>>())
    }

    pub(crate) fn run_with(&self, arguments: &[&str]) -> Ran {
        self.feed_to("", arguments)
    }

    pub(crate) fn feed_to(&self, input: impl AsRef<[u8]>, arguments: &[&str]) -> Ran {
        run(ottla(&self.data()).args(arguments), input.as_ref())
    }

    /// Opens the directory as its owner, which mends what a crash has left, and closes it: what that found.
    pub(crate) fn recover(&self) -> Vec<String> {
        let engine = Engine::open(self.data()).unwrap();
        engine.close().unwrap();
        engine.report().iter().map(ToString::to_string).collect()
    }

    /// Starts a command, and leaves it running.
    pub(crate) fn start(&self, arguments: &str) -> Running {
        let mut command = ottla(&self.data());
        command.args(arguments.split(' ')).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (input, output) = (child.stdin.take(), child.stdout.take().map(BufReader::new));
        Running { child, input, output }
    }
}

impl Running {
    pub(crate) fn send(&mut self, text: &str) {
        self.input.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// The next line of the output, waited for.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.as_mut().unwrap().read_line(&mut line).unwrap();
        line
    }

    /// Waits for the end. Input is closed first; of the output what was not read yet is in the answer.
    pub(crate) fn end(mut self) -> Ran {
        drop(self.input.take());
        let mut out = Vec::new();
        if let Some(mut output) = self.output.take() {
            std::io::Read::read_to_end(&mut output, &mut out).unwrap();
        }
        let ended = self.child.wait_with_output().unwrap();
        Ran { status: ended.status.code().unwrap_or(-1), out, err: String::from_utf8(ended.stderr).unwrap() }
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Ran {
    /// The output of a command that has done its work and has nothing to add.
    #[track_caller]
    pub(crate) fn done(self) -> String {
        assert_eq!((self.status, self.err.as_str()), (0, ""), "{}", String::from_utf8_lossy(&self.out));
        String::from_utf8(self.out).unwrap()
    }

    /// The lines of the output of such a command.
    #[track_caller]
    pub(crate) fn lines(self) -> Vec<String> {
        self.done().lines().map(str::to_owned).collect()
    }

    /// The same, each line a JSON value.
    #[track_caller]
    pub(crate) fn json(self) -> Vec<Value> {
        self.done().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What a command said that ended in an error, and printed nothing.
    #[track_caller]
    pub(crate) fn refused(self) -> String {
        assert_eq!((self.status, String::from_utf8_lossy(&self.out).as_ref()), (2, ""), "{}", self.err);
        assert!(!self.err.contains("panicked"), "{}", self.err);
        assert!(!self.err.is_empty());
        self.err
    }
}

/// The command, on a directory.
pub(crate) fn ottla(directory: &Path) -> Command {
    let mut command = bare();
    command.arg("-d").arg(directory);
    command
}

/// The command, without any argument.
pub(crate) fn bare() -> Command {
    Command::new(env!("CARGO_BIN_EXE_ottla"))
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command, input: &[u8]) -> Ran {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let ended = std::thread::scope(|scope| {
        scope.spawn(move || drop(stdin.write_all(input))); // a command may end before it has read everything
        child.wait_with_output().unwrap()
    });
    let err = String::from_utf8(ended.stderr).unwrap();
    Ran { status: ended.status.code().unwrap_or(-1), out: ended.stdout, err }
}

/// `first`, ..., `last`, a number a line.
pub(crate) fn seq(first: u64, last: u64) -> String {
    (first..=last).map(|number| format!("{number}\n")).collect()
}

/// The names in a directory, in order.
#[expect(clippy::disallowed_methods, reason = "looks at what a command has left")]
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<_> = std::fs::read_dir(directory).unwrap().map(name).collect();
    names.sort();
    names
}

/// Copies a directory with everything in it.
#[expect(clippy::disallowed_methods, reason = "what a user does with cp -r")]
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for name in names(from) {
        let (from, to) = (from.join(&name), to.join(&name));
        if from.is_dir() { copy(&from, &to) } else { std::fs::copy(&from, &to).map(drop).unwrap() }
    }
}

/// Turns one bit of a file.
#[expect(clippy::disallowed_methods, reason = "what a bad disk does")]
pub(crate) fn damage(file: &Path, position: usize) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[position] ^= 1;
    std::fs::write(file, bytes).unwrap();
}
