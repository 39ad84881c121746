//! Runs every operation of the table, with sample arguments by their names.

use std::time::Duration;

use pgmq_core::{
    ArchivePartitionOptions, ArchivedMessage, AsyncQueue, Message, NotifyOptions, NotifyThrottle,
    PartitionOptions, PollOptions, QueueInfo, QueueMetrics, ReadOptions, RoutingMatch, SendBatchOptions,
    SendOptions, TopicBinding, TopicMessage,
};
use serde_json::Value;

/// The texts among the arguments of operations. Numbers are always harmless.
#[derive(Debug, Clone)]
pub(crate) struct Texts {
    pub(crate) queue: String,
    pub(crate) routing_key: String,
    pub(crate) pattern: String,
    pub(crate) interval: String,
    pub(crate) json: String,
}

/// The name of an operation, and its result in `Debug` format.
pub(crate) type Ran<E> = (&'static str, Result<String, E>);

/// Runs every operation whose first argument is a queue, on the queue with this name.
pub(crate) async fn on_every_queue_operation<Queue: AsyncQueue>(
    queue: &Queue,
    name: &str,
) -> Vec<Ran<Queue::Error>> {
    let [routing_key, pattern, interval, json] = ["a.b", "a.b", "10000", "text"].map(ToOwned::to_owned);
    let texts = Texts { queue: name.to_owned(), routing_key, pattern, interval, json };
    on_every_operation(queue, &texts, |_, first_argument| first_argument == Some("queue")).await
}

/// Runs the operations that `choose` selects by their names and the names of their first arguments.
pub(crate) async fn on_every_operation<Queue: AsyncQueue>(
    on: &Queue,
    texts: &Texts,
    choose: impl Fn(&str, Option<&str>) -> bool,
) -> Vec<Ran<Queue::Error>> {
    /// The type that messages decode to.
    type T = Value;

    let Texts { queue, routing_key, pattern, interval, json } = texts;
    let options = Options {
        send: SendOptions::new().headers(json).delay(0),
        send_batch: SendBatchOptions::new().headers([Some(json), None]),
        read: ReadOptions::new().vt(0).conditional(json),
        poll: PollOptions::new().timeout(Duration::from_secs(1)),
        partition: PartitionOptions::new().interval(&**interval).retention(&**interval),
        archive: ArchivePartitionOptions::new().interval(&**interval).retention(&**interval),
        notify: NotifyOptions::new(),
    };
    let mut ran = Vec::new();
    macro_rules! argument {
        (queue) => {
            queue
        };
        (routing_key) => {
            routing_key
        };
        (pattern) => {
            pattern
        };
        (message) => {
            json
        };
        (messages) => {
            &[json, json]
        };
        (options) => {
            options.as_ref()
        };
        (vt) => {
            0
        };
        (qty) => {
            1
        };
        (limit) => {
            1
        };
        (msg_id) => {
            1
        };
        (after_id) => {
            0
        };
        (msg_ids) => {
            &[1, 2]
        };
        (throttle) => {
            Duration::from_secs(1)
        };
    }
    macro_rules! each {
        ($($(#[$doc:meta])* fn $name:ident $(<$T:ident: ($($bound:tt)+)>)? ($($arg:ident: $type:ty),* $(,)?) -> $output:ty;)*) => {$(
            let arguments: &[&str] = &[$(stringify!($arg)),*];
            if choose(stringify!($name), arguments.first().copied()) {
                let result: Result<$output, _> = on.$name($(argument!($arg)),*).await;
                ran.push((stringify!($name), result.map(|value| format!("{value:?}"))));
            }
        )*};
    }
    pgmq_core::operations!(each);
    ran
}

struct Options {
    send: SendOptions,
    send_batch: SendBatchOptions,
    read: ReadOptions,
    poll: PollOptions,
    partition: PartitionOptions,
    archive: ArchivePartitionOptions,
    notify: NotifyOptions,
}

/// An operation selects its options by their type.
macro_rules! options {
    ($($options:ty: $field:ident),*) => {$(
        impl AsRef<$options> for Options {
            fn as_ref(&self) -> &$options {
                &self.$field
            }
        }
    )*};
}

options! {
    SendOptions: send, SendBatchOptions: send_batch, ReadOptions: read, PollOptions: poll,
    PartitionOptions: partition, ArchivePartitionOptions: archive, NotifyOptions: notify
}
