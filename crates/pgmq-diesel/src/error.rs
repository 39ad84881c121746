//! What can go wrong.

use std::fmt;

use diesel::ConnectionError;
use diesel::r2d2::PoolError;
use pgmq_core::backend::untrusted;
use pgmq_core::{Context, ErrorKind, Failure, Message, QueueError, RawJson};
use pgmq_driver_diesel::{connecting_kind_of, connecting_sqlstate_of, kind_of, sqlstate_of};

use crate::conninfo::unusable;

/// An error of this back end.
///
/// Its text says what was being done, to which queue, and what to do about it; the cause is
/// [`source`](std::error::Error::source), and is not printed twice. [`kind`](QueueError::kind) tells errors apart.
///
/// Diesel hands on the server's SQLSTATE for a few kinds of errors only. For others it is found again where the server's
/// message stands for one SQLSTATE alone; [`sqlstate`](QueueError::sqlstate) is `None` where that cannot be done, such as for
/// an exception that your own trigger raises.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// Found by the client itself: an argument that cannot be taken, or a result that does not decode.
    Client(pgmq_core::Error),
    /// Reported by the server, or by the driver.
    Driver(Failure<diesel::result::Error>),
    /// No connection could be made.
    Connect(Failure<ConnectionError>),
    /// No connection came out of the pool.
    Pool(Failure<PoolError>),
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

    /// The error for a connection that could not be made by this string.
    pub(crate) fn connecting(error: ConnectionError, conninfo: Option<&str>) -> Self {
        let kind = connecting_kind_of(&error);
        // Of what libpq says before it has tried to connect, some repeats the string.
        let has_tried = error.to_string().starts_with("connection to server");
        match kind {
            ErrorKind::InvalidArgument if !has_tried => Self::Client(unusable(&error, conninfo)),
            ErrorKind::InvalidArgument if connecting_sqlstate_of(&error).is_none() => {
                Self::Client(untrusted(error))
            }
            kind => Self::Connect(Failure::new(kind, error)),
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
            Self::Driver(failure) => sqlstate_of(failure.cause()),
            Self::Connect(failure) => connecting_sqlstate_of(failure.cause()),
            Self::Client(_) | Self::Pool(_) => None,
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
    /// For Diesel's own `transaction`, among others.
    fn from(error: diesel::result::Error) -> Self {
        Self::Driver(Failure::new(kind_of(&error), error))
    }
}

impl From<ConnectionError> for Error {
    fn from(error: ConnectionError) -> Self {
        Self::connecting(error, None)
    }
}

impl From<PoolError> for Error {
    fn from(error: PoolError) -> Self {
        // The pool tells by its text alone whether it waited for a connection in use, or for one that could not be made.
        let kind = if error.to_string().contains(": ") { ErrorKind::Connection } else { ErrorKind::Timeout };
        Self::Pool(Failure::new(kind, error))
    }
}
