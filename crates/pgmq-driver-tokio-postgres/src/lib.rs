#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod attempts;
mod background;
mod config;
mod error;
mod events;
mod fair_permits;
mod isolation;
mod limit;
mod param;
mod pools;
mod row;
mod silence;
mod statement_cache;
mod tls;

pub use attempts::{Attempts, NotConnected};
pub use background::Background;
pub use config::{config, listen_config};
pub use error::{ends_session, failure_class, handshake, kind_of};
pub use events::{EventReceiver, EventSender, events};
pub use fair_permits::{FairPermits, OwnedPermit, Permit};
pub use isolation::isolation_level;
pub use limit::{connect_limit, resolved_limit, resolved_limit_blocking};
pub use param::{SqlParam, sql_types};
pub use pools::Pools;
pub use row::TokioRow;
pub use statement_cache::StatementCache;
pub use tls::{Tls, TlsStream};
