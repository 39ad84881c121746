//! Poolers in transaction mode, between the clients and a server.
//!
//! `PGMQ_TEST_PGBOUNCER` switches them on. Its value is the name of the program, which is looked up in `PATH`
//! and in `/usr/sbin`, or its path. Several processes share the poolers when their parent sets
//! [`variables`](Poolers::variables).

use std::{env, fmt};

use crate::{
    address::Address,
    error::ServerError,
    pgbouncer::{PgBouncer, Program},
    server::Server,
};

const PROGRAM: &str = "PGMQ_TEST_PGBOUNCER";
const PLAIN: &str = "PGMQ_TEST_POOLER";
const KEEPING: &str = "PGMQ_TEST_KEEPING_POOLER";

/// The first version that supports prepared statements in transaction mode.
const KEEPS_STATEMENTS: (u32, u32) = (1, 21);

/// The poolers of a run.
#[derive(Debug)]
pub struct Poolers {
    /// A pooler without support for prepared statements.
    pub plain: Pooler,
    /// A pooler that prepares its clients' statements on each server connection; `None` if its version is too
    /// old.
    pub keeping: Option<Pooler>,
}

/// A pooler in transaction mode for a server. Dropping this value stops the pooler if it was started here.
///
/// Each transaction gets the server connection that has been idle for the longest time.
pub struct Pooler {
    address: Address,
    _process: Option<PgBouncer>,
}

impl Poolers {
    /// Returns `true` if `PGMQ_TEST_PGBOUNCER` is set.
    #[must_use]
    pub fn are_asked_for() -> bool {
        env::var_os(PROGRAM).is_some()
    }

    /// Finds the poolers of this run, or starts them. Returns `None` unless `PGMQ_TEST_PGBOUNCER` is set.
    ///
    /// # Errors
    ///
    /// If there is no PgBouncer on this machine, with a message on how to install it, or if it does not work.
    pub fn obtain(server: &Server) -> Result<Option<Self>, ServerError> {
        let Some(program) = env::var_os(PROGRAM) else { return Ok(None) };
        if let Some(plain) = Pooler::given(PLAIN)? {
            return Ok(Some(Self { plain, keeping: Pooler::given(KEEPING)? }));
        }
        let program = Program::find(&program)?;
        let address = &server.shared.address;
        let (plain, keeping) = if program.version()? < KEEPS_STATEMENTS {
            (Pooler::start(&program, address, "")?, None)
        } else {
            let keeping = Pooler::start(&program, address, "max_prepared_statements = 200")?;
            (Pooler::start(&program, address, "max_prepared_statements = 0")?, Some(keeping))
        };
        Ok(Some(Self { plain, keeping }))
    }

    /// The environment variables by which other processes find these poolers.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let named = |name, pooler: &Pooler| (name, pooler.address.as_str().to_owned());
        let keeping = self.keeping.as_ref().map(|pooler| named(KEEPING, pooler));
        [named(PLAIN, &self.plain)].into_iter().chain(keeping).collect()
    }
}

impl Pooler {
    fn given(variable: &str) -> Result<Option<Self>, ServerError> {
        let Ok(text) = env::var(variable) else { return Ok(None) };
        Ok(Some(Self { address: Address::parse(&text)?, _process: None }))
    }

    fn start(program: &Program, server: &Address, setting: &str) -> Result<Self, ServerError> {
        let (process, address) = PgBouncer::start(program, server, setting)?;
        Ok(Self { address, _process: Some(process) })
    }

    /// The address of a database on the server, through this pooler.
    #[must_use]
    pub fn url_of(&self, database: &str) -> String {
        self.address.text_of(database)
    }
}

impl fmt::Debug for Pooler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The address contains a password.
        f.debug_struct("Pooler").finish_non_exhaustive()
    }
}
