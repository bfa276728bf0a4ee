//! A file system of a few megabytes that becomes larger when it is told to.
//!
//! Where the machine permits, it is a tmpfs in a mount namespace of this program alone: nothing is left when it ends.
//! Elsewhere each file is limited in length, and the signal that comes with it is ignored (`RLIMIT_FSIZE`, SIGXFSZ).

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Resource, Rlimit, getrlimit, getuid, setrlimit};
use tempfile::TempDir;

use crate::Outcome;

/// How large it is at first.
pub const SMALL_MIB: u64 = 6;
/// How large it is after room was made.
pub const LARGE_MIB: u64 = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Tmpfs,
    Limit,
}

/// Starts this program again in a namespace where it may mount; comes back if that is not permitted.
pub fn enter_namespace(arguments: &[&str]) -> Outcome<()> {
    let probe = tempfile::tempdir()?;
    let script = format!("mount -t tmpfs -o size=1m tmpfs '{}'", probe.path().display());
    let permitted = unshare().args(["sh", "-c", &script]).stderr(Stdio::null()).status();
    if permitted.is_ok_and(|status| status.success()) {
        return Err(unshare().arg(std::env::current_exe()?).arg("mounted").args(arguments).exec().into());
    }
    Ok(())
}

/// A mount namespace; who is not root gets a user namespace with it.
fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.arg("--mount");
    if !getuid().is_root() {
        command.arg("--map-root-user");
    }
    command
}

/// A directory on such a file system.
pub struct SmallDisk {
    kind: Kind,
    directory: TempDir,
}

impl SmallDisk {
    pub fn new(kind: Kind, mib: u64) -> Outcome<Self> {
        let disk = Self { kind, directory: tempfile::tempdir()? };
        if kind == Kind::Tmpfs {
            mount(&["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"], disk.directory.path())?;
        }
        Ok(disk)
    }

    pub fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("data")
    }

    pub fn enlarge(&self) -> Outcome<()> {
        match self.kind {
            Kind::Tmpfs => mount(&["-o", &format!("remount,size={LARGE_MIB}m")], self.directory.path()),
            Kind::Limit => Ok(()), // `lift_limit`, in the process that has it
        }
    }

    /// A command that is under the limit, if limits are what there is.
    pub fn command(&self, program: &Path) -> Command {
        if self.kind == Kind::Tmpfs {
            return Command::new(program);
        }
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"]).arg(program).env(LIMITED, "");
        command
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if self.kind == Kind::Tmpfs {
            let _ = Command::new("umount").arg("--lazy").arg(self.directory.path()).status();
        }
    }
}

/// Set for a process that limits itself.
const LIMITED: &str = "OTTLA_PEERS_LIMITED";

pub fn set_limit() -> Outcome<()> {
    set_file_size(Some(SMALL_MIB << 20))
}

pub fn lift_limit() -> Outcome<()> {
    set_file_size(getrlimit(Resource::Fsize).maximum)
}

fn set_file_size(current: Option<u64>) -> Outcome<()> {
    if std::env::var_os(LIMITED).is_some() {
        setrlimit(Resource::Fsize, Rlimit { current, ..getrlimit(Resource::Fsize) })?;
    }
    Ok(())
}

fn mount(options: &[&str], path: &Path) -> Outcome<()> {
    let status = Command::new("mount").args(options).arg(path).status()?;
    if status.success() { Ok(()) } else { Err(format!("mount {}: {status}", path.display()).into()) }
}
