//! Seeded simulation: an application that does whatever its users do, on a disk that fails however disks do, through
//! one crash after the other; after each of them what is there is held against what had been promised.
//!
//! | file | what |
//! |---|---|
//! | `world.rs` | a run: lives of an engine, and what somebody does with it |
//! | `weather.rs` | what goes wrong meanwhile, and which errors that explains |
//! | `rot.rs` | a bit that is wrong at rest, before the next opening |
//! | `steps.rs` | short workloads, with a crash at each of their steps |
//! | `phases.rs` | what an engine was doing when a crash struck it |
//! | `groups.rs` | a consumer group whose members come and go; `../it/groups/{ledger,worker}.rs` watch it |
//! | `planted.rs` | bugs that are put into a copy of the tree, to see that they are found |
//! | `regressions.rs` | what was found, by name |
//! | `../it/crash/{app,model}.rs` | the application, and the model of the promises |
//!
//! One seed is one run, to the last operation of the disk. The default tests run a fixed few; for more:
//!
//! ```sh
//! # random workloads, for a chosen time, or so many crashes; a table says what the crashes struck
//! OTTLA_SIM_SECONDS=600 cargo test --release --all-features --test sim crashes_for_a_chosen_time -- --ignored --nocapture
//! OTTLA_SIM_CRASHES=100000 cargo test --release --all-features --test sim crashes_for_a_chosen_time -- --ignored --nocapture
//! # that one run again
//! OTTLA_SIM_SEED=1234 cargo test --all-features --test sim crashes_for_a_chosen_time -- --ignored --nocapture
//! # a crash of each kind at each step of the short workloads
//! cargo test --release --all-features --test sim at_every_step_of_many_seeds -- --ignored --nocapture
//! # consumer groups, for a chosen time; OTTLA_SIM_SEED=1234 for that one run again
//! OTTLA_SIM_SECONDS=600 cargo test --release --all-features --test sim groups_for_a_chosen_time -- --ignored --nocapture
//! # each planted bug, until it is found
//! cargo test --release --all-features --test sim planted_bugs_are_found -- --ignored --nocapture
//! ```
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails, helpers included")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a long run is told about, and a run that failed")]

#[expect(dead_code, reason = "the crash tests use more of it")]
#[path = "../it/crash/app.rs"]
mod app;
#[expect(dead_code, reason = "the tests of rot use more of it")]
#[path = "../it/chance.rs"]
mod chance;
mod groups;
#[path = "../it/groups/ledger.rs"]
mod ledger;
#[expect(dead_code, reason = "the crash tests use more of it")]
#[path = "../it/crash/model.rs"]
mod model;
mod phases;
mod planted;
mod regressions;
mod rot;
mod steps;
mod weather;
#[path = "../it/groups/worker.rs"]
mod worker;
mod world;

use std::panic::catch_unwind;
use std::time::{Duration, Instant};

use world::{Run, run};

#[test]
fn fixed_seeds_keep_every_promise() {
    for seed in 0..60 {
        run(seed);
    }
}

#[test]
fn one_seed_is_one_run() {
    for seed in [3, 4] {
        assert_eq!(run(seed).trace, run(seed).trace);
    }
    assert_ne!(run(3).trace, run(4).trace);
}

#[test]
#[ignore = "takes as long as it is told to: OTTLA_SIM_SECONDS=600 cargo test --release --all-features --test sim crashes_for_a_chosen_time -- --ignored --nocapture"]
#[expect(clippy::disallowed_methods, reason = "looks at a clock, to know when to end")]
fn crashes_for_a_chosen_time() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("OTTLA_SIM_SEED") {
        println!("{}", run(seed));
        return;
    }
    let crashes = number("OTTLA_SIM_CRASHES");
    let seconds = number("OTTLA_SIM_SECONDS").or(crashes.is_none().then_some(60));
    let time = seconds.map_or(Duration::MAX, Duration::from_secs);
    let ends_at_once = number("OTTLA_SIM_FIRST").is_some();
    let (begun, mut total, mut seeds, mut failed) = (Instant::now(), Run::default(), 0_u64, Vec::new());
    let now = || u64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos()).unwrap_or(0) >> 10;
    let first = number("OTTLA_SIM_FROM").unwrap_or_else(now);
    while begun.elapsed() < time && total.crashes < crashes.unwrap_or(u64::MAX) {
        let seed = first + seeds;
        seeds += 1;
        match catch_unwind(|| run(seed)) {
            Ok(run) => total.add(&run),
            Err(_) => failed.push(seed),
        }
        if ends_at_once && !failed.is_empty() {
            break;
        }
    }
    println!("{total}");
    println!("{seeds} seeds from {first} in {:.1} s; violations in {failed:?}", begun.elapsed().as_secs_f64());
    assert_eq!(failed, [0; 0]);
}
