//! A Postgres server for tests.

use std::{
    env, fmt,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use pgmq_core::Version;

#[cfg(feature = "docker")]
use crate::docker::Docker;
use crate::{
    address::Address,
    binaries,
    cluster::Cluster,
    database::Database,
    error::ServerError,
    leftovers,
    old_pgmq::{self, OldPgmq},
    purpose::Purpose,
    shared::{Keeper, Shared, lock},
};

/// The version that PGMQ's official crate installs.
const NEWEST: Version = Version::new(1, 13, 0);

const URL: &str = "PGMQ_TEST_DATABASE_URL";

const NO_SERVER: &str = "\
there is no Postgres for the tests; provide one in one of three ways:
  1. set PGMQ_TEST_DATABASE_URL to the URL of a server, with a user who may create databases
  2. install Postgres' server programs; if they are not found, set PGMQ_TEST_POSTGRES_BIN to their folder
       Debian, Ubuntu:  apt-get install postgresql
       Fedora:          dnf install postgresql-server
       macOS:           brew install postgresql@17
  3. start Docker, so that the tests can run the image postgres";

/// A Postgres server for tests.
///
/// Dropping this value drops the databases that the tests left. A server that was started here is stopped and
/// removed once the databases that were created on it are dropped as well.
pub struct Server {
    pub(crate) shared: Arc<Shared>,
}

impl Server {
    /// Connects to the server of `PGMQ_TEST_DATABASE_URL`, otherwise starts one; see the [crate's
    /// docs](crate).
    ///
    /// # Errors
    ///
    /// If there is no way to get a server, with a message on what to install, or if the first applicable way
    /// fails.
    pub fn obtain() -> Result<Self, ServerError> {
        if let Ok(text) = env::var(URL) {
            return Self::new(Address::parse(&text)?, Keeper::Others);
        }
        if let Some(server) = Self::private()? {
            return Ok(server);
        }
        Self::in_docker()
    }

    /// Starts a server for one test alone, which may then stop and restart it. Returns `None` without server
    /// programs on this machine.
    ///
    /// # Errors
    ///
    /// If there are server programs but they do not work.
    pub fn private() -> Result<Option<Self>, ServerError> {
        Self::private_for(Purpose::Tests)
    }

    /// Starts a server as [`private`](Self::private) does, for `purpose`.
    ///
    /// # Errors
    ///
    /// If there are server programs but they do not work.
    pub fn private_for(purpose: Purpose) -> Result<Option<Self>, ServerError> {
        let Some(binaries) = binaries::find()? else { return Ok(None) };
        Self::from_cluster(Cluster::create(binaries, purpose)?).map(Some)
    }

    pub(crate) fn from_cluster(cluster: Cluster) -> Result<Self, ServerError> {
        Self::new(cluster.address().clone(), Keeper::Local(Box::new(Mutex::new(cluster))))
    }

    #[cfg(feature = "docker")]
    fn in_docker() -> Result<Self, ServerError> {
        let container = Docker::create().map_err(|error| ServerError::because(NO_SERVER, error))?;
        Self::new(container.address().clone(), Keeper::Docker(Box::new(container)))
    }

    #[cfg(not(feature = "docker"))]
    fn in_docker() -> Result<Self, ServerError> {
        Err(ServerError::new(NO_SERVER))
    }

    pub(crate) fn new(address: Address, keeper: Keeper) -> Result<Self, ServerError> {
        Ok(Self { shared: Arc::new(Shared::new(address, keeper)?) })
    }

    /// The address of the maintenance database with user and password: a URL, unless `PGMQ_TEST_DATABASE_URL`
    /// is a `key=value` string.
    #[must_use]
    pub fn url(&self) -> &str {
        self.shared.address.as_str()
    }

    /// The address of another database on this server.
    #[must_use]
    pub fn url_of(&self, database: &str) -> String {
        self.shared.address.text_of(database)
    }

    /// The prefix of the names of this run's databases, for the `PGMQ_TEST_RUN` of child processes.
    #[must_use]
    pub fn run(&self) -> &str {
        &self.shared.run
    }

    /// The name of the database with PGMQ that others are cloned from. The first call creates the database.
    ///
    /// If `PGMQ_TEST_TEMPLATE` is set together with `PGMQ_TEST_DATABASE_URL`, the template is that database,
    /// and is not dropped at the end.
    ///
    /// # Errors
    ///
    /// If the database cannot be created or PGMQ cannot be installed.
    pub fn template(&self) -> Result<&str, ServerError> {
        self.shared.template()
    }

    /// The version of PGMQ in the databases.
    ///
    /// # Panics
    ///
    /// If `PGMQ_TEST_PGMQ_VERSION` is not a version.
    #[must_use]
    pub fn pgmq_version(&self) -> Version {
        old_pgmq::asked_for().map_or(NEWEST, |text| {
            let version = OldPgmq::parse(&text).version().parse();
            version.unwrap_or_else(|error| panic!("PGMQ_TEST_PGMQ_VERSION is {text:?}: {error}"))
        })
    }

    /// Returns `true` if PGMQ is an extension in the databases, and `false` if it is plain SQL.
    #[must_use]
    pub fn is_extension(&self) -> bool {
        old_pgmq::asked_for().is_some_and(|text| OldPgmq::parse(&text).is_extension())
    }

    /// Returns `true` if databases with PGMQ have pg_partman as well, in the schema `partman`.
    #[must_use]
    pub fn has_partman(&self) -> bool {
        self.shared.has_partman
    }

    /// Creates a database that has PGMQ installed. Many threads may do so at the same time.
    ///
    /// # Errors
    ///
    /// If the template or the database cannot be created.
    pub fn create_database(&self) -> Result<Database, ServerError> {
        let name = self.shared.clone_of(self.shared.template()?)?;
        Ok(Database::new(Arc::clone(&self.shared), name))
    }

    /// Creates an empty database.
    ///
    /// # Errors
    ///
    /// If the database cannot be created.
    pub fn create_empty_database(&self) -> Result<Database, ServerError> {
        let name = self.shared.clone_of("template0")?;
        Ok(Database::new(Arc::clone(&self.shared), name))
    }

    /// Drops all databases of this run, including those of other processes and the template.
    ///
    /// For the process that started the run and ends it early.
    ///
    /// # Errors
    ///
    /// If a database cannot be dropped.
    pub fn drop_leftovers(&self) -> Result<(), ServerError> {
        leftovers::drop_of_run(&self.shared.admin, &self.shared.run)
    }

    /// Returns `true` if this server can be stopped and started: if it was started here with the programs of
    /// this machine.
    #[must_use]
    pub fn can_restart(&self) -> bool {
        matches!(self.shared.keeper, Keeper::Local(_))
    }

    /// The temporary folder of the server; `None` unless it [can be restarted](Self::can_restart).
    #[must_use]
    pub fn folder(&self) -> Option<PathBuf> {
        self.cluster().map(|cluster| lock(cluster).folder().to_owned()).ok()
    }

    /// The path of one of Postgres' programs, such as `pgbench`, if it is installed next to the programs of a
    /// server that [can be restarted](Self::can_restart).
    #[must_use]
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        self.cluster().ok().and_then(|cluster| lock(cluster).program(name))
    }

    /// Stops the server, which closes all connections, and starts it on the same port.
    ///
    /// # Errors
    ///
    /// The errors of [`stop`](Self::stop) and [`start`](Self::start).
    pub fn restart(&self) -> Result<(), ServerError> {
        self.stop()?;
        self.start()
    }

    /// Stops the server, which closes all connections. Does nothing if the server is stopped.
    ///
    /// # Errors
    ///
    /// If the server [cannot be restarted](Self::can_restart) or does not stop.
    pub fn stop(&self) -> Result<(), ServerError> {
        let cluster = self.cluster()?;
        self.shared.admin.close();
        lock(cluster).stop()
    }

    /// Starts the server after [`stop`](Self::stop), on the same port. Does nothing if the server runs.
    ///
    /// # Errors
    ///
    /// If the server [cannot be restarted](Self::can_restart) or does not start.
    pub fn start(&self) -> Result<(), ServerError> {
        lock(self.cluster()?).start()
    }

    pub(crate) fn cluster(&self) -> Result<&Mutex<Cluster>, ServerError> {
        match &self.shared.keeper {
            Keeper::Local(cluster) => Ok(cluster),
            _ => Err(ServerError::new(
                "only a server that was started with the programs of this machine can be stopped and started",
            )),
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The address contains a password.
        f.debug_struct("Server").field("run", &self.shared.run).finish_non_exhaustive()
    }
}
