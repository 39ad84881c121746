//! The rule that each operation has a case, a page and an example.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail};
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::{Item, Macro};

use super::repository::Repository;
use crate::workspace::rust_files;

/// The folder with the table, which is the macro `operations`.
const CORE: &str = "crates/pgmq-core/src";

/// The folder whose files have the cases.
const CASES: &str = "tests-common";

/// The folder of the pages, and the parts of it that mention every operation without a word about it.
const PAGES: &str = "docs";
const NO_PAGES: [&str; 4] =
    ["docs/contributing/", "docs/from-pgmq-", "docs/performance/", "docs/versions.md"];

/// A row of the table.
#[derive(Debug, PartialEq, Eq)]
struct Operation {
    name: String,
    has_example: bool,
}

pub(super) fn operations_are_complete(repository: &Repository) -> Result<Vec<String>> {
    let mut cases = BTreeSet::new();
    for path in rust_files(&repository.root.join(CASES))? {
        let place = repository.shown(&path);
        cases.extend(
            covered(&repository.text(&path)?).with_context(|| format!("cannot read the cases of {place}"))?,
        );
    }
    let mut pages = BTreeSet::new();
    for path in repository.markdown()? {
        let place = repository.shown(&path);
        if Path::new(&place).starts_with(PAGES) && !NO_PAGES.iter().any(|start| place.starts_with(start)) {
            pages.extend(names_in_code(&repository.text(&path)?));
        }
    }
    let (table, operations) = operations(repository)?;
    Ok(against(&table, &operations, &cases, &pages))
}

/// The file of the table and its rows.
fn operations(repository: &Repository) -> Result<(String, Vec<Operation>)> {
    for path in rust_files(&repository.root.join(CORE))? {
        let rows = rows(&repository.text(&path)?);
        if let Some(rows) = rows.with_context(|| format!("cannot read {}", repository.shown(&path)))? {
            return Ok((repository.shown(&path), rows));
        }
    }
    bail!("no file below {CORE} has the macro `operations`")
}

fn against(
    table: &str,
    operations: &[Operation],
    cases: &BTreeSet<String>,
    pages: &BTreeSet<String>,
) -> Vec<String> {
    let mut findings = Vec::new();
    for Operation { name, has_example } in operations {
        if !cases.contains(name) {
            findings.push(format!("{table}: {name} has no case; add one to a `cases!` table below {CASES}"));
        }
        if !pages.contains(name) {
            findings.push(format!("{table}: {name} is on no page; explain `{name}` in one below {PAGES}"));
        }
        if !has_example {
            findings.push(format!("{table}: {name} has no example; add one to its row"));
        }
    }
    let is_known = |name: &&String| operations.iter().any(|operation| operation.name == **name);
    let unknown = cases.iter().filter(|name| !is_known(name));
    findings.extend(unknown.map(|name| {
        format!("{CASES}: a case covers {name}, which is no operation; correct it or add a row to {table}")
    }));
    findings
}

/// The rows of the macro `operations`, if the file defines it.
fn rows(source: &str) -> Result<Option<Vec<Operation>>> {
    let items = syn::parse_file(source)?.items;
    let table = items.into_iter().find_map(|item| match item {
        Item::Macro(item) if item.ident.as_ref().is_some_and(|name| name == "operations") => {
            Some(item.mac.tokens)
        }
        _ => None,
    });
    Ok(table.map(|table| {
        let mut rows = Vec::new();
        collect_rows(table, &mut rows);
        rows
    }))
}

fn collect_rows(tokens: TokenStream, rows: &mut Vec<Operation>) {
    let mut has_example = false;
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match (&token, tokens.peek()) {
            (TokenTree::Punct(mark), Some(TokenTree::Group(group))) if mark.as_char() == '#' => {
                has_example |= has_word(group.stream(), "example");
                tokens.next();
            }
            (TokenTree::Ident(word), Some(TokenTree::Ident(name))) if word == "fn" => {
                rows.push(Operation { name: name.to_string(), has_example });
            }
            (TokenTree::Punct(mark), _) if mark.as_char() == ';' => has_example = false,
            (TokenTree::Group(group), _) if group.delimiter() == Delimiter::Brace => {
                collect_rows(group.stream(), rows);
            }
            _ => {}
        }
    }
}

/// Returns `true` if the word is in an attribute, such as `example` in `#[operation { .., example: .. }]`.
fn has_word(attribute: TokenStream, word: &str) -> bool {
    attribute.into_iter().any(|token| match token {
        TokenTree::Ident(name) => name == word,
        TokenTree::Group(group) => has_word(group.stream(), word),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

/// The operations that the `cases!` tables of a file name: `word [operation, ..] name;`.
fn covered(source: &str) -> Result<BTreeSet<String>> {
    let is_cases = |call: &Macro| call.path.segments.last().is_some_and(|segment| segment.ident == "cases");
    let tables = syn::parse_file(source)?.items.into_iter().filter_map(|item| match item {
        Item::Macro(item) if item.ident.is_none() && is_cases(&item.mac) => Some(item.mac.tokens),
        _ => None,
    });
    let lists = tables.flatten().filter_map(|token| match token {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Bracket => Some(group.stream()),
        _ => None,
    });
    Ok(lists
        .flatten()
        .filter(|token| matches!(token, TokenTree::Ident(_)))
        .map(|name| name.to_string())
        .collect())
}

/// The names in the code of a page: those in code spans, such as `send` in `` `queue.send(..)` ``, and the
/// methods that its examples call.
fn names_in_code(markdown: &str) -> BTreeSet<String> {
    let mut is_block = false;
    let mut names = BTreeSet::new();
    let mut prose = String::new();
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            is_block = !is_block;
        } else if is_block {
            names.extend(methods(line));
        } else {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    let spans = prose.split('`').skip(1).step_by(2);
    names.extend(spans.flat_map(|span| span.split(|c| !is_part(c))).map(str::to_owned));
    names
}

/// The methods that a line of code calls, such as `read` in `queue.read::<Job>("jobs", 30)`.
fn methods(line: &str) -> impl Iterator<Item = String> {
    line.split('.').skip(1).filter_map(|call| {
        let (name, rest) = call.split_at(call.find(|c| !is_part(c))?);
        rest.starts_with(['(', ':']).then(|| name.to_owned())
    })
}

fn is_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn operation(name: &str, has_example: bool) -> Operation {
        Operation { name: name.to_owned(), has_example }
    }

    #[test]
    fn each_missing_part_is_reported() {
        let operations = [operation("send", true), operation("read", false)];
        let complete = names(&["send", "read"]);
        let only_read = names(&["read"]);
        let one = |findings: Vec<String>| <[String; 1]>::try_from(findings).unwrap().concat();
        assert!(one(against("table.rs", &operations, &complete, &complete)).contains("read has no example"));
        let operations = [operation("send", true), operation("read", true)];
        assert_eq!(against("table.rs", &operations, &complete, &complete), [""; 0]);
        assert!(one(against("table.rs", &operations, &only_read, &complete)).contains("send has no case"));
        assert!(one(against("table.rs", &operations, &complete, &only_read)).contains("send is on no page"));
        assert!(
            one(against("table.rs", &operations, &names(&["send", "read", "sent"]), &complete))
                .contains("covers sent")
        );
    }

    #[test]
    fn rows_are_read_with_their_examples() {
        let source = "#[macro_export] macro_rules! operations { ($($emit:tt)+) => { $($emit)+! {
            /// Sends.
            #[example = \"queue.send(1)\"]
            fn send<M: (Serialize)>(queue: &str, message: &M) -> i64;
            /// An example.
            fn read(queue: &str) -> ();
            mod Group { #[operation { calls: \"a\", example: \"b\" }] fn pop() -> (); #[operation { calls: \"a\" }] fn peek() -> (); }
        } } }
        macro_rules! other { () => { fn no() {} } }";
        assert_eq!(
            rows(source).unwrap().unwrap(),
            [
                operation("send", true),
                operation("read", false),
                operation("pop", true),
                operation("peek", false)
            ]
        );
    }

    #[test]
    fn cases_are_read_from_their_tables() {
        let source = "cases! { send: everywhere [send, send_batch] sends_a_message; setup [] connects; }
                      macro_rules! cases { ([no]) => {} } fn f() { g([no]); }";
        assert_eq!(covered(source).unwrap(), names(&["send", "send_batch"]));
    }

    #[test]
    fn pages_mention_names_in_code() {
        let page = "`send`, `queue.read(\"a\")` and `pop::<T>`; peek.\n\n```rust\nqueue.purge(metrics)?; // get\n\
                    queue.read_batch::<Job>(1)\n```\n| `archive` |";
        let found = names_in_code(page);
        let names = ["send", "read", "pop", "archive", "purge", "read_batch"];
        assert!(names.iter().all(|name| found.contains(*name)), "{found:?}");
        assert!(["peek", "metrics", "get"].iter().all(|name| !found.contains(*name)), "{found:?}");
    }
}
