//! Whatever records `__consumer_offsets` has, no more is known of groups than they can say.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ottla::fuzzing::consumer_offsets;

fuzz_target!(|bytes: &[u8]| consumer_offsets(bytes));
