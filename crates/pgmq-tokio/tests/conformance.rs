//! The conformance suite of all back ends, against this one.

#![allow(clippy::expect_used, reason = "a panic is how a test fails")]

use std::process::ExitCode;

use pgmq_core::backend::prelude::*;
use pgmq_tokio::{Error, Manager, Session, bb8};
use tests_common::conformance::{
    self, Backend, Failure, Outcome, QueueCase, Step, Subject, UserError, World,
};

fn main() -> ExitCode {
    conformance::run::<Tokio>()
}

struct Tokio;

tests_common::adapters!(async pgmq_tokio);

impl Backend for Tokio {
    tests_common::backend_methods!(async pgmq_tokio);

    // The task that closes idle connections notices at its next look, in half a minute at most, that the pool
    // is gone.
    const LINGERERS: usize = 1;

    async fn transaction(queue: &Queue, steps: &[Step]) -> Result<(), UserError<Error>> {
        let Queue(queue) = queue;
        queue
            .transaction(async |transaction| {
                for step in steps {
                    match *step {
                        Step::Execute(sql) => transaction.batch_execute(sql).await.map_err(Error::from)?,
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
        let mut session = queue.0.session().await?;
        let mut transaction = session.transaction().await?;
        case.run(&Subject::in_transaction(&Bound(queue.0.with(&mut transaction)), world)).await
    }

    async fn on_connection(queue: &Queue, world: &World<'_>, case: &impl QueueCase) -> Outcome {
        let config: tokio_postgres::Config = world.url().parse()?;
        let (mut client, connection) = config.connect(tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        case.run(&Subject::new(&Bound(queue.0.with(&mut client)), world)).await
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
