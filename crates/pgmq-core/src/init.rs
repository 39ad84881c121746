//! Making sure that PGMQ is there, and saying which it is, over any back end. For back ends.

use crate::installation::{Init, not_creatable};
use crate::{AsyncQueue, Error, ErrorKind, Installation, Learned, Queue, QueueError, statement};

/// The same for queues that block, and for those that do not.
macro_rules! installing {
    ($queue:ident: $init:ident, $version:ident $(, $async:tt $await:tt)?) => {
        /// Makes sure that PGMQ is there: creates the extension, where it is not and the server offers it.
        ///
        /// # Errors
        ///
        /// [`ErrorKind::NotInstalled`], when PGMQ is neither there nor can be created.
        pub $($async)? fn $init<Q: $queue>(queue: &Q, learned: &Learned) -> Result<(), Q::Error> {
            let Some(look) = queue.run(statement::look())$(.$await)? ? else { return Ok(()) };
            match look.init(learned)? {
                Init::Done => Ok(()),
                Init::CreateExtension => match queue.run(statement::create_extension())$(.$await)? {
                    Ok(()) => Ok(()),
                    // Another client may have been faster.
                    Err(refusal) => match $version(queue)$(.$await)? {
                        Err(error) if error.kind() != ErrorKind::NotInstalled => Err(error),
                        Err(_) if refusal.kind() == ErrorKind::PermissionDenied => Err(not_creatable(refusal).into()),
                        Err(_) => Err(refusal),
                        Ok(_) => Ok(()),
                    },
                },
            }
        }

        /// Says how PGMQ is installed and which version it is, by a look into the catalogue: no DDL, no locks.
        ///
        /// # Errors
        ///
        /// [`ErrorKind::NotInstalled`], when PGMQ is not there.
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
    use crate::decode::tests::{Cell, Fake, decode};
    use crate::{Output, Statement};

    /// A server that offers the extension and refuses to create it.
    struct Server {
        refuses_with: ErrorKind,
        /// How often it is looked at before another client has created the extension.
        looks_without: Counter<u32>,
    }

    impl Queue for Server {
        type Error = Error;

        fn run<O: Output>(&self, statement: Statement<'_, O>) -> Result<O, Error> {
            if format!("{statement:?}").contains("CREATE EXTENSION") {
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
            decode(statement, [look])
        }
    }

    fn init_on(refuses_with: ErrorKind, looks_without: u32) -> Result<(), Error> {
        init(&Server { refuses_with, looks_without: Counter::new(looks_without) }, &Learned::default())
    }

    #[test]
    fn a_role_that_may_not_create_the_extension_is_told_who_may() {
        let error = init_on(ErrorKind::PermissionDenied, u32::MAX).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotInstalled);
        assert!(error.to_string().contains("have a role that may run CREATE EXTENSION pgmq"), "{error}");
    }

    #[test]
    fn what_else_keeps_the_extension_from_being_created_is_said_as_it_is() {
        for kind in [ErrorKind::Timeout, ErrorKind::Connection, ErrorKind::Database] {
            assert_eq!(init_on(kind, u32::MAX).unwrap_err().kind(), kind);
        }
    }

    #[test]
    fn a_refusal_does_not_matter_if_another_client_was_faster() {
        assert!(init_on(ErrorKind::Database, 1).is_ok());
    }
}
