//! Statements about the server itself: its installation of PGMQ, and settings of the session.

use crate::call::Call;
use crate::installation::{RecordedVersion, ServerLook};
use crate::statement::builder::StatementBuilder;
use crate::statement::query::Statement;

/// Builds the look at the installation. The statement only reads the catalogue: no DDL, and no lock that
/// another session would wait for.
///
/// A plain SQL installation does not record its version, so the statement looks for the function that each
/// version brought. A version is one number, such as 11301 for 1.13.1.
pub fn look() -> Statement<'static, Option<ServerLook>> {
    StatementBuilder::outside_the_table(Call::new("version", "pgmq")).sql(
        "WITH objects AS (\
         SELECT c.relname, c.oid FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
         WHERE n.nspname = 'pgmq' AND c.relname IN ('meta', '__pgmq_migrations')) \
         SELECT (SELECT extversion::text FROM pg_catalog.pg_extension WHERE extname = 'pgmq') AS extension_version, \
         EXISTS (SELECT FROM objects WHERE relname = 'meta') AS is_installed, \
         EXISTS (SELECT FROM objects WHERE relname = '__pgmq_migrations' \
         AND pg_catalog.has_table_privilege(oid, 'SELECT')) AS is_recorded, \
         CASE WHEN EXISTS (SELECT FROM objects WHERE relname = 'meta') THEN false \
         ELSE EXISTS (SELECT FROM pg_catalog.pg_available_extensions WHERE name = 'pgmq') END AS is_available, \
         (SELECT pg_catalog.max(brought.version) FROM (VALUES \
         (10500, 'send', 'text, jsonb, jsonb, timestamp with time zone'), \
         (10600, 'acquire_queue_lock', 'text'), \
         (10700, 'pop', 'text, integer'), \
         (10800, 'set_vt', 'text, bigint[], integer'), \
         (10900, 'read_grouped', 'text, integer, integer'), \
         (11000, 'set_vt', 'text, bigint, timestamp with time zone'), \
         (11100, 'send_topic', 'text, jsonb'), \
         (11101, 'read_grouped_head', 'text, integer, integer'), \
         (11200, 'read_grouped_head_with_poll', 'text, integer, integer, integer, integer'), \
         (11300, 'create_partitioned', 'text, text, text, integer')\
         ) AS brought (version, name, arguments) \
         JOIN pg_catalog.pg_proc AS p ON p.proname = brought.name \
         AND pg_catalog.oidvectortypes(p.proargtypes) = brought.arguments \
         JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace AND n.nspname = 'pgmq')::integer AS at_least",
    )
}

/// Builds the look at the record that the official installer of PGMQ's SQL keeps.
pub fn recorded_versions() -> Statement<'static, Vec<RecordedVersion>> {
    StatementBuilder::outside_the_table(Call::new("version", "pgmq.__pgmq_migrations"))
        .sql("SELECT version FROM pgmq.__pgmq_migrations")
}

/// Builds the creation of the extension.
pub fn create_extension() -> Statement<'static, ()> {
    StatementBuilder::outside_the_table(Call::new("init", "pgmq"))
        .sql("CREATE EXTENSION IF NOT EXISTS pgmq CASCADE")
}

/// Builds the question whether the session accepts writes, outside a transaction.
///
/// After a transaction that failed, the answer tells if its connection may be used again: what the server
/// refused is known only to the user's closure.
pub fn accepts_writes() -> Statement<'static, bool> {
    StatementBuilder::outside_the_table(Call::new("transaction", "pg_catalog.current_setting"))
        .sql("SELECT pg_catalog.current_setting('transaction_read_only') = 'off'")
}

/// Builds the setting that makes the server check every 250 ms, while it runs a statement, that the client is
/// still connected, unless the session has such a setting. For drivers that cannot cancel a statement.
pub fn watch_client() -> Statement<'static, ()> {
    StatementBuilder::outside_the_table(Call::new("connect", "pg_catalog.set_config")).sql(
        "SELECT pg_catalog.set_config('client_connection_check_interval', '250ms', false) \
         WHERE pg_catalog.current_setting('client_connection_check_interval', true) = '0'",
    )
}
