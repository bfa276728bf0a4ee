//! What a child does: append, or open and read. It tells its parent line by line, so that all it has said holds if it
//! dies.

use std::io::{BufRead, Write};
use std::path::Path;

use crate::peers::{Log, Peer};
use crate::records::{Is, recognise, record};
use crate::{Outcome, small_disk};

/// How many records are appended at most until a disk is full, and how many then.
pub const UNTIL_FULL: u64 = 12_000;
pub const AFTER_FULL: u64 = 100;
/// How many records there are when a bit is flipped.
pub const WHEN_FLIPPED: u64 = UNTIL_FULL + AFTER_FULL;

/// What a line of a child begins with: some crates print lines of their own.
pub const MARK: &str = "@ ";

pub fn run(step: &str, peer: &Peer, directory: &Path) -> Outcome<()> {
    match step {
        "fill" => fill(peer, directory),
        "append" => append(peer, directory),
        "read" => read(peer, directory),
        _ => Err(format!("there is no step {step}").into()),
    }
}

fn tell(word: &str, what: impl std::fmt::Display) {
    let text = what.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    let mut out = std::io::stdout().lock();
    // A parent that is gone needs to know nothing.
    let _ = writeln!(out, "{MARK}{word} {text}").and_then(|()| out.flush());
}

fn open(peer: &Peer, directory: &Path) -> Option<Box<dyn Log>> {
    match (peer.open)(directory) {
        Ok(log) => Some(log),
        Err(error) => {
            tell("refused-to-open", error);
            None
        }
    }
}

/// Appends until the first error, waits for room, appends again, closes.
fn fill(peer: &Peer, directory: &Path) -> Outcome<()> {
    small_disk::set_limit()?;
    let Some(mut log) = open(peer, directory) else { return Ok(()) };
    let mut number = 0;
    while number < UNTIL_FULL && try_append(log.as_mut(), number) {
        number += 1;
    }
    tell("full", number);
    std::io::stdin().lock().read_line(&mut String::new())?;
    small_disk::lift_limit()?;
    for number in number + 1..=number + AFTER_FULL {
        try_append(log.as_mut(), number);
    }
    close(log);
    Ok(())
}

fn append(peer: &Peer, directory: &Path) -> Outcome<()> {
    let Some(mut log) = open(peer, directory) else { return Ok(()) };
    for number in 0..WHEN_FLIPPED {
        try_append(log.as_mut(), number);
    }
    close(log);
    Ok(())
}

fn try_append(log: &mut dyn Log, number: u64) -> bool {
    match log.append(&record(number)) {
        Ok(()) => tell("ok", number),
        Err(error) => {
            tell("failed", format_args!("{number} {error}"));
            return false;
        }
    }
    true
}

fn close(log: Box<dyn Log>) {
    match log.close() {
        Ok(()) => tell("closed", ""),
        Err(error) => tell("close-failed", error),
    }
}

fn read(peer: &Peer, directory: &Path) -> Outcome<()> {
    if let Err(error) = (peer.read)(directory, &mut Found) {
        tell("refused-to-open", error);
    }
    tell("end", "");
    Ok(())
}

/// Told of what reading finds.
pub struct Found;

impl Found {
    /// A record that was returned as good.
    pub fn record(&mut self, bytes: &[u8]) {
        match recognise(bytes) {
            Is::Whole(number) => tell("got", number),
            Is::Wrong => tell("wrong", bytes.len()),
        }
    }

    /// What opening or reading said is wrong, other than refusing altogether.
    pub fn said(&mut self, what: impl std::fmt::Display) {
        tell("said", what);
    }
}
