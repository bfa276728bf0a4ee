//! The command line, option by option, as its users drive it.

#![expect(clippy::disallowed_methods, reason = "files beside the engine's, and damage to those that are")]

use std::fs;
use std::path::Path;

use ottla::{Engine, Producer, ProducerRecord, Timestamp};
use serde_json::{Value, json};

use crate::command::{Home, bare, damage, names, ottla, run, seq};

/// 2023-11-14T22:13:20Z.
const T: i64 = 1_700_000_000_000;

/// Every command, and what it needs to be asked for help.
const COMMANDS: [&str; 18] = [
    "",
    "topic",
    "topic create",
    "topic list",
    "topic describe",
    "topic delete",
    "produce",
    "consume",
    "group",
    "group list",
    "group describe",
    "group members",
    "group reset",
    "group delete",
    "config",
    "completions",
    "verify",
    "demo",
];

/// The values that a consume of topic `t` prints.
fn consumed(home: &Home) -> Vec<String> {
    home.run("consume t").lines()
}

/// `count` records at T, T + 1, ... in topic `t`.
fn produce_from_t(home: &Home, count: i64) {
    let engine = Engine::open(home.data()).unwrap();
    let producer = Producer::<str, str>::new(&engine).unwrap();
    for number in 0..count {
        let record = ProducerRecord::to("t").value("v").timestamp(Timestamp(T + number));
        producer.send(record).unwrap();
    }
    producer.close().unwrap();
    engine.close().unwrap();
}

/// The offset where `consume t --from` begins.
fn first_offset(home: &Home, from: &str) -> Option<String> {
    let arguments = ["consume", "t", "--from", from, "--max-records", "1", "--format", "{offset}"];
    home.run_with(&arguments).lines().pop()
}

mod produce {
    use super::*;

    #[test]
    fn stores_a_record_a_line_and_says_nothing() {
        let home = Home::new();
        assert_eq!(home.feed("one\ntwo\n", "produce t").done(), "");
        fs::write(home.beside("more"), "three\nfour\n").unwrap();
        let more = home.beside("more");
        assert_eq!(home.run_with(&["produce", "t", more.to_str().unwrap()]).done(), "");
        assert_eq!(consumed(&home), ["one", "two", "three", "four"]);
    }

    #[test]
    fn files_are_read_one_after_the_other() {
        let home = Home::new();
        home.run("topic create t --config max.message.bytes=100").done();
        let (one, two) = (home.beside("one"), home.beside("two"));
        fs::write(&one, "1\n2\nno newline").unwrap();
        fs::write(&two, format!("3\n{}\n4\n", "x".repeat(1000))).unwrap();
        let [one, two] = [&one, &two].map(|path| path.to_str().unwrap());
        let ran = home.feed_to("between\n", &["produce", "t", one, "-", two]);
        assert_eq!((ran.status, ran.err.lines().count()), (2, 1), "{}", ran.err);
        assert!(ran.err.starts_with(&format!("{two}: line 2: t: ")), "{}", ran.err);
        assert_eq!(consumed(&home), ["1", "2", "no newline", "between", "3", "4"]);
        let refused = home.run_with(&["produce", "t", one, "nowhere"]).refused();
        assert!(refused.contains("nowhere"), "{refused}");
        assert_eq!(consumed(&home).len(), 6, "nothing was read before");
    }

    #[test]
    fn creates_the_topic_even_if_there_is_no_line() {
        let home = Home::new();
        home.run("produce t").done();
        assert_eq!(home.run("topic list").done(), "t\n");
        assert_eq!(home.run("consume t").done(), "");
    }

    #[test]
    fn refuses_a_name_a_partition_or_a_file_that_cannot_be_before_it_reads() {
        let home = Home::new();
        for (arguments, what) in [
            ("produce a/b", "\"a/b\""),
            ("produce t --partition 1", "t has no partition 1, but only partition 0"),
            ("produce t nowhere", "nowhere: No such file"),
            ("produce t --acks 2", "'2'"),
            ("produce t --header h", "'h'"),
        ] {
            // Its input stays open: it does not wait for a line.
            let mut running = home.start(arguments);
            let input = running.input.take();
            let said = running.end().refused();
            assert!(said.contains(what), "{said}");
            drop(input);
        }
    }

    #[test]
    fn acknowledgements_appear_while_the_input_stays_open() {
        let home = Home::new();
        for acks in ["all", "1", "0"] {
            let mut running = home.start(&format!("produce t --json --acks {acks} --linger 60000"));
            for line in 0..3 {
                running.send("x\n");
                let answer: Value = serde_json::from_str(&running.line()).unwrap();
                let fields: Vec<_> = answer.as_object().unwrap().keys().cloned().collect();
                assert_eq!(fields, ["topic", "partition", "offset", "timestamp"]);
                assert_eq!((&answer["topic"], &answer["partition"]), (&json!("t"), &json!(0)));
                if acks == "0" {
                    assert_eq!(answer["offset"], Value::Null, "nobody knows it");
                } else {
                    assert!(answer["offset"].as_i64().unwrap() >= line);
                }
                assert!(answer["timestamp"].as_i64().unwrap() > T);
            }
            let ended = running.end();
            assert_eq!((ended.status, ended.err.as_str(), ended.out.len()), (0, "", 0));
        }
        assert_eq!(consumed(&home), ["x"; 9]);
    }

    #[test]
    fn json_answers_in_the_order_of_the_lines_across_partitions() {
        let home = Home::new();
        home.run("topic create t --partitions 4").done();
        let lines: String = (0..2000).map(|number| format!("k{}:{number}\n", number % 50)).collect();
        let answers = home.feed(lines, "produce t --json --key-separator :").json();
        let mut by_place = std::collections::BTreeMap::new();
        for (line, answer) in answers.iter().enumerate() {
            let place = (answer["partition"].as_i64().unwrap(), answer["offset"].as_i64().unwrap());
            assert_eq!(by_place.insert(place, line.to_string()), None);
        }
        assert_eq!(by_place.len(), 2000);
        for record in home.run("consume t --json").json() {
            let place = (record["partition"].as_i64().unwrap(), record["offset"].as_i64().unwrap());
            assert_eq!(record["value"], *by_place[&place]);
        }
    }

    #[test]
    fn options_set_key_headers_and_partition() {
        let home = Home::new();
        home.run("topic create t --partitions 3").done();
        let options = "produce t --key-separator : --header a=1=2 --header a= --header b=c --partition 2 --linger 0";
        home.feed("k:v\n:v\nk:\nnone\n", options).done();
        let records = home.run("consume t --json").json();
        let parts = |record: &Value| (record["key"].clone(), record["value"].clone());
        let expected =
            [(json!("k"), json!("v")), (json!(""), json!("v")), (json!("k"), json!("")), (Value::Null, json!("none"))];
        assert_eq!(records.iter().map(parts).collect::<Vec<_>>(), expected);
        for record in &records {
            assert_eq!(record["partition"], 2);
            assert_eq!(record["headers"], json!([["a", "1=2"], ["a", ""], ["b", "c"]]));
        }
    }

    #[test]
    fn compression_makes_the_log_smaller_and_changes_nothing_else() {
        let home = Home::new();
        let lines: Vec<String> = (0..2000).map(|number| format!("customer {} pays {number}", number % 7)).collect();
        let size = |codec: &str, topic: &str| {
            home.feed(lines.join("\n"), &format!("produce {topic} --compression {codec} --linger 60000")).done();
            assert_eq!(home.run(&format!("consume {topic}")).lines(), lines, "{codec}");
            fs::metadata(home.segment(&format!("{topic}-0"))).unwrap().len()
        };
        let plain = size("none", "none");
        for (codec, topic) in
            [("gzip", "g"), ("gzip:9", "g9"), ("snappy", "s"), ("lz4", "l"), ("zstd:-5", "z"), ("zstd", "z3")]
        {
            let packed = size(codec, topic);
            assert!(packed < plain * 2 / 3, "{codec}: {packed} of {plain}");
        }
        for (wrong, said) in [
            ("zstd:99", "compression.zstd.level = 99: it has to be from"),
            ("zstd:x", "compression.zstd.level = x: expected"),
            ("snappy:1", "snappy has no levels"),
            ("brotli", "it is none of: none, gzip"),
        ] {
            let refused = home.run(&format!("produce t --compression {wrong}")).refused();
            assert!(refused.contains(said), "{refused}");
        }
    }

    #[test]
    fn settings_have_kafkas_names_and_options_win() {
        let home = Home::new();
        let small = "produce t --config batch.size=0 --config linger.ms=0 --config bootstrap.servers=nobody:9092";
        home.feed(seq(1, 100), small).done();
        home.feed(seq(1, 100), "produce u --config linger.ms=60000").done();
        let len = |partition: &str| fs::metadata(home.segment(partition)).unwrap().len();
        assert!(len("t-0") > 3 * len("u-0"), "a record a batch: {} and {}", len("t-0"), len("u-0"));
        let answers = home.feed("x\n", "produce t --json --config acks=0 --acks all").json();
        assert_eq!(answers[0]["offset"], 100);
        let answers = home.feed("x\n", "produce t --json --config acks=0").json();
        assert_eq!(answers[0]["offset"], Value::Null);
        for (arguments, said) in [
            ("produce t --config linger=5", "linger = 5: there is no such setting; the nearest is linger.ms"),
            ("produce t --config transactional.id=x", "transactional.id = x: "),
            ("consume t --config max.poll.record=5", "the nearest is max.poll.records"),
            ("consume t --config group.id=g", "--config group.id: --group says it"),
            ("consume t --config max.poll.records=0", "max.poll.records = 0: it has to be at least 1"),
        ] {
            let refused = home.run(arguments).refused();
            assert!(refused.contains(said), "{refused}");
        }
        assert_eq!(home.run("consume u --config max.poll.records=1 --max-records 2").lines(), ["1", "2"]);
    }

    #[test]
    fn json_goes_in_as_it_came_out() {
        let home = Home::new();
        let engine = Engine::open(home.data()).unwrap();
        let producer = Producer::<[u8], [u8]>::new(&engine).unwrap();
        let at = |offset| ProducerRecord::to("t").timestamp(Timestamp(T + offset));
        producer.send(at(0)).unwrap();
        producer.send(at(1).key(b"").value("\u{e4}\"\n".as_bytes()).header("h", b"v").header("h", b"")).unwrap();
        producer.send(at(2).key(b"\xff\xfe").value(b"\xc3").header("h", b"\x80").null_header("n")).unwrap();
        producer.close().unwrap();
        engine.close().unwrap();

        let before = home.run("consume t --json").out;
        let other = Home::new();
        other.feed(&before, "produce t --input json").done();
        assert_eq!(other.run("consume t --json").out, before, "all of it, but for nothing");

        other.run("topic create many --partitions 3").done();
        let records = r#"{"partition":2,"key":"a","value":"1"}
{"partition":1,"value":"2"}
{"partition":7,"value":"3"}
"#;
        let ran = other.feed(records, "produce many --input json --keep-partition --header from=t");
        assert_eq!((ran.status, ran.err.lines().count()), (2, 1), "{}", ran.err);
        assert!(ran.err.starts_with("line 3: there is no topic or partition many-7"), "{}", ran.err);
        for (partition, value) in [(1, "2"), (2, "1")] {
            let arguments = format!("consume many --json --partition {partition}");
            let records = other.run(&arguments).json();
            assert_eq!((records.len(), &records[0]["value"]), (1, &json!(value)));
            assert_eq!(records[0]["headers"], json!([["from", "t"]]));
            assert!(records[0]["timestamp"].as_i64().unwrap() > T, "now, as none was given");
        }
    }

    #[test]
    fn json_that_is_no_record_is_named_and_the_others_are_stored() {
        let home = Home::new();
        let lines = "{\"value\":\"1\"}\n\n{\"vlaue\":\"2\"}\n{\"value\":{\"base64\":\"?\"}}\n{\"value\":\"5\"}";
        let ran = home.feed(lines, "produce t --input json");
        assert_eq!(ran.status, 2);
        let said: Vec<_> = ran.err.lines().collect();
        assert_eq!(said.len(), 3, "{said:?}");
        assert!(said[0].starts_with("line 2: it is no JSON object"), "{said:?}");
        assert!(said[1].starts_with("line 3: a record has no field \"vlaue\""), "{said:?}");
        assert!(said[2].starts_with("line 4: value: "), "{said:?}");
        assert_eq!(consumed(&home), ["1", "5"]);
        let ran = home.feed("[]\n{}\n", "produce t --input json --json");
        let answers: Vec<Value> =
            String::from_utf8(ran.out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((ran.status, answers.len(), &answers[1]["offset"]), (2, 2, &json!(2)));
        assert!(answers[0]["error"].as_str().unwrap().contains("JSON object"));
        home.run("produce t --input json --key-separator :").refused();
        home.run("produce t --keep-partition").refused();
    }

    #[test]
    fn a_key_separator_may_be_a_tab_and_is_not_empty() {
        let home = Home::new();
        home.feed_to("k\tv\n", &["produce", "t", "--key-separator", r"\t"]).done();
        assert_eq!(home.run("consume t --format {key}={value}").lines(), ["k=v"]);
        assert!(home.run_with(&["produce", "t", "--key-separator", ""]).refused().contains("it is empty"));
    }

    #[test]
    fn a_line_that_is_refused_is_named_and_ends_in_status_2() {
        let home = Home::new();
        home.run("topic create t --config max.message.bytes=100").done();
        let ran = home.feed(format!("a\n{}\nb\n", "x".repeat(1000)), "produce t");
        assert_eq!((ran.status, ran.out.len()), (2, 0));
        assert!(ran.err.starts_with("line 2: t: "), "{}", ran.err);
        assert!(ran.err.contains("max.message.bytes = 100"), "{}", ran.err);
        assert_eq!(ran.err.lines().count(), 1);
        assert_eq!(consumed(&home), ["a", "b"]);
    }
}

mod consume {
    use super::*;

    #[test]
    fn json_has_null_text_and_base64() {
        let home = Home::new();
        let engine = Engine::open(home.data()).unwrap();
        let producer = Producer::<[u8], [u8]>::new(&engine).unwrap();
        let at = |offset| ProducerRecord::to("t").timestamp(Timestamp(T + offset));
        producer.send(at(0)).unwrap();
        producer.send(at(1).key(b"").value("\u{e4}\"\n".as_bytes()).header("h", b"v")).unwrap();
        let headers = at(2).key(b"\xff\xfe").value(b"\xc3").header("h", b"\x80").null_header("n");
        producer.send(headers).unwrap();
        producer.close().unwrap();
        engine.close().unwrap();

        let head = |offset: i64| format!(r#"{{"topic":"t","partition":0,"offset":{offset},"timestamp":{}"#, T + offset);
        let expected = [
            format!(r#"{},"key":null,"value":null,"headers":[]}}"#, head(0)),
            format!(r#"{},"key":"","value":"ä\"\n","headers":[["h","v"]]}}"#, head(1)),
            head(2)
                + r#","key":{"base64":"//4="},"value":{"base64":"ww=="},"headers":[["h",{"base64":"gA=="}],["n",null]]}"#,
        ];
        assert_eq!(home.run("consume t --json").lines(), expected);
        let names = ["consume", "t", "--format", "{topic} {partition} {offset} {timestamp} {key} {value} {headers}|"];
        let text = home.run_with(&names).out;
        assert!(text.starts_with(format!("t 0 0 {T} null null |\nt 0 1 {}  ", T + 1).as_bytes()));
        assert!(text.ends_with(b"\xff\xfe \xc3 h=\x80,n=null|\n"));
    }

    #[test]
    fn a_format_has_tabs_newlines_and_no_other_names() {
        let home = Home::new();
        home.feed("k:v\n", "produce t --key-separator :").done();
        let format = |format: &str| home.run_with(&["consume", "t", "--format", format]);
        assert_eq!(format(r"{key}\t{value}\n").done(), "k\tv\n\n");
        assert_eq!(format("").done(), "\n");
        assert_eq!(format("}").done(), "}\n");
        for (bad, said) in [("{size}", "there is no {size}, but {topic}"), ("{value", "a '{' has no '}'")] {
            assert!(format(bad).refused().contains(said));
        }
    }

    #[test]
    fn begins_where_it_is_told() {
        let home = Home::new();
        produce_from_t(&home, 5);
        assert_eq!(home.run("consume t").lines().len(), 5, "without --from or group: everything");
        for (from, first) in [
            ("beginning", Some("0")),
            ("0", Some("0")),
            ("3", Some("3")),
            ("5", None),
            ("99", None),
            ("end", None),
            ("@1700000000002", Some("2")),
            ("@2023-11-14T22:13:20.003Z", Some("3")),
            ("@2023-11-15T00:13:20.0031+02:00", Some("4")),
            ("@0", Some("0")),
            ("@1700000000005", None),
        ] {
            assert_eq!(first_offset(&home, from).as_deref(), first, "{from}");
        }
        for bad in ["-1", "1.5", "", "@", "@noon", "@-1", "start"] {
            let said = home.run_with(&["consume", "t", "--from", bad]).refused();
            assert!(said.contains(&format!("'{bad}'")) || bad.is_empty(), "{said}");
        }
    }

    #[test]
    fn follows_behind_the_end_without_going_back() {
        let home = Home::new();
        home.feed(seq(1, 5), "produce t").done();
        let mut running = home.start("consume t --from 3 --follow");
        assert_eq!((running.line(), running.line()), ("4\n".to_owned(), "5\n".to_owned()));
        assert!(running.child.try_wait().unwrap().is_none(), "it waits for more");
        running.kill();
        // An offset that is yet to come in one partition: the consumer's reset would begin anew there.
        home.run("topic create u --partitions 2").done();
        home.feed(seq(1, 5), "produce u --partition 0").done();
        home.feed(seq(1, 12), "produce u --partition 1").done();
        assert_eq!(home.run("consume u --from 10 --follow --max-records 2").lines(), ["11", "12"]);
    }

    #[test]
    fn takes_as_many_as_it_is_told_of_all_topics_and_partitions() {
        let home = Home::new();
        home.run("topic create t --partitions 4").done();
        for partition in 0..4 {
            home.feed(seq(1, 5), &format!("produce t --partition {partition}")).done();
        }
        home.feed(seq(1, 5), "produce u").done();
        assert_eq!(home.run("consume t u").lines().len(), 25);
        assert_eq!(home.run("consume t u --max-records 7").lines().len(), 7);
        assert_eq!(home.run("consume t u --max-records 0").lines().len(), 0);
        let of_one = home.run_with(&["consume", "t", "--partition", "2", "--format", "{partition}"]).lines();
        assert_eq!(of_one, ["2"; 5]);
    }

    #[test]
    fn goes_on_with_its_group() {
        let home = Home::new();
        home.feed(seq(1, 10), "produce t").done();
        assert_eq!(home.run("consume t --group g --max-records 4").lines(), ["1", "2", "3", "4"]);
        assert_eq!(home.run("consume t --group g --from 8 --max-records 1").lines(), ["9"], "--from wins");
        assert_eq!(home.run("consume t --group g").lines(), ["10"], "and is remembered");
        assert_eq!(home.run("consume t --group g").done(), "");
        assert_eq!(home.run("consume t --group h").lines().len(), 10, "every group for itself");
        assert_eq!(home.run("group list").done(), "g\nh\n");
        assert_eq!(home.run("consume t --from 8").lines(), ["9", "10"], "no group, nothing remembered");
    }

    #[test]
    fn what_does_not_exist_is_an_error() {
        let home = Home::new();
        home.feed("1\n", "produce t").done();
        for (arguments, what) in [
            ("consume nope", "there is no topic or partition nope"),
            ("consume t nope", "nope"),
            ("consume t --group g nope", "nope"),
            ("consume t --partition 1", "t has no partition 1, but only partition 0"),
            ("topic describe nope", "nope"),
            ("topic delete nope", "nope"),
            ("group describe nope", "there is no group nope"),
            ("group describe ", "\"\" cannot be a group: it has no name"),
        ] {
            let said = home.run(arguments).refused();
            assert!(said.starts_with("ottla: ") && said.contains(what), "{said}");
        }
        assert_eq!(home.run("topic list").done(), "t\n", "reading creates nothing");
        assert_eq!(home.run("group list").done(), "");
    }

    /// How many bytes the first batch of a segment has: its length field does not count itself and what is before it.
    fn first_batch_bytes(segment: &Path) -> usize {
        let bytes = fs::read(segment).unwrap();
        12 + usize::try_from(i32::from_be_bytes(bytes[8..12].try_into().unwrap())).unwrap()
    }

    /// Three batches of three records, and a bit turned in the second.
    fn damaged() -> Home {
        let home = Home::new();
        for batch in 0..3 {
            // However slow the machine is, no linger ends before the last line is there.
            home.feed(seq(3 * batch + 1, 3 * batch + 3), "produce t --linger 60000").done();
        }
        let file = home.segment("t-0");
        let bytes = usize::try_from(fs::metadata(&file).unwrap().len()).unwrap();
        damage(&file, bytes / 2);
        home
    }

    #[test]
    fn stops_at_damage_by_default_and_names_it() {
        for option in ["", " --on-corrupt stop"] {
            let home = damaged();
            let ran = home.run(&format!("consume t --group g{option}"));
            assert_eq!((ran.status, ran.out.as_slice()), (2, b"1\n2\n3\n".as_slice()));
            let file = home.segment("t-0");
            let place = format!("{} at position {}", file.display(), first_batch_bytes(&file));
            let said: Vec<_> = ran.err.lines().collect();
            assert_eq!(said.len(), 2, "{said:?}");
            assert_eq!(said[0], format!("t-0: offsets 3 to 5 are damaged, {place}"), "by opening");
            assert!(said[1].starts_with(&format!("ottla: t-0: offsets 3 to 5 are unreadable, {place}: ")), "{said:?}");
            let group = home.run("group describe g --json").json();
            assert_eq!(group[0]["committed"], 3, "what was printed is remembered");
        }
    }

    #[test]
    fn skips_damage_if_told_and_says_so() {
        let home = damaged();
        let ran = home.run("consume t --group g --on-corrupt skip");
        assert_eq!((ran.status, ran.out.as_slice()), (1, b"1\n2\n3\n7\n8\n9\n".as_slice()));
        let said: Vec<_> = ran.err.lines().collect();
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].starts_with("t-0: offsets 3 to 5 are damaged, "), "by opening: {said:?}");
        assert!(said[1].starts_with("t-0: offsets 3 to 5 are unreadable, "), "{said:?}");
        let behind = home.run("consume t --group g");
        assert_eq!((behind.status, behind.out.as_slice()), (0, b"".as_slice()), "the group is behind it");
        let behind = home.run("consume t --from 6");
        assert_eq!((behind.status, behind.out.as_slice()), (0, b"7\n8\n9\n".as_slice()));
    }
}

mod terminal {
    use super::*;

    #[test]
    fn every_command_explains_itself_and_every_argument() {
        for command in COMMANDS {
            for flag in ["--help", "-h"] {
                let arguments = command.split(' ').filter(|word| !word.is_empty()).chain([flag]);
                let text = run(bare().args(arguments), b"").done();
                assert!(text.contains("Usage: ottla"), "{text}");
                // An argument or option with nothing behind it, on its line or the next.
                let lines: Vec<_> = text.lines().chain([""]).collect();
                for pair in lines.windows(2) {
                    let name = pair[0].trim();
                    let is_alone = name.ends_with('>') || name.ends_with(']') || name.ends_with("...");
                    let is_short = name.contains("  ") || name.starts_with("[default: ");
                    let is_item = pair[0].starts_with("  ") && name.starts_with(['<', '[', '-']) && is_alone;
                    assert!(
                        !(is_item && !is_short && pair[1].trim().is_empty()),
                        "{command}: {name} is not explained:\n{text}"
                    );
                }
                assert!(text.lines().all(|line| line.len() <= 100), "{text}");
            }
        }
        for flag in ["--version", "-V"] {
            let version = run(bare().arg(flag), b"").done();
            assert_eq!(version, format!("ottla {}\n", env!("CARGO_PKG_VERSION")));
        }
    }

    #[test]
    fn every_command_that_does_something_has_examples() {
        for command in COMMANDS.iter().filter(|command| !matches!(**command, "" | "topic" | "group")) {
            let text = run(bare().args(command.split(' ')).arg("--help"), b"").done();
            assert!(text.contains("Examples:\n  "), "{command}: {text}");
        }
    }

    #[test]
    fn settings_are_listed_with_what_differs_from_kafka() {
        let listed = run(bare().args(["config", "--json"]), b"").json();
        let find = |kind: &str, name: &str| {
            listed.iter().find(|each| each["kind"] == kind && each["name"] == name).unwrap_or_else(|| panic!("{name}"))
        };
        let fields: Vec<_> = find("producer", "acks").as_object().unwrap().keys().collect();
        assert_eq!(fields, ["kind", "name", "type", "default", "kafka_default", "difference", "doc"]);
        assert_eq!(find("topic", "segment.bytes")["kafka_default"], "1073741824");
        let reset = find("consumer", "auto.offset.reset");
        assert_eq!((&reset["default"], &reset["kafka_default"]), (&json!("earliest"), &json!("latest")));
        assert!(reset["difference"].as_str().unwrap().len() > 20);
        assert_eq!(find("consumer", "max.decompressed.batch.bytes")["kafka_default"], Value::Null);
        assert_eq!(find("producer", "ssl.*")["without_effect"], "there is no network");
        assert_eq!(find("engine", "num.partitions")["type"], "number");
        for (kind, settings) in [
            ("engine", ottla::EngineConfig::settings()),
            ("topic", ottla::TopicConfig::settings()),
            ("producer", ottla::ProducerConfig::settings()),
            ("consumer", ottla::ConsumerConfig::settings()),
        ] {
            let of_kind = run(bare().args(["config", kind, "--json"]), b"").json();
            assert!(of_kind.iter().all(|each| each["kind"] == kind));
            assert_eq!(of_kind.iter().filter(|each| each.get("doc").is_some()).count(), settings.len());
            let text = run(bare().args(["config", kind]), b"").done();
            assert!(text.lines().all(|line| line.len() <= 100 && line == line.trim_end()), "{text}");
            for setting in settings {
                assert!(text.contains(&format!("\n  {}\n", setting.name)), "{}", setting.name);
            }
        }
        let text = run(bare().arg("config"), b"").done();
        let reset = text.split("\n\n").find(|part| part.starts_with("  auto.offset.reset\n")).unwrap();
        assert!(
            reset.contains("default: earliest") && reset.contains("Kafka's default: latest; not here, "),
            "{reset}"
        );
        assert!(run(bare().args(["config", "broker"]), b"").refused().contains("'broker'"));
    }

    #[test]
    fn completions_know_the_commands() {
        for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
            let script = run(bare().args(["completions", shell]), b"").done();
            assert!(script.contains("keep-partition") && script.contains("completions"), "{shell}");
        }
        run(bare().args(["completions", "sh"]), b"").refused();
    }

    #[test]
    fn verbose_says_what_the_library_logs() {
        let home = Home::new();
        let ran = home.run("-v produce t --config bootstrap.servers=nobody:9092");
        assert_eq!((ran.status, ran.out.len()), (0, 0));
        let said = "WARN ottla::producer::config: bootstrap.servers = nobody:9092 has no effect: there is no network";
        assert!(ran.err.lines().any(|line| line == said), "{}", ran.err);
        assert!(ran.err.lines().any(|line| line.starts_with("INFO ottla::engine: created topic t, ")), "{}", ran.err);
        fs::remove_file(home.partition("t-0").join("leader-epoch-checkpoint")).unwrap();
        let ran = home.run("topic create u -v");
        assert_eq!(ran.err.lines().filter(|line| line.contains("leader-epoch-checkpoint: rebuilt")).count(), 1);
        assert!(!home.run("topic list").done().contains("WARN"));
    }

    #[test]
    fn stats_are_kafkas_metrics_on_standard_error() {
        let home = Home::new();
        let ran = home.feed(seq(1, 100), "produce t --stats --config client.id=till");
        assert_eq!((ran.status, ran.out.len()), (0, 0));
        let total = "producer-metrics record-send-total client-id=till 100";
        assert_eq!(ran.err.lines().filter(|line| *line == total).count(), 1, "{}", ran.err);
        assert!(
            ran.err
                .lines()
                .any(|line| line.starts_with("producer-topic-metrics record-send-rate client-id=till topic=t "))
        );
        assert!(!ran.err.contains("NaN"), "{}", ran.err);
        let ran = home.run("consume t --stats --config client.id=till");
        assert_eq!((ran.status, ran.out.iter().filter(|byte| **byte == b'\n').count()), (0, 100));
        let total = "consumer-fetch-manager-metrics records-consumed-total client-id=till 100";
        assert!(ran.err.lines().any(|line| line == total), "{}", ran.err);
    }

    #[test]
    fn what_makes_no_sense_is_status_2() {
        let home = Home::new();
        assert!(run(&mut bare(), b"").refused().contains("Usage: ottla"));
        assert!(run(bare().args(["topic", "list"]), b"").refused().contains("-d DIR"));
        for arguments in [
            "flush",
            "topic",
            "topic rename a b",
            "produce",
            "consume",
            "consume t --since 5",
            "consume t --max-records x",
            "consume t --on-corrupt maybe",
            "group describe",
            "topic create t --partitions 0",
            "topic create t --partitions 1000000",
            "topic create t --config segment.bytes=abc",
            "topic create t --config segment.size=1",
            "topic create t --config segment.bytes",
            "topic create ..",
        ] {
            home.run(arguments).refused();
        }
    }

    #[test]
    fn a_directory_that_is_none_is_named() {
        let home = Home::new();
        for arguments in ["topic list", "consume t", "group list"] {
            let said = home.run(arguments).refused();
            assert!(said.starts_with(&format!("ottla: there is no directory {}", home.data().display())), "{said}");
            assert!(!home.data().exists());
        }
        fs::write(home.beside("file"), "x").unwrap();
        for arguments in [["topic", "list"], ["produce", "t"]] {
            let said = run(ottla(&home.beside("file")).args(arguments), b"").refused();
            assert!(said.contains("file is no directory"), "{said}");
        }
        // Nobody can make a directory there, not even root.
        let said = run(ottla("/proc/ottla".as_ref()).args(["produce", "t"]), b"").refused();
        assert!(said.contains("/proc/ottla"), "{said}");
    }

    #[test]
    fn a_directory_of_other_files_is_left_alone_by_commands_that_only_look() {
        let home = Home::new();
        fs::create_dir(home.data()).unwrap();
        fs::write(home.data().join("letter.txt"), "x").unwrap();
        assert!(home.run("topic list").refused().contains("not one of ottla's"));
        assert_eq!(names(&home.data()), ["letter.txt"]);
        home.feed("1\n", "produce t").done();
        assert_eq!(consumed(&home), ["1"]);
    }

    // faults: P01
    #[test]
    fn a_second_process_is_refused_and_told_who_is_there() {
        let home = Home::new();
        let mut running = home.start("produce t --json");
        running.send("1\n");
        running.line();
        let owner = format!("ottla: {} is in use by process {}", home.data().display(), running.child.id());
        for arguments in ["topic create u", "topic delete t", "produce u"] {
            assert_eq!(home.run(arguments).refused(), format!("{owner}\n"));
        }
        let said = home.run("consume t --group g").refused();
        const BESIDE: &str = "`consume` without --group, `group describe` and `replay` work beside it";
        assert_eq!(said, format!("{owner}; {BESIDE}\n"));
        for arguments in ["group reset g --topic t --to-latest --execute", "group delete g", "group members g"] {
            let said = home.run(arguments).refused();
            assert!(said.starts_with(&format!("{owner}: ")) && said.ends_with(&format!("; {BESIDE}\n")), "{said}");
        }
        let plan = home.run("group reset g --topic t --to-latest --json").json();
        assert_eq!(plan, [json!({ "topic": "t", "partition": 0, "before": null, "after": 1 })], "a dry run reads");
        running.end().done();
        assert_eq!(consumed(&home), ["1"]);
    }

    #[test]
    fn what_opening_found_goes_to_standard_error_once() {
        let home = Home::new();
        home.feed(seq(1, 3), "produce t").done();
        let mut running = home.start("produce t --json");
        running.send("4\n");
        running.line();
        running.kill();
        // A write that the crash caught in the middle.
        let file = home.segment("t-0");
        let mut bytes = fs::read(&file).unwrap();
        bytes.extend_from_slice(b"torn");
        fs::write(&file, bytes).unwrap();

        assert_eq!(home.run("consume t").lines(), ["1", "2", "3", "4"], "who only reads does not even see it");
        let ran = home.run("consume t --group g");
        assert_eq!((ran.status, ran.out.as_slice()), (0, b"1\n2\n3\n4\n".as_slice()));
        assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
        assert!(ran.err.starts_with("t-0: cut 4 bytes behind offset 4 off "), "{}", ran.err);
        assert_eq!(home.run("consume t --group h").lines().len(), 4, "and is silent from then on");
    }

    #[test]
    fn a_crash_that_tore_nothing_is_nothing_to_talk_about() {
        let home = Home::new();
        let mut running = home.start("produce t --json");
        running.send("1\n");
        running.line();
        running.kill();
        assert_eq!(consumed(&home), ["1"]);
    }

    #[test]
    fn topics_are_created_listed_described_and_deleted() {
        let home = Home::new();
        home.run("topic create orders --partitions 2 --config segment.bytes=16384 --config segment.ms=1000").done();
        let created = home.run("topic create events --json").json().remove(0);
        let fields: Vec<_> = created.as_object().unwrap().keys().cloned().collect();
        assert_eq!(fields, ["topic", "id", "partitions"]);
        assert_eq!((&created["topic"], &created["partitions"]), (&json!("events"), &json!(1)));
        assert!(home.run("topic create orders").refused().contains("there is a topic orders already"));
        assert_eq!(home.run("topic list").done(), "events\norders\n");
        assert_eq!(home.run("topic list --json").json()[0], created);

        home.feed(seq(1, 3), "produce orders --partition 1").done();
        let text = home.run("topic describe orders").lines();
        assert!(text[0].starts_with("topic orders, id "), "{text:?}");
        assert_eq!(text[1..3], ["segment.bytes=16384", "segment.ms=1000"]);
        let words: Vec<_> = text[5].split_whitespace().collect();
        let bytes = fs::metadata(home.segment("orders-1")).unwrap().len();
        assert_eq!(words, ["orders", "1", "0", "0", "3", "3", &bytes.to_string(), "1"]);
        assert_eq!(text.len(), 6);
        let rows = home.run("topic describe orders --json").lines();
        let offsets = r#""leader_epoch":0,"log_start":0,"high_watermark":3,"durable_end":3"#;
        assert_eq!(rows[1], format!(r#"{{"topic":"orders","partition":1,{offsets},"bytes":{bytes},"segments":1}}"#));

        home.run("consume orders --group g").lines();
        home.run("topic delete orders").done();
        assert_eq!(home.run("topic list").done(), "events\n");
        assert!(home.run("consume orders").refused().contains("orders"));
        home.run("topic create orders").done();
        assert_eq!(home.run("consume orders --group g").done(), "");
        assert_eq!(home.run("group describe g --json").done(), "", "a new topic inherits no offsets");
    }

    #[test]
    fn groups_are_described_with_their_lag() {
        let home = Home::new();
        home.feed(seq(1, 10), "produce t").done();
        home.run("consume t --group g --max-records 4").lines();
        let rows = home.run("group describe g").lines();
        let words: Vec<Vec<_>> = rows.iter().map(|row| row.split_whitespace().collect()).collect();
        let heading = ["TOPIC", "PARTITION", "COMMITTED", "LOG", "END", "LAG", "LAG", "BYTES", "BEHIND"].to_vec();
        let bytes = fs::metadata(home.segment("t-0")).unwrap().len(); // one batch, which the group is in
        assert_eq!(words[0], heading);
        assert_eq!(words[1][..7], ["t", "0", "4", "10", "6", &bytes.to_string(), "B"]);
        let row = home.run("group describe g --json").json().remove(0);
        let fields: Vec<_> = row.as_object().unwrap().keys().cloned().collect();
        assert_eq!(fields, ["topic", "partition", "committed", "log_end", "lag", "lag_bytes", "lag_ms"]);
        assert_eq!((&row["committed"], &row["log_end"], &row["lag"]), (&json!(4), &json!(10), &json!(6)));
        assert_eq!(row["lag_bytes"], json!(bytes));
        assert!(row["lag_ms"].as_u64().is_some_and(|age| age < 3_600_000), "{row}");
        assert_eq!(home.run("group list --json").lines(), [r#"{"group":"g"}"#]);

        home.run("topic create u --partitions 3").done();
        home.feed(seq(1, 4), "produce u --partition 1").done();
        home.run("consume u --group g --partition 1").lines();
        let rows = home.run("group describe g").lines();
        let words: Vec<Vec<_>> = rows.iter().skip(2).map(|row| row.split_whitespace().collect()).collect();
        let none = |number| vec!["u", number, "-", "0", "-", "-", "-"];
        assert_eq!(words, [none("0"), vec!["u", "1", "4", "4", "0", "0", "B", "0", "ms"], none("2")]);
        let expected =
            r#"{"topic":"u","partition":0,"committed":null,"log_end":0,"lag":null,"lag_bytes":null,"lag_ms":null}"#;
        assert_eq!(home.run("group describe g --json").lines()[1], expected);
    }

    #[test]
    fn groups_are_reset_only_when_told_to() {
        let home = Home::new();
        home.run("topic create t --partitions 3").done();
        for partition in 0..3 {
            home.feed(seq(1, 10), &format!("produce t --partition {partition}")).done();
        }
        home.run("consume t --group g --partition 1 --max-records 4").lines();
        let reset = |arguments: &str| {
            let ran = home.run(&format!("group reset g {arguments} --json"));
            ran.json()
                .iter()
                .map(|row| (row["partition"].as_i64(), row["before"].as_i64(), row["after"].as_i64()))
                .collect::<Vec<_>>()
        };
        let row = |partition, before, after| (Some(partition), before, Some(after));
        assert_eq!(reset("--all-topics --shift-by -3"), [row(1, Some(4), 1)]);
        assert_eq!(reset("--all-topics --shift-by -3"), [row(1, Some(4), 1)], "nothing has happened");
        assert_eq!(reset("--all-topics --shift-by -3 --execute"), [row(1, Some(4), 1)]);
        assert_eq!(reset("--topic t:0,2 --to-offset 7 --execute"), [row(0, None, 7), row(2, None, 7)]);
        assert_eq!(reset("--topic t:2 --topic t:0 --to-earliest"), [row(0, Some(7), 0), row(2, Some(7), 0)]);
        let all = |after: [i64; 3]| {
            (0..)
                .zip([7, 1, 7])
                .zip(after)
                .map(|((number, before), after)| row(number, Some(before), after))
                .collect::<Vec<_>>()
        };
        assert_eq!(reset("--topic t --to-current"), all([7, 1, 7]));
        assert_eq!(reset("--topic t --to-latest"), all([10; 3]));
        assert_eq!(reset("--topic t --by-duration P1D"), all([0; 3]));
        assert_eq!(reset("--topic t --by-duration PT0S"), all([10; 3]));
        assert_eq!(reset("--all-topics --to-datetime 2023-11-14T22:13:20"), all([0; 3]));
        assert_eq!(home.run("consume t --group g --partition 0").lines(), ["8", "9", "10"]);

        let ran = home.run("group reset g --topic t:1 --to-latest");
        assert_eq!((ran.status, ran.err.as_str()), (0, "nothing was changed: --execute does it\n"));
        let lines: Vec<Vec<&str>> =
            std::str::from_utf8(&ran.out).unwrap().lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines, [["TOPIC", "PARTITION", "BEFORE", "AFTER"], ["t", "1", "1", "10"]]);
        for (arguments, said) in [
            ("g --topic t", "--to-earliest"),
            ("g --to-latest", "--all-topics"),
            ("g --topic t --to-latest --to-earliest", "cannot be used with"),
            ("g --topic t --all-topics --to-latest", "cannot be used with"),
            ("g --topic t:3 --to-latest", "t has no partition 3, but partitions 0 to 2"),
            ("g --topic u --to-latest", "there is no topic or partition u"),
            ("h --all-topics --to-latest", "there is no group h"),
            ("h --topic t --shift-by 1 --execute", "nothing that could be shifted"),
            ("g --topic t --to-datetime yesterday", "a time is such as"),
            ("g --topic t --by-duration soon", "no duration"),
            ("g --topic t --to-offset -1", "-1"),
        ] {
            let refused = home.run(&format!("group reset {arguments}")).refused();
            assert!(refused.contains(said), "{arguments}: {refused}");
        }
        assert_eq!(home.run("group list").done(), "g\n");
    }

    #[test]
    fn groups_are_deleted_and_have_no_members_where_nobody_is() {
        let home = Home::new();
        home.feed(seq(1, 3), "produce t").done();
        for group in ["a", "b", "c"] {
            home.run(&format!("consume t --group {group}")).lines();
        }
        let said = home.run("group members a").done();
        assert_eq!(said, "group a has no members: nobody has the directory open\n");
        assert_eq!(home.run("group members a --json").json(), [json!({ "group": "a", "members": [] })]);
        assert!(home.run("group members nope").refused().contains("there is no group nope"));
        assert_eq!(home.run("group delete a").done(), "");
        let ran = home.run("group delete a b");
        assert_eq!((ran.status, ran.err.as_str()), (2, "ottla: there is no group a\n"), "the others go all the same");
        assert_eq!(home.run("group list").done(), "c\n");
        assert_eq!(names(&home.data().join("groups")), ["c.offsets"]);
        assert_eq!(home.run("group delete c --json").json(), [json!({ "group": "c" })]);
        assert_eq!(home.run("consume t --group c").lines(), ["1", "2", "3"], "a new group begins at the beginning");
    }

    #[test]
    fn the_demo_loses_nothing_of_a_file_or_of_what_it_makes() {
        let home = Home::new();
        let file = home.beside("lines");
        fs::write(&file, "one\n\ntwo \u{e4}\nthree\nfour\nfive\nsix\nseven\neight\nnine\nlast without newline")
            .unwrap();
        let facts = home.run_with(&["demo", file.to_str().unwrap(), "--json"]).json();
        let last = facts.last().unwrap();
        assert_eq!((&last["lines"], &last["records"]), (&json!(11), &json!(11)), "{last}");
        assert_eq!((&last["lost"], &last["wrong"]), (&json!(0), &json!(0)), "{last}");
        assert_eq!(home.run("topic list").done(), "orders\n", "a directory that was given stays");
        assert!(home.run("demo").refused().contains("in use"));

        let text = run(bare().arg("demo"), b"").lines();
        assert!(text.iter().any(|line| line.starts_with("20000 lines in, 20000 records out: 0 lost, 0 wrong")));
        assert_eq!(text.last().unwrap(), "Every line went through at least once, and none was lost or changed.");
        fs::write(&file, "").unwrap();
        assert!(run(bare().arg("demo").arg(&file), b"").refused().contains("no lines"));
    }
}
