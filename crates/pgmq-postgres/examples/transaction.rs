//! Your rows and messages in one transaction: both are committed, or neither is.
//!
//! Connects by `DATABASE_URL`, such as `postgres://user:password@localhost/database`, or by `PG_HOST` and the
//! like:
//!
//! ```text
//! cargo run --example postgres_transaction
//! ```

use pgmq_postgres::{PGMQueue, Transaction};

/// The error of the transactions' closures: any type that the queue's error converts to.
type Error = Box<dyn std::error::Error + Send + Sync>;

const ORDERS: &str = "transaction_example";

fn main() -> Result<(), Error> {
    let queue = PGMQueue::from_env()?;
    queue.create_queue(ORDERS)?;
    let orders =
        "CREATE TABLE IF NOT EXISTS transaction_example (id bigint PRIMARY KEY, item text, paid boolean)";
    queue.session()?.batch_execute(orders)?;

    // Commits: the closure returns `Ok`.
    queue.transaction(|transaction| place_order(&queue, transaction, 1, "tea"))?;
    report(&queue, "after an order was placed")?;

    // Rolls back: the order exists already.
    let refused = queue.transaction(|transaction| place_order(&queue, transaction, 1, "milk"));
    println!("the same order again: {}", refused.is_err());
    report(&queue, "after the same order was refused")?;

    // Rolls back: the closure returns `Err` after it has written the row and the message.
    let cancelled: Result<(), Error> = queue.transaction(|transaction| {
        place_order(&queue, transaction, 2, "sugar")?;
        Err("cancelled by the customer".into())
    });
    println!("another order: {cancelled:?}");
    report(&queue, "after an order was cancelled")?;

    // The consumer: the work and the acknowledgement of the message are committed together as well.
    queue.transaction(|transaction| {
        if let Some(message) = queue.with(transaction).read::<i64>(ORDERS, 30)? {
            let pay = "UPDATE transaction_example SET paid = true WHERE id = $1";
            transaction.execute(pay, &[&message.message])?;
            queue.with(transaction).delete(ORDERS, message.msg_id)?;
        }
        Ok::<_, Error>(())
    })?;
    report(&queue, "after the message was handled")?;

    queue.drop_queue(ORDERS)?;
    queue.session()?.batch_execute("DROP TABLE transaction_example")?;
    Ok(())
}

fn place_order(
    queue: &PGMQueue,
    transaction: &mut Transaction<'_>,
    id: i64,
    item: &str,
) -> Result<i64, Error> {
    let message = queue.with(transaction).send(ORDERS, &id)?;
    transaction.execute("INSERT INTO transaction_example VALUES ($1, $2, false)", &[&id, &item])?;
    Ok(message)
}

fn report(queue: &PGMQueue, when: &str) -> Result<(), Error> {
    let count = "SELECT count(*), count(*) FILTER (WHERE paid) FROM transaction_example";
    let row = queue.session()?.query_one(count, &[])?;
    let (orders, paid): (i64, i64) = (row.get(0), row.get(1));
    let messages = queue.metrics(ORDERS)?.queue_length;
    println!("{when}: {orders} orders, of which {paid} paid; {messages} messages");
    Ok(())
}
