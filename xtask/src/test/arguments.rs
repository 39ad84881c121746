//! The command line of `cargo xtask test`.

use std::env;
use std::ffi::OsString;

use anyhow::{Context, Result};
use pgmq_test_programs::POSTGRES_BIN;

use super::tls;

const PGBOUNCER: &str = "PGMQ_TEST_PGBOUNCER";
const FAULTS: &str = "PGMQ_TEST_FAULTS";
/// The variable for the version of an older PGMQ.
pub(super) const PGMQ_VERSION: &str = "PGMQ_TEST_PGMQ_VERSION";

const USAGE: &str = "usage: cargo xtask test [--install] [--postgres-bin FOLDER] [--pgmq VERSION] [--pgbouncer] \
                     [--tls LIBRARY] [--faults] [PACKAGE ...] [-- FILTER]";

pub(super) struct Arguments {
    /// The packages, as they were typed.
    pub(super) names: Vec<String>,
    /// `true` if packages may be installed without a question.
    pub(super) install: bool,
    /// The options that the test programs get by variables.
    pub(super) variables: Vec<(&'static str, OsString)>,
    /// The arguments of the test programs: a filter, or options.
    pub(super) for_programs: Vec<OsString>,
}

impl Arguments {
    pub(super) fn parse(mut arguments: Vec<OsString>) -> Result<Self> {
        let separator = arguments.iter().position(|argument| argument == "--").unwrap_or(arguments.len());
        let for_programs = arguments.split_off(separator).into_iter().skip(1).collect();
        let mut parser = lexopt::Parser::from_args(arguments);
        let (mut names, mut install, mut variables) = (Vec::new(), false, Vec::new());
        while let Some(argument) = parser.next()? {
            match argument {
                lexopt::Arg::Long("install") => install = true,
                lexopt::Arg::Long("postgres-bin") => variables.push((POSTGRES_BIN, parser.value()?)),
                lexopt::Arg::Long("pgmq") => variables.push((PGMQ_VERSION, parser.value()?)),
                lexopt::Arg::Long("pgbouncer") => {
                    // The variable may name another program.
                    let program = env::var_os(PGBOUNCER).unwrap_or_else(|| "pgbouncer".into());
                    variables.push((PGBOUNCER, program));
                }
                lexopt::Arg::Long("tls") => variables.push((tls::VARIABLE, parser.value()?)),
                lexopt::Arg::Long("faults") => variables.push((FAULTS, "1".into())),
                lexopt::Arg::Value(name) => names.push(name.to_string_lossy().into_owned()),
                other => return Err(other.unexpected()).context(USAGE),
            }
        }
        Ok(Self { names, install, variables, for_programs })
    }

    /// The value of an option, or of its variable in the environment.
    pub(super) fn value(&self, variable: &str) -> Option<OsString> {
        let given = self.variables.iter().rfind(|(name, _)| *name == variable);
        given.map(|(_, value)| value.clone()).or_else(|| env::var_os(variable))
    }

    /// Returns `true` if only the fault trials run, at full length.
    pub(super) fn asks_for_faults(&self) -> bool {
        self.value(FAULTS).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Arguments> {
        Arguments::parse(words.iter().map(OsString::from).collect())
    }

    #[test]
    fn arguments_after_the_dashes_are_for_the_programs() {
        let arguments = parse(&["tokio", "core", "--", "read_", "--exact"]).unwrap();
        assert_eq!(arguments.names, ["tokio", "core"]);
        assert_eq!(arguments.for_programs, ["read_", "--exact"]);
        assert!(parse(&["--exact"]).is_err());
    }

    #[test]
    fn options_become_variables() {
        let arguments = parse(&[
            "--postgres-bin",
            "/pg/bin",
            "tokio",
            "--pgmq=1.5.1",
            "--pgbouncer",
            "--tls=rustls",
            "--faults",
            "--install",
        ])
        .unwrap();
        assert_eq!(arguments.names, ["tokio"]);
        assert!(arguments.install && arguments.asks_for_faults());
        let program = env::var_os(PGBOUNCER).unwrap_or_else(|| "pgbouncer".into());
        let variables = [
            (POSTGRES_BIN, "/pg/bin".into()),
            ("PGMQ_TEST_PGMQ_VERSION", "1.5.1".into()),
            (PGBOUNCER, program),
            (tls::VARIABLE, "rustls".into()),
            (FAULTS, "1".into()),
        ];
        assert_eq!(arguments.variables, variables);
        assert_eq!(arguments.value(tls::VARIABLE), Some("rustls".into()));
    }
}
