//! Whatever bytes one of Kafka's text files has, reading it never panics, and what can be read is the same again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ottla::fuzzing::checkpoint;

fuzz_target!(|bytes: &[u8]| checkpoint(bytes));
