//! Middleware of tower in a world: waits, cancellations and stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use ::tower::layer::layer_fn;
use ::tower::{Service, ServiceBuilder};
use pgmq_worker::testing::World;
use pgmq_worker::tower::{Call, TowerLayer, service};
use pgmq_worker::{BoxFuture, CancelReason, Job, Queue, Retry};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// A service that is ready when its time of the world has come.
struct Gate<S> {
    inner: S,
    world: World,
    opens: Duration,
    sleep: Option<BoxFuture<'static, ()>>,
}

impl<S> Gate<S> {
    fn new(inner: S, world: &World, opens: Duration) -> Self {
        Self { inner, world: world.clone(), opens, sleep: None }
    }
}

impl<S: Clone> Clone for Gate<S> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), &self.world, self.opens)
    }
}

impl<R, S: Service<R>> Service<R> for Gate<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        let left = self.opens.saturating_sub(self.world.passed());
        if !left.is_zero() {
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(self.world.sleep(left)));
            if sleep.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: R) -> S::Future {
        assert!(self.world.passed() >= self.opens, "called before it was ready");
        self.inner.call(request)
    }
}

/// A layer that lets calls through from a time of the world on.
fn gate(world: &World, opens: Duration) -> impl pgmq_worker::Layer {
    let world = world.clone();
    TowerLayer::new(layer_fn(move |inner| Gate::new(inner, &world, opens)))
}

/// Counts calls.
#[derive(Clone, Default)]
struct Calls(Arc<AtomicUsize>);

impl Calls {
    fn handler(&self) -> impl Fn(Job<i32>) -> std::future::Ready<()> + Clone + use<> {
        let calls = Arc::clone(&self.0);
        move |_| {
            calls.fetch_add(1, Ordering::Relaxed);
            std::future::ready(())
        }
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn a_call_waits_until_the_service_is_ready_and_keeps_its_lease() {
    let (world, calls) = (World::with_queues(["q"]), Calls::default());
    let builder = world.worker().layer(gate(&world, MINUTE * 10));
    let _worker = builder.queue("q", Queue::new().vt(SECOND * 30), calls.handler()).start().await.unwrap();
    world.send("q", &1);
    world.pass(MINUTE * 10 - SECOND).await;
    assert_eq!((calls.count(), world.messages("q")[0].read_ct), (0, 1));
    world.pass(SECOND * 2).await;
    assert_eq!((calls.count(), world.queue_length("q")), (1, 0));
}

#[tokio::test]
async fn the_timeout_of_the_queue_includes_the_wait() {
    let (world, calls) = (World::with_queues(["q"]), Calls::default());
    let builder = world.worker().layer(gate(&world, MINUTE * 10));
    let settings = Queue::new().max_reads(1).timeout(MINUTE);
    let _worker = builder.queue("q", settings, calls.handler()).start().await.unwrap();
    world.send("q", &1);
    world.pass(MINUTE - SECOND).await;
    assert_eq!(world.dead_letters("q").len(), 0);
    world.pass(SECOND * 2).await;
    let dead = world.dead_letters("q");
    let headers: serde_json::Value = dead[0].parse_headers().unwrap().unwrap();
    assert_eq!(headers["x-dlq-reason"], "timeout");
    assert_eq!(headers["x-dlq-error"], "the job is cancelled: its timeout is over");
    assert_eq!(calls.count(), 0);
}

#[tokio::test]
async fn a_stop_ends_the_wait_and_releases_the_message() {
    let world = World::with_queues(["q", "other"]);
    let calls = Calls::default();
    let waits =
        service(Gate::new(::tower::service_fn(async |_: Job<i32>| Ok::<_, String>(())), &world, MINUTE * 10));
    let builder = world.worker().drain(SECOND * 3).grace(MINUTE).layer(gate(&world, MINUTE * 10));
    let builder = builder.queue("q", Queue::new(), calls.handler()).queue("other", Queue::new(), waits);
    let worker = builder.start().await.unwrap();
    world.send("q", &1);
    world.send("other", &1);
    world.pass(SECOND).await;
    let report = world.run(worker.stop()).await;
    assert!(report.is_clean(), "{report}");
    assert_eq!(world.passed(), SECOND * 4, "the grace is for handlers that have begun");
    assert_eq!(calls.count(), 0);
    for queue in ["q", "other"] {
        assert!(world.messages(queue)[0].vt <= world.messages(queue)[0].last_read_at.unwrap() + SECOND * 4);
    }
}

#[tokio::test]
async fn a_call_that_waits_in_a_buffer_ends_as_well() {
    let world = World::with_queues(["q"]).patience(Duration::from_millis(20));
    let calls = Calls::default();
    let stack = ServiceBuilder::new().buffer::<Call>(8).rate_limit(1, MINUTE * 60);
    let builder = world.worker().drain(SECOND).grace(MINUTE).layer(TowerLayer::new(stack));
    let worker = builder.queue("q", Queue::new(), calls.handler()).start().await.unwrap();
    world.send("q", &1);
    world.send("q", &2);
    world.pass(SECOND).await;
    let report = world.run(worker.stop()).await;
    assert!(report.is_clean(), "{report}");
    assert_eq!((calls.count(), world.queue_length("q")), (1, 1));
    assert!(world.passed() <= SECOND * 3, "{:?}", world.passed());
}

#[tokio::test]
async fn a_handler_that_has_begun_sees_its_cancellation() {
    let world = World::with_queues(["q"]);
    let reasons = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (seen, clock) = (Arc::clone(&reasons), world.clone());
    let handler = move |job: Job<i32>| {
        let (seen, clock) = (Arc::clone(&seen), clock.clone());
        async move {
            let why = job.cancelled().await;
            clock.sleep(SECOND).await;
            seen.lock().unwrap().push(why);
        }
    };
    let settings = Queue::new().timeout(MINUTE).retry(Retry::fixed(MINUTE));
    let builder = world.worker().layer(gate(&world, SECOND));
    let _worker = builder.queue("q", settings, handler).start().await.unwrap();
    world.send("q", &1);
    world.pass(MINUTE + SECOND * 3).await;
    assert_eq!(*reasons.lock().unwrap(), [CancelReason::TimedOut]);
}
