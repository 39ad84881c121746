//! Creating, listing and dropping queues.

use crate::error::Error;
use crate::error_kind::ErrorKind;
use crate::operations::{Feature, Operation, rows};
use crate::options::{ArchivePartitionOptions, PartitionOptions};
use crate::records::QueueInfo;
use crate::statement::builder::{StatementBuilder, count};
use crate::statement::query::Statement;
use crate::version::Version;

/// Makes a statement acquire the lock that PGMQ itself acquires since 1.6 to create and drop a queue. Without
/// it, concurrent sessions that create or drop the same queue fail, or leave half of a queue. The selected
/// expression is evaluated once the lock is held.
macro_rules! locked {
    ($($select:literal),*) => {
        concat!(
            $($select,)*
            " FROM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('pgmq.queue_' || $1::text))"
        )
    };
}

/// Calls a function that creates a queue, unless the queue exists.
macro_rules! create_unless {
    ($there:literal, $($call:literal),*) => {
        locked!("SELECT CASE WHEN ", $there, " THEN NULL ELSE ", $($call,)* "::text END")
    };
}

/// Creates a queue, unless it exists under any spelling: another client may have created it with capitals in
/// its name, and a second record of one table would outlive the table.
macro_rules! plain {
    ($call:literal) => {
        create_unless!(
            "pg_catalog.to_regclass(pg_catalog.format('pgmq.%I', 'q_' || $1::text)) IS NOT NULL \
             AND EXISTS (SELECT FROM pgmq.meta WHERE pg_catalog.lower(queue_name::text) = $1::text)",
            $call
        )
    };
}

/// Creates a partitioned queue, unless it exists: `pg_partman` refuses to create it a second time.
macro_rules! partitioned {
    ($arguments:literal) => {
        create_unless!(
            "pg_catalog.pg_get_partkeydef(pg_catalog.to_regclass(pg_catalog.format('pgmq.%I', 'q_' || $1::text))) IS NOT NULL",
            "pgmq.create_partitioned(queue_name=>$1::text", $arguments, ")"
        )
    };
}

/// Builds `create_queue`.
pub fn create_queue(queue: &str) -> Statement<'_, ()> {
    StatementBuilder::on(queue, &rows::create_queue).sql(plain!("pgmq.create(queue_name=>$1::text)"))
}

/// Builds `create_unlogged_queue`.
pub fn create_unlogged_queue(queue: &str) -> Statement<'_, ()> {
    StatementBuilder::on(queue, &rows::create_unlogged_queue)
        .sql(plain!("pgmq.create_unlogged(queue_name=>$1::text)"))
}

/// Builds `create_partitioned_queue`.
pub fn create_partitioned_queue(queue: &str) -> Statement<'_, ()> {
    partitionable(queue, &rows::create_partitioned_queue).sql(partitioned!(""))
}

/// Builds `create_partitioned_queue_with`.
pub fn create_partitioned_queue_with<'a>(queue: &'a str, options: &PartitionOptions) -> Statement<'a, ()> {
    let builder = partitionable(queue, &rows::create_partitioned_queue_with)
        .text(options.interval.0.clone())
        .text(options.retention.0.clone());
    match options.premake {
        None => builder.sql(partitioned!(", partition_interval=>$2::text, retention_interval=>$3::text")),
        Some(partitions) => builder.uses(Feature::Premake).int(premake(partitions)).sql(partitioned!(
            ", partition_interval=>$2::text, retention_interval=>$3::text, premake=>$4::integer"
        )),
    }
}

/// A builder for an operation that passes the tables of a queue to pg_partman, which splits names at periods.
fn partitionable<'a>(queue: &'a str, operation: &'static Operation) -> StatementBuilder<'a> {
    let mut builder = StatementBuilder::on(queue, operation);
    if queue.contains('.') {
        let text = "pg_partman does not support names with periods; give the queue another name";
        builder.refuse(Error::new(ErrorKind::InvalidArgument, text));
    }
    builder
}

fn premake(partitions: u32) -> Result<i32, Error> {
    match partitions {
        0 => Err(Error::new(ErrorKind::InvalidArgument, "premake is 0; give at least 1")),
        _ => count("premake", partitions),
    }
}

/// Builds `drop_queue`.
///
/// Another client may have created the queue with capitals in its name, or twice, in two spellings. The
/// statement finds PGMQ's records of it by the folded name. PGMQ drops one spelling, and the statement
/// removes the records of the others.
///
/// The size of a table is NULL if the table no longer exists. The name alone is no proof: a session that
/// waited while the table was dropped still resolves it.
pub fn drop_queue(queue: &str) -> Statement<'_, bool> {
    // Before 1.5, the caller has to pass that a queue is partitioned, or pg_partman keeps its record of it.
    StatementBuilder::on(queue, &rows::drop_queue).sql_or(
        drop!(", partitioned=>coalesce((SELECT is_partitioned FROM spelling WHERE nth = 1), false)"),
        Version::new(1, 5, 0),
        drop!(""),
    )
}

macro_rules! drop {
    ($partitioned:literal) => {
        locked!(
            "WITH spelling AS MATERIALIZED (\
             SELECT queue_name::text AS name, is_partitioned, \
             pg_catalog.row_number() OVER (ORDER BY queue_name::text <> $1::text, queue_name::text) AS nth \
             FROM pgmq.meta WHERE pg_catalog.lower(queue_name::text) = $1::text), \
             stray AS (DELETE FROM pgmq.meta USING spelling WHERE meta.queue_name = spelling.name AND spelling.nth > 1) \
             SELECT CASE WHEN pg_catalog.pg_relation_size(\
             pg_catalog.to_regclass(pg_catalog.format('pgmq.%I', 'q_' || $1::text))) IS NULL THEN false \
             ELSE pgmq.drop_queue(queue_name=>coalesce((SELECT name FROM spelling WHERE nth = 1), $1::text)",
            $partitioned,
            ") END"
        )
    };
}

use drop;

/// Builds `purge`.
pub fn purge(queue: &str) -> Statement<'_, u64> {
    StatementBuilder::on(queue, &rows::purge).sql("SELECT pgmq.purge_queue(queue_name=>$1::text)")
}

/// Builds `list_queues`.
pub fn list_queues() -> Statement<'static, Vec<QueueInfo>> {
    StatementBuilder::new(&rows::list_queues).sql("SELECT * FROM pgmq.list_queues()")
}

/// Builds `queue_exists`.
pub fn queue_exists(queue: &str) -> Statement<'_, bool> {
    StatementBuilder::on(queue, &rows::queue_exists)
        .sql("SELECT EXISTS (SELECT FROM pgmq.meta WHERE pg_catalog.lower(queue_name::text) = $1::text)")
}

/// Builds `validate_queue_name`.
pub fn validate_queue_name(queue: &str) -> Statement<'_, ()> {
    StatementBuilder::on(queue, &rows::validate_queue_name)
        .sql("SELECT pgmq.validate_queue_name(queue_name=>$1::text)")
}

/// Builds `convert_archive_partitioned`.
pub fn convert_archive_partitioned(queue: &str) -> Statement<'_, ()> {
    partitionable(queue, &rows::convert_archive_partitioned)
        .sql("SELECT pgmq.convert_archive_partitioned(table_name=>$1::text)")
}

/// Builds `convert_archive_partitioned_with`.
pub fn convert_archive_partitioned_with<'a>(
    queue: &'a str,
    options: &ArchivePartitionOptions,
) -> Statement<'a, ()> {
    partitionable(queue, &rows::convert_archive_partitioned_with)
        .text(options.interval.0.clone())
        .text(options.retention.0.clone())
        .int(count("number of leading partitions", options.leading_partition))
        .sql(
            "SELECT pgmq.convert_archive_partitioned(table_name=>$1::text, partition_interval=>$2::text, \
             retention_interval=>$3::text, leading_partition=>$4::integer)",
        )
}

/// Builds `detach_archive`.
pub fn detach_archive(queue: &str) -> Statement<'_, ()> {
    StatementBuilder::on(queue, &rows::detach_archive).sql("SELECT pgmq.detach_archive(queue_name=>$1::text)")
}

/// Builds `create_fifo_index`.
pub fn create_fifo_index(queue: &str) -> Statement<'_, ()> {
    StatementBuilder::on(queue, &rows::create_fifo_index)
        .sql("SELECT pgmq.create_fifo_index(queue_name=>$1::text)")
}

/// Builds `create_fifo_indexes_all`.
pub fn create_fifo_indexes_all() -> Statement<'static, ()> {
    StatementBuilder::new(&rows::create_fifo_indexes_all).sql("SELECT pgmq.create_fifo_indexes_all()")
}

/// Builds `create_fifo_group_index`.
///
/// The index is on the expression by which PGMQ groups messages. No grouped read can use the index of
/// `create_fifo_index`, which is on the headers as a whole.
///
/// - The cast fails where PGMQ has no grouped reads, so that an older server reports that it lacks them.
/// - The lock conflicts with itself, unlike that of `CREATE INDEX`. Without it, sessions that create the
///   index at the same time all find that it is missing, and all but one fail.
/// - No queue's table can have the name of the index, because those begin with `q_` and `a_`.
pub fn create_fifo_group_index(queue: &str) -> Statement<'_, ()> {
    let builder = StatementBuilder::new(&rows::create_fifo_group_index).naming(queue);
    // The body is a string, and a name has no apostrophe.
    let escaped = |identifier: String| identifier.replace('\\', "\\\\");
    let table = escaped(builder.table('q'));
    let index = escaped(builder.of_queue("fifo_group_q_"));
    builder.sql(format!(
        "DO E'BEGIN \
         PERFORM ''pgmq.read_grouped(text, integer, integer)''::pg_catalog.regprocedure; \
         LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE; \
         CREATE INDEX IF NOT EXISTS {index} ON {table} \
         ((coalesce(headers OPERATOR(pg_catalog.->>) ''x-pgmq-group'', ''_default_fifo_group'')), msg_id); \
         END'"
    ))
}

/// Builds `acquire_queue_lock`.
pub fn acquire_queue_lock(queue: &str) -> Statement<'_, ()> {
    StatementBuilder::on(queue, &rows::acquire_queue_lock)
        .sql("SELECT pgmq.acquire_queue_lock(queue_name=>$1::text)")
}
