//! What the operating system gives a process: descriptors, sizes of files, memory. And how many partitions there are.

use ottla::{Admin, Engine, NewTopic, Offset, Producer, ProducerRecord};

use super::{read, run_part, scratch};

// faults: L01
#[test]
fn process_without_descriptors_is_told_so_and_all_is_well_when_it_has_some() {
    let directory = scratch();
    run_part("limits::part::works_with_few_descriptors", directory.path());
    let engine = Engine::open(directory.path()).unwrap();
    assert!(engine.report().is_empty(), "{:?}", engine.report());
    engine.close().unwrap();
}

// faults: L02
#[test]
fn many_partitions_take_a_descriptor_each_and_no_more() {
    let directory = scratch();
    run_part("limits::part::has_three_hundred_partitions", directory.path());
}

// faults: L02
#[test]
#[ignore = "takes minutes: cargo test --release --all-features --test it ten_thousand -- --ignored --nocapture"]
fn ten_thousand_partitions_take_a_descriptor_each_and_no_more() {
    let directory = tempfile::tempdir().unwrap();
    run_part("limits::part::has_ten_thousand_partitions", directory.path());
}

#[cfg(feature = "cli")]
mod command_line {
    use std::process::Command;

    use super::*;
    use crate::command::{Home, Ran, run, seq};

    /// Runs `produce` by a shell that limits it first.
    fn produce(home: &Home, limit: &str, options: &str, input: &str) -> Ran {
        let mut shell = Command::new("sh");
        let script = format!("{limit}; exec \"$0\" -d \"$1\" produce t --config retries=0 {options}");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_ottla")]).arg(home.data());
        run(&mut shell, input.as_bytes())
    }

    // faults: D08
    #[test]
    fn limit_on_the_size_of_files_is_said_once_and_how_many_lines_it_cost() {
        let home = Home::new();
        let lines: String = (0..5000).map(|number| format!("{number:01000}\n")).collect();
        // In blocks of 512 or 1024 bytes, as the shell likes it: more than the reserve, less than the lines.
        let ran = produce(&home, "ulimit -f 4000", "", &lines);
        assert_eq!(ran.status, 2, "{}", ran.err);
        let said: Vec<_> = ran.err.lines().collect();
        let [first, more] = said[..] else { panic!("{said:?}") };
        assert!(first.starts_with("line ") && first.contains(": no space left to write "), "{first}");
        assert!(more.contains(" more were not stored for want of room, the last of them line "), "{more}");
        let lost: usize = more.split(' ').next().unwrap().parse().unwrap();
        let engine = Engine::open(home.data()).unwrap();
        assert_eq!(read(&engine).unwrap().len() + lost + 1, 5000);
        engine.close().unwrap();
        assert_eq!(home.feed("now there is room\n", "produce t").done(), "");
    }

    // faults: D08
    #[test]
    fn acknowledgements_on_a_full_disk_are_still_one_a_line() {
        let home = Home::new();
        let lines: String = (0..5000).map(|number| format!("{number:01000}\n")).collect();
        let ran = produce(&home, "ulimit -f 4000", "--json", &lines);
        let (refused, stored): (Vec<_>, Vec<_>) =
            std::str::from_utf8(&ran.out).unwrap().lines().partition(|line| line.contains("\"error\":\"no space left"));
        assert_eq!((ran.status, refused.len() + stored.len()), (2, 5000));
        let engine = Engine::open(home.data()).unwrap();
        assert_eq!(read(&engine).unwrap().len(), stored.len());
        engine.close().unwrap();
    }

    // faults: P07
    #[test]
    fn process_without_memory_loses_nothing_that_it_acknowledged() {
        let home = Home::new();
        home.feed("first\n", "produce t").done();
        let mut known = 1;
        for kilobytes in [8_000, 16_000, 32_000, 64_000, 128_000] {
            let ran = produce(&home, &format!("ulimit -v {kilobytes}"), "--json", &seq(1, 2000));
            known += ran.out.split(|byte| *byte == b'\n').filter(|line| line.ends_with(b"}")).count();
            let engine = Engine::open(home.data()).unwrap();
            let count = read(&engine).unwrap().len();
            assert!(count >= known, "{kilobytes}: {count} of {known}, {}", ran.err);
            known = count;
            engine.close().unwrap();
        }
    }
}

mod part {
    use std::fs;
    use std::path::Path;

    use ottla::Error;
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    use super::super::{directory, send};
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "asks the kernel")]
    fn descriptors() -> u64 {
        fs::read_dir("/proc/self/fd").unwrap().count() as u64
    }

    fn limit_descriptors(count: Option<u64>) {
        setrlimit(Resource::Nofile, Rlimit { current: count, ..getrlimit(Resource::Nofile) }).unwrap();
    }

    #[test]
    #[ignore = "a part of another test: cargo test --all-features --test it surroundings::limits; alone it does nothing"]
    fn works_with_few_descriptors() {
        let Some(directory) = directory() else { return };
        let (all, used) = (getrlimit(Resource::Nofile).current, descriptors() - 1); // one was for counting
        let (mut known, mut refused) = (Vec::new(), 0);
        for left in 0..40 {
            limit_descriptors(Some(used + left));
            let value = left.to_string();
            let outcome = Engine::open(&directory).and_then(|engine| {
                let sent = send(&engine, &value).inspect(|_| known.push(value.clone()));
                let read = read(&engine).inspect(|values| assert_eq!(values, &known));
                sent.and(read).and(engine.close())
            });
            limit_descriptors(all);
            if let Err(error) = outcome {
                assert!(error.to_string().contains("Too many open files"), "{left}: {error}");
                assert!(!error.is_corruption(), "{left}: {error}");
                refused += 1;
            }
            // Whatever it could not do: with enough of them nothing is missing, and nothing is there that failed.
            let engine = Engine::open(&directory).unwrap();
            let there = if engine.end_offset(&("t", 0).into()).is_ok() { read(&engine).unwrap() } else { Vec::new() };
            assert_eq!(there, known, "{left}");
            engine.close().unwrap();
        }
        assert!(refused > 0 && !known.is_empty(), "{refused}, {known:?}");
    }

    #[test]
    #[ignore = "a part of another test: cargo test --all-features --test it surroundings::limits; alone it does nothing"]
    fn has_three_hundred_partitions() {
        let Some(directory) = directory() else { return };
        has_partitions(&directory, 300);
    }

    #[test]
    #[ignore = "a part of another test: cargo test --release --all-features --test it ten_thousand -- --ignored; alone it does nothing"]
    fn has_ten_thousand_partitions() {
        let Some(directory) = directory() else { return };
        has_partitions(&directory, 10_000);
    }

    /// Creates, writes to, closes and opens `count` partitions with that many descriptors, and some.
    fn has_partitions(directory: &Path, count: u32) {
        // One for each that is written, 128 for those that are read, and what an engine has itself.
        limit_descriptors(Some(u64::from(count) + 128 + 40));
        let engine = Engine::open(directory).unwrap();
        Admin::new(&engine).create_topic(NewTopic::new("t").partitions(count)).unwrap();
        write_to_each(&engine, count);
        engine.close().unwrap();
        drop(engine); // its files stay open as long as somebody holds it
        let engine = Engine::open(directory).unwrap();
        assert!(engine.report().is_empty());
        for partition in 0..count {
            assert_eq!(engine.end_offset(&("t", partition).into()).unwrap(), Offset(1));
        }
        write_to_each(&engine, count);
        engine.close().unwrap();
    }

    fn write_to_each(engine: &Engine, count: u32) {
        let producer = Producer::<str, str>::new(engine).unwrap();
        let sent =
            (0..count).map(|partition| producer.send(ProducerRecord::to("t").partition(partition).value("x")).unwrap());
        let sent: Vec<_> = sent.collect();
        for delivery in sent {
            let waited: Result<_, Error> = delivery.wait();
            waited.unwrap();
        }
    }
}
