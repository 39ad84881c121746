//! The conformance suite of all back ends, against this one.

#![allow(clippy::expect_used, reason = "a panic is how a test fails")]

use std::process::ExitCode;

use diesel_async::{
    AnsiTransactionManager, AsyncConnection, AsyncPgConnection, SimpleAsyncConnection, TransactionManager,
    pooled_connection::AsyncDieselConnectionManager,
};
use pgmq_core::backend::prelude::*;
use pgmq_diesel_async::{Error, Session, bb8};
use tests_common::conformance::{
    self, Backend, Failure, Outcome, Pooled, QueueCase, Step, Subject, UserError, World,
};

fn main() -> ExitCode {
    conformance::run::<DieselAsync>()
}

struct DieselAsync;

tests_common::adapters!(async pgmq_diesel_async);

impl Backend for DieselAsync {
    // Diesel hands on what a server says, but not under which code; those of PGMQ and of the server itself are found again.
    const HIDDEN_SQLSTATES: &'static [&'static str] = &["MINE1"];
    // It prepares each statement in a round trip of its own, under a name, whether it is to be kept or not.
    const BEHIND_POOLERS: Pooled = Pooled::No;

    tests_common::backend_methods!(async pgmq_diesel_async);

    // The task that closes idle connections notices at its next look, in half a minute at most, that the pool is gone.
    const LINGERERS: usize = 1;

    async fn transaction(queue: &Queue, steps: &[Step]) -> Result<(), UserError<Error>> {
        let Queue(queue) = queue;
        queue
            .transaction(async |connection| {
                for step in steps {
                    match *step {
                        Step::Execute(sql) => connection.batch_execute(sql).await.map_err(Error::from)?,
                        Step::Send(to) => drop(queue.with(connection).send(to, &1).await?),
                        Step::TryToSend(to) => drop(queue.with(connection).send(to, &1).await),
                        Step::GiveUp => return Err(UserError::GaveUp),
                        Step::Panic => panic!("this panic belongs to the case"),
                    }
                }
                Ok(())
            })
            .await
    }

    async fn in_transaction(queue: &Queue, world: &World<'_>, case: &impl QueueCase) -> Outcome {
        let mut session = queue.0.session().await?;
        AnsiTransactionManager::begin_transaction(&mut *session).await?;
        let outcome = case.run(&Subject::in_transaction(&Bound(queue.0.with(&mut session)), world)).await;
        // The case may have lost the connection, and then it is rolled back already.
        let _ = AnsiTransactionManager::rollback_transaction(&mut *session).await;
        outcome
    }

    async fn on_connection(queue: &Queue, world: &World<'_>, case: &impl QueueCase) -> Outcome {
        let mut connection = AsyncPgConnection::establish(world.url()).await?;
        case.run(&Subject::new(&Bound(queue.0.with(&mut connection)), world)).await
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
