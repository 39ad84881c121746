//! The end of an operation.

use std::fmt;

use crate::decode::{Output, Record};
use crate::error::QueueError;
use crate::error_kind::ErrorKind;
use crate::observer::received::ReceivedMessage;

/// The end of an operation.
#[derive(Debug)]
#[non_exhaustive]
pub struct Ended<'a> {
    /// The result.
    pub result: Result<Succeeded<'a>, Failed<'a>>,
    /// The number of times that the operation was sent to the server, or was to be: 1, unless a failure was
    /// proven to have had no effect, and 0 if there was no connection.
    pub attempts: u32,
}

/// The success of an operation.
#[non_exhaustive]
pub struct Succeeded<'a> {
    /// The number of messages that were sent, received, or found; for a topic, the number of copies.
    /// Meaningless if the operation is not about messages.
    pub messages: usize,
    /// The id of the message, if the operation sends or receives a single one.
    pub message_id: Option<i64>,
    received: &'a dyn Received,
}

impl<'a> Succeeded<'a> {
    /// Describes the result of an operation.
    pub(crate) fn new<O: Output>(output: &'a O) -> Self {
        let records = output.records();
        Self {
            messages: records.iter().map(Record::messages).sum(),
            message_id: if O::IS_LIST { None } else { records.first().and_then(Record::message_id) },
            received: output,
        }
    }

    /// Shows each message of the result, in its order. Only reads, pops and looks return any.
    pub fn for_each(&self, mut show: impl FnMut(&ReceivedMessage<'_>)) {
        self.received.for_each(&mut show);
    }
}

impl fmt::Debug for Succeeded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Succeeded").field("messages", &self.messages).finish_non_exhaustive()
    }
}

/// The messages of a result, without their type.
trait Received {
    fn for_each(&self, show: &mut dyn FnMut(&ReceivedMessage<'_>));
}

impl<O: Output> Received for O {
    fn for_each(&self, show: &mut dyn FnMut(&ReceivedMessage<'_>)) {
        for message in self.records().iter().filter_map(Record::received) {
            show(&message);
        }
    }
}

/// The failure of an operation.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Failed<'a> {
    /// The kind of the error.
    pub kind: ErrorKind,
    /// The code of the server's error, if the server returned one.
    pub sqlstate: Option<&'a str>,
    /// The error of the back end.
    pub error: &'a dyn QueueError,
}

impl<'a> Failed<'a> {
    pub(crate) fn new(error: &'a impl QueueError) -> Self {
        Self { kind: error.kind(), sqlstate: error.sqlstate(), error }
    }
}

impl fmt::Debug for Failed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failed")
            .field("kind", &self.kind)
            .field("sqlstate", &self.sqlstate)
            .finish_non_exhaustive()
    }
}
