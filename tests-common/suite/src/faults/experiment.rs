//! An experiment: a fault is injected under load, and then the ledger is checked.

use std::{
    panic::resume_unwind,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use pgmq_core::{AsyncQueue, NotifyOptions};

use crate::{
    faults::{
        fault::{Detection, Fault, LIMIT_OF_WAITS, USABLE, are_asked_for},
        ledger::QueueContents,
        report::Report,
        snapshot::{ResourceSnapshot, memory},
        test_bed::TestBed,
        workload::{Workload, lock},
    },
    kit::{
        backend::{Backend, Builder},
        context::QUEUE,
        failure::{Failure, Outcome},
        runtime::Runtime,
    },
};

/// Size of the pool, smaller than the number of workers.
const POOL: u32 = 4;

/// Minimum number of messages that are sent and confirmed: in an ordinary run, and in a full run.
const MESSAGES: (usize, usize) = (100, 1000);

/// Time limit after a fault until the listener has been notified again. Its backoff between attempts to
/// connect is up to ten seconds.
const NOTIFIED: Duration = Duration::from_secs(40);

/// Limit of the process' growth, in KiB. Most of it is the ledger.
const GROWTH: i64 = 64 << 10;

/// Parameters of a URL that have the system detect within seconds that the server has disappeared.
/// `pgmq-sqlx` ignores them.
const QUICK_DETECTION: &str = "keepalives_idle=1&keepalives_interval=1&tcp_user_timeout=2000";

/// Runs the experiment of a fault.
pub(crate) fn run<B: Backend>(fault: &'static Fault) -> Result<Report, Failure> {
    let bed = Arc::new(TestBed::create(fault.via)?);
    B::block_on(async {
        let before = ResourceSnapshot::take(B::Runtime::tasks());
        let queue = builder::<B>(fault, &bed).connect().await?;
        queue.enable_notify_with(QUEUE, &NotifyOptions::new()).await?;
        let listener = B::listen(&queue, &[QUEUE]).await?;

        let workload = Workload::new(fault);
        let injected = thread::spawn({
            let (bed, workload) = (Arc::clone(&bed), Arc::clone(&workload));
            move || inject::<B>(fault, &bed, &workload)
        });
        B::join_all(workload.workers::<B>(&queue, listener)).await;
        let injected = injected.join().unwrap_or_else(|panic| resume_unwind(panic));
        let unexplained = workload.unexplained();
        assert!(unexplained.is_empty(), "errors that the fault does not explain: {unexplained:#?}");
        let mut report = injected?;

        assert_sessions_drop_to::<B>(&bed, POOL as usize, "with the pool still open").await?;
        let contents = bed.queue_contents()?;
        check(fault, &workload, &contents, &mut report);
        assert_hidden_messages_return::<B>(&queue, &workload, &contents).await?;

        B::close(queue).await;
        assert_sessions_drop_to::<B>(&bed, 0, "after the queue was closed").await?;
        // The proxy holds the files of all its connections until it cuts them.
        bed.proxy.cut();
        ResourceSnapshot::assert_returns_to(before.and(B::LINGERERS), B::Runtime::tasks);
        Ok(report)
    })
}

fn builder<B: Backend>(fault: &Fault, bed: &TestBed) -> B::Builder {
    let builder = B::builder().pool_size(POOL).idle_timeout(Duration::from_secs(600));
    let builder = builder.acquire_timeout(LIMIT_OF_WAITS).connect_timeout(LIMIT_OF_WAITS);
    match fault.detection {
        Detection::NotNeeded | Detection::Default => builder.url(bed.url()),
        // The listener does without the system's detection: where something answers for a server that has
        // disappeared, only its own check finds that out.
        Detection::Quick => builder
            .url(&format!("{}?{}", bed.url(), QUICK_DETECTION))
            .listen_url(bed.url())
            .listener_check_interval(LIMIT_OF_WAITS),
    }
}

/// Waits until at most `count` sessions are left. The server ends a session some time after its client has
/// closed the connection.
async fn assert_sessions_drop_to<B: Backend>(bed: &TestBed, count: usize, when: &str) -> Outcome {
    let started = Instant::now();
    loop {
        let sessions = bed.statements()?;
        if sessions.len() <= count {
            return Ok(());
        }
        assert!(started.elapsed() < USABLE, "more than {count} sessions are left {when}: {sessions:?}");
        B::sleep(Duration::from_millis(10)).await;
    }
}

/// Injects the fault and waits until all workers have recovered, once per round. Then ends the workload.
fn inject<B: Backend>(fault: &Fault, bed: &TestBed, workload: &Workload) -> Result<Report, Failure> {
    let mut end = EndOnDrop { workload, bed, is_complete: false };
    let rounds = fault.rounds();
    let messages = if are_asked_for() { MESSAGES.1 } else { MESSAGES.0 };
    // The thread of a blocking listener that has sent a check holds the connection until the system ends it.
    let left_to_the_system = usize::from(B::Runtime::BLOCKS);
    let (usable, notified) = (USABLE + fault.detection.limit(), NOTIFIED + fault.detection.limit());
    let mut report = Report { fault: fault.name.to_owned(), strikes: rounds, ..Report::default() };
    wait(workload, USABLE, "succeeded", || {
        workload.all_have_succeeded_since(1) && workload.was_notified_since(1)
    })?;
    let mut memory_at_start = None;
    for round in 0..rounds {
        (fault.inject)(bed, round)?;
        let healed = workload.now();
        let back = wait(workload, usable, "succeeded again", || workload.all_have_succeeded_since(healed))?;
        let left = notified.saturating_sub(back);
        let heard = wait(workload, left, "been notified again", || workload.was_notified_since(healed))?;
        wait(workload, usable, "closed their silent connections", || {
            bed.proxy.swallowed().is_ok_and(|swallowed| swallowed <= left_to_the_system)
        })?;
        bed.proxy.close_swallowed();
        report.back_after = report.back_after.max(millis(back));
        report.heard_after = report.heard_after.max(millis(back + heard));
        // Frees the recorded traffic, which nothing reads.
        bed.proxy.reset();
        memory_at_start.get_or_insert_with(memory);
    }
    wait(workload, USABLE, "sent enough", || lock(&workload.ledger).messages() >= messages)?;
    report.grown = memory() - memory_at_start.unwrap_or_default();
    assert!(report.grown < GROWTH, "the process has grown by {} KiB", report.grown);
    end.is_complete = true;
    Ok(report)
}

/// Ends the workload when dropped, so that it also ends if an injection fails.
struct EndOnDrop<'e> {
    workload: &'e Workload,
    bed: &'e TestBed,
    is_complete: bool,
}

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        if self.is_complete {
            self.workload.end();
        } else {
            self.workload.abandon();
        }
        // A blocking call on one of them would never return.
        self.bed.proxy.close_swallowed();
    }
}

/// Waits until the workers satisfy a condition, and returns the waiting time.
fn wait(
    workload: &Workload,
    limit: Duration,
    done: &str,
    condition: impl Fn() -> bool,
) -> Result<Duration, Failure> {
    let started = Instant::now();
    while !condition() {
        let unexplained = workload.unexplained();
        assert!(unexplained.is_empty(), "errors that the fault does not explain: {unexplained:#?}");
        assert!(
            started.elapsed() < limit,
            "not all workers have {done} within {limit:?}; errors: {:?}",
            workload.errors()
        );
        thread::sleep(Duration::from_millis(2));
    }
    Ok(started.elapsed())
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Checks the ledger against the contents of the queue, and copies its numbers to the report.
fn check(fault: &Fault, workload: &Workload, contents: &QueueContents, report: &mut Report) {
    let ledger = lock(&workload.ledger);
    let violations = ledger.violations(contents);
    assert!(violations.is_empty(), "{violations:#?}");
    let doubts = ledger.doubts();
    report.messages = ledger.messages();
    report.in_doubt = [doubts.sends, doubts.reads, doubts.pops, doubts.finishes];
    report.hidden = ledger.hidden(contents).len();
    report.popped = ledger.missing(contents).len();
    report.errors = workload.errors();
    let occurred = |kind: &&str| report.errors.keys().any(|error| error.starts_with(*kind));
    let all_occurred = fault.expected.iter().all(occurred);
    assert!(all_occurred, "not all of {:?} are among the errors {:?}", fault.expected, report.errors);
    let had_effect = !report.errors.is_empty() || workload.reconnections() > 0;
    assert!(had_effect || fault.is_gentle, "the fault had no effect on any worker");
}

/// Asserts that messages that were hidden by reads in doubt are not lost: once visible, they can be read.
async fn assert_hidden_messages_return<B: Backend>(
    queue: &B::Queue,
    workload: &Workload,
    contents: &QueueContents,
) -> Outcome {
    let hidden: Vec<_> = lock(&workload.ledger).hidden(contents).iter().map(|seen| seen.id).collect();
    for &id in &hidden {
        queue.set_vt::<u64>(QUEUE, id, 0).await?;
    }
    let mut returned = Vec::new();
    while let Some(message) = queue.read::<u64>(QUEUE, 600).await? {
        returned.push(message.msg_id);
    }
    // A send in doubt may have added a message meanwhile.
    let missing: Vec<_> = hidden.iter().filter(|id| !returned.contains(id)).collect();
    assert!(missing.is_empty(), "these messages did not return: {missing:?}");
    Ok(())
}
