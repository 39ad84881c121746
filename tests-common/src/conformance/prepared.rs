//! Statements that stay prepared on their connections, and those that do not.

use pgmq_core::{AsyncQueue, ErrorKind};

use super::{Backend, Builder, Outcome, Pooled, Q, World, case::cases, check::fails_as};

cases! { prepared:
    direct [] statements_stay_prepared_if_told_to;
    direct [] statements_do_not_stay_prepared_if_told_not_to;
    direct [] a_statement_that_was_prepared_before_pgmq_changed_is_prepared_anew;
    direct [] a_statement_that_the_server_has_forgotten_is_prepared_anew;
}

/// Fails unless this is true on the connection of a queue: the statements that are prepared there are seen nowhere else.
async fn holds<B: Backend>(queue: &B::Queue, condition: &str) -> Outcome {
    let assertion = format!("DO $$ BEGIN ASSERT {condition}; END $$");
    B::execute_on_pool(B::pool(queue), &assertion).await
}

/// How many statements of ours there are.
const COUNT: &str = "(SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%pgmq.%')";

async fn use_a_few<B: Backend>(queue: &B::Queue) -> Outcome {
    for n in 0..3 {
        let id = queue.send(Q, &n).await?;
        assert_eq!(queue.read::<i32>(Q, 60).await?.unwrap().message, n);
        assert!(queue.delete(Q, id).await?);
    }
    Ok(())
}

async fn statements_stay_prepared_if_told_to<B: Backend>(world: &World<'_>) -> Outcome {
    let builder = B::builder().url(world.url()).pool_size(1).init(false).prepared_statements(true);
    let queue = builder.connect().await?;
    for _ in 0..2 {
        use_a_few::<B>(&queue).await?;
        holds::<B>(&queue, &format!("{COUNT} = 3")).await?;
    }
    Ok(())
}

async fn statements_do_not_stay_prepared_if_told_not_to<B: Backend>(world: &World<'_>) -> Outcome {
    let builder = B::builder().url(world.url()).pool_size(1).init(false).prepared_statements(false);
    let connected = builder.connect().await;
    if B::BEHIND_POOLERS == Pooled::No {
        let error = fails_as(ErrorKind::InvalidArgument, connected.map(drop));
        assert!(error.to_string().contains("prepared_statements"), "{error}");
        return Ok(());
    }
    let queue = connected?;
    use_a_few::<B>(&queue).await?;
    holds::<B>(&queue, &format!("{COUNT} = 0")).await
}

/// Has a function return another column, as an upgrade of PGMQ does.
const ADD_A_COLUMN: &str = "\
    DROP FUNCTION pgmq.list_queues(); \
    CREATE FUNCTION pgmq.list_queues() \
    RETURNS TABLE (queue_name text, is_partitioned boolean, is_unlogged boolean, created_at timestamptz, more text) \
    LANGUAGE sql AS $$ SELECT 'added', false, false, pg_catalog.now(), '' $$";

async fn a_statement_that_was_prepared_before_pgmq_changed_is_prepared_anew<B: Backend>(
    world: &World<'_>,
) -> Outcome {
    let queue = B::builder().url(world.url()).pool_size(3).prepared_statements(true).connect().await?;
    let sessions = [B::session(&queue).await?, B::session(&queue).await?, B::session(&queue).await?];
    drop(sessions);
    for _ in 0..4 {
        assert_eq!(queue.list_queues().await?[0].queue_name, Q);
    }
    world.execute(ADD_A_COLUMN)?;
    for _ in 0..4 {
        assert_eq!(queue.list_queues().await?[0].queue_name, "added");
    }
    Ok(())
}

async fn a_statement_that_the_server_has_forgotten_is_prepared_anew<B: Backend>(
    world: &World<'_>,
) -> Outcome {
    let queue = B::builder().url(world.url()).pool_size(1).prepared_statements(true).connect().await?;
    for forget in ["DEALLOCATE ALL", "DISCARD ALL"] {
        use_a_few::<B>(&queue).await?;
        B::execute_on_pool(B::pool(&queue), forget).await?;
        use_a_few::<B>(&queue).await?;
    }
    Ok(())
}
