//! Building the test programs.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::CONFORMANCE;
use crate::cargo;
use crate::postgres::{Errors, Postgres};
use crate::workspace::{Package, Target};

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

    /// Those of these packages that are also among some by name.
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

    /// Whether that is all that there are.
    pub(super) fn is_all(&self) -> bool {
        self.is_all
    }

    /// `cargo test` for these packages.
    ///
    /// Cargo builds a dependency with the features that the packages at hand ask for, all taken together. This package asks
    /// for as many as any, so with it at hand no dependency is built twice.
    pub(super) fn cargo_test(&self) -> Command {
        let mut command = cargo::command(["test"]);
        if self.is_all {
            command.arg("--workspace");
        } else {
            let names =
                self.packages.iter().map(|package| package.name.as_str()).chain([env!("CARGO_PKG_NAME")]);
            command.args(names.flat_map(|name| ["--package", name]));
        }
        command
    }

    /// What there is to test in the code of these packages: all that cargo would take, or their targets by name.
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
    /// The name of the file in `tests`, or of the program; none for the tests in the library.
    name: Option<String>,
    path: PathBuf,
}

impl Program<'_> {
    /// What it is called in the report: its package, and what it tests there.
    pub(super) fn label(&self) -> (&str, &str) {
        (&self.package.name, self.name.as_deref().unwrap_or("unit"))
    }

    /// The command that runs it, as cargo would.
    pub(super) fn command(&self, postgres: &Postgres, arguments: &[OsString]) -> Result<Command> {
        let folder = self.package.folder();
        let mut command = Command::new(&self.path);
        cargo::forget_own_package(&mut command);
        command
            .args(arguments)
            .current_dir(folder)
            .env("CARGO_MANIFEST_DIR", folder)
            .envs(postgres.variables()?);
        Ok(command)
    }
}

/// Has cargo build the test programs, and everything else that has to compile, such as the examples.
pub(super) fn programs<'a>(postgres: &Postgres, selection: &Selection<'a>) -> Result<Vec<Program<'a>>> {
    let mut command = selection.cargo_test();
    command.args(selection.targets());
    built(postgres, selection, command)
}

/// Has cargo build the conformance suite of these packages with a library for TLS, which is a feature of this package.
pub(super) fn encrypted<'a>(
    postgres: &Postgres,
    selection: &Selection<'a>,
    library: &str,
) -> Result<Vec<Program<'a>>> {
    let mut command = selection.cargo_test();
    command.args(["--features", &format!("{}/{library}", env!("CARGO_PKG_NAME"))]);
    command.args(["--test", CONFORMANCE]);
    built(postgres, selection, command)
}

/// The test programs that a command builds.
fn built<'a>(
    postgres: &Postgres,
    selection: &Selection<'a>,
    mut command: Command,
) -> Result<Vec<Program<'a>>> {
    command.args(["--no-run", "--message-format=json-render-diagnostics"]);
    let mut messages = Vec::new();
    let status = postgres.run(command, Errors::Shown, |line| messages.push(line.to_owned()))?;
    if !status.success() {
        bail!("the tests do not compile");
    }
    let programs = messages.iter().map(|message| program(message, selection.packages()));
    let mut programs: Vec<_> = programs.filter_map(Result::transpose).collect::<Result<_>>()?;
    // Cargo names them as they are built, which is another order each time.
    programs.sort_by(|a, b| (&a.package.name, &a.name).cmp(&(&b.package.name, &b.name)));
    Ok(programs)
}

/// Reads one of cargo's messages, which may be about a test program.
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

    let message: Message = serde_json::from_str(message).context("cargo says something unexpected")?;
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
    let package =
        package.with_context(|| format!("cargo built {}, which is no package here", manifest.display()))?;
    let is_main = target.kind.iter().any(|kind| kind == "lib") || target.name == package.name;
    Ok(Some(Program { package, name: (!is_main).then_some(target.name), path }))
}
