//! Unpacking whatever bytes as a stream of zstd never panics, and never gives more than the limit.

#![no_main]

mod common;

use libfuzzer_sys::fuzz_target;
use ottla::Compression;

fuzz_target!(|bytes: &[u8]| common::unpack(Compression::Zstd, bytes));
