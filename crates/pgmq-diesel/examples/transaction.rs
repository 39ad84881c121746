//! Your own rows and messages in one transaction: both are committed, or neither is.
//!
//! Connects by `DATABASE_URL`, such as `postgres://user:password@localhost/database`, or by `PG_HOST` and the
//! like:
//!
//! ```text
//! cargo run --example diesel_transaction
//! ```

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use pgmq_diesel::PGMQueue;

/// The closure of a transaction may fail with any error that a queue's error converts to.
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

fn main() -> Result<(), Error> {
    let queue = PGMQueue::from_env()?;
    queue.create_queue(ORDERS)?;
    let create = "CREATE TABLE IF NOT EXISTS transaction_example \
                  (id bigint PRIMARY KEY, item text NOT NULL, paid boolean NOT NULL)";
    queue.session()?.batch_execute(create)?;

    // Commits, because the closure returns `Ok`.
    queue.transaction(|connection| place_order(&queue, connection, 1, "tea"))?;
    report(&queue, "after an order was placed")?;

    // Rolls back, because the order exists already and the closure returns the error.
    let refused = queue.transaction(|connection| place_order(&queue, connection, 1, "milk"));
    println!("the same order again: {}", refused.is_err());
    report(&queue, "after the same order was refused")?;

    // Diesel's own transactions nest: the outer order is committed, and the inner one is rolled back.
    queue.transaction(|connection| {
        place_order(&queue, connection, 2, "sugar")?;
        let cancelled: Result<(), Error> = connection.transaction(|connection| {
            place_order(&queue, connection, 3, "salt")?;
            Err("cancelled by the customer".into())
        });
        println!("another order: {cancelled:?}");
        Ok::<_, Error>(())
    })?;
    report(&queue, "after one order was placed and one cancelled")?;

    // The consumer: the work for a message and its acknowledgement are committed together.
    queue.transaction(|connection| {
        if let Some(message) = queue.with(connection).read::<i64>(ORDERS, 30)? {
            let order = dsl::transaction_example.find(message.message);
            diesel::update(order).set(dsl::paid.eq(true)).execute(connection)?;
            queue.with(connection).delete(ORDERS, message.msg_id)?;
        }
        Ok::<_, Error>(())
    })?;
    report(&queue, "after the message was handled")?;

    queue.drop_queue(ORDERS)?;
    queue.session()?.batch_execute("DROP TABLE transaction_example")?;
    Ok(())
}

fn place_order(queue: &PGMQueue, connection: &mut PgConnection, id: i64, item: &str) -> Result<i64, Error> {
    let message = queue.with(connection).send(ORDERS, &id)?;
    let order = (dsl::id.eq(id), dsl::item.eq(item), dsl::paid.eq(false));
    diesel::insert_into(dsl::transaction_example).values(order).execute(connection)?;
    Ok(message)
}

fn report(queue: &PGMQueue, when: &str) -> Result<(), Error> {
    let mut session = queue.session()?;
    let orders: i64 = dsl::transaction_example.count().get_result(&mut session)?;
    let paid: i64 = dsl::transaction_example.filter(dsl::paid).count().get_result(&mut session)?;
    let messages = queue.metrics(ORDERS)?.queue_length;
    println!("{when}: {orders} orders, of which {paid} paid; {messages} messages");
    Ok(())
}
