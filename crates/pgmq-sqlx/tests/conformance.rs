//! Runs the conformance suite against this back end.

#![allow(clippy::expect_used, reason = "a failed test panics")]

use std::process::ExitCode;

use pgmq_sqlx::{
    Error, PGMQueue, Session, Transaction, TransactionOptions,
    sqlx::{self, AssertSqlSafe, Connection, PgConnection, postgres::PgPoolOptions},
};
use pgmq_test_suite::{
    Backend, Failure, Outcome, Pooled, QueueCase, QueueUnderTest, Step, TestContext, UserError,
};

fn main() -> ExitCode {
    pgmq_test_suite::run::<Sqlx>()
}

struct Sqlx;

pgmq_test_suite::client!(async pgmq_sqlx for Sqlx);

/// Switches the driver's cache of prepared statements off.
fn without_statement_cache(url: &str) -> String {
    format!("{url}?statement-cache-capacity=0")
}

impl Backend for Sqlx {
    const REQUIRE_VERIFIES: bool = false;
    const LISTENS_FROM_ANY_POOL: bool = true;
    const TESTS_ON_RETURN: bool = true;
    const FOLLOWS_THE_PRIMARY: bool = false;
    // The timer thread belongs to the process, and stays.
    const LINGERERS: usize = 1;
    // BEGIN, the check that no statement failed, and COMMIT.
    const ROUND_TRIPS_OF_TRANSACTION: usize = 3;
    const BEHIND_POOLERS: Pooled = Pooled::BySwitch;

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
        let mut transaction = queue.pool().begin().await?;
        case.run(&QueueUnderTest::in_transaction(&queue.with(&mut transaction), context)).await
    }

    async fn on_connection(queue: &PGMQueue, context: &TestContext<'_>, case: &impl QueueCase) -> Outcome {
        let url = if context.is_pooled() {
            without_statement_cache(context.url())
        } else {
            context.url().to_owned()
        };
        let mut connection = PgConnection::connect(&url).await?;
        case.run(&QueueUnderTest::new(&queue.with(&mut connection), context)).await
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

/// Runs the steps of a transaction.
async fn run_steps(
    queue: &PGMQueue,
    transaction: &mut Transaction<'_>,
    steps: &[Step],
) -> Result<(), UserError<Error>> {
    for step in steps {
        match *step {
            Step::Execute(sql) => {
                sqlx::raw_sql(sql).execute(&mut **transaction).await.map(drop).map_err(Error::from)?;
            }
            Step::Send(to) => drop(queue.with(transaction).send(to, &1).await?),
            Step::SendNumber(to, n) => drop(queue.with(transaction).send(to, &n).await?),
            Step::TryToSend(to) => drop(queue.with(transaction).send(to, &1).await),
            Step::GiveUp => return Err(UserError::GaveUp),
            Step::Panic => panic!("intended by the case"),
        }
    }
    Ok(())
}
