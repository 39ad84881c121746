//! The reason for which a message was not handled.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The failure of a handler: an error of any type, and what it means for the message.
///
/// `?` converts every error to a `Failure`: types that implement [`Error`], `anyhow::Error`,
/// `Box<dyn Error + Send + Sync>`, `String` and `&str`. A failure is retried by the
/// [policy](crate::RetryPolicy) of the queue, unless it says more.
///
/// Like `anyhow::Error`, a `Failure` does not implement [`Error`] itself, because it could not be made of
/// every error otherwise. Where a function has an error type of its own, return that type, and let a
/// [`Retry`](crate::Retry) [classify](crate::Retry::classify) it.
///
/// ```
/// use std::time::Duration;
///
/// use pgmq_worker::Failure;
///
/// fn charge(card: &str) -> Result<(), Failure> {
///     let number: u64 = card.parse().map_err(|error| Failure::from(error).permanent())?;
///     if number == 0 {
///         return Err(Failure::from("the provider is busy").after(Duration::from_secs(60)));
///     }
///     std::fs::write("/no/such/folder/receipt", card)?;
///     Ok(())
/// }
///
/// assert!(charge("no number").unwrap_err().is_permanent());
/// assert_eq!(charge("0").unwrap_err().retry_after(), Some(Duration::from_secs(60)));
/// assert!(!charge("7").unwrap_err().is_permanent());
/// ```
#[derive(Clone)]
pub struct Failure {
    error: Arc<dyn Error + Send + Sync>,
    class: Option<Class>,
    reason: Option<Reason>,
}

/// The meaning of an error for the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Class {
    /// The next attempt may succeed. The retry policy decides when it is.
    Transient,
    /// The next attempt may succeed after this time.
    After(Duration),
    /// No attempt can succeed, so the message is moved to the dead-letter queue.
    Permanent,
}

/// The reason for which a message is in a dead-letter queue: the header `x-dlq-reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The handler has failed at the last read that the message has.
    Exhausted,
    /// The failure is permanent, or the handler has asked for it.
    Permanent,
    /// The payload does not have the shape of the handler's type.
    Decode,
    /// The router has no handler for the type of the message.
    UnknownType,
    /// The handler has panicked at the last read that the message has.
    Panic,
    /// The handler has run for longer than its timeout at the last read that the message has.
    Timeout,
}

impl Reason {
    /// The value of the header: the name in lower case with hyphens.
    ///
    /// ```
    /// assert_eq!(pgmq_worker::Reason::UnknownType.as_str(), "unknown-type");
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exhausted => "exhausted",
            Self::Permanent => "permanent",
            Self::Decode => "decode",
            Self::UnknownType => "unknown-type",
            Self::Panic => "panic",
            Self::Timeout => "timeout",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Failure {
    /// Marks the failure as one that no attempt can mend: the message is moved to the dead-letter queue.
    #[must_use]
    pub fn permanent(self) -> Self {
        self.classified(Class::Permanent)
    }

    /// Sets the time until the next attempt, in place of that of the policy. The server rounds it up to
    /// whole seconds.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        self.classified(Class::After(time))
    }

    /// Returns `true` if no attempt can succeed.
    pub fn is_permanent(&self) -> bool {
        self.class == Some(Class::Permanent)
    }

    /// The time until the next attempt, if the failure says so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.class {
            Some(Class::After(time)) => Some(time),
            _ => None,
        }
    }

    /// The meaning of the failure for the message; `None` if it does not say so.
    pub fn class(&self) -> Option<Class> {
        self.class
    }

    /// The reason that a dead letter gets; `None` if it is that of any failure.
    pub fn reason(&self) -> Option<Reason> {
        self.reason
    }

    /// The error.
    pub fn error(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.error
    }

    /// The error and its sources, from the outside to the inside.
    pub fn chain(&self) -> impl Iterator<Item = &(dyn Error + 'static)> {
        let outermost: &(dyn Error + 'static) = &*self.error;
        std::iter::successors(Some(outermost), |&error| error.source())
    }

    pub(crate) fn because(mut self, reason: Reason) -> Self {
        self.reason = Some(reason);
        self
    }

    fn classified(mut self, class: Class) -> Self {
        self.class = Some(class);
        self
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { error: error.into().into(), class: None, reason: None }
    }
}

impl fmt::Display for Failure {
    /// The text of the error and of its sources, with `: ` between them.
    ///
    /// A source whose text is at the end of the text before it, as some errors repeat it, is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = self.error.to_string();
        f.write_str(&last)?;
        for source in self.chain().skip(1) {
            let text = source.to_string();
            if !last.ends_with(&text) {
                write!(f, ": {text}")?;
            }
            last = text;
        }
        Ok(())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failure")
            .field("error", &self.error)
            .field("class", &self.class)
            .field("reason", &self.reason)
            .finish()
    }
}

impl PartialEq for Failure {
    /// Compares the texts and what they mean, as errors themselves cannot be compared. For tests.
    fn eq(&self, other: &Self) -> bool {
        (self.class, self.reason) == (other.class, other.reason) && self.to_string() == other.to_string()
    }
}

/// An error type that knows what its values mean for the message.
///
/// [`Retry::classify`](crate::Retry::classify) makes a policy look for errors of the type, also among the
/// sources of other errors. The type of the handler's error can thus stay as it is.
///
/// ```
/// use pgmq_worker::{Class, Classify, Retry};
///
/// #[derive(Debug, thiserror::Error)]
/// enum MailError {
///     #[error("the address does not exist")]
///     NoSuchAddress,
///     #[error("the server is busy")]
///     Busy,
/// }
///
/// impl Classify for MailError {
///     fn classify(&self) -> Class {
///         match self {
///             Self::NoSuchAddress => Class::Permanent,
///             Self::Busy => Class::Transient,
///         }
///     }
/// }
///
/// let policy = Retry::default().classify::<MailError>();
/// # let _ = policy;
/// ```
pub trait Classify: Error + 'static {
    /// The meaning of the error for the message.
    fn classify(&self) -> Class;
}

/// Methods of results, which say what an error means for the message.
///
/// ```
/// use pgmq_worker::{Failure, FailureExt};
///
/// fn number(text: &str) -> Result<u64, Failure> {
///     text.parse().or_permanent()
/// }
///
/// assert!(number("seven").unwrap_err().is_permanent());
/// ```
pub trait FailureExt<T> {
    /// Makes an error a [permanent](Failure::permanent) failure.
    ///
    /// # Errors
    ///
    /// The failure, if the result is an error.
    fn or_permanent(self) -> Result<T, Failure>;

    /// Makes an error a failure that is retried [after](Failure::after) a time.
    ///
    /// # Errors
    ///
    /// The failure, if the result is an error.
    fn or_retry_after(self, time: Duration) -> Result<T, Failure>;
}

impl<T, E: Into<Failure>> FailureExt<T> for Result<T, E> {
    fn or_permanent(self) -> Result<T, Failure> {
        self.map_err(|error| error.into().permanent())
    }

    fn or_retry_after(self, time: Duration) -> Result<T, Failure> {
        self.map_err(|error| error.into().after(time))
    }
}

/// The text of a panic's payload.
pub(crate) fn panic_text(payload: &(dyn std::any::Any + Send)) -> Cow<'static, str> {
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        Cow::Borrowed(text)
    } else if let Some(text) = payload.downcast_ref::<String>() {
        Cow::Owned(text.clone())
    } else {
        Cow::Borrowed("the panic has no text")
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot send")]
    struct Outer(#[source] io::Error);

    #[derive(Debug, thiserror::Error)]
    #[error("cannot send: {0}")]
    struct Repeating(#[source] io::Error);

    #[test]
    fn the_question_mark_takes_errors_of_every_sort() {
        fn io() -> Result<(), Failure> {
            Err(io::Error::other("io"))?;
            Ok(())
        }
        fn anyhow() -> Result<(), Failure> {
            Err(anyhow::anyhow!("inner").context("outer"))?;
            Ok(())
        }
        fn boxed() -> Result<(), Failure> {
            Err(Box::<dyn Error + Send + Sync>::from("boxed"))?;
            Ok(())
        }
        fn string() -> Result<(), Failure> {
            Err(String::from("string"))?;
            Ok(())
        }
        fn str() -> Result<(), Failure> {
            Err("str")?;
            Ok(())
        }
        let texts = [io, anyhow, boxed, string, str].map(|run| run().unwrap_err().to_string());
        assert_eq!(texts, ["io", "outer: inner", "boxed", "string", "str"]);
    }

    #[test]
    fn the_text_has_the_sources_once() {
        assert_eq!(Failure::from(Outer(io::Error::other("refused"))).to_string(), "cannot send: refused");
        assert_eq!(Failure::from(Repeating(io::Error::other("refused"))).to_string(), "cannot send: refused");
    }

    #[test]
    fn an_error_that_is_not_of_std_converts_by_an_implementation_of_its_own() {
        struct Refused;
        impl From<Refused> for Failure {
            fn from(_: Refused) -> Self {
                Self::from("refused").permanent()
            }
        }
        fn refuse() -> Result<(), Failure> {
            Err(Refused)?;
            Ok(())
        }
        assert!(refuse().unwrap_err().is_permanent());
    }

    #[test]
    fn the_last_word_on_a_failure_counts() {
        let failure = Failure::from("no").after(Duration::from_secs(5)).permanent();
        assert_eq!((failure.is_permanent(), failure.retry_after()), (true, None));
        let failure = failure.after(Duration::from_secs(5));
        assert_eq!((failure.is_permanent(), failure.retry_after()), (false, Some(Duration::from_secs(5))));
    }
}
