//! The rule about features of dependencies.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};

use super::repository::Repository;
use crate::cargo;
use crate::workspace::DEMO_PACKAGE;

/// The demo asks for the features that the tests need too. Otherwise `cargo xtask test` would build such a
/// dependency, and everything that depends on it, a second time.
pub(super) fn dependencies_are_built_once(_: &Repository) -> Result<Vec<String>> {
    let here = dependencies(&["--package", DEMO_PACKAGE, "--edges=no-dev"])?;
    // The tests of xtask need no dependency that takes long to build.
    let tested = dependencies(&["--workspace", "--exclude", env!("CARGO_PKG_NAME")])?;
    let names: BTreeSet<_> = here.iter().map(|(name, _)| name).collect();
    let differ = tested.difference(&here).filter(|(name, _)| names.contains(name));
    Ok(differ
        .map(|(name, features)| {
            format!(
                "xtask/demo/Cargo.toml: the tests need {name} with the features {features}; ask for them here too"
            )
        })
        .collect())
}

/// The packages that cargo would build, with their features.
fn dependencies(selection: &[&str]) -> Result<BTreeSet<(String, String)>> {
    let mut command = cargo::command(["tree", "--prefix=none", "--format={p}\t{f}", "--color=never"]);
    let output = command.args(selection).output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cargo tree failed:\n{}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    let lines = String::from_utf8_lossy(&output.stdout);
    let split = |line: &str| {
        let (package, features) = line.split_once('\t')?;
        // Parentheses contain a path, or mark a line as a repetition.
        let name = package.split(" (").next()?;
        Some((name.to_owned(), features.trim_end_matches(" (*)").to_owned()))
    };
    Ok(lines.lines().filter_map(split).collect())
}
