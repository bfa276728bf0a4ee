//! Stored directories, read without an engine: no lock is taken, and nothing is ever written.

mod verify;

pub use verify::{VerifyOptions, VerifyReport, verify};
pub(crate) use verify::{is_ours, verify_dir};
