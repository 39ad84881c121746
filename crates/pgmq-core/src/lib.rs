//! The core that the PGMQ clients of this family share.
//!
//! [PGMQ](https://github.com/pgmq/pgmq) is a message queue inside Postgres, made of SQL functions. This crate
//! knows those functions, and knows no driver: an operation is a [`Statement`], which is SQL, parameters and
//! the type that the rows decode to. A back end runs it. **Applications use a back end**, such as
//! `pgmq-postgres` or `pgmq-tokio`, which re-exports what applications need.
//!
//! Code that works with several back ends is generic over [`Queue`] or [`AsyncQueue`]:
//!
//! ```
//! use pgmq_core::{Queue, RawJson};
//!
//! /// Moves messages that were read too often to a dead-letter queue.
//! fn dead_letter<Q: Queue>(queue: &Q, from: &str, to: &str, max_reads: i32) -> Result<(), Q::Error> {
//!     for message in queue.peek::<RawJson>(from, 100)? {
//!         if message.read_ct > max_reads {
//!             queue.send(to, &message.message)?;
//!             queue.archive(from, message.msg_id)?;
//!         }
//!     }
//!     Ok(())
//! }
//! ```
//!
//! To read this crate, start with the table of the whole API in `operations/table.rs`, which is also data:
//! [`OPERATIONS`]. The module [`statement`] has a builder for each row, and [`Row`] and [`Output`] are how
//! results are decoded.

pub mod api;
#[doc(hidden)]
pub mod backend;
mod call;
mod claim;
mod decode;
mod error;
mod error_kind;
mod events;
mod installation;
mod message;
mod notification;
mod observer;
mod operations;
mod options;
mod param;
mod pool_error;
mod queue_name;
mod raw_json;
mod records;
mod routing;
mod row;
#[doc(hidden)]
pub mod samples;
mod server_version;
pub mod statement;
mod time;
mod transaction_options;
mod version;

pub use api::*;
pub use call::{Call, Context};
pub use decode::{Record, Rows};
pub use error::Error;
pub use installation::{RecordedVersion, ServerLook};
pub use operations::{
    AsyncListen, AsyncListening, AsyncQueue, Feature, Group, Listen, Listening, OPERATIONS, Operation,
    Property, Queue,
};
pub use param::{JsonArray, JsonText, Param};
pub use row::{CellError, Row};
pub use server_version::ServerVersion;
pub use statement::{Action, Query, SqlVariant, Statement};
pub use {chrono, serde_json};
