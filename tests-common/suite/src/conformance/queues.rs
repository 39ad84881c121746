//! Creating, listing and dropping queues.

use chrono::TimeDelta;
use pgmq_core::{ArchivePartitionOptions, AsyncQueue, ErrorKind, PartitionOptions, SendOptions};
use serde_json::{Value, json};

use crate::kit::{
    backend::Backend,
    check::{fails_as, ids, payloads, sorted},
    context::{QUEUE, QueueUnderTest, TestContext},
    failure::{Failure, Outcome},
    table::cases,
};

cases! { queues:
    everywhere [create_queue, create_unlogged_queue, list_queues, queue_exists]
        created_queues_exist_and_are_listed_with_their_kind;
    everywhere [create_queue, create_unlogged_queue]
        creating_a_queue_that_exists_is_no_error_and_leaves_its_messages;
    standalone [create_queue, create_unlogged_queue]
        sixteen_clients_that_create_one_queue_at_once_all_succeed;
    everywhere [create_queue, drop_queue] every_name_that_the_server_accepts_works_from_creation_to_drop;
    everywhere [create_queue, queue_exists, list_queues] names_are_folded_to_lower_case_everywhere;
    everywhere [drop_queue] a_queue_that_another_client_made_with_capitals_can_be_used_and_dropped;
    everywhere [create_queue, create_unlogged_queue, list_queues]
        a_queue_that_exists_with_capitals_is_not_created_again;
    everywhere [drop_queue] two_spellings_of_a_queue_are_dropped_together;
    everywhere [drop_queue] dropping_a_queue_drops_its_messages_and_its_archive;
    everywhere [drop_queue, queue_exists] dropping_a_missing_queue_returns_false;
    everywhere [purge] purging_counts_hidden_messages_too_and_leaves_the_archive;
    everywhere [validate_queue_name] a_good_queue_name_is_valid_whether_or_not_the_queue_exists;
    everywhere [detach_archive] detaching_the_archive_leaves_it_readable;
    everywhere [create_fifo_index] the_fifo_index_is_created_once;
    everywhere [create_fifo_indexes_all] the_fifo_index_is_created_for_all_queues;
    everywhere [create_fifo_group_index] the_fifo_group_index_is_created_once_for_a_queue_of_any_name;
    standalone [create_fifo_group_index] sixteen_clients_that_create_one_fifo_group_index_at_once_all_succeed;
    pool [create_fifo_group_index, read_grouped] a_grouped_read_uses_the_fifo_group_index;
    everywhere [acquire_queue_lock] the_queue_lock_is_held_until_the_transaction_ends;
    everywhere [create_partitioned_queue] a_partitioned_queue_works_like_a_plain_queue;
    everywhere [create_partitioned_queue, create_partitioned_queue_with]
        creating_a_partitioned_queue_again_is_no_error;
    everywhere [create_partitioned_queue_with] partitions_have_the_requested_interval_and_retention;
    everywhere [create_partitioned_queue_with] a_queue_can_be_partitioned_by_time;
    everywhere [create_partitioned_queue_with] premake_sets_the_number_of_partitions_created_ahead;
    standalone [create_partitioned_queue]
        sixteen_clients_that_create_one_partitioned_queue_at_once_all_succeed;
    everywhere [convert_archive_partitioned] an_archive_becomes_partitioned_and_keeps_working;
    everywhere [convert_archive_partitioned_with] an_archive_is_partitioned_with_the_requested_sizes;
    everywhere [create_partitioned_queue] creating_a_partitioned_queue_without_pg_partman_fails_and_names_it;
    everywhere [convert_archive_partitioned] converting_an_archive_without_pg_partman_fails_and_names_it;
}

async fn created_queues_exist_and_are_listed_with_their_kind(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    assert!(!queue.queue_exists("logged").await?);
    let before = queue.context.now()?;
    queue.create_queue("logged").await?;
    queue.create_unlogged_queue("unlogged").await?;
    assert!(queue.queue_exists("logged").await? && queue.queue_exists("unlogged").await?);

    let mut listed = queue.list_queues().await?;
    listed.sort_by(|a, b| a.queue_name.cmp(&b.queue_name));
    let seen: Vec<_> =
        listed.iter().map(|info| (info.queue_name.as_str(), info.is_partitioned, info.is_unlogged)).collect();
    assert_eq!(seen, [("logged", false, false), (QUEUE, false, false), ("unlogged", false, true)]);
    // Inside a transaction the time is its start.
    assert!((listed[0].created_at - before).abs() < TimeDelta::seconds(10), "{listed:?}, {before}");
    Ok(())
}

async fn creating_a_queue_that_exists_is_no_error_and_leaves_its_messages(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    queue.create_unlogged_queue("fast").await?;
    for name in [QUEUE, "fast"] {
        let id = queue.send(name, "kept").await?;
        queue.create_queue(name).await?;
        queue.create_unlogged_queue(name).await?;
        let message = queue.read::<String>(name, 30).await?.unwrap();
        assert_eq!((message.msg_id, message.message.as_str()), (id, "kept"));
    }
    let kinds = queue.list_queues().await?;
    assert_eq!(kinds.len(), 2, "{kinds:?}");
    assert!(kinds.iter().all(|info| info.is_unlogged == (info.queue_name == "fast")), "{kinds:?}");
    Ok(())
}

async fn sixteen_clients_that_create_one_queue_at_once_all_succeed<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    sixteen_at_once::<B>(context, async |queue| {
        queue.create_queue("race").await?;
        queue.create_unlogged_queue("unlogged_race").await
    })
    .await?;
    let made = context.query_value("SELECT count(*) FROM pgmq.meta WHERE queue_name LIKE '%race'")?;
    assert_eq!(made, "2");
    Ok(())
}

async fn sixteen_clients_that_create_one_partitioned_queue_at_once_all_succeed<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    if !context.has_partman() {
        return Ok(());
    }
    sixteen_at_once::<B>(context, async |queue| queue.create_partitioned_queue("race").await).await?;
    let made = context.query_value("SELECT is_partitioned FROM pgmq.meta WHERE queue_name = 'race'")?;
    assert_eq!(made, "t");
    Ok(())
}

/// Runs `work` on sixteen clients that start together, each on its own thread and connection.
async fn sixteen_at_once<B: Backend>(
    context: &TestContext<'_>,
    work: impl AsyncFn(B::Queue) -> Result<(), B::Error> + Sync,
) -> Outcome {
    let barrier = std::sync::Barrier::new(16);
    let one = || {
        B::block_on(async {
            let connected = context.connect::<B>().await;
            barrier.wait();
            work(connected?).await?;
            Ok::<_, Failure>(())
        })
    };
    let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    outcomes.into_iter().collect()
}

async fn every_name_that_the_server_accepts_works_from_creation_to_drop(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    let longest = "x".repeat(47);
    for name in [
        "with-hyphen",
        "with space",
        "with.dot",
        "größe",
        "队列",
        "q\"uoted",
        "back\\slash",
        "%s",
        "100%",
        "a/b",
        "1",
        "select",
        "q_q",
        "-",
        " ",
        longest.as_str(),
    ] {
        queue.create_queue(name).await?;
        assert!(queue.queue_exists(name).await?, "{name:?}");
        let message_ids = queue.send_batch(name, &[1, 2, 3, 4]).await?;
        assert_eq!(ids(&queue.peek::<i32>(name, 10).await?), message_ids, "{name:?}");
        let first = queue.read::<i32>(name, 30).await?.unwrap();
        assert!(queue.archive(name, first.msg_id).await?, "{name:?}");
        let archived = queue.read_archive::<i32>(name, 0, 10).await?;
        assert_eq!(archived.len(), 1, "{name:?}");
        assert_eq!(queue.requeue_archived(name, &[first.msg_id]).await?, [5], "{name:?}");
        assert!(queue.delete(name, message_ids[1]).await?, "{name:?}");
        assert!(queue.set_vt::<i32>(name, message_ids[2], 60).await?.is_some(), "{name:?}");
        assert_eq!(queue.get::<i32>(name, message_ids[3]).await?.unwrap().message, 4, "{name:?}");
        assert_eq!(queue.metrics(name).await?.queue_length, 3, "{name:?}");
        queue.enable_notify(name).await?;
        queue.bind_topic(name, "any.*").await?;
        assert_eq!(queue.send_topic("any.key", &5).await?, 1, "{name:?}");
        assert_eq!(queue.purge(name).await?, 4, "{name:?}");
        assert!(queue.drop_queue(name).await?, "{name:?}");
        assert!(!queue.queue_exists(name).await?, "{name:?}");
    }
    Ok(())
}

async fn names_are_folded_to_lower_case_everywhere(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    queue.create_queue("MyQ-GRÖSSE").await?;
    queue.create_queue("MYQ-grösse").await?;
    let names: Vec<_> = queue.list_queues().await?.into_iter().map(|info| info.queue_name).collect();
    assert_eq!(names, [QUEUE, "myq-grösse"]);
    let id = queue.send("MyQ-Grösse", &1).await?;
    assert_eq!(queue.read::<i32>("myq-grösse", 0).await?.unwrap().msg_id, id);
    assert!(queue.queue_exists("MYQ-GRÖSSE").await?);
    assert_eq!(queue.metrics("MYQ-GRÖSSE").await?.queue_name, "myq-grösse");
    assert_eq!(queue.metrics_all().await?.len(), 2);
    queue.bind_topic("MyQ-Grösse", "t").await?;
    assert_eq!(queue.list_topic_bindings_for("myq-GRÖSSE").await?[0].queue_name, "myq-grösse");
    queue.enable_notify("MyQ-Grösse").await?;
    assert_eq!(queue.list_notify_throttles().await?[0].queue_name, "myq-grösse");
    assert!(queue.archive("MyQ-Grösse", id).await?);
    assert_eq!(queue.read_archive::<i32>("MyQ-Grösse", 0, 1).await?.len(), 1);
    assert!(queue.drop_queue("MyQ-Grösse").await?);
    Ok(())
}

async fn a_queue_that_another_client_made_with_capitals_can_be_used_and_dropped(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    queue.context.execute("SELECT pgmq.create('MyQ'); SELECT pgmq.send('MyQ', '1')")?;
    assert!(queue.queue_exists("myq").await? && queue.queue_exists("MyQ").await?);
    assert_eq!(queue.read::<i32>("MyQ", 0).await?.unwrap().message, 1);
    assert!(queue.drop_queue("MyQ").await?);
    assert!(!queue.queue_exists("MyQ").await?);
    assert_eq!(queue.list_queues().await?.len(), 1);
    assert_eq!(queue.metrics_all().await?.len(), 1);
    assert!(!queue.drop_queue("MyQ").await?);
    Ok(())
}

async fn two_spellings_of_a_queue_are_dropped_together(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    queue
        .context
        .execute("SELECT pgmq.create('myq'); SELECT pgmq.create('MyQ'); SELECT pgmq.create('MYQ')")?;
    assert!(queue.drop_queue("myq").await?);
    let left: Vec<_> = queue.list_queues().await?.into_iter().map(|info| info.queue_name).collect();
    assert_eq!(left, [QUEUE]);
    assert_eq!(queue.metrics_all().await?.len(), 1);
    Ok(())
}

async fn dropping_a_queue_drops_its_messages_and_its_archive(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    let sent = queue.send_batch(QUEUE, &[1, 2]).await?;
    queue.archive(QUEUE, sent[0]).await?;
    assert!(queue.drop_queue(QUEUE).await?);
    queue.create_queue(QUEUE).await?;
    assert!(queue.peek::<Value>(QUEUE, 10).await?.is_empty());
    assert!(queue.read_archive::<Value>(QUEUE, 0, 10).await?.is_empty());
    assert_eq!(queue.send(QUEUE, &3).await?, 1);
    Ok(())
}

async fn dropping_a_missing_queue_returns_false(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    assert!(!queue.drop_queue("missing").await?);
    assert!(!queue.queue_exists("missing").await?);
    Ok(())
}

async fn purging_counts_hidden_messages_too_and_leaves_the_archive(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    assert_eq!(queue.purge(QUEUE).await?, 0);
    let sent = queue.send_batch(QUEUE, &[1, 2, 3, 4]).await?;
    queue.archive(QUEUE, sent[0]).await?;
    queue.read::<i32>(QUEUE, 30).await?.unwrap();
    assert_eq!(queue.purge(QUEUE).await?, 3);
    assert!(queue.get::<i32>(QUEUE, sent[1]).await?.is_none());
    assert_eq!(queue.read_archive::<i32>(QUEUE, 0, 10).await?.len(), 1);
    Ok(())
}

async fn a_good_queue_name_is_valid_whether_or_not_the_queue_exists(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    for name in [QUEUE, "missing", "MyQ", "größe", &"x".repeat(47)] {
        queue.validate_queue_name(name).await?;
    }
    Ok(())
}

async fn detaching_the_archive_leaves_it_readable(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    let id = queue.send(QUEUE, &1).await?;
    queue.archive(QUEUE, id).await?;
    queue.detach_archive(QUEUE).await?;
    assert_eq!(queue.read_archive::<i32>(QUEUE, 0, 10).await?[0].message.msg_id, id);
    Ok(())
}

async fn the_fifo_index_is_created_once(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    queue.create_fifo_index(QUEUE).await?;
    queue.create_fifo_index("Q").await?;
    has_fifo_indexes(queue, 1)
}

async fn the_fifo_index_is_created_for_all_queues(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    queue.create_queue("other").await?;
    queue.create_fifo_indexes_all().await?;
    queue.create_fifo_indexes_all().await?;
    has_fifo_indexes(queue, 2)
}

fn has_fifo_indexes<Queue>(queue: &QueueUnderTest<'_, Queue>, how_many: i32) -> Outcome {
    if !queue.in_transaction {
        let indexes = "SELECT count(*) FROM pg_indexes WHERE schemaname = 'pgmq' AND indexdef LIKE '%USING gin (headers)'";
        assert_eq!(queue.context.query_value(indexes)?, how_many.to_string());
    }
    Ok(())
}

async fn the_fifo_group_index_is_created_once_for_a_queue_of_any_name(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    let longest = "x".repeat(47);
    for name in [QUEUE, "q_fifo_group", "with space", "q\"uoted", "back\\slash", "grün", longest.as_str()] {
        queue.create_queue(name).await?;
        queue.create_fifo_group_index(name).await?;
        queue.create_fifo_group_index(&name.to_uppercase()).await?;
        if !queue.in_transaction {
            let index = format!("SELECT to_regclass(format('pgmq.%I', 'fifo_group_q_{name}')) IS NOT NULL");
            assert_eq!(queue.context.query_value(&index)?, "t", "{name:?}");
        }
        let group = SendOptions::new().headers(&json!({"x-pgmq-group": "a"}));
        let ids = [queue.send_with(name, &1, &group).await?, queue.send(name, &2).await?];
        let read = queue.read_grouped::<i32>(name, 30, 10).await?;
        assert_eq!(read.iter().map(|message| message.msg_id).collect::<Vec<_>>(), ids, "{name:?}");
        assert!(queue.drop_queue(name).await?, "{name:?}");
    }
    Ok(())
}

async fn sixteen_clients_that_create_one_fifo_group_index_at_once_all_succeed<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    sixteen_at_once::<B>(context, async |queue| queue.create_fifo_group_index(QUEUE).await).await?;
    let made = context.query_value("SELECT count(*) FROM pg_indexes WHERE indexname = 'fifo_group_q_q'")?;
    assert_eq!(made, "1");
    Ok(())
}

async fn a_grouped_read_uses_the_fifo_group_index(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    queue.create_fifo_index(QUEUE).await?;
    queue.create_fifo_group_index(QUEUE).await?;
    // Two hundred groups of ten messages.
    queue.context.execute(
        "SELECT pgmq.send('q', '1', jsonb_build_object('x-pgmq-group', (i % 200)::text)) FROM generate_series(1, 2000) i; \
         ANALYZE pgmq.q_q",
    )?;
    let scans = |index: &str| {
        queue.context.query_value(&format!(
            "WITH read AS MATERIALIZED (SELECT count(*) FROM pgmq.read_grouped('q', 0, 10)) \
             SELECT pg_stat_get_xact_numscans('pgmq.{index}'::regclass) FROM read"
        ))
    };
    assert_eq!(scans("q_q_fifo_idx")?, "0", "PGMQ's index is of use to a grouped read");
    assert_ne!(scans("fifo_group_q_q")?, "0", "the index of the groups is of no use to a grouped read");
    Ok(())
}

async fn the_queue_lock_is_held_until_the_transaction_ends(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    let free = "SELECT pg_try_advisory_xact_lock(hashtext('pgmq.queue_myq'))";
    assert_eq!(queue.context.query_value(free)?, "t");
    queue.acquire_queue_lock("MyQ").await?;
    assert_eq!(queue.context.query_value(free)?, if queue.in_transaction { "f" } else { "t" });
    Ok(())
}

/// Asserts that an operation that needs pg_partman names it in the error, if the server does not have it.
macro_rules! partitioned {
    ($queue:ident, $result:expr) => {{
        let result = $result;
        if $queue.context.has_partman() {
            result?;
        } else {
            let error = fails_as(ErrorKind::Unsupported, result);
            assert!(error.to_string().contains("pg_partman"), "{error}");
            return Ok(());
        }
    }};
}

async fn a_partitioned_queue_works_like_a_plain_queue(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    partitioned!(queue, queue.create_partitioned_queue("parts").await);
    let info = queue.list_queues().await?.into_iter().find(|info| info.queue_name == "parts").unwrap();
    assert!(info.is_partitioned && !info.is_unlogged);
    let sent = queue.send_batch("parts", &["a", "b", "c"]).await?;
    let read = queue.read_batch::<String>("parts", 30, 10).await?;
    assert_eq!(ids(&read), sent);
    assert_eq!(payloads(read), ["a", "b", "c"]);
    assert!(queue.archive("parts", sent[0]).await?);
    assert!(queue.delete("parts", sent[1]).await?);
    assert_eq!(queue.read_archive::<String>("parts", 0, 10).await?[0].message.message, "a");
    let metrics = queue.metrics("parts").await?;
    assert_eq!((metrics.queue_length, metrics.total_messages), (1, 3));
    assert_eq!(metrics.default_partition_length, queue.context.has_pgmq("1.13.0").then_some(0));
    assert_eq!(queue.purge("parts").await?, 1);
    assert!(queue.drop_queue("parts").await?);
    assert!(!queue.queue_exists("parts").await?);
    Ok(())
}

async fn creating_a_partitioned_queue_again_is_no_error(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    partitioned!(queue, queue.create_partitioned_queue("parts").await);
    queue.send("parts", "kept").await?;
    queue.create_partitioned_queue("Parts").await?;
    queue.create_partitioned_queue_with("parts", &PartitionOptions::new().interval(10).retention(20)).await?;
    assert_eq!(queue.read::<String>("parts", 0).await?.unwrap().message, "kept");
    Ok(())
}

async fn partitions_have_the_requested_interval_and_retention(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    let options = PartitionOptions::new().interval(10).retention(50);
    partitioned!(queue, queue.create_partitioned_queue_with("parts", &options).await);
    // Fills more than the first partition, so that partitions that were created ahead are used.
    let sent = queue.send_batch("parts", &(0..25).collect::<Vec<i32>>()).await?;
    assert_eq!(ids(&queue.read_batch::<i32>("parts", 30, 100).await?), sent);
    if !queue.in_transaction {
        let config = "SELECT string_agg(DISTINCT partition_interval || ' ' || retention, ',') FROM partman.part_config \
                      WHERE parent_table IN ('pgmq.q_parts', 'pgmq.a_parts')";
        assert_eq!(queue.context.query_value(config)?, "10 50");
    }
    Ok(())
}

async fn a_queue_can_be_partitioned_by_time(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    let options = PartitionOptions::new().interval("1 day").retention("7 days");
    partitioned!(queue, queue.create_partitioned_queue_with("days", &options).await);
    let id = queue.send("days", &json!({"day": 1})).await?;
    assert_eq!(queue.read::<Value>("days", 30).await?.unwrap().msg_id, id);
    assert!(queue.archive("days", id).await?);
    assert_eq!(queue.read_archive::<Value>("days", 0, 10).await?[0].message.message, json!({"day": 1}));
    Ok(())
}

async fn premake_sets_the_number_of_partitions_created_ahead(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    for (name, premake) in [("few", 1), ("more", 6)] {
        let options = PartitionOptions::new().interval(10).retention(100).premake(premake);
        partitioned!(queue, queue.create_partitioned_queue_with(name, &options).await);
    }
    if !queue.in_transaction {
        let more = "SELECT (SELECT count(*) FROM partman.show_partitions('pgmq.q_more')) \
                    - (SELECT count(*) FROM partman.show_partitions('pgmq.q_few'))";
        assert_eq!(queue.context.query_value(more)?, "5");
    }
    let error = fails_as(
        ErrorKind::InvalidArgument,
        queue.create_partitioned_queue_with("none", &PartitionOptions::new().premake(0)).await,
    );
    assert!(error.to_string().contains("premake"), "{error}");
    assert!(!queue.queue_exists("none").await?);
    Ok(())
}

async fn an_archive_becomes_partitioned_and_keeps_working(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    let sent = queue.send_batch(QUEUE, &["before", "after"]).await?;
    queue.archive(QUEUE, sent[0]).await?;
    partitioned!(queue, queue.convert_archive_partitioned(QUEUE).await);
    queue.convert_archive_partitioned("Q").await?;
    assert!(queue.archive(QUEUE, sent[1]).await?);
    let archived = queue.read_archive::<String>(QUEUE, 0, 10).await?;
    assert_eq!(archived.len(), 1, "what was archived before stays in the old table");
    assert_eq!((archived[0].message.msg_id, archived[0].message.message.as_str()), (sent[1], "after"));
    if !queue.in_transaction {
        assert_eq!(queue.context.query_value("SELECT message #>> '{}' FROM pgmq.a_q_old")?, "before");
    }
    Ok(())
}

async fn an_archive_is_partitioned_with_the_requested_sizes(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    queue.create_queue("by_time").await?;
    let by_count = ArchivePartitionOptions::new().interval(20).retention(60).leading_partition(2);
    partitioned!(queue, queue.convert_archive_partitioned_with(QUEUE, &by_count).await);
    let by_time = ArchivePartitionOptions::new().interval("1 day").retention("5 days");
    // Before PGMQ 1.8, archives are partitioned by id only.
    let by_time_too = queue.context.has_pgmq("1.8.0");
    if by_time_too {
        queue.convert_archive_partitioned_with("by_time", &by_time).await?;
    }
    for name in [QUEUE, "by_time"] {
        let id = queue.send(name, &1).await?;
        assert_eq!(queue.archive_batch(name, &[id]).await?, [id]);
        assert_eq!(sorted(queue.requeue_archived(name, &[id]).await?).len(), 1);
    }
    if !queue.in_transaction {
        let config =
            |table| format!("SELECT retention FROM partman.part_config WHERE parent_table = 'pgmq.{table}'");
        assert_eq!(queue.context.query_value(&config("a_q"))?, "60");
        assert_eq!(queue.context.query_value(&config("a_by_time"))?, if by_time_too { "5 days" } else { "" });
    }
    Ok(())
}

async fn creating_a_partitioned_queue_without_pg_partman_fails_and_names_it(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    queue.context.execute("DROP EXTENSION IF EXISTS pg_partman CASCADE")?;
    let error = fails_as(ErrorKind::Unsupported, queue.create_partitioned_queue("parts").await);
    let text = error.to_string();
    assert!(text.contains("parts") && text.contains("pg_partman"), "{text}");
    Ok(())
}

async fn converting_an_archive_without_pg_partman_fails_and_names_it(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    queue.context.execute("DROP EXTENSION IF EXISTS pg_partman CASCADE")?;
    let error = fails_as(ErrorKind::Unsupported, queue.convert_archive_partitioned(QUEUE).await);
    assert!(error.to_string().contains("pg_partman"), "{error}");
    Ok(())
}

async fn a_queue_that_exists_with_capitals_is_not_created_again(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    queue.context.execute("SELECT pgmq.create('MyQ')")?;
    queue.create_queue("MyQ").await?;
    queue.create_unlogged_queue("myq").await?;
    let mut names: Vec<_> = queue.list_queues().await?.into_iter().map(|queue| queue.queue_name).collect();
    names.sort_unstable();
    assert_eq!(names, ["MyQ", QUEUE]);
    // A row of `pgmq.meta` without its table is not a queue.
    queue.create_queue("gone").await?;
    assert!(queue.drop_queue("gone").await?);
    queue.create_queue("gone").await?;
    queue.send("gone", &1).await?;
    Ok(())
}
