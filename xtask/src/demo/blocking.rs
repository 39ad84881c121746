//! Blocking clients where async ones are asked for.

use std::future::{Future, ready};

use pgmq_core::{AsyncQueue, Output, Queue, Statement};

/// A blocking client whose futures have done their work before they are returned, so that nothing ever waits for them.
pub(super) struct Blocking<Q>(pub(super) Q);

impl<Q: Queue> AsyncQueue for Blocking<Q> {
    type Error = Q::Error;

    fn run<O: Output>(
        &self,
        statement: Statement<'_, O>,
    ) -> impl Future<Output = Result<O, Q::Error>> + Send {
        ready(self.0.run(statement))
    }
}
