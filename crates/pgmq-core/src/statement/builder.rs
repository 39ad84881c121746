//! The builder that every statement is made with.

use std::borrow::Cow;

use serde::Serialize;

use crate::call::Call;
use crate::decode::Output;
use crate::error::Error;
use crate::error_kind::ErrorKind;
use crate::operations::{Feature, Operation, Property};
use crate::param::{JsonText, Param};
use crate::queue_name;
use crate::statement::query::{Body, Sql, Statement};
use crate::version::Version;

/// A statement in the making. The first invalid argument is kept, and reported when the statement is run.
pub(crate) struct StatementBuilder<'a> {
    /// The row of the operation; `None` for statements that are not in the table.
    operation: Option<&'static Operation>,
    call: Call,
    queue: Option<Cow<'a, str>>,
    pub(crate) params: Vec<Param<'a>>,
    refused: Option<Error>,
}

impl<'a> StatementBuilder<'a> {
    pub(crate) fn new(operation: &'static Operation) -> Self {
        let call = Call {
            since: operation.since,
            polls: operation.has(Property::Polls),
            needs_partman: operation.has(Property::NeedsPartman),
            ..Call::new(operation.name, operation.function)
        };
        Self { operation: Some(operation), ..Self::outside_the_table(call) }
    }

    /// A builder for a statement that is not an operation of the table.
    pub(crate) fn outside_the_table(call: Call) -> Self {
        Self { operation: None, call, queue: None, params: Vec::with_capacity(4), refused: None }
    }

    /// A builder for an operation on a queue, whose name is the first parameter.
    pub(crate) fn on(queue: &'a str, operation: &'static Operation) -> Self {
        let mut builder = Self::new(operation).naming(queue);
        if let Some(name) = builder.queue.clone() {
            builder.params.push(Param::Text(name));
        }
        builder
    }

    /// Sets the queue of the statement, whose name is not a parameter.
    pub(crate) fn naming(mut self, queue: &'a str) -> Self {
        let name = self.take(queue_name::fold(queue));
        self.queue = Some(name.unwrap_or(Cow::Borrowed(queue)));
        self
    }

    /// Records that the statement uses a feature, which may need a later PGMQ version than the operation.
    pub(crate) fn uses(mut self, feature: Feature) -> Self {
        let since = self.operation.and_then(|operation| operation.since_with(feature));
        self.call.since = since.or(self.call.since);
        self
    }

    /// The value, or `None` if there is an error, of which the builder keeps the first.
    pub(crate) fn take<V>(&mut self, value: Result<V, Error>) -> Option<V> {
        value.map_err(|error| self.refuse(error)).ok()
    }

    pub(crate) fn refuse(&mut self, error: Error) {
        self.refused.get_or_insert(error);
    }

    pub(crate) fn param(mut self, param: Result<Param<'a>, Error>) -> Self {
        let param = self.take(param);
        self.params.extend(param);
        self
    }

    pub(crate) fn text(self, text: impl Into<Cow<'a, str>>) -> Self {
        self.param(Ok(Param::Text(text.into())))
    }

    pub(crate) fn int(self, int: Result<i32, Error>) -> Self {
        self.param(int.map(Param::Int4))
    }

    pub(crate) fn bigint(self, bigint: i64) -> Self {
        self.param(Ok(Param::Int8(bigint)))
    }

    pub(crate) fn bigints(self, bigints: &[i64]) -> Self {
        self.param(Ok(Param::Int8Array(bigints.to_vec())))
    }

    pub(crate) fn json<T: Serialize + ?Sized>(self, value: &T) -> Self {
        self.param(JsonText::new(value).map(Param::Jsonb))
    }

    /// A table of the queue, quoted: `q` is the prefix of the queue itself, and `a` that of its archive.
    ///
    /// The name was checked and folded. If it was refused, the text is never sent.
    pub(crate) fn table(&self, prefix: char) -> String {
        format!("pgmq.{}", self.of_queue(&format!("{prefix}_")))
    }

    /// The name of the queue behind a prefix, quoted.
    pub(crate) fn of_queue(&self, prefix: &str) -> String {
        queue_name::quote(&format!("{prefix}{}", self.queue.as_deref().unwrap_or_default()))
    }

    /// The statement with this text.
    pub(crate) fn sql<O: Output>(self, text: impl Into<Cow<'static, str>>) -> Statement<'a, O> {
        self.build(Sql { text: text.into(), newer: None, traced: None })
    }

    /// The statement with this text, which has a better variant on servers of `since` and newer.
    pub(crate) fn sql_or<O: Output>(
        self,
        text: impl Into<Cow<'static, str>>,
        since: Version,
        newer: impl Into<Cow<'static, str>>,
    ) -> Statement<'a, O> {
        self.build(Sql { text: text.into(), newer: Some((since, newer.into())), traced: None })
    }

    fn build<O: Output>(mut self, sql: Sql) -> Statement<'a, O> {
        let size = check_size(self.params.iter().map(Param::size).sum());
        self.take(size);
        let Self { operation, call, queue, params, refused } = self;
        let body = match refused {
            None => Body::Query { sql, params },
            Some(error) => Body::Refused(error),
        };
        Statement { operation, call, queue, body, sort: None }
    }

    /// A statement whose result is known without the server.
    pub(crate) fn answer<O: Output>(self, answer: O) -> Statement<'a, O> {
        let Self { operation, call, queue, refused, .. } = self;
        let body = refused.map_or(Body::Answer(answer), Body::Refused);
        Statement { operation, call, queue, body, sort: None }
    }
}

/// The largest number of bytes that the server takes in one message.
const LARGEST: usize = (1 << 30) - 1;

/// Checks that the server accepts parameters of this size in bytes. The server closes the connection on which
/// a larger message arrives, so the client could not tell it from a lost one, and would send it again.
fn check_size(bytes: usize) -> Result<(), Error> {
    // Leaves room for the lengths and types of the parameters.
    if bytes <= LARGEST - LARGEST / 16 {
        return Ok(());
    }
    let text = format!(
        "the call has {} MB, and the server takes up to 1 GB in one message; send it in several calls",
        bytes >> 20
    );
    Err(Error::new(ErrorKind::InvalidArgument, text))
}

/// JSON that was serialized when it was given as an option, as a parameter.
pub(crate) fn optional_json<'a, J: Clone>(
    json: &Option<Result<J, String>>,
    param: impl Fn(J) -> Param<'a>,
) -> Option<Result<Param<'a>, Error>> {
    let encoded = json.as_ref()?.as_ref();
    Some(encoded.map(|json| param(json.clone())).map_err(|text| Error::new(ErrorKind::Encode, text.as_str())))
}

/// A count as the server's `integer`.
pub(crate) fn count(what: &str, count: u32) -> Result<i32, Error> {
    i32::try_from(count).map_err(|_| {
        Error::new(ErrorKind::InvalidArgument, format!("the {what} is {count}; give at most 2147483647"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_the_server_would_hang_up_on_is_refused() {
        assert!(check_size(1_000_000_000).is_ok());
        let error = check_size(5 * (230 << 20)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains("1150 MB"), "{error}");
        assert!(!error.kind().is_transient());
    }
}
