//! Checks the prose of the repository.

use anyhow::Result;

use super::super::repository::Repository;
use super::comment::comments;
use super::markdown::misplaced_breaks;
use super::text::Text;
use super::words::OPENERS;

/// The most columns of a line with a comment: the `max_width` of `rustfmt.toml`, which leaves comments alone.
const WIDTH: usize = 110;

/// Files that programs write.
const GENERATED: &str = "docs/performance/";

/// The page that lists the words to avoid.
const STYLE: &str = "docs/contributing/style.md";

pub(in super::super) fn comments_are_plain(repository: &Repository) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for path in repository.rust_files()? {
        let place = repository.shown(&path);
        let found = in_comments(&repository.text(&path)?);
        findings.extend(found.into_iter().map(|(line, text)| format!("{place}:{line}: {text}")));
    }
    Ok(findings)
}

pub(in super::super) fn markdown_is_plain(repository: &Repository) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for path in repository.markdown()? {
        let place = repository.shown(&path);
        if place.starts_with(GENERATED) {
            continue;
        }
        let found = in_markdown(&repository.text(&path)?, place == STYLE);
        findings.extend(found.into_iter().map(|(line, text)| format!("{place}:{line}: {text}")));
    }
    Ok(findings)
}

fn in_comments(source: &str) -> Vec<(usize, String)> {
    let lines: Vec<_> = source.lines().collect();
    let mut found = Vec::new();
    for comment in comments(source) {
        let text = Text::new(comment.line, &comment.text);
        if let Some(finding) = opener(&text) {
            found.push((comment.line, finding));
        }
        found.extend(text.avoided());
        for (at, part) in comment.text.split('\n').enumerate() {
            let line = lines.get(comment.line - 1 + at).copied().unwrap_or_default();
            let cannot_be_wrapped = part.trim_start().starts_with('|') || part.contains("://");
            let width = line.chars().count();
            if width > WIDTH && !cannot_be_wrapped {
                found.push((
                    comment.line + at,
                    format!("the comment reaches column {width}; wrap it at {WIDTH}"),
                ));
            }
        }
    }
    found.sort();
    found
}

/// The mistake in the first word of a comment, if there is one.
fn opener(text: &Text) -> Option<String> {
    let first = text.first_word();
    let (word, instead) = OPENERS.iter().find(|(word, _)| word.eq_ignore_ascii_case(first))?;
    Some(format!("the comment opens with \"{word}\"; {instead}"))
}

fn in_markdown(markdown: &str, lists_the_words: bool) -> Vec<(usize, String)> {
    let text = Text::new(1, markdown);
    let mut found = misplaced_breaks(&text);
    if !lists_the_words {
        found.extend(text.avoided());
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stilted_opener_is_found() {
        let source = "/// What is read is hidden.\nfn a() {}\n/// `What` is fine.\nfn b() {\n    // It fails.\n    c(); // where d is\n}\n";
        let lines: Vec<_> = in_comments(source).into_iter().map(|(line, _)| line).collect();
        assert_eq!(lines, [1, 5, 6]);
        let (_, text) = in_comments(source).remove(0);
        assert!(text.contains("name the thing"), "{text}");
        assert_eq!(in_comments("/// The queue.\n/// What follows is fine.\n"), []);
    }

    #[test]
    fn a_wide_comment_is_found_and_wide_code_is_not() {
        let wide = "x ".repeat(60);
        let source =
            format!("/// {wide}\n/// | {wide} |\n/// <https://x> {wide}\nfn f() {{ g(\"{wide}\"); }}\n");
        assert_eq!(in_comments(&source), [(1, "the comment reaches column 124; wrap it at 110".to_owned())]);
    }

    #[test]
    fn examples_in_documentation_are_code() {
        assert_eq!(in_comments("/// Sends.\n///\n/// ```\n/// // It is said anew.\n/// ```\n"), []);
    }

    #[test]
    fn markdown_is_checked_for_words_and_sentences() {
        let found = in_markdown("It is made anew. Twice.\n", false);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(in_markdown("| anew | again |\n", true), []);
    }
}
