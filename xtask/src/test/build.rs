//! Builds of the test programs.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::cargo;
use crate::server::{Errors, TestServer};
use crate::workspace::{DEMO_PACKAGE, Package, Target};

/// The name of the test program that each back end has for the conformance suite.
pub(super) const CONFORMANCE: &str = "conformance";
/// The name of the test program that kills and suspends workers.
pub(super) const PROCESSES: &str = "processes";

/// The package whose tests run promtool.
pub(super) const WITH_PROMTOOL: &str = "pgmq-otel";

/// The packages to test.
pub(super) struct Selection<'a> {
    packages: Vec<&'a Package>,
    is_all: bool,
}

impl<'a> Selection<'a> {
    pub(super) fn new(packages: &'a [Package], names: &[&str]) -> Self {
        let is_all = names.len() == packages.len();
        Self {
            packages: packages.iter().filter(|package| names.contains(&package.name.as_str())).collect(),
            is_all,
        }
    }

    /// The packages of this selection that have one of these names.
    pub(super) fn of(&self, names: &[&str]) -> Self {
        let packages = self.packages.iter().copied();
        Self {
            packages: packages.filter(|package| names.contains(&package.name.as_str())).collect(),
            is_all: false,
        }
    }

    pub(super) fn packages(&self) -> &[&'a Package] {
        &self.packages
    }

    /// Returns `true` if the selection has every package.
    pub(super) fn is_all(&self) -> bool {
        self.is_all
    }

    /// `cargo test` for these packages.
    ///
    /// Cargo builds a dependency with the features that all selected packages ask for. The demo asks for as
    /// many as any package, so it is always selected, and no dependency is built twice.
    pub(super) fn cargo_test(&self) -> Command {
        let mut command = cargo::command(["test"]);
        if self.is_all {
            command.arg("--workspace");
        } else {
            let names = self.packages.iter().map(|package| package.name.as_str()).chain([DEMO_PACKAGE]);
            command.args(names.flat_map(|name| ["--package", name]));
        }
        command
    }

    /// The flags for the targets to test: none for cargo's choice, or the names of the selected packages'
    /// targets.
    fn targets(&self) -> Vec<&str> {
        if self.is_all {
            return Vec::new();
        }
        let targets = self.packages.iter().flat_map(|package| &package.targets);
        let flags = targets.filter_map(|target| match target.kind.first().map(String::as_str) {
            Some("lib") => Some(vec!["--lib"]),
            Some("bin") => Some(vec!["--bin", &target.name]),
            Some("test") => Some(vec!["--test", &target.name]),
            _ => None,
        });
        let mut flags: Vec<_> = flags.collect();
        // Cargo takes `--lib` only once.
        flags.sort();
        flags.dedup();
        flags.concat()
    }
}

/// A program that runs tests.
pub(super) struct Program<'a> {
    package: &'a Package,
    /// The name of the file in `tests` or of the program; `None` for the tests in the library.
    name: Option<String>,
    path: PathBuf,
}

impl Program<'_> {
    /// The package and the part of it that the program tests, for the report.
    pub(super) fn label(&self) -> (&str, &str) {
        (&self.package.name, self.name.as_deref().unwrap_or("unit"))
    }

    /// The command that runs the program, as cargo would.
    pub(super) fn command(&self, server: &TestServer, arguments: &[OsString]) -> Command {
        let folder = self.package.folder();
        let mut command = Command::new(&self.path);
        cargo::forget_own_package(&mut command);
        command
            .args(arguments)
            .current_dir(folder)
            .env("CARGO_MANIFEST_DIR", folder)
            .envs(server.variables());
        command
    }
}

/// Builds the test programs, and all other targets that have to compile, such as the examples.
pub(super) fn programs<'a>(server: &TestServer, selection: &Selection<'a>) -> Result<Vec<Program<'a>>> {
    let mut command = selection.cargo_test();
    command.args(selection.targets());
    built(server, selection, command)
}

/// Builds the conformance suite of these packages with a library for TLS, which is a feature of the demo.
pub(super) fn encrypted<'a>(
    server: &TestServer,
    selection: &Selection<'a>,
    library: &str,
) -> Result<Vec<Program<'a>>> {
    let mut command = selection.cargo_test();
    command.args(["--features", &format!("{DEMO_PACKAGE}/{library}")]);
    command.args(["--test", CONFORMANCE]);
    built(server, selection, command)
}

/// Runs a command of cargo, and returns the test programs that it builds.
fn built<'a>(
    server: &TestServer,
    selection: &Selection<'a>,
    mut command: Command,
) -> Result<Vec<Program<'a>>> {
    command.args(["--no-run", "--message-format=json-render-diagnostics"]);
    let mut messages = Vec::new();
    let status = server.run(command, Errors::Shown, |line| messages.push(line.to_owned()))?;
    if !status.success() {
        bail!("the tests do not compile");
    }
    let programs = messages.iter().map(|message| program(message, selection.packages()));
    let mut programs: Vec<_> = programs.filter_map(Result::transpose).collect::<Result<_>>()?;
    // Cargo names them as they are built, in an order that varies.
    programs.sort_by(|a, b| (&a.package.name, &a.name).cmp(&(&b.package.name, &b.name)));
    Ok(programs)
}

/// Reads a message of cargo; `None` if it is not about a test program.
fn program<'a>(message: &str, packages: &[&'a Package]) -> Result<Option<Program<'a>>> {
    #[derive(Deserialize)]
    struct Message {
        manifest_path: Option<PathBuf>,
        target: Option<Target>,
        profile: Option<Profile>,
        executable: Option<PathBuf>,
    }
    #[derive(Deserialize)]
    struct Profile {
        test: bool,
    }

    let message: Message = serde_json::from_str(message).context("cannot parse a message of cargo")?;
    let Message {
        manifest_path: Some(manifest),
        target: Some(target),
        profile: Some(profile),
        executable: Some(path),
    } = message
    else {
        return Ok(None);
    };
    if !profile.test {
        return Ok(None);
    }
    let package = packages.iter().find(|package| package.manifest_path == manifest);
    let package = package
        .with_context(|| format!("cargo built {}, which is not in this repository", manifest.display()))?;
    let is_main = target.kind.iter().any(|kind| kind == "lib") || target.name == package.name;
    Ok(Some(Program { package, name: (!is_main).then_some(target.name), path }))
}
