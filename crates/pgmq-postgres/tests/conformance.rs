//! The conformance suite of all back ends, against this one.

use std::{process::ExitCode, time::Duration};

use pgmq_core::{AsyncQueue, Installation, Notification, Output, Statement, prelude::*};
use pgmq_postgres::{BoundQueue, Error, Manager, PGMQueue, Queue as _, Session, r2d2};
use tests_common::conformance::{
    self, Backend, Failure, Outcome, QueueCase, Step, Subject, UserError, World,
};

fn main() -> ExitCode {
    conformance::run::<Postgres>()
}

struct Postgres;

#[derive(Clone, Debug)]
struct Queue(PGMQueue);

impl AsyncQueue for Queue {
    type Error = Error;

    fn run<O: Output>(&self, statement: Statement<'_, O>) -> impl Future<Output = Result<O, Error>> + Send {
        std::future::ready(self.0.run(statement))
    }

    pgmq_core::operations!(tests_common::blocking_methods);
}

struct Bound<'c>(BoundQueue<'c>);

impl AsyncQueue for Bound<'_> {
    type Error = Error;

    fn run<O: Output>(&self, statement: Statement<'_, O>) -> impl Future<Output = Result<O, Error>> + Send {
        std::future::ready(self.0.run(statement))
    }

    pgmq_core::operations!(tests_common::blocking_methods);
}

struct Builder(pgmq_postgres::Builder);

impl conformance::Builder for Builder {
    type Queue = Queue;
    type Error = Error;

    tests_common::builder_setters!();

    async fn connect(self) -> Result<Queue, Error> {
        self.0.connect().map(Queue)
    }
}

struct Listener(pgmq_postgres::Listener);

impl conformance::Listener for Listener {
    type Error = Error;

    async fn next_timeout(&mut self, limit: Duration) -> Result<Option<Notification>, Error> {
        self.0.next_timeout(limit)
    }

    async fn next(&mut self) -> Option<Result<Notification, Error>> {
        self.0.next()
    }
}

impl Backend for Postgres {
    type Error = Error;
    type Queue = Queue;
    type Builder = Builder;
    type Pool = pgmq_postgres::Pool;
    type Session = Session;
    type Listener = Listener;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        conformance::poll_once(future)
    }

    fn builder() -> Builder {
        Builder(PGMQueue::builder())
    }

    async fn connect(url: &str) -> Result<Queue, Error> {
        PGMQueue::connect(url).map(Queue)
    }

    async fn from_env() -> Result<Queue, Error> {
        PGMQueue::from_env().map(Queue)
    }

    fn from_pool(pool: Self::Pool) -> Queue {
        Queue(PGMQueue::from(pool))
    }

    fn listening_by(queue: Queue, url: &str) -> Queue {
        Queue(queue.0.listening_by(url))
    }

    async fn init(queue: &Queue) -> Result<(), Error> {
        queue.0.init()
    }

    async fn version(queue: &Queue) -> Result<Installation, Error> {
        queue.0.version()
    }

    fn pool(queue: &Queue) -> &Self::Pool {
        queue.0.pool()
    }

    async fn session(queue: &Queue) -> Result<Session, Error> {
        queue.0.session()
    }

    async fn listen(queue: &Queue, to: &[&str]) -> Result<Listener, Error> {
        queue.0.listen(to).map(Listener)
    }

    async fn close(queue: Queue) {
        queue.0.close();
    }

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

    async fn on_session(queue: &Queue, world: &World<'_>, case: &impl QueueCase) -> Outcome {
        let mut session = queue.0.session()?;
        case.run(&Subject::new(&Bound(queue.0.with(&mut session)), world)).await
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
