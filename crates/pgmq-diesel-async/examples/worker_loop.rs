//! A worker: notifications as a hint, polling as the backstop, retries with backoff, a dead-letter queue, and
//! a clean shutdown.
//!
//! Delivery is at-least-once: a message that the worker does not acknowledge, by `archive` or `delete`, is
//! read again.
//!
//! Connects by `DATABASE_URL`, such as `postgres://user:password@localhost/database`, or by `PG_HOST` and the
//! like. Runs until Ctrl-C, or until the given number of messages is acknowledged:
//!
//! ```text
//! cargo run --example diesel_async_worker_loop -- 5
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pgmq_diesel_async::{Error, Listener, Message, PGMQueue, RawJson};
use serde::{Deserialize, Serialize};

const JOBS: &str = "worker_loop_jobs";
/// The dead-letter queue: poison messages, which the worker no longer attempts, for a person to look at.
const DEAD_LETTERS: &str = "worker_loop_dead_letters";
const BATCH: u32 = 10;
/// The time for which a message in flight is hidden from other workers. Longer than one step of the work
/// takes, with room to spare.
const VISIBILITY_TIMEOUT: Duration = Duration::from_secs(30);
/// The interval at which the queue is polled without a notification. A notification may be lost, and none is
/// sent for a message that becomes visible again.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The number of reads after which a message that fails becomes a dead letter.
const MAX_READS: i32 = 3;

#[derive(Debug, Serialize, Deserialize)]
struct Job {
    name: String,
    steps: u32,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let limit = std::env::args().nth(1).map_or(Ok(usize::MAX), |limit| limit.parse())?;
    let stop = Arc::new(AtomicBool::new(false));
    let on_ctrl_c = Arc::clone(&stop);
    tokio::spawn(async move {
        // Without a handler, Ctrl-C kills the program. The messages in flight then become visible again after
        // their timeout.
        if tokio::signal::ctrl_c().await.is_ok() {
            on_ctrl_c.store(true, Ordering::Relaxed);
        }
    });

    let queue = PGMQueue::from_env().await?;
    queue.create_queue(JOBS).await?;
    queue.create_queue(DEAD_LETTERS).await?;
    queue.enable_notify(JOBS).await?;
    let mut listener = queue.listen(&[JOBS]).await?;

    // Three jobs that succeed, one that always fails, and a message that is not a job.
    let job = |name: &str, steps| Job { name: name.to_owned(), steps };
    queue.send_batch(JOBS, &[job("short", 1), job("long", 3), job("poison", 0), job("medium", 2)]).await?;
    queue.send(JOBS, "not a job").await?;

    let mut acknowledged = 0;
    while acknowledged < limit && !stop.load(Ordering::Relaxed) {
        match process_batch(&queue, &mut listener, &stop).await {
            Ok(more) => acknowledged += more,
            // The server restarts, for example. Messages that were read and not acknowledged become visible
            // again.
            Err(error) if error.is_transient() => {
                eprintln!("{error}; retrying");
                tokio::time::sleep(POLL_INTERVAL).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
    println!("stopped after {acknowledged} messages");
    Ok(())
}

/// Reads one batch and handles its messages, or waits for a message. Returns the number of acknowledged
/// messages.
async fn process_batch(queue: &PGMQueue, listener: &mut Listener, stop: &AtomicBool) -> Result<usize, Error> {
    // Read as raw JSON, so that a message that is not a job does not fail the whole batch.
    let mut messages = queue.read_batch::<RawJson>(JOBS, VISIBILITY_TIMEOUT, BATCH).await?.into_iter();
    if messages.len() == 0 {
        listener.next_timeout(POLL_INTERVAL).await?;
        return Ok(0);
    }
    let mut acknowledged = 0;
    while let Some(message) = messages.next() {
        if stop.load(Ordering::Relaxed) {
            // Makes the messages that were not begun visible at once, for another worker.
            let unbegun: Vec<_> =
                std::iter::once(message).chain(messages).map(|message| message.msg_id).collect();
            queue.set_vt_batch::<RawJson>(JOBS, &unbegun, 0).await?;
            break;
        }
        acknowledged += usize::from(handle(queue, &message).await?);
    }
    Ok(acknowledged)
}

/// Handles a message. Returns `true` if the message was acknowledged, and `false` if it will be retried.
async fn handle(queue: &PGMQueue, message: &Message<RawJson>) -> Result<bool, Error> {
    let id = message.msg_id;
    // A message that crashes its worker never gets to the code after the work.
    if message.read_ct > MAX_READS {
        println!("message {id} was read {} times; moved to the dead-letter queue", message.read_ct);
        dead_letter(queue, message).await?;
        return Ok(true);
    }
    // No retry can make the payload deserialize.
    let Ok(job) = message.message.parse::<Job>() else {
        println!("message {id} is not a job: {}", message.message);
        dead_letter(queue, message).await?;
        return Ok(true);
    };
    match work(queue, id, &job).await? {
        Ok(()) => {
            println!("message {id}: {} is done", job.name);
            queue.archive(JOBS, id).await?;
            Ok(true)
        }
        Err(reason) if message.read_ct >= MAX_READS => {
            println!("message {id}: {} {reason}; moved to the dead-letter queue", job.name);
            dead_letter(queue, message).await?;
            Ok(true)
        }
        Err(reason) => {
            // A backoff that grows with each retry. Without it, the message would be retried when its
            // visibility timeout is over.
            let backoff = Duration::from_secs(1) * message.read_ct.unsigned_abs();
            println!("message {id}: {} {reason}; retry in {backoff:?}", job.name);
            queue.set_vt::<RawJson>(JOBS, id, backoff).await?;
            Ok(false)
        }
    }
}

/// Does the work. The outer error is the queue's, and the inner one is the job's.
async fn work(queue: &PGMQueue, id: i64, job: &Job) -> Result<Result<(), &'static str>, Error> {
    if job.steps == 0 {
        return Ok(Err("failed"));
    }
    for _ in 0..job.steps {
        // Extends the visibility timeout before each step, so that no other worker reads the message during
        // the step.
        if queue.set_vt::<RawJson>(JOBS, id, VISIBILITY_TIMEOUT).await?.is_none() {
            return Ok(Err("was acknowledged by another worker"));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(Ok(()))
}

/// Moves a message to the dead-letter queue in one transaction, so that a failure leaves it in exactly one of
/// the two queues.
async fn dead_letter(queue: &PGMQueue, message: &Message<RawJson>) -> Result<(), Error> {
    queue
        .transaction(async |connection| {
            let queue = queue.with(connection);
            // Another worker may have acknowledged the message meanwhile.
            if queue.delete(JOBS, message.msg_id).await? {
                queue.send(DEAD_LETTERS, &message.message).await?;
            }
            Ok(())
        })
        .await
}
