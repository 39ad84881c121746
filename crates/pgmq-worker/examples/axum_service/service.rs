//! The service: its routes, its worker, its health, and its stop.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use pgmq_sqlx::{Builder, PGMQueue};
use pgmq_worker::{Finished, Handle, Job, Queue, StopReport, Worker};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// The queue of orders that are to be confirmed.
pub(crate) const ORDERS: &str = "axum_orders";
const TABLE: &str = "CREATE TABLE IF NOT EXISTS axum_orders (id bigint GENERATED ALWAYS AS IDENTITY \
     PRIMARY KEY, item text NOT NULL, is_confirmed boolean NOT NULL DEFAULT false)";

/// The number of handlers that run at the same time.
const CONCURRENCY: usize = 8;

// The times of the stop. Together with the flush of the worker, 3 seconds, they are less than the 30 seconds
// after which Kubernetes kills a process.
const REQUESTS: Duration = Duration::from_secs(5);
const DRAIN: Duration = Duration::from_secs(15);
const GRACE: Duration = Duration::from_secs(5);

/// Any error. This service tells its callers no more than that there was one.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// The things that the routes share.
#[derive(Clone)]
struct App {
    queue: PGMQueue,
    worker: Handle,
    is_stopping: watch::Receiver<bool>,
}

/// Runs the service at an address until SIGTERM, which orchestrators send, or Ctrl-C.
pub(crate) async fn serve(address: &str) -> Result<(), Error> {
    // Waited for from the beginning: a signal that nothing waits for kills the process.
    let mut terminated = signal(SignalKind::terminate())?;
    let (stop, is_stopping) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = signal::ctrl_c() => {}
        }
        stop.send_replace(true);
    });

    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    println!("{}", run(listener, is_stopping).await?);
    Ok(())
}

/// Runs the service until it is to stop.
///
/// The order of the stop matters. First the service says that it is not ready, so that a load balancer sends
/// nothing more. Then the server accepts nothing more, and the requests that are under way come to their end:
/// they may still send messages. At last the worker releases what it has not begun, for the workers of other
/// processes, and lets its handlers end. The connections close when nothing uses them any more.
async fn run(listener: TcpListener, is_stopping: watch::Receiver<bool>) -> Result<StopReport, Error> {
    // Two pools, so that many requests cannot keep the worker from extending the leases of its messages.
    let for_worker = Builder::from_env()?.pool_size(5).connect().await?;
    let queue = Builder::from_env()?.pool_size(20).connect().await?;
    sqlx::query(TABLE).execute(queue.pool()).await?;
    queue.create_queue(ORDERS).await?;
    let settings = Queue::new().concurrency(CONCURRENCY).ensure_notify(Duration::from_millis(250));
    let building = Worker::builder(for_worker.clone()).state(queue.clone()).drain(DRAIN).grace(GRACE);
    let worker = building.queue(ORDERS, settings, confirm).start().await?;

    let app = App { queue: queue.clone(), worker: worker.handle(), is_stopping: is_stopping.clone() };
    let serving = axum::serve(listener, routes(app)).with_graceful_shutdown(stop(is_stopping.clone()));
    // A client that never ends its request must not keep the worker from its stop.
    let too_long = async {
        stop(is_stopping).await;
        tokio::time::sleep(REQUESTS).await;
    };
    let served = tokio::select! {
        served = serving => served,
        () = too_long => {
            eprintln!("requests that have not ended within {REQUESTS:?} are cut off");
            Ok(())
        }
    };
    let report = worker.stop().await;
    for_worker.close().await;
    queue.close().await;
    served?;
    Ok(report)
}

/// Waits until the service is to stop.
async fn stop(mut is_stopping: watch::Receiver<bool>) {
    // An error means that the task which waits for the signals has ended, so that no signal can stop the
    // service.
    let _ = is_stopping.wait_for(|is_stopping| *is_stopping).await;
}

fn routes(app: App) -> Router {
    Router::new()
        .route("/orders", post(take_order))
        .route("/orders/{id}", get(show_order))
        .route("/health/live", get(is_live))
        .route("/health/ready", get(is_ready))
        .with_state(app)
}

#[derive(Deserialize)]
struct NewOrder {
    item: String,
}

#[derive(Serialize, sqlx::FromRow)]
struct Order {
    id: i64,
    item: String,
    is_confirmed: bool,
}

/// The order and its message are one transaction: there is never one without the other.
async fn take_order(State(app): State<App>, Json(order): Json<NewOrder>) -> Result<Response, Failed> {
    let insert = "INSERT INTO axum_orders (item) VALUES ($1) RETURNING id, item, is_confirmed";
    let taken = app.queue.transaction(async |transaction| {
        let inserting = sqlx::query_as::<_, Order>(insert).bind(&order.item);
        let order = inserting.fetch_one(&mut **transaction).await?;
        app.queue.with(transaction).send(ORDERS, &order.id).await?;
        Ok::<_, pgmq_sqlx::Error>(order)
    });
    Ok((StatusCode::ACCEPTED, Json(taken.await?)).into_response())
}

async fn show_order(State(app): State<App>, Path(id): Path<i64>) -> Result<Response, Failed> {
    let select = "SELECT id, item, is_confirmed FROM axum_orders WHERE id = $1";
    let order = sqlx::query_as::<_, Order>(select).bind(id).fetch_optional(app.queue.pool()).await;
    Ok(match order.map_err(pgmq_sqlx::Error::from)? {
        Some(order) => Json(order).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    })
}

/// The handler of the worker. The order and the end of the job are one transaction as well.
async fn confirm(job: Job<i64>) -> Result<Finished, pgmq_sqlx::Error> {
    let queue = job.state::<PGMQueue>();
    queue
        .transaction(async |transaction| {
            let confirming =
                sqlx::query("UPDATE axum_orders SET is_confirmed = true WHERE id = $1").bind(*job);
            confirming.execute(&mut **transaction).await?;
            job.finish_in(&queue.with(transaction)).await
        })
        .await
}

/// A process that is not live is restarted. That helps against handlers that never end, and not against a
/// database that is away.
async fn is_live(State(app): State<App>) -> StatusCode {
    status(app.worker.health().iter().all(|queue| queue.stuck < CONCURRENCY))
}

/// A process that is not ready gets no requests: it stops, or cannot read its queue.
async fn is_ready(State(app): State<App>) -> StatusCode {
    let reads = app.worker.health().iter().all(|queue| queue.is_running && queue.failed_reads < 3);
    status(reads && !*app.is_stopping.borrow())
}

fn status(is_well: bool) -> StatusCode {
    if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

/// The answer to a request that has failed.
struct Failed(pgmq_sqlx::Error);

impl From<pgmq_sqlx::Error> for Failed {
    fn from(error: pgmq_sqlx::Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        // The caller may try again after a failure that passes.
        let status = match self.0.is_transient() {
            true => StatusCode::SERVICE_UNAVAILABLE,
            false => StatusCode::INTERNAL_SERVER_ERROR,
        };
        eprintln!("a request has failed: {}", self.0);
        status.into_response()
    }
}
