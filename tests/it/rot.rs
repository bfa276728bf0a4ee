//! Damage: what was on the disk is not what is there any more.
//!
//! Below the durable end, damage costs the records that it hit, by name, and nothing else; above it, the log ends
//! there, and what lies behind goes to the quarantine.

mod bits;
mod blows;
mod content;
mod files;
mod mended;
mod random;
mod repaired;
mod sample;
mod segments;
pub(crate) mod tree;
