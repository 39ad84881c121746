//! Compiles the Rust code of the README and of the guide: each code block is a documentation test of this
//! crate.
//!
//! A block is a whole program, marked `no_run` if it needs a server, or consists of functions that are never
//! called. So the pages need no hidden lines, and are readable wherever Markdown is rendered.

macro_rules! pages {
    ($($page:ident = $path:literal;)*) => {
        $(
            #[cfg(doctest)]
            #[doc = include_str!(concat!("../../../", $path))]
            struct $page;
        )*

        #[cfg(test)]
        const PAGES: &[&str] = &[$($path),*];
    };
}

pages! {
    Readme = "README.md";
    Architecture = "docs/architecture.md";
    Choosing = "docs/choosing.md";
    Configuration = "docs/configuration.md";
    Decisions = "docs/decisions.md";
    Diesel = "docs/diesel.md";
    DieselAsync = "docs/diesel-async.md";
    Errors = "docs/errors.md";
    Finishing = "docs/finishing.md";
    FromPgmqCrate = "docs/from-pgmq-crate.md";
    FromPgmqPy = "docs/from-pgmq-py.md";
    GettingStarted = "docs/getting-started.md";
    Glossary = "docs/glossary.md";
    Index = "docs/README.md";
    Metrics = "docs/metrics.md";
    Notifications = "docs/notifications.md";
    Performance = "docs/performance.md";
    Queues = "docs/queues.md";
    Reading = "docs/reading.md";
    Reliability = "docs/reliability.md";
    RetriesAndDeadLetters = "docs/retries-and-dead-letters.md";
    Sending = "docs/sending.md";
    Sqlx = "docs/sqlx.md";
    Summary = "docs/SUMMARY.md";
    TelemetryObservers = "docs/telemetry/observers.md";
    TelemetryOpentelemetry = "docs/telemetry/opentelemetry.md";
    TelemetryTracing = "docs/telemetry/tracing.md";
    Topics = "docs/topics.md";
    Transactions = "docs/transactions.md";
    Versions = "docs/versions.md";
    VisibilityTimeouts = "docs/visibility-timeouts.md";
    WorkerBatches = "docs/worker/batches.md";
    WorkerDeadLetters = "docs/worker/dead-letters.md";
    WorkerExactlyOnce = "docs/worker/exactly-once.md";
    WorkerInFiveMinutes = "docs/worker/in-five-minutes.md";
    WorkerLeases = "docs/worker/leases.md";
    WorkerManyQueues = "docs/worker/many-queues.md";
    WorkerObserving = "docs/worker/observing.md";
    WorkerOperating = "docs/worker/operating.md";
    WorkerOutcomes = "docs/worker/outcomes.md";
    WorkerPromises = "docs/worker/promises.md";
    WorkerRetries = "docs/worker/retries.md";
    WorkerStopping = "docs/worker/stopping.md";
    WorkerTesting = "docs/worker/testing.md";
    WorkerThroughput = "docs/worker/throughput.md";
    WorkerTower = "docs/worker/tower.md";
    WorkerWaking = "docs/worker/waking.md";
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::PAGES;

    #[test]
    fn every_page_is_compiled() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut pages = vec!["README.md".to_owned()];
        for folder in ["docs", "docs/telemetry", "docs/worker"] {
            let names = root
                .join(folder)
                .read_dir()
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap());
            pages.extend(names.filter(|name| name.ends_with(".md")).map(|name| format!("{folder}/{name}")));
        }
        pages.retain(|page| !PAGES.contains(&page.as_str()));
        assert!(pages.is_empty(), "these pages are missing in the list of this file: {pages:?}");
    }
}
