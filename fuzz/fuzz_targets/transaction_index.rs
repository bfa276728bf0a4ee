//! Whatever bytes a transaction index has, its entries are written as they were read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ottla::fuzzing::transaction_index;

fuzz_target!(|bytes: &[u8]| transaction_index(bytes));
