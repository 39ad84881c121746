//! Timeouts of the pool and of connecting.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use pgmq_core::{AsyncQueue, ErrorKind, QueueError};

use crate::kit::{
    backend::{Backend, Builder},
    check::{SOON, fails_as, works},
    context::{QUEUE, TestContext},
    failure::{Outcome, error_chain},
    table::cases,
};

cases! { timeouts:
    direct [] an_exhausted_pool_has_the_configured_size_and_times_out;
    direct [] a_server_that_never_answers_fails_within_the_connect_timeout;
}

async fn an_exhausted_pool_has_the_configured_size_and_times_out<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    let builder = B::builder().url(context.url()).pool_size(2).acquire_timeout(Duration::from_millis(300));
    let queue = builder.connect().await?;
    let one = B::session(&queue).await?;
    works(&queue).await?;
    let two = B::session(&queue).await?;
    let started = Instant::now();
    for result in [queue.send(QUEUE, &1).await.map(drop), B::session(&queue).await.map(drop)] {
        let error = fails_as(ErrorKind::Timeout, result);
        assert!(error.is_transient() && error.sqlstate().is_none());
        assert!(error.to_string().contains("300ms"), "{error}");
    }
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(600) && took < SOON, "{took:?}");
    assert_eq!(B::connections(B::pool(&queue)), 2);
    drop(one);
    works(&queue).await?;
    drop(two);
    works(&queue).await
}

async fn a_server_that_never_answers_fails_within_the_connect_timeout<B: Backend>(
    _: &TestContext<'_>,
) -> Outcome {
    // The system accepts the connection, and no process ever answers on it.
    let silent = TcpListener::bind(("127.0.0.1", 0))?;
    let builder =
        B::builder().host("127.0.0.1").port(silent.local_addr()?.port()).username("me").database("mine");
    let started = Instant::now();
    let connected = builder.connect_timeout(Duration::from_secs(1)).connect().await;
    let took = started.elapsed();
    let error = fails_as(ErrorKind::Connection, connected.map(drop));
    assert!(took < SOON, "{took:?}: {}", error_chain(&error));
    Ok(())
}
