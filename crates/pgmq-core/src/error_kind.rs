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
    /// No connection to the server could be made, or the connection was lost. An operation that was in flight
    /// is in doubt: the server may or may not have done it.
    Connection,
    /// A timeout expired: that of a statement, of a lock, or of the wait for a pooled connection.
    Timeout,
    /// Any other error that the server or the driver reported.
    Database,
}

impl ErrorKind {
    /// Returns the kind of a server's error report, by its SQLSTATE, and by the names in its message where
    /// the SQLSTATE is not enough. Only names count, because servers translate the rest of a message.
    pub fn of_report(sqlstate: &str, message: &str) -> Self {
        match sqlstate {
            "42P01" if message.contains("pgmq.q_") || message.contains("pgmq.a_") => Self::QueueNotFound,
            "42P01" if message.contains("pgmq.meta") => Self::NotInstalled,
            "42P01" if message.contains("pgmq.") => Self::Unsupported,
            "3F000" => Self::NotInstalled,
            "42883" if message.contains("pgmq.") => Self::Unsupported,
            // PGMQ formats the schema of `pg_partman` into SQL, and without `pg_partman` that schema is NULL.
            "22004" => Self::Unsupported,
            "42501" | "28000" | "28P01" => Self::PermissionDenied,
            "40001" | "40P01" => Self::Conflict,
            // The columns that a prepared statement returns have changed, for example by an upgrade of PGMQ.
            "0A000" if message.contains("cached plan") => Self::Conflict,
            // The server has forgotten a prepared statement, for example after `DISCARD ALL`.
            "26000" => Self::Conflict,
            "55P03" | "57014" | "25P03" => Self::Timeout,
            "53300" | "57P01" | "57P02" | "57P03" | "57P04" | "57P05" | "3D000" => Self::Connection,
            "22P02" | "22P05" | "22032" | "22003" | "22008" | "22021" => Self::InvalidArgument,
            // The JSON is nested too deeply for the server's stack, or is longer than `jsonb` can be.
            "54000" | "54001" => Self::InvalidArgument,
            // A statement that reads or writes a table directly names a column of a later PGMQ.
            "42703" if message.contains("\"headers\"") => Self::Unsupported,
            // PGMQ raises its own exceptions in English, whatever the server's language.
            "P0001" if message.starts_with("pg_partman") => Self::Unsupported,
            "P0001" if message.starts_with("Queue \"") && message.contains("does not exist") => {
                Self::QueueNotFound
            }
            "P0001"
                if ["queue name", "routing_key", "pattern", "premake"]
                    .iter()
                    .any(|begin| message.starts_with(begin)) =>
            {
                Self::InvalidArgument
            }
            _ if sqlstate.starts_with("08") => Self::Connection,
            _ => Self::Database,
        }
    }

    /// Returns `true` if the same call can succeed when it is retried a little later, with nothing changed.
    ///
    /// A failure of the connection is transient, but its outcome may be in doubt: the server may have
    /// committed the work and lost the connection before it could report that.
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Conflict | Self::Connection | Self::Timeout)
    }

    /// The text of an error of this kind, with advice where there is some.
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
            Self::Connection => "the connection to the server failed",
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
    fn reports_are_classified_by_sqlstate_and_by_names() {
        use ErrorKind as Kind;

        for (sqlstate, message, kind) in [
            ("42P01", "relation \"pgmq.q_x\" does not exist", Kind::QueueNotFound),
            ("42P01", "Relation »pgmq.a_x« existiert nicht", Kind::QueueNotFound),
            ("42P01", "relation \"pgmq.meta\" does not exist", Kind::NotInstalled),
            ("42P01", "relation \"pgmq.topic_bindings\" does not exist", Kind::Unsupported),
            ("42P01", "relation \"orders\" does not exist", Kind::Database),
            ("3F000", "schema \"pgmq\" does not exist", Kind::NotInstalled),
            ("42883", "function pgmq.read_grouped(...) does not exist", Kind::Unsupported),
            ("42883", "function lower(integer) does not exist", Kind::Database),
            ("P0001", "Queue \"x\" does not exist. Create it first using pgmq.create()", Kind::QueueNotFound),
            ("P0001", "routing_key cannot start with a dot", Kind::InvalidArgument),
            ("P0001", "pg_partman is required for partitioned queues", Kind::Unsupported),
            ("P0001", "raised by the user's own trigger", Kind::Database),
            ("28P01", "password authentication failed", Kind::PermissionDenied),
            ("40P01", "deadlock detected", Kind::Conflict),
            ("0A000", "cached plan must not change result type", Kind::Conflict),
            ("0A000", "cannot insert multiple commands into a prepared statement", Kind::Database),
            ("26000", "prepared statement \"s1\" does not exist", Kind::Conflict),
            ("57014", "canceling statement due to statement timeout", Kind::Timeout),
            ("57P01", "terminating connection due to administrator command", Kind::Connection),
            ("08006", "connection failure", Kind::Connection),
            ("54001", "stack depth limit exceeded", Kind::InvalidArgument),
            ("23505", "duplicate key", Kind::Database),
        ] {
            assert_eq!(Kind::of_report(sqlstate, message), kind, "{sqlstate} {message}");
        }
    }

    #[test]
    fn only_errors_that_can_pass_by_themselves_are_transient() {
        let transient = [ErrorKind::Conflict, ErrorKind::Connection, ErrorKind::Timeout];
        assert!(transient.into_iter().all(ErrorKind::is_transient));
        let permanent =
            [ErrorKind::InvalidArgument, ErrorKind::PermissionDenied, ErrorKind::Decode, ErrorKind::Database];
        assert!(!permanent.into_iter().any(ErrorKind::is_transient));
    }
}
