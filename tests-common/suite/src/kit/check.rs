//! Assertions and helpers of cases.

use std::{error::Error, fmt::Debug, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use pgmq_core::{AsyncQueue, ErrorKind, Message, QueueError};

use crate::kit::{
    backend::UserError,
    context::{QUEUE, TestContext},
    failure::{Failure, Outcome, error_chain},
};

/// Time limit of actions that should be fast, shorter than the default timeouts.
pub(crate) const SOON: Duration = Duration::from_secs(8);

/// Asserts that a queue works.
pub(crate) async fn works<Queue: AsyncQueue>(queue: &Queue) -> Outcome {
    let id = queue.send(QUEUE, "works").await?;
    assert_eq!(queue.pop::<String>(QUEUE).await?.unwrap().msg_id, id);
    Ok(())
}

/// Asserts that a call failed with this kind of error, and returns the error.
#[track_caller]
pub(crate) fn fails_as<T: Debug, E: QueueError>(kind: ErrorKind, result: Result<T, E>) -> E {
    let error = match result {
        Ok(value) => panic!("expected an error of kind {kind:?}, got {value:?}"),
        Err(error) => error,
    };
    assert_eq!(error.kind(), kind, "{}", error_chain(&error));
    does_not_repeat_its_causes(&error);
    error
}

/// Asserts that the text of an error does not contain the texts of its causes, which `source` returns.
#[track_caller]
pub(crate) fn does_not_repeat_its_causes(error: &dyn Error) {
    let text = error.to_string();
    assert!(!text.is_empty() && !text.ends_with('.'), "{text:?}");
    let mut cause = error.source();
    while let Some(error) = cause {
        assert!(!text.contains(&error.to_string()), "{text:?} repeats its cause {error}");
        cause = error.source();
    }
}

/// The error of the queue in a transaction whose user never abandons it.
#[track_caller]
pub(crate) fn queue_error<E>(error: UserError<E>) -> E {
    match error {
        UserError::Queue(error) => error,
        UserError::GaveUp => panic!("the steps do not abandon the transaction"),
    }
}

pub(crate) fn ids<T>(messages: &[Message<T>]) -> Vec<i64> {
    messages.iter().map(|message| message.msg_id).collect()
}

pub(crate) fn sorted(mut ids: Vec<i64>) -> Vec<i64> {
    ids.sort_unstable();
    ids
}

pub(crate) fn payloads<T>(messages: Vec<Message<T>>) -> Vec<T> {
    messages.into_iter().map(|message| message.message).collect()
}

/// Asserts that the last read has hidden a message for the given number of seconds.
#[track_caller]
pub(crate) fn is_hidden_for<T: Debug>(context: &TestContext<'_>, message: &Message<T>, seconds: i64) {
    if !context.has_pgmq("1.10.0") {
        assert_eq!(message.last_read_at, None);
        return;
    }
    let read_at = message.last_read_at.expect("a message that was read has a time of its last read");
    let hidden = message.vt - read_at;
    // The server reads its clock twice, in no defined order.
    let off = (hidden - TimeDelta::seconds(seconds)).abs();
    assert!(off < TimeDelta::milliseconds(400), "hidden for {hidden}, not {seconds} seconds: {message:?}");
}

/// The server's time at the start of an action, for assertions on the times that the action set.
pub(crate) struct Stopwatch<'w> {
    context: &'w TestContext<'w>,
    started: DateTime<Utc>,
}

impl<'w> Stopwatch<'w> {
    pub(crate) fn start(context: &'w TestContext<'w>) -> Result<Self, Failure> {
        Ok(Self { context, started: context.now()? })
    }

    pub(crate) fn started(&self) -> DateTime<Utc> {
        self.started
    }

    /// Asserts that `at` is the given number of seconds after a moment between the start and now.
    #[track_caller]
    pub(crate) fn is_counted_from_now(&self, at: DateTime<Utc>, seconds: i64) -> Result<(), Failure> {
        let counted_from = at - TimeDelta::seconds(seconds);
        let now = self.context.now()?;
        assert!(
            self.started <= counted_from && counted_from <= now,
            "{at} is not {seconds} seconds after a moment between {} and {now}",
            self.started
        );
        Ok(())
    }
}

/// Truncates a point in time to microseconds, the server's precision.
pub(crate) fn whole_micros(at: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(at.timestamp_micros()).expect("times near now are in range")
}
