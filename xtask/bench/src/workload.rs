//! The workloads of the clients.

use std::hint::black_box;

use anyhow::{Context, Result, ensure};

use crate::client::{BenchClient, Received};
use crate::payload::Order;

/// An operation that is repeated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    /// The description in the report.
    pub(crate) about: &'static str,
    pub(crate) operation: Operation,
    /// The number of concurrent tasks.
    pub(crate) tasks: usize,
    pub(crate) connections: u32,
    /// The number of messages of an operation.
    pub(crate) batch: u32,
    /// The size of a message's JSON.
    pub(crate) bytes: usize,
    /// The number of messages in the queue in addition to those of the operations.
    pub(crate) depth: u32,
    /// The number of hidden messages among them, which come before all others.
    pub(crate) hidden: u32,
}

/// A unit of timing: up to two calls, or a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Send,
    SendBatch,
    ReadDelete,
    ReadDeleteBatch,
    ReadBatch,
    Pop,
    Enqueue,
}

/// Sequential operations on one connection with a small message; the other workloads list their differences.
pub(crate) const SEND: Workload = Workload {
    name: "send",
    about: "one message after the other",
    operation: Operation::Send,
    tasks: 1,
    connections: 1,
    batch: 1,
    bytes: 200,
    depth: 0,
    hidden: 0,
};

pub(crate) const WORKLOADS: [Workload; 9] = [
    SEND,
    Workload {
        name: "send-16-on-4",
        about: "16 tasks or threads send, over 4 connections",
        tasks: 16,
        connections: 4,
        ..SEND
    },
    Workload {
        name: "send-16-on-16",
        about: "16 tasks or threads send, over 16 connections",
        tasks: 16,
        connections: 16,
        ..SEND
    },
    Workload {
        name: "send-batch",
        about: "100 messages in one call",
        operation: Operation::SendBatch,
        batch: 100,
        ..SEND
    },
    Workload {
        name: "read-delete",
        about: "read one message, then delete it",
        operation: Operation::ReadDelete,
        ..SEND
    },
    Workload {
        name: "read-delete-batch",
        about: "read 100 messages in one call, then delete them in one call",
        operation: Operation::ReadDeleteBatch,
        batch: 100,
        ..SEND
    },
    Workload {
        name: "read-large",
        about: "read 100 messages of 10 KB in one call, into a struct",
        operation: Operation::ReadBatch,
        batch: 100,
        bytes: 10_000,
        ..SEND
    },
    Workload { name: "pop", about: "read and delete in one call", operation: Operation::Pop, ..SEND },
    Workload {
        name: "transaction",
        about: "a transaction that inserts a row of the application and sends",
        operation: Operation::Enqueue,
        ..SEND
    },
];

impl Workload {
    /// The number of messages that an operation needs in the queue.
    pub(crate) fn consumed(&self) -> u32 {
        match self.operation {
            Operation::Send | Operation::SendBatch | Operation::Enqueue => 0,
            Operation::ReadDelete | Operation::ReadDeleteBatch | Operation::ReadBatch | Operation::Pop => {
                self.batch
            }
        }
    }

    /// The messages of one operation.
    pub(crate) fn orders(&self) -> Vec<Order> {
        (0..self.batch).map(|_| Order::of_about(self.bytes)).collect()
    }
}

impl Operation {
    /// Performs the operation once, and checks its effect.
    pub(crate) async fn perform<C: BenchClient>(self, client: &C, orders: &[Order]) -> Result<()> {
        let order = orders.first().context("there is nothing to send")?;
        match self {
            Self::Send => {
                black_box(client.send(order).await?);
            }
            Self::SendBatch => {
                let ids = client.send_batch(orders).await?;
                ensure!(ids.len() == orders.len(), "{} of {} messages were sent", ids.len(), orders.len());
            }
            Self::ReadDelete => {
                let message = client.read().await?.context("there was no message to read")?;
                ensure!(client.delete(message.id()).await?, "the message was not there to be deleted");
                black_box(message);
            }
            Self::ReadDeleteBatch => {
                let messages = read_all(client, orders.len()).await?;
                let ids: Vec<_> = messages.iter().map(Received::id).collect();
                let deleted = client.delete_batch(&ids).await?;
                ensure!(deleted.len() == ids.len(), "{} of {} were deleted", deleted.len(), ids.len());
                black_box(messages);
            }
            Self::ReadBatch => {
                black_box(read_all(client, orders.len()).await?);
            }
            Self::Pop => {
                black_box(client.pop().await?.context("there was no message to pop")?);
            }
            Self::Enqueue => {
                black_box(client.enqueue(order).await?);
            }
        }
        Ok(())
    }
}

async fn read_all<C: BenchClient>(client: &C, number: usize) -> Result<Vec<C::Message>> {
    let messages = client.read_batch(u32::try_from(number)?).await?;
    ensure!(messages.len() == number, "{} of {number} messages were read", messages.len());
    Ok(messages)
}
