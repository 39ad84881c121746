//! The runtime, of which the shell needs one thing: that it runs tasks.

use std::sync::Arc;

use crate::erased::BoxFuture;

/// Runs tasks.
#[derive(Clone)]
pub(crate) struct Spawner(Arc<dyn Fn(BoxFuture<'static, ()>) + Send + Sync>);

impl Spawner {
    pub(crate) fn new(spawn: impl Fn(BoxFuture<'static, ()>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(spawn))
    }

    /// Runs tasks on the Tokio runtime of the caller.
    #[cfg(feature = "tokio")]
    pub(crate) fn of_tokio() -> Option<Self> {
        let runtime = tokio::runtime::Handle::try_current().ok()?;
        Some(Self::new(move |task| drop(runtime.spawn(task))))
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        (self.0)(Box::pin(task));
    }
}
