//! A message for a handler alone: without a worker, and without a server.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pgmq_core::{Message, RawJson};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::Failure;
use crate::headers::Headers;
use crate::into_handler::{IntoHandler, RunnableOne};
use crate::job::Job;
use crate::machine::command::CancelReason;
use crate::meta::{Meta, Source};
use crate::outcome::Outcome;
use crate::shell::clock::Clock;
use crate::state::State;
use crate::sync::into_handler as into_sync;
use crate::sync::job::Job as SyncJob;

/// A message that a test gives to a handler, as if a worker had read it.
///
/// The payload goes through JSON and back, so that mistakes in its `serde` attributes are found.
///
/// ```
/// use pgmq_worker::testing::TestJob;
/// use pgmq_worker::{Job, Outcome};
///
/// async fn double(job: Job<u32>) -> Outcome {
///     if job.reads() > 3 { Outcome::Archive } else { Outcome::forward("doubled", &(*job * 2)) }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// assert_eq!(TestJob::new(&4).run(double).await, Outcome::forward("doubled", &8));
/// assert_eq!(TestJob::new(&4).reads(4).run(double).await, Outcome::Archive);
/// # }
/// ```
#[must_use]
pub struct TestJob {
    queue: String,
    dead_letter_queue: Option<String>,
    message: Message<RawJson>,
    lease: Duration,
    state: State,
    cancelled: Option<CancelReason>,
}

impl TestJob {
    /// Creates a message with this payload, which is read for the first time.
    ///
    /// # Panics
    ///
    /// If the payload cannot be written as JSON.
    pub fn new<T: Serialize + ?Sized>(payload: &T) -> Self {
        let payload = RawJson::new(payload).unwrap_or_else(|error| panic!("the payload is no JSON: {error}"));
        let mut message = Message::new(1, payload);
        message.read_ct = 1;
        Self::of(message)
    }

    /// Creates a job of a message that the test has read from a queue. Its dead-letter queue is
    /// `<queue>_dlq`.
    pub fn of(message: Message<RawJson>) -> Self {
        Self {
            queue: "test".to_owned(),
            dead_letter_queue: None,
            message,
            lease: Duration::from_secs(30),
            state: State::default(),
            cancelled: None,
        }
    }

    /// Sets the name of the queue; the default is `test`.
    pub fn queue(mut self, name: impl Into<String>) -> Self {
        self.queue = name.into();
        self
    }

    /// Sets the number of times that the message has been read.
    pub fn reads(mut self, reads: i32) -> Self {
        self.message.read_ct = reads;
        self
    }

    /// Sets the headers.
    ///
    /// # Panics
    ///
    /// If they cannot be written as JSON.
    pub fn headers<H: Serialize + ?Sized>(mut self, headers: &H) -> Self {
        let headers =
            RawJson::new(headers).unwrap_or_else(|error| panic!("the headers are no JSON: {error}"));
        self.message.headers = Some(headers);
        self
    }

    /// Adds a value that the worker would share with its handlers.
    pub fn state<S: Send + Sync + 'static>(mut self, value: S) -> Self {
        self.state.insert(value);
        self
    }

    /// Makes the job one that is cancelled already.
    pub fn cancelled(mut self, why: CancelReason) -> Self {
        self.cancelled = Some(why);
        self
    }

    /// Runs an async handler, and returns its outcome, also where the payload does not decode or the handler
    /// panics.
    pub async fn run<Kind>(self, handler: impl IntoHandler<Kind, Typed: RunnableOne>) -> Outcome {
        handler.into_handler().into_one().0.handle(self.meta()).await
    }

    /// Runs a sync handler, and returns its outcome, also where the payload does not decode or the handler
    /// panics.
    pub fn run_sync<Kind>(
        self,
        handler: impl into_sync::IntoHandler<Kind, Typed: into_sync::RunnableOne>,
    ) -> Outcome {
        use into_sync::RunnableOne as _;
        handler.into_handler().into_one().0.handle(self.meta())
    }

    /// Decodes the job, for an async handler.
    ///
    /// # Errors
    ///
    /// The payload does not decode.
    pub fn job<T: DeserializeOwned>(self) -> Result<Job<T>, Failure> {
        Job::decode(self.meta())
    }

    /// Decodes the job, for a sync handler.
    ///
    /// # Errors
    ///
    /// The payload does not decode.
    pub fn sync_job<T: DeserializeOwned>(self) -> Result<SyncJob<T>, Failure> {
        SyncJob::decode(self.meta())
    }

    pub(crate) fn dead_letter_queue(mut self, name: &str) -> Self {
        self.dead_letter_queue = Some(name.to_owned());
        self
    }

    /// Sets the values that the worker would share with its handlers.
    pub(crate) fn shares(mut self, state: State) -> Self {
        self.state = state;
        self
    }

    pub(crate) fn cancels(mut self, why: Option<CancelReason>) -> Self {
        self.cancelled = why;
        self
    }

    pub(crate) fn meta(self) -> Arc<Meta> {
        let dead_letter_queue = self.dead_letter_queue.unwrap_or_else(|| format!("{}_dlq", self.queue));
        let source = Source {
            dead_letter_queue: dead_letter_queue.into(),
            queue: self.queue.into(),
            worker: "test".into(),
            state: Arc::new(self.state),
            clock: Clock::System,
        };
        let meta = Meta::new(Arc::new(source), self.message, Instant::now() + self.lease);
        if let Some(why) = self.cancelled {
            meta.cancel(why);
        }
        Arc::new(meta)
    }
}

impl fmt::Debug for TestJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers = Headers::parse(self.message.headers.as_ref());
        write!(f, "TestJob({}, {} headers)", self.message.message, headers.iter().count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_test_gives_a_handler_all_that_a_worker_would() {
        async fn handler(job: Job<String>) -> Outcome {
            let kind = job.headers().text("type");
            Outcome::dead_letter(format!("{} {kind:?} {:?}", job.state::<u8>(), job.cancel_reason()))
        }
        let test = TestJob::new("a").state(5_u8).headers(&serde_json::json!({"type": "email"}));
        let outcome = test.cancelled(CancelReason::Shutdown).run(handler).await;
        assert_eq!(outcome, Outcome::dead_letter(r#"5 Some("email") Some(Shutdown)"#));
    }

    #[test]
    fn a_sync_handler_is_tested_in_the_same_way() {
        let handler = |job: &SyncJob<u32>| if **job == 1 { Ok(()) } else { Err("no") };
        assert_eq!(TestJob::new(&1).run_sync(handler), Outcome::Done);
        assert!(TestJob::new("one").job::<u32>().is_err());
    }
}
