//! Two workers, one of each shell, that are killed again and again, or whose server is.

use std::thread;
use std::time::{Duration, Instant};

use pgmq_test_server::Server;
use pgmq_worker::{Finished, Job, Meta, Outcome, Queue, Worker, sync};

use crate::bed::{Bed, wait_until};
use crate::figures::{is_full, tell};
use crate::process::{AsyncWorker, Process};

pub(crate) const TASK: &str = "soak";

/// The longest time until the last messages are handled.
const LIMIT: Duration = Duration::from_secs(60);
/// The visibility timeout, after which the messages of a killed worker come again.
const VT: Duration = Duration::from_secs(2);

/// The extent of a soak. Each round sends messages to both queues, and strikes.
struct Extent {
    rounds: i64,
    /// The messages of a round, for each queue.
    messages: i64,
    /// The bounds of the time before the strike, in milliseconds.
    pause: std::ops::Range<u64>,
}

/// Kills a worker in each round, and starts it again.
pub(crate) fn kill_workers() {
    let extent = match is_full() {
        true => Extent { rounds: 50, messages: 1_000, pause: 1_000..3_000 },
        false => Extent { rounds: 8, messages: 300, pause: 100..600 },
    };
    run("kills of workers", &create(None), &extent, |bed, workers| {
        let victim = fastrand::usize(..2);
        workers[victim].kill();
        workers[victim] = start(bed, victim);
    });
}

/// Stops the server in each round as a crash would, and starts it again.
pub(crate) fn crash_the_server() {
    let server = Server::durable().unwrap().unwrap();
    let extent = match is_full() {
        true => Extent { rounds: 20, messages: 1_000, pause: 500..2_000 },
        false => Extent { rounds: 2, messages: 300, pause: 100..600 },
    };
    run("crashes of the server", &create(Some(&server)), &extent, |_, _| {
        server.stop_at_once().unwrap();
        server.start().unwrap();
    });
}

fn create(server: Option<&Server>) -> Bed {
    let queues = ["once", "least", "next"];
    let sql = "CREATE TABLE once (number bigint); CREATE TABLE least (number bigint)";
    match server {
        Some(server) => Bed::create_on(server, &queues, sql),
        None => Bed::create(&queues, sql),
    }
}

fn start(bed: &Bed, shell: usize) -> Process {
    Process::start(TASK, ["async", "sync"][shell], bed.database.url())
}

fn run(strikes: &str, bed: &Bed, extent: &Extent, strike: impl Fn(&Bed, &mut [Process; 2])) {
    let mut workers = [start(bed, 0), start(bed, 1)];
    let begun = Instant::now();
    for round in 0..extent.rounds {
        let first = round * extent.messages + 1;
        let numbers: Vec<_> = (first..first + extent.messages).collect();
        for queue in ["once", "least"] {
            bed.queue.send_batch(queue, &numbers).unwrap();
        }
        thread::sleep(Duration::from_millis(fastrand::u64(extent.pause.clone())));
        strike(bed, &mut workers);
    }
    let is_over = || ["once", "least"].iter().all(|queue| bed.length(queue) == 0);
    wait_until("all messages are handled", LIMIT, is_over);
    let took = begun.elapsed();
    drop(workers);

    let all: Vec<_> = (1..=extent.rounds * extent.messages).collect();
    let those = |rest: i64| -> Vec<_> { all.iter().copied().filter(|number| number % 5 == rest).collect() };
    assert_eq!(bed.numbers("SELECT number FROM once ORDER BY 1"), all, "each effect is there once");
    assert_eq!(bed.numbers("SELECT DISTINCT number FROM least ORDER BY 1"), all);
    let messages = |table: &str| bed.numbers(&format!("SELECT message::bigint FROM pgmq.{table} ORDER BY 1"));
    assert_eq!(messages("a_least"), those(1), "archived");
    assert_eq!(messages("q_least_dlq"), those(2), "dead letters");
    assert_eq!(messages("q_next"), those(3), "forwarded");
    assert!(["a_once", "q_once", "q_once_dlq", "q_least"].iter().all(|table| messages(table).is_empty()));
    tell(format!(
        "{} messages and {} {strikes} in {:.0} s; without a transaction, handlers ran {} times for {} messages, of \
         which {} ask for a retry",
        2 * all.len(),
        extent.rounds,
        took.as_secs_f64(),
        bed.number("SELECT count(*) FROM least"),
        all.len(),
        those(4).len(),
    ));
}

fn settings() -> Queue {
    // A message that is killed often is no dead letter here.
    Queue::new().vt(VT).concurrency(6).max_reads(1_000)
}

/// The outcome of a message of the queue `least`, by its number.
fn outcome(meta: &Meta, number: i64) -> Outcome {
    match number % 5 {
        1 => Outcome::Archive,
        2 => Outcome::dead_letter("no"),
        3 => Outcome::forward("next", &number),
        4 if meta.reads() == 1 => Outcome::retry_after(Duration::ZERO),
        _ => Outcome::Done,
    }
}

pub(crate) fn async_worker(url: String) -> AsyncWorker {
    Box::pin(async move {
        let queue = pgmq_tokio::PGMQueue::builder().url(url).pool_size(12).connect().await.unwrap();
        let (finishing, writing) = (queue.clone(), queue.clone());
        let once = move |job: Job<i64>| {
            let queue = finishing.clone();
            async move {
                queue
                    .transaction(async |transaction| -> Result<Finished, pgmq_tokio::Error> {
                        transaction.execute("INSERT INTO once VALUES ($1)", &[&*job]).await?;
                        job.finish_in(&queue.with(transaction)).await
                    })
                    .await
            }
        };
        let least = move |job: Job<i64>| {
            let queue = writing.clone();
            async move {
                let session = queue.session().await?;
                session.execute("INSERT INTO least VALUES ($1)", &[&*job]).await?;
                Ok::<_, pgmq_tokio::Error>(outcome(job.meta(), *job))
            }
        };
        let builder =
            Worker::builder(queue).queue("once", settings(), once).queue("least", settings(), least);
        builder.start().await.unwrap()
    })
}

pub(crate) fn sync_worker(url: String) {
    let queue = pgmq_postgres::PGMQueue::builder().url(url).pool_size(20).connect().unwrap();
    let (finishing, writing) = (queue.clone(), queue.clone());
    let once = move |job: &sync::Job<i64>| {
        finishing.transaction(|transaction| -> Result<Finished, pgmq_postgres::Error> {
            transaction.execute("INSERT INTO once VALUES ($1)", &[&**job])?;
            job.finish_in(&finishing.with(transaction))
        })
    };
    let least = move |job: &sync::Job<i64>| {
        let mut session = writing.session()?;
        session.execute("INSERT INTO least VALUES ($1)", &[&**job])?;
        Ok::<_, pgmq_postgres::Error>(outcome(job.meta(), **job))
    };
    let builder =
        sync::Worker::builder(queue).queue("once", settings(), once).queue("least", settings(), least);
    let worker = builder.start().unwrap();
    worker.join();
}
