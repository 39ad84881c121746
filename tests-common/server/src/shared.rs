//! The state that a server shares with its databases.

use std::{
    env,
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use postgres::{Error, error::SqlState};

#[cfg(feature = "docker")]
use crate::docker::Docker;
use crate::{address::Address, admin::Admin, cluster::Cluster, error::ServerError, leftovers, run, template};

const TEMPLATE: &str = "PGMQ_TEST_TEMPLATE";
/// Time limit for other sessions to release the template.
const CLONE_LIMIT: Duration = Duration::from_secs(30);

/// Queries the abilities of a server.
///
/// Only a superuser may create pg_partman. Copying files is faster where a checkpoint costs nothing. It is
/// the only strategy before Postgres 15, which has no option for it.
const ABILITIES: &str = "\
SELECT current_setting('is_superuser')::bool
       AND EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_partman'),
       current_setting('server_version_num')::int >= 150000 AND NOT current_setting('fsync')::bool";

/// The owner of the server, which has to stop it.
pub(crate) enum Keeper {
    /// Another party: the server was given by URL.
    Others,
    /// The current process, with the programs of this machine.
    Local(Box<Mutex<Cluster>>),
    /// The current process, in a container.
    #[cfg(feature = "docker")]
    Docker(#[expect(dead_code, reason = "held for its end")] Box<Docker>),
}

/// The state that the handle of a server shares with its databases. Each of them keeps the server running.
pub(crate) struct Shared {
    pub(crate) address: Address,
    pub(crate) run: String,
    pub(crate) has_partman: bool,
    /// Option of `CREATE DATABASE` for copying a database.
    strategy: &'static str,
    /// Distinguishes the databases of this process from those of other processes of the run on the same
    /// server.
    tag: String,
    count: AtomicU32,
    template: OnceLock<String>,
    making_template: Mutex<()>,
    pub(crate) admin: Admin,
    /// Dropped last, so that no connection is left when the server stops.
    pub(crate) keeper: Keeper,
}

impl Shared {
    pub(crate) fn new(address: Address, keeper: Keeper) -> Result<Self, ServerError> {
        let run = run::name()?;
        let admin = Admin::new(&address, &run);
        let (has_partman, copies_files) = admin
            .run(|client| client.query_one(ABILITIES, &[]))
            .and_then(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .map_err(|error| ServerError::because("cannot use the server", error))?;
        let shared = Self {
            address,
            run,
            has_partman,
            strategy: if copies_files { "STRATEGY file_copy" } else { "" },
            tag: run::tag(),
            count: AtomicU32::new(0),
            template: OnceLock::new(),
            making_template: Mutex::new(()),
            admin,
            keeper,
        };
        if shared.outlives_us() {
            leftovers::drop_of_dead_runs(&shared.admin)?;
        }
        Ok(shared)
    }

    pub(crate) fn template(&self) -> Result<&str, ServerError> {
        let _one_at_a_time = lock(&self.making_template);
        if let Some(name) = self.template.get() {
            return Ok(name);
        }
        let name = match env::var(TEMPLATE) {
            // The variable names a database on the server that was given by URL.
            Ok(name) if self.outlives_us() => name,
            _ => {
                let name = self.next_name();
                template::create(&self.admin, &self.address, &name, self.has_partman)?;
                name
            }
        };
        Ok(self.template.get_or_init(|| name))
    }

    /// Creates a database as a copy of another one and returns its name.
    pub(crate) fn clone_of(&self, template: &str) -> Result<String, ServerError> {
        let name = self.next_name();
        let sql = format!(r#"CREATE DATABASE "{name}" TEMPLATE "{template}" {}"#, self.strategy);
        let started = Instant::now();
        loop {
            match self.admin.execute(&sql) {
                Ok(()) => return Ok(name),
                // Another session uses the template, for example to copy it on an older Postgres.
                Err(error) if in_use(&error) && started.elapsed() < CLONE_LIMIT => {
                    thread::sleep(Duration::from_millis(20));
                }
                Err(error) => {
                    return Err(ServerError::because(format!("cannot create the database {name}"), error));
                }
            }
        }
    }

    /// Drops a database together with all connections to it. A failure is only printed, since a test may be
    /// panicking.
    pub(crate) fn drop_database(&self, name: &str) {
        if let Err(error) = leftovers::drop_one(&self.admin, name) {
            eprintln!("cannot drop the database {name}: {error:?}");
        }
    }

    fn next_name(&self) -> String {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        format!("{}_{}_{number}", self.run, self.tag)
    }

    /// Returns `true` if the server runs on after this process, which therefore has to drop its databases.
    fn outlives_us(&self) -> bool {
        matches!(self.keeper, Keeper::Others)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if self.outlives_us()
            && let Err(error) = leftovers::drop_all(&self.admin, &format!("{}_{}_", self.run, self.tag))
        {
            eprintln!("cannot drop the databases of this run: {error:?}");
        }
    }
}

fn in_use(error: &Error) -> bool {
    error.code() == Some(&SqlState::OBJECT_IN_USE)
}

/// Locks, and ignores poisoning: no holder leaves a value half-updated.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
