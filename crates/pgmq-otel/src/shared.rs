//! The things that all observations of an observer share.

use std::sync::Arc;

use opentelemetry::metrics::{Histogram, Meter};

use crate::instruments::Instruments;
use crate::tracing::Start;

/// The things that all observations of an observer share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) tracer: Arc<dyn Start>,
    pub(crate) instruments: Instruments,
    pub(crate) age: Option<Histogram<f64>>,
    pub(crate) propagates: bool,
    /// For the instruments that options add.
    pub(crate) meter: Meter,
}
