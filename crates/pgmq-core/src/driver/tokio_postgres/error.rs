//! What the driver's errors say.

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::ErrorKind;

/// What kind of thing went wrong.
pub fn kind_of(error: &Error) -> ErrorKind {
    match error.as_db_error() {
        Some(report) => ErrorKind::of_report(report.code().code(), report.message()),
        // What is not a report of the server's is a failure to talk to it, but for what the text of the driver's error alone
        // tells: neither a value nor a row that cannot be converted is the connection's fault.
        None => match error.to_string() {
            text if text.starts_with("invalid c") => ErrorKind::InvalidArgument,
            text if text.starts_with("error serializing") => ErrorKind::Encode,
            text if text.starts_with("error deserializing") => ErrorKind::Decode,
            text if text.starts_with("timeout") => ErrorKind::Timeout,
            _ => ErrorKind::Connection,
        },
    }
}

/// Whether a query that failed may have had an effect.
///
/// The server works message by message: parse, bind, describe, execute, sync. It says that the command is complete when it
/// has executed it, and commits at *sync*, after that. So where the server's own report of its end (a FATAL error) comes
/// without "complete" before it, nothing was committed: that is proof, where a connection that just breaks leaves a doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// The server has no such function: an older form of the call may do.
    UnknownFunction,
    /// The server ended the session and committed nothing: another connection may do.
    NotCommitted,
    /// The query may have been committed, or would fail again.
    Failed,
}

impl Attempt {
    /// What this error says of a query outside of a transaction; `is_complete` is whether the server had said that the
    /// command is complete.
    pub fn new(error: &Error, is_complete: bool) -> Self {
        match error.code() {
            _ if is_complete => Self::Failed,
            Some(&SqlState::UNDEFINED_FUNCTION) => Self::UnknownFunction,
            Some(&SqlState::ADMIN_SHUTDOWN | &SqlState::CRASH_SHUTDOWN) => Self::NotCommitted,
            _ => Self::Failed,
        }
    }
}
