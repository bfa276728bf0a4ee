//! What consumers share: who is a member of a group, and how far the group has read.
//!
//! Everything here decides and remembers, and nothing here touches a disk: the engine writes the payloads that are
//! made here into a journal, and applies them when they are on the disk. So whatever a reader sees survives a crash.

pub(crate) mod group;
