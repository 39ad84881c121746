//! The outcomes of handlers, and the stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pgmq_worker::sync::{Job, Layer, Next, Worker};
use pgmq_worker::{Failure, Meta, Outcome, Queue, Retry, StartError};

use crate::letters::dead_letters;
use crate::support::{on_a_database, wait_until, wait_until_empty};

#[test]
fn messages_are_handled_and_deleted() {
    on_a_database(|_, queue| {
        let sum = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&sum);
        let handler = move |job: &Job<usize>| {
            counted.fetch_add(**job, Ordering::Relaxed);
        };
        let worker = Worker::builder(queue.clone()).queue("q", Queue::new(), handler).start().unwrap();
        let messages: Vec<_> = (1..=1000_usize).collect();
        queue.send_batch("q", &messages).unwrap();
        wait_until_empty(&queue, "q");
        assert!(worker.stop().is_clean());
        assert_eq!(sum.load(Ordering::Relaxed), 500_500);
    });
}

#[test]
fn a_failure_is_retried_and_at_last_a_dead_letter() {
    on_a_database(|_, queue| {
        let settings = Queue::new().max_reads(2).retry(Retry::fixed(Duration::ZERO));
        let handler = |job: &Job<String>| match job.as_str() {
            "flaky" if job.reads() == 1 => Err("the first time"),
            "poison" => Err("always"),
            _ => Ok(()),
        };
        let worker = Worker::builder(queue.clone()).queue("q", settings, handler).start().unwrap();
        queue.send_batch("q", &["good", "flaky", "poison"]).unwrap();
        wait_until_empty(&queue, "q");
        assert!(worker.stop().is_clean());
        assert_eq!(dead_letters(&queue), [("\"poison\"".to_owned(), "exhausted".to_owned())]);
    });
}

#[test]
fn the_other_outcomes_have_their_effect() {
    on_a_database(|_, queue| {
        queue.create_queue("next").unwrap();
        let handler = |job: &Job<String>| match job.as_str() {
            "archive" => Outcome::Archive,
            "forward" => Outcome::forward("next", "step two"),
            "permanent" => Failure::from("no such address").permanent().into(),
            "discard" => Outcome::discard("out of date"),
            "snooze" if job.reads() == 1 => Outcome::snooze(Duration::ZERO),
            "panic" => panic!("intended by the test"),
            _ => Outcome::Done,
        };
        let settings = Queue::new().max_reads(2).retry(Retry::fixed(Duration::ZERO));
        let worker = Worker::builder(queue.clone()).queue("q", settings, handler).start().unwrap();
        let messages = ["archive", "forward", "permanent", "discard", "snooze", "panic", "done"];
        queue.send_batch("q", &messages).unwrap();
        queue.send("q", &7).unwrap();
        wait_until_empty(&queue, "q");
        assert!(worker.stop().is_clean());
        assert_eq!(queue.read_archive::<String>("q", 0, 10).unwrap()[0].message.message, "archive");
        assert_eq!(queue.pop::<String>("next").unwrap().unwrap().message, "step two");
        let dead = dead_letters(&queue);
        let dead: Vec<_> = dead.iter().map(|(message, reason)| (message.as_str(), reason.as_str())).collect();
        assert_eq!(dead, [("\"panic\"", "panic"), ("\"permanent\"", "permanent"), ("7", "decode")]);
    });
}

#[test]
fn a_message_that_is_finished_in_a_transaction_is_gone_with_its_effect() {
    on_a_database(|database, queue| {
        database.execute("CREATE TABLE paid (amount bigint)").unwrap();
        let paying = queue.clone();
        let handler = move |job: &Job<i64>| {
            paying.transaction(|transaction| {
                transaction.execute("INSERT INTO paid VALUES ($1)", &[&**job])?;
                job.finish_in(&paying.with(transaction))
            })
        };
        // Handlers and keepers share the pool.
        let settings = Queue::new().concurrency(2);
        let worker = Worker::builder(queue.clone()).queue("q", settings, handler).start().unwrap();
        queue.send_batch("q", &[1, 2, 3]).unwrap();
        wait_until_empty(&queue, "q");
        assert!(worker.stop().is_clean());
        let sum: i64 = queue
            .transaction(|transaction| {
                let row = transaction.query_one("SELECT sum(amount)::bigint FROM paid", &[])?;
                Ok::<_, pgmq_postgres::Error>(row.get(0))
            })
            .unwrap();
        assert_eq!(sum, 6);
    });
}

#[test]
fn layers_and_state_are_around_all_handlers() {
    struct Counting(Arc<AtomicUsize>);

    impl Layer for Counting {
        fn around(&self, job: &Meta, next: Next<'_>) -> Outcome {
            self.0.fetch_add(*job.state::<usize>(), Ordering::Relaxed);
            next.run()
        }
    }

    on_a_database(|_, queue| {
        let sum = Arc::new(AtomicUsize::new(0));
        let worker = Worker::builder(queue.clone())
            .queue("q", Queue::new(), |_: &Job<i32>| ())
            .state(5_usize)
            .layer(Counting(Arc::clone(&sum)))
            .start()
            .unwrap();
        queue.send_batch("q", &[1, 2]).unwrap();
        wait_until_empty(&queue, "q");
        assert!(worker.stop().is_clean());
        assert_eq!(sum.load(Ordering::Relaxed), 10);
    });
}

#[test]
fn the_worker_runs_over_diesel_as_well() {
    on_a_database(|database, queue| {
        queue.enable_notify("q").unwrap();
        let diesel = pgmq_diesel::PGMQueue::connect(database.url()).unwrap();
        let settings = Queue::new().backstop(Duration::from_secs(3600));
        let handler = |job: &Job<i32>| if **job == 2 { Outcome::Archive } else { Outcome::Done };
        let worker = Worker::builder(diesel).queue("q", settings, handler).start().unwrap();
        for n in 0..3 {
            queue.send("q", &n).unwrap();
            wait_until_empty(&queue, "q");
        }
        assert!(worker.stop().is_clean());
        assert_eq!(queue.read_archive::<i32>("q", 0, 10).unwrap().len(), 1);
    });
}

#[test]
fn a_join_ends_when_the_handle_stops_the_worker() {
    on_a_database(|_, queue| {
        let builder = Worker::builder(queue.clone()).queue("q", Queue::new(), |_: &Job<i32>| ());
        let worker = builder.start().unwrap();
        let handle = worker.handle();
        let joining = std::thread::spawn(move || worker.join());
        queue.send("q", &1).unwrap();
        wait_until_empty(&queue, "q");
        assert!(!joining.is_finished() && handle.health()[0].is_running);
        handle.stop();
        assert!(joining.join().unwrap().is_clean());
        assert!(!handle.health()[0].is_running);
    });
}

#[test]
fn a_worker_does_not_start_without_its_queue() {
    on_a_database(|_, queue| {
        let error = Worker::builder(queue.clone()).start().unwrap_err();
        assert!(matches!(error, StartError::NoQueue), "{error}");
        let builder = Worker::builder(queue).queue("other", Queue::new(), |_: &Job<i32>| ());
        let error = builder.start().unwrap_err();
        assert!(matches!(&error, StartError::QueueNotFound(name) if name == "other"), "{error}");
    });
}

#[test]
fn a_stop_cancels_what_does_not_end_and_releases_it() {
    on_a_database(|_, queue| {
        let begun = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&begun);
        let handler = move |job: &Job<i32>| {
            counted.fetch_add(1, Ordering::Relaxed);
            job.sleep(Duration::MAX)
        };
        let worker = Worker::builder(queue.clone())
            .queue("q", Queue::new().concurrency(2), handler)
            .drain(Duration::ZERO)
            .start()
            .unwrap();
        queue.send_batch("q", &[1, 2, 3, 4, 5]).unwrap();
        wait_until("both handlers run", || begun.load(Ordering::Relaxed) == 2);
        let report = worker.stop();
        assert!(report.is_clean(), "{report:?}");
        let visible = queue.peek::<i32>("q", 10).unwrap();
        assert_eq!(visible.len(), 5, "what has not begun, and what was cancelled, is released");
    });
}
