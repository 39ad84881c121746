//! Tasks that go on after the future or handle that caused them was dropped.

use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio_util::task::TaskTracker;

/// Tasks that no caller awaits, counted so that closing a queue can wait for their end. Clones share the
/// count.
#[derive(Debug, Clone)]
pub struct Background(TaskTracker);

impl Default for Background {
    fn default() -> Self {
        let tasks = TaskTracker::new();
        // A tracker that is not closed has no end to wait for, even without tasks. Tasks can be added still.
        tasks.close();
        Self(tasks)
    }
}

impl Background {
    /// Spawns a task on the current runtime.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        self.0.spawn(task).abort_handle()
    }

    /// Spawns a task on a runtime, from anywhere. If that runtime has ended, the task is dropped.
    pub fn spawn_on(&self, runtime: &Handle, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn_on(task, runtime);
    }

    /// Waits until no task is left.
    pub async fn ended(&self) {
        self.0.wait().await;
    }
}
