//! Runs the conformance suite against this back end.

use std::process::ExitCode;

use pgmq_diesel::{
    Error, PGMQueue, Session, TransactionOptions,
    diesel::{
        Connection as _, PgConnection,
        connection::{CacheSize, SimpleConnection},
    },
    r2d2::{self, ConnectionManager},
};
use pgmq_test_suite::{
    Backend, Blocking, Failure, Outcome, Pooled, QueueCase, QueueUnderTest, Step, TestContext, UserError,
};

fn main() -> ExitCode {
    pgmq_test_suite::run::<Diesel>()
}

struct Diesel;

pgmq_test_suite::client!(blocking pgmq_diesel for Diesel);

impl Backend for Diesel {
    const HIDDEN_SQLSTATES: &'static [&'static str] = &["MINE1"];
    const TLS_FEATURES: &'static [&'static str] = &["bundled"];
    const REQUIRE_VERIFIES: bool = false;
    // The bundled libpq cannot, and that of the system can.
    const VERIFIES_IPV6: bool = false;
    const BEHIND_POOLERS: Pooled = Pooled::BySwitch;

    // The pool's threads end after their next check for idle connections, in half a minute at most.
    const LINGERERS: usize = 3;

    async fn transaction(queue: &Blocking<PGMQueue>, steps: &[Step]) -> Result<(), UserError<Error>> {
        let Blocking(queue) = queue;
        queue.transaction(|connection| run_steps(queue, connection, steps))
    }

    async fn transaction_with(
        queue: &Blocking<PGMQueue>,
        options: &TransactionOptions,
        steps: &[Step],
    ) -> Result<(), UserError<Error>> {
        let Blocking(queue) = queue;
        queue.transaction_with(options, |connection| run_steps(queue, connection, steps))
    }

    async fn in_transaction(
        queue: &Blocking<PGMQueue>,
        context: &TestContext<'_>,
        case: &impl QueueCase,
    ) -> Outcome {
        let mut session = queue.0.session()?;
        let mut outcome = Ok(());
        let rolled_back: Result<(), _> = session.transaction(|connection| {
            let bound = Blocking(queue.0.with(connection));
            outcome = pgmq_test_suite::poll_once(case.run(&QueueUnderTest::in_transaction(&bound, context)));
            Err(diesel::result::Error::RollbackTransaction)
        });
        drop(rolled_back);
        outcome
    }

    async fn on_connection(
        queue: &Blocking<PGMQueue>,
        context: &TestContext<'_>,
        case: &impl QueueCase,
    ) -> Outcome {
        let mut connection = PgConnection::establish(context.url())?;
        if context.is_pooled() {
            connection.set_prepared_statement_cache_size(CacheSize::Disabled);
        }
        case.run(&QueueUnderTest::new(&Blocking(queue.0.with(&mut connection)), context)).await
    }

    async fn driver_pool(url: &str, size: u32) -> Result<Self::Pool, Failure> {
        let manager = ConnectionManager::new(url);
        Ok(r2d2::Pool::builder().max_size(size).build(manager)?)
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
    connection: &mut PgConnection,
    steps: &[Step],
) -> Result<(), UserError<Error>> {
    for step in steps {
        match *step {
            Step::Execute(sql) => connection.batch_execute(sql).map_err(Error::from)?,
            Step::Send(to) => drop(queue.with(connection).send(to, &1)?),
            Step::SendNumber(to, n) => drop(queue.with(connection).send(to, &n)?),
            Step::TryToSend(to) => drop(queue.with(connection).send(to, &1)),
            Step::GiveUp => return Err(UserError::GaveUp),
            Step::Panic => panic!("intended by the case"),
        }
    }
    Ok(())
}
