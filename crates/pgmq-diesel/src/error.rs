//! The error of this back end.

use diesel::ConnectionError;
use pgmq_core::backend::{FailureClass, Reported, untrusted};
use pgmq_core::{Context, ErrorKind, Failure, Message, PoolError, QueueError, RawJson};
use pgmq_driver_diesel::{connecting_kind_of, connecting_sqlstate_of, kind_of, sqlstate_of};

use crate::conninfo::{refuses, unusable};

/// An error of this back end.
///
/// The text reports the call, its queue, and what to do about the error. The cause is
/// [`source`](std::error::Error::source), and is not repeated in the text. Use [`kind`](Self::kind) to tell
/// errors apart.
///
/// Diesel passes on the server's SQLSTATE only for a few kinds of errors. For others it is recovered from the
/// server's message, if that belongs to one SQLSTATE only. Otherwise [`sqlstate`](QueueError::sqlstate) is
/// `None`, such as for an exception that your own trigger raises.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An error that the client detected: an invalid argument, or a result that does not decode.
    #[error(transparent)]
    Client(#[from] pgmq_core::Error),
    /// An error that the server or the driver reported.
    #[error(transparent)]
    Driver(Failure<diesel::result::Error>),
    /// An error of connecting.
    #[error(transparent)]
    Connect(Failure<ConnectionError>),
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

    /// Makes a function that adds the call in which an error of the driver happened.
    pub(crate) fn during(
        context: Context,
        class: FailureClass,
    ) -> impl FnOnce(diesel::result::Error) -> Self {
        move |error| {
            let failure = Failure::new(kind_of(&error, Some(context.call)), error);
            Self::Driver(failure.during(context).in_doubt(class.is_in_doubt()))
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

    /// The error of connecting.
    pub(crate) fn connecting(error: ConnectionError) -> Self {
        let kind = connecting_kind_of(&error);
        // Before libpq has tried to connect, its messages may repeat parts of the string.
        let has_tried = error.to_string().starts_with("connection to server");
        match kind {
            _ if !has_tried && refuses(&error) => Self::Client(unusable(&error)),
            ErrorKind::InvalidArgument if !has_tried => Self::Client(unusable(&error)),
            ErrorKind::InvalidArgument if connecting_sqlstate_of(&error).is_none() => {
                Self::Client(untrusted(error))
            }
            kind => Self::Connect(Failure::new(kind, error)),
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
            Self::Driver(failure) => sqlstate_of(failure.cause()),
            Self::Connect(failure) => connecting_sqlstate_of(failure.cause()),
            Self::Client(_) | Self::Pool(_) => None,
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
    /// Among others for Diesel's own `transaction`, which needs the conversion.
    fn from(error: diesel::result::Error) -> Self {
        Self::Driver(Failure::new(kind_of(&error, None), error))
    }
}

impl From<ConnectionError> for Error {
    fn from(error: ConnectionError) -> Self {
        Self::connecting(error)
    }
}

impl From<diesel::r2d2::PoolError> for Error {
    fn from(error: diesel::r2d2::PoolError) -> Self {
        // Only the text distinguishes a wait for a connection in use from one for a connection that could not
        // be made.
        let kind = if error.to_string().contains(": ") { ErrorKind::Connection } else { ErrorKind::Timeout };
        Self::Pool(Failure::new(kind, PoolError::new(error)))
    }
}
