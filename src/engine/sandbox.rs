//! Isolation of the engine's process from the rest of the machine.
//!
//! The engine library has no access control: any statement could read files with `file()`, write files with INTO OUTFILE
//! and open addresses with `url()`. So the process drops these rights permanently before it starts the engine. It runs
//! with a separate working directory and environment ([`reexec_isolated`]), and under Landlock ([`confine`]).
//! docs/decisions/0006-engine-isolation.md lists the rules and how they were found.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::config::engine_environment;

/// Working directory and HOME of the engine's process, in its data folder. Emptied at each start, since the engine would
/// read a configuration file that a statement wrote there.
const HOME: &str = "home";

/// How far the kernel confines the engine's process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Confinement {
    /// To its data folder, without TCP connections.
    Full,
    /// Not completely, or not at all. Contains the reason.
    Partial(String),
}

impl Confinement {
    /// Parses what [`fmt::Display`] wrote.
    pub(crate) fn parse(text: &str) -> Self {
        match text {
            ENFORCED => Self::Full,
            reason => Self::Partial(reason.to_owned()),
        }
    }
}

/// Why the process is not confined although the kernel could.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfineError {
    /// Landlock confines the calling thread and those that it starts, not its siblings.
    #[error("{0} threads are running, but only a process with one thread can be confined")]
    Threads(usize),
    /// The process cannot be protected from core dumps and debuggers.
    #[cfg(target_os = "linux")]
    #[error("PR_SET_DUMPABLE failed: {0}")]
    Dumpable(rustix::io::Errno),
    /// The kernel rejected a rule.
    #[cfg(target_os = "linux")]
    #[error(transparent)]
    Landlock(#[from] landlock::RulesetError),
}

const ENFORCED: &str = "enforced";

impl fmt::Display for Confinement {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => out.write_str(ENFORCED),
            Self::Partial(reason) => out.write_str(reason),
        }
    }
}

/// Creates the data folder with access for its owner only, and returns its absolute path.
pub(crate) fn create_data_dir(path: &Path) -> io::Result<PathBuf> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    path.canonicalize()
}

/// Executes this program again with `arguments`, in an empty working directory and with a reduced environment plus
/// `variable`. Returns only on failure.
///
/// Without it, the engine would read ./config.xml, ./clickhouse-local.xml and $HOME/.clickhouse-local/config.xml.
pub(crate) fn reexec_isolated(data_dir: &Path, arguments: &[OsString], variable: (&str, &str)) -> io::Error {
    let isolated_command = || -> io::Result<Command> {
        let home = data_dir.join(HOME);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&home)?;
        // Only the content is removed: the folder may be the working directory of a running engine.
        for entry in fs::read_dir(&home)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        let mut command = Command::new(super::own_executable()?);
        command.args(arguments).current_dir(&home);
        command.env_clear().envs(engine_environment()).env("HOME", &home).env(variable.0, variable.1);
        Ok(command)
    };
    match isolated_command() {
        Ok(mut command) => command.exec(),
        Err(error) => error,
    }
}

/// Confines this process and all threads that it starts later. Must be called while the process has one thread. A kernel
/// without Landlock is not an error, but [`Confinement::Partial`].
#[cfg(target_os = "linux")]
pub(crate) fn confine(data_dir: &Path) -> Result<Confinement, ConfineError> {
    let threads = fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if threads != 1 {
        return Err(ConfineError::Threads(threads));
    }
    // Prevents core files, which contain events, and access to this process's memory by the user's other processes.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(ConfineError::Dumpable)?;
    Ok(linux::confine(data_dir)?)
}

/// Landlock exists on Linux only.
#[cfg(not(target_os = "linux"))]
pub fn confine(_data_dir: &Path) -> Result<Confinement, ConfineError> {
    Ok(Confinement::Partial("not enforced: Landlock exists on Linux only".to_owned()))
}

#[cfg(target_os = "linux")]
mod linux {
    use std::path::Path;

    use landlock::{
        ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, PathBeneath,
        PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, make_bitflags,
    };

    use super::Confinement;

    /// All rights of this version are denied unless a rule grants them. Version 6 is in Linux 6.12.
    const ABI: ABI = ABI::V6;

    /// Paths outside the data folder that the engine may read: number of cores and memory limit, time zone, random bytes.
    /// It also looks for /proc, resolver files, locales and its debugging symbols, but works without them.
    const READABLE_PATHS: [&str; 5] = [
        "/sys/fs/cgroup",
        "/sys/devices/system/cpu",
        "/etc/localtime",
        "/usr/share/zoneinfo",
        "/dev/urandom",
    ];

    pub(super) fn confine(data_dir: &Path) -> Result<Confinement, RulesetError> {
        // Before ABI 2 (Linux 5.19), Landlock forbids renames and links between folders, which the engine needs.
        let rename =
            Ruleset::default().set_compatibility(CompatLevel::HardRequirement).handle_access(AccessFs::Refer);
        if rename.is_err() {
            return Ok(Confinement::Partial(
                "not enforced: Landlock of Linux 5.19 or later is required".to_owned(),
            ));
        }
        let read = AccessFs::from_read(ABI) & !AccessFs::Execute;
        let special = make_bitflags!(AccessFs::{MakeChar | MakeBlock | MakeSock | MakeFifo | IoctlDev});
        let write = AccessFs::from_all(ABI) & !AccessFs::Execute & !special;
        let rules = READABLE_PATHS
            .iter()
            .map(|path| (Path::new(path), read))
            .chain([(data_dir, write)])
            .filter_map(|(path, access)| rule(path, access))
            .map(Ok::<_, RulesetError>);
        let status = Ruleset::default()
            .handle_access(AccessFs::from_all(ABI))?
            .handle_access(AccessNet::from_all(ABI))?
            .scope(Scope::from_all(ABI))?
            .create()?
            .add_rules(rules)?
            .restrict_self()?;
        Ok(match (status.ruleset, status.landlock) {
            (RulesetStatus::FullyEnforced, _) => Confinement::Full,
            (RulesetStatus::PartiallyEnforced, LandlockStatus::Available { effective_abi, .. }) => {
                Confinement::Partial(missing_restrictions(effective_abi))
            }
            _ => Confinement::Partial("not enforced: Landlock is not enabled in the kernel".to_owned()),
        })
    }

    /// Describes what a kernel with this version of Landlock does not restrict.
    fn missing_restrictions(abi: ABI) -> String {
        let unrestricted = if abi < ABI::V3 {
            "truncating files (Linux 6.2), TCP (6.7), and signals and abstract sockets (6.12) are"
        } else if abi < ABI::V4 {
            "TCP (Linux 6.7), and signals and abstract sockets (6.12) are"
        } else {
            "signals and abstract sockets (Linux 6.12) are"
        };
        format!("partly enforced: {unrestricted} not restricted by this kernel")
    }

    /// `None` for a path that does not exist.
    fn rule(path: &Path, access: BitFlags<AccessFs>) -> Option<PathBeneath<PathFd>> {
        let opened = PathFd::new(path).ok()?;
        let access = if path.is_dir() { access } else { access & AccessFs::from_file(ABI) };
        Some(PathBeneath::new(opened, access))
    }
}
