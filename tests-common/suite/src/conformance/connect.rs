//! Connecting: URLs, builders, and errors of the connection.

use std::{net::TcpListener, time::Instant};

use pgmq_core::{AsyncQueue, ErrorKind, QueueError};

use crate::kit::{
    backend::{Backend, Builder},
    check::{SOON, fails_as, works},
    context::{QUEUE, TestContext},
    failure::{Outcome, error_chain},
    parts::Parts,
    table::cases,
};

cases! { connect:
    direct [] connect_takes_a_url;
    direct [] connect_takes_a_libpq_string;
    direct [] the_builder_takes_host_port_and_credentials_in_parts;
    direct [] the_parts_of_the_builder_take_precedence_over_the_url;
    direct [] the_options_of_a_url_take_effect;
    direct [] a_contradictory_builder_is_refused;
    direct [] a_wrong_password_is_refused_and_not_shown;
    direct [] a_missing_database_is_reported_immediately;
    direct [] connecting_to_a_closed_port_fails_immediately;
    direct [] debug_of_a_queue_shows_no_password;
}

async fn connect_takes_a_url<B: Backend>(context: &TestContext<'_>) -> Outcome {
    works(&B::connect(context.url()).await?).await?;
    works(&B::builder().url(context.url()).connect().await?).await
}

async fn connect_takes_a_libpq_string<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let Parts { host, port, user, password } = Parts::new(context);
    let dbname = context.name();
    let text = format!("host={host} port={port} user={user} password='{password}' dbname={dbname}");
    works(&B::connect(&text).await?).await
}

async fn the_builder_takes_host_port_and_credentials_in_parts<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    let Parts { host, port, user, password } = Parts::new(context);
    let builder =
        B::builder().host(&host).port(port).username(&user).password(&password).database(context.name());
    let builder = builder.application_name("in_parts").pool_size(2).idle_timeout(SOON).max_lifetime(SOON);
    let queue = builder.acquire_timeout(SOON).connect_timeout(SOON).install_extension(true).connect().await?;
    works(&queue).await?;
    let named = "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() \
                 AND application_name = 'in_parts'";
    assert_eq!(context.query_value(named)?, "t");
    Ok(())
}

async fn the_parts_of_the_builder_take_precedence_over_the_url<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    let Parts { user, password, .. } = Parts::new(context);
    let url = context.url_with("-c application_name=by_url");
    let builder = B::builder().url(&url).database(context.name()).username(&user).password(&password);
    works(&builder.connect().await?).await?;
    let error = fails_as(
        ErrorKind::DatabaseNotFound,
        B::builder().url(&url).database("there_is_no_such_database").connect().await.map(drop),
    );
    context.assert_sqlstate(&error, "3D000");
    Ok(())
}

async fn the_options_of_a_url_take_effect<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let url = context.url_with("-c default_transaction_read_only=on");
    let queue = B::connect(&url).await?;
    let error = fails_as(ErrorKind::ReadOnly, queue.send(QUEUE, &1).await);
    context.assert_sqlstate(&error, "25006");
    assert!(error.is_transient() && !error.is_in_doubt());
    assert!(error.to_string().contains("the server is read-only"), "{error}");
    Ok(())
}

async fn a_contradictory_builder_is_refused<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let url = || B::builder().url(context.url());
    for builder in
        [url().host("localhost"), url().port(5432), url().pool_size(0), B::builder(), B::builder().port(1)]
    {
        fails_as(ErrorKind::InvalidArgument, builder.connect().await.map(drop));
    }
    Ok(())
}

async fn a_wrong_password_is_refused_and_not_shown<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let mut config = context.config().clone();
    config.password("s3cret-and-wrong");
    let checked = std::thread::scope(|scope| scope.spawn(|| config.connect(postgres::NoTls).is_err()).join());
    if !checked.unwrap() {
        // The server does not check passwords.
        return Ok(());
    }
    let started = Instant::now();
    let result = B::builder().url(context.url()).password("s3cret-and-wrong").connect().await;
    let error = fails_as(ErrorKind::PermissionDenied, result.map(drop));
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    context.assert_sqlstate(&error, "28P01");
    assert!(!error.is_transient());
    assert!(!format!("{} {error:?}", error_chain(&error)).contains("s3cret"), "{error:?}");
    Ok(())
}

async fn a_missing_database_is_reported_immediately<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let started = Instant::now();
    let missing = B::builder().url(context.url()).database("there_is_no_such_database").connect().await;
    let error = fails_as(ErrorKind::DatabaseNotFound, missing.map(drop));
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    context.assert_sqlstate(&error, "3D000");
    assert!(!error.is_transient(), "waiting does not create the database");
    assert!(error.to_string().contains("the database does not exist"), "{error}");
    assert!(error_chain(&error).contains("there_is_no_such_database"), "{}", error_chain(&error));
    Ok(())
}

async fn connecting_to_a_closed_port_fails_immediately<B: Backend>(_: &TestContext<'_>) -> Outcome {
    let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    let started = Instant::now();
    let builder = B::builder().host("127.0.0.1").port(port).username("me").database("mine");
    let error = fails_as(ErrorKind::Connection, builder.connect().await.map(drop));
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    assert!(error.is_transient() && error.sqlstate().is_none() && !error.is_in_doubt());
    assert!(error_chain(&error).to_lowercase().contains("refused"), "{}", error_chain(&error));
    Ok(())
}

async fn debug_of_a_queue_shows_no_password<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let Parts { password, .. } = Parts::new(context);
    let queue = B::connect(context.url()).await?;
    assert!(password.is_empty() || !format!("{queue:?}").contains(&password), "{queue:?}");
    Ok(())
}
