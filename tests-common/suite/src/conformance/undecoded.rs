//! Messages that cannot be decoded: the error carries them.

use pgmq_core::{AsyncQueue, ErrorKind, PollOptions, QueueError, RawJson, ReadOptions, SendOptions};
use serde_json::{Value, json};

use crate::kit::{
    check::{fails_as, ids, is_hidden_for, sorted},
    context::{QUEUE, QueueUnderTest},
    failure::{Failure, Outcome},
    table::cases,
};

cases! { undecoded:
    everywhere [read] an_undecodable_message_is_carried_by_the_error_of_read;
    everywhere [read_batch] an_undecodable_message_loses_none_of_its_batch;
    everywhere [read_with, read_with_poll, read_grouped, read_grouped_with_poll, read_grouped_rr,
        read_grouped_rr_with_poll, read_grouped_head, read_grouped_head_with_poll]
        an_undecodable_message_loses_nothing_in_any_other_read;
    everywhere [pop] an_undecodable_message_is_carried_by_the_error_of_pop;
    everywhere [pop_batch] an_undecodable_message_loses_none_of_a_popped_batch;
    everywhere [set_vt, set_vt_batch] an_undecodable_message_is_carried_by_the_error_of_set_vt;
    everywhere [peek, get, read_archive]
        an_undecodable_message_is_carried_by_the_errors_of_peek_get_and_read_archive;
    everywhere [read] null_for_a_required_value_is_an_error_that_carries_the_message;
}

#[track_caller]
fn carries(error: &impl QueueError, expected: &[(i64, &str)]) {
    let carried: Vec<_> =
        error.undecoded().iter().map(|message| (message.msg_id, message.message.get().to_owned())).collect();
    let expected: Vec<_> = expected.iter().map(|(id, text)| (*id, (*text).to_owned())).collect();
    assert_eq!(carried, expected);
}

const WRONG: &str = r#"{"not": ["a", "number"]}"#;

/// Sends a message that is not a number, between two numbers.
async fn send_wrong_amid_right(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Result<Vec<i64>, Failure> {
    Ok(queue.send_batch(QUEUE, &[json!(1), json!({"not": ["a", "number"]}), json!(3)]).await?)
}

const ALL: [(i64, &str); 3] = [(1, "1"), (2, WRONG), (3, "3")];

async fn an_undecodable_message_is_carried_by_the_error_of_read(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    let options = SendOptions::new().headers(&json!({"trace": 7}));
    let id = queue.send_with(QUEUE, &json!({"not": ["a", "number"]}), &options).await?;
    let error = fails_as(ErrorKind::Decode, queue.read::<i32>(QUEUE, 60).await);
    carries(&error, &[(id, WRONG)]);
    let text = error.to_string();
    assert!(text.contains("read on queue \"q\"") && text.contains("message 1"), "{text}");
    assert!(std::error::Error::source(&error).is_some() && !error.is_transient());
    // The error carries the whole message as it is in the queue: hidden, and not lost.
    let carried = error.undecoded()[0].clone();
    is_hidden_for(queue.context, &carried, 60);
    assert_eq!(carried.read_ct, 1);
    assert_eq!(carried.headers.as_ref().map(RawJson::get), Some(r#"{"trace": 7}"#));
    assert_eq!(queue.get::<RawJson>(QUEUE, id).await?, Some(carried));
    Ok(())
}

async fn an_undecodable_message_loses_none_of_its_batch(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    let sent = send_wrong_amid_right(queue).await?;
    let error = fails_as(ErrorKind::Decode, queue.read_batch::<i32>(QUEUE, 60, 10).await);
    carries(&error, &ALL);
    assert!(error.to_string().contains("message 2"), "{error}");
    for id in sent {
        assert_eq!(queue.get::<Value>(QUEUE, id).await?.unwrap().read_ct, 1);
    }
    queue.set_vt_batch::<RawJson>(QUEUE, &[1, 2, 3], 0).await?;
    assert_eq!(ids(&queue.read_batch::<Value>(QUEUE, 60, 10).await?), [1, 2, 3]);
    Ok(())
}

async fn an_undecodable_message_loses_nothing_in_any_other_read(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    const KIND: ErrorKind = ErrorKind::Decode;
    send_wrong_amid_right(queue).await?;
    let poll = PollOptions::new();
    carries(&fails_as(KIND, queue.read_with::<i32>(QUEUE, &ReadOptions::new().vt(0).qty(10)).await), &ALL);
    carries(&fails_as(KIND, queue.read_with_poll::<i32>(QUEUE, 0, 10, &poll).await), &ALL);
    carries(&fails_as(KIND, queue.read_grouped_rr::<i32>(QUEUE, 0, 10).await), &ALL);
    carries(&fails_as(KIND, queue.read_grouped_rr_with_poll::<i32>(QUEUE, 0, 10, &poll).await), &ALL);
    for error in [
        fails_as(KIND, queue.read_grouped::<i32>(QUEUE, 0, 10).await),
        fails_as(KIND, queue.read_grouped_with_poll::<i32>(QUEUE, 0, 10, &poll).await),
    ] {
        assert_eq!(sorted(ids(error.undecoded())), [1, 2, 3]);
    }
    queue.delete(QUEUE, 1).await?;
    carries(&fails_as(KIND, queue.read_grouped_head::<i32>(QUEUE, 0, 10).await), &ALL[1..2]);
    carries(&fails_as(KIND, queue.read_grouped_head_with_poll::<i32>(QUEUE, 0, 10, &poll).await), &ALL[1..2]);
    Ok(())
}

async fn an_undecodable_message_is_carried_by_the_error_of_pop(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    let id = queue.send(QUEUE, &json!({"not": ["a", "number"]})).await?;
    if queue.counts_from_transaction_start() {
        // The message is not visible to `pop` in this transaction.
        return Ok(());
    }
    let error = fails_as(ErrorKind::Decode, queue.pop::<i32>(QUEUE).await);
    carries(&error, &[(id, WRONG)]);
    // The error has the only copy of the message.
    assert!(queue.get::<Value>(QUEUE, id).await?.is_none());
    Ok(())
}

async fn an_undecodable_message_loses_none_of_a_popped_batch(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    send_wrong_amid_right(queue).await?;
    let error = fails_as(ErrorKind::Decode, queue.pop_batch::<i32>(QUEUE, 10).await);
    carries(&error, &ALL);
    assert_eq!(queue.metrics(QUEUE).await?.queue_length, 0);
    Ok(())
}

async fn an_undecodable_message_is_carried_by_the_error_of_set_vt(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    send_wrong_amid_right(queue).await?;
    carries(&fails_as(ErrorKind::Decode, queue.set_vt::<i32>(QUEUE, 2, 0).await), &ALL[1..2]);
    carries(&fails_as(ErrorKind::Decode, queue.set_vt_batch::<i32>(QUEUE, &[3, 2, 1], 0).await), &ALL);
    assert_eq!(ids(&queue.read_batch::<Value>(QUEUE, 0, 10).await?), [1, 2, 3]);
    Ok(())
}

async fn an_undecodable_message_is_carried_by_the_errors_of_peek_get_and_read_archive(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    let sent = send_wrong_amid_right(queue).await?;
    carries(&fails_as(ErrorKind::Decode, queue.get::<i32>(QUEUE, 2).await), &ALL[1..2]);
    carries(&fails_as(ErrorKind::Decode, queue.peek::<i32>(QUEUE, 10).await), &ALL);
    queue.archive_batch(QUEUE, &sent).await?;
    carries(&fails_as(ErrorKind::Decode, queue.read_archive::<i32>(QUEUE, 0, 10).await), &ALL);
    assert_eq!(queue.read_archive::<Value>(QUEUE, 0, 10).await?.len(), 3);
    Ok(())
}

async fn null_for_a_required_value_is_an_error_that_carries_the_message(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    queue.context.execute("INSERT INTO pgmq.q_q (vt, message) VALUES (now() - interval '1 day', NULL)")?;
    carries(&fails_as(ErrorKind::Decode, queue.read::<i32>(QUEUE, 60).await), &[(1, "null")]);
    Ok(())
}
