//! Workers in a world whose database fails all the time: no message is lost, and none is in two places.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pgmq_core::ErrorKind;
use pgmq_worker::testing::{Op, World};
use pgmq_worker::{Failure, Job, Outcome, Queue, Retry};

const SECOND: Duration = Duration::from_secs(1);
const OPS: [Op; 5] = [Op::Read, Op::Settle, Op::Extend, Op::NextDue, Op::Listen];
const KINDS: [ErrorKind; 4] =
    [ErrorKind::Connection, ErrorKind::Timeout, ErrorKind::QueueNotFound, ErrorKind::PermissionDenied];

/// The number of times that the handler has begun and ended with each message.
#[derive(Default)]
struct Runs {
    begun: BTreeMap<u64, u32>,
    ended: BTreeMap<u64, u32>,
}

async fn handle(job: Job<u64>, world: World, runs: Arc<Mutex<Runs>>) -> Result<Outcome, Failure> {
    let number = *job;
    *runs.lock().unwrap().begun.entry(number).or_default() += 1;
    world.sleep(Duration::from_millis(number * 7919 % 45_000)).await;
    let outcome = match number % 10 {
        0 => Err(Failure::from("always")),
        1 if job.reads() < 3 => Err("at first".into()),
        2 => Err(Failure::from("never").permanent()),
        3 if job.reads() == 1 => Ok(Outcome::snooze(SECOND * 20)),
        4 => Ok(Outcome::Archive),
        5 => Ok(Outcome::forward("next", &number)),
        // A long snooze sends the message again, with this header.
        6 if job.headers().get("x-attempts").is_none() => Ok(Outcome::snooze(SECOND * 100)),
        7 => Ok(Outcome::discard("not wanted")),
        _ => Ok(Outcome::Done),
    };
    *runs.lock().unwrap().ended.entry(number).or_default() += 1;
    outcome
}

async fn course(seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let world = World::with_queues(["q", "next"]);
    let runs = Arc::new(Mutex::new(Runs::default()));
    let settings =
        || Queue::new().timeout(SECOND * 40).grace(SECOND * 3).retry(Retry::fixed(SECOND * 5)).max_reads(20);
    let start = async || {
        let (clock, runs) = (world.clone(), Arc::clone(&runs));
        let handler = move |job: Job<u64>| handle(job, clock.clone(), Arc::clone(&runs));
        world.worker().queue("q", settings().concurrency(8), handler).start().await.unwrap()
    };
    let mut workers = vec![start().await, start().await];
    let sent = 150;
    for number in 0..sent {
        world.send("q", &number);
        if number % 3 == 0 {
            let (op, kind) = (OPS[rng.usize(0..OPS.len())], KINDS[rng.usize(0..KINDS.len())]);
            match rng.u32(0..6) {
                0 => world.fail_next(op, kind),
                1 => world.lose_next(op),
                2 => world.fail(op, kind),
                3 => world.recover(),
                4 => {
                    let messages = world.messages("q");
                    let message = &messages[rng.usize(0..messages.len())];
                    assert!(world.take_away("q", message.msg_id));
                }
                _ if number % 30 == 0 => {
                    // A deployment: an old worker stops, and a new one starts.
                    world.recover();
                    workers.push(start().await);
                    let old = workers.remove(0);
                    let report = world.run(old.stop()).await;
                    assert!(report.running.is_empty(), "{report:?}");
                }
                _ => {}
            }
        }
        world.pass(Duration::from_millis(rng.u64(0..3000))).await;
    }
    world.recover();
    // Messages that were read often are handled alone, so this takes long.
    let mut minutes = 0;
    while world.queue_length("q") > 0 && minutes < 12 * 60 {
        world.pass(SECOND * 60).await;
        minutes += 1;
    }

    let payloads = |messages: Vec<pgmq_core::Message<pgmq_core::RawJson>>| {
        let numbers = messages.iter().map(|message| message.message.parse::<u64>().unwrap());
        let mut numbers: Vec<_> = numbers.collect();
        numbers.sort_unstable();
        numbers
    };
    let (dead, archived) = (payloads(world.dead_letters("q")), payloads(world.archived("q")));
    let next = payloads(world.messages("next"));
    assert_eq!(world.queue_length("q"), 0, "seed {seed}: {:?}", world.messages("q"));
    let runs = std::mem::take(&mut *runs.lock().unwrap());
    for number in 0..sent {
        let places =
            [&dead, &archived, &next].map(|place| place.iter().filter(|one| **one == number).count());
        let begun = runs.begun.get(&number).copied().unwrap_or(0);
        let ended = runs.ended.get(&number).copied().unwrap_or(0);
        let context =
            format!("seed {seed}: message {number} in {places:?}, begun {begun} times, ended {ended}");
        match number % 10 {
            // A handler that is slower than its timeout never ends.
            _ if ended == 0 => assert_eq!(places, [1, 0, 0], "{context}"),
            0 | 2 => assert_eq!(places, [1, 0, 0], "{context}"),
            4 => assert_eq!(places, [0, 1, 0], "{context}"),
            5 => assert_eq!(places, [0, 0, 1], "{context}"),
            // Other messages may be dead letters after their reads: other workers have taken them.
            _ => assert!(places == [0, 0, 0] || places == [1, 0, 0], "{context}"),
        }
        assert!(begun > 0 || places[0] == 1, "{context}");
    }
    for worker in workers {
        let report = world.run(worker.stop()).await;
        assert!(report.is_clean(), "seed {seed}: {report:?}");
    }
}

#[tokio::test]
async fn no_message_is_lost_or_doubled_while_the_database_fails() {
    for seed in 0..8 {
        course(seed).await;
    }
}
