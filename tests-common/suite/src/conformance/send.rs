//! Sending single messages and batches.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use pgmq_core::{AsyncQueue, ErrorKind, Message, QueueError, RawJson, SendBatchOptions, SendOptions};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use std::time::Duration;

use crate::kit::{
    check::{Stopwatch, fails_as, ids, payloads, whole_micros},
    context::{QUEUE, QueueUnderTest},
    failure::{Failure, Outcome},
    table::cases,
};

cases! { send:
    everywhere [send, get] a_message_comes_back_as_it_was_sent;
    everywhere [send] ids_grow_by_one_with_each_message;
    everywhere [send, read] any_json_can_be_a_message;
    everywhere [send, send_with, send_batch, send_batch_with] numbers_keep_every_digit;
    everywhere [send, send_batch] a_number_that_json_cannot_represent_is_stored_as_null;
    everywhere [send, send_batch] text_of_any_kind_is_returned_unchanged;
    everywhere [send_with] every_combination_of_headers_and_delay_takes_effect;
    everywhere [send_with] a_delay_in_the_past_means_now;
    everywhere [send_with, send_batch_with, set_vt] every_point_in_time_is_accepted;
    everywhere [send_with, read] a_delayed_message_is_not_visible_yet;
    everywhere [send_with, send_batch_with] a_duration_as_the_delay_is_rounded_up_to_whole_seconds;
    everywhere [send, send_with, send_batch, send_batch_with] absent_headers_are_null_in_sql_and_not_in_json;
    everywhere [send_with] headers_can_be_any_json;
    everywhere [send_batch] a_batch_keeps_its_order;
    everywhere [send_batch] a_batch_of_ten_thousand_messages_is_one_call;
    everywhere [send_batch_with] every_combination_of_headers_and_delay_takes_effect_in_a_batch;
    everywhere [send_batch, send_batch_with] an_empty_batch_sends_no_request;
    everywhere [send_batch] a_batch_is_sent_as_a_whole_or_not_at_all;
    everywhere [send_batch_with] headers_that_differ_in_number_from_the_messages_are_refused;
    everywhere [send, send_batch, read] a_message_of_ten_megabytes_is_sent_and_read;
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Order {
    id: u64,
    lines: Vec<(String, Option<f64>)>,
    status: Status,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Status {
    New,
    Paid { by: String },
}

fn order() -> Order {
    let status = Status::Paid { by: "card".to_owned() };
    Order { id: u64::MAX, lines: vec![("bolt".to_owned(), Some(0.25)), ("nut".to_owned(), None)], status }
}

async fn a_message_comes_back_as_it_was_sent(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    let watch = Stopwatch::start(queue.context)?;
    let before = queue.context.now()?;
    let id = queue.send(QUEUE, &order()).await?;
    let got = queue.get::<Order>(QUEUE, id).await?.unwrap();
    watch.is_counted_from_now(got.vt, 0)?;
    // Inside a transaction the time is its start.
    assert!((got.enqueued_at - before).abs() < TimeDelta::seconds(10), "{got:?}");
    let mut expected = Message::new(id, order());
    (expected.enqueued_at, expected.vt) = (got.enqueued_at, got.vt);
    assert_eq!(got, expected);
    Ok(())
}

async fn ids_grow_by_one_with_each_message(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    assert_eq!(queue.send(QUEUE, &1).await?, 1);
    assert_eq!(queue.send_batch(QUEUE, &[2, 3]).await?, [2, 3]);
    assert_eq!(queue.send_with(QUEUE, &4, &SendOptions::new()).await?, 4);
    assert_eq!(queue.send_batch_with(QUEUE, &[5, 6], &SendBatchOptions::new()).await?, [5, 6]);
    Ok(())
}

async fn any_json_can_be_a_message(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    if queue.counts_from_transaction_start() {
        // The message is not visible to `pop` in this transaction.
        return Ok(());
    }
    queue.send(QUEUE, "text").await?;
    assert_eq!(queue.pop::<String>(QUEUE).await?.unwrap().message, "text");
    queue.send(QUEUE, &[1, 2][..]).await?;
    assert_eq!(queue.pop::<Vec<i32>>(QUEUE).await?.unwrap().message, [1, 2]);
    queue.send(QUEUE, &true).await?;
    assert!(queue.pop::<bool>(QUEUE).await?.unwrap().message);
    queue.send(QUEUE, &()).await?;
    assert_eq!(queue.pop::<Option<i32>>(QUEUE).await?.unwrap().message, None);
    queue.send(QUEUE, &Status::New).await?;
    assert_eq!(queue.pop::<Status>(QUEUE).await?.unwrap().message, Status::New);
    queue.send(QUEUE, &Value::Null).await?;
    assert_eq!(queue.pop::<Value>(QUEUE).await?.unwrap().message, Value::Null);
    let raw: RawJson = r#"{"a":[]}"#.parse()?;
    queue.send(QUEUE, &raw).await?;
    assert_eq!(queue.pop::<BTreeMap<String, Vec<i32>>>(QUEUE).await?.unwrap().message["a"], [0; 0]);
    Ok(())
}

async fn numbers_keep_every_digit(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    let numbers = [
        "18446744073709551615",
        "12345678901234567890.12345",
        "-0.10",
        "3.14159265358979323846264338327950288",
    ];
    for text in numbers {
        let raw: RawJson = text.parse()?;
        let wanted = (text.to_owned(), Some(text.to_owned()));
        queue.send_with(QUEUE, &raw, &SendOptions::new().headers(&raw)).await?;
        queue
            .send_batch_with(
                QUEUE,
                std::slice::from_ref(&raw),
                &SendBatchOptions::new().headers([Some(&raw)]),
            )
            .await?;
        for _ in 0..2 {
            let message = queue.pop::<RawJson>(QUEUE).await?.unwrap();
            assert_eq!((message.message.to_string(), message.headers.map(|text| text.to_string())), wanted);
        }
    }
    queue.send(QUEUE, &u64::MAX).await?;
    assert_eq!(queue.pop::<u64>(QUEUE).await?.unwrap().message, u64::MAX);
    queue.send_batch(QUEUE, &[i64::MIN]).await?;
    assert_eq!(queue.pop::<i64>(QUEUE).await?.unwrap().message, i64::MIN);
    queue.send(QUEUE, &0.1_f64).await?;
    assert_eq!(queue.pop::<f64>(QUEUE).await?.unwrap().message.to_bits(), 0.1_f64.to_bits());
    Ok(())
}

async fn a_number_that_json_cannot_represent_is_stored_as_null(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    let numbers = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    queue.send_batch(QUEUE, &numbers).await?;
    for number in numbers {
        queue.send(QUEUE, &number).await?;
    }
    let error = fails_as(ErrorKind::Decode, queue.peek::<f64>(QUEUE, 10).await);
    assert!(error.undecoded().iter().all(|message| message.message.get() == "null"), "{error:?}");
    assert_eq!(payloads(queue.peek::<Option<f64>>(QUEUE, 10).await?), [None; 6]);
    Ok(())
}

async fn text_of_any_kind_is_returned_unchanged(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    let texts = [
        "",
        " ",
        "größe 队列 🦀 \u{1F468}\u{200D}\u{1F469}",
        "\"quoted\" 'single' \\ / \u{8}\u{c}\n\r\t",
        "\u{1}\u{1f}\u{7f}\u{2028}\u{feff}\u{10ffff}",
        r"\u0000 is six characters",
        "x'; DROP TABLE y; --",
        "$1 %s {}",
    ];
    queue.send_batch(QUEUE, &texts).await?;
    assert_eq!(payloads(queue.read_batch::<String>(QUEUE, 30, 100).await?), texts);
    for text in texts {
        let id = queue.send(QUEUE, text).await?;
        assert_eq!(queue.get::<String>(QUEUE, id).await?.unwrap().message, text);
    }
    let mut nested = json!("the bottom");
    for _ in 0..100 {
        nested = json!([nested]);
    }
    let id = queue.send(QUEUE, &nested).await?;
    assert_eq!(queue.get::<Value>(QUEUE, id).await?.unwrap().message, nested);
    Ok(())
}

/// The delays that each select a different SQL text, with their effects.
#[derive(Clone, Copy)]
pub(super) enum Given {
    Nothing,
    Duration,
    Seconds,
    At(DateTime<Utc>),
}

impl Given {
    pub(super) fn all() -> [Self; 4] {
        [
            Self::Nothing,
            Self::Duration,
            Self::Seconds,
            Self::At(whole_micros(Utc::now() + TimeDelta::seconds(3600))),
        ]
    }

    pub(super) fn send(self, options: SendOptions) -> SendOptions {
        match self {
            Self::Nothing => options,
            Self::Duration => options.delay(Duration::from_secs(120)),
            Self::Seconds => options.delay(180),
            Self::At(at) => options.delay(at),
        }
    }

    pub(super) fn send_batch(self, options: SendBatchOptions) -> SendBatchOptions {
        match self {
            Self::Nothing => options,
            Self::Duration => options.delay(Duration::from_secs(120)),
            Self::Seconds => options.delay(180),
            Self::At(at) => options.delay(at),
        }
    }

    #[track_caller]
    pub(super) fn is_kept(self, watch: &Stopwatch<'_>, vt: DateTime<Utc>) -> Result<(), Failure> {
        match self {
            Self::Nothing => watch.is_counted_from_now(vt, 0),
            Self::Duration => watch.is_counted_from_now(vt, 120),
            Self::Seconds => watch.is_counted_from_now(vt, 180),
            Self::At(at) => {
                assert_eq!(vt, at);
                Ok(())
            }
        }
    }
}

async fn every_combination_of_headers_and_delay_takes_effect(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    let headers = json!({"x-pgmq-group": "g", "trace": [1, 2.5, null]});
    for given in Given::all() {
        for with_headers in [None, Some(&headers)] {
            let options = given.send(SendOptions::new());
            let options = match with_headers {
                None => options,
                Some(headers) => options.headers(headers),
            };
            let watch = Stopwatch::start(queue.context)?;
            let id = queue.send_with(QUEUE, "message", &options).await?;
            let message = queue.get::<String>(QUEUE, id).await?.unwrap();
            given.is_kept(&watch, message.vt)?;
            assert_eq!((message.message.as_str(), message.read_ct), ("message", 0));
            let came: Option<Value> = message.headers.map(|headers| headers.parse()).transpose()?;
            assert_eq!(came.as_ref(), with_headers);
        }
    }
    Ok(())
}

async fn a_delay_in_the_past_means_now(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    let at = whole_micros(Utc::now() - TimeDelta::days(1));
    let id = queue.send_with(QUEUE, &1, &SendOptions::new().delay(at)).await?;
    let read = queue.read::<i32>(QUEUE, 30).await?.unwrap();
    assert_eq!(read.msg_id, id);
    let zero = queue.send_with(QUEUE, &2, &SendOptions::new().delay(0)).await?;
    assert_eq!(queue.read::<i32>(QUEUE, 30).await?.unwrap().msg_id, zero);
    Ok(())
}

async fn every_point_in_time_is_accepted(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    for (at, is_past) in [(DateTime::<Utc>::MIN_UTC, true), (DateTime::<Utc>::MAX_UTC, false)] {
        let one = queue.send_with(QUEUE, &1, &SendOptions::new().delay(at)).await?;
        let [two] = queue.send_batch_with(QUEUE, &[2], &SendBatchOptions::new().delay(at)).await?[..] else {
            panic!("one message was sent")
        };
        let visible: Vec<_> =
            queue.peek::<i32>(QUEUE, 9).await?.iter().map(|message| message.msg_id).collect();
        assert_eq!(visible, if is_past { vec![one, two] } else { vec![] });
        queue.delete_batch(QUEUE, &[one, two]).await?;
    }
    let id = queue.send(QUEUE, &3).await?;
    let hidden = queue.set_vt::<i32>(QUEUE, id, DateTime::<Utc>::MAX_UTC).await?.unwrap();
    assert_eq!(hidden.vt, whole_micros(DateTime::<Utc>::MAX_UTC));
    assert!(queue.read::<i32>(QUEUE, 30).await?.is_none());
    queue.set_vt::<i32>(QUEUE, id, DateTime::<Utc>::MIN_UTC).await?;
    assert_eq!(queue.read::<i32>(QUEUE, 30).await?.unwrap().msg_id, id);
    Ok(())
}

async fn a_delayed_message_is_not_visible_yet(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    let id = queue.send_with(QUEUE, &1, &SendOptions::new().delay(600)).await?;
    assert!(queue.read::<i32>(QUEUE, 30).await?.is_none());
    assert!(queue.peek::<i32>(QUEUE, 10).await?.is_empty());
    queue.set_vt::<i32>(QUEUE, id, 0).await?;
    assert_eq!(queue.read::<i32>(QUEUE, 30).await?.unwrap().msg_id, id);
    Ok(())
}

async fn a_duration_as_the_delay_is_rounded_up_to_whole_seconds(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    for (delay, seconds) in
        [(Duration::from_millis(900), 1), (Duration::from_nanos(1), 1), (Duration::from_millis(60_001), 61)]
    {
        let watch = Stopwatch::start(queue.context)?;
        let one = queue.send_with(QUEUE, &1, &SendOptions::new().delay(delay)).await?;
        let many = queue.send_batch_with(QUEUE, &[1], &SendBatchOptions::new().delay(delay)).await?;
        for id in [one, many[0]] {
            watch.is_counted_from_now(queue.get::<i32>(QUEUE, id).await?.unwrap().vt, seconds)?;
        }
    }
    Ok(())
}

async fn absent_headers_are_null_in_sql_and_not_in_json(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    queue.send(QUEUE, &1).await?;
    queue.send_with(QUEUE, &2, &SendOptions::new().delay(0)).await?;
    queue.send_batch(QUEUE, &[3, 4]).await?;
    queue.send_batch_with(QUEUE, &[5], &SendBatchOptions::new().delay(0)).await?;
    queue
        .send_batch_with(QUEUE, &[6, 7], &SendBatchOptions::new().headers([None, Some(json!({"h": 7}))]))
        .await?;
    queue.send_batch_with(QUEUE, &[8], &SendBatchOptions::new().headers([None::<Value>]).delay(0)).await?;
    let headers: Vec<_> = queue
        .peek::<i32>(QUEUE, 100)
        .await?
        .into_iter()
        .map(|message| (message.message, message.headers.map(|headers| headers.to_string())))
        .collect();
    let expected = (1..=8).map(|id| (id, (id == 7).then(|| r#"{"h": 7}"#.to_owned())));
    assert_eq!(headers, expected.collect::<Vec<_>>());
    if !queue.in_transaction {
        assert_eq!(queue.context.query_value("SELECT count(*) FROM pgmq.q_q WHERE headers IS NULL")?, "7");
    }
    Ok(())
}

async fn headers_can_be_any_json(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    for headers in [json!({}), json!([1]), json!("text"), json!([null]), json!(1.5)] {
        let id = queue.send_with(QUEUE, &1, &SendOptions::new().headers(&headers)).await?;
        let came = queue.get::<i32>(QUEUE, id).await?.unwrap().headers;
        assert_eq!(came.map(|headers| headers.parse::<Value>()).transpose()?, Some(headers));
    }
    // Headers that serialize as `null` are absent headers.
    let id = queue.send_with(QUEUE, &1, &SendOptions::new().headers(&None::<i32>)).await?;
    assert_eq!(queue.get::<i32>(QUEUE, id).await?.unwrap().headers, None);
    let options = SendBatchOptions::new().headers([Some(json!(null)), Some(json!(1))]);
    let sent = queue.send_batch_with(QUEUE, &[1, 2], &options).await?;
    assert_eq!(queue.get::<i32>(QUEUE, sent[0]).await?.unwrap().headers, None);
    assert_eq!(queue.get::<i32>(QUEUE, sent[1]).await?.unwrap().headers.unwrap().get(), "1");
    Ok(())
}

async fn a_batch_keeps_its_order(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    let words = ["z", "y", "x", "a", "b", "c"];
    let sent = queue.send_batch(QUEUE, &words).await?;
    assert_eq!(sent, [1, 2, 3, 4, 5, 6]);
    let read = queue.read_batch::<String>(QUEUE, 30, 100).await?;
    assert_eq!(ids(&read), sent);
    assert_eq!(payloads(read), words);
    Ok(())
}

async fn a_batch_of_ten_thousand_messages_is_one_call(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    let numbers: Vec<i32> = (0..10_000).collect();
    let sent = queue.send_batch(QUEUE, &numbers).await?;
    assert_eq!(sent, (1..=10_000).collect::<Vec<_>>());
    let read = queue.read_batch::<i32>(QUEUE, 30, 20_000).await?;
    assert_eq!(ids(&read), sent);
    assert_eq!(payloads(read), numbers);
    assert_eq!(queue.delete_batch(QUEUE, &sent).await?.len(), 10_000);
    Ok(())
}

async fn every_combination_of_headers_and_delay_takes_effect_in_a_batch(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    let headers = [Some(json!({"n": 1})), None, Some(json!({"n": 3}))];
    for given in Given::all() {
        for with_headers in [false, true] {
            let mut options = given.send_batch(SendBatchOptions::new());
            if with_headers {
                options = options.headers(headers.clone());
            }
            let watch = Stopwatch::start(queue.context)?;
            let sent = queue.send_batch_with(QUEUE, &["a", "b", "c"], &options).await?;
            for ((id, payload), headers) in sent.into_iter().zip(["a", "b", "c"]).zip(&headers) {
                let message = queue.get::<String>(QUEUE, id).await?.unwrap();
                assert_eq!(message.message, payload);
                given.is_kept(&watch, message.vt)?;
                let came: Option<Value> = message.headers.map(|headers| headers.parse()).transpose()?;
                assert_eq!(came.as_ref(), headers.as_ref().filter(|_| with_headers));
            }
        }
    }
    Ok(())
}

async fn an_empty_batch_sends_no_request(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    // The queue is missing, so a request would fail.
    let nothing: [i32; 0] = [];
    assert_eq!(queue.send_batch("missing", &nothing).await?, [0; 0]);
    let options = SendBatchOptions::new().delay(1).headers([None::<Value>; 0]);
    assert_eq!(queue.send_batch_with("missing", &nothing, &options).await?, [0; 0]);
    assert_eq!(queue.send_batch(QUEUE, &nothing).await?, [0; 0]);
    assert_eq!(queue.metrics(QUEUE).await?.total_messages, 0);
    Ok(())
}

async fn a_batch_is_sent_as_a_whole_or_not_at_all(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    let error = fails_as(ErrorKind::Encode, queue.send_batch(QUEUE, &["good", "bad \0", "good"]).await);
    assert!(error.to_string().contains("send_batch on queue \"q\""), "{error}");
    assert_eq!(queue.metrics(QUEUE).await?.total_messages, 0);
    Ok(())
}

async fn headers_that_differ_in_number_from_the_messages_are_refused(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    for headers in [vec![], vec![Some(1)], vec![Some(1), None, Some(3)]] {
        let options = SendBatchOptions::new().headers(headers);
        fails_as(ErrorKind::InvalidArgument, queue.send_batch_with(QUEUE, &["a", "b"], &options).await);
        fails_as(ErrorKind::InvalidArgument, queue.send_batch_topic_with("key", &["a", "b"], &options).await);
    }
    let one = SendBatchOptions::new().headers([Some(1)]);
    fails_as(ErrorKind::InvalidArgument, queue.send_batch_with(QUEUE, &[0; 0], &one).await);
    assert_eq!(queue.metrics(QUEUE).await?.total_messages, 0);
    Ok(())
}

async fn a_message_of_ten_megabytes_is_sent_and_read(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    let large = "ä\"\\ x".repeat(2_000_000);
    let id = queue.send(QUEUE, &large).await?;
    let message = queue.read::<String>(QUEUE, 30).await?.unwrap();
    assert_eq!(message.msg_id, id);
    assert!(message.message == large, "{} bytes came back", message.message.len());
    queue.delete(QUEUE, id).await?;
    let sent = queue.send_batch(QUEUE, &[&large, &large]).await?;
    let messages = queue.pop_batch::<String>(QUEUE, 2).await?;
    assert_eq!(ids(&messages), sent);
    assert!(messages.iter().all(|message| message.message == large));
    Ok(())
}
