//! Notifications that a crash of the server silences, that are enabled late, or that the worker may not see.

use std::time::Duration;

use pgmq_core::NotifyOptions;
use pgmq_worker::{Outcome, Queue};

use crate::bed::{Bed, wait_until};
use crate::shell::{End, Plan, Shell, twins};

const THROTTLE: Duration = Duration::from_millis(70);
const DEFAULT: Duration = Duration::from_millis(250);

fn plan(queue: Queue) -> Plan {
    Plan { queue, ..Plan::new(End::Outcome(|_| Outcome::Done)) }
}

/// Settings with which a message without a notification is not found within a test.
fn blind() -> Queue {
    let hour = Duration::from_secs(3600);
    Queue::new().poll(hour).backstop(hour)
}

fn enable(bed: &Bed) {
    bed.queue.enable_notify_with("q", &NotifyOptions::new().throttle(THROTTLE)).unwrap();
}

fn throttles(bed: &Bed) -> Vec<Duration> {
    bed.queue.list_notify_throttles().unwrap().iter().map(|throttle| throttle.interval).collect()
}

/// Does to the throttles and to the connections of the worker what a crash of the server does.
fn crash(bed: &Bed) {
    bed.database.execute("TRUNCATE pgmq.notify_insert_throttle").unwrap();
    bed.proxy.cut();
}

/// The number of the worker's sessions that listen.
fn listeners(bed: &Bed) -> i64 {
    let listeners = "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND query LIKE 'LISTEN%'";
    bed.client().query_one(listeners, &[]).unwrap().get(0)
}

fn silenced_notifications_get_the_throttle_from_before_the_crash(shell: Shell) {
    let bed = Bed::create();
    enable(&bed);
    let worker = shell.start(&bed.through_proxy(), &plan(blind()));
    crash(&bed);
    wait_until("the throttle is back", || throttles(&bed) == [THROTTLE]);
    // The server notifies of the second message after the throttle of the first.
    for number in 1..=2 {
        bed.send([number]);
        bed.wait_until_empty();
    }
    assert!(worker.stop().is_clean());
}

fn a_worker_that_starts_after_a_crash_gives_silent_queues_the_default_throttle(shell: Shell) {
    let bed = Bed::create();
    enable(&bed);
    crash(&bed);
    let worker = shell.start(&bed.through_proxy(), &plan(blind()));
    assert_eq!(throttles(&bed), [DEFAULT]);
    bed.send([1]);
    bed.wait_until_empty();
    assert!(worker.stop().is_clean());
}

/// Without notifications, the worker polls again.
fn disabled_notifications_stay_disabled(shell: Shell) {
    let bed = Bed::create();
    enable(&bed);
    let worker = shell.start(&bed.through_proxy(), &plan(blind().poll(Duration::from_millis(50))));
    bed.queue.disable_notify("q").unwrap();
    crash(&bed);
    wait_until("the worker listens again", || listeners(&bed) == 1);
    bed.send([1]);
    bed.wait_until_empty();
    assert!(throttles(&bed).is_empty());
    assert!(worker.stop().is_clean());
}

fn ensured_notifications_are_enabled_and_keep_the_throttle_of_the_operator(shell: Shell) {
    let bed = Bed::create();
    for ensured in [THROTTLE, THROTTLE * 2] {
        let worker = shell.start(&bed.through_proxy(), &plan(blind().ensure_notify(ensured)));
        assert_eq!(throttles(&bed), [THROTTLE]);
        bed.send([1]);
        bed.wait_until_empty();
        assert!(worker.stop().is_clean());
    }
}

fn ensured_notifications_are_enabled_again_after_somebody_has_disabled_them(shell: Shell) {
    let bed = Bed::create();
    let worker = shell.start(&bed.through_proxy(), &plan(blind().ensure_notify(THROTTLE)));
    bed.queue.disable_notify("q").unwrap();
    bed.proxy.cut();
    wait_until("the queue notifies again", || throttles(&bed) == [THROTTLE]);
    assert!(worker.stop().is_clean());
}

fn a_worker_that_may_not_list_the_throttles_polls(shell: Shell) {
    let bed = Bed::create();
    enable(&bed);
    let role = format!("{}_role", bed.database.name());
    bed.database
        .execute(&format!(
            "CREATE ROLE {role} LOGIN PASSWORD 'secret';
             GRANT USAGE ON SCHEMA pgmq TO {role};
             GRANT SELECT ON pgmq.meta TO {role};
             GRANT SELECT, INSERT, UPDATE, DELETE ON pgmq.q_q, pgmq.q_q_dlq TO {role}"
        ))
        .unwrap();
    let settings = blind().poll(Duration::from_millis(50));
    let worker = shell.start(&bed.through_proxy_as(&role, "secret"), &plan(settings));
    bed.send([1]);
    bed.wait_until_empty();
    assert!(worker.stop().is_clean());
    bed.database.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).unwrap();
}

twins! {
    repaired => silenced_notifications_get_the_throttle_from_before_the_crash;
    repaired_at_the_start => a_worker_that_starts_after_a_crash_gives_silent_queues_the_default_throttle;
    disabled => disabled_notifications_stay_disabled;
    ensured => ensured_notifications_are_enabled_and_keep_the_throttle_of_the_operator;
    ensured_again => ensured_notifications_are_enabled_again_after_somebody_has_disabled_them;
    not_permitted => a_worker_that_may_not_list_the_throttles_polls;
}
