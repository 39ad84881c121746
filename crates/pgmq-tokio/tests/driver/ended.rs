//! What becomes of operations on a session that the server has ended.

use pgmq_tokio::PGMQueue;

use crate::support::on_a_database;

/// Ends all other sessions of the database, and waits until they have ended.
const END_SESSIONS: &str = "DO $$ BEGIN PERFORM pg_terminate_backend(pid, 10000) FROM pg_stat_activity \
    WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid(); END $$";

#[test]
fn an_operation_that_comes_while_the_driver_learns_of_the_end_runs_on_another_session() {
    on_a_database(async |database| {
        let queue = PGMQueue::builder().url(database.url()).pool_size(1).connect().await.unwrap();
        // The driver's task and this one are on one thread: each yield lets the other go a step further. The operation comes before
        // the task has seen the end, when it is about to, and when it has.
        for yields in 0..5 {
            queue.send("q", &yields).await.unwrap();
            database.execute(END_SESSIONS).unwrap();
            for _ in 0..yields {
                tokio::task::yield_now().await;
            }
            assert_eq!(queue.pop::<i32>("q").await.unwrap().unwrap().message, yields);
        }
    });
}
