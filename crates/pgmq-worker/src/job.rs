//! A message in the hands of an async handler.

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;

use pgmq_core::{AsyncQueue, SendOptions};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::batch::AnyJob;
use crate::cancel::Cancelled;
use crate::failure::{Failure, Reason};
use crate::finish;
use crate::finished::Finished;
use crate::meta::{Meta, meta_methods};

/// A message in the hands of a handler. It dereferences to the payload, and a clone is cheap.
///
/// ```
/// use pgmq_worker::Job;
///
/// #[derive(serde::Deserialize)]
/// struct Email {
///     to: String,
/// }
///
/// async fn send_email(job: Job<Email>) -> Result<(), std::io::Error> {
///     println!("message {} of {} goes to {}", job.id(), job.queue(), job.to);
///     Ok(())
/// }
/// # let _ = send_email;
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
/// use pgmq_tokio::{Error, PGMQueue};
/// use pgmq_worker::{Finished, Job};
///
/// async fn book(queue: &PGMQueue, job: Job<i64>) -> Result<Finished, Error> {
///     queue
///         .transaction(async |transaction| {
///             transaction.execute("INSERT INTO payments (amount) VALUES ($1)", &[&*job]).await?;
///             job.finish_in(&queue.with(transaction)).await
///         })
///         .await
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

    /// A future that ends when the job is cancelled, with the reason.
    pub fn cancelled(&self) -> Cancelled {
        self.meta.cancelled()
    }

    /// Deletes the message in your transaction, and returns the receipt, which the handler returns.
    ///
    /// # Errors
    ///
    /// Returns the same errors as `delete`, and an error of kind
    /// [`AlreadyGone`](pgmq_core::ErrorKind::AlreadyGone) if the message is no longer there.
    pub fn finish_in<Q: AsyncQueue>(
        &self,
        transaction: &Q,
    ) -> impl Future<Output = Result<Finished, Q::Error>> + Send {
        let meta = &*self.meta;
        let deleting = transaction.run(finish::delete(meta));
        async move {
            meta.begin_finishing();
            finish::removed(meta, deleting.await?)
        }
    }

    /// Archives the message in your transaction, and returns the receipt, which the handler returns.
    ///
    /// # Errors
    ///
    /// Returns the same errors as `archive`, and an error of kind
    /// [`AlreadyGone`](pgmq_core::ErrorKind::AlreadyGone) if the message is no longer there.
    pub fn archive_in<Q: AsyncQueue>(
        &self,
        transaction: &Q,
    ) -> impl Future<Output = Result<Finished, Q::Error>> + Send {
        let meta = &*self.meta;
        let archiving = transaction.run(finish::archive(meta));
        async move {
            meta.begin_finishing();
            finish::removed(meta, archiving.await?)
        }
    }

    /// Moves the message to the dead-letter queue in your transaction, for a reason that is a text or an
    /// error, and returns the receipt, which the handler returns.
    ///
    /// # Errors
    ///
    /// Returns the same errors as `move_batch`, and an error of kind
    /// [`AlreadyGone`](pgmq_core::ErrorKind::AlreadyGone) if the message is no longer there, or another
    /// worker has read it since.
    pub fn dead_letter_in<Q: AsyncQueue>(
        &self,
        transaction: &Q,
        why: impl Into<Failure>,
    ) -> impl Future<Output = Result<Finished, Q::Error>> + Send {
        let meta = &*self.meta;
        let moving = transaction.run(finish::bury(meta, &why.into()));
        async move {
            meta.begin_finishing();
            finish::replaced(meta, finish::moved_to(&moving.await?))
        }
    }

    /// Deletes the message and sends another one to the queue `to`, in your transaction, and returns the
    /// receipt, which the handler returns.
    ///
    /// # Errors
    ///
    /// Returns the same errors as `forward`, and an error of kind
    /// [`AlreadyGone`](pgmq_core::ErrorKind::AlreadyGone) if the message is no longer there, or another
    /// worker has read it since.
    pub fn forward_in<'a, Q: AsyncQueue, M: Serialize + ?Sized>(
        &'a self,
        transaction: &'a Q,
        to: &str,
        message: &M,
    ) -> impl Future<Output = Result<Finished, Q::Error>> + Send + use<'a, Q, M, T> {
        self.forward_in_with(transaction, to, message, &SendOptions::new())
    }

    /// Forwards like [`forward_in`](Self::forward_in), with the options of the new message.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`forward_in`](Self::forward_in).
    pub fn forward_in_with<'a, Q: AsyncQueue, M: Serialize + ?Sized>(
        &'a self,
        transaction: &'a Q,
        to: &str,
        message: &M,
        options: &SendOptions,
    ) -> impl Future<Output = Result<Finished, Q::Error>> + Send + use<'a, Q, M, T> {
        let meta = &*self.meta;
        let forwarding = transaction.run(finish::forward(meta, to, message, options));
        async move {
            meta.begin_finishing();
            finish::replaced(meta, forwarding.await?)
        }
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
