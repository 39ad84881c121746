//! A server, a role or a session that refuses writes.

use std::{fmt::Debug, time::Instant};

use pgmq_core::{AsyncQueue, ErrorKind, QueueError};

use crate::kit::{
    backend::{Backend, Step},
    check::{SOON, fails_as, queue_error, works},
    context::{QUEUE, TestContext},
    failure::{Failure, Outcome, error_chain},
    table::cases,
};

cases! { read_only:
    direct [send, read, delete] a_connection_left_read_only_is_replaced;
    direct [send] a_connection_left_read_only_fails_one_transaction;
    direct [send, read] a_role_that_may_only_read_is_told_so;
}

/// The ways in which a session can be read-only although the server accepts writes.
const LEFT_READ_ONLY: [&str; 2] =
    ["SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "SET default_transaction_read_only = on"];

/// A queue with a single connection, which refuses writes.
async fn left_read_only<B: Backend>(context: &TestContext<'_>, sql: &str) -> Result<B::Queue, Failure> {
    let queue = context.connect_with::<B>(1).await?;
    let mut session = B::session(&queue).await?;
    B::execute_on_session(&mut session, sql).await?;
    drop(session);
    Ok(queue)
}

async fn a_connection_left_read_only_is_replaced<B: Backend>(context: &TestContext<'_>) -> Outcome {
    for sql in LEFT_READ_ONLY {
        // A send, a read, or a delete may be the first to be refused.
        works(&left_read_only::<B>(context, sql).await?).await?;
        assert!(left_read_only::<B>(context, sql).await?.read::<i32>(QUEUE, 1).await?.is_none());
        assert!(!left_read_only::<B>(context, sql).await?.delete(QUEUE, 999).await?);
    }
    Ok(())
}

async fn a_connection_left_read_only_fails_one_transaction<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let steps = [Step::Send(QUEUE), Step::Send(QUEUE)];
    for sql in LEFT_READ_ONLY {
        let queue = left_read_only::<B>(context, sql).await?;
        // The closure does not run twice, so its error is returned.
        is_read_only(context, B::transaction(&queue, &steps).await.map_err(queue_error));
        B::transaction(&queue, &steps).await.map_err(queue_error)?;
        assert_eq!(queue.purge(QUEUE).await?, 2);
    }
    Ok(())
}

async fn a_role_that_may_only_read_is_told_so<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let queue = B::connect(&context.url_with("-c default_transaction_read_only=on")).await?;
    let started = Instant::now();
    for _ in 0..3 {
        is_read_only(context, queue.send(QUEUE, &1).await);
        is_read_only(context, queue.read::<i32>(QUEUE, 1).await);
        is_read_only(context, B::transaction(&queue, &[Step::Send(QUEUE)]).await.map_err(queue_error));
        assert_eq!(queue.metrics(QUEUE).await?.queue_length, 0, "reading works");
    }
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    Ok(())
}

/// Asserts that a call failed because writes are refused.
#[track_caller]
fn is_read_only<T: Debug, E: QueueError>(context: &TestContext<'_>, result: Result<T, E>) {
    let error = fails_as(ErrorKind::ReadOnly, result);
    context.assert_sqlstate(&error, "25006");
    assert!(error.is_transient());
    assert!(error.to_string().contains("read-only"), "{}", error_chain(&error));
}
