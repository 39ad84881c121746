//! What goes over the wire: one round trip per operation.

use std::net::ToSocketAddrs;

use pgmq_core::{AsyncQueue, RawJson, SendBatchOptions, SendOptions};
use pgmq_test_server::{proxy::Direction, proxy::Flight, proxy::Proxy};

use crate::kit::{
    backend::{Backend, Builder, Step},
    context::{QUEUE, TestContext},
    failure::{Failure, Outcome},
    parts::Parts,
    table::cases,
};

cases! { round_trips:
    direct [send, send_with, send_batch, read, read_batch, pop, delete, delete_batch, archive, set_vt, metrics, peek]
        an_operation_on_a_warm_pool_is_one_round_trip;
    direct [] a_transaction_is_a_round_trip_per_statement_and_few_more;
    direct [send_batch, read_batch, delete_batch] what_asks_for_nothing_is_no_round_trip;
}

/// A queue behind a proxy that records, after a first operation.
pub(super) async fn recorded<B: Backend>(context: &TestContext<'_>) -> Result<(Proxy, B::Queue), Failure> {
    let parts = Parts::new(context);
    let server = (parts.host.as_str(), parts.port).to_socket_addrs()?.next();
    let proxy = Proxy::start(server.expect("a host has an address"))?;
    let builder = B::builder().host(&proxy.addr().ip().to_string()).port(proxy.addr().port());
    let builder = builder.username(&parts.user).password(&parts.password).database(context.name());
    let queue = builder.pool_size(1).connect().await?;
    Ok((proxy, queue))
}

/// What was asked of the server, without what a pool asks when a connection comes back, if it does: that is a lone *sync*, for
/// which no operation waits, though the next one on the same connection does.
fn asked<B: Backend>(proxy: &Proxy) -> Vec<Flight> {
    let mut asked = proxy.flights();
    asked.retain(|flight| flight.direction == Direction::ToServer);
    let all = asked.len();
    if B::TESTS_ON_RETURN {
        asked.retain(|flight| flight.messages() != ['S']);
        // After the operation before, too.
        assert!(all - asked.len() <= 2, "more was asked than if the connection is alive");
    }
    asked
}

async fn an_operation_on_a_warm_pool_is_one_round_trip<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let (proxy, queue) = recorded::<B>(context).await?;
    let options = SendOptions::new().delay(1).headers(&1);
    macro_rules! one_round_trip {
        ($($call:expr),* $(,)?) => {$(
            // Once before, for what a driver prepares or looks up the first time.
            $call.await?;
            proxy.reset();
            $call.await?;
            assert_eq!(asked::<B>(&proxy).len(), 1, "{}: {:?}", stringify!($call), proxy.flights());
        )*};
    }
    one_round_trip!(
        queue.send(QUEUE, &1),
        queue.send_with(QUEUE, &1, &options),
        queue.send_batch(QUEUE, &[1, 2, 3]),
        queue.send_batch_with(QUEUE, &[1], &SendBatchOptions::new().delay(1)),
        queue.read::<RawJson>(QUEUE, 0),
        queue.read_batch::<RawJson>(QUEUE, 0, 100),
        queue.set_vt::<RawJson>(QUEUE, 1, 0),
        queue.peek::<RawJson>(QUEUE, 100),
        queue.metrics(QUEUE),
        queue.delete(QUEUE, 1),
        queue.delete_batch(QUEUE, &[2]),
        queue.archive(QUEUE, 3),
        queue.pop::<RawJson>(QUEUE),
        queue.drop_queue("there_is_no_such_queue"),
    );
    Ok(())
}

async fn a_transaction_is_a_round_trip_per_statement_and_few_more<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    let (proxy, queue) = recorded::<B>(context).await?;
    // Once before, for what a driver prepares the first time.
    queue.send(QUEUE, &1).await?;
    proxy.reset();
    let done = B::transaction(&queue, &[Step::Execute("SELECT"), Step::Send(QUEUE)]).await;
    assert!(done.is_ok(), "{done:?}");
    let round_trips = 2 + B::ROUND_TRIPS_OF_TRANSACTION;
    assert_eq!(asked::<B>(&proxy).len(), round_trips, "{:?}", proxy.flights());
    Ok(())
}

async fn what_asks_for_nothing_is_no_round_trip<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let (proxy, queue) = recorded::<B>(context).await?;
    proxy.reset();
    assert!(queue.send_batch::<i32>(QUEUE, &[]).await?.is_empty());
    assert!(queue.delete_batch(QUEUE, &[]).await?.is_empty());
    assert!(queue.archive_batch(QUEUE, &[]).await?.is_empty());
    assert!(queue.read_batch::<RawJson>(QUEUE, 30, 0).await?.is_empty());
    assert!(queue.send("not;a;name", &1).await.is_err());
    assert_eq!(asked::<B>(&proxy), []);
    Ok(())
}
