//! Decoding of rows, including rows that no server sends.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use chrono::{DateTime, Utc};

use crate::call::Call;
use crate::decode::Output;
use crate::error::Error;
use crate::error_kind::ErrorKind;
use crate::message::{ArchivedMessage, Message};
use crate::param::JsonText;
use crate::raw_json::RawJson;
use crate::records::QueueMetrics;
use crate::row::{CellError, Row};
use crate::statement::{self, Action, Query, Statement};
use crate::version::Version;

/// A row for tests: its columns, in order.
#[derive(Debug, Clone)]
pub(crate) struct Fake(pub(crate) Vec<(&'static str, Cell)>);

#[derive(Debug, Clone)]
pub(crate) enum Cell {
    Null,
    Bigint(i64),
    Int(i32),
    Boolean(bool),
    Text(String),
    Time(DateTime<Utc>),
    Json(Vec<u8>),
}

macro_rules! cell {
    ($self:ident, $column:ident, $kind:ident, $cell:ident => $value:expr) => {
        match $self.0.get($column) {
            Some((_, Cell::Null)) => Ok(None),
            Some((_, Cell::$kind($cell))) => Ok(Some($value)),
            _ => Err("another type".into()),
        }
    };
}

impl Row for Fake {
    fn column(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|(column, _)| *column == name)
    }

    fn bigint(&self, column: usize) -> Result<Option<i64>, CellError> {
        cell!(self, column, Bigint, cell => *cell)
    }

    fn int(&self, column: usize) -> Result<Option<i32>, CellError> {
        cell!(self, column, Int, cell => *cell)
    }

    fn boolean(&self, column: usize) -> Result<Option<bool>, CellError> {
        cell!(self, column, Boolean, cell => *cell)
    }

    fn text(&self, column: usize) -> Result<Option<String>, CellError> {
        cell!(self, column, Text, cell => cell.clone())
    }

    fn timestamptz(&self, column: usize) -> Result<Option<DateTime<Utc>>, CellError> {
        cell!(self, column, Time, cell => *cell)
    }

    fn json<V>(&self, column: usize, read: impl FnOnce(&[u8]) -> V) -> Result<Option<V>, CellError> {
        cell!(self, column, Json, cell => read(cell))
    }
}

/// A message as PGMQ 1.4 returns it: without the columns that came later.
fn old_message(msg_id: i64, payload: &str) -> Fake {
    let time = Cell::Time(DateTime::UNIX_EPOCH);
    Fake(vec![
        ("msg_id", Cell::Bigint(msg_id)),
        ("read_ct", Cell::Int(1)),
        ("enqueued_at", time.clone()),
        ("vt", time),
        ("message", Cell::Json(payload.into())),
    ])
}

pub(crate) fn decode<O: Output>(
    statement: Statement<'_, O>,
    rows: impl IntoIterator<Item = Fake>,
) -> Result<O, Error> {
    let Action::Run(query) = statement.into_action() else { panic!("the statement runs a query") };
    decode_query(&query, rows)
}

pub(crate) fn decode_query<O: Output>(
    query: &Query<'_, O>,
    rows: impl IntoIterator<Item = Fake>,
) -> Result<O, Error> {
    let mut decoded = query.rows();
    rows.into_iter().for_each(|row| decoded.push(row));
    decoded.finish(|| query.context())
}

#[test]
fn columns_that_came_later_may_be_missing_and_have_any_position() {
    let mut row = old_message(7, "[1]");
    let message = decode(statement::read::<Value>("q", 1), [row.clone()]).unwrap().unwrap();
    assert_eq!((message.msg_id, message.message, message.headers), (7, json!([1]), None));
    row.0.insert(0, ("headers", Cell::Json(b"{\"n\": 1.50}".to_vec())));
    row.0.insert(0, ("something_new", Cell::Text("?".to_owned())));
    let message = decode(statement::read::<Value>("q", 1), [row]).unwrap().unwrap();
    assert_eq!(message.headers.unwrap().get(), "{\"n\": 1.50}");
}

#[test]
fn messages_are_sorted_by_id_except_where_the_server_has_an_order() {
    let rows = || [3, 1, 2].map(|id| old_message(id, "null"));
    let ids = |messages: Vec<Message<()>>| messages.iter().map(|message| message.msg_id).collect::<Vec<_>>();
    assert_eq!(ids(decode(statement::read_batch("q", 1, 9), rows()).unwrap()), [1, 2, 3]);
    assert_eq!(ids(decode(statement::pop_batch("q", 9), rows()).unwrap()), [1, 2, 3]);
    assert_eq!(ids(decode(statement::set_vt_batch("q", &[1], 1), rows()).unwrap()), [1, 2, 3]);
    assert_eq!(ids(decode(statement::read_grouped("q", 1, 9), rows()).unwrap()), [1, 2, 3]);
    assert_eq!(ids(decode(statement::read_grouped_rr("q", 1, 9), rows()).unwrap()), [3, 1, 2]);
}

#[test]
fn a_payload_that_does_not_fit_loses_no_message() {
    let rows = [old_message(3, "30"), old_message(1, "\"ten\""), old_message(2, "20")];
    let error = decode(statement::read_batch::<u8>("q", 1, 9), rows).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode);
    assert!(error.to_string().contains("message 1 ") && error.to_string().contains("\"q\""), "{error}");
    assert!(std::error::Error::source(&error).is_some());
    let texts: Vec<_> =
        error.undecoded().iter().map(|message| (message.msg_id, message.message.get())).collect();
    assert_eq!(texts, [(1, "\"ten\""), (2, "20"), (3, "30")]);
}

#[test]
fn a_message_that_is_null_decodes_as_json_null() {
    let mut row = old_message(1, "");
    row.0[4].1 = Cell::Null;
    let read = |row: &Fake| decode(statement::read::<Option<u8>>("q", 1), [row.clone()]);
    assert_eq!(read(&row).unwrap().unwrap().message, None);
    assert!(decode(statement::read::<u8>("q", 1), [row]).is_err());
}

#[test]
fn a_result_that_no_server_sends_is_an_error() {
    let metrics = |row| decode(statement::metrics("q"), row);
    assert_eq!(
        metrics(vec![]).unwrap_err().to_string(),
        "metrics on queue \"q\": the server returned no row"
    );
    assert!(metrics(vec![Fake(vec![])]).unwrap_err().to_string().contains("\"queue_name\" is missing"));
    let null = Fake(vec![("queue_name", Cell::Null)]);
    assert!(metrics(vec![null]).unwrap_err().to_string().contains("\"queue_name\" is NULL"));
    let wrong = Fake(vec![("queue_name", Cell::Boolean(true))]);
    assert!(metrics(vec![wrong]).unwrap_err().to_string().contains("of the expected type"));
    let negative = decode(statement::send_topic("k", &1), [Fake(vec![("send_topic", Cell::Int(-1))])]);
    assert_eq!(negative.unwrap_err().kind(), ErrorKind::Decode);
}

#[test]
fn an_error_carries_the_payload_of_any_broken_row() {
    let text = |row| {
        let error = decode(statement::pop::<Value>("q"), [row]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Decode);
        let [message] = error.undecoded() else { panic!("{error}: {:?}", error.undecoded()) };
        (message.msg_id, message.message.get().to_owned())
    };
    let with = |column: usize, cell| {
        let mut row = old_message(7, "[1]");
        row.0[column].1 = cell;
        text(row)
    };
    for id in [Cell::Null, Cell::Text("7".to_owned()), Cell::Int(7)] {
        assert_eq!(with(0, id), (0, "[1]".to_owned()));
    }
    assert_eq!(with(1, Cell::Bigint(i64::MAX)), (7, "[1]".to_owned()));
    assert_eq!(with(3, Cell::Null), (7, "[1]".to_owned()));
    assert_eq!(with(4, Cell::Text("[1]".to_owned())), (7, "[1]".to_owned()));
    assert_eq!(with(4, Cell::Text("{".to_owned())), (7, "\"{\"".to_owned()));
    assert_eq!(with(4, Cell::Json(b"{".to_vec())), (7, "\"{\"".to_owned()));
    // A database without an encoding (SQL_ASCII) sends such bytes.
    assert_eq!(with(4, Cell::Json(b"\"gr\xFCn\"".to_vec())), (7, "\"\\\"gr\u{FFFD}n\\\"\"".to_owned()));
}

#[test]
fn more_rows_than_an_operation_returns_are_an_error_that_carries_them() {
    let rows = || [old_message(2, "20"), old_message(1, "10")];
    for error in [
        decode(statement::read::<Value>("q", 1), rows()).unwrap_err(),
        decode(statement::pop::<Value>("q"), rows()).unwrap_err(),
        decode(statement::set_vt::<Value>("q", 1, 1), rows()).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Decode);
        assert!(error.to_string().contains("2 rows instead of one"), "{error}");
        let ids: Vec<_> = error.undecoded().iter().map(|message| message.msg_id).collect();
        assert_eq!(ids, [2, 1]);
    }
    let ids = || [1, 2].map(|id| Fake(vec![("send", Cell::Bigint(id))]));
    let twice = decode(statement::send("q", &1), ids()).unwrap_err();
    assert_eq!(twice.to_string(), "send on queue \"q\": the server returned 2 rows instead of one");
}

#[test]
fn records_decode_from_their_columns() {
    let row = Fake(vec![
        ("queue_name", Cell::Text("q".to_owned())),
        ("queue_length", Cell::Bigint(2)),
        ("newest_msg_age_sec", Cell::Null),
        ("oldest_msg_age_sec", Cell::Int(5)),
        ("total_messages", Cell::Bigint(9)),
        ("scrape_time", Cell::Time(DateTime::UNIX_EPOCH)),
    ]);
    let metrics: QueueMetrics = decode(statement::metrics("q"), [row]).unwrap();
    assert_eq!(
        (metrics.queue_length, metrics.newest_msg_age_sec, metrics.oldest_msg_age_sec),
        (2, None, Some(5))
    );
    assert_eq!(metrics.queue_visible_length, None);
    let mut archived = old_message(4, "1");
    archived.0.push(("archived_at", Cell::Time(DateTime::UNIX_EPOCH)));
    let archived: Vec<ArchivedMessage<u8>> = decode(statement::read_archive("q", 0, 1), [archived]).unwrap();
    assert_eq!((archived[0].message.msg_id, archived[0].archived_at), (4, DateTime::UNIX_EPOCH));
}

#[test]
fn a_query_has_its_call_and_context() {
    let Action::Run(query) = statement::pop_batch::<()>("MyQ", 1).into_action() else {
        panic!("pop_batch runs a query")
    };
    let Call { operation, function, since, .. } = query.call();
    assert_eq!((operation, function, since), ("pop_batch", "pgmq.pop", Some(Version::new(1, 7, 0))));
    assert_eq!(query.context().to_string(), "pop_batch on queue \"myq\"");
}

#[test]
fn a_million_levels_of_nesting_are_carried() {
    let text = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
    let raw = decode(statement::read::<RawJson>("q", 1), [old_message(1, &text)]).unwrap().unwrap();
    assert!(raw.message.get() == text);
    let error = decode(statement::pop::<Value>("q"), [old_message(1, &text)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode);
    assert!(error.undecoded()[0].message.get() == text);
}

/// JSON of every kind, nested, without the character that `jsonb` cannot hold.
fn any_json() -> impl Strategy<Value = Value> {
    let text = "\\PC{0,8}".prop_map(|text| text.replace('\0', ""));
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e300..1e300_f64).prop_map(Value::from),
        text.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(text.clone(), inner, 0..6)
                .prop_map(|map: BTreeMap<_, _>| Value::from_iter(map)),
        ]
    })
}

proptest! {
    #[test]
    fn json_survives_the_round_trip(payload in any_json()) {
        let text = JsonText::new(&payload).unwrap();
        let row = old_message(1, std::str::from_utf8(text.as_bytes()).unwrap());
        let raw = decode(statement::read::<RawJson>("q", 1), [row.clone()]).unwrap().unwrap();
        prop_assert_eq!(raw.message.get().as_bytes(), text.as_bytes());
        let value = decode(statement::read::<Value>("q", 1), [row]).unwrap().unwrap();
        prop_assert_eq!(value.message, payload);
    }

    #[test]
    fn deep_nesting_is_carried_or_refused_but_never_a_crash(depth in 1usize..20_000) {
        let text = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let raw = decode(statement::read::<RawJson>("q", 1), [old_message(1, &text)]).unwrap().unwrap();
        prop_assert_eq!(raw.message.get(), &text);
        let value = decode(statement::read::<Value>("q", 1), [old_message(1, &text)]);
        prop_assert_eq!(value.is_ok(), depth < 128);
    }

    #[test]
    fn every_digit_of_a_number_is_carried(number in "-?(0|[1-9][0-9]{0,60})(\\.[0-9]{1,60})?") {
        let raw = decode(statement::read::<RawJson>("q", 1), [old_message(1, &number)]).unwrap().unwrap();
        prop_assert_eq!(raw.message.get(), &number);
    }
}

mod hostile;
