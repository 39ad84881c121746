//! The rule that each published package is complete on its own.

use anyhow::Result;
use serde_json::Value;

use super::metadata::MetaPackage;
use super::repository::Repository;
use crate::workspace::BACKENDS;

const LICENSES: [&str; 2] = ["LICENSE-MIT", "LICENSE-APACHE"];

/// The back ends whose methods block. All others are asynchronous.
const BLOCKING: [&str; 2] = ["pgmq-postgres", "pgmq-diesel"];

/// A published package and the files that the rule needs of it.
struct Packed<'p> {
    package: &'p MetaPackage,
    manifest: String,
    /// The manifest of the workspace.
    workspace: String,
    readme: Option<String>,
    /// The licences that are missing or differ from those of the repository.
    wrong_licenses: Vec<&'static str>,
    has_tests: bool,
    /// The tests depend on a package that is not published.
    needs_workspace: bool,
}

pub(super) fn packages_are_complete(repository: &Repository) -> Result<Vec<String>> {
    let workspace = repository.text(&repository.root.join("Cargo.toml"))?;
    let mut findings = Vec::new();
    for package in repository.metadata.members().filter(|package| package.is_published()) {
        let folder = package.manifest_path.parent().unwrap_or(&package.manifest_path);
        let mut wrong_licenses = Vec::new();
        for name in LICENSES {
            let expected = repository.text(&repository.root.join(name))?;
            if repository.text(&folder.join(name)).ok() != Some(expected) {
                wrong_licenses.push(name);
            }
        }
        let packed = Packed {
            package,
            manifest: repository.text(&package.manifest_path)?,
            workspace: workspace.clone(),
            readme: repository.text(&folder.join("README.md")).ok(),
            wrong_licenses,
            has_tests: folder.join("tests").is_dir(),
            needs_workspace: needs_workspace(repository, package),
        };
        let place = repository.shown(folder);
        findings.extend(against(&packed).into_iter().map(|text| format!("{place}/{text}")));
    }
    Ok(findings)
}

/// Returns `true` if a package depends on one of the workspace that is not published, which only tests may.
fn needs_workspace(repository: &Repository, package: &MetaPackage) -> bool {
    let member = repository.packages.iter().find(|member| member.name == package.name);
    let dependencies = member.into_iter().flat_map(|member| &member.dependencies);
    let is_published =
        |name: &str| repository.packages.iter().any(|package| package.name == name && package.is_published());
    dependencies.into_iter().any(|dependency| dependency.path.is_some() && !is_published(&dependency.name))
}

fn against(packed: &Packed<'_>) -> Vec<String> {
    let package = packed.package;
    let mut findings = Vec::new();
    for name in &packed.wrong_licenses {
        findings.push(format!("{name}: is missing or another than ../../{name}; copy that"));
    }
    match &packed.readme {
        None => findings.push("README.md: is missing; write one, as crates.io shows it".to_owned()),
        Some(readme) => findings.extend(links_within_the_workspace(readme).into_iter().map(|(line, target)| {
            format!("README.md:{line}: links to {target}, which is not there on crates.io; write the whole address")
        })),
    }
    let mut manifest = |text: String| findings.push(format!("Cargo.toml: {text}"));
    if package.description.as_deref().is_none_or(str::is_empty) {
        manifest("has no description; add one".to_owned());
    }
    if package.homepage.is_none() {
        manifest("has no homepage; add homepage.workspace = true".to_owned());
    }
    let documentation = format!("https://docs.rs/{}", package.name);
    if package.documentation.as_ref() != Some(&documentation) {
        manifest(format!("add documentation = \"{documentation}\""));
    }
    if !matches!(package.metadata.pointer("/docs/rs"), Some(Value::Object(_))) {
        manifest("has no [package.metadata.docs.rs]; add it, with the features to document".to_owned());
    }
    if let Some(text) = category(package) {
        manifest(text);
    }
    if packed.has_tests && packed.needs_workspace && packs_tests(packed) {
        manifest(
            "packs tests/, which cannot be built outside of the workspace; leave it out by include"
                .to_owned(),
        );
    }
    findings
}

/// The mistake in the categories, if there is one.
fn category(package: &MetaPackage) -> Option<String> {
    let has = |name: &str| package.categories.iter().any(|category| category == name);
    let is_backend = package.name.strip_prefix("pgmq-").is_some_and(|name| BACKENDS.contains(&name));
    let blocks = BLOCKING.contains(&package.name.as_str());
    match () {
        () if !has("database") => Some("is not in the category database; add it".to_owned()),
        () if is_backend && blocks && has("asynchronous") => {
            Some("is in the category asynchronous, and its methods block; take it out".to_owned())
        }
        () if is_backend && !blocks && !has("asynchronous") => {
            Some("is not in the category asynchronous; add it".to_owned())
        }
        () => None,
    }
}

/// The links of a README that lead nowhere on crates.io, with their lines: to files, to items of the crate,
/// which only rustdoc knows, and to definitions that are missing.
fn links_within_the_workspace(readme: &str) -> Vec<(usize, &str)> {
    let definitions: Vec<_> =
        readme.lines().filter_map(|line| line.strip_prefix('[')?.split_once("]: ")).collect();
    let mut found = Vec::new();
    let mut is_code = false;
    for (number, line) in readme.lines().enumerate() {
        is_code ^= line.trim_start().starts_with("```");
        if is_code {
            continue;
        }
        let inline = line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
        let definition = definitions.iter().filter(|(name, _)| {
            line.strip_prefix('[')
                .and_then(|line| line.strip_prefix(name))
                .is_some_and(|rest| rest.starts_with("]: "))
        });
        let targets = inline.chain(definition.map(|(_, target)| *target));
        let elsewhere = |target: &&str| target.contains("://") || target.starts_with('#');
        found.extend(targets.filter(|target| !elsewhere(target)).map(|target| (number + 1, target)));
        // A name of code in brackets, without a target of its own.
        let short = line.split("[`").skip(1).filter_map(|rest| rest.split_once("`]"));
        let short = short.filter(|(_, rest)| !rest.starts_with(['(', '[', ':'])).map(|(name, _)| name);
        let is_defined =
            |name: &&str| definitions.iter().any(|(defined, _)| defined.trim_matches('`') == *name);
        found.extend(short.filter(|name| !is_defined(name)).map(|name| (number + 1, name)));
    }
    found
}

/// Returns `true` unless `include` or `exclude` keeps the folder `tests` out of the package.
fn packs_tests(packed: &Packed<'_>) -> bool {
    let is_tests = |path: &String| path.trim_start_matches('/').split('/').next() == Some("tests");
    match (list(packed, "include"), list(packed, "exclude")) {
        (Some(include), _) => include.iter().any(is_tests),
        (None, Some(exclude)) => !exclude.iter().any(is_tests),
        (None, None) => true,
    }
}

/// The list of the key in the manifest or, where the package inherits it, in that of the workspace.
fn list(packed: &Packed<'_>, key: &str) -> Option<Vec<String>> {
    let inherits = packed.manifest.lines().any(|line| line.trim() == format!("{key}.workspace = true"));
    let manifest = if inherits { &packed.workspace } else { &packed.manifest };
    let mut lines = manifest.lines().skip_while(|line| {
        !line.trim_start().strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with("= ["))
    });
    let mut text = lines.next()?.to_owned();
    text.extend(lines.take_while(|_| !text.contains(']')).map(str::to_owned).collect::<Vec<_>>());
    Some(text.split('"').skip(1).step_by(2).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn package(name: &str) -> MetaPackage {
        serde_json::from_value(json!({
            "id": name, "name": name, "version": "0.1.0", "rust_version": "1.88", "publish": null,
            "manifest_path": "Cargo.toml", "targets": [], "description": "A client.",
            "documentation": format!("https://docs.rs/{name}"), "homepage": "https://example.org",
            "categories": ["database", "asynchronous"], "metadata": {"docs": {"rs": {"all-features": true}}},
        }))
        .unwrap()
    }

    fn packed(package: &MetaPackage) -> Packed<'_> {
        Packed {
            package,
            manifest: "[package]\ninclude = [\"/src\", \"README.md\"]\n".to_owned(),
            workspace: String::new(),
            readme: Some(
                "# Client\n\n[Guide](https://example.org), [`Error`], [end](#end)\n```\n#[`x`]\n```\n\n[`Error`]: https://docs.rs"
                    .to_owned(),
            ),
            wrong_licenses: Vec::new(),
            has_tests: true,
            needs_workspace: true,
        }
    }

    fn one(packed: &Packed<'_>) -> String {
        <[String; 1]>::try_from(against(packed)).unwrap().concat()
    }

    #[test]
    fn a_complete_package_is_in_order() {
        assert_eq!(against(&packed(&package("pgmq-tokio"))), [""; 0]);
    }

    #[test]
    fn each_missing_file_and_key_is_reported() {
        let whole = package("pgmq-tokio");
        assert!(
            one(&Packed { wrong_licenses: vec!["LICENSE-MIT"], ..packed(&whole) })
                .starts_with("LICENSE-MIT: ")
        );
        assert!(one(&Packed { readme: None, ..packed(&whole) }).starts_with("README.md: is missing"));
        for (line, target) in [
            ("[b](../c.md)", "../c.md"),
            ("[`Error`](crate::Error)", "crate::Error"),
            ("[`Error`](Error)", "Error"),
            ("[`Error`]: crate::Error", "crate::Error"),
            ("An [`Error`] of", "Error"),
        ] {
            let readme = Some(format!("a\n{line}"));
            let finding = one(&Packed { readme, ..packed(&whole) });
            assert!(finding.starts_with(&format!("README.md:2: links to {target},")), "{finding}");
        }
        let changed = |change: &dyn Fn(&mut MetaPackage)| {
            let mut package = package("pgmq-tokio");
            change(&mut package);
            one(&packed(&package))
        };
        assert!(changed(&|package| package.description = None).contains("description"));
        assert!(changed(&|package| package.homepage = None).contains("homepage"));
        assert!(changed(&|package| package.documentation = None).contains("docs.rs/pgmq-tokio"));
        assert!(changed(&|package| package.metadata = Value::Null).contains("metadata.docs.rs"));
        assert!(changed(&|package| package.categories.clear()).contains("database"));
        assert!(
            changed(&|package| package.categories.truncate(1)).contains("not in the category asynchronous")
        );
        assert!(one(&packed(&package("pgmq-diesel"))).contains("its methods block"));
    }

    #[test]
    fn tests_that_need_the_workspace_are_not_packed() {
        let package = package("pgmq-tokio");
        let with = |manifest: &str| Packed { manifest: manifest.to_owned(), ..packed(&package) };
        assert!(one(&with("[package]\n")).contains("packs tests/"));
        assert!(one(&with("include = [\n    \"/src\",\n    \"/tests/**\",\n]\n")).contains("packs tests/"));
        assert_eq!(against(&with("exclude = [\n    \"/benches\",\n    \"tests\",\n]\n")), [""; 0]);
        let workspace = "include = [\"/src\"]".to_owned();
        assert_eq!(against(&Packed { workspace, ..with("include.workspace = true\n") }), [""; 0]);
        assert_eq!(against(&Packed { needs_workspace: false, ..with("[package]\n") }), [""; 0]);
    }
}
