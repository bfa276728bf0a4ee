//! The two experiments, as a parent sees them.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::peers::Peer;
use crate::records::{FLIPPED_AT, record};
use crate::small_disk::{Kind, LARGE_MIB, SMALL_MIB, SmallDisk};
use crate::steps::{MARK, WHEN_FLIPPED};

/// How long a step may take.
const LIMIT: Duration = Duration::from_secs(90);
/// The record whose bit is flipped.
const FLIPPED: u64 = 6000;

/// What a child has said, and how it ended.
#[derive(Default)]
pub struct Ran {
    lines: Vec<(String, String)>,
    /// Empty if it ended as it should.
    pub end: String,
}

impl Ran {
    /// What it said with that word.
    fn said<'a>(&'a self, word: &'a str) -> impl Iterator<Item = &'a str> {
        self.lines.iter().filter(move |(said, _)| said == word).map(|(_, text)| text.as_str())
    }

    fn numbers(&self, word: &str) -> Vec<u64> {
        self.said(word).filter_map(|text| text.split(' ').next()?.parse().ok()).collect()
    }

    /// Why records were not appended, by number.
    fn failures(&self) -> Vec<(u64, &str)> {
        self.said("failed")
            .filter_map(|text| {
                let (number, why) = text.split_once(' ')?;
                Some((number.parse().ok()?, why))
            })
            .collect()
    }
}

/// What was read, held against what was acknowledged.
#[derive(Default)]
pub struct Compared {
    pub acknowledged: usize,
    pub missing: usize,
    pub doubled: usize,
    /// Appends that failed, and are there.
    pub unacknowledged: usize,
    /// What was returned as good and was never appended.
    pub wrong: usize,
    /// What opening or reading said, and how reading ended if not well.
    pub said: Vec<String>,
}

pub struct FullDisk {
    pub peer: &'static Peer,
    pub first_error: Option<(u64, String)>,
    pub ok_after: usize,
    pub errors_after: Vec<String>,
    /// How appending ended, if not well.
    pub end: String,
    pub compared: Compared,
}

/// Appends until the disk is full, gives it room, appends, closes, opens again, reads.
pub fn full_disk(peer: &'static Peer, kind: Kind) -> Outcome<FullDisk> {
    let disk = SmallDisk::new(kind, SMALL_MIB)?;
    let wrote = step(peer, "fill", &disk)?;
    let full: u64 = wrote.numbers("full").first().copied().unwrap_or(u64::MAX);
    let failures = wrote.failures();
    let first_error = failures.first().filter(|(number, _)| *number == full);
    let mut errors_after: Vec<String> = Vec::new();
    for (_, why) in failures.iter().filter(|(number, _)| *number > full) {
        if !errors_after.iter().any(|known| known == why) {
            errors_after.push((*why).to_owned());
        }
    }
    let mut end = wrote.end.clone();
    if let Some(why) = wrote.said("close-failed").next() {
        end = format!("closing failed: {why}");
    }
    Ok(FullDisk {
        peer,
        first_error: first_error.map(|(number, why)| (*number, (*why).to_owned())),
        ok_after: wrote.numbers("ok").iter().filter(|number| **number > full).count(),
        errors_after,
        end,
        compared: compare(&wrote, &step(peer, "read", &disk)?),
    })
}

pub struct FlippedBit {
    pub peer: &'static Peer,
    /// In how many places the files held the record.
    pub copies: usize,
    pub compared: Compared,
}

/// Appends, closes, flips a bit of one record in the files, opens again, reads.
pub fn flipped_bit(peer: &'static Peer, kind: Kind) -> Outcome<FlippedBit> {
    let disk = SmallDisk::new(kind, LARGE_MIB)?;
    let wrote = step(peer, "append", &disk)?;
    if wrote.numbers("ok").len() as u64 != WHEN_FLIPPED {
        let why: Vec<_> = wrote.said("failed").chain([wrote.end.as_str()]).take(1).collect();
        return Err(format!("{}: not all was appended: {why:?}", peer.name).into());
    }
    let copies = flip(&disk.path(), &record(FLIPPED))?;
    if copies == 0 {
        return Err(format!("{}: record {FLIPPED} is in no file as it was given", peer.name).into());
    }
    Ok(FlippedBit { peer, copies, compared: compare(&wrote, &step(peer, "read", &disk)?) })
}

/// Flips a bit in each copy of `record` in the files below `directory`; says how many there were.
fn flip(directory: &Path, record: &[u8]) -> Outcome<usize> {
    let mut copies = 0;
    let needle = &record[FLIPPED_AT - 32..FLIPPED_AT + 32];
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            copies += flip(&path, record)?;
            continue;
        }
        let bytes = std::fs::read(&path)?;
        let mut from = 0;
        while let Some(at) = find(&bytes[from..], needle).map(|at| from + at) {
            // In place: the file may be sparse, and writing it anew would fill the file system.
            let file = OpenOptions::new().write(true).open(&path)?;
            file.write_all_at(&[bytes[at + 32] ^ 1], (at + 32) as u64)?;
            copies += 1;
            from = at + needle.len();
        }
    }
    Ok(copies)
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    let mut from = 0;
    // The first letter is looked for alone: most of the bytes are passed over quickly.
    while let Some(at) = bytes[from..].iter().position(|byte| *byte == needle[0]).map(|at| from + at) {
        if bytes[at..].starts_with(needle) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

fn compare(wrote: &Ran, read: &Ran) -> Compared {
    let mut got: BTreeMap<u64, usize> = BTreeMap::new();
    for number in read.numbers("got") {
        *got.entry(number).or_default() += 1;
    }
    let acknowledged = wrote.numbers("ok");
    let mut said: Vec<String> = read.said("refused-to-open").map(|why| format!("refuses to open: {why}")).collect();
    said.extend(read.said("said").map(str::to_owned));
    if !read.end.is_empty() {
        said.push(read.end.clone());
    }
    Compared {
        acknowledged: acknowledged.len(),
        missing: acknowledged.iter().filter(|number| !got.contains_key(number)).count(),
        doubled: got.values().filter(|count| **count > 1).count(),
        unacknowledged: got.keys().filter(|number| acknowledged.binary_search(number).is_err()).count(),
        wrong: read.said("wrong").count(),
        said,
    }
}

/// Runs a step to its end, be that of its own or because it took too long. Makes room when it says that the disk is full.
fn step(peer: &Peer, step: &str, disk: &SmallDisk) -> Outcome<Ran> {
    let mut command = disk.command(&std::env::current_exe()?);
    command.args(["step", step, peer.name]).arg(disk.path());
    command.envs(peer.environment.iter().map(|name| (name, disk.path())));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let lines = lines_of(&mut child);
    let errors = last_words(&mut child);
    let deadline = Instant::now() + LIMIT;
    let mut ran = Ran::default();
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok((word, text)) => {
                let is_full = word == "full";
                ran.lines.push((word, text.replace(&*disk.path().to_string_lossy(), "data")));
                if is_full {
                    disk.enlarge()?;
                    writeln!(child.stdin.take().ok_or("a step asked for room twice")?)?;
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                child.kill()?;
                child.wait()?;
                ran.end = format!("hangs (killed after {} s)", LIMIT.as_secs());
                return Ok(ran);
            }
        }
    }
    let status = child.wait()?;
    ran.end = end_of(status, &errors.recv().unwrap_or_default());
    Ok(ran)
}

/// The lines that a child says to us, as they come.
fn lines_of(child: &mut Child) -> Receiver<(String, String)> {
    let (told, lines) = channel();
    let output = child.stdout.take().map(BufReader::new);
    std::thread::spawn(move || {
        for line in output.into_iter().flat_map(|output| output.split(b'\n')).map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line); // a crate may print whatever it likes
            let Some(line) = line.strip_prefix(MARK) else { continue };
            let (word, text) = line.split_once(' ').unwrap_or((line, ""));
            if told.send((word.to_owned(), text.to_owned())).is_err() {
                return;
            }
        }
    });
    lines
}

/// What a child says on standard error, once it has ended.
fn last_words(child: &mut Child) -> Receiver<String> {
    let (told, words) = channel();
    let errors = child.stderr.take();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = errors.map(|mut errors| errors.read_to_end(&mut bytes));
        told.send(String::from_utf8_lossy(&bytes).into_owned())
    });
    words
}

fn end_of(status: ExitStatus, errors: &str) -> String {
    const SIGBUS: i32 = 7;
    match status.signal() {
        Some(SIGBUS) => "dies of SIGBUS".to_owned(),
        Some(signal) => format!("dies of signal {signal}"),
        None if status.success() => String::new(),
        None => {
            let mut lines = errors.lines().skip_while(|line| !line.contains("panicked"));
            let what = lines.nth(1).or(errors.lines().last()).unwrap_or_default();
            format!("panics: {what}")
        }
    }
}
