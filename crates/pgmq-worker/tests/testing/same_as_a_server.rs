//! Queues in memory and a server give the same answers.

use std::fmt::Debug;
use std::time::Duration;

use pgmq_core::{
    AsyncListen, AsyncListening, AsyncQueue, Claim, Message, Move, NotifyOptions, QueueError, RawJson,
    SendBatchOptions, SendOptions,
};
use pgmq_worker::testing::MemoryQueue;

use crate::support::on_a_database;

/// The answers, line by line.
#[derive(Default)]
struct Answers(Vec<String>);

impl Answers {
    /// Notes an answer, or the kind of its error.
    fn note<T: Debug, E: QueueError>(&mut self, what: &str, answer: Result<T, E>) {
        self.0.push(match answer {
            Ok(answer) => format!("{what}: {answer:?}"),
            Err(error) => format!("{what}: {:?}", error.kind()),
        });
    }
}

/// The parts of a message that do not depend on the clock: whether the times are in their order, and whether
/// it is hidden for the given number of seconds since it was read last.
fn shown(message: &Message<RawJson>) -> String {
    let hidden = message.last_read_at.map(|read| (message.vt - read).num_seconds());
    let headers = message.headers.as_ref().map(RawJson::get);
    let delayed = (message.vt - message.enqueued_at).num_seconds();
    let delayed = if hidden.is_none() { Some(delayed) } else { None };
    format!(
        "{} read {} payload {} headers {headers:?} hidden {hidden:?} delayed {delayed:?}",
        message.msg_id, message.read_ct, message.message
    )
}

fn all_shown<E>(messages: Result<Vec<Message<RawJson>>, E>) -> Result<Vec<String>, E> {
    messages.map(|messages| messages.iter().map(shown).collect())
}

/// The messages of a queue and of its archive.
async fn tables<Q: AsyncQueue>(queue: &Q, names: &[&str], answers: &mut Answers) {
    for name in names {
        for id in 1..=30 {
            let message = queue.get::<RawJson>(name, id).await;
            answers.note(&format!("{name} {id}"), message.map(|message| message.as_ref().map(shown)));
        }
        let archived = queue.read_archive::<RawJson>(name, 0, 100).await;
        let archived = archived.map(|all| all.into_iter().map(|one| one.message).collect::<Vec<_>>());
        answers.note(&format!("archive of {name}"), all_shown(archived));
        let metrics = queue.metrics(name).await;
        let metrics = metrics.map(|metrics| {
            (metrics.queue_name, metrics.queue_length, metrics.total_messages, metrics.queue_visible_length)
        });
        answers.note(&format!("metrics of {name}"), metrics);
    }
}

async fn scenario<Q: AsyncListen>(queue: &Q) -> Vec<String> {
    let mut answers = Answers::default();
    let a = &mut answers;
    a.note("missing queue", queue.send("missing", &1).await);
    a.note("missing to read", queue.read_batch::<RawJson>("missing", 30, 1).await);
    a.note("missing to settle", queue.delete_batch("missing", &[1]).await);
    a.note("missing to hold", queue.hold("missing", &[Claim::new(1, 1)], 30).await);
    a.note("missing due", queue.next_due("missing").await);
    a.note("exists not", queue.queue_exists("q_dlq").await);
    a.note("create", queue.create_queue("q_dlq").await);
    a.note("create twice", queue.create_queue("Q_DLQ").await);
    a.note("exists", queue.queue_exists("q_DLQ").await);
    a.note("bad name", queue.create_queue("no;name").await);
    a.note(
        "names",
        queue.list_queues().await.map(|all| all.into_iter().map(|q| q.queue_name).collect::<Vec<_>>()),
    );

    a.note("due of an empty queue", queue.next_due("q").await);
    let headers = serde_json::json!({"type": "a"});
    a.note("send", queue.send("q", "one").await);
    let object = serde_json::json!({"bb": 1, "a": [1.5, {"yy": null, "x": "\u{e9}"}], "c": {}});
    a.note("send an object", queue.send("q_dlq", &object).await);
    a.note("send with headers", queue.send_with("q", "two", &SendOptions::new().headers(&headers)).await);
    a.note("send delayed", queue.send_with("q", "three", &SendOptions::new().delay(600)).await);
    a.note("send batch", queue.send_batch("q", &[4, 5, 6]).await);
    let options =
        SendBatchOptions::new().headers([Some(&headers), None]).delay(Duration::from_millis(599_500));
    a.note("send batch with", queue.send_batch_with("q", &[7, 8], &options).await);
    a.note("due now", queue.next_due("q").await);
    a.note("peek", all_shown(queue.peek("q", 3).await));
    a.note("send batch of nothing", queue.send_batch::<i32>("q", &[]).await);

    a.note("read one", queue.read::<RawJson>("q", 30).await.map(|one| one.as_ref().map(shown)));
    a.note("read two", all_shown(queue.read_batch("q", Duration::from_millis(29_001), 2).await));
    a.note("read nothing", all_shown(queue.read_batch("q", 30, 0).await));
    a.note("read the rest", all_shown(queue.read_batch("q", 600, 100).await));
    a.note("read no more", all_shown(queue.read_batch("q", 30, 100).await));

    let claim = Claim::new;
    a.note(
        "hold",
        queue.hold("q", &[claim(2, 1), claim(1, 1), claim(1, 1), claim(4, 2), claim(99, 1)], 60).await,
    );
    a.note("hold each", queue.hold_each("q", &[(claim(1, 1), 0.into()), (claim(2, 7), 0.into())]).await);
    a.note("read the released", all_shown(queue.read_batch("q", 40, 100).await));
    a.note("hold of the first reader", queue.hold("q", &[claim(1, 1)], 0).await);
    a.note("hold of the second reader", queue.hold("q", &[claim(1, 2)], 50).await);
    a.note("hold of nobody", queue.hold("q", &[], 50).await);
    a.note("negative hold", queue.hold("q", &[claim(1, 2)], -1).await);

    let given = serde_json::json!({"x": 1});
    let moves = [Move::new(claim(5, 1)).headers(&given), claim(2, 1).into(), claim(4, 9).into()];
    a.note("move", queue.move_batch("q", "q_dlq", &moves, 0).await);
    a.note("move again", queue.move_batch("q", "q_dlq", &moves, 0).await);
    a.note("move to the same", queue.move_batch("q", "Q", &[claim(6, 1).into()], 100).await);
    a.note("move to nowhere", queue.move_batch("q", "missing", &[claim(4, 1).into()], 0).await);
    a.note("move of the stale to nowhere", queue.move_batch("q", "missing", &[claim(4, 7).into()], 0).await);
    a.note(
        "forward",
        queue.forward("q", claim(4, 1), "q_dlq", "next", &SendOptions::new().headers(&given)).await,
    );
    a.note("forward again", queue.forward("q", claim(4, 1), "q_dlq", "next", &SendOptions::new()).await);
    tables(queue, &["q", "q_dlq"], a).await;

    a.note("set vt", queue.set_vt::<RawJson>("q", 3, 0).await.map(|one| one.map(|one| one.msg_id)));
    a.note("set vt of a missing one", queue.set_vt::<RawJson>("q", 99, 0).await.map(|one| one.is_some()));
    let released = queue.set_vt_batch::<RawJson>("q", &[8, 7, 99], 0).await;
    a.note("set vt of some", released.map(|all| all.iter().map(|one| one.msg_id).collect::<Vec<_>>()));
    a.note("pop", queue.pop::<RawJson>("q").await.map(|one| one.map(|one| (one.msg_id, one.read_ct))));
    let popped = queue.pop_batch::<RawJson>("q", 1).await;
    a.note("pop some", popped.map(|all| all.iter().map(|one| one.msg_id).collect::<Vec<_>>()));

    a.note("send more", queue.send_batch("q", &[10, 11, 12, 13, 14, 15]).await);
    a.note("delete a claimed one", queue.delete("q", 1).await);
    a.note("delete it again", queue.delete("q", 1).await);
    a.note("delete some", queue.delete_batch("q", &[11, 99, 10, 11]).await);
    a.note("archive", queue.archive("q", 12).await);
    a.note("archive it again", queue.archive("q", 12).await);
    a.note("archive some", queue.archive_batch("q", &[14, 13, 12]).await);
    a.note("requeue", queue.requeue_archived("q", &[14, 99, 12]).await);
    tables(queue, &["q", "q_dlq"], a).await;

    a.note("notify of a missing queue", queue.enable_notify("missing").await);
    a.note(
        "notify",
        queue.enable_notify_with("q", &NotifyOptions::new().throttle(Duration::from_secs(600))).await,
    );
    let throttles = queue.list_notify_throttles().await;
    let throttles = throttles.map(|all| {
        all.into_iter()
            .map(|one| (one.queue_name, one.interval, one.last_notified_at.is_some()))
            .collect::<Vec<_>>()
    });
    a.note("throttles", throttles);
    let mut listener = queue.listen(&["q"]).await.unwrap();
    a.note("send and notify", queue.send("q", &1).await);
    a.note("notification", listener.next_timeout(Duration::from_secs(20)).await);
    a.note("send silently", queue.send_batch("q", &[2, 3]).await);
    a.note("silence", listener.next_timeout(Duration::from_millis(50)).await);
    a.note("throttle", queue.update_notify("q", Duration::ZERO).await);
    a.note("send and notify", queue.send("q", &1).await);
    a.note("notification", listener.next_timeout(Duration::from_secs(20)).await);
    a.note("no notify", queue.disable_notify("q").await);
    a.note("send", queue.send("q", &1).await);
    a.note("silence", listener.next_timeout(Duration::from_millis(50)).await);

    a.note("purge", queue.purge("q").await);
    a.note("due", queue.next_due("q").await);
    a.note("drop", queue.drop_queue("q").await);
    a.note("drop again", queue.drop_queue("q").await);
    a.note("metrics of a dropped queue", queue.metrics("q").await.map(|_| ()));
    answers.0
}

#[test]
fn queues_in_memory_answer_as_a_server_does() {
    on_a_database(async |queue| {
        let of_server = scenario(&queue).await;
        let memory = MemoryQueue::new();
        memory.create_queue("q").await.unwrap();
        let in_memory = scenario(&memory).await;
        for (of_server, in_memory) in of_server.iter().zip(&in_memory) {
            assert_eq!(of_server, in_memory, "\nof the server on the left, in memory on the right");
        }
        assert_eq!(of_server.len(), in_memory.len());
    });
}

/// Does the same random operations for the same seed. Times are either over at once, or far away.
async fn random_course<Q: AsyncQueue>(queue: &Q, seed: u64) -> Vec<String> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut answers = Answers::default();
    let a = &mut answers;
    for step in 0..250 {
        let names = ["q", "r"];
        let (from, to) = (names[rng.usize(0..2)], names[rng.usize(0..2)]);
        let ids: Vec<i64> = (0..rng.usize(0..4)).map(|_| rng.i64(1..40)).collect();
        let mut claim = |id| Claim::new(id, rng.i32(0..4));
        let claims: Vec<_> = ids.iter().map(|id| claim(*id)).collect();
        let seconds = if rng.bool() { 0 } else { 3600 };
        let what = format!("step {step} of seed {seed} from {from} to {to}, {claims:?}, {seconds} s");
        match rng.u32(0..13) {
            0 => a.note(&what, queue.send_batch(from, &ids).await),
            1 => a.note(&what, queue.send_with(from, &step, &SendOptions::new().delay(seconds)).await),
            2 | 3 => a.note(&what, all_shown(queue.read_batch(from, seconds, rng.u32(1..5)).await)),
            4 => a.note(&what, queue.delete_batch(from, &ids).await.map(sorted)),
            5 => a.note(&what, queue.archive_batch(from, &ids).await.map(sorted)),
            6 => a.note(&what, queue.hold(from, &claims, seconds).await),
            7 => {
                let holds: Vec<_> = claims.iter().map(|claim| (*claim, seconds.into())).collect();
                a.note(&what, queue.hold_each(from, &holds).await);
            }
            8 => {
                let headers = serde_json::json!({"step": step});
                let moves: Vec<_> = claims
                    .iter()
                    .map(
                        |claim| {
                            if rng.bool() { Move::new(*claim).headers(&headers) } else { Move::new(*claim) }
                        },
                    )
                    .collect();
                let mut moved = queue.move_batch(from, to, &moves, seconds).await;
                if let Ok(moved) = &mut moved {
                    moved.sort_by_key(|one| one.msg_id);
                }
                a.note(&what, moved);
            }
            9 => {
                if let Some(claim) = claims.first() {
                    let options = SendOptions::new().delay(seconds);
                    a.note(&what, queue.forward(from, *claim, to, &step, &options).await);
                }
            }
            10 => a.note(&what, all_shown(queue.peek(from, 3).await)),
            11 => a.note(
                &what,
                queue.next_due(from).await.map(|due| due.map(|due| due > Duration::from_secs(600))),
            ),
            _ => a.note(&what, queue.requeue_archived(from, &ids).await.map(sorted)),
        }
    }
    tables(queue, &["q", "r"], a).await;
    answers.0
}

fn sorted(mut ids: Vec<i64>) -> Vec<i64> {
    ids.sort_unstable();
    ids
}

#[test]
fn random_operations_have_the_same_results() {
    on_a_database(async |queue| {
        for seed in 0..6 {
            let memory = MemoryQueue::new();
            queue.drop_queue("q").await.unwrap();
            queue.drop_queue("r").await.unwrap();
            for name in ["q", "r"] {
                queue.create_queue(name).await.unwrap();
                memory.create_queue(name).await.unwrap();
            }
            let (of_server, in_memory) =
                (random_course(&queue, seed).await, random_course(&memory, seed).await);
            for (of_server, in_memory) in of_server.iter().zip(&in_memory) {
                assert_eq!(of_server, in_memory, "\nof the server on the left, in memory on the right");
            }
        }
    });
}

#[test]
fn the_time_until_the_next_message_is_that_of_a_server() {
    async fn due<Q: AsyncQueue>(queue: &Q) -> Duration {
        queue.send_with("q", &1, &SendOptions::new().delay(700)).await.unwrap();
        queue.send_with("q", &2, &SendOptions::new().delay(500)).await.unwrap();
        queue.next_due("q").await.unwrap().unwrap()
    }
    on_a_database(async |queue| {
        let memory = MemoryQueue::new();
        memory.create_queue("q").await.unwrap();
        // A busy machine may take its time between the send and the look.
        let possible = Duration::from_secs(440)..=Duration::from_secs(500);
        for due in [due(&queue).await, due(&memory).await] {
            assert!(possible.contains(&due), "{due:?}");
        }
    });
}

#[test]
fn a_queue_in_memory_says_what_it_does_not_know() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let queue = MemoryQueue::new();
        queue.create_queue("q").await.unwrap();
        let error = queue.read_grouped::<RawJson>("q", 30, 1).await.unwrap_err();
        let text = "the queue in memory does not know read_grouped; test it on a server";
        assert!(error.to_string().contains(text), "{error}");
        let condition = pgmq_core::ReadOptions::new().conditional(&serde_json::json!({"a": 1}));
        assert_eq!(
            queue.read_with::<RawJson>("q", &condition).await.unwrap_err().kind(),
            pgmq_core::ErrorKind::Unsupported
        );
        assert!(queue.bind_topic("q", "a.*").await.is_err());
    });
}
