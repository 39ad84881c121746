//! A message that is being handled, apart from the type of its payload.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use pgmq_core::{Claim, Message, RawJson};

use crate::cancel::{Cancellation, Cancelled};
use crate::headers::Headers;
use crate::machine::command::CancelReason;
use crate::shell::clock::Clock;
use crate::state::State;

/// The header that counts the attempts of a message before it was sent again.
pub(crate) const ATTEMPTS: &str = "x-attempts";

/// The things that all messages of a queue have in common.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// The name of the queue.
    pub(crate) queue: Arc<str>,
    /// The name of its dead-letter queue.
    pub(crate) dead_letter_queue: Arc<str>,
    /// The name of the worker, for dead letters.
    pub(crate) worker: Arc<str>,
    /// The values that the handlers share.
    pub(crate) state: Arc<State>,
    /// The clock of the worker.
    pub(crate) clock: Clock,
}

/// A message that is being handled, apart from the type of its payload: the view that layers have of a job.
pub struct Meta {
    source: Arc<Source>,
    message: Message<RawJson>,
    headers: OnceLock<Headers>,
    kind: OnceLock<Option<String>>,
    cancellation: Arc<Cancellation>,
    /// The time at which the lease ends.
    expires: Mutex<Instant>,
    /// The time at which the handler began to finish the message in a transaction of its own.
    finishing: Mutex<Option<Instant>>,
}

impl Meta {
    /// Creates the job of a message that was read. The shell keeps it as long as it keeps the message.
    pub(crate) fn new(source: Arc<Source>, message: Message<RawJson>, expires: Instant) -> Self {
        Self {
            source,
            message,
            headers: OnceLock::new(),
            kind: OnceLock::new(),
            cancellation: Arc::default(),
            expires: Mutex::new(expires),
            finishing: Mutex::default(),
        }
    }

    /// Records that the handler finishes the message in a transaction of its own.
    pub(crate) fn begin_finishing(&self) {
        *self.finishing.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.source.clock.now());
    }

    /// Returns `true` if the handler has begun to finish the message a short while ago. Its transaction then
    /// locks the message, which hides it from all readers, and an extension would wait for the lock.
    ///
    /// After three visibility timeouts, the transaction is more likely to have been rolled back.
    pub(crate) fn is_finishing(&self, vt: Duration) -> bool {
        let finishing = *self.finishing.lock().unwrap_or_else(PoisonError::into_inner);
        finishing.is_some_and(|begun| {
            self.source.clock.now().saturating_duration_since(begun) < vt.saturating_mul(3)
        })
    }

    /// Cancels the job.
    pub(crate) fn cancel(&self, why: CancelReason) {
        self.cancellation.cancel(why);
    }

    /// Sets the time at which the lease ends, after it was extended.
    pub(crate) fn set_expires(&self, expires: Instant) {
        *self.expires.lock().unwrap_or_else(PoisonError::into_inner) = expires;
    }

    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    pub(crate) fn cancellation(&self) -> &Cancellation {
        &self.cancellation
    }

    /// The type of the message by which its router chooses the handler, which is found out once.
    pub(crate) fn kind_or(&self, find: impl FnOnce() -> Option<String>) -> Option<&str> {
        self.kind.get_or_init(find).as_deref()
    }

    /// The type of the message by which its [`Router`](crate::Router) has chosen the handler; `None` without
    /// a router.
    pub fn kind(&self) -> Option<&str> {
        self.kind.get()?.as_deref()
    }

    /// The message as it was read.
    pub fn message(&self) -> &Message<RawJson> {
        &self.message
    }

    /// The id of the message.
    pub fn id(&self) -> i64 {
        self.message.msg_id
    }

    /// The number of times that the message has been read, this one included.
    ///
    /// Releases, crashes and lost leases count as well.
    pub fn reads(&self) -> i32 {
        self.message.read_ct
    }

    /// The number of the attempt, counted from 1: the reads, and those before the message was sent again by a
    /// [snooze](crate::Outcome::Snooze).
    pub fn attempt(&self) -> u32 {
        let earlier: u32 = self.headers().value(ATTEMPTS).unwrap_or(0);
        earlier.saturating_add(self.reads().max(1).unsigned_abs())
    }

    /// The name of the queue.
    pub fn queue(&self) -> &str {
        &self.source.queue
    }

    /// The read that the message came from.
    pub fn claim(&self) -> Claim {
        self.message.claim()
    }

    /// The headers. They are parsed when they are first asked for.
    pub fn headers(&self) -> &Headers {
        self.headers.get_or_init(|| Headers::parse(self.message.headers.as_ref()))
    }

    /// The time at which the message was sent.
    pub fn enqueued_at(&self) -> DateTime<Utc> {
        self.message.enqueued_at
    }

    /// The payload as JSON text.
    pub fn raw(&self) -> &RawJson {
        &self.message.message
    }

    /// A value that the worker shares with its handlers.
    ///
    /// # Panics
    ///
    /// If the worker was built without a value of this type. The worker takes the panic as a failure of the
    /// handler.
    pub fn state<S: Send + Sync + 'static>(&self) -> &S {
        match self.try_state() {
            Some(state) => state,
            None => panic!(
                "the worker has no state of type {}; give it one with the builder's `state`",
                std::any::type_name::<S>()
            ),
        }
    }

    /// A value that the worker shares with its handlers; `None` if it was built without one.
    pub fn try_state<S: Send + Sync + 'static>(&self) -> Option<&S> {
        self.source.state.get()
    }

    /// A future that ends when the job is cancelled.
    pub fn cancelled(&self) -> Cancelled {
        Cancelled::new(Arc::clone(&self.cancellation))
    }

    /// Returns `true` if the job is cancelled, so that the handler should end soon.
    pub fn is_cancelled(&self) -> bool {
        self.cancel_reason().is_some()
    }

    /// The reason for which the job is cancelled; `None` if it is not.
    pub fn cancel_reason(&self) -> Option<CancelReason> {
        self.cancellation.reason()
    }

    /// The time until the lease ends, unless the worker extends it before, which it does by itself.
    ///
    /// The lease is counted from before the read was sent, so it does not end earlier on the server.
    pub fn lease_left(&self) -> Duration {
        let expires = *self.expires.lock().unwrap_or_else(PoisonError::into_inner);
        expires.saturating_duration_since(self.source.clock.now())
    }
}

impl fmt::Debug for Meta {
    /// Leaves the payload out, which may be private.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meta")
            .field("queue", &self.queue())
            .field("id", &self.id())
            .field("reads", &self.reads())
            .finish_non_exhaustive()
    }
}

/// The methods of [`Meta`] for a type of jobs, which has it in the field `meta`.
macro_rules! meta_methods {
    () => {
        /// The job apart from the type of its payload.
        pub fn meta(&self) -> &$crate::meta::Meta {
            &self.meta
        }

        /// The id of the message.
        pub fn id(&self) -> i64 {
            self.meta.id()
        }

        /// The number of times that the message has been read, this one included.
        ///
        /// Releases, crashes and lost leases count as well.
        pub fn reads(&self) -> i32 {
            self.meta.reads()
        }

        /// The number of the attempt, counted from 1: the reads, and those before the message was sent again
        /// by a [snooze](crate::Outcome::Snooze).
        pub fn attempt(&self) -> u32 {
            self.meta.attempt()
        }

        /// The name of the queue.
        pub fn queue(&self) -> &str {
            self.meta.queue()
        }

        /// The read that the message came from.
        pub fn claim(&self) -> ::pgmq_core::Claim {
            self.meta.claim()
        }

        /// The headers.
        pub fn headers(&self) -> &$crate::headers::Headers {
            self.meta.headers()
        }

        /// The time at which the message was sent.
        pub fn enqueued_at(&self) -> ::chrono::DateTime<::chrono::Utc> {
            self.meta.enqueued_at()
        }

        /// The payload as JSON text.
        pub fn raw(&self) -> &::pgmq_core::RawJson {
            self.meta.raw()
        }

        /// A value that the worker shares with its handlers.
        ///
        /// # Panics
        ///
        /// If the worker was built without a value of this type. The worker takes the panic as a failure of
        /// the handler.
        pub fn state<S: Send + Sync + 'static>(&self) -> &S {
            self.meta.state()
        }

        /// A value that the worker shares with its handlers; `None` if it was built without one.
        pub fn try_state<S: Send + Sync + 'static>(&self) -> Option<&S> {
            self.meta.try_state()
        }

        /// Returns `true` if the job is cancelled, so that the handler should end soon.
        pub fn is_cancelled(&self) -> bool {
            self.meta.is_cancelled()
        }

        /// The reason for which the job is cancelled; `None` if it is not.
        pub fn cancel_reason(&self) -> Option<$crate::machine::command::CancelReason> {
            self.meta.cancel_reason()
        }

        /// The time until the lease ends, unless the worker extends it before, which it does by itself.
        ///
        /// The lease is counted from before the read was sent, so it does not end earlier on the server.
        pub fn lease_left(&self) -> ::std::time::Duration {
            self.meta.lease_left()
        }
    };
}
pub(crate) use meta_methods;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn source_with(state: State) -> Arc<Source> {
        Arc::new(Source {
            queue: "q".into(),
            dead_letter_queue: "q_dlq".into(),
            worker: "w".into(),
            state: Arc::new(state),
            clock: Clock::System,
        })
    }

    pub(crate) fn message(payload: &str, headers: Option<&str>) -> Message<RawJson> {
        let mut message = Message::new(7, payload.parse().unwrap());
        message.read_ct = 1;
        message.headers = headers.map(|headers| headers.parse().unwrap());
        message
    }

    pub(crate) fn job_of(message: Message<RawJson>) -> Arc<Meta> {
        Arc::new(Meta::new(source_with(State::default()), message, Instant::now() + Duration::from_secs(30)))
    }

    pub(crate) fn job_with(payload: &str, headers: Option<&str>) -> Arc<Meta> {
        job_of(message(payload, headers))
    }

    #[test]
    fn attempts_go_on_after_the_message_was_sent_again() {
        assert_eq!(job_with("1", None).attempt(), 1);
        assert_eq!(job_with("1", Some(r#"{"x-attempts": 4}"#)).attempt(), 5);
        assert_eq!(job_with("1", Some(r#"{"x-attempts": "four"}"#)).attempt(), 1);
    }

    #[test]
    fn the_lease_that_is_left_follows_the_extensions_and_ends_at_zero() {
        let job = job_with("1", None);
        assert!(job.lease_left() > Duration::from_secs(25));
        job.set_expires(Instant::now() + Duration::from_secs(300));
        assert!(job.lease_left() > Duration::from_secs(290));
        job.set_expires(Instant::now());
        assert_eq!(job.lease_left(), Duration::ZERO);
    }

    #[test]
    fn a_job_finds_the_state_by_its_type() {
        let mut state = State::default();
        state.insert(5_u8);
        state.insert("text");
        let job = Meta::new(source_with(state), message("1", None), Instant::now());
        assert_eq!((job.state::<u8>(), *job.state::<&str>()), (&5, "text"));
        assert_eq!(job.try_state::<u16>(), None);
        let panic = crate::panics::caught_in(|| *job.state::<u16>()).unwrap_err();
        assert!(panic.to_string().contains("no state of type u16"), "{panic}");
    }
}
