//! What the driver's errors say.

use tokio_postgres::Error;

use pgmq_core::backend::{Attempt, refuses_client, untrusted};
use pgmq_core::{Error as ClientError, ErrorKind};

/// What kind of thing went wrong.
pub fn kind_of(error: &Error) -> ErrorKind {
    match error.as_db_error() {
        Some(report) => ErrorKind::of_report(report.code().code(), report.message()),
        // The driver tells the others apart by its text alone.
        None => {
            let text = error.to_string();
            let is = |begins: &[&str]| begins.iter().any(|begin| text.starts_with(begin));
            if is(&["error communicating"]) && causes(error).any(|cause| refuses_client(&cause.to_string())) {
                ErrorKind::PermissionDenied
            } else if is(&[
                "error communicating",
                "connection closed",
                "error connecting",
                "unexpected message",
            ]) {
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

/// The error for a connection that could not be encrypted as it was asked for, which says what to do. Any other is handed back.
///
/// # Errors
///
/// Any other.
pub fn handshake(error: Error) -> Result<ClientError, Error> {
    let has_failed = error.to_string().starts_with("error performing TLS") && !is_cut(&error);
    if has_failed { Ok(untrusted(error)) } else { Err(error) }
}

/// Whether a handshake failed because the connection went away, and not because of what the server showed.
fn is_cut(error: &Error) -> bool {
    use std::io::{Error as IoError, ErrorKind as Io};

    let mut kinds = causes(error).filter_map(|cause| cause.downcast_ref::<IoError>()).map(IoError::kind);
    kinds.any(|kind| {
        matches!(kind, Io::ConnectionReset | Io::ConnectionAborted | Io::BrokenPipe | Io::UnexpectedEof)
    })
}

/// What caused an error, and what caused that.
fn causes(error: &Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(std::error::Error::source(error), |cause| cause.source())
}

/// What an error says of a query outside of a transaction; `is_complete` is whether the server had said that the command is
/// complete.
pub fn attempt_of(error: &Error, is_complete: bool) -> Attempt {
    match error.as_db_error() {
        Some(report) => Attempt::of_report(report.code().code(), report.message(), is_complete),
        None => Attempt::Failed,
    }
}
