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
                        Err(error) if error.kind() == ErrorKind::NotInstalled => Err(not_creatable(refusal).into()),
                        looked => looked.map(drop),
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
