//! Several async handlers for one queue.

use std::sync::Arc;

use pgmq_core::{Message, RawJson};

use crate::erased::{BoxFuture, Handle, Registered};
use crate::into_handler::{AnyHandler, IntoHandler, OneHandler, Runnable, RunnableOne};
use crate::meta::Meta;
use crate::outcome::Outcome;
use crate::routes::{Key, Routes, Unknown, router};
use crate::rules::On;

/// Several handlers for one queue: each message goes to that of its type.
///
/// The type is a name in a header or in a field of the payload, or what a function finds. A number or a
/// boolean is a name as well, as it is written in JSON.
///
/// ```
/// use std::time::Duration;
///
/// use pgmq_worker::{Job, On, Retry, Router, Unknown};
///
/// # #[derive(serde::Deserialize)] struct Email {}
/// # #[derive(serde::Deserialize)] struct Image {}
/// async fn send_email(job: Job<Email>) {}
/// async fn resize(job: Job<Image>) {}
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
    fn handle(&self, job: Arc<Meta>) -> BoxFuture<'_, Outcome> {
        match self.0.find(&job) {
            Ok(handler) => handler.handle(job),
            Err(outcome) => Box::pin(std::future::ready(outcome)),
        }
    }

    fn rules(&self, job: &Meta) -> Option<&On> {
        self.0.rules(job)
    }

    fn max_reads(&self) -> Option<u32> {
        self.0.max_reads()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::failure::Reason;
    use crate::job::Job;
    use crate::meta::tests::{job_of, job_with, message};

    async fn email(_: Job<String>) -> Outcome {
        Outcome::Archive
    }

    async fn number(_: Job<u32>) {}

    fn router(router: Router) -> Router {
        router.on("email", email).on_with("5", On::new().max_reads(2), number)
    }

    async fn run(router: &Router, payload: &str, headers: Option<&str>) -> Outcome {
        router.handle(job_with(payload, headers)).await
    }

    fn reason(outcome: &Outcome) -> Option<Reason> {
        outcome.failure()?.reason()
    }

    #[tokio::test]
    async fn a_header_chooses_the_handler_and_the_type_of_the_payload() {
        let router = router(Router::by_header("type"));
        assert_eq!(run(&router, r#""a""#, Some(r#"{"type": "email"}"#)).await, Outcome::Archive);
        assert_eq!(run(&router, "1", Some(r#"{"type": 5}"#)).await, Outcome::Done);
        let outcome = run(&router, "1", Some(r#"{"type": "email"}"#)).await;
        assert_eq!(reason(&outcome), Some(Reason::Decode));
    }

    #[tokio::test]
    async fn a_field_of_the_payload_chooses_the_handler() {
        let router = Router::by_field("type").on("email", async |_: Job<serde_json::Value>| Outcome::Archive);
        assert_eq!(run(&router, r#"{"a": [{"type": 1}], "type": "email"}"#, None).await, Outcome::Archive);
        for payload in ["[1]", "5", r#"{"type": null}"#, r#"{"a": "email"}"#] {
            assert_eq!(reason(&run(&router, payload, None).await), Some(Reason::UnknownType), "{payload}");
        }
    }

    #[tokio::test]
    async fn a_function_chooses_the_handler_and_may_panic() {
        let router = Router::by(|message| match message.message.get() {
            "0" => panic!("zero"),
            _ => Some("5".to_owned()),
        });
        let router = router.on("5", number);
        assert_eq!(run(&router, "1", None).await, Outcome::Done);
        assert_eq!(reason(&run(&router, "0", None).await), Some(Reason::UnknownType));
    }

    #[tokio::test]
    async fn an_unknown_type_is_a_dead_letter_unless_the_router_says_otherwise() {
        let unknown = Some(r#"{"type": "fax"}"#);
        let router = router(Router::by_header("type"));
        let outcome = run(&router, "1", unknown).await;
        assert!(matches!(outcome, Outcome::DeadLetter { .. }));
        assert_eq!(
            outcome.failure().unwrap().to_string(),
            r#"no handler is registered for messages of type "fax""#
        );
        let outcome = run(&router, "1", None).await;
        let text = r#"the message has no type: its header "type" names none"#;
        assert_eq!(outcome.failure().unwrap().to_string(), text);
        let after = Duration::from_secs(60);
        let releases = router.clone().unknown(Unknown::Release { after });
        assert_eq!(run(&releases, "1", unknown).await, Outcome::Snooze { after });
        let retries = router.unknown(Unknown::Retry);
        assert!(matches!(run(&retries, "1", unknown).await, Outcome::Retry { after: None, .. }));
    }

    #[tokio::test]
    async fn a_handler_has_rules_of_its_own() {
        let router = router(Router::by_header("type"));
        let mut message = message("1", Some(r#"{"type": 5}"#));
        message.read_ct = 3;
        let job = job_of(message);
        assert_eq!(router.rules(&job).unwrap().max_reads, Some(2));
        assert_eq!(Handle::max_reads(&router), Some(2));
        let outcome = router.handle(Arc::clone(&job)).await;
        assert!(matches!(outcome, Outcome::DeadLetter { .. }));
        assert_eq!(reason(&outcome), Some(Reason::Exhausted));
        assert_eq!(job.kind(), Some("5"));
        assert!(router.rules(&job_with("1", None)).is_none());
    }
}
