//! Middleware and services of tower on a real server.

use std::collections::HashSet;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ::tower::layer::layer_fn;
use ::tower::limit::ConcurrencyLimitLayer;
use ::tower::retry::{Policy, RetryLayer};
use ::tower::timeout::TimeoutLayer;
use ::tower::{BoxError, Service, ServiceBuilder, service_fn};
use pgmq_tokio::{PGMQueue, RawJson};
use pgmq_worker::tower::{BatchCall, Call, TowerBatchLayer, TowerLayer, service};
use pgmq_worker::{
    Batch, BoxFuture, Builder, Finished, Job, Layer, Meta, Next, Outcome, Queue, Retry, Router, Worker,
};
use serde_json::json;

use crate::support::{on_a_database, wait_until_empty};

/// Two attempts without a pause.
fn twice() -> Queue {
    Queue::new().max_reads(2).retry(Retry::fixed(Duration::ZERO))
}

/// As many attempts as it takes, without a pause.
fn often() -> Queue {
    Queue::new().max_reads(1_000_000).suspect_after(1_000_000).retry(Retry::fixed(Duration::ZERO))
}

/// Runs a worker of the queue `q` until the queue is empty, and returns the headers of its dead letters.
async fn run(queue: &PGMQueue, builder: Builder, payloads: &[&str]) -> Vec<serde_json::Value> {
    let worker = builder.start().await.unwrap();
    queue.send_batch("q", payloads).await.unwrap();
    wait_until_empty(queue, "q").await;
    let report = worker.stop().await;
    assert!(report.is_clean(), "{report}");
    let dead = queue.peek::<RawJson>("q_dlq", 100).await.unwrap();
    dead.iter().map(|letter| letter.parse_headers().unwrap().unwrap()).collect()
}

/// The largest number of handlers that have run at the same time.
#[derive(Clone, Default)]
struct Together(Arc<(AtomicUsize, AtomicUsize)>);

impl Together {
    async fn handle(self) {
        let (now, most) = &*self.0;
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(2)).await;
        now.fetch_sub(1, Ordering::SeqCst);
    }

    fn most(&self) -> usize {
        self.0.1.load(Ordering::SeqCst)
    }
}

#[test]
fn a_timeout_is_a_failure_with_its_text() {
    on_a_database(async |_, queue| {
        let handler = async |job: Job<String>| match (job.as_str(), job.reads()) {
            ("slow", 1) | ("hangs", _) => std::future::pending().await,
            _ => {}
        };
        let layer = TowerLayer::new(TimeoutLayer::new(Duration::from_millis(100)));
        let builder = Worker::builder(queue.clone()).layer(layer).queue("q", twice(), handler);
        let dead = run(&queue, builder, &["quick", "slow", "hangs"]).await;
        assert_eq!(dead.len(), 1);
        assert_eq!((&dead[0]["x-dlq-reason"], &dead[0]["x-dlq-read-ct"]), (&json!("exhausted"), &json!(2)));
        assert_eq!(dead[0]["x-dlq-error"], "request timed out");
    });
}

#[test]
fn a_limit_of_one_is_for_all_queues_of_the_worker() {
    on_a_database(async |_, queue| {
        queue.create_queue("other").await.unwrap();
        let together = Together::default();
        let handled = together.clone();
        let handler = move |_: Job<i32>| handled.clone().handle();
        let worker = Worker::builder(queue.clone())
            .layer(TowerLayer::new(ConcurrencyLimitLayer::new(1)))
            .queue("q", Queue::new().concurrency(4), handler.clone())
            .queue("other", Queue::new().concurrency(4), handler)
            .start()
            .await
            .unwrap();
        for name in ["q", "other"] {
            queue.send_batch(name, &(0..20).collect::<Vec<i32>>()).await.unwrap();
        }
        wait_until_empty(&queue, "q").await;
        wait_until_empty(&queue, "other").await;
        assert!(worker.stop().await.is_clean());
        assert_eq!(together.most(), 1);
    });
}

#[test]
fn a_rate_limit_behind_a_buffer_spaces_the_calls() {
    on_a_database(async |_, queue| {
        let handled = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&handled);
        let handler = move |_: Job<String>| {
            counted.fetch_add(1, Ordering::Relaxed);
            async {}
        };
        let window = Duration::from_millis(60);
        let stack = ServiceBuilder::new().buffer(16).rate_limit(2, window);
        let builder =
            Worker::builder(queue.clone()).layer(TowerLayer::new(stack)).queue("q", twice(), handler);
        let begun = Instant::now();
        assert_eq!(run(&queue, builder, &["a", "b", "c", "d", "e", "f", "g"]).await.len(), 0);
        assert_eq!(handled.load(Ordering::Relaxed), 7);
        assert!(begun.elapsed() >= window * 3, "two in each window: {:?}", begun.elapsed());
    });
}

/// Records the texts of failures.
#[derive(Clone, Default)]
struct Failures(Arc<Mutex<Vec<String>>>);

impl Layer for Failures {
    fn around<'a>(&'a self, _: &'a Meta, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let outcome = next.run().await;
            self.0.lock().unwrap().extend(outcome.failure().map(ToString::to_string));
            outcome
        })
    }
}

#[test]
fn a_message_that_is_shed_is_retried() {
    on_a_database(async |_, queue| {
        let failures = Failures::default();
        let seen = failures.clone();
        // The handler that has the place keeps it until the other message was refused.
        let handler = move |_: Job<String>| {
            let seen = seen.clone();
            async move {
                while seen.0.lock().unwrap().is_empty() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        };
        let stack = ServiceBuilder::new().load_shed().concurrency_limit(1);
        let builder = Worker::builder(queue.clone()).layer(failures.clone()).layer(TowerLayer::new(stack));
        let builder = builder.queue("q", often().concurrency(2), handler);
        assert_eq!(run(&queue, builder, &["one", "two"]).await.len(), 0);
        let texts: HashSet<_> = failures.0.lock().unwrap().drain(..).collect();
        assert_eq!(texts, HashSet::from(["service overloaded".to_owned()]));
    });
}

/// Archives messages of the type `keep`, whatever the handler returns.
#[derive(Clone)]
struct Keep<S>(S);

impl<S: Service<Call, Response = Outcome, Future: Send + 'static>> Service<Call> for Keep<S> {
    type Response = Outcome;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Outcome, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let is_kept = call.meta().raw().get() == "\"keep\"";
        let handling = self.0.call(call);
        Box::pin(async move {
            let outcome = handling.await?;
            Ok(if is_kept { Outcome::Archive } else { outcome })
        })
    }
}

#[test]
fn a_layer_changes_outcomes() {
    on_a_database(async |_, queue| {
        let handler = async |_: Job<String>| Err::<(), _>("no");
        let builder = Worker::builder(queue.clone()).layer(TowerLayer::new(layer_fn(Keep)));
        let dead = run(&queue, builder.queue("q", twice(), handler), &["keep", "drop"]).await;
        assert_eq!(dead.len(), 1);
        let archived = queue.read_archive::<String>("q", 0, 10).await.unwrap();
        assert_eq!(archived.len(), 1);
        assert_eq!(archived[0].message.message, "keep");
    });
}

/// A service that never becomes ready, with a reason.
#[derive(Clone)]
struct Closed;

impl Service<Call> for Closed {
    type Response = Outcome;
    type Error = BoxError;
    type Future = Ready<Result<Outcome, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Err("the circuit is open".into()))
    }

    fn call(&mut self, _: Call) -> Self::Future {
        panic!("the service is not ready")
    }
}

#[test]
fn a_service_that_fails_before_the_call_is_a_failure() {
    on_a_database(async |_, queue| {
        let builder = Worker::builder(queue.clone()).layer(TowerLayer::new(layer_fn(|_| Closed)));
        let handler = async |_: Job<String>| Outcome::dead_letter("it is not called");
        let dead = run(&queue, builder.queue("q", twice(), handler), &["a"]).await;
        assert_eq!(dead.len(), 1);
        assert_eq!(dead[0]["x-dlq-error"], "the circuit is open");
    });
}

/// Calls handlers once more if they failed.
#[derive(Clone)]
struct OnceMore(bool);

impl Policy<Call, Outcome, Infallible> for OnceMore {
    type Future = Ready<()>;

    fn retry(&mut self, _: &mut Call, result: &mut Result<Outcome, Infallible>) -> Option<Ready<()>> {
        let has_failed = result.as_ref().is_ok_and(|outcome| outcome.failure().is_some());
        (has_failed && std::mem::take(&mut self.0)).then(|| ready(()))
    }

    fn clone_request(&mut self, call: &Call) -> Option<Call> {
        Some(call.clone())
    }
}

#[test]
fn a_retry_of_tower_is_no_read() {
    on_a_database(async |_, queue| {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let handler = move |job: Job<String>| {
            let call = counted.fetch_add(1, Ordering::Relaxed);
            async move {
                assert_eq!(job.reads(), 1);
                if call == 0 { Err("the first time") } else { Ok(()) }
            }
        };
        let layer = TowerLayer::new(RetryLayer::new(OnceMore(true)));
        let builder = Worker::builder(queue.clone()).layer(layer);
        let settings = Queue::new().max_reads(1);
        assert_eq!(run(&queue, builder.queue("q", settings, handler), &["a"]).await.len(), 0);
        assert_eq!(calls.load(Ordering::Relaxed), 2);
    });
}

async fn finish_in_a_transaction(queue: &PGMQueue, job: &Job<String>) -> Result<Finished, BoxError> {
    queue.transaction(async |transaction| Ok(job.finish_in(&queue.with(transaction)).await?)).await
}

#[test]
fn a_service_is_a_handler() {
    on_a_database(async |_, queue| {
        let together = Together::default();
        let (handled, finishing) = (together.clone(), queue.clone());
        let finish = move |job: Job<String>| {
            let (handled, queue) = (handled.clone(), finishing.clone());
            async move {
                handled.handle().await;
                if *job == "bad" {
                    return Err(BoxError::from("it is bad"));
                }
                finish_in_a_transaction(&queue, &job).await
            }
        };
        let stack = ServiceBuilder::new().timeout(Duration::from_secs(20)).concurrency_limit(1);
        let handler = service(stack.service(service_fn(finish)));
        let builder = Worker::builder(queue.clone()).queue("q", twice(), handler);
        let dead = run(&queue, builder, &["a", "b", "bad", "c", "d"]).await;
        assert_eq!(dead.len(), 1);
        assert_eq!(dead[0]["x-dlq-error"], "it is bad");
        assert_eq!(together.most(), 1);
    });
}

#[test]
fn a_router_takes_services() {
    on_a_database(async |_, queue| {
        let kept = service_fn(async |_: Job<String>| Ok::<_, Infallible>(Outcome::Archive));
        let router = Router::by(|message| Some(message.message.get().to_owned()));
        let router = router.on("\"keep\"", service(::tower::util::BoxCloneService::new(kept)));
        let builder = Worker::builder(queue.clone()).queue("q", twice(), router);
        assert_eq!(run(&queue, builder, &["keep", "unknown"]).await.len(), 1);
        assert_eq!(queue.read_archive::<String>("q", 0, 10).await.unwrap().len(), 1);
    });
}

#[test]
fn batches_have_services_and_layers() {
    on_a_database(async |_, queue| {
        let handler = service(service_fn(async |batch: Batch<String>| {
            let outcomes = batch.outcomes(|job| match job.as_str() {
                "bad" => Err("it is bad"),
                _ => Ok(()),
            });
            Ok::<_, Infallible>(outcomes)
        }));
        let sizes = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&sizes);
        let note = ServiceBuilder::new().map_request(move |call: BatchCall| {
            noted.lock().unwrap().push(call.jobs().len());
            call
        });
        let refuse = TowerLayer::new(layer_fn(|_| Closed));
        let builder = Worker::builder(queue.clone()).layer(refuse).layer(TowerBatchLayer::new(note));
        let dead = run(&queue, builder.queue("q", twice().batch(10), handler), &["a", "bad", "c"]).await;
        assert_eq!(dead.len(), 1, "the layer of single messages is not around batches");
        assert_eq!(sizes.lock().unwrap().iter().sum::<usize>(), 4);
    });
}
