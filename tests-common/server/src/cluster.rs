//! A throw-away Postgres that runs the server programs of this machine.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    net::TcpListener,
    os::unix::{
        fs::{OpenOptionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    account::Account, address::Address, binaries, error::ServerError, folder, guardian::Guardian,
    purpose::Purpose, run, secret,
};

/// The settings of every server, large enough for many tests at once.
const SETTINGS: &str = "
max_connections = 300
max_locks_per_transaction = 256
timezone = 'UTC'
log_timezone = 'UTC'
listen_addresses = '127.0.0.1, ::1'
";

/// Settings that trade durability for speed.
const FOR_TESTS: &str = "
fsync = off
full_page_writes = off
synchronous_commit = off
wal_level = minimal
max_wal_senders = 0
max_wal_size = 512MB
checkpoint_timeout = 1h
";

/// Without `fsync`, confirmed data is lost only if the whole machine crashes: it outlives the server's
/// processes, and a standby can have it as well.
const FOR_FAULTS: &str = "
fsync = off
full_page_writes = off
synchronous_commit = on
wal_level = replica
max_wal_senders = 4
max_wal_size = 512MB
checkpoint_timeout = 1h
";

/// The settings of a small server in production, without background work that would disturb one measurement
/// and not the next.
const FOR_MEASUREMENTS: &str = "
shared_buffers = 256MB
max_wal_size = 8GB
checkpoint_timeout = 1h
autovacuum = off
";

const GUARDIAN: &str = include_str!("guardian.sh");
pub(crate) const HOST: &str = "127.0.0.1";
pub(crate) const START_LIMIT: Duration = Duration::from_secs(60);
/// Number of ports to try, since another process may take a port between picking and starting.
pub(crate) const PORTS_TO_TRY: usize = 10;

/// A cluster in a temporary folder, and the server that runs on it.
pub(crate) struct Cluster {
    binaries: PathBuf,
    folder: PathBuf,
    account: Option<Account>,
    address: Address,
    port: u16,
    postmaster: Option<Child>,
    guardian: Guardian,
}

impl Cluster {
    /// Creates a cluster and starts a server on a free port.
    pub(crate) fn create(binaries: PathBuf, purpose: Purpose) -> Result<Self, ServerError> {
        Self::create_configured(binaries, purpose, |_| Ok(()))
    }

    /// Creates a cluster, calls `configure` on it, and starts a server on a free port.
    pub(crate) fn create_configured(
        binaries: PathBuf,
        purpose: Purpose,
        configure: impl FnOnce(&Self) -> Result<(), ServerError>,
    ) -> Result<Self, ServerError> {
        let password = format!("{:016x}", run::random());
        let address = Address::local(HOST, 0, &password)?;
        Self::set_up(binaries, purpose, address, |cluster| {
            cluster.initialize(&password, purpose)?;
            configure(cluster)
        })
    }

    /// Creates a standby of a server and starts it on a free port.
    pub(crate) fn standby_of(primary: &Self) -> Result<Self, ServerError> {
        let address = primary.address.clone();
        Self::set_up(primary.binaries.clone(), Purpose::Faults, address, |cluster| {
            cluster.copy(&primary.address)
        })
    }

    /// Creates a folder, fills it, and starts a server on a free port.
    fn set_up(
        binaries: PathBuf,
        purpose: Purpose,
        address: Address,
        fill: impl FnOnce(&mut Self) -> Result<(), ServerError>,
    ) -> Result<Self, ServerError> {
        let (folder, account) = folder::create(purpose)?;
        let guardian = Guardian::start(GUARDIAN, folder.as_os_str())
            .map_err(|error| ServerError::because("cannot start sh, which cleans up at the end", error))?;
        // From here on dropping the cluster cleans up.
        let mut cluster = Self { binaries, folder, account, address, port: 0, postmaster: None, guardian };
        fill(&mut cluster)?;
        for _ in 0..PORTS_TO_TRY {
            cluster.port = free_port()?;
            cluster.address = cluster.address.moved_to(HOST, cluster.port)?;
            if cluster.launch()? {
                return Ok(cluster);
            }
        }
        Err(ServerError::new("every free port was taken before the server could use it; try again"))
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// One of Postgres' programs, if it is next to the server's, or next to the target of the server's links.
    pub(crate) fn program(&self, name: &str) -> Option<PathBuf> {
        let linked = fs::canonicalize(self.binaries.join("postgres")).ok()?;
        let folders = [self.binaries.as_path(), linked.parent()?];
        folders.iter().map(|folder| folder.join(name)).find(|program| program.is_file())
    }

    /// Starts the server again, on the same port.
    pub(crate) fn start(&mut self) -> Result<(), ServerError> {
        if self.postmaster.is_some() || self.launch()? {
            return Ok(());
        }
        Err(ServerError::new(format!("another process took port {} while the server was stopped", self.port)))
    }

    /// Stops the server as an administrator would: it closes the connections and keeps the data.
    pub(crate) fn stop(&mut self) -> Result<(), ServerError> {
        self.stop_in_mode("--mode=fast")
    }

    /// Stops the server as a crash would: it has no time to clean up and does not notify its clients.
    pub(crate) fn stop_at_once(&mut self) -> Result<(), ServerError> {
        self.stop_in_mode("--mode=immediate")
    }

    /// Turns this cluster, whose server is stopped, into a standby of `primary`, and starts it on its
    /// previous port.
    pub(crate) fn follow(&mut self, primary: &Address) -> Result<(), ServerError> {
        fs::remove_dir_all(self.data())
            .map_err(|error| ServerError::because("cannot remove the old data", error))?;
        self.copy(primary)?;
        self.start()
    }

    /// Promotes a standby to primary.
    pub(crate) fn promote(&mut self) -> Result<(), ServerError> {
        self.run("pg_ctl", &["--wait", "--silent", "promote"])
    }

    /// The process id of the postmaster; `None` if the server does not run.
    pub(crate) fn postmaster(&self) -> Option<u32> {
        self.postmaster.as_ref().map(Child::id)
    }

    /// The file with the ids of the server's processes while they are frozen. The guardian reads it.
    pub(crate) fn frozen(&self) -> PathBuf {
        self.folder.join("frozen")
    }

    fn stop_in_mode(&mut self, mode: &str) -> Result<(), ServerError> {
        let Some(mut postmaster) = self.postmaster.take() else { return Ok(()) };
        let stopped = self.run("pg_ctl", &[mode, "--wait", "--silent", "stop"]);
        if stopped.is_err() {
            // A killed server is better than one that is left behind.
            let _ = postmaster.kill();
        }
        let ended =
            postmaster.wait().map_err(|error| ServerError::because("cannot wait for the server", error));
        stopped.and(ended.map(drop))
    }

    /// Fills the folder with a copy of a server's data, set up to follow that server.
    fn copy(&mut self, primary: &Address) -> Result<(), ServerError> {
        let from = format!("--dbname={}", primary.as_str());
        self.run("pg_basebackup", &[&from, "--checkpoint=fast", "--write-recovery-conf", "--no-sync"])
    }

    fn initialize(&mut self, password: &str, purpose: Purpose) -> Result<(), ServerError> {
        let password_file = self.folder.join("password");
        self.write(&password_file, &secret::scram_secret(password))?;
        let password_option = format!("--pwfile={}", password_file.display());
        self.run(
            "initdb",
            &[
                "--username=postgres",
                &password_option,
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
                "--no-instructions",
            ],
        )?;
        self.set(SETTINGS)?;
        self.set(match purpose {
            Purpose::Tests => FOR_TESTS,
            Purpose::Faults => FOR_FAULTS,
            Purpose::Measurements => FOR_MEASUREMENTS,
        })
    }

    /// Appends lines to the server's settings.
    pub(crate) fn set(&self, lines: &str) -> Result<(), ServerError> {
        let file = OpenOptions::new().append(true).open(self.data().join("postgresql.conf"));
        file.and_then(|mut file| writeln!(file, "{lines}")).map_err(not_written)
    }

    /// Writes a file that only the server can read.
    pub(crate) fn write(&self, path: &Path, content: &str) -> Result<(), ServerError> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
        file.and_then(|mut file| file.write_all(content.as_bytes())).map_err(not_written)?;
        match self.account {
            Some(account) => chown(path, Some(account.user), Some(account.group)).map_err(not_written),
            None => Ok(()),
        }
    }

    /// Starts the postmaster and waits until it answers. Returns `false` if its port is taken.
    fn launch(&mut self) -> Result<bool, ServerError> {
        let failed = |error| ServerError::because("cannot start postgres", error);
        let log = File::create(self.log()).map_err(failed)?;
        let mut command = self.command("postgres");
        command
            .args(["-p", &self.port.to_string()])
            // The folder's name was chosen here and needs no quoting.
            .args(["-k", &self.folder.display().to_string()])
            .stdout(log.try_clone().map_err(failed)?)
            .stderr(log)
            .process_group(0);
        let mut postmaster = command.spawn().map_err(failed)?;

        let started = Instant::now();
        loop {
            if postmaster.try_wait().map_err(failed)?.is_some() {
                let log = fs::read_to_string(self.log()).unwrap_or_default();
                return if log.contains("could not bind") {
                    Ok(false)
                } else {
                    Err(ServerError::new(format!("postgres does not start:\n{log}")))
                };
            }
            match self.address.config().connect(postgres::NoTls) {
                Ok(_) => break,
                Err(error) if started.elapsed() > START_LIMIT => {
                    // The guardian stops it: it reads the process id from the server's file.
                    self.postmaster = Some(postmaster);
                    return Err(ServerError::because("the server does not answer", error));
                }
                Err(_) => thread::sleep(Duration::from_millis(10)),
            }
        }
        self.postmaster = Some(postmaster);
        Ok(true)
    }

    /// Runs one of Postgres' programs to its end. The guardian waits for the program if this process cannot.
    fn run(&mut self, program: &str, arguments: &[&str]) -> Result<(), ServerError> {
        let failed = |error| ServerError::because(format!("cannot run {program}"), error);
        let mut command = self.command(program);
        let child =
            command.args(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().map_err(failed)?;
        self.guardian.tell(&child.id().to_string());
        let Output { status, stderr, .. } = child.wait_with_output().map_err(failed)?;
        self.guardian.tell("");
        if status.success() {
            return Ok(());
        }
        Err(ServerError::new(format!("{program} fails with {status}: {}", String::from_utf8_lossy(&stderr))))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = self.as_its_user(binaries::program(&self.binaries, program));
        command.arg("-D").arg(self.data()).current_dir(&self.folder).stdin(Stdio::null());
        // The caller's variables are for other servers. `launch` looks for an English message in the log.
        for variable in ["PGDATA", "PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGPASSWORD", "PGOPTIONS"] {
            command.env_remove(variable);
        }
        command.env("LC_ALL", "C");
        command
    }

    /// A command that runs as the server's user.
    pub(crate) fn as_its_user(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        if let Some(account) = self.account {
            account.apply(&mut command);
        }
        command
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let cleaned = self.guardian.finish().unwrap_or(false);
        if cleaned {
            if let Some(mut postmaster) = self.postmaster.take() {
                // The postmaster is a child of this process, and stays a zombie until its status is read.
                let _ = postmaster.wait();
            }
            return;
        }
        // The guardian was killed.
        if let Err(error) = self.stop_in_mode("--mode=immediate") {
            eprintln!("cannot stop the server in {}: {error:?}", self.folder.display());
        }
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("cannot remove {}: {error}", self.folder.display());
        }
    }
}

fn not_written(error: io::Error) -> ServerError {
    ServerError::because("cannot write to the server's folder", error)
}

/// Asks the system for a port that is free at this moment.
pub(crate) fn free_port() -> Result<u16, ServerError> {
    let port = TcpListener::bind((HOST, 0)).and_then(|listener| listener.local_addr());
    Ok(port.map_err(|error| ServerError::because("no free port", error))?.port())
}
