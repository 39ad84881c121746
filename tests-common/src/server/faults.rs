//! What goes wrong with servers, done on purpose to one of a test's own.

use std::{
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use postgres::{Client, NoTls};

use super::{
    Cluster, Purpose, Server, ServerError, admin::outside_of_runtimes, binaries, old_pgmq, shared::lock,
};

/// How long a server may need to come back, or a standby to catch up.
const LIMIT: Duration = Duration::from_secs(60);

impl Server {
    /// Tells whether this machine has the programs for [`durable`](Self::durable).
    ///
    /// # Errors
    ///
    /// When the programs are not where they are said to be.
    pub fn can_be_durable() -> Result<bool, ServerError> {
        Ok(binaries::find()?.is_some_and(|folder| binaries::program(&folder, "pg_basebackup").is_file()))
    }

    /// Tells whether a version of PGMQ is asked for.
    #[must_use]
    pub fn is_pgmq_chosen() -> bool {
        old_pgmq::asked_for().is_some()
    }

    /// Like [`private`](Self::private), for a server that keeps what it has confirmed when its processes are killed, and that
    /// can have a standby.
    ///
    /// # Errors
    ///
    /// When there are server programs but they do not work.
    pub fn durable() -> Result<Option<Self>, ServerError> {
        let Some(binaries) = binaries::find()? else { return Ok(None) };
        Self::of(Cluster::create(binaries, Purpose::Faults)?).map(Some)
    }

    /// Starts a standby of this server.
    ///
    /// # Errors
    ///
    /// When this server is not [`durable`](Self::durable), or cannot be copied.
    pub fn standby(&self) -> Result<Self, ServerError> {
        let standby = Cluster::standby_of(&lock(self.cluster()?))?;
        Self::of(standby)
    }

    /// Makes this server, which is stopped, a standby of another, with that one's data.
    ///
    /// # Errors
    ///
    /// When the other cannot be copied.
    pub fn follow(&self, primary: &Self) -> Result<(), ServerError> {
        lock(self.cluster()?).follow(&primary.shared.address)
    }

    /// Makes every commit on this server wait for its standby from now on, which has all earlier ones when this returns.
    ///
    /// # Errors
    ///
    /// When the standby does not catch up.
    pub fn commit_on_standby(&self) -> Result<(), ServerError> {
        const CAUGHT_UP: &str = "SELECT coalesce(bool_or(sync_state = 'sync' AND flush_lsn >= pg_current_wal_insert_lsn()), false) \
                                 FROM pg_stat_replication";
        outside_of_runtimes(|| {
            let failed = |error| ServerError::because("cannot wait for the standby", error);
            let mut client = self.client().map_err(failed)?;
            client.batch_execute("ALTER SYSTEM SET synchronous_standby_names = '*'").map_err(failed)?;
            client.batch_execute("SELECT pg_reload_conf()").map_err(failed)?;
            wait_until("the standby does not catch up", || {
                match client.query_one(CAUGHT_UP, &[]).and_then(|row| row.try_get(0)) {
                    Ok(true) => Ok(()),
                    Ok(false) => Err(None),
                    Err(error) => Err(Some(error)),
                }
            })
        })
    }

    /// Has a standby become a primary.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub fn promote(&self) -> Result<(), ServerError> {
        lock(self.cluster()?).promote()
    }

    /// Stops the server as a crash would. What it has not confirmed is lost.
    ///
    /// # Errors
    ///
    /// When the server [cannot be restarted](Self::can_restart) or does not stop.
    pub fn stop_at_once(&self) -> Result<(), ServerError> {
        let cluster = self.cluster()?;
        self.shared.admin.close();
        lock(cluster).stop_at_once()
    }

    /// Kills one of the server's processes as the system does when memory runs out: the server ends all others, and recovers.
    /// Returns when it can be connected to again.
    ///
    /// # Errors
    ///
    /// When the server does not come back.
    pub fn kill(&self, process: i32) -> Result<(), ServerError> {
        self.shared.admin.close();
        outside_of_runtimes(|| {
            let failed = |error| ServerError::because("cannot use the server", error);
            // A server that was asked at once might not have noticed yet.
            let mut witness = self.client().map_err(failed)?;
            signal("KILL", &process.to_string())?;
            wait_until("the server has not noticed", || match witness.batch_execute("SELECT") {
                Err(_) => Ok(()),
                Ok(()) => Err(None),
            })?;
            wait_until("the server does not come back", || self.client().map(drop).map_err(Some))
        })
    }

    /// Stops the clocks of all of the server's processes: connections are taken, and nothing is answered.
    ///
    /// # Errors
    ///
    /// When the server does not run.
    pub fn freeze(&self) -> Result<(), ServerError> {
        let failed = |error| ServerError::because("cannot list the server's processes", error);
        let cluster = lock(self.cluster()?);
        let postmaster = cluster.postmaster().ok_or_else(|| ServerError::new("the server does not run"))?;
        self.shared.admin.close();
        let mut client = outside_of_runtimes(|| self.client()).map_err(failed)?;
        // It is written down before it is done, for a guardian that has to undo it; and first comes the one that makes others.
        let postmaster = postmaster.to_string();
        let write = |processes: &str| {
            fs::write(cluster.frozen(), processes)
                .map_err(|error| ServerError::because("cannot write down what is frozen", error))
        };
        write(&postmaster)?;
        signal("STOP", &postmaster)?;
        let processes = outside_of_runtimes(|| {
            let sql = "SELECT string_agg(pid::text, ' ') FROM pg_stat_activity WHERE pid <> pg_backend_pid()";
            client.query_one(sql, &[])?.try_get::<_, String>(0)
        });
        let processes = processes.map_err(failed)?;
        write(&format!("{postmaster} {processes}"))?;
        signal("STOP", &processes)
    }

    /// Lets the processes go on that are frozen.
    ///
    /// # Errors
    ///
    /// When the server is not frozen.
    pub fn thaw(&self) -> Result<(), ServerError> {
        let failed = |error| ServerError::because("cannot read what is frozen", error);
        let frozen = lock(self.cluster()?).frozen();
        signal("CONT", &fs::read_to_string(&frozen).map_err(failed)?)?;
        fs::remove_file(frozen).map_err(failed)
    }

    /// Lets no file that the server's sessions write grow over this size in bytes, as a full disk would; `unlimited` for all.
    ///
    /// # Errors
    ///
    /// When the system has no `prlimit`, or the server does not run.
    pub fn limit_files(&self, size: &str) -> Result<(), ServerError> {
        let failed = |error| ServerError::because("cannot list the server's sessions", error);
        let cluster = lock(self.cluster()?);
        let postmaster = cluster.postmaster().ok_or_else(|| ServerError::new("the server does not run"))?;
        let sessions = outside_of_runtimes(|| {
            let sql = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'";
            let rows = self.client()?.query(sql, &[])?;
            rows.iter().map(|row| row.try_get::<_, i32>(0)).collect::<Result<Vec<_>, _>>()
        });
        let limit = |process: &str| {
            let arguments = [&format!("--fsize={size}:"), "--pid", process];
            run(cluster.as_its_user("prlimit").args(arguments))
        };
        // New sessions have the limit of the process that makes them. An old one may have ended meanwhile.
        limit(&postmaster.to_string())?;
        sessions.map_err(failed)?.iter().for_each(|session| drop(limit(&session.to_string())));
        Ok(())
    }

    fn client(&self) -> Result<Client, postgres::Error> {
        self.shared.address.config().connect(NoTls)
    }
}

/// Tries again and again until it works, with a limit.
fn wait_until(
    not_yet: &str,
    mut attempt: impl FnMut() -> Result<(), Option<postgres::Error>>,
) -> Result<(), ServerError> {
    let started = Instant::now();
    loop {
        match attempt() {
            Ok(()) => return Ok(()),
            Err(_) if started.elapsed() < LIMIT => thread::sleep(Duration::from_millis(10)),
            Err(None) => return Err(ServerError::new(not_yet)),
            Err(Some(error)) => return Err(ServerError::because(not_yet, error)),
        }
    }
}

/// Sends a signal to processes, whose numbers are separated by spaces. Those that have ended are passed over.
fn signal(name: &str, processes: &str) -> Result<(), ServerError> {
    // It is built into every shell, and not a program on every system.
    run(Command::new("sh").args(["-c", &format!("kill -{name} {processes} || true")]))
}

fn run(command: &mut Command) -> Result<(), ServerError> {
    let program = command.get_program().display().to_string();
    let output = command.output();
    let output = output.map_err(|error| ServerError::because(format!("cannot run {program}"), error))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(ServerError::new(format!("{program} fails with {}: {said}", output.status)))
}
