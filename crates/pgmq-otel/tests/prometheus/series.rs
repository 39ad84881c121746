//! The series of a metric, as Prometheus stores them.

use std::collections::BTreeMap;
use std::fmt;

use prometheus::proto::{Metric, MetricFamily, MetricType};

/// The labels that a collector makes of the resource of a process, and Prometheus keeps by `honor_labels`.
const OF_THE_PROCESS: [(&str, &str); 2] = [("instance", "host-1"), ("job", "shop")];

/// A series.
#[derive(Clone)]
pub(crate) struct Series {
    /// The name of the metric without the suffixes of histograms.
    pub(crate) family: String,
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels: Vec<_> = self.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        write!(f, "{}{{{}}}", self.name, labels.join(","))
    }
}

/// The series of metrics.
pub(crate) fn series_of(families: &[MetricFamily]) -> Vec<Series> {
    let mut all = Vec::new();
    for family in families {
        for metric in family.get_metric() {
            let labels = labels(metric);
            let mut add = |suffix: &str, le: Option<String>| {
                let mut labels = labels.clone();
                labels.extend(le.map(|le| ("le".to_owned(), le)));
                let (family, name) = (family.name().to_owned(), format!("{}{suffix}", family.name()));
                all.push(Series { family, name, labels });
            };
            if family.get_field_type() != MetricType::HISTOGRAM {
                add("", None);
                continue;
            }
            let buckets = metric.get_histogram().get_bucket().iter();
            let bounds = buckets.map(|bucket| bucket.upper_bound().to_string());
            for bound in bounds.chain(["+Inf".to_owned()]) {
                add("_bucket", Some(bound));
            }
            add("_sum", None);
            add("_count", None);
        }
    }
    all
}

fn labels(metric: &Metric) -> BTreeMap<String, String> {
    let of_metric = metric.get_label().iter().map(|pair| (pair.name(), pair.value()));
    let labels = of_metric.chain(OF_THE_PROCESS);
    labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
