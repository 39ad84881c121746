//! Faults that a test plans.

use std::collections::{HashMap, VecDeque};

use pgmq_core::{Error, ErrorKind};

/// A group of operations that a test can let fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Op {
    /// Sending messages.
    Send,
    /// Reading messages.
    Read,
    /// Settling messages: deletes, archives, retries, snoozes, dead letters and forwards.
    Settle,
    /// Extending leases.
    Extend,
    /// Asking when the next message becomes visible.
    NextDue,
    /// Beginning to listen for notifications.
    Listen,
    /// Everything else.
    Other,
}

impl Op {
    /// The group of an operation.
    pub(super) fn of(operation: &str) -> Self {
        match operation {
            "send" | "send_with" | "send_batch" | "send_batch_with" => Self::Send,
            "read" | "read_batch" | "read_with" | "pop" | "pop_batch" => Self::Read,
            "delete" | "delete_batch" | "archive" | "archive_batch" | "hold_each" | "move_batch"
            | "forward" => Self::Settle,
            "hold" => Self::Extend,
            "next_due" => Self::NextDue,
            "listen" => Self::Listen,
            _ => Self::Other,
        }
    }
}

/// A fault.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    /// The operation fails, and does nothing.
    Before(ErrorKind),
    /// The operation is done, and its answer is lost.
    After(ErrorKind),
}

impl Fault {
    /// The error that the caller gets.
    pub(super) fn error(self) -> Error {
        let (Self::Before(kind) | Self::After(kind)) = self;
        Error::new(kind, format!("the test lets this call fail: {kind}"))
    }
}

/// The faults that a test plans.
#[derive(Debug, Default)]
pub(super) struct Faults {
    next: HashMap<Op, VecDeque<Fault>>,
    lasting: HashMap<Op, Fault>,
}

impl Faults {
    pub(super) fn plan(&mut self, op: Op, fault: Fault) {
        self.next.entry(op).or_default().push_back(fault);
    }

    pub(super) fn set(&mut self, op: Op, fault: Option<Fault>) {
        match fault {
            Some(fault) => self.lasting.insert(op, fault),
            None => self.lasting.remove(&op),
        };
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The fault of the next call, if there is one.
    pub(super) fn take(&mut self, op: Op) -> Option<Fault> {
        let next = self.next.get_mut(&op).and_then(VecDeque::pop_front);
        next.or_else(|| self.lasting.get(&op).copied())
    }
}
