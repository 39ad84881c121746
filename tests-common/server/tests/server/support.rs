//! Child processes that hold a server, and helpers that wait for their end.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use pgmq_test_server::Server;
use postgres::{Client, NoTls};

/// A process of the program `hold_server`, which holds a server and a database on it.
pub(crate) struct Holder {
    process: Child,
    pub(crate) url: String,
    pub(crate) folder: PathBuf,
    pub(crate) database: String,
    pub(crate) pooler: String,
}

impl Holder {
    /// Starts a process with the given `PGMQ_TEST_*` variables and none of the parent's.
    pub(crate) fn start(variables: &[(&str, &str)]) -> Self {
        let mut process = command(variables).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut next = || lines.next().unwrap().unwrap();
        Self { url: next(), folder: next().into(), database: next(), pooler: next(), process }
    }

    /// Closes the process' input and waits for its end.
    pub(crate) fn finish(mut self) {
        assert!(self.process.wait().unwrap().success());
    }

    /// Sends a signal to the process and waits for its end.
    pub(crate) fn kill(&mut self, signal: &str) {
        let command = format!("kill -{signal} {}", self.process.id());
        assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success());
        assert!(!self.process.wait().unwrap().success());
    }

    /// Returns the process id of the server's postmaster.
    pub(crate) fn postmaster(&self) -> String {
        let file = fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap();
        file.lines().next().unwrap().to_owned()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // Only still running if the test panicked.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Prepares `hold_server` with the given `PGMQ_TEST_*` variables and none of the parent's.
pub(crate) fn command(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hold_server"));
    for variable in [
        "PGMQ_TEST_DATABASE_URL",
        "PGMQ_TEST_RUN",
        "PGMQ_TEST_TEMPLATE",
        "PGMQ_TEST_PGBOUNCER",
        "PGMQ_TEST_POOLER",
        "PGMQ_TEST_KEEPING_POOLER",
    ] {
        command.env_remove(variable);
    }
    command.envs(variables.iter().copied());
    command
}

/// Waits for a condition, for at most a minute.
pub(crate) fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(60), "still waiting until {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Returns `true` if a process runs. A zombie has no command line.
pub(crate) fn runs(process: &str) -> bool {
    fs::read(format!("/proc/{process}/cmdline")).is_ok_and(|line| !line.is_empty())
}

/// Lists the databases of tests on a server.
pub(crate) fn databases(url: &str) -> Vec<String> {
    let sql = "SELECT datname::text FROM pg_database WHERE datname ~ '^pgmq_test_' ORDER BY oid";
    let rows = Client::connect(url, NoTls).unwrap().query(sql, &[]).unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Starts a server for one test. Returns `None`, with a message, without server programs on this machine.
pub(crate) fn private() -> Option<Server> {
    let server = Server::private().unwrap();
    if server.is_none() {
        eprintln!("skipped: there are no server programs on this machine");
    }
    server
}
