//! The call of an operation, as errors and statements refer to it.

use std::fmt;

use crate::version::Version;

/// An operation that is called, and the PGMQ function that it calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call {
    /// The operation, as it is named in the API.
    pub operation: &'static str,
    /// The PGMQ function that it calls, or the table that it reads.
    pub function: &'static str,
    /// The PGMQ version that brought what is called; `None` if every supported version has it.
    pub since: Option<Version>,
    pub(crate) polls: bool,
    pub(crate) needs_partman: bool,
}

impl Call {
    /// A call of a function that every supported version has.
    pub(crate) fn new(operation: &'static str, function: &'static str) -> Self {
        Self { operation, function, since: None, polls: false, needs_partman: false }
    }

    /// Returns `true` if the server may wait for messages while it runs this call, for as long as the caller
    /// asks.
    pub fn is_poll(self) -> bool {
        self.polls
    }
}

/// The call in which an error happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Context {
    /// The operation, and the PGMQ function that it calls.
    pub call: Call,
    /// The queue of the call, if it is about one.
    pub queue: Option<Box<str>>,
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.call.operation)?;
        match &self.queue {
            Some(queue) => write!(f, " on queue {queue:?}"),
            None => Ok(()),
        }
    }
}
