//! The cache of prepared statements on a connection.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pgmq_core::backend::CacheGeneration;
use tokio_postgres::Statement;

/// The prepared statements of one connection, by their text.
///
/// A text always has the same types of parameters, because it casts each of them.
#[derive(Debug)]
pub struct StatementCache {
    cached: Mutex<Cached>,
    /// The generation that the connections of a pool share.
    generation: Arc<CacheGeneration>,
}

#[derive(Debug, Default)]
struct Cached {
    generation: u64,
    by_text: HashMap<Box<str>, Statement>,
}

impl StatementCache {
    /// The number of statements at which the cache is emptied. There are fewer operations, but texts that
    /// name a queue are as many as queues, and each cached statement takes memory on the server.
    const CAPACITY: usize = 500;

    /// An empty cache for a connection of the pool that has this generation.
    pub fn new(generation: Arc<CacheGeneration>) -> Self {
        let cached = Cached { generation: generation.current(), by_text: HashMap::new() };
        Self { cached: Mutex::new(cached), generation }
    }

    /// The statement of this text, if it is cached.
    pub fn get(&self, text: &str) -> Option<Statement> {
        let current = self.generation.current();
        let mut cached = self.lock();
        if cached.generation != current {
            // Dropping a statement makes the driver close it on the server.
            *cached = Cached { generation: current, by_text: HashMap::new() };
        }
        cached.by_text.get(text).cloned()
    }

    /// Caches a statement that was just prepared.
    pub fn insert(&self, text: &str, statement: &Statement) {
        let mut cached = self.lock();
        if cached.by_text.len() >= Self::CAPACITY {
            cached.by_text.clear();
        }
        cached.by_text.insert(text.into(), statement.clone());
    }

    /// Invalidates the caches of all connections of the pool, after a statement turned out to be stale on one
    /// of them.
    pub fn invalidate(&self) {
        let stale = self.lock().generation;
        self.generation.advance_from(stale);
    }

    /// Ignores poisoning: the map is never left half-updated.
    fn lock(&self) -> MutexGuard<'_, Cached> {
        self.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
