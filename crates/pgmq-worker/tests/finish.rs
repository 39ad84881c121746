//! Jobs that finish their messages in transactions of the user, on a server.

#![allow(clippy::unwrap_used, reason = "a failed test panics")]

use std::sync::LazyLock;
use std::time::Duration;

use diesel::prelude::*;
use pgmq_core::{ErrorKind, Message, QueueError, RawJson};
use pgmq_test_server::{Database, Server};

use pgmq_worker::testing::TestJob;
use pgmq_worker::{AlreadyGone, Failure, Finished, Headers, Job, redrive, sync};

const VT: Duration = Duration::from_secs(30);

/// A database with the queues `q`, `q_dlq` and `next`, and the table `effects`.
fn database() -> Database {
    static SERVER: LazyLock<Server> =
        LazyLock::new(|| Server::obtain().unwrap_or_else(|error| panic!("{error:?}")));
    let database = SERVER.create_database().unwrap();
    database.execute("SELECT pgmq.create(name) FROM unnest('{q,q_dlq,next}'::text[]) AS name").unwrap();
    database.execute("CREATE TABLE effects (id bigint)").unwrap();
    database
}

/// Runs a test with a queue of the async back end, on a message that it has read.
fn with_a_job(test: impl AsyncFnOnce(pgmq_tokio::PGMQueue, Job<i32>)) {
    let database = database();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let queue = pgmq_tokio::PGMQueue::connect(database.url()).await.unwrap();
        let headers: RawJson = r#"{"total": 1.10}"#.parse().unwrap();
        let options = pgmq_core::SendOptions::new().headers(&headers);
        queue.send_with("q", &5, &options).await.unwrap();
        let message = queue.read("q", VT).await.unwrap().unwrap();
        test(queue.clone(), of(message).job().unwrap()).await;
        queue.close().await;
    });
}

fn of(message: Message<RawJson>) -> TestJob {
    TestJob::of(message).queue("q")
}

async fn effects(queue: &pgmq_tokio::PGMQueue) -> i64 {
    let session = queue.session().await.unwrap();
    session.query_one("SELECT count(*) FROM effects", &[]).await.unwrap().get(0)
}

async fn length(queue: &pgmq_tokio::PGMQueue, name: &str) -> i64 {
    queue.metrics(name).await.unwrap().queue_length
}

async fn book(queue: &pgmq_tokio::PGMQueue, job: &Job<i32>) -> Result<Finished, pgmq_tokio::Error> {
    queue
        .transaction(async |transaction| {
            transaction.execute("INSERT INTO effects VALUES ($1)", &[&i64::from(**job)]).await?;
            job.finish_in(&queue.with(transaction)).await
        })
        .await
}

fn assert_gone(error: &(impl QueueError + 'static)) {
    assert_eq!(error.kind(), ErrorKind::AlreadyGone);
    assert!(AlreadyGone::is_cause_of(error), "{error:?}");
    assert!(!error.is_transient(), "a retry finds the message gone as well");
}

#[test]
fn the_effect_and_the_end_of_the_message_are_committed_together() {
    with_a_job(async |queue, job| {
        let finished = book(&queue, &job).await.unwrap();
        assert_eq!((finished.msg_id(), finished.new_id()), (job.id(), None));
        assert_eq!((effects(&queue).await, length(&queue, "q").await), (1, 0));
    });
}

#[test]
fn the_effect_is_rolled_back_if_the_message_is_gone() {
    with_a_job(async |queue, job| {
        let _first = book(&queue, &job).await.unwrap();
        let error = book(&queue, &job).await.unwrap_err();
        assert_gone(&error);
        let text = Failure::from(error).to_string();
        assert!(text.contains("message 1 of queue \"q\" is gone"), "{text}");
        assert_eq!(effects(&queue).await, 1);
    });
}

#[test]
fn the_question_mark_works_with_any_error_of_the_closure() {
    #[derive(Debug, thiserror::Error)]
    #[error(transparent)]
    struct Own(#[from] pgmq_tokio::Error);

    impl From<pgmq_tokio::tokio_postgres::Error> for Own {
        fn from(error: pgmq_tokio::tokio_postgres::Error) -> Self {
            Self(error.into())
        }
    }

    macro_rules! finish_with {
        ($error:ty, $queue:expr, $job:expr) => {
            $queue.transaction(async |transaction| -> Result<Finished, $error> {
                transaction.execute("INSERT INTO effects VALUES (1)", &[]).await?;
                Ok($job.finish_in(&$queue.with(transaction)).await?)
            })
        };
    }

    with_a_job(async |queue, job| {
        assert!(finish_with!(Own, queue, job).await.is_ok());
        let error = finish_with!(anyhow::Error, queue, job).await.unwrap_err();
        assert!(error.chain().any(|error| error.is::<AlreadyGone>()), "{error:?}");
        let failure = finish_with!(Failure, queue, job).await.unwrap_err();
        assert!(failure.chain().any(|error| error.is::<AlreadyGone>()), "{failure:?}");
        assert_eq!(effects(&queue).await, 1);
    });
}

#[test]
fn a_handler_with_a_transaction_can_be_spawned() {
    fn is_send<T: Send>(future: T) -> T {
        future
    }
    with_a_job(async |queue, job| {
        assert!(is_send(book(&queue, &job)).await.is_ok());
    });
}

#[test]
fn archive_in_archives_with_the_transaction() {
    with_a_job(async |queue, job| {
        let archive = async || {
            queue.transaction(async |transaction| job.archive_in(&queue.with(transaction)).await).await
        };
        assert_eq!(archive().await.unwrap().msg_id(), job.id());
        let archived = queue.read_archive::<i32>("q", 0, 10).await.unwrap();
        assert_eq!((archived.len(), length(&queue, "q").await), (1, 0));
        assert_gone(&archive().await.unwrap_err());
    });
}

#[test]
fn dead_letter_in_keeps_the_headers_and_adds_the_reason() {
    with_a_job(async |queue, job| {
        let bury = async |why: &str| {
            queue
                .transaction(async |transaction| job.dead_letter_in(&queue.with(transaction), why).await)
                .await
        };
        let new_id = bury("no such address").await.unwrap().new_id().unwrap();
        let letter = queue.get::<i32>("q_dlq", new_id).await.unwrap().unwrap();
        let headers = Headers::parse(letter.headers.as_ref());
        assert_eq!(headers.get("total").unwrap().get(), "1.10");
        assert_eq!(headers.text("x-dlq-reason").as_deref(), Some("permanent"));
        assert_eq!(headers.text("x-dlq-error").as_deref(), Some("no such address"));
        assert_eq!(length(&queue, "q").await, 0);
        assert_gone(&bury("again").await.unwrap_err());
    });
}

#[test]
fn a_message_that_another_worker_has_read_is_not_moved() {
    with_a_job(async |queue, job| {
        queue.set_vt::<i32>("q", job.id(), 0).await.unwrap();
        queue.read::<i32>("q", VT).await.unwrap().unwrap();
        let moved =
            queue.transaction(async |transaction| job.dead_letter_in(&queue.with(transaction), "no").await);
        assert_gone(&moved.await.unwrap_err());
        let forwarded =
            queue.transaction(async |transaction| job.forward_in(&queue.with(transaction), "next", &1).await);
        assert_gone(&forwarded.await.unwrap_err());
        assert_eq!((length(&queue, "q").await, length(&queue, "next").await), (1, 0));
    });
}

#[test]
fn forward_in_sends_the_next_step_with_the_transaction() {
    with_a_job(async |queue, job| {
        let finished = queue
            .transaction(async |transaction| job.forward_in(&queue.with(transaction), "next", &[1, 2]).await)
            .await
            .unwrap();
        let next = queue.get::<Vec<i32>>("next", finished.new_id().unwrap()).await.unwrap().unwrap();
        assert_eq!((next.message, length(&queue, "q").await), (vec![1, 2], 0));
    });
}

#[test]
fn redriven_letters_are_back_in_their_queue_without_the_reason() {
    with_a_job(async |queue, job| {
        let buried =
            queue.transaction(async |transaction| job.dead_letter_in(&queue.with(transaction), "no").await);
        assert!(buried.await.is_ok());
        queue.send("q_dlq", &6).await.unwrap();
        assert_eq!(redrive(&queue, "q_dlq", "q", 1).await.unwrap(), 1);
        assert_eq!(redrive(&queue, "q_dlq", "q", 1000).await.unwrap(), 1);
        assert_eq!(redrive(&queue, "q_dlq", "q", 1000).await.unwrap(), 0);
        let back = queue.read_batch::<i32>("q", VT, 10).await.unwrap();
        let found: Vec<_> =
            back.iter().map(|back| (back.message, back.headers.as_ref().unwrap().to_string())).collect();
        let of_the_first = r#"{"total": 1.10, "x-dlq-redriven": 1}"#.to_owned();
        assert_eq!(found, [(5, of_the_first), (6, r#"{"x-dlq-redriven": 1}"#.to_owned())]);
        let same = redrive(&queue, "q", "Q", 1).await.unwrap_err();
        assert_eq!(same.kind(), ErrorKind::InvalidArgument);
    });
}

#[test]
fn a_sync_job_finishes_in_its_transaction_as_well() {
    let database = database();
    let queue = pgmq_diesel::PGMQueue::connect(database.url()).unwrap();
    let job = || -> sync::Job<i32> {
        queue.send("q", &5).unwrap();
        of(queue.read("q", VT).unwrap().unwrap()).sync_job().unwrap()
    };
    let book = |job: &sync::Job<i32>| -> Result<Finished, pgmq_diesel::Error> {
        queue.transaction(|connection| {
            diesel::sql_query("INSERT INTO effects VALUES (1)").execute(connection)?;
            job.finish_in(&queue.with(connection))
        })
    };
    let first = job();
    assert_eq!(book(&first).unwrap().msg_id(), first.id());
    assert_gone(&book(&first).unwrap_err());

    let anyhow = queue.transaction(|connection| -> anyhow::Result<Finished> {
        diesel::sql_query("INSERT INTO effects VALUES (1)").execute(connection)?;
        Ok(job().archive_in(&queue.with(connection))?)
    });
    assert!(anyhow.is_ok(), "{anyhow:?}");
    let buried = queue.transaction(|connection| job().dead_letter_in(&queue.with(connection), "no")).unwrap();
    assert!(buried.new_id().is_some());
    let forwarded =
        queue.transaction(|connection| job().forward_in(&queue.with(connection), "next", "step")).unwrap();
    assert!(forwarded.new_id().is_some());

    assert_eq!(sync::redrive(&queue, "q_dlq", "q", 10).unwrap(), 1);
    let lengths = ["q", "q_dlq", "next"].map(|name| queue.metrics(name).unwrap().queue_length);
    assert_eq!(lengths, [1, 0, 1]);
}
