//! The times of single messages and statements.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::StreamExt;
use pgmq_core::{Claim, Move, Notification, NotifyOptions, RawJson, SendOptions};
use pgmq_tokio::PGMQueue;
use pgmq_worker::{Job, Queue, Worker};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{sleep, timeout};

use crate::client::QUEUE;
use crate::statistics::Spread;
use crate::worker::asynchronous::tokio_queue;
use crate::worker::setting::{BATCH, POOL, Setting, VT};

/// The pause after which everything is idle again.
const PAUSE: Duration = Duration::from_millis(20);
/// The longest wait for a message.
const LIMIT: Duration = Duration::from_secs(10);

/// The median of the times from a send to the begin of the handler.
pub(super) fn of_the_worker(setting: &mut Setting) -> Result<f64> {
    with_a_queue(setting, async |queue, samples| {
        let (worker, mut begins) = start(queue, Queue::new()).await?;
        let mut times = Vec::new();
        for _ in 0..samples {
            sleep(PAUSE).await;
            let sent = Instant::now();
            queue.send(QUEUE, &0).await?;
            times.push(milliseconds(next(&mut begins).await? - sent));
        }
        ensure!(worker.stop().await.is_clean(), "the stop is not clean");
        median(times)
    })
}

/// The median of the times from a send to the message, by a listener and a read.
pub(super) fn by_hand(setting: &mut Setting) -> Result<f64> {
    with_a_queue(setting, async |queue, samples| {
        let (sender, mut begins) = unbounded_channel();
        let mut listener = queue.listen(&[QUEUE]).await?;
        let reader = queue.clone();
        let listening = tokio::spawn(async move {
            while let Some(Ok(notification)) = listener.next().await {
                if matches!(notification, Notification::Inserted { .. })
                    && let Ok(Some(message)) = reader.read::<RawJson>(QUEUE, VT).await
                {
                    // The receiver is gone at the end.
                    let _ = sender.send(Instant::now());
                    let _ = reader.delete(QUEUE, message.msg_id).await;
                }
            }
        });
        let mut times = Vec::new();
        for _ in 0..samples {
            sleep(PAUSE).await;
            let sent = Instant::now();
            queue.send(QUEUE, &0).await?;
            times.push(milliseconds(next(&mut begins).await? - sent));
        }
        listening.abort();
        median(times)
    })
}

/// The 99th percentile of the times from the end of a delay to the begin of the handler.
pub(super) fn of_delays(setting: &mut Setting) -> Result<f64> {
    with_a_queue(setting, async |queue, samples| {
        let (worker, mut begins) = start(queue, Queue::new()).await?;
        let delay = SendOptions::new().delay(Duration::from_secs(1));
        let mut sent = Vec::new();
        for _ in 0..samples {
            queue.send_with(QUEUE, &0, &delay).await?;
            // The delay counts from the statement, which has run between these two moments.
            sent.push(Instant::now());
            sleep(PAUSE).await;
        }
        let mut times = Vec::new();
        for sent in sent {
            let due = sent + Duration::from_secs(1);
            times.push(milliseconds(next(&mut begins).await?.saturating_duration_since(due)));
        }
        ensure!(worker.stop().await.is_clean(), "the stop is not clean");
        percentile_99(times)
    })
}

/// The median of moves to a dead-letter queue.
pub(super) fn of_moves(setting: &mut Setting) -> Result<f64> {
    let samples = setting.samples;
    setting.fill(BATCH * u32::try_from(samples)?)?;
    with(setting, async |queue, samples| {
        queue.create_queue("bench_dlq").await?;
        let headers: RawJson = r#"{"x-dlq-reason": "exhausted", "x-dlq-origin-queue": "bench"}"#.parse()?;
        let mut times = Vec::new();
        for _ in 0..samples {
            let messages = queue.read_batch::<RawJson>(QUEUE, VT, BATCH).await?;
            let claims: Vec<Claim> = messages.iter().map(pgmq_core::Message::claim).collect();
            let moves: Vec<_> = claims.into_iter().map(|claim| Move::new(claim).headers(&headers)).collect();
            let begun = Instant::now();
            let moved = queue.move_batch(QUEUE, "bench_dlq", &moves, 0).await?;
            times.push(milliseconds(begun.elapsed()));
            ensure!(moved.len() == BATCH as usize, "{} messages were moved", moved.len());
        }
        queue.drop_queue("bench_dlq").await?;
        median(times)
    })
}

/// The median of reads.
pub(super) fn of_reads(setting: &mut Setting) -> Result<f64> {
    let samples = setting.samples;
    setting.fill(BATCH * u32::try_from(samples)?)?;
    with(setting, async |queue, samples| {
        let mut times = Vec::new();
        for _ in 0..samples {
            let begun = Instant::now();
            let messages = queue.read_batch::<RawJson>(QUEUE, VT, BATCH).await?;
            times.push(milliseconds(begun.elapsed()));
            ensure!(messages.len() == BATCH as usize, "{} messages were read", messages.len());
            let ids: Vec<_> = messages.iter().map(|message| message.msg_id).collect();
            queue.delete_batch(QUEUE, &ids).await?;
        }
        median(times)
    })
}

/// The number of transactions of an idle worker, for each backstop.
pub(super) fn idle_statements(setting: &mut Setting) -> Result<f64> {
    with_a_queue(setting, async |queue, _| {
        let backstop = Duration::from_millis(500);
        let (worker, mut begins) = start(queue, Queue::new().backstop(backstop)).await?;
        queue.send(QUEUE, &0).await?;
        next(&mut begins).await?;
        sleep(backstop).await;
        let reads = async || -> Result<i64> {
            let session = queue.session().await?;
            let scans = "SELECT pg_stat_clear_snapshot(), \
                         coalesce(seq_scan, 0) + coalesce(idx_scan, 0) FROM pg_stat_user_tables \
                         WHERE schemaname = 'pgmq' AND relname = 'q_bench'";
            Ok(session.query_one(scans, &[]).await?.get(1))
        };
        // The server counts a statement up to a second late.
        let settle = Duration::from_millis(1500);
        sleep(settle).await;
        let before = reads().await?;
        let backstops = 8;
        sleep(backstop * backstops).await;
        let count = reads().await? - before;
        ensure!(worker.stop().await.is_clean(), "the stop is not clean");
        Ok(count as f64 / f64::from(backstops))
    })
}

/// Runs a measurement on an empty queue that notifies of each message.
fn with_a_queue(
    setting: &mut Setting,
    measure: impl AsyncFnOnce(&PGMQueue, usize) -> Result<f64>,
) -> Result<f64> {
    setting.db.clear()?;
    with(setting, async |queue, samples| {
        queue.enable_notify_with(QUEUE, &NotifyOptions::new().throttle(Duration::ZERO)).await?;
        let result = measure(queue, samples).await;
        queue.disable_notify(QUEUE).await?;
        result
    })
}

fn with(setting: &mut Setting, measure: impl AsyncFnOnce(&PGMQueue, usize) -> Result<f64>) -> Result<f64> {
    let Setting { runtime, db, samples, .. } = setting;
    runtime.block_on(async {
        let queue = tokio_queue(db.url(), POOL).await?;
        let result = measure(&queue, *samples).await;
        queue.close().await;
        result
    })
}

/// Starts a worker whose handlers report when they begin.
async fn start(queue: &PGMQueue, settings: Queue) -> Result<(Worker, UnboundedReceiver<Instant>)> {
    let (sender, begins) = unbounded_channel();
    let handler = move |_: Job<i32>| {
        // The receiver is gone at the end.
        let _ = sender.send(Instant::now());
        async {}
    };
    Ok((Worker::builder(queue.clone()).queue(QUEUE, settings, handler).start().await?, begins))
}

pub(super) async fn next(begins: &mut UnboundedReceiver<Instant>) -> Result<Instant> {
    timeout(LIMIT, begins.recv()).await.context("the message does not come")?.context("the worker is gone")
}

pub(super) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The median of the values, of which there is at least one.
pub(super) fn median(values: Vec<f64>) -> Result<f64> {
    Ok(Spread::of(values).context("nothing was measured")?.median)
}

/// The 99th percentile of the values, of which there is at least one.
fn percentile_99(mut values: Vec<f64>) -> Result<f64> {
    values.sort_by(f64::total_cmp);
    let at = values.len() * 99 / 100;
    values.get(at).copied().context("nothing was measured")
}
