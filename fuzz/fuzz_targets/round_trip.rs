//! What is written is read the same, with every codec.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ottla::fuzzing::round_trip;

fuzz_target!(|bytes: &[u8]| round_trip(bytes));
