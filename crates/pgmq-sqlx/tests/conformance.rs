//! The conformance suite of all back ends, against this one.

#![allow(clippy::expect_used, reason = "a panic is how a test fails")]

use std::process::ExitCode;

use pgmq_core::backend::prelude::*;
use pgmq_sqlx::sqlx::{self, AssertSqlSafe, Connection, PgConnection, postgres::PgPoolOptions};
use pgmq_sqlx::{Error, Session};
use tests_common::conformance::{
    self, Backend, Failure, Outcome, Pooled, QueueCase, Step, Subject, UserError, World,
};

fn main() -> ExitCode {
    conformance::run::<Sqlx>()
}

struct Sqlx;

tests_common::adapters!(async pgmq_sqlx);

/// Has the driver keep no statements prepared.
fn keeping_none(url: &str) -> String {
    format!("{url}?statement-cache-capacity=0")
}

impl Backend for Sqlx {
    const REQUIRE_VERIFIES: bool = false;
    const LISTENS_FROM_ANY_POOL: bool = true;
    const TESTS_ON_RETURN: bool = true;
    const FOLLOWS_THE_PRIMARY: bool = false;
    // The thread that keeps the time is one for the whole process, and stays.
    const LINGERERS: usize = 1;
    // To begin, to see that nothing failed, and to commit.
    const ROUND_TRIPS_OF_TRANSACTION: usize = 3;
    const BEHIND_POOLERS: Pooled = Pooled::BySwitch;

    tests_common::backend_methods!(async pgmq_sqlx);

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
