//! The comments of a Rust file.

/// A comment: lines of the same kind one after the other, without their marks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Comment {
    pub(super) line: usize,
    pub(super) text: String,
    pub(super) is_doc: bool,
}

/// A line comment, as the search finds it.
struct Line<'s> {
    line: usize,
    mark: &'static str,
    text: &'s str,
    /// Nothing but white space is before the comment.
    is_alone: bool,
}

/// The comments of a file, in order.
pub(super) fn comments(source: &str) -> Vec<Comment> {
    let mut comments: Vec<Comment> = Vec::new();
    let mut before: Option<(usize, &str)> = None;
    for found in Search::new(source) {
        let goes_on = before == Some((found.line, found.mark)) && found.is_alone;
        match comments.last_mut().filter(|_| goes_on) {
            Some(comment) => {
                comment.text.push('\n');
                comment.text.push_str(found.text);
            }
            None => comments.push(Comment {
                line: found.line,
                text: found.text.to_owned(),
                is_doc: found.mark != "//" && found.mark != "/*",
            }),
        }
        before = (found.is_alone && found.mark.starts_with("//")).then_some((found.line + 1, found.mark));
    }
    comments
}

struct Search<'s> {
    source: &'s str,
    at: usize,
    line: usize,
    line_start: usize,
}

impl<'s> Search<'s> {
    fn new(source: &'s str) -> Self {
        Self { source, at: 0, line: 1, line_start: 0 }
    }

    fn rest(&self) -> &'s str {
        &self.source[self.at..]
    }

    fn skip(&mut self, bytes: usize) {
        let skipped = &self.source[self.at..self.at + bytes];
        if let Some(last) = skipped.rfind('\n') {
            self.line += skipped.matches('\n').count();
            self.line_start = self.at + last + 1;
        }
        self.at += bytes;
    }

    fn line_comment(&mut self) -> Line<'s> {
        let rest = self.rest();
        let mark = match rest.as_bytes() {
            [_, _, b'/', b'/', ..] => "//",
            [_, _, b'/', ..] => "///",
            [_, _, b'!', ..] => "//!",
            _ => "//",
        };
        let whole = &rest[..rest.find('\n').unwrap_or(rest.len())];
        let text = whole[mark.len()..].trim_end();
        let found = Line {
            line: self.line,
            mark,
            text: text.strip_prefix(' ').unwrap_or(text),
            is_alone: self.source[self.line_start..self.at].trim().is_empty(),
        };
        self.skip(whole.len());
        found
    }

    fn block_comment(&mut self) -> Line<'s> {
        let rest = self.rest();
        let mark = match rest.as_bytes() {
            [_, _, b'*', b'/', ..] | [_, _, b'*', b'*', ..] => "/*",
            [_, _, b'*', ..] => "/**",
            [_, _, b'!', ..] => "/*!",
            _ => "/*",
        };
        let mut depth = 0;
        let mut end = rest.len();
        for (at, pair) in rest.as_bytes().windows(2).enumerate() {
            match pair {
                b"/*" => depth += 1,
                b"*/" => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                end = at + 2;
                break;
            }
        }
        let text =
            rest[..end].strip_suffix("*/").unwrap_or(&rest[..end]).get(mark.len()..).unwrap_or_default();
        let found = Line { line: self.line, mark, text: text.trim(), is_alone: false };
        self.skip(end);
        found
    }

    /// The length of the string, character or other code at the current place.
    fn code(&self) -> usize {
        let rest = self.rest();
        let is_inside_name = self.source[..self.at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        if let Some(after) =
            rest.strip_prefix('r').filter(|_| !is_inside_name || self.source[..self.at].ends_with(['b', 'c']))
        {
            let marks = after.len() - after.trim_start_matches('#').len();
            if after[marks..].starts_with('"') {
                let close = format!("\"{}", "#".repeat(marks));
                let inside = &after[marks + 1..];
                return 1 + marks + 1 + inside.find(&close).map_or(inside.len(), |end| end + close.len());
            }
        }
        if rest.starts_with('"') {
            return quoted(rest, '"');
        }
        if let Some(after) = rest.strip_prefix('\'') {
            let mut characters = after.chars();
            // Otherwise a lifetime.
            if after.starts_with('\\') || (characters.next().is_some() && characters.next() == Some('\'')) {
                return quoted(rest, '\'');
            }
        }
        rest.chars().next().map_or(0, char::len_utf8)
    }
}

/// The length of a literal between quotation marks.
fn quoted(text: &str, mark: char) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if c == mark && !is_escaped {
            return at + 1;
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    text.len()
}

impl<'s> Iterator for Search<'s> {
    type Item = Line<'s>;

    fn next(&mut self) -> Option<Line<'s>> {
        while !self.rest().is_empty() {
            if self.rest().starts_with("//") {
                return Some(self.line_comment());
            }
            if self.rest().starts_with("/*") {
                return Some(self.block_comment());
            }
            self.skip(self.code());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(source: &str) -> Vec<(usize, String, bool)> {
        comments(source).into_iter().map(|comment| (comment.line, comment.text, comment.is_doc)).collect()
    }

    #[test]
    fn lines_of_a_kind_are_one_comment() {
        let source = "//! a\n//! b\n\n/// c\n/// d\nfn f() {\n    g(); // e\n    // f\n    // g\n}\n//// h";
        let expected =
            [(1, "a\nb", true), (4, "c\nd", true), (7, "e", false), (8, "f\ng", false), (11, "// h", false)];
        assert_eq!(found(source), expected.map(|(line, text, is_doc)| (line, text.to_owned(), is_doc)));
    }

    #[test]
    fn literals_are_no_comments() {
        let source = "a(\"// no \\\" // no\", r#\"// \" no\"#, br\"// no\", '\"', '\\'', b'/', \"http://x\");\nfn f<'a>() {} // yes";
        assert_eq!(found(source), [(2, "yes".to_owned(), false)]);
    }

    #[test]
    fn block_comments_nest() {
        assert_eq!(
            found("/* a /* b */ c */ x /** d */"),
            [(1, "a /* b */ c".to_owned(), false), (1, "d".to_owned(), true)]
        );
    }
}
