use std::fs;
use std::path::{Path, PathBuf};

/// How much memory this process may come to have, in bytes: what the machine has, or less, as its control group or one
/// above that says. `None` if nothing tells. `root` is `/`, but for tests.
pub(super) fn available(root: &Path) -> Option<u64> {
    let cgroup = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let limits = cgroup.lines().filter_map(|line| limit_file(root, line));
    let groups = limits.flat_map(|(top, group, file)| limits_up_to(&top, &group, file));
    groups.chain(machine(root)).min()
}

/// Where a line of `/proc/self/cgroup` says that a limit of memory stands: the top of that hierarchy, the group below it,
/// and the file's name.
fn limit_file(root: &Path, line: &str) -> Option<(PathBuf, PathBuf, &'static str)> {
    let (_, rest) = line.split_once(':')?;
    let (controllers, group) = rest.split_once(':')?;
    let group = PathBuf::from(group.trim_start_matches('/'));
    let mount = root.join("sys/fs/cgroup");
    match controllers {
        "" => Some((mount, group, "memory.max")),
        _ if controllers.split(',').any(|controller| controller == "memory") => {
            Some((mount.join("memory"), group, "memory.limit_in_bytes"))
        }
        _ => None,
    }
}

/// The limits of a group and of all above it. In a container, what stands in `/proc` may be the host's path, of which
/// only the top can be seen: that is the container's own.
fn limits_up_to(top: &Path, group: &Path, file: &str) -> Vec<u64> {
    let groups = group.ancestors().map(|group| top.join(group).join(file));
    // Where there is none, it says `max`, or in version 1 a number that no machine has.
    groups.filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok()).collect()
}

fn machine(root: &Path) -> Option<u64> {
    let memory = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let total = memory.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = total.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system(files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().unwrap();
        for (file, text) in files {
            let file = root.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        available(root.path())
    }

    const MACHINE: (&str, &str) = ("proc/meminfo", "MemTotal:        8000000 kB\nMemFree:          100 kB\n");

    #[test]
    fn the_smallest_limit_of_machine_and_groups_holds() {
        let v2 = ("proc/self/cgroup", "0::/system.slice/sessile.service\n");
        let v1 = ("proc/self/cgroup", "9:name=systemd:/x\n5:cpu,memory:/box/one\n0::/\n");
        let unlimited = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        for (files, expected) in [
            (vec![], None),
            (vec![("proc/meminfo", "nonsense")], None),
            (vec![MACHINE], Some(8_192_000_000)),
            (vec![MACHINE, v2], Some(8_192_000_000)),
            (
                vec![MACHINE, v2, ("sys/fs/cgroup/system.slice/sessile.service/memory.max", "max\n")],
                Some(8_192_000_000),
            ),
            (vec![MACHINE, v2, ("sys/fs/cgroup/system.slice/sessile.service/memory.max", "4096\n")], Some(4_096)),
            (vec![MACHINE, v2, ("sys/fs/cgroup/system.slice/memory.max", "512\n")], Some(512)),
            (vec![MACHINE, v1, unlimited], Some(8_192_000_000)),
            (vec![MACHINE, v1, ("sys/fs/cgroup/memory/box/one/memory.limit_in_bytes", "1024\n")], Some(1_024)),
            // The path is the host's: only the container's own top is there.
            (vec![MACHINE, v1, ("sys/fs/cgroup/memory/memory.limit_in_bytes", "2048\n")], Some(2_048)),
        ] {
            assert_eq!(system(&files), expected, "{files:?}");
        }
    }
}
