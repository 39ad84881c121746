//! The tests of encrypted connections: the cases of the conformance suite about TLS, in programs that are built with it.
//!
//! Cargo takes the features of all packages at hand together. So the libraries are features of this package, which asks them of
//! the back ends, and there is a build for each.

use std::env;
use std::ffi::OsString;

use anyhow::{Result, bail};

use super::build::{self, Selection};
use super::progress::{Ended, Progress};
use crate::postgres::Postgres;

/// Says to the tests which library is compiled in.
pub(super) const VARIABLE: &str = "PGMQ_TEST_TLS";

/// What the names of the cases have in common.
const CASES: &str = "tls";

/// A library for TLS.
pub(super) struct Library {
    /// The feature of this package, and the word for the tests.
    name: &'static str,
    /// The back ends that can have it.
    backends: &'static [&'static str],
}

/// The libraries. libpq has that of the system, as native-tls has.
pub(super) const LIBRARIES: [Library; 2] = [
    Library { name: "rustls", backends: &["pgmq-postgres", "pgmq-tokio", "pgmq-diesel-async", "pgmq-sqlx"] },
    Library {
        name: "native-tls",
        backends: &["pgmq-postgres", "pgmq-tokio", "pgmq-diesel", "pgmq-diesel-async", "pgmq-sqlx"],
    },
];

/// Whether a program of this name in the report is one that was built with a library.
pub(super) fn is_library(what: &str) -> bool {
    LIBRARIES.iter().any(|library| library.name == what)
}

/// The library that alone is to be tested; `None` if nothing is said of one.
pub(super) fn asked_for() -> Result<Option<&'static Library>> {
    let Some(name) = env::var_os(VARIABLE) else { return Ok(None) };
    match LIBRARIES.iter().find(|library| name == library.name) {
        Some(library) => Ok(Some(library)),
        None => bail!("there is no library {} for TLS; there are rustls and native-tls", name.display()),
    }
}

/// Builds the selected back ends with a library, and runs the cases.
pub(super) fn run(
    postgres: &Postgres,
    selection: &Selection<'_>,
    library: &Library,
    arguments: &[OsString],
) -> Result<Vec<Ended>> {
    let cases = [CASES.into()];
    let arguments = if arguments.is_empty() { &cases[..] } else { arguments };
    let selection = selection.of(library.backends);
    if selection.packages().is_empty() {
        return Ok(Vec::new());
    }
    let mut ended = Vec::new();
    for program in build::encrypted(postgres, &selection, library.name)? {
        let (package, _) = program.label();
        let progress = Progress::begin((package, library.name));
        let mut command = program.command(postgres, arguments)?;
        command.env(VARIABLE, library.name);
        ended.push(progress.follow(postgres, command)?);
    }
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::BACKENDS;

    #[test]
    fn every_back_end_is_tested_with_a_library() {
        for backend in BACKENDS {
            let package = format!("pgmq-{backend}");
            assert!(
                LIBRARIES.iter().any(|library| library.backends.contains(&package.as_str())),
                "{package}"
            );
        }
    }
}
