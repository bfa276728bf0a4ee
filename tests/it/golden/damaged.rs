//! One damage each: what is not damaged is read, nothing is read wrong, and the loss is said.

use std::collections::BTreeMap;
use std::path::Path;

use ottla::replay::{Archive, ReplayOptions};
use ottla::{DefectKind, TopicPartition, VerifyOptions, verify};
use serde_json::{Value, json};

use super::golden;
use super::manifest::{Manifest, read_lines, record_row};

fn directory(name: &str) -> Option<std::path::PathBuf> {
    let known = golden();
    let place = known[0].parent().unwrap().join(name);
    place.is_dir().then_some(place)
}

/// Ranges as `[dir, first, last]`.
fn ranges(row: &Value, dir: &str) -> Vec<(i64, i64)> {
    let ranges = row.as_array().into_iter().flatten().filter(|range| range[0] == dir);
    ranges.map(|range| (range[1].as_i64().unwrap(), range[2].as_i64().unwrap())).collect()
}

fn is_in(ranges: &[(i64, i64)], offset: i64) -> bool {
    ranges.iter().any(|(first, last)| (*first..=*last).contains(&offset))
}

/// What a replay gives of one partition, and where it says that something is lost.
fn replayed(archive: &Archive, partition: &TopicPartition) -> (BTreeMap<i64, Value>, Vec<(i64, i64)>, usize) {
    let dir = format!("{}-{}", partition.topic(), partition.partition());
    let options = ReplayOptions::default().topic(partition.topic()).partition(partition.partition());
    let mut records = BTreeMap::new();
    let replay = archive.replay(&options);
    let report = replay.for_each(|found| {
        let row = record_row(&dir, found.batch, &found.record);
        assert!(records.insert(found.record.offset().0, row).is_none(), "{dir}: it came twice");
    });
    let report = report.unwrap();
    let lost = report.findings.iter().filter_map(|defect| defect.offsets).map(|(first, last)| (first.0, last.0));
    (records, lost.collect(), report.findings.len())
}

#[test]
fn single_damages_cost_themselves_and_are_said() {
    let Some(place) = directory("damaged") else { return };
    let clean = Manifest::read(&place.join("clean/manifest.jsonl")).records("wounds-0");
    let wounds: TopicPartition = ("wounds", 0).into();
    let rows = read_lines(&place.join("expected.jsonl"));
    assert!(!rows.is_empty());
    for row in &rows {
        let damage = row["damage"].as_str().unwrap();
        let log = place.join(damage).join("log");
        let (records, lost, _) = replayed(&Archive::open(&log).unwrap(), &wounds);
        let unreadable = ranges(&row["unreadable"], "wounds-0");
        for (offset, found) in &records {
            assert_eq!(Some(found), clean.get(offset), "{damage}: a wrong record");
            assert!(!is_in(&unreadable, *offset), "{damage}: {offset} cannot be right");
        }
        for offset in clean.keys().filter(|offset| !records.contains_key(offset)) {
            assert!(is_in(&unreadable, *offset), "{damage}: {offset} is lost");
            assert!(is_in(&lost, *offset), "{damage}: nobody said that {offset} is lost");
        }
        let report = verify(&log, &VerifyOptions::default()).unwrap();
        // Several files at once are told by the last of them.
        let is_named = |defect: &&ottla::Defect| {
            let file = row["file"].as_str().unwrap_or("*");
            file.contains('*') || !log.join(file).exists() || defect.path.ends_with(file)
        };
        assert!(report.iter().any(|defect| is_named(&defect)), "{damage}: {:#?}", report.iter().collect::<Vec<_>>());
    }
}

#[test]
fn single_damages_in_the_old_formats_cost_their_unit_and_are_said() {
    for place in ["legacy_damaged_v0", "legacy_damaged_v1"].iter().filter_map(|name| directory(name)) {
        let manifest = Manifest::read(&place.join("manifest.jsonl"));
        let archive = Archive::open(place.join("log")).unwrap();
        let report = verify(place.join("log"), &VerifyOptions::default()).unwrap();
        for row in read_lines(&place.join("expected.jsonl")) {
            let (damage, dir) = (row["damage"].as_str().unwrap(), row["dir"].as_str().unwrap());
            let source = manifest.records(row["source"].as_str().unwrap());
            let partition: TopicPartition = (dir.rsplit_once('-').unwrap().0, 0).into();
            let (records, lost, findings) = replayed(&archive, &partition);
            let (unreadable, unit) = (ranges(&row["unreadable"], dir), ranges(&row["unit"], dir));
            for (offset, found) in &records {
                let mut expected = source.get(offset).cloned().unwrap_or(Value::Null);
                expected["dir"] = json!(dir);
                assert_eq!(*found, expected, "{damage}: a wrong record");
                assert!(!is_in(&unreadable, *offset), "{damage}: {offset} cannot be right");
            }
            let is_torn = row["torn"] == json!(true);
            for offset in source.keys().filter(|offset| !records.contains_key(offset)) {
                assert!(is_in(&unit, *offset), "{damage}: {offset} is lost");
                assert!(is_in(&lost, *offset) || is_torn, "{damage}: nobody said that {offset} is lost");
            }
            assert!(findings > 0 || unit.is_empty(), "{damage}");
            let named = report.iter().filter(|defect| defect.path.to_str().unwrap().contains(&format!("/{dir}/")));
            let kinds: Vec<_> = named.map(|defect| defect.kind).collect();
            assert_eq!(kinds.len(), 1, "{damage}: {kinds:?}");
            assert!(matches!(kinds[0], DefectKind::Damage | DefectKind::Torn | DefectKind::Cache), "{damage}");
        }
    }
}

/// How many offsets the ranges hold.
fn count_of(ranges: &Value) -> i64 {
    let length = |range: &Value| range[1].as_i64().unwrap() - range[0].as_i64().unwrap() + 1;
    ranges.as_array().into_iter().flatten().map(length).sum()
}

/// What a broker lost or told wrongly, in words.
fn kafka_cell(says: &Value) -> String {
    if says["starts"] != json!(true) {
        return "does not start".to_owned();
    }
    let (lost, wrong) = (count_of(&says["consumer_misses"]), count_of(&says["consumer_gets_besides"]));
    let is_said = says["consumer_errors"].as_object().is_some_and(|errors| !errors.is_empty());
    let mut cell = match lost {
        0 => "nothing".to_owned(),
        lost if is_said => format!("{lost}, with an error"),
        lost => format!("{lost}, without a word"),
    };
    if wrong > 0 {
        cell += &format!("; {wrong} delivered at wrong offsets");
    }
    cell
}

fn ottla_cell(lost: usize, findings: usize) -> String {
    match (lost, findings) {
        (0, 0) => "nothing".to_owned(),
        (0, _) => "nothing; said".to_owned(),
        (lost, _) => format!("{lost}, said"),
    }
}

/// The table of `docs/damages.md`, measured.
fn table() -> String {
    let place = directory("damaged").unwrap();
    let clean = Manifest::read(&place.join("clean/manifest.jsonl")).records("wounds-0");
    let mut table = format!(
        "Format v2: records lost of {}.\n\n\
         | damage | Kafka, stopped cleanly | Kafka, recovering | ottla |\n|---|---|---|---|\n",
        clean.len()
    );
    for row in read_lines(&place.join("expected.jsonl")) {
        let damage = row["damage"].as_str().unwrap();
        let archive = Archive::open(place.join(damage).join("log")).unwrap();
        let (records, _, findings) = replayed(&archive, &("wounds", 0).into());
        let says = &row["kafka_says"];
        let [stopped, killed] = ["with_clean_marker", "without_clean_marker"].map(|marker| kafka_cell(&says[marker]));
        let ottla = ottla_cell(clean.len() - records.len(), findings);
        table += &format!("| {damage} | {stopped} | {killed} | {ottla} |\n");
    }
    for (name, format) in [("legacy_damaged_v0", "v0"), ("legacy_damaged_v1", "v1")] {
        table += &format!(
            "\nFormat {format}: records lost; each damage has a log of 12 to 28 records. A reader of Kafka's that does not \
             verify checksums\ndelivers the records of the third column with wrong content or at wrong offsets.\n\n\
             | damage | Kafka, verifying checksums | wrong without that | ottla |\n|---|---|---|---|\n"
        );
        let place = directory(name).unwrap();
        let manifest = Manifest::read(&place.join("manifest.jsonl"));
        let archive = Archive::open(place.join("log")).unwrap();
        for row in read_lines(&place.join("expected.jsonl")) {
            let (damage, dir) = (row["damage"].as_str().unwrap(), row["dir"].as_str().unwrap());
            let source = manifest.records(row["source"].as_str().unwrap()).len();
            let (records, _, findings) = replayed(&archive, &(dir.rsplit_once('-').unwrap().0, 0).into());
            let says = &row["kafka_says"];
            let kafka = match i64::try_from(source).unwrap() - count_of(&says["delivers_with_valid_checksums"]) {
                0 => "nothing".to_owned(),
                lost => lost.to_string(),
            };
            let wrong = count_of(&says["delivers_wrong"]);
            let ottla = ottla_cell(source - records.len(), findings);
            table += &format!("| {damage} | {kafka} | {wrong} | {ottla} |\n");
        }
    }
    table
}

/// `OTTLA_WRITE_PAGES=1` writes it anew.
#[test]
fn table_of_damages_is_what_is_measured() {
    if std::env::var_os("OTTLA_GOLDEN").is_some() {
        return; // the page is about our own
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/damages.md");
    let page = std::fs::read_to_string(&file).unwrap();
    let (front, _) = page.split_once("<!-- table -->\n").unwrap();
    let expected = format!("{front}<!-- table -->\n\n{}", table());
    if std::env::var_os("OTTLA_WRITE_PAGES").is_some() {
        std::fs::write(&file, &expected).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), expected);
}
