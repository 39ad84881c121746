//! The results of operations other than reads, decoded from rows.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::decode::cells::{mismatch, record, required};
use crate::decode::outputs::only;
use crate::decode::rows::{Output, Record};
use crate::error::Error;
use crate::error_kind::ErrorKind;
use crate::records::{
    Moved, NotifyThrottle, QueueInfo, QueueMetrics, RoutingMatch, TopicBinding, TopicMessage,
};
use crate::row::Row;

record!(QueueInfo {
    queue_name: required,
    is_partitioned: required,
    is_unlogged: required,
    created_at: required
});

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

record!(TopicBinding {
    pattern: required,
    queue_name: required,
    bound_at: required,
    compiled_regex: required
});

record!(RoutingMatch { pattern: required, queue_name: required, compiled_regex: required });

record!(Moved { msg_id: required, new_id: required });

record!(TopicMessage { queue_name: required, msg_id: required });

impl Output for QueueMetrics {
    type Record = Self;

    fn from_records(records: Vec<Self>) -> Option<Self> {
        only(records)
    }

    fn records(&self) -> &[Self] {
        std::slice::from_ref(self)
    }
}

/// A span of time, as the number of microseconds in the only column.
impl Record for Duration {
    type Columns = ();

    fn columns<R: Row>(_: &R) {}

    fn decode<R: Row>(row: &R, (): &()) -> Result<Self, Error> {
        let micros: i64 = required(row, "result", Some(0))?;
        u64::try_from(micros).map(Self::from_micros).map_err(|error| mismatch("result").because(error))
    }
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
