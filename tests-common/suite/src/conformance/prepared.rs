//! Prepared statements: when they are kept, and how stale ones are replaced.

use std::collections::VecDeque;

use pgmq_core::{AsyncQueue, ErrorKind, QueueError, SendOptions};

use crate::kit::{
    backend::{Backend, Builder, Pooled, Step, UserError},
    check::{fails_as, queue_error},
    context::{QUEUE, TestContext},
    failure::Outcome,
    table::cases,
};

cases! { prepared:
    direct [] statements_stay_prepared_if_enabled;
    direct [] statements_stay_prepared_across_transactions;
    direct [] statements_do_not_stay_prepared_if_disabled;
    direct [] a_statement_prepared_before_pgmq_changed_is_prepared_again;
    direct [] a_statement_that_the_server_has_discarded_is_prepared_again;
    direct [] transactions_that_fail_on_stale_statements_can_be_retried;
    direct [pop_batch, read_with, send_topic] pgmq_can_be_upgraded_while_a_queue_is_connected;
}

/// Asserts a condition on the connection of a queue, since prepared statements are visible on their own
/// connection only.
async fn assert_on_connection<B: Backend>(queue: &B::Queue, condition: &str) -> Outcome {
    const ALL: &str = "(SELECT string_agg(statement, '; ') FROM pg_prepared_statements)";

    let assertion = format!("DO $$ BEGIN ASSERT {condition}, {ALL}; END $$");
    B::execute_on_pool(B::pool(queue), &assertion).await
}

/// The number of the client's prepared statements.
const COUNT: &str = "(SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%pgmq.%')";

async fn use_a_few<B: Backend>(queue: &B::Queue) -> Outcome {
    for n in 0..3 {
        let id = queue.send(QUEUE, &n).await?;
        assert_eq!(queue.read::<i32>(QUEUE, 60).await?.unwrap().message, n);
        assert!(queue.delete(QUEUE, id).await?);
    }
    Ok(())
}

async fn statements_stay_prepared_if_enabled<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let builder =
        B::builder().url(context.url()).pool_size(1).install_extension(false).prepared_statements(true);
    let queue = builder.connect().await?;
    for _ in 0..2 {
        use_a_few::<B>(&queue).await?;
        assert_on_connection::<B>(&queue, &format!("{COUNT} = 3")).await?;
    }
    Ok(())
}

/// Statements that a transaction prepares stay, also if it is rolled back. Statements that were prepared
/// outside of a transaction are used in it.
async fn statements_stay_prepared_across_transactions<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let builder =
        B::builder().url(context.url()).pool_size(1).install_extension(false).prepared_statements(true);
    let queue = builder.connect().await?;
    for _ in 0..2 {
        let rolled_back = B::transaction(&queue, &[Step::Send(QUEUE), Step::GiveUp]).await;
        assert!(matches!(rolled_back, Err(UserError::GaveUp)), "{rolled_back:?}");
        assert_on_connection::<B>(&queue, &format!("{COUNT} = 1")).await?;
    }
    // The queue learns that the server supports a newer variant of the statement, if it does.
    queue.send(QUEUE, &1).await?;
    let variants = if context.has_pgmq("1.5.0") { 2 } else { 1 };
    for _ in 0..2 {
        B::transaction(&queue, &[Step::Send(QUEUE), Step::Send(QUEUE)]).await.map_err(queue_error)?;
        assert_on_connection::<B>(&queue, &format!("{COUNT} = {variants}")).await?;
    }
    assert_eq!(queue.metrics(QUEUE).await?.queue_length, 5);
    Ok(())
}

async fn statements_do_not_stay_prepared_if_disabled<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let builder =
        B::builder().url(context.url()).pool_size(1).install_extension(false).prepared_statements(false);
    let connected = builder.connect().await;
    if B::BEHIND_POOLERS == Pooled::No {
        let error = fails_as(ErrorKind::InvalidArgument, connected.map(drop));
        assert!(error.to_string().contains("prepared_statements"), "{error}");
        return Ok(());
    }
    let queue = connected?;
    use_a_few::<B>(&queue).await?;
    assert_on_connection::<B>(&queue, &format!("{COUNT} = 0")).await
}

/// Adds a column to the result of a function, as an upgrade of PGMQ does.
const ADD_A_COLUMN: &str = "\
    DROP FUNCTION pgmq.list_queues(); \
    CREATE FUNCTION pgmq.list_queues() \
    RETURNS TABLE (queue_name text, is_partitioned boolean, is_unlogged boolean, created_at timestamptz, more text) \
    LANGUAGE sql AS $$ SELECT 'added', false, false, pg_catalog.now(), '' $$";

async fn a_statement_prepared_before_pgmq_changed_is_prepared_again<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    let queue = B::builder().url(context.url()).pool_size(3).prepared_statements(true).connect().await?;
    let sessions = [B::session(&queue).await?, B::session(&queue).await?, B::session(&queue).await?];
    drop(sessions);
    for _ in 0..4 {
        assert_eq!(queue.list_queues().await?[0].queue_name, QUEUE);
    }
    context.execute(ADD_A_COLUMN)?;
    for _ in 0..4 {
        assert_eq!(queue.list_queues().await?[0].queue_name, "added");
    }
    Ok(())
}

async fn a_statement_that_the_server_has_discarded_is_prepared_again<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    let queue = B::builder().url(context.url()).pool_size(1).prepared_statements(true).connect().await?;
    for forget in ["DEALLOCATE ALL", "DISCARD ALL"] {
        use_a_few::<B>(&queue).await?;
        B::execute_on_pool(B::pool(&queue), forget).await?;
        use_a_few::<B>(&queue).await?;
    }
    Ok(())
}

/// Nothing is retried inside a transaction. The next transaction works, on any connection.
async fn transactions_that_fail_on_stale_statements_can_be_retried<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    const CONNECTIONS: u32 = 3;

    let builder = B::builder().url(context.url()).pool_size(CONNECTIONS).prepared_statements(true);
    let queue = builder.connect().await?;
    // Each connection in turn, while the others are in use, prepares the statement and then loses it.
    let mut sessions = VecDeque::new();
    for _ in 0..CONNECTIONS {
        sessions.push_back(B::session(&queue).await?);
    }
    for _ in 0..CONNECTIONS {
        drop(sessions.pop_front());
        queue.send(QUEUE, &1).await?;
        B::execute_on_pool(B::pool(&queue), "DEALLOCATE ALL").await?;
        sessions.push_back(B::session(&queue).await?);
    }
    drop(sessions);
    let mut failed = 0;
    for _ in 0..2 * CONNECTIONS {
        let sent = B::transaction(&queue, &[Step::Send(QUEUE)]).await.map_err(queue_error);
        if sent.is_err() {
            failed += 1;
            assert!(fails_as(ErrorKind::Conflict, sent).is_transient());
        }
    }
    // If the client caches the statements, all connections of the pool share the knowledge that they are
    // stale.
    let expected = if B::BEHIND_POOLERS == Pooled::AsItIs { 1 } else { CONNECTIONS };
    assert!((1..=expected).contains(&failed), "{failed} transactions failed");
    let sent = i64::from(CONNECTIONS) + i64::from(2 * CONNECTIONS - failed);
    assert_eq!(queue.metrics(QUEUE).await?.queue_length, sent);
    Ok(())
}

/// PGMQ's own scripts upgrade from the oldest version to the newest, while the queue has a connection with
/// prepared statements.
async fn pgmq_can_be_upgraded_while_a_queue_is_connected<B: Backend>(context: &TestContext<'_>) -> Outcome {
    const OLD: &str = "1.4.4";
    const NEW: &str = "1.13.0";

    if context.query_value("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")? == "f" {
        // Only a superuser can run the scripts.
        return Ok(());
    }
    let database = context.server().create_empty_database()?;
    database.install_pgmq(OLD)?;
    let builder = B::builder().url(database.url()).pool_size(1).prepared_statements(true);
    let queue = builder.connect().await?;
    assert_eq!(B::version(&queue).await?.at_least.to_string(), OLD);
    queue.create_queue(QUEUE).await?;
    use_a_few::<B>(&queue).await?;
    let headers = SendOptions::new().headers(&1);
    let id = queue.send(QUEUE, &7).await?;
    assert!(queue.archive(QUEUE, id).await?);
    for error in [
        queue.pop_batch::<i32>(QUEUE, 2).await.map(drop),
        queue.send_topic("k", &1).await.map(drop),
        queue.send_with(QUEUE, &1, &headers).await.map(drop),
    ] {
        fails_as(ErrorKind::Unsupported, error);
    }
    queue.send(QUEUE, &8).await?;

    database.upgrade_pgmq(OLD, NEW)?;
    assert_eq!(B::version(&queue).await?.at_least.to_string(), NEW);
    let read = queue.read::<i32>(QUEUE, 60).await?.unwrap();
    assert_eq!((read.message, read.last_read_at.is_some()), (8, true));
    assert!(queue.delete(QUEUE, read.msg_id).await?);
    use_a_few::<B>(&queue).await?;
    queue.bind_topic(QUEUE, "k").await?;
    assert_eq!(queue.send_topic("k", &9).await?, 1);
    queue.send_with(QUEUE, &10, &headers).await?;
    let popped = queue.pop_batch::<i32>(QUEUE, 5).await?;
    assert_eq!(popped.iter().map(|message| message.message).collect::<Vec<_>>(), [9, 10]);
    assert_eq!(queue.read_archive::<i32>(QUEUE, 0, 5).await?[0].message.msg_id, id);
    B::close(queue).await;
    Ok(())
}
