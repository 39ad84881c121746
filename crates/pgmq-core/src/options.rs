//! What is optional: the structs that the `_with` twins of operations take.
//!
//! Each is made with `new`, has a setter per option, and may get more of them.

use std::time::Duration;

use serde::Serialize;

use crate::param::{JsonArray, JsonText};
use crate::{Delay, Error, VisibilityTimeout};

/// What could not be serialised is reported by the operation that the options are given to.
fn keep(error: Error) -> String {
    error.to_string()
}

/// Options of `send_with` and `send_topic_with`.
///
/// ```
/// use std::time::Duration;
/// use pgmq_core::SendOptions;
///
/// let options = SendOptions::new()
///     .delay(Duration::from_secs(30))
///     .headers(&serde_json::json!({"x-pgmq-group": "customer-7"}));
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct SendOptions {
    pub(crate) delay: Option<Delay>,
    pub(crate) headers: Option<Result<JsonText, String>>,
}

impl SendOptions {
    /// No delay, no headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// When the message becomes visible: a span of time from now, or a point in time.
    #[must_use]
    pub fn delay(mut self, delay: impl Into<Delay>) -> Self {
        self.delay = Some(delay.into());
        self
    }

    /// What is sent along with the payload: usually a JSON object. What is written as JSON `null`, such as `None`, is no
    /// headers. Needs PGMQ 1.5.
    #[must_use]
    pub fn headers<H: Serialize + ?Sized>(mut self, headers: &H) -> Self {
        let headers = JsonText::new(headers).map_err(keep);
        self.headers = Some(headers).filter(|headers| !headers.as_ref().is_ok_and(JsonText::is_null));
        self
    }
}

/// Options of `send_batch_with` and `send_batch_topic_with`.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct SendBatchOptions {
    pub(crate) delay: Option<Delay>,
    pub(crate) headers: Option<Result<JsonArray, String>>,
}

impl SendBatchOptions {
    /// No delay, no headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// When the messages become visible, all of them.
    #[must_use]
    pub fn delay(mut self, delay: impl Into<Delay>) -> Self {
        self.delay = Some(delay.into());
        self
    }

    /// The headers of each message, in the order of the messages; `None` for a message without. Needs PGMQ 1.5.
    ///
    /// There have to be as many as there are messages.
    #[must_use]
    pub fn headers<H: Serialize>(mut self, headers: impl IntoIterator<Item = Option<H>>) -> Self {
        let mut array = JsonArray::default();
        let pushed = headers.into_iter().try_for_each(|headers| array.push_unless_null(headers.as_ref()));
        self.headers = Some(pushed.map(|()| array).map_err(keep));
        self
    }
}

/// Options of `read_with`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ReadOptions {
    pub(crate) vt: VisibilityTimeout,
    pub(crate) qty: u32,
    pub(crate) conditional: Option<Result<JsonText, String>>,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { vt: 30.into(), qty: 1, conditional: None }
    }
}

impl ReadOptions {
    /// One message, hidden for 30 seconds, on no condition.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long the messages stay hidden from other readers.
    #[must_use]
    pub fn vt(mut self, vt: impl Into<VisibilityTimeout>) -> Self {
        self.vt = vt.into();
        self
    }

    /// How many messages to read at most.
    #[must_use]
    pub fn qty(mut self, qty: u32) -> Self {
        self.qty = qty;
        self
    }

    /// Reads only messages whose payload contains this JSON (`jsonb`'s operator `@>`). Needs PGMQ 1.5.
    ///
    /// An empty object is no condition.
    #[must_use]
    pub fn conditional<C: Serialize + ?Sized>(mut self, condition: &C) -> Self {
        self.conditional = Some(JsonText::new(condition).map_err(keep));
        self
    }
}

/// Options of the `_with_poll` reads: the server waits for messages, within one call.
///
/// The connection is taken for as long as the server waits.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PollOptions {
    pub(crate) timeout: Duration,
    pub(crate) interval: Duration,
    pub(crate) conditional: Option<Result<JsonText, String>>,
}

impl Default for PollOptions {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(5), interval: Duration::from_millis(100), conditional: None }
    }
}

impl PollOptions {
    /// Waits up to 5 seconds and looks every 100 milliseconds, as PGMQ does by default.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long the server waits for a message at most, rounded up to whole seconds. Zero reads once, without waiting.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How often the server looks while it waits, rounded up to whole milliseconds; more than zero.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Reads only messages whose payload contains this JSON (`jsonb`'s operator `@>`). Needs PGMQ 1.5.
    ///
    /// Only `read_with_poll` can do this; the grouped reads refuse it.
    #[must_use]
    pub fn conditional<C: Serialize + ?Sized>(mut self, condition: &C) -> Self {
        self.conditional = Some(JsonText::new(condition).map_err(keep));
        self
    }
}

/// How wide a partition is, or how much is kept: a number of messages, or a span of time.
///
/// Made from a `u64` (messages, by their id), or from a text that `pg_partman` reads, such as `"1 day"`. Interval and
/// retention have to be of the same sort.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionInterval(pub(crate) String);

impl From<u64> for PartitionInterval {
    fn from(messages: u64) -> Self {
        Self(messages.to_string())
    }
}

impl From<&str> for PartitionInterval {
    fn from(interval: &str) -> Self {
        Self(interval.to_owned())
    }
}

impl From<String> for PartitionInterval {
    fn from(interval: String) -> Self {
        Self(interval)
    }
}

/// Options of `create_partitioned_queue_with`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PartitionOptions {
    pub(crate) interval: PartitionInterval,
    pub(crate) retention: PartitionInterval,
    pub(crate) premake: Option<u32>,
}

impl Default for PartitionOptions {
    fn default() -> Self {
        Self { interval: 10_000.into(), retention: 100_000.into(), premake: None }
    }
}

impl PartitionOptions {
    /// Partitions of 10,000 messages, of which the last 100,000 are kept, as PGMQ does by default.
    pub fn new() -> Self {
        Self::default()
    }

    /// How wide a partition is.
    #[must_use]
    pub fn interval(mut self, interval: impl Into<PartitionInterval>) -> Self {
        self.interval = interval.into();
        self
    }

    /// How much is kept before partitions are dropped.
    #[must_use]
    pub fn retention(mut self, retention: impl Into<PartitionInterval>) -> Self {
        self.retention = retention.into();
        self
    }

    /// How many partitions are made ahead. Needs PGMQ 1.13; older versions make 4.
    #[must_use]
    pub fn premake(mut self, partitions: u32) -> Self {
        self.premake = Some(partitions);
        self
    }
}

/// Options of `convert_archive_partitioned_with`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ArchivePartitionOptions {
    pub(crate) interval: PartitionInterval,
    pub(crate) retention: PartitionInterval,
    pub(crate) leading_partition: u32,
}

impl Default for ArchivePartitionOptions {
    fn default() -> Self {
        Self { interval: 10_000.into(), retention: 100_000.into(), leading_partition: 10 }
    }
}

impl ArchivePartitionOptions {
    /// Partitions of 10,000 messages, of which the last 100,000 are kept, as PGMQ does by default.
    pub fn new() -> Self {
        Self::default()
    }

    /// How wide a partition is. Before PGMQ 1.8, archives are partitioned by id only.
    #[must_use]
    pub fn interval(mut self, interval: impl Into<PartitionInterval>) -> Self {
        self.interval = interval.into();
        self
    }

    /// How much is kept before partitions are dropped.
    #[must_use]
    pub fn retention(mut self, retention: impl Into<PartitionInterval>) -> Self {
        self.retention = retention.into();
        self
    }

    /// How many partitions are made ahead. PGMQ takes the number, but no supported version uses it.
    #[must_use]
    pub fn leading_partition(mut self, partitions: u32) -> Self {
        self.leading_partition = partitions;
        self
    }
}

/// Options of `enable_notify_with`.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct NotifyOptions {
    pub(crate) throttle: Duration,
}

impl NotifyOptions {
    /// A notification at each insert.
    pub fn new() -> Self {
        Self::default()
    }

    /// The least time between two notifications, rounded up to whole milliseconds; zero notifies at each insert.
    #[must_use]
    pub fn throttle(mut self, interval: Duration) -> Self {
        self.throttle = interval;
        self
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use proptest::prelude::*;

    use super::*;
    use crate::{ErrorKind, Output, Param, Plan, Statement, statement};

    /// The parameters behind the queue's name, or the kind of error.
    fn params<O: Output>(statement: Statement<'_, O>) -> Result<Option<Vec<Param<'static>>>, ErrorKind> {
        match statement.plan() {
            Plan::Query(query) => Ok(Some(query.params()[1..].iter().map(owned).collect())),
            Plan::Settled(settled) => settled.map(|_| None).map_err(|error| error.kind()),
        }
    }

    fn owned(param: &Param<'_>) -> Param<'static> {
        match param {
            Param::Text(text) => Param::Text(text.clone().into_owned().into()),
            Param::Int4(int) => Param::Int4(*int),
            Param::Timestamptz(at) => Param::Timestamptz(*at),
            Param::Jsonb(json) => Param::Jsonb(json.clone()),
            Param::JsonbArray(values) => Param::JsonbArray(values.clone()),
            other => panic!("{other:?} is no option"),
        }
    }

    /// Mostly what is usual, and sometimes anything.
    fn near<T: std::fmt::Debug>(
        usual: impl Strategy<Value = T> + 'static,
        any: impl Strategy<Value = T> + 'static,
    ) -> impl Strategy<Value = T> {
        prop_oneof![6 => usual.boxed(), 1 => any.boxed()]
    }

    fn fits(count: u128) -> Option<i32> {
        i32::try_from(count).ok()
    }

    proptest! {
        #[test]
        fn a_poll_sends_what_was_asked_rounded_up_or_refuses(
            vt in near(-2..=100_i64, any::<i64>()),
            qty in near(0..=2_u32, any::<u32>()),
            timeout in near(0..=3_000_000_u64, any::<u64>()),
            interval in near(0..=3_000_000_u64, any::<u64>()),
        ) {
            let (timeout, interval) = (Duration::from_micros(timeout), Duration::from_micros(interval));
            let options = PollOptions::new().timeout(timeout).interval(interval);
            let read = params(statement::read_with_poll::<()>("q", vt, qty, &options));
            let vt = i32::try_from(vt).ok().filter(|&vt| vt >= 0);
            let seconds = fits(timeout.as_micros().div_ceil(1_000_000));
            let milliseconds = fits(interval.as_micros().div_ceil(1_000)).filter(|&milliseconds| milliseconds > 0);
            match (vt, i32::try_from(qty), seconds, milliseconds) {
                (Some(_), Ok(0), Some(_), Some(_)) => prop_assert_eq!(read, Ok(None)),
                (Some(vt), Ok(qty), Some(0), _) => {
                    prop_assert_eq!(read, Ok(Some(vec![Param::Int4(vt), Param::Int4(qty)])));
                }
                (Some(vt), Ok(qty), Some(seconds), Some(milliseconds)) => {
                    let sent = [vt, qty, seconds, milliseconds].map(Param::Int4);
                    prop_assert_eq!(read, Ok(Some(sent.to_vec())));
                }
                _ => prop_assert_eq!(read, Err(ErrorKind::InvalidArgument)),
            }
        }

        #[test]
        fn headers_go_with_their_messages_or_are_refused(
            messages in prop::collection::vec(any::<i32>(), 1..8),
            headers in prop::collection::vec(any::<Option<u8>>(), 1..8),
        ) {
            let options = SendBatchOptions::new().headers(headers.iter().copied());
            let sent = params(statement::send_batch_with("q", &messages, &options));
            if headers.len() != messages.len() {
                prop_assert_eq!(sent, Err(ErrorKind::InvalidArgument));
                return Ok(());
            }
            let Ok(Some(sent)) = sent else { panic!("{sent:?}") };
            let [Param::JsonbArray(payloads), Param::JsonbArray(sent)] = &sent[..] else { panic!("{sent:?}") };
            prop_assert_eq!(payloads.len(), messages.len());
            let texts: Vec<_> = headers.iter().map(|header| header.map(|header| header.to_string())).collect();
            let sent: Vec<_> =
                sent.iter().map(|text| text.map(|text| String::from_utf8_lossy(text).into_owned())).collect();
            prop_assert_eq!(sent, texts);
        }

        #[test]
        fn a_send_has_the_parameters_that_were_given_in_their_order(
            header in any::<Option<u8>>(), seconds in any::<Option<i32>>(), at in any::<Option<i32>>(),
        ) {
            let mut options = SendOptions::new();
            let mut expected = vec![Param::Jsonb(JsonText::new(&1).unwrap())];
            if let Some(header) = header {
                options = options.headers(&header);
                expected.push(Param::Jsonb(JsonText::new(&header).unwrap()));
            }
            if let Some(seconds) = seconds {
                options = options.delay(seconds);
            }
            let point = at.and_then(|at| DateTime::<Utc>::from_timestamp(at.into(), 0));
            if let Some(point) = point {
                options = options.delay(point);
            }
            // The last delay counts.
            expected.extend(point.map(Param::Timestamptz).or(seconds.map(Param::Int4)));
            let sent = params(statement::send_with("q", &1, &options));
            match (point, seconds) {
                (None, Some(seconds)) if seconds < 0 => prop_assert_eq!(sent, Err(ErrorKind::InvalidArgument)),
                _ => prop_assert_eq!(sent, Ok(Some(expected))),
            }
        }
    }

    #[test]
    fn options_that_could_not_be_serialised_are_refused_by_the_operation() {
        let keys = std::collections::BTreeMap::from([((1, 2), 3)]);
        let options = ReadOptions::new().conditional(&keys);
        assert_eq!(params(statement::read_with::<()>("q", &options)), Err(ErrorKind::Encode));
    }
}
