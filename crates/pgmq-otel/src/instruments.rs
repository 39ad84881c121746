//! The instruments of the metrics.

use opentelemetry::metrics::{Counter, Histogram, Meter};

/// The buckets, in seconds, which the semantic conventions give.
pub(crate) const BUCKETS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// The buckets, in seconds, of times that messages wait: up to a day.
pub(crate) const WAITING: [f64; 14] =
    [0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 43200.0, 86400.0];

/// The instruments of a client.
#[derive(Clone)]
pub(crate) struct Instruments {
    pub(crate) duration: Histogram<f64>,
    pub(crate) sent: Counter<u64>,
    pub(crate) consumed: Counter<u64>,
}

impl Instruments {
    pub(crate) fn new(meter: &Meter) -> Self {
        Self {
            duration: seconds(meter, "messaging.client.operation.duration", &BUCKETS)
                .with_description(
                    "Duration of messaging operation initiated by a producer or consumer client.",
                )
                .build(),
            sent: meter
                .u64_counter("messaging.client.sent.messages")
                .with_unit("{message}")
                .with_description("Number of messages producer attempted to send to the broker.")
                .build(),
            consumed: meter
                .u64_counter("messaging.client.consumed.messages")
                .with_unit("{message}")
                .with_description("Number of messages that were delivered to the application.")
                .build(),
        }
    }
}

/// The age of messages that are received.
pub(crate) fn age(meter: &Meter) -> Histogram<f64> {
    seconds(meter, "pgmq.message.age", &WAITING)
        .with_description("Time from the send of a message until a client has received it.")
        .build()
}

/// A histogram of durations.
pub(crate) fn seconds<'a>(
    meter: &'a Meter,
    name: &'static str,
    buckets: &[f64],
) -> opentelemetry::metrics::HistogramBuilder<'a, Histogram<f64>> {
    meter.f64_histogram(name).with_unit("s").with_boundaries(buckets.to_vec())
}
