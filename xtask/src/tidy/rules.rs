//! The table of the repository's own rules.

use anyhow::{Context, Result};

use super::repository::Repository;
use super::{
    api, backends, changelog, circles, dependencies, docs_drift, features, manifests, operations, packages,
    prose, rust_version, sources,
};

/// A rule returns its findings: each says where, what is wrong, and what to do.
pub(super) type Rule = fn(&Repository) -> Result<Vec<String>>;

/// The rules, each with its name for `cargo xtask tidy --rule`.
pub(super) const RULES: &[(&str, Rule)] = &[
    ("operations", operations::operations_are_complete),
    ("crates", manifests::crates_are_known),
    ("lints", manifests::lints_are_those_of_the_workspace),
    ("pins", manifests::own_crates_are_pinned),
    ("packages", packages::packages_are_complete),
    ("rust-version", rust_version::dependencies_build_with_the_promised_rust),
    ("files", backends::backends_have_the_same_files),
    ("methods", api::backends_have_the_same_methods),
    ("docs", docs_drift::backends_have_the_same_docs),
    ("sql", sources::sql_is_in_core_only),
    ("unfinished", sources::nothing_is_unfinished),
    ("length", sources::files_are_short),
    ("circles", circles::files_have_no_circles),
    ("imports", circles::names_come_from_their_module),
    ("comments", prose::comments_are_plain),
    ("markdown", prose::markdown_is_plain),
    ("changelog", changelog::changelog_is_kept),
    ("features", features::dependencies_are_built_once),
    ("drivers", dependencies::backends_pull_in_their_driver_only),
];

/// The rule with this name.
pub(super) fn named(name: &str) -> Result<(&'static str, Rule)> {
    let rule = RULES.iter().find(|(known, _)| *known == name).copied();
    rule.with_context(|| {
        let names: Vec<_> = RULES.iter().map(|(name, _)| *name).collect();
        format!("there is no rule {name:?}; there are {}", names.join(", "))
    })
}
