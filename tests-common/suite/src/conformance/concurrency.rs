//! Many clients on the same queues.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use pgmq_core::{AsyncQueue, ErrorKind, Message, NotifyOptions, QueueError, SendBatchOptions};
use serde_json::json;

use crate::kit::{
    backend::{Backend, Builder, Step, UserError},
    check::{fails_as, ids, sorted},
    context::{QUEUE, QueueUnderTest, TestContext},
    failure::{Failure, Outcome},
    runtime::Task,
    table::{case, cases},
};

cases! { concurrency:
    standalone [send, read, delete] sixty_four_consumers_process_each_message_of_sixteen_producers_once;
    standalone [read_batch, delete_batch, pop, pop_batch]
        consumers_that_pop_and_consumers_that_read_share_no_message;
    standalone [create_queue] serializable_sessions_that_create_the_same_queue_all_succeed;
    standalone [create_queue, drop_queue] concurrent_create_and_drop_leave_a_queue_complete_or_gone;
    standalone [enable_notify_with, send]
        sending_to_notifying_queues_in_opposite_orders_is_a_conflict_and_a_retry_works;
    standalone [read_grouped, read_grouped_head] sixteen_consumers_keep_the_order_of_each_group;
    standalone [read_grouped_rr] sixteen_round_robin_consumers_share_no_message;
}

/// The ids that one worker has sent or processed.
type Ids = Vec<i64>;

/// Time limit, after which a case is considered to hang.
const LIMIT: Duration = Duration::from_secs(120);

/// The way that a consumer takes messages.
#[derive(Debug, Clone, Copy)]
enum Take {
    Read,
    ReadBatch,
    Pop,
    PopBatch,
    Grouped,
    GroupedInTurns,
    GroupedHead,
}

impl Take {
    async fn take<T>(self, queue: &impl AsyncQueue) -> Result<Vec<Message<T>>, Failure>
    where
        T: serde::de::DeserializeOwned + Send,
    {
        Ok(match self {
            Self::Read => Vec::from_iter(queue.read(QUEUE, 600).await?),
            Self::ReadBatch => queue.read_batch(QUEUE, 600, 7).await?,
            Self::Pop => Vec::from_iter(queue.pop(QUEUE).await?),
            Self::PopBatch => queue.pop_batch(QUEUE, 7).await?,
            Self::Grouped => queue.read_grouped(QUEUE, 600, 3).await?,
            Self::GroupedInTurns => queue.read_grouped_rr(QUEUE, 600, 3).await?,
            Self::GroupedHead => queue.read_grouped_head(QUEUE, 600, 3).await?,
        })
    }

    /// Deletes the messages, unless they were popped.
    async fn finish<T>(self, queue: &impl AsyncQueue, messages: &[Message<T>]) -> Outcome {
        match (self, messages) {
            (Self::Pop | Self::PopBatch, _) => {}
            (_, [message]) => assert!(queue.delete(QUEUE, message.msg_id).await?),
            _ => assert_eq!(sorted(queue.delete_batch(QUEUE, &ids(messages)).await?), sorted(ids(messages))),
        }
        Ok(())
    }
}

async fn sixty_four_consumers_process_each_message_of_sixteen_producers_once<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    each_is_processed_once::<B>(context, &[Take::Read]).await
}

async fn consumers_that_pop_and_consumers_that_read_share_no_message<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    each_is_processed_once::<B>(context, &[Take::Read, Take::ReadBatch, Take::Pop, Take::PopBatch]).await
}

/// Asserts that 64 consumers, which use these ways in turn, process each message of 16 producers once.
async fn each_is_processed_once<B: Backend>(context: &TestContext<'_>, ways: &[Take]) -> Outcome {
    const PRODUCERS: usize = 16;
    const CONSUMERS: usize = 64;

    // A connection for each worker, since not all pools are fair.
    let queue = context.connect_with::<B>(80).await?;
    let done = Arc::new(AtomicUsize::new(0));
    let produce = |queue: B::Queue, done: Arc<AtomicUsize>| async move {
        let sent = send_all(&queue).await;
        // Also after an error, so that no consumer waits for this producer.
        done.fetch_add(1, SeqCst);
        sent
    };
    let consume = |queue: B::Queue, done: Arc<AtomicUsize>, way: Take| async move {
        let started = Instant::now();
        let mut processed = Ids::new();
        loop {
            assert!(started.elapsed() < LIMIT, "a producer has not sent all of its messages");
            let all_is_sent = done.load(SeqCst) == PRODUCERS;
            let messages = way.take::<usize>(&queue).await?;
            if messages.is_empty() && all_is_sent {
                return Ok(processed);
            }
            assert!(messages.iter().all(|message| message.read_ct <= 1), "{messages:?}");
            way.finish(&queue, &messages).await?;
            processed.extend(ids(&messages));
        }
    };
    let mut tasks: Vec<Task<Result<Ids, Failure>>> = Vec::new();
    tasks.extend((0..PRODUCERS).map(|_| -> Task<_> { Box::pin(produce(queue.clone(), done.clone())) }));
    let ways = ways.iter().cycle().take(CONSUMERS);
    tasks.extend(ways.map(|&way| -> Task<_> { Box::pin(consume(queue.clone(), done.clone(), way)) }));
    let mut ends = B::join_all(tasks).await.into_iter();
    let sent: Vec<_> = ends.by_ref().take(PRODUCERS).collect::<Result<_, _>>()?;
    let processed: Vec<_> = ends.collect::<Result<_, _>>()?;
    assert_eq!(sorted(sent.concat()), sorted(processed.concat()));
    assert_eq!(queue.metrics(QUEUE).await?.queue_length, 0);
    Ok(())
}

/// Sends the messages of one producer.
async fn send_all(queue: &impl AsyncQueue) -> Result<Ids, Failure> {
    const SENT_BY_EACH: usize = 50;
    let mut sent = Ids::new();
    for n in 0..SENT_BY_EACH {
        sent.push(queue.send(QUEUE, &n).await?);
    }
    Ok(sent)
}

async fn serializable_sessions_that_create_the_same_queue_all_succeed<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    const SESSIONS: u32 = 8;

    if !context.has_pgmq("1.6.0") && context.server().is_extension() {
        // PGMQ then makes the tables members of the extension, which fails where they are members already.
        return Ok(());
    }
    let url = context.url_with("-c default_transaction_isolation=serializable");
    let queue = B::builder().url(&url).pool_size(SESSIONS).connect().await?;
    for round in 0..5 {
        let create = |queue: B::Queue| async move { queue.create_queue(&format!("same_{round}")).await };
        let tasks = (0..SESSIONS).map(|_| -> Task<_> { Box::pin(create(queue.clone())) });
        for end in B::join_all(tasks.collect()).await {
            end?;
        }
    }
    Ok(())
}

async fn concurrent_create_and_drop_leave_a_queue_complete_or_gone<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    const NAME: &str = "disputed";
    const ROUNDS: usize = 12;
    /// Returns `t` if PGMQ's metadata and the tables agree.
    const AGREE: &str = "SELECT (to_regclass('pgmq.q_disputed') IS NOT NULL) = is_there \
        AND (to_regclass('pgmq.a_disputed') IS NOT NULL) = is_there \
        FROM (SELECT count(*) = 1 AS is_there FROM pgmq.meta WHERE queue_name = 'disputed') AS books";

    let queue = context.connect_with::<B>(16).await?;
    let work = |queue: B::Queue, nth: usize| async move {
        for round in 0..ROUNDS {
            match (nth + round) % 2 {
                0 => queue.create_queue(NAME).await?,
                _ => drop(queue.drop_queue(NAME).await?),
            }
        }
        Ok(())
    };
    let tasks = (0..16).map(|nth| -> Task<Outcome> { Box::pin(work(queue.clone(), nth)) });
    for end in B::join_all(tasks.collect()).await {
        end?;
        assert_eq!(context.query_value(AGREE)?, "t");
    }
    queue.create_queue(NAME).await?;
    assert_eq!(queue.send(NAME, &1).await?, 1);
    assert!(queue.drop_queue(NAME).await?);
    assert!(!queue.drop_queue(NAME).await?);
    assert_eq!(context.query_value(AGREE)?, "t");
    Ok(())
}

async fn sending_to_notifying_queues_in_opposite_orders_is_a_conflict_and_a_retry_works<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    const OPPOSITE: &str = "BEGIN; SELECT pgmq.send('b', '1'); SELECT pgmq.send('a', '1'); COMMIT";

    async fn sends_to_a_and_to_b(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
        queue.send("a", &1).await?;
        let other = queue.context.execute_in_background(OPPOSITE.to_owned());
        queue.context.wait_until_another_session_is_blocked()?;
        let error = fails_as(ErrorKind::Conflict, queue.send("b", &1).await);
        queue.context.assert_sqlstate(&error, "40P01");
        assert!(error.is_transient());
        other.join()
    }

    let queue = context.connect::<B>().await?;
    for name in ["a", "b"] {
        queue.create_queue(name).await?;
        queue.enable_notify_with(name, &NotifyOptions::new()).await?;
    }
    B::in_transaction(&queue, context, &case!(sends_to_a_and_to_b)).await?;
    match B::transaction(&queue, &[Step::Send("a"), Step::Send("b")]).await {
        Ok(()) => {}
        Err(UserError::Queue(error)) => return Err(error.into()),
        Err(UserError::GaveUp) => panic!("the steps do not give up"),
    }
    for name in ["a", "b"] {
        assert_eq!(
            queue.metrics(name).await?.queue_length,
            2,
            "one of the other session, and one of the retry"
        );
    }
    Ok(())
}

const GROUPS: usize = 8;
const IN_EACH: usize = 20;

/// Sends the messages of all groups. A message is its group and its position in the group.
async fn send_groups(queue: &impl AsyncQueue) -> Outcome {
    let all = (0..IN_EACH).flat_map(|nth| (0..GROUPS).map(move |group| (group, nth)));
    let all: Vec<_> = all.collect();
    let headers = all.iter().map(|(group, _)| Some(json!({"x-pgmq-group": group.to_string()})));
    queue.send_batch_with(QUEUE, &all, &SendBatchOptions::new().headers(headers)).await?;
    Ok(())
}

/// The state of a group, shared by the consumers.
#[derive(Default)]
struct Group {
    is_busy: AtomicBool,
    next: AtomicUsize,
}

async fn sixteen_consumers_keep_the_order_of_each_group<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let queue = context.connect_with::<B>(16).await?;
    for way in [Take::Grouped, Take::GroupedHead] {
        send_groups(&queue).await?;
        let groups: Arc<[Group; GROUPS]> = Arc::default();
        let consume = |queue: B::Queue, groups: Arc<[Group; GROUPS]>| async move {
            let started = Instant::now();
            while groups.iter().any(|group| group.next.load(SeqCst) < IN_EACH) {
                assert!(started.elapsed() < LIMIT, "a consumer has stopped early");
                let messages = way.take::<(usize, usize)>(&queue).await?;
                let mut mine = vec![false; GROUPS];
                for &Message { message: (group, nth), .. } in &messages {
                    let is_first = !std::mem::replace(&mut mine[group], true);
                    let was_busy = groups[group].is_busy.swap(true, SeqCst);
                    assert!(!is_first || !was_busy, "{way:?}: two consumers work on group {group}");
                    assert_eq!(
                        groups[group].next.fetch_add(1, SeqCst),
                        nth,
                        "{way:?}: the next of group {group}"
                    );
                }
                // Leaves time for another consumer that has the group as well to be detected.
                if let Some(message) = messages.first() {
                    queue.get::<(usize, usize)>(QUEUE, message.msg_id).await?;
                }
                for (group, _) in groups.iter().zip(mine).filter(|(_, is_mine)| *is_mine) {
                    group.is_busy.store(false, SeqCst);
                }
                if !messages.is_empty() {
                    way.finish(&queue, &messages).await?;
                }
            }
            Ok(())
        };
        let tasks = (0..16).map(|_| -> Task<Outcome> { Box::pin(consume(queue.clone(), groups.clone())) });
        B::join_all(tasks.collect()).await.into_iter().collect::<Outcome>()?;
        assert_eq!(queue.metrics(QUEUE).await?.queue_length, 0);
    }
    Ok(())
}

async fn sixteen_round_robin_consumers_share_no_message<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let queue = context.connect_with::<B>(16).await?;
    send_groups(&queue).await?;
    let left = Arc::new(AtomicUsize::new(GROUPS * IN_EACH));
    let consume = |queue: B::Queue, left: Arc<AtomicUsize>| async move {
        let started = Instant::now();
        let mut processed = Ids::new();
        while left.load(SeqCst) > 0 {
            assert!(started.elapsed() < LIMIT, "a consumer has stopped early");
            let way = Take::GroupedInTurns;
            let messages = way.take::<(usize, usize)>(&queue).await?;
            if !messages.is_empty() {
                way.finish(&queue, &messages).await?;
                left.fetch_sub(messages.len(), SeqCst);
                processed.extend(ids(&messages));
            }
        }
        Ok(processed)
    };
    let tasks = (0..16).map(|_| -> Task<_> { Box::pin(consume(queue.clone(), left.clone())) });
    let processed = B::join_all(tasks.collect()).await.into_iter().collect::<Result<Vec<_>, Failure>>()?;
    let all = i64::try_from(GROUPS * IN_EACH)?;
    assert_eq!(sorted(processed.concat()), (1..=all).collect::<Ids>());
    Ok(())
}
