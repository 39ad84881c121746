//! The table of operations, and what is made of it.
//!
//! Every operation is one row: its documentation, its name, its arguments and its result. The builder of its statement
//! has the same name, in [`statement`](crate::statement). From the rows come the traits [`Queue`] and [`AsyncQueue`], and
//! the inherent methods of each back end's types, so that they cannot drift apart.

use std::future::Future;

use crate::prelude::*;
use crate::{Output, QueueError, Statement, statement};

/// Hands the table to the macro named by its argument. For back ends.
#[doc(hidden)]
#[macro_export]
macro_rules! operations {
    ($($emit:tt)+) => {
        $($emit)+! {
            // Queues

            /// Creates a queue. One that exists already is left as it is.
            ///
            /// The name is folded to lower case. Calls `pgmq.create`.
            fn create_queue(queue: &str) -> ();

            /// Creates a queue whose messages are not written to the write-ahead log: faster, and empty after a crash of
            /// the server. The archive is safe. Calls `pgmq.create_unlogged`.
            fn create_unlogged_queue(queue: &str) -> ();

            /// Creates a queue whose tables are partitioned by `pg_partman`, which has to be installed, with PGMQ's default
            /// sizes. Calls `pgmq.create_partitioned`.
            fn create_partitioned_queue(queue: &str) -> ();

            /// Like [`create_partitioned_queue`](Self::create_partitioned_queue), with sizes of your own.
            fn create_partitioned_queue_with(queue: &str, options: &PartitionOptions) -> ();

            /// Drops a queue with its archive, and says whether there was one.
            ///
            /// A queue that another client made with capitals in its name is dropped by its lower-case name. Calls
            /// `pgmq.drop_queue`.
            fn drop_queue(queue: &str) -> bool;

            /// Deletes all messages of a queue, hidden ones too, and returns how many there were. The archive stays. The queue is
            /// truncated: that waits for everyone who works on it, and holds up those who come after. Calls `pgmq.purge_queue`.
            fn purge(queue: &str) -> u64;

            /// Lists all queues. Calls `pgmq.list_queues`.
            fn list_queues() -> Vec<QueueInfo>;

            /// Says whether a queue exists. Looks into `pgmq.meta`.
            fn queue_exists(queue: &str) -> bool;

            /// Checks a queue name: first by the rules of this client, then by the server's. A name that cannot be taken is
            /// an error of kind [`InvalidArgument`](crate::ErrorKind::InvalidArgument). Calls `pgmq.validate_queue_name`.
            fn validate_queue_name(queue: &str) -> ();

            /// Turns the archive of a queue into a partitioned table, with PGMQ's default sizes. Needs `pg_partman`. An
            /// archive that is partitioned already is left as it is.
            ///
            /// PGMQ renames the old archive to `a_<queue>_old` and leaves its messages there. It cannot do so for names that
            /// SQL would quote. Calls `pgmq.convert_archive_partitioned`.
            fn convert_archive_partitioned(queue: &str) -> ();

            /// Like [`convert_archive_partitioned`](Self::convert_archive_partitioned), with sizes of your own.
            fn convert_archive_partitioned_with(queue: &str, options: &ArchivePartitionOptions) -> ();

            /// Takes the archive of a queue out of the extension, so that it stays when the extension is dropped. Since PGMQ
            /// 1.6 archives are never part of it, and this does nothing. Calls `pgmq.detach_archive`.
            fn detach_archive(queue: &str) -> ();

            /// Creates the index on headers that speeds grouped reads up, unless it is there. Calls `pgmq.create_fifo_index`,
            /// which came with PGMQ 1.9.
            fn create_fifo_index(queue: &str) -> ();

            /// Creates the index on headers for all queues. Calls `pgmq.create_fifo_indexes_all`, which came with PGMQ 1.9.
            fn create_fifo_indexes_all() -> ();

            /// Takes the lock under which queues of this name are created and dropped, until the transaction ends. Outside a
            /// transaction it is released at once. Calls `pgmq.acquire_queue_lock`, which came with PGMQ 1.6.
            fn acquire_queue_lock(queue: &str) -> ();

            // Send

            /// Sends one message and returns its id. Calls `pgmq.send`.
            ///
            /// The message is serialised once, and its JSON sent as it is. JSON that `jsonb` cannot hold, which is a string
            /// with the character `\u0000`, is refused before anything is sent.
            fn send<T: (Serialize + ?Sized)>(queue: &str, message: &T) -> i64;

            /// Like [`send`](Self::send), with a delay or headers. Headers, and a point in time as the delay, need PGMQ 1.5.
            fn send_with<T: (Serialize + ?Sized)>(queue: &str, message: &T, options: &SendOptions) -> i64;

            /// Sends messages in one statement, all or none, and returns their ids in the order of the messages. An empty
            /// batch sends nothing, without asking the server. Calls `pgmq.send_batch`.
            fn send_batch<T: (Serialize)>(queue: &str, messages: &[T]) -> Vec<i64>;

            /// Like [`send_batch`](Self::send_batch), with headers for each message, or a delay for all of them.
            fn send_batch_with<T: (Serialize)>(queue: &str, messages: &[T], options: &SendBatchOptions) -> Vec<i64>;

            // Topics

            /// Binds a topic pattern to a queue: what is sent to a matching routing key reaches the queue. Binding twice is no
            /// error. In a pattern, `*` stands for one word, and `#` for anything: but the dots beside it count, so `logs.#`
            /// matches `logs.error` and not `logs`. Calls `pgmq.bind_topic`, which came with PGMQ 1.11.
            fn bind_topic(queue: &str, pattern: &str) -> ();

            /// Removes a binding, and says whether there was one. Calls `pgmq.unbind_topic`, which came with PGMQ 1.11.
            fn unbind_topic(queue: &str, pattern: &str) -> bool;

            /// Lists all bindings. Calls `pgmq.list_topic_bindings`, which came with PGMQ 1.11.
            fn list_topic_bindings() -> Vec<TopicBinding>;

            /// Lists the bindings of one queue. Calls `pgmq.list_topic_bindings`, which came with PGMQ 1.11.
            fn list_topic_bindings_for(queue: &str) -> Vec<TopicBinding>;

            /// Says which bindings a routing key matches, and sends nothing. Calls `pgmq.test_routing`, which came with PGMQ
            /// 1.11.
            fn test_routing(routing_key: &str) -> Vec<RoutingMatch>;

            /// Says whether this is a routing key: up to 255 letters, digits, `_` and `-`, in words parted by dots. Calls
            /// `pgmq.validate_routing_key`, which came with PGMQ 1.11.
            fn validate_routing_key(routing_key: &str) -> bool;

            /// Says whether this is a topic pattern. Calls `pgmq.validate_topic_pattern`, which came with PGMQ 1.11.
            fn validate_topic_pattern(pattern: &str) -> bool;

            /// Sends a message to every queue with a matching binding, and returns how many that were.
            ///
            /// **Zero is no error**: where no queue matches, the message is stored nowhere. Calls `pgmq.send_topic`, which
            /// came with PGMQ 1.11.
            fn send_topic<T: (Serialize + ?Sized)>(routing_key: &str, message: &T) -> u32;

            /// Like [`send_topic`](Self::send_topic), with a delay or headers. A point in time is rounded up to whole seconds
            /// from now.
            fn send_topic_with<T: (Serialize + ?Sized)>(routing_key: &str, message: &T, options: &SendOptions) -> u32;

            /// Sends messages to every queue with a matching binding, and returns the ids that they have there: queue by
            /// queue, in the order of the messages. Calls `pgmq.send_batch_topic`, which came with PGMQ 1.11.
            fn send_batch_topic<T: (Serialize)>(routing_key: &str, messages: &[T]) -> Vec<TopicMessage>;

            /// Like [`send_batch_topic`](Self::send_batch_topic), with headers for each message, or a delay for all of them.
            fn send_batch_topic_with<T: (Serialize)>(
                routing_key: &str,
                messages: &[T],
                options: &SendBatchOptions,
            ) -> Vec<TopicMessage>;

            // Read

            /// Reads the next visible message, if there is one, and hides it for the visibility timeout.
            ///
            /// Finish with it by [`delete`](Self::delete) or [`archive`](Self::archive) before the timeout is over, or it is
            /// read again. A payload that does not fit `T` is an error that carries the message, which stays hidden until
            /// its timeout. Calls `pgmq.read`.
            fn read<T: (DeserializeOwned + Send)>(
                queue: &str,
                vt: impl Into<VisibilityTimeout>,
            ) -> Option<Message<T>>;

            /// Reads up to `qty` visible messages, in the order of their ids, and hides them for the visibility timeout.
            ///
            /// If one payload does not fit `T`, the error carries all of them. Calls `pgmq.read`.
            fn read_batch<T: (DeserializeOwned + Send)>(
                queue: &str,
                vt: impl Into<VisibilityTimeout>,
                qty: u32,
            ) -> Vec<Message<T>>;

            /// Like [`read_batch`](Self::read_batch), with all options in a struct: among them a condition on the payload,
            /// which needs PGMQ 1.5.
            fn read_with<T: (DeserializeOwned + Send)>(queue: &str, options: &ReadOptions) -> Vec<Message<T>>;

            /// Like [`read_batch`](Self::read_batch), and waits on the server while there is no message. The connection is
            /// taken meanwhile. An async caller may drop the future: a queue over a pool then has the server stop; on a
            /// connection of your own it goes on waiting, and hides what comes. Calls `pgmq.read_with_poll`.
            fn read_with_poll<T: (DeserializeOwned + Send)>(
                queue: &str,
                vt: impl Into<VisibilityTimeout>,
                qty: u32,
                options: &PollOptions,
            ) -> Vec<Message<T>>;

            /// Reads messages group by group, as many as possible from the group of the oldest, and returns them in the order of
            /// their ids. A group is passed over while its oldest message is hidden; finish with the messages of a group in
            /// their order, then none overtakes another. The group is the header `x-pgmq-group`. Calls `pgmq.read_grouped`,
            /// which came with PGMQ 1.9.
            fn read_grouped<T: (DeserializeOwned + Send)>(
                queue: &str,
                vt: impl Into<VisibilityTimeout>,
                qty: u32,
            ) -> Vec<Message<T>>;

            /// Like [`read_grouped`](Self::read_grouped), and waits on the server while there is no message.
            fn read_grouped_with_poll<T: (DeserializeOwned + Send)>(
                queue: &str,
                vt: impl Into<VisibilityTimeout>,
                qty: u32,
                options: &PollOptions,
            ) -> Vec<Message<T>>;

            /// Reads messages in turn from each group (round robin), keeping the order within a group. In the server's
            /// order. Calls `pgmq.read_grouped_rr`, which came with PGMQ 1.9.
            fn read_grouped_rr<T: (DeserializeOwned + Send)>(
                queue: &str,
                vt: impl Into<VisibilityTimeout>,
                qty: u32,
            ) -> Vec<Message<T>>;

            /// Like [`read_grouped_rr`](Self::read_grouped_rr), and waits on the server while there is no message.
            fn read_grouped_rr_with_poll<T: (DeserializeOwned + Send)>(
                queue: &str,
                vt: impl Into<VisibilityTimeout>,
                qty: u32,
                options: &PollOptions,
            ) -> Vec<Message<T>>;

            /// Reads the oldest message of each of up to `qty` groups, in the order of their ids. Calls
            /// `pgmq.read_grouped_head`, which came with PGMQ 1.11.1.
            fn read_grouped_head<T: (DeserializeOwned + Send)>(
                queue: &str,
                vt: impl Into<VisibilityTimeout>,
                qty: u32,
            ) -> Vec<Message<T>>;

            /// Like [`read_grouped_head`](Self::read_grouped_head), and waits on the server while there is no message. Calls
            /// `pgmq.read_grouped_head_with_poll`, which came with PGMQ 1.12.
            fn read_grouped_head_with_poll<T: (DeserializeOwned + Send)>(
                queue: &str,
                vt: impl Into<VisibilityTimeout>,
                qty: u32,
                options: &PollOptions,
            ) -> Vec<Message<T>>;

            /// Reads the next visible message and deletes it at once: it is not read again if its handler fails.
            ///
            /// A payload that does not fit `T` is an error that carries the message, which is then nowhere else. Calls
            /// `pgmq.pop`.
            fn pop<T: (DeserializeOwned + Send)>(queue: &str) -> Option<Message<T>>;

            /// Like [`pop`](Self::pop), for up to `qty` messages, in the order of their ids. Needs PGMQ 1.7.
            fn pop_batch<T: (DeserializeOwned + Send)>(queue: &str, qty: u32) -> Vec<Message<T>>;

            // Finish

            /// Deletes a message, and says whether it was there. Calls `pgmq.delete`.
            fn delete(queue: &str, msg_id: i64) -> bool;

            /// Deletes messages, and returns the ids of those that were there. Calls `pgmq.delete`.
            fn delete_batch(queue: &str, msg_ids: &[i64]) -> Vec<i64>;

            /// Moves a message to the archive of its queue, and says whether it was there. Calls `pgmq.archive`.
            fn archive(queue: &str, msg_id: i64) -> bool;

            /// Moves messages to the archive of their queue, and returns the ids of those that were there. Calls
            /// `pgmq.archive`.
            fn archive_batch(queue: &str, msg_ids: &[i64]) -> Vec<i64>;

            /// Sets when a message becomes visible, counted from now, and returns the message, or `None` if it is not there.
            ///
            /// A longer time keeps a message that is being worked on; zero gives it back at once. A point in time needs PGMQ
            /// 1.10. Calls `pgmq.set_vt`.
            fn set_vt<T: (DeserializeOwned + Send)>(
                queue: &str,
                msg_id: i64,
                vt: impl Into<Delay>,
            ) -> Option<Message<T>>;

            /// Like [`set_vt`](Self::set_vt), for several messages; returns those that were there, in the order of their ids.
            /// Needs PGMQ 1.8.
            fn set_vt_batch<T: (DeserializeOwned + Send)>(
                queue: &str,
                msg_ids: &[i64],
                vt: impl Into<Delay>,
            ) -> Vec<Message<T>>;

            // Look

            /// Counts what a queue holds. The server reads the whole queue for it. Calls `pgmq.metrics`.
            fn metrics(queue: &str) -> QueueMetrics;

            /// Counts what each queue holds. Calls `pgmq.metrics_all`.
            fn metrics_all() -> Vec<QueueMetrics>;

            /// Returns up to `qty` messages that a read would return next, and leaves them as they are.
            fn peek<T: (DeserializeOwned + Send)>(queue: &str, qty: u32) -> Vec<Message<T>>;

            /// Returns a message, visible or hidden, and leaves it as it is; `None` if it is not there.
            fn get<T: (DeserializeOwned + Send)>(queue: &str, msg_id: i64) -> Option<Message<T>>;

            /// Returns up to `limit` messages of the archive whose ids are greater than `after_id`, in the order of their
            /// ids. To go through it all, start after 0 and go on after the last id returned.
            fn read_archive<T: (DeserializeOwned + Send)>(
                queue: &str,
                after_id: i64,
                limit: u32,
            ) -> Vec<ArchivedMessage<T>>;

            /// Moves messages from the archive back to their queue, with their headers, and returns their new ids in the order
            /// of the old ones. They are visible at once, and as if never read. Ids that are not in the archive are passed
            /// over. Needs PGMQ 1.5.
            fn requeue_archived(queue: &str, msg_ids: &[i64]) -> Vec<i64>;

            // Notify

            /// Has the server notify listeners when messages are inserted into a queue, with PGMQ's default throttle (250
            /// milliseconds since 1.8, none before). A partitioned queue never notifies: PGMQ looks for its partitions' names.
            /// Calls `pgmq.enable_notify_insert`, which came with PGMQ 1.7.
            fn enable_notify(queue: &str) -> ();

            /// Like [`enable_notify`](Self::enable_notify), with a throttle of your own. Needs PGMQ 1.8.
            fn enable_notify_with(queue: &str, options: &NotifyOptions) -> ();

            /// Has the server no longer notify listeners of a queue. Calls `pgmq.disable_notify_insert`, which came with PGMQ
            /// 1.7.
            fn disable_notify(queue: &str) -> ();

            /// Changes the throttle of a queue that notifies. Calls `pgmq.update_notify_insert`, which came with PGMQ 1.11.
            fn update_notify(queue: &str, throttle: Duration) -> ();

            /// Lists the throttles of all queues that notify. Calls `pgmq.list_notify_insert_throttles`, which came with PGMQ
            /// 1.11.
            fn list_notify_throttles() -> Vec<NotifyThrottle>;
        }
    };
}

/// Methods of [`Queue`].
macro_rules! provided {
    ($($(#[$doc:meta])* fn $name:ident $(<$T:ident: ($($bound:tt)+)>)? ($($arg:ident: $type:ty),* $(,)?) -> $output:ty;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        ///
        /// See [`ErrorKind`](crate::ErrorKind): what the arguments, the server, the connection or the decoding say.
        fn $name $(<$T: $($bound)+>)? (&self, $($arg: $type),*) -> Result<$output, Self::Error> {
            self.run(statement::$name($($arg),*))
        }
    )*};
}

/// Methods of [`AsyncQueue`].
macro_rules! provided_async {
    ($($(#[$doc:meta])* fn $name:ident $(<$T:ident: ($($bound:tt)+)>)? ($($arg:ident: $type:ty),* $(,)?) -> $output:ty;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        ///
        /// See [`ErrorKind`](crate::ErrorKind): what the arguments, the server, the connection or the decoding say.
        fn $name $(<$T: $($bound)+>)? (
            &self, $($arg: $type),*
        ) -> impl Future<Output = Result<$output, Self::Error>> + Send {
            self.run(statement::$name($($arg),*))
        }
    )*};
}

/// The inherent methods of a back end's type that is a [`Queue`]. For back ends.
#[doc(hidden)]
#[macro_export]
macro_rules! inherent_methods {
    ($($(#[$doc:meta])* fn $name:ident $(<$T:ident: ($($bound:tt)+)>)? ($($arg:ident: $type:ty),* $(,)?) -> $output:ty;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        ///
        /// See [`ErrorKind`](pgmq_core::ErrorKind): what the arguments, the server, the connection or the decoding say.
        pub fn $name $(<$T: $($bound)+>)? (&self, $($arg: $type),*) -> Result<$output, Error> {
            $crate::Queue::run(self, $crate::statement::$name($($arg),*))
        }
    )*};
}

/// The inherent methods of a back end's type that is an [`AsyncQueue`]. For back ends.
#[doc(hidden)]
#[macro_export]
macro_rules! inherent_async_methods {
    ($($(#[$doc:meta])* fn $name:ident $(<$T:ident: ($($bound:tt)+)>)? ($($arg:ident: $type:ty),* $(,)?) -> $output:ty;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        ///
        /// See [`ErrorKind`](pgmq_core::ErrorKind): what the arguments, the server, the connection or the decoding say.
        pub fn $name $(<$T: $($bound)+>)? (
            &self, $($arg: $type),*
        ) -> impl Future<Output = Result<$output, Error>> + Send {
            $crate::AsyncQueue::run(self, $crate::statement::$name($($arg),*))
        }
    )*};
}

/// Everything that can run operations and wait for them: a back end's `PGMQueue`, or its `BoundQueue` over a connection or a
/// transaction.
///
/// For generic code: a function over `&impl Queue` works with either, of any sync back end. Back ends have the same methods
/// as inherent ones, so applications need not import this.
pub trait Queue {
    /// The back end's error.
    type Error: QueueError + From<crate::Error>;

    /// Runs a statement. All operations come down to this.
    ///
    /// # Errors
    ///
    /// What the arguments, the server, the connection or the decoding say.
    fn run<O: Output>(&self, statement: Statement<'_, O>) -> Result<O, Self::Error>;

    operations!(provided);
}

/// Like [`Queue`], for back ends that do not block: every method returns a future that is [`Send`].
///
/// A future does nothing before it is polled. One that is dropped while it waits for the server may or may not have had its
/// effect there.
pub trait AsyncQueue {
    /// The back end's error.
    type Error: QueueError + From<crate::Error>;

    /// Runs a statement. All operations come down to this.
    ///
    /// # Errors
    ///
    /// What the arguments, the server, the connection or the decoding say.
    fn run<O: Output>(
        &self,
        statement: Statement<'_, O>,
    ) -> impl Future<Output = Result<O, Self::Error>> + Send;

    operations!(provided_async);
}
