//! How much memory this process has, and may have.

use std::fs;
use std::path::{Path, PathBuf};

/// Where the kernel tells of control groups.
const GROUPS: &str = "/sys/fs/cgroup";
/// What the first version says where there is no limit: a number near the largest, rounded to pages.
const NO_LIMIT: u64 = 1 << 62;

/// Bytes of this process that are in memory; `None` where the system does not tell.
pub(super) fn resident() -> Option<u64> {
    resident_of(&fs::read_to_string("/proc/self/status").ok()?)
}

fn resident_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The lowest limit of the control groups that this process is in; `None` where there is none.
pub(super) fn limit() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    limit_in(Path::new(GROUPS), &groups)
}

/// Bytes that this process may still take before it is close to its limit; `None` where it has none, or the system does
/// not tell.
#[must_use]
pub fn left() -> Option<u64> {
    Some(left_of(limit()?, resident()?))
}

/// From seven eighths on a limit is close.
const fn left_of(limit: u64, resident: u64) -> u64 {
    (limit - limit / 8).saturating_sub(resident)
}

/// As [`limit`], with the kernel's folder and list of groups.
fn limit_in(root: &Path, groups: &str) -> Option<u64> {
    let group = |line: &str| {
        let mut parts = line.splitn(3, ':').skip(1);
        Some((parts.next()?.to_owned(), parts.next()?.trim_start_matches('/').to_owned()))
    };
    let mut limits = Vec::new();
    for (controllers, path) in groups.lines().filter_map(group) {
        if controllers.is_empty() {
            limits.extend(limits_above(root, &path, "memory.max"));
        } else if controllers.split(',').any(|controller| controller == "memory") {
            limits.extend(limits_above(&root.join("memory"), &path, "memory.limit_in_bytes"));
        }
    }
    limits.into_iter().filter(|limit| *limit < NO_LIMIT).min()
}

/// What a group and those around it are limited to. In a container the path may be that of the host, which is not
/// to be seen there: then the root is the container's own.
fn limits_above(root: &Path, path: &str, file: &str) -> Vec<u64> {
    let group = root.join(path);
    let around: Vec<PathBuf> = group.ancestors().take_while(|at| at.starts_with(root)).map(Path::to_path_buf).collect();
    // `max`, where there is none, is no number.
    around.iter().filter_map(|at| fs::read_to_string(at.join(file)).ok()?.trim().parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn what_is_left_ends_before_the_limit() {
        assert_eq!(left_of(800, 100), 600);
        assert_eq!(left_of(800, 750), 0);
    }

    #[test]
    fn what_is_resident_is_read() {
        assert_eq!(resident_of("Name:\tantiphon\nVmRSS:\t   12345 kB\nVmSwap: 0 kB\n"), Some(12_345 * 1024));
        assert_eq!(resident_of("Name:\tantiphon\n"), None);
        assert!(resident().is_some_and(|bytes| bytes > 1024 * 1024));
    }

    #[test]
    fn the_lowest_limit_of_the_groups_around_holds() {
        let root = tempfile::tempdir().unwrap();
        let groups = "0::/pods/antiphon\n";
        assert_eq!(limit_in(root.path(), groups), None, "nothing is told");
        write(root.path(), "pods/antiphon/memory.max", "max\n");
        assert_eq!(limit_in(root.path(), groups), None);
        write(root.path(), "pods/memory.max", "1073741824\n");
        assert_eq!(limit_in(root.path(), groups), Some(1_073_741_824));
        write(root.path(), "pods/antiphon/memory.max", "536870912\n");
        assert_eq!(limit_in(root.path(), groups), Some(536_870_912));
        assert_eq!(limit_in(root.path(), "0::/../elsewhere\n"), None, "nothing outside is read");
    }

    #[test]
    fn the_first_version_is_read_in_its_own_folder() {
        let root = tempfile::tempdir().unwrap();
        let groups = "11:cpu,cpuacct:/docker/a\n9:memory:/docker/a\n";
        write(root.path(), "memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(limit_in(root.path(), groups), None, "which is no limit");
        write(root.path(), "memory/memory.limit_in_bytes", "268435456\n");
        assert_eq!(limit_in(root.path(), groups), Some(268_435_456), "the container's own is the root");
    }
}
