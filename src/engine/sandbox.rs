//! What the operating system lets the engine's process do.
//!
//! The engine has no users and no rights of its own: whoever may send it a statement could read any file of this machine
//! with `file()`, write one with INTO OUTFILE and open any address with `url()`. So the process gives up these rights
//! itself, for good, before the engine starts: it runs in a folder and with an environment of its own ([`reexec_isolated`]), and
//! under Landlock ([`confine`]). docs/decisions/0006-engine-isolation.md lists the rules and how they were found.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::config::engine_environment;

/// The engine's working directory and HOME, inside its data folder. It is emptied at every start, since the engine would
/// read a configuration file that a statement has left there.
const HOME: &str = "home";

/// How far the kernel confines the engine's process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Confinement {
    /// To its data folder, without TCP.
    Full,
    /// Not in every respect, or not at all, for this reason.
    Partial(String),
}

impl Confinement {
    /// The line of a confinement that [`fmt::Display`] wrote.
    pub fn parse(text: &str) -> Self {
        match text {
            ENFORCED => Self::Full,
            reason => Self::Partial(reason.to_owned()),
        }
    }
}

/// Why the process is not confined although the kernel could.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
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

/// Makes the data folder, for the owner alone, and gives its absolute path.
pub fn create_data_dir(path: &Path) -> io::Result<PathBuf> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    path.canonicalize()
}

/// Replaces this process by one of the same program with these arguments, which has an environment and a working
/// directory of its own, with this variable. Returns only if that fails.
///
/// The engine reads ./config.xml, ./clickhouse-local.xml and $HOME/.clickhouse-local/config.xml where they exist.
pub fn reexec_isolated(data_dir: &Path, arguments: &[OsString], variable: (&str, &str)) -> io::Error {
    let isolated_command = || -> io::Result<Command> {
        let home = data_dir.join(HOME);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&home)?;
        // Another engine may hold the folder: its working directory must not go, only what is in it.
        for entry in fs::read_dir(&home)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        let mut command = Command::new(std::env::current_exe()?);
        command.args(arguments).current_dir(&home);
        command.env_clear().envs(engine_environment()).env("HOME", &home).env(variable.0, variable.1);
        Ok(command)
    };
    match isolated_command() {
        Ok(mut command) => command.exec(),
        Err(error) => error,
    }
}

/// Confines this process and every thread that it starts from here on. An error says that it is not confined although
/// the kernel could.
#[cfg(target_os = "linux")]
pub fn confine(data_dir: &Path) -> Result<Confinement, ConfineError> {
    let threads = fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if threads != 1 {
        return Err(ConfineError::Threads(threads));
    }
    // No core files with events in them, and no other process of the same user looks into this one's memory.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(ConfineError::Dumpable)?;
    Ok(linux::confine(data_dir)?)
}

/// There is no Landlock here.
#[cfg(not(target_os = "linux"))]
pub fn confine(_data_dir: &Path) -> Result<Confinement, ConfineError> {
    Ok(Confinement::Partial("not enforced: Landlock is a part of Linux".to_owned()))
}

#[cfg(target_os = "linux")]
mod linux {
    use std::path::Path;

    use landlock::{
        ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, PathBeneath,
        PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, make_bitflags,
    };

    use super::Confinement;

    /// The rights that are taken away, unless a rule gives them back. Version 6 came with Linux 6.12.
    const ABI: ABI = ABI::V6;

    /// What the engine may read outside of its data folder, where it exists: the number of cores and the memory limit,
    /// the machine's time zone, and random bytes. It does without all else that it looks for, such as /proc, the
    /// resolver's files, locales and the debugging symbols of its library.
    const READABLE_PATHS: [&str; 5] = [
        "/sys/fs/cgroup",
        "/sys/devices/system/cpu",
        "/etc/localtime",
        "/usr/share/zoneinfo",
        "/dev/urandom",
    ];

    pub(super) fn confine(data_dir: &Path) -> Result<Confinement, RulesetError> {
        // Before ABI 2 (Linux 5.19) nothing could be moved or linked from one folder to another, which the engine does.
        let rename =
            Ruleset::default().set_compatibility(CompatLevel::HardRequirement).handle_access(AccessFs::Refer);
        if rename.is_err() {
            return Ok(Confinement::Partial(
                "not enforced: the kernel has no Landlock, or one older than Linux 5.19".to_owned(),
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

    /// What a kernel with this version of Landlock does not confine.
    fn missing_restrictions(abi: ABI) -> String {
        let lacks = if abi < ABI::V3 {
            "truncating files (Linux 6.2), TCP (6.7), and signals and abstract sockets (6.12) are"
        } else if abi < ABI::V4 {
            "TCP (Linux 6.7), and signals and abstract sockets (6.12) are"
        } else {
            "signals and abstract sockets (Linux 6.12) are"
        };
        format!("partly enforced: {lacks} not restricted by this kernel")
    }

    /// A path that is not there needs no rule.
    fn rule(path: &Path, access: BitFlags<AccessFs>) -> Option<PathBeneath<PathFd>> {
        let opened = PathFd::new(path).ok()?;
        let access = if path.is_dir() { access } else { access & AccessFs::from_file(ABI) };
        Some(PathBeneath::new(opened, access))
    }
}
