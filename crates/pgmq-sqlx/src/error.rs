//! The error of this back end.

use std::borrow::Cow;
use std::io;

use pgmq_core::backend::{Reported, refuses_client, untrusted};
use pgmq_core::{Context, ErrorKind, Failure, Message, QueueError, RawJson};

/// An error of this back end.
///
/// The text reports the call, its queue, and what to do about the error. The cause is
/// [`source`](std::error::Error::source), and is not repeated in the text. Use [`kind`](QueueError::kind) to
/// tell errors apart.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An error that the client detected: an invalid argument, or a result that does not decode.
    #[error(transparent)]
    Client(#[from] pgmq_core::Error),
    /// An error that the server, or the driver and its pool, reported.
    #[error(transparent)]
    Driver(Failure<sqlx::Error>),
}

impl Error {
    /// All messages of the failed call as raw JSON, by value, if one of them did not decode; see
    /// [`undecoded`](QueueError::undecoded).
    pub fn into_undecoded(self) -> Vec<Message<RawJson>> {
        match self {
            Self::Client(error) => error.into_undecoded(),
            Self::Driver(_) => Vec::new(),
        }
    }

    /// The error for a connection that cannot be made.
    pub(crate) fn connecting(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) if refuses_client(&error.to_string()) => {
                Self::Driver(Failure::new(ErrorKind::PermissionDenied, error))
            }
            sqlx::Error::Tls(_) => Self::Client(untrusted(error)),
            // The server's certificate is not trusted.
            sqlx::Error::Io(cause) if cause.kind() == io::ErrorKind::InvalidData => {
                Self::Client(untrusted(error))
            }
            _ => error.into(),
        }
    }

    /// Makes a function that adds the call in which an error of the driver happened.
    pub(crate) fn during(context: Context) -> impl FnOnce(sqlx::Error) -> Self {
        |error| Self::Driver(Failure::new(kind_of(&error), error).during(context))
    }

    fn reported(&self) -> &dyn Reported {
        match self {
            Self::Client(error) => error,
            Self::Driver(failure) => failure,
        }
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
        self.reported().kind()
    }

    fn sqlstate(&self) -> Option<&str> {
        let Self::Driver(failure) = self else { return None };
        match failure.cause().as_database_error()?.code()? {
            Cow::Borrowed(code) => Some(code),
            // The driver always lends the code.
            Cow::Owned(_) => None,
        }
    }

    fn undecoded(&self) -> &[Message<RawJson>] {
        self.reported().undecoded()
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Driver(Failure::new(kind_of(&error), error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_data_is_an_untrusted_certificate_only_while_connecting() {
        let garbled = || sqlx::Error::Io(io::ErrorKind::InvalidData.into());
        assert_eq!(Error::connecting(garbled()).kind(), ErrorKind::InvalidArgument);
        assert_eq!(Error::from(garbled()).kind(), ErrorKind::Connection);
        let broken = sqlx::Error::Io(io::ErrorKind::BrokenPipe.into());
        assert_eq!(Error::connecting(broken).kind(), ErrorKind::Connection);
    }
}
