//! What can go wrong.

use std::fmt;
use std::time::Duration;

use pgmq_core::{Context, ErrorKind, Failure, Message, QueueError, RawJson};
use pgmq_driver_tokio_postgres::{handshake, kind_of};

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
    Driver(Failure<postgres::Error>),
    /// No connection came out of the pool.
    Pool(Failure<r2d2::Error>),
}

impl Error {
    /// The messages that the failed call had read but could not decode, by value; see
    /// [`undecoded`](QueueError::undecoded).
    pub fn into_undecoded(self) -> Vec<Message<RawJson>> {
        match self {
            Self::Client(error) => error.into_undecoded(),
            Self::Driver(_) | Self::Pool(_) => Vec::new(),
        }
    }

    /// Says how long a connection was waited for.
    pub(crate) fn after(self, waited: Duration) -> Self {
        match self {
            Self::Driver(failure) => Self::Driver(failure.after(waited)),
            other => other,
        }
    }

    pub(crate) fn during(context: Context) -> impl FnOnce(postgres::Error) -> Self {
        |error| Self::Driver(Failure::new(kind_of(&error), error).during(context))
    }
}

impl QueueError for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Client(error) => error.kind(),
            Self::Driver(failure) => failure.kind(),
            Self::Pool(failure) => failure.kind(),
        }
    }

    fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Driver(failure) => failure.cause().code().map(|code| code.code()),
            Self::Client(_) | Self::Pool(_) => None,
        }
    }

    fn undecoded(&self) -> &[Message<RawJson>] {
        match self {
            Self::Client(error) => error.undecoded(),
            Self::Driver(_) | Self::Pool(_) => &[],
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(error) => error.fmt(f),
            Self::Driver(failure) => failure.fmt(f),
            Self::Pool(failure) => failure.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Client(error) => error.source(),
            Self::Driver(failure) => failure.source(),
            Self::Pool(failure) => failure.source(),
        }
    }
}

impl From<pgmq_core::Error> for Error {
    fn from(error: pgmq_core::Error) -> Self {
        Self::Client(error)
    }
}

impl From<postgres::Error> for Error {
    fn from(error: postgres::Error) -> Self {
        match handshake(error) {
            Ok(error) => Self::Client(error),
            Err(error) => Self::Driver(Failure::new(kind_of(&error), error)),
        }
    }
}

impl From<r2d2::Error> for Error {
    fn from(error: r2d2::Error) -> Self {
        // The pool tells by its text alone whether it waited for a connection in use, or for one that could not be made.
        let kind = if error.to_string().contains(": ") { ErrorKind::Connection } else { ErrorKind::Timeout };
        Self::Pool(Failure::new(kind, error))
    }
}
