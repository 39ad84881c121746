//! The observer of a queue, and the trace contexts that it sends along.

use std::{sync::Arc, time::Duration};

use chrono::{TimeDelta, Utc};
use pgmq_core::{
    AsyncQueue, ErrorKind, OperationKind, PollOptions, QueueError, RawJson, SendBatchOptions, SendOptions,
    TraceContext,
};
use serde_json::{Value, json};

use crate::kit::{
    backend::{Backend, Builder},
    check::fails_as,
    context::{QUEUE, QueueUnderTest, TestContext},
    every_operation::{on_every_operation, samples},
    failure::{Failure, Outcome},
    recorder::{End, Record, Recorder, Recording},
    runtime::Runtime,
    table::{case, cases},
};

cases! { observer:
    direct [] every_operation_is_observed_once_with_its_result;
    direct [send, read, delete] the_messages_of_an_operation_are_counted_and_shown;
    direct [send_batch] an_operation_that_does_not_reach_the_server_is_not_observed;
    direct [read_with_poll] a_poll_that_is_dropped_is_cancelled;
    direct [read_with_poll] an_operation_that_runs_again_reports_its_attempts;
    direct [send] a_bound_queue_inherits_the_observer;
    direct [send, send_with, send_batch, send_batch_with] every_message_carries_the_trace_context_of_its_send;
    direct [send_topic, send_topic_with, send_batch_topic, send_batch_topic_with]
        messages_to_topics_carry_the_trace_context_of_their_send;
    direct [send_with, send_batch_with] headers_of_the_caller_are_kept;
    direct [send] an_older_pgmq_gets_messages_without_a_trace_context;
}

/// A queue with one connection, and the recorder of its operations.
async fn recorded<B: Backend>(
    context: &TestContext<'_>,
    recorder: Recorder,
) -> Result<(B::Queue, Arc<Recorder>), Failure> {
    let recorder = Arc::new(recorder);
    let observer = Arc::new(Recording(Arc::clone(&recorder)));
    let builder = B::builder().url(context.url()).pool_size(1).install_extension(false);
    Ok((builder.observer(observer).connect().await?, recorder))
}

async fn every_operation_is_observed_once_with_its_result<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let (queue, recorder) = recorded::<B>(context, Recorder::default()).await?;
    let samples = samples("Q");
    for expected in [None, Some("missing")] {
        let samples = expected.map_or_else(|| samples.clone(), crate::kit::every_operation::samples);
        // Each operation alone, since some of them drop the queue.
        for operation in pgmq_core::OPERATIONS {
            context.execute("SELECT pgmq.create('q')")?;
            let ran = on_every_operation(&queue, &samples, |other| other.name == operation.name).await;
            let [(_, result)] = &ran[..] else { panic!("{} ran {} times", operation.name, ran.len()) };
            let record = recorder.take_one();
            assert_eq!(record.operation, operation.name);
            let names_queue = operation.arguments.first() == Some(&"queue");
            let name = if expected.is_some() { "missing" } else { "q" };
            assert_eq!(record.queue.as_deref(), names_queue.then_some(name), "{}", operation.name);
            let names_key = operation.arguments.first() == Some(&"routing_key");
            assert_eq!(record.routing_key.as_deref(), names_key.then_some("a.b"), "{}", operation.name);
            let is_about_messages = matches!(operation.kind(), OperationKind::Send | OperationKind::Settle);
            assert_eq!(record.given.is_some(), is_about_messages, "{}", operation.name);
            assert_eq!(record.server.as_ref().map(|server| server.host.is_empty()), Some(false));
            assert!(record.parts > 0, "{} has done its work unobserved", operation.name);
            match (result, &record.end) {
                (Ok(_), End::Succeeded { attempts, .. }) => assert!(*attempts > 0, "{record:?}"),
                (Err(error), End::Failed { kind, sqlstate, attempts }) => {
                    assert_eq!((*kind, sqlstate.as_deref()), (error.kind(), error.sqlstate()), "{error}");
                    assert!(*attempts > 0, "{record:?}");
                }
                (result, end) => panic!("{} is {result:?}, and was observed as {end:?}", operation.name),
            }
        }
    }
    Ok(())
}

async fn the_messages_of_an_operation_are_counted_and_shown<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    let (queue, recorder) = recorded::<B>(context, Recorder::default()).await?;
    let counts = |record: &Record| match &record.end {
        End::Succeeded { messages, message_id, received, .. } => {
            let received: Vec<_> = received.iter().map(|(id, _)| *id).collect();
            (record.given, record.settled, *messages, *message_id, received)
        }
        end => panic!("{} was observed as {end:?}", record.operation),
    };
    let mut observed = Vec::new();
    let mut observe = || observed.push(counts(&recorder.take_one()));
    queue.send(QUEUE, &1).await?;
    observe();
    queue.send_batch(QUEUE, &[2, 3]).await?;
    observe();
    queue.read_batch::<i32>(QUEUE, 60, 2).await?;
    observe();
    queue.read::<i32>(QUEUE, 60).await?;
    observe();
    queue.read::<i32>(QUEUE, 60).await?;
    observe();
    queue.get::<i32>(QUEUE, 2).await?;
    observe();
    queue.set_vt::<i32>(QUEUE, 3, 60).await?;
    observe();
    queue.delete(QUEUE, 1).await?;
    observe();
    queue.delete(QUEUE, 1).await?;
    observe();
    queue.archive_batch(QUEUE, &[1, 2, 3]).await?;
    observe();
    assert_eq!(
        observed,
        [
            (Some(1), None, 1, Some(1), vec![]),
            (Some(2), None, 2, None, vec![]),
            (None, None, 2, None, vec![1, 2]),
            (None, None, 1, Some(3), vec![3]),
            (None, None, 0, None, vec![]),
            (None, None, 1, Some(2), vec![2]),
            (Some(1), Some(3), 1, Some(3), vec![3]),
            (Some(1), Some(1), 1, None, vec![]),
            (Some(1), Some(1), 0, None, vec![]),
            (Some(3), None, 2, None, vec![]),
        ]
    );
    Ok(())
}

async fn an_operation_that_does_not_reach_the_server_is_not_observed<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    let (queue, recorder) = recorded::<B>(context, Recorder::default()).await?;
    assert!(queue.send_batch::<i32>(QUEUE, &[]).await?.is_empty());
    fails_as(ErrorKind::InvalidArgument, queue.send("no;queue", &1).await);
    assert_eq!(recorder.take(), []);
    Ok(())
}

async fn a_poll_that_is_dropped_is_cancelled<B: Backend>(context: &TestContext<'_>) -> Outcome {
    if B::Runtime::BLOCKS {
        return Ok(());
    }
    let (queue, recorder) = recorded::<B>(context, Recorder::default()).await?;
    let options = PollOptions::new().timeout(Duration::from_secs(600));
    let poll = queue.read_with_poll::<RawJson>(QUEUE, 30, 1, &options);
    assert_eq!(recorder.take(), [], "a future does nothing before it is polled");
    assert!(B::timeout(Duration::from_millis(50), poll).await.is_none());
    assert_eq!(recorder.take_one().end, End::Cancelled);
    B::close(queue).await;
    Ok(())
}

async fn an_operation_that_runs_again_reports_its_attempts<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let (queue, recorder) = recorded::<B>(context, Recorder::default()).await?;
    // The server refuses to write once, which proves that it has done nothing.
    B::execute_on_pool(B::pool(&queue), "SET default_transaction_read_only = on").await?;
    queue.send(QUEUE, &1).await?;
    let End::Succeeded { attempts, .. } = recorder.take_one().end else { panic!("the send has worked") };
    assert_eq!(attempts, 2);
    queue.send(QUEUE, &1).await?;
    let End::Succeeded { attempts, .. } = recorder.take_one().end else { panic!("the send has worked") };
    assert_eq!(attempts, 1);
    Ok(())
}

async fn a_bound_queue_inherits_the_observer<B: Backend>(context: &TestContext<'_>) -> Outcome {
    async fn sends(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
        queue.send(QUEUE, &1).await?;
        fails_as(ErrorKind::QueueNotFound, queue.send("missing", &1).await);
        Ok(())
    }
    let recorder = Arc::new(Recorder::default());
    let queue = B::connect(context.url()).await?;
    let queue = B::with_observer(queue, Arc::new(Recording(Arc::clone(&recorder))));
    B::on_session(&queue, context, &case!(sends)).await?;
    B::in_transaction(&queue, context, &case!(sends)).await?;
    B::on_connection(&queue.clone(), context, &case!(sends)).await?;
    let records = recorder.take();
    assert_eq!(records.len(), 6, "{records:#?}");
    for pair in records.chunks(2) {
        assert!(matches!(pair[0].end, End::Succeeded { messages: 1, attempts: 1, .. }), "{pair:#?}");
        let expected = ErrorKind::QueueNotFound;
        assert!(matches!(pair[1].end, End::Failed { kind, .. } if kind == expected), "{pair:#?}");
    }
    Ok(())
}

fn trace() -> TraceContext {
    let context = TraceContext::new("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    context.expect("it is one").with_tracestate("vendor=1")
}

async fn every_message_carries_the_trace_context_of_its_send<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    let (queue, recorder) = recorded::<B>(context, Recorder::sending(trace())).await?;
    let at = Utc::now() - TimeDelta::seconds(5);
    queue.send(QUEUE, "it's \"1\"").await?;
    queue.send_with(QUEUE, &2, &SendOptions::new().delay(0)).await?;
    queue.send_with(QUEUE, &3, &SendOptions::new().delay(at)).await?;
    queue.send_batch(QUEUE, &[4, 5]).await?;
    queue.send_batch_with(QUEUE, &[6], &SendBatchOptions::new().delay(0)).await?;
    queue.send_batch_with(QUEUE, &[7], &SendBatchOptions::new().delay(at)).await?;
    recorder.take();
    let read = queue.read_batch::<Value>(QUEUE, 60, 10).await?;
    assert_eq!(read.len(), 7);
    assert_eq!(read[0].message, "it's \"1\"");
    for message in &read {
        assert_eq!(message.trace_context(), Some(trace()), "{message:?}");
    }
    let End::Succeeded { received, .. } = recorder.take_one().end else { panic!("the read has worked") };
    assert_eq!(received, Vec::from_iter((1..=7).map(|id| (id, Some(trace())))));
    Ok(())
}

async fn messages_to_topics_carry_the_trace_context_of_their_send<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    let (queue, recorder) = recorded::<B>(context, Recorder::sending(trace())).await?;
    if !context.has_pgmq("1.11.0") {
        return Ok(());
    }
    queue.bind_topic(QUEUE, "orders.*").await?;
    let headers = json!({"mine": 1});
    queue.send_topic("orders.new", &1).await?;
    queue.send_topic_with("orders.new", &2, &SendOptions::new().headers(&headers)).await?;
    queue.send_batch_topic("orders.new", &[3, 4]).await?;
    queue.send_batch_topic_with("orders.new", &[5], &SendBatchOptions::new().delay(0)).await?;
    recorder.take();
    let read = queue.read_batch::<i32>(QUEUE, 60, 10).await?;
    assert_eq!(read.len(), 5);
    for message in &read {
        assert_eq!(message.trace_context(), Some(trace()), "{message:?}");
    }
    let kept: Option<Value> = read[1].parse_headers()?;
    assert_eq!(kept.expect("the headers are there")["mine"], 1);
    Ok(())
}

async fn headers_of_the_caller_are_kept<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let (queue, _) = recorded::<B>(context, Recorder::sending(trace())).await?;
    let own = json!({"traceparent": "mine"});
    let merged = json!({"n": 1, "traceparent": trace().traceparent(), "tracestate": "vendor=1"});
    let given = [json!({"n": 1}), own.clone(), json!(["no object"])];
    let expected = [merged, own, json!(["no object"])];
    for headers in &given {
        queue.send_with(QUEUE, &1, &SendOptions::new().headers(headers)).await?;
    }
    let options = SendBatchOptions::new().headers(given.iter().map(Some)).delay(0);
    queue.send_batch_with(QUEUE, &[1, 1, 1], &options).await?;
    let read = queue.read_batch::<i32>(QUEUE, 60, 10).await?;
    let headers: Vec<Option<Value>> =
        read.iter().map(|message| message.parse_headers()).collect::<Result<_, _>>()?;
    assert_eq!(headers, Vec::from_iter(expected.iter().chain(&expected).cloned().map(Some)));
    Ok(())
}

/// PGMQ before 1.5 has no headers. Here their functions are dropped, as if they had never been.
async fn an_older_pgmq_gets_messages_without_a_trace_context<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    let with_headers = "SELECT pg_catalog.string_agg(format('DROP FUNCTION %s', oid::regprocedure), ';') \
         FROM pg_proc WHERE pronamespace = 'pgmq'::regnamespace AND proname IN ('send', 'send_batch') \
         AND 'headers' = ANY (proargnames)";
    if context.server().is_extension() {
        // The functions of an extension cannot be dropped.
        return Ok(());
    }
    context.execute(&format!(
        "DO $$ DECLARE dropping text; BEGIN {with_headers} INTO dropping; EXECUTE dropping; END $$"
    ))?;
    context.execute(
        "CREATE OR REPLACE FUNCTION pgmq.send(queue_name text, msg jsonb) RETURNS SETOF bigint LANGUAGE sql \
         AS $$ INSERT INTO pgmq.q_q (vt, message) VALUES (clock_timestamp(), msg) RETURNING msg_id $$",
    )?;
    let (queue, recorder) = recorded::<B>(context, Recorder::sending(trace())).await?;
    for attempts in [2, 1] {
        queue.send(QUEUE, &1).await?;
        let record = recorder.take_one();
        assert!(
            matches!(record.end, End::Succeeded { attempts: seen, .. } if seen == attempts),
            "{record:?}"
        );
    }
    let read = queue.read_batch::<i32>(QUEUE, 60, 10).await?;
    assert_eq!((read.len(), read[0].trace_context()), (2, None));
    Ok(())
}
