//! The parameters of a query, one after the other.

use chrono::{DateTime, Utc};
use pgmq_core::{Error, ErrorKind, JsonArray, JsonText, Param};

use crate::testing::memory::table::later;

/// The parameters of a query.
pub(super) struct Arguments<'q>(std::slice::Iter<'q, Param<'q>>);

/// The options of a send, which follow the messages.
#[derive(Default)]
pub(super) struct Options<'q> {
    pub(super) headers: Option<&'q JsonText>,
    pub(super) headers_of_each: Option<&'q JsonArray>,
    pub(super) visible_at: Option<DateTime<Utc>>,
}

impl<'q> Arguments<'q> {
    pub(super) fn new(params: &'q [Param<'q>]) -> Self {
        Self(params.iter())
    }

    pub(super) fn text(&mut self) -> Result<&'q str, Error> {
        match self.0.next() {
            Some(Param::Text(text)) => Ok(text),
            other => unexpected(other),
        }
    }

    pub(super) fn int(&mut self) -> Result<i32, Error> {
        match self.0.next() {
            Some(Param::Int4(int)) => Ok(*int),
            other => unexpected(other),
        }
    }

    /// A number of messages.
    pub(super) fn count(&mut self) -> Result<usize, Error> {
        Ok(usize::try_from(self.int()?).unwrap_or(0))
    }

    pub(super) fn bigint(&mut self) -> Result<i64, Error> {
        match self.0.next() {
            Some(Param::Int8(bigint)) => Ok(*bigint),
            other => unexpected(other),
        }
    }

    pub(super) fn bigints(&mut self) -> Result<&'q [i64], Error> {
        match self.0.next() {
            Some(Param::Int8Array(bigints)) => Ok(bigints),
            other => unexpected(other),
        }
    }

    pub(super) fn json(&mut self) -> Result<&'q JsonText, Error> {
        match self.0.next() {
            Some(Param::Jsonb(json)) => Ok(json),
            other => unexpected(other),
        }
    }

    pub(super) fn jsons(&mut self) -> Result<&'q JsonArray, Error> {
        match self.0.next() {
            Some(Param::JsonbArray(jsons)) => Ok(jsons),
            other => unexpected(other),
        }
    }

    /// A time, which may be a number of seconds from now.
    pub(super) fn time(&mut self, now: DateTime<Utc>) -> Result<DateTime<Utc>, Error> {
        match self.0.next() {
            Some(Param::Int4(seconds)) => Ok(later(now, i64::from(*seconds))),
            Some(Param::Timestamptz(at)) => Ok(*at),
            other => unexpected(other),
        }
    }

    /// The options of a send, each of which may be missing.
    pub(super) fn options(&mut self, now: DateTime<Utc>) -> Result<Options<'q>, Error> {
        let mut options = Options::default();
        for param in self.0.by_ref() {
            match param {
                Param::Jsonb(headers) => options.headers = Some(headers),
                Param::JsonbArray(headers) => options.headers_of_each = Some(headers),
                Param::Int4(seconds) => options.visible_at = Some(later(now, i64::from(*seconds))),
                Param::Timestamptz(at) => options.visible_at = Some(*at),
                other => return unexpected(Some(other)),
            }
        }
        Ok(options)
    }

    /// Returns `true` if there are no more.
    pub(super) fn is_empty(&self) -> bool {
        self.0.len() == 0
    }

    /// Refuses arguments that are left, since the queue in memory does not know them.
    pub(super) fn end(&mut self) -> Result<(), Error> {
        match self.0.next() {
            None => Ok(()),
            other => unexpected(other),
        }
    }
}

fn unexpected<T>(param: Option<&Param<'_>>) -> Result<T, Error> {
    let text = match param {
        Some(param) => {
            format!("the queue in memory does not know the argument {param:?}; test it on a server")
        }
        None => "the queue in memory misses an argument".to_owned(),
    };
    Err(Error::new(ErrorKind::Unsupported, text))
}
