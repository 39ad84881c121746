//! The statements of all builders, compared with a file of expected statements.

use std::fmt::{self, Write};
use std::time::Duration;

use chrono::DateTime;
use serde_json::json;

use super::*;
use crate::claim::{Claim, Move};
use crate::decode::Output;
use crate::error_kind::ErrorKind;
use crate::operations::{OPERATIONS, Operation};
use crate::options::{
    ArchivePartitionOptions, NotifyOptions, PartitionOptions, PollOptions, ReadOptions, SendBatchOptions,
    SendOptions,
};
use crate::samples::{Samples, Visit};
use crate::server_version::ServerVersion;
use crate::statement::query::Body;
use crate::version::Version;

const EXPECTED: &str = "src/statement/expected.txt";

/// Records statements as text.
#[derive(Default)]
struct Ledger {
    text: String,
}

/// Records every operation with sample arguments, so a new operation needs no line in this file.
impl<'s> Visit<'s> for Ledger {
    fn visit<O: Output + fmt::Debug + 's>(
        &mut self,
        operation: &'static Operation,
        statement: Statement<'s, O>,
    ) {
        assert_eq!(statement.call.operation, operation.name, "the builder names another row");
        self.add(statement);
    }
}

impl Ledger {
    fn add<O: Output>(&mut self, statement: Statement<'_, O>) {
        let since = statement.call.since.map(|since| format!(" (since {since})")).unwrap_or_default();
        let _ = writeln!(self.text, "{}{since}", statement.call.operation);
        match statement.body {
            Body::Query { sql, params } => {
                let _ = writeln!(self.text, "    {}", sql.text);
                if let Some((since, text)) = &sql.newer {
                    let _ = writeln!(self.text, "    from {since}: {text}");
                }
                for (at, param) in params.iter().enumerate() {
                    let _ = writeln!(self.text, "    ${} = {param:?}", at + 1);
                }
            }
            Body::Answer(_) => self.text.push_str("    answered without the server\n"),
            Body::Refused(error) => {
                let _ = writeln!(self.text, "    refused: {error}");
            }
        }
    }
}

/// Returns the text that `expected.txt` should have.
fn built_text() -> String {
    let mut ledger = Ledger::default();
    ledger.text.push_str("# Every operation, with sample arguments\n");
    Samples::default().visit(&mut ledger);
    ledger.text.push_str("# Chosen arguments\n");
    queues(&mut ledger);
    sends(&mut ledger);
    topics(&mut ledger);
    reads(&mut ledger);
    other_operations(&mut ledger);
    ledger.text
}

#[test]
fn every_operation_builds_the_expected_statement() {
    let built = built_text();
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(EXPECTED);
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::write(&path, &built).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    let first = built.lines().zip(expected.lines()).find(|(built, expected)| built != expected);
    assert!(
        built == expected,
        "{EXPECTED} differs; check the difference, and rewrite the file with UPDATE_EXPECTED=1. First: {first:#?}"
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
    ledger.add(create_fifo_group_index("q"));
    ledger.add(create_fifo_group_index("Q\"x\\y"));
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

fn other_operations(ledger: &mut Ledger) {
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
    let claims = [Claim::new(7, 1), Claim::new(8, 3)];
    ledger.add(hold("Q\"x", &claims, Duration::from_millis(1500)));
    ledger.add(hold("q", &[], 60));
    ledger.add(hold("q", &[], -1));
    ledger.add(hold_each("q", &[(claims[0], 5.into()), (claims[1], 0.into())]));
    ledger.add(hold_each("q", &[(claims[0], 5.into()), (claims[1], (-1).into())]));
    ledger.add(hold_each("q", &[]));
    let moves = [claims[0].into(), Move::new(claims[1]).headers(&json!({"reason": "exhausted"}))];
    ledger.add(move_batch("q", "Q_dlq", &moves, 0));
    ledger.add(move_batch("q", "q", &[Move::new(claims[0]).headers(&None::<()>)], at));
    ledger.add(move_batch("q", "", &moves, 0));
    ledger.add(move_batch("q", "q", &[Move::new(claims[0]).headers("nul\0")], 0));
    ledger.add(move_batch("q", "q", &[], 0));
    for options in [SendOptions::new(), SendOptions::new().headers(&json!({}))] {
        ledger.add(forward("q", claims[0], "Next", "text", &options));
        ledger.add(forward("q", claims[0], "next", "text", &options.clone().delay(2)));
        ledger.add(forward("q", claims[0], "next", "text", &options.delay(at)));
    }
    ledger.add(next_due("q"));
    ledger.add(metrics("q"));
    ledger.add(metrics_all());
    ledger.add(peek::<()>("Q\"x", 5));
    ledger.add(peek::<()>("$", 5));
    ledger.add(peek_all::<()>("q", 7, 100));
    ledger.add(get::<()>("q", 7));
    ledger.add(read_archive::<()>("q", 0, 100));
    ledger.add(requeue_archived("q", &[7, 8]));
    ledger.add(enable_notify("q"));
    ledger.add(enable_notify_with("q", &NotifyOptions::new().throttle(Duration::from_micros(1500))));
    ledger.add(disable_notify("q"));
    ledger.add(update_notify("q", Duration::MAX));
    ledger.add(update_notify("q", Duration::from_secs(1)));
    ledger.add(list_notify_throttles());
    ledger.add(repair_notify("q", Duration::from_secs(1)));
    ledger.add(look());
    ledger.add(recorded_versions());
    ledger.add(create_extension());
}

#[test]
fn the_newer_variant_is_tried_only_where_a_failure_does_no_harm() {
    let Action::Run(query) = send("q", &1).into_action() else { panic!("send runs a query") };
    let (server, newer) = (ServerVersion::default(), Version::new(1, 5, 0));
    let in_transaction = query.variant_in_transaction(&server);
    assert_eq!(in_transaction.since, None, "in a transaction, a failure would undo earlier statements");
    assert_eq!(query.variant_on_pool(&server).since, Some(newer));
    server.older_than(newer);
    assert_eq!(query.variant_on_pool(&server).text, query.sql());
    server.at_least(newer);
    assert_ne!(query.variant_in_transaction(&server).text, query.sql());
}

#[test]
fn a_refused_argument_reports_its_call() {
    let Action::Return(Err(error)) = read::<()>("", 1).into_action() else {
        panic!("an empty name is refused")
    };
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert_eq!(error.to_string(), "read on queue \"\": \"\" is not a queue name: it is empty");
}

/// Asserts that a statement is refused before it is sent.
#[track_caller]
fn is_refused<O: Output>(statement: Statement<'_, O>, kind: ErrorKind, text: &str) {
    let Action::Return(Err(error)) = statement.into_action() else { panic!("the argument is refused") };
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(text), "{error}");
}

#[test]
fn headers_and_a_delay_that_cannot_be_sent_are_refused_with_an_empty_batch_too() {
    let nul = [Some("\0")];
    let headers = SendBatchOptions::new().headers(nul);
    is_refused(send_batch_with::<i32>("q", &[], &headers), ErrorKind::Encode, "u0000");
    let delay = SendBatchOptions::new().delay(Duration::MAX);
    is_refused(send_batch_with::<i32>("q", &[], &delay), ErrorKind::InvalidArgument, "delay");
    is_refused(send_batch_topic_with::<i32>("k", &[], &headers), ErrorKind::Encode, "u0000");
    is_refused(send_batch_topic_with::<i32>("k", &[], &delay), ErrorKind::InvalidArgument, "delay");
}

#[test]
fn a_partitioned_queue_has_no_period_in_its_name() {
    const TEXT: &str = "pg_partman does not support names with periods";
    let kind = ErrorKind::InvalidArgument;
    is_refused(create_partitioned_queue("dotted.name"), kind, TEXT);
    is_refused(create_partitioned_queue_with("dotted.name", &PartitionOptions::default()), kind, TEXT);
    is_refused(convert_archive_partitioned("dotted.name"), kind, TEXT);
    assert!(matches!(create_queue("dotted.name").into_action(), Action::Run(_)));
}

#[test]
fn a_statement_names_fewer_than_ten_parameters() {
    // A back end relies on exactly one digit after the dollar sign.
    let built = built_text();
    let texts = built.lines().filter(|line| line.contains("SELECT"));
    for part in texts.flat_map(|text| text.split('$').skip(1)) {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        assert_eq!(digits, 1, "${}", part.chars().take(40).collect::<String>());
    }
}

mod hostile;
