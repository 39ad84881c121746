//! JSON text that is passed on without being parsed.

use std::fmt;
use std::hash::{Hash, Hasher};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A JSON text, kept as it is.
///
/// As the type of a message, `RawJson` keeps the server's text unchanged: no digit of a number is lost, and
/// nothing is parsed until you call [`parse`](Self::parse). [Headers](crate::Message::headers) are `RawJson`
/// too.
///
/// ```
/// use pgmq_core::RawJson;
///
/// let total: RawJson = r#"{"total": 12345678901234567890.12345}"#.parse()?;
/// assert!(total.get().contains("12345678901234567890.12345"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RawJson(Box<RawValue>);

impl RawJson {
    /// Serializes a value to its JSON text.
    ///
    /// # Errors
    ///
    /// [`serde_json::Error`], if the value cannot be written as JSON, such as a map whose keys are not
    /// strings.
    pub fn new<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::value::to_raw_value(value).map(Self)
    }

    /// The JSON text.
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// Parses the text into a `T`.
    ///
    /// # Errors
    ///
    /// [`serde_json::Error`], if the text does not have the shape of `T`.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.get())
    }

    /// Keeps the text of a value that the server sent, if the text is JSON.
    pub(crate) fn from_slice(text: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(text).map(Self)
    }
}

impl std::str::FromStr for RawJson {
    type Err = serde_json::Error;

    /// Keeps a text as it is, if the text is JSON.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        serde_json::from_str(text).map(Self)
    }
}

impl From<serde_json::Value> for RawJson {
    fn from(value: serde_json::Value) -> Self {
        #[expect(
            clippy::expect_used,
            reason = "the keys of a `Value` are strings, so it always has a JSON text"
        )]
        Self::new(&value).expect("a JSON value has a JSON text")
    }
}

impl PartialEq for RawJson {
    /// Compares the texts: `1.0` and `1.00` differ.
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Eq for RawJson {}

impl Hash for RawJson {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.get().hash(state);
    }
}

impl fmt::Display for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.get())
    }
}

impl fmt::Debug for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.get())
    }
}
