//! Spans of time in the server's units: whole seconds, or whole milliseconds.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, TimeZone, Utc};

use crate::error::Error;
use crate::error_kind::ErrorKind;

/// The time for which a read message stays hidden from other readers.
///
/// Converts from a [`Duration`], a [`TimeDelta`], or a whole number of seconds. The server counts in whole
/// seconds, so a `Duration` or `TimeDelta` is rounded **up**: 900 ms is one second, and only zero is zero.
/// Zero does not hide the message at all.
///
/// An operation refuses a time that is negative, or longer than `i32::MAX` seconds (68 years), with
/// [`ErrorKind::InvalidArgument`] before it sends anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VisibilityTimeout(Span);

/// The time at which a message becomes visible: after a span of time from now, or at a point in time.
///
/// Converts from every type that converts to a [`VisibilityTimeout`], and from a [`DateTime`] in any time
/// zone. A point in the past means now. The server's clock measures a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delay(When);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    After(Span),
    At(DateTime<Utc>),
}

/// The server's earliest time, in 4714 BC. The range of `chrono` begins before it, and ends before the
/// server's.
const EARLIEST: DateTime<Utc> = match DateTime::from_timestamp(-210_866_803_200, 0) {
    Some(earliest) => earliest,
    None => DateTime::<Utc>::MIN_UTC,
};

/// A [`Delay`] as an SQL parameter.
pub(crate) enum DelayParam {
    Seconds(i32),
    At(DateTime<Utc>),
}

impl VisibilityTimeout {
    pub(crate) fn seconds(self) -> Result<i32, Error> {
        self.0.get("visibility timeout")
    }
}

impl Delay {
    pub(crate) fn param(self, what: &str) -> Result<DelayParam, Error> {
        match self.0 {
            When::After(span) => span.get(what).map(DelayParam::Seconds),
            When::At(at) => Ok(DelayParam::At(at.max(EARLIEST))),
        }
    }
}

/// Whole units of time that fit the server's `integer`, or the reason for which they do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Span {
    Units(i32),
    Negative,
    TooLong,
}

impl Span {
    fn get(self, what: &str) -> Result<i32, Error> {
        let reason = match self {
            Self::Units(units) => return Ok(units),
            Self::Negative => "is negative; give zero or more",
            Self::TooLong => {
                "is longer than the server can count; give at most 2147483647 seconds (68 years)"
            }
        };
        Err(Error::new(ErrorKind::InvalidArgument, format!("the {what} {reason}")))
    }

    fn whole(units: impl TryInto<i32>, negative: bool) -> Self {
        match units.try_into() {
            _ if negative => Self::Negative,
            Ok(units) => Self::Units(units),
            Err(_) => Self::TooLong,
        }
    }

    fn seconds_of(duration: Duration) -> Self {
        let partial = u64::from(duration.subsec_nanos() > 0);
        Self::whole(duration.as_secs().saturating_add(partial), false)
    }
}

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        Self::seconds_of(duration)
    }
}

impl From<TimeDelta> for Span {
    fn from(delta: TimeDelta) -> Self {
        delta.to_std().map_or(Self::Negative, Self::seconds_of)
    }
}

macro_rules! spans {
    (unsigned $($unsigned:ty)*, signed $($signed:ty)*) => {
        $(impl From<$unsigned> for Span {
            fn from(seconds: $unsigned) -> Self {
                Self::whole(seconds, false)
            }
        })*
        $(impl From<$signed> for Span {
            fn from(seconds: $signed) -> Self {
                Self::whole(seconds, seconds < 0)
            }
        })*
        spans!(Duration, TimeDelta $(, $unsigned)* $(, $signed)*);
    };
    ($($from:ty),*) => {
        $(impl From<$from> for VisibilityTimeout {
            fn from(span: $from) -> Self {
                Self(span.into())
            }
        }
        impl From<$from> for Delay {
            fn from(span: $from) -> Self {
                Self(When::After(span.into()))
            }
        })*
    };
}

spans!(unsigned u32 u64, signed i32 i64);

impl<Tz: TimeZone> From<DateTime<Tz>> for Delay {
    fn from(at: DateTime<Tz>) -> Self {
        Self(When::At(at.to_utc()))
    }
}

/// The whole seconds of a duration, rounded up. An error names the duration as `what`.
pub(crate) fn seconds(what: &str, duration: Duration) -> Result<i32, Error> {
    Span::from(duration).get(what)
}

/// The whole milliseconds of a duration, rounded up. An error names the duration as `what`.
pub(crate) fn milliseconds(what: &str, duration: Duration) -> Result<i32, Error> {
    i32::try_from(duration.as_nanos().div_ceil(1_000_000)).map_err(|_| {
        let reason = "is longer than the server can count; give at most 2147483647 milliseconds (24 days)";
        Error::new(ErrorKind::InvalidArgument, format!("the {what} {reason}"))
    })
}

#[cfg(test)]
mod tests {
    use chrono::FixedOffset;
    use proptest::prelude::*;

    use super::*;

    fn vt(vt: impl Into<VisibilityTimeout>) -> Result<i32, ErrorKind> {
        vt.into().seconds().map_err(|error| error.kind())
    }

    #[test]
    fn fractions_of_a_second_round_up_and_only_zero_is_zero() {
        assert_eq!(vt(Duration::ZERO), Ok(0));
        assert_eq!(vt(Duration::from_nanos(1)), Ok(1));
        assert_eq!(vt(Duration::from_millis(900)), Ok(1));
        assert_eq!(vt(Duration::from_millis(1001)), Ok(2));
        assert_eq!(milliseconds("throttle", Duration::from_micros(1)).unwrap(), 1);
        assert_eq!(milliseconds("throttle", Duration::ZERO).unwrap(), 0);
    }

    #[test]
    fn negative_and_too_long_times_are_refused() {
        let refused = Err(ErrorKind::InvalidArgument);
        assert_eq!(vt(-1), refused);
        assert_eq!(vt(i64::MIN), refused);
        assert_eq!(vt(i64::from(i32::MAX) + 1), refused);
        assert_eq!(vt(u32::MAX), refused);
        assert_eq!(vt(TimeDelta::milliseconds(-1)), refused);
        assert_eq!(vt(Duration::MAX), refused);
        assert!(milliseconds("throttle", Duration::MAX).is_err());
        assert_eq!(vt(i32::MAX), Ok(i32::MAX));
    }

    #[test]
    fn a_point_in_time_is_the_same_in_every_time_zone() {
        let utc = DateTime::from_timestamp(1_700_000_000, 5).unwrap();
        let [east, west] = [14 * 3600, -12 * 3600].map(|offset| FixedOffset::east_opt(offset).unwrap());
        assert_eq!(Delay::from(utc.with_timezone(&east)), Delay::from(utc));
        assert_eq!(Delay::from(utc.with_timezone(&west)), Delay::from(utc));
        // The ends of chrono's range have no local time in some time zones.
        for end in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
            assert_eq!(Delay::from(end.with_timezone(&east)), Delay::from(end));
            assert_eq!(Delay::from(end.with_timezone(&west)), Delay::from(end));
        }
    }

    proptest! {
        #[test]
        fn a_duration_is_never_cut_short_and_never_a_second_too_long(nanos in any::<u64>()) {
            let duration = Duration::from_nanos(nanos);
            match vt(duration) {
                Ok(seconds) => {
                    let seconds = Duration::from_secs(u64::try_from(seconds).unwrap());
                    prop_assert!(seconds >= duration);
                    prop_assert!(seconds < duration + Duration::from_secs(1));
                }
                Err(_) => prop_assert!(duration > Duration::from_secs(2_147_483_647)),
            }
        }

        #[test]
        fn whole_seconds_are_unchanged(seconds in any::<i64>()) {
            match i32::try_from(seconds) {
                Ok(fits) if fits >= 0 => prop_assert_eq!(vt(seconds), Ok(fits)),
                _ => prop_assert_eq!(vt(seconds), Err(ErrorKind::InvalidArgument)),
            }
        }
    }
}
