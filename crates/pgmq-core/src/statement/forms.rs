//! The texts of one call, for each choice of headers and delay.

use super::Draft;
use crate::time::DelayParam;
use crate::{Delay, Error, Param, Version};

/// Headers and the headers of a batch came with this version, and so did a point in time as the delay.
pub(super) const FULL_FORM: Version = Version::new(1, 5, 0);

/// Which of the optional arguments are given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Given {
    pub(super) headers: bool,
    pub(super) delay: DelayGiven,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum DelayGiven {
    None,
    Seconds,
    At,
}

impl Given {
    /// Whether no older version of PGMQ can do this.
    pub(super) fn needs_full_form(self) -> bool {
        self.headers || matches!(self.delay, DelayGiven::At)
    }
}

/// The texts without headers, and with headers: each for no delay, whole seconds, and a point in time.
pub(super) struct Forms {
    pub(super) plain: [&'static str; 3],
    pub(super) headers: [&'static str; 3],
}

impl Forms {
    pub(super) fn get(&self, given: Given) -> &'static str {
        let [none, seconds, at] = if given.headers { self.headers } else { self.plain };
        match given.delay {
            DelayGiven::None => none,
            DelayGiven::Seconds => seconds,
            DelayGiven::At => at,
        }
    }
}

/// The texts of a call: how it begins, the argument that stands for no headers, the type of headers, and the macro that
/// writes the delay.
macro_rules! forms {
    ($call:literal, $no_headers:literal, $headers:literal, $delay:ident) => {
        $crate::statement::forms::Forms {
            plain: [
                concat!($call, $no_headers, $delay!(plain), ")"),
                concat!($call, $no_headers, $delay!(seconds "$3"), ")"),
                concat!($call, $no_headers, $delay!(at "$3"), ")"),
            ],
            headers: [
                concat!($call, ", headers=>$3::", $headers, $delay!(headers), ")"),
                concat!($call, ", headers=>$3::", $headers, $delay!(seconds "$4"), ")"),
                concat!($call, ", headers=>$3::", $headers, $delay!(at "$4"), ")"),
            ],
        }
    };
}

/// The delay as PGMQ's overloads take it.
macro_rules! delay {
    (plain) => {
        ""
    };
    (headers) => {
        ""
    };
    (seconds $param:literal) => {
        concat!(", delay=>", $param, "::integer")
    };
    (at $param:literal) => {
        concat!(", delay=>", $param, "::timestamptz")
    };
}

pub(super) use {delay, forms};

impl<'a> Draft<'a> {
    /// Adds headers and delay, in this order, and says which were given.
    pub(super) fn options(
        mut self,
        headers: Option<Result<Param<'a>, Error>>,
        delay: Option<Delay>,
    ) -> (Self, Given) {
        let given_headers = headers.is_some();
        if let Some(headers) = headers {
            self = self.param(headers);
        }
        let delay = delay.and_then(|delay| self.take(delay.param("delay")));
        let (param, delay) = match delay {
            None => (None, DelayGiven::None),
            Some(DelayParam::Seconds(seconds)) => (Some(Param::Int4(seconds)), DelayGiven::Seconds),
            Some(DelayParam::At(at)) => (Some(Param::Timestamptz(at)), DelayGiven::At),
        };
        self.params.extend(param);
        let given = Given { headers: given_headers, delay };
        if given.needs_full_form() && self.call.since.is_none() {
            self.call.since = Some(FULL_FORM);
        }
        (self, given)
    }
}
