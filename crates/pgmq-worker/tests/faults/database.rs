//! Faults in the database: queues, permissions and messages that change under a worker.

use std::sync::Arc;
use std::time::Duration;

use pgmq_worker::{CancelReason, Meta, Outcome, Queue};

use crate::bed::{Bed, TEST, wait_until};
use crate::shell::{End, Plan, Shell, Takes, twins};

fn done() -> Plan {
    Plan::new(End::Outcome(|_| Outcome::Done))
}

/// Handlers that run until the gate is closed.
fn gated(plan: Plan) -> (async_channel::Sender<()>, Plan) {
    let (gate, is_closed) = async_channel::bounded(1);
    (gate, Plan { takes: Takes::Until(is_closed), ..plan })
}

fn a_purge_under_load_costs_only_the_messages_of_the_purge(shell: Shell) {
    let bed = Bed::create();
    let plan = Plan { takes: Takes::For(Duration::from_millis(5)), ..done() };
    let worker = shell.start(&bed.through_proxy(), &plan);
    bed.send(1..=500);
    wait_until("some messages are handled", || worker.log.ended().len() > 20);
    bed.queue.purge("q").unwrap();
    wait_until("the worker is idle", || worker.is_idle());
    bed.send(501..=520);
    bed.wait_until_empty();
    let log = Arc::clone(&worker.log);
    assert!(worker.stop().is_clean());
    let begun = log.begun();
    assert!(begun.is_sorted_by(|one, next| one < next), "none runs twice");
    assert!(begun.ends_with(&Vec::from_iter(501..=520)));
}

/// The ids of the messages in the new queue are those of the messages that were in the old one.
fn a_queue_that_is_dropped_and_created_again_loses_no_new_message(shell: Shell, ends_before: bool) {
    let bed = Bed::create();
    let queue = Queue::new().concurrency(4).vt(Duration::from_secs(2));
    let (gate, plan) = gated(Plan { queue, ..done() });
    let worker = shell.start(&bed.through_proxy(), &plan);
    bed.send(1..=8);
    wait_until("handlers run", || worker.health().running == 4 && worker.health().waiting == 4);
    assert!(bed.queue.drop_queue("q").unwrap());
    if ends_before {
        gate.close();
        wait_until("the worker is idle", || worker.is_idle());
    } else {
        wait_until("the worker knows", || worker.health().waiting == 0);
    }
    bed.queue.create_queue("q").unwrap();
    bed.send(101..=120);
    gate.close();
    bed.wait_until_empty();
    let log = Arc::clone(&worker.log);
    assert!(worker.stop().is_clean());
    let mut begun = log.begun();
    begun.retain(|number| *number > 100);
    assert_eq!(begun, Vec::from_iter(101..=120));
}

fn a_dead_letter_queue_that_was_dropped_is_created_again(shell: Shell) {
    let bed = Bed::create();
    let worker = shell.start(&bed.through_proxy(), &Plan::new(End::Outcome(|_| Outcome::dead_letter("no"))));
    assert!(bed.queue.drop_queue("q_dlq").unwrap());
    bed.send(1..=10);
    bed.wait_until_empty();
    assert!(worker.stop().is_clean());
    assert_eq!(bed.books().dead, Vec::from_iter(1..=10));
}

/// A message that cannot be forwarded comes again, and is at last a dead letter.
fn a_missing_target_costs_only_the_messages_for_it(shell: Shell) {
    let bed = Bed::create();
    let plan = Plan {
        queue: Queue::new().vt(Duration::from_secs(1)).max_reads(2),
        ..Plan::new(End::Outcome(|meta: &Meta| match meta.id() % 2 {
            0 => Outcome::forward("nowhere", meta.raw()),
            _ => Outcome::Done,
        }))
    };
    let worker = shell.start(&bed.through_proxy(), &plan);
    bed.send(1..=6);
    bed.wait_until_empty();
    assert!(worker.stop().is_clean());
    assert_eq!(bed.books().dead, [2, 4, 6]);
}

/// A message that the server refuses to delete does not keep others of its batch from being deleted.
fn a_message_that_cannot_be_deleted_costs_only_itself(shell: Shell) {
    let bed = Bed::create();
    let trigger = "
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused'; END $$;
        CREATE TRIGGER refuse BEFORE DELETE ON pgmq.q_q
            FOR EACH ROW WHEN (OLD.message = '13') EXECUTE FUNCTION refuse()";
    bed.database.execute(trigger).unwrap();
    let (gate, plan) = gated(Plan { queue: Queue::new().concurrency(40), ..done() });
    bed.send(1..=40);
    let worker = shell.start(&bed.through_proxy(), &plan);
    wait_until("all handlers run", || worker.log.begun().len() == 40);
    gate.close();
    wait_until("the others are deleted", || bed.books().queue == [13]);
    wait_until("the worker is idle", || worker.is_idle());
    let log = Arc::clone(&worker.log);
    assert!(worker.stop().is_clean());
    assert_eq!(log.begun(), Vec::from_iter(1..=40));
}

/// All sessions of the server end again and again, with the transactions of handlers in them.
fn sessions_that_are_ended_cost_nothing(shell: Shell) {
    let bed = Bed::create();
    let queue = Queue::new().vt(Duration::from_secs(2)).retry(pgmq_worker::Retry::fixed(Duration::ZERO));
    let plan = Plan {
        queue: queue.max_reads(1_000),
        takes: Takes::For(Duration::from_millis(5)),
        ..Plan::new(End::FinishIn)
    };
    let worker = shell.start(&bed.through_proxy(), &plan);
    let mut client = bed.client();
    for round in 0..8 {
        bed.send(round * 100 + 1..=(round + 1) * 100);
        std::thread::sleep(Duration::from_millis(100));
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
                   AND pid <> pg_backend_pid() AND application_name <> $1";
        client.execute(sql, &[&TEST]).unwrap();
    }
    bed.wait_until_empty();
    assert!(worker.stop().is_clean());
    let books = bed.books();
    assert_eq!((books.effects, books.dead), (Vec::from_iter(1..=800), Vec::new()));
}

/// The server refuses writes for a while.
fn a_server_that_is_read_only_for_a_while_costs_nothing(shell: Shell) {
    let bed = Bed::create();
    let (gate, plan) = gated(Plan { queue: Queue::new().concurrency(2), ..done() });
    let worker = shell.start(&bed.through_proxy(), &plan);
    bed.send(1..=4);
    wait_until("two handlers run", || worker.log.begun().len() == 2);
    let alter = format!("ALTER DATABASE \"{}\"", bed.database.name());
    bed.database.execute(&format!("{alter} SET default_transaction_read_only = on")).unwrap();
    // Sessions keep the setting that they have begun with.
    bed.proxy.cut();
    gate.close();
    wait_until("no write works", || worker.health().failed_reads > 1 && worker.health().unsettled == 4);
    assert_eq!(bed.length("q"), 4);
    let mut client = bed.client();
    client.batch_execute("SET default_transaction_read_only = off").unwrap();
    client.batch_execute(&format!("{alter} RESET default_transaction_read_only")).unwrap();
    bed.proxy.cut();
    bed.wait_until_empty();
    let log = Arc::clone(&worker.log);
    assert!(worker.stop().is_clean());
    assert_eq!(log.begun(), [1, 2, 3, 4]);
}

/// Times that no server can hold hide a message for as long as one can.
fn endless_times_hide_a_message(shell: Shell) {
    let bed = Bed::create();
    let queue = Queue::new().concurrency(1).prefetch(0).vt(Duration::from_secs(1));
    let outcome = |meta: &Meta| match meta.id() {
        1 => Outcome::retry_after(Duration::MAX),
        2 => Outcome::snooze(Duration::MAX),
        _ => Outcome::Done,
    };
    let worker = shell.start(&bed.through_proxy(), &Plan { queue, ..Plan::new(End::Outcome(outcome)) });
    bed.send(1..=3);
    wait_until("all are handled", || worker.log.begun() == [1, 2, 3] && worker.is_idle());
    let hidden = "SELECT count(*) FROM pgmq.q_q WHERE vt > now() + interval '1 year'";
    assert_eq!(bed.client().query_one(hidden, &[]).unwrap().get::<_, i64>(0), 2);
    assert!(worker.stop().is_clean());
}

/// A message that is deleted by hand while it runs is lost for its handler, and its end has no effect.
fn a_message_that_is_deleted_while_it_runs_cancels_its_handler(shell: Shell) {
    let bed = Bed::create();
    let plan = Plan {
        queue: Queue::new().concurrency(3).vt(Duration::from_secs(2)),
        takes: Takes::UntilCancelled,
        ..Plan::new(End::Outcome(|meta: &Meta| match meta.id() {
            1 => Outcome::Done,
            2 => Outcome::retry_after(Duration::ZERO),
            _ => Outcome::dead_letter("no"),
        }))
    };
    let worker = shell.start(&bed.through_proxy(), &plan);
    let ids = bed.send(1..=3);
    wait_until("all handlers run", || worker.log.begun().len() == 3);
    assert_eq!(bed.queue.delete_batch("q", &ids).unwrap(), ids);
    wait_until("all handlers are cancelled", || worker.log.ended().len() == 3);
    assert!(worker.log.ended().iter().all(|(_, reason)| *reason == Some(CancelReason::LeaseLost)));
    wait_until("the worker is idle", || worker.is_idle());
    assert!(worker.stop().is_clean());
    let books = bed.books();
    assert_eq!((books.queue, books.dead), (Vec::new(), Vec::new()));
}

/// A statement that the server ends because of a deadlock is repeated.
fn a_deadlock_with_another_client_costs_nothing(shell: Shell) {
    // There is none unless both messages are settled in one statement, which depends on the handlers.
    let has_met_one = (0..40).any(|_| a_chance_of_a_deadlock(shell));
    assert!(has_met_one, "the worker was never in a deadlock");
}

/// Returns `true` if the worker was in a deadlock.
fn a_chance_of_a_deadlock(shell: Shell) -> bool {
    let bed = Bed::create();
    let (gate, plan) = gated(Plan { queue: Queue::new().concurrency(2), ..done() });
    let worker = shell.start(&bed.through_proxy(), &plan);
    let ids = bed.send(1..=2);
    wait_until("both handlers run", || worker.log.begun().len() == 2);
    let lock = |client: &mut postgres::Client, id: i64| {
        client.execute("SELECT FROM pgmq.q_q WHERE msg_id = $1 FOR UPDATE", &[&id])
    };
    let mut other = bed.client();
    // The worker is the one that notices.
    other.batch_execute("SET deadlock_timeout = '1h'; BEGIN").unwrap();
    lock(&mut other, ids[1]).unwrap();
    gate.close();
    let mut witness = bed.client();
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    let count =
        |client: &mut postgres::Client, query: &str| -> i64 { client.query_one(query, &[]).unwrap().get(0) };
    while count(&mut witness, waits) == 0 {
        std::thread::yield_now();
    }
    // Ends when the server has ended the worker's statement, if that holds the first message.
    let is_there = lock(&mut other, ids[0]).unwrap() == 1;
    other.batch_execute("COMMIT").unwrap();
    drop(other);
    bed.wait_until_empty();
    let log = Arc::clone(&worker.log);
    assert!(worker.stop().is_clean());
    assert_eq!(log.begun(), [1, 2]);
    is_there && count(&mut bed.client(), deadlocks) > 0
}

/// The work of a role that may use the queues and create none.
fn a_permission_that_is_revoked_stops_the_queue_until_it_is_granted_again(shell: Shell) {
    let bed = Bed::create();
    let role = format!("{}_role", bed.database.name());
    let all = format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'secret';
         GRANT USAGE ON SCHEMA pgmq TO {role};
         GRANT SELECT ON ALL TABLES IN SCHEMA pgmq TO {role};
         GRANT INSERT, UPDATE, DELETE ON pgmq.q_q, pgmq.a_q, pgmq.q_q_dlq TO {role};
         GRANT USAGE ON ALL SEQUENCES IN SCHEMA pgmq TO {role}"
    );
    bed.database.execute(&all).unwrap();
    let (gate, plan) =
        gated(Plan { queue: Queue::new().concurrency(2).vt(Duration::from_secs(2)), ..done() });
    let worker = shell.start(&bed.through_proxy_as(&role, "secret"), &plan);
    bed.send(1..=2);
    wait_until("both handlers run", || worker.log.begun().len() == 2);
    bed.database.execute(&format!("REVOKE UPDATE, DELETE ON pgmq.q_q FROM {role}")).unwrap();
    gate.close();
    bed.send(3..=10);
    wait_until("the server refuses to read", || worker.health().failed_reads > 0);
    assert_eq!(bed.length("q"), 10);
    bed.database.execute(&format!("GRANT UPDATE, DELETE ON pgmq.q_q TO {role}")).unwrap();
    bed.wait_until_empty();
    let log = Arc::clone(&worker.log);
    assert!(worker.stop().is_clean());
    let mut begun = log.begun();
    begun.dedup();
    assert_eq!(begun, Vec::from_iter(1..=10));
    bed.database.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).unwrap();
}

fn handlers_that_share_a_small_pool_finish_each_message_once(shell: Shell, pool_size: u32) {
    let bed = Bed::create();
    let plan = Plan { queue: Queue::new().concurrency(16), pool_size, ..Plan::new(End::FinishIn) };
    let worker = shell.start(&bed.through_proxy(), &plan);
    bed.send(1..=300);
    bed.wait_until_empty();
    assert!(worker.stop().is_clean());
    assert_eq!(bed.books().effects, Vec::from_iter(1..=300));
}

twins! {
    purge => a_purge_under_load_costs_only_the_messages_of_the_purge;
    drop_before_handlers_end => |shell| a_queue_that_is_dropped_and_created_again_loses_no_new_message(shell, true);
    drop_while_handlers_run => |shell| a_queue_that_is_dropped_and_created_again_loses_no_new_message(shell, false);
    drop_the_dead_letter_queue => a_dead_letter_queue_that_was_dropped_is_created_again;
    delete_while_it_runs => a_message_that_is_deleted_while_it_runs_cancels_its_handler;
    missing_target => a_missing_target_costs_only_the_messages_for_it;
    refused_deletion => a_message_that_cannot_be_deleted_costs_only_itself;
    ended_sessions => sessions_that_are_ended_cost_nothing;
    read_only => a_server_that_is_read_only_for_a_while_costs_nothing;
    endless_times => endless_times_hide_a_message;
    deadlock => a_deadlock_with_another_client_costs_nothing;
    revoke_and_grant => a_permission_that_is_revoked_stops_the_queue_until_it_is_granted_again;
    pool_of_one => |shell| handlers_that_share_a_small_pool_finish_each_message_once(shell, 1);
    pool_of_two => |shell| handlers_that_share_a_small_pool_finish_each_message_once(shell, 2);
}
