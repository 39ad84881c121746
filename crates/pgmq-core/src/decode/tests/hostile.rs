//! Rows of any columns, of any types: a result, or an error of its kind with all messages in it.

use proptest::prelude::*;

use super::*;
use crate::Statement;
use crate::every_operation::{Arguments, Visit};

const COLUMNS: [&str; 12] = [
    "msg_id",
    "read_ct",
    "enqueued_at",
    "last_read_at",
    "vt",
    "message",
    "headers",
    "archived_at",
    "queue_name",
    "pattern",
    "throttle_interval_ms",
    "something_else",
];

fn any_cell() -> impl Strategy<Value = Cell> {
    let json = prop_oneof![
        any_json().prop_map(|value| value.to_string().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..20),
        (1usize..400).prop_map(|depth| vec![b'['; depth]),
    ];
    prop_oneof![
        Just(Cell::Null),
        any::<i64>().prop_map(Cell::Bigint),
        any::<i32>().prop_map(Cell::Int),
        any::<bool>().prop_map(Cell::Boolean),
        "\\PC{0,12}".prop_map(Cell::Text),
        prop_oneof![Just(DateTime::<Utc>::MIN_UTC), Just(DateTime::<Utc>::MAX_UTC)].prop_map(Cell::Time),
        json.prop_map(Cell::Json),
    ]
}

/// Columns in any order, missing, or there twice; and sometimes not the same in each row.
fn any_row() -> impl Strategy<Value = Fake> {
    let column = (prop::sample::select(&COLUMNS[..]), any_cell());
    prop::collection::vec(column, 0..12).prop_map(Fake)
}

/// A message of which some columns are not what they should be.
fn broken_message() -> impl Strategy<Value = Fake> {
    let broken = prop::collection::vec((0usize..4, any_cell()), 0..3);
    (any::<i64>(), any_json(), broken).prop_map(|(id, payload, broken)| {
        let mut row = old_message(id, &payload.to_string());
        for (column, cell) in broken {
            row.0[column].1 = cell;
        }
        row
    })
}

/// Gives each statement these rows.
struct Answer(Vec<Fake>);

impl Visit for Answer {
    fn visit<O: Output>(&mut self, statement: Statement<'_, O>) {
        if let Err(error) = decode(statement, self.0.iter().cloned()) {
            assert_eq!(error.kind(), ErrorKind::Decode, "{error}");
        }
    }
}

proptest! {
    #[test]
    fn any_rows_are_a_result_or_an_error(rows in prop::collection::vec(any_row(), 0..4)) {
        Arguments::default().each(&mut Answer(rows));
    }

    #[test]
    fn every_message_is_in_the_result_or_in_the_error(rows in prop::collection::vec(broken_message(), 0..6)) {
        let sent: Vec<_> = rows.iter().map(|row| row.0[4].1.clone()).collect();
        let got = match decode(statement::read_grouped_rr::<RawJson>("q", 1, 9), rows) {
            Ok(messages) => messages,
            Err(error) => error.into_undecoded(),
        };
        let got: Vec<_> = got.iter().map(|message| message.message.get().as_bytes()).collect();
        let sent: Vec<_> = sent.iter().map(|cell| match cell {
            Cell::Json(text) => text.as_slice(),
            _ => unreachable!("the payload is as it was"),
        }).collect();
        prop_assert_eq!(got, sent);
    }
}
