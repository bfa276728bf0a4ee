//! ottla from outside: a module per promise, through the public API alone; `tidy` reads the source tree itself.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails, helpers included")]

mod archive;
mod chance;
#[cfg(feature = "cli")]
mod cli;
mod codecs;
#[cfg(feature = "cli")]
mod command;
mod consumer;
mod crash;
#[cfg(all(feature = "fuzzing", feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd"))]
mod differential;
#[cfg(feature = "cli")]
mod dump;
mod export;
#[cfg(feature = "cli")]
mod failures;
mod faults;
mod full_disk;
#[cfg(all(feature = "cli", feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd"))]
mod golden;
mod group_admin;
mod groups;
mod growth;
mod import;
mod kafka_bytes;
#[cfg(feature = "cli")]
mod kill;
mod layout;
mod producer;
mod read_modes;
mod readers;
mod replay;
#[cfg(feature = "cli")]
mod reports;
mod rot;
#[cfg(feature = "fuzzing")]
mod seeds;
mod settings;
mod small_disk;
mod statements;
#[cfg(feature = "cli")]
mod stored_groups;
mod surroundings;
mod tidy;
mod verify;
