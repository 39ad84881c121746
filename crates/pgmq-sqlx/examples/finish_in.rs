//! A job whose effect is a row, written exactly once: the row and the end of the job are one transaction.
//!
//! Each payment fails in the middle of its first transaction, as if the process had crashed there. Nothing of
//! that attempt is left, and the second one commits the row and the end of the job together.
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

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let queue = PGMQueue::from_env().await?;
    sqlx::query(TABLE).execute(queue.pool()).await?;
    queue.create_queue(PAYMENTS).await?;

    let settings = Queue::new().retry(Retry::fixed(Duration::from_secs(1)));
    let builder = Worker::builder(queue.clone()).state(queue.clone());
    let worker = builder.queue(PAYMENTS, settings, pay).start().await?;
    let mut events = worker.handle().watch(PAYMENTS).ok_or("the worker has no such queue")?;
    for (id, customer) in [(1, "ann"), (2, "bob")] {
        let payment = Payment { id, customer: customer.to_owned(), cents: 4_50 };
        queue.send(PAYMENTS, &payment).await?;
    }
    for _ in 0..2 {
        events.until(|event| event.is_done_for(event.msg_id)).await?;
    }
    println!("{}", worker.stop().await);

    let paid = "SELECT id, customer, cents FROM example_payments ORDER BY id";
    for payment in sqlx::query_as::<_, Payment>(paid).fetch_all(queue.pool()).await? {
        println!("{payment:?}");
    }
    sqlx::query("DROP TABLE example_payments").execute(queue.pool()).await?;
    queue.drop_queue(PAYMENTS).await?;
    queue.drop_queue("finish_in_payments_dlq").await?;
    queue.close().await;
    Ok(())
}
