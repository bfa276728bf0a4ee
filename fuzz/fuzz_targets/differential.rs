//! Batches that are written here are read by the crate kafka-protocol, and what is read here is read there the same.

#![no_main]

#[path = "common/differential.rs"]
mod differential;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    differential::written(bytes);
    differential::read(bytes.to_vec());
});
