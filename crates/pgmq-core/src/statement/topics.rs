//! Topics: routing keys, patterns, and the queues that they reach.

use serde::Serialize;

use super::forms::{Forms, delay, forms};
use super::send::check_headers;
use super::{Draft, Statement, given};
use crate::param::JsonArray;
use crate::{Param, RoutingMatch, SendBatchOptions, SendOptions, TopicBinding, TopicMessage, routing};

/// Builds `bind_topic`.
pub fn bind_topic<'a>(queue: &'a str, pattern: &str) -> Statement<'a, ()> {
    let mut draft = Draft::on(queue, "bind_topic", "pgmq.bind_topic").since(1, 11, 0);
    draft.take(routing::check_pattern(pattern));
    draft.text(pattern.to_owned()).sql("SELECT pgmq.bind_topic(pattern=>$2::text, queue_name=>$1::text)")
}

/// Builds `unbind_topic`.
pub fn unbind_topic<'a>(queue: &'a str, pattern: &str) -> Statement<'a, bool> {
    let mut draft = Draft::on(queue, "unbind_topic", "pgmq.unbind_topic").since(1, 11, 0);
    draft.take(routing::check_pattern(pattern));
    draft.text(pattern.to_owned()).sql("SELECT pgmq.unbind_topic(pattern=>$2::text, queue_name=>$1::text)")
}

/// Builds `list_topic_bindings`.
pub fn list_topic_bindings() -> Statement<'static, Vec<TopicBinding>> {
    Draft::new("list_topic_bindings", "pgmq.list_topic_bindings")
        .since(1, 11, 0)
        .sql("SELECT * FROM pgmq.list_topic_bindings()")
}

/// Builds `list_topic_bindings_for`.
pub fn list_topic_bindings_for(queue: &str) -> Statement<'_, Vec<TopicBinding>> {
    Draft::on(queue, "list_topic_bindings_for", "pgmq.list_topic_bindings")
        .since(1, 11, 0)
        .sql("SELECT * FROM pgmq.list_topic_bindings(queue_name=>$1::text)")
}

/// Builds `test_routing`.
pub fn test_routing(routing_key: &str) -> Statement<'_, Vec<RoutingMatch>> {
    keyed(routing_key, "test_routing", "pgmq.test_routing")
        .sql("SELECT * FROM pgmq.test_routing(routing_key=>$1::text)")
}

/// Builds `validate_routing_key`. The server would raise an exception instead of saying no, so a bad key is known here.
pub fn validate_routing_key(routing_key: &str) -> Statement<'_, bool> {
    let draft = Draft::new("validate_routing_key", "pgmq.validate_routing_key").since(1, 11, 0);
    match routing::check_key(routing_key) {
        Ok(()) => draft.text(routing_key).sql("SELECT pgmq.validate_routing_key(routing_key=>$1::text)"),
        Err(_) => draft.answer(false),
    }
}

/// Builds `validate_topic_pattern`. The server would raise an exception instead of saying no, so a bad pattern is known
/// here.
pub fn validate_topic_pattern(pattern: &str) -> Statement<'_, bool> {
    let draft = Draft::new("validate_topic_pattern", "pgmq.validate_topic_pattern").since(1, 11, 0);
    match routing::check_pattern(pattern) {
        Ok(()) => draft.text(pattern).sql("SELECT pgmq.validate_topic_pattern(pattern=>$1::text)"),
        Err(_) => draft.answer(false),
    }
}

/// Builds `send_topic`.
pub fn send_topic<'a, T: Serialize + ?Sized>(routing_key: &'a str, message: &T) -> Statement<'a, u32> {
    one(keyed(routing_key, "send_topic", "pgmq.send_topic"), message, &SendOptions::new())
}

/// Builds `send_topic_with`.
pub fn send_topic_with<'a, T: Serialize + ?Sized>(
    routing_key: &'a str,
    message: &T,
    options: &SendOptions,
) -> Statement<'a, u32> {
    one(keyed(routing_key, "send_topic_with", "pgmq.send_topic"), message, options)
}

fn one<'a, T: Serialize + ?Sized>(
    draft: Draft<'a>,
    message: &T,
    options: &SendOptions,
) -> Statement<'a, u32> {
    const FORMS: Forms =
        forms!("SELECT pgmq.send_topic(routing_key=>$1::text, msg=>$2::jsonb", "", "jsonb", topic_delay);
    let headers = given(&options.headers, Param::Jsonb);
    let (draft, given) = draft.json(message).options(headers, options.delay);
    draft.sql(FORMS.get(given))
}

/// The delay as `send_topic` takes it: whole seconds, and always there beside headers. A point in time becomes the
/// seconds until then, rounded up.
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
    batch(keyed(routing_key, "send_batch_topic", "pgmq.send_batch_topic"), messages, &SendBatchOptions::new())
}

/// Builds `send_batch_topic_with`.
pub fn send_batch_topic_with<'a, T: Serialize>(
    routing_key: &'a str,
    messages: &[T],
    options: &SendBatchOptions,
) -> Statement<'a, Vec<TopicMessage>> {
    batch(keyed(routing_key, "send_batch_topic_with", "pgmq.send_batch_topic"), messages, options)
}

fn batch<'a, T: Serialize>(
    mut draft: Draft<'a>,
    messages: &[T],
    options: &SendBatchOptions,
) -> Statement<'a, Vec<TopicMessage>> {
    const FORMS: Forms = forms!(
        "SELECT * FROM pgmq.send_batch_topic(routing_key=>$1::text, msgs=>$2::jsonb[]",
        "",
        "jsonb[]",
        delay
    );
    draft.take(check_headers(messages.len(), options));
    if messages.is_empty() {
        return draft.answer(Vec::new());
    }
    let headers = given(&options.headers, Param::JsonbArray);
    let (draft, given) =
        draft.param(JsonArray::of_all(messages).map(Param::JsonbArray)).options(headers, options.delay);
    draft.sql(FORMS.get(given))
}

/// A draft about a routing key, which is its first parameter.
fn keyed<'a>(routing_key: &'a str, operation: &'static str, function: &'static str) -> Draft<'a> {
    let mut draft = Draft::new(operation, function).since(1, 11, 0);
    draft.take(routing::check_key(routing_key));
    draft.text(routing_key)
}
