//! Random damage to files of all kinds: never a panic, never a hang, never a wrong record, and never more memory than
//! [`BOUND`].
//!
//! Each seed takes a directory, closed or killed, and strikes one to three of its files: segments, indexes, checkpoints,
//! `positions`, catalog, groups, both locks, `meta.properties`, `partition.metadata`, `reserve`, the marker. Bits flip,
//! stretches are zeroed, replaced, cut out, repeated; lengths become 0, -1, 2^31 - 1 or 2^63 - 1; files are cut, grown,
//! emptied, removed, exchanged with one of their kind, or replaced by a directory or a link to itself. Then one copy of
//! it is opened, read, appended to and opened again; another one is verified, planned, repaired, verified, opened, read
//! without an error, appended to and opened again.
//!
//! A binary of its own, since it counts what every thread of the process allocates.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails, helpers included")]
#![expect(clippy::print_stdout, reason = "a long run says what it came to")]
#![allow(dead_code, reason = "the helpers are shared with tests/it, which uses the others")]

#[path = "../it/rot/blows.rs"]
mod blows;
#[path = "../it/chance.rs"]
mod chance;
#[path = "../it/rot/content.rs"]
mod content;
mod counting;
#[path = "../it/rot/repaired.rs"]
mod repaired;
#[path = "../it/rot/sample.rs"]
mod sample;
#[path = "../it/rot/tree.rs"]
mod tree;

use std::ops::Range;

use ottla::{VerifyOptions, verify};

use chance::Chance;
use sample::Sample;

/// How much memory is in use at most while one damaged directory of a few kilobytes is opened, read, verified and
/// repaired, beyond what was in use before: read buffers, the reserve's megabyte, threads, tables.
const BOUND: usize = 24 << 20;

/// What a seed came to.
enum Outcome {
    Passed,
    /// Nothing on the disk tells that damage from what was written: a whole batch has another one's offset.
    Undetectable,
    Failed(String),
}

fn run(seed: u64) -> Outcome {
    let mut chance = Chance::new(seed);
    let sample = blows::any_sample(&mut chance);
    let mut tree = sample.tree.clone();
    let count = 1 + chance.index(3);
    let blows: Vec<String> = (0..count).map(|_| blows::damage(&mut tree, &mut chance)).collect();
    if blows::is_renumbered(&sample, &tree) {
        return Outcome::Undetectable;
    }
    if std::env::var_os("OTTLA_CORRUPTION_SHOW").is_some() {
        println!("seed {seed}: {blows:?}"); // of one that does not end, the last
    }
    let work = || {
        blows::check(&sample, &tree);
        let root = tree.write();
        verify(root.path(), &VerifyOptions::default().threads(1)).unwrap_or_else(|error| panic!("verify: {error}"));
        repaired::check(&sample, &tree);
    };
    let Some(message) = blows::complaint(work) else { return Outcome::Passed };
    Outcome::Failed(format!("seed {seed}: {blows:?}: {message}"))
}

fn run_all(seeds: Range<u64>) {
    for sample in [Sample::closed(), Sample::killed(), Sample::killed_with_tail()] {
        drop(sample); // made, so that they do not count
    }
    let (mut failed, mut undetectable, mut most) = (Vec::new(), 0, 0);
    for seed in seeds.clone() {
        let (outcome, peak) = counting::peak(|| run(seed));
        match outcome {
            Outcome::Passed => {}
            Outcome::Undetectable => undetectable += 1,
            Outcome::Failed(what) => failed.push(what),
        }
        most = peak.max(most);
        if peak > BOUND {
            failed.push(format!("seed {seed}: {peak} bytes of memory"));
        }
    }
    println!("seeds {seeds:?}: {} failed, undetectable: {undetectable}, most memory: {most} bytes", failed.len());
    assert!(failed.is_empty(), "{}", failed[..failed.len().min(20)].join("\n"));
}

#[test]
fn no_damage_makes_a_panic_a_hang_a_wrong_record_or_much_memory() {
    run_all(0..60);
}

#[test]
#[ignore = "takes minutes: cargo test --release --all-features --test corruption -- --ignored --nocapture"]
fn no_damage_makes_a_panic_a_hang_a_wrong_record_or_much_memory_at_length() {
    let number = |name: &str, default| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let first = number("OTTLA_CORRUPTION_SEED", 1_000);
    run_all(first..first + number("OTTLA_CORRUPTION_COUNT", 12_000));
}
