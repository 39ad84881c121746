//! What can go wrong.

use std::fmt;
use std::time::Duration;

use diesel::ConnectionError;
use diesel_async::pooled_connection::{PoolError, bb8::RunError};
use pgmq_core::{Context, ErrorKind, Failure, Message, QueueError, RawJson};
use pgmq_driver_diesel::{connecting_kind_of, kind_of, sqlstate_of};
use pgmq_driver_tokio_postgres::{handshake, kind_of as driver_kind_of};

/// An error of this back end.
///
/// Its text says what was being done, to which queue, and what to do about it; the cause is
/// [`source`](std::error::Error::source), and is not printed twice. [`kind`](QueueError::kind) tells errors apart.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// Found by the client itself: an argument that cannot be taken, or a result that does not decode.
    Client(pgmq_core::Error),
    /// Reported by the server, or by the driver.
    Driver(Failure<diesel::result::Error>),
    /// A connection of the queue's own could not be made.
    Connect(Failure<tokio_postgres::Error>),
    /// No connection came out of the pool.
    Pool(Failure<RunError>),
}

impl Error {
    /// The messages that the failed call had read but could not decode, by value; see
    /// [`undecoded`](QueueError::undecoded).
    pub fn into_undecoded(self) -> Vec<Message<RawJson>> {
        match self {
            Self::Client(error) => error.into_undecoded(),
            Self::Driver(_) | Self::Connect(_) | Self::Pool(_) => Vec::new(),
        }
    }

    pub(crate) fn during(context: Context) -> impl FnOnce(diesel::result::Error) -> Self {
        |error| Self::Driver(Failure::new(kind_of(&error), error).during(context))
    }

    /// Says how long a connection was waited for.
    pub(crate) fn after(self, waited: Duration) -> Self {
        match self {
            Self::Client(error) => Self::Client(error),
            Self::Driver(failure) => Self::Driver(failure.after(waited)),
            Self::Connect(failure) => Self::Connect(failure.after(waited)),
            Self::Pool(failure) => Self::Pool(failure.after(waited)),
        }
    }
}

impl QueueError for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Client(error) => error.kind(),
            Self::Driver(failure) => failure.kind(),
            Self::Connect(failure) => failure.kind(),
            Self::Pool(failure) => failure.kind(),
        }
    }

    fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Client(_) | Self::Pool(_) => None,
            // Diesel hides most of them; see the guide.
            Self::Driver(failure) => sqlstate_of(failure.cause()),
            Self::Connect(failure) => failure.cause().code().map(|code| code.code()),
        }
    }

    fn undecoded(&self) -> &[Message<RawJson>] {
        match self {
            Self::Client(error) => error.undecoded(),
            Self::Driver(_) | Self::Connect(_) | Self::Pool(_) => &[],
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(error) => error.fmt(f),
            Self::Driver(failure) => failure.fmt(f),
            Self::Connect(failure) => failure.fmt(f),
            Self::Pool(failure) => failure.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Client(error) => error.source(),
            Self::Driver(failure) => failure.source(),
            Self::Connect(failure) => failure.source(),
            Self::Pool(failure) => failure.source(),
        }
    }
}

impl From<pgmq_core::Error> for Error {
    fn from(error: pgmq_core::Error) -> Self {
        Self::Client(error)
    }
}

impl From<diesel::result::Error> for Error {
    fn from(error: diesel::result::Error) -> Self {
        Self::Driver(Failure::new(kind_of(&error), error))
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        match handshake(error) {
            Ok(error) => Self::Client(error),
            Err(error) => Self::Connect(Failure::new(driver_kind_of(&error), error)),
        }
    }
}

impl From<ConnectionError> for Error {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::CouldntSetupConfiguration(error) => error.into(),
            error => {
                let kind = connecting_kind_of(&error);
                Self::Pool(Failure::new(kind, RunError::User(PoolError::ConnectionError(error))))
            }
        }
    }
}

impl From<PoolError> for Error {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::QueryError(error) => error.into(),
            PoolError::ConnectionError(error) => error.into(),
        }
    }
}

impl From<RunError> for Error {
    fn from(error: RunError) -> Self {
        match error {
            RunError::User(error) => error.into(),
            RunError::TimedOut => Self::Pool(Failure::new(ErrorKind::Timeout, error)),
        }
    }
}
