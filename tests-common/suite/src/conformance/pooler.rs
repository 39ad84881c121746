//! Differences behind a pooler in transaction mode.

use std::{collections::HashSet, time::Duration};

use pgmq_core::{AsyncQueue, Notification};
use pgmq_test_server::outside_of_runtimes;
use postgres::{Client, NoTls, SimpleQueryMessage};

use crate::kit::{
    backend::{Backend, Builder, Listener, Pooled, Step},
    context::{QUEUE, SESSIONS, TestContext},
    failure::{Failure, Outcome, error_chain},
    table::cases,
};

cases! { pooler:
    pooler [] transactions_use_the_connections_of_the_pooler_in_turn;
    pooler [send, read, metrics, delete] a_back_end_works_behind_a_pooler_as_documented;
    pooler [] every_back_end_works_behind_a_pooler_that_prepares_statements;
    pooler [] a_listener_can_bypass_the_pooler;
}

async fn transactions_use_the_connections_of_the_pooler_in_turn<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    // Otherwise no session state would be lost between transactions, and the other cases would prove nothing.
    let url = context.url_through(&context.poolers().plain)?;
    let pids = outside_of_runtimes(|| {
        let mut client = Client::connect(&url, NoTls)?;
        let mut pids = HashSet::new();
        for _ in 0..SESSIONS {
            for message in client.simple_query("SELECT pg_backend_pid()")? {
                if let SimpleQueryMessage::Row(row) = message {
                    pids.insert(row.get(0).map(ToOwned::to_owned));
                }
            }
        }
        Ok::<_, Failure>(pids)
    })?;
    assert_eq!(pids.len(), SESSIONS);
    Ok(())
}

async fn a_back_end_works_behind_a_pooler_as_documented<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let url = context.url_through(&context.poolers().plain)?;
    match B::BEHIND_POOLERS {
        Pooled::AsItIs => works::<B>(&B::connect(&url).await?).await,
        Pooled::BySwitch => {
            loses_statements::<B>(&url).await;
            let builder = B::builder().url(&url).pool_size(1).prepared_statements(false);
            works::<B>(&builder.connect().await?).await
        }
        Pooled::No => {
            loses_statements::<B>(&url).await;
            Ok(())
        }
    }
}

async fn every_back_end_works_behind_a_pooler_that_prepares_statements<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    let Some(keeping) = &context.poolers().keeping else { return Ok(()) };
    works::<B>(&B::connect(&context.url_through(keeping)?).await?).await
}

/// Runs typical operations, more often than the pooler has connections.
async fn works<B: Backend>(queue: &B::Queue) -> Outcome {
    for n in 0..10 {
        let id = queue.send(QUEUE, &n).await?;
        assert_eq!(queue.read::<i32>(QUEUE, 60).await?.unwrap().msg_id, id);
        assert_eq!(queue.metrics(QUEUE).await?.queue_length, 1);
        assert!(queue.delete(QUEUE, id).await?);
        let done = B::transaction(queue, &[Step::Send(QUEUE), Step::Execute("DELETE FROM pgmq.q_q")]).await;
        assert!(done.is_ok(), "{done:?}");
    }
    Ok(())
}

/// Asserts that connecting or an operation fails eventually, because a statement was prepared on another
/// connection.
async fn loses_statements<B: Backend>(url: &str) {
    async fn connect_and_send<B: Backend>(url: &str) -> Result<(), B::Error> {
        let queue = B::connect(url).await?;
        queue.send(QUEUE, &1).await?;
        queue.purge(QUEUE).await.map(drop)
    }
    let mut failures = Vec::new();
    for _ in 0..10 {
        failures.extend(connect_and_send::<B>(url).await.err().map(|error| error_chain(&error)));
    }
    assert!(!failures.is_empty(), "the back end works with its defaults, and BEHIND_POOLERS should say so");
    let all = failures.iter().all(|failure| failure.contains("prepared statement"));
    assert!(all, "{failures:?}");
}

async fn a_listener_can_bypass_the_pooler<B: Backend>(context: &TestContext<'_>) -> Outcome {
    const LIMIT: Duration = Duration::from_secs(20);
    context.execute("SELECT pgmq.enable_notify_insert('q', 0)")?;
    let queue = context.connect::<B>().await?;
    let by_a_call = B::with_listen_url(queue.clone(), context.direct_url());
    let builder = B::builder().url(context.url()).listen_url(context.direct_url());
    // Without the check of the installation, which may need other settings behind a pooler.
    let by_the_builder = builder.install_extension(false).connect().await?;
    for listening in [by_a_call, by_the_builder] {
        let mut listener = B::listen(&listening, &[QUEUE]).await?;
        for n in 0..SESSIONS {
            queue.send(QUEUE, &n).await?;
            let inserted = Notification::inserted(QUEUE);
            assert_eq!(listener.next_timeout(LIMIT).await?, Some(inserted));
        }
    }
    Ok(())
}
