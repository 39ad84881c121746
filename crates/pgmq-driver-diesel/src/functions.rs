//! PGMQ's functions as Diesel's expressions, to stand inside a query of your own.
//!
//! A function that is called for rows of a query is called once for each of them, on the server. This sends a message for
//! each order that is not paid, in one statement:
//!
//! ```
//! use diesel::prelude::*;
//! # mod back_end { pub use pgmq_driver_diesel::{functions, Json}; }
//! use back_end::functions;
//!
//! diesel::table! {
//!     orders (id) { id -> BigInt, paid -> Bool, contents -> Jsonb }
//! }
//!
//! let remind = orders::table.filter(orders::paid.eq(false)).select(functions::send("reminders", orders::contents));
//! # let sql = diesel::debug_query::<diesel::pg::Pg, _>(&remind).to_string();
//! # assert!(sql.starts_with(r#"SELECT pgmq.send($1, "orders"."contents") FROM"#), "{sql}");
//! ```
//!
//! `remind.load::<i64>(connection)` then gives the messages' ids. A value from Rust is given as [`Json`](super::Json).
//!
//! PGMQ declares the functions that send as returning sets, of one row each. So they stand in what a query selects; Postgres
//! takes them neither in what an `UPDATE` sets, nor in a filter.
//!
//! They are the functions as the server has them: names of queues are not checked, and those of mixed case not folded, and
//! errors are Diesel's own. Reading functions are not here, since they return records: use the queue, by `with(connection)`,
//! for these and wherever a call stands alone. Beside PGMQ 1.4.4, each says which version brought it.

use diesel::sql_types::{Array, BigInt, Integer, Jsonb, Text, Timestamptz};

#[diesel::declare_sql_function]
extern "SQL" {
    /// Sends a message and returns its id. Calls `pgmq.send`.
    #[sql_name = "pgmq.send"]
    fn send(queue: Text, message: Jsonb) -> BigInt;

    /// Sends a message that is hidden for `delay` seconds, and returns its id. Calls `pgmq.send`.
    #[sql_name = "pgmq.send"]
    fn send_delayed(queue: Text, message: Jsonb, delay: Integer) -> BigInt;

    /// Sends a message that is hidden until a time, and returns its id. Calls `pgmq.send`, from PGMQ 1.5.
    #[sql_name = "pgmq.send"]
    fn send_at(queue: Text, message: Jsonb, visible_at: Timestamptz) -> BigInt;

    /// Sends a message with headers and returns its id. Calls `pgmq.send`, from PGMQ 1.5.
    #[sql_name = "pgmq.send"]
    fn send_with_headers(queue: Text, message: Jsonb, headers: Jsonb) -> BigInt;

    /// Sends several messages and returns their ids, each in a row. Calls `pgmq.send_batch`.
    #[sql_name = "pgmq.send_batch"]
    fn send_batch(queue: Text, messages: Array<Jsonb>) -> BigInt;

    /// Sends a message to the queues that are bound to a routing key, and returns how many these are. Calls
    /// `pgmq.send_topic`, from PGMQ 1.11.
    #[sql_name = "pgmq.send_topic"]
    fn send_topic(routing_key: Text, message: Jsonb) -> Integer;

    /// Deletes a message, and returns whether it was there. Calls `pgmq.delete`.
    #[sql_name = "pgmq.delete"]
    fn delete(queue: Text, msg_id: BigInt) -> Bool;

    /// Moves a message to the archive, and returns whether it was there. Calls `pgmq.archive`.
    #[sql_name = "pgmq.archive"]
    fn archive(queue: Text, msg_id: BigInt) -> Bool;

    /// Deletes all messages of a queue, and returns how many these were. Calls `pgmq.purge_queue`.
    #[sql_name = "pgmq.purge_queue"]
    fn purge_queue(queue: Text) -> BigInt;
}
