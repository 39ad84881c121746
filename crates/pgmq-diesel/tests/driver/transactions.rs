//! Diesel's own transactions, and the queue's.

use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::r2d2::{ConnectionManager, TestCustomizer};
use diesel::{Connection, PgConnection};
use pgmq_diesel::{Error, ErrorKind, IsolationLevel, PGMQueue, Pool, TransactionOptions};

use crate::support::{connect, on_a_database, through_a_proxy};

fn length(queue: &PGMQueue) -> i64 {
    queue.metrics("q").unwrap().queue_length
}

#[test]
fn diesels_transactions_nest_in_the_queues() {
    on_a_database(|database| {
        let queue = connect(database);
        let done = queue.transaction(|connection| {
            queue.with(connection).send("q", "outer")?;
            let undone = connection.transaction(|connection| {
                queue.with(connection).send("q", "undone")?;
                queue.with(connection).send("missing", &1)
            });
            assert_eq!(undone.unwrap_err().kind(), ErrorKind::QueueNotFound);
            connection.transaction(|connection| queue.with(connection).send("q", "inner"))
        });
        done.unwrap();
        let messages = queue.peek::<String>("q", 10).unwrap();
        let texts: Vec<_> = messages.into_iter().map(|message| message.message).collect();
        assert_eq!(texts, ["outer", "inner"]);
    });
}

#[test]
fn operations_take_part_in_diesels_transaction() {
    on_a_database(|database| {
        let queue = connect(database);
        let mut connection = PgConnection::establish(database.url()).unwrap();
        for fails in [true, false] {
            let done = connection.transaction(|connection| {
                queue.with(connection).send("q", &1)?;
                match fails {
                    true => Err(Error::from(diesel::result::Error::RollbackTransaction)),
                    false => Ok(()),
                }
            });
            assert_eq!(done.is_err(), fails);
            assert_eq!(length(&queue), i64::from(!fails));
        }
    });
}

#[test]
fn a_transaction_that_its_closure_has_ended_is_an_error() {
    on_a_database(|database| {
        let queue = connect(database);
        let done = queue.transaction(|connection| {
            AnsiTransactionManager::rollback_transaction(connection)?;
            Ok::<_, Error>(())
        });
        assert_eq!(done.unwrap_err().kind(), ErrorKind::InvalidArgument);
        queue.send("q", &1).unwrap();
    });
}

#[test]
fn a_queues_commits_stay_inside_diesels_test_transaction() {
    on_a_database(|database| {
        // The pool of an application's tests: one connection, in a transaction that is never committed.
        let manager = ConnectionManager::new(database.url());
        let customizer = Box::new(TestCustomizer);
        let pool = Pool::builder().max_size(1).connection_customizer(customizer).build(manager).unwrap();
        let queue = PGMQueue::from(pool);
        let send = || queue.transaction(|connection| queue.with(connection).send("q", &1));
        send().unwrap();
        let failed: Result<(), Error> = queue.transaction(|connection| {
            queue.with(connection).send("q", &2)?;
            Err(diesel::result::Error::RollbackTransaction.into())
        });
        failed.unwrap_err();
        let options = TransactionOptions::new().isolation(IsolationLevel::Serializable);
        let refused: Result<i64, _> =
            queue.transaction_with(&options, |connection| queue.with(connection).send("q", &3));
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidArgument);
        send().unwrap();
        assert_eq!(length(&queue), 2);
        assert_eq!(length(&connect(database)), 0);
    });
}

/// Makes the commit of an inserted message fail.
const REFUSE_AT_COMMIT: &str = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
     $$ BEGIN RAISE EXCEPTION 'refused at commit'; END $$; \
     CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON pgmq.q_q \
     DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()";

#[test]
fn an_error_at_commit_is_the_error_of_the_operation() {
    on_a_database(|database| {
        let queue = connect(database);
        database.execute(REFUSE_AT_COMMIT).unwrap();
        // The error comes after the server has returned an id.
        for result in [
            queue.send("q", &1).map(drop),
            queue.send_batch("q", &[1, 2]).map(drop),
            queue.transaction(|connection| queue.with(connection).send("q", &1).map(drop)),
        ] {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Database);
            assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "refused at commit");
        }
        assert_eq!(length(&queue), 0);
    });
}

#[test]
fn savepoints_that_a_closure_leaves_open_end_with_its_transaction() {
    on_a_database(|database| {
        let queue = connect(database);
        for fails in [true, false] {
            let done = queue.transaction(|connection| {
                AnsiTransactionManager::begin_transaction(connection)?;
                queue.with(connection).send("q", &1)?;
                match fails {
                    true => Err(Error::from(diesel::result::Error::RollbackTransaction)),
                    false => Ok(()),
                }
            });
            assert_eq!(done.is_err(), fails);
            queue.session().unwrap().batch_execute("SELECT").unwrap();
            assert_eq!(length(&queue), i64::from(!fails));
        }
    });
}

#[test]
fn a_session_that_refuses_writes_is_replaced_if_the_closure_ignores_the_refusal() {
    on_a_database(|database| {
        let queue = connect(database);
        let read_only = "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY";
        queue.session().unwrap().batch_execute(read_only).unwrap();
        // The commit fails, and does not tell why.
        let done = queue.transaction(|connection| {
            queue.with(connection).send("q", &1).unwrap_err();
            Ok::<_, Error>(())
        });
        done.unwrap_err();
        queue.transaction(|connection| queue.with(connection).send("q", &1)).unwrap();
    });
}

#[test]
fn a_loss_that_only_the_check_of_a_failed_transaction_finds_casts_doubt_on_the_other_sessions() {
    on_a_database(|database| {
        let (proxy, builder) = through_a_proxy(database);
        let queue = builder.pool_size(2).connect().unwrap();
        // Both connections have run the statement, before which the server is therefore not pinged.
        drop([queue.session().unwrap(), queue.session().unwrap()]);
        let other = queue.session().unwrap();
        queue.send("q", &1).unwrap();
        let another = queue.session().unwrap();
        drop(other);
        queue.send("q", &1).unwrap();
        drop(another);

        let failed = queue.transaction(|connection| {
            proxy.cut();
            // The name is refused before anything is sent.
            queue.with(connection).send("", &1)
        });
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::InvalidArgument);
        queue.send("q", &1).unwrap();
    });
}
