//! Looking without claiming, and the archive.
//!
//! PGMQ has no functions for most of this, so its tables are read. Their columns vary with the version, so all are asked
//! for and picked by name.

use serde::de::DeserializeOwned;

use super::finish::batch;
use super::{Draft, Statement, count};
use crate::queue_name::quote;
use crate::{ArchivedMessage, Message, QueueMetrics};

/// Builds `metrics`.
pub fn metrics(queue: &str) -> Statement<'_, QueueMetrics> {
    Draft::on(queue, "metrics", "pgmq.metrics").sql("SELECT * FROM pgmq.metrics(queue_name=>$1::text)")
}

/// Builds `metrics_all`.
pub fn metrics_all() -> Statement<'static, Vec<QueueMetrics>> {
    Draft::new("metrics_all", "pgmq.metrics_all").sql("SELECT * FROM pgmq.metrics_all()")
}

/// Builds `peek`.
pub fn peek<T: DeserializeOwned + Send>(queue: &str, qty: u32) -> Statement<'_, Vec<Message<T>>> {
    let draft = Draft::new("peek", "pgmq.q_*").naming(queue).int(count("quantity", qty));
    if qty == 0 {
        return draft.answer(Vec::new());
    }
    let table = draft.table('q');
    draft.sql(format!(
        "SELECT * FROM {table} WHERE vt <= pg_catalog.clock_timestamp() ORDER BY msg_id LIMIT $1::integer"
    ))
}

/// Builds `get`.
pub fn get<T: DeserializeOwned + Send>(queue: &str, msg_id: i64) -> Statement<'_, Option<Message<T>>> {
    let draft = Draft::new("get", "pgmq.q_*").naming(queue).bigint(msg_id);
    let table = draft.table('q');
    draft.sql(format!("SELECT * FROM {table} WHERE msg_id = $1::bigint"))
}

/// Builds `read_archive`.
pub fn read_archive<T: DeserializeOwned + Send>(
    queue: &str,
    after_id: i64,
    limit: u32,
) -> Statement<'_, Vec<ArchivedMessage<T>>> {
    let draft =
        Draft::new("read_archive", "pgmq.a_*").naming(queue).bigint(after_id).int(count("limit", limit));
    if limit == 0 {
        return draft.answer(Vec::new());
    }
    let table = draft.table('a');
    draft.sql(format!("SELECT * FROM {table} WHERE msg_id > $1::bigint ORDER BY msg_id LIMIT $2::integer"))
}

/// Builds `requeue_archived`.
///
/// The messages are sent anew, in the order of their old ids. Their old ids could fall into partitions that are gone.
pub fn requeue_archived<'a>(queue: &'a str, msg_ids: &[i64]) -> Statement<'a, Vec<i64>> {
    let draft = Draft::on(queue, "requeue_archived", "pgmq.send").since(1, 5, 0);
    let table = draft.table('a');
    batch(draft, msg_ids, |draft| {
        draft.sql(format!(
            "WITH taken AS (DELETE FROM {table} WHERE msg_id = ANY($2::bigint[]) RETURNING msg_id, message, headers) \
             SELECT pgmq.send(queue_name=>$1::text, msg=>message, headers=>headers, \
             delay=>pg_catalog.clock_timestamp()) FROM (SELECT * FROM taken ORDER BY msg_id) AS taken"
        ))
    })
}

impl Draft<'_> {
    /// A table of the queue, quoted. The name was checked and folded; if it was refused, the text is never sent.
    fn table(&self, prefix: char) -> String {
        format!("pgmq.{}", quote(&format!("{prefix}_{}", self.queue.as_deref().unwrap_or_default())))
    }
}
