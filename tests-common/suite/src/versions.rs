//! The table in `docs/versions.md`, which is generated from the table of operations.

use std::{env, fmt::Write, fs, path::PathBuf};

use pgmq_core::{Feature, OPERATIONS, Operation, Version};

/// The oldest supported version of PGMQ.
const OLDEST: Version = Version::new(1, 4, 4);

const BEGIN: &str = "<!-- operations: begin -->\n";
const END: &str = "<!-- operations: end -->";

fn table() -> String {
    let is_newer = |operation: &&Operation| operation.since.is_some() || !operation.needs.is_empty();
    let mut operations: Vec<_> = OPERATIONS.iter().filter(is_newer).collect();
    let since = |operation: &Operation| operation.since.unwrap_or(OLDEST);
    // The sort is stable, so operations of the same versions keep the order of the table.
    operations.sort_by_key(|operation| (since(operation), versions(operation)));
    let mut table =
        "\n| operations | since PGMQ | options that need a newer PGMQ |\n|---|---|---|\n".to_owned();
    for group in operations.chunk_by(|a, b| (since(a), a.needs) == (since(b), b.needs)) {
        let names: Vec<_> = group.iter().map(|operation| format!("`{}`", operation.name)).collect();
        let needs = group.first().map_or_else(String::new, |operation| needs(operation));
        let since = group.first().map_or(OLDEST, |operation| since(operation));
        writeln!(table, "| {} | {} |{needs} |", names.join(", "), short(since)).unwrap();
    }
    table + "\n"
}

/// The versions that the options of an operation need.
fn versions(operation: &Operation) -> Vec<Version> {
    operation.needs.iter().map(|(_, since)| *since).collect()
}

fn needs(operation: &Operation) -> String {
    let need = |(feature, since): &(Feature, Version)| {
        let feature = match feature {
            Feature::Headers => "headers",
            Feature::PointInTime => "a point in time",
            Feature::Condition => "`conditional`",
            Feature::Premake => "`premake`",
            other => panic!("the page has no name for the feature {other:?}; add one here"),
        };
        format!(" {feature}: {}", short(*since))
    };
    operation.needs.iter().map(need).collect::<Vec<_>>().join(",")
}

/// A version as the guide writes it: 1.11 and 1.11.1.
fn short(version: Version) -> String {
    let Version { major, minor, patch } = version;
    match (version, patch) {
        (OLDEST, _) | (_, 1..) => version.to_string(),
        _ => format!("{major}.{minor}"),
    }
}

#[test]
fn the_page_on_versions_agrees_with_the_table_of_operations() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/versions.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the page marks the beginning of the table");
    let (old, after) = rest.split_once(END).expect("the page marks the end of the table");
    let new = table();
    if env::var_os("UPDATE_EXPECTED").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{new}{END}{after}")).unwrap();
        return;
    }
    assert!(old == new, "docs/versions.md differs; rewrite it by UPDATE_EXPECTED=1. It should have:\n{new}");
}
