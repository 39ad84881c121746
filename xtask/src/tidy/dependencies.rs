//! The rule that a back end pulls in its own driver only.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};

use super::repository::Repository;
use crate::cargo;
use crate::workspace::BACKENDS;

/// Crates that belong to some drivers, and the back ends that may depend on them.
const DRIVERS: [(&str, &[&str]); 13] = [
    ("bb8", &["tokio", "diesel-async"]),
    ("diesel", &["diesel", "diesel-async"]),
    ("diesel-async", &["diesel-async"]),
    ("pgmq-driver-diesel", &["diesel", "diesel-async"]),
    ("pgmq-driver-tokio-postgres", &["postgres", "tokio", "diesel-async"]),
    ("postgres", &["postgres"]),
    ("pq-sys", &["diesel"]),
    ("r2d2", &["postgres", "diesel"]),
    ("sqlx", &["sqlx"]),
    ("sqlx-core", &["sqlx"]),
    // `postgres` is built on it, and `pgmq-sqlx` asks it for the current runtime.
    ("tokio", &["postgres", "tokio", "diesel-async", "sqlx"]),
    ("tokio-postgres", &["postgres", "tokio", "diesel-async"]),
    // The official client, whose installer the tests use.
    ("pgmq", &[]),
];

/// The users of a back end build its driver and no other.
pub(super) fn backends_pull_in_their_driver_only(_: &Repository) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for backend in BACKENDS {
        findings.extend(against(backend, &below(backend)?));
    }
    Ok(findings)
}

fn against(backend: &str, crates: &BTreeSet<String>) -> Vec<String> {
    let package = format!("pgmq-{backend}");
    let is_foreign = |name: &&String| match DRIVERS.iter().find(|(driver, _)| driver == name) {
        Some((_, backends)) => !backends.contains(&backend),
        None => {
            let is_ours = name.starts_with("pgmq-");
            is_ours && *name != "pgmq-core" && **name != package
        }
    };
    let foreign = crates.iter().filter(is_foreign);
    foreign
        .map(|name| {
            format!("{package}: pulls in {name}, which its users do not need; remove it from the path that cargo tree --package {package} --invert {name} shows")
        })
        .collect()
}

/// The crates that the users of a back end build with all of its features.
fn below(backend: &str) -> Result<BTreeSet<String>> {
    let package = format!("pgmq-{backend}");
    let tree = ["tree", "--edges=normal", "--all-features", "--prefix=none", "--format={p}", "--color=never"];
    let output = cargo::command(tree).args(["--package", &package]).output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cargo tree failed:\n{}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    let lines = String::from_utf8_lossy(&output.stdout);
    Ok(lines.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_back_end_pulls_in_its_driver_and_no_other() {
        for backend in BACKENDS {
            let crates = below(backend).unwrap();
            assert!(crates.contains("pgmq-core"), "{crates:?}");
            assert_eq!(against(backend, &crates), [""; 0]);
        }
    }

    #[test]
    fn crates_of_other_drivers_are_found() {
        let crates = [
            "pgmq-core",
            "pgmq-driver-diesel",
            "pgmq-driver-tokio-postgres",
            "pgmq-tokio",
            "pgmq-postgres",
            "tokio",
            "sqlx",
            "pgmq",
        ]
        .map(str::to_owned)
        .into();
        let findings = against("tokio", &crates);
        let named = ["pgmq", "pgmq-driver-diesel", "pgmq-postgres", "sqlx"];
        assert_eq!(findings.len(), named.len(), "{findings:?}");
        assert!(named.iter().zip(&findings).all(|(name, text)| text.contains(&format!("pulls in {name},"))));
    }
}
