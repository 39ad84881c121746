//! PGMQ's functions as Diesel expressions, for your own queries.
//!
//! The server calls the function once for each row of the query. The following statement sends a message for
//! each order that is not paid:
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
//! let remind = orders::table
//!     .filter(orders::paid.eq(false))
//!     .select(functions::send("reminders", orders::contents));
//! # let sql = diesel::debug_query::<diesel::pg::Pg, _>(&remind).to_string();
//! # assert!(sql.starts_with(r#"SELECT pgmq.send($1, "orders"."contents") FROM"#), "{sql}");
//! ```
//!
//! `remind.load::<i64>(connection)` then returns the ids of the messages. Pass a Rust value as
//! [`Json`](crate::Json).
//!
//! PGMQ declares the functions that send as returning sets, of one row each. Use them in the select list of a
//! query: Postgres accepts them neither in the `SET` of an `UPDATE` nor in a filter.
//!
//! The functions are the server's own: nothing checks the names of queues or folds them to lower case, and
//! errors are Diesel's own. Functions that read are missing, since they return records. For those, and for
//! any call that is not part of a query, use the queue by `with(connection)`. A function needs PGMQ 1.4.4,
//! unless its documentation names a later version.

use diesel::sql_types::{Array, BigInt, Integer, Jsonb, Text, Timestamptz};

#[diesel::declare_sql_function]
extern "SQL" {
    /// Sends a message and returns its id. Calls `pgmq.send`.
    #[sql_name = "pgmq.send"]
    fn send(queue: Text, message: Jsonb) -> BigInt;

    /// Sends a message that stays hidden for `delay` seconds, and returns its id. Calls `pgmq.send`.
    #[sql_name = "pgmq.send"]
    fn send_delayed(queue: Text, message: Jsonb, delay: Integer) -> BigInt;

    /// Sends a message that stays hidden until `visible_at`, and returns its id. Calls `pgmq.send`. Needs
    /// PGMQ 1.5.
    #[sql_name = "pgmq.send"]
    fn send_at(queue: Text, message: Jsonb, visible_at: Timestamptz) -> BigInt;

    /// Sends a message with headers and returns its id. Calls `pgmq.send`. Needs PGMQ 1.5.
    #[sql_name = "pgmq.send"]
    fn send_with_headers(queue: Text, message: Jsonb, headers: Jsonb) -> BigInt;

    /// Sends several messages and returns their ids, one per row. Calls `pgmq.send_batch`.
    #[sql_name = "pgmq.send_batch"]
    fn send_batch(queue: Text, messages: Array<Jsonb>) -> BigInt;

    /// Sends a message to every queue with a pattern that matches the routing key, and returns the number of
    /// those queues. Calls `pgmq.send_topic`. Needs PGMQ 1.11.
    #[sql_name = "pgmq.send_topic"]
    fn send_topic(routing_key: Text, message: Jsonb) -> Integer;

    /// Deletes a message, and returns `true` if it was there. Calls `pgmq.delete`.
    #[sql_name = "pgmq.delete"]
    fn delete(queue: Text, msg_id: BigInt) -> Bool;

    /// Moves a message to the archive, and returns `true` if it was there. Calls `pgmq.archive`.
    #[sql_name = "pgmq.archive"]
    fn archive(queue: Text, msg_id: BigInt) -> Bool;

    /// Deletes all messages of a queue, and returns their number. Calls `pgmq.purge_queue`.
    #[sql_name = "pgmq.purge_queue"]
    fn purge_queue(queue: Text) -> BigInt;
}
