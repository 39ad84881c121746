//! The classification of the driver's errors.

use pgmq_core::backend::{FailureClass, ServerReport, refuses_client, untrusted};
use pgmq_core::{Call, Error as ClientError, ErrorKind};
use tokio_postgres::Error;
use tokio_postgres::error::{DbError, Severity};

/// The kind of an error in a call; `None` for an error outside an operation.
pub fn kind_of(error: &Error, call: Option<Call>) -> ErrorKind {
    match error.as_db_error() {
        Some(report) => server_report(report).kind(call),
        // The driver distinguishes the other errors by their text alone.
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

/// Turns the error of a failed TLS handshake into one that advises the user.
///
/// # Errors
///
/// The error itself, if it is another one.
pub fn handshake(error: Error) -> Result<ClientError, Error> {
    let has_failed = error.to_string().starts_with("error performing TLS") && !is_cut(&error);
    if has_failed { Ok(untrusted(error)) } else { Err(error) }
}

/// Returns `true` if a handshake failed because the connection was lost, and not because of the server's
/// certificate.
fn is_cut(error: &Error) -> bool {
    use std::io::{Error as IoError, ErrorKind as Io};

    let mut kinds = causes(error).filter_map(|cause| cause.downcast_ref::<IoError>()).map(IoError::kind);
    kinds.any(|kind| {
        matches!(kind, Io::ConnectionReset | Io::ConnectionAborted | Io::BrokenPipe | Io::UnexpectedEof)
    })
}

/// The chain of causes of an error.
fn causes(error: &Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(std::error::Error::source(error), |cause| cause.source())
}

/// Classifies the failure of a query outside a transaction. `is_complete` is `true` if the server had
/// reported the command as complete.
pub fn failure_class(error: &Error, is_complete: bool) -> FailureClass {
    match error.as_db_error() {
        Some(report) => server_report(report).failure_class(is_complete),
        None if kind_of(error, None) == ErrorKind::Connection => FailureClass::Lost,
        None => FailureClass::Other,
    }
}

/// Returns `true` if no session is left after an error: the connection was lost, or the server has ended the
/// session. An error of COMMIT then leaves open if the server has committed.
pub fn ends_session(error: &Error) -> bool {
    kind_of(error, None) == ErrorKind::Connection || error.as_db_error().is_some_and(is_fatal)
}

fn is_fatal(report: &DbError) -> bool {
    match report.parsed_severity() {
        Some(severity) => matches!(severity, Severity::Fatal | Severity::Panic),
        // PgBouncer sends only the severity that a server may translate, and never translates it.
        None => matches!(report.severity(), "FATAL" | "PANIC"),
    }
}

fn server_report(report: &DbError) -> ServerReport<'_> {
    ServerReport {
        routine: report.routine(),
        has_context: report.where_().is_some(),
        ends_session: is_fatal(report),
        ..ServerReport::new(report.code().code(), report.message())
    }
}
