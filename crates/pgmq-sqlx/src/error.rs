//! The error of this back end.

use std::borrow::Cow;
use std::io;

use pgmq_core::backend::{FailureClass, Reported, ServerReport, refuses_client, untrusted};
use pgmq_core::{Call, Context, ErrorKind, Failure, Message, QueueError, RawJson};
use sqlx::postgres::{PgDatabaseError, PgSeverity};

/// An error of this back end.
///
/// The text reports the call, its queue, and what to do about the error. The cause is
/// [`source`](std::error::Error::source), and is not repeated in the text. Use [`kind`](Self::kind) to tell
/// errors apart.
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
    pgmq_core::error_methods!();

    /// All messages of the failed call as raw JSON, by value, if one of them did not decode; see
    /// [`undecoded`](Self::undecoded).
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
    pub(crate) fn during(context: Context, class: FailureClass) -> impl FnOnce(sqlx::Error) -> Self {
        move |error| {
            let failure = Failure::new(kind_of(&error, Some(context.call)), error);
            Self::Driver(failure.during(context).in_doubt(class.is_in_doubt()))
        }
    }

    /// An error of COMMIT, after which the transaction is in doubt if the connection was lost.
    pub(crate) fn committing(error: sqlx::Error) -> Self {
        let has_ended = server_report(&error).is_some_and(|report| report.ends_session);
        match Self::from(error) {
            Self::Driver(failure) => {
                let is_lost = failure.kind() == ErrorKind::Connection;
                Self::Driver(failure.in_doubt(is_lost || has_ended))
            }
            other => other,
        }
    }

    fn reported(&self) -> &dyn Reported {
        match self {
            Self::Client(error) => error,
            Self::Driver(failure) => failure,
        }
    }
}

/// The server's report of an error, if there is one.
pub(crate) fn server_report(error: &sqlx::Error) -> Option<ServerReport<'_>> {
    let report = error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()?;
    Some(ServerReport {
        routine: report.routine(),
        has_context: report.r#where().is_some(),
        ends_session: matches!(report.severity(), PgSeverity::Fatal | PgSeverity::Panic),
        ..ServerReport::new(report.code(), report.message())
    })
}

/// The kind of an error in a call; `None` for an error outside an operation.
pub(crate) fn kind_of(error: &sqlx::Error, call: Option<Call>) -> ErrorKind {
    if let Some(report) = server_report(error) {
        return report.kind(call);
    }
    match error {
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

    fn is_in_doubt(&self) -> bool {
        self.reported().is_in_doubt()
    }

    fn undecoded(&self) -> &[Message<RawJson>] {
        self.reported().undecoded()
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Driver(Failure::new(kind_of(&error, None), error))
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
