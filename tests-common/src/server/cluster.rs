//! A throw-away Postgres from the server programs on this machine.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    net::TcpListener,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{Account, Address, Guardian, Purpose, ServerError, folder, run, secret};

/// What every server has, and is fit for many tests at once.
const SETTINGS: &str = "
max_connections = 300
max_locks_per_transaction = 256
timezone = 'UTC'
log_timezone = 'UTC'
listen_addresses = '127.0.0.1'
";

/// What makes a server fast that nobody will miss.
const FOR_TESTS: &str = "
fsync = off
synchronous_commit = off
full_page_writes = off
wal_level = minimal
max_wal_senders = 0
max_wal_size = 512MB
checkpoint_timeout = 1h
";

/// What a small server in use has, without what would come at times of its own, and so into one measurement and not the next.
const FOR_MEASUREMENTS: &str = "
shared_buffers = 256MB
max_wal_size = 8GB
checkpoint_timeout = 1h
autovacuum = off
";

const GUARDIAN: &str = include_str!("guardian.sh");
pub(crate) const HOST: &str = "127.0.0.1";
pub(crate) const START_LIMIT: Duration = Duration::from_secs(60);
/// How often to pick another port when somebody takes it between picking and starting.
pub(crate) const PORTS_TO_TRY: usize = 10;

/// A cluster in a temporary folder and the server that runs on it.
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
    /// Makes a cluster and starts a server on a free port.
    pub(crate) fn create(binaries: PathBuf, purpose: Purpose) -> Result<Self, ServerError> {
        let (folder, account) = folder::create(purpose)?;
        let guardian = Guardian::start(GUARDIAN, folder.as_os_str())
            .map_err(|error| ServerError::because("cannot start sh, which cleans up later", error))?;
        let password = format!("{:016x}", run::random());
        let address = Address::local(HOST, 0, &password)?;
        // From here on dropping the cluster cleans up.
        let mut cluster = Self { binaries, folder, account, address, port: 0, postmaster: None, guardian };
        cluster.initialize(&password, purpose)?;
        for _ in 0..PORTS_TO_TRY {
            cluster.port = free_port()?;
            cluster.address = Address::local(HOST, cluster.port, &password)?;
            if cluster.launch()? {
                return Ok(cluster);
            }
        }
        Err(ServerError::new("every port that was free was taken a moment later"))
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// One of Postgres' programs, if it stands beside the server's, or beside the file that these are links to.
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
        Err(ServerError::new(format!("somebody else took port {} while the server was stopped", self.port)))
    }

    /// Stops the server as an administrator would: connections are closed, the data is kept.
    pub(crate) fn stop(&mut self) -> Result<(), ServerError> {
        self.stop_in_mode("--mode=fast")
    }

    fn stop_in_mode(&mut self, mode: &str) -> Result<(), ServerError> {
        let Some(mut postmaster) = self.postmaster.take() else { return Ok(()) };
        let stopped = self.run("pg_ctl", &[mode, "--wait", "--silent", "stop"]);
        if stopped.is_err() {
            // Better without a shutdown than left behind.
            let _ = postmaster.kill();
        }
        let ended =
            postmaster.wait().map_err(|error| ServerError::because("cannot wait for the server", error));
        stopped.and(ended.map(drop))
    }

    fn initialize(&mut self, password: &str, purpose: Purpose) -> Result<(), ServerError> {
        let failed = |error| ServerError::because("cannot write to the server's folder", error);
        let password_file = self.folder.join("password");
        fs::write(&password_file, secret::of(password)).map_err(failed)?;
        if let Some(account) = self.account {
            chown(&password_file, Some(account.user), Some(account.group)).map_err(failed)?;
        }
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
        let mut settings =
            OpenOptions::new().append(true).open(self.data().join("postgresql.conf")).map_err(failed)?;
        let own = match purpose {
            Purpose::Tests => FOR_TESTS,
            Purpose::Measurements => FOR_MEASUREMENTS,
        };
        // The folder's name is ours, so it has nothing in it to quote.
        writeln!(settings, "{SETTINGS}{own}unix_socket_directories = '{}'", self.folder.display())
            .map_err(failed)
    }

    /// Starts the postmaster and waits until it answers; `false` when its port is taken.
    fn launch(&mut self) -> Result<bool, ServerError> {
        let failed = |error| ServerError::because("cannot start postgres", error);
        let log = File::create(self.log()).map_err(failed)?;
        let mut command = self.command("postgres");
        command
            .args(["-p", &self.port.to_string()])
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
                    // Left to the guardian, which reads its number from its file.
                    self.postmaster = Some(postmaster);
                    return Err(ServerError::because("the server does not answer", error));
                }
                Err(_) => thread::sleep(Duration::from_millis(10)),
            }
        }
        self.postmaster = Some(postmaster);
        Ok(true)
    }

    /// Runs one of Postgres' programs to its end, which the guardian awaits as well if we cannot.
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
        let mut command = Command::new(self.binaries.join(program));
        command.arg("-D").arg(self.data()).current_dir(&self.folder).stdin(Stdio::null());
        // The caller's settings are for other servers; the log is read for a message in English.
        for variable in ["PGDATA", "PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGPASSWORD", "PGOPTIONS"] {
            command.env_remove(variable);
        }
        command.env("LC_ALL", "C");
        if let Some(account) = self.account {
            account.apply(&mut command);
        }
        command
    }

    fn data(&self) -> PathBuf {
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
                // It is our child, so it stays as a zombie until somebody asks how it ended.
                let _ = postmaster.wait();
            }
            return;
        }
        // Somebody killed the guardian.
        if let Err(error) = self.stop_in_mode("--mode=immediate") {
            eprintln!("cannot stop the server in {}: {error:?}", self.folder.display());
        }
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("cannot remove {}: {error}", self.folder.display());
        }
    }
}

/// Asks the system for a port that nobody uses at this moment.
pub(crate) fn free_port() -> Result<u16, ServerError> {
    let port = TcpListener::bind((HOST, 0)).and_then(|listener| listener.local_addr());
    Ok(port.map_err(|error| ServerError::because("no free port", error))?.port())
}
