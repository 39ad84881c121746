//! The rules about single source files.

use std::str::FromStr;

use anyhow::{Result, anyhow};
use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;

use super::modules::without_tests;
use super::repository::Repository;
use crate::workspace::rust_files;

/// The most lines that a file may have.
const LONGEST: usize = 600;

/// The table of operations is one macro, which cannot be split over files. It holds data and no logic.
const MAY_BE_LONGER: &str = "crates/pgmq-core/src/operations/table.rs";

/// The verbs of a statement with more behind them.
const VERBS: [&str; 19] = [
    "ALTER",
    "BEGIN",
    "CALL",
    "COMMIT",
    "CREATE",
    "DELETE",
    "DISCARD",
    "DROP",
    "INSERT",
    "LISTEN",
    "RELEASE",
    "ROLLBACK",
    "SAVEPOINT",
    "SELECT",
    "SET",
    "START",
    "UNLISTEN",
    "UPDATE",
    "WITH",
];

/// The crates below `crates/` that have SQL: all others take theirs from it.
const WITH_SQL: [&str; 1] = ["pgmq-core"];

pub(super) fn files_are_short(repository: &Repository) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for_each_file(repository, |place, source| {
        let lines = source.lines().count();
        if lines > LONGEST && place != MAY_BE_LONGER {
            findings.push(format!("{place}: has {lines} lines; split it, {LONGEST} are the most"));
        }
        Ok(())
    })?;
    Ok(findings)
}

pub(super) fn nothing_is_unfinished(repository: &Repository) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for_each_file(repository, |place, source| {
        let lines = unfinished(source)?;
        findings.extend(
            lines.iter().map(|(line, what)| format!("{place}:{line}: {what} must not stay; finish it")),
        );
        Ok(())
    })?;
    Ok(findings)
}

pub(super) fn sql_is_in_core_only(repository: &Repository) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for package in repository.crates().filter(|package| !WITH_SQL.contains(&package.name.as_str())) {
        for path in rust_files(&package.folder().join("src"))? {
            let place = repository.shown(&path);
            let lines = sql(&repository.text(&path)?)?;
            findings.extend(lines.iter().map(|line| {
                format!("{place}:{line}: has SQL; make it a statement or constant of pgmq-core")
            }));
        }
    }
    Ok(findings)
}

fn for_each_file(repository: &Repository, mut look: impl FnMut(&str, &str) -> Result<()>) -> Result<()> {
    for path in repository.rust_files()? {
        let place = repository.shown(&path);
        look(&place, &repository.text(&path)?).map_err(|error| error.context(place))?;
    }
    Ok(())
}

/// The lines with `todo!`, `unimplemented!` or `#[ignore]`.
fn unfinished(source: &str) -> Result<Vec<(usize, String)>> {
    let mut found = Vec::new();
    visit(tokens(source)?, &mut |token, next| {
        if let TokenTree::Ident(name) = token {
            let is_macro = matches!(next, Some(TokenTree::Punct(mark)) if mark.as_char() == '!');
            if is_macro && (name == "todo" || name == "unimplemented") {
                found.push((name.span().start().line, format!("{name}!")));
            }
        }
        if attribute(token, next).is_some_and(|name| name == "ignore") {
            found.push((token.span().start().line, "#[ignore]".to_owned()));
        }
    });
    Ok(found)
}

/// The lines with a text that is SQL, be it a verb alone or more. Documentation and tests may have some.
fn sql(source: &str) -> Result<Vec<usize>> {
    let mut found = Vec::new();
    let code = without_tests(source)?.iter().map(ToTokens::to_token_stream).collect();
    visit(code, &mut |token, _| {
        if let TokenTree::Literal(literal) = token {
            let text = literal.to_string();
            let begins_as_sql = text.find('"').is_some_and(|start| is_statement(&text[start + 1..]));
            if begins_as_sql || calls_pgmq(&text) {
                found.push(literal.span().start().line);
            }
        }
    });
    Ok(found)
}

/// Returns `true` for `SELECT`, `ROLLBACK;` and `SELECT 1`, with the rest of the literal behind it.
fn is_statement(literal: &str) -> bool {
    let text = literal.trim_start();
    VERBS
        .iter()
        .any(|verb| text.strip_prefix(verb).is_some_and(|rest| rest.starts_with([' ', ';', '"', '\n', '\\'])))
}

/// Returns `true` for `pgmq.send(`.
fn calls_pgmq(text: &str) -> bool {
    text.split("pgmq.").skip(1).any(|rest| {
        let rest = rest.trim_start_matches(|c: char| c.is_ascii_lowercase() || c == '_');
        rest.starts_with('(')
    })
}

fn tokens(source: &str) -> Result<TokenStream> {
    TokenStream::from_str(source).map_err(|error| anyhow!("line {}: {error}", error.span().start().line))
}

/// Calls `look` with each token and the one after it, inside of groups too, but not inside of documentation.
fn visit(tokens: TokenStream, look: &mut impl FnMut(&TokenTree, Option<&TokenTree>)) {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        look(&token, tokens.peek());
        if attribute(&token, tokens.peek()).is_some_and(|name| name == "doc") {
            tokens.next();
        } else if let TokenTree::Group(group) = token {
            visit(group.stream(), look);
        }
    }
}

/// The name of the attribute that begins with this token.
fn attribute(token: &TokenTree, next: Option<&TokenTree>) -> Option<String> {
    match (token, next) {
        (TokenTree::Punct(mark), Some(TokenTree::Group(group))) if mark.as_char() == '#' => {
            group.stream().into_iter().next().map(|name| name.to_string())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_code_is_found_and_mentions_of_it_are_not() {
        let source = "/// Like `todo!()`.\nfn a() {\n    if b { todo!() }\n}\n#[ignore = \"slow\"]\nfn c() { d!(unimplemented!()) }\n\
                      const TODO: &str = \"todo!()\";";
        let lines: Vec<_> = unfinished(source).unwrap().into_iter().map(|(line, _)| line).collect();
        assert_eq!(lines, [3, 5, 6]);
    }

    #[test]
    fn sql_is_found_and_documentation_is_not() {
        let source = "//! \"SELECT 1\"\n/// ```\n/// x.execute(\"INSERT INTO t\");\nfn a() {\n    b(r#\"SELECT 1\"#);\n    \
                      c!(\"{} pgmq.send($1)\");\n    d(\"the function pgmq.send, with a select\");\n}";
        assert_eq!(sql(source).unwrap(), [5, 6]);
    }

    #[test]
    fn tests_may_have_sql() {
        assert_eq!(
            sql("#[cfg(test)]\nmod tests { fn a() { b(\"SELECT 1\"); } }\nconst C: &str = \"SELECT\";")
                .unwrap(),
            [3]
        );
    }

    #[test]
    fn a_verb_alone_is_sql() {
        let source = "fn a() {\n    b(\"ROLLBACK\");\n    c(\"SELECT\");\n    d(\"COMMIT;\");\n    e(\"BEGIN ISOLATION\");\n    \
                      f(\"SELECTED\", \"Begin\", \"SETTINGS\");\n}";
        assert_eq!(sql(source).unwrap(), [2, 3, 4, 5]);
    }
}
