//! Times in the binary format of the wire.

use chrono::{DateTime, Utc};

/// Converts a `timestamptz` from the binary format: microseconds since the beginning of 2000.
///
/// The server's range of times is wider than that of `chrono`, and includes infinity. A time outside the
/// range of `chrono` becomes the nearest one inside it, because a message with such a time must stay
/// readable.
pub fn timestamptz(micros: i64) -> DateTime<Utc> {
    const BEGINNING: i64 = 946_684_800_000_000;
    let nearest = if micros < 0 { DateTime::<Utc>::MIN_UTC } else { DateTime::<Utc>::MAX_UTC };
    micros.checked_add(BEGINNING).and_then(DateTime::from_timestamp_micros).unwrap_or(nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_out_of_range_become_the_nearest_in_range() {
        assert_eq!(timestamptz(0).to_rfc3339(), "2000-01-01T00:00:00+00:00");
        assert_eq!(timestamptz(-1_000_000).to_rfc3339(), "1999-12-31T23:59:59+00:00");
        assert_eq!(timestamptz(i64::MAX), DateTime::<Utc>::MAX_UTC);
        assert_eq!(timestamptz(i64::MIN), DateTime::<Utc>::MIN_UTC);
    }
}
