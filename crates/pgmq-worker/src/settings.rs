//! The checks of settings, and their errors.

use std::time::Duration;

use pgmq_core::NotifyOptions;
use pgmq_core::statement::{self, Action};

/// A setting of a queue is of no use. Found before anything runs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("queue {queue:?}: {text}")]
pub struct SettingsError {
    queue: String,
    text: String,
}

impl SettingsError {
    pub(crate) fn new(queue: &str, text: impl Into<String>) -> Self {
        Self { queue: queue.to_owned(), text: text.into() }
    }

    /// The queue whose setting it is.
    pub fn queue(&self) -> &str {
        &self.queue
    }
}

/// The checks of the settings of one queue.
pub(crate) struct Checks<'a> {
    pub(crate) queue: &'a str,
}

impl Checks<'_> {
    /// An error with this text.
    pub(crate) fn fail<T>(&self, text: impl Into<String>) -> Result<T, SettingsError> {
        Err(SettingsError::new(self.queue, text))
    }

    pub(crate) fn at_least_one(&self, what: &str, number: usize) -> Result<usize, SettingsError> {
        match number {
            0 => self.fail(format!("{what} is 0; give at least 1")),
            number => Ok(number),
        }
    }

    /// A number of reads, as the server counts them.
    pub(crate) fn reads(&self, what: &str, number: u32) -> Result<i32, SettingsError> {
        match i32::try_from(number) {
            Ok(0) => self.fail(format!("{what} is 0; give at least 1")),
            Ok(number) => Ok(number),
            Err(_) => self.fail(format!("{what} is {number}; give at most {}", i32::MAX)),
        }
    }

    pub(crate) fn not_zero(&self, what: &str, time: Duration) -> Result<Duration, SettingsError> {
        match time.is_zero() {
            true => self.fail(format!("{what} is zero; give a time")),
            false => Ok(time),
        }
    }

    /// A throttle, as the operations check it.
    pub(crate) fn throttle(&self, throttle: Option<Duration>) -> Result<(), SettingsError> {
        let Some(throttle) = throttle else { return Ok(()) };
        let options = NotifyOptions::new().throttle(throttle);
        match statement::enable_notify_with(self.queue, &options).into_action() {
            Action::Return(Err(error)) => self.fail(format!("ensure_notify: {error}")),
            _ => Ok(()),
        }
    }

    /// The name of a queue, as the operations check it.
    pub(crate) fn name(&self, name: &str, advice: &str) -> Result<(), SettingsError> {
        match statement::create_queue(name).into_action() {
            Action::Return(Err(error)) => self.fail(format!("{error}{advice}")),
            _ => Ok(()),
        }
    }
}

/// The facts about a queue that do not come from its settings.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// The concurrency, unless it is set.
    pub(crate) default_concurrency: usize,
    /// `true` if the handler takes batches.
    pub(crate) takes_batches: bool,
    /// The largest `max_reads` of the handlers of a router.
    pub(crate) max_reads: Option<u32>,
}
