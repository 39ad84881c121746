//! The conformance suite of all back ends, against this one.

use std::process::ExitCode;

use pgmq_core::backend::prelude::*;
use pgmq_diesel::{
    Error, Session,
    diesel::{
        Connection as _, PgConnection,
        connection::{CacheSize, SimpleConnection},
    },
    r2d2::{self, ConnectionManager},
};
use tests_common::conformance::{
    self, Backend, Failure, Outcome, Pooled, QueueCase, Step, Subject, UserError, World,
};

fn main() -> ExitCode {
    conformance::run::<Diesel>()
}

struct Diesel;

tests_common::adapters!(blocking pgmq_diesel);

impl Backend for Diesel {
    const HIDDEN_SQLSTATES: &'static [&'static str] = &["MINE1"];
    const TLS_FEATURES: &'static [&'static str] = &["bundled"];
    const REQUIRE_VERIFIES: bool = false;
    const BEHIND_POOLERS: Pooled = Pooled::BySwitch;

    tests_common::backend_methods!(blocking pgmq_diesel);

    // The pool's threads end once they have looked for idle connections a last time, in half a minute at
    // most.
    const LINGERERS: usize = 3;

    async fn transaction(queue: &Queue, steps: &[Step]) -> Result<(), UserError<Error>> {
        let Queue(queue) = queue;
        queue.transaction(|connection| {
            for step in steps {
                match *step {
                    Step::Execute(sql) => connection.batch_execute(sql).map_err(Error::from)?,
                    Step::Send(to) => drop(queue.with(connection).send(to, &1)?),
                    Step::TryToSend(to) => drop(queue.with(connection).send(to, &1)),
                    Step::GiveUp => return Err(UserError::GaveUp),
                    Step::Panic => panic!("this panic belongs to the case"),
                }
            }
            Ok(())
        })
    }

    async fn in_transaction(queue: &Queue, world: &World<'_>, case: &impl QueueCase) -> Outcome {
        let mut session = queue.0.session()?;
        let mut outcome = Ok(());
        let rolled_back: Result<(), _> = session.transaction(|connection| {
            let bound = Bound(queue.0.with(connection));
            outcome = conformance::poll_once(case.run(&Subject::in_transaction(&bound, world)));
            Err(diesel::result::Error::RollbackTransaction)
        });
        drop(rolled_back);
        outcome
    }

    async fn on_connection(queue: &Queue, world: &World<'_>, case: &impl QueueCase) -> Outcome {
        let mut connection = PgConnection::establish(world.url())?;
        if world.is_pooled() {
            connection.set_prepared_statement_cache_size(CacheSize::Disabled);
        }
        case.run(&Subject::new(&Bound(queue.0.with(&mut connection)), world)).await
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
