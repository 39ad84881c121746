//! Browsing queues without reading from them, and archives.
//!
//! PGMQ has no functions for most of this, so the statements read its tables. The columns vary with the
//! version, so all columns are selected and picked by name.

use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::call::Call;
use crate::message::{ArchivedMessage, Message};
use crate::operations::rows;
use crate::records::QueueMetrics;
use crate::statement::builder::{StatementBuilder, count};
use crate::statement::finish::batch;
use crate::statement::query::Statement;

/// Builds `metrics`.
pub fn metrics(queue: &str) -> Statement<'_, QueueMetrics> {
    StatementBuilder::on(queue, &rows::metrics).sql("SELECT * FROM pgmq.metrics(queue_name=>$1::text)")
}

/// Builds `metrics_all`.
pub fn metrics_all() -> Statement<'static, Vec<QueueMetrics>> {
    StatementBuilder::new(&rows::metrics_all).sql("SELECT * FROM pgmq.metrics_all()")
}

/// Builds `peek`.
pub fn peek<T: DeserializeOwned + Send>(queue: &str, qty: u32) -> Statement<'_, Vec<Message<T>>> {
    let builder = StatementBuilder::new(&rows::peek).naming(queue).int(count("quantity", qty));
    if qty == 0 {
        return builder.answer(Vec::new());
    }
    let table = builder.table('q');
    builder.sql(format!(
        "SELECT * FROM {table} WHERE vt <= pg_catalog.clock_timestamp() ORDER BY msg_id LIMIT $1::integer"
    ))
}

/// Builds the look at all messages of a queue, visible or not, with ids greater than `after_id`, in the order
/// of their ids. It leaves them as they are. For the test helpers of `pgmq-worker`.
#[doc(hidden)]
pub fn peek_all<T: DeserializeOwned + Send>(
    queue: &str,
    after_id: i64,
    qty: u32,
) -> Statement<'_, Vec<Message<T>>> {
    let call = Call::new("peek_all", "pgmq.q_*");
    let builder = StatementBuilder::outside_the_table(call).naming(queue).bigint(after_id);
    let builder = builder.int(count("quantity", qty));
    let table = builder.table('q');
    builder.sql(format!("SELECT * FROM {table} WHERE msg_id > $1::bigint ORDER BY msg_id LIMIT $2::integer"))
}

/// Builds `get`.
pub fn get<T: DeserializeOwned + Send>(queue: &str, msg_id: i64) -> Statement<'_, Option<Message<T>>> {
    let builder = StatementBuilder::new(&rows::get).naming(queue).bigint(msg_id);
    let table = builder.table('q');
    builder.sql(format!("SELECT * FROM {table} WHERE msg_id = $1::bigint"))
}

/// Builds `next_due`.
///
/// The smallest `vt` is looked up in an index. A condition on the current time would have to be tested for
/// every entry instead. An infinite time counts as thirty years.
pub fn next_due(queue: &str) -> Statement<'_, Option<Duration>> {
    let builder = StatementBuilder::new(&rows::next_due).naming(queue);
    let table = builder.table('q');
    builder.sql(format!(
        "SELECT greatest(0, least(1000000000000000, pg_catalog.ceil(1000000 * (\
         extract(epoch FROM due) - extract(epoch FROM pg_catalog.clock_timestamp())))))::bigint \
         FROM (SELECT pg_catalog.min(vt) AS due FROM {table}) AS next WHERE due IS NOT NULL"
    ))
}

/// Builds `read_archive`.
pub fn read_archive<T: DeserializeOwned + Send>(
    queue: &str,
    after_id: i64,
    limit: u32,
) -> Statement<'_, Vec<ArchivedMessage<T>>> {
    let builder =
        StatementBuilder::new(&rows::read_archive).naming(queue).bigint(after_id).int(count("limit", limit));
    if limit == 0 {
        return builder.answer(Vec::new());
    }
    let table = builder.table('a');
    builder.sql(format!("SELECT * FROM {table} WHERE msg_id > $1::bigint ORDER BY msg_id LIMIT $2::integer"))
}

/// Builds `requeue_archived`.
///
/// The messages get new ids, in the order of their old ones. Old ids could belong to partitions that were
/// dropped.
pub fn requeue_archived<'a>(queue: &'a str, msg_ids: &[i64]) -> Statement<'a, Vec<i64>> {
    let builder = StatementBuilder::on(queue, &rows::requeue_archived);
    let table = builder.table('a');
    batch(builder, msg_ids, |builder| {
        builder.sql(format!(
            "WITH taken AS (DELETE FROM {table} WHERE msg_id = ANY($2::bigint[]) RETURNING msg_id, message, headers) \
             SELECT pgmq.send(queue_name=>$1::text, msg=>message, headers=>headers, \
             delay=>pg_catalog.clock_timestamp()) FROM (SELECT * FROM taken ORDER BY msg_id) AS taken"
        ))
    })
}
