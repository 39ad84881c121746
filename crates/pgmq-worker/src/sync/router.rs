//! Several sync handlers for one queue.

use std::sync::Arc;

use pgmq_core::{Message, RawJson};

use crate::meta::Meta;
use crate::outcome::Outcome;
use crate::routes::{Key, Routes, Unknown};
use crate::rules::On;
use crate::sync::erased::{Handle, Registered};
use crate::sync::into_handler::{AnyHandler, IntoHandler, OneHandler, Runnable, RunnableOne};

/// Several handlers for one queue: each message goes to that of its type.
///
/// The type is a name in a header or in a field of the payload, or what a function finds. A number or a
/// boolean is a name as well, as it is written in JSON.
///
/// ```
/// use std::time::Duration;
///
/// use pgmq_worker::sync::{Job, Router};
/// use pgmq_worker::{On, Retry, Unknown};
///
/// # #[derive(serde::Deserialize)] struct Email {}
/// # #[derive(serde::Deserialize)] struct Image {}
/// fn send_email(job: &Job<Email>) {}
/// fn resize(job: &Job<Image>) {}
///
/// let router = Router::by_header("type")
///     .on("email", send_email)
///     .on_with("image", On::new().timeout(Duration::from_secs(300)).retry(Retry::none()), resize)
///     .unknown(Unknown::Release { after: Duration::from_secs(60) });
/// # let _ = router;
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Router(Routes<Arc<dyn Handle>>);

impl Router {
    /// Creates a router by the header of this name.
    pub fn by_header(name: impl Into<String>) -> Self {
        Self(Routes::new(Key::Header(name.into())))
    }

    /// Creates a router by the field of this name of a payload that is a JSON object.
    pub fn by_field(name: impl Into<String>) -> Self {
        Self(Routes::new(Key::Field(name.into())))
    }

    /// Creates a router by a function, which returns `None` if the message has no type.
    pub fn by(kind: impl Fn(&Message<RawJson>) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Routes::new(Key::By(Arc::new(kind))))
    }

    /// Adds the handler of a type, or replaces it.
    pub fn on<Kind>(
        self,
        kind: impl Into<String>,
        handler: impl IntoHandler<Kind, Typed: RunnableOne>,
    ) -> Self {
        self.on_with(kind, On::new(), handler)
    }

    /// Adds the handler of a type, with rules that differ from those of the queue, or replaces it.
    pub fn on_with<Kind>(
        self,
        kind: impl Into<String>,
        rules: On,
        handler: impl IntoHandler<Kind, Typed: RunnableOne>,
    ) -> Self {
        Self(self.0.on(kind.into(), rules, handler.into_handler().into_one().0))
    }

    /// Sets what becomes of a message for which there is no handler; the default is the dead-letter queue.
    pub fn unknown(self, unknown: Unknown) -> Self {
        Self(self.0.unknown(unknown))
    }
}

/// The kind of routers.
#[derive(Debug)]
pub struct OfTypes;

impl IntoHandler<OfTypes> for Router {
    type Typed = Self;

    fn into_handler(self) -> Self {
        self
    }
}

impl Runnable for Router {
    fn into_any(self) -> AnyHandler {
        AnyHandler(Registered::One(self.into_one().0))
    }
}

impl RunnableOne for Router {
    fn into_one(self) -> OneHandler {
        OneHandler(Arc::new(self))
    }
}

impl Handle for Router {
    fn handle(&self, job: Arc<Meta>) -> Outcome {
        match self.0.find(&job) {
            Ok(handler) => handler.handle(job),
            Err(outcome) => outcome,
        }
    }

    fn rules(&self, job: &Meta) -> Option<&On> {
        self.0.rules(job)
    }

    fn max_reads(&self) -> Option<u32> {
        self.0.max_reads()
    }
}
