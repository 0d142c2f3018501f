//! What the system reports of this process.

use std::fs;

/// Resident memory in bytes; `None` where the system does not report it.
#[must_use]
pub fn resident_bytes() -> Option<u64> {
    status("VmRSS:")
}

/// The peak of resident memory in bytes; `None` where the system does not report it.
#[must_use]
pub fn peak_memory_bytes() -> Option<u64> {
    status("VmHWM:")
}

fn status(field: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read() {
        assert!(resident_bytes().is_some_and(|memory| memory > 1 << 20));
        assert!(peak_memory_bytes() >= resident_bytes().map(|_| 1 << 20));
    }
}
