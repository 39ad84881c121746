//! Counting what a process holds, to find what is left over.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

/// What this process holds. Where the system does not tell, it is nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Census {
    tasks: usize,
    threads: usize,
    files: usize,
}

impl Census {
    /// Counts, with the tasks of the runtime if there is one.
    pub(super) fn take(tasks: usize) -> Self {
        let entries = |folder| fs::read_dir(folder).map_or(0, |entries| entries.count());
        Self { tasks, threads: entries("/proc/self/task"), files: entries("/proc/self/fd") }
    }

    /// The same, and so many tasks or threads more.
    pub(super) fn and(self, more: usize) -> Self {
        Self { tasks: self.tasks + more, threads: self.threads + more, ..self }
    }

    fn is_within(self, before: Self) -> bool {
        self.tasks <= before.tasks && self.threads <= before.threads && self.files <= before.files
    }

    /// Waits until no more is held than before, and says what is if it stays.
    pub(super) fn returns_to(before: Self, tasks: impl Fn() -> usize) {
        // A runtime keeps a thread that has nothing to do for some seconds.
        const LIMIT: Duration = Duration::from_secs(20);
        let started = Instant::now();
        loop {
            let now = Self::take(tasks());
            if now.is_within(before) {
                return;
            }
            assert!(started.elapsed() < LIMIT, "left over: there were {before:?}, and now there are {now:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// How much memory this process has, in KiB.
pub(super) fn memory() -> i64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}
