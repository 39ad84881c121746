//! Which prepared statements are still good.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts how often statements that were prepared on the connections of a pool have turned out to be stale: since PGMQ was changed, or
/// because the server does not know them any more. What is true of one connection is most likely true of the others.
#[derive(Debug, Default)]
pub struct Generation(AtomicU64);

impl Generation {
    /// The generation of what is prepared now.
    pub fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Ends a generation. What was done before, by another connection's failure, is not done again.
    pub fn end(&self, ended: u64) {
        let _ = self.0.compare_exchange(ended, ended.wrapping_add(1), Ordering::Relaxed, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_ends_once_however_many_connections_fail() {
        let generation = Generation::default();
        let first = generation.now();
        generation.end(first);
        let second = generation.now();
        assert_ne!(second, first);
        generation.end(first);
        assert_eq!(generation.now(), second);
    }
}
