//! What the contestants do.

use std::hint::black_box;

use anyhow::{Context, Result, ensure};

use crate::contestant::{Contestant, Received};
use crate::payload::Order;

/// A thing to do, again and again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    /// What it is, in the report.
    pub(crate) about: &'static str,
    pub(crate) operation: Operation,
    /// How many do it at the same time.
    pub(crate) tasks: usize,
    pub(crate) connections: u32,
    /// How many messages an operation is about.
    pub(crate) batch: u32,
    /// How large the JSON of a message is.
    pub(crate) bytes: usize,
    /// How many messages are in the queue beside those that the operations are about.
    pub(crate) depth: u32,
    /// How many of these are hidden, and come before all others.
    pub(crate) hidden: u32,
}

/// What is timed as one: up to two calls, or a transaction.
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

/// One after the other on one connection, with a small message: the others say where they differ.
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
    /// How many messages have to be there for an operation.
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
    /// Does it once, and makes sure that it was done.
    pub(crate) async fn perform<C: Contestant>(self, contestant: &C, orders: &[Order]) -> Result<()> {
        let order = orders.first().context("there is nothing to send")?;
        match self {
            Self::Send => {
                black_box(contestant.send(order).await?);
            }
            Self::SendBatch => {
                let ids = contestant.send_batch(orders).await?;
                ensure!(ids.len() == orders.len(), "{} of {} messages were sent", ids.len(), orders.len());
            }
            Self::ReadDelete => {
                let message = contestant.read().await?.context("there was no message to read")?;
                ensure!(contestant.delete(message.id()).await?, "the message was not there to be deleted");
                black_box(message);
            }
            Self::ReadDeleteBatch => {
                let messages = read_all(contestant, orders.len()).await?;
                let ids: Vec<_> = messages.iter().map(Received::id).collect();
                let deleted = contestant.delete_batch(&ids).await?;
                ensure!(deleted.len() == ids.len(), "{} of {} were deleted", deleted.len(), ids.len());
                black_box(messages);
            }
            Self::ReadBatch => {
                black_box(read_all(contestant, orders.len()).await?);
            }
            Self::Pop => {
                black_box(contestant.pop().await?.context("there was no message to pop")?);
            }
            Self::Enqueue => {
                black_box(contestant.enqueue(order).await?);
            }
        }
        Ok(())
    }
}

async fn read_all<C: Contestant>(contestant: &C, number: usize) -> Result<Vec<C::Message>> {
    let messages = contestant.read_batch(u32::try_from(number)?).await?;
    ensure!(messages.len() == number, "{} of {number} messages were read", messages.len());
    Ok(messages)
}
