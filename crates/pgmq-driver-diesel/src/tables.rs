//! The tables of queues and archives, for Diesel.

/// Declares the table of a queue to Diesel, for your own queries: to join it with your tables, to count, to
/// search.
///
/// The macro expands to [`diesel::table!`] with the columns that every queue has: `msg_id`, `read_ct`,
/// `enqueued_at`, `vt` and `message`, `headers` since PGMQ 1.5, and `last_read_at` since PGMQ 1.10. On an
/// older PGMQ, select only the columns that exist. You choose the name of the module. The text after it is
/// the name of the table, which is `q_` and the queue's name in lower case. Your crate must depend on
/// `diesel`.
///
/// Use the table only to look at messages. A query does not claim the messages that it reads, and rows that
/// it writes are not what PGMQ's functions would have written.
///
/// ```
/// use diesel::prelude::*;
/// # mod back_end { pub use pgmq_driver_diesel::queue_table; }
/// # use back_end::queue_table;
///
/// queue_table! { emails = "q_emails" }
///
/// let unread = emails::table.filter(emails::read_ct.eq(0)).count();
/// # let sql = diesel::debug_query::<diesel::pg::Pg, _>(&unread).to_string();
/// # assert!(sql.starts_with(r#"SELECT COUNT(*) FROM "pgmq"."q_emails" WHERE"#), "{sql}");
/// ```
#[macro_export]
macro_rules! queue_table {
    ($module:ident = $table:tt) => {
        ::diesel::table! {
            #[sql_name = $table]
            pgmq.$module (msg_id) {
                msg_id -> BigInt,
                read_ct -> Integer,
                enqueued_at -> Timestamptz,
                last_read_at -> Nullable<Timestamptz>,
                vt -> Timestamptz,
                message -> Nullable<Jsonb>,
                headers -> Nullable<Jsonb>,
            }
        }
    };
}

/// Declares the table of an archive to Diesel, for your own queries: to join it with your tables, to count,
/// to search.
///
/// The macro expands to [`diesel::table!`] with the columns of [`queue_table!`](crate::queue_table) and
/// `archived_at`. The name of the table is `a_` and the queue's name in lower case. Your crate must depend on
/// `diesel`.
///
/// ```
/// use diesel::prelude::*;
/// # mod back_end { pub use pgmq_driver_diesel::{archive_table, Json}; }
/// # use back_end::archive_table;
///
/// archive_table! { sent_emails = "a_emails" }
///
/// diesel::table! {
///     orders (id) { id -> BigInt, email_id -> BigInt }
/// }
///
/// diesel::allow_tables_to_appear_in_same_query!(orders, sent_emails);
///
/// let confirmed = orders::table
///     .inner_join(sent_emails::table.on(sent_emails::msg_id.eq(orders::email_id)))
///     .select((orders::id, sent_emails::archived_at));
/// # let sql = diesel::debug_query::<diesel::pg::Pg, _>(&confirmed).to_string();
/// # assert!(sql.contains(r#"INNER JOIN "pgmq"."a_emails" ON"#), "{sql}");
/// ```
#[macro_export]
macro_rules! archive_table {
    ($module:ident = $table:tt) => {
        ::diesel::table! {
            #[sql_name = $table]
            pgmq.$module (msg_id) {
                msg_id -> BigInt,
                read_ct -> Integer,
                enqueued_at -> Timestamptz,
                last_read_at -> Nullable<Timestamptz>,
                archived_at -> Timestamptz,
                vt -> Timestamptz,
                message -> Nullable<Jsonb>,
                headers -> Nullable<Jsonb>,
            }
        }
    };
}
