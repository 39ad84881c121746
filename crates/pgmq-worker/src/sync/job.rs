//! A message in the hands of a sync handler.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use pgmq_core::{Queue, SendOptions};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::batch::AnyJob;
use crate::cancel::Interrupted;
use crate::failure::{Failure, Reason};
use crate::finish;
use crate::finished::Finished;
use crate::machine::command::CancelReason;
use crate::meta::{Meta, meta_methods};
use crate::shell::clock::Clock;
use crate::sync::shell::limit::wait;

/// A message in the hands of a handler that blocks. It dereferences to the payload, and a clone is cheap.
///
/// ```
/// use std::time::Duration;
///
/// use pgmq_worker::sync::Job;
/// use pgmq_worker::Failure;
///
/// fn poll_provider(job: &Job<String>) -> Result<(), Failure> {
///     while !is_ready(job) {
///         job.sleep(Duration::from_secs(1))?;
///     }
///     Ok(())
/// }
/// # fn is_ready(_: &str) -> bool { true }
/// # let _ = poll_provider;
/// ```
///
/// # Finishing in your transaction
///
/// The work and the end of the message are committed together, so that the effects on this database are there
/// exactly once. If another worker was faster, `finish_in` fails, and the transaction is rolled back. The
/// error is that of the back end, so `?` works wherever its other operations do; its source is
/// [`AlreadyGone`](crate::AlreadyGone).
///
/// ```
/// use diesel::prelude::*;
/// use pgmq_diesel::{Error, PGMQueue};
/// use pgmq_worker::Finished;
/// use pgmq_worker::sync::Job;
///
/// fn book(queue: &PGMQueue, job: &Job<i64>) -> Result<Finished, Error> {
///     queue.transaction(|connection| {
///         diesel::sql_query("INSERT INTO payments DEFAULT VALUES").execute(connection)?;
///         job.finish_in(&queue.with(connection))
///     })
/// }
/// # let _ = book;
/// ```
pub struct Job<T> {
    meta: Arc<Meta>,
    payload: Arc<T>,
}

impl<T> Job<T> {
    meta_methods!();

    pub(crate) fn decode(meta: Arc<Meta>) -> Result<Self, Failure>
    where
        T: DeserializeOwned,
    {
        match meta.raw().parse() {
            Ok(payload) => Ok(Self { meta, payload: Arc::new(payload) }),
            Err(error) => Err(Failure::from(error).permanent().because(Reason::Decode)),
        }
    }

    /// Blocks for this time, or until the job is cancelled.
    ///
    /// # Errors
    ///
    /// [`Interrupted`], if the job is cancelled, so that `?` ends the handler.
    pub fn sleep(&self, time: Duration) -> Result<(), Interrupted> {
        match self.wait_cancelled(time) {
            Some(why) => Err(Interrupted(why)),
            None => Ok(()),
        }
    }

    /// Blocks until the job is cancelled, and returns the reason; `None` if it is not cancelled within
    /// `timeout`.
    pub fn wait_cancelled(&self, timeout: Duration) -> Option<CancelReason> {
        match &self.meta.source().clock {
            Clock::System => self.meta.cancellation().wait_timeout(timeout),
            clock => wait(clock, clock.now().checked_add(timeout), self.meta.cancelled()),
        }
    }

    /// Deletes the message in your transaction, and returns the receipt, which the handler returns.
    ///
    /// # Errors
    ///
    /// Returns the same errors as `delete`, and an error of kind
    /// [`AlreadyGone`](pgmq_core::ErrorKind::AlreadyGone) if the message is no longer there.
    pub fn finish_in<Q: Queue>(&self, transaction: &Q) -> Result<Finished, Q::Error> {
        self.meta.begin_finishing();
        finish::removed(&self.meta, transaction.run(finish::delete(&self.meta))?)
    }

    /// Archives the message in your transaction, and returns the receipt, which the handler returns.
    ///
    /// # Errors
    ///
    /// Returns the same errors as `archive`, and an error of kind
    /// [`AlreadyGone`](pgmq_core::ErrorKind::AlreadyGone) if the message is no longer there.
    pub fn archive_in<Q: Queue>(&self, transaction: &Q) -> Result<Finished, Q::Error> {
        self.meta.begin_finishing();
        finish::removed(&self.meta, transaction.run(finish::archive(&self.meta))?)
    }

    /// Moves the message to the dead-letter queue in your transaction, for a reason that is a text or an
    /// error, and returns the receipt, which the handler returns.
    ///
    /// # Errors
    ///
    /// Returns the same errors as `move_batch`, and an error of kind
    /// [`AlreadyGone`](pgmq_core::ErrorKind::AlreadyGone) if the message is no longer there, or another
    /// worker has read it since.
    pub fn dead_letter_in<Q: Queue>(
        &self,
        transaction: &Q,
        why: impl Into<Failure>,
    ) -> Result<Finished, Q::Error> {
        self.meta.begin_finishing();
        let moved = transaction.run(finish::bury(&self.meta, &why.into()))?;
        finish::replaced(&self.meta, finish::moved_to(&moved))
    }

    /// Deletes the message and sends another one to the queue `to`, in your transaction, and returns the
    /// receipt, which the handler returns.
    ///
    /// # Errors
    ///
    /// Returns the same errors as `forward`, and an error of kind
    /// [`AlreadyGone`](pgmq_core::ErrorKind::AlreadyGone) if the message is no longer there, or another
    /// worker has read it since.
    pub fn forward_in<Q: Queue, M: Serialize + ?Sized>(
        &self,
        transaction: &Q,
        to: &str,
        message: &M,
    ) -> Result<Finished, Q::Error> {
        self.forward_in_with(transaction, to, message, &SendOptions::new())
    }

    /// Forwards like [`forward_in`](Self::forward_in), with the options of the new message.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`forward_in`](Self::forward_in).
    pub fn forward_in_with<Q: Queue, M: Serialize + ?Sized>(
        &self,
        transaction: &Q,
        to: &str,
        message: &M,
        options: &SendOptions,
    ) -> Result<Finished, Q::Error> {
        self.meta.begin_finishing();
        finish::replaced(&self.meta, transaction.run(finish::forward(&self.meta, to, message, options))?)
    }
}

impl<T> AnyJob for Job<T> {
    fn any_meta(&self) -> &Meta {
        &self.meta
    }
}

impl<T> Clone for Job<T> {
    fn clone(&self) -> Self {
        Self { meta: Arc::clone(&self.meta), payload: Arc::clone(&self.payload) }
    }
}

impl<T> Deref for Job<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.payload
    }
}

impl<T> fmt::Debug for Job<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.meta.fmt(f)
    }
}
