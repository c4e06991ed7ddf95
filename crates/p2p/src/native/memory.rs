//! How much memory this process has, and whether that is too much for newcomers.
//!
//! Reads `/proc` and the control group where there are such; elsewhere memory is never short.

use std::fs;

/// Bytes of a page of memory: on every system that has `/proc/self/statm` in use here.
const PAGE_BYTES: u64 = 4096;

/// The last look.
pub(super) struct Memory {
    most_bytes: Option<u64>,
    short: bool,
}

impl Memory {
    /// Short above `most_bytes`; 0 takes three quarters of what there is.
    pub(super) fn new(most_bytes: u64) -> Self {
        let most_bytes = match most_bytes {
            0 => available().map(|bytes| bytes / 4 * 3),
            bytes => Some(bytes),
        };
        let mut memory = Self { most_bytes, short: false };
        memory.look();
        memory
    }

    /// Looks again.
    pub(super) fn look(&mut self) {
        let short = matches!((self.most_bytes, used()), (Some(most), Some(used)) if used > most);
        if short != self.short {
            tracing::warn!(short, "memory decides whether newcomers are let in");
        }
        self.short = short;
    }

    /// Whether there was too little at the last look.
    pub(super) fn is_short(&self) -> bool {
        self.short
    }
}

/// Bytes of this process in memory.
fn used() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    pages.checked_mul(PAGE_BYTES)
}

/// What the machine has, or the control group if that is less.
fn available() -> Option<u64> {
    let machine = || {
        let text = fs::read_to_string("/proc/meminfo").ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kib.checked_mul(1024)
    };
    let group = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let group = group.and_then(|text| text.trim().parse::<u64>().ok());
    match (machine(), group) {
        (Some(machine), Some(group)) => Some(group.min(machine)),
        (machine, group) => machine.or(group),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_short_above_the_limit_only() {
        if used().is_none() {
            return;
        }
        assert!(Memory::new(1).is_short());
        assert!(!Memory::new(u64::MAX).is_short());
        assert!(used().unwrap() < available().unwrap());
    }
}
