//! The tests of encrypted connections: the cases of the conformance suite about TLS, in programs that are
//! built with it.
//!
//! Cargo takes the features of all selected packages together. So each library is a feature of the demo,
//! which passes it on to the back ends, and each library has its own build.

use std::ffi::{OsStr, OsString};

use anyhow::{Result, bail};

use super::build::{self, Selection};
use super::progress::{Ended, Progress};
use crate::server::TestServer;

/// The variable that names the library that is compiled in, for the tests.
pub(super) const VARIABLE: &str = "PGMQ_TEST_TLS";

/// The common part of the names of the cases.
const CASES: &str = "tls";

/// A library for TLS.
pub(super) struct Library {
    /// The feature of the demo, and the value of the variable.
    pub(super) name: &'static str,
    /// The back ends that support the library.
    backends: &'static [&'static str],
}

/// The name of the library that needs the headers of OpenSSL.
const NATIVE_TLS: &str = "native-tls";

/// The libraries. libpq uses OpenSSL, as native-tls does on Linux.
pub(super) const LIBRARIES: [Library; 2] = [
    Library { name: "rustls", backends: &["pgmq-postgres", "pgmq-tokio", "pgmq-diesel-async", "pgmq-sqlx"] },
    Library {
        name: NATIVE_TLS,
        backends: &["pgmq-postgres", "pgmq-tokio", "pgmq-diesel", "pgmq-diesel-async", "pgmq-sqlx"],
    },
];

impl Library {
    /// Returns `true` if a build with the library needs the headers of OpenSSL.
    pub(super) fn needs_openssl(&self) -> bool {
        self.name == NATIVE_TLS
    }
}

/// Returns `true` if a program of this name in the report was built with a library for TLS.
pub(super) fn is_library(what: &str) -> bool {
    LIBRARIES.iter().any(|library| library.name == what)
}

/// The library of this name, or an error that lists those that exist.
pub(super) fn library(name: &OsStr) -> Result<&'static Library> {
    match LIBRARIES.iter().find(|library| name == library.name) {
        Some(library) => Ok(library),
        None => bail!("there is no library {} for TLS; choose rustls or native-tls", name.display()),
    }
}

/// Builds the selected back ends with a library, and runs the cases.
pub(super) fn run(
    server: &TestServer,
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
    for program in build::encrypted(server, &selection, library.name)? {
        let (package, _) = program.label();
        let progress = Progress::begin((package, library.name));
        let mut command = program.command(server, arguments);
        command.env(VARIABLE, library.name);
        ended.push(progress.follow(server, command)?);
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
