//! What can go wrong.

use std::borrow::Cow;
use std::fmt;

use pgmq_core::backend::{refuses_client, untrusted};
use pgmq_core::{Context, ErrorKind, Failure, Message, QueueError, RawJson};

/// An error of this back end.
///
/// Its text says what was being done, to which queue, and what to do about it; the cause is
/// [`source`](std::error::Error::source), and is not printed twice. [`kind`](QueueError::kind) tells errors apart.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// Found by the client itself: an argument that cannot be taken, or a result that does not decode.
    Client(pgmq_core::Error),
    /// Reported by the server, or by the driver and its pool.
    Driver(Failure<sqlx::Error>),
}

impl Error {
    /// The messages that the failed call had read but could not decode, by value; see
    /// [`undecoded`](QueueError::undecoded).
    pub fn into_undecoded(self) -> Vec<Message<RawJson>> {
        match self {
            Self::Client(error) => error.into_undecoded(),
            Self::Driver(_) => Vec::new(),
        }
    }

    /// An error of making a connection.
    pub(crate) fn connecting(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) if refuses_client(&error.to_string()) => {
                Self::Driver(Failure::new(ErrorKind::PermissionDenied, error))
            }
            sqlx::Error::Tls(_) => Self::Client(untrusted(error)),
            // What the server shows is no certificate that is trusted.
            sqlx::Error::Io(cause) if cause.kind() == std::io::ErrorKind::InvalidData => {
                Self::Client(untrusted(error))
            }
            _ => error.into(),
        }
    }

    pub(crate) fn during(context: Context) -> impl FnOnce(sqlx::Error) -> Self {
        |error| Self::Driver(Failure::new(kind_of(&error), error).during(context))
    }
}

fn kind_of(error: &sqlx::Error) -> ErrorKind {
    match error {
        sqlx::Error::Database(report) => {
            ErrorKind::of_report(report.code().as_deref().unwrap_or_default(), report.message())
        }
        sqlx::Error::PoolTimedOut => ErrorKind::Timeout,
        sqlx::Error::Configuration(_) | sqlx::Error::InvalidArgument(_) | sqlx::Error::Tls(_) => {
            ErrorKind::InvalidArgument
        }
        sqlx::Error::Encode(_) => ErrorKind::Encode,
        sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => ErrorKind::Decode,
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => ErrorKind::Connection,
        _ => ErrorKind::Database,
    }
}

impl QueueError for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Client(error) => error.kind(),
            Self::Driver(failure) => failure.kind(),
        }
    }

    fn sqlstate(&self) -> Option<&str> {
        let Self::Driver(failure) = self else { return None };
        match failure.cause().as_database_error()?.code()? {
            Cow::Borrowed(code) => Some(code),
            // The driver lends it.
            Cow::Owned(_) => None,
        }
    }

    fn undecoded(&self) -> &[Message<RawJson>] {
        match self {
            Self::Client(error) => error.undecoded(),
            Self::Driver(_) => &[],
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(error) => error.fmt(f),
            Self::Driver(failure) => failure.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Client(error) => error.source(),
            Self::Driver(failure) => failure.source(),
        }
    }
}

impl From<pgmq_core::Error> for Error {
    fn from(error: pgmq_core::Error) -> Self {
        Self::Client(error)
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Driver(Failure::new(kind_of(&error), error))
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn only_while_connecting_is_garbled_data_a_certificate_that_is_not_trusted() {
        let garbled = || sqlx::Error::Io(io::ErrorKind::InvalidData.into());
        assert_eq!(Error::connecting(garbled()).kind(), ErrorKind::InvalidArgument);
        assert_eq!(Error::from(garbled()).kind(), ErrorKind::Connection);
        let broken = sqlx::Error::Io(io::ErrorKind::BrokenPipe.into());
        assert_eq!(Error::connecting(broken).kind(), ErrorKind::Connection);
    }
}
