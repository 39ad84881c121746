//! Messages, decoded from rows.

use serde::de::DeserializeOwned;

use crate::decode::cells::{optional, required};
use crate::decode::rows::Record;
use crate::error::Error;
use crate::error_kind::ErrorKind;
use crate::message::{ArchivedMessage, Message};
use crate::observer::received::ReceivedMessage;
use crate::raw_json::RawJson;
use crate::row::Row;

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

    fn message_id(&self) -> Option<i64> {
        Some(self.msg_id)
    }

    fn received(&self) -> Option<ReceivedMessage<'_>> {
        Some(ReceivedMessage::new(self.msg_id, self.read_ct, self.enqueued_at, self.headers.as_ref()))
    }

    const KEPT: bool = true;

    fn undecoded<R: Row>(row: &R, columns: &Self::Columns) -> Option<Message<RawJson>> {
        let [msg_id, read_ct, enqueued_at, last_read_at, vt, message, headers] = *columns;
        // The payload is returned even if the other columns cannot be read.
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
        Error::new(ErrorKind::Decode, "the column \"message\" is not a jsonb").because(error)
    })?;
    parsed.unwrap_or_else(|| serde_json::from_slice(b"null")).map_err(|error| {
        let text = format!(
            "the payload of message {msg_id} does not fit the type asked for; the error carries all messages of this call, \
             not decoded"
        );
        Error::new(ErrorKind::Decode, text).because(error)
    })
}

/// The text of the payload, even if it does not decode. A text that is not JSON becomes a JSON string.
fn payload_text(row: &impl Row, column: usize) -> Option<RawJson> {
    let to_json = |text: &[u8]| {
        RawJson::from_slice(text).or_else(|_| RawJson::new(&String::from_utf8_lossy(text))).ok()
    };
    match row.json(column, to_json) {
        Ok(json) => json.unwrap_or_else(|| to_json(b"null")),
        Err(_) => row.text(column).ok()?.and_then(|text| to_json(text.as_bytes())),
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

    fn received(&self) -> Option<ReceivedMessage<'_>> {
        self.message.received()
    }

    const KEPT: bool = true;

    fn undecoded<R: Row>(row: &R, (message, _): &Self::Columns) -> Option<Message<RawJson>> {
        Message::<T>::undecoded(row, message)
    }
}
