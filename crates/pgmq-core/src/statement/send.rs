//! Sending.

use serde::Serialize;

use super::forms::{FULL_FORM, Forms, delay, forms};
use super::{Draft, Statement, given};
use crate::param::JsonArray;
use crate::{Error, ErrorKind, Param, SendBatchOptions, SendOptions};

/// Builds `send`.
pub fn send<'a, T: Serialize + ?Sized>(queue: &'a str, message: &T) -> Statement<'a, i64> {
    one(Draft::on(queue, "send", "pgmq.send"), message, &SendOptions::new())
}

/// Builds `send_with`.
pub fn send_with<'a, T: Serialize + ?Sized>(
    queue: &'a str,
    message: &T,
    options: &SendOptions,
) -> Statement<'a, i64> {
    one(Draft::on(queue, "send_with", "pgmq.send"), message, options)
}

/// PGMQ's shorter forms of `send` are SQL functions around the one with all arguments, and each call of one costs the
/// server a plan. So the full form is called wherever it is there.
fn one<'a, T: Serialize + ?Sized>(
    draft: Draft<'a>,
    message: &T,
    options: &SendOptions,
) -> Statement<'a, i64> {
    const SHORT: Forms = forms!("SELECT pgmq.send(queue_name=>$1::text, msg=>$2::jsonb", "", "jsonb", delay);
    const FULL: Forms = forms!(
        "SELECT pgmq.send(queue_name=>$1::text, msg=>$2::jsonb",
        ", headers=>NULL::jsonb",
        "jsonb",
        full_delay
    );
    let headers = given(&options.headers, Param::Jsonb);
    let (draft, given) = draft.json(message).options(headers, options.delay);
    match given.needs_full_form() {
        true => draft.sql(FULL.get(given)),
        false => draft.sql_or(SHORT.get(given), FULL_FORM, FULL.get(given)),
    }
}

/// The delay as the full form of `send` takes it: always there, always a point in time.
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
    batch(Draft::on(queue, "send_batch", "pgmq.send_batch"), messages, &SendBatchOptions::new())
}

/// Builds `send_batch_with`.
pub fn send_batch_with<'a, T: Serialize>(
    queue: &'a str,
    messages: &[T],
    options: &SendBatchOptions,
) -> Statement<'a, Vec<i64>> {
    batch(Draft::on(queue, "send_batch_with", "pgmq.send_batch"), messages, options)
}

fn batch<'a, T: Serialize>(
    mut draft: Draft<'a>,
    messages: &[T],
    options: &SendBatchOptions,
) -> Statement<'a, Vec<i64>> {
    const FORMS: Forms =
        forms!("SELECT pgmq.send_batch(queue_name=>$1::text, msgs=>$2::jsonb[]", "", "jsonb[]", delay);
    draft.take(check_headers(messages.len(), options));
    if messages.is_empty() {
        return draft.answer(Vec::new());
    }
    let headers = given(&options.headers, Param::JsonbArray);
    let (draft, given) =
        draft.param(JsonArray::of_all(messages).map(Param::JsonbArray)).options(headers, options.delay);
    draft.sql(FORMS.get(given))
}

/// Headers go with messages one by one, so there have to be as many.
pub(super) fn check_headers(messages: usize, options: &SendBatchOptions) -> Result<(), Error> {
    match &options.headers {
        Some(Ok(headers)) if headers.len() != messages => {
            let text = format!("there are headers for {} messages, and {messages} messages", headers.len());
            Err(Error::new(ErrorKind::InvalidArgument, text))
        }
        _ => Ok(()),
    }
}
