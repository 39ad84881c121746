//! Topics: binding, routing, sending.

use chrono::{TimeDelta, Utc};
use pgmq_core::{AsyncQueue, ErrorKind, SendBatchOptions, SendOptions};
use serde_json::{Value, json};

use crate::{
    conformance::send::Given,
    kit::check::{Stopwatch, fails_as, payloads, sorted, whole_micros},
    kit::context::{QUEUE, QueueUnderTest},
    kit::failure::Outcome,
    kit::table::cases,
};

cases! { topics:
    everywhere [bind_topic, list_topic_bindings, list_topic_bindings_for]
        bindings_are_listed_for_all_queues_and_for_one;
    everywhere [bind_topic] binding_twice_is_no_error;
    everywhere [unbind_topic] unbinding_returns_true_only_if_the_binding_existed;
    everywhere [bind_topic, unbind_topic, list_topic_bindings_for]
        a_queue_that_another_client_made_with_capitals_can_be_bound;
    pool [unbind_topic, list_topic_bindings_for] a_queue_in_two_spellings_has_the_bindings_of_both;
    everywhere [drop_queue, list_topic_bindings] dropping_a_queue_removes_its_bindings;
    everywhere [test_routing] routing_can_be_tested_without_sending;
    everywhere [send_topic] a_star_matches_one_word_and_a_hash_any_number;
    everywhere [send_topic] a_message_reaches_each_matching_queue_once;
    everywhere [send_topic, send_topic_with, send_batch_topic]
        a_message_that_matches_no_queue_returns_zero_and_is_stored_nowhere;
    everywhere [send_topic_with] every_combination_of_headers_and_delay_reaches_the_queues;
    everywhere [send_topic_with] a_topic_delay_in_the_past_means_now;
    everywhere [send_batch_topic] a_batch_reaches_every_queue_in_order;
    everywhere [send_batch_topic_with] every_combination_of_headers_and_delay_reaches_the_queues_in_a_batch;
    everywhere [send_batch_topic, send_batch_topic_with] an_empty_batch_reaches_no_queue;
    everywhere [validate_routing_key] validate_routing_key_returns_false_instead_of_an_error;
    everywhere [validate_topic_pattern] validate_topic_pattern_returns_false_instead_of_an_error;
    everywhere [bind_topic, unbind_topic, test_routing, send_topic, send_topic_with, send_batch_topic,
        send_batch_topic_with]
        bad_keys_and_patterns_are_refused_before_anything_is_sent;
    everywhere [bind_topic] binding_a_missing_queue_is_queue_not_found;
}

async fn bindings_are_listed_for_all_queues_and_for_one(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    assert!(queue.list_topic_bindings().await?.is_empty());
    queue.create_queue("other").await?;
    let before = queue.context.now()?;
    queue.bind_topic(QUEUE, "logs.*").await?;
    queue.bind_topic("Other", "logs.#").await?;
    let mut all = queue.list_topic_bindings().await?;
    all.sort_by(|a, b| a.queue_name.cmp(&b.queue_name));
    let seen: Vec<_> = all
        .iter()
        .map(|binding| {
            (binding.queue_name.as_str(), binding.pattern.as_str(), binding.compiled_regex.as_str())
        })
        .collect();
    assert_eq!(seen, [("other", "logs.#", r"^logs\..*$"), (QUEUE, "logs.*", r"^logs\.[^.]+$")]);
    assert!((all[0].bound_at - before).abs() < TimeDelta::seconds(10), "{all:?}");
    assert_eq!(queue.list_topic_bindings_for("OTHER").await?, all[..1]);
    assert_eq!(queue.list_topic_bindings_for(QUEUE).await?, all[1..]);
    assert!(queue.list_topic_bindings_for("missing").await?.is_empty());
    Ok(())
}

async fn binding_twice_is_no_error(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    queue.bind_topic(QUEUE, "a.b").await?;
    queue.bind_topic("Q", "a.b").await?;
    assert_eq!(queue.list_topic_bindings().await?.len(), 1);
    Ok(())
}

async fn a_queue_that_another_client_made_with_capitals_can_be_bound(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    assert!(queue.list_topic_bindings_for("MyQ").await?.is_empty());
    queue.context.execute("SELECT pgmq.create('MyQ'); SELECT pgmq.bind_topic('theirs.*', 'MyQ')")?;
    queue.bind_topic("MyQ", "ours.*").await?;
    let mut patterns = Vec::new();
    for binding in queue.list_topic_bindings_for("myq").await? {
        assert_eq!(binding.queue_name, "MyQ");
        patterns.push(binding.pattern);
    }
    patterns.sort();
    assert_eq!(patterns, ["ours.*", "theirs.*"]);
    assert_eq!(queue.send_topic("theirs.1", &1).await?, 1);
    assert!(queue.unbind_topic("MyQ", "theirs.*").await?);
    assert!(!queue.unbind_topic("MyQ", "theirs.*").await?);
    assert_eq!(queue.send_topic("theirs.1", &1).await?, 0);
    assert_eq!(queue.metrics("MyQ").await?.queue_length, 1);
    Ok(())
}

async fn a_queue_in_two_spellings_has_the_bindings_of_both(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    assert!(queue.list_topic_bindings_for("MyQ").await?.is_empty());
    queue.context.execute(
        "SELECT pgmq.create('myq'); SELECT pgmq.create('MyQ'); SELECT pgmq.bind_topic('a.*', 'MyQ')",
    )?;
    queue.bind_topic("MyQ", "a.*").await?;
    assert_eq!(queue.list_topic_bindings_for("myq").await?.len(), 2);
    assert!(queue.unbind_topic("myq", "a.*").await?);
    assert!(queue.list_topic_bindings_for("MyQ").await?.is_empty());
    assert!(!queue.unbind_topic("myq", "a.*").await?);
    Ok(())
}

async fn unbinding_returns_true_only_if_the_binding_existed(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    queue.bind_topic(QUEUE, "a.b").await?;
    assert!(!queue.unbind_topic(QUEUE, "a.c").await?);
    assert!(queue.unbind_topic("Q", "a.b").await?);
    assert!(!queue.unbind_topic(QUEUE, "a.b").await?);
    assert!(!queue.unbind_topic("missing", "a.b").await?);
    assert!(queue.list_topic_bindings().await?.is_empty());
    Ok(())
}

async fn dropping_a_queue_removes_its_bindings(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    queue.bind_topic(QUEUE, "a.b").await?;
    assert!(queue.drop_queue(QUEUE).await?);
    assert!(queue.list_topic_bindings().await?.is_empty());
    assert_eq!(queue.send_topic("a.b", &1).await?, 0);
    Ok(())
}

async fn routing_can_be_tested_without_sending(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    queue.create_queue("other").await?;
    queue.bind_topic(QUEUE, "logs.*").await?;
    queue.bind_topic(QUEUE, "#").await?;
    queue.bind_topic("other", "metrics.*").await?;
    let matches = queue.test_routing("logs.error").await?;
    let seen: Vec<_> = matches
        .iter()
        .map(|found| (found.pattern.as_str(), found.queue_name.as_str(), found.compiled_regex.as_str()))
        .collect();
    assert_eq!(seen, [("#", QUEUE, "^.*$"), ("logs.*", QUEUE, r"^logs\.[^.]+$")]);
    assert!(queue.peek::<Value>(QUEUE, 10).await?.is_empty());
    Ok(())
}

async fn a_star_matches_one_word_and_a_hash_any_number(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    for (name, pattern) in
        [("exact", "logs.app.error"), ("star", "logs.*.error"), ("hash", "logs.#"), ("all", "#")]
    {
        queue.create_queue(name).await?;
        queue.bind_topic(name, pattern).await?;
    }
    for (key, reached) in [
        ("logs.app.error", 4),
        ("logs.db.error", 3),
        ("logs.a.b.error", 2),
        ("metrics.app.error", 1),
        ("LOGS.app.error", 1),
    ] {
        assert_eq!(queue.send_topic(key, key).await?, reached, "{key}");
    }
    assert_eq!(payloads(queue.read_batch::<String>("exact", 30, 10).await?), ["logs.app.error"]);
    assert_eq!(
        payloads(queue.read_batch::<String>("star", 30, 10).await?),
        ["logs.app.error", "logs.db.error"]
    );
    assert_eq!(queue.read_batch::<String>("all", 30, 10).await?.len(), 5);
    Ok(())
}

async fn a_message_reaches_each_matching_queue_once(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    queue.create_queue("other").await?;
    queue.bind_topic(QUEUE, "a.*").await?;
    queue.bind_topic(QUEUE, "a.#").await?;
    queue.bind_topic("other", "a.b").await?;
    assert_eq!(queue.send_topic("a.b", &json!({"to": "both"})).await?, 2);
    for name in [QUEUE, "other"] {
        let got = queue.peek::<Value>(name, 10).await?;
        assert_eq!(got.len(), 1);
        assert_eq!((got[0].headers.clone(), got[0].message.clone()), (None, json!({"to": "both"})));
    }
    Ok(())
}

async fn a_message_that_matches_no_queue_returns_zero_and_is_stored_nowhere(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    queue.bind_topic(QUEUE, "a.b").await?;
    assert_eq!(queue.send_topic("a.c", &1).await?, 0);
    assert_eq!(queue.send_topic_with("a.c", &1, &SendOptions::new().delay(1).headers(&1)).await?, 0);
    assert!(queue.send_batch_topic("a.c", &[1, 2]).await?.is_empty());
    assert_eq!(queue.metrics(QUEUE).await?.total_messages, 0);
    Ok(())
}

async fn every_combination_of_headers_and_delay_reaches_the_queues(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    queue.bind_topic(QUEUE, "#").await?;
    for given in Given::all() {
        for with_headers in [None, Some(&json!({"h": [1, null]}))] {
            let options = given.send(SendOptions::new());
            let options = match with_headers {
                None => options,
                Some(headers) => options.headers(headers),
            };
            let watch = Stopwatch::start(queue.context)?;
            assert_eq!(queue.send_topic_with("any.key", "message", &options).await?, 1);
            let sent = queue.metrics(QUEUE).await?.total_messages;
            let message = queue.get::<String>(QUEUE, sent).await?.unwrap();
            assert_eq!(message.message, "message");
            let came: Option<Value> = message.headers.map(|headers| headers.parse()).transpose()?;
            assert_eq!(came.as_ref(), with_headers);
            match given {
                // The server accepts whole seconds from now, so the delay is rounded up.
                Given::At(at) => {
                    assert!(
                        message.vt >= at && message.vt < at + TimeDelta::seconds(2),
                        "{} for {at}",
                        message.vt
                    );
                }
                _ => given.is_kept(&watch, message.vt)?,
            }
        }
    }
    Ok(())
}

async fn a_topic_delay_in_the_past_means_now(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    queue.bind_topic(QUEUE, "#").await?;
    let yesterday = whole_micros(Utc::now() - TimeDelta::days(1));
    assert_eq!(queue.send_topic_with("k", &1, &SendOptions::new().delay(yesterday)).await?, 1);
    let batch = SendBatchOptions::new().delay(yesterday);
    assert_eq!(queue.send_batch_topic_with("k", &[2], &batch).await?.len(), 1);
    assert_eq!(payloads(queue.read_batch::<i32>(QUEUE, 30, 10).await?), [1, 2]);
    Ok(())
}

async fn a_batch_reaches_every_queue_in_order(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    queue.create_queue("other").await?;
    queue.send("other", "was there").await?;
    queue.bind_topic(QUEUE, "a.*").await?;
    queue.bind_topic(QUEUE, "#").await?;
    queue.bind_topic("other", "a.b").await?;
    let sent = queue.send_batch_topic("a.b", &["one", "two"]).await?;
    let seen: Vec<_> = sent.iter().map(|sent| (sent.queue_name.as_str(), sent.msg_id)).collect();
    assert_eq!(seen, [("other", 2), ("other", 3), (QUEUE, 1), (QUEUE, 2)]);
    assert_eq!(payloads(queue.read_batch::<String>(QUEUE, 30, 10).await?), ["one", "two"]);
    Ok(())
}

async fn every_combination_of_headers_and_delay_reaches_the_queues_in_a_batch(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    queue.bind_topic(QUEUE, "#").await?;
    let headers = [Some(json!({"n": 1})), None];
    for given in Given::all() {
        for with_headers in [false, true] {
            let mut options = given.send_batch(SendBatchOptions::new());
            if with_headers {
                options = options.headers(headers.clone());
            }
            let watch = Stopwatch::start(queue.context)?;
            let sent = queue.send_batch_topic_with("any.key", &["a", "b"], &options).await?;
            assert_eq!(sent.len(), 2);
            for ((sent, payload), headers) in sent.into_iter().zip(["a", "b"]).zip(&headers) {
                let message = queue.get::<String>(&sent.queue_name, sent.msg_id).await?.unwrap();
                assert_eq!(message.message, payload);
                given.is_kept(&watch, message.vt)?;
                let came: Option<Value> = message.headers.map(|headers| headers.parse()).transpose()?;
                assert_eq!(came.as_ref(), headers.as_ref().filter(|_| with_headers));
            }
        }
    }
    Ok(())
}

async fn an_empty_batch_reaches_no_queue(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    queue.bind_topic(QUEUE, "#").await?;
    let nothing: [i32; 0] = [];
    assert!(queue.send_batch_topic("a.b", &nothing).await?.is_empty());
    let options = SendBatchOptions::new().headers([None::<Value>; 0]).delay(1);
    assert!(queue.send_batch_topic_with("a.b", &nothing, &options).await?.is_empty());
    assert_eq!(queue.metrics(QUEUE).await?.total_messages, 0);
    Ok(())
}

const BAD_KEYS: [&str; 9] = ["", ".a", "a.", "a..b", "a b", "a.*", "#", "größe", "x'; DROP TABLE y; --"];
const BAD_PATTERNS: [&str; 10] =
    ["", ".a", "a.", "a..b", "a b", "**", "a.##", "*#", "#*", "x'; DROP TABLE y; --"];

async fn validate_routing_key_returns_false_instead_of_an_error(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    for key in ["a", "logs.error", "app.user-service.auth_1", "A.B", &"k".repeat(255)] {
        assert!(queue.validate_routing_key(key).await?, "{key}");
    }
    for key in BAD_KEYS {
        assert!(!queue.validate_routing_key(key).await?, "{key}");
    }
    assert!(!queue.validate_routing_key(&"k".repeat(256)).await?);
    // Inside a transaction this would fail if the server had returned an error before.
    assert_eq!(queue.send(QUEUE, &1).await?, 1);
    Ok(())
}

async fn validate_topic_pattern_returns_false_instead_of_an_error(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    for pattern in ["a", "logs.*", "logs.#", "*.error", "#", "app.*.#", &"p".repeat(255)] {
        assert!(queue.validate_topic_pattern(pattern).await?, "{pattern}");
    }
    for pattern in BAD_PATTERNS {
        assert!(!queue.validate_topic_pattern(pattern).await?, "{pattern}");
    }
    assert!(!queue.validate_topic_pattern(&"p".repeat(256)).await?);
    assert_eq!(queue.send(QUEUE, &1).await?, 1);
    Ok(())
}

async fn bad_keys_and_patterns_are_refused_before_anything_is_sent(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    const KIND: ErrorKind = ErrorKind::InvalidArgument;
    queue.bind_topic(QUEUE, "#").await?;
    for key in BAD_KEYS {
        fails_as(KIND, queue.test_routing(key).await);
        fails_as(KIND, queue.send_topic(key, &1).await);
        fails_as(KIND, queue.send_topic_with(key, &1, &SendOptions::new().delay(1)).await);
        fails_as(KIND, queue.send_batch_topic(key, &[1]).await);
        fails_as(KIND, queue.send_batch_topic_with(key, &[1], &SendBatchOptions::new().delay(1)).await);
    }
    for pattern in BAD_PATTERNS {
        fails_as(KIND, queue.bind_topic(QUEUE, pattern).await);
        fails_as(KIND, queue.unbind_topic(QUEUE, pattern).await);
    }
    // Inside a transaction this also shows that no request was sent, since a failed request aborts it.
    assert_eq!(queue.metrics(QUEUE).await?.total_messages, 0);
    assert_eq!(queue.list_topic_bindings().await?.len(), 1);
    assert_eq!(sorted(queue.send_batch(QUEUE, &[1, 2]).await?), [1, 2]);
    Ok(())
}

async fn binding_a_missing_queue_is_queue_not_found(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    let error = fails_as(ErrorKind::QueueNotFound, queue.bind_topic("missing", "a.b").await);
    assert!(error.to_string().contains("missing"), "{error}");
    Ok(())
}
