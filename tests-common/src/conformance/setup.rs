//! Connecting, and what comes before and after the operations.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use pgmq_core::{
    AsyncQueue, ErrorKind, InstallationSource, Notification, NotifyOptions, QueueError, Version,
};
use postgres::config::Host;

use super::{
    Backend, Builder, Failure, Listener, Outcome, Q, World,
    case::cases,
    check::{beside, fails_as, story},
    child,
};
use crate::server::Server;

cases! { setup:
    direct [] connect_takes_a_url;
    direct [] connect_takes_a_libpq_string;
    direct [] the_builder_takes_host_port_and_credentials_in_parts;
    direct [] the_parts_of_the_builder_win_over_the_url;
    direct [] the_options_of_a_url_count;
    direct [] a_builder_that_contradicts_itself_is_refused;
    direct [] what_is_no_connection_string_is_refused_without_repeating_it;
    direct [] from_env_reads_the_database_url;
    direct [] from_env_reads_the_parts;
    direct [] from_env_can_leave_out_the_look_for_pgmq;
    direct [] from_env_refuses_what_it_cannot_read;
    direct [] a_pool_of_the_users_own_is_used_as_it_is;
    direct [] a_pool_of_the_users_own_is_not_closed;
    direct [] a_queue_over_a_pool_of_the_users_own_listens_by_a_url;
    direct [] init_is_no_error_where_pgmq_is_installed;
    direct [] version_says_how_pgmq_was_installed_and_which_it_is;
    direct [] connecting_and_asking_for_the_version_change_nothing_and_wait_for_nobody;
    direct [] without_pgmq_connect_init_and_version_say_what_to_do;
    direct [] a_session_is_a_pooled_connection_of_the_driver;
    direct [] the_pool_is_as_large_as_asked_and_says_when_it_is_exhausted;
    direct [] a_session_that_comes_back_is_used_again;
    direct [] clones_share_the_pool;
    direct [] queues_are_used_by_many_threads_at_once;
    direct [] close_closes_the_connections;
    direct [send, read] an_idle_connection_that_the_server_closed_goes_unnoticed;
    direct [] the_pool_recovers_after_a_restart_of_the_server;
    direct [] a_closed_port_fails_at_once;
    direct [] a_server_that_never_answers_fails_within_the_connect_timeout;
    direct [] a_wrong_password_is_refused_and_not_shown;
    direct [] a_missing_database_is_said_at_once;
    direct [] no_password_is_shown_by_a_queue;
}

/// A limit for what should not take long: short of the time-outs that are set unless told.
const SOON: Duration = Duration::from_secs(8);

/// Checks that a queue works.
async fn works<Queue: AsyncQueue>(queue: &Queue) -> Outcome {
    let id = queue.send(Q, "works").await?;
    assert_eq!(queue.pop::<String>(Q).await?.unwrap().msg_id, id);
    Ok(())
}

async fn connect_takes_a_url<B: Backend>(world: &World<'_>) -> Outcome {
    works(&B::connect(world.url()).await?).await?;
    works(&B::builder().url(world.url()).connect().await?).await
}

/// Host, port, user and password.
pub(super) struct Parts {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) password: String,
}

pub(super) fn parts(world: &World<'_>) -> Parts {
    let config = world.config();
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        Some(Host::Unix(folder)) => folder.display().to_string(),
        None => "localhost".to_owned(),
    };
    let password = String::from_utf8_lossy(config.get_password().unwrap_or_default()).into_owned();
    let user = config.get_user().unwrap_or("postgres").to_owned();
    Parts { host, port: config.get_ports().first().copied().unwrap_or(5432), user, password }
}

async fn connect_takes_a_libpq_string<B: Backend>(world: &World<'_>) -> Outcome {
    let Parts { host, port, user, password } = parts(world);
    let dbname = world.name();
    let text = format!("host={host} port={port} user={user} password='{password}' dbname={dbname}");
    works(&B::connect(&text).await?).await
}

async fn the_builder_takes_host_port_and_credentials_in_parts<B: Backend>(world: &World<'_>) -> Outcome {
    let Parts { host, port, user, password } = parts(world);
    let builder =
        B::builder().host(&host).port(port).username(&user).password(&password).database(world.name());
    let builder = builder.application_name("in_parts").pool_size(2).idle_timeout(SOON).max_lifetime(SOON);
    let queue = builder.acquire_timeout(SOON).connect_timeout(SOON).init(true).connect().await?;
    works(&queue).await?;
    let named = "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() \
                 AND application_name = 'in_parts'";
    assert_eq!(world.ask(named)?, "t");
    Ok(())
}

async fn the_parts_of_the_builder_win_over_the_url<B: Backend>(world: &World<'_>) -> Outcome {
    let Parts { user, password, .. } = parts(world);
    let url = world.url_with("-c application_name=by_url");
    let builder = B::builder().url(&url).database(world.name()).username(&user).password(&password);
    works(&builder.connect().await?).await?;
    let error = fails_as(
        ErrorKind::Connection,
        B::builder().url(&url).database("there_is_no_such_database").connect().await.map(drop),
    );
    world.has_sqlstate(&error, "3D000");
    Ok(())
}

async fn the_options_of_a_url_count<B: Backend>(world: &World<'_>) -> Outcome {
    let url = world.url_with("-c default_transaction_read_only=on");
    let queue = B::connect(&url).await?;
    let error = fails_as(ErrorKind::Database, queue.send(Q, &1).await);
    world.has_sqlstate(&error, "25006");
    Ok(())
}

async fn a_builder_that_contradicts_itself_is_refused<B: Backend>(world: &World<'_>) -> Outcome {
    let url = || B::builder().url(world.url());
    for builder in
        [url().host("localhost"), url().port(5432), url().pool_size(0), B::builder(), B::builder().port(1)]
    {
        fails_as(ErrorKind::InvalidArgument, builder.connect().await.map(drop));
    }
    Ok(())
}

async fn what_is_no_connection_string_is_refused_without_repeating_it<B: Backend>(_: &World<'_>) -> Outcome {
    for text in [
        "postgres://me:s3cret@host:port/db",
        "nonsense s3cret",
        "host=h password='s3cret",
        "mysql://me:s3cret@h/d",
    ] {
        let error = fails_as(ErrorKind::InvalidArgument, B::connect(text).await.map(drop));
        assert!(!format!("{} {error:?}", story(&error)).contains("s3cret"), "{error:?}");
    }
    Ok(())
}

async fn from_env_reads_the_database_url<B: Backend>(world: &World<'_>) -> Outcome {
    // The parts do not count beside it.
    let said = child::with_variables(&[
        ("DATABASE_URL", world.url()),
        ("PG_HOST", "256.0.0.1"),
        ("PG_PORT", "none"),
    ])?;
    assert_eq!(said, "sent 1");
    assert_eq!(world.ask("SELECT message #>> '{}' FROM pgmq.q_q")?, "from the child");
    Ok(())
}

async fn from_env_reads_the_parts<B: Backend>(world: &World<'_>) -> Outcome {
    let Parts { host, port, user, password } = parts(world);
    let port = port.to_string();
    let said = child::with_variables(&[
        ("PG_HOST", &host),
        ("PG_PORT", &port),
        ("PG_DATABASE", world.name()),
        ("PG_USERNAME", &user),
        ("PG_PASSWORD", &password),
    ])?;
    assert_eq!(said, "sent 1");
    Ok(())
}

async fn from_env_can_leave_out_the_look_for_pgmq<B: Backend>(world: &World<'_>) -> Outcome {
    let empty = world.server().create_empty_database()?;
    let url = ("DATABASE_URL", empty.url());
    assert_eq!(child::with_variables(&[url])?, "connect: NotInstalled");
    assert_eq!(child::with_variables(&[url, ("PG_INIT_EXTENSION", "true")])?, "connect: NotInstalled");
    assert_eq!(child::with_variables(&[url, ("PG_INIT_EXTENSION", "false")])?, "send: NotInstalled");
    Ok(())
}

async fn from_env_refuses_what_it_cannot_read<B: Backend>(_: &World<'_>) -> Outcome {
    assert_eq!(child::with_variables(&[("PG_PORT", "many")])?, "connect: InvalidArgument");
    assert_eq!(child::with_variables(&[("PG_INIT_EXTENSION", "maybe")])?, "connect: InvalidArgument");
    Ok(())
}

async fn a_pool_of_the_users_own_is_used_as_it_is<B: Backend>(world: &World<'_>) -> Outcome {
    let pool = B::driver_pool(&world.url_with("-c application_name=the_users_own"), 1).await?;
    let queue = B::from_pool(pool);
    works(&queue).await?;
    assert_eq!(B::connections(B::pool(&queue)), 1);
    B::execute_on_pool(
        B::pool(&queue),
        "CREATE TABLE mine AS SELECT current_setting('application_name') AS name",
    )
    .await?;
    assert_eq!(world.ask("SELECT name FROM mine")?, "the_users_own");
    let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    assert_eq!(world.ask(others)?, "1");
    B::init(&queue).await?;
    assert!(B::version(&queue).await?.at_least <= world.server().pgmq_version());
    Ok(())
}

async fn a_pool_of_the_users_own_is_not_closed<B: Backend>(world: &World<'_>) -> Outcome {
    let pool = B::driver_pool(world.url(), 2).await?;
    let queue = B::from_pool(pool.clone());
    works(&queue).await?;
    B::close(queue).await;
    B::execute_on_pool(&pool, "CREATE TABLE still_open ()").await?;
    works(&B::from_pool(pool)).await
}

async fn a_queue_over_a_pool_of_the_users_own_listens_by_a_url<B: Backend>(world: &World<'_>) -> Outcome {
    let queue = B::from_pool(B::driver_pool(world.url(), 1).await?);
    queue.enable_notify_with(Q, &NotifyOptions::new()).await?;
    let inserted = Some(Notification::Inserted { queue: Q.to_owned() });
    if B::LISTENS_FROM_ANY_POOL {
        let mut listener = B::listen(&queue, &[Q]).await?;
        queue.send(Q, &1).await?;
        assert_eq!(listener.next_timeout(SOON).await?, inserted);
    } else {
        // The pool does not say how to connect.
        let error = fails_as(ErrorKind::InvalidArgument, B::listen(&queue, &[Q]).await.map(drop));
        assert!(!error.to_string().is_empty());
    }
    let queue = B::listening_by(queue, &world.url_with("-c application_name=by_a_url"));
    let mut listener = B::listen(&queue, &[Q]).await?;
    let by_a_url = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'by_a_url' \
                    AND datname = current_database()";
    assert_eq!(world.ask(by_a_url)?, "1");
    queue.send(Q, &2).await?;
    assert_eq!(listener.next_timeout(SOON).await?, inserted);
    Ok(())
}

async fn init_is_no_error_where_pgmq_is_installed<B: Backend>(world: &World<'_>) -> Outcome {
    let queue = B::builder().url(world.url()).init(false).connect().await?;
    B::init(&queue).await?;
    B::init(&queue).await?;
    works(&queue).await
}

async fn version_says_how_pgmq_was_installed_and_which_it_is<B: Backend>(world: &World<'_>) -> Outcome {
    let queue = B::connect(world.url()).await?;
    let installation = B::version(&queue).await?;
    let version = world.server().pgmq_version();
    if world.server().is_extension() {
        assert_eq!(installation.source, InstallationSource::Extension);
        assert_eq!(installation.version, Some(version));
    } else {
        assert_eq!(installation.source, InstallationSource::Sql);
        // The official installer keeps a record, and old versions do not come from it.
        let is_recorded = world.ask("SELECT to_regclass('pgmq.__pgmq_migrations') IS NOT NULL")? == "t";
        assert_eq!(installation.version, is_recorded.then_some(version));
    }
    assert!(
        installation.at_least <= version && version < next_minor(installation.at_least),
        "{installation:?}"
    );
    Ok(())
}

async fn connecting_and_asking_for_the_version_change_nothing_and_wait_for_nobody<B: Backend>(
    world: &World<'_>,
) -> Outcome {
    let url = world.url_with("-c default_transaction_read_only=on -c lock_timeout=5s");
    world.execute("BEGIN; LOCK TABLE pgmq.meta IN ACCESS EXCLUSIVE MODE")?;
    let queue = B::connect(&url).await?;
    B::init(&queue).await?;
    B::version(&queue).await?;
    world.execute("ROLLBACK")
}

/// The minor version after this one: only patch releases are not told apart.
fn next_minor(version: Version) -> Version {
    Version::new(version.major, version.minor + 1, 0)
}

async fn without_pgmq_connect_init_and_version_say_what_to_do<B: Backend>(world: &World<'_>) -> Outcome {
    let empty = world.server().create_empty_database()?;
    if world.ask("SELECT count(*) FROM pg_available_extensions WHERE name = 'pgmq'")? == "1" {
        // Then connecting creates it.
        let queue = B::connect(empty.url()).await?;
        assert_eq!(B::version(&queue).await?.source, InstallationSource::Extension);
        return Ok(());
    }
    let queue = B::builder().url(empty.url()).init(false).connect().await?;
    for result in [
        B::connect(empty.url()).await.map(drop),
        B::init(&queue).await,
        B::version(&queue).await.map(drop),
        queue.list_queues().await.map(drop),
        queue.send(Q, &1).await.map(drop),
        queue.read::<i32>(Q, 1).await.map(drop),
        queue.queue_exists(Q).await.map(drop),
    ] {
        let error = fails_as(ErrorKind::NotInstalled, result);
        assert!(error.to_string().contains("PGMQ is not installed"), "{error}");
        assert!(error.to_string().contains("SQL script"), "{error}");
        assert!(!error.is_transient());
    }
    Ok(())
}

async fn a_session_is_a_pooled_connection_of_the_driver<B: Backend>(world: &World<'_>) -> Outcome {
    let queue = B::builder().url(world.url()).pool_size(1).connect().await?;
    let mut session = B::session(&queue).await?;
    B::execute_on_session(&mut session, "CREATE TABLE mine AS SELECT 42 AS n").await?;
    assert_eq!(world.ask("SELECT n FROM mine")?, "42");
    drop(session);
    works(&queue).await
}

async fn the_pool_is_as_large_as_asked_and_says_when_it_is_exhausted<B: Backend>(
    world: &World<'_>,
) -> Outcome {
    let builder = B::builder().url(world.url()).pool_size(2).acquire_timeout(Duration::from_millis(300));
    let queue = builder.connect().await?;
    let one = B::session(&queue).await?;
    works(&queue).await?;
    let two = B::session(&queue).await?;
    let started = Instant::now();
    for result in [queue.send(Q, &1).await.map(drop), B::session(&queue).await.map(drop)] {
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

async fn a_session_that_comes_back_is_used_again<B: Backend>(world: &World<'_>) -> Outcome {
    world.execute("CREATE TABLE used (pid integer)")?;
    let queue = B::builder().url(world.url()).pool_size(3).connect().await?;
    for _ in 0..20 {
        works(&queue).await?;
        let mut session = B::session(&queue).await?;
        B::execute_on_session(&mut session, "INSERT INTO used VALUES (pg_backend_pid())").await?;
    }
    // One at a time needs one; a pool may make others while the first is on its way back, the longer that takes.
    let most = if B::TESTS_ON_RETURN { 3 } else { 2 };
    let used: u32 = world.ask("SELECT count(DISTINCT pid) FROM used")?.parse()?;
    let open = B::connections(B::pool(&queue));
    assert!(used <= most && open <= most, "{used} connections were used, and {open} are open");
    Ok(())
}

async fn clones_share_the_pool<B: Backend>(world: &World<'_>) -> Outcome {
    let builder = B::builder().url(world.url()).pool_size(1).acquire_timeout(Duration::from_millis(200));
    let queue = builder.connect().await?;
    let clone = queue.clone();
    let session = B::session(&queue).await?;
    fails_as(ErrorKind::Timeout, clone.send(Q, &1).await);
    drop(session);
    works(&clone).await?;
    drop(queue);
    works(&clone).await
}

async fn queues_are_used_by_many_threads_at_once<B: Backend>(world: &World<'_>) -> Outcome {
    fn is_shared<T: Clone + Send + Sync + std::fmt::Debug + 'static>(_: &T) {}
    let queue = B::builder().url(world.url()).pool_size(2).connect().await?;
    is_shared(&queue);
    // Each has a pool of its own here: connections of an async driver belong to the runtime that made them.
    let work = || {
        B::block_on(async {
            let queue = B::builder().url(world.url()).pool_size(2).connect().await?;
            for n in 0..25 {
                queue.send(Q, &n).await?;
            }
            Ok::<_, Failure>(())
        })
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap())
    })?;
    assert_eq!(queue.metrics(Q).await?.queue_length, 100);
    Ok(())
}

async fn close_closes_the_connections<B: Backend>(world: &World<'_>) -> Outcome {
    let queue = B::builder().url(world.url()).application_name("to_be_closed").connect().await?;
    works(&queue).await?;
    B::close(queue).await;
    let sessions =
        "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'to_be_closed'";
    world.wait_until(&format!("SELECT NOT EXISTS (SELECT {sessions})"))
}

async fn an_idle_connection_that_the_server_closed_goes_unnoticed<B: Backend>(world: &World<'_>) -> Outcome {
    let queue = B::builder().url(world.url()).pool_size(3).connect().await?;
    for _ in 0..2 {
        // More than one, so that the next after a dead one may be dead as well.
        let sessions = [B::session(&queue).await?, B::session(&queue).await?, B::session(&queue).await?];
        drop(sessions);
        B::pause(B::IDLE).await;
        world.terminate("true")?;
        for _ in 0..4 {
            works(&queue).await?;
        }
    }
    Ok(())
}

async fn the_pool_recovers_after_a_restart_of_the_server<B: Backend>(_: &World<'_>) -> Outcome {
    let Some(server) = beside(Server::private)? else { return Ok(()) };
    let world = World::new::<B>(&server)?;
    let limit = Duration::from_secs(1);
    let builder = B::builder().url(world.url()).pool_size(3).acquire_timeout(limit).connect_timeout(limit);
    let queue = builder.connect().await?;
    let sessions = [B::session(&queue).await?, B::session(&queue).await?];
    drop(sessions);
    works(&queue).await?;

    beside(|| server.stop())?;
    let started = Instant::now();
    let error = fails_as(ErrorKind::Connection, queue.send(Q, "lost").await);
    assert!(error.is_transient());
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());

    beside(|| server.start())?;
    // The server answers by now, so nothing is left that could fail.
    let started = Instant::now();
    while let Err(error) = queue.send(Q, "back").await {
        assert!(error.is_transient(), "{}", story(&error));
        assert!(started.elapsed() < SOON, "{}", story(&error));
    }
    assert_eq!(queue.pop::<String>(Q).await?.unwrap().message, "back");
    works(&queue).await
}

async fn a_closed_port_fails_at_once<B: Backend>(_: &World<'_>) -> Outcome {
    let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    let started = Instant::now();
    let builder = B::builder().host("127.0.0.1").port(port).username("me").database("mine");
    let error = fails_as(ErrorKind::Connection, builder.connect().await.map(drop));
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    assert!(error.is_transient() && error.sqlstate().is_none());
    assert!(story(&error).to_lowercase().contains("refused"), "{}", story(&error));
    Ok(())
}

async fn a_server_that_never_answers_fails_within_the_connect_timeout<B: Backend>(_: &World<'_>) -> Outcome {
    // The system takes the connection, and nobody will ever speak on it.
    let silent = TcpListener::bind(("127.0.0.1", 0))?;
    let builder =
        B::builder().host("127.0.0.1").port(silent.local_addr()?.port()).username("me").database("mine");
    let started = Instant::now();
    let connected = builder.connect_timeout(Duration::from_secs(1)).connect().await;
    let took = started.elapsed();
    let error = fails_as(ErrorKind::Connection, connected.map(drop));
    assert!(took < SOON, "{took:?}: {}", story(&error));
    Ok(())
}

async fn a_wrong_password_is_refused_and_not_shown<B: Backend>(world: &World<'_>) -> Outcome {
    let mut config = world.config().clone();
    config.password("s3cret-and-wrong");
    let checked = std::thread::scope(|scope| scope.spawn(|| config.connect(postgres::NoTls).is_err()).join());
    if !checked.unwrap() {
        // This server trusts everybody.
        return Ok(());
    }
    let started = Instant::now();
    let result = B::builder().url(world.url()).password("s3cret-and-wrong").connect().await;
    let error = fails_as(ErrorKind::PermissionDenied, result.map(drop));
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    world.has_sqlstate(&error, "28P01");
    assert!(!error.is_transient());
    assert!(!format!("{} {error:?}", story(&error)).contains("s3cret"), "{error:?}");
    Ok(())
}

async fn a_missing_database_is_said_at_once<B: Backend>(world: &World<'_>) -> Outcome {
    let started = Instant::now();
    let missing = B::builder().url(world.url()).database("there_is_no_such_database").connect().await;
    let error = fails_as(ErrorKind::Connection, missing.map(drop));
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    world.has_sqlstate(&error, "3D000");
    assert!(!error.is_transient(), "it does not come by waiting");
    assert!(story(&error).contains("there_is_no_such_database"), "{}", story(&error));
    Ok(())
}

async fn no_password_is_shown_by_a_queue<B: Backend>(world: &World<'_>) -> Outcome {
    let Parts { password, .. } = parts(world);
    let queue = B::connect(world.url()).await?;
    assert!(password.is_empty() || !format!("{queue:?}").contains(&password), "{queue:?}");
    Ok(())
}
