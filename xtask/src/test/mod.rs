//! `cargo xtask test`: runs the tests on one Postgres, and says how they went.
//!
//! Cargo builds the test programs, and they are run one after the other from here: so each has its own row in the table,
//! with its time, and one that crashes is seen for what it is. The documentation's tests are built and run by cargo.

mod build;
mod docs;
mod outcome;
mod progress;
mod report;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Context, Result};

use self::progress::Progress;
use self::report::Report;
use crate::postgres::Postgres;
use crate::workspace::{chosen, packages};

pub(crate) fn run(arguments: Vec<OsString>) -> Result<ExitCode> {
    let Arguments { names, for_programs } = Arguments::parse(arguments)?;
    let packages = packages()?;
    let all: Vec<_> = packages.iter().map(|package| package.name.as_str()).collect();
    let chosen = chosen(&names, &all)?;
    let selection = build::Selection::new(&packages, &chosen);

    // Before anything is built: whoever has none should not have to wait to be told.
    let postgres = Postgres::obtain()?;
    let mut report = Report::default();
    for program in build::programs(&postgres, &selection)? {
        let progress = Progress::begin(program.label());
        report.extend([progress.follow(&postgres, program.command(&postgres, &for_programs)?)?]);
    }
    docs::run(&postgres, &selection, &for_programs, &mut report)?;
    drop(postgres);
    Ok(report.conclude(&for_programs))
}

struct Arguments {
    /// The packages, as they were typed.
    names: Vec<String>,
    /// What the test programs get: a filter, or options.
    for_programs: Vec<OsString>,
}

impl Arguments {
    fn parse(mut arguments: Vec<OsString>) -> Result<Self> {
        let separator = arguments.iter().position(|argument| argument == "--").unwrap_or(arguments.len());
        let for_programs = arguments.split_off(separator).into_iter().skip(1).collect();
        let mut parser = lexopt::Parser::from_args(arguments);
        let mut names = Vec::new();
        while let Some(argument) = parser.next()? {
            match argument {
                lexopt::Arg::Value(name) => names.push(name.to_string_lossy().into_owned()),
                other => {
                    return Err(other.unexpected())
                        .context("usage: cargo xtask test [PACKAGE ...] [-- FILTER]");
                }
            }
        }
        Ok(Self { names, for_programs })
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
}
