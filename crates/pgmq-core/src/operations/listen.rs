//! The traits of queues that listen for notifications, and of their listeners.

use std::future::Future;
use std::time::Duration;

use futures_core::Stream;

use crate::error::QueueError;
use crate::notification::Notification;
use crate::operations::queue::{AsyncQueue, Queue};

/// A sync queue that can listen for messages: the `PGMQueue` of a sync back end.
///
/// The trait is for generic code; `PGMQueue` has the same method as an inherent one.
///
/// ```
/// use std::time::Duration;
///
/// use pgmq_core::{Listen, Listening, RawJson};
///
/// /// Reads one message, and waits for up to a minute until there is one.
/// fn wait_for_one<Q: Listen>(queue: &Q, name: &str) -> Result<Option<RawJson>, Q::Error> {
///     let mut listener = queue.listen(&[name])?;
///     match queue.pop(name)? {
///         Some(message) => Ok(Some(message.message)),
///         None => {
///             listener.next_timeout(Duration::from_secs(60))?;
///             Ok(queue.pop(name)?.map(|message| message.message))
///         }
///     }
/// }
/// ```
pub trait Listen: Queue {
    /// The listener, with a connection of its own.
    type Listener: Listening<Error = Self::Error> + Send + 'static;

    /// Listens for messages sent to these queues, on a dedicated connection that reconnects when it is lost.
    ///
    /// # Errors
    ///
    /// The connection cannot be made; [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument), if a
    /// name is not a queue name, or the list is empty, or the queue does not know how to connect.
    fn listen<S: AsRef<str>>(&self, queues: &[S]) -> Result<Self::Listener, Self::Error>;
}

/// Notifications of messages, for a caller that blocks: an iterator that never ends, and a wait of limited
/// length.
pub trait Listening: Iterator<Item = Result<Notification, <Self as Listening>::Error>> {
    /// The back end's error.
    type Error: QueueError;

    /// The next notification, or `None` if there is none within `timeout`.
    ///
    /// # Errors
    ///
    /// The server refuses the new connection after one was lost.
    fn next_timeout(&mut self, timeout: Duration)
    -> Result<Option<Notification>, <Self as Listening>::Error>;
}

/// The async twin of [`Listen`].
pub trait AsyncListen: AsyncQueue {
    /// The listener, with a connection of its own.
    type Listener: AsyncListening<Error = Self::Error> + Send + Unpin + 'static;

    /// Listens for messages sent to these queues, on a dedicated connection that reconnects when it is lost.
    ///
    /// # Errors
    ///
    /// The connection cannot be made; [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument), if a
    /// name is not a queue name, or the list is empty, or the queue does not know how to connect.
    fn listen<S: AsRef<str>>(
        &self,
        queues: &[S],
    ) -> impl Future<Output = Result<Self::Listener, Self::Error>> + Send;
}

/// The async twin of [`Listening`]: a stream that never ends, and a wait of limited length.
pub trait AsyncListening: Stream<Item = Result<Notification, <Self as AsyncListening>::Error>> {
    /// The back end's error.
    type Error: QueueError;

    /// The next notification, or `None` if there is none within `timeout`. Dropping the future loses no
    /// notification.
    ///
    /// # Errors
    ///
    /// The server refuses the new connection after one was lost.
    fn next_timeout(
        &mut self,
        timeout: Duration,
    ) -> impl Future<Output = Result<Option<Notification>, <Self as AsyncListening>::Error>> + Send;
}
