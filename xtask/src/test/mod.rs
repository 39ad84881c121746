//! `cargo xtask test`: runs the tests on one Postgres, and reports their results.
//!
//! Cargo builds the test programs, and this command runs them one after the other.
//! So each program has its own row in the table, with its time, and a crash is recognized as one.
//! Cargo builds and runs the documentation tests. The last builds are those with TLS, for the cases about
//! encryption.

mod arguments;
mod build;
mod conformance;
mod docs;
mod outcome;
mod progress;
mod report;
mod tally;
mod tls;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use pgmq_test_programs::POSTGRES_BIN;

use self::arguments::{Arguments, PGMQ_VERSION};
use self::build::{CONFORMANCE, PROCESSES, Selection, WITH_PROMTOOL};
use self::progress::Progress;
use self::report::Report;
use self::tls::Library;
use crate::server::TestServer;
use crate::setup::{self, Need, Ready};
use crate::workspace::{chosen, packages};

pub(crate) fn run(arguments: Vec<OsString>) -> Result<ExitCode> {
    let arguments = Arguments::parse(arguments)?;
    let packages = packages()?;
    let all: Vec<_> = packages.iter().map(|package| package.name.as_str()).collect();
    let chosen = chosen(&arguments.names, &all)?;
    let selection = Selection::new(&packages, &chosen);
    let run = Run::of(&arguments, &selection)?;

    // Before the builds, which take minutes.
    let postgres_bin = arguments.value(POSTGRES_BIN);
    let ready = setup::prepare(run.needs(), arguments.install, postgres_bin.as_deref())?;
    let mut variables = arguments.variables;
    variables.extend(ready.variables.iter().cloned());
    let server = TestServer::start(variables)?;
    let suite = Suite { server: &server, selection: &selection, for_programs: &arguments.for_programs };
    let mut report = Report::default();
    match run {
        Run::Encrypted(library) => suite.encrypted(library, &ready, &mut report)?,
        Run::Faults => suite.only(&[CONFORMANCE, PROCESSES], &mut report)?,
        Run::OlderPgmq => suite.only(&[CONFORMANCE], &mut report)?,
        Run::Selected => suite.usual(&ready, &mut report)?,
        Run::Everything => {
            suite.usual(&ready, &mut report)?;
            for library in &tls::LIBRARIES {
                suite.encrypted(library, &ready, &mut report)?;
            }
        }
    }
    drop(server);
    Ok(report.conclude(&arguments.for_programs))
}

/// The extent of a run.
enum Run {
    /// The fault trials alone, at full length.
    Faults,
    /// The conformance suites alone, on an older PGMQ. Their cases know what it lacks; other tests do not.
    OlderPgmq,
    /// The cases about TLS alone, with one library.
    Encrypted(&'static Library),
    /// A part of the tests, without other builds.
    Selected,
    /// All tests, and after them the cases about TLS with each library.
    Everything,
}

impl Run {
    fn of(arguments: &Arguments, selection: &Selection<'_>) -> Result<Self> {
        if let Some(name) = arguments.value(tls::VARIABLE) {
            return tls::library(&name).map(Self::Encrypted);
        }
        Ok(match selection.is_all() && arguments.for_programs.is_empty() {
            _ if arguments.asks_for_faults() => Self::Faults,
            _ if arguments.value(PGMQ_VERSION).is_some() => Self::OlderPgmq,
            true => Self::Everything,
            false => Self::Selected,
        })
    }

    fn needs(&self) -> &'static [Need] {
        match self {
            Self::Everything => &[Need::CCompiler, Need::Postgres, Need::OpenSsl],
            Self::Encrypted(library) if library.needs_openssl() => {
                &[Need::CCompiler, Need::Postgres, Need::OpenSsl]
            }
            Self::Faults | Self::OlderPgmq | Self::Encrypted(_) | Self::Selected => {
                &[Need::CCompiler, Need::Postgres]
            }
        }
    }
}

/// The selected tests, and the server that they run on.
struct Suite<'a> {
    server: &'a TestServer,
    selection: &'a Selection<'a>,
    for_programs: &'a [OsString],
}

impl Suite<'_> {
    /// Runs the tests in a build without TLS.
    fn usual(&self, ready: &Ready, report: &mut Report) -> Result<()> {
        let runs_promtool = self.selection.packages().iter().any(|package| package.name == WITH_PROMTOOL);
        if let Some(remark) = ready.lacks_promtool().filter(|_| runs_promtool) {
            report.leave_out(remark);
        }
        for program in build::programs(self.server, self.selection)? {
            self.follow(&program, report)?;
        }
        docs::run(self.server, self.selection, self.for_programs, report)
    }

    /// Runs the test programs with these names, and no others.
    fn only(&self, names: &[&str], report: &mut Report) -> Result<()> {
        let programs = build::programs(self.server, self.selection)?;
        for program in programs.iter().filter(|program| names.contains(&program.label().1)) {
            self.follow(program, report)?;
        }
        Ok(())
    }

    /// Runs the cases about TLS in a build with a library, unless this machine lacks what they need.
    fn encrypted(&self, library: &Library, ready: &Ready, report: &mut Report) -> Result<()> {
        let name = library.name;
        if !ready.can_serve_tls() {
            report.leave_out(format!(
                "TLS by {name}: there are no server programs on this machine that speak TLS"
            ));
        } else if library.needs_openssl() && ready.missing.contains(&Need::OpenSsl) {
            report.leave_out(format!(
                "TLS by {name}: the headers of OpenSSL or pkg-config are missing; cargo xtask setup --install"
            ));
        } else {
            report.extend(tls::run(self.server, self.selection, library, self.for_programs)?);
        }
        Ok(())
    }

    fn follow(&self, program: &build::Program<'_>, report: &mut Report) -> Result<()> {
        let progress = Progress::begin(program.label());
        report.extend([progress.follow(self.server, program.command(self.server, self.for_programs))?]);
        Ok(())
    }
}
