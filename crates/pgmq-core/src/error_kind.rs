//! The kinds of errors, which all back ends share.

use std::fmt;

/// The kind of an error. The errors of all back ends report one, so the same `match` works with every
/// driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An argument is invalid: a bad queue name, a negative time, headers that do not match the batch, or a
    /// URL or a TLS setting that the back end does not support. Nothing was sent, unless only the server
    /// could check the argument.
    InvalidArgument,
    /// The queue does not exist. `create_queue` creates it.
    QueueNotFound,
    /// PGMQ is not installed in this database. A queue's `init` creates the extension if the server offers
    /// it.
    NotInstalled,
    /// The server's PGMQ lacks a function or an option of the call, or the extension `pg_partman` is missing.
    Unsupported,
    /// A message, header or condition cannot be written as JSON that `jsonb` can hold. Nothing was sent.
    Encode,
    /// The server's result does not decode to the type asked for. No message is lost: the error carries them
    /// all, see [`Error::undecoded`](crate::Error::undecoded).
    Decode,
    /// The role lacks a privilege that the call needs, or the server refused the role when it connected.
    PermissionDenied,
    /// The call conflicts with another transaction or with a change of PGMQ: a deadlock, a serialization
    /// failure, or a prepared statement that an upgrade made stale or that the server has forgotten. Roll
    /// back and retry.
    Conflict,
    /// The message that was to be finished is no longer there, or another consumer has read it since. Roll
    /// back, as that consumer does the work. The operations report it by their result; only `pgmq-worker`
    /// makes it an error.
    AlreadyGone,
    /// No connection to the server could be made, or the connection was lost. An operation that was in flight
    /// may be in doubt: see [`QueueError::is_in_doubt`](crate::QueueError::is_in_doubt).
    Connection,
    /// The server has no such database.
    DatabaseNotFound,
    /// The server does not accept writes: it is a standby, or `default_transaction_read_only` is on for the
    /// server, the database or the role. Nothing was committed.
    ReadOnly,
    /// A timeout expired: that of a statement, of a lock, or of the wait for a pooled connection.
    Timeout,
    /// Any other error that the server or the driver reported.
    Database,
}

impl ErrorKind {
    /// Returns `true` if the same call can succeed when it is retried a little later, with nothing changed.
    ///
    /// A failure of the connection is transient, but its outcome may be in doubt: the server may have
    /// committed the work and lost the connection before it could report that.
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Conflict | Self::Connection | Self::ReadOnly | Self::Timeout)
    }

    /// The text of an error of this kind, with advice where there is some.
    /// The name of the kind for logs and metrics, such as `queue_not_found`. It does not change.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArgument => "invalid_argument",
            Self::QueueNotFound => "queue_not_found",
            Self::NotInstalled => "not_installed",
            Self::Unsupported => "unsupported",
            Self::Encode => "encode",
            Self::Decode => "decode",
            Self::PermissionDenied => "permission_denied",
            Self::Conflict => "conflict",
            Self::AlreadyGone => "already_gone",
            Self::Connection => "connection",
            Self::DatabaseNotFound => "database_not_found",
            Self::ReadOnly => "read_only",
            Self::Timeout => "timeout",
            Self::Database => "database",
        }
    }

    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::InvalidArgument => "an argument is invalid",
            Self::QueueNotFound => "the queue does not exist; create it with create_queue",
            Self::NotInstalled => {
                "PGMQ is not installed in this database; run CREATE EXTENSION pgmq, or PGMQ's SQL script, as a role with the \
                 privilege to do so"
            }
            Self::Unsupported => {
                "the server's PGMQ does not support this call; upgrade PGMQ, or install pg_partman if the queue is partitioned"
            }
            Self::Encode => "the value cannot be stored as jsonb",
            Self::Decode => "the server's result could not be decoded",
            Self::PermissionDenied => "the role lacks a privilege, or the server refused its login",
            Self::Conflict => {
                "another transaction or a change of PGMQ conflicts with this call; roll back and retry"
            }
            Self::AlreadyGone => "the message is gone, or another consumer has read it since; roll back",
            Self::Connection => "the connection to the server failed",
            Self::DatabaseNotFound => {
                "the database does not exist; create it, or correct its name in the connection settings"
            }
            Self::ReadOnly => {
                "the server is read-only; connect to the primary, or retry once it accepts writes again"
            }
            Self::Timeout => "a timeout expired",
            Self::Database => "the server or the driver reported an error",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.describe())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_that_can_pass_by_themselves_are_transient() {
        use ErrorKind as Kind;

        let transient = [Kind::Conflict, Kind::Connection, Kind::ReadOnly, Kind::Timeout];
        assert!(transient.into_iter().all(Kind::is_transient));
        let permanent = [
            Kind::InvalidArgument,
            Kind::AlreadyGone,
            Kind::PermissionDenied,
            Kind::Decode,
            Kind::DatabaseNotFound,
            Kind::Database,
        ];
        assert!(!permanent.into_iter().any(Kind::is_transient));
    }
}
