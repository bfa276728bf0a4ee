//! Whatever an index file holds, each record of the log is found by its offset and by its time.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ottla::fuzzing::index_open;

fuzz_target!(|bytes: &[u8]| index_open(bytes));
