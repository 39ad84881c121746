//! The packages and files of this repository.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::cargo;

/// The back ends, in the order of the tables. Each is a crate `pgmq-<name>` with a module in `xtask/demo`.
pub(crate) const BACKENDS: [&str; 5] = ["postgres", "tokio", "diesel", "diesel-async", "sqlx"];

/// The other crates that are published.
pub(crate) const OTHER_CRATES: [&str; 5] =
    ["pgmq-core", "pgmq-driver-diesel", "pgmq-driver-tokio-postgres", "pgmq-otel", "pgmq-worker"];

/// The package that holds a server for tests, and its program that does so for other processes.
pub(crate) const SERVER_PACKAGE: &str = "pgmq-test-server";
pub(crate) const SERVER_HOLDER: &str = "hold_server";

/// The package that shows the back ends. It depends on all of them, with the features that their tests need.
pub(crate) const DEMO_PACKAGE: &str = "pgmq-demo";

/// The package that measures the back ends.
pub(crate) const BENCH_PACKAGE: &str = "pgmq-bench";

/// A member of the workspace.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
    /// The registries that the package may be published to; `None` means any.
    publish: Option<Vec<String>>,
}

/// A dependency in a package's manifest.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// The version requirement.
    pub(crate) req: String,
    /// The folder, if the dependency is in this repository.
    pub(crate) path: Option<PathBuf>,
    /// `dev` or `build`; `None` for a normal dependency.
    pub(crate) kind: Option<String>,
}

impl Dependency {
    /// Returns `true` if cargo leaves the dependency out of the published package: one of the tests alone,
    /// without a version.
    pub(crate) fn is_left_out(&self) -> bool {
        self.kind.as_deref() == Some("dev") && self.req == "*"
    }
}

/// A target of a package.
#[derive(Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    /// The kinds, such as `lib`, `bin` or `test`.
    pub(crate) kind: Vec<String>,
    /// `true` if cargo tests the documentation.
    pub(crate) doctest: bool,
}

impl Package {
    /// The folder of the package.
    pub(crate) fn folder(&self) -> &Path {
        self.manifest_path.parent().unwrap_or(&self.manifest_path)
    }

    pub(crate) fn is_published(&self) -> bool {
        self.publish.is_none()
    }
}

/// The name of a crate without the common prefix.
pub(crate) fn short_name(package: &str) -> &str {
    package.strip_prefix("pgmq-").unwrap_or(package)
}

/// The members of the workspace.
pub(crate) fn packages() -> Result<Vec<Package>> {
    Ok(metadata()?.packages)
}

/// The folder that cargo builds into.
pub(crate) fn target_folder() -> Result<PathBuf> {
    Ok(metadata()?.target_directory)
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
}

fn metadata() -> Result<Metadata> {
    let output = cargo::command(["metadata", "--no-deps", "--format-version=1"]).output();
    let output = output.context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cargo metadata failed:\n{}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    serde_json::from_slice(&output.stdout).context("cannot parse the output of cargo metadata")
}

/// Resolves typed names, whole or short, among those that exist. No name means all.
pub(crate) fn chosen<'a>(typed: &[String], all: &[&'a str]) -> Result<Vec<&'a str>> {
    let find = |typed: &String| all.iter().copied().find(|name| short_name(name) == short_name(typed));
    let unknown = typed.iter().find(|typed| find(typed).is_none());
    if let Some(unknown) = unknown {
        let known: Vec<_> = all.iter().map(|name| short_name(name)).collect();
        bail!("there is no {unknown:?} here; choose from {}", known.join(", "));
    }
    match typed {
        [] => Ok(all.to_owned()),
        _ => Ok(all
            .iter()
            .copied()
            .filter(|name| typed.iter().any(|typed| find(typed) == Some(*name)))
            .collect()),
    }
}

/// The Rust files in a folder and below it, sorted.
pub(crate) fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read the folder {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("target") {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_whole_or_short_and_no_name_means_all() {
        let all = ["pgmq-core", "pgmq-tokio", "xtask"];
        let chosen =
            |typed: &[&str]| chosen(&typed.iter().map(ToString::to_string).collect::<Vec<_>>(), &all);
        assert_eq!(chosen(&[]).unwrap(), all);
        assert_eq!(chosen(&["xtask", "tokio", "pgmq-tokio"]).unwrap(), ["pgmq-tokio", "xtask"]);
        assert!(chosen(&["oracle"]).unwrap_err().to_string().contains("core, tokio, xtask"));
    }
}
