//! The ratios that the table shows.

/// A ratio of two contestants.
pub(super) struct Comparison {
    pub(super) subject: &'static str,
    pub(super) baseline: &'static str,
    /// The goal, for the reader.
    pub(super) goal: &'static str,
}

const fn of(subject: &'static str, baseline: &'static str, goal: &'static str) -> Comparison {
    Comparison { subject, baseline, goal }
}

pub(super) const COMPARISONS: &[Comparison] = &[
    of("tokio-100", "tokio-loop", "at least 1.3"),
    of("tokio-100", "tokio-2-loops", "at least 0.95"),
    of("tokio-16", "tokio-loop", ""),
    of("tokio-1-connection", "tokio-loop", "at least 0.95"),
    of("tokio-1000", "tokio-100", "at least 1.0"),
    of("tokio-loop-otel", "tokio-loop", "at least 0.90"),
    of("tokio-100-otel", "tokio-100", "at least 0.90"),
    of("tokio-beats", "tokio-no-beats", "at least 0.97"),
    of("tokio-finish", "tokio-transactions", "at least 0.95"),
    of("sqlx-100", "sqlx-loop", "at least 1.3"),
    of("sqlx-100", "sqlx-2-loops", "at least 0.95"),
    of("postgres-100", "postgres-loop", "at least 1.3"),
    of("postgres-100", "postgres-2-loops", "at least 0.95"),
    of("postgres-16", "tokio-16", "at least 0.9"),
    of("postgres-finish", "postgres-transactions", "at least 0.95"),
    of("tokio-latency", "tokio-listen-and-read", "at most 1.2"),
    of("tokio-bury", "tokio-read", "at most 1.0"),
    of("tokio-16", "graphile-worker", ""),
    of("tokio-16", "apalis", ""),
    of("tokio-latency", "graphile-worker-latency", ""),
    of("tokio-latency", "apalis-latency", ""),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::contestants::contestants;

    #[test]
    fn every_comparison_is_of_contestants() {
        let names: Vec<_> = contestants().iter().map(|contestant| contestant.name).collect();
        let peers = ["graphile-worker", "apalis"];
        for Comparison { subject, baseline, .. } in COMPARISONS {
            assert!(names.contains(subject), "{subject}");
            let is_peer = peers.iter().any(|peer| baseline.starts_with(peer));
            assert!(is_peer || names.contains(baseline), "{baseline}");
        }
    }
}
