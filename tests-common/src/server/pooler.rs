//! Poolers in transaction mode, between the clients and a server.
//!
//! There are some when `PGMQ_TEST_PGBOUNCER` is set: to the name of the program, which is looked for in `PATH` and in
//! `/usr/sbin`, or to its path. Several processes share them when their parent sets [`variables`](Poolers::variables).

use std::{env, fmt};

use super::{Address, PgBouncer, Server, ServerError, pgbouncer::Program};

const PROGRAM: &str = "PGMQ_TEST_PGBOUNCER";
const PLAIN: &str = "PGMQ_TEST_POOLER";
const KEEPING: &str = "PGMQ_TEST_KEEPING_POOLER";

/// The first version that can keep the statements of its clients.
const KEEPS_STATEMENTS: (u32, u32) = (1, 21);

/// The poolers of a run.
#[derive(Debug)]
pub struct Poolers {
    /// One that knows nothing of prepared statements.
    pub plain: Pooler,
    /// One that prepares the statements of its clients wherever it runs them; none if the version is too old for that.
    pub keeping: Option<Pooler>,
}

/// A pooler in transaction mode before a server. It ends when this is dropped, if it was started here.
///
/// It gives each transaction the connection to the server that has been idle for the longest time.
pub struct Pooler {
    address: Address,
    _process: Option<PgBouncer>,
}

impl Poolers {
    /// Tells whether there are to be some.
    #[must_use]
    pub fn are_asked_for() -> bool {
        env::var_os(PROGRAM).is_some()
    }

    /// Finds those of this run, or starts some; `None` unless they are asked for.
    ///
    /// # Errors
    ///
    /// When there is no PgBouncer on this machine, with a message that says what to install, or when it does not work.
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

    /// The variables by which other processes find these poolers.
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

    /// Returns the address of a database on the server, by way of this pooler.
    #[must_use]
    pub fn url_of(&self, database: &str) -> String {
        self.address.text_of(database)
    }
}

impl fmt::Debug for Pooler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the address, which has a password in it.
        f.debug_struct("Pooler").finish_non_exhaustive()
    }
}
