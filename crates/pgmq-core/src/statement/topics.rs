//! Topics: routing keys, patterns, and the queues that they match.

use serde::Serialize;

use crate::operations::{Operation, rows};
use crate::options::{SendBatchOptions, SendOptions};
use crate::param::{JsonArray, Param};
use crate::records::{RoutingMatch, TopicBinding, TopicMessage};
use crate::routing;
use crate::statement::builder::{StatementBuilder, optional_json};
use crate::statement::query::Statement;
use crate::statement::send::check_headers;
use crate::statement::variants::{SqlVariants, delay, variants};

/// The name of the queue as PGMQ records it, which bindings have to equal: another client may have created
/// the queue with capitals in its name.
macro_rules! recorded {
    ($before:literal) => {
        concat!(
            $before,
            "queue_name=>coalesce((SELECT queue_name::text FROM pgmq.meta \
             WHERE pg_catalog.lower(queue_name::text) = $1::text \
             ORDER BY queue_name::text <> $1::text, queue_name::text LIMIT 1), $1::text))"
        )
    };
}

/// All names under which PGMQ records the queue, or the name itself if there is none. Two clients may have
/// recorded it twice, in two spellings.
macro_rules! each_recorded {
    ($before:literal, $after:literal) => {
        concat!(
            $before,
            " FROM (SELECT queue_name::text AS name FROM pgmq.meta \
             WHERE pg_catalog.lower(queue_name::text) = $1::text UNION SELECT $1::text) AS recorded",
            $after
        )
    };
}

/// Builds `bind_topic`.
pub fn bind_topic<'a>(queue: &'a str, pattern: &str) -> Statement<'a, ()> {
    let mut builder = StatementBuilder::on(queue, &rows::bind_topic);
    builder.take(routing::check_pattern(pattern));
    builder.text(pattern.to_owned()).sql(recorded!("SELECT pgmq.bind_topic(pattern=>$2::text, "))
}

/// Builds `unbind_topic`.
pub fn unbind_topic<'a>(queue: &'a str, pattern: &str) -> Statement<'a, bool> {
    let mut builder = StatementBuilder::on(queue, &rows::unbind_topic);
    builder.take(routing::check_pattern(pattern));
    builder.text(pattern.to_owned()).sql(each_recorded!(
        "SELECT pg_catalog.bool_or(pgmq.unbind_topic(pattern=>$2::text, queue_name=>recorded.name))",
        ""
    ))
}

/// Builds `list_topic_bindings`.
pub fn list_topic_bindings() -> Statement<'static, Vec<TopicBinding>> {
    StatementBuilder::new(&rows::list_topic_bindings).sql("SELECT * FROM pgmq.list_topic_bindings()")
}

/// Builds `list_topic_bindings_for`.
pub fn list_topic_bindings_for(queue: &str) -> Statement<'_, Vec<TopicBinding>> {
    StatementBuilder::on(queue, &rows::list_topic_bindings_for).sql(each_recorded!(
        "SELECT bindings.*",
        ", LATERAL pgmq.list_topic_bindings(queue_name=>recorded.name) AS bindings"
    ))
}

/// Builds `test_routing`.
pub fn test_routing(routing_key: &str) -> Statement<'_, Vec<RoutingMatch>> {
    keyed(routing_key, &rows::test_routing).sql("SELECT * FROM pgmq.test_routing(routing_key=>$1::text)")
}

/// Builds `validate_routing_key`.
///
/// The server raises an exception for an invalid key, so the client answers for such a key itself.
pub fn validate_routing_key(routing_key: &str) -> Statement<'_, bool> {
    let builder = StatementBuilder::new(&rows::validate_routing_key);
    match routing::check_key(routing_key) {
        Ok(()) => builder.text(routing_key).sql("SELECT pgmq.validate_routing_key(routing_key=>$1::text)"),
        Err(_) => builder.answer(false),
    }
}

/// Builds `validate_topic_pattern`.
///
/// The server raises an exception for an invalid pattern, so the client answers for such a pattern itself.
pub fn validate_topic_pattern(pattern: &str) -> Statement<'_, bool> {
    let builder = StatementBuilder::new(&rows::validate_topic_pattern);
    match routing::check_pattern(pattern) {
        Ok(()) => builder.text(pattern).sql("SELECT pgmq.validate_topic_pattern(pattern=>$1::text)"),
        Err(_) => builder.answer(false),
    }
}

/// Builds `send_topic`.
pub fn send_topic<'a, T: Serialize + ?Sized>(routing_key: &'a str, message: &T) -> Statement<'a, u32> {
    one(keyed(routing_key, &rows::send_topic), message, &SendOptions::new())
}

/// Builds `send_topic_with`.
pub fn send_topic_with<'a, T: Serialize + ?Sized>(
    routing_key: &'a str,
    message: &T,
    options: &SendOptions,
) -> Statement<'a, u32> {
    one(keyed(routing_key, &rows::send_topic_with), message, options)
}

fn one<'a, T: Serialize + ?Sized>(
    builder: StatementBuilder<'a>,
    message: &T,
    options: &SendOptions,
) -> Statement<'a, u32> {
    const VARIANTS: SqlVariants =
        variants!("SELECT pgmq.send_topic(routing_key=>$1::text, msg=>$2::jsonb", "", "jsonb", topic_delay);
    let headers = optional_json(&options.headers, Param::Jsonb);
    let (builder, given) = builder.json(message).options(headers, options.delay);
    builder.sql(VARIANTS.get(given)).traced_by(VARIANTS.traced(given))
}

/// The delay as `send_topic` accepts it: whole seconds, and required next to headers. A point in time becomes
/// the seconds until then, rounded up.
macro_rules! topic_delay {
    (plain) => { "" };
    (headers) => { ", delay=>0::integer" };
    (seconds $param:literal) => { delay!(seconds $param) };
    (at $param:literal) => {
        concat!(
            ", delay=>greatest(0, pg_catalog.ceil(extract(epoch FROM ",
            $param,
            "::timestamptz - pg_catalog.clock_timestamp())))::integer"
        )
    };
}

use topic_delay;

/// Builds `send_batch_topic`.
pub fn send_batch_topic<'a, T: Serialize>(
    routing_key: &'a str,
    messages: &[T],
) -> Statement<'a, Vec<TopicMessage>> {
    batch(keyed(routing_key, &rows::send_batch_topic), messages, &SendBatchOptions::new())
}

/// Builds `send_batch_topic_with`.
pub fn send_batch_topic_with<'a, T: Serialize>(
    routing_key: &'a str,
    messages: &[T],
    options: &SendBatchOptions,
) -> Statement<'a, Vec<TopicMessage>> {
    batch(keyed(routing_key, &rows::send_batch_topic_with), messages, options)
}

fn batch<'a, T: Serialize>(
    mut builder: StatementBuilder<'a>,
    messages: &[T],
    options: &SendBatchOptions,
) -> Statement<'a, Vec<TopicMessage>> {
    const VARIANTS: SqlVariants = variants!(
        "SELECT * FROM pgmq.send_batch_topic(routing_key=>$1::text, msgs=>$2::jsonb[]",
        "",
        "jsonb[]",
        delay
    );
    builder.take(check_headers(messages.len(), options));
    let headers = optional_json(&options.headers, Param::JsonbArray);
    let (builder, given) =
        builder.param(JsonArray::of_all(messages).map(Param::JsonbArray)).options(headers, options.delay);
    match messages.is_empty() {
        true => builder.answer(Vec::new()),
        false => builder.sql(VARIANTS.get(given)).traced_by(VARIANTS.traced(given)),
    }
}

/// A builder for an operation on a routing key, which is the first parameter.
fn keyed<'a>(routing_key: &'a str, operation: &'static Operation) -> StatementBuilder<'a> {
    let mut builder = StatementBuilder::new(operation);
    builder.take(routing::check_key(routing_key));
    builder.text(routing_key)
}
