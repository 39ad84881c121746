//! Notifications of inserts.

use std::time::Duration;

use crate::operations::rows;
use crate::options::NotifyOptions;
use crate::records::NotifyThrottle;
use crate::statement::builder::StatementBuilder;
use crate::statement::query::Statement;
use crate::time::milliseconds;
use crate::version::Version;

/// Builds `enable_notify`.
///
/// A PGMQ that was upgraded from 1.7 and is older than 1.11 has the function of one argument next to the one
/// with a default throttle, and a call with one argument is ambiguous. The newer variant therefore names the
/// throttle.
pub fn enable_notify(queue: &str) -> Statement<'_, ()> {
    StatementBuilder::on(queue, &rows::enable_notify).sql_or(
        "SELECT pgmq.enable_notify_insert(queue_name=>$1::text)",
        THROTTLED,
        "SELECT pgmq.enable_notify_insert(queue_name=>$1::text, throttle_interval_ms=>250::integer)",
    )
}

/// The PGMQ version that brought throttles.
const THROTTLED: Version = Version::new(1, 8, 0);

/// Builds `enable_notify_with`.
pub fn enable_notify_with<'a>(queue: &'a str, options: &NotifyOptions) -> Statement<'a, ()> {
    StatementBuilder::on(queue, &rows::enable_notify_with)
        .int(milliseconds("throttle", options.throttle))
        .sql("SELECT pgmq.enable_notify_insert(queue_name=>$1::text, throttle_interval_ms=>$2::integer)")
}

/// Builds `disable_notify`.
pub fn disable_notify(queue: &str) -> Statement<'_, ()> {
    StatementBuilder::on(queue, &rows::disable_notify)
        .sql("SELECT pgmq.disable_notify_insert(queue_name=>$1::text)")
}

/// Builds `update_notify`.
pub fn update_notify(queue: &str, throttle: Duration) -> Statement<'_, ()> {
    StatementBuilder::on(queue, &rows::update_notify)
        .int(milliseconds("throttle", throttle))
        .sql("SELECT pgmq.update_notify_insert(queue_name=>$1::text, throttle_interval_ms=>$2::integer)")
}

/// Builds `list_notify_throttles`.
pub fn list_notify_throttles() -> Statement<'static, Vec<NotifyThrottle>> {
    StatementBuilder::new(&rows::list_notify_throttles)
        .sql("SELECT * FROM pgmq.list_notify_insert_throttles()")
}

/// Builds `repair_notify`.
///
/// The row that a crash has taken is the only thing that is missing, so only the row is written. To enable
/// notifications again would recreate the trigger, and lock the whole queue for it. The server looks the
/// table of queues up first, which tells a PGMQ that is not installed from one without throttles.
pub fn repair_notify(queue: &str, throttle: Duration) -> Statement<'_, bool> {
    StatementBuilder::on(queue, &rows::repair_notify).int(milliseconds("throttle", throttle)).sql(
        "WITH known AS (SELECT FROM pgmq.meta WHERE queue_name::text = $1::text), repaired AS (\
         INSERT INTO pgmq.notify_insert_throttle (queue_name, throttle_interval_ms) \
         SELECT $1::text, $2::integer WHERE EXISTS (SELECT FROM known) AND EXISTS (\
         SELECT FROM pg_catalog.pg_trigger AS armed \
         JOIN pg_catalog.pg_class AS queue ON queue.oid = armed.tgrelid \
         WHERE queue.relnamespace = 'pgmq'::regnamespace AND queue.relname = 'q_' || $1::text \
         AND armed.tgname = 'trigger_notify_queue_insert_listeners') \
         ON CONFLICT DO NOTHING RETURNING queue_name) \
         SELECT EXISTS (SELECT FROM repaired)",
    )
}
