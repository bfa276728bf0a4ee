//! Bugs that are put into a copy of the tree, one at a time, to see that the simulation finds each.
//!
//! Each is a text of the sources and what stands there instead; that the texts are still there, once each, is a test.
//! None of them is in the tree under any condition.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

struct Planted {
    what: &'static str,
    file: &'static str,
    right: &'static str,
    wrong: &'static str,
}

const PLANTED: [Planted; 6] = [
    Planted {
        what: "files are not synced",
        file: "src/storage/log.rs",
        right: "targets.push(SyncTarget::File(file));",
        wrong: "let _ = file;",
    },
    Planted {
        what: "directories are not synced",
        file: "src/storage/log.rs",
        right: "targets.push(SyncTarget::Dir(Arc::clone(&self.dir)));",
        wrong: "",
    },
    Planted {
        what: "recovery cuts at rot",
        file: "src/storage/recovery.rs",
        right: "Some(Step::Damage { position, .. }) if self.log_end >= self.durable_end => {",
        wrong: "Some(Step::Damage { position, .. }) if self.log_end.0 >= 0 => {",
    },
    Planted {
        what: "recovery syncs the tail that it keeps, and does not write it again",
        file: "src/storage/recovery.rs",
        right: "file.write_all_at(&bytes, position)?;",
        wrong: "",
    },
    Planted {
        what: "offsets count as committed before their sync",
        file: "src/engine/writer.rs",
        right: "cell.in_flight.fetch_add(answers.len(), Ordering::AcqRel);",
        wrong: "cell.in_flight.fetch_add(1, Ordering::AcqRel);
                    let count = answers.len();
                    answers.into_iter().for_each(|answer| answer.give(Ok(())));
                    cell.in_flight.fetch_sub(1, Ordering::AcqRel);
                    let answers = Vec::with_capacity(count);",
    },
    Planted {
        what: "a write that failed is not cut back",
        file: "src/storage/append.rs",
        right: "match file.set_len(end).and_then(|()| file.sync()) {",
        wrong: "match Ok::<(), Error>(()) {",
    },
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
#[expect(clippy::disallowed_methods, reason = "reads the sources")]
fn texts_that_planted_bugs_replace_are_there_once() {
    for Planted { what, file, right, .. } in PLANTED {
        let source = fs::read_to_string(root().join(file)).unwrap();
        assert_eq!(source.matches(right).count(), 1, "{what}: {right:?} in {file}");
    }
}

#[test]
#[ignore = "builds the tree six times: cargo test --release --all-features --test sim planted_bugs -- --ignored --nocapture"]
#[expect(clippy::disallowed_methods, reason = "copies the tree, and looks at a clock")]
fn planted_bugs_are_found_within_a_minute() {
    let garden = root().join("target/planted");
    let mut missed = Vec::new();
    for part in ["src", "tests", "benches", "examples", "docs"] {
        let _ = fs::remove_dir_all(garden.join(part));
        copy(&root().join(part), &garden.join(part));
    }
    for entry in fs::read_dir(root()).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
        fs::copy(entry.path(), garden.join(entry.file_name())).unwrap();
    }
    for Planted { what, file, right, wrong } in PLANTED {
        let file = garden.join(file);
        let source = fs::read_to_string(&file).unwrap();
        fs::write(&file, source.replace(right, wrong)).unwrap();

        let built = cargo(&garden, &["--no-run"]).output().unwrap();
        assert!(built.status.success(), "{what}: {}", String::from_utf8_lossy(&built.stderr));
        let begun = Instant::now();
        let run = cargo(&garden, &["crashes_for_a_chosen_time", "--", "--ignored", "--nocapture"]).output().unwrap();
        let (took, said) = (begun.elapsed(), String::from_utf8_lossy(&run.stdout).into_owned());
        let seed = said.lines().find_map(|line| line.split_once("violations in ")).map_or("?", |(_, seeds)| seeds);
        let outcome = if run.status.success() { "NOT FOUND" } else { "found" };
        println!("{what}: {outcome} after {:.1} s, seed {seed}", took.as_secs_f64());
        if run.status.success() || took > Duration::from_secs(60) {
            missed.push(what);
        }
        fs::write(&file, source).unwrap();
    }
    assert!(missed.is_empty(), "{missed:?}");
}

/// The simulation, in the copy: until the first violation, a minute at most.
fn cargo(garden: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(garden).args(["test", "--release", "--features", "sim", "--test", "sim"]).args(arguments);
    let target: PathBuf = garden.join("target");
    command.env("CARGO_TARGET_DIR", target).env("RUSTFLAGS", "--cap-lints warn").env("RUST_BACKTRACE", "0");
    command.env("CARGO_PROFILE_RELEASE_INCREMENTAL", "true").env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "2");
    command.env("OTTLA_SIM_SECONDS", "60").env("OTTLA_SIM_FIRST", "1").env("OTTLA_SIM_FROM", "0");
    command
}

#[expect(clippy::disallowed_methods, reason = "copies the tree")]
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}
