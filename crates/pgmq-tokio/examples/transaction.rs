//! Your rows and messages in one transaction: both are committed, or neither is.
//!
//! Connects by `DATABASE_URL`, such as `postgres://user:password@localhost/database`, or by `PG_HOST` and the
//! like:
//!
//! ```text
//! cargo run --example tokio_transaction
//! ```

use pgmq_tokio::{PGMQueue, Transaction};

/// The error of the transactions' closures: any type that the queue's error converts to.
type Error = Box<dyn std::error::Error + Send + Sync>;

const ORDERS: &str = "transaction_example";

#[tokio::main]
async fn main() -> Result<(), Error> {
    let queue = PGMQueue::from_env().await?;
    queue.create_queue(ORDERS).await?;
    let orders =
        "CREATE TABLE IF NOT EXISTS transaction_example (id bigint PRIMARY KEY, item text, paid boolean)";
    queue.session().await?.batch_execute(orders).await?;

    // Commits: the closure returns `Ok`.
    queue.transaction(async |transaction| place_order(&queue, transaction, 1, "tea").await).await?;
    report(&queue, "after an order was placed").await?;

    // Rolls back: the order exists already.
    let refused =
        queue.transaction(async |transaction| place_order(&queue, transaction, 1, "milk").await).await;
    println!("the same order again: {}", refused.is_err());
    report(&queue, "after the same order was refused").await?;

    // Rolls back: the closure returns `Err` after it has written the row and the message.
    let cancelled: Result<(), Error> = queue
        .transaction(async |transaction| {
            place_order(&queue, transaction, 2, "sugar").await?;
            Err("cancelled by the customer".into())
        })
        .await;
    println!("another order: {cancelled:?}");
    report(&queue, "after an order was cancelled").await?;

    // The consumer: the work and the acknowledgement of the message are committed together as well.
    queue
        .transaction(async |transaction| {
            if let Some(message) = queue.with(transaction).read::<i64>(ORDERS, 30).await? {
                let pay = "UPDATE transaction_example SET paid = true WHERE id = $1";
                transaction.execute(pay, &[&message.message]).await?;
                queue.with(transaction).delete(ORDERS, message.msg_id).await?;
            }
            Ok::<_, Error>(())
        })
        .await?;
    report(&queue, "after the message was handled").await?;

    queue.drop_queue(ORDERS).await?;
    queue.session().await?.batch_execute("DROP TABLE transaction_example").await?;
    Ok(())
}

async fn place_order(
    queue: &PGMQueue,
    transaction: &mut Transaction<'_>,
    id: i64,
    item: &str,
) -> Result<i64, Error> {
    let message = queue.with(transaction).send(ORDERS, &id).await?;
    transaction.execute("INSERT INTO transaction_example VALUES ($1, $2, false)", &[&id, &item]).await?;
    Ok(message)
}

async fn report(queue: &PGMQueue, when: &str) -> Result<(), Error> {
    let count = "SELECT count(*), count(*) FILTER (WHERE paid) FROM transaction_example";
    let row = queue.session().await?.query_one(count, &[]).await?;
    let (orders, paid): (i64, i64) = (row.get(0), row.get(1));
    let messages = queue.metrics(ORDERS).await?.queue_length;
    println!("{when}: {orders} orders, of which {paid} paid; {messages} messages");
    Ok(())
}
