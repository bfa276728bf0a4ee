//! The house rules that no compiler checks: which room may name which, what a source file may hold, and that what is
//! public is shown at work.
//!
//! A room is a top-level module of `src`. Rooms lie on lines, and name only rooms on lower lines; the drawing is in
//! `ARCHITECTURE.md`. All rules look at the text of the files, so they hold for test modules and for code that is
//! compiled out as well. A finding names file and line.

#![expect(clippy::disallowed_methods, reason = "reads the source tree, which no engine opens")]

mod source;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use source::{Source, Use};

/// The rooms, from the top of the house to its ground. Rooms on one line do not know each other.
const LINES: [&[&str]; 10] = [
    &["processing"],
    &["producer", "consumer", "admin"],
    &["engine", "replay"],
    &["coordinator"],
    &["topics"],
    &["replication"],
    &["storage"],
    &["record"],
    &["config", "io", "metrics"],
    &["error", "sync"],
];

/// Below all lines: the nouns.
const GROUND: &str = "types";

/// A file with more lines holds two rooms.
const MAX_LINES: usize = 900;

/// What unfinished work is marked with: macros in code, words anywhere but in a literal.
const UNFINISHED_MACROS: [&str; 2] = ["todo!", "unimplemented!"];
const UNFINISHED_WORDS: [&str; 2] = ["FIXME", "XXX"];

/// Public items that need no example: file, name and why.
const NO_EXAMPLE: [(&str, &str, &str); 0] = [];

#[test]
fn every_room_is_on_the_map() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("the map of the house is there");
    assert_tidy(unmapped(&sources("src"), &map));
}

#[test]
fn arrows_run_down() {
    assert_tidy(library().iter().flat_map(arrows).collect());
}

#[test]
fn each_module_is_named_in_one_use() {
    assert_tidy(library().iter().flat_map(uses).collect());
}

#[test]
fn command_line_stands_on_the_public_api() {
    assert_tidy(sources("src").iter().filter(|source| source.room() == Some("bin")).flat_map(back_doors).collect());
}

#[test]
fn source_is_ascii_finished_and_not_too_long() {
    assert_tidy(sources("src").iter().flat_map(text).collect());
}

#[test]
fn public_items_have_examples() {
    assert_tidy(without_example(&library(), &NO_EXAMPLE));
}

#[test]
fn lib_declares_the_rooms_from_the_ground_up() {
    let sources = sources("src");
    let lib = sources.iter().find(|source| source.path == "src/lib.rs").expect("the crate has a root");
    assert_tidy(reading_order(lib, &sources));
}

/// Rooms that `map` leaves out.
fn unmapped(sources: &[Source], map: &str) -> Vec<String> {
    let missing = |room: &&str| !map.contains(&format!("`{room}`"));
    let finding = |room| format!("src/{room}: ARCHITECTURE.md does not mention `{room}`: add its line");
    rooms(sources)
        .into_iter()
        .map(|room| if room == "bin" { "bin/ottla" } else { room })
        .filter(missing)
        .map(finding)
        .collect()
}

/// Arrows from a room to one that does not lie lower.
fn arrows(source: &Source) -> Vec<String> {
    let Some(from) = source.room() else { return Vec::new() };
    let mut findings = Vec::new();
    for (position, room) in source.crate_paths() {
        let wrong = match (height(from), height(room)) {
            _ if from == room => continue,
            (None, _) => format!("room `{from}` is on no line of LINES: give it a place"),
            (_, None) => format!("`crate::{room}` goes through the crate root: name the room where it lives"),
            (Some(here), Some(there)) if there == here => format!("`{from}` names `{room}`, which is on the same line"),
            (Some(here), Some(there)) if there > here => format!("`{from}` names `{room}`, which is on a higher line"),
            _ => continue,
        };
        findings.push(source.finding(position, &wrong));
    }
    let climbs = source.climbs_to_the_root().into_iter();
    findings.extend(climbs.map(|at| source.finding(at, "`super::` reaches the crate root: write `crate::room::...`")));
    findings
}

/// `use crate::...` that could be one with another, or that are several in one.
fn uses(source: &Source) -> Vec<String> {
    let mut findings = Vec::new();
    let uses = source.crate_uses();
    for (at, this) in uses.iter().enumerate() {
        if this.names_several_modules {
            findings.push(source.finding(this.position, "one `use` names several modules: write one line for each"));
        }
        let same = |that: &&Use| (that.scope, &that.how, &that.module) == (this.scope, &this.how, &this.module);
        if uses[..at].iter().any(|that| same(&that)) {
            let wrong = format!("`{}` is named by an earlier `use` already: make it one", this.module);
            findings.push(source.finding(this.position, &wrong));
        }
    }
    findings
}

/// Ways around the public API.
fn back_doors(source: &Source) -> Vec<String> {
    let mut findings = Vec::new();
    for door in ["#[path", "include!"] {
        let wrong = format!("`{door}` brings in the library's source: use what it makes public");
        findings.extend(source.in_code(door).into_iter().map(|at| source.finding(at, &wrong)));
    }
    findings
}

/// What a file should not hold.
fn text(source: &Source) -> Vec<String> {
    let mut findings = Vec::new();
    for (position, letter) in source.text.char_indices().filter(|(_, letter)| !letter.is_ascii()) {
        let wrong = format!("{letter:?} is not ASCII: write it as {}", letter.escape_unicode());
        findings.push(source.finding(position, &wrong));
    }
    let lines = source.text.lines().count();
    if lines > MAX_LINES {
        findings.push(format!("{}:{lines}: more than {MAX_LINES} lines: look for the seam", source.path));
    }
    let macros = UNFINISHED_MACROS.iter().flat_map(|mark| source.in_code(mark));
    let words = UNFINISHED_WORDS.iter().flat_map(|mark| source.in_code_or_comment(mark));
    findings.extend(macros.chain(words).map(|at| source.finding(at, "unfinished work is marked here")));
    findings
}

/// Public types, and public functions that can fail, whose documentation shows nobody how to use them.
fn without_example(sources: &[Source], excused: &[(&str, &str, &str)]) -> Vec<String> {
    let mut findings = Vec::new();
    let mut used = vec![false; excused.len()];
    for source in sources {
        for (position, name) in source.items_to_show().into_iter().filter(|(at, _)| !source.has_example(*at)) {
            match excused.iter().position(|(path, item, _)| (*path, *item) == (source.path.as_str(), name)) {
                Some(at) => used[at] = true,
                None => {
                    let wrong = format!("`{name}` has no example that runs and asserts: show what a user does with it");
                    findings.push(source.finding(position, &wrong));
                }
            }
        }
    }
    let unused = excused.iter().zip(used).filter(|(_, is_used)| !is_used);
    findings
        .extend(unused.map(|((path, item, _), _)| format!("{path}: `{item}` needs no excuse: take it off the list")));
    findings
}

/// Rooms that `lib` does not declare, or not where a reader expects them.
fn reading_order(lib: &Source, sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    let declared = lib.declared_modules();
    for pair in declared.windows(2) {
        let [(_, lower), (position, upper)] = pair else { continue };
        if height(upper) < height(lower) {
            let wrong = format!("`{upper}` lies below `{lower}`, and comes before it");
            findings.push(lib.finding(*position, &wrong));
        }
    }
    for room in rooms(sources).into_iter().filter(|room| *room != "bin") {
        if !declared.iter().any(|(_, name)| *name == room) {
            findings.push(format!("{}: `{room}` is not declared", lib.path));
        }
    }
    findings
}

/// How many lines lie below the room.
fn height(room: &str) -> Option<usize> {
    if room == GROUND {
        return Some(0);
    }
    LINES.iter().rev().position(|line| line.contains(&room)).map(|above_ground| above_ground + 1)
}

/// The rooms that have files, by name.
fn rooms(sources: &[Source]) -> Vec<&str> {
    let mut rooms = sources.iter().filter_map(Source::room).collect::<Vec<_>>();
    rooms.sort_unstable();
    rooms.dedup();
    rooms
}

/// The files of the library. The command line is another crate: there, `crate` means itself.
fn library() -> Vec<Source> {
    sources("src").into_iter().filter(|source| source.room() != Some("bin")).collect()
}

/// Every Rust file below `directory` of the project, in the order of their paths.
fn sources(directory: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    let entries = fs::read_dir(root().join(directory)).expect("the source tree can be listed");
    for entry in entries.map(|entry| entry.expect("the source tree can be listed")) {
        let path = format!("{directory}/{}", entry.file_name().to_str().expect("source files have plain names"));
        if entry.path().is_dir() {
            sources.extend(self::sources(&path));
        } else if entry.path().extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(entry.path()).expect("source files are text");
            sources.push(Source::new(path, text));
        }
    }
    sources.sort_by(|left, right| left.path.cmp(&right.path));
    sources
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[track_caller]
fn assert_tidy(findings: Vec<String>) {
    let list = findings.iter().fold(String::new(), |mut list, finding| {
        writeln!(list, "  {finding}").expect("a string takes everything");
        list
    });
    assert!(findings.is_empty(), "{} to tidy up:\n{list}", findings.len());
}

// --- The rules themselves, on small samples. ---

fn sample(path: &str, text: &str) -> Source {
    Source::new(path.to_owned(), text.to_owned())
}

#[test]
fn arrow_up_or_sideways_is_found() {
    let upwards = sample("src/storage/log.rs", "use crate::types::Offset;\nuse crate::engine::Engine;\n");
    assert_eq!(arrows(&upwards), ["src/storage/log.rs:2: `storage` names `engine`, which is on a higher line"]);
    let sideways = sample("src/consumer/mod.rs", "fn f() {\n    crate::producer::f();\n}\n");
    assert_eq!(arrows(&sideways), ["src/consumer/mod.rs:2: `consumer` names `producer`, which is on the same line"]);
    let in_test = sample("src/error.rs", "#[cfg(test)]\nmod tests {\n    use crate::record::Batch;\n}\n");
    assert_eq!(arrows(&in_test), ["src/error.rs:3: `error` names `record`, which is on a higher line"]);
}

#[test]
fn arrow_through_the_root_is_found() {
    let by_name = sample("src/storage/log.rs", "use crate::Offset;");
    let expected = "src/storage/log.rs:1: `crate::Offset` goes through the crate root: name the room where it lives";
    assert_eq!(arrows(&by_name), [expected]);
    let expected = "src/a/b.rs:2: `super::` reaches the crate root: write `crate::room::...`";
    let by_climbing =
        sample("src/a/b.rs", "use super::c;\nuse super::super::d;\nmod tests {\n    use super::super::c;\n}");
    assert_eq!(arrows(&by_climbing), [expected]);
    let in_braces = sample("src/storage/log.rs", "use crate::{types::Offset, error::Error};");
    assert_eq!(arrows(&in_braces).len(), 1);
}

#[test]
fn arrow_down_comment_literal_and_macro_path_are_no_findings() {
    let fine = r##"
        //! See [`Engine`](crate::engine::Engine).
        /* crate::engine /* nested */ crate::engine */
        use crate::record::Batch;
        use crate::storage::Segment;
        /// [there](crate::consumer::Consumer)
        pub(in crate::storage) const A: &str = "\"crate::engine";
        const B: &str = r#"a "quoted" crate::engine"#;
        const C: (char, char, &'static [u8]) = ('"', '\'', b"crate::engine");
        macro_rules! m { () => { $crate::engine::Engine } }
        const D: &str = "";
    "##;
    assert_eq!(arrows(&sample("src/storage/log.rs", fine)), [""; 0]);
    let after = format!("{fine}\nuse crate::engine::Engine;");
    assert_eq!(arrows(&sample("src/storage/log.rs", &after)).len(), 1, "the reader lost its way in the literals");
}

#[test]
fn room_without_a_line_is_found() {
    assert_eq!(arrows(&sample("src/attic/mod.rs", "use crate::types::Offset;")).len(), 1);
    let sources = [sample("src/attic/mod.rs", ""), sample("src/types.rs", ""), sample("src/lib.rs", "mod types;")];
    let expected = "src/attic: ARCHITECTURE.md does not mention `attic`: add its line";
    assert_eq!(unmapped(&sources, "| `types` | the nouns |"), [expected]);
    assert_eq!(reading_order(&sources[2], &sources), ["src/lib.rs: `attic` is not declared"]);
}

#[test]
fn second_use_of_a_module_is_found() {
    let twice =
        sample("src/io/os.rs", "use crate::error::Error;\nuse crate::types::Offset;\nuse crate::error::Result;\n");
    assert_eq!(uses(&twice), ["src/io/os.rs:3: `crate::error` is named by an earlier `use` already: make it one"]);
    let both = sample("src/io/os.rs", "use crate::error::{Error, kind::{Kind, Class}};");
    assert_eq!(uses(&both), ["src/io/os.rs:1: one `use` names several modules: write one line for each"]);
    let fine = "use crate::a::{\n    B, C,\n};\npub use crate::a::D;\nuse crate::a::e::F;\nmod tests {\n    use crate::a::G;\n}";
    assert_eq!(uses(&sample("src/io/os.rs", fine)), [""; 0]);
    let optional = "#[cfg(feature = \"a\")]\npub use crate::a::B;\n#[cfg(feature = \"b\")]\npub use crate::a::C;\n";
    assert_eq!(uses(&sample("src/lib.rs", optional)), [""; 0]);
}

#[test]
fn back_door_of_the_command_line_is_found() {
    let door = sample("src/bin/ottla/main.rs", "#[path = \"../../io/mod.rs\"]\nmod io;\n");
    let expected = "src/bin/ottla/main.rs:1: `#[path` brings in the library's source: use what it makes public";
    assert_eq!(back_doors(&door), [expected]);
}

#[test]
fn text_that_should_not_be_there_is_found() {
    let letter = sample("src/io/os.rs", "\n// caf\u{e9}\n");
    assert_eq!(text(&letter), ["src/io/os.rs:2: '\u{e9}' is not ASCII: write it as \\u{e9}"]);
    let long = sample("src/io/os.rs", &"\n".repeat(MAX_LINES + 1));
    assert_eq!(text(&long), ["src/io/os.rs:901: more than 900 lines: look for the seam"]);
    let unfinished = sample("src/io/os.rs", "fn f() {\n    todo!()\n}\n// FIXME: later\nconst A: &str = \"XXX\";\n");
    let findings = text(&unfinished);
    assert_eq!(findings.len(), 2, "{findings:?}");
    assert!(findings[0].starts_with("src/io/os.rs:2:") && findings[1].starts_with("src/io/os.rs:4:"), "{findings:?}");
}

#[test]
fn public_item_without_example_is_found() {
    let text = "/// A.\npub struct A;\nimpl A {\n    /// F.\n    #[must_use]\n    pub const fn f(&self) -> Result<(), E> {}\n}\n\
                /// T.\npub trait T {\n    /// G.\n    fn g(&self, by: [u8; 4]) -> Result<()>;\n}\n\
                /// ```text\n/// assert\n/// ```\npub type C = u8;\n";
    let findings = without_example(&[sample("src/io/os.rs", text)], &[]);
    let found: Vec<_> = findings.iter().map(|finding| finding.split(" has").next().unwrap_or_default()).collect();
    let expected = ["2: `A`", "9: `T`", "16: `C`", "6: `f`", "11: `g`"].map(|each| format!("src/io/os.rs:{each}"));
    assert_eq!(found, expected);
}

#[test]
fn item_that_is_shown_private_infallible_or_excused_is_no_finding() {
    let shown = "/// A.\n///\n/// ```\n/// assert!(true);\n/// ```\n#[derive(Debug)]\npub struct A;\n";
    let attribute = "/// ```\n#[doc = concat!(\n    \"assert!\", \"();\"\n)]\n/// ```\npub fn f() -> Result<A> {}\n";
    let plain = "/// G.\npub fn g(by: impl FnOnce(Result<A>)) -> A {}\npub(crate) enum B {}\nfn h() -> Result<A> {}\n";
    let hidden = "mod tests {\n    pub struct C;\n}\nmacro_rules! m {\n    () => { pub struct $name; }\n}\n";
    let fine = sample("src/io/os.rs", &format!("{shown}\n{attribute}\n{plain}\n{hidden}"));
    assert_eq!(without_example(&[fine], &[]), [""; 0]);
    let bare = sample("src/io/os.rs", "pub struct A;\n");
    assert_eq!(without_example(&[bare], &[("src/io/os.rs", "A", "for the test")]), [""; 0]);
    let expected = "src/io/os.rs: `A` needs no excuse: take it off the list";
    assert_eq!(without_example(&[], &[("src/io/os.rs", "A", "for the test")]), [expected]);
}

#[test]
fn room_out_of_reading_order_is_found() {
    let lib = sample("src/lib.rs", "mod types;\n\npub mod io;\n// mod engine;\nmod error;\n");
    assert_eq!(reading_order(&lib, &[]), ["src/lib.rs:5: `error` lies below `io`, and comes before it"]);
}
