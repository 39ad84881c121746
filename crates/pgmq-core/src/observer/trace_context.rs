//! The W3C trace context in the headers of a message.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::message::Message;
use crate::param::{JsonArray, JsonText, Param};
use crate::raw_json::RawJson;

/// A [W3C trace context](https://www.w3.org/TR/trace-context/): the trace to which a message belongs, and the
/// span that sent it.
///
/// It is sent as the headers `traceparent` and `tracestate` at the top level of a message's headers, as
/// OpenTelemetry's propagator writes them and other clients of PGMQ read them.
///
/// ```
/// use pgmq_core::TraceContext;
///
/// let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// assert_eq!(TraceContext::new(text).unwrap().traceparent(), text);
/// assert!(TraceContext::new("not a trace").is_none());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TraceContext {
    traceparent: Box<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracestate: Option<Box<str>>,
}

impl TraceContext {
    /// A context by its `traceparent`; `None` if the text is none.
    pub fn new(traceparent: &str) -> Option<Self> {
        is_traceparent(traceparent).then(|| Self { traceparent: traceparent.into(), tracestate: None })
    }

    /// Adds the `tracestate` of tracing systems. An empty one counts as missing.
    #[must_use]
    pub fn with_tracestate(mut self, tracestate: &str) -> Self {
        self.tracestate = Some(tracestate).filter(|state| !state.is_empty()).map(Into::into);
        self
    }

    /// The context in the headers of a message; `None` if there is none.
    pub fn from_headers(headers: &RawJson) -> Option<Self> {
        #[derive(Deserialize)]
        struct Headers<'a> {
            #[serde(borrow)]
            traceparent: Cow<'a, str>,
            #[serde(borrow, default)]
            tracestate: Option<Cow<'a, str>>,
        }
        // Most headers are without a trace, and a search is cheaper than the parser's error.
        if !headers.get().contains("\"traceparent\"") {
            return None;
        }
        let Headers { traceparent, tracestate } = serde_json::from_str(headers.get()).ok()?;
        let context = Self::new(&traceparent)?;
        Some(context.with_tracestate(tracestate.as_deref().unwrap_or_default()))
    }

    /// The version, the id of the trace, the id of the span and the flags.
    pub fn traceparent(&self) -> &str {
        &self.traceparent
    }

    /// The state of tracing systems.
    pub fn tracestate(&self) -> Option<&str> {
        self.tracestate.as_deref()
    }

    /// The headers of a message that has no others.
    pub(crate) fn headers(&self) -> Option<JsonText> {
        JsonText::new(self).ok()
    }

    /// The headers of this number of messages that have no others.
    pub(crate) fn headers_of(&self, messages: usize) -> Option<JsonArray> {
        let headers = self.headers()?;
        let mut array = JsonArray::default();
        (0..messages).for_each(|_| array.push_text(Some(&headers)));
        Some(array)
    }

    /// Adds the context to headers that the caller has given: those of one message, or of each in a batch.
    pub(crate) fn merge_into(&self, headers: &mut Param<'_>) {
        match headers {
            Param::Jsonb(text) => {
                if let Some(merged) = self.merged(text.as_bytes()) {
                    *text = merged;
                }
            }
            Param::JsonbArray(array) => {
                let own = self.headers();
                let mut merged = JsonArray::default();
                for text in array.iter() {
                    match text.map(|text| (text, self.merged(text))) {
                        None => merged.push_text(own.as_ref()),
                        Some((_, Some(text))) => merged.push_text(Some(&text)),
                        Some((text, None)) => merged.push_bytes(Some(text)),
                    }
                }
                *array = merged;
            }
            _ => {}
        }
    }

    /// Headers with the context in them; `None` to leave them as they are, since they are no object, or have
    /// a context.
    fn merged(&self, headers: &[u8]) -> Option<JsonText> {
        let keys: BTreeMap<Cow<'_, str>, IgnoredAny> = serde_json::from_slice(headers).ok()?;
        if keys.contains_key("traceparent") || keys.contains_key("tracestate") {
            return None;
        }
        let own = self.headers()?;
        let (own, rest) =
            (own.as_bytes().strip_suffix(b"}")?, headers.trim_ascii_start().strip_prefix(b"{")?);
        let comma: &[u8] = if keys.is_empty() { b"" } else { b"," };
        Some(JsonText::joined(&[own, comma, rest]))
    }
}

impl<T> Message<T> {
    /// The trace context in the headers of the message, if there is one.
    pub fn trace_context(&self) -> Option<TraceContext> {
        TraceContext::from_headers(self.headers.as_ref()?)
    }
}

/// Returns `true` for the `traceparent` of a trace, in any version of the format.
fn is_traceparent(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_hex = |part: &[u8]| part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_id = |part: &[u8]| is_hex(part) && part.iter().any(|byte| *byte != b'0');
    let Some((known, more)) = bytes.split_first_chunk::<55>() else { return false };
    let (version, trace, span, flags) = (&known[..2], &known[3..35], &known[36..52], &known[53..]);
    let is_separated = [2, 35, 52].iter().all(|at| known[*at] == b'-');
    let is_known = is_hex(version) && version != b"ff";
    // Later versions may have more parts.
    let has_end = more.is_empty() || (version != b"00" && more.starts_with(b"-"));
    is_separated && is_known && is_id(trace) && is_id(span) && is_hex(flags) && has_end
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn context() -> TraceContext {
        TraceContext::new(PARENT).unwrap()
    }

    #[test]
    fn only_a_traceparent_is_one() {
        for text in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceContext::new(text), None, "{text}");
        }
        let later = "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more";
        assert!(TraceContext::new(later).is_some(), "a later version may have more parts");
    }

    #[test]
    fn a_context_is_read_from_the_headers_that_it_was_written_to() {
        let read = |headers: Value| TraceContext::from_headers(&RawJson::new(&headers).unwrap());
        assert_eq!(read(json!({"traceparent": PARENT, "x": 1})), Some(context()));
        let with_state = context().with_tracestate("a=1,b=2");
        assert_eq!(read(json!({"traceparent": PARENT, "tracestate": "a=1,b=2"})), Some(with_state));
        for headers in [
            json!({}),
            json!([1]),
            json!({"traceparent": 5}),
            json!({"traceparent": "x"}),
            json!({"x": PARENT}),
        ] {
            assert_eq!(read(headers), None);
        }
    }

    #[test]
    fn a_context_is_merged_into_an_object_and_overwrites_nothing() {
        let merged = |headers: &str| {
            let mut param = Param::Jsonb(JsonText::new(&headers.parse::<RawJson>().unwrap()).unwrap());
            context().merge_into(&mut param);
            let Param::Jsonb(text) = param else { panic!("{param:?}") };
            String::from_utf8(text.as_bytes().to_vec()).unwrap()
        };
        let own = format!("{{\"traceparent\":\"{PARENT}\"");
        assert_eq!(merged("{}"), format!("{own}}}"));
        assert_eq!(
            merged("{ \"n\": 18446744073709551616.10 }"),
            format!("{own}, \"n\": 18446744073709551616.10 }}")
        );
        for kept in ["[1]", "7", "{\"traceparent\":\"mine\"}", "{\"tracestate\":\"mine\"}"] {
            assert_eq!(merged(kept), kept);
        }
    }

    #[test]
    fn each_message_of_a_batch_gets_the_context() {
        let mut array = JsonArray::default();
        array.push(Some(&json!({"a": 1}))).unwrap();
        array.push::<Value>(None).unwrap();
        array.push(Some(&json!("no object"))).unwrap();
        let mut param = Param::JsonbArray(array);
        context().merge_into(&mut param);
        let Param::JsonbArray(array) = param else { panic!("{param:?}") };
        let texts: Vec<Value> =
            array.iter().map(|text| serde_json::from_slice(text.unwrap()).unwrap()).collect();
        assert_eq!(
            texts,
            [json!({"traceparent": PARENT, "a": 1}), json!({"traceparent": PARENT}), json!("no object")]
        );
    }
}
