//! The tables of queues and archives, for Diesel.

/// Declares the table of a queue to Diesel, to stand inside a query of your own: joined with your tables, counted, searched.
///
/// It is what [`diesel::table!`] makes, of the columns that every queue has: `msg_id`, `read_ct`, `enqueued_at`, `vt` and
/// `message`, and of PGMQ 1.5 `headers`, and of PGMQ 1.10 `last_read_at`. With an older PGMQ, select the columns that are
/// there. The name of the module is yours; behind it stands the table's own name, which is `q_` and the queue's name in lower
/// case. It needs `diesel` among your own dependencies.
///
/// Use it for looking. What is read so is not claimed, and rows that are written so are not what PGMQ's functions would have
/// written.
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

/// Declares the table of an archive to Diesel, to stand inside a query of your own: joined with your tables, counted,
/// searched.
///
/// It is what [`diesel::table!`] makes, of the columns of [`queue_table!`](crate::queue_table) and `archived_at`. The table's
/// own name is `a_` and the queue's name in lower case. It needs `diesel` among your own dependencies.
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
