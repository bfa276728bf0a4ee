//! Readers and owners in processes of their own: the command line on either side.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;

use super::*;
use crate::command::{Home, Running, damage, ottla, run, seq};

/// A process that writes what it is given, a record a line, and says when it has.
struct Writer {
    running: Running,
}

impl Writer {
    fn start(home: &Home, options: &str) -> Self {
        Self { running: home.start(&format!("produce t --json{options}")) }
    }

    fn send(&mut self, values: impl IntoIterator<Item = u32>) {
        for value in values {
            self.running.send(&format!("{value}\n"));
            assert!(self.running.line().contains("\"offset\":"), "it was acknowledged");
        }
    }
}

fn reader(home: &Home) -> PartitionReader {
    Directory::open(home.data()).unwrap().reader(&t()).unwrap()
}

#[test] // R01
fn reader_follows_owners_that_are_killed_one_after_the_other() {
    let home = Home::new();
    home.run("topic create t --config segment.bytes=2000").done();
    let mut reader = reader(&home);
    let mut next = 0;
    for acks in ["1", "all", "1"] {
        let mut writer = Writer::start(&home, &format!(" --acks {acks}"));
        writer.send(next..next + 40);
        if acks == "all" {
            assert_eq!(rest(&mut reader), counted(next..next + 40), "while it is at work");
            writer.running.kill();
        } else {
            writer.running.kill();
            assert_eq!(
                rest(&mut reader),
                counted(next..next + 40),
                "after it was killed, before anybody mends anything"
            );
        }
        next += 40;
    }
    home.recover();
    assert_eq!(rest(&mut reader), []);
    Writer::start(&home, "").send([next]);
    assert_eq!(rest(&mut reader), counted(next..next + 1));
}

#[test] // R04
fn log_that_was_cut_is_reported_once() {
    let home = Home::new();
    let mut writer = Writer::start(&home, " --acks 1");
    writer.send(0..10);
    let (mut reader, mut slow) = (reader(&home), reader(&home));
    assert_eq!(rest(&mut reader), counted(0..10));
    assert_eq!(slow.read(1).unwrap().iter().count(), 1);
    writer.running.kill();
    // What was never synced may be lost with the page cache.
    let file = home.segment("t-0");
    let (whole, places) = (fs::read(&file).unwrap(), batches(&home.data()));
    fs::write(&file, &whole[..places[6] + 5]).unwrap();
    assert!(reader.read(MIB).unwrap().is_empty(), "nobody has cut it yet");
    home.recover();
    let error = reader.read(MIB).unwrap_err();
    assert!(matches!(&error, Error::LogTruncated { requested: Offset(10), resumed_at: Offset(6), .. }), "{error}");
    assert_eq!(reader.position(), Offset(6));
    assert_eq!(rest(&mut reader), []);
    assert_eq!(rest(&mut slow), (1..6).map(|number| (number, u32::try_from(number).unwrap())).collect::<Vec<_>>());
    Writer::start(&home, "").send(100..103);
    let expected = [(6, 100), (7, 101), (8, 102)];
    assert_eq!((rest(&mut reader), rest(&mut slow)), (expected.to_vec(), expected.to_vec()));
}

#[test] // P01
fn commands_that_only_look_work_beside_a_writer() {
    let home = Home::new();
    home.feed(seq(0, 2), "produce t").done();
    home.run("consume t --group g --max-records 1").lines();
    let mut writer = Writer::start(&home, "");
    writer.send(3..5);
    assert_eq!(home.run("topic list").done(), "t\n");
    assert_eq!(home.run("topic describe t --json").json()[0]["high_watermark"], 5);
    assert_eq!(home.run("group list").done(), "g\n");
    assert_eq!(home.run("group describe g --json").json()[0]["lag"], 4);
    assert_eq!(home.run("consume t").lines(), ["0", "1", "2", "3", "4"]);
    assert_eq!(home.run("consume t --from 3 --max-records 1").lines(), ["3"]);
    assert_eq!(home.run("consume t --from end").done(), "");
    assert_eq!(home.run("consume t --config auto.offset.reset=latest").done(), "");
    assert!(home.run("consume t --config auto.offset.reset=none").refused().contains("auto.offset.reset is none"));
    let recent = "consume t --config auto.offset.reset=by_duration:P1D";
    assert_eq!(home.run(recent).lines().len(), 5);
    assert!(home.run("verify").done().starts_with("no findings; "));
    writer.send([5]);
    writer.running.end();
}

#[test]
fn follower_in_another_process_sees_each_record_as_it_comes_until_the_topic_is_gone() {
    let home = Home::new();
    let engine = Engine::open(home.data()).unwrap();
    Admin::new(&engine).create_topic(NewTopic::new("t").partitions(2).config("segment.bytes", "300")).unwrap();
    let mut follower = home.start("consume t --follow");
    for value in 0..60 {
        let producer = producer(&engine, Acks::One);
        let record = ProducerRecord::to("t").partition(value % 2);
        producer.send(record.value(value.to_string().as_str())).unwrap().wait().unwrap();
        assert_eq!(follower.line(), format!("{value}\n"));
    }
    Admin::new(&engine).delete_topic("t").unwrap();
    let ended = follower.end();
    assert_eq!(ended.status, 2);
    assert!(ended.err.contains("the topic was deleted"), "{}", ended.err);
}

#[test]
fn follower_says_that_the_log_was_cut_and_goes_on() {
    let home = Home::new();
    let mut writer = Writer::start(&home, " --acks 1");
    writer.send(0..4);
    let mut follower = home.start("consume t --follow --max-records 5");
    assert_eq!((0..4).map(|_| follower.line()).collect::<String>(), "0\n1\n2\n3\n");
    writer.running.kill();
    let file = home.segment("t-0");
    let (whole, places) = (fs::read(&file).unwrap(), batches(&home.data()));
    fs::write(&file, &whole[..places[2]]).unwrap();
    home.recover();
    Writer::start(&home, "").send([7]);
    assert_eq!(follower.line(), "7\n");
    let ended = follower.end();
    assert_eq!(ended.status, 1);
    assert_eq!(ended.err, "t-0: position 4 was cut off by a crash; the log goes on at 2\n");
}

#[test]
fn end_that_a_power_cut_tore_is_said_and_damage_is_passed_if_told() {
    let home = Home::new();
    home.feed(seq(0, 1), "produce t --linger 0").done();
    let mut writer = Writer::start(&home, " --acks 1");
    writer.send(2..5);
    writer.running.kill();
    let file = home.segment("t-0");
    damage(&file, batches(&home.data()).pop().unwrap() + 65);
    let ran = home.run("consume t");
    assert_eq!((ran.status, ran.out.as_slice()), (1, b"0\n1\n2\n3\n".as_slice()), "{}", ran.err);
    assert!(ran.err.contains("offsets 4 to 4 are unreadable") && ran.err.contains("until it is opened"), "{}", ran.err);
    damage(&file, 65);
    let ran = home.run("consume t");
    assert_eq!((ran.status, ran.out.len()), (2, 0));
    assert!(ran.err.starts_with("ottla: t-0: offsets 0 to "), "{}", ran.err);
    let ran = home.run("consume t --on-corrupt skip");
    assert_eq!(ran.status, 1);
    assert!(ran.out.ends_with(b"2\n3\n"), "{}", ran.err);
}

/// Takes the permission to write from everything below.
fn forbid_writing(directory: &Path) {
    for path in trace(directory).into_keys().chain([directory.to_owned()]) {
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        fs::set_permissions(
            &path,
            fs::Permissions::from_mode(mode & !0o222 | 0o444 | (mode & 0o100) >> 6 | (mode & 0o100) >> 3),
        )
        .unwrap();
    }
}

#[test] // P09
fn commands_that_only_look_need_no_permission_to_write() {
    let home = Home::new();
    home.feed(seq(0, 4), "produce t").done();
    home.run("consume t --group g --max-records 2").lines();
    let mut writer = Writer::start(&home, " --acks 1");
    writer.send([5]);
    writer.running.kill(); // the next owner would have something to mend
    fs::set_permissions(home.beside(""), fs::Permissions::from_mode(0o755)).unwrap();
    forbid_writing(&home.data());
    let before = trace(&home.data());
    // Root may write anyway: it becomes nobody, if nobody may run the program.
    let is_root = fs::metadata(home.data()).unwrap().uid() == 0;
    let ran_as = |uid: Option<u32>, arguments: &str| {
        let mut command = ottla(&home.data());
        command.args(arguments.split(' '));
        uid.map(|uid| command.uid(uid));
        command
    };
    let nobody = (is_root && ran_as(Some(65534), "--version").output().is_ok()).then_some(65534);
    let look = |arguments: &str| run(&mut ran_as(nobody, arguments), b"");
    assert_eq!(look("topic list").done(), "t\n");
    assert_eq!(look("topic describe t --json").json()[0]["high_watermark"], 6);
    assert_eq!(look("group list").done(), "g\n");
    assert_eq!(look("group describe g --json").json()[0]["lag"], 4);
    assert_eq!(look("consume t").lines(), ["0", "1", "2", "3", "4", "5"]);
    assert_eq!(look("consume t --from @0").lines().len(), 6);
    assert!(look("verify").done().starts_with("no findings; "));
    if nobody.is_some() || !is_root {
        let refused = look("consume t --group g").refused();
        assert!(refused.contains("ermission denied") && refused.contains("LOCK"), "{refused}");
    }
    assert_eq!(trace(&home.data()), before, "nothing was made or changed");
    for path in before.into_keys().filter(|path| path.is_dir()).chain([home.data()]) {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap(); // so that it can be removed
    }
}
