//! The names of attributes, of the semantic conventions 1.44 and of this crate.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::InstrumentationScope;
use pgmq_core::{ErrorKind, OPERATIONS, Operation};

pub(crate) const SYSTEM: &str = "messaging.system";
pub(crate) const OPERATION_NAME: &str = "messaging.operation.name";
pub(crate) const OPERATION_TYPE: &str = "messaging.operation.type";
pub(crate) const DESTINATION: &str = "messaging.destination.name";
pub(crate) const MESSAGE_ID: &str = "messaging.message.id";
pub(crate) const MESSAGE_COUNT: &str = "messaging.batch.message_count";

pub(crate) const DB_SYSTEM: &str = "db.system.name";
pub(crate) const DB_NAMESPACE: &str = "db.namespace";
pub(crate) const DB_OPERATION: &str = "db.operation.name";
pub(crate) const DB_PROCEDURE: &str = "db.stored_procedure.name";
pub(crate) const DB_COLLECTION: &str = "db.collection.name";
pub(crate) const DB_STATUS: &str = "db.response.status_code";

pub(crate) const ERROR_TYPE: &str = "error.type";
pub(crate) const SERVER_ADDRESS: &str = "server.address";
pub(crate) const SERVER_PORT: &str = "server.port";

pub(crate) const ATTEMPTS: &str = "pgmq.attempts";

/// The value of `messaging.system`. The conventions have none for PGMQ, and allow others.
pub(crate) const PGMQ: &str = "pgmq";
/// The value of `error.type` for a future that was dropped.
pub(crate) const CANCELLED: &str = "cancelled";

/// The limit of links to messages in a span, which is the default limit of SDKs.
pub(crate) const MAX_LINKS: usize = 128;

/// The instrumentation scope of all spans and metrics.
pub(crate) fn scope() -> InstrumentationScope {
    InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
        .with_version(env!("CARGO_PKG_VERSION"))
        .with_schema_url("https://opentelemetry.io/schemas/1.44.0")
        .build()
}

/// The name of an operation without the variants of its arguments: `send` for `send_batch_with`.
pub(crate) fn short_name(operation: &Operation) -> &'static str {
    static NAMES: LazyLock<HashMap<&str, String>> = LazyLock::new(|| {
        let short = |name: &str| {
            let name = name.replace("_batch", "");
            name.strip_suffix("_with").map_or(name.clone(), ToOwned::to_owned)
        };
        OPERATIONS.iter().map(|operation| (operation.name, short(operation.name))).collect()
    });
    NAMES.get(operation.name).map_or(operation.name, String::as_str)
}

/// Returns `true` if an operation is about any number of messages.
pub(crate) fn is_batch(operation: &Operation) -> bool {
    let many = ["claims", "holds", "messages", "moves", "msg_ids", "qty"];
    operation.arguments.iter().any(|argument| many.contains(argument))
}

/// The table that an operation reads, without its queue; `None` if it calls a function.
pub(crate) fn table(operation: &Operation, queue: Option<&str>) -> Option<String> {
    let is_shared = matches!(operation.function, "pgmq.meta" | "pgmq.notify_insert_throttle");
    (is_shared || operation.function.ends_with('*'))
        .then(|| operation.function.replace('*', queue.unwrap_or_default()))
}

/// The kind of an error as a value of `error.type`: its name in snake case.
pub(crate) fn error_type(kind: ErrorKind) -> String {
    let mut snake = String::new();
    for letter in format!("{kind:?}").chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// The time of this host, in microseconds since the Unix epoch.
pub(crate) fn unix_micros() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    i64::try_from(now).unwrap_or(i64::MAX)
}

/// The seconds from a time of the server until a time of this host, both in microseconds since the Unix
/// epoch. The clocks may differ, so the least is zero.
pub(crate) fn seconds_between(micros: i64, now: i64) -> f64 {
    Duration::from_micros(now.saturating_sub(micros).max(0).unsigned_abs()).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(name: &str) -> &'static Operation {
        Operation::find(name).unwrap()
    }

    #[test]
    fn a_name_is_short_and_a_batch_is_known_by_its_arguments() {
        for (name, short, batch) in [
            ("send", "send", false),
            ("send_batch_topic_with", "send_topic", true),
            ("read", "read", false),
            ("read_with", "read", false),
            ("read_with_poll", "read_with_poll", true),
            ("pop_batch", "pop", true),
            ("delete", "delete", false),
            ("archive_batch", "archive", true),
            ("set_vt_batch", "set_vt", true),
            ("hold_each", "hold_each", true),
            ("move_batch", "move", true),
        ] {
            assert_eq!((short_name(operation(name)), is_batch(operation(name))), (short, batch), "{name}");
        }
    }

    #[test]
    fn a_table_is_no_function() {
        assert_eq!(table(operation("peek"), Some("orders")).as_deref(), Some("pgmq.q_orders"));
        assert_eq!(table(operation("queue_exists"), Some("orders")).as_deref(), Some("pgmq.meta"));
        assert_eq!(table(operation("create_queue"), Some("orders")), None);
    }

    #[test]
    fn the_kind_of_an_error_is_in_snake_case() {
        assert_eq!(error_type(ErrorKind::QueueNotFound), "queue_not_found");
        assert_eq!(error_type(ErrorKind::Timeout), "timeout");
    }

    #[test]
    fn a_time_that_is_to_come_is_now() {
        assert!(seconds_between(0, unix_micros()) > 1e9);
        assert_eq!(seconds_between(i64::MAX, unix_micros()).to_bits(), 0);
    }
}
