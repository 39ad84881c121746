//! A trial: a fault strikes while there is work, and then the books are checked.

use std::{
    panic::resume_unwind,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use pgmq_core::{AsyncQueue, NotifyOptions};

use super::{
    Fault, Tally, are_asked_for,
    census::{Census, memory},
    load::{LIMIT_OF_WAITS, Load, lock},
    model::Found,
    stage::Stage,
};
use crate::conformance::{Backend, Builder, Failure, Outcome, Q};

/// Fewer than there are workers.
const POOL: u32 = 4;

/// How many messages are sent and confirmed at least: in an ordinary run, and in a full one.
const MESSAGES: (usize, usize) = (100, 1000);

/// How soon after a fault every worker has to work again. A server that was frozen has much to do.
pub(super) const USABLE: Duration = Duration::from_secs(20);

/// How soon after a fault the listener has to hear again. It waits up to ten seconds between its attempts to connect.
const HEARD: Duration = Duration::from_secs(40);

/// By how many KiB the process may grow. What the ledger holds is the most of it.
const GROWTH: i64 = 64 << 10;

pub(super) fn run<B: Backend>(fault: &'static Fault) -> Result<Tally, Failure> {
    let stage = Arc::new(Stage::set(fault.way)?);
    B::block_on(async {
        let before = Census::take(B::tasks());
        let builder = B::builder().url(stage.url()).pool_size(POOL).idle_timeout(Duration::from_secs(600));
        let queue = builder.acquire_timeout(LIMIT_OF_WAITS).connect_timeout(LIMIT_OF_WAITS).connect().await?;
        queue.enable_notify_with(Q, &NotifyOptions::new()).await?;
        let listener = B::listen(&queue, &[Q]).await?;

        let load = Load::new(fault);
        let struck = thread::spawn({
            let (stage, load) = (Arc::clone(&stage), Arc::clone(&load));
            move || strike(fault, &stage, &load)
        });
        B::side_by_side(load.works::<B>(&queue, listener)).await;
        let struck = struck.join().unwrap_or_else(|panic| resume_unwind(panic));
        let unexplained = load.unexplained();
        assert!(unexplained.is_empty(), "errors that the fault does not explain: {unexplained:#?}");
        let mut tally = struck?;

        let sessions = stage.sessions()?.len();
        assert!(sessions <= POOL as usize, "{sessions} sessions are left, with a pool of {POOL}");
        let found = stage.find()?;
        check(fault, &load, &found, &mut tally);
        bring_back::<B>(&queue, &load, &found).await?;

        B::close(queue).await;
        let started = Instant::now();
        while !stage.sessions()?.is_empty() {
            assert!(started.elapsed() < USABLE, "sessions are left after the queue was closed");
            B::pause(Duration::from_millis(10)).await;
        }
        // It remembers all connections that it had.
        stage.proxy.cut();
        Census::returns_to(before.and(B::LINGERERS), B::tasks);
        Ok(tally)
    })
}

/// Lets the fault strike, waits until all work again, and so on; and then ends the work.
fn strike(fault: &Fault, stage: &Stage, load: &Load) -> Result<Tally, Failure> {
    let _end = End(load);
    let (rounds, messages) =
        if are_asked_for() { (fault.rounds.1, MESSAGES.1) } else { (fault.rounds.0, MESSAGES.0) };
    let mut tally = Tally { fault: fault.name.to_owned(), strikes: rounds, ..Tally::default() };
    wait(load, USABLE, "worked", || load.all_have_worked_since(1) && load.has_heard_since(1))?;
    let mut in_the_beginning = None;
    for round in 0..rounds {
        (fault.strike)(stage, round)?;
        let healed = load.now();
        let back = wait(load, USABLE, "worked again", || load.all_have_worked_since(healed))?;
        let heard = wait(load, HEARD, "heard again", || load.has_heard_since(healed))?;
        tally.back_after = tally.back_after.max(millis(back));
        tally.heard_after = tally.heard_after.max(millis(back + heard));
        // It records what goes through, and nobody wants to know.
        stage.proxy.reset();
        in_the_beginning.get_or_insert_with(memory);
    }
    wait(load, USABLE, "sent enough", || lock(&load.ledger).messages() >= messages)?;
    tally.grown = memory() - in_the_beginning.unwrap_or_default();
    assert!(tally.grown < GROWTH, "the process has grown by {} KiB", tally.grown);
    Ok(tally)
}

/// Ends the work, also when a fault could not strike.
struct End<'l>(&'l Load);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Waits until the workers have done something, and says how long that took.
fn wait(load: &Load, limit: Duration, done: &str, condition: impl Fn() -> bool) -> Result<Duration, Failure> {
    let started = Instant::now();
    while !condition() {
        let unexplained = load.unexplained();
        assert!(unexplained.is_empty(), "errors that the fault does not explain: {unexplained:#?}");
        assert!(
            started.elapsed() < limit,
            "not all have {done} within {limit:?}; errors: {:?}",
            load.errors()
        );
        thread::sleep(Duration::from_millis(2));
    }
    Ok(started.elapsed())
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Checks the books, and takes the numbers out of them.
fn check(fault: &Fault, load: &Load, found: &Found, tally: &mut Tally) {
    let ledger = lock(&load.ledger);
    let faults = ledger.faults(found);
    assert!(faults.is_empty(), "{faults:#?}");
    let doubts = ledger.doubts();
    tally.messages = ledger.messages();
    tally.in_doubt = [doubts.sends, doubts.reads, doubts.pops, doubts.finishes];
    tally.hidden = ledger.hidden(found).len();
    tally.popped = ledger.gone(found).len();
    tally.errors = load.errors();
    let is_said = |kind: &&str| tally.errors.keys().any(|error| error.starts_with(*kind));
    let says = fault.says.iter().all(is_said);
    assert!(says, "no error is of the kinds {:?}: {:?}", fault.says, tally.errors);
    let felt = !tally.errors.is_empty() || load.reconnections() > 0;
    assert!(felt || fault.is_gentle, "nobody has noticed the fault");
}

/// Shows that what reads in doubt have hidden is not lost: made visible, all of it can be read.
async fn bring_back<B: Backend>(queue: &B::Queue, load: &Load, found: &Found) -> Outcome {
    let hidden: Vec<_> = lock(&load.ledger).hidden(found).iter().map(|seen| seen.id).collect();
    for &id in &hidden {
        queue.set_vt::<u64>(Q, id, 0).await?;
    }
    let mut back = Vec::new();
    while let Some(message) = queue.read::<u64>(Q, 600).await? {
        back.push(message.msg_id);
    }
    // A send in doubt may have sent one more meanwhile.
    let missing: Vec<_> = hidden.iter().filter(|id| !back.contains(id)).collect();
    assert!(missing.is_empty(), "they do not come back: {missing:?}");
    Ok(())
}
