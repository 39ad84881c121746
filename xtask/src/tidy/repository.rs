//! The repository that the rules check.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::metadata::{self, Metadata};
use super::modules::Tree;
use crate::cargo::root;
use crate::workspace::{Package, packages, rust_files};

/// A crate: its module tree, and the folder that its files are shown from.
pub(super) struct Crate {
    pub(super) folder: PathBuf,
    pub(super) tree: Tree,
}

/// The repository: its folder, its packages and the packages below them.
pub(super) struct Repository {
    pub(super) root: PathBuf,
    /// The members of the workspace.
    pub(super) packages: Vec<Package>,
    /// The report of `cargo metadata`, with all dependencies.
    pub(super) metadata: Metadata,
    module_trees: OnceCell<Vec<Crate>>,
}

impl Repository {
    pub(super) fn read() -> Result<Self> {
        Ok(Self {
            root: root(),
            packages: packages()?,
            metadata: metadata::read()?,
            module_trees: OnceCell::new(),
        })
    }

    /// The folder of a back end's sources.
    pub(super) fn sources_of(&self, backend: &str) -> PathBuf {
        self.root.join(format!("crates/pgmq-{backend}/src"))
    }

    /// A path as people write it, from the root of the repository.
    pub(super) fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }

    /// The text of a file.
    pub(super) fn text(&self, path: &Path) -> Result<String> {
        fs::read_to_string(path).with_context(|| format!("cannot read {}", self.shown(path)))
    }

    /// All crates of the workspace: libraries, programs, tests, examples and benches.
    pub(super) fn module_trees(&self) -> Result<&[Crate]> {
        if let Some(trees) = self.module_trees.get() {
            return Ok(trees);
        }
        let mut trees = Vec::new();
        for target in self.metadata.members().flat_map(|package| &package.targets) {
            let tree = Tree::read(&target.src_path, &|path| self.text(path))?;
            let folder = target.src_path.parent().unwrap_or(&target.src_path).to_owned();
            trees.push(Crate { folder, tree });
        }
        Ok(self.module_trees.get_or_init(|| trees))
    }

    /// The packages below `crates/`.
    pub(super) fn crates(&self) -> impl Iterator<Item = &Package> {
        let folder = self.root.join("crates");
        self.packages.iter().filter(move |package| package.folder().starts_with(&folder))
    }

    /// The Rust files of all packages, in order. A package may be in the folder of another.
    pub(super) fn rust_files(&self) -> Result<BTreeSet<PathBuf>> {
        let mut files = BTreeSet::new();
        for package in &self.packages {
            files.extend(rust_files(package.folder())?);
        }
        Ok(files)
    }

    /// The Markdown files, in order.
    pub(super) fn markdown(&self) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        collect_markdown(&self.root, &mut files)?;
        files.sort();
        Ok(files)
    }
}

/// Skips build output and hidden folders, except for GitHub's.
fn collect_markdown(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read the folder {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            let is_hidden = name.starts_with('.') && name != ".github";
            if !is_hidden && name != "target" && name != "node_modules" {
                collect_markdown(&path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "md") {
            files.push(path);
        }
    }
    Ok(())
}
