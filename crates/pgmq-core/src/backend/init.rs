//! Creating the extension where PGMQ is missing, and looking up the version of PGMQ, over any back end.

use crate::error::{Error, QueueError};
use crate::error_kind::ErrorKind;
use crate::installation::{Init, Installation, not_creatable};
use crate::operations::{AsyncQueue, Queue};
use crate::server_version::ServerVersion;
use crate::statement;

/// The functions for sync queues, and for async ones.
macro_rules! installing {
    ($queue:ident: $init:ident, $version:ident $(, $async:tt $await:tt)?) => {
        /// Creates the extension if PGMQ is missing and the server offers it.
        ///
        /// # Errors
        ///
        /// [`ErrorKind::NotInstalled`], if PGMQ is missing and cannot be created.
        pub $($async)? fn $init<Q: $queue>(queue: &Q, server: &ServerVersion) -> Result<(), Q::Error> {
            let Some(look) = queue.run(statement::look())$(.$await)? ? else { return Ok(()) };
            match look.init(server)? {
                Init::Done => Ok(()),
                Init::CreateExtension => match queue.run(statement::create_extension())$(.$await)? {
                    Ok(()) => Ok(()),
                    // Another client may have created the extension meanwhile.
                    Err(refusal) => match $version(queue)$(.$await)? {
                        Err(error) if error.kind() != ErrorKind::NotInstalled => Err(error),
                        Err(_) if refusal.kind() == ErrorKind::PermissionDenied => Err(not_creatable(refusal).into()),
                        Err(_) => Err(refusal),
                        Ok(_) => Ok(()),
                    },
                },
            }
        }

        /// Reads the source and the version of the installation from the system catalogue: no DDL, no
        /// locks.
        ///
        /// # Errors
        ///
        /// [`ErrorKind::NotInstalled`], if PGMQ is missing.
        pub $($async)? fn $version<Q: $queue>(queue: &Q) -> Result<Installation, Q::Error> {
            let look = queue.run(statement::look())$(.$await)? ?;
            let look = look.ok_or_else(|| Error::new(ErrorKind::Decode, "the server returned no row"))?;
            let recorded = match look.is_recorded() {
                true => queue.run(statement::recorded_versions())$(.$await)? ?,
                false => Vec::new(),
            };
            Ok(look.installation(&recorded)?)
        }
    };
}

installing!(Queue: init, version);
installing!(AsyncQueue: init_async, version_async, async await);

#[cfg(test)]
mod tests {
    use std::cell::Cell as Counter;

    use super::*;
    use crate::decode::Output;
    use crate::decode::tests::{Cell, Fake, decode_query};
    use crate::statement::Query;

    /// A server that offers the extension and refuses to create it.
    struct Server {
        refuses_with: ErrorKind,
        /// The number of looks before another client has created the extension.
        looks_without: Counter<u32>,
    }

    impl Queue for Server {
        type Error = Error;

        fn run_query<O: Output>(&self, query: Query<'_, O>) -> Result<O, Error> {
            if query.sql().contains("CREATE EXTENSION") {
                return Err(Error::new(self.refuses_with, "no"));
            }
            let is_installed = self.looks_without.get() == 0;
            self.looks_without.set(self.looks_without.get().saturating_sub(1));
            let version = if is_installed { Cell::Text("1.13.0".to_owned()) } else { Cell::Null };
            let look = Fake(vec![
                ("extension_version", version),
                ("is_installed", Cell::Boolean(is_installed)),
                ("is_recorded", Cell::Boolean(false)),
                ("is_available", Cell::Boolean(!is_installed)),
                ("at_least", Cell::Null),
            ]);
            decode_query(&query, [look])
        }
    }

    fn init_on(refuses_with: ErrorKind, looks_without: u32) -> Result<(), Error> {
        init(&Server { refuses_with, looks_without: Counter::new(looks_without) }, &ServerVersion::default())
    }

    #[test]
    fn a_role_without_the_right_to_create_the_extension_gets_advice() {
        let error = init_on(ErrorKind::PermissionDenied, u32::MAX).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotInstalled);
        assert!(error.to_string().contains("as a role with the privilege to do so"), "{error}");
    }

    #[test]
    fn other_errors_from_create_extension_are_passed_through() {
        for kind in [ErrorKind::Timeout, ErrorKind::Connection, ErrorKind::Database] {
            assert_eq!(init_on(kind, u32::MAX).unwrap_err().kind(), kind);
        }
    }

    #[test]
    fn an_extension_that_another_client_created_meanwhile_is_no_error() {
        assert!(init_on(ErrorKind::Database, 1).is_ok());
    }
}
