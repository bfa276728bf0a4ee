//! Cases from public bug reports of brokers, clients and tools of this kind: what went wrong for others goes right
//! here. A test has the number of its case and says what went wrong there.

#![expect(clippy::disallowed_methods, reason = "removes and damages files behind the engine's back; looks at a clock")]

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use ottla::{
    Admin, Consumer, ConsumerConfig, Engine, Error, NewTopic, Offset, Producer, ProducerConfig, ProducerRecord,
    Timestamp,
};
use serde_json::{Value, json};

use crate::command::{Home, bare, copy, names, seq};

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

/// Names mapped to files collide, climb out of the folder, or are too long for one when it comes to a commit.
#[test]
fn r002_group_names_are_kept_apart_or_refused_before_anything_is_printed() {
    let home = Home::new();
    home.feed(seq(1, 5), "produce t").done();
    let long = "\u{e9}".repeat(100);
    let groups = ["a/b", "a_b", "a%2Fb", "a%2fb", "..", "A", "a", " ", &long];
    let mut accepted = Vec::new();
    for (index, group) in groups.into_iter().enumerate() {
        let count = index % 5 + 1;
        let ran = home.run_with(&["consume", "t", "--group", group, "--max-records", &count.to_string()]);
        if ran.status == 2 {
            assert!(ran.refused().contains(group));
        } else {
            assert_eq!(ran.lines().len(), count);
            accepted.push((group, i64::try_from(count).unwrap()));
        }
    }
    assert!(accepted.len() >= 7, "{accepted:?}");
    for (group, count) in &accepted {
        assert_eq!(committed(&home, group), *count, "{group}");
    }
    assert_eq!(names(home.data().parent().unwrap()), ["data"], "nothing outside");
    let files = names(&home.data().join("groups"));
    assert_eq!(files.len(), accepted.len(), "{files:?}");
    assert_eq!(home.run("group list").lines().len(), accepted.len());
}

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
    let after_a_line = [
        "consume t",
        "consume t --json",
        "consume t --follow",
        "consume t --group g",
        "consume t --format {offset}{value}{value}",
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
    for arguments in [&["--help"][..], &["--version"], &["help"], &["consume", "--help"], &["demo"]] {
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

/// An epoch file that a crash left empty or full of NULs stops the start, or cuts committed offsets back.
#[test]
fn r008_damaged_epoch_file_is_rebuilt_from_the_batches() {
    let home = Home::new();
    home.feed(seq(1, 20), "produce t").done();
    home.run("consume t --group g --max-records 10").lines();
    open_and_kill(&home);
    let damages: [(&str, Option<&[u8]>); 4] =
        [("empty", Some(b"")), ("zeros", Some(&[0; 64])), ("short", None), ("gone", None)];
    for (name, bytes) in damages {
        let after = Home::new();
        copy(&home.data(), &after.data());
        let file = after.partition("t-0").join("leader-epoch-checkpoint");
        match (name, bytes) {
            (_, Some(bytes)) => fs::write(&file, bytes).unwrap(),
            ("short", _) => fs::write(&file, &fs::read(&file).unwrap()[..3]).unwrap(),
            _ => fs::remove_file(&file).unwrap(),
        }
        let ran = after.run("group describe g --json");
        let row: Value = serde_json::from_slice(&ran.out).unwrap();
        assert_eq!((ran.status, &row["committed"]), (0, &json!(10)), "{name}");
        assert_eq!(ran.err.lines().count(), 1, "{name}: {}", ran.err);
        assert!(ran.err.contains("leader-epoch-checkpoint: rebuilt: "), "{name}: {}", ran.err);
        let expected: Vec<String> = (11..=20).map(|number| number.to_string()).collect();
        assert_eq!(after.run("consume t --group g").lines(), expected, "{name}");
        let text = fs::read_to_string(&file).unwrap();
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("0"), "{name}: {text}");
        assert_eq!(lines.next().map(|count| count.parse().unwrap()), Some(text.lines().count() - 2), "{name}: {text}");
    }
}

/// The root of a file system has a `lost+found`, which is no topic.
#[test]
fn r011_lost_and_found_is_left_alone() {
    let home = Home::new();
    home.feed(seq(1, 3), "produce t").done();
    for parent in [home.data(), home.data().join("log")] {
        let directory = parent.join("lost+found");
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("#17"), "what fsck found").unwrap();
        let nobody = std::os::unix::fs::PermissionsExt::from_mode(0o0);
        fs::set_permissions(&directory, nobody).unwrap();
    }
    assert_eq!(home.run("topic list").done(), "t\n");
    assert_eq!(home.run("consume t").lines(), ["1", "2", "3"]);
    open_and_kill(&home);
    assert_eq!(home.run("consume t").lines(), ["1", "2", "3"]);
    assert!(home.data().join("lost+found").exists() && home.data().join("log").join("lost+found").exists());
    assert_eq!(names(&home.data().join("quarantine")), [""; 0]);
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
    assert_eq!(rows.iter().map(|row| row["committed"].as_i64().unwrap()).sum::<i64>(), 20);
}

/// A topic is deleted and created again under a consumer, which goes on at its old offset and commits that.
#[test]
fn r018_recreated_topic_is_another_one() {
    let home = Home::new();
    let engine = Engine::open(home.data()).unwrap();
    let admin = Admin::new(&engine);
    let send = |count: u32| {
        let producer = Producer::<str, str>::new(&engine).unwrap();
        (0..count).for_each(|_| drop(producer.send(ProducerRecord::to("t").value("x")).unwrap()));
        producer.close().unwrap();
    };
    let config = ConsumerConfig::builder().group_id(Some("g".to_owned())).enable_auto_commit(false);
    let mut consumer = Consumer::<str, str>::with_config(&engine, config.build().unwrap()).unwrap();
    send(10);
    consumer.subscribe(["t"]).unwrap();
    let mut count = 0;
    while count < 10 {
        count += consumer.poll(Duration::from_secs(10)).unwrap().iter().count();
    }
    consumer.commit_sync().unwrap();
    admin.delete_topic("t").unwrap();
    assert!(admin.describe_group("g").unwrap().partitions.is_empty());
    admin.create_topic(NewTopic::new("t")).unwrap();
    send(5);

    // The same consumer hears of it, or reads the five; it is never silent.
    let mut read = 0;
    let told = loop {
        match consumer.poll(Duration::from_secs(2)) {
            Ok(records) if records.is_empty() => break false,
            Ok(records) => read += records.iter().count(),
            Err(error) => {
                assert!(
                    matches!(error, Error::UnknownTopicId { .. } | Error::UnknownTopicOrPartition { .. }),
                    "{error}"
                );
                break true;
            }
        }
    };
    assert!(told && read == 0 || read == 5, "{told} {read}");
    drop(consumer.commit_sync());
    drop(consumer.close());
    engine.close().unwrap();

    let left = match home.run("group describe g --json").json().as_slice() {
        [] => 5,
        [row] => {
            assert!(row["committed"].as_i64().unwrap() <= 5, "{row}");
            row["lag"].as_u64().unwrap()
        }
        rows => panic!("{rows:?}"),
    };
    assert_eq!(home.run("consume t --group g").lines().len() as u64, left);
    assert_eq!(left, if read == 5 { 0 } else { 5 });
}

/// A record over the limit takes its small neighbours with it.
#[test]
fn r019_one_record_over_the_limit_fails_alone() {
    for options in ["produce t --json", "produce t --json --linger 500"] {
        let home = Home::new();
        home.run("topic create t --config max.message.bytes=1000").done();
        let ran = home.feed(format!("a\n{}\nb\n", "x".repeat(5000)), options);
        assert_eq!((ran.status, ran.err.as_str()), (2, ""));
        let answers: Vec<Value> =
            ran.out.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
        assert_eq!(answers.len(), 3, "{answers:?}");
        assert_eq!((&answers[0]["offset"], &answers[2]["offset"]), (&json!(0), &json!(1)));
        let error = answers[1]["error"].as_str().unwrap();
        let size: String = error.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
        assert!(size.parse::<u64>().unwrap() >= 5000 && error.contains("1000"), "{error}");
        assert_eq!(home.run("consume t").lines(), ["a", "b"]);
    }
}

/// Until the end: partitions without records are waited for.
#[test]
fn r029_reading_to_the_end_waits_for_nothing() {
    let home = Home::new();
    home.run("topic create t --partitions 4").done();
    home.feed(seq(1, 1000), "produce t --partition 2").done();
    let began = Instant::now();
    assert_eq!(home.run("consume t --partition 0").done(), "");
    assert_eq!(home.run("consume t").lines().len(), 1000);
    assert_eq!(home.run("consume t --group g").lines().len(), 1000);
    assert_eq!(home.run("consume t --group g").done(), "");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

/// A time after the last record falls back to the beginning; among equal times the look-up lands in the middle.
#[test]
fn r034_time_lookup_finds_the_first_of_equal_times_and_nothing_behind_the_last() {
    let home = Home::new();
    home.run("topic create t --config segment.bytes=16384").done();
    let engine = Engine::open(home.data()).unwrap();
    // Several batches a segment, so that the look-up has something to find inside of one.
    let config = ProducerConfig::builder().batch_size(2048).build().unwrap();
    let producer = Producer::<str, str>::with_config(&engine, config).unwrap();
    for number in 0..3010 {
        let timestamp = Timestamp(if number < 3000 { T } else { T + 5 });
        producer.send(ProducerRecord::to("t").value("twelve bytes").timestamp(timestamp)).unwrap();
    }
    producer.close().unwrap();
    engine.close().unwrap();
    let indexes = || {
        let files = names(&home.partition("t-0"));
        files.into_iter().filter(|name| name.ends_with(".timeindex")).collect::<Vec<_>>()
    };
    assert!(indexes().len() >= 4, "{:?}", indexes());
    for has_indexes in [true, false] {
        for (from, first) in [
            (T.to_string(), "0\n"),
            ((T + 1).to_string(), "3000\n"),
            ((T + 5).to_string(), "3000\n"),
            ((T + 6).to_string(), ""),
            ("2100-01-01T00:00:00Z".to_owned(), ""),
        ] {
            if !has_indexes {
                indexes().iter().for_each(|name| fs::remove_file(home.partition("t-0").join(name)).unwrap());
            }
            let at = format!("@{from}");
            let arguments = ["consume", "t", "--from", &at, "--max-records", "1", "--format", "{offset}"];
            assert_eq!(home.run_with(&arguments).done(), first, "{from}, indexes: {has_indexes}");
        }
    }
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

/// A long linger makes flush, close or the end of the input wait for it, or a drop loses what lingers.
#[test]
fn r057_nothing_waits_for_a_long_linger() {
    let home = Home::new();
    let began = Instant::now();
    home.feed("a\nb\nc\n", "produce t --linger 60000").done();
    let config = || ProducerConfig::builder().linger(Duration::from_secs(60)).build().unwrap();
    let record = || ProducerRecord::to("t").value("x");
    let engine = Engine::open(home.data()).unwrap();
    let producer = Producer::<str, str>::with_config(&engine, config()).unwrap();
    producer.send(record()).unwrap();
    producer.flush().unwrap();
    producer.send(record()).unwrap().wait().unwrap();
    producer.send(record()).unwrap();
    producer.close().unwrap();
    drop(producer); // while it is there, so is the engine
    let producer = Producer::<str, str>::with_config(&engine, config()).unwrap();
    let dropped = producer.send(record()).unwrap();
    drop((producer, engine));
    let is_there = dropped.wait().is_ok();
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    assert_eq!(home.run("consume t").lines().len(), if is_there { 7 } else { 6 });
}

/// Partition by key: the sign of bytes and of the hash, an empty key taken for none, a second separator that cuts.
#[test]
fn r059_keys_go_where_kafka_puts_them() {
    let home = Home::new();
    let keys = [
        ("wu", 10, 0),
        ("100:48069", 12, 9),
        ("21", 40, 20),
        ("kafka", 3, 1),
        ("thing\u{e4}\u{f6}\u{fc}\u{c4}\u{d6}\u{dc}", 10, 2),
        ("TT0124", 15, 10),
        ("fd7af248-ce5c-46a5-93d7-1c0c9005b99d", 32, 26),
        ("", 4, 1),
        ("", 7, 2),
    ];
    for (number, (key, partitions, expected)) in keys.into_iter().enumerate() {
        home.run(&format!("topic create t{number} --partitions {partitions}")).done();
        home.feed(format!("{key}|1\n{key}|2\n"), &format!("produce t{number} --key-separator |")).done();
        for record in home.run(&format!("consume t{number} --json")).json() {
            assert_eq!((&record["partition"], &record["key"]), (&json!(expected), &json!(key)), "{record}");
        }
    }
    home.feed("k::v::w\nnone\n", "produce u --key-separator ::").done();
    let records = home.run("consume u --json").json();
    assert_eq!((&records[0]["key"], &records[0]["value"]), (&json!("k"), &json!("v::w")));
    assert_eq!((&records[1]["key"], &records[1]["value"]), (&Value::Null, &json!("none")));
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

/// A producer snapshot that is newer than the log's end is loaded, and refuses good producers or stops the start.
#[test]
fn r072_snapshot_behind_the_log_end_is_not_believed() {
    let snapshot = [
        0x00, 0x01, 0xb4, 0x7d, 0x0d, 0xad, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0f, 0xa0,
        0x00, 0x02, 0x00, 0x00, 0x00, 0x09, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x7b, 0x00, 0x00, 0x00, 0x04,
        0x00, 0x00, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0x00, 0x00, 0x00, 0x00, 0x07, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x64,
    ];
    for is_clean in [true, false] {
        let home = Home::new();
        home.feed(seq(1, 5), "produce t").done();
        let file = home.partition("t-0").join("00000000000000000124.snapshot");
        fs::write(&file, snapshot).unwrap();
        if !is_clean {
            fs::remove_file(home.data().join("log").join(".kafka_cleanshutdown")).unwrap();
        }
        assert_eq!(home.run("consume t").lines().len(), 5);
        assert!(!file.exists());
        assert_eq!(home.feed("6\n", "produce t --json").json()[0]["offset"], 5);
        assert_eq!(home.run("consume t").lines().len(), 6, "nothing hides behind an open transaction");
        let engine = Engine::open(home.data()).unwrap();
        assert_eq!(engine.end_offset(&("t", 0).into()).unwrap(), Offset(6));
        assert!(engine.report().is_empty());
        engine.close().unwrap();
    }
}
