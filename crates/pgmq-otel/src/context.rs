//! Between the trace contexts of messages and those of OpenTelemetry.

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use pgmq_core::TraceContext;

/// The span that has sent a message, by the trace context in the message's headers; `None` if it is
/// malformed.
///
/// The receive spans of an [`OtelObserver`](crate::OtelObserver) and the spans of a worker have links to it.
/// By hand, it is the parent of a span for the work on a message:
///
/// ```
/// use opentelemetry::Context;
/// use opentelemetry::trace::TraceContextExt;
/// use pgmq_core::Message;
///
/// fn context_of<T>(message: &Message<T>) -> Context {
///     let sent_by = message.trace_context().and_then(|context| pgmq_otel::span_context(&context));
///     match sent_by {
///         Some(span) => Context::current().with_remote_span_context(span),
///         None => Context::current(),
///     }
/// }
/// # let _ = context_of(&Message::new(1, "hello"));
/// ```
pub fn span_context(context: &TraceContext) -> Option<SpanContext> {
    let mut parts = context.traceparent().split('-').skip(1);
    let trace = TraceId::from_hex(parts.next()?).ok()?;
    let span = SpanId::from_hex(parts.next()?).ok()?;
    let flags = u8::from_str_radix(parts.next()?, 16).ok()?;
    // A state that is malformed is dropped, as the specification of the W3C wants it.
    let state = context.tracestate().and_then(|state| state.parse::<TraceState>().ok()).unwrap_or_default();
    let flags = TraceFlags::new(flags) & TraceFlags::SAMPLED;
    Some(SpanContext::new(trace, span, flags, true, state)).filter(SpanContext::is_valid)
}

/// The trace context to send in the headers of a message for this span; `None` if the span is not valid.
///
/// An [`OtelObserver`](crate::OtelObserver) that is [propagating](crate::OtelObserver::propagating) adds it
/// to each message by itself.
///
/// ```
/// use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
///
/// let (trace, span) = (TraceId::from(1_u128), SpanId::from(2_u64));
/// let span = SpanContext::new(trace, span, TraceFlags::SAMPLED, false, TraceState::NONE);
/// let context = pgmq_otel::trace_context(&span).unwrap();
/// assert_eq!(context.traceparent(), "00-00000000000000000000000000000001-0000000000000002-01");
/// ```
pub fn trace_context(span: &SpanContext) -> Option<TraceContext> {
    let flags = (span.trace_flags() & TraceFlags::SAMPLED).to_u8();
    let parent = format!("00-{}-{}-{flags:02x}", span.trace_id(), span.span_id());
    Some(TraceContext::new(&parent)?.with_tracestate(&span.trace_state().header()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_context_comes_back_as_it_was() {
        for context in [
            TraceContext::new(PARENT).unwrap(),
            TraceContext::new(&PARENT.replace("-01", "-00")).unwrap(),
            TraceContext::new(PARENT).unwrap().with_tracestate("a=1,b=2"),
        ] {
            let span = span_context(&context).unwrap();
            assert!(span.is_remote());
            assert_eq!(trace_context(&span), Some(context));
        }
    }

    #[test]
    fn a_malformed_state_is_dropped_and_an_invalid_span_has_no_context() {
        let context = TraceContext::new(PARENT).unwrap().with_tracestate("no state");
        assert_eq!(span_context(&context).unwrap().trace_state(), &TraceState::NONE);
        assert_eq!(trace_context(&SpanContext::empty_context()), None);
    }
}
