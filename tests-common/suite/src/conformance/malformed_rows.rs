//! Rows that PGMQ would not return.

use pgmq_core::{
    AsyncQueue, ErrorKind, QueueError, RawJson,
    chrono::{DateTime, Utc},
};
use serde_json::Value;

use crate::kit::{
    backend::Backend,
    check::fails_as,
    context::{QUEUE, TestContext},
    failure::{Outcome, error_chain},
    table::cases,
};

// Cases are direct if their results have types that two of the drivers look up with a named statement.
cases! { malformed_rows:
    direct [read, pop] unexpected_columns_are_an_error_that_carries_the_message;
    standalone [read] unusual_columns_that_fit_are_accepted;
    standalone [read, pop, set_vt] more_messages_than_requested_are_an_error_that_carries_all;
    direct [send, delete, purge, archive_batch] a_result_of_the_wrong_type_or_count_is_an_error;
    standalone [metrics, list_queues, list_notify_throttles] records_with_missing_columns_are_an_error;
    standalone [] a_malformed_record_of_versions_does_not_panic;
}

/// The columns of a message as PGMQ returns it.
const MESSAGE: [(&str, &str); 7] = [
    ("msg_id", "7::bigint"),
    ("read_ct", "1"),
    ("enqueued_at", "now()"),
    ("last_read_at", "now()"),
    ("vt", "now()"),
    ("message", r#"'{"kept": 1.50}'::jsonb"#),
    ("headers", "NULL::jsonb"),
];

const PAYLOAD: &str = r#"{"kept": 1.50}"#;

/// A query for a message in which one column is `expression`, or is missing if `expression` is empty.
fn message_with(column: &str, expression: &str) -> String {
    let columns = MESSAGE.map(|(name, usual)| (name, if name == column { expression } else { usual }));
    let columns = columns.iter().filter(|(_, expression)| !expression.is_empty());
    let columns: Vec<_> = columns.map(|(name, expression)| format!("{expression} AS {name}")).collect();
    format!("SELECT {}", columns.join(", "))
}

/// Replaces all overloads of a function of PGMQ by one with these arguments and this return type.
fn replace(
    context: &TestContext<'_>,
    function: &str,
    arguments: &str,
    returns: &str,
    query: &str,
) -> Outcome {
    context.execute(&format!(
        "DO $$ DECLARE form regprocedure; BEGIN \
         FOR form IN SELECT oid FROM pg_proc WHERE proname = '{function}' AND pronamespace = 'pgmq'::regnamespace LOOP \
         IF EXISTS (SELECT FROM pg_depend WHERE objid = form AND deptype = 'e') THEN \
         EXECUTE format('ALTER EXTENSION pgmq DROP FUNCTION %s', form); END IF; \
         EXECUTE format('DROP FUNCTION %s CASCADE', form); END LOOP; END $$; \
         CREATE FUNCTION pgmq.{function}({arguments}) RETURNS {returns} LANGUAGE sql AS $${query}$$"
    ))
}

/// Replaces a function like [`replace`], by one that returns the rows of a query with any columns.
fn replace_by_rows(context: &TestContext<'_>, function: &str, arguments: &str, query: &str) -> Outcome {
    context.execute(&format!("DROP VIEW IF EXISTS nonsense CASCADE; CREATE VIEW nonsense AS {query}"))?;
    replace(context, function, arguments, "SETOF nonsense", "TABLE nonsense")
}

const READ: &str = "queue_name text, vt integer, qty integer";
const POP: &str = "queue_name text";
const SEND: &str =
    "queue_name text, msg jsonb, headers jsonb DEFAULT NULL, delay timestamptz DEFAULT clock_timestamp()";

/// A column, its replacement, and the id and payload of the message that the error still carries.
type Unfit = (&'static str, &'static str, Option<(i64, &'static str)>);

/// Replacements that cannot be decoded.
const UNFIT: [Unfit; 20] = [
    ("msg_id", "NULL::bigint", Some((0, PAYLOAD))),
    ("msg_id", "'7'::text", Some((0, PAYLOAD))),
    ("msg_id", "7", Some((0, PAYLOAD))),
    ("msg_id", "7::numeric", Some((0, PAYLOAD))),
    ("msg_id", "", Some((0, PAYLOAD))),
    ("read_ct", "NULL::integer", Some((7, PAYLOAD))),
    ("read_ct", "5000000000", Some((7, PAYLOAD))),
    ("read_ct", "'sad'::mood", Some((7, PAYLOAD))),
    ("read_ct", "", Some((7, PAYLOAD))),
    ("enqueued_at", "NULL::timestamptz", Some((7, PAYLOAD))),
    ("enqueued_at", "now()::timestamp", Some((7, PAYLOAD))),
    ("last_read_at", "'now'::text", Some((7, PAYLOAD))),
    ("vt", "ARRAY[now()]", Some((7, PAYLOAD))),
    ("vt", "", Some((7, PAYLOAD))),
    ("headers", "'(1,2)'::point", Some((7, PAYLOAD))),
    ("headers", "'no json'::text", Some((7, PAYLOAD))),
    ("message", r#"'{"kept": 1.50}'::text"#, Some((7, PAYLOAD))),
    ("message", "'no json'::varchar", Some((7, r#""no json""#))),
    ("message", "''::bytea", None),
    ("message", "", None),
];

async fn unexpected_columns_are_an_error_that_carries_the_message<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    context.execute("CREATE TYPE mood AS ENUM ('sad')")?;
    for (column, expression, expected) in UNFIT {
        let message = message_with(column, expression);
        for (function, arguments) in [("read", READ), ("pop", POP)] {
            replace_by_rows(context, function, arguments, &message)?;
            // A new connection has no prepared statements of the old function.
            let queue = context.connect_with::<B>(1).await?;
            let error = match function {
                "read" => fails_as(ErrorKind::Decode, queue.read::<Value>(QUEUE, 30).await),
                _ => fails_as(ErrorKind::Decode, queue.pop::<Value>(QUEUE).await),
            };
            let text = error_chain(&error);
            assert!(text.contains(&format!("\"{column}\"")), "{column} as {expression:?}: {text}");
            let carried: Vec<_> =
                error.undecoded().iter().map(|message| (message.msg_id, message.message.get())).collect();
            assert_eq!(carried, Vec::from_iter(expected), "{column} as {expression:?}: {text}");
            B::close(queue).await;
        }
    }
    Ok(())
}

async fn unusual_columns_that_fit_are_accepted<B: Backend>(context: &TestContext<'_>) -> Outcome {
    for (column, expression) in [
        ("msg_id", "(-9223372036854775808)::bigint"),
        ("read_ct", "-2147483648"),
        ("enqueued_at", "'-infinity'::timestamptz"),
        ("last_read_at", "NULL::timestamptz"),
        ("vt", "'infinity'::timestamptz"),
        ("message", "'null'::json"),
        ("headers", "NULL::bigint AS something_else, '\"text\"'::jsonb"),
        ("headers", ""),
    ] {
        replace_by_rows(context, "read", READ, &message_with(column, expression))?;
        let queue = context.connect_with::<B>(1).await?;
        let message = queue.read::<Value>(QUEUE, 30).await?.expect("there is a message");
        match column {
            "msg_id" => assert_eq!(message.msg_id, i64::MIN),
            "read_ct" => assert_eq!(message.read_ct, i32::MIN),
            "enqueued_at" => assert_eq!(message.enqueued_at, DateTime::<Utc>::MIN_UTC),
            "vt" => assert_eq!(message.vt, DateTime::<Utc>::MAX_UTC),
            "message" => assert_eq!(message.message, Value::Null),
            _ => assert!(message.headers.is_none_or(|headers| headers.get() == "\"text\"")),
        }
        B::close(queue).await;
    }
    Ok(())
}

async fn more_messages_than_requested_are_an_error_that_carries_all<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    let one = message_with("", "");
    let two = format!("{one} UNION ALL {}", one.replace("7::bigint", "8::bigint"));
    for (function, arguments) in [("read", READ), ("pop", POP)] {
        replace_by_rows(context, function, arguments, &two)?;
        replace(
            context,
            "set_vt",
            "queue_name text, msg_id bigint, vt integer",
            "SETOF nonsense",
            "TABLE nonsense",
        )?;
        let queue = context.connect_with::<B>(1).await?;
        let read = match function {
            "read" => queue.read::<Value>(QUEUE, 30).await,
            _ => queue.pop::<Value>(QUEUE).await,
        };
        for result in [read, queue.set_vt::<Value>(QUEUE, 7, 30).await] {
            let error = fails_as(ErrorKind::Decode, result);
            assert!(error.to_string().contains("2 rows instead of one"), "{error}");
            let texts: Vec<_> = error.undecoded().iter().map(|message| message.message.get()).collect();
            assert_eq!(texts, [PAYLOAD, PAYLOAD]);
        }
        B::close(queue).await;
    }
    Ok(())
}

async fn a_result_of_the_wrong_type_or_count_is_an_error<B: Backend>(context: &TestContext<'_>) -> Outcome {
    const DELETE: &str = "queue_name text, msg_id bigint";
    const ARCHIVE: &str = "queue_name text, msg_ids bigint[]";
    for (function, arguments, returns, query) in [
        ("send", SEND, "bigint", "SELECT NULL::bigint"),
        ("send", SEND, "SETOF bigint", "SELECT 1::bigint WHERE false"),
        ("send", SEND, "SETOF bigint", "VALUES (1::bigint), (2)"),
        ("send", SEND, "text", "SELECT '1'"),
        ("send", SEND, "integer", "SELECT 1"),
        ("send", SEND, "jsonb", "SELECT msg"),
        ("send", SEND, "pg_class", "SELECT c FROM pg_class AS c LIMIT 1"),
        ("delete", DELETE, "boolean", "SELECT NULL::boolean"),
        ("delete", DELETE, "text", "SELECT 'true'"),
        ("delete", DELETE, "SETOF boolean", "VALUES (true), (true)"),
        ("purge_queue", "queue_name text", "bigint", "SELECT -1::bigint"),
        ("purge_queue", "queue_name text", "numeric", "SELECT 1e30"),
        ("archive", ARCHIVE, "SETOF bigint", "VALUES (1::bigint), (NULL)"),
        ("archive", ARCHIVE, "bigint[]", "SELECT msg_ids"),
    ] {
        replace(context, function, arguments, returns, query)?;
        let queue = context.connect_with::<B>(1).await?;
        let result = match function {
            "send" => queue.send(QUEUE, &1).await.map(drop),
            "delete" => queue.delete(QUEUE, 1).await.map(drop),
            "archive" => queue.archive_batch(QUEUE, &[1, 2]).await.map(drop),
            _ => queue.purge(QUEUE).await.map(drop),
        };
        let error = fails_as(ErrorKind::Decode, result);
        assert!(error.undecoded().is_empty() && !error.is_transient(), "{returns}: {error}");
        B::close(queue).await;
    }
    Ok(())
}

async fn records_with_missing_columns_are_an_error<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let named = "SELECT 'q'::text AS queue_name";
    for (function, arguments, query) in [
        ("metrics", "queue_name text", named.to_owned()),
        ("metrics", "queue_name text", format!("{named} WHERE false")),
        ("metrics", "queue_name text", "SELECT NULL::text AS queue_name".to_owned()),
        ("list_queues", "", named.to_owned()),
        (
            "list_queues",
            "",
            format!("{named}, 1 AS is_partitioned, false AS is_unlogged, now() AS created_at"),
        ),
        (
            "list_notify_insert_throttles",
            "",
            format!("{named}, -1 AS throttle_interval_ms, now() AS last_notified_at"),
        ),
        ("list_notify_insert_throttles", "", format!("{named}, 1 AS throttle_interval_ms")),
    ] {
        replace_by_rows(context, function, arguments, &query)?;
        let queue = context.connect_with::<B>(1).await?;
        let result = match function {
            "metrics" => queue.metrics(QUEUE).await.map(drop),
            "list_queues" => queue.list_queues().await.map(drop),
            _ => queue.list_notify_throttles().await.map(drop),
        };
        fails_as(ErrorKind::Decode, result);
        B::close(queue).await;
    }
    Ok(())
}

async fn a_malformed_record_of_versions_does_not_panic<B: Backend>(context: &TestContext<'_>) -> Outcome {
    for version in ["NULL::text", "'99999999999999999999.1.x'::text", "''::text", "1", "ARRAY['1.5.0']"] {
        context.execute(&format!(
            "DROP TABLE IF EXISTS pgmq.__pgmq_migrations; CREATE TABLE pgmq.__pgmq_migrations AS SELECT {version} AS version"
        ))?;
        let queue = context.connect_with::<B>(1).await?;
        if let Err(error) = B::version(&queue).await {
            assert_eq!(error.kind(), ErrorKind::Decode, "{version}: {}", error_chain(&error));
        }
        // Operations do not depend on the record.
        assert_eq!(queue.send(QUEUE, &RawJson::from(Value::Null)).await?, 1);
        queue.pop::<Value>(QUEUE).await?;
        context.execute("SELECT setval('pgmq.q_q_msg_id_seq', 1, false)")?;
        B::close(queue).await;
    }
    Ok(())
}
