//! What a server and its databases have in common.

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

use super::{Address, Admin, Cluster, ServerError, leftovers, run, template};

const TEMPLATE: &str = "PGMQ_TEST_TEMPLATE";
/// How long to wait for others to let go of the template.
const CLONE_LIMIT: Duration = Duration::from_secs(30);

/// Only a superuser may create pg_partman. Copying files is the faster strategy where a checkpoint costs nothing, and
/// the only one before version 15, which cannot be told so.
const ABILITIES: &str = "\
SELECT current_setting('is_superuser')::bool
       AND EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_partman'),
       current_setting('server_version_num')::int >= 150000 AND NOT current_setting('fsync')::bool";

/// Who runs the server, and so who ends it.
pub(crate) enum Keeper {
    /// Somebody else does.
    Others,
    /// We do, with the programs of this machine.
    Local(Box<Mutex<Cluster>>),
    /// We do, in a container.
    #[cfg(feature = "docker")]
    Docker(#[expect(dead_code, reason = "held for its end")] Box<super::Docker>),
}

/// A server as seen by its handle and by its databases, which keep it running.
pub(crate) struct Shared {
    pub(crate) address: Address,
    pub(crate) run: String,
    pub(crate) has_partman: bool,
    /// How to copy a database, as an option of `CREATE DATABASE`.
    strategy: &'static str,
    /// Tells this server's databases from those that other processes of the same run make on the same server.
    tag: String,
    count: AtomicU32,
    template: OnceLock<String>,
    making_template: Mutex<()>,
    pub(crate) admin: Admin,
    /// Last, so that nothing speaks to the server any more when it stops.
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
            // It is one on the server that was given, not on one of our own.
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
                // Somebody is connected to the template, for instance to copy it in an older version of Postgres.
                Err(error) if in_use(&error) && started.elapsed() < CLONE_LIMIT => {
                    thread::sleep(Duration::from_millis(20));
                }
                Err(error) => {
                    return Err(ServerError::because(format!("cannot create the database {name}"), error));
                }
            }
        }
    }

    /// Drops a database together with all connections to it; a failure is reported, as a test may be panicking.
    pub(crate) fn drop_database(&self, name: &str) {
        if let Err(error) = leftovers::drop_one(&self.admin, name) {
            eprintln!("cannot drop the database {name}: {error:?}");
        }
    }

    fn next_name(&self) -> String {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        format!("{}_{}_{number}", self.run, self.tag)
    }

    /// Tells whether the server is there for others after us, so that we have to tidy up.
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

/// Locks, also after a panic elsewhere: nothing here is left half done.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
