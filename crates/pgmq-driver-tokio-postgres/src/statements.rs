//! Statements that stay prepared on a connection.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use postgres_types::Type;
use tokio_postgres::Statement;

use super::Bound;
use pgmq_core::Param;
use pgmq_core::backend::Generation;

/// The statements that are prepared on one connection, by their text.
///
/// A text always has the same types of parameters, because it casts each of them.
#[derive(Debug)]
pub struct Statements {
    kept: Mutex<Kept>,
    /// That of the connections of a pool.
    generation: Arc<Generation>,
}

#[derive(Debug, Default)]
struct Kept {
    generation: u64,
    by_text: HashMap<Box<str>, Statement>,
}

impl Statements {
    /// More than there are operations. Where texts name queues there can be any number; then it begins anew, rather than fill the
    /// memory of the server.
    const MOST: usize = 500;

    /// Room for those of a connection of a pool that has this generation.
    pub fn of(generation: Arc<Generation>) -> Self {
        let kept = Kept { generation: generation.now(), by_text: HashMap::new() };
        Self { kept: Mutex::new(kept), generation }
    }

    /// The statement of this text.
    pub fn get(&self, text: &str) -> Option<Statement> {
        let now = self.generation.now();
        let mut kept = self.lock();
        if kept.generation != now {
            // The driver has the server forget each of them.
            *kept = Kept { generation: now, by_text: HashMap::new() };
        }
        kept.by_text.get(text).cloned()
    }

    /// Keeps a statement that was just prepared.
    pub fn keep(&self, text: &str, statement: &Statement) {
        let mut kept = self.lock();
        if kept.by_text.len() >= Self::MOST {
            kept.by_text.clear();
        }
        kept.by_text.insert(text.into(), statement.clone());
    }

    /// Forgets all that were prepared so far, on every connection of the pool: the server does not run one of them any more.
    pub fn forget(&self) {
        let ended = self.lock().generation;
        self.generation.end(ended);
    }

    /// Locks, also after a panic elsewhere: what is kept is whole at any time.
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The SQL types of parameters, for preparing a statement.
pub fn types_of(params: &[Param<'_>]) -> Vec<Type> {
    params.iter().map(|param| Bound(param).sql_type()).collect()
}
