//! Routing keys and topic patterns, checked by the server's own rules.
//!
//! The server raises an exception for an invalid key, which would undo the caller's transaction. The client
//! therefore checks first.

use crate::error::Error;
use crate::error_kind::ErrorKind;

const MAX_CHARS: usize = 255;

/// Checks that `key` is a routing key: letters, digits, `_` and `-`, in words separated by dots.
pub(crate) fn check_key(key: &str) -> Result<(), Error> {
    check("a routing key", key, "", "letters, digits, '.', '_' and '-'")
}

/// Checks that `pattern` is a topic pattern: a routing key that may contain `*` and `#`.
pub(crate) fn check_pattern(pattern: &str) -> Result<(), Error> {
    check("a topic pattern", pattern, "*#", "letters, digits, '.', '_', '-', '*' and '#'")?;
    match ["**", "##", "*#", "#*"].iter().find(|pair| pattern.contains(*pair)) {
        None => Ok(()),
        Some(pair) => Err(refuse(
            "a topic pattern",
            pattern,
            &format!("it contains {pair}; separate wildcards by dots"),
        )),
    }
}

fn check(what: &str, text: &str, wildcards: &str, allowed: &str) -> Result<(), Error> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c) || wildcards.contains(c);
    let reason = if text.is_empty() {
        "it is empty".to_owned()
    } else if let Some(other) = text.chars().find(|&c| !is_allowed(c)) {
        format!("it contains {other:?}; only {allowed} are allowed")
    } else if text.len() > MAX_CHARS {
        format!("it has {} characters, and PGMQ accepts at most {MAX_CHARS}", text.len())
    } else if text.starts_with('.') || text.ends_with('.') || text.contains("..") {
        "a dot is at its start or end, or next to another dot".to_owned()
    } else {
        return Ok(());
    };
    Err(refuse(what, text, &reason))
}

fn refuse(what: &str, text: &str, reason: &str) -> Error {
    Error::new(ErrorKind::InvalidArgument, format!("{text:?} is not {what}: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routing_keys_are_words_separated_by_dots() {
        for key in ["logs.error", "app.user-service.auth", "a", "A_1"] {
            assert!(check_key(key).is_ok(), "{key}");
        }
        let long = "k".repeat(256);
        for key in ["", ".a", "a.", "a..b", "a b", "a.*", "a.#", "a!", "ü", long.as_str()] {
            assert_eq!(check_key(key).unwrap_err().kind(), ErrorKind::InvalidArgument, "{key}");
        }
    }

    #[test]
    fn patterns_may_contain_wildcards_but_not_next_to_each_other() {
        for pattern in ["logs.*", "#", "*.error", "app.*.#", "pre*"] {
            assert!(check_pattern(pattern).is_ok(), "{pattern}");
        }
        for pattern in ["", "**", "a.##", "*#", "#*", ".a", "a.", "a..b", "a b"] {
            assert_eq!(check_pattern(pattern).unwrap_err().kind(), ErrorKind::InvalidArgument, "{pattern}");
        }
    }
}
