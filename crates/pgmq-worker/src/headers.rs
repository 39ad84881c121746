//! The headers of a message by name, with every digit that they have.

use std::collections::BTreeMap;

use pgmq_core::RawJson;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The headers of a message, by name. The values are JSON texts, so that no digit of a number is lost.
///
/// ```
/// use pgmq_worker::Headers;
///
/// let headers = Headers::parse(Some(&r#"{"type": "email", "total": 1.10}"#.parse()?));
/// assert_eq!(headers.text("type").as_deref(), Some("email"));
/// assert_eq!(headers.get("total").map(|total| total.get()), Some("1.10"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Headers(BTreeMap<String, RawJson>);

/// The key under which headers that are not an object are kept.
pub(crate) const WHOLE: &str = "x-headers";

impl Headers {
    /// Parses the headers of a message. No headers are empty ones, and headers that are not a JSON object are
    /// kept under the name `x-headers`.
    pub fn parse(headers: Option<&RawJson>) -> Self {
        let Some(headers) = headers else { return Self::default() };
        match headers.parse::<Option<Self>>() {
            Ok(headers) => headers.unwrap_or_default(),
            Err(_) => Self(BTreeMap::from([(WHOLE.to_owned(), headers.clone())])),
        }
    }

    /// The value of a header, as JSON text.
    pub fn get(&self, name: &str) -> Option<&RawJson> {
        self.0.get(name)
    }

    /// The value of a header, parsed; `None` if it is missing, or does not have the shape of `H`.
    pub fn value<H: DeserializeOwned>(&self, name: &str) -> Option<H> {
        self.get(name)?.parse().ok()
    }

    /// The value of a header that is a JSON string; `None` if it is missing, or of another type.
    pub fn text(&self, name: &str) -> Option<String> {
        self.value(name)
    }

    /// Returns `true` if there are no headers.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names and values, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &RawJson)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    pub(crate) fn set(&mut self, name: &str, value: RawJson) {
        self.0.insert(name.to_owned(), value);
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.0.retain(|name, _| keep(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_headers_and_null_are_empty() {
        assert!(Headers::parse(None).is_empty());
        assert!(Headers::parse(Some(&"null".parse().unwrap())).is_empty());
    }

    #[test]
    fn a_header_of_another_type_is_no_text() {
        let headers = Headers::parse(Some(&r#"{"n": 5, "t": "a"}"#.parse().unwrap()));
        assert_eq!((headers.text("n"), headers.value("n")), (None, Some(5)));
        assert_eq!(headers.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["n", "t"]);
    }
}
