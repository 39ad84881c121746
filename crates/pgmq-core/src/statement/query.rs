//! A statement, and the query that it sends.

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::call::{Call, Context};
use crate::decode::{Output, Rows};
use crate::error::Error;
use crate::observer::{OperationKind, ServerAddress, Started, TraceContext};
use crate::operations::Operation;
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
    /// The row of the operation; `None` for statements that are not in the table.
    pub(crate) operation: Option<&'static Operation>,
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
    /// The text with headers as a further parameter, for a trace context.
    pub(crate) traced: Option<&'static str>,
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
    operation: Option<&'static Operation>,
    call: Call,
    queue: Option<Cow<'a, str>>,
    sql: Sql,
    params: Vec<Param<'a>>,
    sort: Option<Sort<O>>,
    /// `true` if the last parameter is that of the text with a trace context.
    is_traced: bool,
    attempts: AtomicU32,
}

/// The PGMQ version that brought headers.
const HEADERS: Version = Version::new(1, 5, 0);

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
        let Self { operation, call, queue, body, sort } = self;
        match body {
            Body::Query { sql, params } => {
                let attempts = AtomicU32::new(0);
                Action::Run(Query { operation, call, queue, sql, params, sort, is_traced: false, attempts })
            }
            Body::Answer(answer) => Action::Return(Ok(answer)),
            Body::Refused(error) => {
                let queue = queue.map(|name| name.into_owned().into_boxed_str());
                Action::Return(Err(error.during(Context { call, queue })))
            }
        }
    }

    /// Sets the text that sends a trace context as well, in headers as a further parameter.
    pub(crate) fn traced_by(mut self, text: Option<&'static str>) -> Self {
        if let Body::Query { sql, .. } = &mut self.body {
            sql.traced = text;
        }
        self
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
        self.count_attempt();
        self.variant(server, false)
    }

    fn variant(&self, server: &ServerVersion, if_unknown: bool) -> SqlVariant<'_> {
        // Also tried in a transaction on a server of unknown version. The observer has asked for it.
        if let Some(text) = self.sql.traced.filter(|_| self.is_traced)
            && server.supports(HEADERS).unwrap_or(true)
        {
            return SqlVariant {
                text,
                since: Some(HEADERS),
                is_for_one_queue: false,
                params: self.params.len(),
            };
        }
        match &self.sql.newer {
            Some((since, text)) if server.supports(*since).unwrap_or(if_unknown) => {
                self.variant_of(text, Some(*since))
            }
            _ => self.oldest_variant(),
        }
    }

    /// The variant that works on every supported version of PGMQ.
    pub fn oldest_variant(&self) -> SqlVariant<'_> {
        self.variant_of(&self.sql.text, None)
    }

    /// The variant with this text. Only a text that names a table of the queue is owned.
    #[expect(clippy::ptr_arg, reason = "`&str` does not show if the text is owned")]
    fn variant_of<'q>(&self, text: &'q Cow<'static, str>, since: Option<Version>) -> SqlVariant<'q> {
        let params = self.params.len() - usize::from(self.is_traced);
        SqlVariant { text, since, is_for_one_queue: matches!(text, Cow::Owned(_)), params }
    }

    /// The parameters of a variant, in the order of `$1`, `$2`, ...
    pub fn params_of(&self, variant: SqlVariant<'_>) -> &[Param<'a>] {
        self.params.get(..variant.params).unwrap_or(&self.params)
    }

    /// The parameters of the oldest variant, in the order of `$1`, `$2`, ...
    pub fn params(&self) -> &[Param<'a>] {
        self.params_of(self.oldest_variant())
    }

    /// Counts an attempt to run the query.
    pub(crate) fn count_attempt(&self) {
        self.attempts.fetch_add(1, Ordering::Relaxed);
    }

    /// The number of attempts to run the query.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts.load(Ordering::Relaxed)
    }

    /// The operation as an observer sees it; `None` for statements that are not in the table.
    pub(crate) fn started<'q>(&'q self, server: Option<&'q ServerAddress>) -> Option<Started<'q>> {
        let operation = self.operation?;
        let routing_key = match (operation.arguments, self.params.first()) {
            (["routing_key", ..], Some(Param::Text(key))) => Some(&**key),
            _ => None,
        };
        let is_about_messages = matches!(operation.kind(), OperationKind::Send | OperationKind::Settle);
        let in_lists = self.params.iter().find_map(|param| match param {
            Param::Int8Array(ids) => Some(ids.len()),
            Param::JsonbArray(messages) => Some(messages.len()),
            _ => None,
        });
        let message_id = self.params.iter().find_map(|param| match param {
            Param::Int8(id) => Some(*id),
            _ => None,
        });
        Some(Started {
            operation,
            queue: self.queue.as_deref(),
            routing_key,
            messages: is_about_messages.then(|| in_lists.unwrap_or(1)),
            message_id: message_id
                .filter(|_| operation.kind() == OperationKind::Settle && in_lists.is_none()),
            server,
        })
    }

    /// Returns `true` if the query sends messages.
    pub(crate) fn sends(&self) -> bool {
        self.operation.is_some_and(|operation| operation.kind() == OperationKind::Send)
    }

    /// Sends a trace context along in the headers of each message, if the query sends messages.
    pub(crate) fn trace(&mut self, context: &TraceContext) {
        match (self.sql.traced, self.sends()) {
            (Some(_), _) if !self.is_traced => {
                let headers = match self.params.get(1) {
                    Some(Param::JsonbArray(messages)) => {
                        context.headers_of(messages.len()).map(Param::JsonbArray)
                    }
                    _ => context.headers().map(Param::Jsonb),
                };
                self.is_traced = headers.is_some();
                self.params.extend(headers);
            }
            // The headers of the caller are the third parameter.
            (None, true) => {
                if let Some(headers) = self.params.get_mut(2) {
                    context.merge_into(headers);
                }
            }
            _ => {}
        }
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
    /// The number of parameters.
    pub params: usize,
}

impl<'q> SqlVariant<'q> {
    /// The only variant of a text, for tests of back ends.
    pub fn new(text: &'q str) -> Self {
        Self { text, since: None, is_for_one_queue: false, params: usize::MAX }
    }
}
