//! A database for one test.

use std::{fmt, sync::Arc};

use crate::{admin, error::ServerError, old_pgmq::OldPgmq, shared::Shared};

/// A database for one test. Dropping this value drops the database, also while panicking.
///
/// The value keeps its server alive: a local server runs until the [`Server`](crate::Server) and all its
/// databases are dropped.
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

    /// Runs one or more statements, separated by semicolons, on a new connection.
    ///
    /// # Errors
    ///
    /// If the server cannot be reached or rejects a statement.
    pub fn execute(&self, sql: &str) -> Result<(), ServerError> {
        admin::execute_once(&self.shared.address.config_of(&self.name), sql)
    }

    /// Installs an older version of PGMQ as an extension, which only a superuser may do.
    ///
    /// # Errors
    ///
    /// If there is no such version, or the server rejects a statement.
    pub fn install_pgmq(&self, version: &str) -> Result<(), ServerError> {
        OldPgmq::parse(version).install(&self.shared.address.config_of(&self.name))
    }

    /// Upgrades PGMQ from one version to another.
    ///
    /// # Errors
    ///
    /// If there is no such version, or the server rejects a statement.
    pub fn upgrade_pgmq(&self, from: &str, to: &str) -> Result<(), ServerError> {
        OldPgmq::parse(from).upgrade(&self.shared.address.config_of(&self.name), to)
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
