//! Reading messages: a read hides the messages that it returns, and a pop deletes them.

use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::error_kind::ErrorKind;
use crate::message::Message;
use crate::operations::{Feature, rows};
use crate::options::{PollOptions, ReadOptions};
use crate::param::Param;
use crate::statement::builder::{StatementBuilder, count, optional_json};
use crate::statement::query::Statement;
use crate::time::{VisibilityTimeout, milliseconds, seconds};

type Messages<T> = Vec<Message<T>>;

/// Sorts messages by id, because the server returns those of a plain read in no particular order.
pub(crate) fn by_id<T>(messages: &mut [Message<T>]) {
    messages.sort_unstable_by_key(|message| message.msg_id);
}

/// Builds `read`.
pub fn read<T: DeserializeOwned + Send>(
    queue: &str,
    vt: impl Into<VisibilityTimeout>,
) -> Statement<'_, Option<Message<T>>> {
    StatementBuilder::on(queue, &rows::read)
        .int(vt.into().seconds())
        .sql("SELECT * FROM pgmq.read(queue_name=>$1::text, vt=>$2::integer, qty=>1::integer)")
}

/// Builds `read_batch`.
pub fn read_batch<T: DeserializeOwned + Send>(
    queue: &str,
    vt: impl Into<VisibilityTimeout>,
    qty: u32,
) -> Statement<'_, Messages<T>> {
    plain(StatementBuilder::on(queue, &rows::read_batch), &ReadOptions::new().vt(vt).qty(qty))
}

/// Builds `read_with`.
pub fn read_with<'a, T: DeserializeOwned + Send>(
    queue: &'a str,
    options: &ReadOptions,
) -> Statement<'a, Messages<T>> {
    plain(StatementBuilder::on(queue, &rows::read_with), options)
}

/// Builds `read_with_poll`.
pub fn read_with_poll<'a, T: DeserializeOwned + Send>(
    queue: &'a str,
    vt: impl Into<VisibilityTimeout>,
    qty: u32,
    options: &PollOptions,
) -> Statement<'a, Messages<T>> {
    let builder = StatementBuilder::on(queue, &rows::read_with_poll);
    let vt = vt.into();
    // PGMQ's function would return nothing at all, not even visible messages.
    if options.timeout.is_zero() {
        let conditional = options.conditional.clone();
        return plain(builder, &ReadOptions { vt, qty, conditional });
    }
    let builder = poll(claim(builder, vt, qty), options);
    let statement = match optional_json(&options.conditional, Param::Jsonb) {
        _ if qty == 0 => builder.answer(Vec::new()),
        None => builder.sql(
            "SELECT * FROM pgmq.read_with_poll(queue_name=>$1::text, vt=>$2::integer, qty=>$3::integer, \
             max_poll_seconds=>$4::integer, poll_interval_ms=>$5::integer)",
        ),
        Some(conditional) => builder.uses(Feature::Condition).param(conditional).sql(
            "SELECT * FROM pgmq.read_with_poll(queue_name=>$1::text, vt=>$2::integer, qty=>$3::integer, \
             max_poll_seconds=>$4::integer, poll_interval_ms=>$5::integer, conditional=>$6::jsonb)",
        ),
    };
    statement.sorted_by(by_id)
}

fn plain<'a, T: DeserializeOwned + Send>(
    builder: StatementBuilder<'a>,
    options: &ReadOptions,
) -> Statement<'a, Messages<T>> {
    let builder = claim(builder, options.vt, options.qty);
    let statement = match optional_json(&options.conditional, Param::Jsonb) {
        _ if options.qty == 0 => builder.answer(Vec::new()),
        None => builder.sql("SELECT * FROM pgmq.read(queue_name=>$1::text, vt=>$2::integer, qty=>$3::integer)"),
        Some(conditional) => builder.uses(Feature::Condition).param(conditional).sql(
            "SELECT * FROM pgmq.read(queue_name=>$1::text, vt=>$2::integer, qty=>$3::integer, conditional=>$4::jsonb)",
        ),
    };
    statement.sorted_by(by_id)
}

/// Adds the parameters of every read: the visibility timeout and the number of messages.
fn claim(builder: StatementBuilder<'_>, vt: VisibilityTimeout, qty: u32) -> StatementBuilder<'_> {
    builder.int(vt.seconds()).int(count("quantity", qty))
}

/// Adds the parameters of a poll: the longest wait, and the time between two looks.
fn poll<'a>(builder: StatementBuilder<'a>, options: &PollOptions) -> StatementBuilder<'a> {
    let interval =
        milliseconds("poll interval", options.interval).and_then(|milliseconds| match milliseconds {
            0 => Err(Error::new(
                ErrorKind::InvalidArgument,
                "the poll interval is zero; give more, or the server would look without a pause",
            )),
            _ => Ok(milliseconds),
        });
    builder.int(seconds("poll timeout", options.timeout)).int(interval)
}

/// The reads that keep the order of groups, each without and with a poll.
macro_rules! grouped {
    ($($name:ident, $with_poll:ident, $in_order:expr;)*) => {$(
        #[doc = concat!("Builds `", stringify!($name), "`.")]
        pub fn $name<T: DeserializeOwned + Send>(
            queue: &str,
            vt: impl Into<VisibilityTimeout>,
            qty: u32,
        ) -> Statement<'_, Messages<T>> {
            let builder = StatementBuilder::on(queue, &rows::$name);
            let builder = claim(builder, vt.into(), qty);
            if qty == 0 {
                return builder.answer(Vec::new());
            }
            $in_order(builder.sql(concat!(
                "SELECT * FROM pgmq.", stringify!($name),
                "(queue_name=>$1::text, vt=>$2::integer, qty=>$3::integer)"
            )))
        }

        #[doc = concat!("Builds `", stringify!($with_poll), "`.")]
        pub fn $with_poll<'a, T: DeserializeOwned + Send>(
            queue: &'a str,
            vt: impl Into<VisibilityTimeout>,
            qty: u32,
            options: &PollOptions,
        ) -> Statement<'a, Messages<T>> {
            let mut builder = StatementBuilder::on(queue, &rows::$with_poll);
            if options.conditional.is_some() {
                let text = "a grouped read accepts no condition; use read_with or read_with_poll";
                builder.refuse(Error::new(ErrorKind::InvalidArgument, text));
            }
            let builder = claim(builder, vt.into(), qty);
            if qty == 0 {
                return builder.answer(Vec::new());
            }
            // PGMQ's function would return nothing at all, not even visible messages.
            if options.timeout.is_zero() {
                return $in_order(builder.sql(concat!(
                    "SELECT * FROM pgmq.", stringify!($name),
                    "(queue_name=>$1::text, vt=>$2::integer, qty=>$3::integer)"
                )));
            }
            $in_order(poll(builder, options).sql(concat!(
                "SELECT * FROM pgmq.", stringify!($with_poll),
                "(queue_name=>$1::text, vt=>$2::integer, qty=>$3::integer, \
                 max_poll_seconds=>$4::integer, poll_interval_ms=>$5::integer)"
            )))
        }
    )*};
}

/// Sorts by id, because the server keeps no order here, not even within a group.
fn sorted_by_id<T: DeserializeOwned + Send>(read: Statement<'_, Messages<T>>) -> Statement<'_, Messages<T>> {
    read.sorted_by(by_id)
}

/// Keeps the server's order.
fn in_the_servers_order<T: DeserializeOwned + Send>(
    read: Statement<'_, Messages<T>>,
) -> Statement<'_, Messages<T>> {
    read
}

grouped! {
    read_grouped, read_grouped_with_poll, sorted_by_id;
    read_grouped_rr, read_grouped_rr_with_poll, in_the_servers_order;
    read_grouped_head, read_grouped_head_with_poll, sorted_by_id;
}

/// Builds `pop`.
pub fn pop<T: DeserializeOwned + Send>(queue: &str) -> Statement<'_, Option<Message<T>>> {
    StatementBuilder::on(queue, &rows::pop).sql("SELECT * FROM pgmq.pop(queue_name=>$1::text)")
}

/// Builds `pop_batch`.
pub fn pop_batch<T: DeserializeOwned + Send>(queue: &str, qty: u32) -> Statement<'_, Messages<T>> {
    let builder = StatementBuilder::on(queue, &rows::pop_batch).int(count("quantity", qty));
    if qty == 0 {
        return builder.answer(Vec::new());
    }
    builder.sql("SELECT * FROM pgmq.pop(queue_name=>$1::text, qty=>$2::integer)").sorted_by(by_id)
}
