//! One sentence per line in Markdown.

use super::text::Text;

/// Words that end with a full stop inside a sentence.
const ABBREVIATIONS: [&str; 9] = ["approx.", "cf.", "e.g.", "etc.", "i.e.", "incl.", "no.", "resp.", "vs."];

/// The lines of a Markdown file that hold several sentences, or a part of one, with what is wrong.
pub(super) fn misplaced_breaks(text: &Text) -> Vec<(usize, String)> {
    let lines: Vec<_> = text.lines().collect();
    let mut found = Vec::new();
    let mut kinds = Kinds::default();
    let all: Vec<_> = lines.iter().map(|(_, line)| kinds.next(line)).collect();
    for (at, (number, line)) in lines.iter().enumerate() {
        let kind = all[at];
        if kind == Kind::Text
            && let Some(next) = second_sentence(line)
        {
            found.push((
                *number,
                format!("begins a second sentence with \"{next}\"; put it on a line of its own"),
            ));
        }
        let is_continued = all.get(at + 1).is_some_and(|next| matches!(next, Kind::Text | Kind::InItem))
            && lines.get(at + 1).is_some_and(|(_, next)| !is_quote(line) || is_quote(next));
        if matches!(kind, Kind::Text | Kind::Item | Kind::InItem) && is_continued && !ends_a_sentence(line) {
            found.push((*number, "breaks the line inside a sentence; join it with the next".to_owned()));
        }
    }
    found
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A line of a paragraph.
    Text,
    /// The first line of a list item.
    Item,
    /// Another line of a list item.
    InItem,
    /// A blank line, a heading, a row of a table, HTML, badges, code.
    Other,
}

/// Determines the kinds of lines, one after the other.
#[derive(Default)]
struct Kinds {
    is_in_item: bool,
    is_after_blank: bool,
    has_begun: bool,
    is_front_matter: bool,
}

impl Kinds {
    fn next(&mut self, line: &str) -> Kind {
        let text = line.trim_start().trim_start_matches("> ").trim();
        let is_indented = line.starts_with("  ");
        if !self.has_begun {
            self.has_begun = true;
            self.is_front_matter = text == "---";
        } else if self.is_front_matter {
            self.is_front_matter = text != "---";
            return Kind::Other;
        }
        if text.is_empty() {
            self.is_after_blank = true;
            return Kind::Other;
        }
        let is_after_blank = std::mem::replace(&mut self.is_after_blank, false);
        if is_item(text) {
            self.is_in_item = true;
            return Kind::Item;
        }
        if self.is_in_item && is_after_blank && !is_indented {
            self.is_in_item = false;
        }
        let is_code = is_after_blank && !self.is_in_item && line.starts_with("    ");
        if text.starts_with(['#', '|', '<', '=']) || text.starts_with("---") || is_badges(text) || is_code {
            self.is_in_item &= is_indented;
            return Kind::Other;
        }
        if self.is_in_item { Kind::InItem } else { Kind::Text }
    }
}

fn is_quote(line: &str) -> bool {
    line.trim_start().starts_with('>')
}

fn is_item(text: &str) -> bool {
    let number = text.trim_start_matches(|c: char| c.is_ascii_digit());
    ["- ", "* ", "+ "].iter().any(|mark| text.starts_with(mark))
        || (number.len() < text.len() && (number.starts_with(". ") || number.starts_with(") ")))
}

/// Returns `true` for a line of images and links only.
fn is_badges(text: &str) -> bool {
    let mut depth = 0_i32;
    let outside = text.chars().filter(|c| {
        depth += i32::from(*c == '[') - i32::from(*c == ']');
        depth == 0 && !matches!(c, '[' | ']' | '!' | ' ' | '|' | '·')
    });
    text.starts_with(['[', '!']) && outside.count() == 0
}

fn ends_a_sentence(line: &str) -> bool {
    let is_break = line.ends_with("  ") || line.ends_with('\\') || line.ends_with("<br>");
    is_break || line.trim_end_matches([' ', ')', '"', '*', '_', ']']).ends_with(['.', '!', '?', ':', '…'])
}

/// The first word of a second sentence in a line.
fn second_sentence(line: &str) -> Option<&str> {
    line.match_indices(['.', '!', '?']).find_map(|(at, mark)| {
        let after = line[at + 1..].trim_start_matches([')', '"', '*', '_', ']']);
        let next = after.strip_prefix(' ')?.trim_start().trim_start_matches(['(', '"', '*', '_', '[']);
        let begins = next.starts_with(|c: char| c.is_uppercase() || c == '`');
        let before = &line[..=at];
        let last = before.rsplit([' ', '(']).next().unwrap_or_default().to_lowercase();
        let is_initial = last.len() == 2 && last.starts_with(char::is_alphabetic);
        let is_short =
            mark == "." && (ABBREVIATIONS.contains(&last.as_str()) || is_initial || before.ends_with(".."));
        let word = next.split(' ').next().unwrap_or_default();
        (begins && !is_short).then_some(if word.starts_with('`') { "`" } else { word })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(markdown: &str) -> Vec<usize> {
        misplaced_breaks(&Text::new(1, markdown)).into_iter().map(|(line, _)| line).collect()
    }

    #[test]
    fn a_line_is_a_sentence() {
        assert_eq!(lines("One sentence.\nAnother one (and more).\n\"A third?\"\n"), [0; 0]);
        assert_eq!(lines("One. Two.\nOne? `two` is.\nOne (more.) Two.\n**One.** *Two.*"), [1, 2, 3, 4]);
        assert_eq!(lines("A sentence that\nis wrapped, and\nends."), [1, 2]);
    }

    #[test]
    fn a_full_stop_may_be_inside_a_sentence() {
        assert_eq!(
            lines("By PGMQ 1.13.0 and e.g. Postgres, i.e. `x` of J. Doe .. And `a. B` in [a. b](C. D).\n"),
            [0; 0]
        );
    }

    #[test]
    fn lists_tables_headings_code_and_badges_are_no_paragraphs() {
        let markdown = "---\nname: One. Two\nabout: x\n---\n# One. Two\n\n[![a](b)](c)\n[![a](b)](c)\n\n\
                        | One. Two | x |\n|---|---|\n\n    One. Two\n    x\n\n- One. Two.\n- Three\n\n\
                        1. One. Two.\n2. Three\n\n```text\nOne. Two\nthree\n```\n";
        assert_eq!(lines(markdown), [0; 0]);
        assert_eq!(lines("- An item that\n  is wrapped.\n\nText\nthat is."), [1, 4]);
    }
}
