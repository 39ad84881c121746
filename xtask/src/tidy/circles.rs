//! The rules about imports inside a crate: no circles among files, and no detours through a façade.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::graph::Graph;
use super::modules::{Found, Id, Tree};
use super::repository::{Crate, Repository};

/// The most names that a finding lists for an arrow.
const SHOWN_NAMES: usize = 4;

pub(super) fn files_have_no_circles(repository: &Repository) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for krate in repository.module_trees()? {
        let place = repository.shown(&krate.folder);
        findings.extend(circles(krate).into_iter().map(|text| format!("{place}: {text}")));
    }
    Ok(findings)
}

pub(super) fn names_come_from_their_module(repository: &Repository) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for krate in repository.module_trees()? {
        findings.extend(
            detours(krate).into_iter().map(|(file, text)| format!("{}:{text}", repository.shown(&file))),
        );
    }
    Ok(findings)
}

fn circles(krate: &Crate) -> Vec<String> {
    let graph = graph(krate);
    let arrow = |from: &str, to: &str| {
        let names: Vec<_> = graph.names(from, to).collect();
        let more = if names.len() > SHOWN_NAMES { ", .." } else { "" };
        format!("{to} ({}{more})", names[..names.len().min(SHOWN_NAMES)].join(", "))
    };
    graph
        .circles()
        .iter()
        .map(|circle| {
            let way = &circle.shortest;
            let steps = way.iter().zip(way.iter().cycle().skip(1)).map(|(from, to)| arrow(from, to));
            let steps: Vec<_> = way.first().cloned().into_iter().chain(steps).collect();
            let all = match circle.files.len() > way.len() {
                true => format!("; {} files in all: {}", circle.files.len(), circle.files.join(", ")),
                false => String::new(),
            };
            format!(
                "files import each other in a circle: {}; move what they share into a file below both{all}",
                steps.join(" -> ")
            )
        })
        .collect()
}

/// The names that each file takes from others. A `mod.rs` or `lib.rs` that re-exports its children takes none
/// from them.
fn graph(krate: &Crate) -> Graph {
    let tree = &krate.tree;
    let mut graph = Graph::default();
    for id in tree.ids() {
        let mut add = |found: &Found| {
            graph.add(&shown(krate, tree.file(id)), &shown(krate, tree.file_of(found)), &found.name);
        };
        for name in tree.uses(id) {
            let found = tree.resolve(id, &name.path);
            let is_facade = |found: &&Found| name.is_reexport && tree.is_inside(found.module, id);
            found.iter().filter(|found| !is_facade(found)).for_each(&mut add);
        }
        tree.mentions(id).for_each(|mention| mention.found.iter().for_each(&mut add));
    }
    graph
}

fn shown(krate: &Crate, file: &Path) -> String {
    file.strip_prefix(&krate.folder).unwrap_or(file).display().to_string()
}

/// The names that come through the `use` declaration of another file, although the code may name the module
/// that defines them. Each comes with its file.
fn detours(krate: &Crate) -> Vec<(PathBuf, String)> {
    let tree = &krate.tree;
    let mut lines: BTreeMap<(PathBuf, usize), BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for id in tree.ids() {
        let file = tree.file(id);
        let imports = tree.uses(id).iter().filter(|name| !name.is_glob);
        let imports = imports.map(|name| (name.line, tree.resolve(id, &name.path)));
        let paths = tree
            .mentions(id)
            .filter(|mention| !mention.is_single)
            .map(|mention| (mention.line, mention.found));
        for (line, found) in imports.chain(paths) {
            for found in found {
                if let Some(facade) = facade(tree, id, &found) {
                    let path = format!("{}::{}", tree.path(found.module).join("::"), found.name);
                    let line = lines.entry((file.to_owned(), line)).or_default();
                    line.entry(shown(krate, facade)).or_default().insert(path);
                }
            }
        }
    }
    let text = |line: usize, facades: BTreeMap<String, BTreeSet<String>>| {
        let facades: Vec<_> = facades
            .into_iter()
            .map(|(facade, paths)| {
                let paths: Vec<_> = paths.into_iter().collect();
                format!("imports through {facade}; write {}", paths.join(", "))
            })
            .collect();
        format!("{line}: {}", facades.join("; "))
    };
    lines.into_iter().map(|((file, line), facades)| (file, text(line, facades))).collect()
}

/// The file that the name comes through, if the code of `from` can do without it.
fn facade<'t>(tree: &'t Tree, from: Id, found: &Found) -> Option<&'t Path> {
    let mut others = found.through.iter().map(|id| tree.file(*id));
    // A macro is given a path by a `use` declaration in its own file.
    let is_facade = |file: &&Path| *file != tree.file(from) && *file != tree.file_of(found);
    let last = others.rfind(is_facade)?;
    tree.can_name(from, found.module).then_some(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    /// A crate of files that are only here.
    fn krate(files: &[(&str, &str)]) -> Crate {
        let read = |path: &Path| {
            let file = files.iter().find(|(name, _)| Path::new("src").join(name) == path);
            file.map(|(_, text)| (*text).to_owned()).context("no such file")
        };
        let root = Path::new("src").join(files[0].0);
        Crate { folder: "src".into(), tree: Tree::read(&root, &read).unwrap() }
    }

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        circles(&krate(files))
    }

    fn detours_of(files: &[(&str, &str)]) -> Vec<String> {
        detours(&krate(files)).into_iter().map(|(file, text)| format!("{}:{text}", file.display())).collect()
    }

    #[test]
    fn two_files_that_name_each_other_are_a_circle() {
        let findings = found(&[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b::B; pub(crate) struct A(B);"),
            ("b.rs", "use super::a::A; pub(crate) struct B(Box<A>);"),
        ]);
        assert_eq!(
            findings,
            [
                "files import each other in a circle: a.rs -> b.rs (B) -> a.rs (A); move what they share into a file below both"
            ]
        );
    }

    #[test]
    fn a_circle_through_reexports_is_found_by_the_defining_files() {
        let findings = found(&[
            ("lib.rs", "mod a; mod b; mod c; pub use {a::*, b::inner::B as Renamed}; pub(crate) use c::C;"),
            ("a.rs", "use crate::{C, Renamed}; pub struct A(C, Renamed);"),
            ("b/mod.rs", "pub(crate) mod inner;"),
            ("b/inner.rs", "pub struct B; impl B { fn a() { crate::A::new(); } }"),
            ("c.rs", "pub struct C;"),
        ]);
        assert!(
            matches!(findings.as_slice(), [one] if one.contains("a.rs -> b/inner.rs (B) -> a.rs (A);")),
            "{findings:?}"
        );
    }

    #[test]
    fn a_module_is_an_arrow_to_the_files_whose_names_are_used() {
        let findings = found(&[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b; pub(crate) fn f() { b::c::g(); }"),
            ("b/mod.rs", "pub(crate) mod c;"),
            ("b/c.rs", "use crate::a; pub(crate) fn g() { let x = 1; a::f(); }"),
        ]);
        assert!(
            matches!(findings.as_slice(), [one] if one.contains("a.rs -> b/c.rs (g) -> a.rs (f);")),
            "{findings:?}"
        );
        let unused = found(&[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b; pub(crate) fn f() { b::g(); }"),
            ("b.rs", "use crate::a; pub(crate) fn g() {}"),
        ]);
        assert_eq!(unused, [""; 0]);
    }

    #[test]
    fn a_circle_through_macros_is_found() {
        let by_path = found(&[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "macro_rules! make { () => { $crate::b::B } } pub(crate) use make;"),
            ("b.rs", "use crate::a::make; pub(crate) struct B; fn f() { make!(); }"),
        ]);
        assert!(
            matches!(by_path.as_slice(), [one] if one.contains("a.rs -> b.rs (B) -> a.rs (make);")),
            "{by_path:?}"
        );
        let by_text = found(&[
            ("lib.rs", "#[macro_use] mod a; mod b;"),
            ("a.rs", "macro_rules! make { () => {} } fn f() { crate::b::g(); }"),
            ("b.rs", "pub(crate) fn g() { vec![make!()]; }"),
        ]);
        assert!(
            matches!(by_text.as_slice(), [one] if one.contains("a.rs -> b.rs (g) -> a.rs (make);")),
            "{by_text:?}"
        );
        let in_arguments = found(&[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "pub(crate) struct A; fn f() { assert!(vec![crate::b::B].is_empty()); }"),
            ("b.rs", "pub(crate) struct B; fn f(_: crate::a::A) {}"),
        ]);
        assert_eq!(in_arguments.len(), 1);
    }

    #[test]
    fn an_exported_macro_is_expanded_elsewhere() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "#[macro_export] macro_rules! make { () => { $crate::b::B } }"),
            ("b.rs", "pub struct B; fn f() { crate::make!(); }"),
        ];
        assert_eq!(found(&files), [""; 0]);
        assert_eq!(detours_of(&files), [""; 0]);
    }

    #[test]
    fn names_that_a_macro_makes_are_in_the_file_of_the_call() {
        let findings = found(&[
            ("lib.rs", "mod a; mod b; pub use a::Made;"),
            ("a.rs", "use crate::b::B; other::table!(emit);"),
            ("b.rs", "use crate::Made; pub struct B;"),
        ]);
        assert!(
            matches!(findings.as_slice(), [one] if one.contains("a.rs -> b.rs (B) -> a.rs (Made);")),
            "{findings:?}"
        );
    }

    #[test]
    fn facades_are_no_arrows_but_their_code_is() {
        let child = ("a.rs", "pub fn f() { super::g(); }");
        assert_eq!(found(&[("lib.rs", "mod a; pub use a::f; pub(crate) fn g() {}"), child]), [""; 0]);
        let findings = found(&[("lib.rs", "mod a; pub use a::f; pub(crate) fn g() { f(); }"), child]);
        assert!(
            matches!(findings.as_slice(), [one] if one.contains("a.rs -> lib.rs (g) -> a.rs (f);")),
            "{findings:?}"
        );
    }

    #[test]
    fn a_function_and_a_module_of_the_same_name_are_kept_apart() {
        let findings = found(&[
            ("lib.rs", "mod init; mod version; mod c; pub use init::version;"),
            ("init.rs", "made! { fn version() -> crate::c::C { crate::c::C } }"),
            ("version.rs", "pub struct Version;"),
            ("c.rs", "use crate::version::Version; pub struct C(Version);"),
        ]);
        assert_eq!(findings, [""; 0]);
    }

    #[test]
    fn imports_that_lead_back_to_themselves_lead_nowhere() {
        let findings = found(&[
            ("lib.rs", "mod a; pub use a::*; use b::b; use c::*;"),
            (
                "a.rs",
                "use super::*; macro_rules! m { () => {} } pub(crate) use m; fn f(x: Unknown) { b::f(); m!(); }",
            ),
        ]);
        assert_eq!(findings, [""; 0]);
    }

    #[test]
    fn tests_may_look_anywhere() {
        let findings = found(&[
            ("lib.rs", "mod a; mod b; #[cfg(test)] mod missing;"),
            ("a.rs", "use crate::b::B; pub struct A(B);"),
            (
                "b.rs",
                "#[cfg(test)] use crate::a::A; pub struct B; impl B { #[cfg(test)] fn a() -> A {} }
                 #[cfg(all(test, unix))] mod tests { use crate::a::A; }",
            ),
        ]);
        assert_eq!(findings, [""; 0]);
    }

    #[test]
    fn an_import_through_a_facade_is_found_where_the_module_can_be_named() {
        let findings = detours_of(&[
            ("lib.rs", "mod a; mod b; mod c; mod d; pub use a::A; pub use b::B; pub use chrono::Utc;"),
            ("a.rs", "pub struct A;"),
            ("b/mod.rs", "mod private; pub use private::B;"),
            ("b/private.rs", "pub struct B;"),
            (
                "c.rs",
                "use crate::{\n    A, Utc,\n    b::B,\n};\nfn f(a: A, b: B) -> crate::A { A }\nuse crate::d::m;",
            ),
            ("d.rs", "macro_rules! m { () => {} } pub(crate) use m;"),
        ]);
        assert_eq!(
            findings,
            [
                "src/c.rs:2: imports through lib.rs; write crate::a::A",
                "src/c.rs:5: imports through lib.rs; write crate::a::A"
            ]
        );
    }
}
