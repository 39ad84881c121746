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
//! cargo run --example diesel_async_finish_in
//! ```

#![allow(missing_docs, reason = "the macro of the table declares public items")]

use std::time::Duration;

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use pgmq_diesel_async::{Error, PGMQueue};
use pgmq_worker::{Finished, Job, Queue, Retry, Worker};
use serde::{Deserialize, Serialize};

const PAYMENTS: &str = "finish_in_payments";
const TABLE: &str =
    "CREATE TABLE IF NOT EXISTS example_payments (id bigint PRIMARY KEY, customer text, cents bigint)";

diesel::table! {
    example_payments (id) {
        id -> BigInt,
        customer -> Text,
        cents -> BigInt,
    }
}

#[derive(Debug, Insertable, Queryable, Selectable, Serialize, Deserialize)]
#[diesel(table_name = example_payments, check_for_backend(Pg))]
struct Payment {
    id: i64,
    customer: String,
    cents: i64,
}

async fn pay(job: Job<Payment>) -> Result<Finished, Error> {
    let queue = job.state::<PGMQueue>();
    queue
        .transaction(async |connection| {
            diesel::insert_into(example_payments::table).values(&*job).execute(connection).await?;
            println!("payment {}, attempt {}: the row is written", job.id, job.attempt());
            if job.attempt() == 1 {
                // Any error rolls the row back. A crash does as well.
                return Err(diesel::result::Error::RollbackTransaction.into());
            }
            // Deletes the message. The receipt tells the worker that nothing is left to do.
            job.finish_in(&queue.with(connection)).await
        })
        .await
}

/// Prints the rows, and the number of messages in the queue.
async fn show(queue: &PGMQueue, when: &str) -> Result<(), Error> {
    let payments = example_payments::table.select(Payment::as_select());
    let rows = payments.load(&mut queue.session().await?).await?;
    let messages = queue.metrics(PAYMENTS).await?.queue_length;
    println!("{when}: rows {rows:?}, messages {messages}");
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let queue = PGMQueue::from_env().await?;
    queue.session().await?.batch_execute(TABLE).await?;
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

    queue.session().await?.batch_execute("DROP TABLE example_payments").await?;
    queue.drop_queue(PAYMENTS).await?;
    queue.drop_queue("finish_in_payments_dlq").await?;
    queue.close().await;
    Ok(())
}
