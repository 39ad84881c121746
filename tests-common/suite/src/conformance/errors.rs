//! Every kind of error that a server can be made to return.

use std::{
    thread,
    time::{Duration, Instant},
};

use pgmq_core::{AsyncQueue, ErrorKind, Operation, PollOptions, QueueError};
use serde_json::Value;

use crate::{
    conformance::round_trips::recorded,
    kit::{
        backend::{Backend, Builder},
        check::{fails_as, works},
        context::{QUEUE, QueueUnderTest, TestContext},
        every_operation::on_every_queue_operation,
        failure::{Failure, Outcome, error_chain},
        table::{case, cases},
    },
};

cases! { errors:
    pool [send, read, pop, delete, archive, set_vt, metrics, peek, get, read_archive, purge]
        every_operation_on_a_missing_queue_is_queue_not_found;
    everywhere [send] an_error_names_the_operation_and_the_queue_and_keeps_its_cause;
    everywhere [requeue_archived] a_dropped_archive_is_queue_not_found;
    pool [send, list_queues] every_operation_without_the_schema_is_not_installed;
    pool [read_grouped, pop_batch, send_topic, list_notify_throttles]
        a_missing_function_is_unsupported_and_named_in_the_error;
    standalone [send] a_role_without_privileges_is_permission_denied;
    standalone [send] a_row_that_row_level_security_refuses_is_permission_denied;
    everywhere [send] a_character_that_an_encoding_lacks_is_an_invalid_argument;
    standalone [] a_login_with_an_unknown_parameter_is_refused_for_good;
    standalone [set_vt] a_serialisation_failure_is_a_conflict_and_transient;
    standalone [send] a_deadlock_is_a_conflict_and_transient;
    standalone [read_with_poll] exceeding_statement_timeout_is_a_timeout;
    standalone [purge] exceeding_lock_timeout_is_a_timeout;
    pool [read_with_poll] a_call_that_the_server_ended_uncommitted_is_retried_once;
    standalone [read_with_poll] a_connection_lost_during_a_call_is_a_connection_error;
    direct [send] only_a_request_without_an_answer_is_in_doubt;
    everywhere [send] an_exception_of_a_trigger_is_a_database_error_with_its_sqlstate;
    pool [send, send_with] a_function_missing_from_a_trigger_does_not_cause_a_retry;
}

async fn every_operation_on_a_missing_queue_is_queue_not_found(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    for (operation, result) in on_every_queue_operation(&**queue, "missing").await {
        if let Err(error) = &result {
            let documented = Operation::find(operation).is_some_and(|row| row.errors.contains(&error.kind()));
            assert!(documented, "{operation} does not document {:?}: {}", error.kind(), error_chain(error));
        }
        match operation {
            // Creates the queue, so the error cannot be about a missing queue.
            "create_queue"
            | "create_unlogged_queue"
            | "create_partitioned_queue"
            | "create_partitioned_queue_with" => {
                assert_ne!(
                    result.err().map(|error| error.kind()),
                    Some(ErrorKind::QueueNotFound),
                    "{operation}"
                );
                queue.drop_queue("missing").await?;
            }
            // The operation returns an answer, or PGMQ ignores that the queue is missing.
            "drop_queue"
            | "queue_exists"
            | "validate_queue_name"
            | "acquire_queue_lock"
            | "unbind_topic"
            | "list_topic_bindings_for"
            | "convert_archive_partitioned"
            | "convert_archive_partitioned_with"
            | "disable_notify"
            | "repair_notify" => drop(result?),
            "detach_archive" if queue.context.has_pgmq("1.6.0") => drop(result?),
            _ => {
                let text = match &result {
                    Ok(_) => panic!("{operation} worked on a missing queue"),
                    Err(error) => error_chain(error),
                };
                let error = fails_as(ErrorKind::QueueNotFound, result);
                let asked = format!("{operation} on queue \"missing\"");
                assert!(error.to_string().contains(&asked), "{operation}: {text}");
                assert!(!error.is_transient() && error.undecoded().is_empty());
            }
        }
    }
    Ok(())
}

async fn an_error_names_the_operation_and_the_queue_and_keeps_its_cause(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    let error = fails_as(ErrorKind::QueueNotFound, queue.send("Missing", &1).await);
    let text = error.to_string();
    assert_eq!(text, "send on queue \"missing\": the queue does not exist; create it with create_queue");
    queue.context.assert_sqlstate(&error, "42P01");
    assert!(
        error_chain(&error).contains("relation \"pgmq.q_missing\" does not exist"),
        "{}",
        error_chain(&error)
    );
    Ok(())
}

async fn a_dropped_archive_is_queue_not_found(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    if queue.context.server().is_extension() {
        // Up to version 1.5, PGMQ made archives members of the extension.
        let is_part =
            "SELECT EXISTS (SELECT FROM pg_depend WHERE objid = 'pgmq.a_q'::regclass AND deptype = 'e')";
        if queue.context.query_value(is_part)? == "t" {
            queue.context.execute("ALTER EXTENSION pgmq DROP TABLE pgmq.a_q")?;
        }
    }
    queue.context.execute("DROP TABLE pgmq.a_q")?;
    fails_as(ErrorKind::QueueNotFound, queue.requeue_archived(QUEUE, &[1]).await);
    Ok(())
}

async fn every_operation_without_the_schema_is_not_installed(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    queue.context.execute("SET client_min_messages = error; DROP SCHEMA pgmq CASCADE")?;
    for (operation, result) in on_every_queue_operation(&**queue, QUEUE).await {
        let text = match &result {
            Ok(_) => panic!("{operation} worked without PGMQ"),
            Err(error) => error_chain(error),
        };
        let kind = match operation {
            // The statement names a table, which the server looks up first.
            "peek" | "get" | "next_due" | "read_archive" | "requeue_archived" | "hold" | "hold_each"
            | "move_batch" | "forward" => ErrorKind::QueueNotFound,
            _ => ErrorKind::NotInstalled,
        };
        assert_eq!(result.map_err(|error| error.kind()), Err(kind), "{operation}: {text}");
        let is_explained = text.contains("PGMQ is not installed in this database");
        assert!(is_explained || kind != ErrorKind::NotInstalled, "{operation}: {text}");
    }
    fails_as(ErrorKind::NotInstalled, queue.list_queues().await);
    fails_as(ErrorKind::NotInstalled, queue.metrics_all().await);
    Ok(())
}

async fn a_missing_function_is_unsupported_and_named_in_the_error(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    queue.context.execute(
        "DROP FUNCTION IF EXISTS pgmq.read_grouped(text, integer, integer), pgmq.pop(text, integer), \
         pgmq.send_topic(text, jsonb), pgmq.list_notify_insert_throttles()",
    )?;
    for (error, function, since) in [
        (
            fails_as(ErrorKind::Unsupported, queue.read_grouped::<Value>(QUEUE, 1, 1).await),
            "pgmq.read_grouped",
            "1.9.0",
        ),
        (fails_as(ErrorKind::Unsupported, queue.pop_batch::<Value>(QUEUE, 2).await), "pgmq.pop", "1.7.0"),
        (fails_as(ErrorKind::Unsupported, queue.send_topic("k", &1).await), "pgmq.send_topic", "1.11.0"),
        (
            fails_as(ErrorKind::Unsupported, queue.list_notify_throttles().await),
            "pgmq.list_notify_insert_throttles",
            "1.11.0",
        ),
    ] {
        let text = error.to_string();
        assert!(text.contains(function) && text.contains(since), "{text}");
        queue.context.assert_sqlstate(&error, "42883");
        assert!(!error.is_transient());
    }
    assert_eq!(queue.send(QUEUE, &1).await?, 1);
    Ok(())
}

async fn a_role_without_privileges_is_permission_denied<B: Backend>(context: &TestContext<'_>) -> Outcome {
    // Every server has this role, which has no privileges on the queue.
    let url = context.url_with("-c role=pg_signal_backend");
    let queue = match B::connect(&url).await {
        Ok(queue) => queue,
        Err(error) => {
            fails_as(ErrorKind::PermissionDenied, Err::<(), _>(error));
            return Ok(());
        }
    };
    for result in [
        queue.send(QUEUE, &1).await.map(drop),
        queue.read::<Value>(QUEUE, 1).await.map(drop),
        queue.peek::<Value>(QUEUE, 1).await.map(drop),
        queue.list_queues().await.map(drop),
        queue.create_queue("mine").await,
    ] {
        let error = fails_as(ErrorKind::PermissionDenied, result);
        context.assert_sqlstate(&error, "42501");
        assert!(!error.is_transient());
    }
    Ok(())
}

async fn a_row_that_row_level_security_refuses_is_permission_denied<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    // Every server has this role. Its privileges end with the database.
    context.execute(
        "GRANT USAGE ON SCHEMA pgmq TO pg_signal_backend; \
         GRANT ALL ON ALL TABLES IN SCHEMA pgmq TO pg_signal_backend; \
         ALTER TABLE pgmq.q_q ENABLE ROW LEVEL SECURITY; \
         CREATE POLICY none ON pgmq.q_q WITH CHECK (false)",
    )?;
    let url = context.url_with("-c role=pg_signal_backend");
    let queue = B::builder().url(&url).install_extension(false).connect().await?;
    let error = fails_as(ErrorKind::PermissionDenied, queue.send(QUEUE, &1).await);
    context.assert_sqlstate(&error, "42501");
    Ok(())
}

async fn a_character_that_an_encoding_lacks_is_an_invalid_argument(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    // As in a database whose encoding is LATIN1.
    queue.context.execute(
        "CREATE FUNCTION to_latin() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN PERFORM convert_to(NEW.message #>> '{}', 'LATIN1'); RETURN NEW; END $$; \
         CREATE TRIGGER to_latin BEFORE INSERT ON pgmq.q_q FOR EACH ROW EXECUTE FUNCTION to_latin()",
    )?;
    let error = fails_as(ErrorKind::InvalidArgument, queue.send(QUEUE, "5 €").await);
    queue.context.assert_sqlstate(&error, "22P05");
    Ok(())
}

async fn a_login_with_an_unknown_parameter_is_refused_for_good<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    let error = fails_as(ErrorKind::Database, B::connect(&context.url_with("-c no_such_thing=1")).await);
    context.assert_sqlstate(&error, "42704");
    assert!(!error.is_transient());
    Ok(())
}

async fn a_serialisation_failure_is_a_conflict_and_transient<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    async fn meets_a_change(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
        // The first query takes the transaction's snapshot.
        assert!(queue.get::<i32>(QUEUE, 1).await?.is_some());
        queue.context.execute("UPDATE pgmq.q_q SET read_ct = 7")?;
        let error = fails_as(ErrorKind::Conflict, queue.set_vt::<i32>(QUEUE, 1, 30).await);
        queue.context.assert_sqlstate(&error, "40001");
        assert!(error.is_transient());
        Ok(())
    }
    let queue = B::connect(&context.url_with("-c default_transaction_isolation=serializable")).await?;
    queue.send(QUEUE, &1).await?;
    B::in_transaction(&queue, context, &case!(meets_a_change)).await
}

async fn a_deadlock_is_a_conflict_and_transient<B: Backend>(context: &TestContext<'_>) -> Outcome {
    async fn meets_a_deadlock(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
        queue.set_vt::<i32>(QUEUE, 1, 30).await?.unwrap();
        let update = "UPDATE pgmq.q_q SET read_ct = 5 WHERE msg_id =";
        let other = queue.context.execute_in_background(format!("BEGIN; {update} 2; {update} 1; COMMIT"));
        queue.context.wait_until_another_session_is_blocked()?;
        let error = fails_as(ErrorKind::Conflict, queue.set_vt::<i32>(QUEUE, 2, 30).await);
        queue.context.assert_sqlstate(&error, "40P01");
        assert!(error.is_transient());
        other.join()
    }
    let queue = context.connect::<B>().await?;
    queue.send_batch(QUEUE, &[1, 2]).await?;
    B::in_transaction(&queue, context, &case!(meets_a_deadlock)).await
}

async fn exceeding_statement_timeout_is_a_timeout<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let queue = B::connect(&context.url_with("-c statement_timeout=200")).await?;
    let started = Instant::now();
    let poll = PollOptions::new().timeout(Duration::from_secs(30));
    let error = fails_as(ErrorKind::Timeout, queue.read_with_poll::<Value>(QUEUE, 1, 1, &poll).await);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    context.assert_sqlstate(&error, "57014");
    assert!(error.is_transient());
    assert_eq!(queue.send(QUEUE, &1).await?, 1);
    Ok(())
}

async fn exceeding_lock_timeout_is_a_timeout<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let queue = B::connect(&context.url_with("-c lock_timeout=200")).await?;
    context.execute("BEGIN; LOCK TABLE pgmq.q_q IN ACCESS EXCLUSIVE MODE")?;
    let error = fails_as(ErrorKind::Timeout, queue.purge(QUEUE).await);
    context.assert_sqlstate(&error, "55P03");
    assert!(error.is_transient());
    context.execute("ROLLBACK")?;
    assert_eq!(queue.purge(QUEUE).await?, 0);
    Ok(())
}

/// Waits for a poll, ends its session, and waits until the session is gone.
const END_A_POLL: &str = "DO $$ DECLARE poll integer; BEGIN LOOP \
       PERFORM pg_stat_clear_snapshot(); \
       SELECT pid INTO poll FROM pg_stat_activity WHERE datname = current_database() \
         AND pid <> pg_backend_pid() AND state = 'active' AND query LIKE '%read_with_poll%'; \
       EXIT WHEN FOUND; \
       PERFORM pg_sleep(0.01); \
     END LOOP; \
     PERFORM pg_terminate_backend(poll); \
     WHILE EXISTS (SELECT FROM pg_stat_activity WHERE pid = poll) LOOP \
       PERFORM pg_sleep(0.001), pg_stat_clear_snapshot(); \
     END LOOP; END $$;";

fn long_poll() -> PollOptions {
    PollOptions::new().timeout(Duration::from_secs(30)).interval(Duration::from_millis(20))
}

async fn a_call_that_the_server_ended_uncommitted_is_retried_once(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    let mut lost = 0;
    loop {
        let end = queue.context.execute_in_background(format!("{END_A_POLL} SELECT pgmq.send('q', '1')"));
        let read = queue.read_with_poll::<i32>(QUEUE, 60, 1, &long_poll()).await;
        end.join()?;
        match read {
            // A driver that receives the server's error together with the end of the connection may report
            // only the end, which does not prove that nothing was committed.
            Err(error) if error.kind() == ErrorKind::Connection && lost < 20 => lost += 1,
            read => {
                let read = read?;
                assert_eq!((read.len(), read[0].read_ct), (1, 1));
                return Ok(());
            }
        }
        queue.purge(QUEUE).await?;
    }
}

async fn a_connection_lost_during_a_call_is_a_connection_error<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    async fn is_not_retried(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
        // The transaction may have contained other statements, so the call is not retried.
        let end = queue.context.execute_in_background(END_A_POLL.to_owned());
        let error =
            fails_as(ErrorKind::Connection, queue.read_with_poll::<Value>(QUEUE, 1, 1, &long_poll()).await);
        assert!(error.is_transient());
        assert!(error.to_string().contains("read_with_poll on queue \"q\""), "{error}");
        end.join()
    }
    let queue = context.connect::<B>().await?;
    B::in_transaction(&queue, context, &case!(is_not_retried)).await?;
    B::on_connection(&queue, context, &case!(is_not_retried)).await?;
    // The next call uses another connection.
    assert_eq!(queue.send(QUEUE, &1).await?, 1);
    Ok(())
}

const AWAIT_A_BLOCKED_SESSION: &str = "DO $$ BEGIN LOOP \
       PERFORM pg_stat_clear_snapshot(); \
       EXIT WHEN EXISTS (SELECT FROM pg_stat_activity \
         WHERE datname = current_database() AND wait_event_type = 'Lock'); \
       PERFORM pg_sleep(0.01); \
     END LOOP; END $$";

async fn only_a_request_without_an_answer_is_in_doubt<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let (proxy, queue) = recorded::<B>(context).await?;
    works(&queue).await?;
    // The server has the request, and waits for a lock when the connection is lost.
    context.execute("BEGIN; LOCK TABLE pgmq.q_q")?;
    let blocked = context.execute_in_background(AWAIT_A_BLOCKED_SESSION.to_owned());
    let cut = thread::spawn(move || {
        blocked.join()?;
        proxy.cut();
        Ok::<_, Failure>(proxy)
    });
    let error = fails_as(ErrorKind::Connection, queue.send(QUEUE, &1).await);
    let _proxy = cut.join().unwrap()?;
    assert!(error.is_in_doubt(), "{error:?}");
    context.execute("ROLLBACK")?;
    // The server has answered, so nothing is in doubt.
    let error = fails_as(ErrorKind::QueueNotFound, queue.send("missing", &1).await);
    assert!(!error.is_in_doubt());
    Ok(())
}

async fn an_exception_of_a_trigger_is_a_database_error_with_its_sqlstate(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    queue.context.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN RAISE EXCEPTION 'not today' USING ERRCODE = 'MINE1'; END $$; \
         CREATE TRIGGER refuse BEFORE INSERT ON pgmq.q_q FOR EACH ROW EXECUTE FUNCTION refuse()",
    )?;
    let error = fails_as(ErrorKind::Database, queue.send(QUEUE, &1).await);
    queue.context.assert_sqlstate(&error, "MINE1");
    assert!(error_chain(&error).contains("not today") && !error.is_transient(), "{}", error_chain(&error));
    Ok(())
}

async fn a_function_missing_from_a_trigger_does_not_cause_a_retry(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    queue.context.execute(
        "CREATE FUNCTION count_calls() RETURNS trigger LANGUAGE plpgsql AS \
         'BEGIN PERFORM nextval(''calls''); PERFORM there_is_no_such_function(); RETURN NEW; END'; \
         CREATE SEQUENCE calls; \
         CREATE TRIGGER count_calls BEFORE INSERT ON pgmq.q_q FOR EACH ROW EXECUTE FUNCTION count_calls()",
    )?;
    let error = fails_as(ErrorKind::Database, queue.send(QUEUE, &1).await);
    queue.context.assert_sqlstate(&error, "42883");
    assert_eq!(queue.context.query_value("SELECT last_value FROM calls")?, "1");
    // The failure must not be taken as a sign of an older PGMQ either.
    queue.context.execute("DROP TRIGGER count_calls ON pgmq.q_q")?;
    queue.send(QUEUE, &1).await?;
    Ok(())
}
