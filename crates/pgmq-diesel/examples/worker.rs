//! A worker: typed jobs, a retry, dead letters with their reasons, and a clean stop.
//!
//! Connects by `DATABASE_URL`, such as `postgres://user:password@localhost/database`, or by `PG_HOST` and the
//! like. Runs until Ctrl-C, or until the given number of jobs has come to its end:
//!
//! ```text
//! cargo run --example diesel_worker -- 5
//! ```

use std::time::Duration;

use pgmq_diesel::{PGMQueue, RawJson};
use pgmq_worker::sync::{Job, Worker};
use pgmq_worker::{Failure, MessageEvent, Queue, Retry};
use serde::{Deserialize, Serialize};

const EMAILS: &str = "worker_emails";
/// The worker creates this queue, and moves jobs to it that no retry helps.
const DEAD_LETTERS: &str = "worker_emails_dlq";

#[derive(Serialize, Deserialize)]
struct Email {
    to: String,
}

/// A job that returns an error is tried again. One whose process crashes is as well, so a job may run twice.
fn send_email(job: &Job<Email>) -> Result<(), Failure> {
    println!("attempt {} of message {}: to {}", job.attempt(), job.id(), job.to);
    match job.to.as_str() {
        "busy@example.com" if job.attempt() == 1 => Err("the mail server is busy".into()),
        "nobody@example.com" => Err(Failure::from("there is no such mailbox").permanent()),
        _ => Ok(()),
    }
}

/// Returns `true` if the message will not be handled again.
fn is_the_end(event: &MessageEvent) -> bool {
    event.is_done_for(event.msg_id) || event.is_dead_for(event.msg_id)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let limit = std::env::args().nth(1).map_or(Ok(usize::MAX), |limit| limit.parse())?;
    let queue = PGMQueue::from_env()?;
    queue.create_queue(EMAILS)?;

    let settings = Queue::new()
        .concurrency(8)
        .retry(Retry::fixed(Duration::from_secs(1)))
        .ensure_notify(Duration::from_millis(250));
    let worker = Worker::builder(queue.clone()).queue(EMAILS, settings, send_email).start()?;
    let mut events =
        worker.handle().watch(EMAILS).ok_or("the worker has no such queue")?.limit(Duration::MAX);

    for to in ["ann@example.com", "bob@example.com", "busy@example.com", "nobody@example.com"] {
        queue.send(EMAILS, &Email { to: to.to_owned() })?;
    }
    queue.send(EMAILS, "not an email")?;

    let handle = worker.handle();
    ctrlc::set_handler({
        let handle = handle.clone();
        move || handle.stop()
    })?;
    // Ends early if the worker stops.
    for _ in 0..limit {
        if events.until_blocking(is_the_end).is_err() {
            break;
        }
    }
    handle.stop();
    println!("{}", worker.join());

    for letter in queue.peek::<RawJson>(DEAD_LETTERS, 10)? {
        println!("dead letter: {} with {:?}", letter.message, letter.headers);
    }
    queue.drop_queue(EMAILS)?;
    queue.drop_queue(DEAD_LETTERS)?;
    queue.close();
    Ok(())
}
