//! Strings of keywords and values: `host=db user=app password='with spaces'`.

use crate::error::Error;
use crate::error_kind::ErrorKind;

/// A parameter as it is written: its name, and its decoded value.
pub(crate) type Pair = (String, String);

/// A parameter in a string of keywords.
#[derive(Debug)]
pub(crate) struct Keyword {
    pub(crate) name: String,
    pub(crate) value: String,
    is_quoted: bool,
}

/// A text that is not a list of parameters. Contains the parameters before the place where the list ends.
#[derive(Debug)]
pub(crate) struct Malformed(pub(crate) Vec<Keyword>);

/// Parses a string of keywords: `key = value`, with single quotes around values that are empty or contain
/// spaces, and backslashes before quotes and backslashes.
pub(crate) fn pairs(text: &str) -> Result<Vec<Keyword>, Malformed> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        match keyword(rest) {
            Some((keyword, after)) => {
                pairs.push(keyword);
                rest = after.trim_start();
            }
            None => return Err(Malformed(pairs)),
        }
    }
    Ok(pairs)
}

/// Parses the parameter at the start of a text, and returns the text after it, too.
fn keyword(text: &str) -> Option<(Keyword, &str)> {
    let (key, after) = text.split_once('=')?;
    let key = key.trim_end();
    if key.is_empty() || key.contains(char::is_whitespace) {
        return None;
    }
    let after = after.trim_start();
    let is_quoted = after.starts_with('\'');
    let (value, after) = value(after)?;
    Some((Keyword { name: key.to_owned(), value, is_quoted }, after))
}

/// Parses the value at the start of a text, and returns the text after it, too.
fn value(text: &str) -> Option<(String, &str)> {
    let (inner, is_quoted) = text.strip_prefix('\'').map_or((text, false), |inner| (inner, true));
    let mut value = String::new();
    let mut characters = inner.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.push(characters.next()?.1),
            '\'' if is_quoted => {
                let after = inner.get(at + 1..)?;
                // Text behind the closing quotation mark shows that a mark inside the value ended it.
                let ends = after.is_empty() || after.starts_with(char::is_whitespace);
                return ends.then_some((value, after));
            }
            space if !is_quoted && space.is_whitespace() => return Some((value, inner.get(at..)?)),
            other => value.push(other),
        }
    }
    (!is_quoted).then_some((value, ""))
}

impl Keyword {
    /// Checks that the value contains no other parameter, as in `host=db;password=..`, which would be shown
    /// as a part of the host's name.
    pub(crate) fn check_separators(&self) -> Result<(), Error> {
        // A quoted value is meant as it is, and so are the settings in `options`.
        if !self.is_quoted
            && self.name != "options"
            && self.value.split([';', '&', ',']).skip(1).any(is_parameter)
        {
            let text = "the parameters of the connection string are separated by something other than spaces; separate them \
                        by spaces, and put a value that contains ; & or , in single quotes";
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        Ok(())
    }
}

fn is_parameter(part: &str) -> bool {
    let name = part.split_once('=').map_or("", |(name, _)| name);
    !name.is_empty() && name.chars().all(|character| character.is_alphanumeric() || "_-".contains(character))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::conninfo::encoding::quoted;

    #[test]
    fn values_may_be_quoted_and_escaped() {
        let parsed = pairs(r" host=h port = 5 password='a\'\\ b' options='' user=a\ b ").unwrap();
        let parsed: Vec<_> = parsed.iter().map(|pair| (&*pair.name, &*pair.value)).collect();
        let expected =
            [("host", "h"), ("port", "5"), ("password", r"a'\ b"), ("options", ""), ("user", "a b")];
        assert_eq!(parsed, expected);
        let odd = r"a b'c\&%ä";
        let parsed = pairs(&format!("key={}", quoted(odd))).unwrap();
        assert_eq!(parsed[0].value, odd);
    }

    #[test]
    fn a_malformed_list_has_the_parameters_before_the_fault() {
        for (text, before) in [
            ("word", 0),
            ("=a", 0),
            ("two words=a", 0),
            ("a=b word", 1),
            ("a=b c='d", 1),
            ("a=b c='d'e f=g", 1),
            ("a=b c=d\\", 1),
        ] {
            assert_eq!(pairs(text).unwrap_err().0.len(), before, "{text}");
        }
    }

    fn is_separated_by_spaces(text: &str) -> bool {
        pairs(text).unwrap().iter().all(|keyword| keyword.check_separators().is_ok())
    }

    #[test]
    fn other_separators_than_spaces_are_found() {
        for text in ["host=h;password=p", "host=h a=b&c=d", "host=h,port=5"] {
            assert!(!is_separated_by_spaces(text), "{text}");
        }
        for text in ["host=a,b port=1,2", "password='a;b=c'", "password=a;b", r"options=-c\ a=b,c=d"] {
            assert!(is_separated_by_spaces(text), "{text}");
        }
    }
}
