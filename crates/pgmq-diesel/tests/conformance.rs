//! The conformance suite of all back ends, against this one.

use std::{process::ExitCode, time::Duration};

use pgmq_core::{AsyncQueue, Installation, Notification, Output, Statement, prelude::*};
use pgmq_diesel::{
    BoundQueue, Error, PGMQueue, Queue as _, Session,
    diesel::{
        Connection as _, PgConnection,
        connection::{CacheSize, SimpleConnection},
    },
    r2d2::{self, ConnectionManager, CustomizeConnection},
};
use tests_common::conformance::{
    self, Backend, Failure, Outcome, Pooled, QueueCase, Step, Subject, UserError, World,
};

fn main() -> ExitCode {
    conformance::run::<Diesel>()
}

struct Diesel;

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

struct Builder(pgmq_diesel::Builder);

impl conformance::Builder for Builder {
    type Queue = Queue;
    type Error = Error;

    tests_common::builder_setters!();

    async fn connect(self) -> Result<Queue, Error> {
        self.0.connect().map(Queue)
    }
}

struct Listener(pgmq_diesel::Listener);

impl conformance::Listener for Listener {
    type Error = Error;

    async fn next_timeout(&mut self, limit: Duration) -> Result<Option<Notification>, Error> {
        self.0.next_timeout(limit)
    }

    async fn next(&mut self) -> Option<Result<Notification, Error>> {
        self.0.next()
    }
}

#[derive(Debug)]
struct KeepNoStatements;

impl CustomizeConnection<PgConnection, r2d2::Error> for KeepNoStatements {
    fn on_acquire(&self, connection: &mut PgConnection) -> Result<(), r2d2::Error> {
        connection.set_prepared_statement_cache_size(CacheSize::Disabled);
        Ok(())
    }
}

impl Backend for Diesel {
    type Error = Error;
    type Queue = Queue;
    type Builder = Builder;
    type Pool = pgmq_diesel::Pool;
    type Session = Session;
    type Listener = Listener;

    const HIDDEN_SQLSTATES: &'static [&'static str] = &["MINE1"];
    const TLS_FEATURES: &'static [&'static str] = &["bundled"];
    const BEHIND_POOLERS: Pooled = Pooled::BySwitch;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        conformance::poll_once(future)
    }

    fn builder() -> Builder {
        Builder(PGMQueue::builder())
    }

    async fn connect(url: &str) -> Result<Queue, Error> {
        PGMQueue::connect(url).map(Queue)
    }

    async fn connect_pooled(url: &str, pool_size: u32) -> Result<Queue, Failure> {
        let builder = r2d2::Pool::builder().max_size(pool_size).min_idle(Some(1)).test_on_check_out(false);
        let builder = builder.connection_customizer(Box::new(KeepNoStatements));
        let queue = PGMQueue::from(builder.build(ConnectionManager::new(url))?);
        queue.init()?;
        Ok(Queue(queue))
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

    async fn on_session(queue: &Queue, world: &World<'_>, case: &impl QueueCase) -> Outcome {
        let mut session = queue.0.session()?;
        case.run(&Subject::new(&Bound(queue.0.with(&mut session)), world)).await
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
