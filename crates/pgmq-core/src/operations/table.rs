//! The table of operations: the whole API, a row for each operation.
//!
//! A row is documentation, an `#[operation { .. }]` that describes the row to programs, and a signature. The
//! builder of its statement is the function of the same name in [`statement`](crate::statement). The keys of
//! `#[operation]`, in their order:
//!
//! - `calls`: the PGMQ function, or the table that the statement reads.
//! - `manual` (optional): the section about it on PGMQ's page of SQL functions.
//! - `since` (optional): the PGMQ version that brought it, if not every supported version has it.
//! - `needs` (optional): the features of an argument or an option that only later versions have.
//! - `properties` (optional): the properties of the function that the clients have to know.
//! - `errors`: the kinds of errors to expect, besides those of any round trip to the server.
//! - `given` (optional): a line of code that the example needs.
//! - `example`: a call on a `queue`, to which the emitters append `?` or `.await?`.

/// Passes the table to the macro that is named in brackets, after a context for that macro. For back ends.
#[doc(hidden)]
#[macro_export]
macro_rules! operations {
    ([$($emit:tt)+] $context:tt) => {
        $($emit)+! {
            $context

            /// Creating, listing and dropping queues.
            mod Queues {
                /// Creates a queue. An existing queue of that name is left as it is.
                ///
                /// The name is folded to lower case.
                #[operation {
                    calls: "pgmq.create", manual: "create",
                    errors: [InvalidArgument],
                    example: "queue.create_queue(\"orders\")",
                }]
                fn create_queue(queue: &str) -> ();

                /// Creates a queue whose messages are not written to the write-ahead log.
                ///
                /// An unlogged queue is faster, and empty after the server has crashed. Its archive survives
                /// a crash. An existing queue of that name is left as it is.
                #[operation {
                    calls: "pgmq.create_unlogged", manual: "create_unlogged",
                    errors: [InvalidArgument],
                    example: "queue.create_unlogged_queue(\"clicks\")",
                }]
                fn create_unlogged_queue(queue: &str) -> ();

                /// Creates a queue whose tables are partitioned by `pg_partman`, with PGMQ's default sizes.
                ///
                /// The extension `pg_partman` must be installed. An existing partitioned queue of that name
                /// is left as it is. If a queue of another kind has the name, the call fails.
                #[operation {
                    calls: "pgmq.create_partitioned", manual: "create_partitioned",
                    properties: [NeedsPartman],
                    errors: [InvalidArgument, Unsupported, Database],
                    example: "queue.create_partitioned_queue(\"events\")",
                }]
                fn create_partitioned_queue(queue: &str) -> ();

                /// Creates a partitioned queue like
                /// [`create_partitioned_queue`](Self::create_partitioned_queue), with custom sizes.
                #[operation {
                    calls: "pgmq.create_partitioned", manual: "create_partitioned",
                    needs: [Premake (1, 13, 0)],
                    properties: [NeedsPartman],
                    errors: [InvalidArgument, Unsupported, Database],
                    given: "let options = PartitionOptions::new().interval(\"1 day\").retention(\"30 days\")",
                    example: "queue.create_partitioned_queue_with(\"events\", &options)",
                }]
                fn create_partitioned_queue_with(queue: &str, options: &PartitionOptions) -> ();

                /// Drops a queue and its archive, and returns whether there was one.
                ///
                /// A queue that another client created with capitals in its name is found by the lower-case
                /// name.
                #[operation {
                    calls: "pgmq.drop_queue", manual: "drop_queue",
                    errors: [InvalidArgument],
                    example: "let was_there = queue.drop_queue(\"orders\")",
                }]
                fn drop_queue(queue: &str) -> bool;

                /// Deletes all messages of a queue, hidden ones too, and returns their number. The archive
                /// stays.
                ///
                /// PGMQ truncates the table: the statement waits for every transaction that uses the queue,
                /// and blocks those that begin to use it meanwhile.
                #[doc(alias = "purge_queue")]
                #[operation {
                    calls: "pgmq.purge_queue", manual: "purge_queue",
                    errors: [InvalidArgument, QueueNotFound],
                    example: "let deleted = queue.purge(\"orders\")",
                }]
                fn purge(queue: &str) -> u64;

                /// Lists all queues.
                #[operation {
                    calls: "pgmq.list_queues", manual: "list_queues",
                    errors: [],
                    example: "let queues = queue.list_queues()",
                }]
                fn list_queues() -> Vec<QueueInfo>;

                /// Returns `true` if a queue exists.
                #[operation {
                    calls: "pgmq.meta",
                    errors: [InvalidArgument],
                    example: "let exists = queue.queue_exists(\"orders\")",
                }]
                fn queue_exists(queue: &str) -> bool;

                /// Checks a queue name by the rules of this client, and then by the server's.
                #[operation {
                    calls: "pgmq.validate_queue_name",
                    errors: [InvalidArgument],
                    example: "queue.validate_queue_name(\"orders\")",
                }]
                fn validate_queue_name(queue: &str) -> ();

                /// Turns the archive of a queue into a partitioned table, with PGMQ's default sizes.
                ///
                /// The extension `pg_partman` must be installed. An archive that is partitioned already is
                /// left as it is. PGMQ renames the old archive to `a_<queue>_old` and leaves its messages
                /// there; it cannot do so for names that SQL would quote.
                #[operation {
                    calls: "pgmq.convert_archive_partitioned",
                    properties: [NeedsPartman],
                    errors: [InvalidArgument, Unsupported],
                    example: "queue.convert_archive_partitioned(\"orders\")",
                }]
                fn convert_archive_partitioned(queue: &str) -> ();

                /// Turns the archive of a queue into a partitioned table like
                /// [`convert_archive_partitioned`](Self::convert_archive_partitioned), with custom sizes.
                #[operation {
                    calls: "pgmq.convert_archive_partitioned",
                    properties: [NeedsPartman],
                    errors: [InvalidArgument, Unsupported],
                    given: "let options = ArchivePartitionOptions::new().interval(\"1 day\").retention(\"90 days\")",
                    example: "queue.convert_archive_partitioned_with(\"orders\", &options)",
                }]
                fn convert_archive_partitioned_with(queue: &str, options: &ArchivePartitionOptions) -> ();

                /// Detaches the archive of a queue from the extension, so that dropping the extension keeps
                /// the archive.
                ///
                /// Since PGMQ 1.6 an archive is never part of the extension, and this operation does nothing.
                #[operation {
                    calls: "pgmq.detach_archive", manual: "detach_archive",
                    errors: [InvalidArgument, QueueNotFound],
                    example: "queue.detach_archive(\"orders\")",
                }]
                fn detach_archive(queue: &str) -> ();

                /// Creates PGMQ's index on the headers of a queue. An existing index is left as it is.
                ///
                /// No grouped read can use this index:
                /// [`create_fifo_group_index`](Self::create_fifo_group_index) creates one that they use.
                #[operation {
                    calls: "pgmq.create_fifo_index",
                    since: (1, 9, 0),
                    errors: [InvalidArgument, QueueNotFound, Unsupported],
                    example: "queue.create_fifo_index(\"orders\")",
                }]
                fn create_fifo_index(queue: &str) -> ();

                /// Creates the index on headers for all queues.
                #[operation {
                    calls: "pgmq.create_fifo_indexes_all",
                    since: (1, 9, 0),
                    errors: [Unsupported],
                    example: "queue.create_fifo_indexes_all()",
                }]
                fn create_fifo_indexes_all() -> ();

                /// Creates an index on the groups of a queue, which makes
                /// [`read_grouped`](Self::read_grouped) faster if there are many groups. An existing index is
                /// left as it is.
                ///
                /// PGMQ has no function for this index: the client creates it, by the name
                /// `fifo_group_q_<queue>`, and only an owner of the queue's table may do so. The statement
                /// waits for every transaction that has written to the queue, and blocks those that begin to
                /// write to it meanwhile.
                #[operation {
                    calls: "pgmq.read_grouped",
                    since: (1, 9, 0),
                    errors: [InvalidArgument, QueueNotFound, Unsupported],
                    example: "queue.create_fifo_group_index(\"orders\")",
                }]
                fn create_fifo_group_index(queue: &str) -> ();

                /// Acquires the lock under which queues of this name are created and dropped, until the
                /// transaction ends.
                ///
                /// Outside a transaction the lock is released at once.
                #[operation {
                    calls: "pgmq.acquire_queue_lock",
                    since: (1, 6, 0),
                    errors: [InvalidArgument, Unsupported],
                    example: "queue.acquire_queue_lock(\"orders\")",
                }]
                fn acquire_queue_lock(queue: &str) -> ();
            }

            /// Sending messages to a queue.
            mod Send {
                /// Sends one message and returns its id.
                ///
                /// The message is serialized once, and its JSON is sent as it is. JSON that `jsonb` cannot
                /// hold, which is a string with the character `\u0000`, is refused before anything is sent.
                #[operation {
                    calls: "pgmq.send", manual: "send",
                    errors: [InvalidArgument, QueueNotFound, Encode],
                    example: "let id = queue.send(\"orders\", \"a cup of tea\")",
                }]
                fn send<T: (Serialize + ?Sized)>(queue: &str, message: &T) -> i64;

                /// Sends one message like [`send`](Self::send), with a delay or headers.
                #[operation {
                    calls: "pgmq.send", manual: "send",
                    needs: [Headers (1, 5, 0), PointInTime (1, 5, 0)],
                    errors: [InvalidArgument, QueueNotFound, Encode, Unsupported],
                    given: "let options = SendOptions::new().delay(Duration::from_secs(60))",
                    example: "let id = queue.send_with(\"orders\", \"a cup of tea\", &options)",
                }]
                fn send_with<T: (Serialize + ?Sized)>(queue: &str, message: &T, options: &SendOptions) -> i64;

                /// Sends messages in one statement, all or none, and returns their ids in the order of the
                /// messages.
                ///
                /// An empty batch returns an empty list without a round trip.
                #[operation {
                    calls: "pgmq.send_batch", manual: "send_batch",
                    errors: [InvalidArgument, QueueNotFound, Encode],
                    example: "let ids = queue.send_batch(\"orders\", &[\"tea\", \"coffee\"])",
                }]
                fn send_batch<T: (Serialize)>(queue: &str, messages: &[T]) -> Vec<i64>;

                /// Sends messages like [`send_batch`](Self::send_batch), with headers for each message, or a
                /// delay for all.
                #[operation {
                    calls: "pgmq.send_batch", manual: "send_batch",
                    needs: [Headers (1, 5, 0), PointInTime (1, 5, 0)],
                    errors: [InvalidArgument, QueueNotFound, Encode, Unsupported],
                    given: "let options = SendBatchOptions::new().delay(Duration::from_secs(60))",
                    example: "let ids = queue.send_batch_with(\"orders\", &[\"tea\", \"coffee\"], &options)",
                }]
                fn send_batch_with<T: (Serialize)>(
                    queue: &str,
                    messages: &[T],
                    options: &SendBatchOptions,
                ) -> Vec<i64>;
            }

            /// Sending messages by topic to every queue with a matching pattern.
            mod Topics {
                /// Binds a topic pattern to a queue, which then gets every message that is sent to a matching
                /// routing key.
                ///
                /// An existing binding is left as it is. In a pattern, `*` matches one word, and `#` matches
                /// anything; the dots next to it count, so `logs.#` matches `logs.error` and not `logs`.
                #[operation {
                    calls: "pgmq.bind_topic",
                    since: (1, 11, 0),
                    errors: [InvalidArgument, QueueNotFound, Unsupported],
                    example: "queue.bind_topic(\"errors\", \"logs.*.error\")",
                }]
                fn bind_topic(queue: &str, pattern: &str) -> ();

                /// Removes a binding, and returns whether there was one.
                #[operation {
                    calls: "pgmq.unbind_topic",
                    since: (1, 11, 0),
                    errors: [InvalidArgument, Unsupported],
                    example: "let was_bound = queue.unbind_topic(\"errors\", \"logs.*.error\")",
                }]
                fn unbind_topic(queue: &str, pattern: &str) -> bool;

                /// Lists all bindings.
                #[operation {
                    calls: "pgmq.list_topic_bindings",
                    since: (1, 11, 0),
                    errors: [Unsupported],
                    example: "let bindings = queue.list_topic_bindings()",
                }]
                fn list_topic_bindings() -> Vec<TopicBinding>;

                /// Lists the bindings of one queue.
                #[operation {
                    calls: "pgmq.list_topic_bindings",
                    since: (1, 11, 0),
                    errors: [InvalidArgument, Unsupported],
                    example: "let bindings = queue.list_topic_bindings_for(\"errors\")",
                }]
                fn list_topic_bindings_for(queue: &str) -> Vec<TopicBinding>;

                /// Returns the bindings that a routing key matches, and sends nothing.
                #[operation {
                    calls: "pgmq.test_routing",
                    since: (1, 11, 0),
                    errors: [InvalidArgument, Unsupported],
                    example: "let matches = queue.test_routing(\"logs.payment.error\")",
                }]
                fn test_routing(routing_key: &str) -> Vec<RoutingMatch>;

                /// Returns `true` for a routing key that PGMQ accepts.
                ///
                /// A routing key has up to 255 letters, digits, `_` and `-`, in words separated by dots.
                #[operation {
                    calls: "pgmq.validate_routing_key",
                    since: (1, 11, 0),
                    errors: [Unsupported],
                    example: "let is_valid = queue.validate_routing_key(\"logs.payment.error\")",
                }]
                fn validate_routing_key(routing_key: &str) -> bool;

                /// Returns `true` for a topic pattern that PGMQ accepts.
                #[operation {
                    calls: "pgmq.validate_topic_pattern",
                    since: (1, 11, 0),
                    errors: [Unsupported],
                    example: "let is_valid = queue.validate_topic_pattern(\"logs.*.error\")",
                }]
                fn validate_topic_pattern(pattern: &str) -> bool;

                /// Sends a message to every queue with a matching binding, and returns the number of those
                /// queues.
                ///
                /// **Zero is not an error**: where no queue matches, the message is stored nowhere.
                #[operation {
                    calls: "pgmq.send_topic",
                    since: (1, 11, 0),
                    errors: [InvalidArgument, Encode, Unsupported],
                    example: "let queues_reached = queue.send_topic(\"logs.payment.error\", \"card refused\")",
                }]
                fn send_topic<T: (Serialize + ?Sized)>(routing_key: &str, message: &T) -> u32;

                /// Sends a message like [`send_topic`](Self::send_topic), with a delay or headers.
                ///
                /// A point in time is rounded up to whole seconds from now.
                #[operation {
                    calls: "pgmq.send_topic",
                    since: (1, 11, 0),
                    errors: [InvalidArgument, Encode, Unsupported],
                    given: "let options = SendOptions::new().delay(Duration::from_secs(60))",
                    example: "let queues_reached = queue.send_topic_with(\"logs.payment.error\", \"card refused\", &options)",
                }]
                fn send_topic_with<T: (Serialize + ?Sized)>(
                    routing_key: &str,
                    message: &T,
                    options: &SendOptions,
                ) -> u32;

                /// Sends messages to every queue with a matching binding, and returns the ids that they have
                /// there.
                ///
                /// The result is ordered by queue, and then in the order of the messages.
                #[operation {
                    calls: "pgmq.send_batch_topic",
                    since: (1, 11, 0),
                    errors: [InvalidArgument, Encode, Unsupported],
                    example: "let sent = queue.send_batch_topic(\"logs.payment.error\", &[\"card refused\"])",
                }]
                fn send_batch_topic<T: (Serialize)>(routing_key: &str, messages: &[T]) -> Vec<TopicMessage>;

                /// Sends messages like [`send_batch_topic`](Self::send_batch_topic), with headers for each
                /// message, or a delay for all.
                #[operation {
                    calls: "pgmq.send_batch_topic",
                    since: (1, 11, 0),
                    errors: [InvalidArgument, Encode, Unsupported],
                    given: "let options = SendBatchOptions::new().delay(Duration::from_secs(60))",
                    example: "let sent = queue.send_batch_topic_with(\"logs.payment.error\", &[\"card refused\"], &options)",
                }]
                fn send_batch_topic_with<T: (Serialize)>(
                    routing_key: &str,
                    messages: &[T],
                    options: &SendBatchOptions,
                ) -> Vec<TopicMessage>;
            }

            /// Reading messages: a read hides the messages that it returns, and a pop deletes them.
            mod Read {
                /// Reads the next visible message, if there is one, and hides it for the visibility timeout.
                ///
                /// Acknowledge the message by [`delete`](Self::delete) or [`archive`](Self::archive) before
                /// the timeout ends, or it is read again. A payload that does not fit `T` is an error that
                /// carries the message, which stays hidden until its timeout.
                #[operation {
                    calls: "pgmq.read", manual: "read",
                    errors: [InvalidArgument, QueueNotFound, Decode],
                    example: "let message = queue.read::<String>(\"orders\", Duration::from_secs(30))",
                }]
                fn read<T: (DeserializeOwned + Send)>(
                    queue: &str,
                    vt: impl Into<VisibilityTimeout>,
                ) -> Option<Message<T>>;

                /// Reads up to `qty` visible messages, in the order of their ids, and hides them for the
                /// visibility timeout.
                ///
                /// If one payload does not fit `T`, the error carries all of the messages.
                #[operation {
                    calls: "pgmq.read", manual: "read",
                    errors: [InvalidArgument, QueueNotFound, Decode],
                    example: "let messages = queue.read_batch::<String>(\"orders\", Duration::from_secs(30), 10)",
                }]
                fn read_batch<T: (DeserializeOwned + Send)>(
                    queue: &str,
                    vt: impl Into<VisibilityTimeout>,
                    qty: u32,
                ) -> Vec<Message<T>>;

                /// Reads messages like [`read_batch`](Self::read_batch), with all options in a struct, among
                /// them a condition on the payload.
                #[operation {
                    calls: "pgmq.read", manual: "read",
                    needs: [Condition (1, 5, 0)],
                    errors: [InvalidArgument, QueueNotFound, Encode, Decode, Unsupported],
                    given: "let options = ReadOptions::new().vt(Duration::from_secs(30)).qty(10)",
                    example: "let messages = queue.read_with::<String>(\"orders\", &options)",
                }]
                fn read_with<T: (DeserializeOwned + Send)>(
                    queue: &str,
                    options: &ReadOptions,
                ) -> Vec<Message<T>>;

                /// Reads messages like [`read_batch`](Self::read_batch), and waits on the server while there
                /// is none.
                ///
                /// The operation holds a connection for the whole wait. Dropping the future of an async
                /// client cancels the poll on the server if the queue uses a pool; on your own connection the
                /// server goes on polling, and hides any message that arrives.
                #[operation {
                    calls: "pgmq.read_with_poll", manual: "read_with_poll",
                    needs: [Condition (1, 5, 0)],
                    properties: [Polls],
                    errors: [InvalidArgument, QueueNotFound, Encode, Decode, Unsupported],
                    given: "let wait = PollOptions::new().timeout(Duration::from_secs(5))",
                    example: "let messages = queue.read_with_poll::<String>(\"orders\", Duration::from_secs(30), 10, &wait)",
                }]
                fn read_with_poll<T: (DeserializeOwned + Send)>(
                    queue: &str,
                    vt: impl Into<VisibilityTimeout>,
                    qty: u32,
                    options: &PollOptions,
                ) -> Vec<Message<T>>;

                /// Reads messages group by group, as many as possible from the group of the oldest, in the
                /// order of their ids.
                ///
                /// A group is passed over while its oldest message is hidden. Acknowledge the messages of a
                /// group in their order, and none overtakes another. The group of a message is its header
                /// `x-pgmq-group`.
                #[operation {
                    calls: "pgmq.read_grouped",
                    since: (1, 9, 0),
                    errors: [InvalidArgument, QueueNotFound, Decode, Unsupported],
                    example: "let messages = queue.read_grouped::<String>(\"orders\", Duration::from_secs(30), 10)",
                }]
                fn read_grouped<T: (DeserializeOwned + Send)>(
                    queue: &str,
                    vt: impl Into<VisibilityTimeout>,
                    qty: u32,
                ) -> Vec<Message<T>>;

                /// Reads messages like [`read_grouped`](Self::read_grouped), and waits on the server while
                /// there is none.
                #[operation {
                    calls: "pgmq.read_grouped_with_poll",
                    since: (1, 9, 0),
                    properties: [Polls],
                    errors: [InvalidArgument, QueueNotFound, Decode, Unsupported],
                    given: "let wait = PollOptions::new()",
                    example: "let messages = queue.read_grouped_with_poll::<String>(\"orders\", 30, 10, &wait)",
                }]
                fn read_grouped_with_poll<T: (DeserializeOwned + Send)>(
                    queue: &str,
                    vt: impl Into<VisibilityTimeout>,
                    qty: u32,
                    options: &PollOptions,
                ) -> Vec<Message<T>>;

                /// Reads messages round robin from the groups, and keeps the order within each group.
                ///
                /// The result is in the server's order.
                #[operation {
                    calls: "pgmq.read_grouped_rr",
                    since: (1, 9, 0),
                    errors: [InvalidArgument, QueueNotFound, Decode, Unsupported],
                    example: "let messages = queue.read_grouped_rr::<String>(\"orders\", Duration::from_secs(30), 10)",
                }]
                fn read_grouped_rr<T: (DeserializeOwned + Send)>(
                    queue: &str,
                    vt: impl Into<VisibilityTimeout>,
                    qty: u32,
                ) -> Vec<Message<T>>;

                /// Reads messages like [`read_grouped_rr`](Self::read_grouped_rr), and waits on the server
                /// while there is none.
                #[operation {
                    calls: "pgmq.read_grouped_rr_with_poll",
                    since: (1, 9, 0),
                    properties: [Polls],
                    errors: [InvalidArgument, QueueNotFound, Decode, Unsupported],
                    given: "let wait = PollOptions::new()",
                    example: "let messages = queue.read_grouped_rr_with_poll::<String>(\"orders\", 30, 10, &wait)",
                }]
                fn read_grouped_rr_with_poll<T: (DeserializeOwned + Send)>(
                    queue: &str,
                    vt: impl Into<VisibilityTimeout>,
                    qty: u32,
                    options: &PollOptions,
                ) -> Vec<Message<T>>;

                /// Reads the oldest message of each of up to `qty` groups, in the order of their ids.
                #[operation {
                    calls: "pgmq.read_grouped_head",
                    since: (1, 11, 1),
                    errors: [InvalidArgument, QueueNotFound, Decode, Unsupported],
                    example: "let messages = queue.read_grouped_head::<String>(\"orders\", Duration::from_secs(30), 10)",
                }]
                fn read_grouped_head<T: (DeserializeOwned + Send)>(
                    queue: &str,
                    vt: impl Into<VisibilityTimeout>,
                    qty: u32,
                ) -> Vec<Message<T>>;

                /// Reads messages like [`read_grouped_head`](Self::read_grouped_head), and waits on the
                /// server while there is none.
                #[operation {
                    calls: "pgmq.read_grouped_head_with_poll",
                    since: (1, 12, 0),
                    properties: [Polls],
                    errors: [InvalidArgument, QueueNotFound, Decode, Unsupported],
                    given: "let wait = PollOptions::new()",
                    example: "let messages = queue.read_grouped_head_with_poll::<String>(\"orders\", 30, 10, &wait)",
                }]
                fn read_grouped_head_with_poll<T: (DeserializeOwned + Send)>(
                    queue: &str,
                    vt: impl Into<VisibilityTimeout>,
                    qty: u32,
                    options: &PollOptions,
                ) -> Vec<Message<T>>;

                /// Reads the next visible message and deletes it at once, so it is not read again if its
                /// handler fails.
                ///
                /// A payload that does not fit `T` is an error that carries the message, which then exists
                /// nowhere else.
                #[operation {
                    calls: "pgmq.pop", manual: "pop",
                    errors: [InvalidArgument, QueueNotFound, Decode],
                    example: "let message = queue.pop::<String>(\"orders\")",
                }]
                fn pop<T: (DeserializeOwned + Send)>(queue: &str) -> Option<Message<T>>;

                /// Reads and deletes up to `qty` messages like [`pop`](Self::pop), in the order of their ids.
                #[operation {
                    calls: "pgmq.pop", manual: "pop",
                    since: (1, 7, 0),
                    errors: [InvalidArgument, QueueNotFound, Decode, Unsupported],
                    example: "let messages = queue.pop_batch::<String>(\"orders\", 10)",
                }]
                fn pop_batch<T: (DeserializeOwned + Send)>(queue: &str, qty: u32) -> Vec<Message<T>>;
            }

            /// Acknowledging messages: deleting and archiving them, or changing when they become visible.
            mod Finish {
                /// Deletes a message, and returns whether it was there.
                #[operation {
                    calls: "pgmq.delete", manual: "delete-single",
                    errors: [InvalidArgument, QueueNotFound],
                    example: "let was_there = queue.delete(\"orders\", 7)",
                }]
                fn delete(queue: &str, msg_id: i64) -> bool;

                /// Deletes messages, and returns the ids of those that were there.
                #[operation {
                    calls: "pgmq.delete", manual: "delete-batch",
                    errors: [InvalidArgument, QueueNotFound],
                    example: "let deleted = queue.delete_batch(\"orders\", &[7, 8])",
                }]
                fn delete_batch(queue: &str, msg_ids: &[i64]) -> Vec<i64>;

                /// Moves a message to the archive of its queue, and returns whether it was there.
                #[operation {
                    calls: "pgmq.archive", manual: "archive-single",
                    errors: [InvalidArgument, QueueNotFound],
                    example: "let was_there = queue.archive(\"orders\", 7)",
                }]
                fn archive(queue: &str, msg_id: i64) -> bool;

                /// Moves messages to the archive of their queue, and returns the ids of those that were
                /// there.
                #[operation {
                    calls: "pgmq.archive", manual: "archive-batch",
                    errors: [InvalidArgument, QueueNotFound],
                    example: "let archived = queue.archive_batch(\"orders\", &[7, 8])",
                }]
                fn archive_batch(queue: &str, msg_ids: &[i64]) -> Vec<i64>;

                /// Sets when a message becomes visible, from now, and returns the message, or `None` if it is
                /// not there.
                ///
                /// A longer time keeps a message that is being processed; zero makes it visible at once.
                #[operation {
                    calls: "pgmq.set_vt", manual: "set_vt",
                    needs: [PointInTime (1, 10, 0)],
                    errors: [InvalidArgument, QueueNotFound, Decode, Unsupported],
                    example: "let message = queue.set_vt::<String>(\"orders\", 7, Duration::from_secs(60))",
                }]
                fn set_vt<T: (DeserializeOwned + Send)>(
                    queue: &str,
                    msg_id: i64,
                    vt: impl Into<Delay>,
                ) -> Option<Message<T>>;

                /// Sets when messages become visible like [`set_vt`](Self::set_vt), and returns those that
                /// were there, in the order of their ids.
                #[operation {
                    calls: "pgmq.set_vt", manual: "set_vt",
                    since: (1, 8, 0),
                    needs: [PointInTime (1, 10, 0)],
                    errors: [InvalidArgument, QueueNotFound, Decode, Unsupported],
                    example: "let messages = queue.set_vt_batch::<String>(\"orders\", &[7, 8], Duration::from_secs(60))",
                }]
                fn set_vt_batch<T: (DeserializeOwned + Send)>(
                    queue: &str,
                    msg_ids: &[i64],
                    vt: impl Into<Delay>,
                ) -> Vec<Message<T>>;
            }

            /// Changing messages that are claimed: each read is a claim, and the next read of the message
            /// makes it stale. Messages whose claim is stale are left as they are.
            mod Claims {
                /// Hides messages for the visibility timeout, from now, and returns the ids of those whose
                /// claim is current, in their order.
                ///
                /// A longer time keeps messages that are being processed; zero makes them visible at once.
                /// A claim that is not in the result is lost: the message was read by another consumer, or
                /// is not there.
                #[doc(alias = "set_vt")]
                #[operation {
                    calls: "pgmq.set_vt", manual: "set_vt",
                    errors: [InvalidArgument, QueueNotFound],
                    given: "let claims = [Claim::new(7, 1), Claim::new(8, 3)]",
                    example: "let held = queue.hold(\"orders\", &claims, Duration::from_secs(60))",
                }]
                fn hold<V: (Into<VisibilityTimeout>)>(queue: &str, claims: &[Claim], vt: V) -> Vec<i64>;

                /// Hides messages like [`hold`](Self::hold), each for its own visibility timeout.
                #[doc(alias = "set_vt")]
                #[operation {
                    calls: "pgmq.set_vt", manual: "set_vt",
                    errors: [InvalidArgument, QueueNotFound],
                    given: "let retries = [(Claim::new(7, 1), 5.into()), (Claim::new(8, 3), 20.into())]",
                    example: "let held = queue.hold_each(\"orders\", &retries)",
                }]
                fn hold_each(queue: &str, holds: &[(Claim, VisibilityTimeout)]) -> Vec<i64>;

                /// Moves messages to another queue, with their payloads and headers, and returns the old and
                /// the new ids of those whose claim is current.
                ///
                /// The queue `to` may be the same queue, which moves the messages to its end. A message is
                /// as if never read, and visible after the delay. A move can be repeated after an error that
                /// leaves it in doubt: it moves nothing twice.
                #[doc(alias = "send_batch")]
                #[operation {
                    calls: "pgmq.send_batch", manual: "send_batch",
                    since: (1, 5, 0),
                    errors: [InvalidArgument, QueueNotFound, Encode, Unsupported],
                    given: "let moves = [Move::new(Claim::new(7, 10)).headers(&[(\"reason\", \"exhausted\")])]",
                    example: "let moved = queue.move_batch(\"orders\", \"orders_dlq\", &moves, 0)",
                }]
                fn move_batch<D: (Into<Delay>)>(queue: &str, to: &str, moves: &[Move], delay: D) -> Vec<Moved>;

                /// Deletes a message and sends another one to a queue, in one statement, and returns the new
                /// id, or `None` if the claim is not current.
                ///
                /// The next step of a chain is sent exactly once. A forward can be repeated after an error
                /// that leaves it in doubt.
                #[doc(alias = "send")]
                #[operation {
                    calls: "pgmq.send", manual: "send",
                    needs: [Headers (1, 5, 0), PointInTime (1, 5, 0)],
                    errors: [InvalidArgument, QueueNotFound, Encode, Unsupported],
                    given: "let claim = Claim::new(7, 1)",
                    example: "let new_id = queue.forward(\"orders\", claim, \"invoices\", \"order 7\", &SendOptions::new())",
                }]
                fn forward<T: (Serialize + ?Sized)>(
                    queue: &str,
                    claim: Claim,
                    to: &str,
                    message: &T,
                    options: &SendOptions,
                ) -> Option<i64>;
            }

            /// Browsing queues and archives: metrics, and messages that are left as they are.
            mod Browse {
                /// Returns the metrics of a queue. The server reads the whole queue for them.
                #[operation {
                    calls: "pgmq.metrics", manual: "metrics",
                    errors: [InvalidArgument, QueueNotFound],
                    example: "let metrics = queue.metrics(\"orders\")",
                }]
                fn metrics(queue: &str) -> QueueMetrics;

                /// Returns the metrics of each queue. The server reads all queues for them.
                #[operation {
                    calls: "pgmq.metrics_all", manual: "metrics_all",
                    errors: [],
                    example: "let metrics = queue.metrics_all()",
                }]
                fn metrics_all() -> Vec<QueueMetrics>;

                /// Returns up to `qty` messages that a read would return next, and leaves them as they are.
                #[operation {
                    calls: "pgmq.q_*",
                    errors: [InvalidArgument, QueueNotFound, Decode],
                    example: "let messages = queue.peek::<String>(\"orders\", 10)",
                }]
                fn peek<T: (DeserializeOwned + Send)>(queue: &str, qty: u32) -> Vec<Message<T>>;

                /// Returns a message, visible or hidden, and leaves it as it is; `None` if it is not there.
                #[operation {
                    calls: "pgmq.q_*",
                    errors: [InvalidArgument, QueueNotFound, Decode],
                    example: "let message = queue.get::<String>(\"orders\", 7)",
                }]
                fn get<T: (DeserializeOwned + Send)>(queue: &str, msg_id: i64) -> Option<Message<T>>;

                /// Returns the time until the next message becomes visible: zero if one is visible now, or
                /// `None` if the queue is empty.
                ///
                /// The time is counted by the server's clock, in microseconds.
                #[operation {
                    calls: "pgmq.q_*",
                    errors: [InvalidArgument, QueueNotFound],
                    example: "let due = queue.next_due(\"orders\")",
                }]
                fn next_due(queue: &str) -> Option<Duration>;

                /// Returns up to `limit` messages of the archive with ids greater than `after_id`, in the
                /// order of their ids.
                ///
                /// To read the whole archive, start after 0 and continue after the last id returned.
                #[operation {
                    calls: "pgmq.a_*",
                    errors: [InvalidArgument, QueueNotFound, Decode],
                    example: "let archived = queue.read_archive::<String>(\"orders\", 0, 100)",
                }]
                fn read_archive<T: (DeserializeOwned + Send)>(
                    queue: &str,
                    after_id: i64,
                    limit: u32,
                ) -> Vec<ArchivedMessage<T>>;

                /// Moves messages from the archive back to their queue, with their headers, and returns their
                /// new ids.
                ///
                /// The ids are in the order of the old ones. The messages are visible at once, as if never
                /// read. Ids that are not in the archive are skipped.
                #[operation {
                    calls: "pgmq.send", manual: "send",
                    since: (1, 5, 0),
                    errors: [InvalidArgument, QueueNotFound, Unsupported],
                    example: "let new_ids = queue.requeue_archived(\"orders\", &[7, 8])",
                }]
                fn requeue_archived(queue: &str, msg_ids: &[i64]) -> Vec<i64>;
            }

            /// Notifications of inserts, for listeners.
            mod Notify {
                /// Makes the server notify listeners when messages are inserted into a queue, with PGMQ's
                /// default throttle.
                ///
                /// The default is 250 milliseconds since PGMQ 1.8, and no throttle before. A partitioned
                /// queue never notifies, since PGMQ looks for the names of its partitions.
                #[doc(alias = "enable_notify_insert")]
                #[operation {
                    calls: "pgmq.enable_notify_insert",
                    since: (1, 7, 0),
                    errors: [InvalidArgument, QueueNotFound, Unsupported],
                    example: "queue.enable_notify(\"orders\")",
                }]
                fn enable_notify(queue: &str) -> ();

                /// Makes the server notify listeners like [`enable_notify`](Self::enable_notify), with a
                /// custom throttle.
                #[doc(alias = "enable_notify_insert")]
                #[operation {
                    calls: "pgmq.enable_notify_insert",
                    since: (1, 8, 0),
                    errors: [InvalidArgument, QueueNotFound, Unsupported],
                    given: "let options = NotifyOptions::new().throttle(Duration::from_millis(50))",
                    example: "queue.enable_notify_with(\"orders\", &options)",
                }]
                fn enable_notify_with(queue: &str, options: &NotifyOptions) -> ();

                /// Makes the server stop notifying listeners of a queue.
                #[doc(alias = "disable_notify_insert")]
                #[operation {
                    calls: "pgmq.disable_notify_insert",
                    since: (1, 7, 0),
                    errors: [InvalidArgument, Unsupported],
                    example: "queue.disable_notify(\"orders\")",
                }]
                fn disable_notify(queue: &str) -> ();

                /// Changes the throttle of a queue that notifies.
                #[doc(alias = "update_notify_insert")]
                #[operation {
                    calls: "pgmq.update_notify_insert",
                    since: (1, 11, 0),
                    errors: [InvalidArgument, QueueNotFound, Unsupported],
                    example: "queue.update_notify(\"orders\", Duration::from_millis(50))",
                }]
                fn update_notify(queue: &str, throttle: Duration) -> ();

                /// Lists the throttles of all queues that notify.
                #[doc(alias = "list_notify_insert_throttles")]
                #[operation {
                    calls: "pgmq.list_notify_insert_throttles",
                    since: (1, 11, 0),
                    errors: [Unsupported],
                    example: "let throttles = queue.list_notify_throttles()",
                }]
                fn list_notify_throttles() -> Vec<NotifyThrottle>;

                /// Gives a queue that notified before a crash of the server its throttle back, and returns
                /// `true` if the queue had lost it.
                ///
                /// PGMQ keeps throttles in an `UNLOGGED` table, which is empty after a crash or a fail-over:
                /// the trigger of the queue still exists, and is silent. Unlike
                /// [`enable_notify_with`](Self::enable_notify_with), this call does not change the trigger,
                /// and waits for no transaction that uses the queue. A queue that notifies keeps its
                /// throttle, and one whose notifications were never enabled, or were disabled, stays silent.
                #[operation {
                    calls: "pgmq.notify_insert_throttle",
                    since: (1, 8, 0),
                    errors: [InvalidArgument, Unsupported],
                    example: "let was_silent = queue.repair_notify(\"orders\", Duration::from_millis(250))",
                }]
                fn repair_notify(queue: &str, throttle: Duration) -> bool;
            }
        }
    };
}
