//! The SQL of one call, for each choice of headers and delay.

use crate::error::Error;
use crate::operations::Feature;
use crate::param::Param;
use crate::statement::builder::StatementBuilder;
use crate::time::{Delay, DelayParam};

/// The optional arguments that the caller gave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OptionsGiven {
    headers: bool,
    delay: DelayKind,
}

/// The kind of delay that the caller gave.
#[derive(Debug, Clone, Copy)]
enum DelayKind {
    None,
    Seconds,
    At,
}

impl DelayKind {
    /// The text for this kind of delay.
    fn of(self, [none, seconds, at]: [&'static str; 3]) -> &'static str {
        match self {
            Self::None => none,
            Self::Seconds => seconds,
            Self::At => at,
        }
    }
}

impl OptionsGiven {
    /// Returns `true` if only the overload with all arguments can do this.
    pub(crate) fn needs_full_overload(self) -> bool {
        self.headers || matches!(self.delay, DelayKind::At)
    }
}

/// The texts without headers, with headers, and with headers as the last parameter instead of the first
/// option: each for no delay, whole seconds, and a point in time.
pub(crate) struct SqlVariants {
    pub(crate) plain: [&'static str; 3],
    pub(crate) headers: [&'static str; 3],
    pub(crate) traced: [&'static str; 3],
}

impl SqlVariants {
    /// The text for the arguments that were given.
    pub(crate) fn get(&self, given: OptionsGiven) -> &'static str {
        given.delay.of(if given.headers { self.headers } else { self.plain })
    }

    /// The text for the arguments that were given, with headers for a trace context as a further parameter;
    /// `None` if there are headers to add the context to.
    pub(crate) fn traced(&self, given: OptionsGiven) -> Option<&'static str> {
        (!given.headers).then(|| given.delay.of(self.traced))
    }
}

/// The texts of a call, from its beginning, the argument that means no headers, the type of headers, and the
/// macro that writes the delay. The options follow as the parameters `$3` and `$4`, or those that are named.
macro_rules! variants {
    ($call:literal, $no_headers:literal, $headers:literal, $delay:ident) => {
        $crate::statement::variants::variants!($call, $no_headers, $headers, $delay, "$3", "$4")
    };
    ($call:literal, $no_headers:literal, $headers:literal, $delay:ident, $first:literal, $second:literal) => {
        $crate::statement::variants::SqlVariants {
            plain: [
                concat!($call, $no_headers, $delay!(plain), ")"),
                concat!($call, $no_headers, $delay!(seconds $first), ")"),
                concat!($call, $no_headers, $delay!(at $first), ")"),
            ],
            headers: [
                concat!($call, ", headers=>", $first, "::", $headers, $delay!(headers), ")"),
                concat!($call, ", headers=>", $first, "::", $headers, $delay!(seconds $second), ")"),
                concat!($call, ", headers=>", $first, "::", $headers, $delay!(at $second), ")"),
            ],
            traced: [
                concat!($call, ", headers=>", $first, "::", $headers, $delay!(headers), ")"),
                concat!($call, ", headers=>", $second, "::", $headers, $delay!(seconds $first), ")"),
                concat!($call, ", headers=>", $second, "::", $headers, $delay!(at $first), ")"),
            ],
        }
    };
}

/// The delay as PGMQ's overloads accept it.
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

pub(crate) use {delay, variants};

impl<'a> StatementBuilder<'a> {
    /// Adds headers and delay, in this order, and returns which of them were given.
    pub(crate) fn options(
        mut self,
        headers: Option<Result<Param<'a>, Error>>,
        delay: Option<Delay>,
    ) -> (Self, OptionsGiven) {
        let has_headers = headers.is_some();
        if let Some(headers) = headers {
            self = self.uses(Feature::Headers).param(headers);
        }
        let delay = match delay.and_then(|delay| self.take(delay.param("delay"))) {
            None => DelayKind::None,
            Some(DelayParam::Seconds(seconds)) => {
                self.params.push(Param::Int4(seconds));
                DelayKind::Seconds
            }
            Some(DelayParam::At(at)) => {
                self = self.uses(Feature::PointInTime);
                self.params.push(Param::Timestamptz(at));
                DelayKind::At
            }
        };
        (self, OptionsGiven { headers: has_headers, delay })
    }
}
