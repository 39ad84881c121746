//! Excuses failures on an older PGMQ, but only those of operations that the version is known to lack.

use pgmq_core::{Operation, Version};

/// Returns `true` if an error's text states that the server is too old for an operation, and that is the
/// case.
pub(crate) fn excuses(text: &str, installed: Version) -> bool {
    let Some((before, behind)) = text.split_once(": the server") else { return false };
    let before = before.rsplit_once(" on queue ").map_or(before, |(before, _)| before);
    let operation = before.rsplit(' ').next().unwrap_or_default();
    let Some((_, behind)) = behind.split_once("it came with PGMQ ") else { return false };
    let end = behind.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(behind.len());
    let since = behind.get(..end).and_then(|version| version.parse::<Version>().ok());
    let Some(operation) = Operation::find(operation) else { return false };
    since.is_some_and(|since| {
        let is_known = operation.since == Some(since) || operation.needs.iter().any(|need| need.1 == since);
        since > installed && is_known
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
