//! Operations as values: SQL, parameters, and the type that the rows decode to.
//!
//! One function per operation, in a file per group, each named as the operation. They can be looked at without a
//! database, and fail only when they are run: what is wrong with an argument stays inside the statement until then.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

use crate::decode::Arrange;
use crate::param::JsonText;
use crate::{Context, Error, ErrorKind, Learned, Output, Param, Row, Rows, Version, queue_name};

mod finish;
mod forms;
mod look;
mod notify;
mod queues;
mod read;
mod send;
mod server;
mod topics;

pub use finish::*;
pub use look::*;
pub use notify::*;
pub use queues::*;
pub use read::*;
pub use send::*;
pub use server::*;
pub use topics::*;

/// Which operation it is, and what it calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call {
    /// The operation, as it is named in the API.
    pub operation: &'static str,
    /// The function of PGMQ that it calls, or the table that it reads.
    pub function: &'static str,
    /// The version of PGMQ that brought what is called here; `None` where all supported versions have it.
    pub since: Option<Version>,
}

impl Call {
    /// Whether the server may wait for messages while it runs this, for as long as it was told.
    pub fn is_poll(self) -> bool {
        self.function.ends_with("_with_poll")
    }

    /// Whether the function needs the extension `pg_partman`.
    pub(crate) fn needs_partman(self) -> bool {
        self.function.ends_with("_partitioned")
    }
}

/// An operation that is ready to be run, and returns an `O`.
///
/// It borrows the name of the queue, or the routing key, and owns everything else: so the future that runs it is `Send`,
/// whatever the message is.
pub struct Statement<'a, O: Output> {
    call: Call,
    queue: Option<Cow<'a, str>>,
    body: Body<'a, O>,
    arrange: Option<Arrange<O>>,
}

enum Body<'a, O> {
    Query { sql: Sql, params: Vec<Param<'a>> },
    Answer(O),
    Refused(Error),
}

/// The text of a statement, and that of a newer form which means the same and is better: faster, or not ambiguous.
struct Sql {
    text: Cow<'static, str>,
    newer: Option<(Version, &'static str)>,
}

/// What there is to do for a statement.
pub enum Plan<'a, O: Output> {
    /// Nothing: the result is known without asking the server.
    Settled(Result<O, Error>),
    /// Send this query, and give its rows to [`Query::rows`].
    Query(Query<'a, O>),
}

/// The query of a statement.
pub struct Query<'a, O: Output> {
    call: Call,
    queue: Option<Cow<'a, str>>,
    sql: Sql,
    params: Vec<Param<'a>>,
    arrange: Option<Arrange<O>>,
}

impl<'a, O: Output> Statement<'a, O> {
    /// What there is to do.
    pub fn plan(self) -> Plan<'a, O> {
        let Self { call, queue, body, arrange } = self;
        match body {
            Body::Query { sql, params } => Plan::Query(Query { call, queue, sql, params, arrange }),
            Body::Answer(answer) => Plan::Settled(Ok(answer)),
            Body::Refused(error) => {
                let queue = queue.map(|name| name.into_owned().into_boxed_str());
                Plan::Settled(Err(error.during(Context { call, queue })))
            }
        }
    }

    /// Returns the records in this order, instead of the server's.
    fn arranged(mut self, arrange: Arrange<O>) -> Self {
        self.arrange = Some(arrange);
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
    /// The oldest form of the SQL that does what is asked. It works whatever the server's version.
    pub fn sql(&self) -> &str {
        &self.sql.text
    }

    /// The form of the SQL to use on a server of which `learned` is known.
    ///
    /// `may_fail` says that a failure of an unknown function does no harm, so that the newer form can be tried where it is
    /// not known whether the server has it; inside a transaction it would undo what was done before.
    pub fn form(&self, learned: &Learned, may_fail: bool) -> Form<'_> {
        match self.sql.newer {
            Some((since, text)) if learned.knows(since).unwrap_or(may_fail) => {
                Form { text, since: Some(since), is_for_one_queue: false }
            }
            _ => self.oldest(),
        }
    }

    /// The form that works whatever the server's version.
    pub fn oldest(&self) -> Form<'_> {
        Form { text: self.sql(), since: None, is_for_one_queue: matches!(self.sql.text, Cow::Owned(_)) }
    }

    /// The parameters, in the order of `$1`, `$2`, ...
    pub fn params(&self) -> &[Param<'a>] {
        &self.params
    }

    /// Which operation it is.
    pub fn call(&self) -> Call {
        self.call
    }

    /// What an error says of the call.
    pub fn context(&self) -> Context {
        Context { call: self.call, queue: self.queue.as_deref().map(Into::into) }
    }

    /// Takes the rows as they arrive.
    pub fn rows<R: Row>(&self) -> Rows<O, R> {
        Rows::new(self.arrange)
    }
}

/// One form of a query's SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form<'q> {
    /// The SQL.
    pub text: &'q str,
    /// The version that has this form, if it is not the oldest.
    pub since: Option<Version>,
    /// The text names a table of the queue: there are as many such texts as queues.
    pub is_for_one_queue: bool,
}

/// A statement in the making. The first thing that is wrong with it stays.
struct Draft<'a> {
    call: Call,
    queue: Option<Cow<'a, str>>,
    params: Vec<Param<'a>>,
    refused: Option<Error>,
}

impl<'a> Draft<'a> {
    fn new(operation: &'static str, function: &'static str) -> Self {
        let call = Call { operation, function, since: None };
        Self { call, queue: None, params: Vec::with_capacity(4), refused: None }
    }

    /// A draft about a queue, whose name is the first parameter.
    fn on(queue: &'a str, operation: &'static str, function: &'static str) -> Self {
        let mut draft = Self::new(operation, function).naming(queue);
        if let Some(name) = draft.queue.clone() {
            draft.params.push(Param::Text(name));
        }
        draft
    }

    /// About a queue, whose name is no parameter.
    fn naming(mut self, queue: &'a str) -> Self {
        let name = self.take(queue_name::fold(queue));
        self.queue = Some(name.unwrap_or(Cow::Borrowed(queue)));
        self
    }

    /// Says which version brought what is called.
    fn since(mut self, major: u16, minor: u16, patch: u16) -> Self {
        self.call.since = Some(Version::new(major, minor, patch));
        self
    }

    /// Keeps the first error; the value is missing if there is one.
    fn take<V>(&mut self, value: Result<V, Error>) -> Option<V> {
        value.map_err(|error| self.refuse(error)).ok()
    }

    fn refuse(&mut self, error: Error) {
        self.refused.get_or_insert(error);
    }

    fn param(mut self, param: Result<Param<'a>, Error>) -> Self {
        let param = self.take(param);
        self.params.extend(param);
        self
    }

    fn text(self, text: impl Into<Cow<'a, str>>) -> Self {
        self.param(Ok(Param::Text(text.into())))
    }

    fn int(self, int: Result<i32, Error>) -> Self {
        self.param(int.map(Param::Int4))
    }

    fn bigint(self, bigint: i64) -> Self {
        self.param(Ok(Param::Int8(bigint)))
    }

    fn bigints(self, bigints: &[i64]) -> Self {
        self.param(Ok(Param::Int8Array(bigints.to_vec())))
    }

    fn json<T: Serialize + ?Sized>(self, value: &T) -> Self {
        self.param(JsonText::new(value).map(Param::Jsonb))
    }

    fn sql<O: Output>(self, text: impl Into<Cow<'static, str>>) -> Statement<'a, O> {
        self.build(Sql { text: text.into(), newer: None })
    }

    /// A statement that has a better form on servers of `since` and newer.
    fn sql_or<O: Output>(self, text: &'static str, since: Version, newer: &'static str) -> Statement<'a, O> {
        self.build(Sql { text: text.into(), newer: Some((since, newer)) })
    }

    fn build<O: Output>(self, sql: Sql) -> Statement<'a, O> {
        let Self { call, queue, params, refused } = self;
        let body = match refused {
            None => Body::Query { sql, params },
            Some(error) => Body::Refused(error),
        };
        Statement { call, queue, body, arrange: None }
    }

    /// A statement whose result is known.
    fn answer<O: Output>(self, answer: O) -> Statement<'a, O> {
        let Self { call, queue, refused, .. } = self;
        Statement { call, queue, body: refused.map_or(Body::Answer(answer), Body::Refused), arrange: None }
    }
}

/// JSON that was serialised when it was given as an option, as a parameter.
fn given<'a, J: Clone>(
    json: &Option<Result<J, String>>,
    param: impl Fn(J) -> Param<'a>,
) -> Option<Result<Param<'a>, Error>> {
    let encoded = json.as_ref()?.as_ref();
    Some(encoded.map(|json| param(json.clone())).map_err(|text| Error::new(ErrorKind::Encode, text.as_str())))
}

/// A count as the server's `integer`.
fn count(what: &str, count: u32) -> Result<i32, Error> {
    i32::try_from(count).map_err(|_| {
        Error::new(
            ErrorKind::InvalidArgument,
            format!("the {what} is {count}; the server counts to 2147483647"),
        )
    })
}

#[cfg(test)]
pub(crate) mod tests;
