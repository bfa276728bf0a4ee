//! The page on replay, `docs/replay.md`: its commands are run again, and print what it shows.

#![expect(clippy::disallowed_methods, reason = "reads what is beside the sources, which no engine opens")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::command::run;

/// Runs a command of the page where the directories have the names that they have there.
fn printed(command: &str, place: &Path) -> String {
    let binary = Path::new(env!("CARGO_BIN_EXE_ottla")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap_or_default());
    let mut shell = Command::new("sh");
    shell.current_dir(place).env("PATH", path).args(["-c", &format!("{{ {command}; }} 2>&1")]);
    String::from_utf8(run(&mut shell, b"").out).unwrap()
}

/// Without how long it took, which is another time each time.
fn timeless(line: &str) -> &str {
    let cut = line.find(" bytes in ").or_else(|| line.find(",\"seconds\":"));
    cut.map_or(line, |cut| &line[..cut])
}

/// `OTTLA_WRITE_PAGES=1` writes anew what is printed.
#[test]
fn every_command_of_the_page_prints_what_it_shows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let place = tempfile::tempdir().unwrap();
    for (name, directory) in [("kafka", "transactions_v2"), ("damaged", "damaged/record-byte-middle")] {
        symlink(root.join("tests/golden").join(directory), place.path().join(name)).unwrap();
    }
    let file = root.join("docs/replay.md");
    let page = fs::read_to_string(&file).unwrap();
    let (mut anew, mut is_text, mut commands) = (String::new(), false, 0);
    for line in page.lines() {
        if line.starts_with("```") {
            is_text = line == "```text";
        }
        match line.strip_prefix("$ ") {
            Some(command) if is_text => {
                anew += &format!("{line}\n{}", printed(command, place.path()));
                commands += 1;
            }
            _ if is_text && line != "```text" => {} // what was printed then
            _ => anew += &format!("{line}\n"),
        }
    }
    assert!(commands > 5);
    if std::env::var_os("OTTLA_WRITE_PAGES").is_some() {
        fs::write(&file, &anew).unwrap();
    }
    let shown = fs::read_to_string(&file).unwrap();
    let both = |text: &str| text.lines().map(|line| timeless(line).to_owned()).collect::<Vec<_>>();
    assert_eq!(both(&shown), both(&anew));
}
