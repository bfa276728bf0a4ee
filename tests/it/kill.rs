//! `kill -9` at random moments: what was acknowledged is there, where it was said to be, once.
//!
//! The producer is the command line, run as a child process; acknowledgements are read from its pipe while its input
//! stays open. After each kill the directory is opened through the library and read whole.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use ottla::{Consumer, ConsumerConfig, Engine, Offset};

use crate::chance::Chance;

/// What a round leaves to be checked.
#[derive(Default)]
struct Known {
    /// By partition and offset, as the pipe said.
    acknowledged: BTreeMap<(u32, i64), String>,
    kills: usize,
    seen: usize,
}

/// Sends lines that nobody sent before, reads acknowledgements, and kills the producer after a random number of them.
fn produce_until_killed(directory: &Path, round: u64, acks: &str, chance: &mut Chance, known: &mut Known) {
    let enough = 1 + chance.below(3000);
    let mut producer = Command::new(env!("CARGO_BIN_EXE_ottla"))
        .arg("-d")
        .arg(directory)
        .args(["produce", "t", "--json", "--acks", acks])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = producer.stdin.take().unwrap();
    let answers = BufReader::new(producer.stdout.take().unwrap());
    std::thread::scope(|scope| {
        // It is killed with its input open, in the middle of whatever it does.
        scope.spawn(move || (0..).try_for_each(|line: u64| writeln!(input, "round {round} line {line}")));
        for (line, answer) in (0u64..).zip(answers.lines().map_while(Result::ok)) {
            let field = |name: &str| {
                let (_, rest) = answer.split_once(&format!("\"{name}\":"))?;
                rest.split([',', '}']).next()?.parse::<i64>().ok()
            };
            // The last line may be cut: it was not acknowledged to anybody.
            let (Some(partition), Some(offset), true) = (field("partition"), field("offset"), answer.ends_with('}'))
            else {
                break;
            };
            let place = (u32::try_from(partition).unwrap(), offset);
            let before = known.acknowledged.insert(place, format!("round {round} line {line}"));
            assert_eq!(before, None, "two records were acknowledged at {place:?}");
            if line + 1 == enough {
                producer.kill().unwrap();
                known.kills += 1;
            }
        }
    });
    producer.wait().unwrap();
}

/// Reads everything, and holds it against what is known.
fn check(directory: &Path, known: &mut Known) {
    let engine = Engine::open(directory).unwrap();
    let mut consumer = Consumer::<[u8], str>::with_config(&engine, ConsumerConfig::default()).unwrap();
    consumer.assign([("t", 0).into()]).unwrap();
    let end = engine.end_offset(&("t", 0).into()).unwrap();
    let (mut next, mut values) = (0, BTreeSet::new());
    while Offset(next) < end {
        for record in &consumer.poll(Duration::from_secs(10)).unwrap() {
            assert_eq!(record.offset(), Offset(next), "offsets follow one another");
            let value = record.value().unwrap().unwrap();
            if let Some(sent) = known.acknowledged.get(&(0, next)) {
                assert_eq!(value, sent, "at offset {next}");
            }
            assert!(values.insert(value.to_owned()), "{value} is there twice");
            next += 1;
        }
    }
    known.seen = values.len();
    let last = known.acknowledged.keys().next_back().map_or(0, |(_, offset)| offset + 1);
    assert!(next >= last, "{} acknowledged records are missing at the end", last - next);
    engine.close().unwrap();
}

fn rounds(count: u64, seed: u64) {
    let directory = tempfile::tempdir().unwrap();
    let (mut known, mut chance) = (Known::default(), Chance::new(seed));
    for round in 0..count {
        let acks = if chance.below(2) == 0 { "all" } else { "1" };
        produce_until_killed(directory.path(), round, acks, &mut chance, &mut known);
        // Every other time the next process recovers, which is what a user would see.
        if chance.below(2) == 0 {
            check(directory.path(), &mut known);
        }
    }
    check(directory.path(), &mut known);
    let Known { acknowledged, kills, seen } = &known;
    assert!(*seen >= acknowledged.len());
    report(format_args!("{kills} kills, {} records acknowledged, {seen} in the log, none lost", acknowledged.len()));
}

#[expect(clippy::print_stdout, reason = "shown with --nocapture")]
fn report(what: std::fmt::Arguments<'_>) {
    println!("{what}");
}

// faults: C01 P02
#[test]
fn killed_producer_loses_nothing_that_was_acknowledged() {
    rounds(6, 1);
}

#[test]
#[ignore = "takes a minute: cargo test --release --all-features --test it kill -- --ignored --nocapture"]
fn fifty_killed_producers_lose_nothing_that_was_acknowledged() {
    rounds(50, 7193);
}
