//! The rules about the workspace's own manifests.

use anyhow::Result;

use super::repository::Repository;
use crate::workspace::{BACKENDS, OTHER_CRATES};

pub(super) fn crates_are_known(repository: &Repository) -> Result<Vec<String>> {
    let is_known = |name: &str| {
        OTHER_CRATES.contains(&name)
            || name.strip_prefix("pgmq-").is_some_and(|name| BACKENDS.contains(&name))
    };
    let unknown = repository.crates().filter(|package| !is_known(&package.name));
    Ok(unknown
        .map(|package| format!("{}: add it to the lists in xtask/src/workspace.rs", package.name))
        .collect())
}

pub(super) fn lints_are_those_of_the_workspace(repository: &Repository) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for package in &repository.packages {
        if !takes_the_workspace_lints(&repository.text(&package.manifest_path)?) {
            let place = repository.shown(&package.manifest_path);
            findings.push(format!("{place}: has lints of its own; add [lints] workspace = true"));
        }
    }
    Ok(findings)
}

fn takes_the_workspace_lints(manifest: &str) -> bool {
    let mut lines = manifest.lines().map(str::trim).skip_while(|line| *line != "[lints]").skip(1);
    lines.next() == Some("workspace = true")
}

pub(super) fn own_crates_are_pinned(repository: &Repository) -> Result<Vec<String>> {
    let is_published =
        |name: &str| repository.packages.iter().any(|package| package.name == name && package.is_published());
    let mut findings = Vec::new();
    for package in &repository.packages {
        for dependency in &package.dependencies {
            let is_ours = dependency.path.is_some() && is_published(&dependency.name);
            if is_ours && !dependency.req.starts_with('=') && !dependency.is_left_out() {
                let place = repository.shown(&package.manifest_path);
                let (name, req) = (&dependency.name, &dependency.req);
                findings
                    .push(format!("{place}: takes {name} {req}; pin it with =, as our crates move together"));
            }
        }
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lints_of_the_workspace_are_recognised() {
        assert!(takes_the_workspace_lints("[package]\n\n[lints]\nworkspace = true\n"));
        assert!(!takes_the_workspace_lints("[package]\nworkspace = true\n"));
        assert!(!takes_the_workspace_lints("[lints]\n\n[lints.rust]\nworkspace = true\n"));
    }
}
