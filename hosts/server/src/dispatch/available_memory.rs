//! The memory this process may use: the machine's, or less by its control groups and resource limits.

use std::{fs, path::Path};

use rustix::process::{Resource, getrlimit};

/// Where the machine does not report any.
const GUESS: u64 = 4 << 30;
const GROUPS: &str = "/sys/fs/cgroup";

/// In bytes.
pub(crate) fn available_bytes() -> u64 {
    let machine = machine(&read("/proc/meminfo")).unwrap_or(GUESS);
    let groups = group_files(&read("/proc/self/cgroup"));
    let groups = groups.iter().filter_map(|file| read(file).trim().parse().ok());
    // Beside what is allocated, address space holds stacks, libraries and the allocator's reserves.
    let limits = [getrlimit(Resource::As).current.map(|bytes| bytes / 2), getrlimit(Resource::Data).current];
    groups.chain(limits.into_iter().flatten()).fold(machine, u64::min)
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn machine(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? << 10)
}

/// The files that may hold a limit: of this process's group, in both versions of control groups, and of each group above.
fn group_files(groups: &str) -> Vec<String> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let (root, file) = match controllers {
            "" => (GROUPS.to_owned(), "memory.max"),
            _ if controllers.split(',').any(|one| one == "memory") => {
                (format!("{GROUPS}/memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        // In a container a path of the host may not be there, but its limit is that of the root.
        for above in Path::new(path).ancestors() {
            let above = above.to_string_lossy();
            files.push(format!("{root}{}/{file}", above.trim_end_matches('/')));
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_reports() {
        assert_eq!(machine("MemTotal:       16384 kB\nMemFree: 1 kB\n"), Some(16 << 20));
        assert_eq!(machine(""), None);
        assert!(available_bytes() > 0);
    }

    #[test]
    fn the_groups_above_count_too() {
        assert_eq!(
            group_files("0::/a.slice/b.scope\n"),
            ["/a.slice/b.scope", "/a.slice", ""].map(|group| format!("/sys/fs/cgroup{group}/memory.max"))
        );
        assert_eq!(
            group_files("5:cpu,cpuacct:/x\n4:memory:/x\n0::/\n"),
            [
                "/sys/fs/cgroup/memory/x/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory.max"
            ]
        );
    }
}
