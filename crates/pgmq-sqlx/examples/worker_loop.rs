//! A worker: notifications as a hint, a look from time to time as the backstop, and a clean end.
//!
//! Connects by `DATABASE_URL`, such as `postgres://user:password@localhost/database`, or by `PG_HOST` and its like. Works
//! until Ctrl-C, or until so many messages are finished with:
//!
//! ```text
//! cargo run --example sqlx_worker_loop -- 5
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pgmq_sqlx::{Error, Listener, Message, PGMQueue, QueueError, RawJson};
use serde::{Deserialize, Serialize};

const JOBS: &str = "worker_loop_jobs";
/// Where messages go that were read too often, for a person to look at.
const BURIED: &str = "worker_loop_buried";
const BATCH: u32 = 10;
/// How long a message is ours. Longer than one step of the work takes, with room to spare.
const HIDDEN: Duration = Duration::from_secs(30);
/// How often to look into the queue although nothing was heard. A notification may be lost, and is not sent for a message
/// that becomes visible again.
const BACKSTOP: Duration = Duration::from_secs(1);
const READS: i32 = 3;

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
        // Without a handler for Ctrl-C the program just ends, which the queue survives too.
        if tokio::signal::ctrl_c().await.is_ok() {
            on_ctrl_c.store(true, Ordering::Relaxed);
        }
    });

    let queue = PGMQueue::from_env().await?;
    queue.create_queue(JOBS).await?;
    queue.create_queue(BURIED).await?;
    queue.enable_notify(JOBS).await?;
    let mut listener = queue.listen(&[JOBS]).await?;

    // Something to do: three jobs, one that always fails, and one that is no job.
    let job = |name: &str, steps| Job { name: name.to_owned(), steps };
    queue.send_batch(JOBS, &[job("short", 1), job("long", 3), job("hopeless", 0), job("medium", 2)]).await?;
    queue.send(JOBS, "not a job").await?;

    let mut finished = 0;
    while finished < limit && !stop.load(Ordering::Relaxed) {
        match turn(&queue, &mut listener, &stop).await {
            Ok(more) => finished += more,
            // The server restarts, say. What was read and not finished becomes visible again.
            Err(error) if error.is_transient() => {
                eprintln!("{error}; going on");
                tokio::time::sleep(BACKSTOP).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
    println!("stopped after {finished} messages");
    Ok(())
}

/// Reads one batch and works on it, or waits for something to read. Returns how many messages are finished with.
async fn turn(queue: &PGMQueue, listener: &mut Listener, stop: &AtomicBool) -> Result<usize, Error> {
    // As raw JSON, so that one message that is no job does not stand in the way of the others.
    let mut messages = queue.read_batch::<RawJson>(JOBS, HIDDEN, BATCH).await?.into_iter();
    if messages.len() == 0 {
        listener.next_timeout(BACKSTOP).await?;
        return Ok(0);
    }
    let mut finished = 0;
    while let Some(message) = messages.next() {
        if stop.load(Ordering::Relaxed) {
            // What was not begun goes back at once, for another worker.
            let unbegun: Vec<_> =
                std::iter::once(message).chain(messages).map(|message| message.msg_id).collect();
            queue.set_vt_batch::<RawJson>(JOBS, &unbegun, 0).await?;
            break;
        }
        finished += usize::from(attend(queue, &message).await?);
    }
    Ok(finished)
}

/// Does what a message asks for, and says whether it is finished with.
async fn attend(queue: &PGMQueue, message: &Message<RawJson>) -> Result<bool, Error> {
    let id = message.msg_id;
    let Ok(job) = message.message.parse::<Job>() else {
        println!("message {id} is no job: {}", message.message);
        bury(queue, message).await?;
        return Ok(true);
    };
    match work(queue, id, &job).await? {
        Ok(()) => {
            println!("message {id}: {} is done", job.name);
            queue.archive(JOBS, id).await?;
            Ok(true)
        }
        Err(reason) if message.read_ct >= READS => {
            println!("message {id}: {} {reason} for the last time", job.name);
            bury(queue, message).await?;
            Ok(true)
        }
        Err(reason) => {
            // Longer each time. Without this it would be read again when its time is over.
            let pause = Duration::from_secs(1) * message.read_ct.unsigned_abs();
            println!("message {id}: {} {reason}; again in {pause:?}", job.name);
            queue.set_vt::<RawJson>(JOBS, id, pause).await?;
            Ok(false)
        }
    }
}

/// The work itself. The outer error is the queue's, the inner one the job's.
async fn work(queue: &PGMQueue, id: i64, job: &Job) -> Result<Result<(), &'static str>, Error> {
    if job.steps == 0 {
        return Ok(Err("has failed"));
    }
    for _ in 0..job.steps {
        // Before each step the message is made ours for as long as a step may take.
        if queue.set_vt::<RawJson>(JOBS, id, HIDDEN).await?.is_none() {
            return Ok(Err("was taken away"));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(Ok(()))
}

/// Moves a message to the other queue, in one transaction: it is never in both, and never in neither.
async fn bury(queue: &PGMQueue, message: &Message<RawJson>) -> Result<(), Error> {
    queue
        .transaction(async |transaction| {
            let queue = queue.with(transaction);
            queue.send(BURIED, &message.message).await?;
            queue.delete(JOBS, message.msg_id).await?;
            Ok(())
        })
        .await
}
