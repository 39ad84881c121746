//! The repository's own rules.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{api, dependencies, features, sources};
use crate::cargo::root;
use crate::terminal::say;
use crate::workspace::{BACKENDS, OTHER_CRATES, Package, packages};

/// The repository, as the rules see it.
pub(super) struct Repository {
    pub(super) root: PathBuf,
    pub(super) packages: Vec<Package>,
}

/// A rule returns what is against it: each a line that says where, what, and what to do.
type Rule = fn(&Repository) -> Result<Vec<String>>;

const RULES: [Rule; 11] = [
    crates_are_known,
    backends_have_the_same_files,
    api::backends_have_the_same_methods,
    sources::sql_stands_in_core_only,
    sources::nothing_is_unfinished,
    sources::files_are_short,
    lints_are_those_of_the_workspace,
    own_crates_are_pinned,
    changelog_is_kept,
    features::dependencies_are_built_once,
    dependencies::backends_pull_in_their_driver_only,
];

/// Checks all rules, and prints what is against them.
pub(super) fn hold() -> Result<bool> {
    let repository = Repository::read()?;
    let mut holds = true;
    for rule in RULES {
        for finding in rule(&repository)? {
            say(finding);
            holds = false;
        }
    }
    Ok(holds)
}

impl Repository {
    pub(super) fn read() -> Result<Self> {
        Ok(Self { root: root(), packages: packages()? })
    }

    /// The folder of a back end's sources.
    pub(super) fn sources_of(&self, backend: &str) -> PathBuf {
        self.root.join(format!("crates/pgmq-{backend}/src"))
    }

    /// A path as people write it, from the root of the repository.
    pub(super) fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }
}

fn crates_are_known(repository: &Repository) -> Result<Vec<String>> {
    let is_known = |name: &str| {
        OTHER_CRATES.contains(&name)
            || name.strip_prefix("pgmq-").is_some_and(|name| BACKENDS.contains(&name))
    };
    let crates = repository
        .packages
        .iter()
        .filter(|package| package.folder().starts_with(repository.root.join("crates")));
    let unknown = crates.filter(|package| !is_known(&package.name));
    Ok(unknown
        .map(|package| format!("{}: add it to the lists in xtask/src/workspace.rs", package.name))
        .collect())
}

fn backends_have_the_same_files(repository: &Repository) -> Result<Vec<String>> {
    let files = ["lib.rs", "queue.rs", "bound.rs", "run.rs", "config.rs", "listen.rs", "error.rs"];
    let all = BACKENDS.iter().flat_map(|backend| files.map(|file| repository.sources_of(backend).join(file)));
    let missing = all.filter(|path| !path.is_file());
    Ok(missing.map(|path| format!("{}: missing; all back ends have it", repository.shown(&path))).collect())
}

fn lints_are_those_of_the_workspace(repository: &Repository) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for package in &repository.packages {
        let manifest = fs::read_to_string(&package.manifest_path)
            .with_context(|| format!("cannot read {}", package.manifest_path.display()))?;
        let mut lines = manifest.lines().map(str::trim).skip_while(|line| *line != "[lints]").skip(1);
        if lines.next() != Some("workspace = true") {
            let place = repository.shown(&package.manifest_path);
            findings.push(format!(
                "{place}: the lints are not those of the workspace; add [lints] workspace = true"
            ));
        }
    }
    Ok(findings)
}

fn own_crates_are_pinned(repository: &Repository) -> Result<Vec<String>> {
    let is_published =
        |name: &str| repository.packages.iter().any(|package| package.name == name && package.is_published());
    let mut findings = Vec::new();
    for package in &repository.packages {
        for dependency in &package.dependencies {
            if dependency.path.is_some() && is_published(&dependency.name) && !dependency.req.starts_with('=')
            {
                let place = repository.shown(&package.manifest_path);
                let (name, req) = (&dependency.name, &dependency.req);
                findings
                    .push(format!("{place}: takes {name} {req}; our crates move together, so pin it with ="));
            }
        }
    }
    Ok(findings)
}

fn changelog_is_kept(repository: &Repository) -> Result<Vec<String>> {
    let text = fs::read_to_string(repository.root.join("CHANGELOG.md")).unwrap_or_default();
    let has_section = text.lines().any(|line| line.starts_with("## "));
    let finding = "CHANGELOG.md: there is no section; begin one with ## [Unreleased]";
    Ok((!has_section).then(|| finding.to_owned()).into_iter().collect())
}
