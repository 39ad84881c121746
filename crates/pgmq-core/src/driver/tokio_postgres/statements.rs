//! Statements that stay prepared on a connection.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use postgres_types::Type;
use tokio_postgres::Statement;

use super::Bound;
use crate::Param;

/// The statements that are prepared on one connection, by their text.
///
/// A text always has the same types of parameters, because it casts each of them.
#[derive(Debug, Default)]
pub struct Statements(Mutex<HashMap<Box<str>, Statement>>);

impl Statements {
    /// More than there are operations. Where texts name queues there can be any number; then it begins anew, rather than fill the
    /// memory of the server.
    const MOST: usize = 500;

    /// The statement of this text.
    pub fn get(&self, text: &str) -> Option<Statement> {
        self.lock().get(text).cloned()
    }

    /// Keeps a statement that was just prepared.
    pub fn keep(&self, text: &str, statement: &Statement) {
        let mut kept = self.lock();
        if kept.len() >= Self::MOST {
            // The driver has the server forget each of them.
            kept.clear();
        }
        kept.insert(text.into(), statement.clone());
    }

    /// Forgets a statement that the server does not run any more.
    pub fn forget(&self, text: &str) {
        self.lock().remove(text);
    }

    /// Locks, also after a panic elsewhere: every change under this lock is a single one.
    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Statement>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The SQL types of parameters, for preparing a statement.
pub fn types_of(params: &[Param<'_>]) -> Vec<Type> {
    params.iter().map(|param| Bound(param).sql_type()).collect()
}
