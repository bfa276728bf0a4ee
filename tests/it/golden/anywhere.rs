//! The damages of `damaged` and `legacy_damaged_*`, at any place of any other log that a broker wrote.
//!
//! One damage a case, from a seed: [`kinds`] makes it, [`judge`] says what has to be true then, against what the log gave
//! before. What the log gave before is what Kafka's classes read of it, which other tests hold.
//!
//! ```sh
//! OTTLA_DAMAGE_SECONDS=600 cargo test --all-features --test it damages_for_a_chosen_time -- --ignored --nocapture
//! ```
//!
//! `OTTLA_DAMAGE_FIRST` is the first seed, `OTTLA_DAMAGE_LAST` the last one; `OTTLA_DAMAGE_KIND` leaves out all kinds that are not named like that.

#![expect(clippy::disallowed_methods, reason = "looks at a clock")]
#![expect(clippy::print_stdout, reason = "a long run is told about")]

mod judge;
mod kinds;
mod known;
mod messages;
mod source;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::chance::Chance;
use kinds::KINDS;
use source::Source;

/// What came of a number of cases.
#[derive(Default)]
struct Tally {
    cases: usize,
    /// Of each kind, how many there were, and how many of them cost records.
    kinds: BTreeMap<&'static str, (usize, usize)>,
    /// Damages that nobody can tell from what a broker writes.
    unknowable: usize,
    failed: Vec<String>,
}

impl Tally {
    /// Tries one seed, if the kind fits the log that the seed has.
    fn run(&mut self, sources: &[Source], seed: u64, only: &str) {
        let mut chance = Chance::new(seed);
        let fitting: Vec<_> = KINDS.iter().filter(|(name, _)| name.contains(only)).collect();
        let (name, apply) = **chance.pick(&fitting);
        let source = chance.pick(sources);
        let mut tree = source.tree.clone();
        if chance.index(2) == 0 {
            tree.files.remove(Path::new(".kafka_cleanshutdown"));
        }
        let Some(hit) = apply(source, &mut tree, &mut chance) else { return };
        self.cases += 1;
        let (count, costly) = self.kinds.entry(name).or_default();
        *count += 1;
        match judge::judge(source, &hit, &tree, &mut chance) {
            Ok(outcome) => {
                *costly += usize::from(outcome.lost > 0);
                self.unknowable += usize::from(outcome.is_unknowable);
            }
            Err(problem) => {
                let text = format!("seed {seed}: {name}: {} {}: {}\n    {problem}", source.name, source.dir, hit.what);
                println!("{text}");
                self.failed.push(text);
            }
        }
    }

    fn finish(self) {
        for (kind, (count, costly)) in &self.kinds {
            println!("{kind}: {count}, {costly} of which cost records");
        }
        println!("{} cases, {} of them not to be told from a sound log", self.cases, self.unknowable);
        assert!(self.failed.is_empty(), "{} failed, the first: {}", self.failed.len(), self.failed[0]);
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn any_damage_anywhere_costs_its_unit_and_is_said() {
    let sources = Source::some(7);
    let mut tally = Tally::default();
    for seed in 0..120 {
        tally.run(&sources, seed, "");
    }
    tally.finish();
}

#[test]
#[ignore = "takes as long as it is told to: OTTLA_DAMAGE_SECONDS=600 cargo test --all-features --test it damages_for_a_chosen_time -- --ignored --nocapture"]
fn damages_for_a_chosen_time() {
    let time = Duration::from_secs(number("OTTLA_DAMAGE_SECONDS").unwrap_or(60));
    let mut seed = number("OTTLA_DAMAGE_FIRST").unwrap_or(1_000);
    let last = number("OTTLA_DAMAGE_LAST").unwrap_or(u64::MAX);
    let only = std::env::var("OTTLA_DAMAGE_KIND").unwrap_or_default();
    let sources = Source::some(1);
    let (begun, mut tally) = (Instant::now(), Tally::default());
    println!("{} logs", sources.len());
    while begun.elapsed() < time && seed <= last {
        tally.run(&sources, seed, &only);
        seed += 1;
    }
    println!("up to seed {seed}, {:.1} s", begun.elapsed().as_secs_f64());
    tally.finish();
}
