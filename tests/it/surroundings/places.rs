//! Directories that move, vanish, cannot be written, or lie on unusual file systems; files of other versions.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ottla::{Engine, Error, TopicConfig, VerifyOptions, verify};
use rustix::process::getuid;

use super::{open_with_two, part as process, read, said, scratch, send};

// faults: P08
#[test]
#[expect(clippy::disallowed_methods, reason = "does what a user does with mv")]
fn directory_that_is_moved_away_fails_what_needs_its_name_and_keeps_what_was_acknowledged() {
    let outside = scratch();
    let (data, moved) = (outside.path().join("data"), outside.path().join("moved"));
    let defaults = TopicConfig::builder().segment_bytes(1000).build().unwrap();
    let engine = Engine::builder().topic_defaults(defaults).open(&data).unwrap();
    let mut known = vec!["first".to_owned()];
    send(&engine, "first").unwrap();
    fs::rename(&data, &moved).unwrap();
    // The open segment takes more; the next one has no directory to be in.
    let refused = (0..100).find_map(|number| {
        let value = format!("{number:0100}");
        send(&engine, &value).inspect(|_| known.push(value.clone())).err()
    });
    let refused = refused.expect("a segment ends long before").to_string();
    assert!(refused.contains("data") && refused.contains("No such file or directory"), "{refused}");
    assert!(engine.close().is_err());
    drop(engine);
    assert!(!data.exists(), "nothing is made in the old place");
    let engine = Engine::open(&moved).unwrap();
    let there = read(&engine).unwrap();
    assert!(there.starts_with(&known), "{} of {}", there.len(), known.len());
    engine.close().unwrap();
}

// faults: P08
#[test]
#[expect(clippy::disallowed_methods, reason = "does what a user does with rm -r")]
fn directory_that_is_removed_is_an_error_and_no_end_of_the_process() {
    let outside = scratch();
    let data = outside.path().join("data");
    let defaults = TopicConfig::builder().segment_bytes(1000).build().unwrap();
    let engine = Engine::builder().topic_defaults(defaults).open(&data).unwrap();
    send(&engine, "first").unwrap();
    fs::remove_dir_all(&data).unwrap();
    let refused = (0..100).find_map(|number| send(&engine, &format!("{number:0100}")).err());
    assert!(refused.expect("a segment ends long before").to_string().contains("No such file or directory"));
    assert!(engine.close().is_err());
    drop(engine);
    let engine = Engine::open(&data).unwrap(); // a new one: of the old one there is nothing
    assert!(engine.end_offset(&("t", 0).into()).is_err());
    engine.close().unwrap();
}

/// All files, and what is in them; without the marker of a clean shutdown, which every opening takes away.
#[expect(clippy::disallowed_methods, reason = "looks at what an engine has left")]
fn content(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            all.extend(content(&path));
        } else if path.file_name().is_some_and(|name| name != "LOCK" && name != ".kafka_cleanshutdown") {
            let bytes = fs::read(&path).unwrap();
            all.push((path, bytes));
        }
    }
    all.sort();
    all
}

/// Runs a part in a mount namespace, behind the commands of `script`, where `$1` is the directory. `None` if the
/// machine does not permit it.
fn mounted(name: &str, directory: &Path, script: &str) -> Option<()> {
    let part = process(name, directory);
    let script = format!("cd \"$1\"; {{ {script}; }} || exit 77; shift; exec \"$@\"");
    let mut command = Command::new("unshare");
    command.args(if getuid().is_root() { &["--mount"][..] } else { &["--mount", "--map-root-user"] });
    command.args(["sh", "-c", &script, "sh"]).arg(directory).arg(part.get_program()).args(part.get_args());
    command.envs(part.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let ran = command.output().ok()?;
    // A part that has run has said so.
    if ran.status.code() == Some(77) || !String::from_utf8_lossy(&ran.stdout).contains("running 1 test") {
        return None;
    }
    assert!(ran.status.success(), "{}", said(&ran));
    Some(())
}

// faults: P09
#[test]
fn read_only_file_system_refuses_a_writer_by_name_and_is_verified() {
    let directory = scratch();
    open_with_two(&directory.path().join("data")).close().unwrap();
    let before = content(directory.path());
    let script = "mount --bind data data && mount -o remount,bind,ro data";
    let ran = mounted("places::part::finds_it_read_only", directory.path(), script);
    assert_eq!(content(directory.path()), before, "{ran:?}");
    let engine = Engine::open(directory.path().join("data")).unwrap();
    assert!(engine.report().is_empty());
    assert_eq!(read(&engine).unwrap(), ["a", "b"]);
    engine.close().unwrap();
}

// faults: P09
#[test]
fn missing_permission_is_an_error_that_names_the_file_and_resets_nothing() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;

    // Permissions mean nothing to root, who runs the part as somebody else, if that one can run this binary.
    const NOBODY: u32 = 65534;
    let directory = scratch();
    let data = directory.path().join("data");
    open_with_two(&data).close().unwrap();
    let as_other = getuid().is_root();
    let mode = |path: &Path, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    if as_other {
        mode(directory.path(), 0o755);
        for (path, _) in content(&data) {
            std::os::unix::fs::chown(path, Some(NOBODY), None).unwrap();
        }
        for name in ["", "LOCK", "log", "groups", "quarantine", "log/t-0"] {
            std::os::unix::fs::chown(data.join(name), Some(NOBODY), None).unwrap();
        }
    }
    let before = content(&data);
    for name in ["catalog", "positions", "log", "LOCK", "log/t-0", "log/t-0/00000000000000000000.log", ""] {
        let path = data.join(name);
        let old = fs::metadata(&path).unwrap().permissions();
        mode(&path, 0o000);
        let mut command = process("places::part::is_not_permitted", &data);
        if as_other {
            command.uid(NOBODY);
        }
        let ran = command.output();
        fs::set_permissions(&path, old).unwrap();
        let Ok(ran) = ran else { return }; // not for that one to run
        assert!(ran.status.success(), "{name}: {}", said(&ran));
    }
    let after: Vec<PathBuf> = content(&data).into_iter().map(|(path, _)| path).collect();
    let gone = before.into_iter().map(|(path, _)| path).filter(|path| !after.contains(path));
    assert_eq!(gone.collect::<Vec<_>>(), Vec::<PathBuf>::new());
    let engine = Engine::open(&data).unwrap();
    assert_eq!(read(&engine).unwrap(), ["a", "b"]);
    engine.close().unwrap();
}

// faults: P11
#[test]
fn overlay_file_system_is_as_good_as_another() {
    let directory = scratch();
    let script = "mount -t tmpfs tmpfs . && cd \"$1\" && mkdir lower upper work data && \
                  mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work overlay data";
    let _ = mounted("places::part::writes_and_reads", directory.path(), script);
}

// faults: P11
#[test]
fn tmpfs_is_as_good_as_another() {
    let directory = scratch();
    let script = "mkdir data && mount -t tmpfs tmpfs data";
    let _ = mounted("places::part::writes_and_reads", directory.path(), script);
}

// faults: P10
#[test]
#[expect(clippy::disallowed_methods, reason = "writes what another version would have left")]
fn file_of_another_version_is_refused_by_name_and_left_as_it_is() {
    for version in [0u32, 2, 1000] {
        for name in ["catalog", "positions", "groups/billing.offsets", "log/meta.properties"] {
            if (name, version) == ("log/meta.properties", 0) {
                continue; // Kafka has had such ones, and they are read
            }
            let directory = scratch();
            let data = directory.path();
            let engine = open_with_two(data);
            let mut consumer = ottla::Consumer::<str, str>::new(&engine, "billing").unwrap();
            consumer.commit_sync_offsets([(("t", 0).into(), ottla::Offset(1).into())]).unwrap();
            engine.close().unwrap();
            drop((consumer, engine));
            let path = data.join(name);
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, of_version(&bytes, version)).unwrap();
            let before = content(data);
            let refused = Engine::open(data).map(drop).unwrap_err();
            assert!(matches!(refused, Error::UnsupportedVersion { .. }), "{name}, {version}: {refused}");
            assert!(refused.to_string().contains(name), "{refused}");
            let changed = names(&before, &content(data));
            let may_change = |path: &PathBuf| name.starts_with("groups/") && path.ends_with("positions");
            assert!(changed.iter().all(may_change), "{name}, {version}: {changed:?}");
            let report = verify(data, &VerifyOptions::default()).unwrap();
            assert!(!report.is_clean(), "{name}");
            fs::write(&path, bytes).unwrap();
            let engine = Engine::open(data).unwrap();
            assert_eq!(read(&engine).unwrap(), ["a", "b"]);
            engine.close().unwrap();
        }
    }
}

/// The files that two listings differ in.
fn names(before: &[(PathBuf, Vec<u8>)], after: &[(PathBuf, Vec<u8>)]) -> Vec<PathBuf> {
    let differs = |one: &[(PathBuf, Vec<u8>)], file: &(PathBuf, Vec<u8>)| !one.contains(file);
    let gone = before.iter().filter(|file| differs(after, file));
    gone.chain(after.iter().filter(|file| differs(before, file))).map(|(path, _)| path.clone()).collect()
}

/// The same file with another version in its header, the checksums right.
fn of_version(bytes: &[u8], version: u32) -> Vec<u8> {
    if let Ok(text) = std::str::from_utf8(bytes)
        && text.contains("version=1")
    {
        return text.replace("version=1", &format!("version={version}")).into_bytes();
    }
    let mut changed = bytes.to_vec();
    let header = if bytes.starts_with(b"OTLJ") { 64 } else { HEADER_OF_POSITIONS };
    // A journal has its header twice.
    let copies = if bytes.starts_with(b"OTLJ") { 2 } else { 1 };
    for copy in changed.chunks_mut(header).take(copies) {
        copy[4..8].copy_from_slice(&version.to_be_bytes());
        let sum = crc32(&copy[..header - 4]);
        copy[header - 4..].copy_from_slice(&sum.to_be_bytes());
    }
    changed
}

const HEADER_OF_POSITIONS: usize = 16;

/// CRC-32 (IEEE), a bit at a time.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 })
    })
}

mod part {
    use super::super::directory;
    use super::*;

    #[test]
    #[ignore = "a part of another test: cargo test --all-features --test it surroundings::places; alone it does nothing"]
    fn finds_it_read_only() {
        let Some(directory) = directory() else { return };
        let data = directory.join("data");
        let refused = Engine::open(&data).map(drop).unwrap_err().to_string();
        assert!(refused.contains("Read-only file system") && refused.contains("data"), "{refused}");
        assert!(verify(&data, &VerifyOptions::default()).unwrap().is_clean());
    }

    #[test]
    #[ignore = "a part of another test: cargo test --all-features --test it surroundings::places; alone it does nothing"]
    fn is_not_permitted() {
        let Some(directory) = directory() else { return };
        let refused = Engine::open(&directory).and_then(|engine| {
            let outcome = send(&engine, "c").map(drop).and(read(&engine).map(drop));
            outcome.and(engine.close())
        });
        let refused = refused.unwrap_err();
        assert!(refused.to_string().contains("Permission denied"), "{refused}");
        assert!(!refused.is_corruption(), "{refused}");
    }

    #[test]
    #[ignore = "a part of another test: cargo test --all-features --test it surroundings::places; alone it does nothing"]
    fn writes_and_reads() {
        let Some(directory) = directory() else { return };
        let data = directory.join("data");
        for expected in [2, 4] {
            let engine = open_with_two(&data);
            assert!(engine.report().is_empty());
            assert_eq!(read(&engine).unwrap().len(), expected);
            engine.close().unwrap();
        }
    }
}

// faults: K05
#[test]
#[expect(clippy::disallowed_methods, reason = "does what a user does with mkfifo")]
fn pipe_in_the_place_of_a_file_is_waited_for_by_nobody() {
    let outside = scratch();
    open_with_two(&outside.path().join("good")).close().unwrap();
    let files = [
        "catalog",
        "positions",
        "reserve",
        "log/meta.properties",
        "log/t-0/00000000000000000000.log",
        "log/t-0/00000000000000000000.index",
        "log/t-0/leader-epoch-checkpoint",
        "log/t-0/partition.metadata",
    ];
    for file in files {
        let data = outside.path().join(file.replace('/', "."));
        let copied = Command::new("cp").arg("-r").arg(outside.path().join("good")).arg(&data).status().unwrap();
        assert!(copied.success());
        fs::remove_file(data.join(file)).unwrap();
        assert!(Command::new("mkfifo").arg(data.join(file)).status().unwrap().success());
        // Whoever opens a pipe to read it waits for a writer, and these threads would never end.
        let (told, ended) = std::sync::mpsc::channel();
        let place = data.clone();
        std::thread::spawn(move || {
            let verified = verify(&place, &VerifyOptions::default());
            let opened = Engine::open(&place).and_then(|engine| {
                let _ = read(&engine);
                engine.close()
            });
            told.send((verified.is_ok(), opened.err().map(|error| error.to_string()))).unwrap();
        });
        let (_, refused) =
            ended.recv_timeout(std::time::Duration::from_secs(60)).unwrap_or_else(|_| panic!("{file} is waited for"));
        let name = file.rsplit('/').next().unwrap();
        assert!(refused.as_ref().is_none_or(|refused| refused.contains(name)), "{file}: {refused:?}");
    }
}
