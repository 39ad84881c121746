//! The worker on each back end, with the same story.

#![allow(clippy::unwrap_used, reason = "a failed test panics")]

mod story;
mod sync_story;

use diesel::sql_types::BigInt;
use diesel::{RunQueryDsl as _, sql_query};
use pgmq_worker::{Finished, Job, sync};
use story::{assert_effects, database, finish_with_sqlx};

/// Runs an async test on Tokio, with a database.
fn on_tokio(test: impl AsyncFnOnce(&str)) {
    let database = database();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(test(database.url()));
    drop(runtime);
    assert_effects(&database);
}

#[test]
fn pgmq_tokio() {
    async fn finish(queue: pgmq_tokio::PGMQueue, job: Job<i64>) -> Result<Finished, pgmq_tokio::Error> {
        queue
            .transaction(async |transaction| {
                transaction.execute("INSERT INTO effects VALUES ($1)", &[&*job]).await?;
                job.finish_in(&queue.with(transaction)).await
            })
            .await
    }
    on_tokio(async |url| {
        let queue = pgmq_tokio::PGMQueue::connect(url).await.unwrap();
        story::run(queue, |builder| builder, finish).await;
    });
}

#[test]
fn pgmq_sqlx() {
    on_tokio(async |url| {
        let queue = pgmq_sqlx::PGMQueue::connect(url).await.unwrap();
        story::run(queue.clone(), |builder| builder, finish_with_sqlx).await;
        queue.close().await;
    });
}

#[test]
fn pgmq_diesel_async() {
    async fn finish(
        queue: pgmq_diesel_async::PGMQueue,
        job: Job<i64>,
    ) -> Result<Finished, pgmq_diesel_async::Error> {
        queue
            .transaction(async |connection| {
                let insert = sql_query("INSERT INTO effects VALUES ($1)").bind::<BigInt, _>(*job);
                diesel_async::RunQueryDsl::execute(insert, connection).await?;
                job.finish_in(&queue.with(connection)).await
            })
            .await
    }
    on_tokio(async |url| {
        let queue = pgmq_diesel_async::PGMQueue::connect(url).await.unwrap();
        story::run(queue, |builder| builder, finish).await;
    });
}

#[test]
fn pgmq_postgres() {
    let database = database();
    let queue = pgmq_postgres::PGMQueue::connect(database.url()).unwrap();
    sync_story::run(queue, |queue, job: &sync::Job<i64>| -> Result<Finished, pgmq_postgres::Error> {
        queue.transaction(|transaction| {
            transaction.execute("INSERT INTO effects VALUES ($1)", &[&**job])?;
            job.finish_in(&queue.with(transaction))
        })
    });
    assert_effects(&database);
}

#[test]
fn pgmq_diesel() {
    let database = database();
    let queue = pgmq_diesel::PGMQueue::connect(database.url()).unwrap();
    sync_story::run(queue, |queue, job: &sync::Job<i64>| -> Result<Finished, pgmq_diesel::Error> {
        queue.transaction(|connection| {
            sql_query("INSERT INTO effects VALUES ($1)").bind::<BigInt, _>(**job).execute(connection)?;
            job.finish_in(&queue.with(connection))
        })
    });
    assert_effects(&database);
}
