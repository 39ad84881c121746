//! The chores of this workspace, as `cargo xtask <command>`.
//!
//! A command is a module. `workspace` and `cargo` know the repository, `postgres` provides the server for a command, and
//! `terminal` prints.

mod bench;
mod cargo;
mod demo;
mod postgres;
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

cargo xtask demo [BACKEND ...]
    Shows each back end at work: queues, messages, topics, notifications, transactions.

cargo xtask test [OPTION ...] [PACKAGE ...] [-- FILTER]
    Runs the tests: all of them, or those of some packages, or those whose names contain FILTER.
    What else stands after -- goes to the test programs, such as --exact or --test-threads=1.
    --postgres-bin FOLDER   starts the server programs in this folder
    --pgmq VERSION          installs an older PGMQ: 1.5.1 as an extension, 1.5.1-sql as plain SQL
    --pgbouncer             has the back ends work through PgBouncer in transaction mode
    --tls LIBRARY           runs the tests of encrypted connections, with rustls or native-tls
    --faults                has faults strike, a hundred for each back end, and counts what comes of it

cargo xtask bench [OPTION ...]
    Measures the back ends, beside their drivers and beside the official client, on a server of its own.
    --quick                 takes about a minute, and not twenty: enough to see that it works
    --growth                has queues, messages and batches grow, and consumers come, on one back end
    --out FOLDER            writes the tables there, with plots
    --only NAME,...         measures some workloads
    --contestants NAME,...  measures some clients

cargo xtask tidy [--fix]
    Checks the formatting, the lints, the docs and this repository's own rules; --fix repairs what can be repaired.

BACKEND is the part of a crate's name after pgmq-, such as postgres or tokio; PACKAGE is that or the whole name.

demo and test need a Postgres: that of PGMQ_TEST_DATABASE_URL, or one that they start from the server programs on this
machine or in Docker, and remove at the end.";

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
        "test" => test::run(arguments),
        "tidy" => tidy::run(arguments),
        "" | "help" | "--help" | "-h" => {
            println!("{HELP}");
            Ok(if command.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
        }
        unknown => {
            bail!(
                "there is no command {unknown:?}; there are bench, demo, test and tidy, and --help says more"
            )
        }
    }
}
