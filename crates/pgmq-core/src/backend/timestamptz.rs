//! Times as the wire carries them.

use chrono::{DateTime, Utc};

/// A `timestamptz` in the binary format: microseconds since the beginning of 2000.
///
/// The server's times go further than those of `chrono`, to infinity among others. What is out of reach becomes the last
/// that is not, since a message with such a time has to be readable all the same.
pub fn timestamptz(micros: i64) -> DateTime<Utc> {
    const BEGINNING: i64 = 946_684_800_000_000;
    let last = if micros < 0 { DateTime::<Utc>::MIN_UTC } else { DateTime::<Utc>::MAX_UTC };
    micros.checked_add(BEGINNING).and_then(DateTime::from_timestamp_micros).unwrap_or(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_out_of_reach_become_the_last_that_is_not() {
        assert_eq!(timestamptz(0).to_rfc3339(), "2000-01-01T00:00:00+00:00");
        assert_eq!(timestamptz(-1_000_000).to_rfc3339(), "1999-12-31T23:59:59+00:00");
        assert_eq!(timestamptz(i64::MAX), DateTime::<Utc>::MAX_UTC);
        assert_eq!(timestamptz(i64::MIN), DateTime::<Utc>::MIN_UTC);
    }
}
