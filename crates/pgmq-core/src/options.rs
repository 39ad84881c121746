//! Optional arguments: the structs that the operations with the suffix `_with` take.
//!
//! Each struct has a constructor `new` and a setter per option. Later releases may add options.

use std::time::Duration;

use serde::Serialize;

use crate::error::Error;
use crate::param::{JsonArray, JsonText};
use crate::time::{Delay, VisibilityTimeout};

/// The text of a serialization error, which the setter keeps, and the operation that gets the options
/// reports.
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
    /// Creates options without a delay and without headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets when the message becomes visible, after a span of time or at a point in time; the default is at
    /// once.
    ///
    /// A span is rounded up to whole seconds. A point in time needs PGMQ 1.5.
    #[must_use]
    pub fn delay(mut self, delay: impl Into<Delay>) -> Self {
        self.delay = Some(delay.into());
        self
    }

    /// Sets the headers that are sent with the payload, usually a JSON object; the default is no headers.
    /// Needs PGMQ 1.5.
    ///
    /// A value that serializes to JSON `null`, such as `None`, means no headers.
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
    /// Creates options without a delay and without headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets when all of the messages become visible, after a span of time or at a point in time; the default
    /// is at once.
    ///
    /// A span is rounded up to whole seconds. A point in time needs PGMQ 1.5.
    #[must_use]
    pub fn delay(mut self, delay: impl Into<Delay>) -> Self {
        self.delay = Some(delay.into());
        self
    }

    /// Sets the headers of each message, in the order of the messages; the default is no headers. Needs PGMQ
    /// 1.5.
    ///
    /// The iterator must return one item per message: `None` for a message without headers.
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
    /// Creates options that read one message, hide it for 30 seconds, and have no condition.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how long the messages stay hidden from other readers; the default is 30 seconds.
    #[must_use]
    pub fn vt(mut self, vt: impl Into<VisibilityTimeout>) -> Self {
        self.vt = vt.into();
        self
    }

    /// Sets the maximum number of messages to read; the default is 1.
    #[must_use]
    pub fn qty(mut self, qty: u32) -> Self {
        self.qty = qty;
        self
    }

    /// Sets the JSON that the payload of a message must contain, as the operator `@>` of `jsonb` defines it;
    /// the default is no condition. Needs PGMQ 1.5.
    ///
    /// An empty object means no condition.
    #[must_use]
    pub fn conditional<C: Serialize + ?Sized>(mut self, condition: &C) -> Self {
        self.conditional = Some(JsonText::new(condition).map_err(keep));
        self
    }
}

/// Options of the reads with the suffix `_with_poll`, in which the server waits for messages within one call.
///
/// The operation holds its connection for the whole wait.
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
    /// Creates options that wait for up to 5 seconds and look every 100 milliseconds, which are PGMQ's own
    /// defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how long the server waits for a message at most, rounded up to whole seconds; the default is 5
    /// seconds. Zero reads once, without waiting.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the time between two looks while the server waits, rounded up to whole milliseconds; the default
    /// is 100 milliseconds. Zero is invalid.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Sets the JSON that the payload of a message must contain, as the operator `@>` of `jsonb` defines it;
    /// the default is no condition. Needs PGMQ 1.5.
    ///
    /// Only `read_with_poll` accepts a condition. The grouped reads refuse one with
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument).
    #[must_use]
    pub fn conditional<C: Serialize + ?Sized>(mut self, condition: &C) -> Self {
        self.conditional = Some(JsonText::new(condition).map_err(keep));
        self
    }
}

/// The width of a partition, or the amount that is kept: a number of messages, or a span of time.
///
/// Converts from a `u64`, which is a number of messages by their id, or from a text that `pg_partman`
/// accepts, such as `"1 day"`. Interval and retention must be of the same sort.
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
    /// Creates options for partitions of 10,000 messages, of which the last 100,000 are kept. These are
    /// PGMQ's own defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the width of a partition; the default is 10,000 messages.
    #[must_use]
    pub fn interval(mut self, interval: impl Into<PartitionInterval>) -> Self {
        self.interval = interval.into();
        self
    }

    /// Sets how much is kept before partitions are dropped; the default is 100,000 messages.
    #[must_use]
    pub fn retention(mut self, retention: impl Into<PartitionInterval>) -> Self {
        self.retention = retention.into();
        self
    }

    /// Sets the number of partitions that are created ahead, which is at least 1; the default is PGMQ's own.
    /// Needs PGMQ 1.13; older versions create 4.
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
    /// Creates options for partitions of 10,000 messages, of which the last 100,000 are kept. These are
    /// PGMQ's own defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the width of a partition; the default is 10,000 messages. Before PGMQ 1.8, archives are
    /// partitioned by id only.
    #[must_use]
    pub fn interval(mut self, interval: impl Into<PartitionInterval>) -> Self {
        self.interval = interval.into();
        self
    }

    /// Sets how much is kept before partitions are dropped; the default is 100,000 messages.
    #[must_use]
    pub fn retention(mut self, retention: impl Into<PartitionInterval>) -> Self {
        self.retention = retention.into();
        self
    }

    /// Sets the number of partitions that are created ahead; the default is 10. PGMQ accepts the number, but
    /// no supported version uses it.
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
    /// Creates options that notify of each insert.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the minimum time between two notifications, rounded up to whole milliseconds; the default is
    /// zero, which notifies of each insert.
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
    use crate::decode::Output;
    use crate::error_kind::ErrorKind;
    use crate::param::Param;
    use crate::statement::{self, Action, Statement};

    /// The parameters after the queue's name, or the kind of error. `None` if the statement runs no query.
    fn params<O: Output>(statement: Statement<'_, O>) -> Result<Option<Vec<Param<'static>>>, ErrorKind> {
        match statement.into_action() {
            Action::Run(query) => Ok(Some(query.params()[1..].iter().map(owned).collect())),
            Action::Return(result) => result.map(|_| None).map_err(|error| error.kind()),
        }
    }

    fn owned(param: &Param<'_>) -> Param<'static> {
        match param {
            Param::Text(text) => Param::Text(text.clone().into_owned().into()),
            Param::Int4(int) => Param::Int4(*int),
            Param::Timestamptz(at) => Param::Timestamptz(*at),
            Param::Jsonb(json) => Param::Jsonb(json.clone()),
            Param::JsonbArray(values) => Param::JsonbArray(values.clone()),
            other => panic!("{other:?} is not an option"),
        }
    }

    /// Mostly usual values, and sometimes any value.
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
        fn a_poll_rounds_its_times_up_or_is_refused(
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
        fn a_send_has_its_optional_parameters_in_order(
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
    fn the_operation_reports_options_that_could_not_be_serialized() {
        let keys = std::collections::BTreeMap::from([((1, 2), 3)]);
        let options = ReadOptions::new().conditional(&keys);
        assert_eq!(params(statement::read_with::<()>("q", &options)), Err(ErrorKind::Encode));
    }
}
