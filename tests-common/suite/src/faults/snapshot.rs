//! The resources of this process, to find leaks.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

/// The resources that this process holds. Numbers that the system does not report are 0.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ResourceSnapshot {
    tasks: usize,
    threads: usize,
    files: usize,
}

impl ResourceSnapshot {
    /// Counts the resources. `tasks` is the number of tasks of the runtime.
    pub(crate) fn take(tasks: usize) -> Self {
        let entries = |folder| fs::read_dir(folder).map_or(0, |entries| entries.count());
        Self { tasks, threads: entries("/proc/self/task"), files: entries("/proc/self/fd") }
    }

    /// Allows for this number of additional tasks or threads.
    pub(crate) fn and(self, more: usize) -> Self {
        Self { tasks: self.tasks + more, threads: self.threads + more, ..self }
    }

    fn is_within(self, before: Self) -> bool {
        self.tasks <= before.tasks && self.threads <= before.threads && self.files <= before.files
    }

    /// Waits until the process holds no more than `before`.
    ///
    /// # Panics
    ///
    /// If it still does after 20 seconds.
    pub(crate) fn assert_returns_to(before: Self, tasks: impl Fn() -> usize) {
        // A runtime keeps an idle thread for some seconds.
        const LIMIT: Duration = Duration::from_secs(20);
        let started = Instant::now();
        loop {
            let now = Self::take(tasks());
            if now.is_within(before) {
                return;
            }
            assert!(started.elapsed() < LIMIT, "resources leaked: {before:?} before, {now:?} now");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The resident memory of this process, in KiB.
pub(crate) fn memory() -> i64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}
