//! The spans and metrics of a test, in memory.

use std::sync::LazyLock;

use opentelemetry::KeyValue;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, Metric, MetricData};
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use pgmq_otel::OtelObserver;
use pgmq_test_server::{Database, Server};

/// The providers of a test, and what they have exported.
pub(crate) struct Telemetry {
    pub(crate) tracers: SdkTracerProvider,
    pub(crate) meters: SdkMeterProvider,
    spans: InMemorySpanExporter,
    metrics: InMemoryMetricExporter,
}

impl Telemetry {
    pub(crate) fn new() -> Self {
        let (spans, metrics) = (InMemorySpanExporter::default(), InMemoryMetricExporter::default());
        Self {
            tracers: SdkTracerProvider::builder().with_simple_exporter(spans.clone()).build(),
            meters: SdkMeterProvider::builder()
                .with_reader(PeriodicReader::builder(metrics.clone()).build())
                .build(),
            spans,
            metrics,
        }
    }

    /// An observer with everything on.
    pub(crate) fn observer(&self) -> OtelObserver {
        OtelObserver::new(&self.tracers, &self.meters).propagating().message_age()
    }

    /// The spans that have ended since the last call, in the order of their ends.
    pub(crate) fn take(&self) -> Vec<SpanData> {
        let spans = self.spans.get_finished_spans().unwrap();
        self.spans.reset();
        spans
    }

    /// The points of a metric: the attributes as `key=value`, sorted, with the sum of a counter or the number
    /// of values of a histogram.
    pub(crate) fn points(&self, name: &str) -> Vec<(String, u64)> {
        self.meters.force_flush().unwrap();
        let exported = self.metrics.get_finished_metrics().unwrap();
        let metrics = exported.last().unwrap().scope_metrics();
        let found: Vec<&Metric> =
            metrics.flat_map(|scope| scope.metrics()).filter(|metric| metric.name() == name).collect();
        let mut points: Vec<_> = found
            .iter()
            .flat_map(|metric| match metric.data() {
                AggregatedMetrics::F64(MetricData::Histogram(histogram)) => histogram
                    .data_points()
                    .map(|point| (shown(point.attributes()), point.count()))
                    .collect::<Vec<_>>(),
                AggregatedMetrics::U64(MetricData::Histogram(histogram)) => {
                    histogram.data_points().map(|point| (shown(point.attributes()), point.count())).collect()
                }
                AggregatedMetrics::U64(MetricData::Sum(sum)) => {
                    sum.data_points().map(|point| (shown(point.attributes()), point.value())).collect()
                }
                AggregatedMetrics::U64(MetricData::Gauge(gauge)) => {
                    gauge.data_points().map(|point| (shown(point.attributes()), point.value())).collect()
                }
                AggregatedMetrics::I64(MetricData::Sum(sum)) => sum
                    .data_points()
                    .map(|point| (shown(point.attributes()), point.value().try_into().unwrap()))
                    .collect(),
                data => panic!("{name} is {data:?}"),
            })
            .collect();
        points.sort();
        points
    }
}

/// Attributes as text, sorted. Those of the server and the constant one of the system are left out.
pub(crate) fn shown<'a>(attributes: impl IntoIterator<Item = &'a KeyValue>) -> String {
    let hidden = ["server.", "db.namespace", "db.system.name", "messaging.system"];
    let shown =
        attributes.into_iter().filter(|pair| !hidden.iter().any(|key| pair.key.as_str().starts_with(key)));
    let mut shown: Vec<_> = shown.map(|pair| format!("{}={}", pair.key, pair.value.as_str())).collect();
    shown.sort();
    shown.join(" ")
}

/// The value of an attribute of a span.
pub(crate) fn value(span: &SpanData, key: &str) -> Option<String> {
    let pair = span.attributes.iter().find(|pair| pair.key.as_str() == key)?;
    Some(pair.value.as_str().into_owned())
}

pub(crate) fn database() -> Database {
    static SERVER: LazyLock<Server> =
        LazyLock::new(|| Server::obtain().unwrap_or_else(|error| panic!("{error:?}")));
    SERVER.create_database().unwrap()
}
