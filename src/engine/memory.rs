//! How much memory the engine may use.

use std::fs;
use std::path::Path;

/// The share of the machine's memory that the engine gets: the rest is for the server (less than 256 MiB), for the page
/// cache and for the system. ClickHouse itself would take nine tenths of the machine's, for a server that has it alone.
const MEMORY_FRACTION: (u64, u64) = (3, 4);
/// Below this the engine does not start.
pub const MIN_LIMIT_BYTES: u64 = 256 << 20;

/// The engine's memory limit in bytes, where the operator set none: three quarters of what this process may use at all,
/// which is the machine's memory, or its cgroup's limit where that is lower.
pub fn default_limit() -> u64 {
    limit_for(
        physical_memory(),
        cgroup_limit(Path::new("/sys/fs/cgroup"), &read_or_empty("/proc/self/cgroup")),
    )
}

fn limit_for(physical: Option<u64>, cgroup: Option<u64>) -> u64 {
    let usable = physical.into_iter().chain(cgroup).min().unwrap_or(4 << 30);
    (usable / MEMORY_FRACTION.1 * MEMORY_FRACTION.0).max(MIN_LIMIT_BYTES)
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

/// The lowest limit of this process's cgroup and of those around it; version 1 and 2. `memberships` is
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
        // In a container the path may be the host's, of which only the root is mounted.
        for folder in Path::new(path.trim_start_matches('/')).ancestors() {
            // "max" is no number, and version 1's "unlimited" is larger than any machine.
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
