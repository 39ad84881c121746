//! The results of the operations other than reads. Each type has a `Default` and public fields, for use in
//! tests.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A queue, as `list_queues` returns it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct QueueInfo {
    /// The name. A queue that another client created may have capitals in its name; operations find such a
    /// queue by the lower-case name.
    pub queue_name: String,
    /// `true` if the tables of the queue are partitioned by `pg_partman`.
    pub is_partitioned: bool,
    /// `true` if the messages are lost when the server crashes, in return for speed.
    pub is_unlogged: bool,
    /// The time at which the queue was created.
    pub created_at: DateTime<Utc>,
}

/// The number and the age of the messages in a queue, as `metrics` returns them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct QueueMetrics {
    /// The queue.
    pub queue_name: String,
    /// The number of messages, visible or not.
    pub queue_length: i64,
    /// The age of the newest message in seconds; `None` if the queue is empty.
    pub newest_msg_age_sec: Option<i32>,
    /// The age of the oldest message in seconds; `None` if the queue is empty.
    pub oldest_msg_age_sec: Option<i32>,
    /// The number of messages that have ever been sent to the queue.
    pub total_messages: i64,
    /// The time at which these figures were taken.
    pub scrape_time: DateTime<Utc>,
    /// The number of visible messages. Needs PGMQ 1.5; `None` on older versions.
    pub queue_visible_length: Option<i64>,
    /// The approximate number of messages in the default partitions of a partitioned queue; `None` for other
    /// queues. A number other than zero means that the maintenance of `pg_partman` does not run. Needs PGMQ
    /// 1.13; `None` on older versions.
    pub default_partition_length: Option<i64>,
}

/// A topic pattern bound to a queue, as `list_topic_bindings` returns it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TopicBinding {
    /// The pattern.
    pub pattern: String,
    /// The queue that receives the messages with a matching routing key.
    pub queue_name: String,
    /// The time at which the pattern was bound.
    pub bound_at: DateTime<Utc>,
    /// The regular expression that PGMQ compiled from the pattern.
    pub compiled_regex: String,
}

/// A binding that matches a routing key, as `test_routing` returns it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RoutingMatch {
    /// The pattern.
    pub pattern: String,
    /// The queue that would receive the message.
    pub queue_name: String,
    /// The regular expression that PGMQ compiled from the pattern.
    pub compiled_regex: String,
}

/// A message that `send_batch_topic` put into a queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TopicMessage {
    /// The queue.
    pub queue_name: String,
    /// The id of the message in that queue.
    pub msg_id: i64,
}

/// A message that `move_batch` moved.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Moved {
    /// The id that the message had in its queue.
    pub msg_id: i64,
    /// The id that the message has in the other queue.
    pub new_id: i64,
}

/// The limit on the notifications of a queue, as `list_notify_throttles` returns it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NotifyThrottle {
    /// The queue.
    pub queue_name: String,
    /// The minimum time between two notifications; zero notifies of each insert.
    pub interval: Duration,
    /// The time of the last notification; `None` if there was none yet.
    pub last_notified_at: Option<DateTime<Utc>>,
}
