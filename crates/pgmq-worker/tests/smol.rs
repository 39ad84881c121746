//! The worker on another runtime than Tokio: smol, which sqlx supports as well.

#![allow(clippy::unwrap_used, reason = "a failed test panics")]

#[path = "back_ends/story.rs"]
mod story;

use pgmq_sqlx::PGMQueue;
use pgmq_worker::{Job, Queue, StartError, Worker};
use story::{assert_effects, database, finish_with_sqlx};

#[test]
fn the_worker_runs_on_smol() {
    let database = database();
    smol::block_on(async {
        let queue = PGMQueue::connect(database.url()).await.unwrap();
        let spawned = |builder: pgmq_worker::Builder| builder.spawner(|task| smol::spawn(task).detach());
        story::run(queue.clone(), spawned, |queue, job: Job<i64>| {
            assert!(tokio::runtime::Handle::try_current().is_err(), "there is no other runtime");
            finish_with_sqlx(queue, job)
        })
        .await;
        queue.close().await;
    });
    assert_effects(&database);
}

#[test]
fn a_worker_without_a_runtime_does_not_start() {
    let database = database();
    smol::block_on(async {
        let queue = PGMQueue::connect(database.url()).await.unwrap();
        let builder = Worker::builder(queue.clone()).queue("q", Queue::new(), async |_: Job<i64>| ());
        let error = builder.start().await.unwrap_err();
        assert!(matches!(error, StartError::NoRuntime), "{error}");
        queue.close().await;
    });
}
