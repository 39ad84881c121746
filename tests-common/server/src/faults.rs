//! Fault injection on a server that belongs to one test.

use std::{
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use postgres::{Client, NoTls};

use crate::{
    admin::outside_of_runtimes, binaries, cluster::Cluster, error::ServerError, old_pgmq, purpose::Purpose,
    server::Server, shared::lock,
};

/// Time limit for a server to come back, or for a standby to catch up.
const LIMIT: Duration = Duration::from_secs(60);

impl Server {
    /// Returns `true` if this machine has the programs for [`durable`](Self::durable).
    ///
    /// # Errors
    ///
    /// If the programs are not in the folder that `PGMQ_TEST_POSTGRES_BIN` names.
    pub fn can_be_durable() -> Result<bool, ServerError> {
        Ok(binaries::find()?.is_some_and(|folder| binaries::program(&folder, "pg_basebackup").is_file()))
    }

    /// Returns `true` if `PGMQ_TEST_PGMQ_VERSION` selects a version of PGMQ.
    #[must_use]
    pub fn is_pgmq_chosen() -> bool {
        old_pgmq::asked_for().is_some()
    }

    /// Like [`private`](Self::private), for a server that keeps confirmed data when its processes are killed,
    /// and that can have a standby.
    ///
    /// # Errors
    ///
    /// If there are server programs but they do not work.
    pub fn durable() -> Result<Option<Self>, ServerError> {
        let Some(binaries) = binaries::find()? else { return Ok(None) };
        Self::from_cluster(Cluster::create(binaries, Purpose::Faults)?).map(Some)
    }

    /// Starts a standby of this server.
    ///
    /// # Errors
    ///
    /// If this server is not [`durable`](Self::durable), or cannot be copied.
    pub fn standby(&self) -> Result<Self, ServerError> {
        let standby = Cluster::standby_of(&lock(self.cluster()?))?;
        Self::from_cluster(standby)
    }

    /// Turns this server, which is stopped, into a standby of `primary`, with the primary's data.
    ///
    /// # Errors
    ///
    /// If the primary cannot be copied.
    pub fn follow(&self, primary: &Self) -> Result<(), ServerError> {
        lock(self.cluster()?).follow(&primary.shared.address)
    }

    /// Makes every later commit on this server wait for its standby. When this returns, the standby has all
    /// earlier commits.
    ///
    /// # Errors
    ///
    /// If the standby does not catch up.
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

    /// Promotes a standby to primary.
    ///
    /// # Errors
    ///
    /// If the promotion fails.
    pub fn promote(&self) -> Result<(), ServerError> {
        lock(self.cluster()?).promote()
    }

    /// Stops the server as a crash would. Unconfirmed data is lost.
    ///
    /// # Errors
    ///
    /// If the server [cannot be restarted](Self::can_restart) or does not stop.
    pub fn stop_at_once(&self) -> Result<(), ServerError> {
        let cluster = self.cluster()?;
        self.shared.admin.close();
        lock(cluster).stop_at_once()
    }

    /// Kills one of the server's processes, as the system does when memory runs out: the server ends all
    /// other processes and recovers. Returns when the server accepts connections again.
    ///
    /// # Errors
    ///
    /// If the server does not come back.
    pub fn kill(&self, process: i32) -> Result<(), ServerError> {
        self.shared.admin.close();
        outside_of_runtimes(|| {
            let failed = |error| ServerError::because("cannot use the server", error);
            // Asked immediately, the server might not have noticed yet.
            let mut witness = self.client().map_err(failed)?;
            signal("KILL", &process.to_string())?;
            wait_until("the server does not notice that its process was killed", || {
                match witness.batch_execute("SELECT") {
                    Err(_) => Ok(()),
                    Ok(()) => Err(None),
                }
            })?;
            wait_until("the server does not come back", || self.client().map(drop).map_err(Some))
        })
    }

    /// Suspends all of the server's processes: the system accepts connections, and nothing answers on them.
    ///
    /// # Errors
    ///
    /// If the server does not run.
    pub fn freeze(&self) -> Result<(), ServerError> {
        let failed = |error| ServerError::because("cannot list the server's processes", error);
        let cluster = lock(self.cluster()?);
        let postmaster = cluster.postmaster().ok_or_else(|| ServerError::new("the server does not run"))?;
        self.shared.admin.close();
        let mut client = outside_of_runtimes(|| self.client()).map_err(failed)?;
        // The ids are written before the signal is sent, for a guardian that has to undo it. The postmaster
        // comes first, since it starts the other processes.
        let postmaster = postmaster.to_string();
        let write = |processes: &str| {
            fs::write(cluster.frozen(), processes)
                .map_err(|error| ServerError::because("cannot record the frozen processes", error))
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

    /// Resumes the frozen processes.
    ///
    /// # Errors
    ///
    /// If the server is not frozen.
    pub fn thaw(&self) -> Result<(), ServerError> {
        let failed = |error| ServerError::because("cannot read which processes are frozen", error);
        let frozen = lock(self.cluster()?).frozen();
        signal("CONT", &fs::read_to_string(&frozen).map_err(failed)?)?;
        fs::remove_file(frozen).map_err(failed)
    }

    /// Limits the size in bytes of files that the server's sessions write, as a full disk would. `unlimited`
    /// removes the limit.
    ///
    /// # Errors
    ///
    /// If the system has no `prlimit`, or the server does not run.
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
        // New sessions inherit the postmaster's limit. An old session may have ended meanwhile.
        limit(&postmaster.to_string())?;
        sessions.map_err(failed)?.iter().for_each(|session| drop(limit(&session.to_string())));
        Ok(())
    }

    fn client(&self) -> Result<Client, postgres::Error> {
        self.shared.address.config().connect(NoTls)
    }
}

/// Repeats `attempt` until it succeeds, for at most [`LIMIT`].
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

/// Sends a signal to processes, whose ids are separated by spaces. Processes that have ended are skipped.
fn signal(name: &str, processes: &str) -> Result<(), ServerError> {
    // `kill` is built into every shell, but is not a program on every system.
    run(Command::new("sh").args(["-c", &format!("kill -{name} {processes} || true")]))
}

fn run(command: &mut Command) -> Result<(), ServerError> {
    let program = command.get_program().display().to_string();
    let output = command.output();
    let output = output.map_err(|error| ServerError::because(format!("cannot run {program}"), error))?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr);
    Err(ServerError::new(format!("{program} fails with {}: {message}", output.status)))
}
