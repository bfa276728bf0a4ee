//! What the command line takes, prints and remembers.

#![expect(clippy::disallowed_methods, reason = "the input is a file beside the engine")]

use std::fs;
use std::process::Stdio;

use ottla::{Engine, Producer, ProducerRecord, Timestamp};
use serde_json::{Value, json};

use super::{T, committed};
use crate::command::{Home, bare, seq};

/// A reader that goes away makes the writer panic, in the command that nobody thought of.
#[test]
fn r006_closed_pipes_are_no_error_in_any_command() {
    let home = Home::new();
    let lines: String =
        (0..20_000).map(|number| format!("a line of some length, which is number {number}\n")).collect();
    home.feed(&lines, "produce t").done();
    for number in 0..30 {
        home.run(&format!("topic create x{number}")).done();
    }
    let dump = format!("dump --records {}", home.segment("t-0").display());
    let after_a_line = [
        &*dump,
        "consume t",
        "consume t --json",
        "consume t --follow",
        "consume t --group g",
        "consume t --format {offset}{value}{value}",
        "replay",
        "replay --json",
        "replay --backwards",
        "topic list",
        "topic describe t",
        "group list",
        "group describe g",
    ];
    for arguments in after_a_line {
        let mut running = home.start(arguments);
        assert!(!running.line().is_empty(), "{arguments}");
        drop(running.output.take());
        let ended = running.end();
        assert_eq!((ended.status, ended.err.as_str()), (0, ""), "{arguments}");
    }
    assert!(committed(&home, "g") < 20_000, "no further than what was flushed");
    for arguments in ["topic list", "topic list --json", "topic describe x1", "group list", "group describe g"] {
        let mut running = home.start(arguments);
        drop(running.output.take());
        let ended = running.end();
        assert_eq!((ended.status, ended.err.as_str()), (0, ""), "{arguments}");
    }
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["help"],
        &["consume", "--help"],
        &["demo"],
        &["config"],
        &["config", "--json"],
        &["completions", "zsh"],
    ] {
        let mut command = bare();
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let ended = child.wait_with_output().unwrap();
        assert_eq!((ended.status.code(), ended.stderr.as_slice()), (Some(0), b"".as_slice()), "{arguments:?}");
    }
    let mut running = home.start("produce t --json");
    running.send("1\n");
    running.line();
    drop(running.output.take());
    let mut input = running.input.take().unwrap();
    while std::io::Write::write_all(&mut input, lines.as_bytes()).is_ok() {} // nobody hears of them: it ends
    let ended = running.end();
    assert_eq!((ended.status, ended.err.as_str()), (0, ""));
}

/// Lines that are not UTF-8, or hold NUL, abort the reader or end the string.
#[test]
fn r013_lines_are_bytes() {
    let home = Home::new();
    let (file, bytes) = (home.beside("f"), b"\xff\xfe\n\0x\n\xc3\n");
    fs::write(&file, bytes).unwrap();
    let file = file.to_str().unwrap();
    home.run_with(&["produce", "t", file]).done();
    assert_eq!(home.run("consume t").out, bytes);
    let values: Vec<Value> = home.run("consume t --json").json().iter().map(|record| record["value"].clone()).collect();
    assert_eq!(values, [json!({ "base64": "//4=" }), json!("\u{0}x"), json!({ "base64": "ww==" })]);
    home.run_with(&["produce", "u", file, "--key-separator", "x"]).done();
    let records = home.run("consume u --json").json();
    let keys: Vec<Value> = records.iter().map(|record| record["key"].clone()).collect();
    assert_eq!(keys, [Value::Null, json!("\u{0}"), Value::Null]);
    assert_eq!(records[1]["value"], "");
}

/// A reader asked for n records fetches more and commits what it fetched.
#[test]
fn r016_what_was_not_printed_is_not_committed() {
    let home = Home::new();
    home.feed(seq(1, 100), "produce t").done();
    for number in 1..=5 {
        assert_eq!(home.run("consume t --group g --max-records 1").done(), format!("{number}\n"));
    }
    let row = home.run("group describe g --json").json().remove(0);
    assert_eq!((&row["committed"], &row["log_end"], &row["lag"]), (&json!(5), &json!(100), &json!(95)));

    home.run("topic create u --partitions 4").done();
    for partition in 0..4 {
        let first = 25 * partition + 1;
        home.feed(seq(first, first + 24), &format!("produce u --partition {partition}")).done();
    }
    assert_eq!(home.run("consume u --max-records 10").lines().len(), 10);
    let mut seen = home.run("consume u --group h --max-records 10").lines();
    seen.extend(home.run("consume u --group h --max-records 10").lines());
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 20, "no record twice");
    let rows = home.run("group describe h --json").json();
    assert_eq!(rows.len(), 4);
    assert_eq!(rows.iter().filter_map(|row| row["committed"].as_i64()).sum::<i64>(), 20);
}

/// "Until the end" runs after a writer that is faster than the reader, and never ends.
#[test]
fn r029_end_of_a_log_that_grows_is_where_it_was() {
    let home = Home::new();
    let engine = Engine::open(home.data()).unwrap();
    let producer = Producer::<str, str>::new(&engine).unwrap();
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        producer.send(ProducerRecord::to("t").value("x")).unwrap().wait().unwrap();
        scope.spawn(|| {
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                producer.send(ProducerRecord::to("t").value("x")).unwrap().wait().unwrap();
            }
        });
        let counts: Vec<_> = (0..3).map(|_| home.run("consume t").lines().len()).collect();
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(counts[0] > 0 && counts.is_sorted(), "{counts:?}");
    });
}

/// Seconds taken for milliseconds, distances from UTC dropped, fractions cut, nonsense taken for 0 or now.
#[test]
fn r035_times_mean_what_they_say() {
    let home = Home::new();
    let engine = Engine::open(home.data()).unwrap();
    let producer = Producer::<str, str>::new(&engine).unwrap();
    for number in 0..3 {
        producer.send(ProducerRecord::to("t").value("v").timestamp(Timestamp(T + number))).unwrap();
    }
    producer.close().unwrap();
    engine.close().unwrap();
    for (from, first) in [
        ("@2023-11-14T22:13:20Z", "0"),
        ("@2023-11-14T23:13:20+01:00", "0"),
        ("@2023-11-14T22:13:20.001Z", "1"),
        ("@2023-11-14T22:13:20.0005Z", "1"),
        ("@1700000000000", "0"),
        ("@1700000000", "0"),
    ] {
        let arguments = ["consume", "t", "--from", from, "--max-records", "1", "--format", "{offset}"];
        assert_eq!(home.run_with(&arguments).lines(), [first], "{from}");
    }
    for bad in ["@yesterday", "@", "@-1"] {
        let said = home.run_with(&["consume", "t", "--from", bad]).refused();
        assert!(said.contains(&format!("'{bad}'")), "{said}");
    }
}

/// An empty value is taken for a tombstone, or a tombstone for an empty value.
#[test]
fn r041_empty_value_and_no_value_are_two_things() {
    let home = Home::new();
    home.feed("k1:\n", "produce t --key-separator :").done();
    home.feed(r#"{"key":"k2","value":null}"#, "produce t --input json").done();
    home.feed(r#"{"key":"k3","value":""}"#, "produce t --input json").done();
    let values: Vec<Value> = home.run("consume t --json").json().iter().map(|record| record["value"].clone()).collect();
    assert_eq!(values, [json!(""), Value::Null, json!("")]);
}

/// Empty lines are dropped or end the input, the last line without a newline is lost, no input is an error.
#[test]
fn r060_every_line_is_a_record() {
    let home = Home::new();
    home.feed("a\n\nb", "produce t").done();
    let records = home.run("consume t --json").json();
    let seen: Vec<_> = records.iter().map(|record| (record["offset"].as_i64().unwrap(), &record["value"])).collect();
    assert_eq!(seen, [(0, &json!("a")), (1, &json!("")), (2, &json!("b"))]);
    home.feed("\n", "produce u").done();
    assert_eq!(home.run("consume u --json").json()[0]["value"], "");
    home.feed("", "produce w").done();
    assert_eq!(home.run("consume w").done(), "");
}
