//! Reading varints never panics and never reads too far, and what was read is written and read the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ottla::fuzzing::varint;

fuzz_target!(|bytes: &[u8]| varint(bytes));
