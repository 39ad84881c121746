//! A statement of every operation, with sample arguments. For tests and tools, not for applications.

use std::fmt;
use std::time::Duration;

use crate::claim::{Claim, Move};
use crate::decode::Output;
use crate::message::{ArchivedMessage, Message};
use crate::operations::{Operation, rows};
use crate::options::{
    ArchivePartitionOptions, NotifyOptions, PartitionOptions, PollOptions, ReadOptions, SendBatchOptions,
    SendOptions,
};
use crate::records::{
    Moved, NotifyThrottle, QueueInfo, QueueMetrics, RoutingMatch, TopicBinding, TopicMessage,
};
use crate::statement::{self, Statement};

/// Receives a statement of each operation, which borrows from the [`Samples`] for `'s`.
pub trait Visit<'s> {
    /// Receives a statement of an operation.
    fn visit<O: Output + fmt::Debug + 's>(
        &mut self,
        operation: &'static Operation,
        statement: Statement<'s, O>,
    );
}

/// The arguments of the statements, by the names that they have in the table.
#[derive(Debug, Clone)]
#[allow(
    missing_docs,
    reason = "the fields have the names of arguments, or of what the arguments are made of"
)]
pub struct Samples {
    pub queue: String,
    pub routing_key: String,
    pub pattern: String,
    pub interval: String,
    pub json: String,
    pub ids: Vec<i64>,
    pub count: u32,
    pub seconds: i64,
    pub duration: Duration,
    /// `None` leaves the number of partitions that are created ahead to PGMQ.
    pub premake: Option<u32>,
}

impl Default for Samples {
    /// Arguments that every operation accepts.
    fn default() -> Self {
        let [queue, routing_key, pattern, interval, json] =
            ["q", "k", "k", "1", "text"].map(ToOwned::to_owned);
        let (count, seconds, duration) = (1, 1, Duration::from_secs(1));
        Self {
            queue,
            routing_key,
            pattern,
            interval,
            json,
            ids: vec![1],
            count,
            seconds,
            duration,
            premake: Some(1),
        }
    }
}

impl Samples {
    /// Passes a statement of each operation to the visitor, in the order of the table.
    pub fn visit<'s>(&'s self, visitor: &mut impl Visit<'s>) {
        let Self { queue, routing_key, pattern, interval, json, ids, count, seconds, duration, premake } =
            self;
        /// The type that messages decode to.
        type T = serde_json::Value;
        let id = ids.first().copied().unwrap_or_default();
        let claims: Vec<_> = ids.iter().map(|id| Claim::new(*id, 1)).collect();
        let partition = PartitionOptions::new().interval(&**interval).retention(&**interval);
        let options = Options {
            send: SendOptions::new().headers(json).delay(*seconds),
            send_batch: SendBatchOptions::new().headers([Some(json), None]),
            read: ReadOptions::new().vt(*seconds).qty(*count).conditional(json),
            poll: PollOptions::new().timeout(*duration).interval(*duration),
            partition: match premake {
                Some(partitions) => partition.premake(*partitions),
                None => partition,
            },
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
            (claim) => {
                claims.first().copied().unwrap_or(Claim::new(id, 1))
            };
            (claims) => {
                &claims
            };
            (holds) => {
                &claims.iter().map(|claim| (*claim, (*seconds).into())).collect::<Vec<_>>()
            };
            (moves) => {
                &claims.iter().map(|claim| Move::new(*claim).headers(json)).collect::<Vec<_>>()
            };
            (to) => {
                queue
            };
            (delay) => {
                *seconds
            };
            (throttle) => {
                *duration
            };
            ($other:ident) => {
                compile_error!(concat!("samples.rs has no value for the argument `", stringify!($other), "`"))
            };
        }
        macro_rules! each {
            ({} $(
                $(#[doc $($group_doc:tt)*])*
                mod $group:ident {$(
                    $(#[doc $($doc:tt)*])* #[operation $about:tt]
                    fn $name:ident $(<$T:ident: ($($bound:tt)+)>)? ($($arg:ident: $type:ty),* $(,)?) -> $output:ty;
                )*}
            )*) => {$($(
                visitor.visit::<$output>(&rows::$name, statement::$name($(argument!($arg)),*));
            )*)*};
        }
        crate::operations!([each] {});
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

/// Lets an operation pick its options by their type.
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
