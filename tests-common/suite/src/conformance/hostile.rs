//! Hostile input: refused with a reason, before it can do harm.

use std::{collections::BTreeMap, env, time::Duration};

use chrono::TimeDelta;
use pgmq_core::{
    AsyncQueue, Delay, ErrorKind, Operation, PartitionOptions, PollOptions, Property, QueueError, RawJson,
    ReadOptions, SendBatchOptions, SendOptions, VisibilityTimeout, samples::Samples,
};
use proptest::{
    prelude::*,
    strategy::{Strategy, ValueTree},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::{Value, json};

use crate::kit::{
    check::{fails_as, ids},
    context::{QUEUE, QueueUnderTest},
    every_operation::{on_every_operation, on_every_queue_operation, samples},
    failure::{Outcome, error_chain},
    table::cases,
};

cases! { hostile:
    everywhere [] every_operation_refuses_a_bad_name_before_anything_is_sent;
    everywhere [create_queue, send, drop_queue] an_injected_name_does_no_harm;
    everywhere [send, peek, get, read_archive] a_quoted_name_stays_a_name;
    everywhere [read, read_batch, read_with, send_with, send_batch_with, set_vt, set_vt_batch]
        negative_times_are_refused;
    everywhere [read, read_batch, read_with, send_with, send_batch_with, set_vt, set_vt_batch]
        overflowing_times_are_refused_and_the_longest_time_is_accepted;
    everywhere [read_batch, pop_batch, peek, read_archive] a_quantity_that_overflows_is_refused;
    everywhere [send, send_with, send_batch, send_batch_with, send_topic, read_with]
        a_nul_character_is_refused_and_named_in_the_error;
    everywhere [send] a_lone_surrogate_is_refused_by_the_server_and_fails_a_transaction;
    everywhere [send, send_batch, send_with] a_value_that_json_cannot_represent_is_refused;
    everywhere [delete, get, set_vt, archive] impossible_ids_are_treated_as_missing;
    everywhere [send, read] sql_and_json_in_a_payload_stay_text;
    pool [send, send_with, send_batch, read, pop]
        nesting_is_accepted_up_to_the_servers_limit_and_refused_beyond;
    pool [create_queue, drop_queue, test_routing, send_topic_with, send_batch_topic_with, list_topic_bindings]
        no_text_in_any_argument_affects_anything_but_queues;
}

async fn every_operation_refuses_a_bad_name_before_anything_is_sent(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    let over_long = "x".repeat(48);
    let wide = "ä".repeat(24);
    for (name, reason) in [
        ("", "empty"),
        (over_long.as_str(), "48 bytes"),
        (wide.as_str(), "48 bytes"),
        ("a'b", "\"'\""),
        ("a$b", "\"$\""),
        ("a;b", "\";\""),
        ("a--b", "\"--\""),
        ("x'; DROP TABLE y; --", "does not accept"),
        ("q\0", "does not accept"),
    ] {
        for (operation, result) in on_every_queue_operation(&**queue, name).await {
            let Err(error) = result else { panic!("{operation} took {name:?}") };
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{operation} of {name:?}: {error}");
            let text = error.to_string();
            assert!(text.contains(reason) && text.starts_with(operation), "{operation} of {name:?}: {text}");
            assert!(error.sqlstate().is_none() && !error.is_transient(), "{operation} of {name:?}");
        }
    }
    // Inside a transaction this shows that no request was sent, since a failed request aborts it.
    assert_eq!(queue.send(QUEUE, &1).await?, 1);
    Ok(())
}

async fn an_injected_name_does_no_harm(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    queue.context.execute("CREATE TABLE victim ()")?;
    for name in
        ["x'; DROP TABLE victim; --", "q\"; DROP TABLE victim; --", "q'); DROP TABLE victim; SELECT ('"]
    {
        fails_as(ErrorKind::InvalidArgument, queue.create_queue(name).await);
        fails_as(ErrorKind::InvalidArgument, queue.send(name, &1).await);
        fails_as(ErrorKind::InvalidArgument, queue.drop_queue(name).await);
        fails_as(ErrorKind::InvalidArgument, queue.peek::<Value>(name, 1).await);
    }
    assert_eq!(queue.context.query_value("SELECT to_regclass('victim') IS NOT NULL")?, "t");
    Ok(())
}

async fn a_quoted_name_stays_a_name(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    // The operations that read tables quote the names of the tables in the client.
    let name = "q\" WHERE true OR \"\" = \"";
    queue.create_queue(name).await?;
    queue.send(QUEUE, "other").await?;
    let id = queue.send(name, "mine").await?;
    assert_eq!(queue.peek::<String>(name, 10).await?[0].message, "mine");
    assert_eq!(queue.get::<String>(name, id).await?.unwrap().message, "mine");
    queue.archive(name, id).await?;
    assert_eq!(queue.read_archive::<String>(name, 0, 10).await?.len(), 1);
    assert_eq!(queue.requeue_archived(name, &[id]).await?, [id + 1]);
    Ok(())
}

/// Asserts that every operation that takes a visibility timeout or a delay refuses the given one.
async fn assert_refused_everywhere<Queue: AsyncQueue>(
    queue: &QueueUnderTest<'_, Queue>,
    vt: VisibilityTimeout,
    delay: Delay,
    reason: &str,
) {
    let poll = &PollOptions::new();
    let results = [
        queue.read::<Value>(QUEUE, vt).await.map(drop),
        queue.read_batch::<Value>(QUEUE, vt, 1).await.map(drop),
        queue.read_with::<Value>(QUEUE, &ReadOptions::new().vt(vt)).await.map(drop),
        queue.read_with_poll::<Value>(QUEUE, vt, 1, poll).await.map(drop),
        queue.read_grouped::<Value>(QUEUE, vt, 1).await.map(drop),
        queue.read_grouped_with_poll::<Value>(QUEUE, vt, 1, poll).await.map(drop),
        queue.read_grouped_rr::<Value>(QUEUE, vt, 1).await.map(drop),
        queue.read_grouped_rr_with_poll::<Value>(QUEUE, vt, 1, poll).await.map(drop),
        queue.read_grouped_head::<Value>(QUEUE, vt, 1).await.map(drop),
        queue.read_grouped_head_with_poll::<Value>(QUEUE, vt, 1, poll).await.map(drop),
        queue.send_with(QUEUE, &1, &SendOptions::new().delay(delay)).await.map(drop),
        queue.send_batch_with(QUEUE, &[1], &SendBatchOptions::new().delay(delay)).await.map(drop),
        queue.send_topic_with("k", &1, &SendOptions::new().delay(delay)).await.map(drop),
        queue.send_batch_topic_with("k", &[1], &SendBatchOptions::new().delay(delay)).await.map(drop),
        queue.set_vt::<Value>(QUEUE, 1, delay).await.map(drop),
        queue.set_vt_batch::<Value>(QUEUE, &[1], delay).await.map(drop),
    ];
    for result in results {
        let error = fails_as(ErrorKind::InvalidArgument, result);
        assert!(error.to_string().contains(reason), "{error}");
    }
}

async fn negative_times_are_refused(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    assert_refused_everywhere(queue, (-1).into(), (-1).into(), "is negative").await;
    assert_refused_everywhere(queue, i64::MIN.into(), i64::MIN.into(), "is negative").await;
    let little = TimeDelta::nanoseconds(-1);
    assert_refused_everywhere(queue, little.into(), little.into(), "is negative").await;
    assert_eq!(queue.metrics(QUEUE).await?.total_messages, 0);
    Ok(())
}

async fn overflowing_times_are_refused_and_the_longest_time_is_accepted(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    const LONGEST: i32 = i32::MAX;
    let too_long = i64::from(LONGEST) + 1;
    assert_refused_everywhere(queue, too_long.into(), too_long.into(), "longer than").await;
    assert_refused_everywhere(queue, u32::MAX.into(), u32::MAX.into(), "longer than").await;
    assert_refused_everywhere(queue, u64::MAX.into(), u64::MAX.into(), "longer than").await;
    assert_refused_everywhere(queue, Duration::MAX.into(), Duration::MAX.into(), "longer than").await;
    let just_over = Duration::from_secs(2_147_483_647) + Duration::from_nanos(1);
    assert_refused_everywhere(queue, just_over.into(), just_over.into(), "longer than").await;

    let id = queue.send(QUEUE, &1).await?;
    let read = queue.read::<i32>(QUEUE, LONGEST).await?.unwrap();
    assert!(read.vt - queue.context.now()? > TimeDelta::days(68 * 365), "{read:?}");
    let set = queue.set_vt::<i32>(QUEUE, id, Duration::from_secs(2_147_483_647)).await?.unwrap();
    assert!(set.vt > read.vt - TimeDelta::minutes(1), "{set:?}");
    let sent = queue.send_with(QUEUE, &2, &SendOptions::new().delay(LONGEST)).await?;
    assert!(queue.get::<i32>(QUEUE, sent).await?.unwrap().vt >= set.vt);
    Ok(())
}

async fn a_quantity_that_overflows_is_refused(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    const KIND: ErrorKind = ErrorKind::InvalidArgument;
    queue.send(QUEUE, &1).await?;
    for qty in [u32::MAX, 2_147_483_648] {
        fails_as(KIND, queue.read_batch::<Value>(QUEUE, 1, qty).await);
        fails_as(KIND, queue.read_with::<Value>(QUEUE, &ReadOptions::new().qty(qty)).await);
        fails_as(KIND, queue.read_with_poll::<Value>(QUEUE, 1, qty, &PollOptions::new()).await);
        fails_as(KIND, queue.read_grouped::<Value>(QUEUE, 1, qty).await);
        fails_as(KIND, queue.read_grouped_rr::<Value>(QUEUE, 1, qty).await);
        fails_as(KIND, queue.read_grouped_head::<Value>(QUEUE, 1, qty).await);
        fails_as(KIND, queue.pop_batch::<Value>(QUEUE, qty).await);
        fails_as(KIND, queue.peek::<Value>(QUEUE, qty).await);
        fails_as(KIND, queue.read_archive::<Value>(QUEUE, 0, qty).await);
        fails_as(KIND, queue.create_partitioned_queue_with("p", &PartitionOptions::new().premake(qty)).await);
    }
    assert_eq!(ids(&queue.read_batch::<Value>(QUEUE, 0, 2_147_483_647).await?), [1]);
    assert_eq!(ids(&queue.pop_batch::<Value>(QUEUE, 2_147_483_647).await?), [1]);
    Ok(())
}

async fn a_nul_character_is_refused_and_named_in_the_error(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    queue.bind_topic(QUEUE, "#").await?;
    let nul = json!({"a": ["b", {"c": "x\0y"}]});
    let in_a_key = json!({"a\0": 1});
    for bad in [&nul, &in_a_key] {
        let headers = SendOptions::new().headers(bad);
        let batch_headers = SendBatchOptions::new().headers([Some(bad)]);
        for result in [
            queue.send(QUEUE, bad).await.map(drop),
            queue.send_with(QUEUE, bad, &SendOptions::new().delay(1)).await.map(drop),
            queue.send_with(QUEUE, &1, &headers).await.map(drop),
            queue.send_batch(QUEUE, &[&json!(1), bad]).await.map(drop),
            queue.send_batch_with(QUEUE, &[1], &batch_headers).await.map(drop),
            queue.send_topic("k", bad).await.map(drop),
            queue.send_topic_with("k", &1, &headers).await.map(drop),
            queue.send_batch_topic("k", &[bad]).await.map(drop),
            queue.send_batch_topic_with("k", &[1], &batch_headers).await.map(drop),
            queue.read_with::<Value>(QUEUE, &ReadOptions::new().conditional(bad)).await.map(drop),
            queue.read_with_poll::<Value>(QUEUE, 1, 1, &PollOptions::new().conditional(bad)).await.map(drop),
        ] {
            let error = fails_as(ErrorKind::Encode, result);
            assert!(error.to_string().contains(r"\u0000"), "{error}");
            assert!(error.sqlstate().is_none() && !error.is_transient());
        }
    }
    assert_eq!(queue.metrics(QUEUE).await?.total_messages, 0);
    Ok(())
}

async fn a_lone_surrogate_is_refused_by_the_server_and_fails_a_transaction(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    // A pair of surrogates is a character.
    queue.send(QUEUE, &r#""\ud83d\ude00""#.parse::<RawJson>()?).await?;
    assert_eq!(queue.peek::<String>(QUEUE, 1).await?[0].message, "😀");
    let lone: RawJson = r#"{"a": "\ud800"}"#.parse()?;
    let error = fails_as(ErrorKind::InvalidArgument, queue.send(QUEUE, &lone).await);
    queue.context.assert_sqlstate(&error, "22P02");
    if queue.in_transaction {
        let error = queue.send(QUEUE, &1).await.expect_err("the transaction has failed");
        queue.context.assert_sqlstate(&error, "25P02");
    } else {
        queue.send(QUEUE, &1).await?;
    }
    Ok(())
}

async fn a_value_that_json_cannot_represent_is_refused(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    // The keys of a JSON object have to be strings.
    let map = BTreeMap::from([((1, 2), 3)]);
    let headers = SendOptions::new().headers(&map);
    for result in [
        queue.send(QUEUE, &map).await.map(drop),
        queue.send_batch(QUEUE, &[map]).await.map(drop),
        queue.send_with(QUEUE, &1, &headers).await.map(drop),
    ] {
        let error = fails_as(ErrorKind::Encode, result);
        assert!(error.to_string().contains("on queue \"q\""), "{error}");
    }
    assert_eq!(queue.metrics(QUEUE).await?.total_messages, 0);
    Ok(())
}

async fn impossible_ids_are_treated_as_missing(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    queue.send(QUEUE, &1).await?;
    for id in [0, -1, i64::MIN, i64::MAX] {
        assert!(!queue.delete(QUEUE, id).await?);
        assert!(!queue.archive(QUEUE, id).await?);
        assert!(queue.get::<Value>(QUEUE, id).await?.is_none());
        assert!(queue.set_vt::<Value>(QUEUE, id, 1).await?.is_none());
        assert!(queue.delete_batch(QUEUE, &[id]).await?.is_empty());
        assert!(queue.archive_batch(QUEUE, &[id]).await?.is_empty());
        assert!(queue.set_vt_batch::<Value>(QUEUE, &[id], 1).await?.is_empty());
        assert!(queue.requeue_archived(QUEUE, &[id]).await?.is_empty());
    }
    assert_eq!(queue.read_archive::<Value>(QUEUE, i64::MIN, 10).await?, []);
    assert_eq!(queue.metrics(QUEUE).await?.queue_length, 1);
    Ok(())
}

async fn sql_and_json_in_a_payload_stay_text(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    for text in ["'; DROP TABLE pgmq.q_q; --", "\"}, {\"", "$1", "NULL", "\\", "{}", "%s"] {
        let headers = SendOptions::new().headers(text);
        queue.send_with(QUEUE, text, &headers).await?;
        let message =
            queue.read_with::<String>(QUEUE, &ReadOptions::new().conditional(text)).await?.remove(0);
        assert_eq!(message.message, text);
        assert_eq!(message.headers.unwrap().parse::<String>()?, text);
        queue.delete(QUEUE, message.msg_id).await?;
    }
    Ok(())
}

async fn nesting_is_accepted_up_to_the_servers_limit_and_refused_beyond(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    let nested = |depth| ("[".repeat(depth) + &"]".repeat(depth)).parse::<RawJson>();
    let too_deep = nested(1_000_000)?;
    for result in [
        queue.send(QUEUE, &too_deep).await.map(drop),
        queue.send_with(QUEUE, &1, &SendOptions::new().headers(&too_deep)).await.map(drop),
        queue.send_batch(QUEUE, &[&too_deep]).await.map(drop),
    ] {
        let error = fails_as(ErrorKind::InvalidArgument, result);
        queue.context.assert_sqlstate(&error, "54001");
    }
    // The server accepts this depth, and `Value` does not.
    let deep = nested(1_000)?;
    queue.send(QUEUE, &deep).await?;
    assert_eq!(queue.read::<RawJson>(QUEUE, 0).await?.unwrap().message, deep);
    let error = fails_as(ErrorKind::Decode, queue.pop::<Value>(QUEUE).await);
    assert_eq!(error.undecoded()[0].message, deep);
    assert_eq!(queue.metrics(QUEUE).await?.queue_length, 0);
    Ok(())
}

/// Texts with a meaning in SQL, as any argument. In half of the cases, the queue has a valid name.
fn hostile_texts() -> impl Strategy<Value = Samples> {
    let text = || {
        let sql = "([a-zA-Z_0-9]|['\"$;%\\\\.*#\n\0 ]|--|/\\*|q_victim|DROP TABLE|ö|队|\u{202e}){0,24}";
        prop_oneof![3 => sql, 1 => "\\PC{0,60}", 1 => "[a-z]{1,9}(\\.[a-z*#]{1,9}){0,40}", 1 => "[a-z]{1,9}"]
    };
    let victims =
        prop::sample::select(vec!["../secret", "victim\" -", "q.secret", "public.secret", "pg_class"]);
    let queue = prop_oneof![
        1 => text(),
        1 => "([a-zA-Z_0-9]|[\"%\\\\.*#\n()\\[\\]{}=,@ \t]|/\\*|ö|队|İ|ẞ|\u{202e}){1,20}",
        1 => victims.prop_map(ToOwned::to_owned),
    ];
    // Another case covers JSON that cannot be sent, which polls would wait for.
    let json = text().prop_map(|text| text.replace('\0', ""));
    (queue, text(), text(), text(), json).prop_map(|(queue, routing_key, pattern, interval, json)| Samples {
        queue,
        routing_key,
        pattern,
        interval,
        json,
        ..samples("")
    })
}

/// Everything in the database except the messages of queues: relations, functions, triggers, and the contents
/// of the victims.
const STATE: &str = "SELECT concat_ws(E'\\n', \
    (SELECT string_agg(oid::regclass || ' ' || relkind::text, ' ' ORDER BY oid) FROM pg_class \
     WHERE relnamespace::regnamespace::text !~ '^(pg_|information_schema|partman)'), \
    (SELECT string_agg(oid::regprocedure::text, ' ' ORDER BY oid) FROM pg_proc \
     WHERE pronamespace::regnamespace::text !~ '^(pg_|information_schema|partman)'), \
    (SELECT string_agg(tgname::text, ' ' ORDER BY oid) FROM pg_trigger), \
    (SELECT string_agg(queue_name::text, ' ' ORDER BY queue_name) FROM pgmq.meta), \
    (SELECT string_agg(word, ' ') FROM public.secret), (SELECT string_agg(word, ' ') FROM pgmq.secret), \
    (SELECT string_agg(message::text, ' ') FROM public.q_victim))";

async fn no_text_in_any_argument_affects_anything_but_queues(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    if !queue.context.has_pgmq("1.6.0") {
        // In older versions, a queue whose archive was detached cannot be dropped.
        return Ok(());
    }
    const SECRET: &str = "a text that no operation may return";
    queue.context.execute(&format!(
        "CREATE TABLE public.secret AS SELECT '{SECRET}' AS word; CREATE TABLE pgmq.secret AS TABLE public.secret; \
         CREATE TABLE public.q_victim (LIKE pgmq.q_q INCLUDING ALL); \
         INSERT INTO public.q_victim (vt, message) VALUES (now(), to_jsonb('{SECRET}'::text))"
    ))?;
    // Some operations create indexes on all queues, so there must be no other queue.
    queue.drop_queue(QUEUE).await?;
    let before = queue.context.query_value(STATE)?;
    let mut runner = runner();
    for case in 0..runner.config().cases {
        let texts = hostile_texts().new_tree(&mut runner).expect("the strategy generates texts").current();
        let created = queue.create_queue(&texts.queue).await.is_ok();
        // pg_partman creates additional tables.
        let others =
            |operation: &Operation| !operation.has(Property::NeedsPartman) && operation.name != "drop_queue";
        for (operation, result) in on_every_operation(&**queue, &texts, others).await {
            match result {
                Ok(shown) => {
                    assert!(
                        !shown.contains(SECRET),
                        "case {case}: {operation} of {texts:?} returned {shown}"
                    );
                }
                Err(error) => {
                    let text = error_chain(&error);
                    let is_known = match error.kind() {
                        ErrorKind::InvalidArgument
                        | ErrorKind::Encode
                        | ErrorKind::QueueNotFound
                        | ErrorKind::Unsupported => true,
                        ErrorKind::Database => text.contains("does not have notify_insert enabled"),
                        _ => false,
                    };
                    assert!(
                        is_known && !text.contains("syntax error"),
                        "case {case}: {operation} of {texts:?}: {text}"
                    );
                }
            }
        }
        if created {
            assert!(queue.drop_queue(&texts.queue).await?, "case {case}: {texts:?}");
        }
        assert_eq!(queue.context.query_value(STATE)?, before, "case {case}: {texts:?}");
    }
    Ok(())
}

/// Generates the same texts in every run, so that failures can be reproduced: a hundred, or `PROPTEST_CASES`.
fn runner() -> TestRunner {
    let is_set = env::var_os("PROPTEST_CASES").is_some();
    let config = if is_set { Config::default() } else { Config::with_cases(100) };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}
