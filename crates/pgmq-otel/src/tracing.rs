//! The tracer, without its type.

use std::sync::Arc;

use opentelemetry::Context;
use opentelemetry::trace::{Span, SpanBuilder, TraceContextExt, Tracer, TracerProvider};

use crate::names;

/// Starts spans.
pub(crate) trait Start: Send + Sync {
    /// Starts a span, and returns the context that it is active in.
    fn start(&self, span: SpanBuilder, parent: &Context) -> Context;
}

struct By<T>(T);

impl<T> Start for By<T>
where
    T: Tracer + Send + Sync,
    T::Span: Span + Send + Sync + 'static,
{
    fn start(&self, span: SpanBuilder, parent: &Context) -> Context {
        parent.with_span(self.0.build_with_context(span, parent))
    }
}

/// The tracer of this crate's scope.
pub(crate) fn tracer<P>(provider: &P) -> Arc<dyn Start>
where
    P: TracerProvider,
    P::Tracer: Tracer<Span: Send + Sync + 'static> + Send + Sync + 'static,
{
    Arc::new(By(provider.tracer_with_scope(names::scope())))
}
