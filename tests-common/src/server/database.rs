//! A database of a test's own.

use std::{fmt, sync::Arc};

use super::{ServerError, admin, shared::Shared};

/// A database that one test has for itself. It is dropped with this value, also while panicking.
///
/// It keeps its server: a local one runs until the [`Server`](super::Server) and all its databases are dropped.
pub struct Database {
    shared: Arc<Shared>,
    name: String,
    url: String,
}

impl Database {
    pub(crate) fn new(shared: Arc<Shared>, name: String) -> Self {
        let url = shared.address.text_of(&name);
        Self { shared, name, url }
    }

    /// Returns the URL of this database with user and password.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the name of this database.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs one or more statements, separated by semicolons, on a connection made for them.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached or refuses a statement.
    pub fn execute(&self, sql: &str) -> Result<(), ServerError> {
        admin::execute_once(&self.shared.address.config_of(&self.name), sql)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.shared.drop_database(&self.name);
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("name", &self.name).finish_non_exhaustive()
    }
}
