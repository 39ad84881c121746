//! A message that ends the process of each worker that handles it.

use std::process::abort;
use std::thread;
use std::time::Duration;

use pgmq_worker::{Job, Queue, Worker, sync};

use crate::bed::{Bed, wait_until};
use crate::process::{AsyncWorker, Process};

pub(crate) const TASK: &str = "poison";

const LIMIT: Duration = Duration::from_secs(60);
const MESSAGES: u8 = 8;
/// The message that ends the process. Others are before it and after it.
const POISON: i64 = 4;
const READS: u32 = 4;
const BEGINS: &str = "INSERT INTO begun VALUES ($1)";

/// The message becomes a dead letter after the reads that it has, and takes no other message with it.
pub(crate) fn run(shell: &str) {
    let bed = Bed::create(&["q"], "CREATE TABLE begun (number bigint)");
    let numbers: Vec<_> = (1..=i64::from(MESSAGES)).collect();
    bed.queue.send_batch("q", &numbers).unwrap();
    while bed.length("q") > 0 {
        let worker = std::cell::RefCell::new(Process::start(TASK, shell, bed.database.url()));
        wait_until("the worker has ended, or the queue is empty", LIMIT, || {
            worker.borrow_mut().has_ended() || bed.length("q") == 0
        });
    }
    assert_eq!(bed.numbers("SELECT message::bigint FROM pgmq.q_q_dlq ORDER BY 1"), [POISON]);
    assert_eq!(bed.numbers("SELECT DISTINCT number FROM begun ORDER BY 1"), numbers);
    let runs = bed.number(&format!("SELECT count(*) FROM begun WHERE number = {POISON}"));
    assert_eq!(runs, i64::from(READS));
}

fn settings() -> Queue {
    // All messages are in flight when the first process ends.
    let all = usize::from(MESSAGES);
    Queue::new()
        .vt(Duration::from_secs(1))
        .concurrency(all / 2)
        .prefetch(all / 2)
        .max_reads(READS)
        .suspect_after(2)
}

/// The time that the other handlers take.
const TIME: Duration = Duration::from_millis(200);

pub(crate) fn async_worker(url: String) -> AsyncWorker {
    Box::pin(async move {
        let queue = pgmq_tokio::PGMQueue::connect(&url).await.unwrap();
        let writing = queue.clone();
        let handler = move |job: Job<i64>| {
            let queue = writing.clone();
            async move {
                queue.session().await?.execute(BEGINS, &[&*job]).await?;
                if *job == POISON {
                    abort();
                }
                tokio::time::sleep(TIME).await;
                Ok::<_, pgmq_tokio::Error>(())
            }
        };
        Worker::builder(queue).queue("q", settings(), handler).start().await.unwrap()
    })
}

pub(crate) fn sync_worker(url: String) {
    let queue = pgmq_postgres::PGMQueue::connect(&url).unwrap();
    let writing = queue.clone();
    let handler = move |job: &sync::Job<i64>| {
        writing.session()?.execute(BEGINS, &[&**job])?;
        if **job == POISON {
            abort();
        }
        thread::sleep(TIME);
        Ok::<_, pgmq_postgres::Error>(())
    };
    sync::Worker::builder(queue).queue("q", settings(), handler).start().unwrap().join();
}
