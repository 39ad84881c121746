//! Traffic: one round trip per operation.

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
    direct [send, send_with, send_batch, read, read_batch, pop, delete, delete_batch, archive, set_vt,
        metrics, peek]
        an_operation_on_a_warm_pool_is_one_round_trip;
    direct [] a_transaction_takes_one_round_trip_per_statement_and_a_fixed_number_more;
    direct [send_batch, read_batch, delete_batch] an_empty_request_takes_no_round_trip;
}

/// A queue with a single connection, behind a recording proxy.
pub(super) async fn recorded<B: Backend>(context: &TestContext<'_>) -> Result<(Proxy, B::Queue), Failure> {
    let parts = Parts::new(context);
    let server = (parts.host.as_str(), parts.port).to_socket_addrs()?.next();
    let proxy = Proxy::start(server.expect("a host has an address"))?;
    let builder = B::builder().host(&proxy.addr().ip().to_string()).port(proxy.addr().port());
    let builder = builder.username(&parts.user).password(&parts.password).database(context.name());
    let queue = builder.pool_size(1).connect().await?;
    Ok((proxy, queue))
}

/// The recorded requests, without the liveness check that some pools send when a connection is released: a
/// lone *sync*. No operation waits for it, except the next one on the same connection.
fn requests<B: Backend>(proxy: &Proxy) -> Vec<Flight> {
    let mut requests = proxy.flights();
    requests.retain(|flight| flight.direction == Direction::ToServer);
    let all = requests.len();
    if B::TESTS_ON_RETURN {
        requests.retain(|flight| flight.messages() != ['S']);
        // The recording may include the check after the previous operation.
        assert!(all - requests.len() <= 2, "there were more requests than the liveness checks");
    }
    requests
}

async fn an_operation_on_a_warm_pool_is_one_round_trip<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let (proxy, queue) = recorded::<B>(context).await?;
    let options = SendOptions::new().delay(1).headers(&1);
    macro_rules! one_round_trip {
        ($($call:expr),* $(,)?) => {$(
            // The first call lets the driver prepare statements and look up types.
            $call.await?;
            proxy.reset();
            $call.await?;
            assert_eq!(requests::<B>(&proxy).len(), 1, "{}: {:?}", stringify!($call), proxy.flights());
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

async fn a_transaction_takes_one_round_trip_per_statement_and_a_fixed_number_more<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    let (proxy, queue) = recorded::<B>(context).await?;
    // The first call lets the driver prepare statements.
    queue.send(QUEUE, &1).await?;
    proxy.reset();
    let done = B::transaction(&queue, &[Step::Execute("SELECT"), Step::Send(QUEUE)]).await;
    assert!(done.is_ok(), "{done:?}");
    let round_trips = 2 + B::ROUND_TRIPS_OF_TRANSACTION;
    assert_eq!(requests::<B>(&proxy).len(), round_trips, "{:?}", proxy.flights());
    Ok(())
}

async fn an_empty_request_takes_no_round_trip<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let (proxy, queue) = recorded::<B>(context).await?;
    proxy.reset();
    assert!(queue.send_batch::<i32>(QUEUE, &[]).await?.is_empty());
    assert!(queue.delete_batch(QUEUE, &[]).await?.is_empty());
    assert!(queue.archive_batch(QUEUE, &[]).await?.is_empty());
    assert!(queue.read_batch::<RawJson>(QUEUE, 30, 0).await?.is_empty());
    assert!(queue.send("not;a;name", &1).await.is_err());
    assert_eq!(requests::<B>(&proxy), []);
    Ok(())
}
