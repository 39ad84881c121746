//! Other crates that work off jobs in Postgres, with their own tables: `graphile_worker` and apalis.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use apalis::layers::WorkerBuilderExt;
use apalis::prelude::{Data, TaskSink, WorkerBuilder};
use apalis_postgres::{Config, PostgresStorage};
use graphile_worker::{
    IntoTaskHandlerResult, JobSpec, LocalQueueConfig, RawJobSpec, TaskHandler, Worker, WorkerContext,
    WorkerOptions,
};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::{sleep, timeout};

use crate::payload::Order;
use crate::worker::asynchronous::per_second;
use crate::worker::contestant::{Contestant, rate, time};
use crate::worker::latency::{median, milliseconds, next};
use crate::worker::setting::{BATCH, POOL, Setting};

/// The number of handlers that run at the same time.
const CONCURRENCY: usize = 16;
/// The jobs that one call inserts.
const PORTION: u32 = 1_000;
/// The longest time for a measurement.
const LIMIT: Duration = Duration::from_secs(120);

pub(super) fn contestants() -> Vec<Contestant> {
    vec![
        rate("graphile-worker", "concurrency 16, a local queue of 200, batches without delay", graphile),
        rate("apalis", "concurrency 16, batches of 100", apalis),
        time(
            "graphile-worker-latency",
            "from a send to the handler of an idle worker, p50",
            graphile_latency,
        ),
        time("apalis-latency", "the same, with notifications", apalis_latency),
    ]
}

/// A job that does nothing but count, or report its time.
#[derive(Clone, Serialize, Deserialize)]
struct Job(Order);

/// Counts jobs down, and reports the time of each.
#[derive(Clone, Debug)]
struct Progress {
    left: Arc<AtomicU32>,
    all: Arc<Notify>,
    begins: UnboundedSender<Instant>,
}

impl Progress {
    fn new(jobs: u32, begins: UnboundedSender<Instant>) -> Self {
        Self { left: Arc::new(AtomicU32::new(jobs)), all: Arc::default(), begins }
    }

    fn count(&self) {
        // The receiver is gone where only the number counts.
        let _ = self.begins.send(Instant::now());
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.all.notify_one();
        }
    }
}

impl TaskHandler for Job {
    const IDENTIFIER: &'static str = "job";

    async fn run(self, context: WorkerContext) -> impl IntoTaskHandlerResult {
        if let Some(progress) = context.get_ext::<Progress>() {
            progress.count();
        }
        Ok::<(), String>(())
    }
}

/// Without a local queue, each handler fetches a job by itself.
fn with_local_queue() -> WorkerOptions {
    WorkerOptions::default()
        .local_queue(LocalQueueConfig::default().with_size(200))
        .complete_job_batch_delay(Duration::ZERO)
        .fail_job_batch_delay(Duration::ZERO)
}

async fn pool(url: &str) -> Result<PgPool> {
    Ok(PgPoolOptions::new().max_connections(POOL + 8).connect(url).await?)
}

async fn graphile_worker(pool: &PgPool, options: WorkerOptions, progress: &Progress) -> Result<Arc<Worker>> {
    let options = options
        .pg_pool(pool.clone())
        .concurrency(CONCURRENCY)
        .listen_os_shutdown_signals(false)
        .add_extension(progress.clone())
        .define_job::<Job>();
    Ok(Arc::new(options.init().await?))
}

fn graphile_job(order: &Order) -> Result<RawJobSpec> {
    Ok(RawJobSpec {
        identifier: Job::IDENTIFIER.to_owned(),
        payload: serde_json::to_value(Job(order.clone()))?,
        spec: JobSpec::default(),
    })
}

/// The numbers of jobs for each call that inserts them.
fn portions(jobs: u32) -> impl Iterator<Item = usize> {
    (0..jobs).step_by(PORTION as usize).map(move |first| (jobs - first).min(PORTION) as usize)
}

/// The rate of `graphile_worker`.
fn graphile(setting: &mut Setting) -> Result<f64> {
    let jobs = setting.messages / 4;
    let Setting { runtime, db, .. } = setting;
    runtime.block_on(async {
        let pool = pool(db.url()).await?;
        let progress = Progress::new(jobs, unbounded_channel().0);
        let worker = graphile_worker(&pool, with_local_queue(), &progress).await?;
        let job = graphile_job(&Order::of_about(200))?;
        for portion in portions(jobs) {
            worker.create_utils().add_raw_jobs(&vec![job.clone(); portion]).await?;
        }
        let begun = Instant::now();
        let running = Arc::clone(&worker);
        let running = tokio::spawn(async move { running.run().await });
        timeout(LIMIT, progress.all.notified()).await.context("the jobs do not end")?;
        worker.request_shutdown();
        timeout(LIMIT, running).await.context("the worker does not end")???;
        let rate = per_second(jobs, begun);
        pool.close().await;
        Ok(rate)
    })
}

fn graphile_latency(setting: &mut Setting) -> Result<f64> {
    let Setting { runtime, db, samples, .. } = setting;
    runtime.block_on(async {
        let pool = pool(db.url()).await?;
        let (sender, mut begins) = unbounded_channel();
        let progress = Progress::new(u32::MAX, sender);
        let worker = graphile_worker(&pool, WorkerOptions::default(), &progress).await?;
        let running = Arc::clone(&worker);
        let running = tokio::spawn(async move { running.run().await });
        let utils = worker.create_utils();
        let job = [graphile_job(&Order::of_about(200))?];
        let mut times = Vec::new();
        for _ in 0..*samples {
            sleep(Duration::from_millis(20)).await;
            let sent = Instant::now();
            utils.add_raw_jobs(&job).await?;
            times.push(milliseconds(next(&mut begins).await? - sent));
        }
        worker.request_shutdown();
        timeout(LIMIT, running).await.context("the worker does not end")???;
        pool.close().await;
        median(times)
    })
}

async fn count(_: Job, progress: Data<Progress>) -> Result<(), std::convert::Infallible> {
    progress.count();
    Ok(())
}

/// The rate of apalis.
fn apalis(setting: &mut Setting) -> Result<f64> {
    let jobs = setting.messages / 4;
    let Setting { runtime, db, .. } = setting;
    runtime.block_on(async {
        let pool = pool(db.url()).await?;
        PostgresStorage::setup(&pool).await?;
        let config = Config::default().queue("bench").batch_size(BATCH as usize);
        let mut storage = PostgresStorage::new(&pool).with_config(config);
        let order = Order::of_about(200);
        for portion in portions(jobs) {
            storage.push_bulk(vec![Job(order.clone()); portion]).await?;
        }
        let progress = Progress::new(jobs, unbounded_channel().0);
        let all = Arc::clone(&progress.all);
        let begun = Instant::now();
        let worker = WorkerBuilder::new(format!("bench-{}", another_number()))
            .backend(storage)
            .data(progress)
            .concurrency(CONCURRENCY)
            .build(count);
        let ended = worker.run_until(async move {
            all.notified().await;
            std::io::Result::Ok(())
        });
        timeout(LIMIT, pin!(ended)).await.context("the jobs do not end")??;
        let rate = per_second(jobs, begun);
        pool.close().await;
        Ok(rate)
    })
}

fn apalis_latency(setting: &mut Setting) -> Result<f64> {
    let Setting { runtime, db, samples, .. } = setting;
    runtime.block_on(async {
        let pool = pool(db.url()).await?;
        PostgresStorage::setup(&pool).await?;
        let config = Config::default().queue("latency");
        let mut storage = PostgresStorage::new(&pool).with_config(config);
        let (sender, mut begins) = unbounded_channel();
        let worker = WorkerBuilder::new(format!("latency-{}", another_number()))
            .backend(storage.clone().with_pubsub())
            .data(Progress::new(u32::MAX, sender))
            .concurrency(CONCURRENCY)
            .build(count);
        let running = tokio::spawn(worker.run());
        let mut times = Vec::new();
        for _ in 0..*samples {
            sleep(Duration::from_millis(20)).await;
            let sent = Instant::now();
            storage.push(Job(Order::of_about(200))).await?;
            times.push(milliseconds(next(&mut begins).await? - sent));
        }
        running.abort();
        pool.close().await;
        median(times)
    })
}

/// A number for the name of a worker, which apalis wants to be another each time.
fn another_number() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_nanos())
}
