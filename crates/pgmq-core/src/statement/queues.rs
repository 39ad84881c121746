//! Making, listing and dropping queues.

use super::{Draft, Statement, count};
use crate::{ArchivePartitionOptions, Error, ErrorKind, PartitionOptions, QueueInfo, Version};

/// Has a statement wait for those who make or drop the queue, by the lock that PGMQ takes itself since 1.6: without it, several who
/// do so at the same moment would fail, or leave half of a queue. What is selected is evaluated once the lock is held.
macro_rules! locked {
    ($($select:literal),*) => {
        concat!(
            $($select,)*
            " FROM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('pgmq.queue_' || $1::text))"
        )
    };
}

/// Calls a function that makes a queue.
macro_rules! create_unless {
    ($there:literal, $($call:literal),*) => {
        locked!("SELECT CASE WHEN ", $there, " THEN NULL ELSE ", $($call,)* "::text END")
    };
}

/// Makes a queue, unless it is there under any spelling: another client may have made it with capitals in its name, and a
/// second record of one table would outlive the table.
macro_rules! plain {
    ($call:literal) => {
        create_unless!(
            "pg_catalog.to_regclass(pg_catalog.format('pgmq.%I', 'q_' || $1::text)) IS NOT NULL \
             AND EXISTS (SELECT FROM pgmq.meta WHERE pg_catalog.lower(queue_name::text) = $1::text)",
            $call
        )
    };
}

/// Makes a partitioned queue, unless it is there: `pg_partman` would refuse to make it a second time.
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
    Draft::on(queue, "create_queue", "pgmq.create").sql(plain!("pgmq.create(queue_name=>$1::text)"))
}

/// Builds `create_unlogged_queue`.
pub fn create_unlogged_queue(queue: &str) -> Statement<'_, ()> {
    Draft::on(queue, "create_unlogged_queue", "pgmq.create_unlogged")
        .sql(plain!("pgmq.create_unlogged(queue_name=>$1::text)"))
}

/// Builds `create_partitioned_queue`.
pub fn create_partitioned_queue(queue: &str) -> Statement<'_, ()> {
    Draft::on(queue, "create_partitioned_queue", "pgmq.create_partitioned").sql(partitioned!(""))
}

/// Builds `create_partitioned_queue_with`.
pub fn create_partitioned_queue_with<'a>(queue: &'a str, options: &PartitionOptions) -> Statement<'a, ()> {
    let draft = Draft::on(queue, "create_partitioned_queue_with", "pgmq.create_partitioned")
        .text(options.interval.0.clone())
        .text(options.retention.0.clone());
    match options.premake {
        None => draft.sql(partitioned!(", partition_interval=>$2::text, retention_interval=>$3::text")),
        Some(partitions) => draft.since(1, 13, 0).int(premake(partitions)).sql(partitioned!(
            ", partition_interval=>$2::text, retention_interval=>$3::text, premake=>$4::integer"
        )),
    }
}

fn premake(partitions: u32) -> Result<i32, Error> {
    match partitions {
        0 => Err(Error::new(
            ErrorKind::InvalidArgument,
            "premake is 0; at least one partition has to be made ahead",
        )),
        _ => count("premake", partitions),
    }
}

/// Builds `drop_queue`.
///
/// Another client may have made the queue with capitals in its name, or twice, in two spellings: what PGMQ wrote down
/// about it is found by the folded name, one spelling is dropped by PGMQ, and the others go with it.
///
/// The table is asked for its size, which is NULL if it is not there any more: the name alone would still be known to a session
/// that has waited while the table was dropped.
pub fn drop_queue(queue: &str) -> Statement<'_, bool> {
    // Before 1.5, PGMQ has to be told that a queue is partitioned, or leaves it in the books of pg_partman.
    Draft::on(queue, "drop_queue", "pgmq.drop_queue").sql_or(
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
    Draft::on(queue, "purge", "pgmq.purge_queue").sql("SELECT pgmq.purge_queue(queue_name=>$1::text)")
}

/// Builds `list_queues`.
pub fn list_queues() -> Statement<'static, Vec<QueueInfo>> {
    Draft::new("list_queues", "pgmq.list_queues").sql("SELECT * FROM pgmq.list_queues()")
}

/// Builds `queue_exists`.
pub fn queue_exists(queue: &str) -> Statement<'_, bool> {
    Draft::on(queue, "queue_exists", "pgmq.meta")
        .sql("SELECT EXISTS (SELECT FROM pgmq.meta WHERE pg_catalog.lower(queue_name::text) = $1::text)")
}

/// Builds `validate_queue_name`.
pub fn validate_queue_name(queue: &str) -> Statement<'_, ()> {
    Draft::on(queue, "validate_queue_name", "pgmq.validate_queue_name")
        .sql("SELECT pgmq.validate_queue_name(queue_name=>$1::text)")
}

/// Builds `convert_archive_partitioned`.
pub fn convert_archive_partitioned(queue: &str) -> Statement<'_, ()> {
    Draft::on(queue, "convert_archive_partitioned", "pgmq.convert_archive_partitioned")
        .sql("SELECT pgmq.convert_archive_partitioned(table_name=>$1::text)")
}

/// Builds `convert_archive_partitioned_with`.
pub fn convert_archive_partitioned_with<'a>(
    queue: &'a str,
    options: &ArchivePartitionOptions,
) -> Statement<'a, ()> {
    Draft::on(queue, "convert_archive_partitioned_with", "pgmq.convert_archive_partitioned")
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
    Draft::on(queue, "detach_archive", "pgmq.detach_archive")
        .sql("SELECT pgmq.detach_archive(queue_name=>$1::text)")
}

/// Builds `create_fifo_index`.
pub fn create_fifo_index(queue: &str) -> Statement<'_, ()> {
    Draft::on(queue, "create_fifo_index", "pgmq.create_fifo_index")
        .since(1, 9, 0)
        .sql("SELECT pgmq.create_fifo_index(queue_name=>$1::text)")
}

/// Builds `create_fifo_indexes_all`.
pub fn create_fifo_indexes_all() -> Statement<'static, ()> {
    Draft::new("create_fifo_indexes_all", "pgmq.create_fifo_indexes_all")
        .since(1, 9, 0)
        .sql("SELECT pgmq.create_fifo_indexes_all()")
}

/// Builds `acquire_queue_lock`.
pub fn acquire_queue_lock(queue: &str) -> Statement<'_, ()> {
    Draft::on(queue, "acquire_queue_lock", "pgmq.acquire_queue_lock")
        .since(1, 6, 0)
        .sql("SELECT pgmq.acquire_queue_lock(queue_name=>$1::text)")
}
