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

/// How far a query came that failed before its first answer.
///
/// The server works message by message: parse, bind, describe, execute. The driver waits for the answer to *describe* before
/// it hands out rows. So an error that the server reported by then is proof that the query was not executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// The server has no such function: an older form of the call may do.
    UnknownFunction,
    /// The server was going away, and did not execute the query: another connection may do.
    NotExecuted,
    /// The query may have been executed, or would fail again.
    Failed,
}

impl Attempt {
    /// How far a query came whose start failed with this error.
    pub fn of_start(error: &Error) -> Self {
        match error.code() {
            Some(&SqlState::UNDEFINED_FUNCTION) => Self::UnknownFunction,
            Some(&SqlState::ADMIN_SHUTDOWN | &SqlState::CRASH_SHUTDOWN | &SqlState::CANNOT_CONNECT_NOW) => {
                Self::NotExecuted
            }
            _ => Self::Failed,
        }
    }
}
