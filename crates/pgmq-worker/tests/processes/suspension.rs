//! A worker that is suspended for two visibility timeouts, while another worker takes its message.

use std::thread;
use std::time::{Duration, Instant};

use pgmq_worker::{Finished, Job, Outcome, Queue, Worker, sync};

use crate::bed::{Bed, wait_until};
use crate::process::{AsyncWorker, Process, task};

/// The worker that is suspended, and the one that takes over.
pub(crate) const TASK: &str = "suspended";
pub(crate) const OTHER: &str = "other";
/// Two workers that finish a message in their transactions.
pub(crate) const FINISHING: &str = "finishing";

const LIMIT: Duration = Duration::from_secs(60);
const VT: Duration = Duration::from_secs(2);

const LOG: &str = "INSERT INTO log VALUES ($1, $2)";
const EFFECT: &str = "INSERT INTO effects VALUES ($1)";
const MAY_END: &str = "SELECT EXISTS (SELECT FROM log WHERE event = 'may end')";

/// The retry of the worker that was suspended has no effect.
pub(crate) fn retry(shell: &str) {
    let bed = Bed::create(&["q"], "CREATE TABLE log (worker text, event text)");
    let logged = |worker: &str, event: &str| {
        bed.number(&format!("SELECT count(*) FROM log WHERE worker = '{worker}' AND event = '{event}'"))
    };
    let suspended = Process::start(TASK, shell, bed.database.url());
    bed.queue.send("q", &1).unwrap();
    wait_until("the handler runs", LIMIT, || logged(TASK, "begins") == 1);
    suspended.signal("STOP");
    let since = Instant::now();
    let _other = Process::start(OTHER, shell, bed.database.url());
    wait_until("another worker has the message", LIMIT, || logged(OTHER, "begins") == 1);
    thread::sleep((2 * VT).saturating_sub(since.elapsed()));
    suspended.signal("CONT");
    wait_until("the handler is cancelled", LIMIT, || logged(TASK, "LeaseLost") == 1);
    // Its retry would make the message visible, and the suspended worker would take it at once.
    thread::sleep(VT);
    assert_eq!(bed.number("SELECT count(*) FROM pgmq.q_q WHERE read_ct = 2 AND vt > now()"), 1);
    bed.database.execute("INSERT INTO log VALUES ('test', 'may end')").unwrap();
    wait_until("the other worker has finished the message", LIMIT, || bed.length("q") == 0);
    assert_eq!((logged(TASK, "begins"), logged(OTHER, "begins"), bed.length("q_dlq")), (1, 1, 0));
}

/// Both workers finish the message, each in its transaction: the effect of the first is there, and that of
/// the other is not.
pub(crate) fn finish(shell: &str) {
    let bed =
        Bed::create(&["q"], "CREATE TABLE log (worker text, event text); CREATE TABLE effects (worker text)");
    let suspended = Process::start(FINISHING, shell, bed.database.url());
    bed.queue.send("q", &1).unwrap();
    let logged = |event: &str| bed.number(&format!("SELECT count(*) FROM log WHERE event = '{event}'"));
    wait_until("the handler runs", LIMIT, || logged("begins") == 1);
    suspended.signal("STOP");
    let _other = Process::start(FINISHING, shell, bed.database.url());
    wait_until("another worker has the message", LIMIT, || logged("begins") == 2);
    bed.database.execute("INSERT INTO log VALUES ('test', 'may end')").unwrap();
    wait_until("it has finished the message", LIMIT, || bed.length("q") == 0);
    suspended.signal("CONT");
    wait_until("the other transaction is rolled back", LIMIT, || logged("AlreadyGone") == 1);
    assert_eq!(bed.number("SELECT count(*) FROM effects"), 1);
}

fn settings() -> Queue {
    Queue::new().vt(VT)
}

pub(crate) fn async_worker(url: String) -> AsyncWorker {
    Box::pin(async move {
        let queue = pgmq_tokio::PGMQueue::connect(&url).await.unwrap();
        let logging = queue.clone();
        let handler = move |job: Job<i64>| {
            let queue = logging.clone();
            async move {
                let session = queue.session().await?;
                session.execute(LOG, &[&task(), &"begins"]).await?;
                if task() == FINISHING {
                    let finished = queue
                        .transaction(async |transaction| -> Result<Finished, pgmq_tokio::Error> {
                            transaction.execute(EFFECT, &[&task()]).await?;
                            while !session.query_one(MAY_END, &[]).await?.get::<_, bool>(0) {
                                tokio::time::sleep(Duration::from_millis(20)).await;
                            }
                            job.finish_in(&queue.with(transaction)).await
                        })
                        .await;
                    if let Err(error) = &finished {
                        session.execute(LOG, &[&task(), &format!("{:?}", error.kind())]).await?;
                    }
                    return finished.map(Outcome::Finished);
                }
                if task() == OTHER {
                    while !session.query_one(MAY_END, &[]).await?.get::<_, bool>(0) {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    return Ok(Outcome::Done);
                }
                let reason = format!("{:?}", job.cancelled().await);
                session.execute(LOG, &[&task(), &reason]).await?;
                Ok::<_, pgmq_tokio::Error>(Outcome::retry_after(Duration::ZERO))
            }
        };
        Worker::builder(queue).queue("q", settings(), handler).start().await.unwrap()
    })
}

pub(crate) fn sync_worker(url: String) {
    let queue = pgmq_postgres::PGMQueue::connect(&url).unwrap();
    let logging = queue.clone();
    let handler = move |job: &sync::Job<i64>| {
        let mut session = logging.session()?;
        session.execute(LOG, &[&task(), &"begins"])?;
        if task() == FINISHING {
            let finished = logging.transaction(|transaction| -> Result<Finished, pgmq_postgres::Error> {
                transaction.execute(EFFECT, &[&task()])?;
                while !session.query_one(MAY_END, &[])?.get::<_, bool>(0) {
                    thread::sleep(Duration::from_millis(20));
                }
                job.finish_in(&logging.with(transaction))
            });
            if let Err(error) = &finished {
                session.execute(LOG, &[&task(), &format!("{:?}", error.kind())])?;
            }
            return finished.map(Outcome::Finished);
        }
        if task() == OTHER {
            while !session.query_one(MAY_END, &[])?.get::<_, bool>(0) {
                thread::sleep(Duration::from_millis(20));
            }
            return Ok(Outcome::Done);
        }
        let _ = job.sleep(Duration::MAX);
        let reason = format!("{:?}", job.cancel_reason().unwrap());
        session.execute(LOG, &[&task(), &reason])?;
        Ok::<_, pgmq_postgres::Error>(Outcome::retry_after(Duration::ZERO))
    };
    sync::Worker::builder(queue).queue("q", settings(), handler).start().unwrap().join();
}
