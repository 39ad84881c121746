//! Your own rows and messages in one transaction: both are committed, or neither is.
//!
//! Connects by `DATABASE_URL`, such as `postgres://user:password@localhost/database`, or by `PG_HOST` and the
//! like:
//!
//! ```text
//! cargo run --example diesel_async_transaction
//! ```

use diesel::prelude::*;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use pgmq_diesel_async::PGMQueue;

/// The error of the transactions' closures: any type that the queue's error converts to.
type Error = Box<dyn std::error::Error + Send + Sync>;

const ORDERS: &str = "transaction_example";

mod schema {
    diesel::table! {
        transaction_example (id) {
            id -> BigInt,
            item -> Text,
            paid -> Bool,
        }
    }
}

use schema::transaction_example::dsl;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let queue = PGMQueue::from_env().await?;
    queue.create_queue(ORDERS).await?;
    let create = "CREATE TABLE IF NOT EXISTS transaction_example \
                  (id bigint PRIMARY KEY, item text NOT NULL, paid boolean NOT NULL)";
    queue.session().await?.batch_execute(create).await?;

    // Commits, because the closure returns `Ok`.
    queue.transaction(async |connection| place_order(&queue, connection, 1, "tea").await).await?;
    report(&queue, "after an order was placed").await?;

    // Rolls back, because the order exists already and the closure returns the error.
    let refused =
        queue.transaction(async |connection| place_order(&queue, connection, 1, "milk").await).await;
    println!("the same order again: {}", refused.is_err());
    report(&queue, "after the same order was refused").await?;

    // Diesel's own transactions nest: the outer order is committed, and the inner one is rolled back.
    queue
        .transaction(async |connection| {
            place_order(&queue, connection, 2, "sugar").await?;
            let cancelled: Result<(), Error> = connection
                .transaction(async |connection| {
                    place_order(&queue, connection, 3, "salt").await?;
                    Err("cancelled by the customer".into())
                })
                .await;
            println!("another order: {cancelled:?}");
            Ok::<_, Error>(())
        })
        .await?;
    report(&queue, "after one order was placed and one cancelled").await?;

    // The consumer: the work for a message and its acknowledgement are committed together.
    queue
        .transaction(async |connection| {
            if let Some(message) = queue.with(connection).read::<i64>(ORDERS, 30).await? {
                let order = dsl::transaction_example.find(message.message);
                diesel::update(order).set(dsl::paid.eq(true)).execute(connection).await?;
                queue.with(connection).delete(ORDERS, message.msg_id).await?;
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
    connection: &mut AsyncPgConnection,
    id: i64,
    item: &str,
) -> Result<i64, Error> {
    let message = queue.with(connection).send(ORDERS, &id).await?;
    let order = (dsl::id.eq(id), dsl::item.eq(item), dsl::paid.eq(false));
    diesel::insert_into(dsl::transaction_example).values(order).execute(connection).await?;
    Ok(message)
}

async fn report(queue: &PGMQueue, when: &str) -> Result<(), Error> {
    let mut session = queue.session().await?;
    let orders: i64 = dsl::transaction_example.count().get_result(&mut session).await?;
    let paid: i64 = dsl::transaction_example.filter(dsl::paid).count().get_result(&mut session).await?;
    let messages = queue.metrics(ORDERS).await?.queue_length;
    println!("{when}: {orders} orders, of which {paid} paid; {messages} messages");
    Ok(())
}
