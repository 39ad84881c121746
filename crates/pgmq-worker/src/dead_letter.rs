//! The headers of dead letters: why a message is in a dead-letter queue, and where it came from.

use chrono::{DateTime, Utc};
use pgmq_core::RawJson;
use serde_json::Value;

use crate::failure::{Failure, Reason};
use crate::headers::Headers;
use crate::machine::command::CancelReason;
use crate::meta::{ATTEMPTS, Meta};

/// The beginning of the names of all headers of dead letters.
const PREFIX: &str = "x-dlq-";
/// The number of times that the message was moved back from a dead-letter queue.
const REDRIVEN: &str = "x-dlq-redriven";
/// The largest length of the error's text, in bytes.
const ERROR_BYTES: usize = 2048;

/// The reason for which a message is moved to the dead-letter queue.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Burial {
    pub(crate) reason: Reason,
    /// The text of the error, which is cut when it becomes a header.
    pub(crate) error: String,
}

impl Burial {
    /// The handler has asked for it, or the failure has a reason of its own.
    pub(crate) fn asked_for(why: &Failure) -> Self {
        Self { reason: why.reason().unwrap_or(Reason::Permanent), error: why.to_string() }
    }

    /// The message has no reads left after this failure.
    pub(crate) fn exhausted(why: &Failure) -> Self {
        Self { reason: why.reason().unwrap_or(Reason::Exhausted), error: why.to_string() }
    }

    /// No handler has ended with the message: the earlier ones have crashed or were too slow, or this one was
    /// cancelled and did not end.
    pub(crate) fn unfinished(job: &Meta) -> Self {
        match job.cancel_reason() {
            Some(CancelReason::TimedOut) => Self {
                reason: Reason::Timeout,
                error: "the handler did not end within its timeout and the grace after it".to_owned(),
            },
            _ => Self::never_finished(job.reads()),
        }
    }

    /// The message was read too often before its handler ran.
    pub(crate) fn never_finished(reads: i32) -> Self {
        let error = format!("the message was read {reads} times, and no handler has finished it");
        Self { reason: Reason::Exhausted, error }
    }
}

/// The headers of a dead letter: those of the message, and those that say why it is one.
pub(crate) fn buried_headers(job: &Meta, burial: &Burial, at: DateTime<Utc>) -> Headers {
    let mut headers = job.headers().clone();
    let mut set = |name: &str, value: Value| headers.set(&format!("{PREFIX}{name}"), RawJson::from(value));
    set("reason", burial.reason.as_str().into());
    set("error", storable(&burial.error).into());
    set("origin-queue", job.queue().into());
    set("origin-msg-id", job.id().into());
    set("read-ct", job.reads().into());
    set("enqueued-at", time(job.enqueued_at()));
    set("at", time(at));
    set("worker", storable(&job.source().worker).into());
    headers
}

/// The headers of a dead letter that is moved back: those that the message had before, and the number of
/// times that it was moved back, in `x-dlq-redriven`.
///
/// The count of attempts begins again. Headers that were not a JSON object come back as the header
/// `x-headers`.
///
/// ```
/// use pgmq_core::RawJson;
/// use pgmq_worker::strip;
///
/// let headers: RawJson = r#"{"type": "email", "x-dlq-reason": "exhausted", "x-dlq-redriven": 1}"#.parse()?;
/// let stripped = RawJson::new(&strip(Some(&headers)))?;
/// assert_eq!(stripped.get(), r#"{"type":"email","x-dlq-redriven":2}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
pub fn strip(headers: Option<&RawJson>) -> Headers {
    let mut headers = Headers::parse(headers);
    let redriven: u64 = headers.value(REDRIVEN).unwrap_or(0);
    headers.retain(|name| !name.starts_with(PREFIX) && name != ATTEMPTS);
    headers.set(REDRIVEN, RawJson::from(Value::from(redriven.saturating_add(1))));
    headers
}

fn time(at: DateTime<Utc>) -> Value {
    at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true).into()
}

/// The text as `jsonb` can hold it, cut at the end of a character.
fn storable(text: &str) -> String {
    let mut end = text.len().min(ERROR_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    // The replacement of NUL is longer, so it may not be in the text before the cut.
    text[..end].replace('\0', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::headers::WHOLE;
    use crate::meta::tests::job_with;

    fn at() -> DateTime<Utc> {
        DateTime::UNIX_EPOCH
    }

    fn headers_of(headers: &str, error: &str) -> Headers {
        let job = job_with("1", Some(headers));
        buried_headers(&job, &Burial::asked_for(&Failure::from(error)), at())
    }

    #[test]
    fn a_dead_letter_keeps_every_digit_of_its_headers() {
        let digits = "12345678901234567890.12345678901234567890";
        let headers = headers_of(&format!(r#"{{"total": {digits}, "type": "a"}}"#), "no");
        assert_eq!(headers.get("total").unwrap().get(), digits);
        assert_eq!(headers.text("type").as_deref(), Some("a"));
    }

    #[test]
    fn a_dead_letter_names_its_reason_and_its_origin() {
        let headers = headers_of("{}", "no such address");
        let text = |name: &str| headers.get(name).unwrap().get().to_owned();
        assert_eq!(text("x-dlq-reason"), r#""permanent""#);
        assert_eq!(text("x-dlq-error"), r#""no such address""#);
        assert_eq!(text("x-dlq-origin-queue"), r#""q""#);
        assert_eq!(text("x-dlq-origin-msg-id"), "7");
        assert_eq!(text("x-dlq-read-ct"), "1");
        assert_eq!(text("x-dlq-enqueued-at"), r#""1970-01-01T00:00:00.000000Z""#);
        assert_eq!(text("x-dlq-at"), r#""1970-01-01T00:00:00.000000Z""#);
        assert_eq!(text("x-dlq-worker"), r#""w""#);
        assert_eq!(headers.iter().count(), 8);
    }

    #[test]
    fn the_text_of_the_error_is_cut_at_the_end_of_a_character() {
        for shift in 0..4 {
            let text = format!("{}{}", "a".repeat(shift), "🦀".repeat(600));
            let cut = headers_of("{}", &text).text("x-dlq-error").unwrap();
            assert!(text.starts_with(&cut));
            assert!(cut.len() <= ERROR_BYTES && cut.len() > ERROR_BYTES - 4, "{}", cut.len());
        }
        assert_eq!(headers_of("{}", "short").text("x-dlq-error").as_deref(), Some("short"));
    }

    #[test]
    fn a_character_that_jsonb_cannot_hold_is_replaced() {
        assert_eq!(headers_of("{}", "a\0b").text("x-dlq-error").as_deref(), Some("a b"));
    }

    #[test]
    fn a_message_that_no_handler_has_ended_with_has_the_reason_that_is_known() {
        let job = job_with("1", None);
        let burial = Burial::unfinished(&job);
        assert_eq!(burial.reason, Reason::Exhausted);
        assert_eq!(burial.error, "the message was read 1 times, and no handler has finished it");
        job.cancel(CancelReason::TimedOut);
        assert_eq!(Burial::unfinished(&job).reason, Reason::Timeout);
    }

    #[test]
    fn headers_that_are_no_object_are_kept_under_one_name() {
        let headers = headers_of("[1.10, 2]", "no");
        assert_eq!(headers.get(WHOLE).unwrap().get(), "[1.10, 2]");
        assert_eq!(headers.iter().count(), 9);
    }

    #[test]
    fn a_redriven_letter_has_the_headers_from_before_and_a_count() {
        let buried = RawJson::new(&headers_of(r#"{"n": 1.10, "x-attempts": 3}"#, "no")).unwrap();
        let stripped = strip(Some(&buried));
        assert_eq!(RawJson::new(&stripped).unwrap().get(), r#"{"n":1.10,"x-dlq-redriven":1}"#);
        let again = strip(Some(&RawJson::new(&stripped).unwrap()));
        assert_eq!(again.value::<u64>(REDRIVEN), Some(2));
        assert_eq!(strip(None).value::<u64>(REDRIVEN), Some(1));
    }
}
