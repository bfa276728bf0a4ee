//! A broker's directory, whatever its files hold, is opened, gone through both ways, played back and verified.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ottla::fuzzing::archive_open;

fuzz_target!(|bytes: &[u8]| archive_open(bytes));
