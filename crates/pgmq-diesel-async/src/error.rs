//! The error of this back end.

use std::time::Duration;

use diesel::ConnectionError;
use diesel_async::pooled_connection::PoolError as Refusal;
use pgmq_core::backend::{FailureClass, Reported};
use pgmq_core::{Context, ErrorKind, Failure, Message, PoolError, QueueError, RawJson};
use pgmq_driver_diesel::{connecting_kind_of, kind_of, sqlstate_of};
use pgmq_driver_tokio_postgres::{handshake, kind_of as driver_kind_of};

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
    Driver(Failure<diesel::result::Error>),
    /// An error of making a connection for the queue's own pool, or for a listener.
    #[error(transparent)]
    Connect(Failure<tokio_postgres::Error>),
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
            Self::Driver(_) | Self::Connect(_) | Self::Pool(_) => Vec::new(),
        }
    }

    /// Makes a function that adds the call in which an error of Diesel's happened.
    pub(crate) fn during(
        context: Context,
        class: FailureClass,
    ) -> impl FnOnce(diesel::result::Error) -> Self {
        move |error| {
            let failure = Failure::new(kind_of(&error, Some(context.call)), error);
            Self::Driver(failure.during(context).in_doubt(class.is_in_doubt()))
        }
    }

    /// The same error, in doubt if only the report that ended the session says that nothing was committed:
    /// without [`server_replied`](crate::run::server_replied), that is no proof.
    pub(crate) fn unless_proven(self, class: FailureClass) -> Self {
        if class == FailureClass::NotCommitted { self.in_doubt() } else { self }
    }

    /// The same error, of a request that may have been committed.
    pub(crate) fn in_doubt(self) -> Self {
        match self {
            Self::Driver(failure) => Self::Driver(failure.in_doubt(true)),
            other => other,
        }
    }

    /// An error of COMMIT, after which the transaction is in doubt if the connection was lost.
    pub(crate) fn committing(error: diesel::result::Error) -> Self {
        match Self::from(error) {
            Self::Driver(failure) => {
                let is_lost = failure.kind() == ErrorKind::Connection;
                Self::Driver(failure.in_doubt(is_lost))
            }
            other => other,
        }
    }

    /// Adds how long the caller waited for a connection.
    pub(crate) fn after(self, waited: Duration) -> Self {
        match self {
            Self::Client(error) => Self::Client(error),
            Self::Driver(failure) => Self::Driver(failure.after(waited)),
            Self::Connect(failure) => Self::Connect(failure.after(waited)),
            Self::Pool(failure) => Self::Pool(failure.after(waited)),
        }
    }

    fn reported(&self) -> &dyn Reported {
        match self {
            Self::Client(error) => error,
            Self::Driver(failure) => failure,
            Self::Connect(failure) => failure,
            Self::Pool(failure) => failure,
        }
    }
}

impl QueueError for Error {
    fn kind(&self) -> ErrorKind {
        self.reported().kind()
    }

    fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Client(_) | Self::Pool(_) => None,
            // Diesel hides most SQLSTATEs; see the guide.
            Self::Driver(failure) => sqlstate_of(failure.cause()),
            Self::Connect(failure) => failure.cause().code().map(|code| code.code()),
        }
    }

    fn is_in_doubt(&self) -> bool {
        self.reported().is_in_doubt()
    }

    fn undecoded(&self) -> &[Message<RawJson>] {
        self.reported().undecoded()
    }
}

impl From<diesel::result::Error> for Error {
    fn from(error: diesel::result::Error) -> Self {
        Self::Driver(Failure::new(kind_of(&error, None), error))
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        match handshake(error) {
            Ok(error) => Self::Client(error),
            Err(error) => Self::Connect(Failure::new(driver_kind_of(&error, None), error)),
        }
    }
}

impl From<ConnectionError> for Error {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::CouldntSetupConfiguration(error) => error.into(),
            error => {
                let kind = connecting_kind_of(&error);
                Self::Pool(Failure::new(kind, PoolError::new(error)))
            }
        }
    }
}

impl From<Refusal> for Error {
    fn from(error: Refusal) -> Self {
        match error {
            Refusal::QueryError(error) => error.into(),
            Refusal::ConnectionError(error) => error.into(),
        }
    }
}

impl From<bb8::RunError<Refusal>> for Error {
    fn from(error: bb8::RunError<Refusal>) -> Self {
        match error {
            bb8::RunError::User(error) => error.into(),
            bb8::RunError::TimedOut => Self::Pool(Failure::new(ErrorKind::Timeout, PoolError::new(error))),
        }
    }
}
