//! What each builder builds, beside a file that says what it ought to.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

use chrono::DateTime;
use serde_json::json;

use super::*;
use crate::{
    ArchivePartitionOptions, NotifyOptions, PartitionOptions, PollOptions, ReadOptions, SendBatchOptions,
    SendOptions,
};

const EXPECTED: &str = "src/statement/expected.txt";

/// Writes statements down, and which operations they are of.
#[derive(Default)]
struct Ledger {
    text: String,
    operations: BTreeSet<&'static str>,
}

impl Ledger {
    fn add<O: Output>(&mut self, statement: Statement<'_, O>) {
        self.operations.insert(statement.call.operation);
        let since = statement.call.since.map(|since| format!(" (since {since})")).unwrap_or_default();
        let _ = writeln!(self.text, "{}{since}", statement.call.operation);
        match statement.body {
            Body::Query { sql, params } => {
                let _ = writeln!(self.text, "    {}", sql.text);
                if let Some((since, text)) = sql.newer {
                    let _ = writeln!(self.text, "    from {since}: {text}");
                }
                for (at, param) in params.iter().enumerate() {
                    let _ = writeln!(self.text, "    ${} = {param:?}", at + 1);
                }
            }
            Body::Answer(_) => self.text.push_str("    answered without asking the server\n"),
            Body::Refused(error) => {
                let _ = writeln!(self.text, "    refused: {error}");
            }
        }
    }
}

macro_rules! names {
    ($($(#[$doc:meta])* fn $name:ident $(<$T:ident: ($($bound:tt)+)>)? ($($arg:ident: $type:ty),* $(,)?) -> $output:ty;)*) => {
        BTreeSet::from([$(stringify!($name)),*])
    };
}

#[test]
fn every_operation_builds_what_is_written_down() {
    let mut ledger = Ledger::default();
    queues(&mut ledger);
    sends(&mut ledger);
    topics(&mut ledger);
    reads(&mut ledger);
    the_rest(&mut ledger);
    let all: BTreeSet<&str> = crate::operations!(names);
    let missing: Vec<_> = all.difference(&ledger.operations).collect();
    assert!(missing.is_empty(), "operations without a statement here: {missing:?}");

    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(EXPECTED);
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::write(&path, &ledger.text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    let first = ledger.text.lines().zip(expected.lines()).find(|(built, expected)| built != expected);
    assert!(
        ledger.text == expected,
        "{EXPECTED} says otherwise; UPDATE_EXPECTED=1 writes it anew. First: {first:#?}"
    );
}

fn queues(ledger: &mut Ledger) {
    ledger.add(create_queue("MyQ"));
    ledger.add(create_queue("x'; DROP TABLE y; --"));
    ledger.add(create_unlogged_queue("q"));
    ledger.add(create_partitioned_queue("q"));
    let options = PartitionOptions::new().interval("1 day").retention("30 days");
    ledger.add(create_partitioned_queue_with("q", &options));
    ledger.add(create_partitioned_queue_with("q", &options.clone().premake(2)));
    ledger.add(create_partitioned_queue_with("q", &options.premake(0)));
    ledger.add(drop_queue("q"));
    ledger.add(purge("q"));
    ledger.add(list_queues());
    ledger.add(queue_exists("q"));
    ledger.add(validate_queue_name("q"));
    ledger.add(convert_archive_partitioned("q"));
    ledger.add(convert_archive_partitioned_with(
        "q",
        &ArchivePartitionOptions::new().interval(500).retention(5000),
    ));
    ledger.add(detach_archive("q"));
    ledger.add(create_fifo_index("q"));
    ledger.add(create_fifo_indexes_all());
    ledger.add(acquire_queue_lock("q"));
}

fn sends(ledger: &mut Ledger) {
    let at = DateTime::UNIX_EPOCH;
    let headers = json!({"x-pgmq-group": "g"});
    ledger.add(send("q", &json!({"a": 1})));
    for options in [SendOptions::new(), SendOptions::new().headers(&headers)] {
        ledger.add(send_with("q", "text", &options));
        ledger.add(send_with("q", "text", &options.clone().delay(Duration::from_millis(1500))));
        ledger.add(send_with("q", "text", &options.delay(at)));
    }
    ledger.add(send_with("q", "text", &SendOptions::new().delay(-1)));
    ledger.add(send_with("q", "text", &SendOptions::new().headers("nul\0")));
    ledger.add(send_batch("q", &[1, 2]));
    ledger.add(send_batch::<i32>("q", &[]));
    for options in [SendBatchOptions::new(), SendBatchOptions::new().headers([Some(&headers), None])] {
        ledger.add(send_batch_with("q", &[1, 2], &options));
        ledger.add(send_batch_with("q", &[1, 2], &options.clone().delay(2)));
        ledger.add(send_batch_with("q", &[1, 2], &options.delay(at)));
    }
    ledger.add(send_batch_with("q", &[1], &SendBatchOptions::new().headers([None::<()>, None])));
}

fn topics(ledger: &mut Ledger) {
    let at = DateTime::UNIX_EPOCH;
    ledger.add(bind_topic("Q", "logs.#"));
    ledger.add(bind_topic("q", "logs.##"));
    ledger.add(unbind_topic("q", "logs.#"));
    ledger.add(list_topic_bindings());
    ledger.add(list_topic_bindings_for("q"));
    ledger.add(test_routing("logs.error"));
    ledger.add(validate_routing_key("logs.error"));
    ledger.add(validate_routing_key("logs..error"));
    ledger.add(validate_topic_pattern("logs.*"));
    ledger.add(validate_topic_pattern("logs.**"));
    ledger.add(send_topic("logs.error", &1));
    ledger.add(send_topic("logs.*", &1));
    for options in [SendOptions::new(), SendOptions::new().headers(&json!({}))] {
        ledger.add(send_topic_with("k", &1, &options));
        ledger.add(send_topic_with("k", &1, &options.clone().delay(2)));
        ledger.add(send_topic_with("k", &1, &options.delay(at)));
    }
    ledger.add(send_batch_topic("k", &[1]));
    ledger.add(send_batch_topic::<i32>("k", &[]));
    for options in [SendBatchOptions::new(), SendBatchOptions::new().headers([Some(1)])] {
        ledger.add(send_batch_topic_with("k", &[1], &options));
        ledger.add(send_batch_topic_with("k", &[1], &options.clone().delay(2)));
        ledger.add(send_batch_topic_with("k", &[1], &options.delay(at)));
    }
}

fn reads(ledger: &mut Ledger) {
    let poll = PollOptions::new().timeout(Duration::from_millis(1)).interval(Duration::from_micros(1));
    ledger.add(read::<()>("q", Duration::from_millis(900)));
    ledger.add(read::<()>("q", u32::MAX));
    ledger.add(read_batch::<()>("q", 30, 10));
    ledger.add(read_batch::<()>("q", 30, 0));
    ledger.add(read_batch::<()>("q", 30, u32::MAX));
    ledger.add(read_with::<()>("q", &ReadOptions::new()));
    ledger.add(read_with::<()>("q", &ReadOptions::new().vt(0).qty(2).conditional(&json!({"a": 1}))));
    ledger.add(read_with_poll::<()>("q", 30, 10, &poll));
    ledger.add(read_with_poll::<()>("q", 30, 10, &poll.clone().conditional(&json!({"a": 1}))));
    ledger.add(read_with_poll::<()>("q", 30, 10, &PollOptions::new().timeout(Duration::ZERO)));
    ledger.add(read_with_poll::<()>("q", 30, 10, &PollOptions::new().interval(Duration::ZERO)));
    ledger.add(read_with_poll::<()>("q", 30, 0, &poll));
    ledger.add(read_grouped::<()>("q", 30, 10));
    ledger.add(read_grouped_with_poll::<()>("q", 30, 10, &poll));
    ledger.add(read_grouped_with_poll::<()>("q", 30, 10, &poll.clone().timeout(Duration::ZERO)));
    ledger.add(read_grouped_with_poll::<()>("q", 30, 10, &poll.clone().conditional(&1)));
    ledger.add(read_grouped_rr::<()>("q", 30, 10));
    ledger.add(read_grouped_rr_with_poll::<()>("q", 30, 10, &poll));
    ledger.add(read_grouped_head::<()>("q", 30, 10));
    ledger.add(read_grouped_head_with_poll::<()>("q", 30, 10, &poll));
    ledger.add(pop::<()>("q"));
    ledger.add(pop_batch::<()>("q", 5));
    ledger.add(pop_batch::<()>("q", 0));
}

fn the_rest(ledger: &mut Ledger) {
    let at = DateTime::UNIX_EPOCH;
    ledger.add(delete("q", 7));
    ledger.add(delete_batch("q", &[7, 8]));
    ledger.add(delete_batch("q", &[]));
    ledger.add(archive("q", 7));
    ledger.add(archive_batch("q", &[7]));
    ledger.add(set_vt::<()>("q", 7, 60));
    ledger.add(set_vt::<()>("q", 7, at));
    ledger.add(set_vt::<()>("q", 7, -1));
    ledger.add(set_vt_batch::<()>("q", &[7], Duration::from_secs(60)));
    ledger.add(set_vt_batch::<()>("q", &[7], at));
    ledger.add(set_vt_batch::<()>("q", &[], 60));
    ledger.add(metrics("q"));
    ledger.add(metrics_all());
    ledger.add(peek::<()>("Q\"x", 5));
    ledger.add(peek::<()>("$", 5));
    ledger.add(get::<()>("q", 7));
    ledger.add(read_archive::<()>("q", 0, 100));
    ledger.add(requeue_archived("q", &[7, 8]));
    ledger.add(enable_notify("q"));
    ledger.add(enable_notify_with("q", &NotifyOptions::new().throttle(Duration::from_micros(1500))));
    ledger.add(disable_notify("q"));
    ledger.add(update_notify("q", Duration::MAX));
    ledger.add(update_notify("q", Duration::from_secs(1)));
    ledger.add(list_notify_throttles());
    ledger.add(look());
    ledger.add(recorded_versions());
    ledger.add(create_extension());
}

#[test]
fn the_newer_form_is_used_where_it_is_there_and_tried_only_where_that_does_no_harm() {
    let Plan::Query(query) = send("q", &1).plan() else { panic!("send asks the server") };
    let learned = Learned::default();
    assert_eq!(
        query.form(&learned, false).since,
        None,
        "in a transaction a failure would undo what was done"
    );
    assert_eq!(query.form(&learned, true).since, Some(Version::new(1, 5, 0)));
    learned.lacks(Version::new(1, 5, 0));
    assert_eq!(query.form(&learned, true).text, query.sql());
    learned.has(Version::new(1, 5, 0));
    assert_ne!(query.form(&learned, false).text, query.sql());
}

#[test]
fn what_is_refused_says_in_which_call() {
    let Plan::Settled(Err(error)) = read::<()>("", 1).plan() else { panic!("an empty name is refused") };
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert_eq!(error.to_string(), "read on queue \"\": \"\" is not a queue name: it is empty");
}

mod hostile;
