//! The clients that the bench compares.

pub(crate) mod connection_slots;
#[cfg(feature = "official")]
mod official;
pub(crate) mod ours;
pub(crate) mod pgbench;
pub(crate) mod raw;
pub(crate) mod schema;

use anyhow::Result;

use self::ours::{Blocking, Ours, SqlxSession};
use self::raw::{OfficialSql, OurSql, RawDiesel, RawDieselAsync, RawPostgres, RawSqlx, RawTokio};
use crate::bench_db::BenchDb;
use crate::counts::{self, Counts};
use crate::measure::{self, Budget, Sample};
use crate::workload::{Operation, Workload};

/// A client, and the functions that measure it.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    /// The bare driver below the client, which the client is compared with.
    pub(crate) floor: &'static str,
    pub(crate) kind: Kind,
    pub(crate) measure: Measure,
    /// `None` for a program that is no client.
    pub(crate) count: Option<Count>,
}

/// Measures the client.
pub(crate) type Measure = fn(&Workload, &mut BenchDb, &Budget) -> Result<Sample>;

/// Counts the costs of the given number of operations.
pub(crate) type Count = fn(&Workload, &mut BenchDb, u32) -> Result<Counts>;

/// The group of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A client of this workspace.
    Ours,
    /// A driver by itself.
    Raw,
    /// The official client.
    Official,
    /// A program that is no client, or another way of sending, for the comparison of single sends.
    OnlySends,
}

impl Entry {
    /// Returns `true` if the client can run the workload.
    pub(crate) fn can_do(&self, workload: &Workload) -> bool {
        self.kind != Kind::OnlySends || workload.operation == Operation::Send
    }
}

macro_rules! entry {
    ($name:literal, $floor:literal, $kind:ident, $type:ty) => {
        Entry {
            name: $name,
            floor: $floor,
            kind: Kind::$kind,
            measure: measure::measure::<$type>,
            count: Some(counts::count::<$type>),
        }
    };
}

/// All entries, grouped by driver.
pub(crate) fn entries() -> Vec<Entry> {
    vec![
        entry!("postgres", "raw-postgres", Ours, Ours<Blocking<pgmq_postgres::PGMQueue>>),
        entry!("postgres-prepared", "raw-postgres", Ours, Ours<Blocking<pgmq_postgres::PGMQueue>, true>),
        entry!("raw-postgres", "raw-postgres", Raw, RawPostgres),
        #[cfg(feature = "official")]
        entry!("official-postgres", "raw-postgres", Official, official::OfficialPostgres),
        entry!("tokio", "raw-tokio", Ours, Ours<pgmq_tokio::PGMQueue>),
        entry!("tokio-prepared", "raw-tokio", Ours, Ours<pgmq_tokio::PGMQueue, true>),
        entry!("raw-tokio", "raw-tokio", Raw, RawTokio<OurSql>),
        entry!("raw-tokio-official-sql", "raw-tokio", OnlySends, RawTokio<OfficialSql>),
        #[cfg(feature = "official")]
        entry!("official-tokio", "raw-tokio", Official, official::OfficialTokio),
        entry!("diesel", "raw-diesel", Ours, Ours<Blocking<pgmq_diesel::PGMQueue>>),
        entry!("raw-diesel", "raw-diesel", Raw, RawDiesel),
        #[cfg(feature = "official")]
        entry!("official-diesel", "raw-diesel", Official, official::OfficialDiesel),
        entry!("diesel-async", "raw-diesel-async", Ours, Ours<pgmq_diesel_async::PGMQueue>),
        entry!("raw-diesel-async", "raw-diesel-async", Raw, RawDieselAsync),
        #[cfg(feature = "official")]
        entry!("official-diesel-async", "raw-diesel-async", Official, official::OfficialDieselAsync),
        entry!("sqlx", "raw-sqlx", Ours, Ours<pgmq_sqlx::PGMQueue>),
        entry!("sqlx-session", "raw-sqlx", Ours, Ours<SqlxSession>),
        entry!("raw-sqlx", "raw-sqlx", Raw, RawSqlx),
        #[cfg(feature = "official")]
        entry!("official-sqlx", "raw-sqlx", Official, official::OfficialSqlx),
        Entry {
            name: "pgbench",
            floor: "raw-tokio",
            kind: Kind::OnlySends,
            measure: pgbench::measure,
            count: None,
        },
    ]
}
