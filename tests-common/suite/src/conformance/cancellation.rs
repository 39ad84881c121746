//! Cancellation: a queue whose operations are dropped while they wait for the server.

use std::time::Duration;

use pgmq_core::{AsyncQueue, Error, ErrorKind, Output, Query, Statement};
use pgmq_test_server::proxy::Proxy;

use crate::{
    conformance::round_trips::recorded,
    kit::{
        backend::Backend,
        context::{QUEUE, TestContext},
        every_operation::{on_every_operation, samples},
        failure::Outcome,
        runtime::Runtime,
        table::cases,
    },
};

cases! { cancellation:
    direct [] the_connection_is_usable_after_any_operation_is_cancelled;
}

/// Time after which an operation is cancelled: about when it has been sent.
const CANCEL_AFTER: Duration = Duration::from_millis(15);

/// A queue whose operations are all cancelled while the network is silent.
struct Cancelling<'q, B: Backend> {
    queue: &'q B::Queue,
    proxy: &'q Proxy,
}

const CANCELLED: &str = "cancelled by the case";

impl<B: Backend> AsyncQueue for Cancelling<'_, B> {
    type Error = B::Error;

    async fn run_query<O: Output>(&self, query: Query<'_, O>) -> Result<O, B::Error> {
        self.queue.run_query(query).await
    }

    async fn run<O: Output>(&self, statement: Statement<'_, O>) -> Result<O, B::Error> {
        self.proxy.freeze();
        let answer = B::timeout(CANCEL_AFTER, self.queue.run(statement)).await;
        self.proxy.thaw();
        if let Some(answer) = answer {
            return answer;
        }
        // The pool has a single connection, on which nothing may be left of the cancelled operation.
        self.queue.send(QUEUE, "goes on").await?;
        Err(Error::new(ErrorKind::Timeout, CANCELLED).into())
    }
}

async fn the_connection_is_usable_after_any_operation_is_cancelled<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    if B::Runtime::BLOCKS {
        return Ok(());
    }
    let (proxy, queue) = recorded::<B>(context).await?;
    let samples = samples("cancelled");
    queue.create_queue(&samples.queue).await?;
    let cancelling = Cancelling::<B> { queue: &queue, proxy: &proxy };
    let ran = on_every_operation(&cancelling, &samples, |_| true).await;
    for (operation, result) in ran {
        match result {
            // An operation that sends no request is not cancelled.
            Ok(_) => assert!(operation.starts_with("validate_"), "{operation} was not cancelled"),
            Err(error) => assert!(error.to_string().contains(CANCELLED), "{operation}: {error}"),
        }
    }
    // The connection is usable.
    for n in 0..3 {
        let id = queue.send(QUEUE, &n).await?;
        assert!(queue.delete(QUEUE, id).await?);
    }
    B::close(queue).await;
    Ok(())
}
