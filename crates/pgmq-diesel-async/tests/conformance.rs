//! Runs the conformance suite against this back end.

#![allow(clippy::expect_used, reason = "a failed test panics")]

use std::process::ExitCode;

use diesel_async::{
    AnsiTransactionManager, AsyncConnection, AsyncPgConnection, SimpleAsyncConnection, TransactionManager,
    pooled_connection::AsyncDieselConnectionManager,
};
use pgmq_diesel_async::{Error, PGMQueue, Session, TransactionOptions, bb8};
use pgmq_test_suite::{
    Backend, Failure, Outcome, Pooled, QueueCase, QueueUnderTest, Step, TestContext, UserError,
};

fn main() -> ExitCode {
    pgmq_test_suite::run::<DieselAsync>()
}

struct DieselAsync;

pgmq_test_suite::client!(async pgmq_diesel_async for DieselAsync);

impl Backend for DieselAsync {
    // Diesel returns the server's message without its SQLSTATE. The codes of PGMQ and of the server itself
    // are inferred.
    const HIDDEN_SQLSTATES: &'static [&'static str] = &["MINE1"];
    // diesel-async prepares every statement under a name, in a separate round trip, even if it is not kept.
    const BEHIND_POOLERS: Pooled = Pooled::No;

    // The task that closes idle connections ends at its next check, in half a minute at most.
    const LINGERERS: usize = 1;

    async fn transaction(queue: &PGMQueue, steps: &[Step]) -> Result<(), UserError<Error>> {
        queue.transaction(async |connection| run_steps(queue, connection, steps).await).await
    }

    async fn transaction_with(
        queue: &PGMQueue,
        options: &TransactionOptions,
        steps: &[Step],
    ) -> Result<(), UserError<Error>> {
        queue.transaction_with(options, async |connection| run_steps(queue, connection, steps).await).await
    }

    async fn in_transaction(queue: &PGMQueue, context: &TestContext<'_>, case: &impl QueueCase) -> Outcome {
        let mut session = queue.session().await?;
        AnsiTransactionManager::begin_transaction(&mut *session).await?;
        let outcome = case.run(&QueueUnderTest::in_transaction(&queue.with(&mut session), context)).await;
        // Fails if the case has lost the connection, which also rolls back.
        let _ = AnsiTransactionManager::rollback_transaction(&mut *session).await;
        outcome
    }

    async fn on_connection(queue: &PGMQueue, context: &TestContext<'_>, case: &impl QueueCase) -> Outcome {
        let mut connection = AsyncPgConnection::establish(context.url()).await?;
        case.run(&QueueUnderTest::new(&queue.with(&mut connection), context)).await
    }

    async fn driver_pool(url: &str, size: u32) -> Result<Self::Pool, Failure> {
        let manager = AsyncDieselConnectionManager::new(url);
        Ok(bb8::Pool::builder().max_size(size).build(manager).await?)
    }

    fn connections(pool: &Self::Pool) -> u32 {
        pool.state().connections
    }

    async fn execute_on_pool(pool: &Self::Pool, sql: &str) -> Outcome {
        Ok(pool.get().await?.batch_execute(sql).await?)
    }

    async fn execute_on_session(session: &mut Session, sql: &str) -> Outcome {
        Ok(session.batch_execute(sql).await?)
    }
}

/// Runs the steps of a transaction.
async fn run_steps(
    queue: &PGMQueue,
    connection: &mut AsyncPgConnection,
    steps: &[Step],
) -> Result<(), UserError<Error>> {
    for step in steps {
        match *step {
            Step::Execute(sql) => connection.batch_execute(sql).await.map_err(Error::from)?,
            Step::Send(to) => drop(queue.with(connection).send(to, &1).await?),
            Step::SendNumber(to, n) => drop(queue.with(connection).send(to, &n).await?),
            Step::TryToSend(to) => drop(queue.with(connection).send(to, &1).await),
            Step::GiveUp => return Err(UserError::GaveUp),
            Step::Panic => panic!("intended by the case"),
        }
    }
    Ok(())
}
