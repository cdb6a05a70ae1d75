//! A limit on the memory of processes, by a control group of Linux.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where control groups are.
const ROOT: &str = "/sys/fs/cgroup";
/// The files of both versions (cgroups(7)): the limit, and the most that was taken.
const V1: (&str, &str) = ("memory.limit_in_bytes", "memory.max_usage_in_bytes");
const V2: (&str, &str) = ("memory.max", "memory.peak");

/// A group below that of this process, so that whoever watches over this one still does. Dropped, it is gone; no process
/// may be in it then.
pub(super) struct MemoryLimit {
    dir: PathBuf,
    peak: &'static str,
}

impl MemoryLimit {
    /// An empty one. Needs root, or a group that was handed over to this user.
    pub(super) fn of_bytes(bytes: u64, name: &str) -> io::Result<Self> {
        let groups = fs::read_to_string("/proc/self/cgroup")?;
        let mut last = io::ErrorKind::NotFound.into();
        for (parent, (limit, peak)) in parents(&groups) {
            let dir = parent.join(format!("sessile-testkit-{}-{name}", std::process::id()));
            let made = fs::create_dir(&dir).map(|()| Self { dir, peak });
            // Where the group has no such file, memory is not what it limits, and it goes again.
            match made.and_then(|made| fs::write(made.dir.join(limit), bytes.to_string()).map(|()| made)) {
                Ok(made) => return Ok(made),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// A line of the shell that puts it into the group, and whatever it becomes.
    pub(super) fn enter(&self) -> String {
        format!("echo $$ > '{}'", self.dir.join("cgroup.procs").display())
    }

    /// The most bytes that were taken, the page cache among them, if the kernel tells.
    pub(super) fn peak_bytes(&self) -> Option<u64> {
        fs::read_to_string(self.dir.join(self.peak)).ok()?.trim().parse().ok()
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.dir);
    }
}

/// Where the groups of this process are that may limit memory, by `/proc/self/cgroup`.
fn parents(groups: &str) -> Vec<(PathBuf, (&'static str, &'static str))> {
    let root = Path::new(ROOT);
    let line = |line: &str| {
        let mut fields = line.splitn(3, ':');
        let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?.trim_start_matches('/'));
        if controllers.split(',').any(|controller| controller == "memory") {
            return Some((root.join("memory").join(path), V1));
        }
        (number == "0" && controllers.is_empty()).then(|| (root.join(path), V2))
    };
    groups.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_of_a_process_is_found_in_both_versions() {
        let both = parents("9:name=systemd:/\n4:cpu,memory:/a/b:c\n0::/d\n");
        assert_eq!(both, [("/sys/fs/cgroup/memory/a/b:c".into(), V1), ("/sys/fs/cgroup/d".into(), V2)]);
        assert_eq!(parents("3:cpuset:/\n"), []);
    }

    #[test]
    fn a_group_has_the_limit_and_goes_when_it_is_dropped() {
        let limit = match MemoryLimit::of_bytes(64 << 20, "test") {
            Ok(limit) => limit,
            Err(error) => return println!("skipped, it needs control groups that this user may make: {error}"),
        };
        let dir = limit.dir.clone();
        assert!(limit.enter().contains("cgroup.procs") && dir.join("cgroup.procs").exists());
        drop(limit);
        assert!(!dir.exists());
    }
}
