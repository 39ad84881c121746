//! The bare drivers: the statements that the clients of this workspace send, prepared once on a connection that is ready.
//!
//! It is the least that a client can cost over this driver, and what the others are compared with.

mod diesel;
mod diesel_async;
mod json;
mod postgres;
mod sql;
mod sqlx;
mod tokio;

pub(crate) use self::diesel::RawDiesel;
pub(crate) use self::diesel_async::RawDieselAsync;
pub(crate) use self::json::Jsonb;
pub(crate) use self::postgres::RawPostgres;
pub(crate) use self::sql::SQL;
pub(crate) use self::sqlx::RawSqlx;
pub(crate) use self::tokio::{OfficialSql, OurSql, RawTokio};
use crate::contestant::Received;
use crate::payload::Order;

/// What a bare driver makes of a row.
pub(crate) struct RawMessage {
    id: i64,
    /// It is decoded for whoever wants it.
    _order: Order,
}

impl Received for RawMessage {
    fn id(&self) -> i64 {
        self.id
    }
}
