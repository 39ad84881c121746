//! What is in this repository.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::cargo;

/// The back ends, in the order in which they are shown. Each is a crate `pgmq-<name>` with a module in [`demo`](crate::demo).
pub(crate) const BACKENDS: [&str; 5] = ["postgres", "tokio", "diesel", "diesel-async", "sqlx"];

/// The other crates that are published.
pub(crate) const OTHER_CRATES: [&str; 3] = ["pgmq-core", "pgmq-driver-diesel", "pgmq-driver-tokio-postgres"];

/// The folder of the repository.
pub(crate) fn root() -> PathBuf {
    // Cargo says where the package is that it runs; a program that was moved after it was built knows it from then.
    let package =
        env::var_os("CARGO_MANIFEST_DIR").map_or(PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package.parent().map(Path::to_owned).unwrap_or(package)
}

/// A member of the workspace.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
    /// The registries that it may go to: none of them, or any if nothing is said.
    publish: Option<Vec<String>>,
}

/// What a package depends on, by its manifest.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// The versions that it takes.
    pub(crate) req: String,
    /// Where it is, if it is one of ours.
    pub(crate) path: Option<PathBuf>,
}

/// Something that a package builds.
#[derive(Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    /// Such as `lib`, `bin` or `test`.
    pub(crate) kind: Vec<String>,
    /// Whether its documentation is tested.
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

/// The name of a crate without what all of them have in common.
pub(crate) fn short_name(package: &str) -> &str {
    package.strip_prefix("pgmq-").unwrap_or(package)
}

/// The members of the workspace.
pub(crate) fn packages() -> Result<Vec<Package>> {
    #[derive(Deserialize)]
    struct Metadata {
        packages: Vec<Package>,
    }
    let output = cargo::command(["metadata", "--no-deps", "--format-version=1"]).output();
    let output = output.context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cargo metadata failed:\n{}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    let metadata: Metadata =
        serde_json::from_slice(&output.stdout).context("cargo metadata is not as expected")?;
    Ok(metadata.packages)
}

/// Checks names that somebody typed, whole or short, against those that there are. No name means all.
pub(crate) fn chosen<'a>(typed: &[String], all: &[&'a str]) -> Result<Vec<&'a str>> {
    let find = |typed: &String| all.iter().copied().find(|name| short_name(name) == short_name(typed));
    let unknown = typed.iter().find(|typed| find(typed).is_none());
    if let Some(unknown) = unknown {
        let known: Vec<_> = all.iter().map(|name| short_name(name)).collect();
        bail!("there is no {unknown:?} here; there are {}", known.join(", "));
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

/// The Rust files in a folder and in those below it, in order.
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
