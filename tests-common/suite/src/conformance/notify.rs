//! Settings of notifications. Listeners are in `listen`.

use std::time::Duration;

use pgmq_core::{AsyncQueue, ErrorKind, NotifyOptions, NotifyThrottle};

use crate::kit::{
    backend::Backend,
    check::{Stopwatch, fails_as},
    context::{QUEUE, QueueUnderTest, TestContext},
    failure::{Failure, Outcome, error_chain},
    table::cases,
};

cases! { notify:
    everywhere [enable_notify, list_notify_throttles] notifications_are_throttled_to_four_a_second_by_default;
    everywhere [enable_notify_with, update_notify]
        a_throttle_can_be_changed_and_is_rounded_up_to_milliseconds;
    everywhere [list_notify_throttles] the_time_of_the_last_notification_is_listed;
    everywhere [disable_notify] a_queue_that_no_longer_notifies_is_not_listed;
    everywhere [enable_notify, disable_notify] enabling_and_disabling_twice_is_no_error;
    everywhere [enable_notify_with, update_notify] a_throttle_beyond_the_servers_range_is_refused;
    everywhere [update_notify] changing_the_throttle_of_a_queue_that_does_not_notify_is_an_error;
    pool [repair_notify] a_queue_that_a_crash_has_silenced_gets_its_throttle_back;
    everywhere [repair_notify] a_queue_that_does_not_notify_stays_silent_when_it_is_repaired;
    everywhere [enable_notify] enabling_notifications_of_a_missing_queue_is_queue_not_found;
    standalone [enable_notify, send] an_open_transaction_that_sent_blocks_other_senders_unless_its_constraints_are_deferred;
}

async fn throttles(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Result<Vec<(String, Duration)>, Failure> {
    let throttles: Vec<NotifyThrottle> = queue.list_notify_throttles().await?;
    Ok(throttles.into_iter().map(|throttle| (throttle.queue_name, throttle.interval)).collect())
}

fn only(milliseconds: u64) -> [(String, Duration); 1] {
    [(QUEUE.to_owned(), Duration::from_millis(milliseconds))]
}

async fn notifications_are_throttled_to_four_a_second_by_default(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    assert!(queue.list_notify_throttles().await?.is_empty());
    queue.enable_notify("Q").await?;
    assert_eq!(throttles(queue).await?, only(250));
    Ok(())
}

async fn a_throttle_can_be_changed_and_is_rounded_up_to_milliseconds(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    queue.enable_notify_with(QUEUE, &NotifyOptions::new()).await?;
    assert_eq!(throttles(queue).await?, only(0));
    queue.enable_notify_with(QUEUE, &NotifyOptions::new().throttle(Duration::from_millis(1500))).await?;
    assert_eq!(throttles(queue).await?, only(1500));
    queue.enable_notify_with(QUEUE, &NotifyOptions::new().throttle(Duration::from_micros(1))).await?;
    assert_eq!(throttles(queue).await?, only(1));
    queue.update_notify(QUEUE, Duration::from_secs(2)).await?;
    assert_eq!(throttles(queue).await?, only(2000));
    queue.update_notify("Q", Duration::from_nanos(2_000_001)).await?;
    assert_eq!(throttles(queue).await?, only(3));
    queue.update_notify(QUEUE, Duration::ZERO).await?;
    assert_eq!(throttles(queue).await?, only(0));
    Ok(())
}

async fn the_time_of_the_last_notification_is_listed(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    queue.enable_notify(QUEUE).await?;
    assert_eq!(queue.list_notify_throttles().await?[0].last_notified_at, None);
    let watch = Stopwatch::start(queue.context)?;
    queue.send(QUEUE, &1).await?;
    watch.is_counted_from_now(queue.list_notify_throttles().await?[0].last_notified_at.unwrap(), 0)
}

async fn a_queue_that_no_longer_notifies_is_not_listed(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    queue.create_queue("other").await?;
    queue.enable_notify(QUEUE).await?;
    queue.enable_notify("other").await?;
    queue.disable_notify("Other").await?;
    assert_eq!(throttles(queue).await?, only(250));
    assert!(queue.drop_queue(QUEUE).await?);
    assert!(queue.list_notify_throttles().await?.is_empty());
    Ok(())
}

async fn enabling_and_disabling_twice_is_no_error(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    queue.enable_notify(QUEUE).await?;
    queue.enable_notify(QUEUE).await?;
    queue.disable_notify(QUEUE).await?;
    queue.disable_notify(QUEUE).await?;
    assert!(queue.list_notify_throttles().await?.is_empty());
    Ok(())
}

async fn a_throttle_beyond_the_servers_range_is_refused(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    queue.enable_notify(QUEUE).await?;
    for long in [Duration::MAX, Duration::from_millis(2_147_483_648)] {
        fails_as(ErrorKind::InvalidArgument, queue.update_notify(QUEUE, long).await);
        let options = NotifyOptions::new().throttle(long);
        fails_as(ErrorKind::InvalidArgument, queue.enable_notify_with(QUEUE, &options).await);
    }
    queue.update_notify(QUEUE, Duration::from_millis(2_147_483_647)).await?;
    assert_eq!(throttles(queue).await?, only(2_147_483_647));
    Ok(())
}

async fn changing_the_throttle_of_a_queue_that_does_not_notify_is_an_error(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    let error = fails_as(ErrorKind::Database, queue.update_notify(QUEUE, Duration::from_secs(1)).await);
    assert!(error_chain(&error).contains("does not have notify_insert enabled"), "{}", error_chain(&error));
    Ok(())
}

async fn a_queue_that_a_crash_has_silenced_gets_its_throttle_back(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    queue.create_queue("other").await?;
    queue.enable_notify(QUEUE).await?;
    assert!(!queue.repair_notify(QUEUE, Duration::from_secs(1)).await?);
    assert_eq!(throttles(queue).await?, only(250), "a queue that notifies keeps its throttle");

    // The table is unlogged, so a crash empties it.
    queue.context.execute("TRUNCATE pgmq.notify_insert_throttle")?;
    assert!(!queue.repair_notify("other", Duration::from_secs(1)).await?);
    assert!(queue.repair_notify("Q", Duration::from_micros(1_000_001)).await?);
    assert_eq!(throttles(queue).await?, only(1001));
    assert!(!queue.repair_notify(QUEUE, Duration::ZERO).await?);
    queue.send(QUEUE, &1).await?;
    assert!(queue.list_notify_throttles().await?[0].last_notified_at.is_some());
    Ok(())
}

async fn a_queue_that_does_not_notify_stays_silent_when_it_is_repaired(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    assert!(!queue.repair_notify(QUEUE, Duration::ZERO).await?);
    queue.enable_notify(QUEUE).await?;
    queue.disable_notify(QUEUE).await?;
    assert!(!queue.repair_notify(QUEUE, Duration::ZERO).await?);
    assert!(!queue.repair_notify("missing", Duration::ZERO).await?);
    fails_as(ErrorKind::InvalidArgument, queue.repair_notify(QUEUE, Duration::MAX).await);
    assert!(queue.list_notify_throttles().await?.is_empty());
    Ok(())
}

async fn enabling_notifications_of_a_missing_queue_is_queue_not_found(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    fails_as(ErrorKind::QueueNotFound, queue.enable_notify("missing").await);
    Ok(())
}

async fn an_open_transaction_that_sent_blocks_other_senders_unless_its_constraints_are_deferred<
    B: Backend,
>(
    context: &TestContext<'_>,
) -> Outcome {
    if !context.has_pgmq("1.8.0") {
        // Before, notifications have no throttle.
        return Ok(());
    }
    let queue = B::connect(&context.url_with("-c lock_timeout=200")).await?;
    queue.enable_notify(QUEUE).await?;
    let send = "SELECT pgmq.send('q', '1')";
    context.execute(&format!("BEGIN; {send}"))?;
    fails_as(ErrorKind::Timeout, queue.send(QUEUE, &2).await);
    context.execute("ROLLBACK")?;

    let defer = "SET CONSTRAINTS ALL DEFERRED";
    context.execute(&format!("BEGIN; {defer}; {send}"))?;
    queue.send(QUEUE, &2).await?;
    context.execute("COMMIT")?;
    assert_eq!(queue.metrics(QUEUE).await?.queue_length, 2);
    Ok(())
}
