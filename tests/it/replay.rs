//! Stored records are played back as they are asked for, and what holds them stays as it is.

mod library;
#[cfg(feature = "cli")]
mod told;
