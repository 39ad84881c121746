//! Operations on a session that the server has terminated.

use pgmq_tokio::PGMQueue;

use crate::support::on_a_database;

/// Terminates all other sessions of the database, and waits until they have ended.
const TERMINATE_SESSIONS: &str = "DO $$ BEGIN \
    PERFORM pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database() \
        AND backend_type = 'client backend' AND pid <> pg_backend_pid(); END $$";

#[test]
fn an_operation_that_races_with_a_termination_runs_on_another_session() {
    on_a_database(async |database| {
        let queue = PGMQueue::builder().url(database.url()).pool_size(1).connect().await.unwrap();
        // The driver's task and this one share a thread, and each yield lets the driver's task advance by one
        // step. The operation therefore starts before the task notices the end, just then, and afterwards.
        for yields in 0..5 {
            queue.send("q", &yields).await.unwrap();
            database.execute(TERMINATE_SESSIONS).unwrap();
            for _ in 0..yields {
                tokio::task::yield_now().await;
            }
            assert_eq!(queue.pop::<i32>("q").await.unwrap().unwrap().message, yields);
        }
    });
}
