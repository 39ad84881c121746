//! Handlers that block their thread, and spawners that do not run tasks as Tokio does.

use std::future::pending;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Waker};
use std::time::Duration;

use pgmq_worker::{BoxFuture, Job, Outcome, Queue, Worker};

use crate::support::{on_a_database, wait_until};

/// Tokio keeps a task that another one wakes on the thread of that one, from which no other thread takes it.
#[test]
fn a_handler_that_blocks_its_thread_keeps_no_other_message_from_its_handler() {
    on_a_database(async |_, queue| {
        for _ in 0..10 {
            let (unblock, blocked) = mpsc::channel::<()>();
            let blocked = Arc::new(Mutex::new(blocked));
            let handled = Arc::new(AtomicUsize::new(0));
            let count = Arc::clone(&handled);
            let handler = move |job: Job<i32>| {
                let (blocked, count) = (Arc::clone(&blocked), Arc::clone(&count));
                async move {
                    if *job == 0 {
                        let _ = blocked.lock().unwrap().recv();
                    }
                    count.fetch_add(1, Ordering::Relaxed);
                }
            };
            let worker =
                Worker::builder(queue.clone()).queue("q", Queue::new(), handler).start().await.unwrap();
            queue.send_batch("q", &[0, 1, 2, 3]).await.unwrap();
            wait_until("the others are handled", async || handled.load(Ordering::Relaxed) == 3).await;
            wait_until("the others are deleted", async || {
                queue.metrics("q").await.unwrap().queue_length == 1
            })
            .await;
            unblock.send(()).unwrap();
            assert!(worker.stop().await.is_clean());
        }
    });
}

#[test]
fn a_stop_without_a_free_thread_ends_and_names_what_runs() {
    for by_handle in [false, true] {
        on_a_database(async |_, queue| {
            let (unblock, blocked) = mpsc::channel::<()>();
            let blocked = Arc::new(Mutex::new(blocked));
            let (begun, has_begun) = async_channel::unbounded();
            let handler = move |_: Job<i32>| {
                let (blocked, begun) = (Arc::clone(&blocked), begun.clone());
                async move {
                    let _ = begun.try_send(());
                    let _ = blocked.lock().unwrap().recv();
                }
            };
            // The only thread of the runtime on which the worker runs is that of the handler.
            let threads =
                tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            let spawning = threads.handle().clone();
            let moment = Duration::from_millis(100);
            let worker = Worker::builder(queue.clone())
                .queue("q", Queue::new(), handler)
                .spawner(move |task| drop(spawning.spawn(task)))
                .drain(moment)
                .grace(moment)
                .flush(moment)
                .start()
                .await
                .unwrap();
            let id = queue.send("q", &1).await.unwrap();
            has_begun.recv().await.unwrap();
            let report = match by_handle {
                true => {
                    worker.handle().stop();
                    worker.run_until(pending()).await
                }
                false => worker.stop().await,
            };
            assert_eq!(report.running, [("q".to_owned(), id)]);
            unblock.send(()).unwrap();
            threads.shutdown_background();
        });
    }
}

/// The spawner polls each task once, which must not find the lane locked, and keeps the tasks of handlers
/// until they are asked for.
#[test]
fn a_message_whose_slot_comes_after_a_pause_is_released_and_does_not_begin() {
    on_a_database(async |_, queue| {
        let begun = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&begun);
        let handler = move |_: Job<i32>| {
            count.fetch_add(1, Ordering::Relaxed);
            async { Outcome::Done }
        };
        let (keeping, kept) = mpsc::channel::<BoxFuture<'static, ()>>();
        let spawned = AtomicUsize::new(0);
        // The tasks of a queue that are no slots, and the listener.
        const OTHERS: usize = 7;
        let spawner = move |mut task: BoxFuture<'static, ()>| {
            if spawned.fetch_add(1, Ordering::Relaxed) < OTHERS {
                let is_over = pin!(&mut task).poll(&mut Context::from_waker(Waker::noop())).is_ready();
                assert!(!is_over, "tasks run until the worker stops");
                tokio::spawn(task);
            } else {
                keeping.send(task).unwrap();
            }
        };
        let worker = Worker::builder(queue.clone())
            .queue("q", Queue::new(), handler)
            .spawner(spawner)
            .start()
            .await
            .unwrap();
        queue.send("q", &1).await.unwrap();
        wait_until("the message waits for a slot", async || worker.handle().health()[0].running == 1).await;
        worker.handle().pause("q");
        let slot = kept.recv().unwrap();
        tokio::spawn(slot);
        wait_until("the message is released", async || {
            let visible = queue.peek::<i32>("q", 1).await.unwrap();
            visible.first().is_some_and(|message| message.read_ct == 1)
        })
        .await;
        assert_eq!(begun.load(Ordering::Relaxed), 0);
        worker.handle().resume("q");
        wait_until("the message is handled", async || begun.load(Ordering::Relaxed) == 1).await;
        assert!(worker.stop().await.is_clean());
    });
}
