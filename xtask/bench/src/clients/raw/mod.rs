//! The bare drivers: the statements of the clients of this workspace, prepared once on an open connection.
//!
//! Their cost is the least that a client can cost over the driver, and the others are compared with it.

mod diesel;
mod diesel_async;
pub(crate) mod json;
mod message;
mod postgres;
pub(crate) mod sql;
mod sqlx;
mod tokio;

pub(crate) use self::diesel::RawDiesel;
pub(crate) use self::diesel_async::RawDieselAsync;
pub(crate) use self::postgres::RawPostgres;
pub(crate) use self::sqlx::RawSqlx;
pub(crate) use self::tokio::{OfficialSql, OurSql, RawTokio};
