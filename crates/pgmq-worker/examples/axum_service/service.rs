//! The service: its routes, its worker, its health, and its stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use pgmq_sqlx::PGMQueue;
use pgmq_worker::{Finished, Handle, Job, Queue, StopReport, Worker};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

/// The queue of orders that are to be confirmed.
pub(crate) const ORDERS: &str = "axum_orders";
const TABLE: &str = "CREATE TABLE IF NOT EXISTS axum_orders (id bigint GENERATED ALWAYS AS IDENTITY \
     PRIMARY KEY, item text NOT NULL, is_confirmed boolean NOT NULL DEFAULT false)";

/// Any error. This service tells its callers no more than that there was one.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// The things that the routes share.
#[derive(Clone)]
struct App {
    queue: PGMQueue,
    worker: Handle,
    is_stopping: Arc<AtomicBool>,
}

/// Runs the service until `shutdown` is ready, and stops it then.
///
/// The order of the stop matters. First the service says that it is not ready, so that a load balancer sends
/// nothing more. Then the server accepts nothing more, and the requests that are under way come to their end:
/// they may still send messages. At last the worker releases what it has not begun, for the workers of other
/// processes, and lets its handlers end. The connections close when nothing uses them any more.
pub(crate) async fn run(
    queue: PGMQueue,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<StopReport, Error> {
    sqlx::query(TABLE).execute(queue.pool()).await?;
    queue.create_queue(ORDERS).await?;
    let settings = Queue::new().concurrency(16).ensure_notify(Duration::from_millis(250));
    let building = Worker::builder(queue.clone()).state(queue.clone());
    let worker = building.queue(ORDERS, settings, confirm).start().await?;

    let is_stopping = Arc::new(AtomicBool::new(false));
    let app = App { queue: queue.clone(), worker: worker.handle(), is_stopping: Arc::clone(&is_stopping) };
    let stopping = async move {
        shutdown.await;
        is_stopping.store(true, Ordering::Relaxed);
    };
    axum::serve(listener, routes(app)).with_graceful_shutdown(stopping).await?;
    let report = worker.stop().await;
    queue.close().await;
    Ok(report)
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

/// A process that is not live is to be restarted: its worker has ended, although the process runs.
async fn is_live(State(app): State<App>) -> StatusCode {
    status(app.worker.health().iter().all(|queue| queue.is_running))
}

/// A process that is not ready gets no requests: it stops, or cannot reach its database.
async fn is_ready(State(app): State<App>) -> StatusCode {
    let reads = app.worker.health().iter().all(|queue| queue.is_running && queue.failed_reads < 3);
    status(reads && !app.is_stopping.load(Ordering::Relaxed))
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
