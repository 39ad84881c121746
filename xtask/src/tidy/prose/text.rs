//! Prose without its code, and the phrases in it.

use super::words::{AVOIDED, UNFINISHED};

/// Lines of prose. Code and the targets of links are blanked out; the lines stay as many as they were.
#[derive(Debug)]
pub(super) struct Text {
    first_line: usize,
    text: String,
}

impl Text {
    /// Reads Markdown whose first line has the number `first_line`.
    pub(super) fn new(first_line: usize, markdown: &str) -> Self {
        Self { first_line, text: without_link_targets(&without_code_spans(&without_blocks(markdown))) }
    }

    /// The lines with their numbers.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.split('\n').enumerate().map(|(at, line)| (self.first_line + at, line))
    }

    /// The first word, if the text begins with one.
    pub(super) fn first_word(&self) -> &str {
        let text = self.text.trim_start();
        text.split(|c: char| !c.is_alphabetic()).next().unwrap_or_default()
    }

    /// The phrases to avoid: their lines, and what is wrong with them.
    pub(super) fn avoided(&self) -> Vec<(usize, String)> {
        let lower = self.text.to_ascii_lowercase();
        let mut found = Vec::new();
        for avoided in &AVOIDED {
            for (at, end) in occurrences(&lower, avoided.phrase) {
                let sentence = lower[end..].split(". ").next().unwrap_or_default();
                let is_meant = |word: &&str| occurrences(sentence, word).next().is_some();
                if !avoided.unless.iter().any(is_meant) {
                    let (phrase, instead) = (avoided.phrase, avoided.instead);
                    found.push((self.line(at), format!("avoid \"{phrase}\"; write {instead}")));
                }
            }
        }
        for mark in UNFINISHED {
            for (at, _) in occurrences(&self.text, mark) {
                found.push((self.line(at), format!("{mark} must not stay; finish it")));
            }
        }
        found.sort();
        found
    }

    fn line(&self, at: usize) -> usize {
        self.first_line + self.text[..at].matches('\n').count()
    }
}

/// The places of a phrase as whole words; a blank in it stands for any white space.
fn occurrences<'t>(text: &'t str, phrase: &'t str) -> impl Iterator<Item = (usize, usize)> + 't {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let first = phrase.split(' ').next().unwrap_or_default();
    text.match_indices(first).filter_map(move |(at, _)| {
        let end = end_of(text, at, phrase)?;
        let begins = !phrase.starts_with(is_word) || !text[..at].ends_with(is_word);
        let ends = !text[end..].starts_with(is_word);
        (begins && ends).then_some((at, end))
    })
}

fn end_of(text: &str, at: usize, phrase: &str) -> Option<usize> {
    let mut rest = &text[at..];
    for (number, word) in phrase.split(' ').enumerate() {
        if number > 0 {
            rest = rest.strip_prefix(char::is_whitespace)?.trim_start();
        }
        rest = rest.strip_prefix(word)?;
    }
    Some(text.len() - rest.len())
}

/// Blanks out fenced code, HTML comments and definitions of links.
fn without_blocks(markdown: &str) -> String {
    let mut fence: Option<String> = None;
    let mut is_comment = false;
    let keep = |line: &str| -> bool {
        let start = line.trim_start();
        let marks: String = start.chars().take_while(|c| *c == '`' || *c == '~').collect();
        match &fence {
            Some(open) => {
                if marks.starts_with(open.as_str()) && start.trim_end() == marks {
                    fence = None;
                }
                return false;
            }
            None if marks.len() >= 3 && !start[marks.len()..].contains('`') => {
                fence = Some(marks);
                return false;
            }
            None => {}
        }
        is_comment |= start.starts_with("<!--");
        if is_comment {
            is_comment = !line.contains("-->");
            return false;
        }
        !is_link_definition(start)
    };
    blank_out(markdown, keep)
}

fn blank_out(text: &str, mut keep: impl FnMut(&str) -> bool) -> String {
    text.split('\n').map(|line| if keep(line) { line } else { "" }).collect::<Vec<_>>().join("\n")
}

/// Returns `true` for `[name]: target`.
fn is_link_definition(line: &str) -> bool {
    line.starts_with('[') && line.split_once("]: ").is_some_and(|(name, _)| !name[1..].contains('['))
}

/// Leaves one backtick of each code span.
fn without_code_spans(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('`') {
        kept.push_str(&rest[..start]);
        rest = &rest[start..];
        let marks = rest.len() - rest.trim_start_matches('`').len();
        let (fence, inside) = rest.split_at(marks);
        kept.push('`');
        rest = match closing(inside, fence) {
            Some(end) => {
                kept.extend(inside[..end].chars().filter(|c| *c == '\n'));
                &inside[end + marks..]
            }
            None => inside,
        };
    }
    kept.push_str(rest);
    kept
}

/// The start of a run of exactly as many backticks as in `fence`, in the same paragraph.
fn closing(inside: &str, fence: &str) -> Option<usize> {
    let paragraph = inside.find("\n\n").unwrap_or(inside.len());
    let mut at = 0;
    while let Some(found) = inside[at..paragraph].find('`') {
        let start = at + found;
        let run = inside[start..].len() - inside[start..].trim_start_matches('`').len();
        if run == fence.len() {
            return Some(start);
        }
        at = start + run;
    }
    None
}

/// Leaves `[text]` of `[text](target)`, and nothing of `<https://..>`.
fn without_link_targets(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    loop {
        let link = rest.find("](").map(|at| (at + 1, ')'));
        let address = rest.find("<http").map(|at| (at, '>'));
        let Some((start, close)) = [link, address].into_iter().flatten().min() else { break };
        kept.push_str(&rest[..start]);
        let target = &rest[start..];
        let end = target.find(close).map_or(target.len(), |end| end + 1);
        kept.extend(target[..end].chars().filter(|c| *c == '\n'));
        rest = &target[end..];
    }
    kept.push_str(rest);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn avoided(text: &str) -> Vec<(usize, String)> {
        let found = Text::new(1, text).avoided();
        found
            .into_iter()
            .map(|(line, text)| (line, text.split('"').nth(1).unwrap_or("").to_owned()))
            .collect()
    }

    #[test]
    fn phrases_are_found_as_whole_words_over_line_breaks_and_in_any_case() {
        assert_eq!(
            avoided("Given\nup. The Time-Out."),
            [(1, "given up".to_owned()), (2, "time-out".to_owned())]
        );
        assert_eq!(avoided("besides, a newanew, wide-anew"), []);
        assert_eq!(avoided("A or else b, else c."), [(1, ", else".to_owned()), (1, "or else".to_owned())]);
    }

    #[test]
    fn a_phrase_may_be_in_order_by_what_follows() {
        assert_eq!(avoided("Takes so many messages."), [(1, "so many".to_owned())]);
        assert_eq!(avoided("There are so many messages that it fails."), []);
        assert_eq!(avoided("A mock stands in for it. SQL stands in core."), [(1, "stands in".to_owned())]);
    }

    #[test]
    fn code_and_links_are_no_prose() {
        assert_eq!(
            avoided("`anew`, ``a ` anew`` and [b](anew.md).\n\n```text\nanew\n```\n[c]: anew.md\nanew"),
            [(7, "anew".to_owned())]
        );
        assert_eq!(avoided("<!-- anew\nanew -->\n<https://anew.org>"), []);
    }

    #[test]
    fn marks_of_unfinished_work_are_found() {
        assert_eq!(Text::new(3, "a\nTODO: b").avoided(), [(4, "TODO must not stay; finish it".to_owned())]);
    }

    #[test]
    fn the_first_word_is_no_code() {
        assert_eq!(Text::new(1, " What's there").first_word(), "What");
        assert_eq!(Text::new(1, "`What` is there").first_word(), "");
    }
}
