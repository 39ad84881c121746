//! Parameters of statements, one variant per SQL type in use.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use memchr::{memchr, memmem};
use serde::Serialize;

use crate::error::Error;
use crate::error_kind::ErrorKind;

/// A parameter of a statement.
///
/// Back ends match every variant, so a new variant does not compile until each of them can send it. Since the
/// crates of this family pin each other's exact version, a new variant is not a breaking change.
#[derive(Debug, Clone, PartialEq)]
pub enum Param<'a> {
    /// `text`
    Text(Cow<'a, str>),
    /// `integer`
    Int4(i32),
    /// `bigint`
    Int8(i64),
    /// `bigint[]`
    Int8Array(Vec<i64>),
    /// `timestamptz`
    Timestamptz(DateTime<Utc>),
    /// `jsonb`, as its JSON text
    Jsonb(JsonText),
    /// `jsonb[]`
    JsonbArray(JsonArray),
}

impl Param<'_> {
    /// The size in bytes in which the parameter is sent, without its length and type.
    pub fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Int4(_) => 4,
            Self::Int8(_) | Self::Timestamptz(_) => 8,
            // Each element of an array has a length of 4 bytes.
            Self::Int8Array(elements) => elements.len().saturating_mul(12),
            Self::Jsonb(json) => json.as_bytes().len(),
            Self::JsonbArray(array) => array.text.len().saturating_add(array.len().saturating_mul(5)),
        }
    }
}

/// A JSON text that `jsonb` can hold, serialized once and sent as it is.
#[derive(Clone, PartialEq)]
pub struct JsonText(Vec<u8>);

impl JsonText {
    /// The initial capacity in bytes. Most messages are shorter, and need no second allocation.
    const USUAL: usize = 512;

    /// Serializes a value.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Encode`], if the value has no JSON text, or a string in it contains the character
    /// `\u0000`.
    pub fn new<T: Serialize + ?Sized>(value: &T) -> Result<Self, Error> {
        let mut text = Vec::with_capacity(Self::USUAL);
        write_json(&mut text, value)?;
        Ok(Self(text))
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// A text of parts that are one JSON text together.
    pub(crate) fn joined(parts: &[&[u8]]) -> Self {
        Self(parts.concat())
    }

    /// Returns `true` if the text is JSON `null`.
    pub(crate) fn is_null(&self) -> bool {
        self.0 == b"null"
    }
}

impl std::fmt::Debug for JsonText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

/// JSON texts, each of which may be missing, one after another in one buffer.
#[derive(Clone, PartialEq, Default)]
pub struct JsonArray {
    text: Vec<u8>,
    /// The end of each element in the buffer, and `true` if the element is present.
    ends: Vec<(usize, bool)>,
}

impl JsonArray {
    pub(crate) fn of_all<'t, T: Serialize + 't>(
        values: impl IntoIterator<Item = &'t T>,
    ) -> Result<Self, Error> {
        let mut array = Self::default();
        for value in values {
            array.push(Some(value))?;
        }
        Ok(array)
    }

    pub(crate) fn push<T: Serialize + ?Sized>(&mut self, value: Option<&T>) -> Result<(), Error> {
        if let Some(value) = value {
            write_json(&mut self.text, value)?;
        }
        self.ends.push((self.text.len(), value.is_some()));
        Ok(())
    }

    /// Adds an element that is serialized already.
    pub(crate) fn push_text(&mut self, text: Option<&JsonText>) {
        self.push_bytes(text.map(JsonText::as_bytes));
    }

    /// Adds the bytes of an element that is serialized already.
    pub(crate) fn push_bytes(&mut self, text: Option<&[u8]>) {
        self.text.extend_from_slice(text.unwrap_or_default());
        self.ends.push((self.text.len(), text.is_some()));
    }

    /// Adds an element like [`push`](Self::push). A value that serializes to JSON `null` counts as missing,
    /// too.
    pub(crate) fn push_unless_null<T: Serialize>(&mut self, value: Option<&T>) -> Result<(), Error> {
        let start = self.text.len();
        self.push(value)?;
        if self.text.get(start..) == Some(b"null")
            && let Some(last) = self.ends.last_mut()
        {
            last.1 = false;
        }
        Ok(())
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns `true` if there are no elements.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The elements in order; `None` is SQL NULL.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Option<&[u8]>> {
        let mut start = 0;
        self.ends.iter().map(move |&(end, present)| {
            let element = self.text.get(start..end).filter(|_| present);
            start = end;
            element
        })
    }
}

impl std::fmt::Debug for JsonArray {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let texts = self.iter().map(|text| text.map_or("NULL".into(), String::from_utf8_lossy));
        f.debug_list().entries(texts).finish()
    }
}

/// Appends the JSON text of a value to `out`.
fn write_json<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) -> Result<(), Error> {
    let start = out.len();
    serde_json::to_writer(&mut *out, value).map_err(|error| {
        Error::new(ErrorKind::Encode, "the value cannot be serialized as JSON").because(error)
    })?;
    if has_nul_escape(out.get(start..).unwrap_or_default()) {
        let text = "a string in the value contains the character \\u0000, which jsonb cannot store; remove it or encode it";
        return Err(Error::new(ErrorKind::Encode, text));
    }
    Ok(())
}

/// Returns `true` if a JSON text contains the escape `\u0000`. An escaped backslash in front of `u0000` does
/// not count.
fn has_nul_escape(json: &[u8]) -> bool {
    // Most texts contain no escape at all, and one byte is found faster than a sequence.
    let Some(first) = memchr(b'\\', json) else { return false };
    let rest = json.get(first..).unwrap_or_default();
    memmem::find_iter(rest, br"\u0000").any(|at| {
        let before = rest.get(..at).unwrap_or_default();
        before.iter().rev().take_while(|&&byte| byte == b'\\').count() % 2 == 0
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::RawJson;

    #[test]
    fn only_a_real_nul_character_is_refused() {
        assert!(JsonText::new("a\0b").is_err());
        assert!(JsonText::new(r"\u0000").is_ok(), "a backslash, a u and zeros are six characters");
        assert!(JsonText::new(r"\\u0000").is_ok());
        let raw: RawJson = r#""\\\u0000""#.parse().unwrap();
        let error = JsonText::new(&raw).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Encode);
        assert!(error.to_string().contains(r"\u0000"), "{error}");
    }

    #[test]
    fn a_value_without_a_json_text_is_an_encode_error() {
        let keys = std::collections::BTreeMap::from([((1, 2), 3)]);
        let error = JsonText::new(&keys).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Encode);
        assert!(std::error::Error::source(&error).is_some());
    }

    #[test]
    fn every_digit_of_a_number_is_kept() {
        for text in ["18446744073709551615", "12345678901234567890.12345", "1.00"] {
            let raw: RawJson = text.parse().unwrap();
            assert_eq!(JsonText::new(&raw).unwrap().as_bytes(), text.as_bytes());
        }
    }

    proptest! {
        #[test]
        fn an_array_returns_its_elements(values in prop::collection::vec(any::<Option<String>>(), 0..20)) {
            let values: Vec<_> = values.into_iter().map(|v| v.map(|s| s.replace('\0', ""))).collect();
            let mut array = JsonArray::default();
            for value in &values {
                array.push(value.as_ref()).unwrap();
            }
            prop_assert_eq!(array.len(), values.len());
            let back: Vec<Option<String>> =
                array.iter().map(|text| text.map(|text| serde_json::from_slice(text).unwrap())).collect();
            prop_assert_eq!(back, values);
        }

        #[test]
        fn a_nul_is_found_at_any_position(before in "\\PC{0,20}\\\\{0,3}", after in "\\PC{0,20}") {
            let [nul, text] = [format!("{before}\0{after}"), format!("{before}u0000{after}")];
            prop_assert!(JsonText::new(&nul).is_err());
            prop_assert!(JsonText::new(&text).is_ok());
        }
    }
}
