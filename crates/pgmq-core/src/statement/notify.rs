//! Notifications of inserts.

use std::time::Duration;

use super::{Draft, Statement};
use crate::time::milliseconds;
use crate::{NotifyOptions, NotifyThrottle, Version};

/// Builds `enable_notify`.
///
/// Where PGMQ was upgraded from 1.7, and is older than 1.11, the function of one argument stands beside the one with a throttle
/// and its default, and a call with one argument could mean either. So the throttle is said where there is one.
pub fn enable_notify(queue: &str) -> Statement<'_, ()> {
    Draft::on(queue, "enable_notify", "pgmq.enable_notify_insert").since(1, 7, 0).sql_or(
        "SELECT pgmq.enable_notify_insert(queue_name=>$1::text)",
        THROTTLED,
        "SELECT pgmq.enable_notify_insert(queue_name=>$1::text, throttle_interval_ms=>250::integer)",
    )
}

/// Throttles came with this version.
const THROTTLED: Version = Version::new(1, 8, 0);

/// Builds `enable_notify_with`.
pub fn enable_notify_with<'a>(queue: &'a str, options: &NotifyOptions) -> Statement<'a, ()> {
    Draft::on(queue, "enable_notify_with", "pgmq.enable_notify_insert")
        .since(1, 8, 0)
        .int(milliseconds("throttle", options.throttle))
        .sql("SELECT pgmq.enable_notify_insert(queue_name=>$1::text, throttle_interval_ms=>$2::integer)")
}

/// Builds `disable_notify`.
pub fn disable_notify(queue: &str) -> Statement<'_, ()> {
    Draft::on(queue, "disable_notify", "pgmq.disable_notify_insert")
        .since(1, 7, 0)
        .sql("SELECT pgmq.disable_notify_insert(queue_name=>$1::text)")
}

/// Builds `update_notify`.
pub fn update_notify(queue: &str, throttle: Duration) -> Statement<'_, ()> {
    Draft::on(queue, "update_notify", "pgmq.update_notify_insert")
        .since(1, 11, 0)
        .int(milliseconds("throttle", throttle))
        .sql("SELECT pgmq.update_notify_insert(queue_name=>$1::text, throttle_interval_ms=>$2::integer)")
}

/// Builds `list_notify_throttles`.
pub fn list_notify_throttles() -> Statement<'static, Vec<NotifyThrottle>> {
    Draft::new("list_notify_throttles", "pgmq.list_notify_insert_throttles")
        .since(1, 11, 0)
        .sql("SELECT * FROM pgmq.list_notify_insert_throttles()")
}
