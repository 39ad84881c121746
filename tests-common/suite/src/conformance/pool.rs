//! The pool and its connections.

use std::{
    net::ToSocketAddrs,
    time::{Duration, Instant},
};

use pgmq_core::{AsyncQueue, ErrorKind, Notification, NotifyOptions, QueueError};
use pgmq_test_server::{Server, outside_of_runtimes, proxy::Proxy};

use crate::kit::{
    backend::{Backend, Builder, Listener},
    check::{SOON, fails_as, works},
    context::{QUEUE, TestContext},
    failure::{Failure, Outcome, error_chain},
    parts::Parts,
    runtime::{Runtime, Task},
    table::cases,
};

cases! { pool:
    direct [] a_user_supplied_pool_is_used_unchanged;
    direct [] a_user_supplied_pool_is_not_closed;
    direct [] a_queue_over_a_user_supplied_pool_listens_by_a_url;
    direct [] a_session_is_a_pooled_connection_of_the_driver;
    direct [] a_released_session_is_reused;
    direct [] clones_share_the_pool;
    direct [] many_threads_use_queues_concurrently;
    direct [] close_closes_the_connections;
    direct [send, read] an_idle_connection_that_the_server_closed_is_replaced;
    direct [] a_lost_session_makes_room_for_a_waiting_operation;
    direct [] the_pool_recovers_after_a_restart_of_the_server;
    direct [] a_queue_works_on_another_runtime_after_its_own_ended_while_connecting;
}

async fn a_user_supplied_pool_is_used_unchanged<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let pool = B::driver_pool(&context.url_with("-c application_name=the_users_own"), 1).await?;
    let queue = B::from_pool(pool);
    works(&queue).await?;
    assert_eq!(B::connections(B::pool(&queue)), 1);
    B::execute_on_pool(
        B::pool(&queue),
        "CREATE TABLE mine AS SELECT current_setting('application_name') AS name",
    )
    .await?;
    assert_eq!(context.query_value("SELECT name FROM mine")?, "the_users_own");
    let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    assert_eq!(context.query_value(others)?, "1");
    B::init(&queue).await?;
    assert!(B::version(&queue).await?.at_least <= context.server().pgmq_version());
    Ok(())
}

async fn a_user_supplied_pool_is_not_closed<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let pool = B::driver_pool(context.url(), 2).await?;
    let queue = B::from_pool(pool.clone());
    works(&queue).await?;
    B::close(queue).await;
    B::execute_on_pool(&pool, "CREATE TABLE still_open ()").await?;
    works(&B::from_pool(pool)).await
}

async fn a_queue_over_a_user_supplied_pool_listens_by_a_url<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    let queue = B::from_pool(B::driver_pool(context.url(), 1).await?);
    queue.enable_notify_with(QUEUE, &NotifyOptions::new()).await?;
    let inserted = Some(Notification::inserted(QUEUE));
    if B::LISTENS_FROM_ANY_POOL {
        let mut listener = B::listen(&queue, &[QUEUE]).await?;
        queue.send(QUEUE, &1).await?;
        assert_eq!(listener.next_timeout(SOON).await?, inserted);
    } else {
        // The pool does not expose how to connect.
        let error = fails_as(ErrorKind::InvalidArgument, B::listen(&queue, &[QUEUE]).await.map(drop));
        assert!(!error.to_string().is_empty());
    }
    let queue = B::with_listen_url(queue, &context.url_with("-c application_name=by_a_url"));
    let mut listener = B::listen(&queue, &[QUEUE]).await?;
    let by_a_url = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'by_a_url' \
                    AND datname = current_database()";
    assert_eq!(context.query_value(by_a_url)?, "1");
    queue.send(QUEUE, &2).await?;
    assert_eq!(listener.next_timeout(SOON).await?, inserted);
    Ok(())
}

async fn a_session_is_a_pooled_connection_of_the_driver<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let queue = B::builder().url(context.url()).pool_size(1).connect().await?;
    let mut session = B::session(&queue).await?;
    B::execute_on_session(&mut session, "CREATE TABLE mine AS SELECT 42 AS n").await?;
    assert_eq!(context.query_value("SELECT n FROM mine")?, "42");
    drop(session);
    works(&queue).await
}

async fn a_released_session_is_reused<B: Backend>(context: &TestContext<'_>) -> Outcome {
    context.execute("CREATE TABLE used (pid integer)")?;
    let queue = B::builder().url(context.url()).pool_size(3).connect().await?;
    for _ in 0..20 {
        works(&queue).await?;
        let mut session = B::session(&queue).await?;
        B::execute_on_session(&mut session, "INSERT INTO used VALUES (pg_backend_pid())").await?;
    }
    // Sequential use needs one connection. A pool may open others while a released connection is on its way
    // back.
    let most = if B::TESTS_ON_RETURN { 3 } else { 2 };
    let used: u32 = context.query_value("SELECT count(DISTINCT pid) FROM used")?.parse()?;
    let open = B::connections(B::pool(&queue));
    assert!(used <= most && open <= most, "{used} connections were used, and {open} are open");
    Ok(())
}

async fn clones_share_the_pool<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let builder = B::builder().url(context.url()).pool_size(1).acquire_timeout(Duration::from_millis(200));
    let queue = builder.connect().await?;
    let clone = queue.clone();
    let session = B::session(&queue).await?;
    fails_as(ErrorKind::Timeout, clone.send(QUEUE, &1).await);
    drop(session);
    works(&clone).await?;
    drop(queue);
    works(&clone).await
}

async fn many_threads_use_queues_concurrently<B: Backend>(context: &TestContext<'_>) -> Outcome {
    fn is_shared<T: Clone + Send + Sync + std::fmt::Debug + 'static>(_: &T) {}
    let queue = B::builder().url(context.url()).pool_size(2).connect().await?;
    is_shared(&queue);
    // Each thread has its own pool: connections of an async driver belong to the runtime that opened them.
    let work = || {
        B::block_on(async {
            let queue = B::builder().url(context.url()).pool_size(2).connect().await?;
            for n in 0..25 {
                queue.send(QUEUE, &n).await?;
            }
            Ok::<_, Failure>(())
        })
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap())
    })?;
    assert_eq!(queue.metrics(QUEUE).await?.queue_length, 100);
    Ok(())
}

async fn close_closes_the_connections<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let queue = B::builder().url(context.url()).application_name("to_be_closed").connect().await?;
    works(&queue).await?;
    B::close(queue).await;
    let sessions =
        "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'to_be_closed'";
    context.wait_until(&format!("SELECT NOT EXISTS (SELECT {sessions})"))
}

async fn an_idle_connection_that_the_server_closed_is_replaced<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    let queue = B::builder().url(context.url()).pool_size(3).connect().await?;
    let mut clean_rounds = 0;
    for _ in 0..20 {
        // Several connections, so that the next one after a dead connection may be dead as well.
        let sessions = [B::session(&queue).await?, B::session(&queue).await?, B::session(&queue).await?];
        drop(sessions);
        B::sleep(B::IDLE).await;
        context.terminate("true")?;
        // A request that is sent in the moment before the driver has read the end of the connection is in
        // doubt. That cannot happen each time.
        let mut is_clean = true;
        for _ in 0..4 {
            if let Err(error) = queue.send(QUEUE, &1).await {
                assert!(error.is_in_doubt(), "{}", error_chain(&error));
                is_clean = false;
            }
        }
        clean_rounds += usize::from(is_clean);
        if clean_rounds == 2 {
            queue.purge(QUEUE).await?;
            return works(&queue).await;
        }
    }
    panic!("operations used connections that were long closed");
}

async fn a_lost_session_makes_room_for_a_waiting_operation<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let builder = B::builder().url(context.url()).pool_size(1).acquire_timeout(3 * SOON);
    let queue = builder.connect().await?;
    let mut session = B::session(&queue).await?;
    context.terminate("true")?;
    assert!(B::execute_on_session(&mut session, "SELECT").await.is_err());
    let waiting: Task<Result<Duration, String>> = Box::pin(async move {
        let started = Instant::now();
        queue.send(QUEUE, &1).await.map_err(|error| error_chain(&error))?;
        Ok(started.elapsed())
    });
    let releasing: Task<Result<Duration, String>> = Box::pin(async move {
        // The operation waits by then. If it does not, the case proves nothing, and passes.
        B::sleep(Duration::from_millis(300)).await;
        drop(session);
        Ok(Duration::ZERO)
    });
    for waited in B::join_all(vec![waiting, releasing]).await {
        assert!(waited.as_ref().is_ok_and(|waited| *waited < SOON), "{waited:?}");
    }
    Ok(())
}

async fn the_pool_recovers_after_a_restart_of_the_server<B: Backend>(_: &TestContext<'_>) -> Outcome {
    let Some(server) = outside_of_runtimes(Server::private)? else { return Ok(()) };
    let context = TestContext::new::<B>(&server)?;
    let limit = Duration::from_secs(1);
    let builder = B::builder().url(context.url()).pool_size(3).acquire_timeout(limit).connect_timeout(limit);
    let queue = builder.connect().await?;
    let sessions = [B::session(&queue).await?, B::session(&queue).await?];
    drop(sessions);
    works(&queue).await?;

    outside_of_runtimes(|| server.stop())?;
    let started = Instant::now();
    let error = fails_as(ErrorKind::Connection, queue.send(QUEUE, "lost").await);
    assert!(error.is_transient());
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());

    outside_of_runtimes(|| server.start())?;
    // The server answers again. A few calls may still meet dead connections.
    let started = Instant::now();
    while let Err(error) = queue.send(QUEUE, "back").await {
        assert!(error.is_transient(), "{}", error_chain(&error));
        assert!(started.elapsed() < SOON, "{}", error_chain(&error));
    }
    assert_eq!(queue.pop::<String>(QUEUE).await?.unwrap().message, "back");
    works(&queue).await
}

async fn a_queue_works_on_another_runtime_after_its_own_ended_while_connecting<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    // A blocking back end has no runtime that could end.
    if B::Runtime::BLOCKS {
        return Ok(());
    }
    let Parts { host, port, user, password } = Parts::new(context);
    let server = (host.as_str(), port).to_socket_addrs()?.next().expect("a host has an address");
    let proxy = Proxy::start(server)?;
    let on_a_runtime_that_ends = || {
        B::block_on(async {
            let limit = Duration::from_secs(2);
            let builder = B::builder().host("127.0.0.1").port(proxy.addr().port()).database(context.name());
            let builder = builder.username(&user).password(&password).pool_size(1);
            let queue = builder.acquire_timeout(limit).connect_timeout(limit).connect().await?;
            works(&queue).await?;
            // The pool has to open a connection, on which the server is silent.
            proxy.cut();
            proxy.freeze();
            proxy.reset();
            let started = Instant::now();
            while proxy.round_trips() == 0 {
                assert!(started.elapsed() < SOON, "the pool does not connect");
                let cancelled = B::timeout(Duration::from_millis(50), queue.send(QUEUE, &1)).await;
                assert!(!matches!(cancelled, Some(Ok(_))), "the server is silent");
            }
            Ok::<_, Failure>(queue)
        })
    };
    let queue = outside_of_runtimes(on_a_runtime_that_ends)?;
    proxy.cut();
    for _ in 0..3 {
        let started = Instant::now();
        if let Err(error) = works(&queue).await {
            // An error has to say at once why the queue does not work.
            assert!(started.elapsed() < Duration::from_secs(1), "{error}");
            assert!(error.to_string().contains("runtime"), "{error}");
        }
    }
    Ok(())
}
