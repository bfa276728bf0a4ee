//! Partitions: what is in the log, how much of it is safe, and who may see it.

mod partition;

pub(crate) use partition::{Offline, Partition};
