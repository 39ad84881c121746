//! Excuses failures on an older PGMQ, which lacks operations: only for operations that the version is known
//! to lack.

use pgmq_core::Version;

/// The operations that older versions lack, entirely or with some options, and the versions that introduced
/// them.
const CAME_LATER: [(Version, &[&str]); 10] = [
    (
        Version::new(1, 5, 0),
        &["send_with", "send_batch_with", "read_with", "read_with_poll", "requeue_archived"],
    ),
    (Version::new(1, 6, 0), &["acquire_queue_lock"]),
    (Version::new(1, 7, 0), &["enable_notify", "disable_notify", "pop_batch"]),
    (Version::new(1, 8, 0), &["set_vt_batch", "enable_notify_with"]),
    (
        Version::new(1, 9, 0),
        &[
            "read_grouped",
            "read_grouped_with_poll",
            "read_grouped_rr",
            "read_grouped_rr_with_poll",
            "create_fifo_index",
            "create_fifo_indexes_all",
        ],
    ),
    (Version::new(1, 10, 0), &["set_vt", "set_vt_batch"]),
    (
        Version::new(1, 11, 0),
        &[
            "bind_topic",
            "unbind_topic",
            "list_topic_bindings",
            "list_topic_bindings_for",
            "test_routing",
            "validate_routing_key",
            "validate_topic_pattern",
            "send_topic",
            "send_topic_with",
            "send_batch_topic",
            "send_batch_topic_with",
            "update_notify",
            "list_notify_throttles",
        ],
    ),
    (Version::new(1, 11, 1), &["read_grouped_head"]),
    (Version::new(1, 12, 0), &["read_grouped_head_with_poll"]),
    (Version::new(1, 13, 0), &["create_partitioned_queue_with"]),
];

/// The names of all operations that older versions lack.
#[cfg(test)]
pub(crate) fn operations() -> impl Iterator<Item = &'static str> {
    CAME_LATER.iter().flat_map(|(_, names)| *names).copied()
}

/// Returns `true` if an error's text states that the server is too old for an operation, and that is the
/// case.
pub(crate) fn excuses(text: &str, installed: Version) -> bool {
    let Some((before, behind)) = text.split_once(": the server") else { return false };
    let before = before.rsplit_once(" on queue ").map_or(before, |(before, _)| before);
    let operation = before.rsplit(' ').next().unwrap_or_default();
    let Some((_, behind)) = behind.split_once("it came with PGMQ ") else { return false };
    let end = behind.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(behind.len());
    let since = behind.get(..end).and_then(|version| version.parse::<Version>().ok());
    since.is_some_and(|since| {
        since > installed
            && CAME_LATER.iter().any(|(version, names)| *version == since && names.contains(&operation))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Version = Version::new(1, 4, 4);

    #[test]
    fn only_operations_that_a_version_lacks_are_excused() {
        let error = |operation: &str, version: &str| {
            format!(
                "{operation}: the server's PGMQ has no pgmq.x that can do this; it came with PGMQ {version}: db error"
            )
        };
        assert!(excuses(&error("send_topic", "1.11.0"), OLD));
        assert!(excuses(&error("assertion failed: pop_batch on queue \"q on queue\"", "1.7.0"), OLD));
        assert!(!excuses(&error("send_topic", "1.11.0"), Version::new(1, 11, 0)), "the version has it");
        assert!(!excuses(&error("send on queue \"q\"", "1.13.0"), OLD), "all versions have it");
        assert!(
            !excuses(&error("pop_batch on queue \"q\"", "1.8.0"), OLD),
            "an earlier version introduced it"
        );
        assert!(!excuses("pop_batch on queue \"q\": the queue does not exist", OLD));
    }
}
