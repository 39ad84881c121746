//! The report of `cargo metadata` about the workspace and all that is below it.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::cargo;

#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    pub(super) packages: Vec<MetaPackage>,
    pub(super) resolve: Resolve,
    /// The ids of the workspace's own packages.
    pub(super) workspace_members: Vec<String>,
}

/// A package of the workspace or one that it depends on.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct MetaPackage {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) version: String,
    /// The oldest Rust that the package promises to build with.
    pub(super) rust_version: Option<String>,
    /// The registries that the package may go to: any if `None`, none if empty.
    pub(super) publish: Option<Vec<String>>,
    pub(super) manifest_path: PathBuf,
    pub(super) targets: Vec<MetaTarget>,
    pub(super) description: Option<String>,
    pub(super) documentation: Option<String>,
    pub(super) homepage: Option<String>,
    pub(super) categories: Vec<String>,
    /// The table `[package.metadata]`.
    #[serde(default)]
    pub(super) metadata: serde_json::Value,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct MetaTarget {
    /// The file that the target begins with.
    pub(super) src_path: PathBuf,
}

/// The dependencies as `Cargo.lock` resolves them.
#[derive(Debug, Deserialize)]
pub(super) struct Resolve {
    pub(super) nodes: Vec<Node>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Node {
    /// The package.
    pub(super) id: String,
    /// The packages that it depends on.
    pub(super) deps: Vec<Edge>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Edge {
    /// The id of the dependency.
    pub(super) pkg: String,
    pub(super) dep_kinds: Vec<EdgeKind>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct EdgeKind {
    /// `dev` or `build`; `None` for a normal dependency.
    pub(super) kind: Option<String>,
}

impl Metadata {
    /// The workspace's own packages.
    pub(super) fn members(&self) -> impl Iterator<Item = &MetaPackage> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }
}

impl MetaPackage {
    pub(super) fn is_published(&self) -> bool {
        self.publish.as_ref().is_none_or(|registries| !registries.is_empty())
    }
}

impl Edge {
    pub(super) fn is_only_for_tests(&self) -> bool {
        self.dep_kinds.iter().all(|kind| kind.kind.as_deref() == Some("dev"))
    }
}

pub(super) fn read() -> Result<Metadata> {
    let output = cargo::command(["metadata", "--all-features", "--format-version=1"]).output();
    let output = output.context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cargo metadata failed:\n{}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    serde_json::from_slice(&output.stdout).context("cargo metadata has another form than expected")
}
