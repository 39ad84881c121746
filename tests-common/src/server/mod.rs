//! Finds or starts a Postgres and hands out databases with PGMQ in them.
//!
//! A server comes from the first of these that is there:
//!
//! 1. `PGMQ_TEST_DATABASE_URL`, a URL or a libpq `key=value` string of a user who may create databases.
//! 2. Postgres' server programs on this machine: in `PGMQ_TEST_POSTGRES_BIN`, in `PATH`, where `pg_config` says, or
//!    where packages put them. A fresh cluster runs in a temporary folder, in memory where there is enough of it, on a
//!    free port of 127.0.0.1.
//! 3. Docker, with the image `PGMQ_TEST_POSTGRES_IMAGE` (feature `docker`).
//!
//! PGMQ in its newest version comes from its official crate; `PGMQ_TEST_PGMQ_VERSION` asks for an older one, `1.5.1` as an
//! extension or `1.5.1-sql` as plain SQL, which takes a superuser.
//!
//! A PgBouncer can stand before the server; see [`Poolers`]. A server that speaks TLS is one of its own; see [`TlsServer`].
//!
//! Nothing stays behind, whatever becomes of the test process; see `Guardian` for how.
//!
//! Several processes share one server and one template when their parent sets `PGMQ_TEST_DATABASE_URL`,
//! `PGMQ_TEST_TEMPLATE` and `PGMQ_TEST_RUN` for them. A server in a `static` is never dropped: that is fine for one of
//! our own, but leaves the template on a server that was given by URL until the next run.
//!
//! Everything here blocks. Obtain servers and databases outside of async runtimes.

mod account;
mod address;
mod admin;
mod binaries;
mod certificates;
mod cluster;
mod database;
#[cfg(feature = "docker")]
mod docker;
mod error;
mod faults;
mod folder;
mod guardian;
mod leftovers;
mod old_pgmq;
mod pgbouncer;
mod pooler;
mod run;
mod secret;
mod shared;
mod template;
mod tls;

use std::{
    env, fmt,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use pgmq_core::Version;

#[cfg(feature = "docker")]
use self::docker::Docker;
use self::{
    account::Account,
    address::Address,
    admin::Admin,
    cluster::Cluster,
    guardian::Guardian,
    old_pgmq::OldPgmq,
    pgbouncer::PgBouncer,
    shared::{Keeper, Shared, lock},
};
pub use self::{
    database::Database,
    error::ServerError,
    pooler::{Pooler, Poolers},
    tls::{TlsLibrary, TlsServer},
};

/// The version of PGMQ that its official crate installs.
const NEWEST: Version = Version::new(1, 13, 0);

const URL: &str = "PGMQ_TEST_DATABASE_URL";

const NO_SERVER: &str = "\
there is no Postgres for the tests; provide one in one of three ways:
  1. set PGMQ_TEST_DATABASE_URL to the URL of a server, with a user who may create databases
  2. install Postgres' server programs; they are found by themselves, or set PGMQ_TEST_POSTGRES_BIN to their folder
       Debian, Ubuntu:  apt-get install postgresql
       Fedora:          dnf install postgresql-server
       macOS:           brew install postgresql@17
  3. start Docker, so that the tests can run the image postgres";

/// What a server of our own is started for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Many short tests: the data is in memory where there is enough of it, and would not survive a crash.
    Tests,
    /// Tests that crash it: what was confirmed outlives its processes, and it can have a standby.
    Faults,
    /// Measurements: the data is on a disk, or below `TMPDIR`, and is flushed to it as by default; nothing runs in the background.
    Measurements,
}

/// A Postgres server for tests.
///
/// Dropping it drops what the tests left on it. A server of our own is stopped and removed, as soon as the databases
/// that were created on it are dropped as well.
pub struct Server {
    shared: Arc<Shared>,
}

impl Server {
    /// Connects to the server of `PGMQ_TEST_DATABASE_URL`, or else starts one.
    ///
    /// # Errors
    ///
    /// When there is no way to get one, with a message that says what to install, or when the first way that applies
    /// fails.
    pub fn obtain() -> Result<Self, ServerError> {
        if let Ok(text) = env::var(URL) {
            return Self::keep(Address::parse(&text)?, Keeper::Others);
        }
        if let Some(server) = Self::private()? {
            return Ok(server);
        }
        Self::in_docker()
    }

    /// Starts a server for one test alone, which may then stop and restart it; `None` without server programs on this
    /// machine.
    ///
    /// # Errors
    ///
    /// When there are server programs but they do not work.
    pub fn private() -> Result<Option<Self>, ServerError> {
        Self::private_for(Purpose::Tests)
    }

    /// Starts a server as [`private`](Self::private) does, for this purpose.
    ///
    /// # Errors
    ///
    /// When there are server programs but they do not work.
    pub fn private_for(purpose: Purpose) -> Result<Option<Self>, ServerError> {
        let Some(binaries) = binaries::find()? else { return Ok(None) };
        Self::of(Cluster::create(binaries, purpose)?).map(Some)
    }

    fn of(cluster: Cluster) -> Result<Self, ServerError> {
        Self::keep(cluster.address().clone(), Keeper::Local(Box::new(Mutex::new(cluster))))
    }

    #[cfg(feature = "docker")]
    fn in_docker() -> Result<Self, ServerError> {
        let container = Docker::create().map_err(|error| ServerError::because(NO_SERVER, error))?;
        Self::keep(container.address().clone(), Keeper::Docker(Box::new(container)))
    }

    #[cfg(not(feature = "docker"))]
    fn in_docker() -> Result<Self, ServerError> {
        Err(ServerError::new(NO_SERVER))
    }

    fn keep(address: Address, keeper: Keeper) -> Result<Self, ServerError> {
        Ok(Self { shared: Arc::new(Shared::new(address, keeper)?) })
    }

    /// Returns the address of the maintenance database with user and password: a URL, unless
    /// `PGMQ_TEST_DATABASE_URL` is a `key=value` string.
    #[must_use]
    pub fn url(&self) -> &str {
        self.shared.address.as_str()
    }

    /// Returns the address of another database on this server.
    #[must_use]
    pub fn url_of(&self, database: &str) -> String {
        self.shared.address.text_of(database)
    }

    /// Returns what the names of all databases of this run begin with, for the `PGMQ_TEST_RUN` of child processes.
    #[must_use]
    pub fn run(&self) -> &str {
        &self.shared.run
    }

    /// Returns the name of the database with PGMQ in it that others are cloned from, and makes it if need be.
    ///
    /// It is the database `PGMQ_TEST_TEMPLATE` if that is set together with `PGMQ_TEST_DATABASE_URL`, and is then left
    /// alone at the end.
    ///
    /// # Errors
    ///
    /// When the database cannot be created or PGMQ cannot be installed.
    pub fn template(&self) -> Result<&str, ServerError> {
        self.shared.template()
    }

    /// Tells which version of PGMQ the databases have.
    ///
    /// # Panics
    ///
    /// When `PGMQ_TEST_PGMQ_VERSION` is none.
    #[must_use]
    pub fn pgmq_version(&self) -> Version {
        old_pgmq::asked_for().map_or(NEWEST, |text| {
            let version = OldPgmq::parse(&text).version().parse();
            version.unwrap_or_else(|error| panic!("PGMQ_TEST_PGMQ_VERSION is {text:?}: {error}"))
        })
    }

    /// Tells whether PGMQ is an extension in the databases, and not plain SQL.
    #[must_use]
    pub fn is_extension(&self) -> bool {
        old_pgmq::asked_for().is_some_and(|text| OldPgmq::parse(&text).is_extension())
    }

    /// Tells whether databases with PGMQ have pg_partman as well, in the schema `partman`.
    #[must_use]
    pub fn has_partman(&self) -> bool {
        self.shared.has_partman
    }

    /// Creates a database with PGMQ in it. Many threads may do so at the same time.
    ///
    /// # Errors
    ///
    /// When the template or the database cannot be created.
    pub fn create_database(&self) -> Result<Database, ServerError> {
        let name = self.shared.clone_of(self.shared.template()?)?;
        Ok(Database::new(Arc::clone(&self.shared), name))
    }

    /// Creates a database with nothing in it.
    ///
    /// # Errors
    ///
    /// When the database cannot be created.
    pub fn create_empty_database(&self) -> Result<Database, ServerError> {
        let name = self.shared.clone_of("template0")?;
        Ok(Database::new(Arc::clone(&self.shared), name))
    }

    /// Drops all databases of this run, those of other processes and the template included.
    ///
    /// It is for whoever started the run and ends it early.
    ///
    /// # Errors
    ///
    /// When a database cannot be dropped.
    pub fn drop_leftovers(&self) -> Result<(), ServerError> {
        leftovers::drop_of_run(&self.shared.admin, &self.shared.run)
    }

    /// Tells whether this server can be stopped and started: whether it is one of our own on this machine.
    #[must_use]
    pub fn can_restart(&self) -> bool {
        matches!(self.shared.keeper, Keeper::Local(_))
    }

    /// Returns the temporary folder of a server of our own on this machine.
    #[must_use]
    pub fn folder(&self) -> Option<PathBuf> {
        self.cluster().map(|cluster| lock(cluster).folder().to_owned()).ok()
    }

    /// Returns one of Postgres' programs, such as `pgbench`, if it stands beside those of a server of our own on this machine.
    #[must_use]
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        self.cluster().ok().and_then(|cluster| lock(cluster).program(name))
    }

    /// Stops the server, which closes all connections, and starts it on the same port.
    ///
    /// # Errors
    ///
    /// As [`stop`](Self::stop) and [`start`](Self::start).
    pub fn restart(&self) -> Result<(), ServerError> {
        self.stop()?;
        self.start()
    }

    /// Stops the server, which closes all connections. Does nothing if it is stopped.
    ///
    /// # Errors
    ///
    /// When the server [cannot be restarted](Self::can_restart) or does not stop.
    pub fn stop(&self) -> Result<(), ServerError> {
        let cluster = self.cluster()?;
        self.shared.admin.close();
        lock(cluster).stop()
    }

    /// Starts the server after [`stop`](Self::stop), on the same port. Does nothing if it runs.
    ///
    /// # Errors
    ///
    /// When the server [cannot be restarted](Self::can_restart) or does not start.
    pub fn start(&self) -> Result<(), ServerError> {
        lock(self.cluster()?).start()
    }

    fn cluster(&self) -> Result<&Mutex<Cluster>, ServerError> {
        match &self.shared.keeper {
            Keeper::Local(cluster) => Ok(cluster),
            _ => Err(ServerError::new("only a server of our own on this machine can be stopped and started")),
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the address, which has a password in it.
        f.debug_struct("Server").field("run", &self.shared.run).finish_non_exhaustive()
    }
}
