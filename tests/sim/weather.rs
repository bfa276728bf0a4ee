//! What goes wrong while an engine lives, and which errors that explains.

use ottla::sim::{Fault, Faults, Operation, PowerCut};
use ottla::{Error, MemoryDisk};

use super::chance::Chance;
use super::model::Crash;

impl Chance {
    pub(crate) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    /// One in so many.
    fn often(&mut self) -> u32 {
        u32::try_from(3 + self.below(60)).unwrap_or(3)
    }
}

/// Lets the machine go down, in some way.
///
/// With `is_rotten`, writes are torn between sectors of 512 bytes, and never within: the slot of a log in `positions`
/// lies in one, and without it nobody can tell rot from a tear.
pub(crate) fn crash(disk: &MemoryDisk, chance: &mut Chance, is_rotten: bool) -> Crash {
    let seed = chance.next();
    let cut = PowerCut::keeping(seed);
    let cut = match chance.below(8) {
        0 | 1 => {
            eprintln!("killed");
            disk.kill();
            return Crash::Kill;
        }
        2 => {
            eprintln!("cut");
            disk.power_cut();
            return Crash::Cut;
        }
        3 => cut.in_order(),
        4 if !is_rotten => cut.in_order().sector_bytes(1),
        5 => cut.sector_bytes(4096),
        6 if !is_rotten => cut.sector_bytes(1 + chance.index(40)),
        _ => cut,
    };
    eprintln!("{cut:?}");
    disk.power_cut_as(cut);
    Crash::CutKeeping(seed)
}

/// What goes wrong while an engine lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    Good,
    /// Calls that do a part, or nothing, without that being a fault.
    Interruptions,
    /// A disk with little room, which comes and goes.
    LittleRoom,
    /// Writes and new names are refused now and then.
    NoSpace,
    /// The device fails.
    DeviceErrors,
    /// Some reads fail.
    ReadErrors,
    /// A bit that is read from a segment is wrong, once.
    FlippedReads,
    /// A sync fails.
    FailedSync,
    /// A sync fails, and what was written is gone.
    RevertingSync,
    /// Files cannot be opened now and then.
    TooManyFiles,
    /// From some moment on, nothing works any more.
    Gone,
}

impl Weather {
    pub(crate) fn pick(chance: &mut Chance) -> Self {
        match chance.below(14) {
            0..4 => Self::Good,
            4 | 5 => Self::Interruptions,
            6 => Self::LittleRoom,
            7 => Self::NoSpace,
            8 => Self::DeviceErrors,
            9 => Self::FailedSync,
            10 => {
                if chance.one_in(3) {
                    Self::RevertingSync
                } else {
                    Self::FailedSync
                }
            }
            11 => Self::TooManyFiles,
            12 => {
                if chance.one_in(2) {
                    Self::ReadErrors
                } else {
                    Self::FlippedReads
                }
            }
            _ => {
                if chance.one_in(3) {
                    Self::Gone
                } else {
                    Self::LittleRoom
                }
            }
        }
    }

    pub(crate) fn set(self, disk: &MemoryDisk, chance: &mut Chance) {
        let none = Faults::none;
        let faults = match self {
            Self::Good => none(),
            Self::Interruptions => none()
                .one_in(chance.often(), Operation::Read, Fault::Short)
                .one_in(chance.often(), Operation::Read, Fault::Interrupted)
                .one_in(chance.often(), Operation::Write, Fault::Short)
                .one_in(chance.often(), Operation::Write, Fault::Interrupted),
            Self::LittleRoom => {
                limit_room(disk, chance);
                none()
            }
            Self::NoSpace => none()
                .one_in(chance.often(), Operation::Write, Fault::NoSpace)
                .one_in(chance.often(), Operation::Write, Fault::Quota)
                .one_in(chance.often(), Operation::Create, Fault::NoSpace)
                .one_in(chance.often(), Operation::SetLen, Fault::NoSpace),
            Self::DeviceErrors => [
                Operation::Open,
                Operation::List,
                Operation::Read,
                Operation::Create,
                Operation::Write,
                Operation::SetLen,
                Operation::Rename,
                Operation::Remove,
            ]
            .into_iter()
            .fold(none(), |faults, operation| faults.one_in(10 * chance.often(), operation, Fault::Device)),
            Self::ReadErrors => {
                let faults = none().one_in(chance.often(), Operation::Read, Fault::Device);
                if chance.one_in(3) { faults.within("index") } else { faults }
            }
            Self::FlippedReads => {
                none().one_in(chance.often(), Operation::Read, Fault::FlippedBit).within(".log").once()
            }
            Self::FailedSync => {
                let kinds = [Fault::Device, Fault::NoSpace, Fault::Quota, Fault::StaysDirty];
                none().one_in(chance.often(), Operation::Sync, *chance.pick(&kinds))
            }
            Self::RevertingSync => none().one_in(chance.often(), Operation::Sync, Fault::Reverts),
            Self::TooManyFiles => none()
                .one_in(chance.often(), Operation::Open, Fault::TooManyFiles)
                .one_in(chance.often(), Operation::Create, Fault::TooManyFiles)
                .one_in(chance.often(), Operation::List, Fault::TooManyFiles),
            Self::Gone => none(), // not yet
        };
        disk.set_faults(faults);
    }

    /// It changes, as some does.
    pub(crate) fn change(self, disk: &MemoryDisk, chance: &mut Chance) {
        match self {
            Self::LittleRoom if chance.one_in(2) => disk.set_capacity(None),
            Self::LittleRoom => limit_room(disk, chance),
            Self::Gone => disk.set_faults(Faults::none().one_in_all(1, Fault::Device)),
            _ => {}
        }
    }

    /// Whether a record may not be written, which nobody is told with `acks = 0`.
    pub(crate) const fn loses_writes(self) -> bool {
        !matches!(self, Self::Good | Self::Interruptions)
    }

    /// Whether an application has to expect `error` in it.
    pub(crate) const fn explains(self, error: &Error) -> bool {
        match self {
            Self::Good | Self::Interruptions => false,
            Self::LittleRoom | Self::NoSpace => {
                matches!(
                    error,
                    Error::DiskFull { .. }
                        | Error::OutcomeUnknown { .. }
                        | Error::CommitOutcomeUnknown { .. }
                        | Error::Storage { .. }
                )
            }
            Self::ReadErrors => matches!(error, Error::Io { .. }),
            Self::FlippedReads => matches!(error, Error::CorruptBatch { .. }),
            Self::DeviceErrors | Self::TooManyFiles | Self::FailedSync | Self::RevertingSync | Self::Gone => matches!(
                error,
                Error::Io { .. }
                    | Error::DiskFull { .. }
                    | Error::OutcomeUnknown { .. }
                    | Error::CommitOutcomeUnknown { .. }
                    | Error::Storage { .. }
                    | Error::UnknownTopicOrPartition { .. }
            ),
        }
    }
}

fn limit_room(disk: &MemoryDisk, chance: &mut Chance) {
    let used: u64 = disk.files().iter().map(|(_, bytes)| bytes).sum();
    disk.set_capacity(Some(used + chance.below(20_000)));
}
