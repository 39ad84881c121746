//! The rule that all back ends document their methods with the same words.

use std::collections::BTreeMap;

use anyhow::Result;

use super::api::{self, TYPES};
use super::repository::Repository;
use crate::workspace::BACKENDS;

/// Methods whose drivers differ in ways that callers must know, with the reasons. Only their summaries must
/// be the same: the text up to the first full stop or colon.
const DIFFER: [(&str, &str, &str); 7] = [
    ("PGMQueue", "close", "the pool of sqlx closes for all of its handles, the others with their last"),
    ("PGMQueue", "listen", "the pool of sqlx knows how to connect, and the others may not"),
    ("PGMQueue", "session", "some drivers lend their own type, others a wrapper"),
    (
        "PGMQueue",
        "transaction",
        "a blocking closure panics, and a future is dropped; Diesel nests transactions",
    ),
    ("PGMQueue", "transaction_with", "a savepoint of Diesel's takes no options"),
    ("PGMQueue", "with", "some drivers also take a shared reference to a connection"),
    ("PGMQueue", "with_listen_url", "the pool of sqlx knows how to connect, and the others may not"),
];

pub(super) fn backends_have_the_same_docs(repository: &Repository) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    let mut docs: BTreeMap<(&str, String), Vec<(&str, String)>> = BTreeMap::new();
    for backend in BACKENDS {
        for (type_name, methods) in TYPES.into_iter().zip(api::of_backend(repository, backend)?) {
            for (method, found) in methods {
                docs.entry((type_name, method)).or_default().push((backend, unified(&found.docs)));
            }
        }
    }
    for ((type_name, method), docs) in docs {
        let differs = DIFFER.iter().any(|(of, name, _)| (*of, *name) == (type_name, method.as_str()));
        findings.extend(
            drift(&docs, differs)
                .into_iter()
                .map(|(backend, text)| format!("pgmq-{backend}: {type_name}::{method} {text}")),
        );
    }
    Ok(findings)
}

/// The back ends whose text is another than that of most, with the first sentence that differs.
fn drift<'b>(docs: &[(&'b str, String)], only_summary: bool) -> Vec<(&'b str, String)> {
    let texts: Vec<_> = docs
        .iter()
        .map(|(backend, text)| (*backend, if only_summary { summary(text).to_owned() } else { text.clone() }))
        .collect();
    let count = |text: &String| texts.iter().filter(|(_, other)| other == text).count();
    // Of equally many the first, as `max_by_key` takes the last.
    let Some((model, expected)) = texts.iter().rev().max_by_key(|(_, text)| count(text)) else {
        return Vec::new();
    };
    let others = texts.iter().filter(|(_, text)| text != expected);
    others
        .map(|(backend, text)| {
            let [here, there] = first_difference(text, expected);
            let text = format!(
                "is documented as\n      {here}\n  and in pgmq-{model} as\n      {there}\n  write the same, or add the \
                 method with a reason to DIFFER in xtask/src/tidy/docs_drift.rs"
            );
            (*backend, text)
        })
        .collect()
}

/// The first sentences that differ.
fn first_difference(one: &str, other: &str) -> [String; 2] {
    let [mut one, mut other] = [one, other].map(|text| text.split_inclusive(". ").map(str::trim));
    loop {
        match (one.next(), other.next()) {
            (one, other) if one == other && one.is_some() => {}
            (one, other) => return [one, other].map(|text| text.unwrap_or("(nothing)").to_owned()),
        }
    }
}

fn summary(text: &str) -> &str {
    let end = text.match_indices(['.', ':']).find(|(at, _)| text[at + 1..].starts_with([' ', '\n']));
    end.map_or(text, |(at, _)| &text[..at]).trim_end_matches('.')
}

/// Documentation as one line, without what may differ: examples, names of crates, `async` and `.await`.
fn unified(lines: &[String]) -> String {
    let mut is_code = false;
    let prose = lines.iter().map(|line| line.trim()).filter(|line| {
        let is_fence = line.starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    });
    let mut text = prose.collect::<Vec<_>>().join(" ");
    for backend in BACKENDS.iter().rev() {
        for name in [format!("pgmq-{backend}"), format!("pgmq_{}", backend.replace('-', "_"))] {
            text = text.replace(&name, "this crate");
        }
    }
    let text = text.replace("async ", "").replace(".await", "");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn docs(texts: &[&str]) -> Vec<(&'static str, String)> {
        BACKENDS.into_iter().zip(texts.iter().map(|text| (*text).to_owned())).collect()
    }

    #[test]
    fn the_text_of_most_is_the_model() {
        let found = drift(&docs(&["Sends. Once.", "Sends. Twice.", "Sends. Once."]), false);
        assert!(
            matches!(found.as_slice(), [("tokio", text)] if text.contains("\n      Twice.\n  and in pgmq-postgres"))
        );
        let found = drift(&docs(&["Sends. Once.", "Sends."]), false);
        assert!(
            matches!(found.as_slice(), [("tokio", text)] if text.contains("(nothing)") || text.contains("Sends."))
        );
        assert_eq!(drift(&docs(&["Sends.", "Sends."]), false), []);
    }

    #[test]
    fn a_method_that_may_differ_has_the_same_summary() {
        assert_eq!(drift(&docs(&["Closes. Waits.", "Closes: does not.", "Closes."]), true), []);
        assert_eq!(drift(&docs(&["Closes. Waits.", "Ends. Waits."]), true).len(), 1);
    }

    #[test]
    fn examples_crates_and_async_may_differ() {
        let unify = |text: &str| unified(&text.lines().map(str::to_owned).collect::<Vec<_>>());
        let sync = unify(" Runs a closure\n of `pgmq_postgres`.\n\n ```\n x()?;\n ```\n Ends.");
        let other = unify(
            " Runs a\n async closure of `pgmq_diesel_async`.\n\n ```\n x().await?;\n y();\n ```\n\n Ends.",
        );
        assert_eq!(sync, "Runs a closure of `this crate`. Ends.");
        assert_eq!(sync, other);
    }
}
