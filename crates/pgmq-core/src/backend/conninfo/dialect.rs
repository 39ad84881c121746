//! The parameters that a driver takes.

use crate::backend::conninfo::keywords::{known, remedy};
use crate::error::Error;
use crate::error_kind::ErrorKind;

/// The parameters that a back end takes: those of its driver, and those that it reads itself.
#[derive(Clone, Copy)]
pub struct Dialect {
    /// The names that are taken.
    pub takes: &'static [&'static str],
    /// Other spellings, and the names that are taken instead.
    pub spellings: &'static [(&'static str, &'static str)],
    /// Parameters that are dropped, with the values for which the driver behaves as they ask in any case. An
    /// empty list is for all values.
    pub implied: &'static [(&'static str, &'static [&'static str])],
    /// `true` if an empty value differs from a missing one.
    pub takes_empty: bool,
}

/// The parameters that a driver without GSSAPI can drop, because it behaves as they ask in any case.
///
/// A driver that takes one of these parameters takes it with all values.
pub const IMPLIED: &[(&str, &[&str])] = &[
    ("authtype", &[]),
    ("channel_binding", &["disable", "prefer"]),
    ("client_encoding", &["UTF8", "utf8", "UTF-8", "utf-8", "UNICODE", "unicode"]),
    ("gssdelegation", &["0"]),
    ("gssencmode", &["disable", "prefer"]),
    ("gsslib", &[]),
    ("krbsrvname", &[]),
    ("keepalives", &[]),
    ("keepalives_idle", &[]),
    ("keepalives_interval", &[]),
    ("keepalives_count", &[]),
    ("keepalives_retries", &[]),
    ("load_balance_hosts", &["disable"]),
    ("max_protocol_version", &["3.0", "3.2", "latest"]),
    ("min_protocol_version", &["3.0"]),
    ("replication", &["false", "off", "no", "0"]),
    ("sslcertmode", &["allow"]),
    ("sslcompression", &["0"]),
    ("sslnegotiation", &["postgres"]),
    ("sslsni", &["1"]),
    ("target_session_attrs", &["any"]),
    ("tcp_user_timeout", &[]),
    ("tty", &[]),
];

impl Dialect {
    /// The name under which a parameter is taken; `None` if it can be dropped.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`], if the driver cannot do what the parameter asks for. The error shows
    /// the name, which is a known one, and not the value.
    pub(crate) fn resolve(&self, name: &'static str, value: &str) -> Result<Option<&'static str>, Error> {
        let spelling = self.spellings.iter().find(|(other, _)| *other == name);
        let name = spelling.map_or(name, |(_, taken)| *taken);
        if self.takes.contains(&name) {
            return Ok(Some(name));
        }
        let implied = self.implied.iter().find(|(implied, _)| *implied == name);
        if value.is_empty() || implied.is_some_and(|(_, values)| values.is_empty() || values.contains(&value))
        {
            return Ok(None);
        }
        let text = match (remedy(name), implied) {
            (Some(remedy), _) => format!("\"{name}\" is a parameter of another client; remove it{remedy}"),
            (None, Some(_)) => {
                format!("\"{name}\" is not supported by this driver with this value; remove it")
            }
            (None, None) => format!("\"{name}\" is not supported by this driver; remove it"),
        };
        Err(Error::new(ErrorKind::InvalidArgument, text))
    }

    /// The error for a value that the driver refuses. The text shows nothing of the value.
    pub fn refused_value(name: &str) -> Error {
        let text = match known(name) {
            Some(name) => format!("the driver does not take the value of \"{name}\"; correct or remove it"),
            None => "the driver does not take the connection string; give one such as postgres://user:password@host/database"
                .to_owned(),
        };
        Error::new(ErrorKind::InvalidArgument, text)
    }
}
