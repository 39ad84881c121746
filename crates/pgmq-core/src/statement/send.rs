//! Sending messages to a queue.

use serde::Serialize;

use crate::error::Error;
use crate::error_kind::ErrorKind;
use crate::operations::rows;
use crate::options::{SendBatchOptions, SendOptions};
use crate::param::{JsonArray, Param};
use crate::statement::builder::{StatementBuilder, optional_json};
use crate::statement::query::Statement;
use crate::statement::variants::{SqlVariants, delay, variants};
use crate::version::Version;

/// Builds `send`.
pub fn send<'a, T: Serialize + ?Sized>(queue: &'a str, message: &T) -> Statement<'a, i64> {
    one(StatementBuilder::on(queue, &rows::send), message, &SendOptions::new())
}

/// Builds `send_with`.
pub fn send_with<'a, T: Serialize + ?Sized>(
    queue: &'a str,
    message: &T,
    options: &SendOptions,
) -> Statement<'a, i64> {
    one(StatementBuilder::on(queue, &rows::send_with), message, options)
}

/// The PGMQ version that brought the overload with all arguments: headers, and a point in time as the delay.
const FULL_OVERLOAD: Version = Version::new(1, 5, 0);

/// PGMQ's shorter overloads of `send` are SQL functions around the one with all arguments, and each call of
/// one costs the server a plan. The statement therefore calls the full overload wherever the server has it.
fn one<'a, T: Serialize + ?Sized>(
    builder: StatementBuilder<'a>,
    message: &T,
    options: &SendOptions,
) -> Statement<'a, i64> {
    const SHORT: SqlVariants =
        variants!("SELECT pgmq.send(queue_name=>$1::text, msg=>$2::jsonb", "", "jsonb", delay);
    const FULL: SqlVariants = variants!(
        "SELECT pgmq.send(queue_name=>$1::text, msg=>$2::jsonb",
        ", headers=>NULL::jsonb",
        "jsonb",
        full_delay
    );
    let headers = optional_json(&options.headers, Param::Jsonb);
    let (builder, given) = builder.json(message).options(headers, options.delay);
    let statement = match given.needs_full_overload() {
        true => builder.sql(FULL.get(given)),
        false => builder.sql_or(SHORT.get(given), FULL_OVERLOAD, FULL.get(given)),
    };
    statement.traced_by(FULL.traced(given))
}

/// The delay as the full overload of `send` accepts it: required, and always a point in time.
macro_rules! full_delay {
    (plain) => { ", delay=>pg_catalog.clock_timestamp()" };
    (headers) => { full_delay!(plain) };
    (seconds $param:literal) => {
        concat!(
            ", delay=>pg_catalog.clock_timestamp() + pg_catalog.make_interval(secs=>",
            $param,
            "::integer)"
        )
    };
    (at $param:literal) => { delay!(at $param) };
}

use full_delay;

/// Builds `send_batch`.
pub fn send_batch<'a, T: Serialize>(queue: &'a str, messages: &[T]) -> Statement<'a, Vec<i64>> {
    batch(StatementBuilder::on(queue, &rows::send_batch), messages, &SendBatchOptions::new())
}

/// Builds `send_batch_with`.
pub fn send_batch_with<'a, T: Serialize>(
    queue: &'a str,
    messages: &[T],
    options: &SendBatchOptions,
) -> Statement<'a, Vec<i64>> {
    batch(StatementBuilder::on(queue, &rows::send_batch_with), messages, options)
}

fn batch<'a, T: Serialize>(
    mut builder: StatementBuilder<'a>,
    messages: &[T],
    options: &SendBatchOptions,
) -> Statement<'a, Vec<i64>> {
    const VARIANTS: SqlVariants =
        variants!("SELECT pgmq.send_batch(queue_name=>$1::text, msgs=>$2::jsonb[]", "", "jsonb[]", delay);
    builder.take(check_headers(messages.len(), options));
    let headers = optional_json(&options.headers, Param::JsonbArray);
    let (builder, given) =
        builder.param(JsonArray::of_all(messages).map(Param::JsonbArray)).options(headers, options.delay);
    match messages.is_empty() {
        true => builder.answer(Vec::new()),
        false => builder.sql(VARIANTS.get(given)).traced_by(VARIANTS.traced(given)),
    }
}

/// Checks that there are as many headers as messages, since each message gets its own.
pub(crate) fn check_headers(messages: usize, options: &SendBatchOptions) -> Result<(), Error> {
    match &options.headers {
        Some(Ok(headers)) if headers.len() != messages => {
            let text = format!(
                "there are headers for {} messages, but the batch has {messages}; give headers or None for each message",
                headers.len()
            );
            Err(Error::new(ErrorKind::InvalidArgument, text))
        }
        _ => Ok(()),
    }
}
