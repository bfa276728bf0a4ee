//! Other processes, forks, signals.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::thread;

use ottla::{Engine, Error};

use super::{open_with_two, part as process, read, said, scratch, send};

fn is_locked(directory: &Path) {
    let refused = Engine::open(directory).map(drop).unwrap_err();
    let own = format!("process {}", std::process::id());
    assert!(matches!(&refused, Error::DirectoryLocked { owner, .. } if **owner == *own), "{refused}");
}

// faults: P01
#[test]
fn second_engine_in_the_same_process_is_refused_and_the_first_goes_on() {
    let directory = scratch();
    let engine = open_with_two(directory.path());
    for _ in 0..3 {
        is_locked(directory.path());
        send(&engine, "c").unwrap();
    }
    assert_eq!(read(&engine).unwrap().len(), 5);
    engine.close().unwrap();
    Engine::open(directory.path()).unwrap().close().unwrap();
}

// faults: P01
#[test]
fn second_process_is_refused_by_the_number_of_the_first() {
    let directory = scratch();
    let engine = open_with_two(directory.path());
    let ran = process("process::part::opens", directory.path()).output().unwrap();
    let owner = format!("is in use by process {}", std::process::id());
    assert!(said(&ran).contains(&owner), "{}", said(&ran));
    send(&engine, "c").unwrap();
    engine.close().unwrap();
    let ran = process("process::part::opens", directory.path()).output().unwrap();
    assert!(ran.status.success(), "{}", said(&ran));
}

// faults: P02
#[test]
#[expect(clippy::disallowed_methods, reason = "looks at the lock file")]
fn lock_file_of_a_process_that_was_killed_stands_in_nobodys_way() {
    let directory = scratch();
    let ran = process("process::part::is_killed", directory.path()).output().unwrap();
    assert!(!ran.status.success());
    let lock = directory.path().join("LOCK");
    assert!(std::fs::read_to_string(&lock).unwrap().starts_with("process "));
    // Its number may be that of another process by now, of this one for instance.
    std::fs::write(&lock, format!("process {}", std::process::id())).unwrap();
    let engine = Engine::open(directory.path()).unwrap();
    assert_eq!(read(&engine).unwrap(), ["a", "b"]);
    engine.close().unwrap();
}

// faults: P03
#[test]
fn child_that_was_forked_neither_unlocks_nor_damages_when_it_ends() {
    let directory = scratch();
    let engine = open_with_two(directory.path());
    let mut command = Command::new("true");
    #[expect(unsafe_code, reason = "a child that is forked and never executes a program")]
    // SAFETY: the closure calls nothing; its error ends the child.
    unsafe {
        command.pre_exec(|| Err(std::io::ErrorKind::Other.into()))
    };
    for _ in 0..5 {
        assert!(command.spawn().is_err());
        is_locked(directory.path());
        send(&engine, "c").unwrap();
    }
    engine.close().unwrap();
    let engine = Engine::open(directory.path()).unwrap();
    assert!(engine.report().is_empty());
    assert_eq!(read(&engine).unwrap().len(), 7);
    engine.close().unwrap();
}

// faults: P03
#[test]
fn directory_that_was_closed_opens_though_a_forked_child_has_its_descriptors() {
    let directory = scratch();
    let engine = open_with_two(directory.path());
    let (mut forked, tell_forked) = std::io::pipe().unwrap();
    let (released, release) = std::io::pipe().unwrap();
    let mut command = Command::new("true");
    #[expect(unsafe_code, reason = "a child that is forked and waits before it executes its program")]
    // SAFETY: the closure reads and writes pipes, which is allowed between fork and exec.
    unsafe {
        command.pre_exec(move || {
            std::io::Write::write_all(&mut &tell_forked, b"x")?;
            (&released).read_exact(&mut [0])
        })
    };
    thread::scope(|scope| {
        let child = scope.spawn(move || command.status().unwrap());
        forked.read_exact(&mut [0]).unwrap();
        engine.close().unwrap();
        let again = Engine::open(directory.path()).unwrap();
        assert_eq!(read(&again).unwrap(), ["a", "b"]);
        send(&again, "c").unwrap();
        std::io::Write::write_all(&mut &release, b"x").unwrap();
        assert!(child.join().unwrap().success());
        is_locked(directory.path());
        again.close().unwrap();
    });
}

#[cfg(feature = "cli")]
mod signals {
    use rustix::process::{Pid, Signal, kill_process};

    use super::*;
    use crate::command::{Home, Running};

    fn signal(running: &Running, signal: Signal) {
        kill_process(Pid::from_child(&running.child), signal).unwrap();
    }

    // faults: P04
    #[test]
    fn stopping_continuing_and_harmless_signals_neither_end_a_writer_nor_cost_a_record() {
        let home = Home::new();
        let mut running = home.start("produce t --json");
        for number in 0..300 {
            running.send(&format!("{number}\n"));
            for harmless in [Signal::WINCH, Signal::URG, Signal::CHILD, Signal::STOP, Signal::CONT] {
                signal(&running, harmless);
            }
            assert!(running.line().contains(&format!("\"offset\":{number},")));
        }
        assert_eq!(running.end().status, 0);
        let engine = Engine::open(home.data()).unwrap();
        assert!(engine.report().is_empty());
        assert_eq!(read(&engine).unwrap(), (0..300).map(|number| number.to_string()).collect::<Vec<_>>());
        engine.close().unwrap();
    }

    // faults: P04
    #[test]
    fn terminated_writer_has_lost_nothing_that_it_acknowledged() {
        let home = Home::new();
        for (round, last) in [Signal::TERM, Signal::INT, Signal::HUP].into_iter().enumerate() {
            let mut running = home.start("produce t --json");
            running.send("x\n");
            assert!(running.line().contains(&format!("\"offset\":{round},")));
            signal(&running, last);
            running.end();
        }
        let engine = Engine::open(home.data()).unwrap();
        assert_eq!(read(&engine).unwrap().len(), 3);
        engine.close().unwrap();
    }
}

mod part {
    use rustix::process::{Signal, getpid, kill_process};

    use super::super::directory;
    use super::*;

    #[test]
    #[ignore = "a part of another test: cargo test --all-features --test it surroundings::process; alone it does nothing"]
    fn opens() {
        let Some(directory) = directory() else { return };
        Engine::open(&directory).unwrap_or_else(|error| panic!("{error}")).close().unwrap();
    }

    #[test]
    #[ignore = "a part of another test: cargo test --all-features --test it surroundings::process; alone it does nothing"]
    fn is_killed() {
        let Some(directory) = directory() else { return };
        let _engine = open_with_two(&directory);
        kill_process(getpid(), Signal::KILL).unwrap();
    }
}
