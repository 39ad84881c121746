//! What can go wrong, told in one vocabulary by every back end.

use std::fmt;
use std::time::Duration;

use crate::{Call, Message, RawJson};

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What kind of thing went wrong. Each back end's error says its kind, so that code over several drivers can decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An argument cannot be taken: a bad queue name, a negative time, headers that do not match the batch.
    /// Nothing was sent, unless only the server could tell.
    InvalidArgument,
    /// The queue does not exist.
    QueueNotFound,
    /// PGMQ is not installed in this database.
    NotInstalled,
    /// The server's version of PGMQ lacks what was asked for.
    Unsupported,
    /// A message or header could not be written as JSON that `jsonb` can hold. Nothing was sent.
    Encode,
    /// What the server returned could not be read into the type asked for. Messages are not lost:
    /// see [`Error::undecoded`].
    Decode,
    /// The role may not do this, or was refused when it connected.
    PermissionDenied,
    /// Another transaction was in the way: a deadlock, a serialisation failure, or an upgrade that made a prepared statement
    /// stale; or the server has forgotten that statement. Roll back and try again.
    Conflict,
    /// There is no connection to the server, or it was lost.
    Connection,
    /// Something took too long: a statement, a lock, or the wait for a pooled connection.
    Timeout,
    /// Any other error that the server reported.
    Database,
}

impl ErrorKind {
    /// The kind that a server's error report is, by its SQLSTATE, and by the names in its message where the SQLSTATE
    /// alone does not tell. Only names are looked for, since messages are translated.
    pub fn of_report(sqlstate: &str, message: &str) -> Self {
        match sqlstate {
            "42P01" if message.contains("pgmq.q_") || message.contains("pgmq.a_") => Self::QueueNotFound,
            "42P01" if message.contains("pgmq.meta") => Self::NotInstalled,
            "42P01" if message.contains("pgmq.") => Self::Unsupported,
            "3F000" => Self::NotInstalled,
            "42883" if message.contains("pgmq.") => Self::Unsupported,
            // PGMQ puts the schema of `pg_partman` into SQL; where that is not installed, it is NULL.
            "22004" => Self::Unsupported,
            "42501" | "28000" | "28P01" => Self::PermissionDenied,
            "40001" | "40P01" => Self::Conflict,
            // What a prepared statement returns was changed meanwhile, such as by an upgrade of PGMQ.
            "0A000" if message.contains("cached plan") => Self::Conflict,
            // The server has forgotten a prepared statement, by `DISCARD ALL` say.
            "26000" => Self::Conflict,
            "55P03" | "57014" | "25P03" => Self::Timeout,
            "53300" | "57P01" | "57P02" | "57P03" | "57P04" | "57P05" | "3D000" => Self::Connection,
            "22P02" | "22P05" | "22032" | "22003" | "22008" | "22021" => Self::InvalidArgument,
            // Nested too deeply for the server's stack, or longer than `jsonb` can be.
            "54000" | "54001" => Self::InvalidArgument,
            // A column that came with a later PGMQ, where a table is read or written directly.
            "42703" if message.contains("\"headers\"") => Self::Unsupported,
            // PGMQ's own exceptions are raised in English, whatever the server's language.
            "P0001" if message.starts_with("pg_partman") => Self::Unsupported,
            "P0001" if message.starts_with("Queue \"") && message.contains("does not exist") => {
                Self::QueueNotFound
            }
            "P0001"
                if ["queue name", "routing_key", "pattern", "premake"]
                    .iter()
                    .any(|what| message.starts_with(what)) =>
            {
                Self::InvalidArgument
            }
            _ if sqlstate.starts_with("08") => Self::Connection,
            _ => Self::Database,
        }
    }

    /// Whether the same call can work when it is tried again, a little later, with nothing changed.
    ///
    /// A failure of the connection is transient, but may be in doubt: the server may have done the work and not been able
    /// to say so.
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Conflict | Self::Connection | Self::Timeout)
    }

    /// What it is, and what to do about it.
    fn describe(self) -> &'static str {
        match self {
            Self::InvalidArgument => "an argument was refused",
            Self::QueueNotFound => "the queue does not exist; make it with create_queue",
            Self::NotInstalled => {
                "PGMQ is not installed in this database; run CREATE EXTENSION pgmq, or its SQL script, as a role that may"
            }
            Self::Unsupported => "the server's version of PGMQ has no such function",
            Self::Encode => "the value cannot be stored as jsonb",
            Self::Decode => "what the server returned could not be decoded",
            Self::PermissionDenied => "the server refused this to the role",
            Self::Conflict => {
                "another transaction, or a change of PGMQ, was in the way; roll back and try again"
            }
            Self::Connection => "the connection to the server failed",
            Self::Timeout => "it took too long",
            Self::Database => "the server or the driver reported an error",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.describe())
    }
}

/// What every back end's error can say about itself.
pub trait QueueError: std::error::Error + Send + Sync + 'static {
    /// What kind of thing went wrong.
    fn kind(&self) -> ErrorKind;

    /// The server's five-character code, where the server reported an error.
    fn sqlstate(&self) -> Option<&str>;

    /// Whether the same call can work when it is tried again; see [`ErrorKind::is_transient`].
    fn is_transient(&self) -> bool {
        // The server's refusals at connection time stay refusals: a missing database (3D000) does not come by waiting.
        self.kind().is_transient() && self.sqlstate() != Some("3D000")
    }

    /// The messages that the failed call had read but could not decode; see [`Error::undecoded`].
    fn undecoded(&self) -> &[Message<RawJson>];
}

/// An error found by the client itself, without a driver's or the server's doing.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    text: String,
    context: Option<Context>,
    cause: Option<Cause>,
    undecoded: Vec<Message<RawJson>>,
}

impl Error {
    /// An error of this kind; `text` is lower case and says what to do.
    pub fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, text: text.into(), context: None, cause: None, undecoded: Vec::new() }))
    }

    /// Keeps the cause, which becomes [`source`](std::error::Error::source) and is not part of the text.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Cause>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// Says in which call it happened.
    #[must_use]
    pub fn during(mut self, context: Context) -> Self {
        self.0.context = Some(context);
        self
    }

    pub(crate) fn carrying(mut self, undecoded: Vec<Message<RawJson>>) -> Self {
        self.0.undecoded = undecoded;
        self
    }

    /// What kind of thing went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The messages of a call that could not be decoded, all of them, as the server sent them.
    ///
    /// By the time that a payload turns out not to fit, `read` has hidden its messages and `pop` has removed them. So the
    /// error of [`ErrorKind::Decode`] carries every message of that call, those that did fit included: archive them, put
    /// them elsewhere, or decode them as another type. Empty for any other error.
    ///
    /// What cannot be read, because the server's columns are not PGMQ's, is as in [`Message::new`], and the id is 0. A payload
    /// that is no JSON is a JSON string.
    pub fn undecoded(&self) -> &[Message<RawJson>] {
        &self.0.undecoded
    }

    /// Like [`undecoded`](Self::undecoded), by value.
    pub fn into_undecoded(self) -> Vec<Message<RawJson>> {
        self.0.undecoded
    }
}

impl QueueError for Error {
    fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    fn sqlstate(&self) -> Option<&str> {
        None
    }

    fn undecoded(&self) -> &[Message<RawJson>] {
        self.undecoded()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(context) = &self.0.context {
            write!(f, "{context}: ")?;
        }
        f.write_str(&self.0.text)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("text", &self.to_string())
            .field("cause", &self.0.cause)
            .field("undecoded", &self.0.undecoded.len())
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.cause.as_deref().map(|cause| cause as _)
    }
}

/// The call in which an error happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// The operation, and the PGMQ function that it calls.
    pub call: Call,
    /// The queue that it was about, if it was about one.
    pub queue: Option<Box<str>>,
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.call.operation)?;
        match &self.queue {
            Some(queue) => write!(f, " on queue {queue:?}"),
            None => Ok(()),
        }
    }
}

/// A driver's error, with the call in which it happened. `E` is [`source`](std::error::Error::source).
///
/// Boxed, so that a `Result` stays small on the way on which nothing fails.
pub struct Failure<E>(Box<FailureInner<E>>);

struct FailureInner<E> {
    kind: ErrorKind,
    context: Option<Context>,
    waited: Option<Duration>,
    cause: E,
}

impl<E> Failure<E> {
    /// The failure of no call in particular.
    pub fn new(kind: ErrorKind, cause: E) -> Self {
        Self(Box::new(FailureInner { kind, context: None, waited: None, cause }))
    }

    /// Says in which call it happened.
    #[must_use]
    pub fn during(mut self, context: Context) -> Self {
        self.0.context = Some(context);
        self
    }

    /// Says how long a connection was waited for.
    #[must_use]
    pub fn after(mut self, waited: Duration) -> Self {
        self.0.waited = Some(waited);
        self
    }

    /// What kind of thing went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The driver's own error.
    pub fn cause(&self) -> &E {
        &self.0.cause
    }

    /// Like [`cause`](Self::cause), by value.
    pub fn into_cause(self) -> E {
        self.0.cause
    }
}

impl<E> fmt::Display for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FailureInner { kind, context, waited, .. } = &*self.0;
        if let Some(context) = context {
            write!(f, "{context}: ")?;
        }
        match (*kind, context, *waited) {
            (ErrorKind::Unsupported, Some(Context { call, .. }), _) if call.needs_partman() => {
                write!(f, "the server cannot do this; {} needs the extension pg_partman", call.function)?;
                call.since.map_or(Ok(()), |since| write!(f, ", and it came with PGMQ {since}"))
            }
            (ErrorKind::Unsupported, Some(Context { call, .. }), _) => {
                write!(f, "the server's PGMQ has no {} that can do this", call.function)?;
                call.since.map_or(Ok(()), |since| write!(f, "; it came with PGMQ {since}"))
            }
            (ErrorKind::Timeout, _, Some(waited)) => {
                write!(
                    f,
                    "no pooled connection was free within {waited:?}; raise pool_size, or hold sessions for less long"
                )
            }
            (ErrorKind::Connection, _, Some(waited)) => {
                write!(f, "no connection to the server could be made within {waited:?}")
            }
            (kind, ..) => f.write_str(kind.describe()),
        }
    }
}

impl<E: fmt::Debug> fmt::Debug for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failure")
            .field("kind", &self.0.kind)
            .field("text", &self.to_string())
            .field("cause", &self.0.cause)
            .finish()
    }
}

impl<E: std::error::Error + 'static> std::error::Error for Failure<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0.cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Plan, statement};

    #[test]
    fn reports_are_told_apart_by_sqlstate_and_by_names() {
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
            ("P0001", "raised by a trigger of your own", Kind::Database),
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
    fn only_what_can_pass_by_itself_is_transient() {
        let transient = [ErrorKind::Conflict, ErrorKind::Connection, ErrorKind::Timeout];
        assert!(transient.into_iter().all(ErrorKind::is_transient));
        let lasting =
            [ErrorKind::InvalidArgument, ErrorKind::PermissionDenied, ErrorKind::Decode, ErrorKind::Database];
        assert!(!lasting.into_iter().any(ErrorKind::is_transient));
    }

    #[test]
    fn the_text_of_a_failure_says_what_is_missing_and_not_the_cause() {
        let Plan::Query(read) = statement::read_grouped::<()>("q", 1, 1).plan() else {
            panic!("it asks the server")
        };
        let failure =
            Failure::new(ErrorKind::Unsupported, std::io::Error::other("the cause")).during(read.context());
        let text = "read_grouped on queue \"q\": the server's PGMQ has no pgmq.read_grouped that can do this; it came with \
                    PGMQ 1.9.0";
        assert_eq!(failure.to_string(), text);
        assert_eq!(std::error::Error::source(&failure).unwrap().to_string(), "the cause");
        let Plan::Query(create) = statement::create_partitioned_queue("q").plan() else {
            panic!("it asks the server")
        };
        let failure =
            Failure::new(ErrorKind::Unsupported, std::io::Error::other("the cause")).during(create.context());
        assert!(
            failure.to_string().ends_with("pgmq.create_partitioned needs the extension pg_partman"),
            "{failure}"
        );
    }
}
