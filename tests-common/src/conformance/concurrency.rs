//! Many at once on the same queues.

use pgmq_core::AsyncQueue;

use super::{Backend, Failure, Outcome, Q, Work, World, case::cases, check::sorted};

cases! { concurrency:
    setup [send, read, delete] sixty_four_consumers_process_what_sixteen_producers_send_each_once;
}

/// What a worker counts on its own, and the test adds up.
type Ids = Vec<i64>;

async fn sixty_four_consumers_process_what_sixteen_producers_send_each_once<B: Backend>(
    world: &World<'_>,
) -> Outcome {
    const PRODUCERS: usize = 16;
    const CONSUMERS: usize = 64;
    const SENT_BY_EACH: usize = 50;
    const ALL: i64 = 800;

    let queue = world.connect_with::<B>(16).await?;
    let produce = |queue: B::Queue| async move {
        let mut sent = Ids::new();
        for n in 0..SENT_BY_EACH {
            sent.push(queue.send(Q, &n).await?);
        }
        Ok(sent)
    };
    let consume = |queue: B::Queue| async move {
        let mut processed = Ids::new();
        // All of them together have processed all once nobody finds more.
        loop {
            let Some(message) = queue.read::<usize>(Q, 600).await? else {
                if queue.metrics(Q).await?.total_messages == ALL {
                    return Ok(processed);
                }
                continue;
            };
            assert_eq!(message.read_ct, 1);
            assert!(queue.delete(Q, message.msg_id).await?);
            processed.push(message.msg_id);
        }
    };
    let mut works: Vec<Work<Result<Ids, Failure>>> = Vec::new();
    works.extend((0..PRODUCERS).map(|_| -> Work<_> { Box::pin(produce(queue.clone())) }));
    works.extend((0..CONSUMERS).map(|_| -> Work<_> { Box::pin(consume(queue.clone())) }));
    let mut ends = B::side_by_side(works).await.into_iter();
    let sent: Vec<_> = ends.by_ref().take(PRODUCERS).collect::<Result<_, _>>()?;
    let processed: Vec<_> = ends.collect::<Result<_, _>>()?;
    assert_eq!(sorted(sent.concat()), sorted(processed.concat()));
    Ok(())
}
