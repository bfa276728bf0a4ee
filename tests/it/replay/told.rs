//! `ottla replay` on the command line.

#![expect(clippy::disallowed_methods, reason = "looks at what a command has left, and at what it must leave alone")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::command::{Home, Ran, bare, copy, damage, names, run, seq};

/// Runs `ottla replay` on a path; arguments have no blanks in them.
fn replay(path: &Path, arguments: &str) -> Ran {
    run(bare().arg("replay").arg(path).args(arguments.split(' ').filter(|argument| !argument.is_empty())), b"")
}

fn lines(ran: &Ran) -> Vec<String> {
    assert_eq!(ran.status, 0, "{}", ran.err);
    String::from_utf8(ran.out.clone()).unwrap().lines().map(str::to_owned).collect()
}

/// Every file below a directory, with what is in it and when it was changed.
fn tree(directory: &Path) -> BTreeMap<String, (Vec<u8>, SystemTime)> {
    let mut files = BTreeMap::new();
    for name in names(directory) {
        let path = directory.join(&name);
        if path.is_dir() {
            files.extend(tree(&path).into_iter().map(|(below, what)| (format!("{name}/{below}"), what)));
        } else {
            let changed = fs::metadata(&path).unwrap().modified().unwrap();
            files.insert(name, (fs::read(&path).unwrap(), changed));
        }
    }
    files
}

/// Two partitions, in which lines take turns.
fn orders() -> Home {
    let home = Home::new();
    home.run("topic create orders --partitions 2").done();
    let record = |number: i64| {
        let headers = [("by", if number % 3 == 0 { "till" } else { "web" })];
        json!({ "key": format!("k{}", number % 3), "value": format!("order {number}"), "headers": headers,
            "timestamp": 1_700_000_000_000 + number, "partition": number % 2 })
    };
    let input: String = (0..20).map(|number| format!("{}\n", record(number))).collect();
    home.feed(input, "produce orders --input json --keep-partition").done();
    home
}

#[test]
fn records_come_by_time_and_a_summary_goes_to_standard_error() {
    let home = orders();
    let ran = replay(&home.data(), "");
    assert_eq!(lines(&ran), (0..20).map(|number| format!("order {number}")).collect::<Vec<_>>());
    let front = "20 records, from 2023-11-14T22:13:20Z to 2023-11-14T22:13:20.019Z\nread: ";
    assert!(ran.err.starts_with(front), "{}", ran.err);
    assert!(ran.err.contains(" (none ") && ran.err.ends_with("\nno findings\n"), "{}", ran.err);
    let in_turn = (0..20).step_by(2).chain((1..20).step_by(2)).map(|number| format!("order {number}"));
    assert_eq!(lines(&replay(&home.data(), "--by-partition")), in_turn.collect::<Vec<_>>());
    let back = replay(&home.data(), "--backwards --max-records 3 --format {partition}:{offset}:{key}:{headers}");
    assert_eq!(lines(&back), ["1:9:k1:by=web", "0:9:k0:by=till", "1:8:k2:by=web"]);
    // The directory of -d, a log.dir, a partition and a segment are all the same to it.
    assert_eq!(home.run("replay").out, ran.out);
    assert_eq!(replay(&home.data().join("log"), "").out, ran.out);
    assert_eq!(lines(&replay(&home.partition("orders-1"), "")).len(), 10);
    assert_eq!(lines(&replay(&home.segment("orders-1"), "")).len(), 10);
}

/// Else the answer to what happened between two times looks like nothing.
#[test]
fn summary_says_that_records_have_no_time() {
    let log_dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/legacy_v0_0822/log");
    let ran = replay(&log_dir, "--from @2010-01-01T00:00:00Z --to @2030-01-01T00:00:00Z");
    assert_eq!(lines(&ran), [""; 0]);
    let said: Vec<&str> = ran.err.lines().collect();
    let [.., without, last] = &said[..] else { panic!("{said:?}") };
    assert!(without.starts_with("without a time: ") && without.ends_with(" batches"), "{said:?}");
    assert_eq!(*last, "no findings");
    let timed = replay(&orders().data(), "");
    assert!(!timed.err.contains("without a time"), "{}", timed.err);
}

#[test]
fn filters_narrow_it_down() {
    let home = orders();
    let found =
        |arguments: &str| lines(&replay(&home.data(), &format!("{arguments} --format {{offset}}/{{partition}}")));
    assert_eq!(found("--key k2 --partition 0"), ["1/0", "4/0", "7/0"]);
    assert_eq!(found("--header by=till --from 8"), ["9/0"]);
    assert_eq!(found("--header by=till --from 7"), ["7/1", "9/0"]);
    assert_eq!(found("--grep r.1[89]$"), ["9/0", "9/1"]);
    assert_eq!(found("--grep ^k1$ --to 3"), ["0/1", "2/0"], "keys are looked at too");
    assert_eq!(found("--from @2023-11-14T22:13:20.018Z"), ["9/0", "9/1"]);
    assert_eq!(found("--to @1700000000002"), ["0/0", "0/1"]);
    for nothing in ["--from end", "--to beginning", "--from @2100-01-01T00:00:00Z"] {
        assert_eq!(found(nothing), [""; 0], "{nothing}");
    }
}

#[test]
fn json_is_that_of_consume_and_the_summary_is_the_last_line_of_standard_error() {
    let home = orders();
    let ran = replay(&home.data(), "--by-partition --json");
    assert_eq!(String::from_utf8(ran.out.clone()).unwrap(), home.run("consume orders --json").done());
    let summary: Value = serde_json::from_str(ran.err.trim_end()).unwrap();
    assert_eq!((&summary["records"], &summary["findings"]), (&json!(20), &json!(0)));
    assert_eq!(summary["first_timestamp"], json!(1_700_000_000_000_i64));
    assert!(summary["codecs"]["none"].as_u64() >= Some(2));
}

#[test]
fn damage_is_passed_and_said_or_ends_it() {
    let home = Home::new();
    home.feed(seq(1, 300), "produce t --config batch.size=500").done();
    let (clean, file) = (lines(&replay(&home.data(), "")), home.segment("t-0"));
    damage(&file, 1000);
    let ran = replay(&home.data(), "");
    assert_eq!(ran.status, 1);
    let left = String::from_utf8(ran.out.clone()).unwrap();
    assert!(left.lines().count() < 300 && left.lines().all(|line| clean.iter().any(|each| each == line)));
    assert!(ran.err.starts_with(&format!("{}: ", file.display())), "{}", ran.err);
    assert!(ran.err.contains(": damage: the checksum is ") && ran.err.ends_with("\n1 finding\n"), "{}", ran.err);
    let as_json = replay(&home.data(), "--json");
    let told: Vec<Value> = as_json.err.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((told.len(), &told[0]["kind"], &told[1]["findings"]), (2, &json!("damage"), &json!(1)));
    let lost = told[0]["last_offset"].as_i64().unwrap() - told[0]["first_offset"].as_i64().unwrap() + 1;
    assert_eq!(told[1]["records"].as_i64().unwrap(), 300 - lost);

    let stopped = replay(&home.data(), "--on-corrupt stop");
    assert_eq!(stopped.status, 2);
    assert_eq!(stopped.err.matches("checksum").count(), 1, "{}", stopped.err);
    assert!(left.as_bytes().starts_with(&stopped.out) && stopped.out.len() < left.len());
}

#[test]
fn what_it_reads_stays_as_it_is_also_where_nothing_can_be_written() {
    let home = orders();
    fs::remove_file(home.data().join("log/.kafka_cleanshutdown")).unwrap(); // as a crash leaves it
    let before = tree(&home.data());
    let printed = replay(&home.data(), "--json --committed").out;
    assert_eq!(tree(&home.data()), before);

    let frozen = home.beside("frozen");
    copy(&home.data(), &frozen);
    let dirs = ["log/orders-0", "log/orders-1", "log", ""].map(|name| frozen.join(name));
    let set_mode = |mode: u32| {
        for dir in &dirs {
            fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        }
    };
    let before = tree(&frozen);
    set_mode(0o555);
    let ran = replay(&frozen, "--json --committed");
    set_mode(0o755);
    assert_eq!((ran.status, ran.out), (0, printed.clone()));
    assert_eq!(tree(&frozen), before);

    let held = ottla::Engine::open(home.data()).unwrap(); // its lock is in nobody's way
    assert_eq!(replay(&home.data(), "--json --committed").out, printed);
    drop(held);
}

#[test]
fn into_a_directory_goes_all_but_the_offsets() {
    let home = orders();
    let into = home.beside("copy");
    let ran = replay(&home.data(), &format!("--from 3 --into {}", into.display()));
    assert_eq!((ran.status, ran.out.len()), (0, 0), "{}", ran.err);
    assert!(ran.err.contains(&format!("stored in {}, under new offsets: 14 records\n", into.display())), "{}", ran.err);
    let rows = |path: &Path, arguments: &str| -> Vec<Value> {
        let ran = replay(path, arguments);
        String::from_utf8(ran.out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let mut expected = rows(&home.data(), "--from 3 --json");
    for row in &mut expected {
        row["offset"] = json!(row["offset"].as_i64().unwrap() - 3);
    }
    assert_eq!(rows(&into, "--json"), expected);
    // Into itself, and into what has fewer partitions, nothing goes.
    let before = tree(&home.data());
    for place in [home.data(), home.data().join("log"), home.data().join("log/new/dir")] {
        let refused = replay(&home.data(), &format!("--into {}", place.display())).refused();
        assert!(refused.contains("that is where the records are read from"), "{refused}");
    }
    assert_eq!(tree(&home.data()), before);
    let small = Home::new();
    small.run("topic create orders").done();
    let refused = replay(&home.data(), &format!("--into {}", small.data().display()));
    assert_eq!(refused.status, 2);
    assert!(refused.err.contains("fewer partitions: 1 in place of 2"), "{}", refused.err);
}

#[test]
fn what_is_not_there_and_what_makes_no_sense_is_refused() {
    let home = orders();
    for (arguments, said) in [
        ("--topic x", "holds no topic x"),
        ("--topic orders --partition 2", "orders has no partition 2, but partitions 0 to 1"),
        ("--partition 7", "holds no partition 7"),
        ("--grep (", "regex parse error"),
        ("--speed 0x", "it is none of: max"),
        ("--from @yesterday", "@yesterday"),
        ("--to @", "a time is RFC 3339"),
        ("--into x --backwards", "cannot be used with"),
    ] {
        let refused = replay(&home.data(), arguments).refused();
        assert!(refused.contains(said), "{arguments}: {refused}");
    }
    assert!(replay(&home.beside("nowhere"), "").refused().contains("there is no "));
    assert!(run(bare().arg("replay"), b"").refused().contains("-d DIR"));
}

/// With speed each record goes out when it is due, and not when a buffer is full.
#[test]
fn played_back_at_its_speed_a_record_is_printed_when_it_is_due() {
    let home = Home::new();
    let record = |at: i64| format!("{{\"value\":\"{at}\",\"timestamp\":{at}}}\n");
    home.feed([record(1000), record(600_000_000)].concat(), "produce t --input json").done();
    let mut running = home.start("replay --speed 1x");
    assert_eq!(running.line(), "1000\n");
    running.kill(); // the other one is due in a week
}
