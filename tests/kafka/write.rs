//! Directories of every kind that the engine can write.

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use ottla::{
    Acks, Admin, Compression, Delivery, Engine, ImportOptions, NewTopic, Producer, ProducerConfig, ProducerRecord,
    Timestamp,
};

use crate::chance::Chance;
use crate::lines::{self, Lines, line};

/// A name, which the names of its topics begin with, and what fills such a directory and notes what was acknowledged.
pub(crate) type Kind = (&'static str, fn(&Path, &mut Lines));

pub(crate) const KINDS: [Kind; 8] = [
    ("codecs", codecs),
    ("append-time", append_time),
    ("rolled", rolled),
    ("reopened", reopened),
    ("large", large),
    ("imported", imported),
    (RECOVERED, recovered),
    (KILLED, killed),
];

/// The kind that was killed now and then, and closed in the end.
pub(crate) const RECOVERED: &str = "recovered";
/// The kind that nobody closed.
pub(crate) const KILLED: &str = "killed";

const CODECS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

/// Around which the records' timestamps lie: no test may depend on the clock.
const TIME: i64 = 1_700_000_000_000;

/// A record that follows from chance.
struct Draft {
    timestamp: Timestamp,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(&'static str, Option<Vec<u8>>)>,
}

impl Draft {
    /// Null, empty and present parts in all combinations; timestamps that rise, fall, and stand still.
    fn draw(chance: &mut Chance) -> Self {
        let text = b"a codec finds the same words here, and the same words there. ".repeat(9);
        let part = |chance: &mut Chance, most: u64| match chance.below(6) {
            0 => None,
            1 => Some(Vec::new()),
            2 => Some((0..chance.below(most)).map(|_| chance.byte()).collect()),
            _ => Some(text[chance.range(text.len(), usize::try_from(most).expect("it is small"))].to_vec()),
        };
        let names = ["trace", "trace", "", "gr\u{f6}\u{df}e", "\u{540d}\u{524d}", "a-name-that-is-longer-than-others"];
        let millis = match chance.below(12) {
            0 => 0,
            1 => 1,
            2 => i64::try_from(chance.below(1 << 40)).expect("it is below 2^40"),
            _ => TIME + i64::try_from(chance.below(1 << 20)).expect("it is below 2^20"),
        };
        Self {
            timestamp: Timestamp(millis),
            key: part(chance, 40),
            value: part(chance, 400),
            headers: (0..chance.below(8).saturating_sub(4)).map(|_| (*chance.pick(&names), part(chance, 20))).collect(),
        }
    }

    fn at(millis: i64, value: Vec<u8>) -> Self {
        Self { timestamp: Timestamp(millis), key: None, value: Some(value), headers: Vec::new() }
    }

    fn record<'a>(&'a self, topic: &'a str, partition: u32) -> ProducerRecord<'a, [u8], [u8]> {
        let mut record = ProducerRecord::to(topic).partition(partition).timestamp(self.timestamp);
        (record.key, record.value) = (self.key.as_deref(), self.value.as_deref());
        record.headers = self.headers.iter().map(|(name, value)| (*name, value.as_deref())).collect();
        record
    }
}

/// Sends, and notes what became of it.
struct Sender {
    producer: Producer<[u8], [u8]>,
    under_way: Vec<(Delivery, Draft)>,
}

impl Sender {
    fn new(engine: &Engine, codec: Compression) -> Self {
        let config = ProducerConfig::builder().compression(codec).batch_size(2000).build().unwrap();
        Self::with_config(engine, config)
    }

    fn with_config(engine: &Engine, config: ProducerConfig) -> Self {
        Self { producer: Producer::with_config(engine, config).unwrap(), under_way: Vec::new() }
    }

    fn send(&mut self, topic: &str, partition: u32, draft: Draft) {
        let delivery = self.producer.send(draft.record(topic, partition)).unwrap();
        self.under_way.push((delivery, draft));
    }

    /// So many records that follow from chance, in batches of different sizes.
    fn draw(&mut self, topic: &str, partition: u32, count: usize, chance: &mut Chance) {
        for _ in 0..count {
            self.send(topic, partition, Draft::draw(chance));
            if chance.below(8) == 0 {
                self.producer.flush().unwrap();
            }
        }
    }

    /// Waits for all of it; those who have it see what a broker's client would be told.
    fn settle(&mut self, acknowledged: &mut Lines) {
        self.producer.flush().unwrap();
        for (delivery, draft) in self.under_way.drain(..) {
            let (place, line) = outcome(&delivery, &draft);
            assert_eq!(acknowledged.insert(place, line), None, "two records at one offset");
        }
    }
}

/// Where a record went, and its line.
fn outcome(delivery: &Delivery, draft: &Draft) -> ((String, u32, i64), String) {
    let sent = delivery.wait().unwrap();
    let headers = draft.headers.iter().map(|(name, value)| (*name, value.as_deref()));
    let line = line(sent.timestamp().0, draft.key.as_deref(), draft.value.as_deref(), headers);
    ((sent.topic().to_owned(), sent.partition(), sent.offset().expect("it was acknowledged").0), line)
}

fn topic(engine: &Engine, name: &str, partitions: u32, config: &[(&str, &str)]) {
    let mut topic = NewTopic::new(name).partitions(partitions);
    for (name, value) in config {
        topic = topic.config(*name, *value);
    }
    Admin::new(engine).create_topic(topic).unwrap();
}

/// A topic for each codec, and one that all of them share.
fn codecs(path: &Path, acknowledged: &mut Lines) {
    let engine = Engine::open(path).unwrap();
    let mut chance = Chance::new(1);
    let config = [("segment.bytes", "30000"), ("index.interval.bytes", "1000")];
    topic(&engine, "codecs.mixed", 3, &config);
    for codec in CODECS {
        let name = format!("codecs.{codec}");
        topic(&engine, &name, 1, &config);
        let mut sender = Sender::new(&engine, codec);
        sender.draw(&name, 0, 300, &mut chance);
        for partition in 0..3 {
            sender.draw("codecs.mixed", partition, 60, &mut chance);
        }
        sender.settle(acknowledged);
    }
    engine.close().unwrap();
}

/// The log's own clock, with every codec.
fn append_time(path: &Path, acknowledged: &mut Lines) {
    let engine = Engine::open(path).unwrap();
    let mut chance = Chance::new(2);
    for codec in CODECS {
        let name = format!("append-time.{codec}");
        let config = [("message.timestamp.type", "LogAppendTime"), ("segment.bytes", "16384")];
        topic(&engine, &name, 2, &config);
        let mut sender = Sender::new(&engine, codec);
        for partition in 0..2 {
            sender.draw(&name, partition, 150, &mut chance);
        }
        sender.settle(acknowledged);
    }
    engine.close().unwrap();
}

/// Segments that end for each of the reasons that there are, and indexes of every density.
fn rolled(path: &Path, acknowledged: &mut Lines) {
    let engine = Engine::open(path).unwrap();
    let mut chance = Chance::new(3);
    topic(&engine, "rolled.by-size", 2, &[("segment.bytes", "4096"), ("index.interval.bytes", "0")]);
    topic(&engine, "rolled.by-index", 1, &[("segment.index.bytes", "60"), ("index.interval.bytes", "100")]);
    topic(&engine, "rolled.by-time", 1, &[("segment.ms", "60000"), ("index.interval.bytes", "200")]);
    topic(&engine, "rolled.by-batch", 1, &[("segment.bytes", "128")]);
    let mut sender = Sender::new(&engine, Compression::None);
    sender.draw("rolled.by-size", 0, 200, &mut chance);
    sender.draw("rolled.by-size", 1, 20, &mut chance);
    sender.draw("rolled.by-index", 0, 300, &mut chance);
    for minute in 0..30 {
        for second in 0..20 {
            let millis = TIME + minute * 60_000 + second * 1500;
            sender.send("rolled.by-time", 0, Draft::at(millis, format!("{minute}:{second}").into_bytes()));
        }
    }
    sender.settle(acknowledged);
    let mut sender = Sender::with_config(&engine, ProducerConfig::builder().batch_size(0).build().unwrap());
    for index in 0..40 {
        sender.send("rolled.by-batch", 0, Draft::at(TIME - index, vec![b'x'; chance.index(50)]));
    }
    sender.settle(acknowledged);
    engine.close().unwrap();
}

/// Closed, and not closed, and opened again, with topics that came and went.
fn reopened(path: &Path, acknowledged: &mut Lines) {
    let mut chance = Chance::new(4);
    for (life, codec) in CODECS.into_iter().enumerate() {
        let engine = Engine::open(path).unwrap();
        if life == 0 {
            topic(&engine, "reopened.often", 2, &[("segment.bytes", "6000"), ("index.interval.bytes", "300")]);
            topic(&engine, "reopened.empty", 2, &[]);
            topic(&engine, "reopened.once", 1, &[]);
            topic(&engine, "reopened.deleted", 2, &[]);
            topic(&engine, "reopened.again", 1, &[]);
        }
        let mut sender = Sender::new(&engine, codec);
        if life != 2 {
            sender.draw("reopened.often", 0, 70, &mut chance);
        }
        sender.draw("reopened.often", 1, 5, &mut chance);
        if life == 0 {
            sender.draw("reopened.once", 0, 10, &mut chance);
        }
        if life > 2 {
            sender.draw("reopened.again", 0, 10, &mut chance);
        }
        sender.settle(acknowledged);
        if life < 2 {
            // Of these nothing is left.
            sender.draw("reopened.deleted", 0, 30, &mut chance);
            sender.draw("reopened.again", 0, 30, &mut chance);
        }
        if life == 1 {
            sender.settle(&mut Lines::new());
            Admin::new(&engine).delete_topic("reopened.deleted").unwrap();
            Admin::new(&engine).delete_topic("reopened.again").unwrap();
            topic(&engine, "reopened.again", 1, &[]);
        }
        drop(sender);
        // The last time it is closed; before, the handle is merely dropped now and then.
        if life % 2 == 0 {
            engine.close().unwrap();
        }
    }
}

/// What brokers wrote, from producers with ids; and some records more.
fn imported(path: &Path, acknowledged: &mut Lines) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let source = path.with_file_name("source");
    fs::create_dir(&source).unwrap();
    for partition in ["numbered-0", "numbered-1"] {
        crate::copy(&golden.join("idempotent/log").join(partition), &source.join(format!("imported.{partition}")));
    }
    let engine = Engine::open(path).unwrap();
    let options = ImportOptions::default().config("segment.bytes", "6000");
    assert!(Admin::new(&engine).import(&source, &options).unwrap().is_complete());
    acknowledged.extend(crate::read_log_dir(&source));
    let mut sender = Sender::new(&engine, Compression::Zstd);
    sender.draw("imported.numbered", 1, 70, &mut Chance::new(9));
    sender.settle(acknowledged);
    engine.close().unwrap();
}

/// Long records, long names, many headers, many records.
fn large(path: &Path, acknowledged: &mut Lines) {
    let name = format!("large.{}", "long-name_".repeat(25)).chars().take(249).collect::<String>();
    let engine = Engine::open(path).unwrap();
    topic(&engine, &name, 1, &[]);
    topic(&engine, "large.records", 1, &[("segment.bytes", "2000000")]);
    let mut chance = Chance::new(5);
    for codec in CODECS {
        let config = ProducerConfig::builder().compression(codec).batch_size(1 << 18).linger(Duration::from_secs(60));
        let mut sender = Sender::with_config(&engine, config.build().unwrap());
        for _ in 0..3000 {
            sender.send("large.records", 0, Draft::at(TIME, vec![b'v'; chance.index(4)]));
        }
        let text = format!("{:08} ", chance.below(1000)).repeat(100_000);
        sender.send("large.records", 0, Draft::at(TIME, text.into_bytes()));
        sender.send("large.records", 0, Draft::at(TIME, (0..100_000).map(|_| chance.byte()).collect()));
        let headers = (0..300).map(|index| ("header", (index % 3 > 0).then(|| vec![b'h'; index]))).collect();
        let draft = Draft { key: Some(vec![b'k'; 5000]), headers, ..Draft::at(TIME + 1, Vec::new()) };
        sender.send("large.records", 0, draft);
        sender.draw(&name, 0, 10, &mut chance);
        sender.settle(acknowledged);
    }
    engine.close().unwrap();
}

/// Killed several times, and closed in the end.
fn recovered(path: &Path, acknowledged: &mut Lines) {
    for round in 0..4 {
        write_and_kill(path, RECOVERED, round, acknowledged);
    }
    let engine = Engine::open(path).unwrap();
    let mut sender = Sender::new(&engine, Compression::Zstd);
    sender.draw(RECOVERED, 1, 50, &mut Chance::new(6));
    sender.settle(acknowledged);
    engine.close().unwrap();
}

/// Killed, and left like that.
fn killed(path: &Path, acknowledged: &mut Lines) {
    for round in 4..6 {
        write_and_kill(path, KILLED, round, acknowledged);
    }
}

/// Has a child write, and kills it once some of that was acknowledged.
fn write_and_kill(path: &Path, topic: &str, round: u64, acknowledged: &mut Lines) {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", CHILD])
        .env(CHILD_PATH, path)
        .env(CHILD_TOPIC, topic)
        .env(CHILD_ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap());
    let (mut line, mut left) = (String::new(), 200 + Chance::new(round).below(200));
    while answers.read_line(&mut line).unwrap() > 0 {
        // The last one may be cut: nobody was told so.
        if line.ends_with('\n') && line.split('\t').count() == 7 {
            acknowledged.append(&mut lines::from_text(&line));
            left = left.saturating_sub(1);
            if left == 0 {
                child.kill().unwrap();
            }
        }
        line.clear();
    }
    child.wait().unwrap();
    assert_eq!(left, 0, "the child ended too early");
}

const CHILD: &str = "child_writes_until_it_is_killed";
const CHILD_PATH: &str = "OTTLA_KAFKA_CHILD_PATH";
const CHILD_TOPIC: &str = "OTTLA_KAFKA_CHILD_TOPIC";
const CHILD_ROUND: &str = "OTTLA_KAFKA_CHILD_ROUND";

/// Writes until somebody ends it, and says what is acknowledged.
pub(crate) fn write_until_killed() {
    let Ok(path) = env::var(CHILD_PATH) else { return };
    let (name, round) = (env::var(CHILD_TOPIC).unwrap(), env::var(CHILD_ROUND).unwrap().parse::<u64>().unwrap());
    let engine = Engine::open(path).unwrap();
    if Admin::new(&engine).describe_topic(&name).is_err() {
        topic(&engine, &name, 2, &[("segment.bytes", "8000"), ("index.interval.bytes", "500")]);
    }
    let mut chance = Chance::new(100 + round);
    let mut sender = Sender::new(&engine, CODECS[usize::try_from(round).unwrap() % CODECS.len()]);
    let acks = ProducerConfig::builder().acks(Acks::One).build().unwrap();
    let mut unsynced = Sender::with_config(&engine, acks);
    let mut answers = io::stdout();
    answers.write_all(b"\n").unwrap(); // behind what the test harness said in its line
    loop {
        let mut acknowledged = Lines::new();
        for sender in [&mut sender, &mut unsynced] {
            sender.draw(&name, u32::from(chance.below(2) == 1), 1 + chance.index(40), &mut chance);
            sender.settle(&mut acknowledged);
        }
        answers.write_all(lines::to_text(&acknowledged).as_bytes()).unwrap();
    }
}
