//! A job whose effect is a row, written exactly once: the row and the end of the job are one transaction.
//!
//! The payment fails in the middle of its first transaction, as if the process had crashed there. That
//! attempt leaves no row, and the message stays in the queue. The second one commits the row and the end of
//! the job together.
//!
//! Connects by `DATABASE_URL`, such as `postgres://user:password@localhost/database`, or by `PG_HOST` and the
//! like, to a database in which it may create a table:
//!
//! ```text
//! cargo run --example sqlx_finish_in
//! ```

use std::time::Duration;

use pgmq_sqlx::{Error, PGMQueue};
use pgmq_worker::{Finished, Job, Queue, Retry, Worker};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;

const PAYMENTS: &str = "finish_in_payments";
const TABLE: &str =
    "CREATE TABLE IF NOT EXISTS example_payments (id bigint PRIMARY KEY, customer text, cents bigint)";

#[derive(Debug, FromRow, Serialize, Deserialize)]
struct Payment {
    id: i64,
    customer: String,
    cents: i64,
}

async fn pay(job: Job<Payment>) -> Result<Finished, Error> {
    let queue = job.state::<PGMQueue>();
    queue
        .transaction(async |transaction| {
            sqlx::query("INSERT INTO example_payments (id, customer, cents) VALUES ($1, $2, $3)")
                .bind(job.id)
                .bind(&job.customer)
                .bind(job.cents)
                .execute(&mut **transaction)
                .await?;
            println!("payment {}, attempt {}: the row is written", job.id, job.attempt());
            if job.attempt() == 1 {
                // Any error rolls the row back. A crash does as well.
                return Err(sqlx::Error::WorkerCrashed.into());
            }
            // Deletes the message. The receipt tells the worker that nothing is left to do.
            job.finish_in(&queue.with(transaction)).await
        })
        .await
}

/// Prints the rows, and the number of messages in the queue.
async fn show(queue: &PGMQueue, when: &str) -> Result<(), Error> {
    let select = "SELECT id, customer, cents FROM example_payments";
    let rows = sqlx::query_as::<_, Payment>(select).fetch_all(queue.pool()).await?;
    let messages = queue.metrics(PAYMENTS).await?.queue_length;
    println!("{when}: rows {rows:?}, messages {messages}");
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let queue = PGMQueue::from_env().await?;
    sqlx::query(TABLE).execute(queue.pool()).await?;
    queue.create_queue(PAYMENTS).await?;

    // The worker needs up to five connections of the pool's ten, and each handler that runs needs one.
    let settings = Queue::new().concurrency(4).retry(Retry::fixed(Duration::from_secs(2)));
    let builder = Worker::builder(queue.clone()).state(queue.clone());
    let worker = builder.queue(PAYMENTS, settings, pay).start().await?;
    let mut events = worker.handle().watch(PAYMENTS).ok_or("the worker has no such queue")?;
    let payment = Payment { id: 1, customer: "ann".to_owned(), cents: 4_50 };
    let id = queue.send(PAYMENTS, &payment).await?;

    events.until(|event| event.is_retried_for(id)).await?;
    show(&queue, "after the failure").await?;
    events.until(|event| event.is_done_for(id)).await?;
    show(&queue, "after the success").await?;
    println!("{}", worker.stop().await);

    sqlx::query("DROP TABLE example_payments").execute(queue.pool()).await?;
    queue.drop_queue(PAYMENTS).await?;
    queue.drop_queue("finish_in_payments_dlq").await?;
    queue.close().await;
    Ok(())
}
