//! Connection strings: URIs, or keywords and values, parsed as libpq does.

use std::fmt::Write;

use crate::error::Error;
use crate::error_kind::ErrorKind;

/// A setting of a connection string: the name and the value.
pub type Pair = (String, String);

/// Removes settings of chosen names from a connection string. Returns the rest of the string, and the removed
/// settings, decoded and in their order.
///
/// A string of neither form is returned as it is, for the driver to refuse.
///
/// # Errors
///
/// [`ErrorKind::InvalidArgument`], if one of the settings cannot be decoded, or the host of a URI is
/// ambiguous.
pub fn take(given: &str, is_taken: impl Fn(&str) -> bool) -> Result<(String, Vec<Pair>), Error> {
    if let Some((address, query)) = split_uri(given)? {
        let mut left = Vec::new();
        let mut taken = Vec::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some((name, value)) if is_taken(name) => {
                    let value = decoded(value).ok_or_else(|| {
                        invalid(format!("the {name} of the connection string cannot be decoded"))
                    })?;
                    taken.push((name.to_owned(), value));
                }
                _ => left.push(pair),
            }
        }
        let question_mark = if left.is_empty() { "" } else { "?" };
        return Ok((format!("{address}{question_mark}{}", left.join("&")), taken));
    }
    let pairs = keywords(given).unwrap_or_default();
    let (taken, left): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|(name, _)| is_taken(name));
    if taken.is_empty() {
        return Ok((given.to_owned(), taken));
    }
    let left: Vec<_> = left.iter().map(|(name, value)| format!("{name}={}", quoted(value))).collect();
    Ok((left.join(" "), taken))
}

/// Splits a URI at its question mark. Returns `None` if the text is not a URI of Postgres.
///
/// # Errors
///
/// [`ErrorKind::InvalidArgument`], if there is more than one @ before the host.
pub fn split_uri(given: &str) -> Result<Option<(&str, Option<&str>)>, Error> {
    let scheme = ["postgresql://", "postgres://"].into_iter().find(|scheme| given.starts_with(scheme));
    let Some(scheme) = scheme else { return Ok(None) };
    let rest = given.get(scheme.len()..).unwrap_or_default();
    // As in libpq, the text up to the first @ is the user and password, if no slash comes before the @.
    let host = match rest.find(['@', '/']) {
        Some(at) if rest.as_bytes().get(at) == Some(&b'@') => rest.get(at + 1..).unwrap_or_default(),
        _ => rest,
    };
    if host.split(['/', '?']).next().is_some_and(|host| host.contains('@')) {
        // Otherwise a part of a password could be looked up, and shown, as the name of a host.
        return Err(invalid("there is more than one @ in the URL; write an @ in a name or password as %40"));
    }
    let begin = given.len() - host.len();
    Ok(Some(match host.find('?') {
        None => (given, None),
        Some(at) => {
            let (address, query) = given.split_at(begin + at);
            (address, query.strip_prefix('?').filter(|query| !query.is_empty()))
        }
    }))
}

/// Parses a string of keywords: `key = value`, with quotes around values that are empty or contain spaces,
/// and backslashes before quotes and backslashes. Returns `None` if the text has another form.
pub fn keywords(text: &str) -> Option<Vec<Pair>> {
    let mut settings = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=')?;
        let key = key.trim_end();
        if key.is_empty() || key.contains(char::is_whitespace) {
            return None;
        }
        let (value, after) = value(after.trim_start())?;
        settings.push((key.to_owned(), value));
        rest = after.trim_start();
    }
    (!settings.is_empty()).then_some(settings)
}

/// Parses the value at the start of a text, and returns the text after it, too.
fn value(text: &str) -> Option<(String, &str)> {
    let (inner, is_quoted) = text.strip_prefix('\'').map_or((text, false), |inner| (inner, true));
    let mut value = String::new();
    let mut characters = inner.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.push(characters.next()?.1),
            '\'' if is_quoted => return Some((value, inner.get(at + 1..)?)),
            space if !is_quoted && space.is_whitespace() => return Some((value, inner.get(at..)?)),
            other => value.push(other),
        }
    }
    (!is_quoted).then_some((value, ""))
}

/// Encodes a value for a URI.
pub fn percent(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// Quotes a value for a string of keywords.
pub fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', r"\\").replace('\'', r"\'"))
}

/// Decodes a value of a URI.
fn decoded(value: &str) -> Option<String> {
    let mut parts = value.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend(part.get(2..)?.bytes());
    }
    String::from_utf8(bytes).ok()
}

fn invalid(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without_tls(given: &str) -> (String, Vec<Pair>) {
        take(given, |name| name.starts_with("ssl")).unwrap()
    }

    #[test]
    fn settings_are_removed_from_both_forms() {
        for (given, left, taken) in [
            ("postgres://h/d", "postgres://h/d", &[][..]),
            (
                "postgres://a:b?c@h/d?sslmode=verify-full&options=-c%20x&sslrootcert=%2Fmy%20ca",
                "postgres://a:b?c@h/d?options=-c%20x",
                &[("sslmode", "verify-full"), ("sslrootcert", "/my ca")],
            ),
            ("postgresql://h?sslmode=require", "postgresql://h", &[("sslmode", "require")]),
            (
                r"host=h sslmode = verify-ca password='a\'\\ b' sslcert='my ca'",
                r"host='h' password='a\'\\ b'",
                &[("sslmode", "verify-ca"), ("sslcert", "my ca")],
            ),
            ("host = h", "host = h", &[]),
            ("nonsense sslmode", "nonsense sslmode", &[]),
        ] {
            let (text, pairs) = without_tls(given);
            let pairs: Vec<_> = pairs.iter().map(|(name, value)| (&**name, &**value)).collect();
            assert_eq!((&*text, &*pairs), (left, taken), "{given}");
        }
    }

    #[test]
    fn a_value_that_cannot_be_decoded_is_refused() {
        for value in ["%", "%4", "%zz", "%ff"] {
            let error = take(&format!("postgres://h?a={value}"), |name| name == "a").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        }
    }

    #[test]
    fn an_encoded_value_decodes_to_itself() {
        let odd = r"a b'c\&%ä";
        assert_eq!(decoded(&percent(odd)).as_deref(), Some(odd));
        assert_eq!(keywords(&format!("key={}", quoted(odd))), Some(vec![("key".to_owned(), odd.to_owned())]));
    }
}
