//! The beginning of an operation.

use crate::operations::{Group, Operation};

/// An operation that begins.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Started<'a> {
    /// The operation.
    pub operation: &'static Operation,
    /// The queue of the operation, by its folded name, if it is about one.
    pub queue: Option<&'a str>,
    /// The routing key of the operation, if it sends to a topic.
    pub routing_key: Option<&'a str>,
    /// The number of messages that the operation sends or settles; `None` for all others.
    pub messages: Option<usize>,
    /// The id of the message, if the operation settles a single one.
    pub message_id: Option<i64>,
    /// The server, if the back end has made the connections itself, and there is one host.
    pub server: Option<&'a ServerAddress>,
}

/// The part of an operation in the life of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OperationKind {
    /// Sends messages, to a queue or a topic.
    Send,
    /// Receives messages: reads and pops.
    Receive,
    /// Decides what becomes of messages that were received, such as deletes, and visibility timeouts.
    Settle,
    /// Everything else: queues, notifications, metrics, and looks that leave messages as they are.
    Manage,
}

impl Operation {
    /// The part of the operation in the life of a message.
    pub fn kind(&self) -> OperationKind {
        match self.group {
            Group::Send => OperationKind::Send,
            Group::Topics if self.name.starts_with("send") => OperationKind::Send,
            Group::Read => OperationKind::Receive,
            Group::Finish | Group::Claims => OperationKind::Settle,
            Group::Queues | Group::Topics | Group::Browse | Group::Notify => OperationKind::Manage,
        }
    }
}

/// The address of the server, as the settings of a queue name it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerAddress {
    /// The host, or the folder of a Unix socket.
    pub host: String,
    /// The port, if it is set.
    pub port: Option<u16>,
    /// The database, if it is set.
    pub database: Option<String>,
}

impl ServerAddress {
    /// An address without a port and a database.
    pub fn new(host: impl Into<String>) -> Self {
        Self { host: host.into(), port: None, database: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_an_operation_follows_from_its_group() {
        let kind = |name: &str| Operation::find(name).map(Operation::kind);
        for (name, expected) in [
            ("send_batch_with", OperationKind::Send),
            ("send_topic", OperationKind::Send),
            ("bind_topic", OperationKind::Manage),
            ("pop", OperationKind::Receive),
            ("read_with_poll", OperationKind::Receive),
            ("archive", OperationKind::Settle),
            ("forward", OperationKind::Settle),
            ("peek", OperationKind::Manage),
            ("create_queue", OperationKind::Manage),
        ] {
            assert_eq!(kind(name), Some(expected), "{name}");
        }
    }
}
