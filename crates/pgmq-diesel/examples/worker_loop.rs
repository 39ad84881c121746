//! A worker: woken by notifications, polling from time to time as well, with retries, a dead-letter queue and
//! a clean stop.
//!
//! Delivery is at-least-once: a message that is read and not acknowledged (archived or deleted) is read
//! again.
//!
//! Connects by `DATABASE_URL`, such as `postgres://user:password@localhost/database`, or by `PG_HOST` and the
//! like. Works until Ctrl-C, or until it has finished the given number of messages:
//!
//! ```text
//! cargo run --example diesel_worker_loop -- 5
//! ```

use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use pgmq_diesel::{Error, Listener, Message, PGMQueue, QueueError, RawJson};
use serde::{Deserialize, Serialize};

const JOBS: &str = "worker_loop_jobs";
/// The dead-letter queue: messages whose retries are used up, for a person to look at.
const DEAD_LETTERS: &str = "worker_loop_dead_letters";
const BATCH: u32 = 10;
/// The time for which a read message is in flight here and hidden from other workers. Longer than one step of
/// the work takes, with room to spare.
const VISIBILITY_TIMEOUT: Duration = Duration::from_secs(30);
/// The time between polls without a notification. A notification may be lost, and none is sent for a message
/// that becomes visible again.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The most attempts to process a message.
const MAX_ATTEMPTS: i32 = 3;
/// The pause before the first retry. Each further one waits longer by the same time.
const BACKOFF: Duration = Duration::from_secs(1);

#[derive(Debug, Serialize, Deserialize)]
struct Job {
    name: String,
    steps: u32,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let limit = std::env::args().nth(1).map_or(Ok(usize::MAX), |limit| limit.parse())?;
    let stop = Arc::new(AtomicBool::new(false));
    let on_ctrl_c = Arc::clone(&stop);
    ctrlc::set_handler(move || on_ctrl_c.store(true, Ordering::Relaxed))?;

    let queue = PGMQueue::from_env()?;
    queue.create_queue(JOBS)?;
    queue.create_queue(DEAD_LETTERS)?;
    queue.enable_notify(JOBS)?;
    let mut listener = queue.listen(&[JOBS])?;

    // Three jobs that succeed, one that always fails, and a message that is not a job.
    let job = |name: &str, steps| Job { name: name.to_owned(), steps };
    queue.send_batch(JOBS, &[job("short", 1), job("long", 3), job("failing", 0), job("medium", 2)])?;
    queue.send(JOBS, "not a job")?;

    let mut finished = 0;
    while finished < limit && !stop.load(Ordering::Relaxed) {
        match process_batch(&queue, &mut listener, &stop) {
            Ok(more) => finished += more,
            // The server restarts, for example. Messages in flight become visible again after their timeout.
            Err(error) if error.is_transient() => {
                eprintln!("{error}; retrying");
                thread::sleep(POLL_INTERVAL);
            }
            Err(error) => return Err(error.into()),
        }
    }
    println!("stopped after {finished} messages");
    Ok(())
}

/// Reads and handles one batch, or waits if the queue is empty. Returns the number of messages that are
/// finished.
fn process_batch(queue: &PGMQueue, listener: &mut Listener, stop: &AtomicBool) -> Result<usize, Error> {
    // Read as raw JSON, so that a message that is not a job does not make the whole batch fail.
    let mut messages = queue.read_batch::<RawJson>(JOBS, VISIBILITY_TIMEOUT, BATCH)?.into_iter();
    if messages.len() == 0 {
        listener.next_timeout(POLL_INTERVAL)?;
        return Ok(0);
    }
    let mut finished = 0;
    while let Some(message) = messages.next() {
        if stop.load(Ordering::Relaxed) {
            // Messages that were not started become visible at once, for another worker.
            let not_started: Vec<_> =
                iter::once(message).chain(messages).map(|message| message.msg_id).collect();
            queue.set_vt_batch::<RawJson>(JOBS, &not_started, 0)?;
            break;
        }
        finished += usize::from(handle(queue, &message)?);
    }
    Ok(finished)
}

/// Handles one message. Returns `true` if it is finished: acknowledged, or moved to the dead-letter queue.
fn handle(queue: &PGMQueue, message: &Message<RawJson>) -> Result<bool, Error> {
    let id = message.msg_id;
    let Ok(job) = message.message.parse::<Job>() else {
        println!("message {id} is not a job: {}", message.message);
        dead_letter(queue, message)?;
        return Ok(true);
    };
    match work(queue, id, &job)? {
        Ok(()) => {
            println!("message {id}: {} is done", job.name);
            // Acknowledges the message. `delete` does too, without keeping a copy.
            queue.archive(JOBS, id)?;
            Ok(true)
        }
        Err(reason) if message.read_ct >= MAX_ATTEMPTS => {
            println!("message {id}: {} {reason}, after {MAX_ATTEMPTS} attempts", job.name);
            dead_letter(queue, message)?;
            Ok(true)
        }
        Err(reason) => {
            // Without a backoff, the retry would come when the visibility timeout has passed.
            let pause = BACKOFF * message.read_ct.unsigned_abs();
            println!("message {id}: {} {reason}; retry in {pause:?}", job.name);
            queue.set_vt::<RawJson>(JOBS, id, pause)?;
            Ok(false)
        }
    }
}

/// Does the work. The outer error is the queue's, and the inner one the job's.
fn work(queue: &PGMQueue, id: i64, job: &Job) -> Result<Result<(), &'static str>, Error> {
    if job.steps == 0 {
        return Ok(Err("has failed"));
    }
    for _ in 0..job.steps {
        // Before each step, the message is hidden for another visibility timeout.
        if queue.set_vt::<RawJson>(JOBS, id, VISIBILITY_TIMEOUT)?.is_none() {
            return Ok(Err("was deleted meanwhile"));
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(Ok(()))
}

/// Moves a message to the dead-letter queue, in one transaction: it is always in exactly one of the two
/// queues.
fn dead_letter(queue: &PGMQueue, message: &Message<RawJson>) -> Result<(), Error> {
    queue.transaction(|connection| {
        let queue = queue.with(connection);
        // Another worker may have acknowledged the message meanwhile.
        if queue.delete(JOBS, message.msg_id)? {
            queue.send(DEAD_LETTERS, &message.message)?;
        }
        Ok(())
    })
}
