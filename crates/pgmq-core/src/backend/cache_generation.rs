//! The generation of the prepared statements on the connections of a pool.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts how often prepared statements on the connections of a pool turned out to be stale, because PGMQ was
/// changed, or because the server has forgotten them. A stale statement on one connection most likely means
/// stale ones on the others.
#[derive(Debug, Default)]
pub struct CacheGeneration(AtomicU64);

impl CacheGeneration {
    /// The generation of statements that are prepared now.
    pub fn current(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Advances to the next generation. A no-op if another connection has already advanced from `stale`.
    pub fn advance_from(&self, stale: u64) {
        let _ = self.0.compare_exchange(stale, stale.wrapping_add(1), Ordering::Relaxed, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_ends_once_however_many_connections_fail() {
        let generation = CacheGeneration::default();
        let first = generation.current();
        generation.advance_from(first);
        let second = generation.current();
        assert_ne!(second, first);
        generation.advance_from(first);
        assert_eq!(generation.current(), second);
    }
}
