//! Connections without a pool.

use std::sync::Arc;

/// Connections that tasks share: each task uses one connection, together with other tasks if there are more
/// tasks.
///
/// The slots behave like a pool without cost. `M` is a connection behind a lock.
pub(crate) struct ConnectionSlots<M> {
    connections: Arc<[M]>,
    task: usize,
}

impl<M> ConnectionSlots<M> {
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
