//! The engine's default memory limit, and the memory that processes use.

use std::fs;
use std::path::Path;

/// Fraction of the usable memory for the engine, as numerator and denominator. The rest is for the server (less than
/// 256 MiB), the page cache and the system. ClickHouse's own default is nine tenths of the machine's memory.
const MEMORY_FRACTION: (u64, u64) = (3, 4);
/// Smallest limit, as a default or as a setting.
pub(crate) const MIN_LIMIT_BYTES: u64 = 256 << 20;

/// Default memory limit of the engine in bytes: three quarters of the machine's memory, or of this process's cgroup limit
/// if that is lower.
pub(crate) fn default_limit() -> u64 {
    limit_for(
        physical_memory(),
        cgroup_limit(Path::new("/sys/fs/cgroup"), &read_or_empty("/proc/self/cgroup")),
    )
}

/// Assumes 4 GiB if neither is known.
fn limit_for(physical: Option<u64>, cgroup: Option<u64>) -> u64 {
    let usable = physical.into_iter().chain(cgroup).min().unwrap_or(4 << 30);
    (usable / MEMORY_FRACTION.1 * MEMORY_FRACTION.0).max(MIN_LIMIT_BYTES)
}

/// Resident memory of a process in bytes. `process` is its id or `self`.
pub(crate) fn resident_bytes(process: &str) -> Option<u64> {
    let status = read_or_empty(format!("/proc/{process}/status"));
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1_024)
}

fn read_or_empty(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn physical_memory() -> Option<u64> {
    let meminfo = read_or_empty("/proc/meminfo");
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1_024)
}

/// Lowest memory limit of this process's cgroup and its ancestors, of version 1 or 2. `memberships` is the content of
/// /proc/self/cgroup, see cgroups(7).
fn cgroup_limit(root: &Path, memberships: &str) -> Option<u64> {
    let mut lowest = None;
    for line in memberships.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else {
            continue;
        };
        let (root, file) = if controllers.is_empty() {
            (root.to_owned(), "memory.max")
        } else if controllers.split(',').any(|name| name == "memory") {
            (root.join("memory"), "memory.limit_in_bytes")
        } else {
            continue;
        };
        // In a container the path may be that of the host, while only the container's root is mounted.
        for folder in Path::new(path.trim_start_matches('/')).ancestors() {
            // Version 2's "max" is not a number and is skipped. Version 1's "unlimited" exceeds any machine's memory.
            let limit = read_or_empty(root.join(folder).join(file)).trim().parse::<u64>().ok();
            lowest = lowest.into_iter().chain(limit).min();
        }
    }
    lowest
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn the_lower_of_machine_and_cgroup_memory_applies() {
        assert_eq!(limit_for(Some(8 * GIB), None), 6 * GIB);
        assert_eq!(limit_for(Some(8 * GIB), Some(4 * GIB)), 3 * GIB);
        assert_eq!(limit_for(Some(8 * GIB), Some(u64::MAX)), 6 * GIB);
        assert_eq!(limit_for(Some(GIB / 8), None), MIN_LIMIT_BYTES);
        assert_eq!(limit_for(None, None), 3 * GIB);
    }

    #[test]
    fn limits_of_both_cgroup_versions_are_found_up_to_the_root() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert_eq!(cgroup_limit(root.path(), "0::/a/b\n"), None);
        write("a/b/memory.max", "max\n");
        write("a/memory.max", "1000\n");
        assert_eq!(cgroup_limit(root.path(), "0::/a/b\n"), Some(1_000));
        write("memory/x/memory.limit_in_bytes", "500\n");
        write("memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(cgroup_limit(root.path(), "4:cpu:/\n3:memory:/x\n0::/a/b\n"), Some(500));
        assert_eq!(cgroup_limit(root.path(), "3:memory:/not/mounted\n"), Some(9_223_372_036_854_771_712));
    }

    #[test]
    fn the_default_limit_is_at_least_the_minimum() {
        assert!(default_limit() >= MIN_LIMIT_BYTES);
    }
}
