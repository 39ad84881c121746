//! The second half of the story: a worker handles the orders.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use pgmq_core::RawJson;
use pgmq_worker::{Happened, MessageEvent, Queue, Retry, redrive};
use serde::Deserialize;

use crate::application::Application;
use crate::page::Page;
use crate::shop::{DEAD_LETTERS, ORDERS, Order, Shop, order};

/// Runs the second half of the story, on an empty queue.
pub(super) async fn tell<A: Application>(queue: &A, page: &mut Page) -> Result<()> {
    page.step("start a worker");
    let shop = Arc::new(Shop::default());
    let second = Duration::from_secs(1);
    let settings = Queue::new().concurrency(2).retry(Retry::fixed(second));
    let worker = queue.employ(settings, Arc::clone(&shop)).await?;
    let mut events = A::handle(&worker).watch(ORDERS).context("the worker should have the queue")?;
    page.note(format!("it handles the messages of {ORDERS}, two at a time"));

    page.step("let it handle a message");
    let tea = place(queue, page, &order("green tea", 2)).await?;
    page.note(A::until(&mut events, |event| event.is_done_for(tea)).await?.to_string());

    page.step("let it retry one that fails");
    let oolong = place(queue, page, &order("oolong", 3)).await?;
    page.note(A::until(&mut events, |event| event.is_retried_for(oolong)).await?.to_string());
    page.note(A::until(&mut events, |event| event.is_done_for(oolong)).await?.to_string());

    page.step("move one to the dead-letter queue");
    let cup = place(queue, page, &order("a cup", 18)).await?;
    page.note(A::until(&mut events, |event| event.is_dead_for(cup)).await?.to_string());
    let letters = queue.peek::<RawJson>(DEAD_LETTERS, 10).await?;
    let [letter] = letters.as_slice() else { bail!("there are {} dead letters", letters.len()) };
    let Reason { reason } = letter.parse_headers()?.context("a dead letter should have headers")?;
    page.note(format!("the queue {DEAD_LETTERS} has it, with the header x-dlq-reason: {reason}"));

    page.step("move it back");
    shop.restock();
    let moved = redrive(queue, DEAD_LETTERS, ORDERS, 10).await?;
    ensure!(moved == 1, "{moved} dead letters were moved");
    page.note(format!("there are cups again, and {moved} message is back in {ORDERS}"));
    let deleted = |event: &MessageEvent| event.happened == Happened::Deleted;
    page.note(A::until(&mut events, deleted).await?.to_string());

    page.step("finish one together with a row");
    let sold = order("sencha", 4);
    let sencha = place(queue, page, &sold).await?;
    page.note(A::until(&mut events, |event| event.is_done_for(sencha)).await?.to_string());
    let row = queue.find_sale("sencha").await?;
    ensure!(row == sold, "the row differs from the order");
    page.note(format!("the table of sales has its row: {}, {}", row.item, row.quantity));

    page.step("stop the worker");
    let report = A::stop(worker).await;
    ensure!(report.is_clean(), "{report}");
    let left = queue.metrics(ORDERS).await?.queue_length;
    ensure!(left == 0, "there are {left} messages left");
    page.note(format!("{report}, and the queue is empty"));
    Ok(())
}

/// Sends an order, and returns the id of its message.
async fn place<A: Application>(queue: &A, page: &Page, order: &Order) -> Result<i64> {
    let id = queue.send(ORDERS, order).await?;
    page.note(format!("message {id}: {}", serde_json::to_string(order)?));
    Ok(id)
}

/// The header with the reason of a dead letter.
#[derive(Deserialize)]
struct Reason {
    #[serde(rename = "x-dlq-reason")]
    reason: String,
}
