//! The tests in the documentation, which cargo builds and runs in one step.

use std::ffi::OsString;

use anyhow::{Result, bail};

use super::build::Selection;
use super::progress::Progress;
use super::report::Report;
use crate::server::{Errors, TestServer};

/// Runs the documentation tests of the selected packages that have a library.
pub(super) fn run(
    server: &TestServer,
    selection: &Selection<'_>,
    arguments: &[OsString],
    report: &mut Report,
) -> Result<()> {
    let libraries: Vec<_> = selection
        .packages()
        .iter()
        .flat_map(|package| {
            package.targets.iter().filter(|target| target.doctest).map(|target| (target, *package))
        })
        .collect();
    if libraries.is_empty() {
        return Ok(());
    }
    let mut command = selection.cargo_test();
    command.args(["--doc", "--no-fail-fast", "--color=never", "--"]).args(arguments).envs(server.variables());
    let mut running: Option<Progress> = None;
    let mut ended = Vec::new();
    let mut before = Vec::new();
    let status = server.run(command, Errors::AmongTheLines, |line| match (library(line), &mut running) {
        (Some(name), _) => {
            ended.extend(running.take().map(Progress::end_without_status));
            let package =
                libraries.iter().find(|(target, _)| target.name == name).map(|(_, package)| package);
            running = Some(Progress::begin((package.map_or(name, |package| &package.name), "docs")));
        }
        (None, Some(progress)) => progress.read(line),
        (None, None) => before.push(line.to_owned()),
    })?;
    ended.extend(running.take().map(Progress::end_without_status));
    // Cargo's status covers all packages, so a failure without a failed test comes from cargo itself.
    if !status.success() && ended.iter().all(|ended| ended.failed() == 0) {
        bail!("the tests of the documentation ended with {status}:\n{}", before.join("\n"));
    }
    report.extend(ended);
    Ok(())
}

/// Reads `   Doc-tests pgmq_core`.
fn library(line: &str) -> Option<&str> {
    line.trim_start().strip_prefix("Doc-tests ")
}
