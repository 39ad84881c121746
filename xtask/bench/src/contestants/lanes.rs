//! Connections without a pool.

use std::sync::Arc;

/// Connections that tasks share by turns: each task has one of them, with as many others as it takes.
///
/// This is what a pool would be if it cost nothing. `M` is a connection behind the lock that suits it.
pub(crate) struct Lanes<M> {
    connections: Arc<[M]>,
    task: usize,
}

impl<M> Lanes<M> {
    pub(crate) fn new(connections: Vec<M>) -> Self {
        Self { connections: connections.into(), task: 0 }
    }

    pub(crate) fn for_task(&self, task: usize) -> Self {
        Self { connections: Arc::clone(&self.connections), task }
    }

    /// The connection of this task.
    pub(crate) fn mine(&self) -> &M {
        &self.connections[self.task % self.connections.len()]
    }
}
