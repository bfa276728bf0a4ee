//! What a seed decides.

use ottla::sim::{Fault, Faults, Operation};
use ottla::{Error, MemoryDisk};

use super::chance::Chance;
use super::model::Crash;

impl Chance {
    pub(crate) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

impl Crash {
    pub(crate) fn pick(chance: &mut Chance) -> Self {
        match chance.below(5) {
            0 => Self::Kill,
            1 => Self::Cut,
            _ => Self::CutKeeping(chance.next()),
        }
    }
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
    /// A sync fails.
    FailedSync,
    /// Files cannot be opened now and then.
    TooManyFiles,
}

impl Weather {
    pub(crate) fn pick(chance: &mut Chance) -> Self {
        match chance.below(10) {
            0..3 => Self::Good,
            3 | 4 => Self::Interruptions,
            5 => Self::LittleRoom,
            6 => Self::NoSpace,
            7 => Self::DeviceErrors,
            8 => Self::FailedSync,
            _ => Self::TooManyFiles,
        }
    }

    pub(crate) fn set(self, disk: &MemoryDisk, chance: &mut Chance) {
        let mut often = || u32::try_from(3 + chance.below(60)).unwrap_or(3);
        let faults = match self {
            Self::Good => Faults::none(),
            Self::Interruptions => Faults::none()
                .one_in(often(), Operation::Read, Fault::Short)
                .one_in(often(), Operation::Read, Fault::Interrupted)
                .one_in(often(), Operation::Write, Fault::Short)
                .one_in(often(), Operation::Write, Fault::Interrupted),
            Self::LittleRoom => {
                let used: u64 = disk.files().iter().map(|(_, bytes)| bytes).sum();
                disk.set_capacity(Some(used + chance.below(20_000)));
                Faults::none()
            }
            Self::NoSpace => Faults::none()
                .one_in(often(), Operation::Write, Fault::NoSpace)
                .one_in(often(), Operation::Write, Fault::Quota)
                .one_in(often(), Operation::Create, Fault::NoSpace)
                .one_in(often(), Operation::SetLen, Fault::NoSpace),
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
            .fold(Faults::none(), |faults, operation| faults.one_in(10 * often(), operation, Fault::Device)),
            Self::FailedSync => {
                let fault = [Fault::Device, Fault::NoSpace, Fault::Quota][chance.index(3)];
                Faults::none().one_in(u32::try_from(3 + chance.below(60)).unwrap_or(3), Operation::Sync, fault)
            }
            Self::TooManyFiles => Faults::none()
                .one_in(often(), Operation::Open, Fault::TooManyFiles)
                .one_in(often(), Operation::Create, Fault::TooManyFiles)
                .one_in(often(), Operation::List, Fault::TooManyFiles),
        };
        disk.set_faults(faults);
    }

    /// Whether a record may not be written, which nobody is told with `acks = 0`.
    pub(crate) const fn loses_writes(self) -> bool {
        !matches!(self, Self::Good | Self::Interruptions)
    }

    /// Whether an application has to expect `error` in it.
    pub(crate) fn explains(self, error: &Error) -> bool {
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
            Self::DeviceErrors | Self::TooManyFiles | Self::FailedSync => matches!(
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
