//! What cases have in common.

use std::{error::Error, fmt::Debug};

use chrono::{DateTime, TimeDelta, Utc};
use pgmq_core::{ErrorKind, Message, QueueError};

use super::{Failure, World, failure::chain};

/// The error of a call that has to fail in this way.
#[track_caller]
pub(super) fn fails_as<T: Debug, E: QueueError>(kind: ErrorKind, result: Result<T, E>) -> E {
    let error = match result {
        Ok(value) => panic!("this should have failed as {kind:?}, and returned {value:?}"),
        Err(error) => error,
    };
    assert_eq!(error.kind(), kind, "{}", chain(&error));
    says_each_thing_once(&error);
    error
}

/// Checks that an error leaves its causes to `source`.
#[track_caller]
pub(super) fn says_each_thing_once(error: &dyn Error) {
    let text = error.to_string();
    assert!(!text.is_empty() && !text.ends_with('.'), "{text:?}");
    let mut cause = error.source();
    while let Some(error) = cause {
        assert!(!text.contains(&error.to_string()), "{text:?} repeats its cause {error}");
        cause = error.source();
    }
}

/// The whole story of an error.
pub(super) fn story(error: &impl QueueError) -> String {
    chain(error)
}

/// Does something on a thread of its own, outside of the runtime of the case.
pub(crate) fn beside<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(work).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

pub(super) fn ids<T>(messages: &[Message<T>]) -> Vec<i64> {
    messages.iter().map(|message| message.msg_id).collect()
}

pub(super) fn sorted(mut ids: Vec<i64>) -> Vec<i64> {
    ids.sort_unstable();
    ids
}

pub(super) fn payloads<T>(messages: Vec<Message<T>>) -> Vec<T> {
    messages.into_iter().map(|message| message.message).collect()
}

/// Checks that a message was hidden for this many seconds when it was last read.
#[track_caller]
pub(super) fn is_hidden_for<T: Debug>(world: &World<'_>, message: &Message<T>, seconds: i64) {
    if !world.has("1.10.0") {
        assert_eq!(message.last_read_at, None);
        return;
    }
    let read_at = message.last_read_at.expect("a message that was read says when");
    let hidden = message.vt - read_at;
    // The server looks at its clock twice, in no certain order.
    let off = (hidden - TimeDelta::seconds(seconds)).abs();
    assert!(off < TimeDelta::milliseconds(400), "hidden for {hidden}, not {seconds} seconds: {message:?}");
}

/// Notes the server's time, to check later what was counted from then.
pub(super) struct Stopwatch<'w> {
    world: &'w World<'w>,
    started: DateTime<Utc>,
}

impl<'w> Stopwatch<'w> {
    pub(super) fn start(world: &'w World<'w>) -> Result<Self, Failure> {
        Ok(Self { world, started: world.now()? })
    }

    pub(super) fn started(&self) -> DateTime<Utc> {
        self.started
    }

    /// Checks that a point in time is this many seconds from a moment between the start and now.
    #[track_caller]
    pub(super) fn is_counted_from_now(&self, at: DateTime<Utc>, seconds: i64) -> Result<(), Failure> {
        let counted_from = at - TimeDelta::seconds(seconds);
        let now = self.world.now()?;
        assert!(
            self.started <= counted_from && counted_from <= now,
            "{at} is not {seconds} seconds after a moment between {} and {now}",
            self.started
        );
        Ok(())
    }
}

/// A point in time that the server can hold: it counts in microseconds.
pub(super) fn whole_micros(at: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(at.timestamp_micros()).expect("times near now are in range")
}
