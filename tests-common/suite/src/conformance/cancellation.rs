//! Cancellation: a queue whose operations are dropped while they wait for the server.

use std::time::Duration;

use pgmq_core::{AsyncQueue, Error, ErrorKind, Output, PollOptions, Query, RawJson, Statement};
use pgmq_test_server::{outside_of_runtimes, proxy::Proxy};

use crate::{
    conformance::round_trips::recorded,
    kit::{
        backend::{Backend, Builder, Step},
        check::SOON,
        context::{QUEUE, TestContext},
        every_operation::{on_every_operation, samples},
        failure::{Failure, Outcome},
        runtime::Runtime,
        table::cases,
    },
};

cases! { cancellation:
    direct [] the_connection_is_usable_after_any_operation_is_cancelled;
    direct [read_with_poll] a_poll_that_is_dropped_before_close_ends_although_the_runtime_ends;
    direct [] a_transaction_that_is_dropped_before_close_ends_although_the_runtime_ends;
    direct [read_with_poll] an_operation_that_is_dropped_outside_of_its_runtime_leaves_the_pool_usable;
    direct [read_with_poll] an_operation_that_is_dropped_after_its_runtime_leaves_the_pool_usable;
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

/// Time after which a call is dropped, so that the server is known to work on it.
const DROP_AFTER: Duration = Duration::from_millis(300);

/// Longer than any case waits.
const FOREVER: Duration = Duration::from_secs(600);

/// A runtime that makes progress only while a future runs on it.
fn runtime() -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be built")
}

/// A queue with a single connection.
async fn connect<B: Backend>(context: &TestContext<'_>) -> Result<B::Queue, Failure> {
    let builder = B::builder().url(context.url()).application_name("dropping").pool_size(1);
    Ok(builder.connect().await?)
}

/// Waits until no session of the queue is left.
fn wait_until_nothing_is_left(context: &TestContext<'_>) -> Outcome {
    context.wait_until(
        "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() \
         AND application_name = 'dropping')",
    )
}

async fn a_poll_that_is_dropped_before_close_ends_although_the_runtime_ends<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    if B::Runtime::BLOCKS {
        return Ok(());
    }
    outside_of_runtimes(|| {
        runtime().block_on(async {
            let queue = connect::<B>(context).await?;
            let options = PollOptions::new().timeout(FOREVER).interval(FOREVER / 10);
            let poll = queue.read_with_poll::<RawJson>(QUEUE, 30, 1, &options);
            assert!(B::timeout(DROP_AFTER, poll).await.is_none(), "there is nothing to read");
            B::close(queue).await;
            Ok::<_, Failure>(())
        })
    })?;
    wait_until_nothing_is_left(context)
}

async fn a_transaction_that_is_dropped_before_close_ends_although_the_runtime_ends<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    if B::Runtime::BLOCKS {
        return Ok(());
    }
    outside_of_runtimes(|| {
        runtime().block_on(async {
            let queue = connect::<B>(context).await?;
            let steps = [
                Step::Send(QUEUE),
                Step::Execute("LOCK TABLE pgmq.q_q"),
                Step::Execute("SELECT pg_sleep(55)"),
            ];
            let transaction = B::transaction(&queue, &steps);
            assert!(tokio::time::timeout(DROP_AFTER, transaction).await.is_err(), "the server sleeps");
            B::close(queue).await;
            Ok::<_, Failure>(())
        })
    })?;
    wait_until_nothing_is_left(context)?;
    assert_eq!(context.query_value("SELECT count(*) FROM pgmq.q_q")?, "0");
    Ok(())
}

async fn an_operation_that_is_dropped_outside_of_its_runtime_leaves_the_pool_usable<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    if B::Runtime::BLOCKS {
        return Ok(());
    }
    outside_of_runtimes(|| {
        let runtime = runtime();
        let queue = runtime.block_on(connect::<B>(context))?;
        let options = PollOptions::new().timeout(FOREVER).interval(FOREVER / 10);
        let mut poll = Box::pin(queue.read_with_poll::<RawJson>(QUEUE, 30, 1, &options));
        let polled = runtime.block_on(B::timeout(DROP_AFTER, poll.as_mut()));
        assert!(polled.is_none(), "there is nothing to read");
        drop(poll);
        let sent = runtime.block_on(B::timeout(SOON, queue.send(QUEUE, &1)));
        sent.expect("the connection is free again")?;
        assert_eq!(context.query_value("SELECT read_ct FROM pgmq.q_q")?, "0", "the poll goes on");
        runtime.block_on(B::close(queue));
        Ok::<_, Failure>(())
    })
}

async fn an_operation_that_is_dropped_after_its_runtime_leaves_the_pool_usable<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    if B::Runtime::BLOCKS {
        return Ok(());
    }
    outside_of_runtimes(|| {
        let first = runtime();
        let queue = first.block_on(connect::<B>(context))?;
        let options = PollOptions::new().timeout(FOREVER).interval(FOREVER / 10);
        let mut poll = Box::pin(queue.read_with_poll::<RawJson>(QUEUE, 30, 1, &options));
        let polled = first.block_on(B::timeout(DROP_AFTER, poll.as_mut()));
        assert!(polled.is_none(), "there is nothing to read");
        drop(first);
        drop(poll);
        let second = runtime();
        let sent = second.block_on(B::timeout(SOON, queue.send(QUEUE, &1)));
        sent.expect("there is room for a connection")?;
        second.block_on(B::close(queue));
        Ok::<_, Failure>(())
    })
}
