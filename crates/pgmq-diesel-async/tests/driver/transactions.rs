//! Diesel's transactions and the queue's.

use diesel::IntoSql;
use diesel::sql_types::Integer;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use pgmq_diesel_async::{Error, ErrorKind, IsolationLevel, PGMQueue, Pool, TransactionOptions, bb8};

use crate::support::{connect, on_a_database};

async fn length(queue: &PGMQueue) -> i64 {
    queue.metrics("q").await.unwrap().queue_length
}

#[test]
fn a_transaction_runs_in_a_spawned_task() {
    on_a_database(async |database| {
        let queue = connect(database).await;
        let shared = queue.clone();
        let task = tokio::spawn(async move {
            shared
                .transaction(async |connection| {
                    let one = diesel::select(1.into_sql::<Integer>()).get_result::<i32>(connection).await?;
                    shared.with(connection).send("q", &one).await
                })
                .await
        });
        assert_eq!(task.await.unwrap().unwrap(), 1);
        assert_eq!(length(&queue).await, 1);
    });
}

#[test]
fn transactions_of_diesels_nest_in_the_queues() {
    on_a_database(async |database| {
        let queue = connect(database).await;
        let done = queue.transaction(async |connection| {
            queue.with(connection).send("q", "outer").await?;
            let undone = connection.transaction(async |connection| {
                queue.with(connection).send("q", "undone").await?;
                queue.with(connection).send("missing", &1).await
            });
            assert_eq!(undone.await.unwrap_err().kind(), ErrorKind::QueueNotFound);
            connection.transaction(async |connection| queue.with(connection).send("q", "inner").await).await
        });
        done.await.unwrap();
        let messages = queue.peek::<String>("q", 10).await.unwrap();
        let texts: Vec<_> = messages.into_iter().map(|message| message.message).collect();
        assert_eq!(texts, ["outer", "inner"]);
    });
}

#[test]
fn operations_take_part_in_a_transaction_of_diesels() {
    on_a_database(async |database| {
        let queue = connect(database).await;
        let mut connection = AsyncPgConnection::establish(database.url()).await.unwrap();
        for fails in [true, false] {
            let done = connection.transaction(async |connection| {
                queue.with(connection).send("q", &1).await?;
                match fails {
                    true => Err(Error::from(diesel::result::Error::RollbackTransaction)),
                    false => Ok(()),
                }
            });
            assert_eq!(done.await.is_err(), fails);
            assert_eq!(length(&queue).await, i64::from(!fails));
        }
    });
}

#[test]
fn a_closure_that_ends_its_transaction_by_itself_is_an_error() {
    on_a_database(async |database| {
        use diesel_async::{AnsiTransactionManager, TransactionManager};

        let queue = connect(database).await;
        let done = queue.transaction(async |connection| {
            AnsiTransactionManager::rollback_transaction(connection).await?;
            Ok::<_, Error>(())
        });
        assert_eq!(done.await.unwrap_err().kind(), ErrorKind::InvalidArgument);
        queue.send("q", &1).await.unwrap();
    });
}

#[test]
fn a_test_transaction_of_diesels_holds_all_that_a_queue_commits() {
    on_a_database(async |database| {
        // The setup of an application's tests: one connection, in a transaction that is never committed.
        let mut config = ManagerConfig::<AsyncPgConnection>::default();
        config.custom_setup = Box::new(|url| {
            let url = url.to_owned();
            Box::pin(async move {
                let mut connection = AsyncPgConnection::establish(&url).await?;
                let begun = connection.begin_test_transaction().await;
                begun.map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
                Ok(connection)
            })
        });
        let manager = AsyncDieselConnectionManager::new_with_config(database.url(), config);
        let pool: Pool = bb8::Pool::builder().max_size(1).build(manager).await.unwrap();
        let queue = PGMQueue::from(pool);
        let send =
            async || queue.transaction(async |connection| queue.with(connection).send("q", &1).await).await;
        send().await.unwrap();
        let failed: Result<(), Error> = queue
            .transaction(async |connection| {
                queue.with(connection).send("q", &2).await?;
                Err(diesel::result::Error::RollbackTransaction.into())
            })
            .await;
        failed.unwrap_err();
        let options = TransactionOptions::new().isolation(IsolationLevel::Serializable);
        let refused: Result<i64, _> = queue
            .transaction_with(&options, async |connection| queue.with(connection).send("q", &3).await)
            .await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidArgument);
        send().await.unwrap();
        assert_eq!(length(&queue).await, 2);
        assert_eq!(length(&connect(database).await).await, 0);
    });
}
