//! Several sync handlers for one queue.

use std::sync::Arc;

use pgmq_core::{Message, RawJson};

use crate::meta::Meta;
use crate::outcome::Outcome;
use crate::routes::{Key, Routes, Unknown, router};
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

router!();

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
