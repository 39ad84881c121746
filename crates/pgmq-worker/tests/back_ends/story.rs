//! The story of a worker on each async back end: a message of each kind of end, and a notification that wakes
//! the worker.

use std::time::{Duration, Instant};

use futures_timer::Delay;
use pgmq_core::{AsyncListen, AsyncQueue};
use pgmq_test_server::Database;
use pgmq_worker::{Builder, Finished, IntoOutcome, Job, Meta, Outcome, Queue, Worker};

/// The longest time that a test waits for a condition.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);
pub(crate) const MESSAGES: i64 = 60;
/// The number of kinds of ends.
pub(crate) const KINDS: i64 = 6;

/// The settings of a worker that has nothing but notifications to wake it.
pub(crate) fn settings() -> Queue {
    Queue::new().backstop(Duration::from_secs(3600)).concurrency(3)
}

/// The numbers that end in this way.
pub(crate) fn those(kind: i64) -> Vec<i64> {
    (1..=MESSAGES).filter(|number| number % KINDS == kind).collect()
}

/// The outcome of a message, by its number; `None` for those that are finished in a transaction.
pub(crate) fn outcome(meta: &Meta, number: i64) -> Option<Outcome> {
    Some(match number % KINDS {
        0 => Outcome::Done,
        1 => Outcome::Archive,
        2 => Outcome::dead_letter("no"),
        3 => Outcome::forward("next", &number),
        4 if meta.reads() == 1 => Outcome::retry_after(Duration::ZERO),
        4 => Outcome::Done,
        _ => return None,
    })
}

/// Runs a worker. `finish` finishes a message in a transaction that adds its number to `effects`; `adjust`
/// completes the settings of the worker.
pub(crate) async fn run<Q, Fut>(
    queue: Q,
    adjust: impl FnOnce(Builder) -> Builder,
    finish: impl Fn(Q, Job<i64>) -> Fut + Clone + Send + Sync + 'static,
) where
    Q: AsyncListen + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Finished, Q::Error>> + Send,
{
    for name in ["q", "next"] {
        queue.create_queue(name).await.unwrap();
    }
    queue.enable_notify("q").await.unwrap();
    let finishing = queue.clone();
    let handler = move |job: Job<i64>| {
        let (queue, finish) = (finishing.clone(), finish.clone());
        async move {
            match outcome(job.meta(), *job) {
                Some(outcome) => outcome,
                None => finish(queue, job).await.into_outcome(),
            }
        }
    };
    let builder = adjust(Worker::builder(queue.clone())).queue("q", settings(), handler);
    let worker = builder.start().await.unwrap();
    let numbers: Vec<_> = (1..=MESSAGES).collect();
    let (first, rest) = numbers.split_at(10);
    for part in [first, rest] {
        queue.send_batch("q", part).await.unwrap();
        wait_until_empty(&queue).await;
    }
    let report = worker.stop().await;
    assert!(report.is_clean(), "{report:?}");

    let mut archived: Vec<_> = queue
        .read_archive::<i64>("q", 0, 100)
        .await
        .unwrap()
        .into_iter()
        .map(|row| row.message.message)
        .collect();
    archived.sort_unstable();
    assert_eq!(archived, those(1));
    for (name, kind) in [("q_dlq", 2), ("next", 3)] {
        let mut found: Vec<_> =
            queue.peek::<i64>(name, 100).await.unwrap().into_iter().map(|message| message.message).collect();
        found.sort_unstable();
        assert_eq!(found, those(kind), "{name}");
    }
}

async fn wait_until_empty(queue: &impl AsyncQueue) {
    let started = Instant::now();
    while queue.metrics("q").await.unwrap().queue_length > 0 {
        assert!(started.elapsed() < LIMIT, "the queue does not become empty");
        Delay::new(Duration::from_millis(5)).await;
    }
}

/// Creates a database with the table `effects`.
pub(crate) fn database() -> Database {
    static SERVER: std::sync::LazyLock<pgmq_test_server::Server> = std::sync::LazyLock::new(|| {
        pgmq_test_server::Server::obtain().unwrap_or_else(|error| panic!("{error:?}"))
    });
    let database = SERVER.create_database().unwrap();
    database.execute("CREATE TABLE effects (number bigint)").unwrap();
    database
}

/// Asserts that each effect is there once.
pub(crate) fn assert_effects(database: &Database) {
    let config: postgres::Config = database.url().parse().unwrap();
    let mut client = config.connect(postgres::NoTls).unwrap();
    let rows = client.query("SELECT number FROM effects ORDER BY 1", &[]).unwrap();
    let effects: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(effects, those(5));
}

/// Finishes a message of `pgmq-sqlx`, which runs on more than one runtime.
pub(crate) async fn finish_with_sqlx(
    queue: pgmq_sqlx::PGMQueue,
    job: Job<i64>,
) -> Result<Finished, pgmq_sqlx::Error> {
    queue
        .transaction(async |transaction| {
            sqlx::query("INSERT INTO effects VALUES ($1)").bind(*job).execute(&mut **transaction).await?;
            job.finish_in(&queue.with(transaction)).await
        })
        .await
}
