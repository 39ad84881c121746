//! Messages, as reads return them.

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::raw_json::RawJson;

/// A message that was read from a queue.
///
/// `T` is the type that the payload decodes to: a custom type, [`serde_json::Value`], or [`RawJson`] for the
/// text as it is. A payload that is SQL NULL decodes as JSON `null`, so an `Option<T>` accepts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Message<T = serde_json::Value> {
    /// The id, which is unique within the queue. Later messages have higher ids.
    pub msg_id: i64,
    /// The number of times that the message has been read.
    pub read_ct: i32,
    /// The time at which the message was sent.
    pub enqueued_at: DateTime<Utc>,
    /// The time of the last read, if there was one. Needs PGMQ 1.10; `None` on older versions.
    pub last_read_at: Option<DateTime<Utc>>,
    /// The time from which the message is visible.
    pub vt: DateTime<Utc>,
    /// The payload.
    pub message: T,
    /// The headers that were sent with the payload, if any. Needs PGMQ 1.5; `None` on older versions.
    pub headers: Option<RawJson>,
}

impl<T> Message<T> {
    /// Creates a message for tests, as if it had been sent at the Unix epoch and never been read.
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

    /// Parses the headers into an `H`; `None` if the message has none.
    ///
    /// ```
    /// use pgmq_core::{Message, RawJson};
    ///
    /// let mut message = Message::new(7, "hello");
    /// assert_eq!(message.parse_headers::<serde_json::Value>()?, None);
    /// message.headers = Some(RawJson::new(&[("trace", 5)])?);
    /// assert_eq!(message.parse_headers()?, Some([("trace".to_owned(), 5)]));
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`serde_json::Error`], if the headers do not have the shape of `H`.
    pub fn parse_headers<H: DeserializeOwned>(&self) -> Result<Option<H>, serde_json::Error> {
        self.headers.as_ref().map(RawJson::parse).transpose()
    }

    /// Returns the same message with another payload.
    pub fn map<U>(self, payload: impl FnOnce(T) -> U) -> Message<U> {
        let Self { msg_id, read_ct, enqueued_at, last_read_at, vt, message, headers } = self;
        Message { msg_id, read_ct, enqueued_at, last_read_at, vt, message: payload(message), headers }
    }
}

impl Message<RawJson> {
    /// Parses the payload into a `T`, and returns the same message with it.
    ///
    /// ```
    /// use pgmq_core::{Message, RawJson};
    ///
    /// let raw = Message::new(7, RawJson::new(&[1, 2])?);
    /// assert_eq!(raw.parse::<Vec<i32>>()?, Message::new(7, vec![1, 2]));
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`serde_json::Error`], if the payload does not have the shape of `T`. The message is borrowed, so it
    /// is still there.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<Message<T>, serde_json::Error> {
        let payload = self.message.parse()?;
        Ok(self.clone().map(|_| payload))
    }
}

/// A message in the archive of its queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ArchivedMessage<T = serde_json::Value> {
    /// The message as it was when it was archived.
    pub message: Message<T>,
    /// The time at which the message was archived.
    pub archived_at: DateTime<Utc>,
}

impl<T> ArchivedMessage<T> {
    /// Creates an archived message for tests, as if it had been archived at the Unix epoch.
    pub fn new(message: Message<T>) -> Self {
        Self { message, archived_at: DateTime::UNIX_EPOCH }
    }
}
