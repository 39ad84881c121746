//! Rows of any columns, of any types, decode to a result, or to an error of kind `Decode` that carries all
//! messages.

use std::fmt;

use proptest::prelude::*;

use super::*;
use crate::operations::Operation;
use crate::samples::{Samples, Visit};

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

/// A row with columns in any order, some of them missing or duplicate. Each row of a result may have other
/// columns.
fn any_row() -> impl Strategy<Value = Fake> {
    let column = (prop::sample::select(&COLUMNS[..]), any_cell());
    prop::collection::vec(column, 0..12).prop_map(Fake)
}

/// A message with some broken columns.
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

/// Decodes these rows as the result of each statement.
struct Answer(Vec<Fake>);

impl<'s> Visit<'s> for Answer {
    fn visit<O: Output + fmt::Debug + 's>(&mut self, _: &'static Operation, statement: Statement<'s, O>) {
        if let Err(error) = decode(statement, self.0.iter().cloned()) {
            assert_eq!(error.kind(), ErrorKind::Decode, "{error}");
        }
    }
}

proptest! {
    #[test]
    fn any_rows_are_a_result_or_an_error(rows in prop::collection::vec(any_row(), 0..4)) {
        Samples::default().visit(&mut Answer(rows));
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
            _ => unreachable!("the payload column is never broken"),
        }).collect();
        prop_assert_eq!(got, sent);
    }
}
