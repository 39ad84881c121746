//! Finishing with messages: deleting, archiving, hiding for longer.

use serde::de::DeserializeOwned;

use super::read::by_id;
use super::{Draft, Statement};
use crate::time::DelayParam;
use crate::{Delay, Message, Param};

/// Builds `delete`.
pub fn delete(queue: &str, msg_id: i64) -> Statement<'_, bool> {
    Draft::on(queue, "delete", "pgmq.delete")
        .bigint(msg_id)
        .sql("SELECT pgmq.delete(queue_name=>$1::text, msg_id=>$2::bigint)")
}

/// Builds `delete_batch`.
pub fn delete_batch<'a>(queue: &'a str, msg_ids: &[i64]) -> Statement<'a, Vec<i64>> {
    batch(Draft::on(queue, "delete_batch", "pgmq.delete"), msg_ids, |draft| {
        draft.sql("SELECT pgmq.delete(queue_name=>$1::text, msg_ids=>$2::bigint[])")
    })
}

/// Builds `archive`.
pub fn archive(queue: &str, msg_id: i64) -> Statement<'_, bool> {
    Draft::on(queue, "archive", "pgmq.archive")
        .bigint(msg_id)
        .sql("SELECT pgmq.archive(queue_name=>$1::text, msg_id=>$2::bigint)")
}

/// Builds `archive_batch`.
pub fn archive_batch<'a>(queue: &'a str, msg_ids: &[i64]) -> Statement<'a, Vec<i64>> {
    batch(Draft::on(queue, "archive_batch", "pgmq.archive"), msg_ids, |draft| {
        draft.sql("SELECT pgmq.archive(queue_name=>$1::text, msg_ids=>$2::bigint[])")
    })
}

/// Builds `set_vt`.
pub fn set_vt<T: DeserializeOwned + Send>(
    queue: &str,
    msg_id: i64,
    vt: impl Into<Delay>,
) -> Statement<'_, Option<Message<T>>> {
    let mut draft = Draft::on(queue, "set_vt", "pgmq.set_vt").bigint(msg_id);
    match draft.take(vt.into().param("visibility timeout")) {
        Some(DelayParam::At(at)) => draft
            .since(1, 10, 0)
            .param(Ok(Param::Timestamptz(at)))
            .sql("SELECT * FROM pgmq.set_vt(queue_name=>$1::text, msg_id=>$2::bigint, vt=>$3::timestamptz)"),
        Some(DelayParam::Seconds(seconds)) => draft
            .int(Ok(seconds))
            .sql("SELECT * FROM pgmq.set_vt(queue_name=>$1::text, msg_id=>$2::bigint, vt=>$3::integer)"),
        // The draft holds the error, and reports it.
        None => draft.answer(None),
    }
}

/// Builds `set_vt_batch`.
pub fn set_vt_batch<'a, T: DeserializeOwned + Send>(
    queue: &'a str,
    msg_ids: &[i64],
    vt: impl Into<Delay>,
) -> Statement<'a, Vec<Message<T>>> {
    let mut draft = Draft::on(queue, "set_vt_batch", "pgmq.set_vt").since(1, 8, 0);
    let vt = draft.take(vt.into().param("visibility timeout"));
    let statement = batch(draft, msg_ids, |draft| match vt {
        Some(DelayParam::At(at)) => draft.since(1, 10, 0).param(Ok(Param::Timestamptz(at))).sql(
            "SELECT * FROM pgmq.set_vt(queue_name=>$1::text, msg_ids=>$2::bigint[], vt=>$3::timestamptz)",
        ),
        Some(DelayParam::Seconds(seconds)) => draft
            .int(Ok(seconds))
            .sql("SELECT * FROM pgmq.set_vt(queue_name=>$1::text, msg_ids=>$2::bigint[], vt=>$3::integer)"),
        None => draft.answer(Vec::new()),
    });
    statement.arranged(by_id)
}

/// Adds the ids; without any there is nothing to send.
pub(super) fn batch<'a, R>(
    draft: Draft<'a>,
    msg_ids: &[i64],
    sql: impl FnOnce(Draft<'a>) -> Statement<'a, Vec<R>>,
) -> Statement<'a, Vec<R>>
where
    Vec<R>: crate::Output,
{
    if msg_ids.is_empty() {
        return draft.answer(Vec::new());
    }
    sql(draft.bigints(msg_ids))
}
