//! Stored records are played back as they are asked for, and what holds them stays as it is.

mod ahead;
mod library;
#[cfg(all(feature = "cli", feature = "lz4", feature = "zstd"))]
mod session;
#[cfg(feature = "cli")]
mod told;
