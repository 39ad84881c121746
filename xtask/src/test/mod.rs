//! `cargo xtask test`: runs the tests on one Postgres, and says how they went.
//!
//! Cargo builds the test programs, and they are run one after the other from here: so each has its own row in the table,
//! with its time, and one that crashes is seen for what it is. The documentation's tests are built and run by cargo. At the end
//! come builds with TLS, for the cases about that.

mod build;
mod docs;
mod outcome;
mod progress;
mod report;
mod tls;

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use pgmq_test_server::TlsServer;

use self::progress::Progress;
use self::report::Report;
use crate::postgres::Postgres;
use crate::terminal::say;
use crate::workspace::{chosen, packages};

const PGBOUNCER: &str = "PGMQ_TEST_PGBOUNCER";
const FAULTS: &str = "PGMQ_TEST_FAULTS";

/// What the tests that every back end runs are called.
const CONFORMANCE: &str = "conformance";

pub(crate) fn run(arguments: Vec<OsString>) -> Result<ExitCode> {
    let Arguments { names, for_programs, variables } = Arguments::parse(arguments.clone())?;
    if variables.iter().any(|(name, value)| env::var_os(name).as_ref() != Some(value)) {
        return begin_anew(arguments, variables);
    }
    let packages = packages()?;
    let all: Vec<_> = packages.iter().map(|package| package.name.as_str()).collect();
    let chosen = chosen(&names, &all)?;
    let selection = build::Selection::new(&packages, &chosen);

    // Before anything is built: whoever has none should not have to wait to be told.
    let postgres = Postgres::obtain()?;
    postgres.start_poolers()?;
    let mut report = Report::default();
    if let Some(library) = tls::asked_for()? {
        report.extend(tls::run(&postgres, &selection, library, &for_programs)?);
    } else if env::var_os(FAULTS).is_some() {
        run_faults(&postgres, &selection, &for_programs, &mut report)?;
    } else {
        run_usual(&postgres, &selection, &for_programs, &mut report)?;
        // Whoever asks for less than everything does not wait for other builds.
        if selection.is_all() && for_programs.is_empty() {
            run_encrypted(&postgres, &selection, &mut report)?;
        }
    }
    drop(postgres);
    Ok(report.conclude(&for_programs))
}

/// Runs the tests as they are built without TLS.
fn run_usual(
    postgres: &Postgres,
    selection: &build::Selection<'_>,
    for_programs: &[OsString],
    report: &mut Report,
) -> Result<()> {
    for program in build::programs(postgres, selection)? {
        let progress = Progress::begin(program.label());
        report.extend([progress.follow(postgres, program.command(postgres, for_programs)?)?]);
    }
    docs::run(postgres, selection, for_programs, report)
}

/// Runs the suite of each back end alone, which has only the trials of faults then.
fn run_faults(
    postgres: &Postgres,
    selection: &build::Selection<'_>,
    for_programs: &[OsString],
    report: &mut Report,
) -> Result<()> {
    let programs = build::programs(postgres, selection)?;
    for program in programs.iter().filter(|program| program.label().1 == CONFORMANCE) {
        let progress = Progress::begin(program.label());
        report.extend([progress.follow(postgres, program.command(postgres, for_programs)?)?]);
    }
    Ok(())
}

/// Runs the cases about TLS, with each library for it.
fn run_encrypted(postgres: &Postgres, selection: &build::Selection<'_>, report: &mut Report) -> Result<()> {
    if !TlsServer::is_possible() {
        say("TLS is not tested: there are no server programs on this machine");
        return Ok(());
    }
    for library in &tls::LIBRARIES {
        report.extend(tls::run(postgres, selection, library, &[])?);
    }
    Ok(())
}

/// Runs this program with these variables, in place of itself: what the options say is said by variables to the tests.
fn begin_anew(arguments: Vec<OsString>, variables: Vec<(&str, OsString)>) -> Result<ExitCode> {
    let program = env::current_exe().context("cannot find this program")?;
    let error = Command::new(program).arg("test").args(arguments).envs(variables).exec();
    Err(error).context("cannot run this program again")
}

struct Arguments {
    /// The packages, as they were typed.
    names: Vec<String>,
    /// The options, as the variables that say the same.
    variables: Vec<(&'static str, OsString)>,
    /// What the test programs get: a filter, or options.
    for_programs: Vec<OsString>,
}

impl Arguments {
    fn parse(mut arguments: Vec<OsString>) -> Result<Self> {
        let separator = arguments.iter().position(|argument| argument == "--").unwrap_or(arguments.len());
        let for_programs = arguments.split_off(separator).into_iter().skip(1).collect();
        let mut parser = lexopt::Parser::from_args(arguments);
        let (mut names, mut variables) = (Vec::new(), Vec::new());
        while let Some(argument) = parser.next()? {
            match argument {
                lexopt::Arg::Long("postgres-bin") => {
                    variables.push(("PGMQ_TEST_POSTGRES_BIN", parser.value()?));
                }
                lexopt::Arg::Long("pgmq") => variables.push(("PGMQ_TEST_PGMQ_VERSION", parser.value()?)),
                lexopt::Arg::Long("pgbouncer") => {
                    // A program of the user's own choice is one as well.
                    let program = env::var_os(PGBOUNCER).unwrap_or_else(|| "pgbouncer".into());
                    variables.push((PGBOUNCER, program));
                }
                lexopt::Arg::Long("tls") => variables.push((tls::VARIABLE, parser.value()?)),
                lexopt::Arg::Long("faults") => variables.push((FAULTS, "1".into())),
                lexopt::Arg::Value(name) => names.push(name.to_string_lossy().into_owned()),
                other => {
                    return Err(other.unexpected())
                        .context("usage: cargo xtask test [--postgres-bin FOLDER] [--pgmq VERSION] [--pgbouncer] [--tls LIBRARY] [--faults] [PACKAGE ...] [-- FILTER]");
                }
            }
        }
        Ok(Self { names, variables, for_programs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_after_the_dashes_is_for_the_programs() {
        let parse = |words: &[&str]| Arguments::parse(words.iter().map(OsString::from).collect());
        let arguments = parse(&["tokio", "core", "--", "read_", "--exact"]).unwrap();
        assert_eq!(arguments.names, ["tokio", "core"]);
        assert_eq!(arguments.for_programs, ["read_", "--exact"]);
        assert!(parse(&["--exact"]).is_err());
    }

    #[test]
    fn options_become_variables() {
        let words =
            ["--postgres-bin", "/pg/bin", "tokio", "--pgmq=1.5.1", "--pgbouncer", "--tls=rustls", "--faults"];
        let arguments = Arguments::parse(words.map(OsString::from).into()).unwrap();
        assert_eq!(arguments.names, ["tokio"]);
        let program = env::var_os(PGBOUNCER).unwrap_or_else(|| "pgbouncer".into());
        let variables = [
            ("PGMQ_TEST_POSTGRES_BIN", "/pg/bin".into()),
            ("PGMQ_TEST_PGMQ_VERSION", "1.5.1".into()),
            ("PGMQ_TEST_PGBOUNCER", program),
            ("PGMQ_TEST_TLS", "rustls".into()),
            ("PGMQ_TEST_FAULTS", "1".into()),
        ];
        assert_eq!(arguments.variables, variables);
    }
}
