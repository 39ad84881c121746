//! Reading: each read hides what it returns; `pop` removes it.

use serde::de::DeserializeOwned;

use super::{Draft, Statement, count, given};
use crate::time::{milliseconds, seconds};
use crate::{Error, ErrorKind, Message, Param, PollOptions, ReadOptions, VisibilityTimeout};

type Messages<T> = Vec<Message<T>>;

/// The order in which plain reads return: the server returns what it read in no order of its own.
pub(super) fn by_id<T>(messages: &mut [Message<T>]) {
    messages.sort_unstable_by_key(|message| message.msg_id);
}

/// Builds `read`.
pub fn read<T: DeserializeOwned + Send>(
    queue: &str,
    vt: impl Into<VisibilityTimeout>,
) -> Statement<'_, Option<Message<T>>> {
    Draft::on(queue, "read", "pgmq.read")
        .int(vt.into().seconds())
        .sql("SELECT * FROM pgmq.read(queue_name=>$1::text, vt=>$2::integer, qty=>1::integer)")
}

/// Builds `read_batch`.
pub fn read_batch<T: DeserializeOwned + Send>(
    queue: &str,
    vt: impl Into<VisibilityTimeout>,
    qty: u32,
) -> Statement<'_, Messages<T>> {
    plain(Draft::on(queue, "read_batch", "pgmq.read"), &ReadOptions::new().vt(vt).qty(qty))
}

/// Builds `read_with`.
pub fn read_with<'a, T: DeserializeOwned + Send>(
    queue: &'a str,
    options: &ReadOptions,
) -> Statement<'a, Messages<T>> {
    plain(Draft::on(queue, "read_with", "pgmq.read"), options)
}

/// Builds `read_with_poll`.
pub fn read_with_poll<'a, T: DeserializeOwned + Send>(
    queue: &'a str,
    vt: impl Into<VisibilityTimeout>,
    qty: u32,
    options: &PollOptions,
) -> Statement<'a, Messages<T>> {
    let draft = Draft::on(queue, "read_with_poll", "pgmq.read_with_poll");
    let vt = vt.into();
    // PGMQ's function would return nothing at all, not even what is there.
    if options.timeout.is_zero() {
        let conditional = options.conditional.clone();
        return plain(draft, &ReadOptions { vt, qty, conditional });
    }
    let draft = poll(claim(draft, vt, qty), options);
    let statement = match given(&options.conditional, Param::Jsonb) {
        _ if qty == 0 => draft.answer(Vec::new()),
        None => draft.sql(
            "SELECT * FROM pgmq.read_with_poll(queue_name=>$1::text, vt=>$2::integer, qty=>$3::integer, \
             max_poll_seconds=>$4::integer, poll_interval_ms=>$5::integer)",
        ),
        Some(conditional) => draft.since(1, 5, 0).param(conditional).sql(
            "SELECT * FROM pgmq.read_with_poll(queue_name=>$1::text, vt=>$2::integer, qty=>$3::integer, \
             max_poll_seconds=>$4::integer, poll_interval_ms=>$5::integer, conditional=>$6::jsonb)",
        ),
    };
    statement.arranged(by_id)
}

fn plain<'a, T: DeserializeOwned + Send>(
    draft: Draft<'a>,
    options: &ReadOptions,
) -> Statement<'a, Messages<T>> {
    let draft = claim(draft, options.vt, options.qty);
    let statement = match given(&options.conditional, Param::Jsonb) {
        _ if options.qty == 0 => draft.answer(Vec::new()),
        None => draft.sql("SELECT * FROM pgmq.read(queue_name=>$1::text, vt=>$2::integer, qty=>$3::integer)"),
        Some(conditional) => draft.since(1, 5, 0).param(conditional).sql(
            "SELECT * FROM pgmq.read(queue_name=>$1::text, vt=>$2::integer, qty=>$3::integer, conditional=>$4::jsonb)",
        ),
    };
    statement.arranged(by_id)
}

/// Adds what every read takes: the visibility timeout, and how many messages.
fn claim(draft: Draft<'_>, vt: VisibilityTimeout, qty: u32) -> Draft<'_> {
    draft.int(vt.seconds()).int(count("quantity", qty))
}

/// Adds for how long and how often the server looks.
fn poll<'a>(draft: Draft<'a>, options: &PollOptions) -> Draft<'a> {
    let interval =
        milliseconds("poll interval", options.interval).and_then(|milliseconds| match milliseconds {
            0 => Err(Error::new(
                ErrorKind::InvalidArgument,
                "the poll interval is zero; the server would never rest",
            )),
            _ => Ok(milliseconds),
        });
    draft.int(seconds("poll timeout", options.timeout)).int(interval)
}

/// The reads that keep the order of groups, each as itself and with a poll.
macro_rules! grouped {
    ($($name:ident, $with_poll:ident, $since:expr, $poll_since:expr, $arranged:expr;)*) => {$(
        #[doc = concat!("Builds `", stringify!($name), "`.")]
        pub fn $name<T: DeserializeOwned + Send>(
            queue: &str,
            vt: impl Into<VisibilityTimeout>,
            qty: u32,
        ) -> Statement<'_, Messages<T>> {
            let (major, minor, patch) = $since;
            let draft = Draft::on(queue, stringify!($name), concat!("pgmq.", stringify!($name)));
            let draft = claim(draft.since(major, minor, patch), vt.into(), qty);
            if qty == 0 {
                return draft.answer(Vec::new());
            }
            $arranged(draft.sql(concat!(
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
            let (major, minor, patch) = $poll_since;
            let mut draft = Draft::on(queue, stringify!($with_poll), concat!("pgmq.", stringify!($with_poll)));
            if options.conditional.is_some() {
                let text = "a grouped read takes no condition; only read_with and read_with_poll do";
                draft.refuse(Error::new(ErrorKind::InvalidArgument, text));
            }
            let draft = claim(draft.since(major, minor, patch), vt.into(), qty);
            if qty == 0 {
                return draft.answer(Vec::new());
            }
            // PGMQ's function would return nothing at all, not even what is there.
            if options.timeout.is_zero() {
                return $arranged(draft.sql(concat!(
                    "SELECT * FROM pgmq.", stringify!($name),
                    "(queue_name=>$1::text, vt=>$2::integer, qty=>$3::integer)"
                )));
            }
            $arranged(poll(draft, options).sql(concat!(
                "SELECT * FROM pgmq.", stringify!($with_poll),
                "(queue_name=>$1::text, vt=>$2::integer, qty=>$3::integer, \
                 max_poll_seconds=>$4::integer, poll_interval_ms=>$5::integer)"
            )))
        }
    )*};
}

/// In the order of ids: the server has none of its own here, not even within a group.
fn ordered<T: DeserializeOwned + Send>(read: Statement<'_, Messages<T>>) -> Statement<'_, Messages<T>> {
    read.arranged(by_id)
}

/// In the server's order.
fn in_turns<T: DeserializeOwned + Send>(read: Statement<'_, Messages<T>>) -> Statement<'_, Messages<T>> {
    read
}

grouped! {
    read_grouped, read_grouped_with_poll, (1, 9, 0), (1, 9, 0), ordered;
    read_grouped_rr, read_grouped_rr_with_poll, (1, 9, 0), (1, 9, 0), in_turns;
    read_grouped_head, read_grouped_head_with_poll, (1, 11, 1), (1, 12, 0), ordered;
}

/// Builds `pop`.
pub fn pop<T: DeserializeOwned + Send>(queue: &str) -> Statement<'_, Option<Message<T>>> {
    Draft::on(queue, "pop", "pgmq.pop").sql("SELECT * FROM pgmq.pop(queue_name=>$1::text)")
}

/// Builds `pop_batch`.
pub fn pop_batch<T: DeserializeOwned + Send>(queue: &str, qty: u32) -> Statement<'_, Messages<T>> {
    let draft = Draft::on(queue, "pop_batch", "pgmq.pop").since(1, 7, 0).int(count("quantity", qty));
    if qty == 0 {
        return draft.answer(Vec::new());
    }
    draft.sql("SELECT * FROM pgmq.pop(queue_name=>$1::text, qty=>$2::integer)").arranged(by_id)
}
