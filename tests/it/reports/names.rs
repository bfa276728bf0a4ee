//! Names of topics and groups.

#![expect(clippy::disallowed_methods, reason = "makes files behind the engine's back")]

use std::fs;
use std::time::Duration;

use ottla::{Admin, Consumer, ConsumerConfig, Engine, Error, NewTopic, Producer, ProducerRecord};

use super::{committed, open_and_kill};
use crate::command::{Home, names, seq};

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
