//! The rule that all dependencies build with the Rust version that a package promises.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::metadata::{MetaPackage, Metadata};
use super::repository::Repository;

pub(super) fn dependencies_build_with_the_promised_rust(repository: &Repository) -> Result<Vec<String>> {
    Ok(against(&repository.metadata))
}

/// A dependency above the promise of a member is one finding, however many members depend on it. Features are
/// those of the whole workspace, so a member may be named for a dependency that only another one switches on.
fn against(metadata: &Metadata) -> Vec<String> {
    let mut too_new: BTreeMap<&str, TooNew<'_>> = BTreeMap::new();
    // The tests of a published package are built with the development packages.
    let of_tests = metadata.members().filter(|package| !package.is_published()).filter_map(promise).max();
    for member in metadata.members() {
        let Some(promised) = promise(member) else { continue };
        let with_tests = of_tests.map_or(promised, |of_tests| of_tests.max(promised));
        for (promised, kinds) in [(promised, Kinds::Users), (with_tests, Kinds::Tests)] {
            for package in below(metadata, member, kinds) {
                if promise(package).is_some_and(|needed| needed > promised) {
                    let (_, members) = too_new.entry(&package.id).or_insert((package, BTreeSet::new()));
                    members.insert((promised, member.name.clone()));
                }
            }
        }
    }
    let missing = metadata.members().filter(|member| promise(member).is_none());
    let missing =
        missing.map(|member| format!("{}: promises no Rust version; add rust-version", member.name));
    let too_new = too_new.into_values().map(|(package, members)| {
        let (name, version, needed) = (&package.name, &package.version, package.rust_version.as_deref());
        let strictest = members.first().map(|((major, minor), member)| format!("{member} promises {major}.{minor}"));
        format!(
            "Cargo.lock: {name} {version} needs Rust {}, and {}; see cargo tree --invert {name}@{version}, and take an \
             older version by cargo update --precise",
            needed.unwrap_or_default(),
            strictest.unwrap_or_default()
        )
    });
    missing.chain(too_new).collect()
}

/// A dependency, and the members that promise less, the strictest first.
type TooNew<'m> = (&'m MetaPackage, BTreeSet<(Version, String)>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kinds {
    /// The packages that users build.
    Users,
    /// The packages that users build and those that the tests need.
    Tests,
}

/// The packages that are built with a member.
fn below<'m>(metadata: &'m Metadata, member: &MetaPackage, kinds: Kinds) -> Vec<&'m MetaPackage> {
    let mut ids = BTreeSet::new();
    let mut rest = vec![member.id.as_str()];
    while let Some(id) = rest.pop() {
        let node = metadata.resolve.nodes.iter().find(|node| node.id == id);
        for edge in node.into_iter().flat_map(|node| &node.deps) {
            let is_built = !edge.is_only_for_tests() || (kinds == Kinds::Tests && id == member.id);
            if is_built && ids.insert(edge.pkg.as_str()) {
                rest.push(&edge.pkg);
            }
        }
    }
    metadata.packages.iter().filter(|package| ids.contains(package.id.as_str())).collect()
}

/// A major and a minor version.
type Version = (u32, u32);

fn promise(package: &MetaPackage) -> Option<Version> {
    let mut parts = package.rust_version.as_deref()?.split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next().unwrap_or(Ok(0)).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Packages with the Rust that they need, and edges with their kind. Packages whose name begins with
    /// `our` are members, and those whose name ends with `tests` are not published.
    fn metadata(packages: &[(&str, &str)], edges: &[(&str, &str, Option<&str>)]) -> Metadata {
        let package = |(name, rust): &(&str, &str)| {
            json!({
                "id": name, "name": name, "version": "1.0.0", "rust_version": rust, "manifest_path": "", "targets": [],
                "publish": name.ends_with("tests").then(|| json!([])), "description": null, "documentation": null,
                "homepage": null, "categories": [],
            })
        };
        let node = |(name, _): &(&str, &str)| {
            let deps = edges.iter().filter(|(from, ..)| from == name);
            let deps = deps.map(|(_, to, kind)| json!({"pkg": to, "dep_kinds": [{"kind": kind}]}));
            json!({"id": name, "deps": deps.collect::<Vec<_>>()})
        };
        let members = packages.iter().map(|(name, _)| name).filter(|name| name.starts_with("our"));
        serde_json::from_value(json!({
            "packages": packages.iter().map(package).collect::<Vec<_>>(),
            "resolve": {"nodes": packages.iter().map(node).collect::<Vec<_>>()},
            "workspace_members": members.collect::<Vec<_>>(),
        }))
        .unwrap()
    }

    #[test]
    fn a_dependency_that_needs_a_newer_rust_is_found() {
        let packages = [("our-client", "1.88"), ("pool", "1.56"), ("lock", "1.95")];
        let edges = [("our-client", "pool", None), ("pool", "lock", None)];
        assert_eq!(
            against(&metadata(&packages, &edges)),
            [
                "Cargo.lock: lock 1.0.0 needs Rust 1.95, and our-client promises 1.88; see cargo tree --invert lock@1.0.0, and \
              take an older version by cargo update --precise"
            ]
        );
        let packages = [("our-client", "1.88"), ("pool", "1.56"), ("lock", "1.88.0")];
        assert_eq!(against(&metadata(&packages, &edges)), [""; 0]);
    }

    #[test]
    fn tests_build_with_the_rust_of_the_development_packages() {
        let packages = [("our-client", "1.88"), ("our-tests", "1.94"), ("server", "1.94"), ("other", "1.95")];
        let edges = [
            ("our-client", "our-tests", Some("dev")),
            ("our-tests", "server", None),
            ("server", "other", Some("dev")),
        ];
        assert_eq!(against(&metadata(&packages, &edges)), [""; 0]);
        let built = [("our-client", "server", Some("build"))];
        assert_eq!(against(&metadata(&packages, &built)).len(), 1);
        let packages = [("our-client", "1.88"), ("our-tests", "1.94"), ("server", "1.95")];
        let findings = against(&metadata(&packages, &edges));
        assert!(matches!(findings.as_slice(), [one] if one.contains("promises 1.94")), "{findings:?}");
    }

    #[test]
    fn a_member_without_a_promise_is_found() {
        let mut metadata = metadata(&[("our-client", "1.88")], &[]);
        metadata.packages[0].rust_version = None;
        assert_eq!(against(&metadata), ["our-client: promises no Rust version; add rust-version"]);
    }
}
