//! What the driver's errors say.

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::ErrorKind;

/// What kind of thing went wrong.
pub fn kind_of(error: &Error) -> ErrorKind {
    match error.as_db_error() {
        Some(report) => ErrorKind::of_report(report.code().code(), report.message()),
        // The driver tells the others apart by its text alone.
        None => {
            let text = error.to_string();
            let is = |begins: &[&str]| begins.iter().any(|begin| text.starts_with(begin));
            if is(&["error communicating", "connection closed", "error connecting", "unexpected message"]) {
                ErrorKind::Connection
            } else if is(&["timeout"]) {
                ErrorKind::Timeout
            } else if is(&["authentication"]) {
                ErrorKind::PermissionDenied
            } else if is(&["error performing TLS"]) && is_cut(error) {
                ErrorKind::Connection
            } else if is(&["invalid co", "error performing TLS"]) {
                ErrorKind::InvalidArgument
            } else if is(&["error serializing", "error encoding"]) {
                ErrorKind::Encode
            } else if is(&["error deserializing", "error parsing"]) {
                ErrorKind::Decode
            } else {
                ErrorKind::Database
            }
        }
    }
}

/// Whether a handshake failed because the connection went away, and not because of what the server showed.
fn is_cut(error: &Error) -> bool {
    use std::error::Error as _;
    use std::io::{Error as IoError, ErrorKind as Io};

    let mut cause = error.source();
    while let Some(error) = cause {
        let kind = error.downcast_ref::<IoError>().map(IoError::kind);
        if let Some(Io::ConnectionReset | Io::ConnectionAborted | Io::BrokenPipe | Io::UnexpectedEof) = kind {
            return true;
        }
        cause = error.source();
    }
    false
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
        match error.as_db_error() {
            Some(report) if !is_complete => match report.code() {
                // A function that a trigger misses is none of PGMQ's.
                &SqlState::UNDEFINED_FUNCTION if report.message().contains("pgmq.") => Self::UnknownFunction,
                &SqlState::ADMIN_SHUTDOWN | &SqlState::CRASH_SHUTDOWN | &SqlState::IDLE_SESSION_TIMEOUT => {
                    Self::NotCommitted
                }
                _ => Self::Failed,
            },
            _ => Self::Failed,
        }
    }
}
