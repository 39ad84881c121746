//! What the operations other than reads return. Each has a `Default`, for tests of your own: its fields are public.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::decode::{Output, Record, only, record, required};
use crate::{Error, ErrorKind, Row};

/// A queue, as `list_queues` returns it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct QueueInfo {
    /// The name. A queue that another client made may have capitals in it; it answers to the lower-case name.
    pub queue_name: String,
    /// Whether its tables are partitioned by `pg_partman`.
    pub is_partitioned: bool,
    /// Whether its messages are lost when the server crashes, in return for speed.
    pub is_unlogged: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

record!(QueueInfo {
    queue_name: required,
    is_partitioned: required,
    is_unlogged: required,
    created_at: required
});

/// What a queue holds, as `metrics` returns it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct QueueMetrics {
    /// The queue.
    pub queue_name: String,
    /// How many messages it holds, visible or not.
    pub queue_length: i64,
    /// How old its newest message is, in seconds; `None` if it is empty.
    pub newest_msg_age_sec: Option<i32>,
    /// How old its oldest message is, in seconds; `None` if it is empty.
    pub oldest_msg_age_sec: Option<i32>,
    /// How many messages have ever been sent to it.
    pub total_messages: i64,
    /// When these figures were taken.
    pub scrape_time: DateTime<Utc>,
    /// How many of its messages are visible. Since PGMQ 1.5.
    pub queue_visible_length: Option<i64>,
    /// About how many messages stand in the default partitions of a partitioned queue: other than zero means that
    /// `pg_partman`'s maintenance does not run. `None` for other queues. Since PGMQ 1.13.
    pub default_partition_length: Option<i64>,
}

record!(QueueMetrics {
    queue_name: required,
    queue_length: required,
    newest_msg_age_sec: optional,
    oldest_msg_age_sec: optional,
    total_messages: required,
    scrape_time: required,
    queue_visible_length: optional,
    default_partition_length: optional,
});

impl Output for QueueMetrics {
    type Record = Self;

    fn from_records(records: Vec<Self>) -> Option<Self> {
        only(records)
    }
}

/// A topic pattern bound to a queue, as `list_topic_bindings` returns it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TopicBinding {
    /// The pattern.
    pub pattern: String,
    /// The queue that gets what matches.
    pub queue_name: String,
    /// When they were bound.
    pub bound_at: DateTime<Utc>,
    /// The regular expression that PGMQ made of the pattern.
    pub compiled_regex: String,
}

record!(TopicBinding {
    pattern: required,
    queue_name: required,
    bound_at: required,
    compiled_regex: required
});

/// A binding that a routing key matches, as `test_routing` returns it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RoutingMatch {
    /// The pattern.
    pub pattern: String,
    /// The queue that would get the message.
    pub queue_name: String,
    /// The regular expression that PGMQ made of the pattern.
    pub compiled_regex: String,
}

record!(RoutingMatch { pattern: required, queue_name: required, compiled_regex: required });

/// A message that `send_batch_topic` put into a queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TopicMessage {
    /// The queue.
    pub queue_name: String,
    /// The id that the message has there.
    pub msg_id: i64,
}

record!(TopicMessage { queue_name: required, msg_id: required });

/// How often inserts into a queue may notify, as `list_notify_throttles` returns it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NotifyThrottle {
    /// The queue.
    pub queue_name: String,
    /// The least time between two notifications; zero notifies at each insert.
    pub interval: Duration,
    /// When it last notified; `None` if it never did.
    pub last_notified_at: Option<DateTime<Utc>>,
}

impl Record for NotifyThrottle {
    type Columns = [Option<usize>; 3];

    fn columns<R: Row>(row: &R) -> Self::Columns {
        ["queue_name", "throttle_interval_ms", "last_notified_at"].map(|name| row.column(name))
    }

    fn decode<R: Row>(row: &R, columns: &Self::Columns) -> Result<Self, Error> {
        let [queue_name, interval, last_notified_at] = *columns;
        let milliseconds: i32 = required(row, "throttle_interval_ms", interval)?;
        let milliseconds = u64::try_from(milliseconds)
            .map_err(|error| Error::new(ErrorKind::Decode, "a throttle is negative").because(error))?;
        let last: DateTime<Utc> = required(row, "last_notified_at", last_notified_at)?;
        Ok(Self {
            queue_name: required(row, "queue_name", queue_name)?,
            interval: Duration::from_millis(milliseconds),
            // PGMQ writes the epoch until the first notification.
            last_notified_at: Some(last).filter(|&at| at != DateTime::UNIX_EPOCH),
        })
    }
}
