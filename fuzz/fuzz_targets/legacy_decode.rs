//! Messages and compressed sets of the formats v0 and v1: whatever the bytes are, decoding and unpacking never panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ottla::fuzzing::legacy_decode;

fuzz_target!(|bytes: &[u8]| legacy_decode(bytes));
