//! The page on failures, `docs/failures.md`: what it shows was printed, and is printed again here.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::process::getuid;

use crate::command::{Ran, run};
use crate::surroundings::scratch;

/// A directory in which the command line is at work, with the name that the page gives it.
struct Place {
    scratch: tempfile::TempDir,
    /// What was printed, without what differs from run to run.
    printed: BTreeSet<String>,
}

impl Place {
    fn new() -> Self {
        Self { scratch: scratch(), printed: BTreeSet::new() }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.scratch.path().join("data").join(name)
    }

    fn ottla(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ottla"));
        command.current_dir(self.scratch.path()).args(["-d", "data"]);
        command
    }

    fn run(&mut self, arguments: &str) -> Ran {
        self.feed("", arguments)
    }

    fn feed(&mut self, input: &str, arguments: &str) -> Ran {
        let ran = run(self.ottla().args(arguments.split(' ')), input.as_bytes());
        self.note(&ran);
        ran
    }

    fn note(&mut self, ran: &Ran) {
        let lines =
            [&*String::from_utf8_lossy(&ran.out), &ran.err].map(|said| said.lines().map(plain).collect::<Vec<_>>());
        self.printed.extend(lines.into_iter().flatten());
    }

    /// A directory with a thousand records in several batches, of which a group has committed half; the one before is
    /// gone.
    #[expect(clippy::disallowed_methods, reason = "begins anew")]
    fn fresh(&mut self) {
        let data = self.path("");
        if data.exists() {
            fs::remove_dir_all(data).unwrap();
        }
        let lines: String = (0..1000).map(|number| format!("{number}\n")).collect();
        assert_eq!(self.feed(&lines, "produce orders --config batch.size=2000").status, 0);
        assert_eq!(self.run("consume orders --group billing --max-records 500").status, 0);
    }

    #[expect(clippy::disallowed_methods, reason = "what a crash leaves: no marker")]
    fn fresh_and_killed(&mut self) {
        self.fresh();
        fs::remove_file(self.path("log/.kafka_cleanshutdown")).unwrap();
    }
}

/// A line without the numbers and checksums in it, and without the name of the command.
fn plain(line: &str) -> String {
    let line = line.strip_prefix("ottla: ").unwrap_or(line);
    let mut plain = String::new();
    let mut run = String::new();
    for letter in line.chars().chain(['\n']) {
        if letter.is_ascii_hexdigit() {
            run.push(letter);
            continue;
        }
        // A checksum, an id, a number; or the end of a word.
        let is_number = run.chars().all(|letter| letter.is_ascii_digit()) || run.len() >= 8;
        plain.push_str(if is_number && !run.is_empty() { "N" } else { &run });
        run.clear();
        plain.push(letter);
    }
    plain.trim_end().to_owned()
}

#[expect(clippy::disallowed_methods, reason = "what bad disks and tidy people do")]
fn write_at(path: &Path, position: usize, bytes: &[u8]) {
    let mut content = fs::read(path).unwrap();
    content.resize(content.len().max(position + bytes.len()), 0);
    content[position..position + bytes.len()].copy_from_slice(bytes);
    fs::write(path, content).unwrap();
}

fn len(path: &Path) -> usize {
    usize::try_from(fs::metadata(path).unwrap().len()).unwrap()
}

const SEGMENT: &str = "log/orders-0/00000000000000000000.log";

/// Does to directories what the page tells of.
#[expect(clippy::disallowed_methods, reason = "what bad disks and tidy people do")]
fn provoke() -> BTreeSet<String> {
    let mut place = Place::new();
    for tail in [&b"what a power cut leaves of a write"[..], &[0; 300]] {
        place.fresh_and_killed();
        let segment = place.path(SEGMENT);
        write_at(&segment, len(&segment), tail);
        place.run("topic create more");
    }

    place.fresh();
    write_at(&place.path(SEGMENT), 3000, b"X");
    assert_eq!(place.run("verify").status, 1);
    assert_eq!(place.run("consume orders").status, 2);
    assert_eq!(place.run("consume orders --on-corrupt skip").status, 1);
    place.run("repair");

    place.fresh();
    write_at(&place.path("positions"), 140, &[0; 8]);
    place.run("topic create more");
    place.fresh();
    fs::remove_file(place.path("positions")).unwrap();
    place.run("topic create more");

    place.fresh();
    write_at(&place.path("groups/billing.offsets"), 160, &[0xff; 8]);
    place.run("topic create more");
    place.fresh();
    write_at(&place.path("catalog"), 160, &[0; 8]);
    place.run("topic create more");
    place.fresh();
    for name in ["catalog", "catalog.previous"] {
        drop(fs::remove_file(place.path(name)));
    }
    place.run("topic create more");

    place.fresh();
    let properties = place.path("log/meta.properties");
    fs::write(&properties, fs::read_to_string(&properties).unwrap().replace("version=1", "version=2")).unwrap();
    place.run("topic create more");

    place.fresh();
    fs::remove_dir_all(place.path("log/orders-0")).unwrap();
    place.run("topic create more");
    place.fresh();
    fs::create_dir(place.path("log/old-0")).unwrap();
    fs::copy(place.path(SEGMENT), place.path("log/old-0/00000000000000000000.log")).unwrap();
    place.run("topic create more");

    place.fresh();
    let mut command = place.ottla();
    let writer = command.args(["produce", "orders", "--json"]).stdin(std::process::Stdio::piped());
    let mut writer = writer.stdout(std::process::Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(writer.stdin.as_mut().unwrap(), b"x\n").unwrap();
    std::io::Read::read_exact(writer.stdout.as_mut().unwrap(), &mut [0]).unwrap(); // it has it open
    place.run("topic create more");
    drop(writer.stdin.take());
    writer.wait().unwrap();

    place.fresh();
    let binary = env!("CARGO_BIN_EXE_ottla");
    let lines: String = (0..9000).map(|number| format!("{number:01000}\n")).collect();
    let in_shell = |place: &mut Place, input: &str, before: &str, arguments: &str| {
        let mut shell = Command::new("sh");
        shell.current_dir(place.scratch.path()).args(["-c", &format!("{before} {binary} -d data {arguments}")]);
        place.note(&run(&mut shell, input.as_bytes()));
    };
    in_shell(&mut place, &lines, "ulimit -f 4000;", "produce orders --config retries=0");
    place.fresh();
    in_shell(&mut place, "", "ulimit -n 8;", "topic create more");
    let user = if getuid().is_root() { "" } else { "--map-root-user" };
    let read_only = "mount --bind data data && mount -o remount,bind,ro data &&";
    let before = format!("unshare --mount {user} sh -c '{read_only} \"$@\"' sh");
    in_shell(&mut place, "", &before, "topic create more");
    place.printed
}

#[test]
#[expect(clippy::disallowed_methods, reason = "reads the source tree, which no engine opens")]
fn every_line_that_the_page_shows_is_printed() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/failures.md")).unwrap();
    let printed = provoke();
    let mut shown = Vec::new();
    let mut is_text = false;
    for line in page.lines() {
        match line {
            "```text" => is_text = true,
            "```" => is_text = false,
            line if is_text => shown.push(line),
            _ => {}
        }
    }
    assert!(shown.len() > 15);
    for line in shown {
        let (text, all) = (plain(line), || printed.iter().fold(String::new(), |all, line| format!("{all}\n{line}")));
        // Inside of lines too: most begin with the line of input that met the error.
        let is_printed = printed.iter().any(|printed| printed.contains(&text));
        let may_lack = text.contains("Read-only file system"); // not every machine lets a test mount
        assert!(is_printed || may_lack, "nobody prints {line:?}, that is {text:?}, but{}", all());
    }
}
