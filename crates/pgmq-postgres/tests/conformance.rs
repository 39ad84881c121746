//! The conformance suite of all back ends, against this one.

use std::process::ExitCode;
use std::time::Duration;

use pgmq_core::backend::prelude::*;
use pgmq_postgres::{Error, Manager, Session, r2d2};
use tests_common::conformance::{
    self, Backend, Failure, Outcome, QueueCase, Step, Subject, UserError, World,
};

fn main() -> ExitCode {
    conformance::run::<Postgres>()
}

struct Postgres;

tests_common::adapters!(blocking pgmq_postgres);

impl Backend for Postgres {
    tests_common::backend_methods!(blocking pgmq_postgres);

    // What was used a moment ago is not looked at.
    const IDLE: Duration = Duration::from_millis(200);
    // The pool's threads end once they have looked for idle connections a last time, in half a minute at
    // most.
    const LINGERERS: usize = 3;

    async fn transaction(queue: &Queue, steps: &[Step]) -> Result<(), UserError<Error>> {
        let Queue(queue) = queue;
        queue.transaction(|transaction| {
            for step in steps {
                match *step {
                    Step::Execute(sql) => transaction.batch_execute(sql).map_err(Error::from)?,
                    Step::Send(to) => drop(queue.with(transaction).send(to, &1)?),
                    Step::TryToSend(to) => drop(queue.with(transaction).send(to, &1)),
                    Step::GiveUp => return Err(UserError::GaveUp),
                    Step::Panic => panic!("this panic belongs to the case"),
                }
            }
            Ok(())
        })
    }

    async fn in_transaction(queue: &Queue, world: &World<'_>, case: &impl QueueCase) -> Outcome {
        let mut session = queue.0.session()?;
        let mut transaction = session.transaction()?;
        case.run(&Subject::in_transaction(&Bound(queue.0.with(&mut transaction)), world)).await
    }

    async fn on_connection(queue: &Queue, world: &World<'_>, case: &impl QueueCase) -> Outcome {
        let mut client = postgres::Client::connect(world.url(), postgres::NoTls)?;
        case.run(&Subject::new(&Bound(queue.0.with(&mut client)), world)).await
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
