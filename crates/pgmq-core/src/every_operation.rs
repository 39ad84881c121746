//! For tests: a statement of every operation in the table.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;

use crate::{
    ArchivePartitionOptions, ArchivedMessage, Message, NotifyOptions, NotifyThrottle, Output,
    PartitionOptions, PollOptions, QueueInfo, QueueMetrics, ReadOptions, RoutingMatch, SendBatchOptions,
    SendOptions, Statement, TopicBinding, TopicMessage, statement,
};

/// What a test does with each of them.
pub(crate) trait Visit {
    fn visit<O: Output>(&mut self, statement: Statement<'_, O>);
}

/// What they are given, by the names of their arguments.
#[derive(Debug, Clone)]
pub(crate) struct Arguments {
    pub(crate) queue: String,
    pub(crate) routing_key: String,
    pub(crate) pattern: String,
    pub(crate) interval: String,
    pub(crate) json: String,
    pub(crate) ids: Vec<i64>,
    pub(crate) count: u32,
    pub(crate) seconds: i64,
    pub(crate) duration: Duration,
}

/// What each of them takes, and no harm in it.
impl Default for Arguments {
    fn default() -> Self {
        let [queue, routing_key, pattern, interval, json] =
            ["q", "k", "k", "1", "text"].map(ToOwned::to_owned);
        let duration = Duration::from_secs(1);
        Self { queue, routing_key, pattern, interval, json, ids: vec![1], count: 1, seconds: 1, duration }
    }
}

impl Arguments {
    /// Anything, and mostly what means something in SQL.
    pub(crate) fn hostile() -> impl Strategy<Value = Self> {
        let text = || {
            let sql =
                "([a-zA-Z_0-9]|['\"$;%\\\\.*#\n\0 ]|--|/\\*|pgmq\\.q_victim|DROP TABLE|ö|队|\u{202e}){0,24}";
            prop_oneof![4 => sql, 2 => "\\PC{0,80}", 2 => "[a-z]{1,9}(\\.[a-z*#]{1,9}){0,40}", 1 => "[a-z]{1,9}"]
        };
        let texts = (text(), text(), text(), text(), text());
        let numbers =
            (prop::collection::vec(any::<i64>(), 0..4), any::<u32>(), any::<i64>(), any::<Duration>());
        let usual =
            (prop::collection::vec(1..9_i64, 1..4), 1..9_u32, 0..99_i64, Just(Duration::from_secs(1)));
        let numbers = prop_oneof![numbers.boxed(), usual.boxed()];
        (texts, numbers).prop_map(|((queue, routing_key, pattern, interval, json), numbers)| {
            let (ids, count, seconds, duration) = numbers;
            Self { queue, routing_key, pattern, interval, json, ids, count, seconds, duration }
        })
    }

    /// Shows a statement of every operation to a visitor.
    pub(crate) fn each(&self, visitor: &mut impl Visit) {
        let Self { queue, routing_key, pattern, interval, json, ids, count, seconds, duration } = self;
        /// What messages decode to.
        type T = Value;
        let id = ids.first().copied().unwrap_or_default();
        let options = Options {
            send: SendOptions::new().headers(json).delay(*seconds),
            send_batch: SendBatchOptions::new().headers([Some(json), None]),
            read: ReadOptions::new().vt(*seconds).qty(*count).conditional(json),
            poll: PollOptions::new().timeout(*duration).interval(*duration),
            partition: PartitionOptions::new().interval(&**interval).retention(&**interval).premake(*count),
            archive: ArchivePartitionOptions::new().interval(&**interval).leading_partition(*count),
            notify: NotifyOptions::new().throttle(*duration),
        };
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
                *seconds
            };
            (qty) => {
                *count
            };
            (limit) => {
                *count
            };
            (msg_id) => {
                id
            };
            (after_id) => {
                id
            };
            (msg_ids) => {
                ids
            };
            (throttle) => {
                *duration
            };
        }
        macro_rules! each {
            ($($(#[$doc:meta])* fn $name:ident $(<$T:ident: ($($bound:tt)+)>)? ($($arg:ident: $type:ty),* $(,)?) -> $output:ty;)*) => {$(
                visitor.visit::<$output>(statement::$name($(argument!($arg)),*));
            )*};
        }
        crate::operations!(each);
    }
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

/// Operations pick theirs by its type.
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
