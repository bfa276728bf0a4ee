//! The seeds of the fuzz targets that need the feature `fuzzing`, as the targets take them.

#![expect(clippy::disallowed_methods, reason = "reads the seeds")]

use std::fs;
use std::path::Path;

use ottla::fuzzing::{
    archive_open, checkpoint, consumer_offsets, dump_file, index_open, journal_open, legacy_decode, round_trip,
    snapshot, transaction_index, varint,
};

type Target = fn(&[u8]);

#[test]
fn seeds_of_the_fuzz_targets_pass() {
    let targets: [(&str, Target); 11] = [
        ("varint", varint),
        ("index_open", index_open),
        ("journal_open", journal_open),
        ("snapshot", snapshot),
        ("checkpoint", checkpoint),
        ("transaction_index", transaction_index),
        ("consumer_offsets", consumer_offsets),
        ("dump_file", dump_file),
        ("legacy_decode", legacy_decode),
        ("archive_open", archive_open),
        ("round_trip", round_trip),
    ];
    for (name, target) in targets {
        let seeds = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(name));
        for seed in seeds.expect("a target has seeds") {
            target(&fs::read(seed.expect("it can be listed").path()).expect("it can be read"));
        }
    }
}
