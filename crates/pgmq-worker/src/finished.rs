//! The receipt of a message that was finished in a transaction of the user.

use pgmq_core::ErrorKind;

/// The receipt of a message that the handler has finished in its own transaction: the worker has nothing more
/// to do with it.
///
/// It comes only from `finish_in`, `archive_in`, `dead_letter_in` and `forward_in` of a job, and a handler
/// returns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "the handler has to return the receipt, otherwise the worker finishes the message again"]
pub struct Finished {
    msg_id: i64,
    new_id: Option<i64>,
}

impl Finished {
    pub(crate) fn new(msg_id: i64, new_id: Option<i64>) -> Self {
        Self { msg_id, new_id }
    }

    /// The id of the message that is finished.
    pub fn msg_id(&self) -> i64 {
        self.msg_id
    }

    /// The id of the message that was sent in its place, by `dead_letter_in` and `forward_in`.
    pub fn new_id(&self) -> Option<i64> {
        self.new_id
    }
}

/// The message of a job is no longer there to be finished: another worker has finished it, or has read it
/// since.
///
/// The error of `finish_in` and its like is that of the back end, of kind [`ErrorKind::AlreadyGone`], with
/// this one among its sources. Let it fail the transaction, so that the work of this handler is rolled back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("message {msg_id} of queue {queue:?} is gone, or another worker has read it since")]
#[non_exhaustive]
pub struct AlreadyGone {
    /// The queue.
    pub queue: String,
    /// The id of the message.
    pub msg_id: i64,
}

impl AlreadyGone {
    pub(crate) fn new(queue: &str, msg_id: i64) -> Self {
        Self { queue: queue.to_owned(), msg_id }
    }

    /// Returns `true` if the error is of this sort, or one of its sources is.
    pub fn is_cause_of(error: &(dyn std::error::Error + 'static)) -> bool {
        std::iter::successors(Some(error), |error| error.source()).any(|error| error.is::<Self>())
    }
}

impl From<AlreadyGone> for pgmq_core::Error {
    fn from(gone: AlreadyGone) -> Self {
        let text = "the message is not finished, as it is no longer this job's; roll the transaction back";
        Self::new(ErrorKind::AlreadyGone, text).because(gone)
    }
}
