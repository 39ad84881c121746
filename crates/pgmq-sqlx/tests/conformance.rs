//! The conformance suite of all back ends, against this one.

#![allow(clippy::expect_used, reason = "a panic is how a test fails")]

use std::{pin::Pin, process::ExitCode, time::Duration};

use futures_core::Stream;
use pgmq_core::{AsyncQueue, Installation, Notification, Output, Statement, prelude::*};
use pgmq_sqlx::sqlx::{self, AssertSqlSafe, Connection, PgConnection, postgres::PgPoolOptions};
use pgmq_sqlx::{BoundQueue, Error, PGMQueue, Session};
use tests_common::conformance::{
    self, Backend, Failure, Outcome, Pooled, QueueCase, Step, Subject, UserError, World,
};

fn main() -> ExitCode {
    conformance::run::<Sqlx>()
}

struct Sqlx;

#[derive(Clone, Debug)]
struct Queue(PGMQueue);

impl AsyncQueue for Queue {
    type Error = Error;

    fn run<O: Output>(&self, statement: Statement<'_, O>) -> impl Future<Output = Result<O, Error>> + Send {
        self.0.run(statement)
    }

    pgmq_core::operations!(tests_common::async_methods);
}

struct Bound<'c>(BoundQueue<'c>);

impl AsyncQueue for Bound<'_> {
    type Error = Error;

    fn run<O: Output>(&self, statement: Statement<'_, O>) -> impl Future<Output = Result<O, Error>> + Send {
        self.0.run(statement)
    }

    pgmq_core::operations!(tests_common::async_methods);
}

struct Builder(pgmq_sqlx::Builder);

impl conformance::Builder for Builder {
    type Queue = Queue;
    type Error = Error;

    tests_common::builder_setters!();

    async fn connect(self) -> Result<Queue, Error> {
        self.0.connect().await.map(Queue)
    }
}

struct Listener(pgmq_sqlx::Listener);

impl conformance::Listener for Listener {
    type Error = Error;

    async fn next_timeout(&mut self, limit: Duration) -> Result<Option<Notification>, Error> {
        self.0.next_timeout(limit).await
    }

    async fn next(&mut self) -> Option<Result<Notification, Error>> {
        std::future::poll_fn(|cx| Pin::new(&mut self.0).poll_next(cx)).await
    }
}

/// Has the driver keep no statements prepared.
fn keeping_none(url: &str) -> String {
    format!("{url}?statement-cache-capacity=0")
}

impl Backend for Sqlx {
    type Error = Error;
    type Queue = Queue;
    type Builder = Builder;
    type Pool = pgmq_sqlx::Pool;
    type Session = Session;
    type Listener = Listener;

    const LISTENS_FROM_ANY_POOL: bool = true;
    const TESTS_ON_RETURN: bool = true;
    // To begin, to see that nothing failed, and to commit.
    const ROUND_TRIPS_OF_TRANSACTION: usize = 3;
    const BEHIND_POOLERS: Pooled = Pooled::BySwitch;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime can be made").block_on(future)
    }

    fn builder() -> Builder {
        Builder(PGMQueue::builder())
    }

    async fn connect(url: &str) -> Result<Queue, Error> {
        PGMQueue::connect(url).await.map(Queue)
    }

    async fn connect_pooled(url: &str, pool_size: u32) -> Result<Queue, Failure> {
        Ok(Queue(PGMQueue::builder().url(keeping_none(url)).pool_size(pool_size).connect().await?))
    }

    async fn from_env() -> Result<Queue, Error> {
        PGMQueue::from_env().await.map(Queue)
    }

    fn from_pool(pool: Self::Pool) -> Queue {
        Queue(PGMQueue::from(pool))
    }

    fn listening_by(queue: Queue, url: &str) -> Queue {
        Queue(queue.0.listening_by(url))
    }

    async fn init(queue: &Queue) -> Result<(), Error> {
        queue.0.init().await
    }

    async fn version(queue: &Queue) -> Result<Installation, Error> {
        queue.0.version().await
    }

    fn pool(queue: &Queue) -> &Self::Pool {
        queue.0.pool()
    }

    async fn session(queue: &Queue) -> Result<Session, Error> {
        queue.0.session().await
    }

    async fn listen(queue: &Queue, to: &[&str]) -> Result<Listener, Error> {
        queue.0.listen(to).await.map(Listener)
    }

    async fn close(queue: Queue) {
        queue.0.close().await;
    }

    async fn transaction(queue: &Queue, steps: &[Step]) -> Result<(), UserError<Error>> {
        let Queue(queue) = queue;
        queue
            .transaction(async |transaction| {
                for step in steps {
                    match *step {
                        Step::Execute(sql) => {
                            sqlx::raw_sql(sql)
                                .execute(&mut **transaction)
                                .await
                                .map(drop)
                                .map_err(Error::from)?;
                        }
                        Step::Send(to) => drop(queue.with(transaction).send(to, &1).await?),
                        Step::TryToSend(to) => drop(queue.with(transaction).send(to, &1).await),
                        Step::GiveUp => return Err(UserError::GaveUp),
                        Step::Panic => panic!("this panic belongs to the case"),
                    }
                }
                Ok(())
            })
            .await
    }

    async fn in_transaction(queue: &Queue, world: &World<'_>, case: &impl QueueCase) -> Outcome {
        let mut transaction = queue.0.pool().begin().await?;
        case.run(&Subject::in_transaction(&Bound(queue.0.with(&mut transaction)), world)).await
    }

    async fn on_session(queue: &Queue, world: &World<'_>, case: &impl QueueCase) -> Outcome {
        let mut session = queue.0.session().await?;
        case.run(&Subject::new(&Bound(queue.0.with(&mut session)), world)).await
    }

    async fn on_connection(queue: &Queue, world: &World<'_>, case: &impl QueueCase) -> Outcome {
        let url = if world.is_pooled() { keeping_none(world.url()) } else { world.url().to_owned() };
        let mut connection = PgConnection::connect(&url).await?;
        case.run(&Subject::new(&Bound(queue.0.with(&mut connection)), world)).await
    }

    async fn driver_pool(url: &str, size: u32) -> Result<Self::Pool, Failure> {
        Ok(PgPoolOptions::new().max_connections(size).min_connections(size).connect(url).await?)
    }

    fn connections(pool: &Self::Pool) -> u32 {
        pool.size()
    }

    async fn execute_on_pool(pool: &Self::Pool, sql: &str) -> Outcome {
        Ok(sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await.map(drop)?)
    }

    async fn execute_on_session(session: &mut Session, sql: &str) -> Outcome {
        Ok(sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut **session).await.map(drop)?)
    }
}
