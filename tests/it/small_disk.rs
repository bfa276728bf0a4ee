//! A real file system that is full, and a bit that is flipped: the experiments that `benches/peers` makes with other
//! crates, ottla's part.
//!
//! Where the machine permits, the file system is a few megabytes of its own in a mount namespace, with a ballast file
//! whose removal gives room; elsewhere files may not be longer than that (`RLIMIT_FSIZE`, which is a case of its own as
//! well). The parts that have to be processes of their own are tests of this binary that a test runs: each is ignored,
//! and does nothing when it is run for its own sake.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use ottla::{
    Consumer, ConsumerConfig, Engine, Error, Offset, Producer, ProducerConfig, ProducerRecord, TopicConfig,
    TopicPartition, VerifyOptions, verify,
};
use rustix::process::{Resource, Rlimit, Signal, getpid, getrlimit, getuid, kill_process, setrlimit};

use crate::surroundings::scratch;

/// How large the file system is, the ballast included, and where files end if there is only a limit.
const SMALL_MIB: u64 = 12;
const BALLAST_MIB: u64 = 7;
const LIMIT_MIB: u64 = 3;
/// How many records are sent after there is room.
const AFTER: u64 = 100;
const GROUP: &str = "billing";

/// What kind of small disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Tmpfs,
    /// As many files as that.
    Inodes(u32),
    Ext4,
    Xfs,
    Limit,
}

/// A small disk, and where what is known of it is kept.
struct Scratch {
    directory: tempfile::TempDir,
    kind: Kind,
}

impl Scratch {
    fn new(kind: Kind) -> Self {
        Self { directory: scratch(), kind } // in memory, or syncing an image would be most of the test
    }

    /// Runs `parts`, one process after the other, on one small disk. `None` if there can be none of that kind.
    fn run(&self, parts: &[&str]) -> Option<()> {
        let root = self.directory.path();
        let mount = match self.kind {
            Kind::Tmpfs => format!("mount -t tmpfs -o size={SMALL_MIB}m tmpfs disk"),
            Kind::Inodes(count) => format!("mount -t tmpfs -o size={SMALL_MIB}m,nr_inodes={count} tmpfs disk"),
            // A journal would take as much as the records.
            Kind::Ext4 => {
                format!("mkfs.ext4 -q -m 0 -O ^has_journal image {SMALL_MIB}m && mount -t ext4 -o loop image disk")
            }
            // It has 300 megabytes at least, of which all but a few are taken by a file that nobody writes.
            Kind::Xfs => "truncate -s 300m image && mkfs.xfs -q image && mount -t xfs -o loop image disk".to_owned(),
            Kind::Limit => "trap '' XFSZ".to_owned(),
        };
        let small_kib = (SMALL_MIB - BALLAST_MIB) * 1024;
        let ballast = match self.kind {
            Kind::Xfs => format!(
                "head -c {BALLAST_MIB}m /dev/zero > disk/ballast
                 fallocate -l $(($(df -k --output=avail disk | tail -n 1) - {small_kib}))k disk/rest"
            ),
            Kind::Tmpfs | Kind::Ext4 => format!("head -c {BALLAST_MIB}m /dev/zero > disk/ballast"),
            Kind::Inodes(count) => format!("for n in $(seq {}); do : > disk/ballast$n; done", count / 2),
            Kind::Limit => ":".to_owned(),
        };
        let run = |part: &&str| {
            let killed = if part.ends_with("killed") { " && exit 1 || [ $? = 137 ]" } else { "" };
            format!("\"$0\" small_disk::part::{part} --exact --ignored --nocapture{killed}\n")
        };
        let parts: String = parts.iter().map(run).collect();
        let script = format!("cd \"$1\"; mkdir disk; {{ {mount}; }} || exit 77; set -e; {ballast}\n{parts}");
        let mut command = match (self.kind, getuid().is_root()) {
            (Kind::Limit, _) => Command::new("sh"),
            (Kind::Ext4 | Kind::Xfs, false) => return None, // only root has loop devices
            (_, is_root) => {
                let mut command = Command::new("unshare");
                command.args(if is_root { &["--mount"][..] } else { &["--mount", "--map-root-user"] }).arg("sh");
                command
            }
        };
        command.args(["-c", &script]).arg(std::env::current_exe().unwrap()).arg(root);
        command.env(DISK, root.join("disk")).env(LIMITED, if self.kind == Kind::Limit { "1" } else { "" });
        let Ok(ran) = command.output() else { return None };
        if ran.status.code() == Some(77) || !root.join("disk").exists() {
            return None;
        }
        let said = || [ran.stdout, ran.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).join("\n");
        assert!(ran.status.success(), "{:?}: {}", self.kind, said());
        Some(())
    }
}

/// Where the small disk is, and whether it is a limit.
const DISK: &str = "OTTLA_TEST_SMALL_DISK";
const LIMITED: &str = "OTTLA_TEST_LIMITED";

/// Runs `parts` on the first of `kinds` that there can be.
fn on(kinds: &[Kind], parts: &[&str]) {
    let ran = kinds.iter().find(|kind| Scratch::new(**kind).run(parts).is_some());
    assert!(ran.is_some(), "a limit there can always be");
    say(format_args!("{parts:?} on {ran:?}"));
}

#[expect(clippy::print_stdout, reason = "shown with --nocapture")]
fn say(what: std::fmt::Arguments<'_>) {
    println!("{what}");
}

// faults: D01 D08 D11
#[test]
fn full_file_system_takes_nothing_back_and_is_written_again_when_there_is_room() {
    on(&[Kind::Tmpfs, Kind::Limit], &["fills", "reads"]);
}

// faults: D01
#[test]
fn full_ext4_takes_nothing_back_and_is_written_again_when_there_is_room() {
    on(&[Kind::Ext4, Kind::Limit], &["fills", "reads"]);
}

// faults: D02
#[test]
fn full_xfs_takes_nothing_back_and_is_written_again_when_there_is_room() {
    on(&[Kind::Xfs, Kind::Limit], &["fills", "reads"]);
}

// faults: D08
#[test]
fn limit_on_the_size_of_files_is_a_full_disk() {
    on(&[Kind::Limit], &["fills", "reads"]);
}

// faults: D03
#[test]
fn killed_on_a_full_file_system_it_opens_there_and_has_everything() {
    on(&[Kind::Tmpfs, Kind::Limit], &["fills_and_is_killed", "reads_while_full"]);
}

// faults: D04
#[test]
fn file_system_without_room_for_files_is_written_again_when_there_is() {
    on(&[Kind::Inodes(60), Kind::Limit], &["fills", "reads"]);
}

// faults: K01 K03
#[test]
#[expect(clippy::disallowed_methods, reason = "what a bad disk does")]
fn flipped_bit_costs_its_batch_and_is_named_by_verify_and_by_reading() {
    const COUNT: u64 = 12_100;
    const FLIPPED: u64 = 6000;
    let scratch = scratch();
    let data = scratch.path().join("data");
    let engine = Engine::open(&data).unwrap();
    let producer = Producer::<str, str>::new(&engine).unwrap();
    let sent: Vec<_> =
        (0..COUNT).map(|number| producer.send(ProducerRecord::to("t").value(&value(number))).unwrap()).collect();
    sent.into_iter().for_each(|delivery| drop(delivery.wait().unwrap()));
    producer.close().unwrap();
    engine.close().unwrap();
    drop((producer, engine));

    let segment = data.join("log/t-0/00000000000000000000.log");
    let mut bytes = fs::read(&segment).unwrap();
    let record = value(FLIPPED);
    let at = bytes.windows(record.len()).position(|window| window == record.as_bytes()).unwrap();
    bytes[at + record.len() / 2] ^= 1;
    fs::write(&segment, bytes).unwrap();

    let report = verify(&data, &VerifyOptions::default()).unwrap();
    let [found] = &report.iter().map(ToString::to_string).collect::<Vec<_>>()[..] else { panic!("{report:?}") };
    assert!(found.starts_with(&segment.display().to_string()), "{found}");

    let engine = Engine::open(&data).unwrap();
    let mut consumer = Consumer::<str, str>::with_config(&engine, ConsumerConfig::default()).unwrap();
    consumer.assign([partition()]).unwrap();
    let (mut numbers, mut damaged) = (Vec::new(), Vec::new());
    while consumer.position(&partition()).unwrap() < Offset(i64::try_from(COUNT).unwrap()) {
        match consumer.poll(Duration::from_secs(10)) {
            Ok(records) => {
                for record in &records {
                    let number = u64::try_from(record.offset().0).unwrap();
                    assert_eq!(record.value().unwrap().unwrap(), value(number));
                    numbers.push(number);
                }
            }
            Err(Error::CorruptBatch { first, last, path, .. }) => {
                assert_eq!(path, segment);
                let bounds = [first, last].map(|offset| u64::try_from(offset.0).unwrap());
                damaged.push(bounds);
                consumer.seek(&partition(), Offset(last.0 + 1)).unwrap();
            }
            Err(error) => panic!("{error}"),
        }
    }
    let [[first, last]] = damaged[..] else { panic!("{damaged:?}") };
    assert!((first..=last).contains(&FLIPPED) && last - first < 16, "{first} to {last}");
    assert!(found.contains(&format!(": {first} to {last}: damage: ")), "{found}");
    assert_eq!(numbers, (0..first).chain(last + 1..COUNT).collect::<Vec<_>>());
    engine.close().unwrap();
}

/// What runs in processes of their own.
mod part {
    use super::*;

    #[test]
    #[ignore = "a part of other tests: cargo test --all-features --test it small_disk; alone it does nothing"]
    fn fills() {
        let Some(disk) = Disk::find() else { return };
        disk.limit();
        let engine = disk.open();
        let count = disk.fill(&engine);
        assert!(count > 20, "{count}");
        // Full as it is, it is read, and groups go on.
        assert_eq!(disk.read(&engine), disk.known());
        disk.commit(&engine, count);

        disk.make_room();
        let producer = producer(&engine);
        for number in count + 1..=count + AFTER {
            send(&producer, number).unwrap();
            disk.note(number);
        }
        disk.commit(&engine, count + AFTER);
        engine.close().unwrap();
    }

    #[test]
    #[ignore = "a part of other tests: cargo test --all-features --test it small_disk; alone it does nothing"]
    fn reads() {
        let Some(disk) = Disk::find() else { return };
        let engine = disk.open();
        assert!(engine.report().is_empty(), "{:?}", engine.report());
        let known = disk.known();
        assert_eq!(disk.read(&engine), known);
        assert_eq!(disk.committed(&engine), Some(known.len() as u64));
        engine.close().unwrap();
    }

    #[test]
    #[ignore = "a part of other tests: cargo test --all-features --test it small_disk; alone it does nothing"]
    fn fills_and_is_killed() {
        let Some(disk) = Disk::find() else { return };
        disk.limit();
        let engine = disk.open();
        let count = disk.fill(&engine);
        disk.commit(&engine, count);
        kill_process(getpid(), Signal::KILL).unwrap();
    }

    #[test]
    #[ignore = "a part of other tests: cargo test --all-features --test it small_disk; alone it does nothing"]
    fn reads_while_full() {
        let Some(disk) = Disk::find() else { return };
        disk.limit();
        let engine = disk.open();
        let known = disk.known();
        assert_eq!(disk.read(&engine), known);
        let count = known.len() as u64;
        assert_eq!(disk.committed(&engine), Some(count));
        disk.make_room();
        send(&producer(&engine), count + 1).unwrap();
        engine.close().unwrap();
    }
}

/// The small disk, as a part sees it.
struct Disk {
    path: PathBuf,
    is_limited: bool,
}

fn partition() -> TopicPartition {
    ("t", 0).into()
}

/// One that says at once that the disk is full, and does not wait for room.
fn producer(engine: &Engine) -> Producer<str, str> {
    Producer::with_config(engine, ProducerConfig::builder().retries(0).build().unwrap()).unwrap()
}

fn value(number: u64) -> String {
    format!("{number:08} {}", "0123456789abcdef".repeat(63))
}

fn send(producer: &Producer<str, str>, number: u64) -> Result<Offset, Error> {
    let sent = producer.send(ProducerRecord::to("t").value(&value(number)))?.wait()?;
    Ok(sent.offset().unwrap())
}

#[expect(clippy::disallowed_methods, reason = "files beside the engine's")]
impl Disk {
    /// `None` if nobody has made one.
    fn find() -> Option<Self> {
        let is_limited = std::env::var(LIMITED).is_ok_and(|set| !set.is_empty());
        Some(Self { path: std::env::var_os(DISK)?.into(), is_limited })
    }

    fn open(&self) -> Engine {
        // What is limited is the size of one file.
        let segment_bytes = if self.is_limited { 1 << 30 } else { 256 << 10 };
        let defaults = TopicConfig::builder().segment_bytes(segment_bytes).build().unwrap();
        Engine::builder().topic_defaults(defaults).open(self.path.join("data")).unwrap()
    }

    fn limit(&self) {
        self.set_limit(Some(LIMIT_MIB << 20));
    }

    fn set_limit(&self, current: Option<u64>) {
        if self.is_limited {
            setrlimit(Resource::Fsize, Rlimit { current, ..getrlimit(Resource::Fsize) }).unwrap();
        }
    }

    /// Sends until there is no room; answers the number of the record that found none.
    fn fill(&self, engine: &Engine) -> u64 {
        let producer = producer(engine);
        for number in 0.. {
            match send(&producer, number) {
                Ok(offset) => assert_eq!(offset.0, i64::try_from(number).unwrap()),
                Err(error @ Error::DiskFull { .. }) => {
                    assert!(error.to_string().starts_with("no space left to "), "{error}");
                    assert!(error.is_retriable());
                    return number;
                }
                Err(error) => panic!("{error}"),
            }
            self.note(number);
        }
        unreachable!("no disk is that large")
    }

    fn make_room(&self) {
        self.set_limit(getrlimit(Resource::Fsize).maximum);
        for entry in fs::read_dir(&self.path).unwrap().map(Result::unwrap) {
            if entry.file_name().to_string_lossy().starts_with("ballast") {
                fs::remove_file(entry.path()).unwrap();
            }
        }
    }

    /// A file beside the small disk, which is not full.
    fn noted(&self) -> PathBuf {
        self.path.parent().unwrap().join("count")
    }

    /// Remembers that a record was acknowledged.
    fn note(&self, number: u64) {
        use std::io::Write;
        let mut file = fs::OpenOptions::new().create(true).append(true).open(self.noted()).unwrap();
        writeln!(file, "{number}").unwrap();
    }

    /// The records that were acknowledged, with the offsets that they have to be at.
    fn known(&self) -> Vec<(u64, u64)> {
        let noted = fs::read_to_string(self.noted()).unwrap();
        (0..).zip(noted.lines().map(|line| line.parse().unwrap())).collect()
    }

    /// All records, by offset.
    fn read(&self, engine: &Engine) -> Vec<(u64, u64)> {
        let mut consumer = Consumer::<str, str>::with_config(engine, ConsumerConfig::default()).unwrap();
        consumer.assign([partition()]).unwrap();
        let (end, mut found) = (engine.end_offset(&partition()).unwrap(), Vec::new());
        while consumer.position(&partition()).unwrap() < end {
            for record in &consumer.poll(Duration::from_secs(10)).unwrap() {
                let text = record.value().unwrap().unwrap();
                let number = text.split(' ').next().unwrap().parse().unwrap();
                assert_eq!(text, value(number));
                found.push((u64::try_from(record.offset().0).unwrap(), number));
            }
        }
        found
    }

    fn commit(&self, engine: &Engine, offset: u64) {
        let mut consumer = Consumer::<str, str>::new(engine, GROUP).unwrap();
        consumer.commit_sync_offsets([(partition(), Offset(i64::try_from(offset).unwrap()).into())]).unwrap();
    }

    fn committed(&self, engine: &Engine) -> Option<u64> {
        let consumer = Consumer::<str, str>::new(engine, GROUP).unwrap();
        let committed = consumer.committed(&partition()).unwrap()?;
        u64::try_from(committed.offset.0).ok()
    }
}
