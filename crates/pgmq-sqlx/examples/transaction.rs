//! Your rows and messages in one transaction: both are committed, or neither is.
//!
//! Connects by `DATABASE_URL`, such as `postgres://user:password@localhost/database`, or by `PG_HOST` and the
//! like:
//!
//! ```text
//! cargo run --example sqlx_transaction
//! ```

use pgmq_sqlx::{PGMQueue, Transaction};

/// The closure of a transaction may fail with any error that a queue's error converts to.
type Error = Box<dyn std::error::Error + Send + Sync>;

const ORDERS: &str = "transaction_example";

#[tokio::main]
async fn main() -> Result<(), Error> {
    let queue = PGMQueue::from_env().await?;
    queue.create_queue(ORDERS).await?;
    let orders =
        "CREATE TABLE IF NOT EXISTS transaction_example (id bigint PRIMARY KEY, item text, paid boolean)";
    sqlx::query(orders).execute(queue.pool()).await?;

    // Commits: the closure returns Ok.
    queue.transaction(async |transaction| place_order(&queue, transaction, 1, "tea").await).await?;
    report(&queue, "after an order was placed").await?;

    // Rolls back: the order exists already.
    let refused =
        queue.transaction(async |transaction| place_order(&queue, transaction, 1, "milk").await).await;
    println!("the same order again: {}", refused.is_err());
    report(&queue, "after the same order was refused").await?;

    // Rolls back: the caller changes its mind once both are written.
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
                sqlx::query(pay).bind(message.message).execute(&mut **transaction).await?;
                queue.with(transaction).delete(ORDERS, message.msg_id).await?;
            }
            Ok::<_, Error>(())
        })
        .await?;
    report(&queue, "after the message was handled").await?;

    queue.drop_queue(ORDERS).await?;
    sqlx::query("DROP TABLE transaction_example").execute(queue.pool()).await?;
    Ok(())
}

async fn place_order(
    queue: &PGMQueue,
    transaction: &mut Transaction<'_>,
    id: i64,
    item: &str,
) -> Result<i64, Error> {
    let message = queue.with(transaction).send(ORDERS, &id).await?;
    let insert = "INSERT INTO transaction_example VALUES ($1, $2, false)";
    sqlx::query(insert).bind(id).bind(item).execute(&mut **transaction).await?;
    Ok(message)
}

async fn report(queue: &PGMQueue, when: &str) -> Result<(), Error> {
    let count = "SELECT count(*), count(*) FILTER (WHERE paid) FROM transaction_example";
    let (orders, paid): (i64, i64) = sqlx::query_as(count).fetch_one(queue.pool()).await?;
    let messages = queue.metrics(ORDERS).await?.queue_length;
    println!("{when}: {orders} orders, of which {paid} paid; {messages} messages");
    Ok(())
}
