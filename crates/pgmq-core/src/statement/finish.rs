//! Acknowledging messages: deleting and archiving them, or changing when they become visible.

use serde::de::DeserializeOwned;

use crate::decode::Output;
use crate::message::Message;
use crate::operations::{Feature, rows};
use crate::param::Param;
use crate::statement::builder::StatementBuilder;
use crate::statement::query::Statement;
use crate::statement::read::by_id;
use crate::time::{Delay, DelayParam};

/// Builds `delete`.
pub fn delete(queue: &str, msg_id: i64) -> Statement<'_, bool> {
    StatementBuilder::on(queue, &rows::delete)
        .bigint(msg_id)
        .sql("SELECT pgmq.delete(queue_name=>$1::text, msg_id=>$2::bigint)")
}

/// Builds `delete_batch`.
pub fn delete_batch<'a>(queue: &'a str, msg_ids: &[i64]) -> Statement<'a, Vec<i64>> {
    batch(StatementBuilder::on(queue, &rows::delete_batch), msg_ids, |builder| {
        builder.sql("SELECT pgmq.delete(queue_name=>$1::text, msg_ids=>$2::bigint[])")
    })
}

/// Builds `archive`.
pub fn archive(queue: &str, msg_id: i64) -> Statement<'_, bool> {
    StatementBuilder::on(queue, &rows::archive)
        .bigint(msg_id)
        .sql("SELECT pgmq.archive(queue_name=>$1::text, msg_id=>$2::bigint)")
}

/// Builds `archive_batch`.
pub fn archive_batch<'a>(queue: &'a str, msg_ids: &[i64]) -> Statement<'a, Vec<i64>> {
    batch(StatementBuilder::on(queue, &rows::archive_batch), msg_ids, |builder| {
        builder.sql("SELECT pgmq.archive(queue_name=>$1::text, msg_ids=>$2::bigint[])")
    })
}

/// Builds `set_vt`.
pub fn set_vt<T: DeserializeOwned + Send>(
    queue: &str,
    msg_id: i64,
    vt: impl Into<Delay>,
) -> Statement<'_, Option<Message<T>>> {
    let mut builder = StatementBuilder::on(queue, &rows::set_vt).bigint(msg_id);
    match builder.take(vt.into().param("visibility timeout")) {
        Some(DelayParam::At(at)) => builder
            .uses(Feature::PointInTime)
            .param(Ok(Param::Timestamptz(at)))
            .sql("SELECT * FROM pgmq.set_vt(queue_name=>$1::text, msg_id=>$2::bigint, vt=>$3::timestamptz)"),
        Some(DelayParam::Seconds(seconds)) => builder
            .int(Ok(seconds))
            .sql("SELECT * FROM pgmq.set_vt(queue_name=>$1::text, msg_id=>$2::bigint, vt=>$3::integer)"),
        // The builder holds the error.
        None => builder.answer(None),
    }
}

/// Builds `set_vt_batch`.
pub fn set_vt_batch<'a, T: DeserializeOwned + Send>(
    queue: &'a str,
    msg_ids: &[i64],
    vt: impl Into<Delay>,
) -> Statement<'a, Vec<Message<T>>> {
    let mut builder = StatementBuilder::on(queue, &rows::set_vt_batch);
    let vt = builder.take(vt.into().param("visibility timeout"));
    let statement = batch(builder, msg_ids, |builder| match vt {
        Some(DelayParam::At(at)) => builder.uses(Feature::PointInTime).param(Ok(Param::Timestamptz(at))).sql(
            "SELECT * FROM pgmq.set_vt(queue_name=>$1::text, msg_ids=>$2::bigint[], vt=>$3::timestamptz)",
        ),
        Some(DelayParam::Seconds(seconds)) => builder
            .int(Ok(seconds))
            .sql("SELECT * FROM pgmq.set_vt(queue_name=>$1::text, msg_ids=>$2::bigint[], vt=>$3::integer)"),
        None => builder.answer(Vec::new()),
    });
    statement.sorted_by(by_id)
}

/// Adds the ids. An empty list needs no round trip.
pub(super) fn batch<'a, R>(
    builder: StatementBuilder<'a>,
    msg_ids: &[i64],
    sql: impl FnOnce(StatementBuilder<'a>) -> Statement<'a, Vec<R>>,
) -> Statement<'a, Vec<R>>
where
    Vec<R>: Output,
{
    if msg_ids.is_empty() {
        return builder.answer(Vec::new());
    }
    sql(builder.bigints(msg_ids))
}
