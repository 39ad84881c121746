//! Runs the conformance suite against this back end.

use std::process::ExitCode;
use std::time::Duration;

use pgmq_postgres::{Error, Manager, PGMQueue, Session, Transaction, TransactionOptions, r2d2};
use pgmq_test_suite::{
    Backend, Blocking, Failure, Outcome, QueueCase, QueueUnderTest, Step, TestContext, UserError,
};

fn main() -> ExitCode {
    pgmq_test_suite::run::<Postgres>()
}

struct Postgres;

pgmq_test_suite::client!(blocking pgmq_postgres for Postgres);

impl Backend for Postgres {
    // A connection that was used a moment ago is not checked.
    const IDLE: Duration = Duration::from_millis(200);
    // The pool's threads end after their next check for idle connections, in half a minute at most.
    const LINGERERS: usize = 3;

    async fn transaction(queue: &Blocking<PGMQueue>, steps: &[Step]) -> Result<(), UserError<Error>> {
        let Blocking(queue) = queue;
        queue.transaction(|transaction| run_steps(queue, transaction, steps))
    }

    async fn transaction_with(
        queue: &Blocking<PGMQueue>,
        options: &TransactionOptions,
        steps: &[Step],
    ) -> Result<(), UserError<Error>> {
        let Blocking(queue) = queue;
        queue.transaction_with(options, |transaction| run_steps(queue, transaction, steps))
    }

    async fn in_transaction(
        queue: &Blocking<PGMQueue>,
        context: &TestContext<'_>,
        case: &impl QueueCase,
    ) -> Outcome {
        let mut session = queue.0.session()?;
        let mut transaction = session.transaction()?;
        case.run(&QueueUnderTest::in_transaction(&Blocking(queue.0.with(&mut transaction)), context)).await
    }

    async fn on_connection(
        queue: &Blocking<PGMQueue>,
        context: &TestContext<'_>,
        case: &impl QueueCase,
    ) -> Outcome {
        let mut client = postgres::Client::connect(context.url(), postgres::NoTls)?;
        case.run(&QueueUnderTest::new(&Blocking(queue.0.with(&mut client)), context)).await
    }

    async fn driver_pool(url: &str, size: u32) -> Result<Self::Pool, Failure> {
        Ok(r2d2::Pool::builder().max_size(size).build(Manager::new(url)?)?)
    }

    fn connections(pool: &Self::Pool) -> u32 {
        pool.state().connections
    }

    async fn execute_on_pool(pool: &Self::Pool, sql: &str) -> Outcome {
        Ok(pool.get()?.batch_execute(sql)?)
    }

    async fn execute_on_session(session: &mut Session, sql: &str) -> Outcome {
        Ok(session.batch_execute(sql)?)
    }
}

/// Runs the steps of a transaction.
fn run_steps(
    queue: &PGMQueue,
    transaction: &mut Transaction<'_>,
    steps: &[Step],
) -> Result<(), UserError<Error>> {
    for step in steps {
        match *step {
            Step::Execute(sql) => transaction.batch_execute(sql).map_err(Error::from)?,
            Step::Send(to) => drop(queue.with(transaction).send(to, &1)?),
            Step::SendNumber(to, n) => drop(queue.with(transaction).send(to, &n)?),
            Step::TryToSend(to) => drop(queue.with(transaction).send(to, &1)),
            Step::GiveUp => return Err(UserError::GaveUp),
            Step::Panic => panic!("intended by the case"),
        }
    }
    Ok(())
}
