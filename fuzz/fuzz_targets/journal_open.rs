//! Opening whatever bytes as a journal never panics, and what it gives is the same when it is compacted and opened again.
//!
//! Hardly any input has the checksums that a journal needs, so each is tried a second time with those put right that
//! stand where the lengths say.

#![no_main]

#[path = "common/journal.rs"]
mod journal;

use libfuzzer_sys::fuzz_target;
use ottla::fuzzing::journal_open;

fuzz_target!(|bytes: &[u8]| {
    journal_open(bytes);
    let mut bytes = bytes.to_vec();
    if let Some((_, file)) = bytes.split_first_mut() {
        journal::put_right(file);
        journal_open(&bytes);
    }
});
