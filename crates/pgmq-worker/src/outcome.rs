//! The outcomes of messages that a handler has seen.

use std::time::Duration;

use pgmq_core::{RawJson, SendOptions};
use serde::Serialize;

use crate::failure::Failure;
use crate::finished::Finished;

/// The outcome of a message: what is to become of it.
///
/// A handler returns whatever [converts](IntoOutcome) to it: nothing at all, an outcome, or a result with an
/// error of any type.
///
/// ```
/// use std::time::Duration;
///
/// use pgmq_worker::Outcome;
///
/// fn ship(is_paid: bool) -> Result<Outcome, std::io::Error> {
///     if !is_paid {
///         return Ok(Outcome::snooze(Duration::from_secs(600)));
///     }
///     Ok(Outcome::forward("invoices", &7))
/// }
/// # assert!(matches!(ship(false), Ok(Outcome::Snooze { .. })));
/// # assert!(matches!(ship(true), Ok(Outcome::Forward { .. })));
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// Delete the message: the work is done.
    Done,
    /// Move the message to the archive of its queue.
    Archive,
    /// Try again. At the limit of reads, the message is moved to the dead-letter queue.
    Retry {
        /// The time until then; `None` lets the [policy](crate::RetryPolicy) decide. The server rounds it up
        /// to whole seconds.
        after: Option<Duration>,
        /// The reason, for the log and for the dead letter.
        why: Failure,
    },
    /// Come back to the message later. That is no failure, and it does not lead to the dead-letter queue.
    Snooze {
        /// The time until then, which the server rounds up to whole seconds.
        after: Duration,
    },
    /// Move the message to the dead-letter queue, whatever number of reads is left.
    DeadLetter {
        /// The reason, for the log and for the dead letter.
        why: Failure,
    },
    /// Delete the message, although the work is not done.
    Discard {
        /// The reason, for the log.
        why: Failure,
    },
    /// Delete the message and send another one, in one statement: the next step of a chain.
    Forward {
        /// The queue of the next step.
        to: String,
        /// The message of the next step.
        message: RawJson,
        /// Its delay and headers.
        options: SendOptions,
    },
    /// Nothing: the handler has finished the message in a transaction of its own.
    Finished(Finished),
}

impl Outcome {
    /// Tries again at the time that the policy decides on.
    pub fn retry() -> Self {
        Self::Retry { after: None, why: Failure::from("the handler asked for a retry") }
    }

    /// Tries again after this time.
    pub fn retry_after(after: Duration) -> Self {
        Self::Retry { after: Some(after), why: Failure::from("the handler asked for a retry") }
    }

    /// Comes back to the message after this time.
    pub fn snooze(after: Duration) -> Self {
        Self::Snooze { after }
    }

    /// Moves the message to the dead-letter queue for this reason, which is a text or an error.
    pub fn dead_letter(why: impl Into<Failure>) -> Self {
        Self::DeadLetter { why: why.into() }
    }

    /// Deletes the message, although the work is not done, for this reason, which is a text or an error.
    pub fn discard(why: impl Into<Failure>) -> Self {
        Self::Discard { why: why.into() }
    }

    /// Deletes the message, and sends another one to the queue `to`.
    ///
    /// A message that cannot be written as JSON makes it [`DeadLetter`](Self::DeadLetter).
    pub fn forward<T: Serialize + ?Sized>(to: impl Into<String>, message: &T) -> Self {
        Self::forward_with(to, message, SendOptions::new())
    }

    /// Deletes the message, and sends another one to the queue `to` with these options.
    ///
    /// A message that cannot be written as JSON makes it [`DeadLetter`](Self::DeadLetter).
    pub fn forward_with<T: Serialize + ?Sized>(
        to: impl Into<String>,
        message: &T,
        options: SendOptions,
    ) -> Self {
        match RawJson::new(message) {
            Ok(message) => Self::Forward { to: to.into(), message, options },
            Err(error) => Self::dead_letter(error),
        }
    }

    /// The failure, if the outcome has one.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Retry { why, .. } | Self::DeadLetter { why } | Self::Discard { why } => Some(why),
            Self::Done | Self::Archive | Self::Snooze { .. } | Self::Forward { .. } | Self::Finished(_) => {
                None
            }
        }
    }
}

impl From<Failure> for Outcome {
    /// A permanent failure is a dead letter, and any other is retried.
    fn from(why: Failure) -> Self {
        match why.is_permanent() {
            true => Self::DeadLetter { why },
            false => Self::Retry { after: why.retry_after(), why },
        }
    }
}

/// A value that a handler can return.
///
/// An error of any type that converts to a [`Failure`] is retried, unless it says that it is permanent.
///
/// ```
/// use pgmq_worker::{Failure, IntoOutcome, Outcome};
///
/// assert_eq!(().into_outcome(), Outcome::Done);
/// assert_eq!(Ok::<_, String>(Outcome::Archive).into_outcome(), Outcome::Archive);
/// let failed = Err::<(), _>(std::io::Error::other("no disk")).into_outcome();
/// assert_eq!(failed, Outcome::Retry { after: None, why: Failure::from("no disk") });
/// ```
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    label = "not an outcome",
    note = "return `()`, `Outcome`, `Finished`, or a `Result` of these whose error converts to a `Failure`"
)]
pub trait IntoOutcome {
    /// Converts the value.
    fn into_outcome(self) -> Outcome;
}

impl IntoOutcome for () {
    fn into_outcome(self) -> Outcome {
        Outcome::Done
    }
}

impl IntoOutcome for Outcome {
    fn into_outcome(self) -> Outcome {
        self
    }
}

impl IntoOutcome for Finished {
    fn into_outcome(self) -> Outcome {
        Outcome::Finished(self)
    }
}

impl<T: IntoOutcome, E: Into<Failure>> IntoOutcome for Result<T, E> {
    fn into_outcome(self) -> Outcome {
        self.map_or_else(|error| error.into().into(), T::into_outcome)
    }
}
