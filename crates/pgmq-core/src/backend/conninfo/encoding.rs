//! Encoding and decoding of values.

use std::fmt::Write;

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

/// Decodes a value of a URI; `None` if a percent sign does not begin the code of a byte, or the bytes are not
/// UTF-8, or contain a NUL, which no value of Postgres can.
pub(crate) fn decoded(value: &str) -> Option<String> {
    let mut parts = value.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let code = part.get(..2).filter(|code| code.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(code, 16).ok()?);
        bytes.extend(part.get(2..)?.bytes());
    }
    String::from_utf8(bytes).ok().filter(|value| !value.contains('\0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoded_value_decodes_to_itself() {
        let odd = r"a b'c\&%+#ä";
        assert_eq!(decoded(&percent(odd)).as_deref(), Some(odd));
    }

    #[test]
    fn a_value_that_cannot_be_decoded_is_refused() {
        for value in ["%", "%4", "%zz", "%+1", "%ff", "100%", "%00"] {
            assert_eq!(decoded(value), None, "{value}");
        }
    }
}
