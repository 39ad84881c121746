//! A statement, and the query that it sends.

use std::borrow::Cow;
use std::fmt;

use crate::call::{Call, Context};
use crate::decode::{Output, Rows};
use crate::error::Error;
use crate::param::Param;
use crate::row::Row;
use crate::server_version::ServerVersion;
use crate::version::Version;

/// An operation that is ready to be run, and returns an `O`.
///
/// A statement borrows the name of the queue, or the routing key, and owns everything else, so the future
/// that runs it is `Send` for any type of message. Its `Debug` output shows the parameters, payloads
/// included.
pub struct Statement<'a, O: Output> {
    pub(crate) call: Call,
    pub(crate) queue: Option<Cow<'a, str>>,
    pub(crate) body: Body<'a, O>,
    pub(crate) sort: Option<Sort<O>>,
}

/// The function that puts records into the order in which they are returned.
pub(crate) type Sort<O> = fn(&mut [<O as Output>::Record]);

pub(crate) enum Body<'a, O> {
    Query { sql: Sql, params: Vec<Param<'a>> },
    Answer(O),
    Refused(Error),
}

/// The text of a statement, and that of a newer variant with the same meaning, which is faster or not
/// ambiguous.
pub(crate) struct Sql {
    pub(crate) text: Cow<'static, str>,
    pub(crate) newer: Option<(Version, Cow<'static, str>)>,
}

/// The next step for a statement.
pub enum Action<'a, O: Output> {
    /// Return this result, which is known without the server.
    Return(Result<O, Error>),
    /// Run this query, and pass its rows to [`Query::rows`].
    Run(Query<'a, O>),
}

/// The query of a statement.
pub struct Query<'a, O: Output> {
    call: Call,
    queue: Option<Cow<'a, str>>,
    sql: Sql,
    params: Vec<Param<'a>>,
    sort: Option<Sort<O>>,
}

impl<'a, O: Output> Statement<'a, O> {
    /// The operation, and the PGMQ function that it calls.
    pub fn call(&self) -> Call {
        self.call
    }

    /// The queue that the statement is about, by its folded name.
    pub fn queue(&self) -> Option<&str> {
        self.queue.as_deref()
    }

    /// Turns the statement into the next step.
    pub fn into_action(self) -> Action<'a, O> {
        let Self { call, queue, body, sort } = self;
        match body {
            Body::Query { sql, params } => Action::Run(Query { call, queue, sql, params, sort }),
            Body::Answer(answer) => Action::Return(Ok(answer)),
            Body::Refused(error) => {
                let queue = queue.map(|name| name.into_owned().into_boxed_str());
                Action::Return(Err(error.during(Context { call, queue })))
            }
        }
    }

    /// Sorts the records before they are returned, instead of keeping the server's order.
    pub(crate) fn sorted_by(mut self, sort: Sort<O>) -> Self {
        self.sort = Some(sort);
        self
    }
}

impl<O: Output> fmt::Debug for Statement<'_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Statement");
        shown.field("operation", &self.call.operation).field("queue", &self.queue);
        match &self.body {
            Body::Query { sql, params } => {
                shown.field("sql", &sql.text).field("newer", &sql.newer).field("params", params).finish()
            }
            Body::Answer(_) => shown.finish_non_exhaustive(),
            Body::Refused(error) => shown.field("refused", error).finish(),
        }
    }
}

impl<'a, O: Output> Query<'a, O> {
    /// The oldest variant of the SQL, which works on every supported version of PGMQ.
    pub fn sql(&self) -> &str {
        &self.sql.text
    }

    /// The variant to run on a connection of a pool.
    ///
    /// A newer variant is tried even on a server of unknown version. If the server lacks its function,
    /// nothing was done, and the oldest variant can be run instead.
    pub fn variant_on_pool(&self, server: &ServerVersion) -> SqlVariant<'_> {
        self.variant(server, true)
    }

    /// The variant to run in a transaction, or on another connection of the user's.
    ///
    /// A newer variant is run only on a server that is known to have it, since a failed statement would undo
    /// the transaction.
    pub fn variant_in_transaction(&self, server: &ServerVersion) -> SqlVariant<'_> {
        self.variant(server, false)
    }

    fn variant(&self, server: &ServerVersion, if_unknown: bool) -> SqlVariant<'_> {
        match &self.sql.newer {
            Some((since, text)) if server.supports(*since).unwrap_or(if_unknown) => {
                variant(text, Some(*since))
            }
            _ => self.oldest_variant(),
        }
    }

    /// The variant that works on every supported version of PGMQ.
    pub fn oldest_variant(&self) -> SqlVariant<'_> {
        variant(&self.sql.text, None)
    }

    /// The parameters, in the order of `$1`, `$2`, ...
    pub fn params(&self) -> &[Param<'a>] {
        &self.params
    }

    /// The operation, and the PGMQ function that it calls.
    pub fn call(&self) -> Call {
        self.call
    }

    /// The call as an error reports it.
    pub fn context(&self) -> Context {
        Context { call: self.call, queue: self.queue.as_deref().map(Into::into) }
    }

    /// A decoder that takes the rows of the result as they arrive.
    pub fn rows<R: Row>(&self) -> Rows<O, R> {
        Rows::new(self.sort)
    }
}

/// The variant with this text. Only a text that names a table of the queue is owned.
#[expect(clippy::ptr_arg, reason = "`&str` does not show if the text is owned")]
fn variant<'q>(text: &'q Cow<'static, str>, since: Option<Version>) -> SqlVariant<'q> {
    SqlVariant { text, since, is_for_one_queue: matches!(text, Cow::Owned(_)) }
}

/// One variant of a query's SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SqlVariant<'q> {
    /// The SQL.
    pub text: &'q str,
    /// The PGMQ version that brought the variant; `None` for the oldest.
    pub since: Option<Version>,
    /// The text names a table of the queue, so there are as many such texts as queues.
    pub is_for_one_queue: bool,
}

impl<'q> SqlVariant<'q> {
    /// The only variant of a text, for tests of back ends.
    pub fn new(text: &'q str) -> Self {
        Self { text, since: None, is_for_one_queue: false }
    }
}
