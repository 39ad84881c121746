//! Other processes that hold a server, and waiting for what they leave.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use postgres::{Client, NoTls};
use tests_common::server::Server;

/// A process of the program `hold_server`, which has a server and a database on it.
pub(crate) struct Holder {
    process: Child,
    pub(crate) url: String,
    pub(crate) folder: PathBuf,
    pub(crate) database: String,
    pub(crate) pooler: String,
}

impl Holder {
    /// Starts it with these of our environment variables and no others.
    pub(crate) fn start(variables: &[(&str, &str)]) -> Self {
        let mut process = command(variables).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut next = || lines.next().unwrap().unwrap();
        Self { url: next(), folder: next().into(), database: next(), pooler: next(), process }
    }

    /// Lets it end by itself.
    pub(crate) fn finish(mut self) {
        assert!(self.process.wait().unwrap().success());
    }

    /// Sends it a signal and waits for its end.
    pub(crate) fn kill(&mut self, signal: &str) {
        let command = format!("kill -{signal} {}", self.process.id());
        assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success());
        assert!(!self.process.wait().unwrap().success());
    }

    /// Returns the number of its server's first process.
    pub(crate) fn postmaster(&self) -> String {
        let file = fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap();
        file.lines().next().unwrap().to_owned()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // If the test panics; otherwise it has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Prepares `hold_server` with these of our environment variables and no others.
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

/// Waits for a condition, with a limit.
pub(crate) fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(60), "still waiting until {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Tells whether a process runs. One that nobody has waited for has no command line any more.
pub(crate) fn runs(process: &str) -> bool {
    fs::read(format!("/proc/{process}/cmdline")).is_ok_and(|line| !line.is_empty())
}

/// Lists the databases of tests on a server.
pub(crate) fn databases(url: &str) -> Vec<String> {
    let sql = "SELECT datname::text FROM pg_database WHERE datname ~ '^pgmq_test_' ORDER BY oid";
    let rows = Client::connect(url, NoTls).unwrap().query(sql, &[]).unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Returns a server for one test, or says that the test cannot run.
pub(crate) fn private() -> Option<Server> {
    let server = Server::private().unwrap();
    if server.is_none() {
        eprintln!("skipped: there are no server programs on this machine");
    }
    server
}
