//! The error of this back end.

use std::time::Duration;

use pgmq_core::backend::{FailureClass, Reported};
use pgmq_core::{Context, ErrorKind, Failure, Message, PoolError, QueueError, RawJson};
use pgmq_driver_tokio_postgres::{ends_session, handshake, kind_of};

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
    /// An error that the server or the driver reported.
    #[error(transparent)]
    Driver(Failure<tokio_postgres::Error>),
    /// No connection could be acquired from the pool.
    #[error(transparent)]
    Pool(Failure<PoolError>),
}

impl Error {
    pgmq_core::error_methods!();

    /// All messages of the failed call as raw JSON, by value, if one of them did not decode; see
    /// [`undecoded`](Self::undecoded).
    pub fn into_undecoded(self) -> Vec<Message<RawJson>> {
        match self {
            Self::Client(error) => error.into_undecoded(),
            Self::Driver(_) | Self::Pool(_) => Vec::new(),
        }
    }

    /// Returns a function that wraps an error of the driver, with the call that failed.
    pub(crate) fn during(
        context: Context,
        class: FailureClass,
    ) -> impl FnOnce(tokio_postgres::Error) -> Self {
        move |error| {
            let failure = Failure::new(kind_of(&error, Some(context.call)), error);
            Self::Driver(failure.during(context).in_doubt(class.is_in_doubt()))
        }
    }

    /// The same error, of a request that turned out not to have been sent.
    pub(crate) fn not_in_doubt(self) -> Self {
        match self {
            Self::Driver(failure) => Self::Driver(failure.in_doubt(false)),
            other => other,
        }
    }

    /// An error of COMMIT, after which the transaction is in doubt if the connection was lost.
    pub(crate) fn committing(error: tokio_postgres::Error) -> Self {
        let is_in_doubt = ends_session(&error);
        match Self::from(error) {
            Self::Driver(failure) => Self::Driver(failure.in_doubt(is_in_doubt)),
            other => other,
        }
    }

    /// Adds how long the caller waited for a connection.
    pub(crate) fn after(self, waited: Duration) -> Self {
        match self {
            Self::Driver(failure) => Self::Driver(failure.after(waited)),
            other => other,
        }
    }

    /// Returns `true` if the driver found the connection closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.driver().is_some_and(tokio_postgres::Error::is_closed)
    }

    fn driver(&self) -> Option<&tokio_postgres::Error> {
        match self {
            Self::Client(_) | Self::Pool(_) => None,
            Self::Driver(failure) => Some(failure.cause()),
        }
    }

    fn reported(&self) -> &dyn Reported {
        match self {
            Self::Client(error) => error,
            Self::Driver(failure) => failure,
            Self::Pool(failure) => failure,
        }
    }
}

impl QueueError for Error {
    fn kind(&self) -> ErrorKind {
        self.reported().kind()
    }

    fn sqlstate(&self) -> Option<&str> {
        self.driver()?.code().map(|code| code.code())
    }

    fn is_in_doubt(&self) -> bool {
        self.reported().is_in_doubt()
    }

    fn undecoded(&self) -> &[Message<RawJson>] {
        self.reported().undecoded()
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        match handshake(error) {
            Ok(error) => Self::Client(error),
            Err(error) => Self::Driver(Failure::new(kind_of(&error, None), error)),
        }
    }
}

impl From<bb8::RunError<tokio_postgres::Error>> for Error {
    fn from(error: bb8::RunError<tokio_postgres::Error>) -> Self {
        match error {
            bb8::RunError::User(error) => error.into(),
            bb8::RunError::TimedOut => Self::Pool(Failure::new(ErrorKind::Timeout, PoolError::new(error))),
        }
    }
}
