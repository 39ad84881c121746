//! The installation of PGMQ: `init` and `version`.

use pgmq_core::{AsyncQueue, ErrorKind, InstallationSource, QueueError, Version};

use crate::kit::{
    backend::{Backend, Builder},
    check::{fails_as, works},
    context::{QUEUE, TestContext},
    failure::Outcome,
    table::cases,
};

cases! { install:
    direct [] init_succeeds_if_pgmq_is_installed;
    direct [] version_reports_the_source_and_the_version_of_pgmq;
    direct [] connect_init_and_version_change_nothing_and_wait_for_no_lock;
    direct [] without_pgmq_connect_init_and_version_fail_with_instructions;
}

async fn init_succeeds_if_pgmq_is_installed<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let queue = B::builder().url(context.url()).install_extension(false).connect().await?;
    B::init(&queue).await?;
    B::init(&queue).await?;
    works(&queue).await
}

async fn version_reports_the_source_and_the_version_of_pgmq<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    let queue = B::connect(context.url()).await?;
    let installation = B::version(&queue).await?;
    let version = context.server().pgmq_version();
    if context.server().is_extension() {
        assert_eq!(installation.source, InstallationSource::Extension);
        assert_eq!(installation.version, Some(version));
    } else {
        assert_eq!(installation.source, InstallationSource::Sql);
        // Only the official installer records the version, and it did not install an old version.
        let is_recorded =
            context.query_value("SELECT to_regclass('pgmq.__pgmq_migrations') IS NOT NULL")? == "t";
        assert_eq!(installation.version, is_recorded.then_some(version));
    }
    assert!(
        installation.at_least <= version && version < next_minor(installation.at_least),
        "{installation:?}"
    );
    Ok(())
}

async fn connect_init_and_version_change_nothing_and_wait_for_no_lock<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    let url = context.url_with("-c default_transaction_read_only=on -c lock_timeout=5s");
    context.execute("BEGIN; LOCK TABLE pgmq.meta IN ACCESS EXCLUSIVE MODE")?;
    let queue = B::connect(&url).await?;
    B::init(&queue).await?;
    B::version(&queue).await?;
    context.execute("ROLLBACK")
}

async fn without_pgmq_connect_init_and_version_fail_with_instructions<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    let empty = context.server().create_empty_database()?;
    if context.query_value("SELECT count(*) FROM pg_available_extensions WHERE name = 'pgmq'")? == "1" {
        // Connecting creates the extension.
        let queue = B::connect(empty.url()).await?;
        assert_eq!(B::version(&queue).await?.source, InstallationSource::Extension);
        return Ok(());
    }
    let queue = B::builder().url(empty.url()).install_extension(false).connect().await?;
    for result in [
        B::connect(empty.url()).await.map(drop),
        B::init(&queue).await,
        B::version(&queue).await.map(drop),
        queue.list_queues().await.map(drop),
        queue.send(QUEUE, &1).await.map(drop),
        queue.read::<i32>(QUEUE, 1).await.map(drop),
        queue.queue_exists(QUEUE).await.map(drop),
    ] {
        let error = fails_as(ErrorKind::NotInstalled, result);
        assert!(error.to_string().contains("PGMQ is not installed"), "{error}");
        assert!(error.to_string().contains("SQL script"), "{error}");
        assert!(!error.is_transient());
    }
    Ok(())
}

/// The next minor version. Patch releases cannot be distinguished.
fn next_minor(version: Version) -> Version {
    Version::new(version.major, version.minor + 1, 0)
}
