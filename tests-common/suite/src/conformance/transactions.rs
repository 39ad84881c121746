//! Transactions, and queues on the user's connections.

use std::time::{Duration, Instant};

use pgmq_core::{AsyncQueue, ErrorKind, IsolationLevel, TransactionOptions};

use crate::kit::{
    backend::{Backend, Step, UserError},
    check::{fails_as, queue_error},
    context::{QUEUE, QueueUnderTest, TestContext},
    failure::{Failure, Outcome},
    table::{case, cases},
};

cases! { transactions:
    transaction [send, read, delete] changes_in_a_transaction_are_invisible_until_its_end;
    standalone [] a_bound_queue_works_on_a_session;
    standalone [] a_bound_queue_works_on_a_connection_of_the_driver;
    standalone [send] a_row_and_a_message_are_committed_together;
    standalone [send] a_row_and_a_message_are_rolled_back_together;
    standalone [send] an_error_of_the_queue_rolls_back_and_is_returned_unchanged;
    standalone [send] a_transaction_whose_error_was_ignored_is_not_reported_as_committed;
    standalone [send] a_transaction_that_the_closure_has_ended_is_not_reported_as_committed;
    standalone [send] a_panic_rolls_back_and_leaves_the_pool_usable;
    standalone [] a_transaction_begins_on_another_connection_if_the_first_is_lost;
    standalone [] a_failed_statement_of_the_user_is_a_database_error;
    standalone [] a_transaction_begins_with_its_options;
    standalone [send] a_read_only_transaction_refuses_a_send_and_leaves_the_pool_usable;
    standalone [send] a_transaction_that_conflicts_can_be_run_again;
    standalone [read] a_message_read_in_a_transaction_that_is_rolled_back_is_visible_again;
}

async fn changes_in_a_transaction_are_invisible_until_its_end(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    queue.context.execute("SELECT pgmq.send_batch('q', ARRAY['1', '2']::jsonb[])")?;
    let seen = "SELECT string_agg(message::text || '/' || read_ct, ' ' ORDER BY msg_id) FROM pgmq.q_q";
    assert!(queue.delete(QUEUE, 1).await?);
    assert_eq!(queue.read::<i32>(QUEUE, 60).await?.unwrap().message, 2);
    assert_eq!(queue.send(QUEUE, &3).await?, 3);
    assert_eq!(queue.context.query_value(seen)?, "1/0 2/0");
    Ok(())
}

async fn is_committed_at_once(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    let id = queue.send(QUEUE, &1).await?;
    assert_eq!(
        queue.context.query_value("SELECT string_agg(msg_id::text, ' ') FROM pgmq.q_q")?,
        id.to_string()
    );
    assert_eq!(queue.read::<i32>(QUEUE, 60).await?.unwrap().msg_id, id);
    assert_eq!(queue.context.query_value("SELECT read_ct FROM pgmq.q_q")?, "1");
    // Without a transaction, an error does not affect later statements.
    fails_as(ErrorKind::QueueNotFound, queue.send("missing", &1).await);
    assert!(queue.delete(QUEUE, id).await?);
    Ok(())
}

async fn a_bound_queue_works_on_a_session<B: Backend>(context: &TestContext<'_>) -> Outcome {
    // With a single connection, the queue cannot have used another one.
    let queue = context.connect_with::<B>(1).await?;
    B::on_session(&queue, context, &case!(is_committed_at_once)).await
}

async fn a_bound_queue_works_on_a_connection_of_the_driver<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let queue = context.connect::<B>().await?;
    B::on_connection(&queue, context, &case!(is_committed_at_once)).await
}

const INSERT: Step = Step::Execute("INSERT INTO orders (note) VALUES ('mine')");

/// Creates a table `orders` of the user, and connects with a single connection.
async fn with_orders<B: Backend>(context: &TestContext<'_>) -> Result<B::Queue, Failure> {
    context.execute("CREATE TABLE orders (note text)")?;
    context.connect_with::<B>(1).await
}

/// Asserts the number of rows in `orders` and of messages, and that the pool is usable.
async fn assert_contents<Queue: AsyncQueue>(
    context: &TestContext<'_>,
    queue: &Queue,
    rows: i32,
    messages: i32,
) -> Outcome {
    let seen = context
        .query_value("SELECT (SELECT count(*) FROM orders) || ' ' || (SELECT count(*) FROM pgmq.q_q)")?;
    assert_eq!(seen, format!("{rows} {messages}"));
    assert_eq!(queue.metrics(QUEUE).await?.queue_length, i64::from(messages));
    Ok(())
}

async fn a_row_and_a_message_are_committed_together<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let queue = with_orders::<B>(context).await?;
    B::transaction(&queue, &[INSERT, Step::Send(QUEUE), INSERT, Step::Send(QUEUE)])
        .await
        .map_err(queue_error)?;
    assert_contents(context, &queue, 2, 2).await
}

async fn a_row_and_a_message_are_rolled_back_together<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let queue = with_orders::<B>(context).await?;
    let result = B::transaction(&queue, &[INSERT, Step::Send(QUEUE), Step::GiveUp]).await;
    assert!(matches!(result, Err(UserError::GaveUp)), "{result:?}");
    assert_contents(context, &queue, 0, 0).await
}

async fn an_error_of_the_queue_rolls_back_and_is_returned_unchanged<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    let queue = with_orders::<B>(context).await?;
    let steps = [INSERT, Step::Send(QUEUE), Step::Send("missing"), INSERT];
    let error = fails_as(ErrorKind::QueueNotFound, B::transaction(&queue, &steps).await.map_err(queue_error));
    assert!(error.to_string().contains("missing"), "{error}");
    assert_contents(context, &queue, 0, 0).await
}

async fn a_transaction_whose_error_was_ignored_is_not_reported_as_committed<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    let queue = with_orders::<B>(context).await?;
    // The server answers COMMIT with ROLLBACK, which is not an error of the protocol.
    let result = B::transaction(&queue, &[INSERT, Step::Send(QUEUE), Step::TryToSend("missing")]).await;
    assert!(
        matches!(result, Err(UserError::Queue(_))),
        "nothing was committed, and the result was {result:?}"
    );
    assert_contents(context, &queue, 0, 0).await
}

async fn a_transaction_that_the_closure_has_ended_is_not_reported_as_committed<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    let queue = with_orders::<B>(context).await?;
    for _ in 0..2 {
        // Outside a transaction, the server answers COMMIT with a warning, which is not an error either.
        let result = B::transaction(&queue, &[INSERT, Step::Send(QUEUE), Step::Execute("ROLLBACK")]).await;
        assert!(
            matches!(result, Err(UserError::Queue(_))),
            "nothing was committed, and the result was {result:?}"
        );
        assert_contents(context, &queue, 0, 0).await?;
    }
    Ok(())
}

async fn a_panic_rolls_back_and_leaves_the_pool_usable<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let queue = with_orders::<B>(context).await?;
    let panicked = {
        let queue = queue.clone();
        std::panic::AssertUnwindSafe(async move {
            let _ = B::transaction(&queue, &[INSERT, Step::Send(QUEUE), Step::Panic]).await;
        })
    };
    assert!(catch(panicked.0).await, "the panic was swallowed");
    assert_contents(context, &queue, 0, 0).await
}

/// Runs a future, and returns `true` if it panicked.
async fn catch(future: impl Future<Output = ()>) -> bool {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|cx| {
        let poll = std::panic::AssertUnwindSafe(|| future.as_mut().poll(cx));
        match std::panic::catch_unwind(poll) {
            Ok(poll) => poll.map(|()| false),
            Err(_) => std::task::Poll::Ready(true),
        }
    })
    .await
}

async fn a_transaction_begins_on_another_connection_if_the_first_is_lost<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    let queue = with_orders::<B>(context).await?;
    for n in 1..=3 {
        context.terminate("true")?;
        B::transaction(&queue, &[INSERT, Step::Send(QUEUE)]).await.map_err(queue_error)?;
        assert_eq!(queue.metrics(QUEUE).await?.queue_length, n);
    }
    assert_contents(context, &queue, 3, 3).await
}

async fn a_failed_statement_of_the_user_is_a_database_error<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    let queue = with_orders::<B>(context).await?;
    let steps = [Step::Send(QUEUE), Step::Execute("SELECT 1 / 0")];
    fails_as(ErrorKind::Database, B::transaction(&queue, &steps).await.map_err(queue_error));
    assert_contents(context, &queue, 0, 0).await
}

/// Fails unless the transaction is in the default modes.
const IN_DEFAULT_MODES: Step = Step::Execute(
    "DO $$ BEGIN ASSERT current_setting('transaction_isolation') = 'read committed' \
     AND current_setting('transaction_read_only') = 'off' \
     AND current_setting('transaction_deferrable') = 'off'; END $$",
);

/// Fails unless the transaction is serializable, read-only and deferrable.
const IN_OTHER_MODES: Step = Step::Execute(
    "DO $$ BEGIN ASSERT current_setting('transaction_isolation') = 'serializable' \
     AND current_setting('transaction_read_only') = 'on' \
     AND current_setting('transaction_deferrable') = 'on'; END $$",
);

async fn a_transaction_begins_with_its_options<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let queue = with_orders::<B>(context).await?;
    let defaults = TransactionOptions::new();
    let others = defaults.isolation(IsolationLevel::Serializable).read_only(true).deferrable(true);
    // The modes end with the transaction, although there is a single connection.
    for _ in 0..2 {
        B::transaction_with(&queue, &others, &[IN_OTHER_MODES]).await.map_err(queue_error)?;
        B::transaction_with(&queue, &defaults, &[IN_DEFAULT_MODES]).await.map_err(queue_error)?;
        B::transaction(&queue, &[IN_DEFAULT_MODES]).await.map_err(queue_error)?;
    }
    fails_as(ErrorKind::Database, B::transaction(&queue, &[IN_OTHER_MODES]).await.map_err(queue_error));

    let snapshot = Step::Execute(
        "DO $$ BEGIN ASSERT current_setting('transaction_isolation') = 'repeatable read'; END $$",
    );
    let options = defaults.isolation(IsolationLevel::RepeatableRead).read_only(false).deferrable(false);
    let steps = [snapshot, INSERT, Step::Send(QUEUE)];
    B::transaction_with(&queue, &options, &steps).await.map_err(queue_error)?;
    let options = defaults.isolation(IsolationLevel::ReadCommitted);
    let steps = [IN_DEFAULT_MODES, INSERT, Step::Send(QUEUE)];
    B::transaction_with(&queue, &options, &steps).await.map_err(queue_error)?;
    assert_contents(context, &queue, 2, 2).await?;

    // A transaction that writes, in a session that does not by default.
    let queue = B::connect(&context.url_with("-c default_transaction_read_only=on")).await?;
    let options = defaults.read_only(false);
    B::transaction_with(&queue, &options, &[INSERT, Step::Send(QUEUE)]).await.map_err(queue_error)?;
    assert_contents(context, &queue, 3, 3).await
}

async fn a_read_only_transaction_refuses_a_send_and_leaves_the_pool_usable<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    let queue = with_orders::<B>(context).await?;
    let options = TransactionOptions::new().read_only(true);
    let sent = B::transaction_with(&queue, &options, &[Step::Send(QUEUE)]).await.map_err(queue_error);
    context.assert_sqlstate(&fails_as(ErrorKind::ReadOnly, sent), "25006");
    B::transaction(&queue, &[INSERT, Step::Send(QUEUE)]).await.map_err(queue_error)?;
    assert_contents(context, &queue, 1, 1).await
}

async fn a_transaction_that_conflicts_can_be_run_again<B: Backend>(context: &TestContext<'_>) -> Outcome {
    // Changes the row, and commits once the transaction under test waits for the row.
    const OTHER: &str = "BEGIN; UPDATE orders SET note = 'changed'; SELECT pg_advisory_xact_lock(1); \
        DO $$ BEGIN \
          WHILE NOT EXISTS (SELECT FROM pg_locks \
                            WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))) \
          LOOP PERFORM pg_sleep(0.01); END LOOP; \
        END $$; COMMIT";
    let queue = with_orders::<B>(context).await?;
    context.execute("INSERT INTO orders VALUES ('new')")?;
    let other = context.execute_in_background(OTHER.to_owned());
    context.wait_until(
        "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted \
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))",
    )?;
    let options = TransactionOptions::new().isolation(IsolationLevel::RepeatableRead);
    let steps = [Step::Send(QUEUE), Step::Execute("UPDATE orders SET note = 'mine'")];
    let error = B::transaction_with(&queue, &options, &steps).await.map_err(queue_error);
    context.assert_sqlstate(&fails_as(ErrorKind::Conflict, error), "40001");
    other.join()?;
    B::transaction_with(&queue, &options, &steps).await.map_err(queue_error)?;
    assert_contents(context, &queue, 1, 1).await
}

async fn a_message_read_in_a_transaction_that_is_rolled_back_is_visible_again<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    async fn reads(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
        assert_eq!(queue.read::<i32>(QUEUE, 600).await?.unwrap().read_ct, 1);
        assert!(queue.read::<i32>(QUEUE, 600).await?.is_none());
        Ok(())
    }
    let queue = context.connect::<B>().await?;
    queue.send(QUEUE, &1).await?;
    B::in_transaction(&queue, context, &case!(reads)).await?;
    // Until the server has executed the rollback, the message is locked and skipped.
    let started = Instant::now();
    loop {
        match queue.read::<i32>(QUEUE, 600).await? {
            Some(message) => break assert_eq!(message.read_ct, 1),
            None => assert!(
                started.elapsed() < Duration::from_secs(20),
                "the message did not become visible again"
            ),
        }
    }
    Ok(())
}
