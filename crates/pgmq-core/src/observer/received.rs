//! A message as observers see it.

use chrono::{DateTime, Utc};

use crate::observer::trace_context::TraceContext;
use crate::raw_json::RawJson;

/// A message that was received, without its payload.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ReceivedMessage<'a> {
    /// The id.
    pub msg_id: i64,
    /// The number of times that the message has been read.
    pub read_ct: i32,
    /// The time at which the message was sent.
    pub enqueued_at: DateTime<Utc>,
    /// The headers, if any.
    pub headers: Option<&'a RawJson>,
}

impl<'a> ReceivedMessage<'a> {
    pub(crate) fn new(
        msg_id: i64,
        read_ct: i32,
        enqueued_at: DateTime<Utc>,
        headers: Option<&'a RawJson>,
    ) -> Self {
        Self { msg_id, read_ct, enqueued_at, headers }
    }

    /// The trace context in the headers, if there is one.
    pub fn trace_context(&self) -> Option<TraceContext> {
        TraceContext::from_headers(self.headers?)
    }
}
