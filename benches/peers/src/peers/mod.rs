//! The crates: how each is opened, appended to durably, closed and read, by what its documentation says.

mod commitlog;
mod fjall;
mod kafko;
mod okaywal;
mod ottla;
mod raft_engine;
mod redb;
mod walrus;
mod yaque;

use std::path::Path;

use crate::Outcome;
use crate::steps::Found;

/// An open log.
pub trait Log {
    /// Appends a record; it is acknowledged, in the crate's most durable mode, when this returns.
    fn append(&mut self, record: &[u8]) -> Outcome<()>;

    fn close(self: Box<Self>) -> Outcome<()>;
}

/// A crate in the comparison.
pub struct Peer {
    pub name: &'static str,
    /// Its name in a registry.
    pub package: &'static str,
    /// How it was set, as a reader of its documentation would set it to lose nothing.
    pub setting: &'static str,
    pub open: fn(&Path) -> Outcome<Box<dyn Log>>,
    /// Opens and reads everything, going around what cannot be read where the crate lets it.
    pub read: fn(&Path, &mut Found) -> Outcome<()>,
    /// Variables of the environment that lead to the directory.
    pub environment: &'static [&'static str],
    /// Whether it takes part in the experiment with the full disk.
    pub in_full_disk: bool,
}

/// All of them, ottla first.
pub const PEERS: &[Peer] = &[
    Peer {
        name: "ottla",
        package: "ottla",
        setting: "defaults (`acks=all`), `retries=0` so that the first error is seen; each delivery is waited for; `verify` before reading",
        open: ottla::open,
        read: ottla::read,
        environment: &[],
        in_full_disk: true,
    },
    Peer {
        name: "ottla-batches",
        package: "ottla",
        setting: "defaults; deliveries are waited for at the end, so that records share batches of 16 KiB; `verify` before reading",
        open: ottla::open_batching,
        read: ottla::read,
        environment: &[],
        in_full_disk: false,
    },
    Peer {
        name: "kafko",
        package: "kafko",
        setting: "defaults; `Partition::sync` after each `send`",
        open: kafko::open,
        read: kafko::read,
        environment: &[],
        in_full_disk: true,
    },
    Peer {
        name: "walrus",
        package: "walrus-rust",
        setting: "`ReadConsistency::StrictlyAtOnce`, `FsyncSchedule::SyncEach`",
        open: walrus::open,
        read: walrus::read,
        environment: &["WALRUS_DATA_DIR"],
        in_full_disk: true,
    },
    Peer {
        name: "commitlog",
        package: "commitlog",
        setting: "defaults; `flush` after each `append_msg`",
        open: commitlog::open,
        read: commitlog::read,
        environment: &[],
        in_full_disk: true,
    },
    Peer {
        name: "okaywal",
        package: "okaywal",
        setting: "defaults, without checkpoints (each would take records out of the log); `commit` syncs",
        open: okaywal::open,
        read: okaywal::read,
        environment: &[],
        in_full_disk: true,
    },
    Peer {
        name: "raft-engine",
        package: "raft-engine",
        setting: "defaults; `write` with `sync`",
        open: raft_engine::open,
        read: raft_engine::read,
        environment: &[],
        in_full_disk: true,
    },
    Peer {
        name: "fjall",
        package: "fjall",
        setting: "defaults; `PersistMode::SyncAll` after each insert",
        open: fjall::open,
        read: fjall::read,
        environment: &[],
        in_full_disk: true,
    },
    Peer {
        name: "redb",
        package: "redb",
        setting: "defaults (`Durability::Immediate`), a transaction for each insert; `check_integrity` behind reading",
        open: redb::open,
        read: redb::read,
        environment: &[],
        in_full_disk: true,
    },
    Peer {
        name: "yaque",
        package: "yaque",
        setting: "defaults; it has no mode that syncs",
        open: yaque::open,
        read: yaque::read,
        environment: &[],
        in_full_disk: true,
    },
];
