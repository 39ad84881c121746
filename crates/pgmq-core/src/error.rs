//! The client's own error, and the parts that the errors of all back ends have in common.

use std::fmt;
use std::time::Duration;

use crate::call::Context;
use crate::error_kind::ErrorKind;
use crate::message::Message;
use crate::raw_json::RawJson;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// The facts that the errors of all back ends report.
pub trait QueueError: std::error::Error + Send + Sync + 'static {
    /// The kind of the error.
    fn kind(&self) -> ErrorKind;

    /// The server's five-character SQLSTATE, if the server reported the error.
    fn sqlstate(&self) -> Option<&str>;

    /// Returns `true` if the same call can succeed when it is retried; see [`ErrorKind::is_transient`].
    ///
    /// Ask [`is_in_doubt`](Self::is_in_doubt) as well before you retry a call that must not have its effect
    /// twice.
    fn is_transient(&self) -> bool {
        self.kind().is_transient()
    }

    /// Returns `true` if the server may have done what the failed call asked for: the connection was lost
    /// after the request was sent, and before the server's answer arrived. A retry of a send can then store
    /// the message twice.
    ///
    /// Returns `false` if the client knows that nothing was committed: the request was never sent, or the
    /// server reported an error. An error of kind [`ErrorKind::Decode`] is not in doubt either: the server
    /// has done what was asked.
    ///
    /// Inside a transaction that is not committed yet, nothing is committed in either case. The error of an
    /// operation there may still be in doubt, because an operation does not know of the transaction around
    /// it.
    ///
    /// The default is `true` for all errors of kind [`ErrorKind::Connection`].
    fn is_in_doubt(&self) -> bool {
        self.kind() == ErrorKind::Connection
    }

    /// All messages of the failed call as raw JSON, if one of them did not decode; see [`Error::undecoded`].
    fn undecoded(&self) -> &[Message<RawJson>];
}

/// An error that the client detected, and neither the driver nor the server reported.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    text: String,
    context: Option<Context>,
    cause: Option<Cause>,
    undecoded: Vec<Message<RawJson>>,
}

impl Error {
    /// Creates an error. `text` is in lower case, has no full stop, and advises what to do.
    pub fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, text: text.into(), context: None, cause: None, undecoded: Vec::new() }))
    }

    /// Sets the cause, which is the [`source`](std::error::Error::source) and not part of the text.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Cause>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// Sets the call in which the error happened.
    #[must_use]
    pub fn during(mut self, context: Context) -> Self {
        self.0.context = Some(context);
        self
    }

    pub(crate) fn carrying(mut self, undecoded: Vec<Message<RawJson>>) -> Self {
        self.0.undecoded = undecoded;
        self
    }

    /// The kind of the error.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// All messages of the failed call as raw JSON, if one of them did not decode.
    ///
    /// Before a payload turns out not to fit, `read` has already hidden the messages of the call, and `pop`
    /// has deleted them. An error of kind [`ErrorKind::Decode`] therefore carries every one of them,
    /// including those that do fit: archive them, move them to a dead-letter queue, or decode them as another
    /// type. The list is empty for any other error.
    ///
    /// Fields that cannot be read, because the server's columns are not those of PGMQ, have the values of
    /// [`Message::new`], with 0 as the id. A payload that is not JSON becomes a JSON string.
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

    fn is_in_doubt(&self) -> bool {
        false
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

/// A driver's error, with the call in which it happened. The driver's error `E` is the
/// [`source`](std::error::Error::source).
///
/// The contents are boxed, so that a `Result` stays small when nothing fails.
pub struct Failure<E>(Box<FailureInner<E>>);

struct FailureInner<E> {
    kind: ErrorKind,
    context: Option<Context>,
    waited: Option<Duration>,
    is_in_doubt: bool,
    cause: E,
}

impl<E> Failure<E> {
    /// Creates a failure that belongs to no call in particular.
    pub fn new(kind: ErrorKind, cause: E) -> Self {
        Self(Box::new(FailureInner { kind, context: None, waited: None, is_in_doubt: false, cause }))
    }

    /// Sets the call in which the error happened.
    #[must_use]
    pub fn during(mut self, context: Context) -> Self {
        self.0.context = Some(context);
        self
    }

    /// Sets how long the call waited for a connection.
    #[must_use]
    pub fn after(mut self, waited: Duration) -> Self {
        self.0.waited = Some(waited);
        self
    }

    /// The kind of the error.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Sets whether the server may have done what the failed call asked for. The default is `false`.
    #[must_use]
    pub fn in_doubt(mut self, is_in_doubt: bool) -> Self {
        self.0.is_in_doubt = is_in_doubt;
        self
    }

    /// Returns `true` if the server may have done what the failed call asked for; see
    /// [`QueueError::is_in_doubt`].
    pub fn is_in_doubt(&self) -> bool {
        self.0.is_in_doubt
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
            (ErrorKind::Unsupported, Some(Context { call, .. }), _) if call.needs_partman => {
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
                    "no pooled connection was free within {waited:?}; raise pool_size, or hold connections for a shorter time"
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
            .field("is_in_doubt", &self.0.is_in_doubt)
            .field("cause", &self.0.cause)
            .finish()
    }
}

impl<E: std::error::Error + 'static> std::error::Error for Failure<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0.cause)
    }
}

/// The methods of [`QueueError`], as inherent methods of a back end's error, so that applications need not
/// import the trait. For back ends.
#[doc(hidden)]
#[macro_export]
macro_rules! error_methods {
    () => {
        /// The kind of the error.
        pub fn kind(&self) -> $crate::ErrorKind {
            $crate::QueueError::kind(self)
        }

        /// The server's five-character SQLSTATE, if the server reported the error and the driver passes it
        /// on.
        pub fn sqlstate(&self) -> Option<&str> {
            $crate::QueueError::sqlstate(self)
        }

        /// Returns `true` if the same call can succeed when it is retried a little later, with nothing
        /// changed.
        ///
        /// Ask [`is_in_doubt`](Self::is_in_doubt) as well before you retry a call that must not have its
        /// effect twice.
        pub fn is_transient(&self) -> bool {
            $crate::QueueError::is_transient(self)
        }

        /// Returns `true` if the server may have done what the failed call asked for: the connection was lost
        /// after the request was sent, and before the server's answer arrived. A retry of a send can then
        /// store the message twice.
        ///
        /// Returns `false` if the client knows that nothing was committed. Inside a transaction that is not
        /// committed yet, nothing is committed in either case.
        pub fn is_in_doubt(&self) -> bool {
            $crate::QueueError::is_in_doubt(self)
        }

        /// All messages of the failed call as raw JSON, if one of them did not decode: no message is lost.
        pub fn undecoded(&self) -> &[$crate::Message<$crate::RawJson>] {
            $crate::QueueError::undecoded(self)
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::{self, Action};

    #[test]
    fn the_text_of_a_failure_names_the_missing_function_and_not_the_cause() {
        let Action::Run(read) = statement::read_grouped::<()>("q", 1, 1).into_action() else {
            panic!("read_grouped runs a query")
        };
        let failure =
            Failure::new(ErrorKind::Unsupported, std::io::Error::other("the cause")).during(read.context());
        let text = "read_grouped on queue \"q\": the server's PGMQ has no pgmq.read_grouped that can do this; it came with \
                    PGMQ 1.9.0";
        assert_eq!(failure.to_string(), text);
        assert_eq!(std::error::Error::source(&failure).unwrap().to_string(), "the cause");
        let Action::Run(create) = statement::create_partitioned_queue("q").into_action() else {
            panic!("create_partitioned_queue runs a query")
        };
        let failure =
            Failure::new(ErrorKind::Unsupported, std::io::Error::other("the cause")).during(create.context());
        assert!(
            failure.to_string().ends_with("pgmq.create_partitioned needs the extension pg_partman"),
            "{failure}"
        );
    }
}
