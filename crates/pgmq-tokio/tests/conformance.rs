//! Runs the conformance suite against this back end.

#![allow(clippy::expect_used, reason = "a failed test panics")]

use std::process::ExitCode;

use pgmq_test_suite::{Backend, Failure, Outcome, QueueCase, QueueUnderTest, Step, TestContext, UserError};
use pgmq_tokio::{Error, Manager, PGMQueue, Session, Transaction, TransactionOptions, bb8};

fn main() -> ExitCode {
    pgmq_test_suite::run::<Tokio>()
}

struct Tokio;

pgmq_test_suite::client!(async pgmq_tokio for Tokio);

impl Backend for Tokio {
    // The task that closes idle connections ends at its next check, in half a minute at most.
    const LINGERERS: usize = 1;

    async fn transaction(queue: &PGMQueue, steps: &[Step]) -> Result<(), UserError<Error>> {
        queue.transaction(async |transaction| run_steps(queue, transaction, steps).await).await
    }

    async fn transaction_with(
        queue: &PGMQueue,
        options: &TransactionOptions,
        steps: &[Step],
    ) -> Result<(), UserError<Error>> {
        queue.transaction_with(options, async |transaction| run_steps(queue, transaction, steps).await).await
    }

    async fn in_transaction(queue: &PGMQueue, context: &TestContext<'_>, case: &impl QueueCase) -> Outcome {
        let mut session = queue.session().await?;
        let mut transaction = session.transaction().await?;
        case.run(&QueueUnderTest::in_transaction(&queue.with(&mut transaction), context)).await
    }

    async fn on_connection(queue: &PGMQueue, context: &TestContext<'_>, case: &impl QueueCase) -> Outcome {
        let config: tokio_postgres::Config = context.url().parse()?;
        let (mut client, connection) = config.connect(tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        case.run(&QueueUnderTest::new(&queue.with(&mut client), context)).await
    }

    async fn driver_pool(url: &str, size: u32) -> Result<Self::Pool, Failure> {
        Ok(bb8::Pool::builder().max_size(size).build(Manager::new(url)?).await?)
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
    transaction: &mut Transaction<'_>,
    steps: &[Step],
) -> Result<(), UserError<Error>> {
    for step in steps {
        match *step {
            Step::Execute(sql) => transaction.batch_execute(sql).await.map_err(Error::from)?,
            Step::Send(to) => drop(queue.with(transaction).send(to, &1).await?),
            Step::SendNumber(to, n) => drop(queue.with(transaction).send(to, &n).await?),
            Step::TryToSend(to) => drop(queue.with(transaction).send(to, &1).await),
            Step::GiveUp => return Err(UserError::GaveUp),
            Step::Panic => panic!("intended by the case"),
        }
    }
    Ok(())
}
