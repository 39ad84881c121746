//! Queue names: the rules for them, and the one spelling in which they are sent.

use std::borrow::Cow;

use crate::error::Error;
use crate::error_kind::ErrorKind;

/// The length of the longest name in bytes. PGMQ adds prefixes to a name, and Postgres cuts identifiers off
/// at 63 bytes.
const MAX_BYTES: usize = 47;

/// Folds a name to lower case, or returns an error if the server could not accept the name.
///
/// PGMQ folds the names of its tables, but not the names in its records of them: a queue that was created as
/// `MyQ` never notifies, and `MyQ` and `myq` are two records of one table. The client folds every name, so
/// only one spelling is used.
pub(crate) fn fold(name: &str) -> Result<Cow<'_, str>, Error> {
    if is_plain(name) {
        return Ok(Cow::Borrowed(name));
    }
    let is_folded = name.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase());
    let folded = if is_folded { Cow::Borrowed(name) } else { Cow::Owned(name.to_lowercase()) };
    match refusal(&folded) {
        None => Ok(folded),
        Some(reason) => {
            Err(Error::new(ErrorKind::InvalidArgument, format!("{name:?} is not a queue name: {reason}")))
        }
    }
}

/// Returns `true` if a name is valid and needs no folding. One look at each byte decides this for most names.
fn is_plain(name: &str) -> bool {
    let is_common = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=MAX_BYTES).contains(&name.len()) && name.bytes().all(is_common)
}

fn refusal(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("it is empty".to_owned());
    }
    if name.len() > MAX_BYTES {
        return Some(format!("it has {} bytes, and PGMQ accepts at most {MAX_BYTES}", name.len()));
    }
    ["$", ";", "--", "'", "\0"]
        .iter()
        .find(|forbidden| name.contains(*forbidden))
        .map(|forbidden| format!("it contains {forbidden:?}, which PGMQ does not accept"))
}

/// Quotes an SQL identifier.
pub(crate) fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_that_the_server_accepts_are_accepted() {
        for name in ["q", "my-queue", "my queue", "a.b", "größe", "队列", "q\"q", "back\\slash", "1"] {
            assert_eq!(fold(name).unwrap(), name);
        }
        assert_eq!(fold("MyQ").unwrap(), "myq");
        assert_eq!(fold("GRÖSSE").unwrap(), "grösse");
        assert!(fold(&"q".repeat(47)).is_ok());
    }

    #[test]
    fn names_that_the_server_cannot_accept_are_refused_with_the_reason() {
        let over_long = "q".repeat(48);
        let wide = "ö".repeat(24);
        for (name, reason) in [
            ("", "empty"),
            ("a$b", "\"$\""),
            ("a;b", "\";\""),
            ("a--b", "\"--\""),
            ("x'; DROP TABLE y; --", "does not accept"),
            ("nul\0", "does not accept"),
            (over_long.as_str(), "48 bytes"),
            (wide.as_str(), "48 bytes"),
        ] {
            let error = fold(name).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.to_string().contains(reason), "{error}");
        }
    }

    proptest! {
        #[test]
        fn a_folded_name_folds_to_itself_and_contains_nothing_forbidden(name in "\\PC{0,60}") {
            if let Ok(folded) = fold(&name) {
                prop_assert!(folded.len() <= MAX_BYTES && !folded.is_empty());
                prop_assert!(!["$", ";", "--", "'"].iter().any(|bad| folded.contains(bad)));
                let again = fold(&folded).unwrap();
                prop_assert_eq!(again.as_ref(), folded.as_ref());
            }
        }

        #[test]
        fn plain_names_are_valid(name in "[a-z0-9_]{0,60}") {
            prop_assert_eq!(is_plain(&name), refusal(&name).is_none());
        }

        #[test]
        fn a_quoted_identifier_ends_only_at_its_last_quote(name in "\\PC{0,60}") {
            let quoted = quote(&name);
            let inner = &quoted[1..quoted.len() - 1];
            prop_assert_eq!(inner.replace("\"\"", "").matches('"').count(), 0);
            prop_assert_eq!(inner.replace("\"\"", "\""), name);
        }
    }
}
