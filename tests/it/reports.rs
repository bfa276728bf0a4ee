//! Cases from public bug reports of brokers, clients and tools of this kind: what went wrong for others goes right
//! here. A test has the number of its case and says what went wrong there. `tests/reports.md` has the whole list.

mod clients;
mod command_line;
mod files;
mod imported;
mod names;
mod replayed;

use std::collections::BTreeSet;

use crate::command::{Home, names};

/// 2023-11-14T22:13:20Z.
const T: i64 = 1_700_000_000_000;

/// The offset that a group has committed of its only partition.
fn committed(home: &Home, group: &str) -> i64 {
    let rows = home.run_with(&["group", "describe", group, "--json"]).json();
    assert_eq!(rows.len(), 1);
    rows[0]["committed"].as_i64().unwrap()
}

/// Leaves a directory as a process leaves it that is killed with nothing to write.
fn open_and_kill(home: &Home) {
    let marker = home.data().join("log").join(".kafka_cleanshutdown");
    assert!(marker.exists());
    let mut running = home.start("produce t");
    while marker.exists() || !names(&home.data()).contains(&"LOCK".to_owned()) {
        assert!(running.child.try_wait().unwrap().is_none());
        std::thread::yield_now();
    }
    running.kill();
}

/// The words of `text` that name a test of a case.
fn tests_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let is_test = |word: &&str| {
        let number = word.strip_prefix("report_").or_else(|| word.strip_prefix('r')).unwrap_or_default();
        number.len() > 4 && number.as_bytes()[..3].iter().all(u8::is_ascii_digit) && number.as_bytes()[3] == b'_'
    };
    words.filter(is_test).collect()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "reads the source tree, which no engine opens")]
fn every_case_has_a_row_and_every_row_its_test() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |file: &str| std::fs::read_to_string(root.join(file)).unwrap();
    let files = ["clients", "command_line", "files", "imported", "names", "replayed"]
        .map(|name| format!("tests/it/reports/{name}.rs"));
    let units =
        ["tests/it/growth.rs", "src/record/tests.rs", "src/record/compression/tests.rs", "src/bin/ottla/consume.rs"]
            .map(str::to_owned);
    let code: String = files.iter().chain(&units).map(|file| read(file)).collect();
    let table = read("tests/reports.md");
    assert_eq!(tests_in(&table), tests_in(&code));
    for row in table.lines().filter(|line| line.starts_with("| R")) {
        let number = row[3..6].to_owned();
        let has_test = tests_in(row).iter().any(|test| test.contains(&number));
        assert!(has_test || row.contains("waits for"), "{row}");
    }
}
