//! Messages as they are read.

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::decode::{Record, optional, required};
use crate::{Error, ErrorKind, RawJson, Row};

/// A message as it was read from a queue.
///
/// `T` is what the payload decodes to: a type of your own, [`serde_json::Value`], or [`RawJson`] for the text as it is.
/// A payload that is SQL NULL decodes as JSON `null`, so an `Option<T>` takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Message<T = serde_json::Value> {
    /// The id, unique within its queue and growing.
    pub msg_id: i64,
    /// How many times it has been read.
    pub read_ct: i32,
    /// When it was sent.
    pub enqueued_at: DateTime<Utc>,
    /// When it was last read. Always `None` before PGMQ 1.10.
    pub last_read_at: Option<DateTime<Utc>>,
    /// When it becomes visible (again).
    pub vt: DateTime<Utc>,
    /// The payload.
    pub message: T,
    /// What was sent along with the payload. Always `None` before PGMQ 1.5.
    pub headers: Option<RawJson>,
}

impl<T> Message<T> {
    /// A message for a test of your own, as if it had been sent at the Unix epoch and never been read.
    ///
    /// ```
    /// use pgmq_core::Message;
    ///
    /// let mut message = Message::new(7, "hello");
    /// message.read_ct = 3;
    /// assert_eq!((message.msg_id, message.message), (7, "hello"));
    /// ```
    pub fn new(msg_id: i64, message: T) -> Self {
        let epoch = DateTime::UNIX_EPOCH;
        Self { msg_id, read_ct: 0, enqueued_at: epoch, last_read_at: None, vt: epoch, message, headers: None }
    }

    /// The same message with another payload.
    pub fn map<U>(self, payload: impl FnOnce(T) -> U) -> Message<U> {
        let Self { msg_id, read_ct, enqueued_at, last_read_at, vt, message, headers } = self;
        Message { msg_id, read_ct, enqueued_at, last_read_at, vt, message: payload(message), headers }
    }
}

/// A message as it stands in the archive of its queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ArchivedMessage<T = serde_json::Value> {
    /// The message as it was when it was archived.
    pub message: Message<T>,
    /// When it was archived.
    pub archived_at: DateTime<Utc>,
}

impl<T> ArchivedMessage<T> {
    /// An archived message for a test of your own, archived at the Unix epoch.
    pub fn new(message: Message<T>) -> Self {
        Self { message, archived_at: DateTime::UNIX_EPOCH }
    }
}

const COLUMNS: [&str; 7] = ["msg_id", "read_ct", "enqueued_at", "last_read_at", "vt", "message", "headers"];

impl<T: DeserializeOwned + Send> Record for Message<T> {
    type Columns = [Option<usize>; COLUMNS.len()];

    fn columns<R: Row>(row: &R) -> Self::Columns {
        COLUMNS.map(|name| row.column(name))
    }

    fn decode<R: Row>(row: &R, columns: &Self::Columns) -> Result<Self, Error> {
        let [msg_id, read_ct, enqueued_at, last_read_at, vt, message, headers] = *columns;
        let msg_id = required(row, "msg_id", msg_id)?;
        Ok(Self {
            msg_id,
            read_ct: required(row, "read_ct", read_ct)?,
            enqueued_at: required(row, "enqueued_at", enqueued_at)?,
            last_read_at: optional(row, "last_read_at", last_read_at)?,
            vt: required(row, "vt", vt)?,
            message: payload(row, msg_id, message)?,
            headers: optional(row, "headers", headers)?,
        })
    }

    const KEPT: bool = true;

    fn undecoded<R: Row>(row: &R, columns: &Self::Columns) -> Option<Message<RawJson>> {
        let [msg_id, read_ct, enqueued_at, last_read_at, vt, message, headers] = *columns;
        // Whatever else is wrong with it, the payload is handed over.
        let mut undecoded = Message::new(0, payload_text(row, message?)?);
        undecoded.msg_id = required(row, "msg_id", msg_id).unwrap_or_default();
        undecoded.read_ct = required(row, "read_ct", read_ct).unwrap_or_default();
        undecoded.enqueued_at = required(row, "enqueued_at", enqueued_at).unwrap_or_default();
        undecoded.last_read_at = optional(row, "last_read_at", last_read_at).unwrap_or_default();
        undecoded.vt = required(row, "vt", vt).unwrap_or_default();
        undecoded.headers = optional(row, "headers", headers).unwrap_or_default();
        Some(undecoded)
    }
}

/// Parses the payload from the row's own bytes, straight into `T`.
fn payload<T: DeserializeOwned>(row: &impl Row, msg_id: i64, column: Option<usize>) -> Result<T, Error> {
    let missing = || Error::new(ErrorKind::Decode, "the column \"message\" is missing");
    let parsed = row.json(column.ok_or_else(missing)?, |text| serde_json::from_slice(text));
    let parsed = parsed.map_err(|error| {
        Error::new(ErrorKind::Decode, "the column \"message\" is no jsonb").because(error)
    })?;
    parsed.unwrap_or_else(|| serde_json::from_slice(b"null")).map_err(|error| {
        let text = format!(
            "the payload of message {msg_id} does not fit the type asked for; the error carries all messages of this call, \
             undecoded"
        );
        Error::new(ErrorKind::Decode, text).because(error)
    })
}

/// The text of the payload, whatever is wrong with it. What is no JSON becomes a JSON string.
fn payload_text(row: &impl Row, column: usize) -> Option<RawJson> {
    let as_it_is = |text: &[u8]| {
        RawJson::from_slice(text).or_else(|_| RawJson::new(&String::from_utf8_lossy(text))).ok()
    };
    match row.json(column, as_it_is) {
        Ok(json) => json.unwrap_or_else(|| as_it_is(b"null")),
        Err(_) => row.text(column).ok()?.and_then(|text| as_it_is(text.as_bytes())),
    }
}

impl<T: DeserializeOwned + Send> Record for ArchivedMessage<T> {
    type Columns = (<Message<T> as Record>::Columns, Option<usize>);

    fn columns<R: Row>(row: &R) -> Self::Columns {
        (Message::<T>::columns(row), row.column("archived_at"))
    }

    fn decode<R: Row>(row: &R, (message, archived_at): &Self::Columns) -> Result<Self, Error> {
        let archived_at = required(row, "archived_at", *archived_at)?;
        Ok(Self { message: Message::decode(row, message)?, archived_at })
    }

    const KEPT: bool = true;

    fn undecoded<R: Row>(row: &R, (message, _): &Self::Columns) -> Option<Message<RawJson>> {
        Message::<T>::undecoded(row, message)
    }
}
